//! The adapter while pcscd itself comes, goes and hangs. The tests take turns: there is one pcscd for this program.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use apdu::CommandApdu;
use card_reader::diagnosis::{Finding, ReaderState};
use card_reader::{CardError, CardReader};
use card_reader_pcsc::{PcscReader, ReaderChoice, ReaderEvent, ReaderOptions, ReaderWatch, diagnose};
use jpki::card::AID_JPKI;
use libtest_mimic::Trial;
use pcsc::ShareMode;
use private_pcscd::{PrivatePcscd, main_with};
use sim_card::{CardProfile, Fault, When};

use crate::common::{Desk, PATIENCE};

type Test = fn(&Arc<PrivatePcscd>);

const TESTS: &[(&str, Test)] = &[
    ("a_service_that_died_is_used_again", a_service_that_died_is_used_again),
    ("a_command_ends_when_the_service_dies", a_command_ends_when_the_service_dies),
    ("readers_go_and_come_back", readers_go_and_come_back),
    ("what_keeps_readers_from_working_is_found", what_keeps_readers_from_working_is_found),
    ("a_service_that_hangs_takes_no_longer_than_allowed", a_service_that_hangs_takes_no_longer_than_allowed),
];

fn main() -> ExitCode {
    main_with(2, |pcscd| {
        let turn = Arc::new(Mutex::new(()));
        let trial = |&(name, test): &(&str, Test)| {
            let (pcscd, turn) = (Arc::clone(pcscd), Arc::clone(&turn));
            Trial::test(name, move || {
                let _turn = turn.lock();
                pcscd.restart()?;
                test(&pcscd);
                Ok(())
            })
        };
        TESTS.iter().map(trial).collect()
    })
}

fn select() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI)
}

fn uses_the_card(reader: &mut PcscReader, desk: &Desk) {
    let soon = desk.soon();
    reader.wait_for_card(soon).expect("a card");
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    assert!(transaction.transmit(&select(), soon).expect("an answer").status.is_ok());
}

fn a_service_that_died_is_used_again(pcscd: &Arc<PrivatePcscd>) {
    let mut desk = Desk::with_card(pcscd, CardProfile::jpki_2016());
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut watch = ReaderWatch::new(desk.choice(), Arc::clone(&desk.clock));
    for _ in 0..2 {
        watch.next_event(soon).expect("the reader and its card are there");
    }
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");

    pcscd.kill();
    let started = Instant::now();
    for _ in 0..2 {
        let error = transaction.transmit(&select(), soon).expect_err("the service is gone");
        assert!(matches!(error, CardError::NoService), "{error:?}");
    }
    assert!(transaction.was_reset());
    drop(transaction);
    let error = connection.begin(soon).err().expect("the service is gone");
    assert!(matches!(error, CardError::NoService), "{error:?}");
    drop(connection);
    for _ in 0..2 {
        let error = reader.wait_for_card(soon).expect_err("the service is gone");
        assert!(matches!(error, CardError::NoService), "{error:?}");
        let error = reader.connect(soon).err().expect("the service is gone");
        assert!(matches!(error, CardError::NoService), "{error:?}");
        let error = watch.next_event(soon).expect_err("the service is gone");
        assert!(matches!(error, CardError::NoService), "{error:?}");
    }
    assert!(started.elapsed() < PATIENCE / 2, "nobody waits for a service that is not there");

    pcscd.restart().expect("it starts");
    desk.reopen();
    desk.insert();
    uses_the_card(&mut reader, &desk);
    let arrived = watch.next_event(soon).expect("the service is back");
    assert_eq!(arrived, ReaderEvent::ReaderArrived { reader: desk.name().into() });
}

fn a_command_ends_when_the_service_dies(pcscd: &Arc<PrivatePcscd>) {
    let desk = Desk::with_card(pcscd, CardProfile::jpki_2016());
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    let control = desk.control();
    control.arm(1, Fault::Stall(When::BeforeExecution));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(control.wait_until(PATIENCE, |activity| activity.stalled));
            pcscd.kill();
        });
        let error = transaction.transmit(&select(), soon).expect_err("the service is gone");
        assert!(matches!(error, CardError::NoService), "{error:?}");
    });
    control.disarm();
}

fn readers_go_and_come_back(pcscd: &Arc<PrivatePcscd>) {
    let mut desk = Desk::with_card(pcscd, CardProfile::jpki_2016());
    let options = |plug_patience| ReaderOptions { plug_patience, ..ReaderOptions::default() };
    let mut reader = desk.reader().with_options(options(Duration::ZERO));
    uses_the_card(&mut reader, &desk);

    pcscd.restart_with(0).expect("it starts");
    let error = reader.wait_for_card(desk.soon()).expect_err("no reader");
    assert!(matches!(error, CardError::ReaderGone), "{error:?}");
    let mut any = PcscReader::new(ReaderChoice::Any, Arc::clone(&desk.clock)).with_options(options(Duration::ZERO));
    for _ in 0..2 {
        let error = any.wait_for_card(desk.soon()).expect_err("no reader");
        assert!(matches!(error, CardError::NoReader), "{error:?}");
        let error = any.connect(desk.soon()).err().expect("no reader");
        assert!(matches!(error, CardError::NoReader), "{error:?}");
    }
    let mut patient = desk.reader().with_options(options(Duration::from_millis(200)));
    let started = Instant::now();
    let error = patient.wait_for_card(desk.soon()).expect_err("no reader");
    assert!(matches!(error, CardError::NoReader), "{error:?}");
    assert!((Duration::from_millis(200)..PATIENCE / 2).contains(&started.elapsed()), "it was waited for");

    pcscd.restart().expect("it starts");
    desk.reopen();
    desk.insert();
    uses_the_card(&mut reader, &desk);
    uses_the_card(&mut any, &desk);
}

/// A service that hangs until this is dropped: whoever lets go of a card waits for it.
struct Frozen<'a>(&'a PrivatePcscd);

impl<'a> Frozen<'a> {
    fn new(pcscd: &'a PrivatePcscd) -> Self {
        pcscd.freeze().expect("it runs");
        Self(pcscd)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.thaw().expect("it runs");
    }
}

fn a_service_that_hangs_takes_no_longer_than_allowed(pcscd: &Arc<PrivatePcscd>) {
    let desk = Desk::with_card(pcscd, CardProfile::jpki_2016());
    let mut reader = desk.reader();
    uses_the_card(&mut reader, &desk);
    let frozen = Frozen::new(pcscd);
    let in_a_moment = || desk.clock.deadline_in(Duration::from_millis(200));
    // The signal may be on its way still.
    let limit = desk.soon();
    let error = loop {
        assert!(!limit.has_passed(&*desk.clock), "it goes on");
        if let Err(error) = reader.wait_for_card(in_a_moment()) {
            break error;
        }
    };
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    let started = Instant::now();
    let error = reader.connect(in_a_moment()).err().expect("no answer");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    let mut watch = ReaderWatch::new(ReaderChoice::Any, Arc::clone(&desk.clock));
    let error = watch.next_event(in_a_moment()).expect_err("no answer");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());

    drop(frozen);
    uses_the_card(&mut reader, &desk);
}

fn what_keeps_readers_from_working_is_found(pcscd: &Arc<PrivatePcscd>) {
    let (one, mut two) =
        (Desk::with_card(pcscd, CardProfile::jpki_2016()), Desk::empty(pcscd, CardProfile::jpki_2016()));
    let found = |name: &str| {
        let findings = diagnose(&one.clock, one.soon());
        let is_meant = |finding: &&Finding| matches!(finding, Finding::Reader { name: found, .. } if found == name);
        findings.iter().find(is_meant).cloned().expect("every reader is told")
    };
    let resets = one.control().activity().resets;
    let identity = one.identity().expect("a card");
    let card = Finding::Reader { name: one.name().into(), state: ReaderState::Card(identity.clone()) };
    assert_eq!(found(one.name()), card);
    assert_eq!(found(two.name()).name(), "empty");

    // A program that has the card open is not disturbed, and one that has it exclusively is told.
    let theirs = one.open_elsewhere(ShareMode::Shared);
    let before = one.control().activity().apdus;
    assert_eq!(found(one.name()), card);
    assert_eq!((one.control().activity().apdus, one.control().activity().resets), (before, resets));
    theirs.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");
    let theirs = one.open_elsewhere(ShareMode::Exclusive);
    let held = found(one.name());
    assert!(held.name().starts_with("held-by-"), "{held:?}");
    theirs.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");

    // A card that knows nothing of 公的個人認証AP.
    two.control().arm(1, Fault::StatusWord(0x6A82));
    two.insert();
    let unknown = Finding::Reader { name: two.name().into(), state: ReaderState::UnknownCard(identity) };
    assert_eq!(found(two.name()), unknown);

    pcscd.restart_with(0).expect("it starts");
    assert_eq!(diagnose(&one.clock, one.soon())[0], Finding::NoReader);
    pcscd.kill();
    assert_eq!(diagnose(&one.clock, one.soon())[0], Finding::NoService { installed: true });
}
