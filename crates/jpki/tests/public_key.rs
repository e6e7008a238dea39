//! Public keys that must be certified, and public keys that must not. The weak ones are made here by their own definitions, not by
//! what the check looks for.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::sync::LazyLock;
use std::time::Instant;

use common::fixture;
use jpki::{CertificateView, KeyAlgorithm, WeakKey, check_public_key};
use p384::elliptic_curve::sec1::ToEncodedPoint;
use p384::pkcs8::EncodePublicKey;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rsa::BigUint;
use rsa::pkcs1::der::Encode;
use rsa::pkcs1::der::asn1::{BitStringRef, UintRef};
use rsa::traits::PrivateKeyParts;

const EXPONENT: u32 = 65_537;

/// SubjectPublicKeyInfo of an RSA key, whatever its numbers.
fn spki(modulus: &BigUint, exponent: &BigUint) -> Vec<u8> {
    let (n, e) = (modulus.to_bytes_be(), exponent.to_bytes_be());
    let (modulus, public_exponent) = (UintRef::new(&n).unwrap(), UintRef::new(&e).unwrap());
    let key = rsa::pkcs1::RsaPublicKey { modulus, public_exponent }.to_der().unwrap();
    let subject_public_key = BitStringRef::from_bytes(&key).unwrap();
    spki::SubjectPublicKeyInfoRef { algorithm: rsa::pkcs1::ALGORITHM_ID, subject_public_key }.to_der().unwrap()
}

fn check(modulus: &BigUint) -> Result<(), WeakKey> {
    check_public_key(&spki(modulus, &EXPONENT.into()), KeyAlgorithm::Rsa2048)
}

/// The primes below 2^16.
static SMALL: LazyLock<Vec<u32>> =
    LazyLock::new(|| (2..1 << 16).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect());

fn primes(below: u32) -> impl Iterator<Item = u32> {
    SMALL.iter().copied().take_while(move |prime| *prime < below)
}

/// Has the number no factor below 2^16? By what the check looks at, such numbers can't be told from primes, and are found sooner.
fn is_coprime(number: &BigUint) -> bool {
    primes(1 << 16).all(|prime| number % prime != BigUint::from(0_u8))
}

fn drawn(random: &mut ChaCha20Rng, bits: usize) -> BigUint {
    let mut bytes = vec![0; bits.div_ceil(8)];
    random.fill_bytes(&mut bytes);
    BigUint::from_bytes_be(&bytes) >> (bytes.len() * 8 - bits)
}

/// Is the number prime, as far as one test of Fermat to the base 2 tells? Enough for numbers that were drawn.
fn is_prime(number: &BigUint) -> bool {
    let one = BigUint::from(1_u8);
    is_coprime(number) && BigUint::from(2_u8).modpow(&(number - &one), number) == one
}

/// A number of 1,024 bits that is as wanted; both highest bits are set, as in the primes of a key of 2,048.
fn factor(random: &mut ChaCha20Rng, is_wanted: fn(&BigUint) -> bool) -> BigUint {
    let set = (BigUint::from(3_u8) << 1022_usize) | BigUint::from(1_u8);
    loop {
        let candidate = drawn(random, 1024) | &set;
        if is_wanted(&candidate) {
            return candidate;
        }
    }
}

/// Primes that nobody has chosen.
static PRIMES: LazyLock<Vec<BigUint>> = LazyLock::new(|| {
    let mut random = ChaCha20Rng::seed_from_u64(20_171_016);
    (0..5).map(|_| factor(&mut random, is_prime)).collect()
});

/// The product of the first 126 primes, with which the generator of CVE-2017-15361 made keys of 2,048 bits.
fn generators_product() -> BigUint {
    let first: Vec<u32> = primes(702).collect();
    assert_eq!(first.len(), 126);
    first.into_iter().map(BigUint::from).product()
}

/// A number as that generator made its primes: `k · M + (65537^a mod M)`, of 1,024 bits, the highest two set.
fn roca_number(product: &BigUint, random: &mut ChaCha20Rng) -> BigUint {
    let power = BigUint::from(EXPONENT).modpow(&drawn(random, 256), product);
    let least = (BigUint::from(3_u8) << 1022_usize) / product + 1_u8;
    let most = ((BigUint::from(1_u8) << 1024_usize) - &power) / product;
    let k = &least + drawn(random, 64) % (&most - &least);
    k * product + power
}

#[test]
fn keys_of_the_roca_form_are_recognised_and_no_others() {
    let product = generators_product();
    let mut random = ChaCha20Rng::seed_from_u64(15_361);
    for _ in 0..200 {
        let (p, q) = (roca_number(&product, &mut random), roca_number(&product, &mut random));
        assert_eq!(check(&(&p * &q)), Err(WeakKey::Roca));
        // With one factor of the form, the modulus is not.
        assert_ne!(check(&(&p * &PRIMES[0])), Err(WeakKey::Roca));
    }
}

/// A key that a device with the weak generator has made. The researchers who found it published it for tests.
#[test]
fn a_real_roca_key_is_recognised() {
    let modulus = concat!(
        "9dcd7420e420c270a68060eb8b5aa7457a9f6648f86fafed2775cc1f79ae962f1e63f1b9e51c55f9ea6fdc7332e9b005",
        "8c9ff2eb1fc89855029cf6aafe21e689feb38ac9ffb12f1ce371bb5d0e9aae64161abce74b4244bf68f1edb4411f756a",
        "097c8929c14740245ea355f8332d1aa36bb50c7dcb4505da8de02e4e53d38f8df06097da7524df0df93db48eac8cc4af",
        "2d3a16257eb2b2adca6ba464e5974fa92550d31b1babf161e7692d00b86e3dd886ecab4abfbe1a8f8cc263ff4af55cdb",
        "45f4249a5193925f5e983d762f0b6800943eb0267b08f42ed311ce1f5c86eacbc8ce4d3cb7a2fee1ef5641423a1cf411",
        "4e5ecf50034a60a412523af9e6f4aa11",
    );
    assert_eq!(check(&BigUint::from_bytes_be(&hex::decode(modulus).unwrap())), Err(WeakKey::Roca));
}

/// How many sound keys would be taken for ROCA: of the residues that a sound modulus can have by each prime, the share that are
/// powers of 65537.
#[test]
fn sound_keys_are_hardly_ever_taken_for_roca() {
    let share = |prime: u32| {
        let order = (1..prime).find(|n| BigUint::from(EXPONENT).modpow(&(*n).into(), &prime.into()) == 1_u8.into());
        (f64::from(order.unwrap()) / f64::from(prime - 1)).log2()
    };
    let all: f64 = primes(354).skip(1).map(share).sum();
    assert!((-84.0..-83.0).contains(&all), "2^{all}");
    // With the 39 primes of the shortest keys it would be one in 240 million: Japan makes 50 million keys a year.
    let shortest: f64 = primes(168).skip(1).map(share).sum();
    assert!((-28.0..-27.0).contains(&shortest), "2^{shortest}");
}

#[test]
fn thousands_of_sound_keys_pass() {
    let mut random = ChaCha20Rng::seed_from_u64(2_048);
    let coprime: Vec<_> = (0..64).map(|_| factor(&mut random, is_coprime)).collect();
    let pairs = |of: &[BigUint]| -> Vec<BigUint> {
        of.iter().enumerate().flat_map(|(i, p)| of[..i].iter().map(move |q| p * q)).collect()
    };
    let keys = [pairs(&PRIMES), pairs(&coprime)].concat();
    let keys: Vec<_> = keys.iter().map(|modulus| spki(modulus, &EXPONENT.into())).collect();
    let began = Instant::now();
    for key in &keys {
        assert_eq!(check_public_key(key, KeyAlgorithm::Rsa2048), Ok(()));
    }
    println!("{} sound keys, {:?} each", keys.len(), began.elapsed() / keys.len() as u32);
    assert!(keys.len() > 2_000);
}

/// Keys that others have made: a real card of the test environment, and the generator that the simulators use.
#[test]
fn keys_of_other_makers_pass() {
    for certificate in ["jpki-sign-cert.der", "jpki-auth-cert.der", "jpki-sign-ca-cert.der", "jpki-auth-ca-cert.der"] {
        let view = CertificateView::parse(&fixture(certificate)).unwrap();
        assert_eq!(check_public_key(&view.spki, KeyAlgorithm::Rsa2048), Ok(()), "{certificate}");
    }
    let key = rsa::RsaPrivateKey::new(&mut ChaCha20Rng::seed_from_u64(5), 2048).unwrap();
    let public = key.to_public_key().to_public_key_der().unwrap();
    assert_eq!(public.as_bytes(), spki(&key.primes().iter().product(), &EXPONENT.into()));
    assert_eq!(check_public_key(public.as_bytes(), KeyAlgorithm::Rsa2048), Ok(()));
}

#[test]
fn sizes_and_exponents_are_exact() {
    let modulus = &PRIMES[0] * &PRIMES[1];
    for (other, bits) in [(&modulus >> 1_usize, 2047), (&modulus << 1_usize, 2049), (&modulus >> 1024_usize, 1024)] {
        assert_eq!(check(&(other | BigUint::from(1_u8))), Err(WeakKey::Size(bits)));
    }
    assert_eq!(check(&(&modulus << 6144_usize)), Err(WeakKey::Size(8192)));
    for exponent in [0_u32, 1, 2, 3, 17, 65_535, 65_536, 65_539] {
        let key = spki(&modulus, &exponent.into());
        assert_eq!(check_public_key(&key, KeyAlgorithm::Rsa2048), Err(WeakKey::Exponent), "{exponent}");
    }
    let long = spki(&modulus, &((BigUint::from(1_u8) << 64_usize) + EXPONENT));
    assert_eq!(check_public_key(&long, KeyAlgorithm::Rsa2048), Err(WeakKey::Exponent));
}

/// Every prime below the bound, and the first one above it.
#[test]
fn small_factors_are_found_up_to_the_bound() {
    let sound = |least: BigUint| (0_u32..).map(|n| &least + n).find(is_coprime).unwrap();
    let cofactor = |factor: u32| sound((BigUint::from(3_u8) << 2046_usize) / factor + 1_u8);
    for factor in primes(1 << 16).step_by(211).chain([3, 65_521]) {
        let modulus = cofactor(factor) * factor;
        assert_eq!(check(&modulus), Err(WeakKey::SmallFactor(factor)));
    }
    let both = cofactor(17 * 65_519) * (17_u32 * 65_519);
    assert_eq!(check(&both), Err(WeakKey::SmallFactor(17)), "the smallest");
    assert_eq!(check(&(cofactor(65_537) * 65_537_u32)), Ok(()), "above the bound nobody looks");
}

/// Fermat's method after n steps has the mean of the primes, if it is less than n above the root of their product.
#[test]
fn close_primes_are_found_as_far_as_the_steps_go() {
    let prime = &PRIMES[0];
    assert_eq!(check(&(prime * prime)), Err(WeakKey::ClosePrimes), "a square");
    let next_to = |least: BigUint| (0_u32..).map(|n| &least + 2 * n).find(is_coprime).unwrap();
    for apart in [2_usize, 64, 256, 500, 512, 516] {
        let close = next_to(prime + (BigUint::from(1_u8) << apart));
        assert_eq!(check(&(prime * close)), Err(WeakKey::ClosePrimes), "2^{apart} apart");
    }
    // Another six bits apart, and the steps are not enough: it would take more than 2^17.
    let distant = next_to(prime + (BigUint::from(1_u8) << 522_usize));
    assert_eq!(check(&(prime * distant)), Ok(()));
}

#[test]
fn a_key_of_the_other_algorithm_is_told() {
    let modulus = &PRIMES[0] * &PRIMES[1];
    let key = spki(&modulus, &EXPONENT.into());
    assert_eq!(check_public_key(&key, KeyAlgorithm::EcP384), Err(WeakKey::OtherAlgorithm));
    let key = p384::SecretKey::random(&mut ChaCha20Rng::seed_from_u64(3)).public_key();
    let key = key.to_public_key_der().unwrap();
    assert_eq!(check_public_key(key.as_bytes(), KeyAlgorithm::EcP384), Ok(()));
    assert_eq!(check_public_key(key.as_bytes(), KeyAlgorithm::Rsa2048), Err(WeakKey::OtherAlgorithm));
    // P-256 in the parameters (1.2.840.10045.3.1.7), with a point of its length.
    let other = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let mut other = hex::decode(other).unwrap();
    other.push(4);
    other.extend([7; 64]);
    assert_eq!(check_public_key(&other, KeyAlgorithm::EcP384), Err(WeakKey::OtherAlgorithm));
}

#[test]
fn a_point_is_on_its_curve_and_written_in_one_way() {
    let mut random = ChaCha20Rng::seed_from_u64(384);
    let public = p384::SecretKey::random(&mut random).public_key();
    let key = public.to_public_key_der().unwrap().into_vec();
    let point = key.len() - 97;
    for byte in [point + 1, point + 48, point + 49, point + 96] {
        let mut off = key.clone();
        off[byte] ^= 0x01;
        assert_eq!(check_public_key(&off, KeyAlgorithm::EcP384), Err(WeakKey::NotOnCurve), "byte {byte}");
    }
    let with_point = |bits: &[u8]| {
        let info = spki::SubjectPublicKeyInfoRef::try_from(key.as_slice()).unwrap();
        let subject_public_key = BitStringRef::from_bytes(bits).unwrap();
        spki::SubjectPublicKeyInfoRef { subject_public_key, ..info }.to_der().unwrap()
    };
    let compressed = with_point(public.to_encoded_point(true).as_bytes());
    for (what, other) in [
        ("compressed", compressed),
        ("infinity", with_point(&[0])),
        ("no point", with_point(&[])),
        ("hybrid", {
            let mut hybrid = key.clone();
            hybrid[point] = 6 | (key[key.len() - 1] & 1);
            hybrid
        }),
    ] {
        assert_eq!(check_public_key(&other, KeyAlgorithm::EcP384), Err(WeakKey::Malformed), "{what}");
    }
    // A coordinate is below the prime of the field.
    let mut long = key;
    long[point + 1..].fill(0xFF);
    assert_eq!(check_public_key(&long, KeyAlgorithm::EcP384), Err(WeakKey::NotOnCurve));
}

/// Whoever looks for repeats compares bytes, so one key must not have two forms: whatever is changed beside its numbers is refused.
#[test]
fn nothing_beside_the_numbers_can_be_changed() {
    let rsa = spki(&(&PRIMES[0] * &PRIMES[1]), &EXPONENT.into());
    let ec = p384::SecretKey::random(&mut ChaCha20Rng::seed_from_u64(1)).public_key().to_public_key_der().unwrap();
    // The modulus is 256 bytes and begins 5 before the exponent at the end; the point is the last 97.
    let numbers = [rsa.len() - 261..rsa.len() - 5, ec.as_bytes().len() - 96..ec.as_bytes().len()];
    for ((key, algorithm), numbers) in
        [(rsa.as_slice(), KeyAlgorithm::Rsa2048), (ec.as_bytes(), KeyAlgorithm::EcP384)].into_iter().zip(numbers)
    {
        for byte in (0..key.len()).filter(|byte| !numbers.contains(byte)) {
            for bit in 0..8 {
                let mut changed = key.to_vec();
                changed[byte] ^= 1 << bit;
                assert!(check_public_key(&changed, algorithm).is_err(), "{algorithm:?}, byte {byte}, bit {bit}");
            }
        }
        let mut longer = key.to_vec();
        longer.push(0);
        assert_eq!(check_public_key(&longer, algorithm), Err(WeakKey::Malformed));
        for length in 0..key.len() {
            assert_eq!(check_public_key(&key[..length], algorithm), Err(WeakKey::Malformed), "{length} bytes");
        }
    }
}

proptest! {
    /// Bytes of whatever kind are answered.
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(check_public_key(&bytes, KeyAlgorithm::Rsa2048).is_err());
        prop_assert!(check_public_key(&bytes, KeyAlgorithm::EcP384).is_err());
    }

    /// So is any number, even as a modulus, in no time.
    #[test]
    fn any_numbers_are_answered(modulus in proptest::collection::vec(any::<u8>(), 0..300), exponent in any::<u64>()) {
        let key = spki(&BigUint::from_bytes_be(&modulus), &exponent.into());
        let checked = check_public_key(&key, KeyAlgorithm::Rsa2048);
        prop_assert!(checked.is_err());
    }
}
