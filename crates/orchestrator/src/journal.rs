//! The journal: which procedure is under way, and how far. Transaction IDs and step names, nothing personal.
//!
//! It exists while a procedure runs and is erased with it. If it is there at start-up, a procedure was interrupted, and the
//! clerk is told; what became of the card is found out by looking at it, so losing the journal loses nothing.

use serde::{Deserialize, Serialize};

use crate::state::{StateError, StateFolder};

const FILE: &str = "journal";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// The procedure's number.
    pub procedure: String,
    /// The step that is about to be done.
    pub step: String,
    /// The transaction that it belongs to, as hex, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
}

/// Notes a step before it is done.
///
/// # Errors
/// If the line is not durably written.
pub fn note(state: &mut dyn StateFolder, line: &JournalLine) -> Result<(), StateError> {
    let mut bytes =
        serde_json::to_vec(line).map_err(|e| StateError::Damaged { file: FILE.into(), problem: e.to_string() })?;
    bytes.push(b'\n');
    state.append(FILE, &bytes)
}

/// The lines of an interrupted procedure; none if the last one came to its end. A torn last line is left out.
///
/// # Errors
/// If the journal is there and can't be read.
pub fn interrupted(state: &dyn StateFolder) -> Result<Vec<JournalLine>, StateError> {
    let Some(content) = state.read(FILE)? else { return Ok(Vec::new()) };
    let lines = content.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Erases the journal.
///
/// # Errors
/// If it can't be erased.
pub fn erase(state: &mut dyn StateFolder) -> Result<(), StateError> {
    state.erase(FILE)
}
