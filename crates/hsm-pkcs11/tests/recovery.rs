//! The HSM that goes away, and what is done behind the adapter's back.
//!
//! The HSM that dies is SoftHSM2 in a process of its own, which `p11-kit server` runs and p11-kit's client module calls over a
//! socket. Between the two stands a relay that counts the calls and kills the server at a chosen one: before the server has
//! heard of it, or when it has been done and its answer is not there yet.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::fs;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PIN, beside, new_token, open, set_pin, slot_of, softhsm2, soon, trial};
use hsm::{Hsm, HsmError, KeyKind, KeyName, SignatureAlgorithm};
use hsm_pkcs11::{Pkcs11Hsm, TokenSelector};
use libtest_mimic::Arguments;
use madoguchi_time::SystemClock;
use p256::ecdsa::signature::Verifier;
use private_softhsm2::relay::{Kill, Relay};
use private_softhsm2::{ADDRESS, client};
use spki::DecodePublicKey;

static RELAY: OnceLock<Relay> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = common::folder(|folder, again| {
        again.env(ADDRESS, format!("unix:path={}", folder.join("client").display()));
    });
    // As long as it is open, nobody finalises SoftHSM2 under a test that uses it past the adapter.
    let _kept = open(new_token(softhsm2(), "kept"));
    assert!(RELAY.set(Relay::start(&folder)).is_ok());
    let conclusion = libtest_mimic::run(
        &arguments,
        vec![
            trial("the_hsm_dies_at_every_call", the_hsm_dies_at_every_call),
            trial("while_the_hsm_is_away_it_is_unreachable", while_the_hsm_is_away_it_is_unreachable),
            trial("the_hsm_dies_under_eight_threads", the_hsm_dies_under_eight_threads),
            trial("it_is_logged_out_behind_its_back", it_is_logged_out_behind_its_back),
            trial("a_pin_that_was_changed_is_given_once", a_pin_that_was_changed_is_given_once),
            trial("two_tokens_of_one_module_live_apart", two_tokens_of_one_module_live_apart),
        ],
    );
    relay().away(true);
    let _ = fs::remove_dir_all(folder);
    conclusion.exit_code()
}

fn relay() -> &'static Relay {
    RELAY.get().expect("started")
}

/// One at a time uses the relay.
static LINE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A token of SoftHSM2 in another process, with the keys of the series. They are made without the line between, which does not
/// carry `CKA_ALLOWED_MECHANISMS` back.
fn remote(label: &str) -> Pkcs11Hsm {
    let local = open(new_token(softhsm2(), label));
    local.generate(&signing(), KeyKind::EcP256, soon()).unwrap().unwrap();
    local.generate(&reference(), KeyKind::Hmac, soon()).unwrap().unwrap();
    open(TokenSelector { module: client(), label: Some(label.to_owned()), ..TokenSelector::default() })
}

fn reference() -> KeyName {
    KeyName::new(KeyName::RESIDENT_REFERENCE)
}

fn signing() -> KeyName {
    KeyName::new(KeyName::TERMINAL_SIGNING)
}

fn is_right(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = p256::ecdsa::VerifyingKey::from_public_key_der(spki).unwrap();
    key.verify(message, &p256::ecdsa::DerSignature::try_from(signature).unwrap()).is_ok()
}

fn sign(hsm: &Pkcs11Hsm, key: &KeyName, message: &[u8]) -> Result<Vec<u8>, HsmError> {
    hsm.sign(key, SignatureAlgorithm::EcdsaP256Sha256, message, soon())
}

/// What is done over and over: every call gives the right answer, whatever dies.
fn series(hsm: &Pkcs11Hsm, spki: &[u8], code: [u8; 32], at: &str) {
    assert_eq!(hsm.keys(soon()).expect(at), [reference(), signing()], "{at}");
    let signature = sign(hsm, &signing(), at.as_bytes()).expect(at);
    assert!(is_right(spki, at.as_bytes(), &signature), "{at}");
    assert_eq!(hsm.public_key(&signing(), soon()).expect(at), spki, "{at}");
    assert_eq!(hsm.mac(&reference(), b"message", soon()).expect(at), code, "{at}");
}

fn the_hsm_dies_at_every_call() {
    let _line = LINE.lock();
    let hsm = remote("dies");
    let spki = hsm.public_key(&signing(), soon()).unwrap();
    let code = hsm.mac(&reference(), b"message", soon()).unwrap();
    let before = relay().calls();
    series(&hsm, &spki, code, "nothing dies");
    let calls = relay().calls() - before;
    assert!(calls > 20, "only {calls} calls");
    for kill in Kill::BOTH {
        for at in 1..=calls {
            let deaths = relay().deaths();
            relay().kill(kill, at);
            series(&hsm, &spki, code, &format!("{kill:?} {at} of {calls}"));
            assert_eq!(relay().deaths(), deaths + 1, "{kill:?} {at}: it was not killed");
        }
    }
}

/// All sessions of eight threads end at once, again and again.
fn the_hsm_dies_under_eight_threads() {
    const EACH: usize = 25;
    let _line = LINE.lock();
    let hsm = remote("threads");
    let spki = hsm.public_key(&signing(), soon()).unwrap();
    let deaths = relay().deaths();
    let right = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (hsm, spki, right) = (&hsm, &spki, &right);
            scope.spawn(move || {
                for round in 0..EACH {
                    if thread == 0 && round % 5 == 0 {
                        relay().kill(Kill::BeforeTheAnswer, 20 + round as u64);
                    }
                    let message = [thread, round as u8];
                    match sign(hsm, &signing(), &message) {
                        Ok(signature) => {
                            assert!(is_right(spki, &message, &signature));
                            right.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => assert!(matches!(error, HsmError::Unreachable), "{error:?}"),
                    }
                }
            });
        }
    });
    assert!(relay().deaths() >= deaths + 3, "{} deaths", relay().deaths() - deaths);
    assert!(right.load(Ordering::SeqCst) > 4 * EACH, "{right:?} of {}", 8 * EACH);
    assert!(is_right(&spki, b"after", &sign(&hsm, &signing(), b"after").expect("all is well again")));
}

fn while_the_hsm_is_away_it_is_unreachable() {
    let _line = LINE.lock();
    let hsm = remote("away");
    let spki = hsm.public_key(&signing(), soon()).unwrap();
    relay().away(true);
    for _ in 0..3 {
        let result = sign(&hsm, &signing(), b"away");
        assert!(matches!(result, Err(HsmError::Unreachable)), "{result:?}");
    }
    relay().away(false);
    assert!(is_right(&spki, b"back", &sign(&hsm, &signing(), b"back").expect("it is back")));

    // It is there and does not answer.
    relay().hold(true);
    let soon_over = SystemClock::shared().deadline_in(Duration::from_millis(100));
    let result = hsm.public_key(&signing(), soon_over);
    assert!(matches!(result, Err(HsmError::Timeout)), "{result:?}");
    relay().hold(false);
    assert_eq!(hsm.public_key(&signing(), soon()).expect("it answers"), spki);
}

/// Somebody else in the program logs the token out; eight threads find out. (Not while they are inside: SoftHSM2 itself does not
/// stand that.)
fn it_is_logged_out_behind_its_back() {
    let hsm = open(new_token(softhsm2(), "logged-out"));
    hsm.generate(&signing(), KeyKind::EcP256, soon()).unwrap().unwrap();
    let spki = hsm.public_key(&signing(), soon()).unwrap();
    let context = beside(&softhsm2());
    let slot = slot_of(&context, "logged-out");
    for round in 0..15_u8 {
        context.open_ro_session(slot).unwrap().logout().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let (hsm, spki) = (&hsm, &spki);
                scope.spawn(move || {
                    let message = [round, thread];
                    let signature = sign(hsm, &signing(), &message).expect("logged in again");
                    assert!(is_right(spki, &message, &signature));
                });
            }
        });
        context.open_ro_session(slot).unwrap().logout().unwrap();
        assert_eq!(hsm.keys(soon()).unwrap(), [signing()]);
    }
}

fn a_pin_that_was_changed_is_given_once() {
    let hsm = open(new_token(softhsm2(), "changed-pin"));
    hsm.generate(&signing(), KeyKind::EcP256, soon()).unwrap().unwrap();
    let context = beside(&softhsm2());
    context.open_ro_session(slot_of(&context, "changed-pin")).unwrap().logout().unwrap();
    set_pin("changed-pin", "user-5678");
    for _ in 0..3 {
        let result = sign(&hsm, &signing(), b"message");
        assert!(matches!(result, Err(HsmError::PinRefused)), "{result:?}");
    }
    // It was not given again: with the right one set anew, nobody has tried it.
    set_pin("changed-pin", PIN);
    let result = sign(&hsm, &signing(), b"message");
    assert!(matches!(result, Err(HsmError::PinRefused)), "{result:?}");
}

fn two_tokens_of_one_module_live_apart() {
    let (first, second) = (open(new_token(softhsm2(), "first")), open(new_token(softhsm2(), "second")));
    for hsm in [&first, &second] {
        hsm.generate(&signing(), KeyKind::EcP256, soon()).unwrap().unwrap();
    }
    let spki = second.public_key(&signing(), soon()).unwrap();
    assert_ne!(first.public_key(&signing(), soon()).unwrap(), spki);
    drop(first);
    assert!(is_right(&spki, b"alone", &sign(&second, &signing(), b"alone").unwrap()));
}
