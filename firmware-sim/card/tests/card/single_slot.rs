//! The issuing commands on a card without a pending slot: `docs/protocols/card-issuing.md` §10.

use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{AID_JPKI, fid, ins, tag};
use sim_card::nvm::Tear;
use sim_card::{CardProfile, KeyAlgorithm};

use crate::terminal::{TRANSACTION, Terminal, certificate, pin, pin_reference, sha256};

/// What a new key is made with: the transaction, and the name of what it overwrites.
pub(crate) fn over(content: &[u8]) -> Vec<u8> {
    [&TRANSACTION, content].concat()
}

fn generate(terminal: &mut Terminal, data: &[u8]) -> Result<Vec<u8>, u16> {
    terminal.issue(ins::GENERATE_KEY_PAIR, Signature.p1(), KeyAlgorithm::Rsa2048.code(), data)
}

/// A name that the status has, or has not.
pub(crate) type Name = Option<Vec<u8>>;

/// Active, pending and overwritten, as the status has them.
pub(crate) fn slot(terminal: &mut Terminal, kind: CertificateKind) -> (Name, Name, Name) {
    let template = terminal.issue(ins::GET_SLOT_STATUS, kind.p1(), 0, &[]).unwrap();
    let (outer, _) = apdu::tlv::Tlv::parse(&template).unwrap();
    let find = |tag: u8| outer.find(u32::from(tag)).and_then(|found| found.bytes()).map(<[u8]>::to_vec);
    assert_eq!(find(tag::HAS_PENDING_SLOT), Some(vec![0]));
    assert_eq!(find(tag::PENDING_TRANSACTION).is_some(), find(tag::PENDING_KEY).is_some());
    assert_eq!(find(tag::PENDING_CERTIFICATE), None);
    (find(tag::ACTIVE_CERTIFICATE), find(tag::PENDING_KEY), find(tag::OVERWRITTEN_CERTIFICATE))
}

/// A card with the PINs set and a certificate.
fn issued() -> (Terminal, Vec<u8>) {
    let mut terminal = Terminal::new(CardProfile::jpki_2016_single_slot());
    terminal.open();
    terminal.set_pins();
    let first = terminal.issue_certificate(Signature, 1);
    (terminal, first)
}

#[test]
fn a_new_key_overwrites_the_old_one_and_remembers_its_certificate() {
    let (mut terminal, first) = issued();
    assert_eq!(slot(&mut terminal, Signature), (Some(sha256(&first)), None, None));
    assert_eq!(slot(&mut terminal, Authentication), (None, None, None));
    let key = generate(&mut terminal, &over(&sha256(&first))).unwrap();
    assert_eq!(slot(&mut terminal, Signature), (None, Some(key.clone()), Some(sha256(&first))));
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.verify(fid::SIGN_PIN, pin(Signature)), 0x9000);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE).unwrap(), Vec::<u8>::new(), "the old one is gone");

    // The next key over this one remembers the same certificate.
    terminal.open();
    let again = generate(&mut terminal, &over(&key)).unwrap();
    assert_ne!(again, key);
    assert_eq!(slot(&mut terminal, Signature), (None, Some(again), Some(sha256(&first))));

    // With its certificate written, its holder has it: there is nothing left to commit, and nothing to remember.
    let spki = terminal.issue(ins::GET_PENDING_PUBLIC_KEY, 1, 0, &[]).unwrap();
    let second = certificate(&spki, 2);
    terminal.write_certificate(Signature, &spki, &second).unwrap();
    terminal.write_certificate(Signature, &spki, &second).unwrap();
    assert_eq!(terminal.write_certificate(Signature, &spki, &certificate(&spki, 3)), Err(0x6985));
    assert_eq!(slot(&mut terminal, Signature), (Some(sha256(&second)), None, None));
    assert_eq!(terminal.issue(ins::GET_PENDING_CERTIFICATE, 1, 0, &[]).unwrap(), second);
    terminal.issue(ins::VERIFY, 0, pin_reference(Signature), pin(Signature)).unwrap();
    terminal.issue(ins::SIGN_WITH_PENDING_KEY, 1, 0, &[1; 51]).unwrap();
    for _ in 0..2 {
        terminal.issue(ins::COMMIT, 1, 0, &sha256(&second)).unwrap();
    }
    assert_eq!(terminal.issue(ins::COMMIT, 1, 0, &sha256(&first)), Err(0x6A88));
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.verify(fid::SIGN_PIN, pin(Signature)), 0x9000);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE).unwrap(), second);
}

#[test]
fn nothing_is_overwritten_or_discarded_that_is_not_named() {
    let (mut terminal, first) = issued();
    let before = slot(&mut terminal, Signature);
    assert_eq!(generate(&mut terminal, &TRANSACTION), Err(0x6700));
    assert_eq!(generate(&mut terminal, &over(&[0; 32])), Err(0x6A88));
    assert_eq!(generate(&mut terminal, &[over(&sha256(&first)), vec![0]].concat()), Err(0x6700));
    assert_eq!(terminal.issue(ins::DISCARD, 1, 0, &[0; 32]), Err(0x6A88));
    assert_eq!(slot(&mut terminal, Signature), before);

    let name = generate(&mut terminal, &over(&sha256(&first))).unwrap();
    assert_eq!(terminal.issue(ins::DISCARD, 1, 0, &sha256(&first)), Err(0x6A88));
    terminal.issue(ins::DISCARD, 1, 0, &name).unwrap();
    assert_eq!(slot(&mut terminal, Signature), (None, None, None));
    assert_eq!(terminal.issue(ins::DISCARD, 1, 0, &name), Err(0x6A88));

    let last = terminal.issue_certificate(Signature, 4);
    terminal.issue(ins::DISCARD, 1, 0, &sha256(&last)).unwrap();
    assert_eq!(slot(&mut terminal, Signature), (None, None, None));
}

/// Whatever page is torn: the old certificate with its key, or the new key with the old one's name.
#[test]
fn overwriting_is_atomic() {
    let mut torn = 0;
    for n in 1.. {
        let (mut terminal, first) = issued();
        let switch = terminal.card.power_switch();
        switch.cut_at_write(n, Tear::Garbled);
        let generated = terminal.attempt(ins::GENERATE_KEY_PAIR, 1, 1, &over(&sha256(&first)));
        if switch.cancel() {
            assert!(generated);
            break;
        }
        torn += 1;
        terminal.card.power_up().unwrap();
        terminal.open();
        match slot(&mut terminal, Signature) {
            (Some(active), None, None) => assert_eq!(active, sha256(&first)),
            (None, Some(_), Some(overwritten)) => assert_eq!(overwritten, sha256(&first)),
            other => panic!("write {n}: {other:?}"),
        }
    }
    assert!(torn > 5);
}
