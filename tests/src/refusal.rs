//! What holds whenever a procedure is refused, whatever the reason.

use audit_log::{Actor, Entry, Phase};
use card_reader::CardReader;
use orchestrator::{Plan, ProcedureError, logbook};

use crate::checks::Broken;
use crate::stage::{OPERATOR, Stage};

/// The terminal at which refusals are tried.
const PLACE: usize = 0;

impl Stage {
    /// Runs a procedure that must be refused, for the resident of the stage.
    ///
    /// # Errors
    /// What does not hold of a refusal: card and authority are as before; the operator is logged off; begin, end with its
    /// reason, and log-off are in the log, which verifies; nothing personal is left.
    pub fn refused(&mut self, plan: Plan) -> Result<ProcedureError, Broken> {
        let number = self.resident.number.clone();
        self.refused_for(&number, plan, |reader| reader)
    }

    /// The same for any number, with something between the terminal and its reader.
    ///
    /// # Errors
    /// As [`Stage::refused`].
    pub fn refused_for(
        &mut self,
        number: &str,
        plan: Plan,
        wrap: impl FnOnce(Box<dyn CardReader>) -> Box<dyn CardReader>,
    ) -> Result<ProcedureError, Broken> {
        let before = (self.holdings(), self.entries(PLACE)?.len());
        let mut terminal = self.start_with(PLACE, wrap).map_err(|error| format!("no start: {error:?}"))?;
        terminal.log_on(OPERATOR).map_err(|error| format!("no log-on: {error:?}"))?;
        let Err(error) = terminal.run(number, plan) else { return Err("the procedure was not refused".into()) };
        match terminal.settle() {
            Err(ProcedureError::NotLoggedOn) => {}
            other => return Err(format!("still logged on: {other:?}")),
        }
        drop(terminal);

        let holdings = self.holdings();
        if holdings != before.0 {
            return Err(format!("something was half done: {:?} became {holdings:?}", before.0));
        }
        self.check_agreement(&[])?;
        self.check_accounted(PLACE)?;
        self.check_nothing_left()?;
        self.check_refusal_in_log(&self.entries(PLACE)?[before.1..], &error)?;
        Ok(error)
    }

    fn check_refusal_in_log(&self, entries: &[Entry], error: &ProcedureError) -> Result<(), Broken> {
        let events: Vec<_> = entries.iter().filter(|entry| entry.phase == Phase::Event).collect();
        let steps: Vec<_> = events.iter().map(|entry| entry.step.as_str()).filter(|step| *step != "view").collect();
        if steps != ["log-on", "begin", "end", "log-off"] {
            return Err(format!("the log tells {steps:?}"));
        }
        let end = events[events.len() - 2];
        if end.detail.as_ref().map(|detail| detail.as_str()) != Some(error.code()) {
            return Err(format!("the log gives {:?} as the reason of {error:?}", end.detail));
        }
        let operator = |entry: &&Entry| matches!(&entry.actor, Actor::Operator(id) if id.as_str() == OPERATOR);
        if !entries.iter().all(|entry| operator(&entry)) {
            return Err("an entry is not the operator's".into());
        }
        Ok(())
    }

    /// The entries in the log of the terminal at a place.
    ///
    /// # Errors
    /// If one is none.
    pub fn entries(&self, place: usize) -> Result<Vec<Entry>, Broken> {
        logbook::entries(&*crate::stage::folder(&self.disk(place))).map_err(|error| error.to_string())
    }
}
