//! A palm reader that answers as it is told: these tests are about what the terminal makes of the answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use biometric::{
    CaptureEvent, EnrolError, EnrolledTemplates, PalmVerifier, SensorError, SensorIdentity, TemplateFormat,
    Verification,
};
use madoguchi_time::Deadline;
use zeroize::Zeroizing;

/// Length of the templates of one palm, in bytes.
const TEMPLATES: usize = 64;

/// What the palm readers of a stage will answer, and what they were asked.
#[derive(Clone, Default)]
pub struct Palms(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    answers: VecDeque<Result<Verification, SensorError>>,
    enrolled: u8,
    compared_with: Vec<Vec<u8>>,
}

impl Palms {
    /// What the next verification answers, after those that were set before. When nothing is left, every palm is the right one.
    pub fn answer_next(&self, answer: Result<Verification, SensorError>) {
        self.lock().answers.push_back(answer);
    }

    /// The templates with which palms were compared, in order.
    #[must_use]
    pub fn compared_with(&self) -> Vec<Vec<u8>> {
        self.lock().compared_with.clone()
    }

    /// How many palms were enrolled.
    #[must_use]
    pub fn enrolled(&self) -> u8 {
        self.lock().enrolled
    }

    /// A reader for one terminal.
    #[must_use]
    pub fn reader(&self) -> ScriptedPalmReader {
        ScriptedPalmReader {
            identity: SensorIdentity {
                manufacturer: "Madoguchi".into(),
                model: "scripted palm".into(),
                serial: "SIM-SCRIPTED".into(),
                firmware: "1".into(),
            },
            palms: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The [`PalmVerifier`] over [`Palms`].
pub struct ScriptedPalmReader {
    identity: SensorIdentity,
    palms: Palms,
}

impl PalmVerifier for ScriptedPalmReader {
    fn identity(&self) -> &SensorIdentity {
        &self.identity
    }

    fn verify(
        &mut self,
        enrolled: &EnrolledTemplates,
        _deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<Verification, SensorError> {
        observer(CaptureEvent::Begin { number: 1, of: 1 });
        let mut inner = self.palms.lock();
        inner.compared_with.push(enrolled.data().to_vec());
        let answer = inner.answers.pop_front().unwrap_or(Ok(Verification::Match));
        match answer {
            Ok(Verification::NoMatch) => observer(CaptureEvent::NotRecognised),
            Ok(Verification::Unusable(reason)) => observer(CaptureEvent::Retry(reason)),
            _ => {}
        }
        answer
    }

    fn enrol(
        &mut self,
        _deadline: Deadline,
        _observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError> {
        let mut inner = self.palms.lock();
        inner.enrolled += 1;
        Ok(EnrolledTemplates::new(TemplateFormat::PALM_VEIN_1, Zeroizing::new(vec![inner.enrolled; TEMPLATES])))
    }
}
