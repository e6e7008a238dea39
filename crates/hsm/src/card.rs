//! What the module does for one card beside opening its channels: a key pair that the card can't make itself, and new static keys.

use std::fmt;

use secure_channel::SessionDerivation;
use secure_channel::key_transport::CHECK_VALUE_LENGTH;

use crate::KeyKind;

/// Names the static keys of one card, and what is derived beside them. It holds none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardKeySet {
    /// Key version number, 0x01–0x7F: which master key.
    pub key_version: u8,
    /// Key diversification data, as the card gives them (10 bytes).
    pub diversification: [u8; 10],
    /// Length of the card's AES keys in bytes: 16, 24 or 32.
    pub key_length: usize,
}

impl From<&SessionDerivation> for CardKeySet {
    /// The keys that a channel is opened with.
    fn from(derivation: &SessionDerivation) -> Self {
        Self {
            key_version: derivation.key_version,
            diversification: derivation.diversification,
            key_length: derivation.key_length,
        }
    }
}

/// What kind of key pair is made for a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CardKeyPairKind {
    /// RSA with a modulus of 2048 bits and e = 65537.
    Rsa2048,
    /// A key on P-384.
    EcP384,
}

impl From<CardKeyPairKind> for KeyKind {
    fn from(kind: CardKeyPairKind) -> Self {
        match kind {
            CardKeyPairKind::Rsa2048 => Self::Rsa2048,
            CardKeyPairKind::EcP384 => Self::EcP384,
        }
    }
}

/// A key pair that was made in the module for one card, and is no longer there.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKeyPair {
    /// The public key: DER-encoded SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub public_key: Vec<u8>,
    /// The private key: PKCS #8 (RFC 5208 §5), wrapped by RFC 5649 under the card's key-import key. Some modules fill PKCS #8 up with
    /// zeros before they wrap it: whoever unwraps it cuts it off where the outer SEQUENCE ends and takes at most 7 zeros after that.
    pub wrapped_private_key: Vec<u8>,
}

impl fmt::Debug for WrappedKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKeyPair").finish_non_exhaustive()
    }
}

/// One static key, as PUT KEY carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct EncipheredKey {
    /// The key under the card's present K-DEK: AES-CBC with an initial vector of zeros, filled up to whole blocks
    /// (Amendment D §7.2).
    pub enciphered: Vec<u8>,
    /// The start of a block of `01` bytes, enciphered under the key. The card answers with the same.
    pub check_value: [u8; CHECK_VALUE_LENGTH],
}

impl fmt::Debug for EncipheredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncipheredKey").field("check_value", &self.check_value).finish_non_exhaustive()
    }
}

/// The static keys of a card that is to get a new key version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncipheredKeys {
    /// K-ENC, key identifier 1.
    pub enc: EncipheredKey,
    /// K-MAC, key identifier 2.
    pub mac: EncipheredKey,
    /// K-DEK, key identifier 3.
    pub dek: EncipheredKey,
    /// The key-import key, key identifier 4: only for cards that make no keys themselves.
    pub import: EncipheredKey,
}
