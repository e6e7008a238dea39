use std::fmt;
use std::time::Duration;

use madoguchi_time::{Deadline, SharedClock};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::message::{self, CaptureAnswer, FrameMeta, Info};
use super::protocol::{self, BROADCAST, NONCE, REPORT_TIMEOUT, codec, command, error};
use super::report::{self, Assembly, Report};
use super::{HidError, HidTransport, decode_med_rice};
use crate::{Capture, CaptureOutcome, HandState, PalmImage, PalmSensor, RetryReason, SensorError, SensorIdentity};

/// How often a request is repeated whose answer got lost.
const REPEATS: u8 = 3;
/// Pieces of a picture that may be asked for again.
const LOST_PIECES: u16 = 64;
/// Pictures that are fetched again from the start because their digest is wrong.
const REFETCHES: u8 = 2;
/// Reports that are asked for at once: half of what Linux keeps for a reader of hidraw.
const CREDITS: u16 = 32;
/// The longest that the sensor is told to wait for a hand.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A sensor that speaks PVHID/1, over any HID transport.
pub struct HidPalmSensor<T: HidTransport> {
    line: Line<T>,
    identity: SensorIdentity,
    micrometres_per_pixel: u16,
    wavelength: u16,
    /// Number of the last picture: the next one's must be higher.
    last_frame: Option<u32>,
}

impl<T: HidTransport> HidPalmSensor<T> {
    /// Opens a channel to the sensor and asks it what it is.
    ///
    /// # Errors
    /// [`SensorError::Unsupported`] for a sensor whose pictures are not 640 × 480 pixels of 8 bits, or that speaks another version
    /// of the protocol; otherwise whatever kept the answers from coming.
    pub fn open(transport: T, clock: SharedClock, deadline: Deadline) -> Result<Self, SensorError> {
        if !protocol::REPORT_SIZES.contains(&transport.report_size()) {
            return Err(SensorError::Unsupported("its reports have an unusual size"));
        }
        let mut line = Line { transport, clock, channel: BROADCAST, number: 0 };
        let mut nonce = [0; 8];
        OsRng.fill_bytes(&mut nonce);
        let answer = line.request(command::INIT, &nonce, deadline)?;
        line.channel = message::read_channel(&answer, nonce)?;
        let info = Info::read(&line.request(command::GET_INFO, &[], deadline)?)?;
        let is_known_format = usize::from(info.width) == PalmImage::WIDTH
            && usize::from(info.height) == PalmImage::HEIGHT
            && info.bits == 8
            && info.micrometres_per_pixel > 0;
        let (true, Some(&wavelength)) = (is_known_format, info.wavelengths.first()) else {
            return Err(SensorError::Unsupported("its pictures have another format"));
        };
        Ok(Self {
            line,
            identity: info.identity,
            micrometres_per_pixel: info.micrometres_per_pixel,
            wavelength,
            last_frame: None,
        })
    }

    fn try_capture(
        &mut self,
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
    ) -> Result<CaptureOutcome, SensorError> {
        let mut nonce = [0; NONCE];
        OsRng.fill_bytes(&mut nonce);
        // The sensor gives up a little earlier than the caller, so that its answer still arrives.
        let wait = deadline.remaining(&*self.line.clock).saturating_sub(REPORT_TIMEOUT).min(LONGEST_WAIT);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = message::write_capture(&nonce, wait_ms, self.wavelength);
        let answer = self.line.request_watching(command::CAPTURE, &request, deadline, hand)?;
        let meta = match CaptureAnswer::read(&answer)? {
            CaptureAnswer::Retry(reason) => return Ok(CaptureOutcome::Retry(reason)),
            CaptureAnswer::Image(meta) => meta,
        };
        self.check(&meta, &nonce)?;
        self.last_frame = Some(meta.frame);
        if meta.is_dark {
            return Ok(CaptureOutcome::Retry(RetryReason::TooDark));
        }
        for _ in 0..=REFETCHES {
            let stream = self.line.fetch(&meta, deadline)?;
            if let Some(image) = decode(&meta, &stream) {
                return Ok(CaptureOutcome::Image(Capture::new(image, self.micrometres_per_pixel)));
            }
        }
        Err(SensorError::DamagedImage)
    }

    /// Is this the description of the picture that was asked for, and one that can be handled?
    fn check(&self, meta: &FrameMeta, nonce: &[u8; NONCE]) -> Result<(), SensorError> {
        if &meta.nonce != nonce {
            return Err(SensorError::Garbled("the picture is not the one that was asked for"));
        }
        if self.last_frame.is_some_and(|last| meta.frame <= last) {
            return Err(SensorError::Garbled("the picture is an old one"));
        }
        if usize::from(meta.width) != PalmImage::WIDTH
            || usize::from(meta.height) != PalmImage::HEIGHT
            || meta.bits != 8
        {
            return Err(SensorError::Garbled("the picture is not of the announced format"));
        }
        if !matches!(meta.codec, codec::RAW | codec::MED_RICE) {
            return Err(SensorError::Unsupported("its pictures are encoded in another way"));
        }
        if !meta.has_plausible_length() {
            return Err(SensorError::Garbled("the picture's length is impossible"));
        }
        Ok(())
    }
}

impl<T: HidTransport> PalmSensor for HidPalmSensor<T> {
    fn identity(&self) -> &SensorIdentity {
        &self.identity
    }

    fn capture(&mut self, deadline: Deadline, hand: &mut dyn FnMut(HandState)) -> Result<CaptureOutcome, SensorError> {
        let outcome = self.try_capture(deadline, hand);
        self.disarm();
        outcome
    }

    fn disarm(&mut self) {
        // Must not wait long: at worst the sensor wipes its picture by itself.
        let deadline = self.line.clock.deadline_in(REPORT_TIMEOUT);
        self.line.number = self.line.number.wrapping_add(1);
        // A device that is gone has nothing left to disarm.
        let _gone = self.line.send(command::CANCEL, &[], deadline);
    }
}

impl<T: HidTransport> Drop for HidPalmSensor<T> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl<T: HidTransport> fmt::Debug for HidPalmSensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HidPalmSensor").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The picture in `stream`, if it is the one that `meta` describes.
fn decode(meta: &FrameMeta, stream: &[u8]) -> Option<PalmImage> {
    let (width, height) = (usize::from(meta.width), usize::from(meta.height));
    let pixels = match meta.codec {
        codec::RAW => Zeroizing::new(stream.to_vec()),
        _ => decode_med_rice(stream, width, height).ok()?,
    };
    let mut digest = Sha256::new();
    digest.update(meta.fields);
    digest.update(&pixels);
    if digest.finalize()[..] != meta.digest {
        return None;
    }
    let mut pixels = pixels;
    PalmImage::from_pixels(std::mem::take(&mut *pixels)).ok()
}

/// A channel of a sensor.
struct Line<T> {
    transport: T,
    clock: SharedClock,
    channel: u32,
    /// Number of the last request.
    number: u16,
}

/// What came in answer to a request.
enum Answer {
    Whole(Zeroizing<Vec<u8>>),
    /// Reports got lost; what came before them.
    Part(Zeroizing<Vec<u8>>),
    Error(u8),
}

impl<T: HidTransport> Line<T> {
    /// Sends a request until it is answered.
    fn request(&mut self, command: u8, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, SensorError> {
        self.request_watching(command, request, deadline, &mut |_| {})
    }

    /// Like [`Line::request`], and tells `hand` what KEEPALIVEs say. Repeats are the same request to the sensor.
    fn request_watching(
        &mut self,
        command: u8,
        request: &[u8],
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
    ) -> Result<Zeroizing<Vec<u8>>, SensorError> {
        self.number = self.number.wrapping_add(1);
        let mut code = None;
        for _ in 0..=REPEATS {
            self.send(command, request, deadline)?;
            match self.receive(command, protocol::MAX_MESSAGE, deadline, hand)? {
                Answer::Whole(answer) => return Ok(answer),
                Answer::Part(_) => code = None,
                Answer::Error(refused) if is_damage(refused) => code = Some(refused),
                Answer::Error(refused) => return Err(refusal(refused)),
            }
        }
        Err(code.map_or(SensorError::Timeout, refusal))
    }

    /// Fetches the encoded picture piece by piece, and what gets lost on the way again.
    fn fetch(&mut self, meta: &FrameMeta, deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, SensorError> {
        let mut stream = Zeroizing::new(Vec::with_capacity(meta.encoded_length));
        let piece = report::capacity(self.transport.report_size(), CREDITS) - protocol::DATA_HEADER;
        let mut lost = 0;
        while stream.len() < meta.encoded_length {
            let offset = stream.len();
            let wanted = piece.min(meta.encoded_length - offset);
            let offset_field = u32::try_from(offset).map_err(|_| SensorError::DamagedImage)?;
            self.number = self.number.wrapping_add(1);
            self.send(command::FRAME_DATA, &message::write_frame_data(meta.frame, offset_field, CREDITS), deadline)?;
            let longest = protocol::DATA_HEADER + wanted;
            let came = match self.receive(command::FRAME_DATA, longest, deadline, &mut |_| {})? {
                Answer::Whole(came) | Answer::Part(came) => came,
                Answer::Error(error::NO_FRAME) => return Err(SensorError::DamagedImage),
                Answer::Error(code) if is_damage(code) => Zeroizing::default(),
                Answer::Error(code) => return Err(refusal(code)),
            };
            let data = message::read_frame_data(&came, meta.frame, offset).unwrap_or_default();
            stream.extend_from_slice(data);
            if data.len() < wanted {
                lost += 1;
                if lost > LOST_PIECES {
                    return Err(SensorError::DamagedImage);
                }
            }
        }
        Ok(stream)
    }

    fn send(&mut self, command: u8, request: &[u8], deadline: Deadline) -> Result<(), SensorError> {
        let report = report::single(self.transport.report_size(), self.channel, command, self.number, request)
            .ok_or(SensorError::Unsupported("its reports are too short"))?;
        Ok(self.transport.write_report(&report, deadline)?)
    }

    /// Waits for the answer to the last request.
    fn receive(
        &mut self,
        command: u8,
        longest: usize,
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
    ) -> Result<Answer, SensorError> {
        let mut assembly: Option<Assembly> = None;
        loop {
            let patience = self.clock.deadline_in(REPORT_TIMEOUT).earlier(deadline);
            let report = self.transport.read_report(patience)?;
            if deadline.has_passed(&*self.clock) {
                return Err(SensorError::Timeout);
            }
            let Some(report) = report else { return Ok(Answer::Part(part(assembly))) };
            match Report::parse(&report) {
                Some(Report::First { channel, command: got, length, number, payload })
                    if channel == self.channel && number == self.number =>
                {
                    match got {
                        command::KEEPALIVE => {
                            if let Some(state) = payload.first().and_then(|code| message::hand_state(*code)) {
                                hand(state);
                            }
                        }
                        command::ERROR => return Ok(Answer::Error(payload.first().copied().unwrap_or_default())),
                        got if got == command && assembly.is_none() && length <= longest => {
                            assembly = Some(Assembly::begin(length, payload));
                        }
                        _ => return Ok(Answer::Part(part(assembly))),
                    }
                }
                Some(Report::Next { channel, sequence, payload }) if channel == self.channel => {
                    // Without a beginning it is left over from a message that was given up.
                    let Some(begun) = &mut assembly else { continue };
                    if !begun.add(sequence, payload) {
                        return Ok(Answer::Part(part(assembly)));
                    }
                }
                // Somebody else's, or nobody's.
                _ => continue,
            }
            if assembly.as_ref().is_some_and(Assembly::is_complete) {
                return Ok(Answer::Whole(part(assembly)));
            }
        }
    }
}

fn part(assembly: Option<Assembly>) -> Zeroizing<Vec<u8>> {
    assembly.map(Assembly::into_payload).unwrap_or_default()
}

/// Does the sensor complain of a request that may have been damaged on the way?
fn is_damage(code: u8) -> bool {
    matches!(
        code,
        error::INVALID_COMMAND
            | error::INVALID_PARAMETER
            | error::INVALID_LENGTH
            | error::INVALID_SEQUENCE
            | error::MESSAGE_TIMEOUT
    )
}

fn refusal(code: u8) -> SensorError {
    match code {
        error::CHANNEL_BUSY => SensorError::Busy,
        error::INVALID_CHANNEL => SensorError::Garbled("the sensor was reset"),
        error::CANCELLED => SensorError::Timeout,
        error::NO_FRAME => SensorError::DamagedImage,
        code => SensorError::Refused { code },
    }
}

impl From<HidError> for SensorError {
    fn from(error: HidError) -> Self {
        match error {
            HidError::Gone => Self::Gone,
            HidError::Timeout => Self::Timeout,
            HidError::NotAuthorized => Self::NotAuthorized,
            HidError::Other(source) => Self::Other(source),
        }
    }
}
