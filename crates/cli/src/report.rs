//! What a command has to say at its end: to people, or as one JSON document.

use std::io;

use serde::Serialize;

use crate::explanation::Explanation;
use crate::messages::Messages;
use crate::reached::Reached;
use crate::screen::Screen;

/// The result of a command.
///
/// # For implementors
/// The document is an object with the member `ok`, the answer of [`succeeded`](Report::succeeded). Its keys are stable, and
/// `docs/json.md` tells what they mean.
pub trait Report: Document {
    /// Is this a success? If not, the exit status is 1.
    fn succeeded(&self) -> bool;

    /// Shows it to a person.
    ///
    /// # Errors
    /// If it can't be written.
    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()>;
}

/// [`Serialize`] in a form that `dyn Report` can have. Every serialisable type has it.
pub trait Document {
    /// The JSON document, indented.
    ///
    /// # Errors
    /// If a key of a map is no text.
    fn document(&self) -> serde_json::Result<String>;
}

impl<T: Serialize> Document for T {
    fn document(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// The document of a command that failed.
#[derive(Debug, Serialize)]
pub(crate) struct FailureDocument<'a> {
    ok: bool,
    error: &'a Explanation,
    /// How far a procedure came.
    #[serde(skip_serializing_if = "Reached::is_empty")]
    reached: &'a Reached,
}

impl<'a> FailureDocument<'a> {
    pub(crate) fn new(error: &'a Explanation, reached: &'a Reached) -> Self {
        Self { ok: false, error, reached }
    }
}
