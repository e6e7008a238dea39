//! Why an authority can't be set up, opened or run.

use std::path::PathBuf;

use hsm::HsmError;
use key_ceremony::CeremonyError;
use madoguchi_time::Recovery;

use crate::signer::SignError;
use crate::store::StoreError;

/// Why an authority can't be set up or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The folder holds an authority already; nothing was changed.
    #[error("{0} holds an authority already")]
    AlreadyInitialised(PathBuf),
    /// The folder holds no authority: another folder, or `init` was not run.
    #[error("{0} holds no authority")]
    NotInitialised(PathBuf),
    /// A file of the state folder can't be read or written: permissions, or a full disk.
    #[error("{path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file of the state folder was changed by hand, or damaged.
    #[error("{0} can't be understood")]
    Damaged(PathBuf),
    /// A certificate in the folder is not for the key in the HSM: the folder belongs to another module.
    #[error("the certificate {certificate} is not for the key in the HSM")]
    KeyMismatch {
        /// The certificate's name.
        certificate: &'static str,
    },
    /// A terminal's name, window or municipality has the wrong form, or its key is not ECDSA P-256.
    #[error("terminal {terminal}: {fault}")]
    BadRegistration {
        /// The terminal's name.
        terminal: String,
        /// What is wrong.
        fault: RegistrationFault,
    },
    /// The HSM failed, or lacks a key that [`required_keys`](crate::required_keys) names.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The HSM's keys can't be made, or not be destroyed.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// Another program holds a key ceremony in this folder. It ends in minutes, and what was to be done can be done then.
    #[error("another program holds a key ceremony in {0}: try again when it has ended")]
    CeremonyHeld(PathBuf),
    /// A certificate could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key of the HSM is no public key in DER.
    #[error("a public key can't be read: {0}")]
    Der(#[from] der::Error),
    /// An address can't be listened on: another program has it, or it is not this machine's.
    #[error("the address can't be listened on")]
    Listen(#[source] std::io::Error),
    /// The TLS library refuses the certificates or keys.
    #[error("TLS can't be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SetupError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Hsm(error) | Self::Sign(SignError::Hsm(error)) => error.recovery(),
            Self::Ceremony(error) => error.recovery(),
            Self::Store(error) => error.recovery(),
            Self::Damaged(_) => Recovery::Fatal,
            Self::CeremonyHeld(_) => Recovery::AskPerson,
            _ => Recovery::Reconfigure,
        }
    }
}

/// What is wrong with the registration of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationFault {
    /// 1 to 64 of `A-Z a-z 0-9 - _ .`, not starting with a dot.
    #[error("the name is not 1 to 64 of A-Z a-z 0-9 - _ .")]
    Name,
    /// 9 capital letters and digits that start with the municipality's code.
    #[error("the window is not 9 capital letters and digits that start with the municipality's code")]
    Window,
    /// 5 digits.
    #[error("the municipality's code is not 5 digits, or one of its names is empty")]
    Municipality,
    /// Only a test peer has no log.
    #[error("the log key is missing")]
    NoLog,
    /// Messages, line and log are protected by ECDSA P-256.
    #[error("a key is not ECDSA P-256")]
    Key,
}
