//! Non-volatile memory: pages that are written one at a time, each of which a loss of power may tear.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

/// Length of a page in bytes: what the memory writes in one go.
pub const PAGE: usize = 256;
/// Pages of a card's memory.
pub const PAGES: usize = 256;

/// One page.
pub type Page = [u8; PAGE];

/// The memory of a card: [`PAGES`] pages of [`PAGE`] bytes, all zero when new.
///
/// # Guarantees
/// Only a page that is being written can be damaged by a loss of power. Writes before a `flush` last before writes after it.
///
/// # For backend authors
/// Nothing here has to be atomic: the card's own records are made for torn pages.
pub trait Nvm: Send {
    /// Reads a page.
    ///
    /// # Errors
    /// [`NvmError::Io`], [`NvmError::OutOfRange`].
    fn read(&self, page: usize, into: &mut Page) -> Result<(), NvmError>;

    /// Writes a page.
    ///
    /// # Errors
    /// [`NvmError::Io`], [`NvmError::OutOfRange`].
    fn write(&mut self, page: usize, from: &Page) -> Result<(), NvmError>;

    /// Makes what was written last.
    ///
    /// # Errors
    /// [`NvmError::Io`].
    fn flush(&mut self) -> Result<(), NvmError>;
}

impl Nvm for Box<dyn Nvm> {
    fn read(&self, page: usize, into: &mut Page) -> Result<(), NvmError> {
        (**self).read(page, into)
    }

    fn write(&mut self, page: usize, from: &Page) -> Result<(), NvmError> {
        (**self).write(page, from)
    }

    fn flush(&mut self) -> Result<(), NvmError> {
        (**self).flush()
    }
}

/// Why the memory failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NvmError {
    /// The power went in the middle of a command, by [`PowerSwitch::cut_at_write`].
    #[error("the card lost its power")]
    PowerLost,
    /// No card has been made in this memory, or both of its records are damaged.
    #[error("the memory holds no card")]
    NotFormatted,
    /// An object's bytes are not those that were written: the file was changed by something else.
    #[error("object {object:04X} of the card's memory is damaged")]
    Damaged {
        /// Number of the object.
        object: u16,
    },
    /// More than the memory holds.
    #[error("the card's memory is full")]
    Full,
    /// A page that does not exist. An error of this program.
    #[error("page {page} is outside the card's memory")]
    OutOfRange {
        /// Number of the page.
        page: usize,
    },
    /// Another program has this card's file open.
    #[error("another program uses this card's memory file")]
    InUse,
    /// The file of a [`FileNvm`]: full disk, no permission, removed folder.
    #[error("the card's memory file failed")]
    Io(#[from] io::Error),
}

/// A memory that lives as long as the process. Wiped when dropped.
pub struct MemoryNvm(Zeroizing<Vec<Page>>);

impl MemoryNvm {
    /// A memory of zeros.
    #[must_use]
    pub fn new() -> Self {
        Self(Zeroizing::new(vec![[0; PAGE]; PAGES]))
    }
}

impl Default for MemoryNvm {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryNvm {
    fn clone(&self) -> Self {
        Self(Zeroizing::new(self.0.to_vec()))
    }
}

impl Nvm for MemoryNvm {
    fn read(&self, page: usize, into: &mut Page) -> Result<(), NvmError> {
        *into = *self.0.get(page).ok_or(NvmError::OutOfRange { page })?;
        Ok(())
    }

    fn write(&mut self, page: usize, from: &Page) -> Result<(), NvmError> {
        *self.0.get_mut(page).ok_or(NvmError::OutOfRange { page })? = *from;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), NvmError> {
        Ok(())
    }
}

/// A memory in a file, written in place: the card's own records make it safe against the death of the process at any write.
/// The file holds keys and personal data of a simulated person, is readable by its owner only, and locked while it is open.
pub struct FileNvm(File);

impl FileNvm {
    /// Makes a new memory of zeros.
    ///
    /// # Errors
    /// [`NvmError::Io`], also if there is a file already.
    pub fn create(path: &Path) -> Result<Self, NvmError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.set_len((PAGE * PAGES) as u64)?;
        file.sync_all()?;
        Self::locked(file)
    }

    /// Opens a memory that was made before.
    ///
    /// # Errors
    /// [`NvmError::Io`]; [`NvmError::NotFormatted`] if the length is not a card's; [`NvmError::InUse`].
    pub fn open(path: &Path) -> Result<Self, NvmError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != (PAGE * PAGES) as u64 {
            return Err(NvmError::NotFormatted);
        }
        Self::locked(file)
    }

    fn locked(file: File) -> Result<Self, NvmError> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(NvmError::InUse),
            Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Nvm for FileNvm {
    fn read(&self, page: usize, into: &mut Page) -> Result<(), NvmError> {
        Ok(self.0.read_exact_at(into, offset(page)?)?)
    }

    fn write(&mut self, page: usize, from: &Page) -> Result<(), NvmError> {
        Ok(self.0.write_all_at(from, offset(page)?)?)
    }

    fn flush(&mut self) -> Result<(), NvmError> {
        Ok(self.0.sync_data()?)
    }
}

fn offset(page: usize) -> Result<u64, NvmError> {
    if page < PAGES { Ok((page * PAGE) as u64) } else { Err(NvmError::OutOfRange { page }) }
}

/// What a page looks like when the power went while it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// As before: the power went first.
    Untouched,
    /// Its first bytes are new, the rest old.
    Prefix,
    /// Its first bytes are new, the next ones neither new nor old, the rest old.
    Garbled,
    /// All new: the power went right after.
    Written,
}

impl Tear {
    /// All ways to tear a page.
    pub const ALL: [Self; 4] = [Self::Untouched, Self::Prefix, Self::Garbled, Self::Written];

    /// The page as it is left; `salt` varies the place of the tear.
    fn apply(self, old: &Page, new: &Page, salt: u64) -> Page {
        let at = 1 + (salt as usize).wrapping_mul(97) % (PAGE - 8);
        let mut page = *old;
        match self {
            Self::Untouched => {}
            Self::Prefix => page[..at].copy_from_slice(&new[..at]),
            Self::Garbled => {
                page[..at].copy_from_slice(&new[..at]);
                for (i, byte) in page[at..at + 8].iter_mut().enumerate() {
                    *byte = *byte ^ new[at + i] ^ 0x5A;
                }
            }
            Self::Written => page = *new,
        }
        page
    }
}

/// The card's power, in the hand of a test: counts the writes to its memory and cuts one of them in the middle.
#[derive(Clone, Debug, Default)]
pub struct PowerSwitch(Arc<Mutex<Power>>);

#[derive(Debug, Default)]
struct Power {
    writes: u64,
    cut: Option<(u64, Tear)>,
    lost: bool,
}

impl PowerSwitch {
    /// Cuts the power at the `n`-th write from now, counted from 1. Once it has happened, the card is dead until it is
    /// powered up again, and that works.
    pub fn cut_at_write(&self, n: u64, tear: Tear) {
        let mut power = self.lock();
        power.cut = Some((power.writes + n.max(1), tear));
    }

    /// Takes a cut back that has not happened. Was there one?
    pub fn cancel(&self) -> bool {
        self.lock().cut.take().is_some()
    }

    /// Writes so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    pub(crate) fn restore(&self) {
        self.lock().lost = false;
    }

    /// Writes a page, or tears it.
    pub(crate) fn write(&self, nvm: &mut dyn Nvm, page: usize, new: &Page) -> Result<(), NvmError> {
        let tear = {
            let mut power = self.lock();
            if power.lost {
                return Err(NvmError::PowerLost);
            }
            power.writes += 1;
            match power.cut {
                Some((at, tear)) if at == power.writes => {
                    power.cut = None;
                    power.lost = true;
                    Some((tear, at))
                }
                _ => None,
            }
        };
        let Some((tear, salt)) = tear else { return nvm.write(page, new) };
        let mut old = Zeroizing::new([0; PAGE]);
        nvm.read(page, &mut old)?;
        nvm.write(page, &Zeroizing::new(tear.apply(&old, new, salt)))?;
        Err(NvmError::PowerLost)
    }

    fn lock(&self) -> MutexGuard<'_, Power> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
