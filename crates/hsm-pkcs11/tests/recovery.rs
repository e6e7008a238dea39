//! The HSM that goes away, and what is done behind the adapter's back.
//!
//! The HSM that dies is SoftHSM2 in a process of its own, which `p11-kit server` runs and p11-kit's client module calls over a
//! socket. Between the two stands a relay that counts the calls and kills the server at a chosen one: before the server has
//! heard of it, or when it has been done and its answer is not there yet.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, RwLock};
use std::time::Duration;

use common::raw::close_all_sessions;
use common::{PIN, beside, kryoptic, new_token, open, provisioned, set_pin, slot_of, softhsm2, soon, trial};
use hsm::{CardKeyPairKind, CardKeySet, Hsm, HsmError, KeyKind, KeyName, SignatureAlgorithm};
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
            trial("what_is_made_and_refused_leaves_nothing", what_is_made_and_refused_leaves_nothing),
            trial("a_key_is_destroyed_whenever_the_hsm_dies", a_key_is_destroyed_whenever_the_hsm_dies),
            trial("it_is_logged_out_behind_its_back", it_is_logged_out_behind_its_back),
            trial("sessions_of_softhsm2_end_under_eight_threads", sessions_of_softhsm2_end_under_eight_threads),
            trial("sessions_of_kryoptic_end_under_eight_threads", sessions_of_kryoptic_end_under_eight_threads),
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
static LINE: Mutex<()> = Mutex::new(());

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
    at_every_call(|at| series(&hsm, &spki, code, at));
}

/// Kills the server at every call of `series`, before it and after it.
fn at_every_call(mut series: impl FnMut(&str)) {
    let before = relay().calls();
    series("nothing dies");
    let calls = relay().calls() - before;
    assert!(calls > 10, "only {calls} calls");
    for kill in [Kill::BeforeTheCall, Kill::BeforeTheAnswer] {
        for at in 1..=calls {
            let deaths = relay().deaths();
            relay().kill(kill, at);
            series(&format!("{kill:?} {at} of {calls}"));
            assert_eq!(relay().deaths(), deaths + 1, "{kill:?} {at}: it was not killed");
        }
    }
}

/// How many objects there are in a token of SoftHSM2.
fn objects_in(label: &str) -> usize {
    let context = beside(&softhsm2());
    context.open_ro_session(slot_of(&context, label)).unwrap().find_objects(&[]).unwrap().len()
}

/// The line does not carry `CKA_ALLOWED_MECHANISMS` back, by which a new key is judged: what is made is refused, and destroyed again.
fn what_is_made_and_refused_leaves_nothing() {
    let _line = LINE.lock();
    let hsm = remote("refused");
    let objects = objects_in("refused");
    let name = KeyName::new("refused");
    at_every_call(|at| {
        let refusal = hsm.generate(&name, KeyKind::EcP256, soon()).expect(at).expect_err(at);
        assert!(refusal.to_string().contains("ALLOWED_MECHANISMS"), "{at}: {refusal}");
        assert_eq!(hsm.keys(soon()).expect(at), [reference(), signing()], "{at}");
    });
    assert_eq!(objects_in("refused"), objects);
}

/// A key is destroyed, and not looked for in vain when it was destroyed before the answer was lost.
fn a_key_is_destroyed_whenever_the_hsm_dies() {
    let _line = LINE.lock();
    let hsm = remote("destroyed");
    let beside_the_line =
        open(TokenSelector { module: softhsm2(), label: Some("destroyed".to_owned()), ..TokenSelector::default() });
    let objects = objects_in("destroyed");
    let name = KeyName::new("destroyed");
    at_every_call(|at| {
        beside_the_line.generate(&name, KeyKind::EcP256, soon()).unwrap().unwrap();
        hsm.destroy(&name, soon()).expect(at);
        assert_eq!(hsm.keys(soon()).expect(at), [reference(), signing()], "{at}");
    });
    assert_eq!(objects_in("destroyed"), objects);
    let gone = hsm.destroy(&name, soon());
    assert!(matches!(gone, Err(HsmError::NoSuchKey(_))), "{gone:?}");
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

/// Somebody else in the program ends all sessions (`C_CloseAllSessions`), and with them the login, while eight threads sign and make key
/// pairs for cards. Nobody notices, and nothing is left of the key pairs.
fn sessions_end_under_eight_threads(module: PathBuf, gate: &Gate) {
    const THREADS: usize = 8;
    const ENDS: usize = 25;
    let (hsm, masters) = provisioned(open(new_token(module.clone(), "sessions end")));
    let key = KeyName::new("contract-p256-a");
    let spki = hsm.public_key(&key, soon()).unwrap();
    let card = CardKeySet { key_version: masters[0].0, diversification: *b"0123456789", key_length: 16 };
    let context = beside(&module);
    let slot = slot_of(&context, "sessions end");
    let objects = || context.open_ro_session(slot).unwrap().find_objects(&[]).unwrap().len();
    let before = objects();
    let (ends, calls) = (AtomicUsize::new(0), Calls::of(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (hsm, spki, key, card, ends, calls) = (&hsm, &spki, &key, &card, &ends, &calls);
            scope.spawn(move || {
                let _last = calls.until_the_end(thread);
                let mut round = 0_u8;
                while ends.load(Ordering::SeqCst) < ENDS {
                    round = round.wrapping_add(1);
                    gate.call(|| {
                        let message = [thread as u8, round];
                        let signature = sign(hsm, key, &message).expect("signed");
                        assert!(is_right(spki, &message, &signature));
                        if thread == 0 {
                            hsm.make_card_key_pair(CardKeyPairKind::EcP384, card, soon()).expect("made");
                        }
                    });
                    calls.done(thread);
                }
                sign(hsm, key, b"after").expect("all is well");
            });
        }
        for _ in 0..ENDS {
            // Everybody has made a call since the last time, so that none is interrupted again and again.
            calls.wait_for_all();
            gate.end(|| close_all_sessions(&module, slot));
            ends.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(objects(), before, "something was left behind");
}

/// SoftHSM2 does not stand it that sessions end while somebody is inside.
#[derive(Default)]
struct Gate(Option<RwLock<()>>);

impl Gate {
    fn call(&self, call: impl FnOnce()) {
        let _inside = self.0.as_ref().map(|gate| gate.read().unwrap());
        call();
    }

    fn end(&self, end: impl FnOnce()) {
        let _alone = self.0.as_ref().map(|gate| gate.write().unwrap());
        end();
    }
}

/// How many calls each thread has made since somebody waited for all.
struct Calls(Mutex<Vec<usize>>, Condvar);

impl Calls {
    /// A thread that has ended.
    const ENDED: usize = usize::MAX;

    fn of(threads: usize) -> Self {
        Self(Mutex::new(vec![0; threads]), Condvar::new())
    }

    fn done(&self, thread: usize) {
        self.0.lock().unwrap()[thread] += 1;
        self.1.notify_all();
    }

    fn wait_for_all(&self) {
        let mut calls = self.1.wait_while(self.0.lock().unwrap(), |calls| calls.contains(&0)).unwrap();
        calls.iter_mut().filter(|made| **made != Self::ENDED).for_each(|made| *made = 0);
    }

    /// Nobody waits for a thread that has ended, however it ended.
    fn until_the_end(&self, thread: usize) -> impl Drop {
        struct Ends<'a>(&'a Calls, usize);

        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                if let Ok(mut calls) = self.0.0.lock() {
                    calls[self.1] = Calls::ENDED;
                }
                self.0.1.notify_all();
            }
        }

        Ends(self, thread)
    }
}

fn sessions_of_softhsm2_end_under_eight_threads() {
    sessions_end_under_eight_threads(softhsm2(), &Gate(Some(RwLock::new(()))));
}

fn sessions_of_kryoptic_end_under_eight_threads() {
    sessions_end_under_eight_threads(kryoptic(), &Gate(None));
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
