//! The line to the authority as a port: bytes out, bytes in.

use hsm::HsmError;
use madoguchi_time::{Deadline, Recovery};
use zeroize::Zeroizing;

/// The line to the authority.
///
/// # Guarantees
/// The answer is an answer to this request: never one to an earlier request that was given up.
///
/// # Errors
/// See [`LineError`]. After [`LineError::Timeout`] and [`LineError::Lost`] the request may have been heard or not.
///
/// # For callers
/// Blocking; one thread owns one line. Whoever repeats a request sends the same bytes.
///
/// # For backend authors
/// Buffers that you own are wiped. Nothing is repeated that may have been heard: that is for the caller to decide. Open
/// the connection when it is first needed, and again after an error.
pub trait AuthorityLine: Send {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// See [`LineError`].
    fn exchange(&mut self, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError>;

    /// Lets the connection go, if there is one: after each job, so that nothing stays open between jobs.
    fn close(&mut self) {}
}

/// Why a request has brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Nothing listens at the authority's address: it is down, or a firewall refuses.
    #[error("the authority refuses connections")]
    Refused,
    /// No way leads to the authority's address: the line is down, or the address is wrong.
    #[error("the authority can't be reached")]
    Unreachable(#[source] std::io::Error),
    /// The authority's name is not known. The address is wrong, or the name service is down.
    #[error("the name {0} is not known")]
    UnknownName(String),
    /// Somebody else answers at the authority's address: another key, another issuer, another name.
    #[error("the peer is not the authority that this terminal knows")]
    ForeignPeer,
    /// The peer is the right one, but its certificate has expired or is not valid yet. If it is not the certificate, it is
    /// this terminal's clock.
    #[error("the authority's certificate is not valid now")]
    PeerNotValidNow,
    /// The authority does not admit this terminal: its certificate has expired, or is not registered there.
    #[error("the authority does not admit this terminal")]
    NotAdmitted,
    /// No TLS 1.3 connection came about for another reason. The peer may speak something else or something older.
    #[error("no secure connection to the authority")]
    Tls(#[source] std::io::Error),
    /// The connection was closed in the middle. The request may have been heard.
    #[error("the connection to the authority was lost")]
    Lost,
    /// No answer in time. The request may have been heard.
    #[error("the authority did not answer in time")]
    Timeout,
    /// An answer that is no CMP message. Something else than a CMP server stands at that address, or it is out of service.
    #[error("the authority's server answered with HTTP status {0} and no CMP message")]
    Http(u16),
    /// The answer is longer than any message can be.
    #[error("the authority's answer is too long")]
    TooLong,
    /// The terminal's key could not be used.
    #[error("the HSM did not sign for the connection")]
    Hsm(#[from] HsmError),
}

impl LineError {
    /// What may help. To retry is to send the same bytes again.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Refused | Self::Unreachable(_) | Self::Lost | Self::Timeout | Self::Http(500..=599) => {
                Recovery::Retry
            }
            Self::UnknownName(_) | Self::ForeignPeer | Self::PeerNotValidNow | Self::NotAdmitted | Self::Tls(_) => {
                Recovery::Reconfigure
            }
            Self::Hsm(error) => error.recovery(),
            Self::Http(_) | Self::TooLong => Recovery::Fatal,
        }
    }
}
