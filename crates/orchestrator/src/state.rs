//! The state folder: everything that the terminal keeps on disk, and the one place that writes it.
//!
//! [`StateFolder`] is a port so that tests can cut the power, fill the disk or kill the process at the n-th write.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// What the terminal keeps on disk, by name. Names are relative paths with `/`.
///
/// # Guarantees
/// A write is durable when it returns: after a power cut the file is as before or as after. An append may leave a torn
/// last line, which [`StateFolder::truncate`] cuts.
///
/// # Errors
/// See [`StateError`].
///
/// # For callers
/// Nothing personal is ever written here.
///
/// # For backend authors
/// Files are readable by their owner alone.
pub trait StateFolder: Send {
    /// Takes the folder for this process alone, until it is dropped.
    ///
    /// # Errors
    /// [`StateError::InUse`] when another program has it.
    fn lock(&mut self) -> Result<(), StateError>;

    /// A file's content, or nothing if there is no such file.
    ///
    /// # Errors
    /// If it is there and can't be read.
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError>;

    /// The names of the files directly in `folder`, in order; none if there is no such folder.
    ///
    /// # Errors
    /// If the folder can't be read.
    fn list(&self, folder: &str) -> Result<Vec<String>, StateError>;

    /// Appends to a file, which is made if it is not there.
    ///
    /// # Errors
    /// If the bytes are not durably written.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError>;

    /// Puts `bytes` in the place of a file's content, whole or not at all.
    ///
    /// # Errors
    /// If the bytes are not durably written.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError>;

    /// Cuts a file to `length` bytes.
    ///
    /// # Errors
    /// If it can't be cut.
    fn truncate(&mut self, name: &str, length: u64) -> Result<(), StateError>;

    /// Overwrites a file with zeros and removes it. No error if there is none.
    ///
    /// # Errors
    /// If it can't be erased.
    fn erase(&mut self, name: &str) -> Result<(), StateError>;
}

/// Why the state folder can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The folder does not exist. A wrong `--state`, or the terminal was never set up.
    #[error("there is no state folder {0}")]
    Missing(PathBuf),
    /// Another program works on the same folder.
    #[error("another program uses the state folder {0}")]
    InUse(PathBuf),
    /// The disk is full.
    #[error("the disk is full: {0} was not written")]
    DiskFull(PathBuf),
    /// The system refused access.
    #[error("no permission for {0}")]
    NotAllowed(PathBuf),
    /// A file is damaged: cut, edited by hand, or from another version.
    #[error("{file} is damaged: {problem}")]
    Damaged {
        /// Which file, relative to the state folder.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Anything else.
    #[error("{path} can't be used")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Its cause.
        #[source]
        source: io::Error,
    },
}

impl StateError {
    /// Puts an error of the system into words.
    #[must_use]
    pub fn from_io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path.into()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotAllowed(path.into()),
            _ => Self::Io { path: path.into(), source },
        }
    }
}

/// A state folder on a local disk.
#[derive(Debug)]
pub struct DiskFolder {
    root: PathBuf,
    lock: Option<File>,
}

impl DiskFolder {
    const LOCK: &'static str = "lock";
    /// Extension of a new content that has not taken its place yet.
    const NEW: &'static str = "new";

    /// The folder at `root`, which must exist.
    ///
    /// # Errors
    /// [`StateError::Missing`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StateError> {
        let root = root.into();
        if !root.is_dir() {
            return Err(StateError::Missing(root));
        }
        Ok(Self { root, lock: None })
    }

    /// Where a file of this folder is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn ensure_parent(path: &Path) -> Result<(), StateError> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) else { return Ok(()) };
        fs::create_dir_all(parent).and_then(|()| Self::sync_parent(parent)).map_err(|e| StateError::from_io(parent, e))
    }

    /// Makes a rename, a creation or a removal durable.
    fn sync_parent(path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

impl StateFolder for DiskFolder {
    fn lock(&mut self) -> Result<(), StateError> {
        let path = self.path(Self::LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| StateError::from_io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(StateError::InUse(self.root.clone())),
            Err(TryLockError::Error(e)) => Err(StateError::from_io(&path, e)),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        let path = self.path(name);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StateError::from_io(&path, e)),
        };
        let length = file.metadata().map_err(|e| StateError::from_io(&path, e))?.len();
        // Reserved at once: a vector that grows leaves copies behind.
        let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        file.read_to_end(&mut content).map_err(|e| StateError::from_io(&path, e))?;
        Ok(Some(content))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StateError> {
        let path = self.path(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StateError::from_io(&path, e)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect::<io::Result<_>>()
            .map_err(|e| StateError::from_io(&path, e))?;
        // What a power cut left half written was never there.
        names.retain(|name| !name.ends_with(".new"));
        names.sort();
        Ok(names)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path(name);
        Self::ensure_parent(&path)?;
        let is_new = !path.exists();
        (|| {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            if is_new { Self::sync_parent(&path) } else { Ok(()) }
        })()
        .map_err(|e| StateError::from_io(&path, e))
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path(name);
        Self::ensure_parent(&path)?;
        let new = path.with_extension(Self::NEW);
        (|| {
            // The old content is overwritten once the new one is in its place: a freed file keeps its bytes.
            let old = OpenOptions::new().write(true).open(&path).ok();
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            Self::sync_parent(&path)?;
            old.map_or(Ok(()), |old| overwrite(&old))
        })()
        .map_err(|e| StateError::from_io(&path, e))
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), StateError> {
        let path = self.path(name);
        (|| {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(length)?;
            file.sync_all()
        })()
        .map_err(|e| StateError::from_io(&path, e))
    }

    fn erase(&mut self, name: &str) -> Result<(), StateError> {
        let path = self.path(name);
        if !path.exists() {
            return Ok(());
        }
        (|| {
            overwrite(&OpenOptions::new().write(true).open(&path)?)?;
            fs::remove_file(&path)?;
            Self::sync_parent(&path)
        })()
        .map_err(|e| StateError::from_io(&path, e))
    }
}

/// Writes zeros over a file's content.
fn overwrite(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.rewind()?;
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_program_is_told_that_the_folder_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = DiskFolder::open(folder.path()).unwrap();
        let mut second = DiskFolder::open(folder.path()).unwrap();
        first.lock().unwrap();
        assert!(matches!(second.lock(), Err(StateError::InUse(_))));
        drop(first);
        second.lock().unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_what_is_erased_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = DiskFolder::open(root.path()).unwrap();
        folder.append("log/entries", b"one\n").unwrap();
        folder.append("log/entries", b"tw").unwrap();
        folder.truncate("log/entries", 4).unwrap();
        assert_eq!(folder.read("log/entries").unwrap().unwrap().as_slice(), b"one\n");
        folder.replace("log/checkpoint", b"a").unwrap();
        folder.replace("log/checkpoint", b"b").unwrap();
        assert_eq!(folder.read("log/checkpoint").unwrap().unwrap().as_slice(), b"b");
        assert_eq!(folder.list("log").unwrap(), ["checkpoint", "entries"]);
        folder.erase("log/checkpoint").unwrap();
        folder.erase("log/checkpoint").unwrap();
        assert_eq!(folder.read("log/checkpoint").unwrap(), None);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(StateError::from_io(Path::new("x"), full), StateError::DiskFull(_)));
    }
}
