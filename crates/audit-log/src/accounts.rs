//! The accounting: every intent has exactly one outcome after it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Code, Entry, Phase, ResidentReference};

/// An intent that has no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// Its index.
    pub index: u64,
    /// The procedure it belongs to.
    pub procedure: Option<Code>,
    /// What was about to be done.
    pub step: Code,
    /// Whom it is about.
    pub resident: Option<ResidentReference>,
}

/// An outcome that has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountingFault {
    /// The outcome is the second one of its intent.
    #[error("entry {outcome} is a second outcome of intent {intent}")]
    SecondOutcome {
        /// The intent's index.
        intent: u64,
        /// The second outcome's index.
        outcome: u64,
    },
    /// The outcome names an entry that is not an intent, or does not come before it.
    #[error("entry {outcome} is the outcome of {intent}, which is no intent before it")]
    NoSuchIntent {
        /// What it names.
        intent: u64,
        /// The outcome's index.
        outcome: u64,
    },
    /// The outcome is of another procedure, step or resident than its intent.
    #[error("entry {outcome} does not fit its intent {intent}")]
    Mismatch {
        /// The intent's index.
        intent: u64,
        /// The outcome's index.
        outcome: u64,
    },
}

/// Which intents are open after the entries so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    open: BTreeMap<u64, OpenIntent>,
    closed: BTreeSet<u64>,
}

impl Accounts {
    /// May the log go on with `entry`?
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), AccountingFault> {
        let Phase::Outcome { intent, .. } = entry.phase else { return Ok(()) };
        let outcome = entry.index;
        match self.open.get(&intent) {
            Some(open)
                if (&open.procedure, &open.step, open.resident) == (&entry.procedure, &entry.step, entry.resident) =>
            {
                Ok(())
            }
            Some(_) => Err(AccountingFault::Mismatch { intent, outcome }),
            None if self.closed.contains(&intent) => Err(AccountingFault::SecondOutcome { intent, outcome }),
            None => Err(AccountingFault::NoSuchIntent { intent, outcome }),
        }
    }

    /// Takes in an entry that [`check`](Self::check) has let pass.
    pub(crate) fn record(&mut self, entry: &Entry) {
        match entry.phase {
            Phase::Intent => {
                let intent = OpenIntent {
                    index: entry.index,
                    procedure: entry.procedure.clone(),
                    step: entry.step.clone(),
                    resident: entry.resident,
                };
                self.open.insert(entry.index, intent);
            }
            Phase::Outcome { intent, .. } => {
                self.open.remove(&intent);
                self.closed.insert(intent);
            }
            Phase::Event => {}
        }
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &OpenIntent> {
        self.open.values()
    }

    pub(crate) fn get(&self, intent: u64) -> Option<&OpenIntent> {
        self.open.get(&intent)
    }
}

/// The intents among `entries` that have no outcome.
///
/// # Errors
/// [`AccountingFault`] at the first outcome that has no place.
pub fn open_intents<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Vec<OpenIntent>, AccountingFault> {
    let mut accounts = Accounts::default();
    for entry in entries {
        accounts.check(entry)?;
        accounts.record(entry);
    }
    Ok(accounts.open.into_values().collect())
}
