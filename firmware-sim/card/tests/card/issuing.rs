//! The issuing commands, as `docs/protocols/card-issuing.md` has them.

use std::time::Duration;

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{AID_JPKI, fid, ins};
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sim_card::{CardProfile, GeneratedKeys, KeyAlgorithm, KeySource, Mistake};

use crate::terminal::{
    POOL, TRANSACTION, Terminal, certificate, certificate_data, padded_certificate, pin, pin_reference, sha256,
};

fn ready() -> Terminal {
    let mut terminal = Terminal::jpki_2016();
    terminal.open();
    terminal.set_pins();
    terminal
}

#[test]
fn from_an_empty_card_to_a_renewed_certificate() {
    for profile in [CardProfile::jpki_2016(), CardProfile::jpki_next()] {
        for chains in [false, true] {
            let mut terminal = Terminal::new(profile.clone());
            terminal.chains = chains;
            terminal.open();
            let empty = terminal.status(Signature);
            assert!(!empty.pin_set && empty.active.is_none() && empty.pending == 0);
            terminal.set_pins();
            let first = terminal.issue_certificate(Signature, 1);
            assert_eq!(terminal.status(Signature).active, Some(sha256(&first)));
            assert_eq!(terminal.status(Authentication).active, None);

            // While the second one is made, the first one works.
            let spki = terminal.generate(Signature);
            let second = padded_certificate(&spki, 2, 3000);
            assert_eq!(terminal.status(Signature).pending_key, Some(sha256(&spki)));
            assert_eq!(terminal.status(Signature).transaction, Some(TRANSACTION.to_vec()));
            terminal.write_certificate(Signature, &spki, &second).unwrap();
            assert_eq!(terminal.issue(ins::GET_PENDING_CERTIFICATE, 1, 0, &[]).unwrap(), second);
            terminal.select(&AID_JPKI);
            assert_eq!(terminal.verify(fid::SIGN_PIN, pin(Signature)), 0x9000);
            assert_eq!(terminal.read(fid::SIGN_CERTIFICATE).unwrap(), first);
            terminal.open();
            assert_eq!(terminal.status(Signature).pending_certificate, Some(sha256(&second)));
            terminal.issue(ins::COMMIT, 1, 0, &sha256(&second)).unwrap();
            assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &sha256(&second)), Ok(vec![]), "asked for again");
            assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &sha256(&first)), Err(0x6A88));
            let status = terminal.status(Signature);
            assert_eq!((status.active, status.pending), (Some(sha256(&second)), 0));
            terminal.select(&AID_JPKI);
            assert_eq!(terminal.verify(fid::SIGN_PIN, pin(Signature)), 0x9000);
            assert_eq!(terminal.read(fid::SIGN_CERTIFICATE).unwrap(), second);
        }
    }
}

#[test]
fn possession_is_proved_with_the_pending_key() {
    let mut terminal = ready();
    let spki = terminal.generate(Authentication);
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, 2, 0, &[1; 51]), Err(0x6982));
    terminal.issue(ins::VERIFY, 0, pin_reference(Signature), pin(Signature)).unwrap();
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, 2, 0, &[1; 51]), Err(0x6982), "the other PIN");
    terminal.issue(ins::VERIFY, 0, pin_reference(Authentication), pin(Authentication)).unwrap();
    let signature = terminal.issue(ins::SIGN_WITH_PENDING_KEY, 2, 0, &[1; 51]).unwrap();
    let public = RsaPublicKey::from_public_key_der(&spki).unwrap();
    public.verify(Pkcs1v15Sign::new_unprefixed(), &[1; 51], &signature).unwrap();
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, 2, 0, &[1; 246]), Err(0x6700));
    assert_eq!(terminal.issue(ins::SIGN_WITH_PENDING_KEY, 1, 0, &[1; 51]), Err(0x6A88), "no key there");
}

#[test]
fn names_that_do_not_fit_change_nothing() {
    let mut terminal = ready();
    for command in [ins::COMMIT, ins::DISCARD] {
        assert_eq!(terminal.issue(command, 1, 0, &[0; 32]), Err(0x6A88), "empty slot");
        assert_eq!(terminal.issue(command, 1, 0, &[0; 31]), Err(0x6700));
    }
    let spki = terminal.generate(Signature);
    let certificate = certificate(&spki, 1);
    assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &sha256(&spki)), Err(0x6A88), "not complete");
    assert_eq!(terminal.issue(ins::DISCARD, 1, 0, &sha256(&certificate)), Err(0x6A88));
    terminal.write_certificate(Signature, &spki, &certificate).unwrap();
    let before = terminal.status(Signature);
    assert_eq!(terminal.issue(ins::DISCARD, 1, 0, &sha256(&spki)), Err(0x6A88), "it has another name now");
    assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &sha256(&spki)), Err(0x6A88));
    assert_eq!(terminal.issue(ins::COMMIT, 2, 0, &sha256(&certificate)), Err(0x6A88), "the other kind");
    assert_eq!(terminal.status(Signature), before);
    terminal.issue(ins::DISCARD, 1, 0, &sha256(&certificate)).unwrap();
    assert_eq!(terminal.status(Signature).pending, 0);
    let spki = terminal.generate(Signature);
    terminal.issue(ins::DISCARD, 1, 0, &sha256(&spki)).unwrap();
    assert_eq!(terminal.status(Signature).pending, 0);
}

#[test]
fn deliberate_mistakes_are_noticed_here() {
    let mut terminal = ready();
    terminal.card.make_mistake(Mistake::UnnamedCommit);
    let spki = terminal.generate(Signature);
    terminal.write_certificate(Signature, &spki, &certificate(&spki, 1)).unwrap();
    assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &[0; 32]), Ok(vec![]));

    let mut terminal = ready();
    terminal.card.make_mistake(Mistake::CommitBothKinds);
    let mut names = Vec::new();
    for kind in CertificateKind::BOTH {
        let spki = terminal.generate(kind);
        let certificate = certificate(&spki, 1);
        terminal.write_certificate(kind, &spki, &certificate).unwrap();
        names.push(sha256(&certificate));
    }
    terminal.issue(ins::COMMIT, Authentication.p1(), 0, &names[0]).unwrap();
    assert_eq!(terminal.status(Signature).active, Some(names.remove(1)));
}

#[test]
fn certificates_that_do_not_fit_are_refused() {
    let mut terminal = ready();
    let write = ins::WRITE_PENDING_CERTIFICATE;
    let spki = terminal.generate(Signature);
    let certificate = certificate(&spki, 1);
    let good = certificate_data(&spki, &certificate);
    let other_key = POOL.clone().key_pair(KeyAlgorithm::Rsa2048, &mut rand_core::OsRng).spki().unwrap();
    let foreign = crate::terminal::certificate(&other_key, 1);
    let trailing = [certificate.as_slice(), &[0]].concat();
    let long = padded_certificate(&spki, 1, 4096);
    for (data, status) in [
        (certificate_data(&other_key, &certificate), 0x6A88),
        (certificate_data(&spki, &foreign), 0x6A80),
        (certificate_data(&spki, &trailing), 0x6A80),
        (certificate_data(&spki, &long), 0x6A84),
        (certificate_data(&spki, &[]), 0x6A80),
        ([&sha256(&spki), &[0; 32][..], &certificate].concat(), 0x6A80),
        (good[..63].to_vec(), 0x6700),
    ] {
        assert_eq!(terminal.issue(write, 1, 0, &data), Err(status));
    }
    assert_eq!(terminal.issue(write, 2, 0, &good), Err(0x6A88), "no key of the other kind");
    assert_eq!(terminal.status(Signature).pending, 1);
    terminal.issue(write, 1, 0, &good).unwrap();
    terminal.issue(write, 1, 0, &good).expect("the same again");
    let another = crate::terminal::certificate(&spki, 2);
    assert_eq!(terminal.issue(write, 1, 0, &certificate_data(&spki, &another)), Err(0x6985));
    terminal.issue(ins::DISCARD, 1, 0, &sha256(&certificate)).unwrap();
    let spki = terminal.generate(Signature);
    let overhead = padded_certificate(&spki, 1, 3000).len() - 3000;
    let longest = padded_certificate(&spki, 1, 4096 - overhead);
    assert_eq!(longest.len(), 4096);
    terminal.write_certificate(Signature, &spki, &longest).unwrap();
}

#[test]
fn conditions_of_keys_and_pins() {
    let mut terminal = Terminal::jpki_2016();
    terminal.open();
    let generate = ins::GENERATE_KEY_PAIR;
    assert_eq!(terminal.issue(generate, 1, 1, &TRANSACTION), Err(0x6985), "no PIN");
    assert_eq!(terminal.issue(ins::UNBLOCK_PIN, 1, 0, b"ABC123"), Err(0x6985), "no PIN");
    assert_eq!(terminal.issue(ins::SET_INITIAL_PIN, 1, 0, b"abc123"), Err(0x6A80));
    terminal.issue(ins::SET_INITIAL_PIN, 1, 0, b"XYZ987").unwrap();
    terminal.set_pins();
    assert_eq!(terminal.issue(generate, 1, 2, &TRANSACTION), Err(0x6A81), "not this card's algorithm");
    assert_eq!(terminal.issue(generate, 1, 1, &TRANSACTION[1..]), Err(0x6700));
    assert_eq!(terminal.issue(generate, 3, 1, &TRANSACTION), Err(0x6A86));
    assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, 1, 1, &[]), Err(0x6A86));
    assert_eq!(terminal.issue(ins::GET_SLOT_STATUS, 1, 0, &[0]), Err(0x6700));
    assert_eq!(terminal.issue(0x28, 1, 0, &[]), Err(0x6D00));
    for command in [ins::GET_PENDING_PUBLIC_KEY, ins::GET_PENDING_CERTIFICATE] {
        assert_eq!(terminal.issue(command, 1, 0, &[]), Err(0x6A88));
    }
    terminal.generate(Signature);
    assert_eq!(terminal.issue(generate, 1, 1, &TRANSACTION), Err(0x6985), "the slot is taken");
    terminal.issue_certificate(Authentication, 1);
    assert_eq!(terminal.issue(ins::SET_INITIAL_PIN, 2, 0, b"0000"), Err(0x6985), "there is an active certificate");

    for left in [0x63C2, 0x63C1, 0x63C0, 0x6984] {
        assert_eq!(terminal.issue(ins::VERIFY, 0, pin_reference(Authentication), b"9999"), Err(left));
    }
    terminal.issue(ins::UNBLOCK_PIN, 2, 0, b"0000").unwrap();
    assert_eq!(terminal.status(Authentication).tries_left, 3);
    terminal.issue(ins::VERIFY, 0, pin_reference(Authentication), b"0000").unwrap();
}

#[test]
fn generation_takes_the_cards_time_and_repeats_with_its_seed() {
    let times: Vec<Duration> = (0..2)
        .map(|_| {
            let mut terminal = Terminal::jpki_2016();
            terminal.open();
            terminal.set_pins();
            let before = terminal.clock.elapsed();
            terminal.generate(Signature);
            terminal.clock.elapsed() - before
        })
        .collect();
    assert_eq!(times[0], times[1]);
    assert!(times[0] > Duration::from_millis(500) && times[0] < Duration::from_secs(25), "{times:?}");

    let mut source = GeneratedKeys;
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(5);
    let key = source.key_pair(KeyAlgorithm::Rsa2048, &mut rng);
    assert_eq!(RsaPublicKey::from_public_key_der(&key.spki().unwrap()).unwrap().size(), 256);
}
