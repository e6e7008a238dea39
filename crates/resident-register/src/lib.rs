//! The municipality's resident register, as far as the terminal asks it: who has this number?
//!
//! [`ResidentRegister`] is the port; [`CsvRegister`] reads a file in the format of `docs/resident-register.md`.

#[cfg(feature = "contract")]
pub mod contract;
mod csv;

use std::io;

use jpki::Resident;
use madoguchi_time::Recovery;

pub use csv::{Column, CsvRegister, FaultyLine, Problem, write};

/// The resident register of a municipality.
///
/// # Guarantees
/// Whoever is found has exactly the number asked for, and is the only one who has it. Nothing personal stays in memory once the
/// [`Resident`] that was returned has been dropped.
///
/// # Errors
/// [`RegisterError`]; that nobody has the number is not an error.
///
/// # For callers
/// Ask for one person at a time, when they stand at the counter, and drop the answer with the procedure: it wipes itself. Every look at a
/// resident's data is an entry in the log before it is shown.
///
/// # For backend authors
/// Don't cache. Wipe what you read into buffers (`zeroize`), also of residents whom you pass over. Compare numbers as whole texts, never as
/// patterns or prefixes, and never build a query from them. Instantiate [`contract_suite!`] in your tests.
pub trait ResidentRegister: Send {
    /// The resident with this number (宛名番号), if there is one.
    ///
    /// # Errors
    /// If the register can't be read, the resident's own data is faulty, or two residents have the number.
    fn find(&mut self, number: &str) -> Result<Option<Resident>, RegisterError>;

    /// How many residents there are. Reads the register, so it shows that it can be read.
    ///
    /// # Errors
    /// If the register can't be read.
    fn count(&mut self) -> Result<u64, RegisterError>;
}

/// Why the register gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The file or the database is not there, or may not be read: a wrong path or wrong rights.
    #[error("the resident register can't be read")]
    Unreadable(#[from] io::Error),
    /// The header or the resident's own line is faulty. The register was exported or edited wrongly.
    #[error("the resident register: {0}")]
    Faulty(FaultyLine),
    /// Two residents have the number. Which of them is at the counter, no program can decide.
    #[error("two residents have the same number, on lines {first} and {second}")]
    Ambiguous {
        /// Line of the first.
        first: u64,
        /// Line of the second.
        second: u64,
    },
}

impl RegisterError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Unreadable(error) if error.kind() == io::ErrorKind::Interrupted => Recovery::Retry,
            Self::Unreadable(_) | Self::Faulty(_) | Self::Ambiguous { .. } => Recovery::Reconfigure,
        }
    }
}
