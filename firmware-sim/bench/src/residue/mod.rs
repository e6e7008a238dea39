//! The search for what must be gone (invariant I4): after a procedure nothing personal and nothing secret of it is in the
//! terminal's files, temp folders and memory.
//!
//! A search that finds nothing proves nothing, so it proves itself first: a canary is planted in every place and in every
//! encoding, and the search must find each before its silence about the rest counts.

mod canary;
mod encodings;
mod memory;
mod places;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use canary::{Canary, Planted};
pub use encodings::{Encoding, Needles};
pub use memory::search_process;
pub use places::{search_folder, temp_folders};

/// Something that is searched for. Its label may be shown, its value never.
#[derive(Clone)]
pub struct Sought {
    /// What it is: `氏名`, `PIN`.
    pub label: String,
    /// The value.
    pub value: Value,
}

/// What something that is searched for looks like.
#[derive(Clone)]
pub enum Value {
    /// A text, in whatever encoding.
    Text(Zeroizing<String>),
    /// An image, a key, a template: a part of it is enough.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Zeroizing::new(text.to_owned()))
    }

    /// Something that is no text.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Zeroizing::new(bytes.to_vec()))
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    /// What it is.
    pub label: String,
    /// In which encoding.
    pub encoding: Encoding,
    /// Where.
    pub place: String,
}

/// Why a place can't be searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A file can't be read: it belongs to somebody else, or went away.
    #[error("{path} can't be searched")]
    File {
        /// Which.
        path: PathBuf,
        /// Its cause.
        #[source]
        source: std::io::Error,
    },
    /// The system does not let this program at the other one's memory.
    #[error("the memory of process {pid} can't be searched")]
    Memory {
        /// Which process.
        pid: u32,
        /// Its cause.
        #[source]
        source: std::io::Error,
    },
    /// More is searched for than a search can be for.
    #[error("too much is searched for")]
    TooMuch,
    /// The canary's own database could not be written.
    #[error("the canary can't be planted in a database")]
    Database(#[from] rusqlite::Error),
    /// The search did not find its own canary, so that it proves nothing.
    #[error("the search is blind: {encoding:?} in {place}")]
    Blind {
        /// In which encoding.
        encoding: Encoding,
        /// Where the canary was.
        place: String,
    },
}
