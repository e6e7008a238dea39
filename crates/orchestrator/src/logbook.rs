//! The terminal's audit log on disk: entries durable one by one, checkpoints signed by the HSM.

use std::collections::BTreeMap;

use audit_log::{
    Actor, AddCheckpoint, AppendError, Certified, Code, Entry, Log, LogFault, LogKey, NewEntry, NotACode, Outcome,
    Phase, ResidentReference, SignedCheckpoint,
};
use authority_link::state::{LogAlarm, LogAlarmKind, WitnessState};
use hsm::{Hsm, KeyName, SignatureAlgorithm};
use jiff::Timestamp;
use jpki::CertificateKind;
use madoguchi_time::Deadline;
use serde::{Deserialize, Serialize};

use crate::attempts::Attempts;
use crate::error::ProcedureError;
use crate::state::{StateError, StateFolder};

const ENTRIES: &str = "log/entries.jsonl";
const CHECKPOINT: &str = "log/checkpoint";
/// How many entries the authority had witnessed when it said so last. Only saves a message: if it is gone or wrong, the authority
/// says what is right.
const WITNESSED: &str = "log/witnessed";

/// An intent whose outcome is still to be written.
#[derive(Debug)]
#[must_use = "every intent needs its outcome"]
pub(crate) struct Intent(u64);

/// The log, opened.
#[derive(Debug)]
pub(crate) struct LogBook {
    log: Log,
    key: LogKey,
    actor: Actor,
    /// How many entries the witness has seen, as far as is known here: what the proofs begin with. If it is something else, the
    /// witness says so.
    witnessed: u64,
    retirements: Retirements,
    attempts: Attempts,
    weaker_modes: WeakerModes,
    /// Length in bytes of what is durably written.
    length: u64,
    /// An append failed: what follows `length` is to be cut off before the next one.
    is_torn: bool,
}

/// What `log verify` found. Nothing personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogVerdict {
    /// How many entries there are.
    pub entries: u64,
    /// Is every entry as it was written, is the log what the witness has seen, and has the witness never been shown another?
    pub verified: bool,
    /// How many entries the witness has seen; none if it was not asked or has seen none.
    pub witnessed: Option<u64>,
    /// What was found wrong, in English, for diagnosis.
    pub fault: Option<String>,
    /// What was found wrong, as a key of the message catalogue.
    pub code: Option<&'static str>,
}

impl LogBook {
    /// Opens the log, verifies it against its own checkpoint, and cuts a torn last line, which was never acknowledged.
    pub(crate) fn open(
        state: &mut dyn StateFolder,
        hsm: &dyn Hsm,
        terminal: &str,
        deadline: Deadline,
    ) -> Result<Self, ProcedureError> {
        let key = log_key(hsm, terminal, deadline)?;
        let lines = state.read(ENTRIES)?;
        let lines = lines.as_deref().map_or(&[][..], Vec::as_slice);
        let own = own_checkpoint(state, &key)?;
        match audit_log::verify(lines, own.as_ref(), None) {
            // Open intents are what recovery is for.
            Ok(_) | Err(LogFault::OpenIntents(_)) => {}
            Err(fault) => return Err(fault.into()),
        }
        let (mut retirements, mut attempts) = (Retirements::default(), Attempts::default());
        let mut weaker_modes = WeakerModes::default();
        let take = |entry: Entry| {
            retirements.take(&entry);
            attempts.take(&entry);
            weaker_modes.take(&entry);
        };
        let (log, torn) = Log::from_lines_with(lines, take).map_err(LogFault::from)?;
        let length = torn.map_or(lines.len(), |torn| torn.offset) as u64;
        if torn.is_some() {
            state.truncate(ENTRIES, length)?;
        }
        let witnessed = read_witnessed(state)?.unwrap_or_default();
        let mut book = Self {
            log,
            key,
            actor: Actor::System,
            witnessed,
            retirements,
            attempts,
            weaker_modes,
            length,
            is_torn: false,
        };
        // The log gets a checkpoint before its first entry, so that a missing one shows.
        if own.is_none() {
            book.checkpoint(state, hsm, deadline)?;
        }
        Ok(book)
    }

    /// Has it no entry yet?
    pub(crate) fn is_empty(&self) -> bool {
        self.log.size() == 0
    }

    /// Who acts from now on.
    pub(crate) fn acts(&mut self, operator: Option<&str>) {
        self.actor = operator.and_then(|id| Code::new(id).ok()).map_or(Actor::System, Actor::Operator);
    }

    /// Closes what an interrupted run left open: whether it took effect is found out by looking at the card. The answer is
    /// how many intents there were.
    pub(crate) fn close_interrupted(
        &mut self,
        state: &mut dyn StateFolder,
        at: Timestamp,
    ) -> Result<usize, ProcedureError> {
        let open: Vec<u64> = self.log.open_intents().map(|intent| intent.index).collect();
        for intent in &open {
            let entry = self.log.outcome(*intent, Actor::System, Outcome::Unknown).map_err(out_of_step)?;
            self.append(state, entry.detail(Code::literal("interrupted")), at)?;
        }
        Ok(open.len())
    }

    /// Notes what the HSM does in a weaker way than it should, if it is not what was noted last: so the log says since when.
    pub(crate) fn note_weaker_modes(
        &mut self,
        state: &mut dyn StateFolder,
        hsm: &dyn Hsm,
        at: Timestamp,
    ) -> Result<(), ProcedureError> {
        let modes = hsm.weaker_modes();
        let modes = if modes.is_empty() { WeakerModes::NONE.to_owned() } else { modes.join(".") };
        if modes == self.weaker_modes.0 {
            return Ok(());
        }
        self.event(state, What::weaker_modes(&modes), at)
    }

    /// Something that has no effect outside the log.
    pub(crate) fn event(
        &mut self,
        state: &mut dyn StateFolder,
        what: What<'_>,
        at: Timestamp,
    ) -> Result<(), ProcedureError> {
        let entry = what.entry(self.actor.clone(), NewEntry::event)?;
        self.append(state, entry, at).map(drop)
    }

    /// Something is about to take effect. Durable when this returns.
    pub(crate) fn intend(
        &mut self,
        state: &mut dyn StateFolder,
        what: What<'_>,
        at: Timestamp,
    ) -> Result<Intent, ProcedureError> {
        let entry = what.entry(self.actor.clone(), NewEntry::intent)?;
        Ok(Intent(self.append(state, entry, at)?))
    }

    /// What became of it.
    pub(crate) fn close(
        &mut self,
        state: &mut dyn StateFolder,
        intent: Intent,
        outcome: Outcome,
        detail: Option<&str>,
        at: Timestamp,
    ) -> Result<(), ProcedureError> {
        let entry = self.log.outcome(intent.0, self.actor.clone(), outcome).map_err(out_of_step)?;
        let entry = match detail {
            Some(detail) => entry.detail(Code::new(detail).map_err(not_a_code)?),
            None => entry,
        };
        self.append(state, entry, at).map(drop)
    }

    /// Signs what the log is now, and keeps it.
    pub(crate) fn checkpoint(
        &mut self,
        state: &mut dyn StateFolder,
        hsm: &dyn Hsm,
        deadline: Deadline,
    ) -> Result<SignedCheckpoint, ProcedureError> {
        let key = KeyName::new(KeyName::LOG_SIGNING);
        let size = self.log.size();
        let root = self.log.tree().root(size).ok_or_else(|| damaged_log("no root"))?;
        let signed = SignedCheckpoint::sign(size, root, &self.key, |text| {
            hsm.sign(&key, SignatureAlgorithm::EcdsaP256Sha256, text, deadline)
        })?;
        state.replace(CHECKPOINT, signed.to_string().as_bytes())?;
        Ok(signed)
    }

    /// What the authority is shown: a checkpoint, and the proof that it continues what the authority has witnessed.
    pub(crate) fn shown(&self, checkpoint: &SignedCheckpoint) -> String {
        AddCheckpoint::new(self.witnessed, self.log.tree(), checkpoint.clone()).to_string()
    }

    /// The authority has said what it has witnessed.
    pub(crate) fn told(&mut self, witness: &WitnessState) {
        if witness.size < self.witnessed {
            let (before, now) = (self.witnessed, witness.size);
            tracing::warn!(
                before,
                now,
                "the authority has seen less of this terminal's log than it said: an older copy of it, or a late answer"
            );
        }
        self.witnessed = witness.size;
        if let Some(alarm) = &witness.alarm {
            tracing::warn!(fault = %alarm_text(alarm), "the authority has an alarm about this terminal's log");
        }
    }

    /// Keeps what the authority has said, for the next start.
    pub(crate) fn keep_witnessed(&self, state: &mut dyn StateFolder) -> Result<(), StateError> {
        if read_witnessed(state)? == Some(self.witnessed) {
            return Ok(());
        }
        state.replace(WITNESSED, self.witnessed.to_string().as_bytes())
    }

    /// Who was retired, and when.
    pub(crate) fn retirements(&self) -> &Retirements {
        &self.retirements
    }

    /// The clock says so much. To be told at the start.
    pub(crate) fn starts_at(&mut self, now: Timestamp) {
        self.attempts.not_after(now);
    }

    /// Who was refused at log-on.
    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Verifies the log as it is on disk, against its checkpoint and what the witness has.
    pub(crate) fn verify(&self, state: &dyn StateFolder, witness: &Testimony) -> Result<LogVerdict, ProcedureError> {
        let verdict = verify(state, &self.key, witness.checkpoint.as_deref())?;
        Ok(match &witness.alarm {
            // What is wrong now weighs more than what was.
            Some(alarm) if verdict.verified => {
                LogVerdict { verified: false, code: Some("alarm-on-record"), fault: Some(alarm_text(alarm)), ..verdict }
            }
            _ => verdict,
        })
    }

    /// The line is durable before the tree has it.
    fn append(&mut self, state: &mut dyn StateFolder, entry: NewEntry, at: Timestamp) -> Result<u64, ProcedureError> {
        if self.is_torn {
            state.truncate(ENTRIES, self.length)?;
            self.is_torn = false;
        }
        let prepared = self.log.prepare(entry, at).map_err(out_of_step)?;
        let line = prepared.line().as_bytes();
        self.is_torn = true;
        state.append(ENTRIES, line)?;
        self.is_torn = false;
        self.length += line.len() as u64;
        let entry = self.log.commit(prepared).map_err(out_of_step)?;
        self.retirements.take(&entry);
        self.attempts.take(&entry);
        self.weaker_modes.take(&entry);
        Ok(entry.index)
    }
}

/// What the witness knows of this log.
#[derive(Debug)]
pub(crate) struct Testimony {
    /// The checkpoint that it saw last; none if it has seen none.
    pub(crate) checkpoint: Option<String>,
    /// Somebody has shown it a log that was not this one, and nobody has looked into that.
    pub(crate) alarm: Option<LogAlarm>,
}

/// Who was retired by the log, whatever the operators' folder says: a record that was put back does not bring its operator back.
#[derive(Debug, Default)]
pub(crate) struct Retirements {
    /// Operators by the index of the intent to retire them.
    intended: BTreeMap<u64, Code>,
    retired: BTreeMap<String, Timestamp>,
}

impl Retirements {
    /// When this operator was retired, if so.
    pub(crate) fn of(&self, user_id: &str) -> Option<Timestamp> {
        self.retired.get(user_id).copied()
    }

    /// Who is retired.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.retired.keys().map(String::as_str)
    }

    pub(crate) fn take(&mut self, entry: &Entry) {
        if entry.step.as_str() != What::RETIRE_OPERATOR {
            return;
        }
        match (entry.phase, &entry.detail) {
            (Phase::Intent, Some(user_id)) => {
                self.intended.insert(entry.index, user_id.clone());
            }
            // Who was to be retired when the power went is retired: it was decided.
            (Phase::Outcome { intent, outcome: Outcome::Done | Outcome::Unknown }, _) => {
                if let Some(user_id) = self.intended.remove(&intent) {
                    self.retired.entry(user_id.to_string()).or_insert(entry.time);
                }
            }
            _ => {}
        }
    }
}

/// What the HSM does in a weaker way than it should, as it was noted last.
#[derive(Debug)]
struct WeakerModes(String);

impl WeakerModes {
    /// An HSM that does everything as it should.
    const NONE: &'static str = "none";

    fn take(&mut self, entry: &Entry) {
        if let (What::WEAKER_MODES, Some(detail)) = (entry.step.as_str(), &entry.detail) {
            self.0 = detail.to_string();
        }
    }
}

impl Default for WeakerModes {
    fn default() -> Self {
        Self(Self::NONE.to_owned())
    }
}

/// Is there a log on disk, even one without entries?
pub(crate) fn has_begun(state: &dyn StateFolder) -> Result<bool, StateError> {
    Ok(state.read(ENTRIES)?.is_some() || state.read(CHECKPOINT)?.is_some())
}

/// The entries of the log as they are on disk, line by line, not verified.
///
/// # Errors
/// If the file can't be read or a line is not an entry.
pub fn entries(state: &dyn StateFolder) -> Result<Vec<audit_log::Entry>, ProcedureError> {
    let Some(lines) = state.read(ENTRIES)? else { return Ok(Vec::new()) };
    let whole = lines.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    whole
        .enumerate()
        .map(|(index, line)| {
            let index = index as u64;
            audit_log::Entry::from_line(line).map_err(|source| LogFault::Malformed { index, source }.into())
        })
        .collect()
}

/// Verifies the log as it is on disk, against its checkpoint and what the witness has. `key` is the log's, as the HSM has it
/// or as an auditor kept it.
///
/// # Errors
/// If the files can't be read; what is wrong with the log is in the verdict.
pub fn verify(state: &dyn StateFolder, key: &LogKey, witnessed: Option<&str>) -> Result<LogVerdict, ProcedureError> {
    let lines = state.read(ENTRIES)?;
    let lines = lines.as_deref().map_or(&[][..], Vec::as_slice);
    let own = own_checkpoint(state, key)?;
    let witness = witnessed.map(|text| certified(text, key)).transpose()?;
    Ok(match audit_log::verify(lines, own.as_ref(), witness.as_ref()) {
        Ok(report) => {
            LogVerdict { entries: report.entries, verified: true, witnessed: report.witnessed, fault: None, code: None }
        }
        Err(fault) => LogVerdict {
            // Whole lines: of a damaged log, nobody knows how many entries it has.
            entries: lines.iter().filter(|byte| **byte == b'\n').count() as u64,
            verified: false,
            witnessed: None,
            code: Some(fault_code(&fault)),
            fault: Some(fault.to_string()),
        },
    })
}

/// What an entry is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct What<'a> {
    step: &'a str,
    procedure: Option<&'a str>,
    resident: Option<[u8; 32]>,
    detail: Option<&'a str>,
}

impl<'a> What<'a> {
    /// The step of registering an operator.
    pub(crate) const ENROL_OPERATOR: &'static str = "enrol-operator";
    /// The step of making a key in the HSM.
    pub(crate) const CREATE_KEY: &'static str = "create-key";
    /// A key that is in the HSM already when the log begins.
    pub(crate) const FIND_KEY: &'static str = "find-key";
    /// The step of destroying a key in the HSM.
    pub(crate) const RETIRE_KEY: &'static str = "retire-key";
    /// The HSM was tried, and gave no key away.
    pub(crate) const PROVE_HONESTY: &'static str = "prove-honesty";
    /// A key ceremony is over; the detail is the SHA-256 of its record.
    pub(crate) const KEY_CEREMONY: &'static str = "key-ceremony";
    /// The step of retiring an operator.
    pub(crate) const RETIRE_OPERATOR: &'static str = "retire-operator";
    /// The step of releasing an operator who was refused too often.
    pub(crate) const RELEASE_OPERATOR: &'static str = "release-operator";
    /// What the HSM does in a weaker way than it should.
    const WEAKER_MODES: &'static str = "hsm-weaker-modes";
    /// The step of a log-on.
    pub(crate) const LOG_ON: &'static str = "log-on";
    /// The step of a second person's showing a palm.
    pub(crate) const SECOND_PERSON: &'static str = "second-person";

    /// A log-on, and what came of it.
    pub(crate) fn log_on(outcome: &'a str) -> Self {
        Self { step: Self::LOG_ON, procedure: None, resident: None, detail: Some(outcome) }
    }

    /// A second person shows a palm, and what came of it.
    pub(crate) fn second_person(outcome: &'a str) -> Self {
        Self { step: Self::SECOND_PERSON, procedure: None, resident: None, detail: Some(outcome) }
    }

    /// What the HSM does in a weaker way than it should: codes with points between them.
    fn weaker_modes(modes: &'a str) -> Self {
        Self { step: Self::WEAKER_MODES, procedure: None, resident: None, detail: Some(modes) }
    }

    /// The operator logs off.
    pub(crate) fn log_off() -> Self {
        Self { step: "log-off", procedure: None, resident: None, detail: None }
    }

    /// The screen locks.
    pub(crate) fn locked() -> Self {
        Self { step: "lock", procedure: None, resident: None, detail: None }
    }

    /// A procedure begins.
    pub(crate) fn begun(procedure: &'a str) -> Self {
        Self { step: "begin", procedure: Some(procedure), resident: None, detail: None }
    }

    /// A procedure ends.
    pub(crate) fn ended(procedure: &'a str, how: &'a str) -> Self {
        Self { step: "end", procedure: Some(procedure), resident: None, detail: Some(how) }
    }

    /// A resident's data are about to be looked at.
    pub(crate) fn viewed(procedure: &'a str, resident: [u8; 32]) -> Self {
        Self { step: "view", procedure: Some(procedure), resident: Some(resident), detail: None }
    }

    /// A step of a procedure.
    pub(crate) fn step(procedure: &'a str, kind: Option<CertificateKind>, step: &'a str) -> Self {
        let detail = kind.map(|kind| match kind {
            CertificateKind::Signature => "signature",
            CertificateKind::Authentication => "authentication",
        });
        Self { step, procedure: Some(procedure), resident: None, detail }
    }

    /// The static keys of one version are changed on a card.
    pub(crate) fn keys(procedure: &'a str, step: &'a str, version: &'a str) -> Self {
        Self { step, procedure: Some(procedure), resident: None, detail: Some(version) }
    }

    /// Something is done to an operator's entry.
    pub(crate) fn operator(step: &'a str, user_id: &'a str) -> Self {
        Self { step, procedure: None, resident: None, detail: Some(user_id) }
    }

    /// Something is done to a key of the HSM, or to all of them.
    pub(crate) fn key(step: &'a str, detail: &'a str) -> Self {
        Self { step, procedure: None, resident: None, detail: Some(detail) }
    }

    fn entry(self, actor: Actor, make: fn(Actor, Code) -> NewEntry) -> Result<NewEntry, ProcedureError> {
        let mut entry = make(actor, Code::new(self.step).map_err(not_a_code)?);
        if let Some(procedure) = self.procedure {
            entry = entry.procedure(Code::new(procedure).map_err(not_a_code)?);
        }
        if let Some(resident) = self.resident {
            entry = entry.resident(ResidentReference(resident));
        }
        if let Some(detail) = self.detail {
            entry = entry.detail(Code::new(detail).map_err(not_a_code)?);
        }
        Ok(entry)
    }
}

fn log_key(hsm: &dyn Hsm, terminal: &str, deadline: Deadline) -> Result<LogKey, ProcedureError> {
    let spki = hsm.public_key(&KeyName::new(KeyName::LOG_SIGNING), deadline)?;
    LogKey::new(terminal, &spki).map_err(|fault| damaged(&fault))
}

fn read_witnessed(state: &dyn StateFolder) -> Result<Option<u64>, StateError> {
    let content = state.read(WITNESSED)?;
    Ok(content.and_then(|content| std::str::from_utf8(&content).ok()?.trim().parse().ok()))
}

fn own_checkpoint(state: &dyn StateFolder, key: &LogKey) -> Result<Option<Certified>, ProcedureError> {
    let Some(content) = state.read(CHECKPOINT)? else { return Ok(None) };
    let text = std::str::from_utf8(&content).map_err(|fault| damaged(&fault))?;
    certified(text, key).map(Some)
}

fn certified(text: &str, key: &LogKey) -> Result<Certified, ProcedureError> {
    let checkpoint: SignedCheckpoint = text.parse().map_err(|fault| damaged(&fault))?;
    Ok(Certified { checkpoint, key: key.clone() })
}

fn alarm_text(alarm: &LogAlarm) -> String {
    let LogAlarm { kind, witnessed, offered, raised_at } = alarm;
    let what = match kind {
        LogAlarmKind::RolledBack => format!("a log of {offered} entries, fewer than it had,"),
        LogAlarmKind::Forked => format!("another log, of {offered} entries,"),
        LogAlarmKind::KeyReplaced => "a log under another key".into(),
    };
    format!(
        "at {raised_at} the authority, which had witnessed {witnessed} entries, was shown {what} in this terminal's name"
    )
}

fn damaged(fault: &dyn std::error::Error) -> ProcedureError {
    StateError::Damaged { file: CHECKPOINT.into(), problem: fault.to_string() }.into()
}

fn out_of_step(error: AppendError) -> ProcedureError {
    damaged_log(&error.to_string())
}

fn not_a_code(error: NotACode) -> ProcedureError {
    damaged_log(&error.to_string())
}

fn damaged_log(problem: &str) -> ProcedureError {
    StateError::Damaged { file: ENTRIES.into(), problem: problem.into() }.into()
}

fn fault_code(fault: &LogFault) -> &'static str {
    match fault {
        LogFault::Malformed { .. } => "malformed",
        LogFault::Misplaced { .. } => "misplaced",
        LogFault::Changed { .. } => "changed",
        LogFault::Truncated { .. } => "truncated",
        LogFault::RolledBack { .. } => "rolled-back",
        LogFault::KeyReplaced { .. } => "key-replaced",
        LogFault::Forged(_) => "forged",
        LogFault::OtherLog { .. } => "other-log",
        LogFault::NotAsWitnessed { .. } => "not-as-witnessed",
        LogFault::NoCheckpoint { .. } => "no-checkpoint",
        LogFault::Accounting(_) => "accounting",
        LogFault::OpenIntents(_) => "open-intents",
        _ => "unknown",
    }
}
