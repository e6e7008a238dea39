//! Cards whose generator is weak: no certificate is asked for, whichever slot the key is in, and nothing of it stays.

use audit_log::{Entry, Outcome, Phase};
use authority::store::State;
use jpki::{CertificateKind, IssuingProfile, WeakKey};
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError};
use rand_core::CryptoRngCore;
use rsa::{BigUint, RsaPrivateKey};
use sim_card::{Card, GeneratedKeys, KeyAlgorithm, KeySource, PrivateKey};

use crate::{BOTH, assert_heard_of_nobody, heard, properly, stage};

use CertificateKind::Signature;

/// The generator of CVE-2017-15361, with two primes that it could have made: `k · M + (65537^a mod M)`, M being the product of the
/// first 126 primes.
struct WeakGenerator;

impl KeySource for WeakGenerator {
    fn key_pair(&mut self, algorithm: KeyAlgorithm, rng: &mut dyn CryptoRngCore) -> PrivateKey {
        assert_eq!(algorithm, KeyAlgorithm::Rsa2048, "only its RSA keys were weak");
        let _ = rng;
        let primes = (2..702_u32).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
        let product: BigUint = primes.map(BigUint::from).product();
        let least = (BigUint::from(3_u8) << 1022_usize) / &product + 1_u8;
        let prime = |a: u32, k: u32| (&least + k) * &product + BigUint::from(65_537_u32).modpow(&a.into(), &product);
        let key = RsaPrivateKey::from_p_q(prime(2_017, 55), prime(15_361, 71), 65_537_u32.into());
        PrivateKey::Rsa(Box::new(key.unwrap()))
    }
}

/// The card in the reader makes its keys with another generator from now on.
fn give_generator(stage: &Stage, keys: impl KeySource + 'static) {
    let control = stage.control(0);
    let nvm = control.remove().unwrap().into_nvm();
    control.insert(Card::power_on(nvm, stage.clock.clone(), keys).unwrap());
}

fn assert_roca(error: &ProcedureError) {
    let roca = matches!(error, ProcedureError::WeakKey { weakness: WeakKey::Roca, .. });
    assert!(roca && error.code() == "weak-key", "{error:?}");
}

/// What became of a step, by the log.
fn outcomes(entries: &[Entry], step: &str) -> Vec<Outcome> {
    let outcome = |entry: &Entry| match entry.phase {
        Phase::Outcome { outcome, .. } if entry.step.as_str() == step => Some(outcome),
        _ => None,
    };
    entries.iter().filter_map(outcome).collect()
}

#[test]
fn a_weak_key_is_discarded_and_no_certificate_asked_for() {
    for (start, plan) in [(Start::Fresh, Plan::issue(&BOTH)), (Start::Issued, Plan::renew(&BOTH))] {
        let mut stage = stage(start);
        give_generator(&stage, WeakGenerator);
        let (asked, logged) = (heard(&stage).len(), stage.entries(0).unwrap().len());
        // Card and authority are as before, the end in the log names the reason, and nothing is left at the terminal.
        let error = properly(stage.refused(plan), &format!("{start:?}"));
        assert_roca(&error);
        assert!(heard(&stage)[asked..].iter().all(|body| *body == "genm"), "{:?}", heard(&stage));
        let entries = stage.entries(0).unwrap().split_off(logged);
        assert_eq!(outcomes(&entries, "generate-key"), [Outcome::Done]);
        assert_eq!(outcomes(&entries, "discard"), [Outcome::Done]);
        assert_eq!(outcomes(&entries, "request"), []);
    }
}

/// On a card without a pending slot the old key is gone by then, so its certificate is revoked first. The weak key stays until another
/// overwrites it: with it the card remembers what is to be renewed.
#[test]
fn a_weak_key_that_has_overwritten_another_never_gets_a_certificate() {
    let profile = IssuingProfile::jpki_2016_single_slot();
    let mut stage = Stage::new(&profile, Start::Issued);
    let before = stage.holdings();
    give_generator(&stage, WeakGenerator);
    let issued = stage.issued(Signature);
    let asked = heard(&stage).len();
    let error = stage.run(0, Plan::renew(&[Signature])).unwrap_err();
    assert_roca(&error);
    let asked = heard(&stage).split_off(asked);
    assert!(asked.contains(&"rr") && !asked.contains(&"ir"), "{asked:?}");
    stage.check_agreement(&[]).unwrap();
    let after = stage.holdings();
    let slots = |holdings: &madoguchi_tests::checks::Holdings| holdings.slots[1].clone().unwrap();
    assert!(slots(&after).active.is_none() && slots(&after).pending_key, "{after:?}");
    assert_eq!(slots(&after).overwritten, slots(&before).active);
    let old = stage.authority.store().issue(authority::store::IssueKey::Certificate(&slots(&before).active.unwrap()));
    assert_eq!(old.unwrap().unwrap().state, State::Revoked);

    // Nothing is asked for the key that stays, however often it is tried.
    assert_roca(&stage.run(0, Plan::renew(&[Signature])).unwrap_err());
    assert_eq!(stage.issued(Signature), issued);
    // With another generator the card could be used.
    give_generator(&stage, GeneratedKeys);
    stage.run(0, Plan::renew(&[Signature])).unwrap();
    stage.check_settled().unwrap();
}

#[test]
fn a_weak_first_key_leaves_an_only_slot_empty() {
    let mut stage = Stage::new(&IssuingProfile::jpki_2016_single_slot(), Start::Fresh);
    give_generator(&stage, WeakGenerator);
    let error = properly(stage.refused(Plan::issue(&BOTH)), "one slot, empty");
    assert_roca(&error);
    assert_heard_of_nobody(&stage);
}
