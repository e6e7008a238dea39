//! Key ceremonies at a terminal: accounted for in the log, their records kept in the state folder.

use std::time::Duration;

use audit_log::Outcome;
use authority_link::Purpose;
use hsm::custody::{CustodyError, HeldKey};
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use jiff::Timestamp;
use key_ceremony::{
    Act, CeremonyError, Deed, Examination, Installation, KeyEntry, KeyFingerprint, Person, PersonsProof, Record, Sealed,
};
use madoguchi_time::{Clock, Deadline};
use serde::Serialize;

use crate::error::ProcedureError;
use crate::identity::{self, IdentityError};
use crate::logbook::{self, LogBook, What};
use crate::operators;
use crate::site::SiteConfig;
use crate::state::{StateError, StateFolder};

/// Where the records are.
const FOLDER: &str = "ceremonies";
/// How long the HSM may take for a ceremony: it is tried with keys of every kind, and RSA keys take their time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A ceremony that was held, with its record in the state folder.
#[derive(Clone, Debug)]
pub struct Ceremony {
    /// The record. Its hash is in the log.
    pub sealed: Sealed,
    /// The record's file, relative to the state folder.
    pub record_file: String,
    /// The page to be signed, relative to the state folder.
    pub page_file: String,
}

/// A key in the HSM, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedKey {
    /// Its name.
    pub name: String,
    /// Its kind, by its stable name.
    pub kind: String,
    /// How it got into the HSM: `made-inside`, `brought-in`, `unknown`.
    pub origin: String,
    /// When it was made, if a record of this terminal says so.
    pub created_at: Option<Timestamp>,
    /// By what it is known.
    pub fingerprint: KeyFingerprint,
    /// What the HSM says of its protection.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Makes the keys of a new terminal, in the presence of two persons. Its operators are still to be enrolled, and can't be before there
/// are keys: so the two say who they are, and the record says that nobody has proved it.
///
/// What was interrupted is gone on with: keys that are there are not made again.
///
/// # Errors
/// [`ProcedureError::NotAllowed`] if anybody was ever enrolled: then two of them show their palms
/// ([`Terminal::complete_keys`](crate::Terminal::complete_keys)). [`ProcedureError::Keys`].
pub fn set_up_keys(
    state: &mut dyn StateFolder,
    custody: &dyn KeyCustody,
    clock: &dyn Clock,
    persons: [&str; 2],
    is_simulated: bool,
) -> Result<Ceremony, ProcedureError> {
    state.lock()?;
    let site = SiteConfig::load(state)?;
    if !operators::nobody_was_ever_enrolled(state)? {
        return Err(ProcedureError::NotAllowed);
    }
    let persons = Person::declared(persons).map_err(ProcedureError::Keys)?;
    let deadline = clock.deadline_in(PATIENCE);
    let installation = installation(state, &site, custody, is_simulated, deadline)?;
    let record = Record::begin(Act::Init, &installation, custody, persons, PersonsProof::Declared, clock.wall());
    let found = key_ceremony::examine(custody, &installation, deadline)?;

    // The log can't be opened without the key that signs it. So this one is noted when it has been made, not before.
    let log_key = KeyName::new(KeyName::LOG_SIGNING);
    let makes_log_key = found.missing.iter().find(|(name, _)| *name == log_key);
    let made = match makes_log_key {
        Some(_) if logbook::has_begun(state)? => return Err(CeremonyError::LogKeyGone.into()),
        Some((name, kind)) => Some(key_ceremony::create(custody, name, *kind, deadline).map_err(CeremonyError::from)?),
        None => None,
    };
    let mut log = LogBook::open(state, custody, &site.terminal, deadline)?;
    log.close_interrupted(state, clock.wall())?;
    let mut book = Book { state, log: &mut log, custody, clock, deadline };
    if book.log.is_empty() {
        let step = if made.is_some() { What::CREATE_KEY } else { What::FIND_KEY };
        book.note(What::key(step, log_key.as_str()))?;
    }
    book.make_missing(record, &found, made)
}

/// The keys in the HSM.
///
/// # Errors
/// If the HSM can't be asked, or the records can't be read.
pub fn list_keys(
    state: &dyn StateFolder,
    custody: &dyn KeyCustody,
    clock: &dyn Clock,
) -> Result<Vec<ListedKey>, ProcedureError> {
    let deadline = clock.deadline_in(PATIENCE);
    let records = records(state)?;
    let created_at = |entry: &KeyEntry| {
        let is_it = |other: &KeyEntry| {
            (&other.name, other.deed, &other.fingerprint) == (&entry.name, Deed::Created, &entry.fingerprint)
        };
        records.iter().find(|sealed| sealed.record.keys.iter().any(is_it)).map(|sealed| sealed.record.ended_at)
    };
    let listed = |key: &HeldKey| {
        let entry = key_ceremony::key_entry(custody, key, Deed::Found, deadline)?;
        let created_at = created_at(&entry);
        let KeyEntry { name, kind, origin, fingerprint, attributes, .. } = entry;
        Ok(ListedKey { name, kind, origin, created_at, fingerprint, attributes })
    };
    custody.inventory(deadline)?.keys.iter().map(listed).collect()
}

/// The records of this terminal, oldest first.
///
/// # Errors
/// [`StateError::Damaged`] naming one that can't be read.
pub fn records(state: &dyn StateFolder) -> Result<Vec<Sealed>, StateError> {
    let names = state.list(FOLDER)?.into_iter().filter(|name| name.ends_with(".json"));
    let read = |name: String| {
        let file = format!("{FOLDER}/{name}");
        let Some(json) = state.read(&file)? else { return Ok(None) };
        match Record::read(&json) {
            Ok(sealed) => Ok(Some(sealed)),
            Err(error) => Err(StateError::Damaged { file, problem: error.to_string() }),
        }
    };
    names.filter_map(|name| read(name).transpose()).collect()
}

/// The terminal, as ceremonies know it. Where a certificate has been renewed, the key is another one than at first.
pub(crate) fn installation(
    state: &dyn StateFolder,
    site: &SiteConfig,
    custody: &dyn KeyCustody,
    is_simulated: bool,
    deadline: Deadline,
) -> Result<Installation, ProcedureError> {
    let versions = [&[site.card_key_version], &*site.previous_card_key_versions].concat();
    let mut installation = Installation { is_simulated, ..Installation::terminal(&site.terminal, &versions) };
    for (purpose, first) in [(Purpose::Messages, KeyName::TERMINAL_SIGNING), (Purpose::Line, KeyName::TERMINAL_TLS)] {
        match identity::key_in_use(state, custody, purpose, deadline) {
            Ok(Some(key)) => installation = installation.with_certified(&KeyName::new(first), key),
            // The key is gone: it has to be made anew, and a certificate to be fetched for it.
            Ok(None) | Err(IdentityError::Hsm(HsmError::NoSuchKey(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(installation)
}

/// Where a ceremony acts and is accounted for.
pub(crate) struct Book<'a> {
    pub(crate) state: &'a mut dyn StateFolder,
    pub(crate) log: &'a mut LogBook,
    pub(crate) custody: &'a dyn KeyCustody,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

impl<'a> Book<'a> {
    pub(crate) fn new(
        state: &'a mut dyn StateFolder,
        log: &'a mut LogBook,
        custody: &'a dyn KeyCustody,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { state, log, custody, clock, deadline: clock.deadline_in(PATIENCE) }
    }

    /// Tries the HSM. That it gave a key away is noted before it is told.
    pub(crate) fn examine(&mut self, installation: &Installation) -> Result<Examination, ProcedureError> {
        let examined = key_ceremony::examine(self.custody, installation, self.deadline);
        if let Err(CeremonyError::Custody(CustodyError::Dishonest(leak))) = &examined {
            self.note(What::key(What::PROVE_HONESTY, leak.way.code()))?;
        }
        Ok(examined?)
    }

    /// Makes what is missing. `made` was made already.
    pub(crate) fn make_missing(
        mut self,
        mut record: Record,
        found: &Examination,
        made: Option<KeyEntry>,
    ) -> Result<Ceremony, ProcedureError> {
        self.note_honesty(found)?;
        record.honesty = Some((&found.honesty).into());
        for key in &found.found {
            record.keys.push(key_ceremony::key_entry(self.custody, key, Deed::Found, self.deadline)?);
        }
        let is_made = |name: &KeyName| made.as_ref().is_some_and(|made| made.name == name.as_str());
        let missing: Vec<_> = found.missing.iter().filter(|(name, _)| !is_made(name)).collect();
        record.keys.extend(made.clone());
        for (name, kind) in missing {
            record.keys.push(self.create(name, *kind)?);
        }
        record.keys.sort_by(|one, other| one.name.cmp(&other.name));
        self.keep(record)
    }

    /// Makes one key more.
    pub(crate) fn make_one(
        mut self,
        mut record: Record,
        found: &Examination,
        name: &KeyName,
        kind: KeyKind,
    ) -> Result<Ceremony, ProcedureError> {
        self.note_honesty(found)?;
        record.honesty = Some((&found.honesty).into());
        record.keys.push(self.create(name, kind)?);
        self.keep(record)
    }

    /// Destroys a key.
    pub(crate) fn destroy(mut self, mut record: Record, key: &HeldKey) -> Result<Ceremony, ProcedureError> {
        let (custody, deadline) = (self.custody, self.deadline);
        let retired = self.account(What::RETIRE_KEY, &key.name, || key_ceremony::retire(custody, key, deadline))?;
        record.keys.push(retired);
        self.keep(record)
    }

    fn create(&mut self, name: &KeyName, kind: KeyKind) -> Result<KeyEntry, ProcedureError> {
        let (custody, deadline) = (self.custody, self.deadline);
        self.account(What::CREATE_KEY, name, || key_ceremony::create(custody, name, kind, deadline))
    }

    /// One intent before, one outcome after.
    fn account<T>(
        &mut self,
        step: &'static str,
        key: &KeyName,
        act: impl FnOnce() -> Result<T, CustodyError>,
    ) -> Result<T, ProcedureError> {
        let intent = self.log.intend(self.state, What::key(step, key.as_str()), self.clock.wall())?;
        let done = act();
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            // It may have been done all the same.
            Err(CustodyError::Hsm(HsmError::Unreachable | HsmError::Timeout)) => Outcome::Unknown,
            Err(_) => Outcome::Failed,
        };
        self.log.close(self.state, intent, outcome, None, self.clock.wall())?;
        done.map_err(|error| CeremonyError::from(error).into())
    }

    fn note_honesty(&mut self, found: &Examination) -> Result<(), ProcedureError> {
        let detail = if found.honesty.refused == 0 { "not-tried" } else { "done" };
        self.note(What::key(What::PROVE_HONESTY, detail))
    }

    fn note(&mut self, what: What<'_>) -> Result<(), ProcedureError> {
        self.log.event(self.state, what, self.clock.wall())
    }

    /// Keeps the record and its page, then notes the record's hash: the log has none of a record that is not there.
    fn keep(mut self, record: Record) -> Result<Ceremony, ProcedureError> {
        let unwritable =
            |error: serde_json::Error| StateError::Damaged { file: FOLDER.into(), problem: error.to_string() };
        let sealed = record.seal(self.clock.wall()).map_err(unwritable)?;
        let file = |extension: &str| format!("{FOLDER}/{}.{extension}", sealed.file_stem());
        let (record_file, page_file) = (file("json"), file("html"));
        self.state.replace(&record_file, &sealed.json)?;
        self.state.replace(&page_file, sealed.page().as_bytes())?;
        self.note(What::key(What::KEY_CEREMONY, &sealed.digest()))?;
        self.log.checkpoint(self.state, self.custody, self.clock.deadline_in(PATIENCE))?;
        Ok(Ceremony { sealed, record_file, page_file })
    }
}
