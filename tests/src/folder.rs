//! A state folder in memory that outlives its terminal, and can be cut off at the n-th write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator::{StateError, StateFolder};
use zeroize::Zeroizing;

/// The disk behind [`MemoryFolder`]s.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, Vec<u8>>,
    writes: u64,
    cut_at: Option<u64>,
    in_use: bool,
}

/// One program's view of a [`Disk`].
pub struct MemoryFolder {
    disk: Disk,
    locked: bool,
}

impl Disk {
    /// Opens the disk for one program.
    #[must_use]
    pub fn open(&self) -> MemoryFolder {
        MemoryFolder { disk: self.clone(), locked: false }
    }

    /// The `n`-th write from now fails half done, and so do all after it, until [`Disk::mend`]. Counted from 1.
    pub fn cut_at_write(&self, n: u64) {
        let mut inner = self.lock();
        inner.cut_at = Some(inner.writes + n);
    }

    /// Takes writes again. Was the cut reached?
    pub fn mend(&self) -> bool {
        let mut inner = self.lock();
        let reached = inner.cut_at.is_some_and(|at| inner.writes >= at);
        inner.cut_at = None;
        reached
    }

    /// Every file's content.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.clone()
    }

    /// Puts back what [`Disk::files`] gave.
    pub fn restore(&self, files: BTreeMap<String, Vec<u8>>) {
        self.lock().files = files;
    }

    /// Changes one file as somebody with an editor would.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(content) = self.lock().files.get_mut(name) {
            change(content);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFolder {
    /// Counts a write. Is it the one at which the power goes, or one after it?
    fn write(
        &self,
        name: &str,
        torn: impl FnOnce(&mut Inner),
        whole: impl FnOnce(&mut Inner),
    ) -> Result<(), StateError> {
        let mut inner = self.disk.lock();
        inner.writes += 1;
        match inner.cut_at {
            Some(at) if inner.writes == at => torn(&mut inner),
            Some(at) if inner.writes > at => {}
            _ => {
                whole(&mut inner);
                return Ok(());
            }
        }
        Err(StateError::DiskFull(name.into()))
    }
}

impl StateFolder for MemoryFolder {
    fn lock(&mut self) -> Result<(), StateError> {
        let mut inner = self.disk.lock();
        if inner.in_use {
            return Err(StateError::InUse("memory".into()));
        }
        inner.in_use = true;
        self.locked = true;
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        Ok(self.disk.lock().files.get(name).cloned().map(Zeroizing::new))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StateError> {
        let prefix = format!("{folder}/");
        Ok(self.disk.lock().files.keys().filter_map(|name| name.strip_prefix(&prefix)).map(Into::into).collect())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let add = |inner: &mut Inner, bytes: &[u8]| {
            inner.files.entry(name.into()).or_default().extend_from_slice(bytes);
        };
        self.write(name, |inner| add(inner, &bytes[..bytes.len() / 2]), |inner| add(inner, bytes))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write(name, |_| {}, |inner| drop(inner.files.insert(name.into(), bytes.to_vec())))
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), StateError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.write(name, |_| {}, |inner| inner.files.entry(name.into()).or_default().truncate(length))
    }

    fn erase(&mut self, name: &str) -> Result<(), StateError> {
        self.write(name, |_| {}, |inner| drop(inner.files.remove(name)))
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        if self.locked {
            self.disk.lock().in_use = false;
        }
    }
}
