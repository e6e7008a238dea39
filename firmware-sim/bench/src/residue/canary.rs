//! The canary: a text that means nothing, planted everywhere and in every encoding, so that the search proves that it sees.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Encoding, Found, Needles, SearchError, Sought, Value};

/// A text that stands for a secret.
#[derive(Clone)]
pub struct Canary(String);

/// Canaries on disk. Dropping it takes them away.
pub struct Planted {
    /// Folders, in each of which the canary lies in every encoding.
    places: Vec<PathBuf>,
    /// What is to be taken away.
    roots: Vec<PathBuf>,
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
    ///
    /// # Errors
    /// As [`Needles::new`].
    pub fn needles(&self) -> Result<Needles, SearchError> {
        Needles::new(&[Sought { label: "canary".into(), value: Value::text(&self.0) }])
    }

    /// Plants it below `folder`, in files, in rows that are deleted again, in a write-ahead log; and as files in each of the
    /// temporary folders `temp`.
    ///
    /// # Errors
    /// If a file or a database can't be written.
    pub fn plant(&self, folder: &Path, temp: &[PathBuf]) -> Result<Planted, SearchError> {
        let name = format!("canary-{}", std::process::id());
        let root = folder.join(&name);
        let [files, slack, wal] = ["file", "database-slack", "database-wal"].map(|place| root.join(place));
        let temp: Vec<PathBuf> = temp.iter().map(|temp| temp.join(&name)).collect();
        let mut planted = Planted {
            places: [&files, &slack, &wal].into_iter().chain(&temp).cloned().collect(),
            roots: std::iter::once(&root).chain(&temp).cloned().collect(),
            _open: Vec::new(),
        };
        for place in &planted.places {
            fs::create_dir_all(place).map_err(|source| SearchError::File { path: place.clone(), source })?;
        }
        for (encoding, piece) in Encoding::ALL.iter().zip(self.pieces()) {
            let name = format!("{encoding:?}");
            for folder in std::iter::once(&files).chain(&temp) {
                let path = folder.join(&name);
                fs::write(&path, &piece).map_err(|source| SearchError::File { path, source })?;
            }
            plant_in_slack(&slack.join(&name), &piece)?;
            planted._open.push(plant_in_wal(&wal.join(&name), &piece)?);
        }
        Ok(planted)
    }

    /// Demands that the canary was found in a place whose name begins with `place`, in every encoding.
    ///
    /// # Errors
    /// [`SearchError::Blind`] for the first encoding in which it was not.
    pub fn demand(found: &[Found], place: &str) -> Result<(), SearchError> {
        for encoding in Encoding::ALL {
            if !found.iter().any(|found| found.encoding == encoding && found.place.starts_with(place)) {
                return Err(SearchError::Blind { encoding, place: place.into() });
            }
        }
        Ok(())
    }
}

impl Planted {
    /// Demands that a search has found the canary in every place and every encoding.
    ///
    /// # Errors
    /// [`SearchError::Blind`] for the first one that was not found.
    pub fn demand(&self, found: &[Found]) -> Result<(), SearchError> {
        self.places.iter().try_for_each(|place| Canary::demand(found, &place.display().to_string()))
    }
}

/// A row that was deleted: its bytes stay in the database's free space.
fn plant_in_slack(path: &Path, piece: &[u8]) -> Result<(), SearchError> {
    let database = Connection::open(path)?;
    database.execute_batch("PRAGMA secure_delete = OFF; CREATE TABLE t (x BLOB);")?;
    database.execute("INSERT INTO t VALUES (?1)", [piece])?;
    database.execute_batch("DELETE FROM t;")?;
    Ok(())
}

/// A row that has not reached the database yet.
fn plant_in_wal(path: &Path, piece: &[u8]) -> Result<Connection, SearchError> {
    let database = Connection::open(path)?;
    database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB);")?;
    database.execute("INSERT INTO t VALUES (?1)", [piece])?;
    Ok(database)
}

impl Drop for Planted {
    fn drop(&mut self) {
        for folder in &self.roots {
            // Nothing is lost if it stays: it means nothing.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residue::search_folder;

    #[test]
    fn the_search_finds_its_canary_in_every_place_and_encoding() {
        let (folder, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let canary = Canary::new([7; 32]);
        let planted = canary.plant(folder.path(), &[temp.path().to_owned()]).unwrap();
        let wal = folder.path().join(format!("canary-{}", std::process::id())).join("database-wal/Utf8-wal");
        assert!(fs::metadata(wal).unwrap().len() > 0, "the row is in the write-ahead log");
        let search = |folders: &[&Path]| {
            let mut found = Vec::new();
            for folder in folders {
                search_folder(&canary.needles().unwrap(), folder, &|_| false, &mut found).unwrap();
            }
            found
        };
        planted.demand(&search(&[folder.path(), temp.path()])).unwrap();
        for blind in [&[folder.path()][..], &[temp.path()], &[]] {
            assert!(matches!(planted.demand(&search(blind)), Err(SearchError::Blind { .. })));
        }
        drop(planted);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
