use std::fmt;

use madoguchi_time::{Deadline, Recovery};
use palm_vein::PalmImage;

/// A device that takes near-infrared pictures of palms.
///
/// # Guarantees
/// Nothing is captured outside [`capture`](PalmSensor::capture): the illumination is off and the device holds no picture
/// once it has returned, whatever it returned. Dropping a sensor disarms it.
///
/// # Errors
/// See [`SensorError`]; the caller acts on [`SensorError::recovery`] alone. A hand that is too near, askew or not there
/// is no error but [`CaptureOutcome::Retry`].
///
/// # For callers
/// One thread owns one sensor. `hand` is called on that thread while the sensor waits, to guide the person; it must return
/// at once.
///
/// # For backend authors
/// Return by the deadline. Check that the picture is the one that was asked for and that it arrived whole: a wrong picture
/// is worse than none. Serials of simulators start with `SIM-`.
pub trait PalmSensor: Send {
    /// Make, model, serial and firmware.
    fn identity(&self) -> &SensorIdentity;

    /// Waits for a hand that holds still in the right place, and takes one picture of it.
    ///
    /// # Errors
    /// [`SensorError::Timeout`] when the deadline passes first; [`SensorError::Gone`] when the device is unplugged.
    fn capture(&mut self, deadline: Deadline, hand: &mut dyn FnMut(HandState)) -> Result<CaptureOutcome, SensorError>;

    /// Switches the illumination off and wipes whatever picture the device still holds. Harmless at any time; errors
    /// are not reported, as a device that can't be reached can't be disarmed either.
    fn disarm(&mut self);
}

/// Make, model, serial and firmware of a sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorIdentity {
    /// Who made it.
    pub manufacturer: String,
    /// Which model.
    pub model: String,
    /// Its serial number; starts with `SIM-` for a simulator.
    pub serial: String,
    /// Its firmware's version.
    pub firmware: String,
}

impl SensorIdentity {
    /// Does this device say of itself that it is a simulator?
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.serial.starts_with("SIM-")
    }
}

impl fmt::Display for SensorIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}, firmware {})", self.manufacturer, self.model, self.serial, self.firmware)
    }
}

/// What came of one capture.
#[derive(Debug)]
pub enum CaptureOutcome {
    /// A picture.
    Image(Capture),
    /// No picture: the person should do something and try again.
    Retry(RetryReason),
}

/// The pictures of one presentation, with what is needed to judge them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Capture {
    /// The palm in near-infrared light (about 850 nm).
    pub near_infrared: PalmImage,
    /// The palm in red light (about 660 nm), taken within a few milliseconds of the other. `None` from a sensor without red light.
    pub red: Option<PalmImage>,
    /// Edge of a pixel at the sensor's nominal distance, in micrometres.
    pub micrometres_per_pixel: u16,
}

impl Capture {
    /// A picture in near-infrared light.
    #[must_use]
    pub fn new(near_infrared: PalmImage, micrometres_per_pixel: u16) -> Self {
        Self { near_infrared, red: None, micrometres_per_pixel }
    }

    /// The same with a picture in red light.
    #[must_use]
    pub fn with_red(self, red: PalmImage) -> Self {
        Self { red: Some(red), ..self }
    }
}

/// What the sensor sees while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandState {
    /// No hand.
    Absent,
    /// The hand is too near.
    TooNear,
    /// The hand is too far away.
    TooFar,
    /// The hand is too far to the left.
    TooLeft,
    /// The hand is too far to the right.
    TooRight,
    /// The hand moves.
    Moving,
    /// All is well: hold still.
    Hold,
}

/// Why there is no usable picture, and thus what the person should change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryReason {
    /// No hand came.
    NoHand,
    /// The hand was too near.
    TooNear,
    /// The hand was too far away.
    TooFar,
    /// The hand was too far to the left.
    TooLeft,
    /// The hand was too far to the right.
    TooRight,
    /// The hand was too high or too low in the picture: too little of the palm is on it.
    OffCentre,
    /// The hand moved.
    Moving,
    /// The hand was turned or not flat.
    Tilted,
    /// The picture is too dark.
    TooDark,
    /// The picture is too bright: sunlight, or a lamp on the sensor.
    TooBright,
    /// Something covers the palm, or the sensor's window is dirty.
    Covered,
    /// A hand, but hardly any veins: very cold hands, a glove, or no living hand.
    NoVeins,
}

/// Why a sensor did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SensorError {
    /// The device has gone: unplugged, or without power.
    #[error("the palm sensor is gone")]
    Gone,
    /// The device did not answer in time. It may be busy with another program, or stuck.
    #[error("the palm sensor did not answer in time")]
    Timeout,
    /// Another program uses the device.
    #[error("another program uses the palm sensor")]
    Busy,
    /// The picture did not arrive whole, also when asked for again: a bad cable, or an overloaded hub.
    #[error("the picture did not arrive whole")]
    DamagedImage,
    /// What came back does not follow the device's protocol: a device at fault, or not a palm sensor at all.
    #[error("the palm sensor's answer is garbled: {0}")]
    Garbled(&'static str),
    /// The device speaks a version of the protocol, or delivers pictures of a format, that this program does not know.
    #[error("this palm sensor is not supported: {0}")]
    Unsupported(&'static str),
    /// The device can't prove that it is a sensor of a model in the device table: another model, a refused firmware, or somebody's
    /// imitation. Nothing is captured with it.
    #[error("this palm sensor is not trusted: {0}")]
    Untrusted(&'static str),
    /// What came is not from the sensor that was opened, also when asked for again: a bad cable, a sensor that lost its power, or
    /// somebody on the line who changes or repeats what it says.
    #[error("the palm sensor's answer is not authentic")]
    NotAuthentic,
    /// The device refused, with the code of its protocol. It may have a hardware fault.
    #[error("the palm sensor refused (code {code:#04x})")]
    Refused {
        /// The protocol's error code.
        code: u8,
    },
    /// The enrolled templates were made by another verifier, or another version of this one: the person must be
    /// enrolled anew.
    #[error("the enrolled templates were made for another verifier")]
    ForeignTemplates,
    /// The system does not let this user at the device: a missing udev rule.
    #[error("no permission to use the palm sensor")]
    NotAuthorized,
    /// Anything else, with its cause kept.
    #[error("the palm sensor failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SensorError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::DamagedImage | Self::Busy => Recovery::Retry,
            Self::Gone | Self::Timeout | Self::Garbled(_) | Self::NotAuthentic => Recovery::Reconnect,
            Self::ForeignTemplates | Self::NotAuthorized | Self::Unsupported(_) | Self::Untrusted(_) => {
                Recovery::Reconfigure
            }
            Self::Refused { .. } | Self::Other(_) => Recovery::Fatal,
        }
    }
}
