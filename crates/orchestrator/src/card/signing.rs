//! What the card signs, and whether it did: the host hashes, the card applies the private key.

use authority_link::signature;
use hsm::SignatureAlgorithm;
use jpki::KeyAlgorithm;
use sha2::{Digest, Sha256, Sha384};

/// DigestInfo of SHA-256 up to the hash itself (RFC 8017 §9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The bytes that SIGN WITH PENDING KEY takes for `message`: a DigestInfo for RSA, a hash for ECDSA.
pub(crate) fn to_be_signed(algorithm: KeyAlgorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        KeyAlgorithm::Rsa2048 => [&SHA256_DIGEST_INFO[..], &Sha256::digest(message)].concat(),
        KeyAlgorithm::EcP384 => Sha384::digest(message).to_vec(),
    }
}

/// The signature algorithm that goes with a resident's key.
pub(crate) fn algorithm(key: KeyAlgorithm) -> SignatureAlgorithm {
    match key {
        KeyAlgorithm::Rsa2048 => SignatureAlgorithm::RsaPkcs1Sha256,
        KeyAlgorithm::EcP384 => SignatureAlgorithm::EcdsaP384Sha384,
    }
}

/// Does `signature` over `message` verify under the key `spki` (SubjectPublicKeyInfo, DER)?
pub(crate) fn verifies(key: KeyAlgorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    signature::algorithm_identifier(algorithm(key))
        .is_some_and(|identifier| signature::verify(spki, &identifier, message, signature).is_ok())
}
