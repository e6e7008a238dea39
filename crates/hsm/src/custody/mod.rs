//! Custody of the keys themselves: what is in a module, how it got there, and that it stays there. For those who set a module up
//! and look after it; procedures at the counter need [`Hsm`] alone.

#[cfg(feature = "contract")]
pub mod contract;

use std::fmt;

use madoguchi_time::{Deadline, Recovery};
use sha2::{Digest, Sha256};

use crate::{AesLength, Hsm, HsmError, KeyKind, KeyName, SessionDerivation};

/// A module whose keys can be made, listed and destroyed.
///
/// # Guarantees
/// A name is given once: [`create`](Self::create) never makes a second key beside one that is there, also when it is called again after
/// a loss. What [`inventory`](Self::inventory) says of a key was read back from the module, not remembered.
///
/// # Errors
/// See [`CustodyError`]. After [`HsmError::Unreachable`] and [`HsmError::Timeout`] the key may have been made or destroyed, or not: the
/// inventory tells.
///
/// # For callers
/// Whoever may call this may destroy every key. The commands that do ask for two persons.
///
/// # For backend authors
/// A key that the module did not make as it was told to is destroyed before the error is returned. The trial of
/// [`prove_honesty`](Self::prove_honesty) judges by trying, with throw-away keys, and leaves nothing behind.
pub trait KeyCustody: Hsm {
    /// All private and secret keys.
    ///
    /// # Errors
    /// If the module can't be asked.
    fn inventory(&self, deadline: Deadline) -> Result<Inventory, HsmError>;

    /// Makes a key that is not there yet, inside the module.
    ///
    /// # Errors
    /// [`CustodyError::NameTaken`], [`CustodyError::NotAsAsked`].
    fn create(&self, name: &KeyName, kind: KeyKind, deadline: Deadline) -> Result<(), CustodyError>;

    /// Destroys a key, for good.
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`].
    fn destroy(&self, name: &KeyName, deadline: Deadline) -> Result<(), HsmError>;

    /// Tries to get keys out of the module. To be done before keys are made in it.
    ///
    /// # Errors
    /// [`CustodyError::Dishonest`] names the attempt that succeeded.
    fn prove_honesty(&self, deadline: Deadline) -> Result<Honesty, CustodyError>;

    /// What the module was found to do, and what not.
    fn abilities(&self) -> Vec<Ability>;
}

/// What a module holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Our keys, by name.
    pub keys: Vec<HeldKey>,
    /// Private and secret keys that are none of ours: made by other software, or by hand.
    pub foreign: usize,
}

/// A key in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Its name.
    pub name: KeyName,
    /// What it is.
    pub kind: KeyKind,
    /// How it got there.
    pub origin: Origin,
    /// What the module says of its protection: attributes by the names that the module's interface has for them.
    pub attributes: Vec<(&'static str, String)>,
}

/// How a key got into its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made inside (`CKA_LOCAL`).
    Made,
    /// Brought in from outside: whoever brought it may have it still.
    BroughtIn,
    /// The module does not say.
    Unknown,
}

impl Origin {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Made => "made-inside",
            Self::BroughtIn => "brought-in",
            Self::Unknown => "unknown",
        }
    }
}

/// What was tried on a module that gave nothing away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Honesty {
    /// How many attempts were refused. None if nothing was tried: a simulator has nothing to protect.
    pub refused: usize,
    /// Ways that were tried without proving anything, because they do not work with a key that may leave the module, either.
    pub without_control: Vec<String>,
    /// The authorised program may derive keys of cards that can be read. The master key itself does not come out by that: it is no
    /// worse than a module that only has AES-CMAC.
    pub readable_children: bool,
}

/// A way in which a module gave a key away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// What was done.
    pub way: LeakWay,
    /// To a key of which kind.
    pub kind: KeyKind,
    /// With which mechanism, or of which attribute, in the words of the module's interface.
    pub by: String,
}

/// What was done to get a key out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeakWay {
    /// Its value was read.
    Read,
    /// Its protection was taken off.
    Unprotected,
    /// It was copied to a key without protection.
    Copied,
    /// It was wrapped under a key of the caller's.
    Wrapped,
    /// What can be read was derived from it, by which it can be found.
    Derived,
    /// It was used with a mechanism that it is not for.
    Misused,
}

impl LeakWay {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unprotected => "unprotected",
            Self::Copied => "copied",
            Self::Wrapped => "wrapped",
            Self::Derived => "derived",
            Self::Misused => "misused",
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.way.code(), self.kind.code(), self.by)
    }
}

/// Something that a module does, or does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// A stable name. The message catalogue has a text for it, `doctor-hsm-…`.
    pub code: &'static str,
    /// It is a way round for what the module does not do, and costs security.
    pub is_weaker: bool,
}

/// Why a module's keys can't be looked after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The module gives keys away: a faulty or dishonest one, or one that is set up to let its user export keys. No key is made in it.
    #[error("the HSM gives keys away: {0}")]
    Dishonest(Leak),
    /// The module made a key otherwise than it was told to. That key is destroyed; the module is not fit to hold any.
    #[error("the HSM did not make {key} as it should: {attribute}")]
    NotAsAsked {
        /// Which.
        key: KeyName,
        /// The attribute that it lacks.
        attribute: String,
    },
    /// There is a key of that name. It was made before, or the module is another installation's.
    #[error("the HSM has a key named {0} already")]
    NameTaken(KeyName),
    /// The module failed.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl CustodyError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Dishonest(_) | Self::NotAsAsked { .. } => Recovery::Fatal,
            Self::NameTaken(_) => Recovery::Reconfigure,
            Self::Hsm(error) => error.recovery(),
        }
    }
}

/// By what two keys can be told to be the same, or not, without the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// SHA-256 of the public half's SubjectPublicKeyInfo.
    PublicKey([u8; 32]),
    /// The check value of a secret key: see [`fingerprint`].
    CheckValue([u8; CHECK_VALUE_LENGTH]),
}

/// Length of a check value in bytes: long enough not to be met by chance, too short to try keys with.
pub const CHECK_VALUE_LENGTH: usize = 5;

/// What check values are made from.
const CHECKED: &[u8] = b"madoguchi check value";

impl Fingerprint {
    /// What kind of fingerprint it is, as a stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PublicKey(_) => "spki-sha256",
            Self::CheckValue(_) => "check-value",
        }
    }
}

impl fmt::Display for Fingerprint {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::PublicKey(digest) => digest,
            Self::CheckValue(value) => value,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The fingerprint of a key.
///
/// A secret key's check value comes of what the key is for, as the port offers it: the first [`CHECK_VALUE_LENGTH`] bytes of the
/// SHA-256 of a text of ours and of what the key gives for that text (a code, a record key, the session keys of a card of which
/// everything is zero). So it is the same in every module, whichever mechanism that one has, and the key needs no mechanism beside its
/// own. The usual check value, the encryption or AES-CMAC of a block of zeros, would need one.
///
/// # Errors
/// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`] if it is of another kind.
pub fn fingerprint(
    hsm: &(impl Hsm + ?Sized),
    name: &KeyName,
    kind: KeyKind,
    deadline: Deadline,
) -> Result<Fingerprint, HsmError> {
    let mut digest = Sha256::new_with_prefix(CHECKED);
    match kind {
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::Rsa2048 => {
            let spki = hsm.public_key(name, deadline)?;
            return Ok(Fingerprint::PublicKey(Sha256::digest(spki).into()));
        }
        KeyKind::RecordKey => digest.update(*hsm.derive_record_key(name, CHECKED, deadline)?),
        KeyKind::Hmac => digest.update(hsm.mac(name, CHECKED, deadline)?),
        KeyKind::CardMaster(length) => {
            let derivation = SessionDerivation {
                key_version: name.card_version().ok_or_else(|| HsmError::WrongKind(name.clone()))?,
                diversification: [0; 10],
                key_length: length.bytes(),
                host_challenge: vec![0; 8],
                card_challenge: vec![0; 8],
            };
            let keys = hsm.derive_session(&derivation, deadline)?;
            for key in [&keys.enc, &keys.mac, &keys.rmac] {
                digest.update(key);
            }
        }
    }
    let mut value = [0; CHECK_VALUE_LENGTH];
    value.copy_from_slice(&digest.finalize()[..CHECK_VALUE_LENGTH]);
    Ok(Fingerprint::CheckValue(value))
}

impl KeyName {
    /// The version of the cards whose master this is, if it is the name of one.
    #[must_use]
    pub fn card_version(&self) -> Option<u8> {
        let digits = self.as_str().strip_prefix("card-master-")?;
        let version = u8::from_str_radix(digits, 16).ok()?;
        // Only as it is written here: no capitals, no sign, no digit missing.
        (Self::card_master(version) == *self && (0x01..=0x7f).contains(&version)).then_some(version)
    }
}

impl KeyKind {
    /// Every kind with its stable name.
    const CODES: [(Self, &'static str); 8] = [
        (Self::EcP256, "ec-p256"),
        (Self::EcP384, "ec-p384"),
        (Self::Rsa2048, "rsa-2048"),
        (Self::CardMaster(AesLength::Aes128), "card-master-aes-128"),
        (Self::CardMaster(AesLength::Aes192), "card-master-aes-192"),
        (Self::CardMaster(AesLength::Aes256), "card-master-aes-256"),
        (Self::RecordKey, "record-key"),
        (Self::Hmac, "hmac"),
    ];

    /// Every kind, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::CODES.into_iter().map(|(kind, _)| kind)
    }

    /// A stable name.
    #[must_use]
    pub fn code(self) -> &'static str {
        Self::CODES.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, code)| code)
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::CODES.into_iter().find(|(_, name)| *name == code).map(|(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_as_a_masters_name_is_one() {
        for version in 0x01..=0x7f {
            assert_eq!(KeyName::card_master(version).card_version(), Some(version));
        }
        for name in
            ["card-master-0", "card-master-00", "card-master-80", "card-master-0A", "card-master-+1", "log-signing"]
        {
            assert_eq!(KeyName::new(name).card_version(), None, "{name}");
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for kind in KeyKind::all() {
            assert_eq!(KeyKind::from_code(kind.code()), Some(kind));
        }
    }
}
