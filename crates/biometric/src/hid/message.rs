//! What messages say (§4): requests written, answers read.

use zeroize::Zeroizing;

use super::SensorPart;
use super::protocol::{self, META, NONCE, codec, hand, outcome};
use crate::{HandState, RetryReason, SensorError, SensorIdentity};

/// Reads a message field by field.
struct Fields<'a>(&'a [u8]);

/// The statement in an answer, and the MAC behind it.
pub(super) fn split_mac(answer: &[u8]) -> Result<(&[u8], &[u8]), SensorError> {
    let length = answer.len().checked_sub(protocol::link::BLOCK).ok_or(TRUNCATED)?;
    Ok(answer.split_at(length))
}

const TRUNCATED: SensorError = SensorError::Garbled("a message is too short");

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], SensorError> {
        let (field, rest) = self.0.split_at_checked(count).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SensorError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, SensorError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, SensorError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, SensorError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length byte, and text of that length.
    fn text(&mut self) -> Result<String, SensorError> {
        let length = self.u8()?;
        let text = std::str::from_utf8(self.bytes(usize::from(length))?)
            .map_err(|_| SensorError::Garbled("a name is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(SensorError::Garbled("a name contains control characters"));
        }
        Ok(text.to_owned())
    }

    fn end(self) -> Result<(), SensorError> {
        if self.0.is_empty() { Ok(()) } else { Err(SensorError::Garbled("a message is too long")) }
    }
}

/// The answer to INIT: the channel that was given out.
pub(super) fn read_channel(answer: &[u8], nonce: [u8; 8]) -> Result<u32, SensorError> {
    let mut fields = Fields(answer);
    if fields.array()? != nonce {
        return Err(SensorError::Garbled("a channel was given to another program"));
    }
    let channel = fields.u32()?;
    let (oldest, newest) = (fields.u8()?, fields.u8()?);
    fields.end()?;
    if !(oldest..=newest).contains(&protocol::VERSION) {
        return Err(SensorError::Unsupported("it speaks another version of the protocol"));
    }
    if channel == protocol::BROADCAST {
        return Err(SensorError::Garbled("the broadcast channel was given out"));
    }
    Ok(channel)
}

/// The answer to GET_INFO.
pub(super) struct Info {
    pub(super) identity: SensorIdentity,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) bits: u8,
    pub(super) micrometres_per_pixel: u16,
    /// Wavelengths in nm, of the pictures that it can take.
    pub(super) wavelengths: Vec<u16>,
}

impl Info {
    pub(super) fn read(answer: &[u8]) -> Result<Self, SensorError> {
        let mut fields = Fields(answer);
        let (width, height, bits) = (fields.u16()?, fields.u16()?, fields.u8()?);
        let micrometres_per_pixel = fields.u16()?;
        let count = fields.u8()?;
        let wavelengths = (0..count).map(|_| fields.u16()).collect::<Result<_, _>>()?;
        let identity = SensorIdentity {
            manufacturer: fields.text()?,
            model: fields.text()?,
            serial: fields.text()?,
            firmware: fields.text()?,
        };
        fields.end()?;
        Ok(Self { identity, width, height, bits, micrometres_per_pixel, wavelengths })
    }
}

/// The request to take pictures.
pub(super) fn write_capture(nonce: &[u8; NONCE], wait_ms: u32, wavelengths: &[u16]) -> Vec<u8> {
    let mut request = nonce.to_vec();
    request.extend_from_slice(&wait_ms.to_be_bytes());
    request.push(wavelengths.len() as u8);
    wavelengths.iter().for_each(|wavelength| request.extend_from_slice(&wavelength.to_be_bytes()));
    request
}

/// The answer to CAPTURE.
pub(super) enum CaptureAnswer {
    /// One for each wavelength.
    Images(Vec<FrameMeta>),
    Retry(RetryReason),
}

impl CaptureAnswer {
    /// Reads the answer, of which the link has proved that it answers this very request.
    pub(super) fn read(answer: &[u8], nonce: &[u8; NONCE]) -> Result<Self, SensorError> {
        let mut fields = Fields(answer);
        let outcome = fields.u8()?;
        if fields.array()? != *nonce {
            return Err(SensorError::Garbled("the answer names another capture"));
        }
        let read = match outcome {
            outcome::IMAGES => {
                let count = fields.u8()?;
                Self::Images((0..count).map(|_| FrameMeta::read(fields.array()?)).collect::<Result<_, _>>()?)
            }
            outcome::RETRY => Self::Retry(retry_reason(fields.u8()?)),
            _ => return Err(SensorError::Garbled("an unknown outcome of a capture")),
        };
        fields.end()?;
        Ok(read)
    }
}

/// What is needed of FRAME_META.
pub(super) struct FrameMeta {
    pub(super) frame: u32,
    /// nm.
    pub(super) wavelength: u16,
    pub(super) is_dark: bool,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) bits: u8,
    pub(super) codec: u8,
    pub(super) encoded_length: usize,
    /// SHA-256 of the encoded picture as it travels.
    pub(super) digest: [u8; 32],
}

impl FrameMeta {
    fn read(meta: [u8; META]) -> Result<Self, SensorError> {
        let mut fields = Fields(&meta);
        let frame = fields.u32()?;
        // Uptime, exposure, gain: recorded by nobody yet.
        fields.bytes(4 + 4 + 2)?;
        let wavelength = fields.u16()?;
        // The palm's distance, likewise.
        fields.u16()?;
        let is_dark = fields.u8()? & protocol::META_DARK != 0;
        let (width, height, bits, codec) = (fields.u16()?, fields.u16()?, fields.u8()?, fields.u8()?);
        let encoded_length =
            usize::try_from(fields.u32()?).map_err(|_| SensorError::Garbled("a picture is too long"))?;
        let digest = fields.array()?;
        Ok(Self { frame, wavelength, is_dark, width, height, bits, codec, encoded_length, digest })
    }

    /// Can a picture of this many pixels be that long?
    pub(super) fn has_plausible_length(&self) -> bool {
        let pixels = usize::from(self.width) * usize::from(self.height);
        match self.codec {
            codec::RAW => self.encoded_length == pixels,
            // A sensor sends a picture raw that does not get shorter.
            _ => (1..=pixels).contains(&self.encoded_length),
        }
    }
}

/// The answer to SELF_TEST: the parts at fault.
pub(super) fn read_self_test(answer: &[u8]) -> Result<Vec<SensorPart>, SensorError> {
    let mut fields = Fields(answer);
    let faults = fields.u32()?;
    fields.end()?;
    let mut parts: Vec<_> = SensorPart::ALL.into_iter().filter(|part| faults & part.bit() != 0).collect();
    let known = SensorPart::ALL.iter().fold(0, |bits, part| bits | part.bit());
    if faults & !known != 0 {
        parts.push(SensorPart::Other);
    }
    Ok(parts)
}

/// A piece of the picture, if it is the one asked for.
pub(super) fn read_frame_data(answer: &Zeroizing<Vec<u8>>, frame: u32, offset: usize) -> Option<&[u8]> {
    let (echoed_frame, rest) = answer.split_first_chunk::<4>()?;
    let (echoed_offset, data) = rest.split_first_chunk::<4>()?;
    let fits = u32::from_be_bytes(*echoed_frame) == frame
        && usize::try_from(u32::from_be_bytes(*echoed_offset)).ok()? == offset;
    fits.then_some(data)
}

pub(super) fn write_frame_data(frame: u32, offset: u32, credits: u16) -> Vec<u8> {
    let mut request = frame.to_be_bytes().to_vec();
    request.extend_from_slice(&offset.to_be_bytes());
    request.extend_from_slice(&credits.to_be_bytes());
    request
}

/// The hand's state in a KEEPALIVE; `None` for one of a later version.
pub(super) fn hand_state(code: u8) -> Option<HandState> {
    match code {
        hand::ABSENT => Some(HandState::Absent),
        hand::HOLD => Some(HandState::Hold),
        hand::TOO_NEAR => Some(HandState::TooNear),
        hand::TOO_FAR => Some(HandState::TooFar),
        hand::TOO_LEFT => Some(HandState::TooLeft),
        hand::TOO_RIGHT => Some(HandState::TooRight),
        hand::MOVING => Some(HandState::Moving),
        _ => None,
    }
}

/// Why there is no picture. What a later version may say is put down to something in the way.
fn retry_reason(code: u8) -> RetryReason {
    match code {
        hand::ABSENT => RetryReason::NoHand,
        hand::TOO_NEAR => RetryReason::TooNear,
        hand::TOO_FAR => RetryReason::TooFar,
        hand::TOO_LEFT => RetryReason::TooLeft,
        hand::TOO_RIGHT => RetryReason::TooRight,
        hand::MOVING => RetryReason::Moving,
        hand::TILTED => RetryReason::Tilted,
        hand::TOO_DARK => RetryReason::TooDark,
        hand::TOO_BRIGHT => RetryReason::TooBright,
        _ => RetryReason::Covered,
    }
}
