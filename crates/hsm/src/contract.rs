//! What every backend of the HSM port must do. A backend instantiates the suite with one line in its tests:
//!
//! ```text
//! hsm::contract_suite!(provisioned_module);
//! ```
//!
//! `provisioned_module` is a function that returns a [`Fixture`]: a module that holds [`required_keys`] and the clock that
//! it goes by. Each check becomes a test of its own.

#![expect(clippy::unwrap_used, reason = "the suite runs in tests, where a failure is to be a panic")]

mod card;

pub use card::{
    derives_what_software_derives, enciphers_the_keys_of_the_next_version, makes_key_pairs_for_one_card,
    tells_what_is_not_for_cards,
};

use std::sync::Arc;
use std::time::Duration;

use madoguchi_time::{Deadline, Moment, SharedClock};
use p256::ecdsa::signature::Verifier;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use spki::DecodePublicKey;

use crate::{
    AesLength, CardKeyPairKind, CardKeySet, Hsm, HsmError, KeyKind, KeyName, Sealed, SessionDerivation,
    SignatureAlgorithm, sealing,
};

/// A module to be put through the suite.
pub struct Fixture {
    /// The module.
    pub hsm: Arc<dyn Hsm>,
    /// The clock that its deadlines are on.
    pub clock: SharedClock,
    /// Kinds of keys that the module does not offer. A kind that stands here without need fails the suite.
    pub lacks: Vec<KeyKind>,
    /// The masters of cards that the module holds, by key version: what only a card can open is opened with them.
    pub card_masters: Vec<(u8, Vec<u8>)>,
}

impl Fixture {
    fn soon(&self) -> Deadline {
        self.clock.deadline_in(Duration::from_secs(10))
    }

    /// The required keys that the module holds.
    fn keys(&self) -> impl Iterator<Item = (KeyName, KeyKind)> + '_ {
        required_keys().into_iter().filter(|(_, kind)| !self.lacks.contains(kind))
    }
}

/// The keys that a module must hold for the suite: two of each kind, so that they can be told apart.
#[must_use]
pub fn required_keys() -> Vec<(KeyName, KeyKind)> {
    let pairs = [
        ("contract-p256", KeyKind::EcP256),
        ("contract-p384", KeyKind::EcP384),
        ("contract-rsa", KeyKind::Rsa2048),
        ("contract-record", KeyKind::RecordKey),
        ("contract-hmac", KeyKind::Hmac),
    ];
    let named = pairs.into_iter().flat_map(|(name, kind)| {
        [(KeyName::new(format!("{name}-a")), kind), (KeyName::new(format!("{name}-b")), kind)]
    });
    let masters =
        CARD_MASTERS.into_iter().map(|(version, length)| (KeyName::card_master(version), KeyKind::CardMaster(length)));
    named.chain(masters).collect()
}

/// The key versions of the masters of cards among [`required_keys`], which the module is given from outside.
pub const CARD_MASTERS: [(u8, AesLength); 4] =
    [(0x11, AesLength::Aes128), (0x12, AesLength::Aes192), (0x13, AesLength::Aes256), (0x14, AesLength::Aes256)];

/// A check of the suite.
pub type Case = (&'static str, fn(&Fixture));

macro_rules! cases {
    ($d:tt $($check:ident)+) => {
        /// All checks, by name: for tests that don't use the standard harness.
        pub const CASES: &[Case] = &[$((stringify!($check), $check)),+];

        /// Turns every check of the suite into a test.
        #[macro_export]
        macro_rules! contract_suite {
            ($d fixture:expr) => {
                $(
                    #[test]
                    fn $check() {
                        $crate::contract::$check(&$d fixture());
                    }
                )+
            };
        }
    };
}

cases! { $
    names_itself lists_its_keys signs_with_each_kind tells_unknown_keys tells_wrong_kinds
    derives_the_same_again derives_apart derives_no_more_than_the_master_holds seals_and_opens
    derives_what_software_derives makes_key_pairs_for_one_card enciphers_the_keys_of_the_next_version tells_what_is_not_for_cards
    refuses_what_was_tampered_with keeps_deadlines serves_several_threads
}

/// The module says who it is.
pub fn names_itself(fixture: &Fixture) {
    let identity = fixture.hsm.identity();
    assert!(!identity.manufacturer.is_empty() && !identity.model.is_empty() && !identity.serial.is_empty());
    assert_eq!(identity, fixture.hsm.identity(), "the identity does not change");
}

/// All required keys are there, in order, and nothing that the fixture says is lacking.
pub fn lists_its_keys(fixture: &Fixture) {
    let listed = fixture.hsm.keys(fixture.soon()).unwrap();
    assert!(listed.is_sorted(), "in order: {listed:?}");
    for (name, kind) in required_keys() {
        assert_eq!(listed.contains(&name), !fixture.lacks.contains(&kind), "{name}");
    }
}

/// Signatures verify under the key that made them, over the message that was given, and under nothing else.
pub fn signs_with_each_kind(fixture: &Fixture) {
    // Longer than a hash: the module gets the message itself.
    let message = [0x5a; 200];
    let mut signing = 0;
    for (name, kind) in fixture.keys() {
        let Some(algorithm) = algorithm_of(kind) else { continue };
        let signature = fixture.hsm.sign(&name, algorithm, &message, fixture.soon()).unwrap();
        let spki = fixture.hsm.public_key(&name, fixture.soon()).unwrap();
        assert_eq!(spki, fixture.hsm.public_key(&name, fixture.soon()).unwrap());
        assert!(verifies(algorithm, &spki, &message, &signature), "{name}");
        assert!(!verifies(algorithm, &spki, &message[1..], &signature), "{name}: another message");
        for (other, _) in fixture.keys().filter(|(other, other_kind)| *other != name && *other_kind == kind) {
            let other_spki = fixture.hsm.public_key(&other, fixture.soon()).unwrap();
            assert!(!verifies(algorithm, &other_spki, &message, &signature), "{name} under {other}");
        }
        let empty = fixture.hsm.sign(&name, algorithm, b"", fixture.soon()).unwrap();
        assert!(verifies(algorithm, &spki, b"", &empty), "{name}: the empty message");
        signing += 1;
    }
    assert!(signing > 0, "a module that can't sign is of no use");
}

/// A name that no key has is told as such, by every call; a name is taken whole.
pub fn tells_unknown_keys(fixture: &Fixture) {
    for unknown in ["contract-none", "", "contract-p256", "contract-p256-a ", "CONTRACT-P256-A"] {
        let key = KeyName::new(unknown);
        for (call, result) in calls(fixture, &key) {
            assert!(matches!(&result, Err(HsmError::NoSuchKey(name)) if *name == key), "{call} {key:?}: {result:?}");
        }
    }
    let result = fixture.hsm.derive_session(&derivation(0x7f, 16), fixture.soon());
    assert!(matches!(&result, Err(HsmError::NoSuchKey(name)) if *name == KeyName::card_master(0x7f)), "{result:?}");
}

/// Every key does what its kind says and nothing else.
pub fn tells_wrong_kinds(fixture: &Fixture) {
    for (name, kind) in fixture.keys() {
        for (call, result) in calls(fixture, &name) {
            let fits = match call {
                Call::PublicKey => algorithm_of(kind).is_some(),
                Call::Sign(algorithm) => algorithm_of(kind) == Some(algorithm),
                Call::RecordKey => kind == KeyKind::RecordKey,
                Call::Mac => kind == KeyKind::Hmac,
            };
            if fits {
                assert!(result.is_ok(), "{call} {name}: {result:?}");
            } else {
                assert!(matches!(&result, Err(HsmError::WrongKind(key)) if *key == name), "{call} {name}: {result:?}");
            }
        }
    }
}

/// The same inputs give the same keys.
pub fn derives_the_same_again(fixture: &Fixture) {
    for derivation in derivations(fixture) {
        assert_eq!(session(fixture, &derivation), session(fixture, &derivation), "{derivation:?}");
    }
    for key in of_kind(fixture, KeyKind::RecordKey) {
        assert_eq!(record_key(fixture, &key, b"context"), record_key(fixture, &key, b"context"), "{key}");
    }
    for key in of_kind(fixture, KeyKind::Hmac) {
        assert_eq!(mac(fixture, &key, b"message"), mac(fixture, &key, b"message"), "{key}");
    }
}

/// Other inputs, and other keys, give other results.
pub fn derives_apart(fixture: &Fixture) {
    let mut sessions = Vec::new();
    for derivation in derivations(fixture) {
        let keys = session(fixture, &derivation);
        assert!(keys.iter().all(|key| key.len() == derivation.key_length), "{derivation:?}");
        sessions.extend(keys);
    }
    all_differ("session keys", &sessions);

    let mut record_keys = Vec::new();
    for key in of_kind(fixture, KeyKind::RecordKey) {
        for context in [b"".as_slice(), b"\0", b"a", b"b", b"ab", &[0x61; 32], &[0x61; 33], &[0x61; 300]] {
            record_keys.push(record_key(fixture, &key, context));
        }
    }
    all_differ("record keys", &record_keys);
    all_differ("halves of record keys", &record_keys.iter().flat_map(|key| key.chunks(16)).collect::<Vec<_>>());

    let mut macs = Vec::new();
    for key in of_kind(fixture, KeyKind::Hmac) {
        for message in [b"".as_slice(), b"\0", b"a", b"b", &[0x61; 300]] {
            macs.push(mac(fixture, &key, message));
        }
    }
    all_differ("authentication codes", &macs);
}

/// A card's keys are of a length that AES has, and no longer than the master key.
pub fn derives_no_more_than_the_master_holds(fixture: &Fixture) {
    for (version, master) in masters(fixture) {
        for key_length in [0, 1, 15, 16, 17, 24, 31, 32, 33, 64] {
            let result = fixture.hsm.derive_session(&derivation(version, key_length), fixture.soon());
            if [16, 24, 32].contains(&key_length) && key_length <= master.bytes() {
                assert!(result.is_ok(), "{key_length} bytes from {master:?}: {result:?}");
            } else {
                let name = KeyName::card_master(version);
                assert!(
                    matches!(&result, Err(HsmError::WrongKind(key)) if *key == name),
                    "{key_length} bytes from {master:?}: {result:?}"
                );
            }
        }
    }
}

/// What was sealed can be opened, from its bytes too, and is sealed anew each time.
pub fn seals_and_opens(fixture: &Fixture) {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    for key in of_kind(fixture, KeyKind::RecordKey) {
        for plaintext in [b"".as_slice(), b"one", &[0x33; 5000]] {
            let mut seal =
                || sealing::seal(&*fixture.hsm, &key, "contract", b"aad", plaintext, &mut rng, fixture.soon()).unwrap();
            let (sealed, again) = (seal(), seal());
            assert_ne!(sealed, again);
            for sealed in [sealed, again] {
                let read = Sealed::from_bytes(&sealed.to_bytes()).unwrap();
                assert_eq!(read, sealed);
                let opened = sealing::open(&*fixture.hsm, &key, "contract", b"aad", &read, fixture.soon()).unwrap();
                assert_eq!(*opened, plaintext);
            }
        }
    }
}

/// A sealed record opens only as it was sealed, where it was sealed, with the key that sealed it.
pub fn refuses_what_was_tampered_with(fixture: &Fixture) {
    let keys = of_kind(fixture, KeyKind::RecordKey);
    let Some(key) = keys.first() else { return };
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let sealed =
        sealing::seal(&*fixture.hsm, key, "purpose", b"aad", b"secret", &mut rng, fixture.soon()).unwrap().to_bytes();
    let open = |key: &KeyName, purpose: &str, aad: &[u8], bytes: &[u8]| {
        let sealed = Sealed::from_bytes(bytes)?;
        sealing::open(&*fixture.hsm, key, purpose, aad, &sealed, fixture.soon())
    };
    assert_eq!(**open(key, "purpose", b"aad", &sealed).as_ref().unwrap(), *b"secret");
    let refused = |what: &str, key: &KeyName, purpose: &str, aad: &[u8], bytes: &[u8]| {
        let result = open(key, purpose, aad, bytes);
        assert!(matches!(result, Err(HsmError::NotAuthentic)), "{what}: {result:?}");
    };
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&format!("bit {bit}"), key, "purpose", b"aad", &changed);
    }
    for length in 0..sealed.len() {
        refused(&format!("cut to {length} bytes"), key, "purpose", b"aad", &sealed[..length]);
    }
    refused("a byte more", key, "purpose", b"aad", &[sealed.as_slice(), &[0]].concat());
    for (purpose, aad) in [("purposE", b"aad".as_slice()), ("purpose", b"aae"), ("purpose", b""), ("purposea", b"ad")] {
        refused("elsewhere", key, purpose, aad, &sealed);
    }
    for other in &keys[1..] {
        refused("another key", other, "purpose", b"aad", &sealed);
    }
}

/// A call whose deadline has passed is refused.
pub fn keeps_deadlines(fixture: &Fixture) {
    let passed = Deadline::at(Moment::since_start(Duration::ZERO));
    let name = KeyName::new("contract-p256-a");
    let record = KeyName::new("contract-record-a");
    let hmac = KeyName::new("contract-hmac-a");
    let hsm = &fixture.hsm;
    let refused = [
        hsm.keys(passed).map(drop),
        hsm.public_key(&name, passed).map(drop),
        hsm.sign(&name, SignatureAlgorithm::EcdsaP256Sha256, b"message", passed).map(drop),
        hsm.derive_session(&derivation(0x13, 16), passed).map(drop),
        hsm.make_card_key_pair(CardKeyPairKind::EcP384, &CardKeySet::from(&derivation(0x13, 16)), passed).map(drop),
        hsm.encipher_card_keys(&CardKeySet::from(&derivation(0x13, 16)), 0x14, passed).map(drop),
        hsm.derive_record_key(&record, b"context", passed).map(drop),
        hsm.mac(&hmac, b"message", passed).map(drop),
    ];
    for (call, result) in refused.into_iter().enumerate() {
        assert!(matches!(result, Err(HsmError::Timeout)), "call {call}: {result:?}");
    }
    assert!(hsm.keys(fixture.soon()).is_ok(), "and the next call is served");
}

/// Several threads use the module at once, each with its own keys, and none gets another's answer.
pub fn serves_several_threads(fixture: &Fixture) {
    let expected: Vec<_> = derivations(fixture).into_iter().map(|d| (session(fixture, &d), d)).collect();
    let signers: Vec<_> =
        fixture.keys().filter_map(|(name, kind)| algorithm_of(kind).map(|algorithm| (name, algorithm))).collect();
    std::thread::scope(|scope| {
        for thread in 0_u8..4 {
            let (expected, signers) = (&expected, &signers);
            scope.spawn(move || {
                for round in 0_u8..4 {
                    let at = usize::from(thread) + usize::from(round);
                    if let Some((keys, derivation)) = expected.get(at % expected.len().max(1)) {
                        assert_eq!(session(fixture, derivation), *keys);
                    }
                    let (name, algorithm) = &signers[at % signers.len()];
                    let message = [thread, round];
                    let signature = fixture.hsm.sign(name, *algorithm, &message, fixture.soon()).unwrap();
                    let spki = fixture.hsm.public_key(name, fixture.soon()).unwrap();
                    assert!(verifies(*algorithm, &spki, &message, &signature), "{name}");
                }
            });
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Call {
    PublicKey,
    Sign(SignatureAlgorithm),
    RecordKey,
    Mac,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Every call that names a key, made with `key`.
fn calls(fixture: &Fixture, key: &KeyName) -> Vec<(Call, Result<(), HsmError>)> {
    let (hsm, soon) = (&fixture.hsm, fixture.soon());
    let algorithms =
        [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::EcdsaP384Sha384, SignatureAlgorithm::RsaPkcs1Sha256];
    let mut calls = vec![
        (Call::PublicKey, hsm.public_key(key, soon).map(drop)),
        (Call::RecordKey, hsm.derive_record_key(key, b"context", soon).map(drop)),
        (Call::Mac, hsm.mac(key, b"message", soon).map(drop)),
    ];
    for algorithm in algorithms {
        calls.push((Call::Sign(algorithm), hsm.sign(key, algorithm, b"message", soon).map(drop)));
    }
    calls
}

fn algorithm_of(kind: KeyKind) -> Option<SignatureAlgorithm> {
    match kind {
        KeyKind::EcP256 => Some(SignatureAlgorithm::EcdsaP256Sha256),
        KeyKind::EcP384 => Some(SignatureAlgorithm::EcdsaP384Sha384),
        KeyKind::Rsa2048 => Some(SignatureAlgorithm::RsaPkcs1Sha256),
        KeyKind::CardMaster(_) | KeyKind::RecordKey | KeyKind::Hmac => None,
    }
}

fn verifies(algorithm: SignatureAlgorithm, spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            let key = p256::ecdsa::VerifyingKey::from_public_key_der(spki).unwrap();
            let signature = p256::ecdsa::DerSignature::try_from(signature).unwrap();
            key.verify(message, &signature).is_ok()
        }
        SignatureAlgorithm::EcdsaP384Sha384 => {
            let key = p384::ecdsa::VerifyingKey::from_public_key_der(spki).unwrap();
            let signature = p384::ecdsa::DerSignature::try_from(signature).unwrap();
            key.verify(message, &signature).is_ok()
        }
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            let key = rsa::RsaPublicKey::from_public_key_der(spki).unwrap();
            let signature = rsa::pkcs1v15::Signature::try_from(signature).unwrap();
            rsa::pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key).verify(message, &signature).is_ok()
        }
    }
}

fn masters(fixture: &Fixture) -> impl Iterator<Item = (u8, AesLength)> + '_ {
    CARD_MASTERS.into_iter().filter(|(_, length)| !fixture.lacks.contains(&KeyKind::CardMaster(*length)))
}

fn derivation(key_version: u8, key_length: usize) -> SessionDerivation {
    SessionDerivation {
        key_version,
        diversification: *b"0123456789",
        key_length,
        host_challenge: vec![0x48; 8],
        card_challenge: vec![0x43; 8],
    }
}

/// For every master key and every length: a plain derivation, and others that differ from it in one thing.
fn derivations(fixture: &Fixture) -> Vec<SessionDerivation> {
    let mut derivations = Vec::new();
    for (version, master) in masters(fixture) {
        for key_length in [16, 24, 32].into_iter().filter(|length| *length <= master.bytes()) {
            let plain = derivation(version, key_length);
            for byte in 0..10 {
                let mut other_card = plain.clone();
                other_card.diversification[byte] ^= 1;
                derivations.push(other_card);
            }
            derivations.push(SessionDerivation { host_challenge: vec![0x49; 8], ..plain.clone() });
            derivations.push(SessionDerivation { card_challenge: vec![0x44; 8], ..plain.clone() });
            derivations.push(SessionDerivation {
                host_challenge: vec![0x48; 16],
                card_challenge: vec![0x43; 16],
                ..plain.clone()
            });
            derivations.push(plain);
        }
    }
    derivations
}

fn session(fixture: &Fixture, derivation: &SessionDerivation) -> [Vec<u8>; 3] {
    let keys = fixture.hsm.derive_session(derivation, fixture.soon()).unwrap();
    [keys.enc.clone(), keys.mac.clone(), keys.rmac.clone()]
}

fn record_key(fixture: &Fixture, key: &KeyName, context: &[u8]) -> [u8; 32] {
    *fixture.hsm.derive_record_key(key, context, fixture.soon()).unwrap()
}

fn mac(fixture: &Fixture, key: &KeyName, message: &[u8]) -> [u8; 32] {
    fixture.hsm.mac(key, message, fixture.soon()).unwrap()
}

fn of_kind(fixture: &Fixture, kind: KeyKind) -> Vec<KeyName> {
    fixture.keys().filter(|(_, has)| *has == kind).map(|(name, _)| name).collect()
}

fn all_differ<T: AsRef<[u8]>>(what: &str, values: &[T]) {
    let distinct: std::collections::BTreeSet<&[u8]> = values.iter().map(AsRef::as_ref).collect();
    assert_eq!(distinct.len(), values.len(), "{what}");
}
