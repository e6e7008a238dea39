//! The HSM port: what the terminal and the authority ask of a hardware security module.
//!
//! Static keys never cross this port. What comes out is signatures, session keys for one card channel, record keys for
//! one sealed record, and authentication codes.

use std::fmt;

use madoguchi_time::{Deadline, Recovery};
pub use secure_channel::{SessionDerivation, SessionKeys};
use zeroize::Zeroizing;


/// A hardware security module, or a token of one.
///
/// # Guarantees
/// A key is found by its name to exactly one hit, every time; handles are never kept across calls.
///
/// # Errors
/// See [`HsmError`].
///
/// # For callers
/// Shared between threads; every call stands for itself.
///
/// # For backend authors
/// Keys must not be extractable. Serials of simulators start with `SIM-`.
pub trait Hsm: Send + Sync {
    /// Make, model and serial.
    fn identity(&self) -> HsmIdentity;

    /// The names of all keys, in order.
    ///
    /// # Errors
    /// If the module can't be asked.
    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError>;

    /// The public half of a key pair, as DER-encoded SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`] for a secret key.
    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError>;

    /// Signs `message` (the message itself, not its hash). ECDSA signatures come as DER (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`] if the key can't do `algorithm`.
    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError>;

    /// Derives the session keys of one SCP03 channel: the card's static keys from the master key by the card's
    /// diversification data, then the session keys from the two challenges (GlobalPlatform Card Specification v2.3
    /// Amendment D §6.2.1).
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`] when there is no master key of that version.
    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError>;

    /// Derives the key of one sealed record: AES-CMAC of `context` under the key `key`, in the counter mode of NIST SP 800-108.
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`].
    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError>;

    /// HMAC-SHA-256 of `message` under `key`: the keyed reference by which the log names a resident.
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`].
    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError>;
}

/// Make, model and serial of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsmIdentity {
    /// Who made it.
    pub manufacturer: String,
    /// Which model.
    pub model: String,
    /// Its serial number; starts with `SIM-` for a simulator.
    pub serial: String,
}

/// The name of a key in the module: its label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Protects CMP messages from this terminal (ECDSA P-256).
    pub const TERMINAL_SIGNING: &'static str = "terminal-signing";
    /// The client key of the TLS line to the authority (ECDSA P-256).
    pub const TERMINAL_TLS: &'static str = "terminal-tls";
    /// Signs checkpoints of the audit log (ECDSA P-256).
    pub const LOG_SIGNING: &'static str = "log-signing";
    /// Seals palm templates (AES-256, derive only).
    pub const TEMPLATE_SEALING: &'static str = "template-sealing";
    /// Keys the references by which the log names residents (HMAC-SHA-256).
    pub const RESIDENT_REFERENCE: &'static str = "resident-reference";

    /// A key with this label.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self(label.into())
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
}

/// Why the module did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HsmError {
    /// No key of that name, or several. The module was set up for another terminal, or not set up at all.
    #[error("the HSM has no key named {0}")]
    NoSuchKey(KeyName),
    /// The key can't do what was asked of it.
    #[error("the HSM's key {0} is of the wrong kind for this")]
    WrongKind(KeyName),
    /// The module did not answer in time.
    #[error("the HSM did not answer in time")]
    Timeout,
    /// The module is not there: unplugged, or its network line is down.
    #[error("the HSM is not reachable")]
    Unreachable,
    /// The module's own store can't be read: a damaged file.
    #[error("the HSM's store is damaged: {0}")]
    Damaged(String),
    /// A sealed record was changed, belongs elsewhere, or was sealed by another module.
    #[error("the sealed record can't be opened: it was changed, moved, or sealed by another HSM")]
    NotAuthentic,
    /// The module failed; the function that did so is named.
    #[error("the HSM failed in {function}")]
    Failed {
        /// The function of the module's interface that failed.
        function: &'static str,
        /// Its cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HsmError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Timeout => Recovery::Retry,
            Self::Unreachable => Recovery::Reconnect,
            Self::NoSuchKey(_) | Self::WrongKind(_) => Recovery::Reconfigure,
            Self::Damaged(_) | Self::NotAuthentic | Self::Failed { .. } => Recovery::Fatal,
        }
    }
}
