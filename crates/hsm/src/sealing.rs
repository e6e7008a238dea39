//! Records that only this module can open: the key of each record is derived in the module, the record itself is encrypted
//! on the host with AES-256-GCM-SIV (RFC 8452).
//!
//! A record is bound to its *purpose* (what kind of record it is) and to its *associated data* (whose it is, say): both go
//! into its key, so a record that is moved to another person's place does not open.

use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use madoguchi_time::Deadline;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{Hsm, HsmError, KeyName};

/// The version of the encoding, and of everything that stands behind it: derivation, cipher, lengths.
const VERSION: u8 = 1;
const SALT_LENGTH: usize = 16;
/// RFC 8452 §4.
const NONCE_LENGTH: usize = 12;
/// RFC 8452 §4.
const TAG_LENGTH: usize = 16;

/// A sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    salt: [u8; SALT_LENGTH],
    nonce: [u8; NONCE_LENGTH],
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// The record's bytes: version (1), salt (16), nonce (12), ciphertext with its tag (16 more than the plaintext).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION], self.salt.as_slice(), &self.nonce, &self.ciphertext].concat()
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    /// [`HsmError::NotAuthentic`] if they are too short, or of a version that this program does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HsmError> {
        let (&version, rest) = bytes.split_first().ok_or(HsmError::NotAuthentic)?;
        let (salt, rest) = rest.split_first_chunk().ok_or(HsmError::NotAuthentic)?;
        let (nonce, ciphertext) = rest.split_first_chunk().ok_or(HsmError::NotAuthentic)?;
        if version != VERSION || ciphertext.len() < TAG_LENGTH {
            return Err(HsmError::NotAuthentic);
        }
        Ok(Self { salt: *salt, nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

/// Seals `plaintext` under the record-key key `key`.
///
/// # Errors
/// Those of [`Hsm::derive_record_key`]; [`HsmError::Failed`] if `rng` gives no random bytes.
pub fn seal(
    hsm: &dyn Hsm,
    key: &KeyName,
    purpose: &str,
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut dyn CryptoRngCore,
    deadline: Deadline,
) -> Result<Sealed, HsmError> {
    let mut salt = [0; SALT_LENGTH];
    let mut nonce = [0; NONCE_LENGTH];
    for random in [salt.as_mut_slice(), &mut nonce] {
        rng.try_fill_bytes(random)
            .map_err(|source| HsmError::Failed { function: "random bytes", source: Box::new(source) })?;
    }
    let context = context(purpose, aad, &salt);
    let ciphertext = cipher(hsm, key, &context, deadline)?
        .encrypt(Nonce::from_slice(&nonce), Payload { msg: plaintext, aad: &context })
        .map_err(|source| HsmError::Failed { function: "AES-256-GCM-SIV", source: Box::new(source) })?;
    Ok(Sealed { salt, nonce, ciphertext })
}

/// Opens what [`seal`] has sealed, with the same key, purpose and associated data.
///
/// # Errors
/// Those of [`Hsm::derive_record_key`]; [`HsmError::NotAuthentic`] if anything differs.
pub fn open(
    hsm: &dyn Hsm,
    key: &KeyName,
    purpose: &str,
    aad: &[u8],
    sealed: &Sealed,
    deadline: Deadline,
) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let context = context(purpose, aad, &sealed.salt);
    cipher(hsm, key, &context, deadline)?
        .decrypt(Nonce::from_slice(&sealed.nonce), Payload { msg: &sealed.ciphertext, aad: &context })
        .map(Zeroizing::new)
        .map_err(|_| HsmError::NotAuthentic)
}

/// The record's context: of one length, whatever the lengths of its parts, as modules limit what they take.
fn context(purpose: &str, aad: &[u8], salt: &[u8; SALT_LENGTH]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([VERSION]);
    for part in [purpose.as_bytes(), aad] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(salt);
    hash.finalize().into()
}

fn cipher(hsm: &dyn Hsm, key: &KeyName, context: &[u8], deadline: Deadline) -> Result<Aes256GcmSiv, HsmError> {
    let record_key = hsm.derive_record_key(key, context, deadline)?;
    Ok(Aes256GcmSiv::new(record_key.as_slice().into()))
}
