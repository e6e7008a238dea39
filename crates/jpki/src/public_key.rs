//! Checks of public keys, wherever they were made: is this a key of the card generation, and without the weaknesses that can be seen
//! from outside?
//!
//! A card makes its keys itself, and nobody can look over its shoulder. In 2017 a generator that had passed its certification was
//! found to make RSA keys that can be factored (ROCA, CVE-2017-15361); Estonia suspended 760,000 identity cards. So no key is
//! certified unseen: the terminal checks it before it asks, and the authority, which trusts no terminal, before it answers.
//!
//! What can't be seen from one key alone is not here: whether another card has the same key is for the authority to say, which keeps
//! what it has certified. A generator with too little randomness shows by such repeats only.

use std::sync::LazyLock;

use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_384_R_1};
use der::Decode;
use num_integer::Integer;
use rsa::BigUint;
use rsa::pkcs1;
use spki::SubjectPublicKeyInfoRef;

use crate::profile::KeyAlgorithm;

/// Length of the modulus of a card's RSA key, in bits.
const RSA_BITS: usize = 2048;
/// Public exponent of a card's RSA key, and the generator of the ROCA form.
const RSA_EXPONENT: u32 = 65_537;
/// No prime below this may divide a modulus. A sound generator's primes have 1,024 bits.
const SMALL_FACTORS: u32 = 1 << 16;
/// Largest prime of the ROCA check, the 71st. The weak generator works with at least these primes for every key of 992 bits or more; of a
/// sound modulus the residues by all of them are powers of 65537 with a probability of 2^-83.
const ROCA_PRIMES: u32 = 353;
/// Steps of Fermat's method. With n steps it finds two primes that differ by less than `sqrt(8 · n) · modulus^(1/4)`, here 2^516;
/// FIPS 186-5 §A.1.1 wants more than 2^924. The close primes that were found in devices (CVE-2022-26320) take a handful.
const FERMAT_STEPS: u32 = 100;
/// An uncompressed point of P-384 (SEC 1 §2.3.3): 04, then two coordinates of 48 bytes.
const P384_POINT: usize = 97;

/// Why a public key must not be certified. But for the first two variants the cause is the generator, so other keys from it are in doubt as
/// well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakKey {
    /// No SubjectPublicKeyInfo, or not the one way in which DER and the card's commands write it. A damaged answer, or a card that
    /// is made otherwise. One key in two guises would be two keys to whoever looks for repeats.
    #[error("the key can't be read")]
    Malformed,
    /// Another algorithm or curve than the card generation's. The card or the profile is of another generation.
    #[error("the key is of another kind than this card generation's")]
    OtherAlgorithm,
    /// The modulus has another length.
    #[error("the modulus has {0} bits")]
    Size(usize),
    /// The public exponent is not 65537.
    #[error("the public exponent is not 65537")]
    Exponent,
    /// The modulus is divisible by this prime: the generator does not make primes, or the modulus was damaged.
    #[error("the modulus is divisible by {0}")]
    SmallFactor(u32),
    /// The two primes are so close to each other that they follow from the modulus: the generator did not draw the second by itself.
    #[error("the primes of the modulus are too close to each other")]
    ClosePrimes,
    /// The modulus has the form of CVE-2017-15361 (ROCA): the generator is of the kind whose keys can be factored.
    #[error("the key was made by a generator known to be weak (ROCA)")]
    Roca,
    /// The point is not on the curve.
    #[error("the key is no point of its curve")]
    NotOnCurve,
}

impl WeakKey {
    /// A short name, the same in every language: for the log, and as a key of message catalogues.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::OtherAlgorithm => "other-algorithm",
            Self::Size(_) => "size",
            Self::Exponent => "exponent",
            Self::SmallFactor(_) => "small-factor",
            Self::ClosePrimes => "close-primes",
            Self::Roca => "roca",
            Self::NotOnCurve => "not-on-curve",
        }
    }
}

/// Checks that `spki`, a SubjectPublicKeyInfo as DER, is a key of this algorithm and has none of the weaknesses that show in the key
/// alone.
///
/// # Errors
/// The first weakness. A key with any must not be certified, and its maker not be used again.
pub fn check_public_key(spki: &[u8], algorithm: KeyAlgorithm) -> Result<(), WeakKey> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| WeakKey::Malformed)?;
    let bits = info.subject_public_key.as_bytes().ok_or(WeakKey::Malformed)?;
    match algorithm {
        KeyAlgorithm::Rsa2048 => {
            // The parameters are NULL (RFC 3279 §2.3.1), never absent.
            if info.algorithm != pkcs1::ALGORITHM_ID {
                return Err(WeakKey::OtherAlgorithm);
            }
            let key = pkcs1::RsaPublicKey::from_der(bits).map_err(|_| WeakKey::Malformed)?;
            let number = |number: &pkcs1::UintRef<'_>| BigUint::from_bytes_be(number.as_bytes());
            check_rsa(&number(&key.modulus), &number(&key.public_exponent))
        }
        KeyAlgorithm::EcP384 => {
            info.algorithm.assert_oids(ID_EC_PUBLIC_KEY, SECP_384_R_1).map_err(|_| WeakKey::OtherAlgorithm)?;
            if bits.len() != P384_POINT || bits[0] != 0x04 {
                return Err(WeakKey::Malformed);
            }
            // The point at infinity has another length. The curve has no small subgroups: its order is prime.
            p384::PublicKey::from_sec1_bytes(bits).map(drop).map_err(|_| WeakKey::NotOnCurve)
        }
    }
}

fn check_rsa(modulus: &BigUint, exponent: &BigUint) -> Result<(), WeakKey> {
    if modulus.bits() != RSA_BITS {
        return Err(WeakKey::Size(modulus.bits()));
    }
    if *exponent != BigUint::from(RSA_EXPONENT) {
        return Err(WeakKey::Exponent);
    }
    if is_roca(modulus) {
        return Err(WeakKey::Roca);
    }
    if let Some(factor) = small_factor(modulus) {
        return Err(WeakKey::SmallFactor(factor));
    }
    if has_close_primes(modulus) {
        return Err(WeakKey::ClosePrimes);
    }
    Ok(())
}

/// The smallest prime below [`SMALL_FACTORS`] that divides the modulus.
fn small_factor(modulus: &BigUint) -> Option<u32> {
    static PRODUCT: LazyLock<BigUint> = LazyLock::new(|| primes_below(SMALL_FACTORS).into_iter().product());
    let common = (&*PRODUCT % modulus).gcd(modulus);
    if common.bits() == 1 {
        return None;
    }
    primes_below(SMALL_FACTORS).into_iter().find(|prime| residue(&common, *prime) == 0)
}

/// Has the modulus the form of ROCA?
///
/// The weak generator makes primes `k · M + (65537^a mod M)`, M being the product of the first primes (71 of them for keys
/// of 992 bits or more, 126 for those of 2,048). A product of two such primes is a power of 65537, modulo M and so modulo
/// each prime in it, and powers of 65537 are few: by 11, say, two of ten residues. Method of M. Nemec, M. Sys, P. Svenda,
/// D. Klinec, V. Matyas, “The Return of Coppersmith's Attack”, ACM CCS 2017.
fn is_roca(modulus: &BigUint) -> bool {
    static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| primes_below(ROCA_PRIMES + 1));
    PRIMES.iter().all(|prime| {
        let residue = residue(modulus, *prime);
        powers_of_65537(*prime).any(|power| power == residue)
    })
}

/// The powers of 65537 modulo a prime, each once.
fn powers_of_65537(prime: u32) -> impl Iterator<Item = u32> {
    let next = move |power: &u32| Some(power * (RSA_EXPONENT % prime) % prime).filter(|power| *power > 1);
    std::iter::successors(Some(1), next)
}

/// Fermat's method, in a few steps: two close factors are found as `mean ± distance`, since the modulus is `mean² − distance²`.
fn has_close_primes(modulus: &BigUint) -> bool {
    let root = modulus.sqrt();
    let least = if &root * &root == *modulus { root } else { root + 1_u8 };
    (0..FERMAT_STEPS).any(|step| {
        let mean = &least + step;
        is_square(&(&mean * &mean - modulus))
    })
}

fn is_square(number: &BigUint) -> bool {
    // A square is one modulo every number. Few others are by all of these, which saves their roots.
    let may_be = [64, 63, 65, 11].into_iter().all(|divisor| {
        let residue = residue(number, divisor);
        (0..divisor).any(|root| root * root % divisor == residue)
    });
    let is_root = |root: BigUint| &root * &root == *number;
    may_be && is_root(number.sqrt())
}

/// The number modulo the divisor, which is below 2^16.
fn residue(number: &BigUint, divisor: u32) -> u32 {
    (number % divisor).to_bytes_be().into_iter().fold(0, |residue, byte| residue << 8 | u32::from(byte))
}

/// The primes below a bound, by Eratosthenes' sieve.
fn primes_below(bound: u32) -> Vec<u32> {
    let mut is_prime = vec![true; bound as usize];
    let mut primes = Vec::new();
    for n in 2..bound as usize {
        if is_prime[n] {
            primes.push(n as u32);
            (n * n..bound as usize).step_by(n).for_each(|multiple| is_prime[multiple] = false);
        }
    }
    primes
}
