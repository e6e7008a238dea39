//! What can be wrong with a message or an answer.

use madoguchi_time::Recovery;

use crate::message::{MessageError, ProtectionError};
use crate::signature::SignatureError;

/// Why a request can't be made, or an answer can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not a CMP message, or one beyond the profile. Something else answers at the authority's address.
    #[error("the authority's answer can't be read")]
    Message(#[from] MessageError),
    /// Not signed by the authority that this terminal knows, or under a certificate that is not valid now.
    #[error("the authority's answer is not authentic")]
    Protection(#[from] ProtectionError),
    /// The answer belongs to another transaction. A late answer to somebody else, or to an earlier request.
    #[error("the answer belongs to another transaction")]
    WrongTransaction,
    /// The answer does not repeat this request's nonce: an old answer, played again.
    #[error("the answer does not answer this request")]
    WrongNonce,
    /// Authentic, but it answers something that was not asked.
    #[error("the authority answered {got} where {expected} was expected")]
    UnexpectedAnswer {
        /// The body that answers the request.
        expected: &'static str,
        /// The body, or the part of it, that came.
        got: &'static str,
    },
    /// The card's proof of possession does not verify, or its key is of a kind that is not supported.
    #[error("the key's proof of possession is not good")]
    Signature(#[from] SignatureError),
    /// This terminal's certificate, key or a part of the request can't be encoded: wrong configuration, or wrong data.
    #[error("the request can't be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The algorithm of this terminal's key has no place in CMP.
    #[error("the terminal's signature algorithm is not supported")]
    UnsupportedAlgorithm,
}

impl LinkError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::WrongTransaction | Self::WrongNonce => Recovery::Retry,
            Self::Protection(ProtectionError::Foreign | ProtectionError::NotValidNow { .. })
            | Self::UnsupportedAlgorithm => Recovery::Reconfigure,
            Self::Message(_)
            | Self::Protection(_)
            | Self::UnexpectedAnswer { .. }
            | Self::Signature(_)
            | Self::Encoding(_) => Recovery::Fatal,
        }
    }
}
