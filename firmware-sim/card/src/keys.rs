//! Key pairs: generating, importing, storing, signing.

use std::sync::{Arc, Mutex, PoisonError};

use jpki::card::algorithm;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, SeedableRng};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, UintRef};
use rsa::pkcs8::{EncodePublicKey, PrivateKeyInfo};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::key_wrap::SEMIBLOCK;
use crate::tlv;

const RSA_BITS: usize = 2048;
/// The only public exponent.
const RSA_E: u32 = 65_537;
/// The longest input of PKCS #1 v1.5 type 1 padding for 256 bytes (RFC 8017 §9.2).
const RSA_MAX_INPUT: usize = RSA_BITS / 8 - 11;
/// Length of a P-384 scalar and of the hash that is signed with it.
const P384_LENGTH: usize = 48;

/// Algorithm of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits, e = 65537.
    Rsa2048,
    /// ECDSA on P-384.
    P384,
}

impl KeyAlgorithm {
    /// P2 of GENERATE and IMPORT.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Rsa2048 => algorithm::RSA_2048,
            Self::P384 => algorithm::EC_P384,
        }
    }
}

/// A private key. It has no `Debug`, and is wiped when dropped.
#[derive(Clone)]
pub enum PrivateKey {
    /// RSA.
    Rsa(Box<RsaPrivateKey>),
    /// P-384.
    P384(Box<p384::SecretKey>),
}

impl PrivateKey {
    /// A fresh key pair.
    pub fn generate(algorithm: KeyAlgorithm, mut rng: &mut dyn CryptoRngCore) -> Self {
        match algorithm {
            KeyAlgorithm::Rsa2048 => loop {
                if let Ok(key) = RsaPrivateKey::new(&mut rng, RSA_BITS) {
                    return Self::Rsa(Box::new(key));
                }
            },
            KeyAlgorithm::P384 => Self::P384(Box::new(p384::SecretKey::random(&mut rng))),
        }
    }

    /// The key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::Rsa(_) => KeyAlgorithm::Rsa2048,
            Self::P384(_) => KeyAlgorithm::P384,
        }
    }

    /// SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// None that is known: the encoders of both libraries declare one.
    pub fn spki(&self) -> Result<Vec<u8>, spki::Error> {
        let document = match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der()?,
            Self::P384(key) => key.public_key().to_public_key_der()?,
        };
        Ok(document.into_vec())
    }

    /// The key as the card stores it.
    pub(crate) fn to_stored(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut stored = Zeroizing::new(vec![self.algorithm().code()]);
        match self {
            Self::Rsa(key) => stored.extend_from_slice(key.to_pkcs1_der().ok()?.as_bytes()),
            Self::P384(key) => stored.extend_from_slice(&Zeroizing::new(key.to_bytes())),
        }
        Some(stored)
    }

    pub(crate) fn from_stored(stored: &[u8]) -> Option<Self> {
        let (code, key) = stored.split_first()?;
        match *code {
            algorithm::RSA_2048 => Some(Self::Rsa(Box::new(RsaPrivateKey::from_pkcs1_der(key).ok()?))),
            algorithm::EC_P384 => Some(Self::P384(Box::new(p384::SecretKey::from_slice(key).ok()?))),
            _ => None,
        }
    }

    /// Reads the key that IMPORT brought (card-issuing §5): PKCS #8, and at most 7 zeros behind it. `None` if it is malformed, of another
    /// algorithm, or the public key in it does not fit the private one.
    pub(crate) fn from_pkcs8(wanted: KeyAlgorithm, bytes: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        let (_, filling) = tlv::take(bytes, SEQUENCE)?;
        if filling.len() >= SEMIBLOCK || filling.iter().any(|byte| *byte != 0) {
            return None;
        }
        let info = PrivateKeyInfo::try_from(bytes.get(..bytes.len() - filling.len())?).ok()?;
        match wanted {
            KeyAlgorithm::Rsa2048 => {
                info.algorithm.assert_algorithm_oid(rsa::pkcs1::ALGORITHM_OID).ok()?;
                rsa_from_parts(&rsa::pkcs1::RsaPrivateKey::try_from(info.private_key).ok()?)
            }
            // Compares the curve, and the public key if it is there.
            KeyAlgorithm::P384 => p384::SecretKey::try_from(info).ok().map(|key| Self::P384(Box::new(key))),
        }
    }

    /// The raw operation: for RSA, type 1 padding around `input` and the private key; for P-384, a DER signature over a hash of
    /// 48 bytes. `None` if the input does not have the length for it.
    pub(crate) fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) if (1..=RSA_MAX_INPUT).contains(&input.len()) => {
                key.sign(Pkcs1v15Sign::new_unprefixed(), input).ok()
            }
            Self::P384(key) if input.len() == P384_LENGTH => {
                let signature: p384::ecdsa::Signature =
                    p384::ecdsa::SigningKey::from(&**key).sign_prehash(input).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            _ => None,
        }
    }
}

/// Both primes have half the length, and every number is the one that follows from them. That they are primes is not proved but
/// tried: with other numbers a signature would not verify.
fn rsa_from_parts(parts: &rsa::pkcs1::RsaPrivateKey<'_>) -> Option<PrivateKey> {
    let number = |bytes: UintRef<'_>| Zeroizing::new(BigUint::from_bytes_be(bytes.as_bytes()));
    let (n, e, d) = (number(parts.modulus), number(parts.public_exponent), number(parts.private_exponent));
    let (p, q) = (number(parts.prime1), number(parts.prime2));
    let (dp, dq, qinv) = (number(parts.exponent1), number(parts.exponent2), number(parts.coefficient));
    let one = BigUint::from(1_u8);
    let half_length = |prime: &BigUint| prime.bits() == RSA_BITS / 2 && prime % BigUint::from(2_u8) == one;
    let has_others = parts.other_prime_infos.is_some();
    if !half_length(&p)
        || !half_length(&q)
        || n.bits() != RSA_BITS
        || *e != BigUint::from(RSA_E)
        || *p == *q
        || has_others
    {
        return None;
    }
    let key = RsaPrivateKey::from_p_q((*p).clone(), (*q).clone(), (*e).clone()).ok()?;
    // Modules reduce d by different multiples of both.
    let inverts_e = |prime: &BigUint| (&*d * &*e) % (prime - &one) == one;
    let fits = *key.n() == *n
        && *d < *n
        && inverts_e(&p)
        && inverts_e(&q)
        && key.dp() == Some(&*dp)
        && key.dq() == Some(&*dq)
        && (&*qinv * &*q) % &*p == one
        && *qinv < *p;
    let sample = [0x5A; 32];
    let signature = key.sign(Pkcs1v15Sign::new_unprefixed(), &sample).ok().filter(|_| fits)?;
    key.to_public_key().verify(Pkcs1v15Sign::new_unprefixed(), &sample, &signature).ok()?;
    Some(PrivateKey::Rsa(Box::new(key)))
}

/// Where a card's key pairs come from.
///
/// # For backend authors
/// Keys must be real ones. `rng` is the card's own, and the same for a generation that is repeated after a loss of power.
pub trait KeySource: Send {
    /// A key pair for a card.
    fn key_pair(&mut self, algorithm: KeyAlgorithm, rng: &mut dyn CryptoRngCore) -> PrivateKey;
}

/// Generates every key pair, as a card does.
#[derive(Clone, Copy, Debug, Default)]
pub struct GeneratedKeys;

impl KeySource for GeneratedKeys {
    fn key_pair(&mut self, algorithm: KeyAlgorithm, rng: &mut dyn CryptoRngCore) -> PrivateKey {
        PrivateKey::generate(algorithm, rng)
    }
}

/// Hands out real keys that were made before, in their order, and starts again after the last: for loops over many
/// issuances. Clones share the position, so that the cards of one run get different keys while there are any.
/// What the pool lacks is generated.
#[derive(Clone, Default)]
pub struct PooledKeys(Arc<Mutex<Pool>>);

#[derive(Default)]
struct Pool {
    keys: Vec<PrivateKey>,
    next: usize,
}

impl PooledKeys {
    /// A pool of these keys.
    #[must_use]
    pub fn new(keys: Vec<PrivateKey>) -> Self {
        Self(Arc::new(Mutex::new(Pool { keys, next: 0 })))
    }

    /// A pool of `count` keys of one algorithm, always the same ones for the same seed.
    #[must_use]
    pub fn generate(algorithm: KeyAlgorithm, count: usize, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self::new((0..count).map(|_| PrivateKey::generate(algorithm, &mut rng)).collect())
    }
}

impl KeySource for PooledKeys {
    fn key_pair(&mut self, algorithm: KeyAlgorithm, rng: &mut dyn CryptoRngCore) -> PrivateKey {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = pool.keys.len();
        let next = (0..count).map(|i| (pool.next + i) % count).find(|i| pool.keys[*i].algorithm() == algorithm);
        match next {
            Some(next) => {
                pool.next = next + 1;
                pool.keys[next].clone()
            }
            None => PrivateKey::generate(algorithm, rng),
        }
    }
}
