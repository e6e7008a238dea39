use madoguchi_time::Deadline;
use palm_vein::{Palm, PalmTemplate, QualityIssue, Shot};
use zeroize::Zeroizing;

use crate::{
    Capture, CaptureEvent, CaptureOutcome, EnrolError, EnrolledTemplates, PalmSensor, PalmVerifier, RetryReason,
    SensorError, SensorIdentity, TemplateFormat, Verification,
};

/// A verifier made of a sensor and the matcher of [`palm_vein`].
///
/// A palm matches when [`palm_vein::Palm::matches`] says so of any enrolled template.
#[derive(Debug)]
pub struct MatchingVerifier<S> {
    sensor: S,
}

/// What one capture gave.
enum Taken {
    Palm(Palm),
    Unusable(RetryReason),
}

impl<S: PalmSensor> MatchingVerifier<S> {
    /// Captures in one verification. The chance of a false match grows with their number.
    pub const ATTEMPTS: u8 = 3;
    /// Templates of one enrolled palm, each of another capture.
    pub const TEMPLATES: u8 = 3;
    /// Captures in one enrolment, good and bad ones together.
    pub const ENROLMENT_CAPTURES: u8 = 8;

    /// A verifier over `sensor`.
    #[must_use]
    pub fn new(sensor: S) -> Self {
        Self { sensor }
    }

    /// Gives the sensor back.
    #[must_use]
    pub fn into_sensor(self) -> S {
        self.sensor
    }

    fn take(&mut self, deadline: Deadline, observer: &mut dyn FnMut(CaptureEvent)) -> Result<Taken, SensorError> {
        let outcome = self.sensor.capture(deadline, &mut |state| observer(CaptureEvent::Hand(state)))?;
        let taken = match outcome {
            CaptureOutcome::Retry(reason) => Taken::Unusable(reason),
            CaptureOutcome::Image(capture) => {
                let Capture { near_infrared, red, micrometres_per_pixel, .. } = &capture;
                let shot = Shot { near_infrared, red: red.as_ref(), micrometres_per_pixel: *micrometres_per_pixel };
                match palm_vein::extract(&shot) {
                    Ok(palm) => Taken::Palm(palm),
                    Err(issue) => Taken::Unusable(advice(issue)),
                }
            }
        };
        if let Taken::Unusable(reason) = taken {
            observer(CaptureEvent::Retry(reason));
        }
        Ok(taken)
    }
}

impl<S: PalmSensor> PalmVerifier for MatchingVerifier<S> {
    fn identity(&self) -> &SensorIdentity {
        self.sensor.identity()
    }

    fn verify(
        &mut self,
        enrolled: &EnrolledTemplates,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<Verification, SensorError> {
        let templates = decode(enrolled).ok_or(SensorError::ForeignTemplates)?;
        let mut answer = Verification::Unusable(RetryReason::NoHand);
        for number in 1..=Self::ATTEMPTS {
            observer(CaptureEvent::Begin { number, of: Self::ATTEMPTS });
            match self.take(deadline, observer)? {
                Taken::Palm(palm) if templates.iter().any(|template| palm.matches(template)) => {
                    observer(CaptureEvent::Accepted);
                    return Ok(Verification::Match);
                }
                Taken::Palm(_) => {
                    observer(CaptureEvent::NotRecognised);
                    answer = Verification::NoMatch;
                }
                Taken::Unusable(reason) => {
                    if answer != Verification::NoMatch {
                        answer = Verification::Unusable(reason);
                    }
                }
            }
        }
        Ok(answer)
    }

    fn enrol(
        &mut self,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError> {
        let mut templates: Vec<PalmTemplate> = Vec::new();
        let mut failure = EnrolError::Unusable(RetryReason::NoHand);
        for number in 1..=Self::ENROLMENT_CAPTURES {
            observer(CaptureEvent::Begin { number, of: Self::ENROLMENT_CAPTURES });
            match self.take(deadline, observer)? {
                Taken::Palm(palm) if templates.iter().all(|template| palm.matches(template)) => {
                    observer(CaptureEvent::Accepted);
                    templates.push(palm.template());
                    if templates.len() == usize::from(Self::TEMPLATES) {
                        return Ok(encode(&templates));
                    }
                }
                Taken::Palm(_) => {
                    observer(CaptureEvent::NotRecognised);
                    failure = EnrolError::Inconsistent;
                }
                Taken::Unusable(reason) => {
                    if !matches!(failure, EnrolError::Inconsistent) {
                        failure = EnrolError::Unusable(reason);
                    }
                }
            }
        }
        Err(failure)
    }
}

/// What the person should change so that the picture gets better.
fn advice(issue: QualityIssue) -> RetryReason {
    match issue {
        QualityIssue::NoHand => RetryReason::NoHand,
        QualityIssue::TooNear => RetryReason::TooNear,
        QualityIssue::TooFar => RetryReason::TooFar,
        QualityIssue::TooLeft => RetryReason::TooLeft,
        QualityIssue::TooRight => RetryReason::TooRight,
        QualityIssue::OffCentre => RetryReason::OffCentre,
        QualityIssue::TooDark => RetryReason::TooDark,
        QualityIssue::TooBright => RetryReason::TooBright,
        QualityIssue::Uneven => RetryReason::Tilted,
        QualityIssue::Blurred => RetryReason::Moving,
        // Whoever holds up an artefact need not know how it was noticed.
        QualityIssue::NoVeins | QualityIssue::Unnatural => RetryReason::NoVeins,
        // A later reason of the matcher can't be told the person in other words yet.
        _ => RetryReason::Covered,
    }
}

fn encode(templates: &[PalmTemplate]) -> EnrolledTemplates {
    let mut data = Zeroizing::new(Vec::with_capacity(templates.len() * PalmTemplate::ENCODED));
    for template in templates {
        data.extend_from_slice(&template.to_bytes());
    }
    EnrolledTemplates::new(TemplateFormat::PALM_VEIN_1, data)
}

fn decode(enrolled: &EnrolledTemplates) -> Option<Vec<PalmTemplate>> {
    if enrolled.format() != TemplateFormat::PALM_VEIN_1 || enrolled.data().is_empty() {
        return None;
    }
    enrolled.data().chunks(PalmTemplate::ENCODED).map(|bytes| PalmTemplate::from_bytes(bytes).ok()).collect()
}
