//! Who sits at the terminal: log-on by palm, a second person, lock after idling, log-off.

use std::time::Duration;

use biometric::{CaptureEvent, RetryReason, Verification};
use madoguchi_time::Deadline;

use super::{HSM, LOG_ON, ProgressSink, Terminal, millis};
use crate::error::ProcedureError;
use crate::logbook::What;
use crate::operators::{self, Operator};
use crate::progress::Progress;

/// That a second person has just shown a palm here. Good for one act.
#[derive(Debug)]
#[must_use = "an act of two persons wants to see it"]
pub struct SecondPerson {
    operator: Operator,
}

impl SecondPerson {
    /// Who it is.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }
}

/// Whose palm it was.
struct Proved {
    operator: Operator,
    captures: u32,
    elapsed: Duration,
}

impl Terminal {
    /// 照合情報認証: the user ID names the operator, the palm proves it. An unknown ID and a foreign palm look the same. Whoever
    /// was logged on before is logged off first.
    ///
    /// # Errors
    /// [`ProcedureError::LogOnRefused`], also for who was refused too often before and is locked, so that a stranger does not
    /// learn which IDs there are; [`ProcedureError::LogOnDelayed`] after too many refusals at this terminal;
    /// [`ProcedureError::NoUsableCapture`], or the sensor's.
    pub fn log_on(&mut self, user_id: &str) -> Result<(), ProcedureError> {
        self.log_off()?;
        let proved = self.prove(user_id, What::log_on);
        if proved.is_err() {
            self.log.acts(None);
            (self.progress)(&Progress::LogOnRefused);
        }
        let Proved { operator, captures, elapsed } = proved?;
        self.session.log_on(operator, self.ports.clock.now());
        (self.progress)(&Progress::LoggedOn { operator: user_id.into(), captures, elapsed_ms: millis(elapsed) });
        Ok(())
    }

    /// Another person than the one who is logged on shows a palm here, for an act that takes two. Persons are told apart by their
    /// 照合ID, whatever their roles.
    ///
    /// # Errors
    /// [`ProcedureError::NotLoggedOn`], [`ProcedureError::SecondPersonNeeded`] if it is the same person, and as
    /// [`Terminal::log_on`].
    pub fn second_person(&mut self, user_id: &str) -> Result<SecondPerson, ProcedureError> {
        self.lock_if_idle()?;
        let first = self.session.active(self.ports.clock.now(), self.site.idle_limit()).cloned();
        let first = first.ok_or(ProcedureError::NotLoggedOn)?;
        if first.user_id == user_id {
            return Err(ProcedureError::SecondPersonNeeded);
        }
        let proved = self.prove(user_id, What::second_person);
        self.log.acts(Some(&first.user_id));
        if proved.is_err() {
            (self.progress)(&Progress::LogOnRefused);
        }
        let Proved { operator, captures, elapsed } = proved?;
        // The first one was there meanwhile.
        let _ = self.session.active(self.ports.clock.now(), self.site.idle_limit());
        (self.progress)(&Progress::SecondPerson { operator: user_id.into(), captures, elapsed_ms: millis(elapsed) });
        Ok(SecondPerson { operator })
    }

    /// Takes a palm and notes what came of it, as `user_id`'s act.
    fn prove(&mut self, user_id: &str, what: fn(&'static str) -> What<'static>) -> Result<Proved, ProcedureError> {
        let began = self.ports.clock.now();
        let deadline = self.ports.clock.deadline_in(LOG_ON);
        let known = operators::find(&*self.ports.state, self.log.retirements(), user_id);
        let is_locked = self.is_locked(known.as_ref().ok().and_then(Option::as_ref))?;
        let matched = match self.log.attempts().wait(self.ports.clock.wall()) {
            Some(wait) => Err(ProcedureError::LogOnDelayed { wait }),
            None => self.match_palm(user_id, is_locked, deadline),
        };
        let elapsed = self.ports.clock.now().since(began);
        let outcome = match &matched {
            Ok(_) => "done",
            Err(ProcedureError::LogOnRefused) if is_locked => "locked",
            Err(ProcedureError::LogOnRefused) => "refused",
            Err(ProcedureError::LogOnDelayed { .. }) => "delayed",
            Err(ProcedureError::NoUsableCapture(_)) => "no-usable-capture",
            Err(_) => "failed",
        };
        // Only a known ID is logged: what a stranger types may be anything, a card number or a password.
        let known = known.ok().flatten();
        self.log.acts(known.as_ref().map(|operator| operator.user_id.as_str()));
        let noted = self.log.event(&mut *self.ports.state, what(outcome), self.ports.clock.wall());
        // A refusal that is cut off the log shows: it is under a checkpoint.
        let noted = match outcome {
            "refused" | "locked" => noted.and_then(|()| {
                let deadline = self.ports.clock.deadline_in(HSM);
                self.log.checkpoint(&mut *self.ports.state, &*self.ports.hsm, deadline).map(drop)
            }),
            _ => noted,
        };
        // The first error wins.
        let (operator, captures) = matched?;
        noted?;
        Ok(Proved { operator, captures, elapsed })
    }

    /// Has this operator been refused too often? Somebody whom nobody could release is locked for a time only.
    pub(super) fn is_locked(&self, operator: Option<&Operator>) -> Result<bool, ProcedureError> {
        let attempts = self.log.attempts();
        let limit = self.site.refusals_until_locked;
        let Some(operator) = operator.filter(|operator| attempts.has_locked(&operator.user_id, limit)) else {
            return Ok(false);
        };
        if !operator.is_active_manager() || !attempts.has_lapsed(&operator.user_id, self.ports.clock.wall()) {
            return Ok(true);
        }
        let others = operators::all(&*self.ports.state, self.log.retirements())?;
        let mut managers = others.filter_map(Result::ok).filter(Operator::is_active_manager);
        Ok(managers.any(|other| !attempts.has_locked(&other.user_id, limit)))
    }

    fn match_palm(
        &mut self,
        user_id: &str,
        is_locked: bool,
        deadline: Deadline,
    ) -> Result<(Operator, u32), ProcedureError> {
        let known = operators::find(&*self.ports.state, self.log.retirements(), user_id)?
            .filter(|operator| operator.retired_at.is_none());
        // A stranger's ID gets a capture like any other, compared with somebody's palm and refused whatever comes of it.
        let compared_with = match &known {
            Some(operator) => Some(operator.user_id.clone()),
            None => {
                let all = operators::all(&*self.ports.state, self.log.retirements())?.collect::<Result<Vec<_>, _>>()?;
                all.into_iter().find(|operator| operator.retired_at.is_none()).map(|operator| operator.user_id)
            }
        };
        let Some(compared_with) = compared_with else { return Err(ProcedureError::LogOnRefused) };
        let templates = operators::templates(&*self.ports.state, &*self.ports.hsm, &compared_with, deadline)?
            .ok_or(ProcedureError::LogOnRefused)?;
        let mut captures = 0;
        let verdict = self.ports.verifier.verify(&templates, deadline, &mut |event| {
            watch_capture(&event, &mut captures, &mut self.progress);
        })?;
        match (verdict, known) {
            (Verification::Match, Some(operator)) if !is_locked => Ok((operator, captures)),
            (Verification::Unusable(reason), _) => Err(ProcedureError::NoUsableCapture(reason_key(reason).into())),
            _ => Err(ProcedureError::LogOnRefused),
        }
    }

    /// Locks the screen if nobody has done anything for too long. Every procedure asks first; whoever shows a screen asks now
    /// and then.
    ///
    /// # Errors
    /// If the log can't be written; the screen is locked all the same.
    pub fn lock_if_idle(&mut self) -> Result<bool, ProcedureError> {
        let locked = self.session.lock_if_idle(self.ports.clock.now(), self.site.idle_limit());
        if locked {
            self.log.event(&mut *self.ports.state, What::locked(), self.ports.clock.wall())?;
        }
        Ok(locked)
    }

    /// Logs the operator off. No error if nobody is logged on.
    ///
    /// # Errors
    /// If the log can't be written; nobody is logged on all the same.
    pub fn log_off(&mut self) -> Result<(), ProcedureError> {
        if self.session.log_off().is_some() {
            let noted = self.log.event(&mut *self.ports.state, What::log_off(), self.ports.clock.wall());
            self.log.acts(None);
            noted?;
            let deadline = self.ports.clock.deadline_in(HSM);
            self.log.checkpoint(&mut *self.ports.state, &*self.ports.hsm, deadline)?;
            (self.progress)(&Progress::LoggedOff);
        }
        Ok(())
    }
}

/// A reason as a key of the message catalogue.
fn reason_key(reason: RetryReason) -> &'static str {
    match reason {
        RetryReason::NoHand => "no-hand",
        RetryReason::TooNear => "too-near",
        RetryReason::TooFar => "too-far",
        RetryReason::TooLeft => "too-left",
        RetryReason::TooRight => "too-right",
        RetryReason::OffCentre => "off-centre",
        RetryReason::Moving => "moving",
        RetryReason::Tilted => "tilted",
        RetryReason::TooDark => "too-dark",
        RetryReason::TooBright => "too-bright",
        RetryReason::Covered => "covered",
        RetryReason::NoVeins => "no-veins",
        _ => "unusable",
    }
}

pub(super) fn watch_capture(event: &CaptureEvent, captures: &mut u32, progress: &mut ProgressSink) {
    match event {
        CaptureEvent::Begin { .. } => *captures += 1,
        CaptureEvent::Retry(reason) => {
            progress(&Progress::CaptureRetried { capture: *captures, reason: reason_key(*reason).into() });
        }
        CaptureEvent::NotRecognised => {
            progress(&Progress::CaptureRetried { capture: *captures, reason: "not-recognised".into() });
        }
        _ => {}
    }
}
