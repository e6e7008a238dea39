//! Signature algorithms of the line: over messages, over certificates, and in proof of possession of a key.

use const_oid::db::rfc5912;
use der::asn1::{Any, Null, ObjectIdentifier};
use hsm::SignatureAlgorithm;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha384};
use signature::Verifier;
use signature::hazmat::PrehashVerifier;
use spki::{AlgorithmIdentifierOwned, DecodePublicKey, SubjectPublicKeyInfoRef};

/// The smallest RSA modulus that is accepted, in bits.
const RSA_MIN_BITS: usize = 2048;

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not ECDSA or RSASSA-PKCS1-v1_5 with SHA-256 or SHA-384, or not the algorithm of this key. A MAC is one of these.
    #[error("the signature algorithm {0} is not supported")]
    UnsupportedAlgorithm(ObjectIdentifier),
    /// Neither RSA from 2,048 to 4,096 bits nor EC on P-256 or P-384, or damaged.
    #[error("the public key is of a kind that is not supported")]
    UnsupportedKey,
    /// The signature is not by this key over these bytes: changed on the way, or made by somebody else.
    #[error("the signature does not verify")]
    Invalid,
}

/// The AlgorithmIdentifier of an algorithm (RFC 5758 §3.2, RFC 4055 §5).
#[must_use]
pub fn algorithm_identifier(algorithm: SignatureAlgorithm) -> Option<AlgorithmIdentifierOwned> {
    let (oid, parameters) = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => (rfc5912::ECDSA_WITH_SHA_256, None),
        SignatureAlgorithm::EcdsaP384Sha384 => (rfc5912::ECDSA_WITH_SHA_384, None),
        SignatureAlgorithm::RsaPkcs1Sha256 => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(Any::from(Null))),
        _ => return None,
    };
    Some(AlgorithmIdentifierOwned { oid, parameters })
}

/// Verifies `signature` over `message` by the key `spki` (DER of SubjectPublicKeyInfo).
///
/// # Errors
/// See [`SignatureError`].
pub fn verify(
    spki: &[u8],
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = SubjectPublicKeyInfoRef::try_from(spki).map_err(|_| SignatureError::UnsupportedKey)?;
    match (algorithm.oid, key.algorithm.oid) {
        (rfc5912::ECDSA_WITH_SHA_256, rfc5912::ID_EC_PUBLIC_KEY) => {
            verify_ecdsa(&key, &Sha256::digest(message), signature)
        }
        (rfc5912::ECDSA_WITH_SHA_384, rfc5912::ID_EC_PUBLIC_KEY) => {
            verify_ecdsa(&key, &Sha384::digest(message), signature)
        }
        (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, rfc5912::RSA_ENCRYPTION) => {
            verify_rsa(rsa::pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(spki)?), message, signature)
        }
        (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, rfc5912::RSA_ENCRYPTION) => {
            verify_rsa(rsa::pkcs1v15::VerifyingKey::<Sha384>::new(rsa_key(spki)?), message, signature)
        }
        (oid, _) => Err(SignatureError::UnsupportedAlgorithm(oid)),
    }
}

/// The curve is the key's, the hash is the algorithm's: they need not have the same length (RFC 5758 §3.2).
fn verify_ecdsa(key: &SubjectPublicKeyInfoRef<'_>, hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let curve = key.algorithm.parameters_oid().map_err(|_| SignatureError::UnsupportedKey)?;
    let point = key.subject_public_key.as_bytes().ok_or(SignatureError::UnsupportedKey)?;
    let verified = match curve {
        rfc5912::SECP_256_R_1 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| SignatureError::UnsupportedKey)?;
            p256::ecdsa::DerSignature::try_from(signature)
                .and_then(p256::ecdsa::Signature::try_from)
                .and_then(|signature| key.verify_prehash(hash, &signature))
        }
        rfc5912::SECP_384_R_1 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| SignatureError::UnsupportedKey)?;
            p384::ecdsa::DerSignature::try_from(signature)
                .and_then(p384::ecdsa::Signature::try_from)
                .and_then(|signature| key.verify_prehash(hash, &signature))
        }
        _ => return Err(SignatureError::UnsupportedKey),
    };
    verified.map_err(|_| SignatureError::Invalid)
}

/// `rsa` itself refuses moduli of more than 4,096 bits and unusual exponents.
fn rsa_key(spki: &[u8]) -> Result<rsa::RsaPublicKey, SignatureError> {
    rsa::RsaPublicKey::from_public_key_der(spki)
        .ok()
        .filter(|key| key.n().bits() >= RSA_MIN_BITS)
        .ok_or(SignatureError::UnsupportedKey)
}

fn verify_rsa<D>(key: rsa::pkcs1v15::VerifyingKey<D>, message: &[u8], signature: &[u8]) -> Result<(), SignatureError>
where
    D: Digest,
{
    let signature = rsa::pkcs1v15::Signature::try_from(signature).map_err(|_| SignatureError::Invalid)?;
    key.verify(message, &signature).map_err(|_| SignatureError::Invalid)
}
