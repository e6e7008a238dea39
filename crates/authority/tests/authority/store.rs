//! The store: what is durable, and what two processes on one file can't do to each other.

use std::fs;
use std::path::Path;

use authority::store::{
    Answer, Applied, Change, Decision, Issue, IssueKey, Revocation, RevocationReason, Sequence, SqliteStore, State,
    Store, StoreError, TerminalId,
};
use authority_link::{Answer as Opened, Confirmation, Request};
use jpki::CertificateKind::{Authentication, Signature};

use crate::fixtures::{World, next_generation, today};

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, [1_000, 2_000]).unwrap()
}

fn issue(number: u8) -> Issue {
    Issue {
        transaction: vec![number; 16],
        kind: Authentication,
        serial: number.into(),
        certificate: vec![number; 100],
        sha256: [number; 32],
        public_key: [number; 32],
        state: State::Issued,
        predecessor: None,
        terminal: TerminalId::new("terminal-1").unwrap(),
        municipality: "13221".to_owned(),
        nonce: [number; 16],
        issued_at: today(),
        not_after: "2037-02-17T14:59:59Z".parse().unwrap(),
        confirmed_at: None,
        revocation: None,
    }
}

fn answer(number: u8, opens: bool) -> Answer {
    Answer {
        request: [number; 32],
        transaction: vec![number; 16],
        opens,
        terminal: TerminalId::new("terminal-1").unwrap(),
        response: vec![number; 50],
        at: today(),
    }
}

fn decision(number: u8, from: State, to: State) -> Decision {
    let reason = RevocationReason::Superseded;
    let revocation = matches!(to, State::Revoked | State::Superseded).then_some(Revocation { at: today(), reason });
    Decision { kind: Authentication, serial: number.into(), from, to, revocation, at: today(), while_valid: None }
}

fn decide(decision: Decision) -> Change {
    Change { decision: Some(decision), ..Change::default() }
}

#[test]
fn of_two_processes_the_first_decision_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let (one, two) = (open(&path), open(&path));
    let issued = Change { issue: Some(issue(1)), answer: Some(answer(1, true)), ..Change::default() };
    assert_eq!(one.apply(&issued).unwrap(), Applied::Done);
    // Both have read "issued"; one confirms, the other revokes.
    assert_eq!(two.apply(&decide(decision(1, State::Issued, State::Revoked))).unwrap(), Applied::Done);
    assert_eq!(one.apply(&decide(decision(1, State::Issued, State::Valid))).unwrap(), Applied::Conflict);
    let found = one.issue(IssueKey::Serial(Authentication, 1)).unwrap().unwrap();
    assert_eq!((found.state, found.confirmed_at, found.revocation.is_some()), (State::Revoked, None, true));
    // Numbers are given once, whoever asks.
    let numbers = [&one, &two, &one].map(|store| store.allocate(Sequence::Serial(Signature)).unwrap());
    assert_eq!(numbers, [2_000, 2_001, 2_002]);
}

#[test]
fn a_change_whose_premise_fails_leaves_no_trace() {
    let store = SqliteStore::in_memory([1, 1]).unwrap();
    let first = Change { issue: Some(issue(1)), answer: Some(answer(1, true)), ..Change::default() };
    assert_eq!(store.apply(&first).unwrap(), Applied::Done);
    let mut same_key = issue(2);
    same_key.public_key = [1; 32];
    let mut same_transaction = answer(3, true);
    same_transaction.transaction = vec![1; 16];
    let dependent = Decision { while_valid: Some(9), ..decision(1, State::Issued, State::Valid) };
    for change in [
        Change { issue: Some(same_key), answer: Some(answer(2, true)), ..Change::default() },
        Change { issue: Some(issue(3)), answer: Some(same_transaction), ..Change::default() },
        Change { issue: Some(issue(4)), decision: Some(decision(7, State::Issued, State::Valid)), ..Change::default() },
        Change { issue: Some(issue(5)), decision: Some(dependent), answer: Some(answer(5, true)), ..Change::default() },
    ] {
        assert_eq!(store.apply(&change).unwrap(), Applied::Conflict);
    }
    assert_eq!(store.counts().unwrap(), [(Authentication, State::Issued, 1)]);
    for number in 2..=5 {
        assert!(store.answer(&[number; 32]).unwrap().is_none());
        assert!(!store.transaction_known(&[number; 16]).unwrap());
    }
}

#[test]
fn an_authority_that_starts_again_knows_everything() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_folder(&next_generation(), dir.path());
    let counter = &world.counters[0];
    let transaction = world.transaction();
    let request = world.certification(counter, Authentication, &world.card_key(), None);
    let ir = counter.protect(request, transaction, world.random(), world.now());
    let ip = world.deliver(counter, ir.bytes());
    let Opened::Issued { certificate, .. } = world.open(&ir, &ip) else { panic!("not issued") };

    let again = authority::open(dir.path(), world.authority_hsm.clone(), world.clock.clone()).unwrap();
    let mut random = rand_core::OsRng;
    assert_eq!(again.handle(ir.bytes(), authority::Peer::Terminal(&counter.id), world.now(), &mut random), ip);
    let sha256 = <sha2::Sha256 as sha2::Digest>::digest(&certificate).into();
    let confirm = Request::Confirm(Confirmation::by_sha256(sha256));
    let confirm = counter.protect(confirm, transaction, world.random(), world.now());
    let answer = again.handle(confirm.bytes(), authority::Peer::Terminal(&counter.id), world.now(), &mut random);
    assert_eq!(world.open(&confirm, &answer), Opened::Confirmed);
    // The first one, which has been there all the time, sees it.
    assert_eq!(world.authority.store().counts().unwrap(), [(Authentication, State::Valid, 1)]);
}

#[test]
fn what_is_no_store_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    fs::write(&path, b"This is a text and no database, though long enough to be the head of one.".repeat(20)).unwrap();
    assert!(matches!(SqliteStore::open(&path, [1, 1]), Err(StoreError::Damaged)));
    fs::remove_file(&path).unwrap();
    drop(open(&path));
    let set_version = |version: i64| {
        let other = rusqlite::Connection::open(&path).unwrap();
        other.pragma_update(None, "user_version", version).unwrap();
    };
    set_version(3);
    assert!(matches!(SqliteStore::open(&path, [1, 1]), Err(StoreError::TooNew { found: 3, known: 2 })));
    set_version(1);
    assert!(matches!(SqliteStore::open(&path, [1, 1]), Err(StoreError::TooOld { found: 1, known: 2 })));
    assert!(matches!(SqliteStore::open(dir.path(), [1, 1]), Err(StoreError::Failed(_))));
}
