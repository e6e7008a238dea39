//! What goes wrong at a counter: cards that do not answer, that are pulled out, that others use.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use apdu::CommandApdu;
use card_reader::{CardError, CardReader, CardTransaction, Disposition};
use card_reader_pcsc::{PcscReader, ReaderChoice, ReaderEvent, ReaderWatch};
use jpki::card::{AID_JPKI, fid};
use madoguchi_time::Deadline;
use pcsc::ShareMode;
use private_pcscd::PrivatePcscd;
use sim_card::{CardProfile, Fault, When};

use crate::announcing;
use crate::common::{Desk, PATIENCE};

type Test = fn(&Arc<PrivatePcscd>);

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("a_stuck_card_is_abandoned", a_stuck_card_is_abandoned),
    ("another_reader_takes_over_from_a_stuck_one", another_reader_takes_over_from_a_stuck_one),
    ("a_removal_in_the_middle_is_a_removal", a_removal_in_the_middle_is_a_removal),
    ("what_is_no_answer_is_garbled", what_is_no_answer_is_garbled),
    ("a_transaction_of_another_program_is_waited_for", a_transaction_of_another_program_is_waited_for),
    ("an_exclusive_program_is_waited_for", an_exclusive_program_is_waited_for),
    ("nobody_resets_a_card_within_a_transaction", nobody_resets_a_card_within_a_transaction),
    ("a_transaction_begins_after_our_own_reset", a_transaction_begins_after_our_own_reset),
    ("another_card_is_noticed", another_card_is_noticed),
    ("a_mute_card_is_told_from_no_card", a_mute_card_is_told_from_no_card),
    ("cards_are_left_as_they_are", cards_are_left_as_they_are),
    ("watching_does_not_disturb_a_channel", watching_does_not_disturb_a_channel),
    ("two_readers_are_watched_at_once", two_readers_are_watched_at_once),
    ("the_reader_with_a_card_is_taken", the_reader_with_a_card_is_taken),
];

fn select() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI)
}

/// Succeeds only while the application is selected.
fn select_pin_file() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(fid::AUTH_PIN.to_be_bytes())
}

fn works(transaction: &mut dyn CardTransaction, deadline: Deadline) {
    let answer = transaction.transmit(&select(), deadline).expect("an answer");
    assert!(answer.status.is_ok(), "{answer}");
}

/// Opens the card and selects the application.
fn uses_the_card(reader: &mut PcscReader, deadline: Deadline) {
    reader.wait_for_card(deadline).expect("a card");
    let mut connection = reader.connect(deadline).expect("a card");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    works(&mut *transaction, deadline);
    transaction.end(Disposition::Leave).expect("the card is there");
}

fn desk(pcscd: &Arc<PrivatePcscd>) -> Desk {
    Desk::with_card(pcscd, CardProfile::jpki_2016())
}

fn a_stuck_card_is_abandoned(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let (control, soon) = (desk.control(), desk.soon());
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    control.arm(1, Fault::Stall(When::BeforeExecution));

    let started = Instant::now();
    let error = transaction.transmit(&select(), desk.clock.deadline_in(Duration::from_millis(300))).expect_err("stuck");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    let took = started.elapsed();
    assert!((Duration::from_millis(300)..PATIENCE / 2).contains(&took), "{took:?}");
    assert!(transaction.was_reset(), "nobody knows");
    for _ in 0..2 {
        let error = transaction.transmit(&select(), soon).expect_err("stuck");
        assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    }
    let error = transaction.end(Disposition::Leave).expect_err("stuck");
    assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    let error = connection.begin(soon).err().expect("stuck");
    assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    drop(connection);
    let error = reader.wait_for_card(soon).expect_err("stuck");
    assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    let error = reader.connect(soon).err().expect("stuck");
    assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    assert!(started.elapsed() < PATIENCE / 2, "nothing of this waits for the deadline");

    // The abandoned command returns: the card is reset, nothing else was sent, and the reader can be used again.
    let before = control.activity();
    assert_eq!((before.apdus, before.resets), (1, 0));
    control.disarm();
    assert!(control.wait_until(PATIENCE, |activity| activity.resets == 1), "the card is reset");
    while let Err(error) = reader.wait_for_card(soon) {
        assert!(matches!(error, CardError::ReaderStuck), "{error:?}");
    }
    assert_eq!(control.activity().apdus, 1);
    uses_the_card(&mut reader, soon);
}

fn another_reader_takes_over_from_a_stuck_one(pcscd: &Arc<PrivatePcscd>) {
    let (stuck, mut other) = (desk(pcscd), Desk::empty(pcscd, CardProfile::jpki_2016()));
    let soon = stuck.soon();
    let choice = ReaderChoice::Containing(vec![stuck.name().into(), other.name().into()]);
    let mut reader = PcscReader::new(choice, Arc::clone(&stuck.clock));
    stuck.control().arm(1, Fault::Stall(When::AfterExecution));
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    let error =
        transaction.transmit(&select(), stuck.clock.deadline_in(Duration::from_millis(100))).expect_err("stuck");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    drop(transaction);
    drop(connection);

    let error = reader.connect(soon).err().expect("the other has no card");
    assert!(matches!(error, CardError::NoCard), "{error:?}");
    other.insert();
    uses_the_card(&mut reader, soon);
    assert_eq!(reader.name(), other.name());
    assert_eq!(stuck.control().activity().apdus, 1);
}

fn a_removal_in_the_middle_is_a_removal(pcscd: &Arc<PrivatePcscd>) {
    let mut desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    for when in When::BOTH {
        let mut connection = reader.connect(soon).expect("a card");
        let mut transaction = connection.begin(soon).expect("nobody else is there");
        works(&mut *transaction, soon);
        desk.control().remove_after(1, when);
        for _ in 0..2 {
            let error = transaction.transmit(&select_pin_file(), soon).expect_err("gone");
            assert!(matches!(error, CardError::Removed), "{when:?}: {error:?}");
        }
        assert!(transaction.was_reset());
        transaction.end(Disposition::Reset).expect("a card that has gone has no state");
        drop(connection);
        desk.insert();
    }
    uses_the_card(&mut reader, soon);
}

fn what_is_no_answer_is_garbled(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    desk.control().arm(1, Fault::Garble);
    let error = transaction.transmit(&select(), soon).expect_err("one byte is no answer");
    assert!(matches!(error, CardError::Garbled), "{error:?}");
    assert_eq!(desk.control().activity().apdus, 1, "no command is repeated");
}

fn a_transaction_of_another_program_is_waited_for(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut card = desk.open_elsewhere(ShareMode::Shared);
    let theirs = card.transaction().expect("nobody else is there");
    // To open the card, too, means to wait.
    let error = reader.connect(desk.clock.deadline_in(Duration::from_millis(150))).err().expect("held");
    assert!(matches!(error, CardError::Busy), "{error:?}");
    theirs.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");

    let mut connection = reader.connect(soon).expect("a card");
    let theirs = card.transaction().expect("nobody else is there");
    for _ in 0..2 {
        let error = connection.begin(desk.clock.deadline_in(Duration::from_millis(150))).err().expect("held");
        assert!(matches!(error, CardError::Busy), "{error:?}");
    }
    thread::scope(|scope| {
        let ours = scope.spawn(|| {
            let mut transaction = connection.begin(soon).expect("as soon as the other has ended");
            works(&mut *transaction, soon);
        });
        theirs.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");
        ours.join().expect("no panic");
    });
    // What was given up did not stay in the way: the other program gets the card again.
    card.transaction()
        .expect("nobody holds it")
        .end(pcsc::Disposition::LeaveCard)
        .map_err(|(_, error)| error)
        .expect("ends");
    card.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");
}

fn an_exclusive_program_is_waited_for(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let theirs = desk.open_elsewhere(ShareMode::Exclusive);
    let started = Instant::now();
    let error = reader.connect(desk.clock.deadline_in(Duration::from_millis(200))).err().expect("held");
    assert!(matches!(error, CardError::Busy), "{error:?}");
    assert!(started.elapsed() >= Duration::from_millis(200), "it was waited for");
    thread::scope(|scope| {
        let ours = scope.spawn(|| uses_the_card(&mut reader, soon));
        theirs.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");
        ours.join().expect("no panic");
    });
}

/// Why the suite's case of a reset within a transaction is waived: the service does not let it happen.
fn nobody_resets_a_card_within_a_transaction(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let theirs = desk.open_elsewhere(ShareMode::Shared);
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    works(&mut *transaction, soon);
    thread::scope(|scope| {
        let reset = scope.spawn(move || theirs.disconnect(pcsc::Disposition::ResetCard).map_err(|(_, error)| error));
        // It has to wait for as long as we go on.
        let waited = desk.control().wait_until(Duration::from_millis(300), |activity| activity.resets > 0);
        assert!(!waited, "the card was reset");
        assert!(transaction.transmit(&select_pin_file(), soon).expect("an answer").status.is_ok());
        assert!(!transaction.was_reset());
        transaction.end(Disposition::Leave).expect("the card is there");
        reset.join().expect("no panic").expect("now it can");
    });
    let error = connection.begin(soon).err().expect("the card was reset");
    assert!(matches!(error, CardError::Reset), "{error:?}");
}

fn a_transaction_begins_after_our_own_reset(pcscd: &Arc<PrivatePcscd>) {
    let mut desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    for how in [Disposition::Reset, Disposition::PowerOff] {
        let mut transaction = connection.begin(soon).expect("nobody else is there");
        works(&mut *transaction, soon);
        transaction.end(how).expect("the card is there");
        let mut transaction = connection.begin(soon).expect("it was our own reset");
        let answer = transaction.transmit(&select_pin_file(), soon).expect("an answer");
        assert!(!answer.status.is_ok(), "{how:?}: the state is gone");
        transaction.end(how).expect("the card is there");
    }
    // The card that comes instead is not taken for the same.
    desk.remove();
    desk.insert();
    let error = connection.begin(soon).err().expect("the card was out");
    assert!(matches!(error, CardError::Removed), "{error:?}");
}

fn another_card_is_noticed(pcscd: &Arc<PrivatePcscd>) {
    let mut first = desk(pcscd);
    let soon = first.soon();
    let mut reader = first.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let identity = connection.identity().clone();
    first.remove();
    first.exchange_card(announcing());
    first.insert();
    let error = connection.begin(soon).err().expect("the card was out");
    assert!(matches!(error, CardError::Removed), "{error:?}");
    drop(connection);
    let connection = reader.connect(soon).expect("a card");
    assert_ne!(*connection.identity(), identity);
    assert!(connection.capabilities().extended_length, "the second card announces it");
}

/// The driver powers the card up and asks for its ATR: what this one says then is none.
fn a_mute_card_is_told_from_no_card(pcscd: &Arc<PrivatePcscd>) {
    let desk = Desk::empty(pcscd, CardProfile::jpki_2016());
    let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, desk.port())).expect("the reader listens");
    let end = line.try_clone().expect("a handle");
    let mute = thread::spawn(move || {
        let mut powered = false;
        loop {
            let mut header = [0; 2];
            if line.read_exact(&mut header).is_err() {
                return;
            }
            let mut message = vec![0; u16::from_be_bytes(header).into()];
            line.read_exact(&mut message).expect("a whole message");
            match message[..] {
                [0x01 | 0x02] => powered = true,
                [0x04] if std::mem::take(&mut powered) => {
                    line.write_all(&[0, 40]).and_then(|()| line.write_all(&[0xFF; 40])).expect("the driver listens");
                }
                [0x04] => line.write_all(&[0, 2, 0x3B, 0x00]).expect("the driver listens"),
                _ => {}
            }
        }
    });
    let soon = desk.soon();
    let mut reader = desk.reader();
    reader.wait_for_card(soon).expect("something is there");
    let error = reader.connect(soon).err().expect("it does not react");
    assert!(matches!(error, CardError::Mute), "{error:?}");
    end.shutdown(std::net::Shutdown::Both).expect("open");
    mute.join().expect("no panic");
}

fn cards_are_left_as_they_are(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    // Somebody else has the card open, so that the service does not power it down.
    let theirs = desk.open_elsewhere(ShareMode::Shared);
    uses_the_card(&mut reader, soon);
    drop(reader.connect(soon).expect("a card"));
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    assert!(transaction.transmit(&select_pin_file(), soon).expect("an answer").status.is_ok(), "the state is there");
    drop(transaction);
    drop(connection);
    drop(reader);
    assert_eq!(desk.control().activity().resets, 0);
    let mut buffer = [0; 16];
    let select = [0x00, 0xA4, 0x02, 0x0C, 0x02, 0x00, 0x18];
    assert_eq!(theirs.transmit(&select, &mut buffer).expect("nothing happened to the card"), [0x90, 0x00]);
    theirs.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).expect("ends");
}

fn watching_does_not_disturb_a_channel(pcscd: &Arc<PrivatePcscd>) {
    let desk = desk(pcscd);
    let soon = desk.soon();
    let mut reader = desk.reader();
    let mut connection = reader.connect(soon).expect("a card");
    let mut transaction = connection.begin(soon).expect("nobody else is there");
    works(&mut *transaction, soon);
    let before = desk.control().activity();

    let mut watch = ReaderWatch::new(desk.choice(), Arc::clone(&desk.clock));
    for _ in 0..2 {
        watch.next_event(soon).expect("the reader and its card are there already");
    }
    let more = watch.next_event(desk.clock.deadline_in(Duration::from_millis(900)));
    assert!(more.is_err(), "{more:?}");
    desk.reader().wait_for_card(soon).expect("a card");

    let after = desk.control().activity();
    assert_eq!((after.apdus, after.resets, after.power_ons), (before.apdus, before.resets, before.power_ons));
    assert!(transaction.transmit(&select_pin_file(), soon).expect("an answer").status.is_ok());
}

fn two_readers_are_watched_at_once(pcscd: &Arc<PrivatePcscd>) {
    let (mut one, mut two) = (Desk::empty(pcscd, CardProfile::jpki_2016()), Desk::empty(pcscd, announcing()));
    let soon = one.soon();
    let choice = ReaderChoice::Containing(vec![one.name().into(), two.name().into()]);
    let mut watch = ReaderWatch::new(choice, Arc::clone(&one.clock));
    let mut next = || watch.next_event(soon).expect("an event");
    let mut arrived = [next(), next()];
    arrived.sort_by_key(|event| format!("{event:?}"));
    let mut names = [one.name().to_owned(), two.name().to_owned()];
    names.sort();
    assert_eq!(arrived, names.map(|reader| ReaderEvent::ReaderArrived { reader }));

    let inserted = |desk: &Desk| ReaderEvent::CardInserted { reader: desk.name().into(), identity: desk.identity() };
    let removed = |desk: &Desk| ReaderEvent::CardRemoved { reader: desk.name().into() };
    two.insert();
    assert_eq!(next(), inserted(&two));
    one.insert();
    assert_eq!(next(), inserted(&one));
    two.remove();
    assert_eq!(next(), removed(&two));
    // Out and in again while nobody looks: both are told.
    one.remove();
    one.insert();
    assert_eq!([next(), next()], [removed(&one), inserted(&one)]);
    let error = watch.next_event(one.clock.deadline_in(Duration::from_millis(20))).expect_err("nothing more");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
}

fn the_reader_with_a_card_is_taken(pcscd: &Arc<PrivatePcscd>) {
    let (mut one, mut two) = (Desk::empty(pcscd, CardProfile::jpki_2016()), Desk::empty(pcscd, announcing()));
    let soon = one.soon();
    let choice = ReaderChoice::Containing(vec![one.name().to_lowercase(), two.name().to_lowercase()]);
    let mut reader = PcscReader::new(choice, Arc::clone(&one.clock));
    for desk in [&mut two, &mut one] {
        let (clock, name) = (Arc::clone(&desk.clock), desk.name().to_owned());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| reader.wait_for_card(clock.deadline_in(PATIENCE)));
            desk.insert();
            waiting.join().expect("no panic").expect("a card");
        });
        uses_the_card(&mut reader, soon);
        assert_eq!(reader.name(), name);
        desk.remove();
    }
    let mut absent = PcscReader::new(ReaderChoice::Named("No such reader".into()), Arc::clone(&one.clock));
    let error = absent.connect(soon).err().expect("there is none");
    assert!(matches!(error, CardError::NoReader), "{error:?}");
    let error = absent.wait_for_card(one.clock.deadline_in(Duration::from_millis(20))).expect_err("there is none");
    assert!(matches!(error, CardError::NoReader), "{error:?}");
}
