//! The contract suite finds modules that do not keep the contract: each check, at least one mistake that a backend might make.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use hsm::contract::{self, Fixture};
use hsm::{
    AesLength, CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyKind, KeyName,
    SessionDerivation, SessionKeys, SignatureAlgorithm, WrappedKeyPair,
};
use madoguchi_time::{Deadline, Moment, SystemClock};
use sim_hsm::SoftwareHsm;
use zeroize::Zeroizing;

use crate::contract::{MODULE, card_masters};

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
    MakesOneKeyPair,
    WrapsForAnotherCard,
    GivesAnotherPublicKey,
    KeepsTheKeyPair,
    EnciphersForAnotherCard,
    SendsThePresentKeys,
    SendsAWrongCheckValue,
    SendsKeysInWrongOrder,
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
        if self.makes(Mistake::KeepsTheKeyPair) && self.calls.load(Ordering::SeqCst) > 0 {
            keys.push(KeyName::new("zzz"));
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
        static ONE: OnceLock<WrappedKeyPair> = OnceLock::new();
        let mut card = card.clone();
        if self.makes(Mistake::WrapsForAnotherCard) {
            card.diversification[9] ^= 9;
        }
        let deadline = self.deadline(deadline);
        let mut made = self.inner.make_card_key_pair(kind, &card, deadline).map_err(|error| self.error(error))?;
        if self.makes(Mistake::GivesAnotherPublicKey) {
            made.public_key = self.inner.make_card_key_pair(kind, &card, deadline)?.public_key;
        }
        if self.makes(Mistake::KeepsTheKeyPair) {
            self.number();
        }
        if self.makes(Mistake::MakesOneKeyPair) && kind == CardKeyPairKind::Rsa2048 {
            made = ONE.get_or_init(|| made).clone();
        }
        Ok(made)
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        let mut present = present.clone();
        if self.makes(Mistake::EnciphersForAnotherCard) {
            present.diversification[0] ^= 1;
        }
        let next = if self.makes(Mistake::SendsThePresentKeys) { present.key_version } else { next };
        let sent = self.inner.encipher_card_keys(&present, next, self.deadline(deadline));
        let mut sent = sent.map_err(|error| self.error(error))?;
        if self.makes(Mistake::SendsAWrongCheckValue) {
            sent.mac.check_value = sent.enc.check_value;
        }
        if self.makes(Mistake::SendsKeysInWrongOrder) {
            std::mem::swap(&mut sent.enc, &mut sent.mac);
        }
        Ok(sent)
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
    Fixture { hsm: Arc::new(hsm), clock: SystemClock::shared(), lacks: Vec::new(), card_masters: card_masters() }
}

type Check = fn(&Fixture);

fn outcome(check: Check, fixture: &Fixture) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| check(fixture)))
}

#[test]
fn every_mistake_is_found() {
    let mistakes: [(Mistake, Check); 29] = [
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
        (Mistake::ForgetsTheCard, contract::derives_what_software_derives),
        (Mistake::MakesOneKeyPair, contract::makes_key_pairs_for_one_card),
        (Mistake::WrapsForAnotherCard, contract::makes_key_pairs_for_one_card),
        (Mistake::GivesAnotherPublicKey, contract::makes_key_pairs_for_one_card),
        (Mistake::KeepsTheKeyPair, contract::makes_key_pairs_for_one_card),
        (Mistake::EnciphersForAnotherCard, contract::enciphers_the_keys_of_the_next_version),
        (Mistake::SendsThePresentKeys, contract::enciphers_the_keys_of_the_next_version),
        (Mistake::SendsAWrongCheckValue, contract::enciphers_the_keys_of_the_next_version),
        (Mistake::SendsKeysInWrongOrder, contract::enciphers_the_keys_of_the_next_version),
        (Mistake::SendsThePresentKeys, contract::tells_what_is_not_for_cards),
        (Mistake::UnknownIsWrongKind, contract::tells_what_is_not_for_cards),
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
