//! Key ceremonies: keys are made in an HSM, or destroyed, in the presence of two persons, and a record of it is signed.
//!
//! * [`Installation`]: whose HSM it is, which keys it needs, and which it may hold.
//! * [`examine`], [`create`], [`retire`]: the acts. They judge before they act; whoever runs them accounts for each key.
//! * [`Record`]: what was done, as a JSON document. [`Record::page`]: the same as a page to be printed and signed.
//!
//! Terminal and authority have the same ceremonies. What differs (who the two persons are and how they are known, where acts are
//! accounted for) is theirs.
//!
//! # Interruptions
//! Nothing is remembered between two runs but what the HSM holds. A ceremony that was cut short is held again: keys that are there are
//! found, not made a second time.

mod acts;
mod installation;
mod page;
mod record;

pub use acts::{Examination, create, examine, key_entry, retire};
pub use installation::{Installation, InstallationKind, KeyUse};
pub use record::{
    Act, Deed, FORMAT, KeyEntry, KeyFingerprint, LogPosition, Person, PersonsProof, Record, Sealed, VERSION,
};

use hsm::custody::CustodyError;
use hsm::{HsmError, KeyKind, KeyName};
use madoguchi_time::Recovery;

/// Why a ceremony was not held, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The HSM's keys can't be looked after.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The HSM holds keys of other software. It is shared, or was used before: a token of its own is needed.
    #[error("the HSM holds {0} keys that are not ours")]
    ForeignKeys(usize),
    /// The HSM holds a key of another installation: of an authority where a terminal's are to be, or the other way round.
    #[error("the HSM holds {0}, a key of another installation")]
    AnotherInstallation(KeyName),
    /// A key of that name is there, and of another kind: made for cards of another generation, or by hand.
    #[error("the HSM's {key} is {is:?}, and {wanted:?} is needed")]
    OtherKind {
        /// Which.
        key: KeyName,
        /// What it is.
        is: KeyKind,
        /// What it should be.
        wanted: KeyKind,
    },
    /// No installation of this kind has a key of that name, or not of that kind. A slip of the pen.
    #[error("{0} is no key that this installation may hold, or not of that kind")]
    UnknownKey(KeyName),
    /// The key is needed for as long as the installation is in service.
    #[error("{key} is in use")]
    InUse {
        /// Which.
        key: KeyName,
        /// For what.
        by: KeyUse,
    },
    /// The log was signed by a key that the HSM no longer has. A new one would not fit it: the HSM is another one, or the key was
    /// destroyed past this program.
    #[error("the HSM does not have the key that has signed the log")]
    LogKeyGone,
    /// The two persons are one, or one of them was not named.
    #[error("a ceremony takes two persons")]
    SamePerson,
}

impl From<HsmError> for CeremonyError {
    fn from(error: HsmError) -> Self {
        Self::Custody(error.into())
    }
}

impl CeremonyError {
    /// A short name, the same in every language: for machines, and as a key of the message catalogue.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Custody(CustodyError::Dishonest(_)) => "hsm-dishonest",
            Self::Custody(CustodyError::NotAsAsked { .. }) => "hsm-not-as-asked",
            Self::Custody(CustodyError::NameTaken(_)) => "hsm-name-taken",
            Self::Custody(_) => "hsm",
            Self::ForeignKeys(_) => "hsm-foreign-keys",
            Self::AnotherInstallation(_) => "hsm-another-installation",
            Self::OtherKind { .. } => "hsm-other-kind",
            Self::UnknownKey(_) => "hsm-unknown-key",
            Self::InUse { .. } => "hsm-in-use",
            Self::LogKeyGone => "hsm-log-key-gone",
            Self::SamePerson => "hsm-same-person",
        }
    }

    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Custody(error) => error.recovery(),
            Self::ForeignKeys(_) | Self::AnotherInstallation(_) | Self::OtherKind { .. } | Self::LogKeyGone => {
                Recovery::Reconfigure
            }
            Self::UnknownKey(_) | Self::InUse { .. } | Self::SamePerson => Recovery::AskPerson,
        }
    }
}
