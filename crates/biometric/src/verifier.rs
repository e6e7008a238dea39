use madoguchi_time::{Deadline, Recovery};

use crate::{EnrolledTemplates, HandState, RetryReason, SensorError, SensorIdentity};

/// A device, or a device with a matcher, that tells whether a palm is the enrolled one (1:1).
///
/// # Guarantees
/// Neither pictures nor templates in the clear outlive a call, save those that `enrol` returns. Scores don't leave the
/// verifier: a score would let somebody climb towards a match step by step.
///
/// # Errors
/// See [`SensorError`] and [`EnrolError`]. A palm that does not match, or can't be judged, is an answer and not an error.
///
/// # For callers
/// One call of [`verify`](PalmVerifier::verify) is one transaction, in which the person has several attempts. Limit
/// the number of transactions.
///
/// # For backend authors
/// The false match rate to keep is that of the transaction, all its attempts together. Tell the observer of every retry.
pub trait PalmVerifier: Send {
    /// Make, model, serial and firmware of the device.
    fn identity(&self) -> &SensorIdentity;

    /// Captures until a palm matches `enrolled` or the attempts are used up.
    ///
    /// # Errors
    /// [`SensorError::ForeignTemplates`] if another verifier made `enrolled`; [`SensorError::Timeout`] when the
    /// deadline passes.
    fn verify(
        &mut self,
        enrolled: &EnrolledTemplates,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<Verification, SensorError>;

    /// Captures a palm several times and makes templates of it.
    ///
    /// # Errors
    /// [`EnrolError::Unusable`] and [`EnrolError::Inconsistent`] ask for another try.
    fn enrol(
        &mut self,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError>;

    /// Is the device a simulator?
    fn is_simulated(&self) -> bool {
        self.identity().is_simulated()
    }
}

/// The answer of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The palm is the enrolled one.
    Match,
    /// At least one picture was good, and none matched.
    NoMatch,
    /// No picture was good enough to compare; the last one's reason.
    Unusable(RetryReason),
}

/// What happens during a verification or an enrolment, to guide the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureEvent {
    /// Capture `number` (from 1) of at most `of` begins: ask for the hand.
    Begin {
        /// Which capture.
        number: u8,
        /// How many there may be.
        of: u8,
    },
    /// What the sensor sees while it waits.
    Hand(HandState),
    /// The capture was no good for this reason.
    Retry(RetryReason),
    /// The picture was good but did not match.
    NotRecognised,
    /// The picture was good: taken for enrolment, or matched.
    Accepted,
}

/// Why there is no enrolment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// Too few pictures were good enough; the last one's reason.
    #[error("too few captures were usable, the last one because of {0:?}")]
    Unusable(RetryReason),
    /// The pictures don't match each other: the hand was changed in between, or held very differently.
    #[error("the captures don't match each other")]
    Inconsistent,
    /// The sensor failed.
    #[error(transparent)]
    Sensor(#[from] SensorError),
}

impl EnrolError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Unusable(_) | Self::Inconsistent => Recovery::AskPerson,
            Self::Sensor(error) => error.recovery(),
        }
    }
}
