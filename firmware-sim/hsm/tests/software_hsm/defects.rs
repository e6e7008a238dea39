//! The contract suite finds modules that do not keep the contract: each check, at least one mistake that a backend might make.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hsm::contract::{self, Fixture};
use hsm::{
    AesLength, CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyKind, KeyName,
    SessionDerivation, SessionKeys, SignatureAlgorithm, WrappedKeyPair,
};
use madoguchi_time::{Deadline, Moment, SystemClock};
use sim_hsm::SoftwareHsm;
use zeroize::Zeroizing;

use crate::contract::MODULE;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    NoSerial,
    KeysOutOfOrder,
    KeyHidden,
    SignsBeginningOnly,
    SignsWithAnotherKey,
    TakesPartOfTheName,
    UnknownIsWrongKind,
    AnyKeyAuthenticates,
    DerivesAtRandom,
    ForgetsTheCard,
    ForgetsTheChallenge,
    ForgetsTheContext,
    RepeatsTheFirstHalf,
    UsesOneRecordKey,
    StretchesTheMaster,
    IgnoresDeadlines,
    MixesUpThreads,
}

/// A module that is right but for one mistake.
struct Mistaken {
    inner: Arc<SoftwareHsm>,
    mistake: Mistake,
    calls: AtomicU8,
}

impl Mistaken {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    fn number(&self) -> u8 {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    /// The key that this module takes for `key`.
    fn found(&self, key: &KeyName, deadline: Deadline) -> KeyName {
        let keys = self.inner.keys(deadline).unwrap();
        let begins = keys.iter().find(|name| !key.as_str().is_empty() && name.as_str().starts_with(key.as_str()));
        if self.makes(Mistake::TakesPartOfTheName) { begins.unwrap_or(key).clone() } else { key.clone() }
    }

    fn error(&self, error: HsmError) -> HsmError {
        match error {
            HsmError::NoSuchKey(key) if self.makes(Mistake::UnknownIsWrongKind) => HsmError::WrongKind(key),
            error => error,
        }
    }

    fn deadline(&self, deadline: Deadline) -> Deadline {
        let late = Moment::since_start(std::time::Duration::from_secs(1_000_000));
        if self.makes(Mistake::IgnoresDeadlines) { Deadline::at(late) } else { deadline }
    }
}

/// The other one of the two keys that the suite has of each kind.
fn other(key: &KeyName) -> KeyName {
    KeyName::new(match key.as_str().strip_suffix("-a") {
        Some(stem) => format!("{stem}-b"),
        None => key.as_str().replace("-b", "-a"),
    })
}

impl Hsm for Mistaken {
    fn identity(&self) -> HsmIdentity {
        let identity = self.inner.identity();
        if self.makes(Mistake::NoSerial) { HsmIdentity { serial: String::new(), ..identity } } else { identity }
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        let mut keys = self.inner.keys(self.deadline(deadline))?;
        if self.makes(Mistake::KeysOutOfOrder) {
            keys.reverse();
        }
        if self.makes(Mistake::KeyHidden) {
            keys.pop();
        }
        Ok(keys)
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        let deadline = self.deadline(deadline);
        self.inner.public_key(&self.found(key, deadline), deadline).map_err(|error| self.error(error))
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        let deadline = self.deadline(deadline);
        let mut key = self.found(key, deadline);
        let main = std::thread::current().name().is_some();
        if self.makes(Mistake::SignsWithAnotherKey) || (self.makes(Mistake::MixesUpThreads) && !main) {
            key = other(&key);
        }
        let length = if self.makes(Mistake::SignsBeginningOnly) { message.len().min(100) } else { message.len() };
        self.inner.sign(&key, algorithm, &message[..length], deadline).map_err(|error| self.error(error))
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        let mut derivation = derivation.clone();
        match self.mistake {
            Mistake::ForgetsTheCard => derivation.diversification = [0; 10],
            Mistake::ForgetsTheChallenge => derivation.card_challenge = vec![0; 8],
            Mistake::DerivesAtRandom => derivation.host_challenge[0] = self.number(),
            Mistake::StretchesTheMaster if derivation.key_length == AesLength::Aes256.bytes() => {
                derivation.key_version = 0x13;
            }
            _ => {}
        }
        self.inner.derive_session(&derivation, self.deadline(deadline)).map_err(|error| self.error(error))
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.inner.make_card_key_pair(kind, card, self.deadline(deadline)).map_err(|error| self.error(error))
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.inner.encipher_card_keys(present, next, self.deadline(deadline)).map_err(|error| self.error(error))
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        let deadline = self.deadline(deadline);
        let context = if self.makes(Mistake::ForgetsTheContext) { b"" } else { context };
        let one = KeyName::new("contract-record-a");
        let found = if self.makes(Mistake::UsesOneRecordKey) { one } else { self.found(key, deadline) };
        let mut key = self.inner.derive_record_key(&found, context, deadline).map_err(|error| self.error(error))?;
        if self.makes(Mistake::RepeatsTheFirstHalf) {
            key.copy_within(..16, 16);
        }
        if self.makes(Mistake::DerivesAtRandom) {
            key[0] = self.number();
        }
        Ok(key)
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        let deadline = self.deadline(deadline);
        let key = self.found(key, deadline);
        match self.inner.mac(&key, message, deadline) {
            Err(HsmError::WrongKind(_)) if self.makes(Mistake::AnyKeyAuthenticates) => Ok([0; 32]),
            result => result.map_err(|error| self.error(error)),
        }
    }
}

fn fixture(mistake: Mistake) -> Fixture {
    let hsm = Mistaken { inner: Arc::clone(&MODULE), mistake, calls: AtomicU8::new(0) };
    Fixture { hsm: Arc::new(hsm), clock: SystemClock::shared(), lacks: Vec::new() }
}

type Check = fn(&Fixture);

fn outcome(check: Check, fixture: &Fixture) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| check(fixture)))
}

#[test]
fn every_mistake_is_found() {
    let mistakes: [(Mistake, Check); 18] = [
        (Mistake::NoSerial, contract::names_itself),
        (Mistake::KeysOutOfOrder, contract::lists_its_keys),
        (Mistake::KeyHidden, contract::lists_its_keys),
        (Mistake::SignsBeginningOnly, contract::signs_with_each_kind),
        (Mistake::SignsWithAnotherKey, contract::signs_with_each_kind),
        (Mistake::TakesPartOfTheName, contract::tells_unknown_keys),
        (Mistake::UnknownIsWrongKind, contract::tells_unknown_keys),
        (Mistake::AnyKeyAuthenticates, contract::tells_wrong_kinds),
        (Mistake::DerivesAtRandom, contract::derives_the_same_again),
        (Mistake::DerivesAtRandom, contract::seals_and_opens),
        (Mistake::ForgetsTheCard, contract::derives_apart),
        (Mistake::ForgetsTheChallenge, contract::derives_apart),
        (Mistake::ForgetsTheContext, contract::derives_apart),
        (Mistake::RepeatsTheFirstHalf, contract::derives_apart),
        (Mistake::StretchesTheMaster, contract::derives_no_more_than_the_master_holds),
        (Mistake::UsesOneRecordKey, contract::refuses_what_was_tampered_with),
        (Mistake::IgnoresDeadlines, contract::keeps_deadlines),
        (Mistake::MixesUpThreads, contract::serves_several_threads),
    ];
    for (number, (mistake, check)) in mistakes.into_iter().enumerate() {
        assert!(outcome(check, &fixture(mistake)).is_err(), "mistake {number}: {mistake:?}");
    }
}

#[test]
fn a_kind_that_lacks_without_need_is_found() {
    let lacking = Fixture { lacks: vec![KeyKind::EcP384], ..fixture(Mistake::KeysOutOfOrder) };
    assert!(outcome(contract::lists_its_keys, &lacking).is_err());
}
