//! The canary: a text that means nothing, planted everywhere and in every encoding, so that the search proves that it sees.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{Encoding, Found, Needles, SearchError, Sought, search_folder};

/// The places on disk in which a canary is planted; memory is the searched process's own business.
pub const PLACES: [&str; 4] = ["file", "database-slack", "database-wal", "temp"];

/// A text that stands for a secret.
#[derive(Clone)]
pub struct Canary(String);

/// Canaries on disk. Dropping it takes them away.
pub struct Planted {
    folder: PathBuf,
    temp: PathBuf,
    /// Keeps the write-ahead log from being folded into the database.
    _open: Vec<Connection>,
}

impl Canary {
    /// A canary made of `seed`: kana and digits, so that every encoding has something to encode.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let kana: Vec<char> = "アイウエオカキクケコサシスセソタチツテト".chars().collect();
        let text = seed[..12].iter().map(|byte| kana[usize::from(*byte) % kana.len()]).collect::<String>();
        Self(text + &hex::encode(&seed[12..18]))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The canary in every encoding, each in a piece of its own.
    #[must_use]
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        Encoding::ALL.iter().map(|encoding| encoding.encode(&self.0)).collect()
    }

    /// What to search for to find it.
    #[must_use]
    pub fn needles(&self) -> Needles {
        Needles::new(&[Sought { label: "canary".into(), value: Zeroizing::new(self.0.clone()) }])
    }

    /// Plants it below `folder` and in the temp folder: in files, in rows that are deleted again, in a write-ahead log.
    ///
    /// # Errors
    /// If a file or a database can't be written.
    pub fn plant(&self, folder: &Path) -> Result<Planted, SearchError> {
        let name = format!("canary-{}", std::process::id());
        let (folder, temp) = (folder.join(&name), std::env::temp_dir().join(&name));
        let mut open = Vec::new();
        for place in [&folder, &temp] {
            fs::create_dir_all(place).map_err(|source| SearchError::File { path: place.clone(), source })?;
        }
        for (encoding, piece) in Encoding::ALL.iter().zip(self.pieces()) {
            let name = format!("{encoding:?}");
            for path in [folder.join("file").join(&name), temp.join("temp").join(&name)] {
                write(&path, &piece)?;
            }
            plant_in_slack(&folder.join("database-slack").join(&name), &piece)?;
            open.push(plant_in_wal(&folder.join("database-wal").join(&name), &piece)?);
        }
        Ok(Planted { folder, temp, _open: open })
    }

    /// Searches for the planted canary, and demands it in every place and every encoding.
    ///
    /// # Errors
    /// [`SearchError::Blind`] for the first one that was not found.
    pub fn prove(&self, planted: &Planted) -> Result<(), SearchError> {
        let needles = self.needles();
        let mut found = Vec::new();
        for folder in [&planted.folder, &planted.temp] {
            search_folder(&needles, folder, &[], &mut found)?;
        }
        for place in PLACES {
            Self::demand(&found, place)?;
        }
        Ok(())
    }

    /// Demands that the canary was found in a place whose name contains `place`, in every encoding.
    ///
    /// # Errors
    /// [`SearchError::Blind`] for the first encoding in which it was not.
    pub fn demand(found: &[Found], place: &str) -> Result<(), SearchError> {
        for encoding in Encoding::ALL {
            if !found.iter().any(|found| found.encoding == encoding && found.place.contains(place)) {
                return Err(SearchError::Blind { encoding, place: place.into() });
            }
        }
        Ok(())
    }
}

/// A row that was deleted: its bytes stay in the database's free space.
fn plant_in_slack(path: &Path, piece: &[u8]) -> Result<(), SearchError> {
    make_parent(path)?;
    let database = Connection::open(path)?;
    database.execute_batch("PRAGMA secure_delete = OFF; CREATE TABLE t (x BLOB);")?;
    database.execute("INSERT INTO t VALUES (?1)", [piece])?;
    database.execute_batch("DELETE FROM t;")?;
    Ok(())
}

/// A row that has not reached the database yet.
fn plant_in_wal(path: &Path, piece: &[u8]) -> Result<Connection, SearchError> {
    make_parent(path)?;
    let database = Connection::open(path)?;
    database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB);")?;
    database.execute("INSERT INTO t VALUES (?1)", [piece])?;
    Ok(database)
}

fn write(path: &Path, piece: &[u8]) -> Result<(), SearchError> {
    make_parent(path)?;
    fs::write(path, piece).map_err(|source| SearchError::File { path: path.into(), source })
}

fn make_parent(path: &Path) -> Result<(), SearchError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|source| SearchError::File { path: parent.into(), source })
}

impl Drop for Planted {
    fn drop(&mut self) {
        for folder in [&self.folder, &self.temp] {
            // Nothing is lost if it stays: it means nothing.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_its_canary_in_every_place_and_encoding() {
        let folder = tempfile::tempdir().unwrap();
        let canary = Canary::new([7; 32]);
        let planted = canary.plant(folder.path()).unwrap();
        canary.prove(&planted).unwrap();
        let wal = folder.path().join(format!("canary-{}", std::process::id())).join("database-wal/Utf8-wal");
        assert!(fs::metadata(wal).unwrap().len() > 0, "the row is in the write-ahead log");
        drop(planted);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_search_that_sees_nothing_says_that_it_is_blind() {
        assert!(matches!(Canary::demand(&[], "file"), Err(SearchError::Blind { .. })));
    }
}
