//! The authority as the witness of the terminals' logs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use audit_log::AddCheckpoint;
use authority::AcknowledgementError;
use authority::store::{Alarm, AlarmKind, Applied, Change, PersonId, Witness};
use authority_link::message::Failure;
use authority_link::state::{LogAlarm, LogAlarmKind, PROOF_WANTED, WitnessState};
use authority_link::{Answer, IssueState, Opened, Request, Sent};
use jpki::CertificateKind::Authentication;
use tempfile::TempDir;

use crate::fixtures::{Counter, World, next_generation, today, written};

/// A log that was put back to its first `at` entries and written on to so many.
fn written_on(at: u8, entries: u8) -> Vec<u8> {
    (0..entries).map(|entry| if entry < at { entry } else { 0xFF - entry }).collect()
}

/// A question under a log that is shown so.
fn question(world: &World, counter: &Counter, shown: &str) -> Sent {
    counter.protect_with(Request::StateOf([0; 32]), world.transaction(), world.random(), world.now(), shown)
}

fn asked(world: &World, counter: &Counter, old: u64, entries: &[u8]) -> Opened {
    let sent = question(world, counter, &counter.shown(old, entries));
    world.open_with_witness(&sent, &world.deliver(counter, sent.bytes()))
}

/// How far the authority says that it is, and whether it says that an alarm is open.
fn told(opened: &Opened) -> (u64, bool) {
    let witness = opened.witness.as_ref().unwrap();
    (witness.size, witness.alarm.is_some())
}

/// The witnessed checkpoint, as a terminal with this log gets it.
fn witnessed(world: &World, counter: &Counter, old: u64, entries: &[u8]) -> Option<String> {
    let (transaction, shown) = (world.transaction(), counter.shown(old, entries));
    let sent = counter.protect_with(Request::WitnessedCheckpoint, transaction, world.random(), world.now(), &shown);
    match world.exchange(counter, &sent) {
        Answer::Checkpoint(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

/// The checkpoint of a log with these entries, as the witness keeps it.
fn checkpoint(counter: &Counter, entries: &[u8]) -> String {
    counter.shown(0, entries).parse::<AddCheckpoint>().unwrap().checkpoint().to_string()
}

fn alarms(world: &World) -> Vec<(AlarmKind, u64, u64)> {
    let alarms = world.authority.store().alarms().unwrap();
    alarms.into_iter().map(|alarm| (alarm.kind, alarm.witnessed_size, alarm.offered_size)).collect()
}

/// The errorCode by which a terminal tells what is the matter with its log.
fn code(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::Refused { failure, code, .. } => {
            let expected =
                if *code == Some(PROOF_WANTED) { Failure::AddInfoNotAvailable } else { Failure::NotAuthorized };
            code.filter(|_| failure.contains(expected))
        }
        _ => None,
    }
}

fn is_answered(opened: &Opened) -> bool {
    matches!(opened.answer, Answer::State(_))
}

fn auditor() -> PersonId {
    PersonId::new("auditor-1").unwrap()
}

#[test]
fn the_latest_checkpoint_of_each_terminal_is_kept_whatever_brings_it() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    assert_eq!(witnessed(&world, two, 0, &[]), None, "the one that comes with the question is not yet kept");
    one.entries.store(10, Ordering::SeqCst);
    let issued = world.issue(one, Authentication, None);
    assert_eq!(world.state(one, issued.sha256), IssueState::Issued);
    assert_eq!(witnessed(&world, one, 10, &written(12)), Some(checkpoint(one, &written(10))));
    assert_eq!(witnessed(&world, one, 12, &written(12)), Some(checkpoint(one, &written(12))));
    assert_eq!(witnessed(&world, two, 0, &written(1)), Some(checkpoint(two, &[])));
    assert_eq!(told(&asked(&world, two, 1, &written(200))), (200, false));
    assert_eq!(alarms(&world), []);
}

/// Every size, from every idea that the terminal may have of the witness.
#[test]
fn a_proof_that_begins_elsewhere_is_asked_for_again_and_nothing_is_done_meanwhile() {
    for idea in 0..12 {
        let world = World::new(&next_generation());
        let one = &world.counters[0];
        assert_eq!(told(&asked(&world, one, 0, &written(6))), (6, false));
        let transaction = world.transaction();
        let request = world.certification(one, Authentication, &world.card_key(), None);
        let send = |old, entries| {
            let shown = one.shown(old, &written(entries));
            let sent = one.protect_with(request.clone(), transaction, world.random(), world.now(), &shown);
            world.open_with_witness(&sent, &world.deliver(one, sent.bytes()))
        };
        let first = send(idea, 9);
        if idea == 6 {
            assert!(matches!(first.answer, Answer::Issued { .. }));
        } else {
            assert_eq!((code(&first.answer), told(&first)), (Some(PROOF_WANTED), (6, false)), "from {idea}");
            assert!(!world.authority.store().transaction_known(&transaction.0).unwrap());
            let again = send(told(&first).0, 9);
            assert!(matches!(again.answer, Answer::Issued { .. }), "from {idea}: {:?}", again.answer);
            assert_eq!(told(&again), (9, false));
        }
        // Who shows the same again has nothing to prove.
        assert_eq!(told(&asked(&world, one, idea, &written(9))), (9, false));
        assert_eq!(alarms(&world), []);
    }
}

#[test]
fn a_log_that_went_back_is_an_alarm_and_nothing_is_done_under_it() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    one.entries.store(20, Ordering::SeqCst);
    world.issue(one, Authentication, None);

    // The folder was put back to an older copy. What the terminal knows of the witness went back with it.
    let first = asked(&world, one, 15, &written(19));
    assert_eq!((code(&first.answer), told(&first)), (Some(PROOF_WANTED), (20, false)));
    let transaction = world.transaction();
    let request = world.certification(one, Authentication, &world.card_key(), None);
    let sent = one.protect_with(request, transaction, world.random(), world.now(), &one.shown(20, &written(19)));
    assert_eq!(code(&world.exchange(one, &sent)), Some(1));
    assert!(!world.authority.store().transaction_known(&transaction.0).unwrap());
    assert_eq!(alarms(&world), [(AlarmKind::RolledBack, 20, 19)]);
    // The same message again is the same alarm.
    assert_eq!(code(&world.exchange(one, &sent)), Some(1));
    assert_eq!(alarms(&world).len(), 1);
    // What was witnessed can be asked for all the same: that is how a person finds out.
    assert_eq!(witnessed(&world, one, 20, &written(18)), Some(checkpoint(one, &written(20))));
    assert_eq!(alarms(&world).last(), Some(&(AlarmKind::RolledBack, 20, 18)));
}

/// To put the folder back, and to write on until the log is longer than ever, does not help.
#[test]
fn a_log_that_was_put_back_and_written_on_is_never_taken_and_never_forgotten() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    assert_eq!(told(&asked(&world, one, 0, &written(20))), (20, false));
    for at in 0..20 {
        for entries in [20, 21, 40] {
            let offered = asked(&world, one, 20, &written_on(at, entries));
            assert_eq!(code(&offered.answer), Some(2), "put back to {at}, written on to {entries}");
            assert_eq!(told(&offered), (20, true));
            assert_eq!(witnessed(&world, one, 20, &written_on(at, entries)), Some(checkpoint(one, &written(20))));
        }
    }
    // The right log is served, and told of it, at every answer and at every refusal.
    let alarm = LogAlarm { kind: LogAlarmKind::Forked, witnessed: 20, offered: 20, raised_at: today() };
    for entries in 20..30 {
        let told = asked(&world, one, u64::from(entries).max(21) - 1, &written(entries));
        assert!(is_answered(&told));
        assert_eq!(told.witness, Some(WitnessState { size: entries.into(), alarm: Some(alarm.clone()) }));
    }
    let sent = one.protect_with(
        Request::Supersede(world.issue(&world.counters[1], Authentication, None).name),
        world.transaction(),
        world.random(),
        world.now(),
        &one.shown(29, &written(30)),
    );
    let refused = world.open_with_witness(&sent, &world.deliver(one, sent.bytes()));
    assert!(matches!(refused.answer, Answer::Refused { code: None, .. }));
    assert_eq!(told(&refused), (29, true), "a refusal takes nothing");
    assert_eq!(told(&asked(&world, &world.counters[1], 0, &written(1))), (1, false), "others are not told");

    // The evidence: two checkpoints that one key has signed, and the proof that leads from the one not to the other.
    let all = world.authority.store().alarms().unwrap();
    assert_eq!(all.len(), 60);
    for Alarm { witnessed, offered, .. } in &all {
        assert_eq!(witnessed.as_deref(), Some(&*checkpoint(one, &written(20))));
        let shown: AddCheckpoint = offered.parse().unwrap();
        assert!(shown.checkpoint().claimed().size >= 20);
    }

    // Somebody looks into it. It stays on the books, and is not told any more.
    world.clock.advance(Duration::from_secs(86_400));
    world.authority.acknowledge_alarms(&one.id, auditor(), world.now()).unwrap();
    assert_eq!(told(&asked(&world, one, 29, &written(31))), (31, false));
    let books = world.authority.store().alarms().unwrap();
    assert_eq!(books.len(), 60);
    let noted = books.iter().filter_map(|alarm| alarm.acknowledged.as_ref());
    assert!(noted.clone().all(|noted| noted.by.as_str() == "auditor-1" && noted.at == world.now()));
    assert_eq!(noted.count(), 60);
    let again = world.authority.acknowledge_alarms(&one.id, auditor(), world.now());
    assert!(matches!(again, Err(AcknowledgementError::NoAlarm)), "{again:?}");
    // What comes next is a new one.
    assert_eq!(told(&asked(&world, one, 31, &written_on(3, 40))), (31, true));
}

#[test]
fn another_log_under_the_right_key_is_an_alarm() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    assert!(is_answered(&asked(&world, one, 0, &written(20))));
    for entries in [5, 20, 30] {
        let sent = question(&world, one, &one.shown_as("another", 20, &written(entries)));
        assert_eq!(code(&world.exchange(one, &sent)), Some(2));
    }
    assert_eq!(alarms(&world), [5, 20, 30].map(|entries| (AlarmKind::Forked, 20, entries)));
}

#[test]
fn a_checkpoint_under_another_key_is_an_alarm() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    // The other terminal's log, validly signed by its key.
    assert_eq!(code(&world.exchange(one, &question(&world, one, &two.shown(0, &written(99))))), Some(3));
    assert_eq!(alarms(&world), [(AlarmKind::KeyReplaced, 0, 0)]);
    // A text that was changed after it was signed.
    let changed = one.shown(0, &written(5)).replacen("\n5\n", "\n6\n", 1);
    assert_eq!(code(&world.exchange(one, &question(&world, one, &changed))), Some(3));
    assert_eq!(alarms(&world).len(), 2);
    let checkpoint = checkpoint(one, &written(5));
    for text in ["", "no checkpoint", "old 0\n\nlog.example/terminal-1\n5\n", &checkpoint] {
        let answer = world.exchange(one, &question(&world, one, text));
        assert!(matches!(&answer, Answer::Refused { code: None, .. }), "{text:?}");
    }
    assert_eq!(alarms(&world).len(), 2);
    let accepted = world.authority.accept_log(&one.id, auditor(), world.now());
    assert!(matches!(accepted, Err(AcknowledgementError::NotSigned)), "{accepted:?}");
}

/// Of two messages on their way the second arrives first.
#[test]
fn a_late_message_is_no_alarm_and_does_nothing() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    let issued = world.issue(one, Authentication, None);
    let late = [1, 5, 7].map(|entries| question(&world, one, &one.shown(1, &written(entries))));
    assert_eq!(told(&asked(&world, one, 1, &written(7))), (7, false));
    for (sent, is_still_good) in late.into_iter().zip([false, false, true]) {
        let opened = world.open_with_witness(&sent, &world.deliver(one, sent.bytes()));
        assert_eq!(code(&opened.answer), (!is_still_good).then_some(PROOF_WANTED));
        assert_eq!(told(&opened), (7, false));
    }
    assert_eq!(alarms(&world), []);
    assert_eq!(world.state(&world.counters[1], issued.sha256), IssueState::Issued);
    assert_eq!(witnessed(&world, one, 7, &written(8)), Some(checkpoint(one, &written(7))));
}

#[test]
fn a_log_that_replaces_another_for_a_good_reason_can_be_accepted() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    let nothing = world.authority.accept_log(&one.id, auditor(), world.now());
    assert!(matches!(nothing, Err(AcknowledgementError::NoAlarm)), "{nothing:?}");
    assert!(is_answered(&asked(&world, one, 0, &written(50))));
    // The disk is new, and the log begins anew.
    assert_eq!(code(&asked(&world, one, 50, &written_on(0, 1)).answer), Some(1));
    assert_eq!(code(&asked(&world, one, 50, &written_on(0, 3)).answer), Some(1));
    world.authority.accept_log(&one.id, auditor(), world.now()).unwrap();
    // The one that was offered last is taken, and none but it.
    assert_eq!(told(&asked(&world, one, 3, &written_on(0, 4))), (4, false));
    assert_eq!(code(&asked(&world, one, 4, &written(60)).answer), Some(2));
    assert_eq!(alarms(&world).len(), 3, "the alarms stay");
}

/// Two requests are judged by what the witness was before either.
#[test]
fn the_witness_never_goes_back_when_two_move_it_at_once() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    assert!(is_answered(&asked(&world, one, 0, &written(5))));
    let store = world.authority.store();
    let slow = Witness { size: 6, follows: Some(5), ..store.witness(&one.id).unwrap().unwrap() };
    assert!(is_answered(&asked(&world, one, 5, &written(9))));
    for follows in [Some(5), None, Some(6)] {
        let witness = Some(Witness { follows, ..slow.clone() });
        assert_eq!(store.apply(&Change { witness, ..Change::default() }).unwrap(), Applied::Conflict);
    }
    assert_eq!(store.witness(&one.id).unwrap().unwrap().checkpoint, checkpoint(one, &written(9)));
}

/// Starts the authority of `world` again, on a copy of this folder.
fn restart(world: &mut World, from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("certificates")).unwrap();
    for folder in [".", "certificates"] {
        for file in std::fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            let name = file.file_name();
            // SQLite makes its shared memory anew.
            if file.file_type().unwrap().is_file() && !name.to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), copy.path().join(folder).join(name)).unwrap();
            }
        }
    }
    let authority = authority::open(copy.path(), world.authority_hsm.clone(), world.clock.clone());
    world.authority = Arc::new(authority.unwrap());
    copy
}

/// The authority is put back to an older state of its own, and one terminal is put back, too.
#[test]
fn a_witness_that_was_put_back_itself_is_shown_the_way_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::in_folder(&next_generation(), folder.path());
    let at = |world: &World, old, entries: &[u8]| {
        let opened = asked(world, &world.counters[0], old, entries);
        (is_answered(&opened), told(&opened))
    };
    assert_eq!(at(&world, 0, &written(5)), (true, (5, false)));
    let older = restart(&mut world, folder.path());
    let later = restart(&mut world, older.path());
    assert_eq!(at(&world, 5, &written_on(3, 9)), (false, (5, true)));
    let later = restart(&mut world, later.path());
    assert_eq!(at(&world, 5, &written(9)), (true, (9, true)), "the alarm outlives the authority");
    drop(later);

    let again = restart(&mut world, older.path());
    assert_eq!(at(&world, 9, &written(12)), (false, (5, false)));
    assert_eq!(at(&world, 5, &written(12)), (true, (12, false)), "nobody is locked out");
    drop(again);

    let forked = restart(&mut world, older.path());
    assert_eq!(at(&world, 5, &written_on(5, 9)), (true, (9, false)), "another history goes on from there");
    let forked = restart(&mut world, forked.path());
    assert_eq!(at(&world, 9, &written(13)), (false, (9, true)), "and the terminal's own is the fork");
    drop(forked);
}
