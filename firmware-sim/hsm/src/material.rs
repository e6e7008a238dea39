use std::error::Error;

use hsm::{KeyKind, SignatureAlgorithm};
use pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rand_core::CryptoRngCore;
use rsa::RsaPrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use signature::{Keypair, SignatureEncoding, Signer};
use spki::EncodePublicKey;
use zeroize::Zeroizing;

/// Length of the key of a [`KeyKind::Hmac`] in bytes.
const HMAC_KEY_LENGTH: usize = 32;
const RECORD_KEY_LENGTH: usize = 32;
const RSA_BITS: usize = 2048;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A key. Wiped when dropped.
pub(crate) enum Material {
    EcP256(p256::ecdsa::SigningKey),
    EcP384(p384::ecdsa::SigningKey),
    Rsa2048(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    /// The bytes of a key that is not one of a pair.
    Secret(KeyKind, Zeroizing<Vec<u8>>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    #[error("this module has no keys of kind {0:?}")]
    UnknownKind(KeyKind),
    #[error("a key of kind {kind:?} has not {length} bytes")]
    Length { kind: KeyKind, length: usize },
    #[error("an RSA key of {0} bits")]
    Modulus(usize),
}

impl Material {
    pub(crate) fn generate(kind: KeyKind, rng: &mut impl CryptoRngCore) -> Result<Self, BoxError> {
        Ok(match kind {
            KeyKind::EcP256 => Self::EcP256(p256::ecdsa::SigningKey::random(rng)),
            KeyKind::EcP384 => Self::EcP384(p384::ecdsa::SigningKey::random(rng)),
            KeyKind::Rsa2048 => Self::rsa(RsaPrivateKey::new(rng, RSA_BITS)?),
            secret => {
                let mut bytes = Zeroizing::new(vec![0; secret_length(secret)?]);
                rng.fill_bytes(&mut bytes);
                Self::Secret(secret, bytes)
            }
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has written.
    pub(crate) fn from_bytes(kind: KeyKind, bytes: Zeroizing<Vec<u8>>) -> Result<Self, BoxError> {
        Ok(match kind {
            KeyKind::EcP256 => Self::EcP256(p256::SecretKey::from_pkcs8_der(&bytes)?.into()),
            KeyKind::EcP384 => Self::EcP384(p384::SecretKey::from_pkcs8_der(&bytes)?.into()),
            KeyKind::Rsa2048 => {
                let key = RsaPrivateKey::from_pkcs8_der(&bytes)?;
                if key.n().bits() != RSA_BITS {
                    return Err(MaterialError::Modulus(key.n().bits()).into());
                }
                Self::rsa(key)
            }
            secret => {
                let length = bytes.len();
                if length != secret_length(secret)? {
                    return Err(MaterialError::Length { kind, length }.into());
                }
                Self::Secret(secret, bytes)
            }
        })
    }

    fn rsa(key: RsaPrivateKey) -> Self {
        Self::Rsa2048(Box::new(rsa::pkcs1v15::SigningKey::new(key)))
    }

    pub(crate) fn kind(&self) -> KeyKind {
        match self {
            Self::EcP256(_) => KeyKind::EcP256,
            Self::EcP384(_) => KeyKind::EcP384,
            Self::Rsa2048(_) => KeyKind::Rsa2048,
            Self::Secret(kind, _) => *kind,
        }
    }

    /// PKCS #8 for key pairs, the plain bytes for others.
    pub(crate) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, BoxError> {
        Ok(match self {
            Self::EcP256(key) => key.to_pkcs8_der()?.to_bytes(),
            Self::EcP384(key) => key.to_pkcs8_der()?.to_bytes(),
            Self::Rsa2048(key) => key.to_pkcs8_der()?.to_bytes(),
            Self::Secret(_, bytes) => bytes.clone(),
        })
    }

    /// The SubjectPublicKeyInfo; none for a secret key.
    pub(crate) fn public_key(&self) -> Option<spki::Result<Vec<u8>>> {
        let document = match self {
            Self::EcP256(key) => key.verifying_key().to_public_key_der(),
            Self::EcP384(key) => key.verifying_key().to_public_key_der(),
            Self::Rsa2048(key) => key.verifying_key().to_public_key_der(),
            Self::Secret(..) => return None,
        };
        Some(document.map(spki::Document::into_vec))
    }

    /// The signature of `message`; none if this key can't do `algorithm`.
    pub(crate) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Option<Result<Vec<u8>, signature::Error>> {
        match (self, algorithm) {
            (Self::EcP256(key), SignatureAlgorithm::EcdsaP256Sha256) => {
                Some(key.try_sign(message).map(|signature: p256::ecdsa::DerSignature| signature.to_vec()))
            }
            (Self::EcP384(key), SignatureAlgorithm::EcdsaP384Sha384) => {
                Some(key.try_sign(message).map(|signature: p384::ecdsa::DerSignature| signature.to_vec()))
            }
            (Self::Rsa2048(key), SignatureAlgorithm::RsaPkcs1Sha256) => {
                Some(key.try_sign(message).map(|signature| signature.to_vec()))
            }
            _ => None,
        }
    }
}

fn secret_length(kind: KeyKind) -> Result<usize, MaterialError> {
    match kind {
        KeyKind::CardMaster(length) => Ok(length.bytes()),
        KeyKind::RecordKey => Ok(RECORD_KEY_LENGTH),
        KeyKind::Hmac => Ok(HMAC_KEY_LENGTH),
        other => Err(MaterialError::UnknownKind(other)),
    }
}
