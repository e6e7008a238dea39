//! The reader port over simulated cards, and its faults.

use std::time::Duration;

use apdu::{CommandApdu, StatusWord};
use card_reader::{CardCapabilities, CardError, CardReader, Disposition};
use jpki::card::AID_JPKI;
use madoguchi_time::{Clock, VirtualClock};
use sim_card::nvm::Tear;
use sim_card::{Card, CardProfile, Fault, LinkTime, SimReader, SimReaderControl, When};
use std::sync::Arc;

use crate::terminal::{POOL, personalisation};

fn bench() -> (SimReader, SimReaderControl, Arc<VirtualClock>) {
    let clock = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
    let reader = SimReader::new("counter 1", clock.clone());
    let control = reader.control();
    assert!(control.insert(card(&clock)).is_none());
    (reader, control, clock)
}

fn card(clock: &Arc<VirtualClock>) -> Card {
    let nvm = personalisation(CardProfile::jpki_2016()).into_memory().unwrap();
    Card::power_on(nvm, clock.clone(), POOL.clone()).unwrap()
}

fn select() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI)
}

fn select_token_info() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data([0x00, 0x06])
}

/// Three commands in one transaction: how many were answered, and why the next was not.
fn run(reader: &mut SimReader, clock: &VirtualClock) -> (usize, Option<CardError>) {
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let mut answered = 0;
    let mut work = || -> Result<(), CardError> {
        reader.wait_for_card(deadline)?;
        let mut connection = reader.connect(deadline)?;
        let mut transaction = connection.begin(deadline)?;
        for command in [select(), select_token_info(), CommandApdu::new(0x00, 0xB0, 0, 0).with_le(256)] {
            transaction.transmit(&command, deadline)?;
            answered += 1;
        }
        transaction.end(Disposition::Leave)
    };
    let error = work().err();
    (answered, error)
}

#[test]
fn it_says_that_it_is_a_simulator() {
    let (mut reader, control, clock) = bench();
    assert_eq!(reader.name(), "SIM-counter 1");
    assert!(matches!(run(&mut reader, &clock), (3, None)));
    assert_eq!(control.apdus(), 3);
    assert!(clock.elapsed() >= 3 * LinkTime::KBITS_106.per_exchange);
}

#[test]
fn every_fault_at_every_apdu() {
    for when in When::BOTH {
        for (fault, is_right) in [
            (Fault::Remove(when), (|e| matches!(e, CardError::Removed)) as fn(&CardError) -> bool),
            (Fault::Reset(when), |e| matches!(e, CardError::Reset)),
            (Fault::Stall(when), |e| matches!(e, CardError::Timeout)),
            (Fault::Garble, |e| matches!(e, CardError::Garbled)),
        ] {
            for n in 1.. {
                let (mut reader, control, clock) = bench();
                control.arm(n, fault);
                let (answered, error) = run(&mut reader, &clock);
                if control.armed() == 1 {
                    assert!(error.is_none() && n == 4);
                    break;
                }
                assert_eq!(answered as u64, n - 1);
                assert!(error.as_ref().is_some_and(is_right), "{fault:?} at {n}: {error:?}");
                control.reinsert();
                assert!(matches!(run(&mut reader, &clock), (3, None)), "and the card still works");
            }
        }
    }
}

#[test]
fn a_lost_command_was_performed_or_was_not() {
    for (when, tries) in [(When::BeforeExecution, 0x63C3), (When::AfterExecution, 0x63C2)] {
        let (mut reader, control, clock) = bench();
        let deadline = clock.deadline_in(Duration::from_secs(10));
        control.remove_after(3, when);
        let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(jpki::card::AID_FACE_INPUT);
        let ask = CommandApdu::new(0x00, 0x20, 0x00, 0x91);
        let mut ends = Vec::new();
        for commands in [[&select, &ask, &ask.clone().with_data(*b"0000")], [&select, &ask, &ask]] {
            let mut connection = reader.connect(deadline).unwrap();
            let mut transaction = connection.begin(deadline).unwrap();
            for command in commands {
                ends.push(transaction.transmit(command, deadline).map_or(0, |answer| answer.status.0));
            }
            drop(transaction);
            drop(connection);
            control.reinsert();
        }
        assert_eq!(ends, [0x9000, 0x63C3, 0, 0x9000, tries, tries]);
    }
}

#[test]
fn a_card_that_comes_back_is_another_card_until_it_is_opened_anew() {
    let (mut reader, control, clock) = bench();
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let mut connection = reader.connect(deadline).unwrap();
    let mut transaction = connection.begin(deadline).unwrap();
    transaction.transmit(&select(), deadline).unwrap();
    assert!(!transaction.was_reset());
    let card = control.remove().unwrap();
    assert!(matches!(transaction.transmit(&select(), deadline), Err(CardError::Removed)));
    control.insert(card);
    assert!(transaction.was_reset());
    assert!(matches!(transaction.transmit(&select(), deadline), Err(CardError::Removed)));
    transaction.end(Disposition::Reset).unwrap();
    assert!(matches!(connection.begin(deadline), Err(CardError::Removed)));
    drop(connection);
    let mut connection = reader.connect(deadline).unwrap();
    let mut transaction = connection.begin(deadline).unwrap();
    let answer = transaction.transmit(&select_token_info(), deadline).unwrap();
    assert_eq!(answer.status.0, 0x6A82, "nothing is selected any more");
    control.reset();
    assert!(transaction.was_reset());
    assert!(matches!(transaction.transmit(&select(), deadline), Err(CardError::Reset)));
}

#[test]
fn how_a_card_is_left() {
    for (how, expected) in
        [(Disposition::Leave, Some(0x9000)), (Disposition::Reset, Some(0x6A82)), (Disposition::PowerOff, None)]
    {
        let (mut reader, _control, clock) = bench();
        let deadline = clock.deadline_in(Duration::from_secs(10));
        let mut connection = reader.connect(deadline).unwrap();
        let mut transaction = connection.begin(deadline).unwrap();
        transaction.transmit(&select(), deadline).unwrap();
        transaction.end(how).unwrap();
        let status = connection
            .begin(deadline)
            .ok()
            .map(|mut transaction| transaction.transmit(&select_token_info(), deadline).unwrap().status.0);
        assert_eq!(status, expected);
        drop(connection);
        assert!(reader.connect(deadline).is_ok());
    }
}

#[test]
fn busy_absent_late_and_too_long() {
    let (mut reader, control, clock) = bench();
    control.busy(2);
    for _ in 0..2 {
        assert!(matches!(run(&mut reader, &clock), (0, Some(CardError::Busy))));
    }
    assert!(matches!(run(&mut reader, &clock), (3, None)));

    control.status_word(2, 0x6F00);
    control.corrupt(3);
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let mut connection = reader.connect(deadline).unwrap();
    let mut transaction = connection.begin(deadline).unwrap();
    transaction.transmit(&select(), deadline).unwrap();
    assert_eq!(transaction.transmit(&select_token_info(), deadline).unwrap().status, StatusWord(0x6F00));
    let answer = transaction.transmit(&select(), deadline).unwrap();
    assert_eq!(answer.status.0, 0x9010, "one bit is wrong");
    clock.advance(Duration::from_secs(10));
    assert!(matches!(transaction.transmit(&select(), deadline), Err(CardError::Timeout)));
    drop(transaction);
    drop(connection);

    let card = control.remove().unwrap();
    let before = clock.elapsed();
    assert!(matches!(run(&mut reader, &clock), (0, Some(CardError::Timeout))));
    assert_eq!(clock.elapsed() - before, Duration::from_secs(10), "it waited");
    assert!(matches!(reader.connect(deadline), Err(CardError::NoCard)));
    control.insert(card);

    let capabilities = CardCapabilities { extended_length: false, max_command: 261 };
    let mut reader = reader.with_capabilities(capabilities);
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let mut connection = reader.connect(deadline).unwrap();
    let mut transaction = connection.begin(deadline).unwrap();
    let long = CommandApdu::new(0x00, 0x20, 0x00, 0x80).with_data([0; 256]);
    assert!(matches!(transaction.transmit(&long, deadline), Err(CardError::TooLong { max: 261, .. })));
}

#[test]
fn a_card_that_lost_its_power_has_gone_until_it_comes_back() {
    let (mut reader, control, clock) = bench();
    control.return_when_awaited(true);
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let switch = control.with_card(|card| card.power_switch()).unwrap();
    switch.cut_at_write(1, Tear::Garbled);
    let mut connection = reader.connect(deadline).unwrap();
    let mut transaction = connection.begin(deadline).unwrap();
    transaction.transmit(&select(), deadline).unwrap();
    let initialize_update = CommandApdu::new(0x80, 0x50, 0, 0).with_data([0; 8]).with_le(256);
    assert!(matches!(transaction.transmit(&initialize_update, deadline), Err(CardError::Removed)));
    drop(transaction);
    drop(connection);
    assert!(!control.has_card());
    assert!(matches!(run(&mut reader, &clock), (3, None)));
}

#[test]
fn reading_a_kilobyte_takes_the_published_time() {
    for (kbits, milliseconds) in [(106, 130), (212, 80), (424, 52), (848, 43)] {
        let link = LinkTime { bits_per_second: kbits * 1000, ..LinkTime::KBITS_106 };
        let time = 4 * link.of(256 + 7);
        let published = Duration::from_millis(milliseconds);
        let difference = time.abs_diff(published).as_secs_f64() / published.as_secs_f64();
        assert!(difference < 0.08, "{kbits} kbit/s: {time:?}");
    }
}

/// The suite that every reader has to pass, with and without extended length.
mod suite {
    use super::*;

    struct Hand {
        control: SimReaderControl,
        card: Option<Card>,
    }

    impl card_reader::contract::Hand for Hand {
        fn remove(&mut self) {
            self.card = self.control.remove();
        }

        fn insert(&mut self) {
            if let Some(card) = self.card.take() {
                self.control.insert(card);
            }
        }

        fn reset(&mut self) {
            self.control.reset();
        }
    }

    fn bench_with(capabilities: CardCapabilities) -> card_reader::contract::Bench {
        let (reader, control, clock) = bench();
        // Without the time of the line: the suite's longest commands would take it more time than it gives.
        let reader = reader.with_link(None).with_capabilities(capabilities);
        card_reader::contract::Bench { reader: Box::new(reader), hand: Box::new(Hand { control, card: None }), clock }
    }

    mod extended {
        fn bench() -> card_reader::contract::Bench {
            super::bench_with(super::CardCapabilities { extended_length: true, max_command: 65_535 })
        }

        card_reader::contract_tests!(bench);
    }

    mod short {
        fn bench() -> card_reader::contract::Bench {
            super::bench_with(super::CardCapabilities { extended_length: false, max_command: 261 })
        }

        card_reader::contract_tests!(bench);
    }
}
