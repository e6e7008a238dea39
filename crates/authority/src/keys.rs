//! Checks of keys that others have made.

use std::sync::LazyLock;

use jpki::KeyAlgorithm;
use p384::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPublicKey};

/// Modulus of the card's RSA keys, in bits.
const RSA_BITS: usize = 2048;
/// Public exponent of the card's RSA keys.
const RSA_EXPONENT: u32 = 65_537;
/// Primes below this are tried as factors of a modulus.
const SMALL_FACTORS: u32 = 10_000;
/// Largest prime of the ROCA check: with this one and those below, a key of any size is recognised, and a sound key
/// is mistaken with a probability below 2^-60.
const ROCA_PRIMES: u32 = 167;

/// Why a public key is not certified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakKey {
    /// Another algorithm or curve than the card generation's, or no key at all. The terminal is set up for another
    /// generation.
    #[error("the key is of another kind than this card generation's")]
    Kind,
    /// Another modulus length.
    #[error("the modulus has {0} bits")]
    Size(usize),
    /// Another public exponent.
    #[error("the public exponent is not 65537")]
    Exponent,
    /// The modulus has a small factor: the key maker is broken.
    #[error("the modulus is divisible by {0}")]
    SmallFactor(u32),
    /// The modulus has the form of CVE-2017-15361 (ROCA): its factors can be found.
    #[error("the key was made by a generator known to be weak (ROCA)")]
    Roca,
}

/// Checks that a key is of the given kind and has none of the weaknesses that can be seen from outside.
///
/// # Errors
/// The weakness.
pub(crate) fn check(algorithm: KeyAlgorithm, public_key: &[u8]) -> Result<(), WeakKey> {
    match algorithm {
        KeyAlgorithm::Rsa2048 => {
            let key = RsaPublicKey::from_public_key_der(public_key).map_err(|_| WeakKey::Kind)?;
            check_rsa(key.n(), key.e())
        }
        // Decoding checks that the point is on the curve and not at infinity.
        KeyAlgorithm::EcP384 => p384::PublicKey::from_public_key_der(public_key).map(|_| ()).map_err(|_| WeakKey::Kind),
    }
}

fn check_rsa(modulus: &BigUint, exponent: &BigUint) -> Result<(), WeakKey> {
    if modulus.bits() != RSA_BITS {
        return Err(WeakKey::Size(modulus.bits()));
    }
    if *exponent != BigUint::from(RSA_EXPONENT) {
        return Err(WeakKey::Exponent);
    }
    static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| primes(SMALL_FACTORS).collect());
    let limbs = limbs(modulus);
    let mut roca = true;
    for &prime in PRIMES.iter() {
        let residue = remainder(&limbs, prime);
        if residue == 0 {
            return Err(WeakKey::SmallFactor(prime));
        }
        if prime <= ROCA_PRIMES && roca {
            roca = is_power_of_65537(residue, prime);
        }
    }
    if roca { Err(WeakKey::Roca) } else { Ok(()) }
}

/// ROCA's primes are `k · M + (65537^a mod M)` with M the product of the first primes, so the modulus is a power of
/// 65537 modulo each.
fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    let generator = RSA_EXPONENT % prime;
    let powers = std::iter::successors(Some(1), |power| Some(power * generator % prime));
    powers.take(prime as usize).any(|power| power == residue)
}

/// The number in base 2^32, the highest digit first.
fn limbs(number: &BigUint) -> Vec<u64> {
    let limb = |bytes: &[u8]| bytes.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    number.to_bytes_be().rchunks(4).rev().map(limb).collect()
}

fn remainder(limbs: &[u64], divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    let remainder = limbs.iter().fold(0, |remainder, limb| (remainder << 32 | limb) % divisor);
    u32::try_from(remainder).unwrap_or_default()
}

fn primes(below: u32) -> impl Iterator<Item = u32> {
    (2..below).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A modulus of the ROCA form: a product of two numbers `k · M + (65537^a mod M)`. They need not be prime for the
    /// check.
    fn roca_modulus() -> BigUint {
        let product: BigUint = primes(702).map(BigUint::from).product();
        let cofactor_bits = RSA_BITS / 2 - product.bits();
        let factor = |k: u32, a: u32| {
            let power = BigUint::from(RSA_EXPONENT).modpow(&BigUint::from(a), &product);
            ((BigUint::from(1u8) << cofactor_bits) + k) * &product + power
        };
        factor(1, 1_234_567) * factor(7, 7_654_321)
    }

    #[test]
    fn a_key_of_the_roca_form_is_recognised() {
        let modulus = roca_modulus();
        assert_eq!(modulus.bits(), RSA_BITS);
        assert_eq!(check_rsa(&modulus, &BigUint::from(RSA_EXPONENT)), Err(WeakKey::Roca));
    }

    #[test]
    fn remainders_are_those_of_big_numbers() {
        let modulus = roca_modulus();
        for prime in primes(2_000) {
            assert_eq!(BigUint::from(remainder(&limbs(&modulus), prime)), &modulus % prime);
        }
    }

    #[test]
    fn each_weakness_of_an_rsa_key_has_its_name() {
        let one = BigUint::from(1u8);
        let top = &one << (RSA_BITS - 1);
        let exponent = BigUint::from(RSA_EXPONENT);
        assert_eq!(check_rsa(&(&top >> 1), &exponent), Err(WeakKey::Size(RSA_BITS - 1)));
        assert_eq!(check_rsa(&(&top + &one), &BigUint::from(3u8)), Err(WeakKey::Exponent));
        assert_eq!(check_rsa(&top, &exponent), Err(WeakKey::SmallFactor(2)));
        let multiple_of_9973 = &top + (BigUint::from(9_973u32) - &top % 9_973u32);
        let smallest = primes(10_000).find(|prime| &multiple_of_9973 % *prime == BigUint::from(0u8)).unwrap();
        assert_eq!(check_rsa(&multiple_of_9973, &exponent), Err(WeakKey::SmallFactor(smallest)));
    }
}
