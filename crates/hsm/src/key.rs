use std::fmt;

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

    /// The master key from which the static keys of cards with key version `version` (0x01–0x7F) are derived.
    #[must_use]
    pub fn card_master(version: u8) -> Self {
        Self(format!("card-master-{version:02x}"))
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

/// What a key is, and so what it can do. A key does one thing only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256: signs.
    EcP256,
    /// ECDSA on P-384: signs.
    EcP384,
    /// RSA with a modulus of 2048 bits and e = 65537: signs.
    Rsa2048,
    /// AES master key of cards: derives the keys of card channels, no longer than itself. Its name is [`KeyName::card_master`].
    CardMaster(AesLength),
    /// AES-256: derives the keys of sealed records.
    RecordKey,
    /// HMAC-SHA-256 with a key of 32 bytes: authenticates.
    Hmac,
}

/// The length of an AES key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AesLength {
    /// 16 bytes.
    Aes128,
    /// 24 bytes.
    Aes192,
    /// 32 bytes.
    Aes256,
}

impl AesLength {
    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
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
