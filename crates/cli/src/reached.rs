//! How far a procedure came that ended early.

use std::io;

use jpki::CertificateKind;
use orchestrator::{Progress, Settlement, Step};
use serde::Serialize;

use crate::messages::Messages;
use crate::screen::{Entry, Mark, Screen};
use crate::view::step_key;

/// The last step that is done, of each kind of certificate, in the order of issue. PINs are not counted: they stay on the card, and are
/// set anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reached(Vec<ReachedStep>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct ReachedStep {
    kind: CertificateKind,
    step: Step,
    /// Is the certificate on the card, and valid?
    issued: bool,
}

impl Reached {
    /// Follows what happens.
    pub fn observe(&mut self, progress: &Progress) {
        match progress {
            Progress::StepDone { step: Step::Pin, .. } => {}
            Progress::StepDone { kind, step, .. } => self.note(*kind, *step),
            // What was lost was done after all.
            Progress::Settled { kind, how: Settlement::Committed | Settlement::ConfirmedAndCommitted } => {
                self.note(*kind, Step::Commit);
            }
            Progress::Settled { kind, how: Settlement::Discarded } => self.0.retain(|reached| reached.kind != *kind),
            _ => {}
        }
    }

    fn note(&mut self, kind: CertificateKind, step: Step) {
        // The commit comes when the certificate is valid already, on every kind of card.
        let issued = step == Step::Commit;
        match self.0.iter_mut().find(|reached| reached.kind == kind) {
            Some(reached) => *reached = ReachedStep { kind, step, issued: reached.issued || issued },
            None => self.0.push(ReachedStep { kind, step, issued }),
        }
    }

    /// Has nothing been done?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows it under a failure.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        for ReachedStep { kind, step, issued } in &self.0 {
            let text = if *issued {
                messages.get("progress-reached-issued")
            } else {
                messages.text("progress-reached-step", &[("step", messages.get(step_key(*step)).into())])
            };
            screen.entry(if *issued { Mark::Done } else { Mark::Plain }, &Entry::new(messages.kind(*kind), [text]))?;
        }
        Ok(())
    }
}
