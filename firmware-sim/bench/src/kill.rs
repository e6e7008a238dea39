//! A state folder that kills its own process at one of its writes: what a test of real processes pulls at.

use orchestrator::{DiskFolder, StateError, StateFolder};
use zeroize::Zeroizing;

/// A [`DiskFolder`] whose n-th write is the process's last.
pub(crate) struct KillingFolder {
    disk: DiskFolder,
    /// Writes until then.
    left: u64,
    torn: bool,
}

impl KillingFolder {
    /// The write with the number `at` kills, counted from 1. If `torn`, half of it is done first: half of an append, or half of the
    /// new file that a replacement writes beside the old one.
    #[must_use]
    pub(crate) fn new(disk: DiskFolder, at: u64, torn: bool) -> Self {
        Self { disk, left: at, torn }
    }

    /// Counts a write, and dies if it is the one.
    fn count(&mut self) {
        if self.is_last() {
            die();
        }
    }

    fn is_last(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}

/// Ends this process as `kill -9` does.
fn die() {
    let me = rustix::process::getpid();
    // It can't fail for the process itself, and if it did, the abort would do.
    let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    std::process::abort();
}

impl StateFolder for KillingFolder {
    fn lock(&mut self) -> Result<(), StateError> {
        self.disk.lock()
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        self.disk.read(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StateError> {
        self.disk.list(folder)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        if self.is_last() {
            if self.torn {
                self.disk.append(name, &bytes[..bytes.len() / 2])?;
            }
            die();
        }
        self.disk.append(name, bytes)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        if self.is_last() {
            if self.torn {
                let beside = self.disk.path(name).with_extension("new");
                std::fs::write(&beside, &bytes[..bytes.len() / 2])
                    .map_err(|source| StateError::from_io(&beside, source))?;
            }
            die();
        }
        self.disk.replace(name, bytes)
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), StateError> {
        self.count();
        self.disk.truncate(name, length)
    }

    fn erase(&mut self, name: &str) -> Result<(), StateError> {
        self.count();
        self.disk.erase(name)
    }
}
