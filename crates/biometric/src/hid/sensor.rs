use std::fmt;
use std::time::Duration;

use madoguchi_time::{Deadline, SharedClock};
use p256::SecretKey;
use rand_core::{OsRng, RngCore};

use super::line::Line;
use super::link::{AttestedDevice, Greeting, Link};
use super::message::{self, CaptureAnswer, FrameMeta, Info};
use super::protocol::link::{INFO, SAMPLE, SELF_TEST};
use super::protocol::{self, NONCE, REPORT_TIMEOUT, codec, command, part};
use super::{HidTransport, TrustedModels, decode_med_rice};
use crate::{Capture, CaptureOutcome, HandState, PalmImage, PalmSensor, RetryReason, SensorError, SensorIdentity};

/// The longest that the sensor is told to wait for a hand.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What counts as near-infrared light that reaches the veins, nm.
const NEAR_INFRARED: std::ops::RangeInclusive<u16> = 760..=950;
/// What counts as red light, nm.
const RED: std::ops::RangeInclusive<u16> = 600..=700;

/// A sensor that speaks PVHID/1, over any HID transport.
pub struct HidPalmSensor<T: HidTransport> {
    line: Line<T>,
    link: Link,
    identity: SensorIdentity,
    micrometres_per_pixel: u16,
    /// In which light pictures are taken, nm: near-infrared, then red if there is any.
    wavelengths: Vec<u16>,
    /// Number of the last picture: the next one's must be higher.
    last_frame: Option<u32>,
}

impl<T: HidTransport> HidPalmSensor<T> {
    /// Opens a channel to the sensor, has it prove that it is one of a trusted model, agrees with it on keys, and asks it what it is.
    ///
    /// # Errors
    /// [`SensorError::Untrusted`] for whatever can't prove to be a sensor of a trusted model; [`SensorError::Unsupported`] for a sensor whose
    /// pictures are not 640 × 480 pixels of 8 bits, or not in near-infrared light, or that speaks another version of the protocol; otherwise
    /// whatever kept the answers from coming.
    pub fn open(
        transport: T,
        trusted: &TrustedModels,
        clock: SharedClock,
        deadline: Deadline,
    ) -> Result<Self, SensorError> {
        if !protocol::REPORT_SIZES.contains(&transport.report_size()) {
            return Err(SensorError::Unsupported("its reports have an unusual size"));
        }
        let mut line = Line::open(transport, clock)?;
        let nonce = random::<8>();
        line.channel =
            line.request(command::INIT, &nonce, deadline, &mut |answer| message::read_channel(answer, nonce))?;
        let greeting = Greeting::new(SecretKey::random(&mut OsRng), random());
        let link = line.request(command::ATTEST, &greeting.request(), deadline, &mut |answer| {
            greeting.answered(answer, trusted)
        })?;
        let info = line.request(command::GET_INFO, &[], deadline, &mut |answer| {
            Info::read(authentic(&link, INFO, &[], answer)?)
        })?;

        let is_known_format = usize::from(info.width) == PalmImage::WIDTH
            && usize::from(info.height) == PalmImage::HEIGHT
            && info.bits == 8
            && info.micrometres_per_pixel > 0;
        let light_of = |range: std::ops::RangeInclusive<u16>| info.wavelengths.iter().find(|nm| range.contains(nm));
        let (true, Some(&near_infrared)) = (is_known_format, light_of(NEAR_INFRARED)) else {
            return Err(SensorError::Unsupported("its pictures have another format"));
        };
        let wavelengths = std::iter::once(near_infrared).chain(light_of(RED).copied()).collect();
        Ok(Self {
            line,
            link,
            identity: info.identity,
            micrometres_per_pixel: info.micrometres_per_pixel,
            wavelengths,
            last_frame: None,
        })
    }

    /// What the sensor has proved to be.
    #[must_use]
    pub fn attested(&self) -> &AttestedDevice {
        self.link.device()
    }

    /// Has the sensor look whether its parts work. Which do not; none if all is well.
    ///
    /// # Errors
    /// Whatever kept the answer from coming.
    pub fn self_test(&mut self, deadline: Deadline) -> Result<Vec<SensorPart>, SensorError> {
        let nonce = random::<NONCE>();
        let link = &self.link;
        self.line.request(command::SELF_TEST, &nonce, deadline, &mut |answer| {
            message::read_self_test(authentic(link, SELF_TEST, &nonce, answer)?)
        })
    }

    fn try_capture(
        &mut self,
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
    ) -> Result<CaptureOutcome, SensorError> {
        let nonce = random::<NONCE>();
        // The sensor gives up a little earlier than the caller, so that its answer still arrives.
        let wait = deadline.remaining(&*self.line.clock).saturating_sub(REPORT_TIMEOUT).min(LONGEST_WAIT);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = message::write_capture(&nonce, wait_ms, &self.wavelengths);
        let link = &self.link;
        let answer = self.line.request_watching(command::CAPTURE, &request, deadline, hand, &mut |answer| {
            // Bound to the whole request: whoever changes that on its way gets no picture for it.
            CaptureAnswer::read(authentic(link, SAMPLE, &request, answer)?, &nonce)
        })?;
        let metas = match answer {
            CaptureAnswer::Retry(reason) => return Ok(CaptureOutcome::Retry(reason)),
            CaptureAnswer::Images(metas) => metas,
        };
        self.check(&metas)?;
        let mut images = Vec::new();
        for meta in &metas {
            images.push(if meta.is_dark { None } else { Some(self.fetch(meta, deadline)?) });
        }
        let mut images = images.into_iter();
        let Some(near_infrared) = images.next().flatten() else {
            return Ok(CaptureOutcome::Retry(RetryReason::TooDark));
        };
        let capture = Capture::new(near_infrared, self.micrometres_per_pixel);
        Ok(CaptureOutcome::Image(match images.next().flatten() {
            Some(red) => capture.with_red(red),
            None => capture,
        }))
    }

    /// Are these the descriptions of what was asked for, and such as can be handled?
    fn check(&mut self, metas: &[FrameMeta]) -> Result<(), SensorError> {
        if !metas.iter().map(|meta| &meta.wavelength).eq(&self.wavelengths) {
            return Err(SensorError::Garbled("the pictures are not in the light that was asked for"));
        }
        for meta in metas {
            if self.last_frame.is_some_and(|last| meta.frame <= last) {
                return Err(SensorError::Garbled("a picture is an old one"));
            }
            self.last_frame = Some(meta.frame);
            if usize::from(meta.width) != PalmImage::WIDTH
                || usize::from(meta.height) != PalmImage::HEIGHT
                || meta.bits != 8
            {
                return Err(SensorError::Garbled("a picture is not of the announced format"));
            }
            if !matches!(meta.codec, codec::RAW | codec::MED_RICE) {
                return Err(SensorError::Unsupported("its pictures are encoded in another way"));
            }
            if !meta.has_plausible_length() {
                return Err(SensorError::Garbled("a picture's length is impossible"));
            }
        }
        Ok(())
    }

    /// Fetches the picture that `meta` describes. It is looked into only once its digest has been found right.
    fn fetch(&mut self, meta: &FrameMeta, deadline: Deadline) -> Result<PalmImage, SensorError> {
        let mut stream = self.line.fetch(meta, deadline)?;
        self.link.decipher(meta.frame, &mut stream);
        let mut pixels = match meta.codec {
            codec::RAW => stream,
            _ => decode_med_rice(&stream, usize::from(meta.width), usize::from(meta.height))
                .map_err(|_| SensorError::Garbled("a picture can't be decoded"))?,
        };
        PalmImage::from_pixels(std::mem::take(&mut *pixels))
            .map_err(|_| SensorError::Garbled("a picture has the wrong size"))
    }
}

/// What the answer says, if the sensor at the other end of the link said it to this request.
fn authentic<'a>(link: &Link, label: &[u8], request: &[u8], answer: &'a [u8]) -> Result<&'a [u8], SensorError> {
    let (statement, mac) = message::split_mac(answer)?;
    if link.is_authentic(label, &[request, statement], mac) { Ok(statement) } else { Err(SensorError::NotAuthentic) }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// A part of a sensor that it can find at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SensorPart {
    /// The light around the lens.
    Illumination,
    /// The camera.
    Camera,
    /// What measures the hand's distance.
    RangeFinder,
    /// Memory.
    Memory,
    /// The place of the keys, or the generator of random numbers.
    Keys,
    /// A part that this version of the protocol has no name for.
    Other,
}

impl SensorPart {
    /// The parts that the protocol names.
    pub(super) const ALL: [Self; 5] = [Self::Illumination, Self::Camera, Self::RangeFinder, Self::Memory, Self::Keys];

    /// The bit in the answer to SELF_TEST.
    pub(super) fn bit(self) -> u32 {
        match self {
            Self::Illumination => part::ILLUMINATION,
            Self::Camera => part::CAMERA,
            Self::RangeFinder => part::RANGE_FINDER,
            Self::Memory => part::MEMORY,
            Self::Keys => part::KEYS,
            Self::Other => 0,
        }
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
        self.line.cancel();
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
