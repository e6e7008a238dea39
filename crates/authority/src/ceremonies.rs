//! Key ceremonies of the authority: its keys made, listed and destroyed in the presence of two persons. Records, pages and the log of
//! all acts are in `ceremonies/` of its folder.
//!
//! The two persons say who they are, and sign the page; nobody proves it here, and the record says so. What is proved is that whoever
//! runs the ceremony can log in to the token. The log has no witness: each record carries its root as it was when the ceremony began, so
//! the page that is signed next vouches for all acts before.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_log::{Actor, Code, Log, NewEntry, Outcome};
use hsm::custody::CustodyError;
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use key_ceremony::{
    Act, CeremonyError, Deed, Installation, KeyEntry, LogPosition, Person, PersonsProof, Record, Sealed,
};
use madoguchi_time::{Clock, Deadline};

use crate::error::SetupError;

const FOLDER: &str = "ceremonies";
const LOG: &str = "log.jsonl";
/// Locked by the program that holds a ceremony. It stays when that has ended, and is empty.
const LOCK: &str = "lock";
/// How long the HSM may take for a ceremony: it is tried with keys of every kind, and RSA keys take their time.
const PATIENCE: Duration = Duration::from_secs(300);

/// A ceremony that was held.
#[derive(Debug)]
pub struct Ceremony {
    /// The record. Its hash is in the log.
    pub sealed: Sealed,
    /// The record's file.
    pub record_file: PathBuf,
    /// The page to be signed.
    pub page_file: PathBuf,
}

/// Where ceremonies are held: by one program at a time, so that nobody takes what another has begun for interrupted.
pub struct Ceremonies<'a> {
    folder: PathBuf,
    installation: Installation,
    custody: &'a dyn KeyCustody,
    clock: &'a dyn Clock,
    deadline: Deadline,
    log: Log,
    _lock: Lock,
}

impl<'a> Ceremonies<'a> {
    /// Ceremonies of the authority in the folder `dir`, which needs the keys `required`. Nobody else can hold any until this is dropped.
    ///
    /// # Errors
    /// [`SetupError::CeremonyHeld`], [`SetupError::Io`], [`SetupError::Damaged`] if the log of ceremonies is not as it was written.
    pub fn open(
        dir: &Path,
        required: Vec<(KeyName, KeyKind)>,
        custody: &'a dyn KeyCustody,
        clock: &'a dyn Clock,
    ) -> Result<Self, SetupError> {
        let folder = dir.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|source| SetupError::Io { path: folder.clone(), source })?;
        let lock = Lock::take(&folder)?;
        let path = folder.join(LOG);
        let failed = |source| SetupError::Io { path: path.clone(), source };
        let lines = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let (log, torn) = Log::from_lines(&lines).map_err(|_| SetupError::Damaged(path.clone()))?;
        if let Some(torn) = torn {
            // It was never acknowledged.
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            file.set_len(torn.offset as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
        let installation = Installation::authority(&name, required);
        let deadline = clock.deadline_in(PATIENCE);
        let mut ceremonies = Self { folder, installation, custody, clock, deadline, log, _lock: lock };
        ceremonies.close_interrupted()?;
        Ok(ceremonies)
    }

    /// Tries whether the HSM keeps its keys, and makes those that are missing. What was interrupted is gone on with.
    ///
    /// # Errors
    /// [`SetupError::Ceremony`].
    pub fn init(mut self, persons: [&str; 2]) -> Result<Ceremony, SetupError> {
        let mut record = self.begin(Act::Init, persons)?;
        let found = self.examine(&mut record)?;
        for key in &found.found {
            record.keys.push(key_ceremony::key_entry(self.custody, key, Deed::Found, self.deadline)?);
        }
        for (name, kind) in &found.missing {
            record.keys.push(self.make(name, *kind)?);
        }
        record.keys.sort_by(|one, other| one.name.cmp(&other.name));
        self.keep(record)
    }

    /// Makes one key more. Its kind follows from its name where it is not said.
    ///
    /// # Errors
    /// As [`Ceremonies::init`].
    pub fn create(mut self, persons: [&str; 2], name: &KeyName, kind: Option<KeyKind>) -> Result<Ceremony, SetupError> {
        let mut record = self.begin(Act::Create, persons)?;
        let kind = self.installation.kind_of(name, kind)?;
        self.examine(&mut record)?;
        record.keys.push(self.make(name, kind)?);
        self.keep(record)
    }

    /// Destroys a key that the authority does not need, for good.
    ///
    /// # Errors
    /// As [`Ceremonies::init`]; [`CeremonyError::InUse`].
    pub fn retire(mut self, persons: [&str; 2], name: &KeyName, reason: &str) -> Result<Ceremony, SetupError> {
        let mut record = self.begin(Act::Retire, persons)?;
        record.reason = Some(reason.to_owned());
        if let Some(by) = self.installation.use_of(name) {
            return Err(CeremonyError::InUse { key: name.clone(), by }.into());
        }
        let (custody, deadline) = (self.custody, self.deadline);
        let held = custody.inventory(deadline)?.keys.into_iter().find(|key| key.name == *name);
        let held = held.ok_or_else(|| HsmError::NoSuchKey(name.clone()))?;
        let retired = self.account(code::RETIRE_KEY, name, || key_ceremony::retire(custody, &held, deadline))?;
        record.keys.push(retired);
        self.keep(record)
    }

    fn begin(&self, act: Act, persons: [&str; 2]) -> Result<Record, SetupError> {
        let persons = Person::declared(persons)?;
        let now = self.clock.wall();
        let begun = Record::begin(act, &self.installation, self.custody, persons, PersonsProof::Declared, now);
        let root = self.log.tree().root(self.log.size());
        let log = root.map(|root| LogPosition { entries: self.log.size(), root: root.to_string() });
        Ok(Record { log, ..begun })
    }

    fn examine(&mut self, record: &mut Record) -> Result<key_ceremony::Examination, SetupError> {
        let examined = key_ceremony::examine(self.custody, &self.installation, self.deadline);
        let detail = match &examined {
            Ok(found) if found.honesty.refused == 0 => "not-tried",
            Ok(_) => "done",
            Err(CeremonyError::Custody(CustodyError::Dishonest(leak))) => leak.way.code(),
            Err(_) => return Ok(examined?),
        };
        self.note(code::PROVE_HONESTY, detail)?;
        let found = examined?;
        record.honesty = Some((&found.honesty).into());
        Ok(found)
    }

    fn make(&mut self, name: &KeyName, kind: KeyKind) -> Result<KeyEntry, SetupError> {
        let (custody, deadline) = (self.custody, self.deadline);
        self.account(code::CREATE_KEY, name, || key_ceremony::create(custody, name, kind, deadline))
    }

    /// One intent before, one outcome after.
    fn account<T>(
        &mut self,
        step: Code,
        key: &KeyName,
        act: impl FnOnce() -> Result<T, CustodyError>,
    ) -> Result<T, SetupError> {
        let detail = Code::new(key.as_str()).map_err(|_| CeremonyError::UnknownKey(key.clone()))?;
        let intent = self.append(NewEntry::intent(Actor::System, step).detail(detail))?;
        let done = act();
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            // It may have been done all the same.
            Err(CustodyError::Hsm(HsmError::Unreachable | HsmError::Timeout)) => Outcome::Unknown,
            Err(_) => Outcome::Failed,
        };
        let closed = self.log.outcome(intent, Actor::System, outcome).map_err(|_| self.damaged())?;
        self.append(closed)?;
        Ok(done.map_err(CeremonyError::from)?)
    }

    /// Whether what was interrupted took effect is seen from what the HSM holds.
    fn close_interrupted(&mut self) -> Result<(), SetupError> {
        let open: Vec<u64> = self.log.open_intents().map(|intent| intent.index).collect();
        for intent in open {
            let closed = self.log.outcome(intent, Actor::System, Outcome::Unknown).map_err(|_| self.damaged())?;
            self.append(closed)?;
        }
        Ok(())
    }

    fn note(&mut self, step: Code, detail: &str) -> Result<(), SetupError> {
        let detail = Code::new(detail).map_err(|_| self.damaged())?;
        self.append(NewEntry::event(Actor::System, step).detail(detail)).map(drop)
    }

    /// The line is durable before the tree has it.
    fn append(&mut self, entry: NewEntry) -> Result<u64, SetupError> {
        let prepared = self.log.prepare(entry, self.clock.wall()).map_err(|_| self.damaged())?;
        let path = self.folder.join(LOG);
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(prepared.line().as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|source| SetupError::Io { path, source })?;
        Ok(self.log.commit(prepared).map_err(|_| self.damaged())?.index)
    }

    fn damaged(&self) -> SetupError {
        SetupError::Damaged(self.folder.join(LOG))
    }

    /// Keeps the record and its page, then notes the record's hash: the log has none of a record that is not there.
    fn keep(mut self, record: Record) -> Result<Ceremony, SetupError> {
        let sealed = record.seal(self.clock.wall()).map_err(|_| SetupError::Damaged(self.folder.clone()))?;
        let file = |extension: &str| self.folder.join(format!("{}.{extension}", sealed.file_stem()));
        let (record_file, page_file) = (file("json"), file("html"));
        write(&record_file, &sealed.json)?;
        write(&page_file, sealed.page().as_bytes())?;
        self.note(code::KEY_CEREMONY, &sealed.digest())?;
        Ok(Ceremony { sealed, record_file, page_file })
    }
}

/// The keys in the HSM. To look at them is no ceremony: it can be done while one is held.
///
/// # Errors
/// If it can't be asked.
pub fn list(custody: &dyn KeyCustody, clock: &dyn Clock) -> Result<Vec<KeyEntry>, SetupError> {
    let deadline = clock.deadline_in(PATIENCE);
    let keys = custody.inventory(deadline)?.keys;
    let entries = keys.iter().map(|key| key_ceremony::key_entry(custody, key, Deed::Found, deadline));
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Has the folder for its owner alone, until it is dropped.
struct Lock(File);

impl Lock {
    fn take(folder: &Path) -> Result<Self, SetupError> {
        let path = folder.join(LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let locked = opened.map_err(TryLockError::Error).and_then(|file| file.try_lock().map(|()| Self(file)));
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => SetupError::CeremonyHeld(folder.to_owned()),
            TryLockError::Error(source) => SetupError::Io { path, source },
        })
    }
}

impl Drop for Lock {
    /// Closing the file would not do: a child that is being started has a copy of it until it runs its own program.
    fn drop(&mut self) {
        // If it can't be unlocked, it is when the last copy is closed.
        drop(self.0.unlock());
    }
}

/// A new file, durably.
fn write(path: &Path, contents: &[u8]) -> Result<(), SetupError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| File::open(path.parent().unwrap_or(path))?.sync_all());
    written.map_err(|source| SetupError::Io { path: path.to_owned(), source })
}

/// What stands in the log: the same words as in a terminal's.
mod code {
    use audit_log::Code;

    pub(super) const CREATE_KEY: Code = Code::literal("create-key");
    pub(super) const RETIRE_KEY: Code = Code::literal("retire-key");
    pub(super) const PROVE_HONESTY: Code = Code::literal("prove-honesty");
    pub(super) const KEY_CEREMONY: Code = Code::literal("key-ceremony");
}
