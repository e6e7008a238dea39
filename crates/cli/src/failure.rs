//! Why a command did not do as asked, and what the process's exit status says about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use orchestrator::{ProcedureError, StateError};

use crate::explanation::Explanation;
use crate::messages::Messages;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The terminal could not do it, or refused.
    #[error(transparent)]
    Procedure(#[from] ProcedureError),
    /// This program was built without anything that could drive the device. A composition root without an adapter.
    #[error("this program has no adapter for the {0}")]
    NoAdapter(Part),
    /// A person is needed and can't be asked: standard input is no terminal.
    #[error("there is no terminal to ask a person at")]
    NoTerminal(#[source] io::Error),
    /// The result could not be written: a closed pipe, a full disk.
    #[error("the result could not be written")]
    Output(#[from] io::Error),
    /// Another process of this program failed, and has explained why.
    #[error("{}", .0.code)]
    Told(Explanation),
    /// A failure of a composition root's own, explained by its text in the catalogue.
    #[error("{key}")]
    Own {
        /// Key of the text, `error-…`.
        key: &'static str,
        /// Its arguments.
        args: Vec<(&'static str, crate::Value)>,
        /// Its cause.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

/// A part of the terminal that a composition root provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The card reader.
    CardReader,
    /// The HSM.
    Hsm,
    /// The palm sensor with its matcher.
    PalmVerifier,
    /// The line to the authority.
    AuthorityLine,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CardReader => "card reader",
            Self::Hsm => "HSM",
            Self::PalmVerifier => "palm sensor",
            Self::AuthorityLine => "line to the authority",
        })
    }
}

impl Part {
    /// The key of its name.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::CardReader => "part-card-reader",
            Self::Hsm => "part-hsm",
            Self::PalmVerifier => "part-palm-verifier",
            Self::AuthorityLine => "part-authority-line",
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::Procedure(error.into())
    }
}

impl Failure {
    /// Explains it.
    #[must_use]
    pub fn explain(&self, messages: &Messages) -> Explanation {
        match self {
            Self::Procedure(error) => Explanation::of(messages, error),
            Self::NoAdapter(part) => {
                Explanation::new(messages, "error-no-adapter", &[("part", messages.get(part.key()).into())])
            }
            Self::NoTerminal(_) => Explanation::new(messages, "error-no-terminal", &[]),
            Self::Output(_) => Explanation::new(messages, "error-output", &[]),
            Self::Told(explanation) => explanation.clone(),
            Self::Own { key, args, .. } => Explanation::new(messages, key, args),
        }
    }

    /// The exit status.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            // What the card or the authority holds is open until the card is seen again.
            Self::Procedure(ProcedureError::CardGone | ProcedureError::AuthorityUnreachable(_)) => Status::Interrupted,
            Self::Told(told) if ["card-gone", "authority-unreachable"].contains(&told.code.as_str()) => {
                Status::Interrupted
            }
            _ => Status::Failed,
        }
    }
}

/// The exit statuses of both programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Done = 0,
    /// Refused or failed; nothing is half-done.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Interrupted: what is open is settled when the card is next read.
    Interrupted = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
