use madoguchi_time::Deadline;
use secure_channel::{SessionDerivation, SessionKeys};
use zeroize::Zeroizing;

use crate::{CardKeyPairKind, CardKeySet, EncipheredKeys, HsmError, KeyName, SignatureAlgorithm, WrappedKeyPair};

/// A hardware security module, or a token of one.
///
/// # Guarantees
/// A key is found by its name to exactly one hit, every time; handles are never kept across calls. Calls leave nothing
/// behind in the module: any of them may be repeated.
///
/// # Errors
/// See [`HsmError`].
///
/// # For callers
/// Shared between threads; every call stands for itself.
///
/// # For backend authors
/// Keys must not be extractable. Serials of simulators start with `SIM-`. A call whose deadline has passed is refused with
/// [`HsmError::Timeout`] before anything is asked of the module. Instantiate the contract suite (`hsm::contract`).
pub trait Hsm: Send + Sync {
    /// Make, model and serial.
    fn identity(&self) -> HsmIdentity;

    /// What the module does in a weaker way than it should, for want of a mechanism: stable names, which go into the terminal's log.
    /// Those that can be told apart are documented in `docs/hsm.md`.
    fn weaker_modes(&self) -> Vec<&'static str> {
        Vec::new()
    }

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

    /// Derives the session keys of one SCP03 channel: the card's static keys from the master key
    /// [`KeyName::card_master`] by the card's diversification data, then the session keys from the two challenges
    /// (GlobalPlatform Card Specification v2.3 Amendment D §6.2.1).
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`] when there is no master key of that version, [`HsmError::WrongKind`] when the card's keys
    /// are of a length that AES does not have, or longer than the master key.
    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError>;

    /// Makes a key pair for a card that makes none itself, wraps its private half for that card alone, and destroys it: when this
    /// returns, and whenever it fails or the line is lost on the way, the module has it no longer. Every call makes another pair.
    /// The private key is never in clear outside the module. It signs nothing there: the card proves its possession.
    ///
    /// It is wrapped under the card's key-import key, which is derived as the card's static keys are, with a constant of its own
    /// ([`secure_channel::kdf::import_key`]).
    ///
    /// Modules may take many seconds for an RSA key.
    ///
    /// # Errors
    /// As [`Hsm::derive_session`]; [`HsmError::Unsupported`] when the module can't wrap.
    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError>;

    /// The static keys with which a card replaces those of `present`: those of key version `next`, derived from the master key of that
    /// version, each enciphered under the card's K-DEK of `present`. They are of the same length as the present ones.
    ///
    /// # Errors
    /// As [`Hsm::derive_session`], for either master key.
    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError>;

    /// Derives the key of one sealed record from `key` and `context`, as [`record_key`](crate::record_key) says.
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
