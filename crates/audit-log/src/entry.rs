use std::fmt;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::{Code, NotACode, TreeHash};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Line", try_from = "Line")]
pub struct Entry {
    /// Its place in the log, from 0.
    pub index: u64,
    /// When it was written: UTC, whole milliseconds.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// In which procedure, if in one.
    pub procedure: Option<Code>,
    /// What is done.
    pub step: Code,
    /// Where in the doing this entry stands.
    pub phase: Phase,
    /// Whose data or card it is about, if anyone's.
    pub resident: Option<ResidentReference>,
    /// More about it: the reason of a refusal, say.
    pub detail: Option<Code>,
}

/// Who did what an entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// An operator, by 照合ID.
    Operator(Code),
    /// The program itself: at start-up, at recovery, when it locks.
    System,
}

/// Where an entry stands in the doing of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The step is about to be done. Durable before anything takes effect.
    Intent,
    /// The step has been done, or has not.
    Outcome {
        /// The index of the intent.
        intent: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// Something that has no effect outside the log: a view, a log-on.
    Event,
}

/// What became of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It took effect.
    Done,
    /// Somebody who may say so said no; it took no effect.
    Refused,
    /// It went wrong, and took no effect.
    Failed,
    /// Whether it took effect could not be learned.
    Unknown,
}

/// By what the log names a resident: an HMAC made in the HSM, that says nothing to those who can't ask the HSM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResidentReference(pub [u8; 32]);

impl fmt::Display for ResidentReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ResidentReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An entry that has no place in the log yet. [`Log::prepare`](crate::Log::prepare) gives it one.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub(crate) actor: Actor,
    pub(crate) procedure: Option<Code>,
    pub(crate) step: Code,
    pub(crate) phase: Phase,
    pub(crate) resident: Option<ResidentReference>,
    pub(crate) detail: Option<Code>,
}

impl NewEntry {
    /// `actor` is about to do `step`. Its outcome is made by [`Log::outcome`](crate::Log::outcome).
    #[must_use]
    pub fn intent(actor: Actor, step: Code) -> Self {
        Self { actor, procedure: None, step, phase: Phase::Intent, resident: None, detail: None }
    }

    /// `actor` has done `step`, which has no effect outside the log.
    #[must_use]
    pub fn event(actor: Actor, step: Code) -> Self {
        Self { phase: Phase::Event, ..Self::intent(actor, step) }
    }

    /// In this procedure.
    #[must_use]
    pub fn procedure(mut self, procedure: Code) -> Self {
        self.procedure = Some(procedure);
        self
    }

    /// About this resident.
    #[must_use]
    pub fn resident(mut self, resident: ResidentReference) -> Self {
        self.resident = Some(resident);
        self
    }

    /// With this detail.
    #[must_use]
    pub fn detail(mut self, detail: Code) -> Self {
        self.detail = Some(detail);
        self
    }

    pub(crate) fn at(self, index: u64, time: Timestamp) -> Entry {
        let milliseconds = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc);
        Entry {
            index,
            // The ends of the calendar can't be rounded; they have no fraction that would matter.
            time: time.round(milliseconds).unwrap_or(time),
            actor: self.actor,
            procedure: self.procedure,
            step: self.step,
            phase: self.phase,
            resident: self.resident,
            detail: self.detail,
        }
    }
}

/// Why a line is not an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The line is not JSON, or lacks what an entry has. The file is damaged, or is not a log.
    #[error("not an entry")]
    Syntax(#[from] serde_json::Error),
    /// The line means an entry, but is not written as this program writes it. Somebody else wrote it.
    #[error("not in canonical form")]
    NotCanonical,
}

impl Entry {
    /// The entry's line, without the newline: JSON in the canonical form of RFC 8785. Its bytes are what is hashed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "strings and numbers only: there is nothing that JSON can't say")]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an entry is JSON")
    }

    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// [`EntryError`] for anything but exactly what [`to_line`](Self::to_line) writes.
    pub fn from_line(line: &[u8]) -> Result<Self, EntryError> {
        let entry: Self = serde_json::from_slice(line)?;
        if entry.to_line().as_bytes() == line { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }

    /// The hash of the entry's leaf.
    #[must_use]
    pub fn leaf(&self) -> TreeHash {
        TreeHash::leaf(self.to_line().as_bytes())
    }
}

/// An entry as it is written. The fields stand in the order that RFC 8785 wants: by name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Code>,
    index: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    phase: LinePhase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    procedure: Option<Code>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resident: Option<String>,
    step: Code,
    time: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LinePhase {
    Intent,
    Outcome,
    Event,
}

const SYSTEM: &str = "system";
const OPERATOR: &str = "operator:";

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        let (phase, intent, outcome) = match entry.phase {
            Phase::Intent => (LinePhase::Intent, None, None),
            Phase::Outcome { intent, outcome } => (LinePhase::Outcome, Some(intent), Some(outcome)),
            Phase::Event => (LinePhase::Event, None, None),
        };
        Self {
            actor: match entry.actor {
                Actor::Operator(id) => format!("{OPERATOR}{id}"),
                Actor::System => SYSTEM.to_owned(),
            },
            detail: entry.detail,
            index: entry.index,
            intent,
            outcome,
            phase,
            procedure: entry.procedure,
            resident: entry.resident.map(|reference| reference.to_string()),
            step: entry.step,
            time: format!("{:.3}", entry.time),
        }
    }
}

/// Why a line's fields do not make an entry. Reaches callers inside [`EntryError::Syntax`].
#[derive(Debug, thiserror::Error)]
enum FieldError {
    #[error("unknown actor")]
    Actor(#[source] Option<NotACode>),
    #[error("the phase does not fit the intent and the outcome")]
    Phase,
    #[error("the resident's reference is not 64 hexadecimal digits")]
    Resident(#[source] hex::FromHexError),
    #[error("not a time")]
    Time(#[source] jiff::Error),
}

impl TryFrom<Line> for Entry {
    type Error = FieldError;

    fn try_from(line: Line) -> Result<Self, FieldError> {
        let resident = line.resident.map(|text| {
            let mut reference = [0; 32];
            hex::decode_to_slice(text, &mut reference).map(|()| ResidentReference(reference))
        });
        Ok(Self {
            index: line.index,
            time: line.time.parse().map_err(FieldError::Time)?,
            actor: match (line.actor.as_str(), line.actor.strip_prefix(OPERATOR)) {
                (SYSTEM, _) => Actor::System,
                (_, Some(id)) => Actor::Operator(Code::new(id).map_err(|error| FieldError::Actor(Some(error)))?),
                (_, None) => return Err(FieldError::Actor(None)),
            },
            procedure: line.procedure,
            step: line.step,
            phase: match (line.phase, line.intent, line.outcome) {
                (LinePhase::Intent, None, None) => Phase::Intent,
                (LinePhase::Outcome, Some(intent), Some(outcome)) => Phase::Outcome { intent, outcome },
                (LinePhase::Event, None, None) => Phase::Event,
                _ => return Err(FieldError::Phase),
            },
            resident: resident.transpose().map_err(FieldError::Resident)?,
            detail: line.detail,
        })
    }
}
