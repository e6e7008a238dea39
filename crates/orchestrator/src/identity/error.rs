//! Why the terminal has no certificates of its own.

use authority_link::{LineError, LinkError, OwnCertificateError};
use hsm::HsmError;
use hsm::custody::CustodyError;
use jiff::Timestamp;
use madoguchi_time::Recovery;

use crate::error::ProcedureError;
use crate::state::StateError;

/// Why the terminal's own certificates can't be used, fetched or renewed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The terminal has no certificates yet, or not both: it was never enrolled, or that was interrupted.
    #[error("this terminal is not enrolled at the authority")]
    NotEnrolled,
    /// Nobody renewed it in time: the terminal was switched off for long, or the authority out of reach. It must be invited again.
    #[error("the terminal's certificate for {purpose} expired at {not_after}")]
    Expired {
        /// What it was for.
        purpose: &'static str,
        /// When it expired.
        not_after: Timestamp,
    },
    /// The authority refused. Under an invitation: the secret was mistyped, the invitation is used or has expired.
    #[error("the authority refused: {failure} ({text})")]
    Refused {
        /// PKIFailureInfo's name (RFC 9810 §5.2.3).
        failure: String,
        /// The authority's words.
        text: String,
    },
    /// What the authority issued is not what was asked for. It was rejected; nothing was taken into use.
    #[error("the authority's certificate was rejected")]
    NotAsAsked(#[from] OwnCertificateError),
    /// The authority at the other end does not have the certificate that this terminal was given with its invitation: another
    /// authority's files, or another authority.
    #[error("the authority has other certificates than this terminal was given")]
    OtherAuthority,
    /// The authority can't be reached, or does not admit the terminal. It is gone on with the next time.
    #[error("the authority can't be reached")]
    Unreachable(#[from] LineError),
    /// What came back is not the authority's answer.
    #[error("the authority's answer can't be trusted")]
    NotTrusted(#[from] LinkError),
    /// The line can't be set up.
    #[error("the line can't be set up")]
    Line(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HSM has no key for the successor, and makes none for this program.
    #[error("the HSM has no key for the new certificate")]
    NoKey,
    /// The HSM did not make the new key as it should.
    #[error("the HSM did not make the new key")]
    Keys(#[source] CustodyError),
    /// The HSM failed, or lacks a key.
    #[error("the HSM failed")]
    Hsm(#[from] HsmError),
    /// The state folder can't be used.
    #[error("the state folder can't be used")]
    State(#[from] StateError),
    /// The log can't be continued.
    #[error("the audit log can't be continued")]
    Log(#[source] Box<ProcedureError>),
}

impl IdentityError {
    /// A short name, the same in every language.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotEnrolled => "not-enrolled",
            Self::Expired { .. } => "own-certificate-expired",
            Self::Refused { .. } => "enrolment-refused",
            Self::NotAsAsked(_) => "own-certificate-rejected",
            Self::OtherAuthority => "other-authority",
            Self::Unreachable(_) => "authority-unreachable",
            Self::NotTrusted(_) => "authority-not-trusted",
            Self::Line(_) => "line",
            Self::NoKey => "no-successor-key",
            Self::Keys(_) => "keys",
            Self::Hsm(_) => "hsm",
            Self::State(_) => "state",
            Self::Log(_) => "log",
        }
    }

    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::NotEnrolled | Self::Expired { .. } | Self::Refused { .. } => Recovery::AskPerson,
            Self::Unreachable(error) => error.recovery(),
            Self::Hsm(error) => error.recovery(),
            Self::Keys(error) => error.recovery(),
            Self::Log(error) => error.recovery(),
            Self::OtherAuthority | Self::Line(_) | Self::NoKey | Self::State(_) => Recovery::Reconfigure,
            Self::NotAsAsked(_) | Self::NotTrusted(_) => Recovery::Fatal,
        }
    }
}

impl From<ProcedureError> for IdentityError {
    fn from(error: ProcedureError) -> Self {
        match error {
            ProcedureError::Hsm(error) => Self::Hsm(error),
            ProcedureError::State(error) => Self::State(error),
            ProcedureError::Identity(error) => *error,
            other => Self::Log(Box::new(other)),
        }
    }
}

impl From<IdentityError> for ProcedureError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Hsm(error) => Self::Hsm(error),
            IdentityError::State(error) => Self::State(error),
            IdentityError::Log(error) => *error,
            IdentityError::Unreachable(error) => Self::AuthorityUnreachable(Box::new(error)),
            IdentityError::NotTrusted(error) => Self::AuthorityNotTrusted(error),
            other => Self::Identity(Box::new(other)),
        }
    }
}
