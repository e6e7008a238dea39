//! The HSM port on SoftHSM2: its contract, and keys that SoftHSM2 holds being those that they should be.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use common::{PIN, Provisioned, beside, new_token, open, provisioned, slot_of, softhsm2, soon, trial, vectors};
use cryptoki::mechanism::Mechanism;
use hsm::contract::{CASES, Fixture};
use hsm::custody;
use hsm::{Hsm, HsmError, KeyKind, KeyName};
use hsm_pkcs11::{KeyWrap, Pin, Pkcs11Hsm, TokenError, TokenSelector};
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
            // SoftHSM2 2.6 fails at times when one thread makes a key in a token that another one searches.
            let _turn = CUSTODY.lock();
            check(&custody_fixture());
            Ok(())
        })
    }));
    trials.extend([
        trial("a_wrong_pin_is_told_and_not_tried_again", a_wrong_pin_is_told_and_not_tried_again),
        trial("a_token_that_is_not_there_is_told", a_token_that_is_not_there_is_told),
        trial("a_foreign_key_of_our_name_is_not_ours", a_foreign_key_of_our_name_is_not_ours),
        trial("a_name_is_given_once", a_name_is_given_once),
        trial("it_has_published_values", it_has_published_values),
        trial("it_gives_no_key_away", it_gives_no_key_away),
        trial("it_is_found_to_do_what_softhsm2_does", it_is_found_to_do_what_softhsm2_does),
    ]);
    // As long as it is open, nobody finalises SoftHSM2 under a test that uses it past the adapter.
    let _kept = open(new_token(softhsm2(), "kept"));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let _ = fs::remove_dir_all(folder);
    conclusion.exit_code()
}

fn fixture() -> Fixture {
    static PROVISIONED: OnceLock<Provisioned> = OnceLock::new();
    common::fixture(PROVISIONED.get_or_init(|| provisioned(open(new_token(softhsm2(), "contract")))))
}

static CUSTODY: Mutex<()> = Mutex::new(());

fn custody_fixture() -> custody::contract::Fixture {
    static EMPTY: OnceLock<Arc<Pkcs11Hsm>> = OnceLock::new();
    let hsm = EMPTY.get_or_init(|| Arc::new(open(new_token(softhsm2(), "custody"))));
    custody::contract::Fixture { custody: Arc::clone(hsm) as _, clock: SystemClock::shared() }
}

fn a_wrong_pin_is_told_and_not_tried_again() {
    let selector = new_token(softhsm2(), "wrong-pin");
    let refused = Pkcs11Hsm::open(selector.clone(), Pin::from("user-4321"), SystemClock::shared());
    assert!(matches!(refused, Err(TokenError::PinRefused)), "{refused:?}");
    open(selector);
}

fn a_token_that_is_not_there_is_told() {
    let selector = TokenSelector { module: softhsm2(), label: Some("nobody's".into()), ..TokenSelector::default() };
    let none = Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared());
    assert!(matches!(none, Err(TokenError::NoToken)), "{none:?}");
    let selector = TokenSelector { module: "/nowhere/module.so".into(), ..TokenSelector::default() };
    let none = Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared());
    assert!(matches!(none, Err(TokenError::Module { .. })), "{none:?}");
}

fn a_foreign_key_of_our_name_is_not_ours() {
    use cryptoki::mechanism::Mechanism;
    use cryptoki::object::Attribute;

    let hsm = open(new_token(softhsm2(), "foreign"));
    let context = beside(&softhsm2());
    let slot = slot_of(&context, "foreign");
    // The adapter has logged in for the whole process.
    let session = context.open_rw_session(slot).unwrap();
    let template = [
        Attribute::Token(true),
        Attribute::Label(KeyName::RESIDENT_REFERENCE.into()),
        Attribute::Id(vec![0x31; 16]),
        Attribute::ValueLen(32.into()),
    ];
    session.generate_key(&Mechanism::GenericSecretKeyGen, &template).unwrap();
    let name = KeyName::new(KeyName::RESIDENT_REFERENCE);
    assert_eq!(hsm.keys(soon()).unwrap(), []);
    let code = hsm.mac(&name, b"message", soon());
    assert!(matches!(code, Err(HsmError::NoSuchKey(_))), "{code:?}");
    hsm.generate(&name, KeyKind::Hmac, soon()).unwrap().unwrap();
    hsm.mac(&name, b"message", soon()).unwrap();
}

fn a_name_is_given_once() {
    let hsm = open(new_token(softhsm2(), "names"));
    let name = KeyName::card_master(0x21);
    let kind = KeyKind::CardMaster(hsm::AesLength::Aes128);
    hsm.generate(&name, kind, soon()).unwrap().unwrap();
    let again = hsm.generate(&name, kind, soon());
    assert!(matches!(again, Err(HsmError::SeveralKeys(_))), "{again:?}");
    hsm.destroy(&name, soon()).unwrap();
    assert_eq!(hsm.keys(soon()).unwrap(), []);
    hsm.generate(&name, kind, soon()).unwrap().unwrap();
}

fn it_is_found_to_do_what_softhsm2_does() {
    let able = open(new_token(softhsm2(), "capabilities")).capabilities();
    assert!(able.ec_p256 && able.ec_p384 && able.rsa_2048 && able.aes_cmac && able.hmac_sha256, "{able}");
    // SoftHSM2 2.6: neither hashes for ECDSA nor derives, and fills up what it wraps.
    assert!(!able.ecdsa_sha256 && !able.ecdsa_sha384 && !able.sp800_108, "{able}");
    assert!(able.key_changeover && able.eddsa && !able.ml_dsa, "{able}");
    assert_eq!(able.key_wrap, KeyWrap::ToBeTrimmed);
}

fn it_has_published_values() {
    common::with_session_beside(softhsm2(), "vectors", |session| {
        vectors::cmac_has_the_values_of_rfc_4493(session);
        vectors::key_wrap_has_the_values_of_rfc_5649(session, &Mechanism::AesKeyWrapPad, true);
    });
}

fn it_gives_no_key_away() {
    let hsm = open(new_token(softhsm2(), "honest"));
    let name = KeyName::new(KeyName::LOG_SIGNING);
    hsm.generate(&name, KeyKind::EcP256, soon()).unwrap().unwrap();
    let honesty = hsm.prove_honesty(soon()).expect("SoftHSM2 keeps its keys");
    assert!(honesty.refused > 100 && !honesty.readable_children, "{honesty:?}");
    // Wrapping works where it may, so that a refusal means something.
    for proved in ["EcP256: CKM_AES_KEY_WRAP_PAD", "RecordKey: CKM_AES_KEY_WRAP", "Hmac: CKM_RSA_PKCS"] {
        assert!(!honesty.without_control.iter().any(|way| way == proved), "{honesty:?}");
    }
    assert_eq!(hsm.keys(soon()).unwrap(), [name], "nothing is left of the trial");
}
