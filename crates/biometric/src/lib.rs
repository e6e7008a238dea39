//! The biometric port: what the terminal asks of a palm-vein device, whatever stands behind it.
//!
//! There are two levels. A [`PalmSensor`] only takes pictures; a [`PalmVerifier`] captures *and* decides, as a vendor's
//! module does that matches on the device. [`MatchingVerifier`] makes a verifier of any sensor with the matcher of
//! [`palm_vein`]. The orchestrator knows verifiers only, and never sees a picture, a template in the clear or a score.

#[cfg(feature = "contract")]
pub mod contract;
pub mod hid;
mod matching;
mod sensor;
mod templates;
mod verifier;

pub use matching::MatchingVerifier;
pub use palm_vein::PalmImage;
pub use sensor::{Capture, CaptureOutcome, HandState, PalmSensor, RetryReason, SensorError, SensorIdentity};
pub use templates::{DamagedTemplates, EnrolledTemplates, TemplateFormat};
pub use verifier::{CaptureEvent, EnrolError, PalmVerifier, Verification};
