//! The authority as the witness of the terminals' logs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use authority::store::AlarmKind;
use authority_link::message::Failure;
use authority_link::{Answer, IssueState, Request, Sent};
use jpki::CertificateKind::Authentication;

use crate::fixtures::{Counter, World, next_generation};

/// A question with this checkpoint.
fn ask(world: &World, counter: &Counter, checkpoint: &str) -> Sent {
    counter.protect_with(Request::StateOf([0; 32]), world.transaction(), world.random(), world.now(), checkpoint)
}

fn witnessed(world: &World, counter: &Counter, checkpoint: &str) -> Option<String> {
    let sent = counter.protect_with(
        Request::WitnessedCheckpoint,
        world.transaction(),
        world.random(),
        world.now(),
        checkpoint,
    );
    match world.exchange(counter, &sent) {
        Answer::Checkpoint(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

fn alarms(world: &World) -> Vec<(AlarmKind, u64, u64)> {
    let alarms = world.authority.store().alarms().unwrap();
    alarms.into_iter().map(|alarm| (alarm.kind, alarm.witnessed_size, alarm.offered_size)).collect()
}

/// The errorCode by which a terminal tells its log's alarms from other refusals.
fn log_alarm(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::Refused { failure, code, .. } => code.filter(|_| failure.contains(Failure::NotAuthorized)),
        _ => None,
    }
}

#[test]
fn the_latest_checkpoint_of_each_terminal_is_kept_whatever_brings_it() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    assert_eq!(
        witnessed(&world, two, &two.checkpoint(0)),
        None,
        "the one that comes with the question is not yet kept"
    );
    one.entries.store(10, Ordering::SeqCst);
    let issued = world.issue(one, Authentication, None);
    assert_eq!(world.state(one, issued.sha256), IssueState::Issued);
    // The ir brought 10, the genm 11.
    assert_eq!(witnessed(&world, one, &one.checkpoint(12)), Some(one.checkpoint(11)));
    assert_eq!(witnessed(&world, two, &two.checkpoint(1)), Some(two.checkpoint(0)));
    assert_eq!(alarms(&world), []);
}

#[test]
fn a_log_that_went_back_is_an_alarm_and_nothing_is_done_under_it() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    one.entries.store(20, Ordering::SeqCst);
    world.issue(one, Authentication, None);

    // The folder was put back to an older copy.
    one.entries.store(19, Ordering::SeqCst);
    let transaction = world.transaction();
    let request = world.certification(one, Authentication, &world.card_key(), None);
    let sent = one.protect(request, transaction, world.random(), world.now());
    assert_eq!(log_alarm(&world.exchange(one, &sent)), Some(1));
    assert!(!world.authority.store().transaction_known(&transaction.0).unwrap());
    assert_eq!(alarms(&world), [(AlarmKind::RolledBack, 20, 19)]);
    // What was witnessed can be asked for all the same: that is how a person finds out.
    assert_eq!(witnessed(&world, one, &one.checkpoint(18)), Some(one.checkpoint(20)));
    assert_eq!(alarms(&world).last(), Some(&(AlarmKind::RolledBack, 20, 18)));
    // Appending again does not hide it until the log is longer than the witness knows; then only the tree's root
    // would differ.
    assert_eq!(log_alarm(&world.exchange(one, &ask(&world, one, &one.checkpoint(19)))), Some(1));
    assert!(matches!(world.exchange(one, &ask(&world, one, &one.checkpoint(21))), Answer::State(_)));
}

#[test]
fn another_log_under_the_right_key_is_an_alarm() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    assert!(matches!(world.exchange(one, &ask(&world, one, &one.checkpoint(20))), Answer::State(_)));
    // As long as the one that was witnessed, with another root; longer, under another name.
    for checkpoint in [one.checkpoint_of("log.example/terminal-1", 20, 7), one.checkpoint_of("another", 30, 0x42)] {
        assert_eq!(log_alarm(&world.exchange(one, &ask(&world, one, &checkpoint))), Some(2));
    }
    assert_eq!(alarms(&world), [(AlarmKind::Forked, 20, 20), (AlarmKind::Forked, 20, 30)]);
}

#[test]
fn a_checkpoint_under_another_key_is_an_alarm() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    // The other terminal's log, validly signed by its key.
    assert_eq!(log_alarm(&world.exchange(one, &ask(&world, one, &two.checkpoint(99)))), Some(3));
    assert_eq!(alarms(&world), [(AlarmKind::KeyReplaced, 0, 0)]);
    // A text that was changed after it was signed.
    let changed = one.checkpoint(5).replacen("\n5\n", "\n6\n", 1);
    assert_eq!(log_alarm(&world.exchange(one, &ask(&world, one, &changed))), Some(3));
    assert_eq!(alarms(&world).len(), 2);
    for text in ["", "no checkpoint", "log.example/terminal-1\n5\n"] {
        let answer = world.exchange(one, &ask(&world, one, text));
        assert!(matches!(&answer, Answer::Refused { code: None, .. }), "{text:?}");
    }
    assert_eq!(alarms(&world).len(), 2);
}

#[test]
fn a_late_message_is_no_alarm() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    let issued = world.issue(one, Authentication, None);
    let late = one.protect_with(
        Request::StateOf(issued.sha256),
        world.transaction(),
        world.random(),
        world.now(),
        &one.checkpoint(5),
    );
    world.clock.advance(Duration::from_secs(30));
    assert!(matches!(world.exchange(one, &ask(&world, one, &one.checkpoint(7))), Answer::State(_)));
    assert!(matches!(world.exchange(one, &late), Answer::State(_)));
    assert_eq!(alarms(&world), []);
    assert_eq!(witnessed(&world, one, &one.checkpoint(8)), Some(one.checkpoint(7)));
}

#[test]
fn a_log_that_was_replaced_for_a_good_reason_can_be_accepted() {
    let world = World::new(&next_generation());
    let one = &world.counters[0];
    assert!(matches!(world.exchange(one, &ask(&world, one, &one.checkpoint(50))), Answer::State(_)));
    assert_eq!(log_alarm(&world.exchange(one, &ask(&world, one, &one.checkpoint(1)))), Some(1));
    world.authority.store().forget_witness(&one.id).unwrap();
    assert!(matches!(world.exchange(one, &ask(&world, one, &one.checkpoint(1))), Answer::State(_)));
    assert_eq!(alarms(&world).len(), 1, "the alarm stays");
}
