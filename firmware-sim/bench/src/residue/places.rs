//! Files: a folder with everything in it, and the temp folders. Raw bytes, so that the free pages of a database and its
//! write-ahead log are searched like everything else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Found, Needles, SearchError};

/// Searches every file below `folder`, and the names of the files too, except for what `is_allowed`.
///
/// # Errors
/// If a file can't be read: what can't be searched is not clean.
pub fn search_folder(
    needles: &Needles,
    folder: &Path,
    is_allowed: &dyn Fn(&Path) -> bool,
    found: &mut Vec<Found>,
) -> Result<u64, SearchError> {
    search_since(needles, folder, is_allowed, None, found)
}

/// Searches what this user has written to the temp folders since `since`, except for what `is_allowed`.
///
/// # Errors
/// As [`search_folder`].
pub fn temp_folders(
    needles: &Needles,
    since: SystemTime,
    is_allowed: &dyn Fn(&Path) -> bool,
    found: &mut Vec<Found>,
) -> Result<u64, SearchError> {
    let mut folders =
        vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp"), PathBuf::from("/dev/shm")];
    folders.sort();
    folders.dedup();
    let mut searched = 0;
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        searched += search_since(needles, folder, is_allowed, Some(since), found)?;
    }
    Ok(searched)
}

fn search_since(
    needles: &Needles,
    folder: &Path,
    is_allowed: &dyn Fn(&Path) -> bool,
    since: Option<SystemTime>,
    found: &mut Vec<Found>,
) -> Result<u64, SearchError> {
    let mut searched = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Temp folders have rooms of other people, and rooms that vanish.
            Err(_) if since.is_some() => continue,
            Err(source) => return Err(SearchError::File { path: folder, source }),
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if is_allowed(&path) {
                continue;
            }
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let is_ours = metadata.uid() == rustix::process::getuid().as_raw();
            let is_new = since.is_none_or(|since| metadata.modified().is_ok_and(|modified| modified >= since));
            if !metadata.is_file() || !is_ours || !is_new {
                continue;
            }
            match fs::read(&path) {
                Ok(content) => needles.search(&content, &path.display().to_string(), found),
                Err(_) if since.is_some() => continue,
                Err(source) => return Err(SearchError::File { path, source }),
            }
            needles.search(path.as_os_str().as_encoded_bytes(), "a file name", found);
            searched += 1;
        }
    }
    Ok(searched)
}
