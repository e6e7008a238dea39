//! The HSM port on kryoptic, a token that derives and wraps as the port wants it: what it does is what software does, and what
//! tokens do that lack the one or the other.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use common::raw::aes_key_wrap_kwp;
use common::{Provisioned, kryoptic, new_token, open, provisioned, soon, trial, vectors};
use cryptoki::slot::Slot;
use hsm::contract::{self, CASES, Fixture};
use hsm::{CardKeyPairKind, CardKeySet, Hsm, HsmError, KeyKind, KeyName, custody};
use hsm_pkcs11::{KeyWrap, Pkcs11Hsm};
use libtest_mimic::{Arguments, Trial};
use madoguchi_time::SystemClock;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = common::folder(|_, _| ());
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|(name, check)| {
            Trial::test(format!("contract::{name}"), || {
                check(&fixture());
                Ok(())
            })
        })
        .collect();
    trials.extend(custody::contract::CASES.iter().map(|(name, check)| {
        Trial::test(format!("custody::{name}"), || {
            check(&custody_fixture());
            Ok(())
        })
    }));
    trials.extend([
        trial("it_is_found_to_do_what_kryoptic_does", it_is_found_to_do_what_kryoptic_does),
        trial("it_has_published_values", it_has_published_values),
        trial("it_gives_no_key_away", it_gives_no_key_away),
        trial("without_derivation_it_does_the_same_on_the_host", without_derivation_it_does_the_same_on_the_host),
        trial("without_key_wrap_it_makes_no_key_pairs_for_cards", without_key_wrap_it_makes_no_key_pairs_for_cards),
    ]);
    // As long as it is open, nobody finalises kryoptic under a test that uses it past the adapter.
    let _kept = open(new_token(kryoptic(), "kept"));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let _ = fs::remove_dir_all(folder);
    conclusion.exit_code()
}

fn fixture() -> Fixture {
    static PROVISIONED: OnceLock<Provisioned> = OnceLock::new();
    common::fixture(PROVISIONED.get_or_init(|| provisioned(open(new_token(kryoptic(), "contract")))))
}

fn custody_fixture() -> custody::contract::Fixture {
    static EMPTY: OnceLock<Arc<Pkcs11Hsm>> = OnceLock::new();
    let hsm = EMPTY.get_or_init(|| Arc::new(open(new_token(kryoptic(), "custody"))));
    custody::contract::Fixture { custody: Arc::clone(hsm) as _, clock: SystemClock::shared() }
}

/// A token in a slot that lacks something.
fn lacking(slot: u32, label: &str) -> Pkcs11Hsm {
    open(common::initialised(kryoptic(), Slot::try_from(u64::from(slot)).unwrap(), label))
}

fn it_is_found_to_do_what_kryoptic_does() {
    let hsm = open(new_token(kryoptic(), "capabilities"));
    let able = hsm.capabilities();
    assert!(able.ec_p256 && able.ec_p384 && able.rsa_2048 && able.aes_cmac && able.hmac_sha256, "{able}");
    assert!(able.ecdsa_sha256 && able.ecdsa_sha384 && able.sp800_108 && able.key_changeover, "{able}");
    assert_eq!(able.key_wrap, KeyWrap::Exact);
    // Whoever asks it for a key of a card that can be read gets one: it is told.
    assert!(able.readable_children, "{able}");
    assert_eq!(hsm.weaker_modes(), ["derives-readable"]);
}

fn it_has_published_values() {
    common::with_session_beside(kryoptic(), "vectors", |session| {
        vectors::cmac_has_the_values_of_rfc_4493(session);
        vectors::counter_mode_has_the_values_of_cavs(session);
        vectors::key_wrap_has_the_values_of_rfc_5649(session, &aes_key_wrap_kwp(), false);
    });
}

fn it_gives_no_key_away() {
    let hsm = open(new_token(kryoptic(), "honest"));
    let name = KeyName::new(KeyName::LOG_SIGNING);
    hsm.generate(&name, KeyKind::EcP256, soon()).unwrap().unwrap();
    let honesty = hsm.prove_honesty(soon()).expect("kryoptic keeps its keys");
    assert!(honesty.refused > 100 && honesty.readable_children, "{honesty:?}");
    assert_eq!(hsm.keys(soon()).unwrap(), [name], "nothing is left of the trial");
}

/// RFC 5649 exactly, and the card's keys by AES-CMAC: the suite opens what comes of it as before.
fn without_derivation_it_does_the_same_on_the_host() {
    let hsm = lacking(common::WITHOUT_DERIVATION, "without derivation");
    let able = hsm.capabilities();
    assert!(!able.sp800_108 && able.aes_cmac && able.key_wrap == KeyWrap::Exact, "{able}");
    let weaker = common::fixture(&provisioned(hsm));
    contract::derives_apart(&weaker);
    contract::makes_key_pairs_for_one_card(&weaker);
    contract::enciphers_the_keys_of_the_next_version(&weaker);
    // The same masters, and the same keys of cards.
    let stronger = fixture();
    let card = CardKeySet { key_version: 0x14, diversification: *b"9876543210", key_length: 32 };
    let sent = |fixture: &Fixture| fixture.hsm.encipher_card_keys(&card, 0x13, soon()).unwrap();
    assert_eq!(sent(&weaker), sent(&stronger));
}

fn without_key_wrap_it_makes_no_key_pairs_for_cards() {
    let hsm = lacking(common::WITHOUT_KEY_WRAP, "without key wrap");
    assert_eq!(hsm.capabilities().key_wrap, KeyWrap::None);
    let (hsm, _) = provisioned(hsm);
    let card = CardKeySet { key_version: 0x14, diversification: *b"9876543210", key_length: 32 };
    let made = hsm.make_card_key_pair(CardKeyPairKind::EcP384, &card, soon());
    assert!(matches!(made, Err(HsmError::Unsupported(_))), "{made:?}");
    hsm.encipher_card_keys(&card, 0x13, soon()).expect("static keys are not wrapped so");
}
