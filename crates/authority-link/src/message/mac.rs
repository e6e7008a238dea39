//! Protection by a secret that both sides know: PasswordBasedMac (RFC 9810 §5.1.3.1, RFC 4211 §4.4, RFC 9045).
//!
//! For the first message of a terminal alone, which has no certificate yet.

use std::fmt;

use const_oid::db::rfc5912::ID_SHA_256;
use der::Sequence;
use der::asn1::{BitString, ObjectIdentifier, OctetString};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::{PkiMessage, ProtectionError};

/// id-PasswordBasedMac (RFC 4211 §4.4).
pub const PASSWORD_BASED_MAC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113533.7.66.13");
/// id-hmacWithSHA256 (RFC 4231 §3.1).
const HMAC_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
/// How often our own messages are hashed. Where people choose the secret RFC 9045 §4.1 wants 10,000; ours are random, of 130 bits.
const ITERATIONS: u32 = 1_000;
/// How often a message may ask to be hashed: anybody may send one.
const MAX_ITERATIONS: u32 = 100_000;
/// The longest salt that is accepted, in bytes.
const MAX_SALT: usize = 64;

/// 16 random bytes, new for every message.
pub type Salt = [u8; 16];

/// PBMParameter (RFC 4211 §4.4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct PbmParameter {
    salt: OctetString,
    owf: AlgorithmIdentifierOwned,
    iteration_count: u32,
    mac: AlgorithmIdentifierOwned,
}

/// What authority and terminal share for one enrolment. The secret is wiped when this is dropped, and never shown.
#[derive(Clone)]
pub struct SharedSecret {
    reference: Vec<u8>,
    secret: Zeroizing<Vec<u8>>,
}

impl SharedSecret {
    /// The secret that goes by `reference`: senderKID of the messages that it protects.
    #[must_use]
    pub fn new(reference: &str, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { reference: reference.as_bytes().to_vec(), secret }
    }

    /// Its name.
    #[must_use]
    pub fn reference(&self) -> &[u8] {
        &self.reference
    }

    /// protectionAlg of a message of ours.
    ///
    /// # Errors
    /// Never in practice: it always fits.
    pub fn algorithm(&self, salt: &Salt) -> der::Result<AlgorithmIdentifierOwned> {
        let parameter = PbmParameter {
            salt: OctetString::new(*salt)?,
            owf: AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None },
            iteration_count: ITERATIONS,
            mac: AlgorithmIdentifierOwned { oid: HMAC_SHA_256, parameters: None },
        };
        let parameters = Some(der::asn1::Any::encode_from(&parameter)?);
        Ok(AlgorithmIdentifierOwned { oid: PASSWORD_BASED_MAC, parameters })
    }

    /// The protection of `protected_part` by `algorithm`.
    ///
    /// # Errors
    /// [`ProtectionError::MacAlgorithm`] if it is another algorithm than PasswordBasedMac with SHA-256 and HMAC-SHA-256.
    pub fn protect(
        &self,
        algorithm: &AlgorithmIdentifierOwned,
        protected_part: &[u8],
    ) -> Result<Vec<u8>, ProtectionError> {
        Ok(self.mac(algorithm, protected_part)?.finalize().into_bytes().to_vec())
    }

    fn mac(
        &self,
        algorithm: &AlgorithmIdentifierOwned,
        protected_part: &[u8],
    ) -> Result<Hmac<Sha256>, ProtectionError> {
        let parameter = parameter(algorithm).ok_or(ProtectionError::MacAlgorithm)?;
        let mut key = Zeroizing::new([0; 32]);
        let first = Sha256::new().chain_update(&*self.secret).chain_update(parameter.salt.as_bytes());
        key.copy_from_slice(&first.finalize());
        for _ in 1..parameter.iteration_count {
            let next = Sha256::digest(key.as_slice());
            key.copy_from_slice(&next);
        }
        let mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| ProtectionError::MacAlgorithm)?;
        Ok(mac.chain_update(protected_part))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({})", String::from_utf8_lossy(&self.reference))
    }
}

/// The parameters, if the algorithm is one that is accepted.
fn parameter(algorithm: &AlgorithmIdentifierOwned) -> Option<PbmParameter> {
    let parameters = algorithm.parameters.as_ref().filter(|_| algorithm.oid == PASSWORD_BASED_MAC)?;
    let parameter: PbmParameter = parameters.decode_as().ok()?;
    let is_sound = parameter.owf.oid == ID_SHA_256
        && parameter.mac.oid == HMAC_SHA_256
        && (1..=MAX_ITERATIONS).contains(&parameter.iteration_count)
        && parameter.salt.as_bytes().len() <= MAX_SALT;
    is_sound.then_some(parameter)
}

impl PkiMessage {
    /// The reference of the secret that is said to protect this message, if it is protected by a MAC.
    #[must_use]
    pub fn mac_reference(&self) -> Option<&[u8]> {
        let algorithm = self.header.protection_alg.as_ref()?;
        (algorithm.oid == PASSWORD_BASED_MAC)
            .then(|| self.header.sender_kid.as_ref().map_or(&[][..], OctetString::as_bytes))
    }

    /// Verifies that somebody who knows `secret` has protected this message. Both sides know it: what one has sent may come
    /// back, and the nonces tell.
    ///
    /// # Errors
    /// [`ProtectionError::Missing`], [`ProtectionError::Foreign`] if it names another secret, [`ProtectionError::MacAlgorithm`],
    /// [`ProtectionError::Mac`].
    pub fn verify_mac_by(&self, secret: &SharedSecret) -> Result<(), ProtectionError> {
        let protection = self.protection.as_ref().and_then(BitString::as_bytes).ok_or(ProtectionError::Missing)?;
        let algorithm = self.header.protection_alg.as_ref().ok_or(ProtectionError::Missing)?;
        if self.mac_reference() != Some(secret.reference()) {
            return Err(ProtectionError::Foreign);
        }
        let mac = secret.mac(algorithm, &self.protected_part()?)?;
        mac.verify_slice(protection).map_err(|_| ProtectionError::Mac)
    }
}
