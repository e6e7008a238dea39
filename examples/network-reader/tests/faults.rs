//! What can go wrong on the line: cards that are late, that lie, and that come and go.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use apdu::CommandApdu;
use card_reader::{CardError, CardReader, Disposition};
use madoguchi_time::{Deadline, SharedClock, SystemClock};
use network_reader::NetworkReader;

const ATR: &[u8] = &[0x3B, 0x80, 0x80, 0x01, 0x01];
const COMMAND: CommandApdu = CommandApdu::new(0x00, 0xA4, 0x00, 0x00);

/// A card in the hand of a test, which answers for it.
struct Puppet(TcpStream);

impl Puppet {
    fn insert(reader: &NetworkReader) -> Self {
        let line = TcpStream::connect(reader.address().expect("a port")).expect("the reader listens");
        line.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        Self(line)
    }

    fn says(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).expect("short");
        self.0.write_all(&[&length.to_be_bytes(), message].concat()).expect("the reader listens");
    }

    /// The next message that the reader sent.
    fn hears(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).expect("a message");
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        self.0.read_exact(&mut message).expect("a message");
        message
    }
}

fn reader() -> (NetworkReader, SharedClock) {
    let clock = SystemClock::shared();
    (NetworkReader::listen("127.0.0.1:0", clock.clone()).expect("a free port"), clock)
}

fn soon(clock: &SharedClock) -> Deadline {
    clock.deadline_in(Duration::from_secs(30))
}

fn shortly(clock: &SharedClock) -> Deadline {
    clock.deadline_in(Duration::from_millis(20))
}

/// A card that has said its ATR before it is asked: it need not run beside the test.
fn inserted(reader: &mut NetworkReader, clock: &SharedClock) -> Puppet {
    let mut card = Puppet::insert(reader);
    reader.wait_for_card(soon(clock)).expect("a card");
    card.says(ATR);
    card
}

#[test]
fn a_late_answer_is_never_taken_for_the_next_one() {
    let (mut reader, clock) = reader();
    let mut card = inserted(&mut reader, &clock);
    {
        let mut connection = reader.connect(soon(&clock)).expect("a card");
        let mut transaction = connection.begin(soon(&clock)).expect("a card");
        let late = transaction.transmit(&COMMAND, shortly(&clock));
        assert!(matches!(late, Err(CardError::Timeout)), "{late:?}");
        let stuck = transaction.transmit(&COMMAND, soon(&clock));
        assert!(matches!(stuck, Err(CardError::ReaderStuck)), "{stuck:?}");
    }
    let stuck = reader.connect(shortly(&clock)).err().expect("still stuck");
    assert!(matches!(stuck, CardError::ReaderStuck), "{stuck:?}");

    // Half of the answer comes before the reader gives up once more, half after.
    card.0.write_all(&[0x00, 0x02, 0x62]).expect("the reader listens");
    let stuck = reader.connect(shortly(&clock)).err().expect("still stuck");
    assert!(matches!(stuck, CardError::ReaderStuck), "{stuck:?}");
    // With the rest come the ATR, and an answer before anything was asked: that is none.
    let rest = [&[0x83, 0x00, ATR.len() as u8], ATR, &[0x00, 0x02, 0x90, 0x00]].concat();
    card.0.write_all(&rest).expect("the reader listens");
    let mut connection = reader.connect(soon(&clock)).expect("the answer has come");
    assert_eq!(connection.identity().atr, ATR);
    let heard: Vec<Vec<u8>> = (0..5).map(|_| card.hears()).collect();
    let command = vec![0x00, 0xA4, 0x00, 0x00];
    assert_eq!(heard, [vec![0x01], vec![0x04], command, vec![0x02], vec![0x04]], "nothing was sent twice");

    let begun = connection.begin(soon(&clock)).err().expect("the card speaks out of turn");
    assert!(matches!(begun, CardError::Garbled), "{begun:?}");
    let begun = connection.begin(soon(&clock)).err().expect("it was put out");
    assert!(matches!(begun, CardError::Removed), "{begun:?}");
}

#[test]
fn a_card_that_leaves_in_the_middle_of_an_answer_was_removed() {
    let (mut reader, clock) = reader();
    for said in [&[][..], &[0x00], &[0x00, 0x02], &[0x00, 0x02, 0x90]] {
        let mut card = inserted(&mut reader, &clock);
        let mut connection = reader.connect(soon(&clock)).expect("a card");
        let mut transaction = connection.begin(soon(&clock)).expect("a card");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while card.hears().len() == 1 {}
                card.0.write_all(said).expect("the reader listens");
                card.0.shutdown(Shutdown::Both).expect("an open line");
            });
            let answer = transaction.transmit(&COMMAND, soon(&clock));
            assert!(matches!(answer, Err(CardError::Removed)), "{answer:?}");
        });
        assert!(transaction.was_reset());
        transaction.end(Disposition::Reset).expect("a card that is gone has lost its state");
    }
}

#[test]
fn what_is_no_answer_is_garbled_and_what_is_no_atr_is_no_card_of_ours() {
    let (mut reader, clock) = reader();
    for length in [0, 1, 34, 0xFFFF] {
        let mut card = Puppet::insert(&reader);
        reader.wait_for_card(soon(&clock)).expect("a card");
        card.says(&vec![0x3B; length]);
        let error = reader.connect(soon(&clock)).err().expect("no ATR");
        assert!(matches!(error, CardError::UnsupportedCard), "{length}: {error:?}");
    }
    for answer in [&[][..], &[0x90]] {
        let mut card = inserted(&mut reader, &clock);
        let mut connection = reader.connect(soon(&clock)).expect("a card");
        let mut transaction = connection.begin(soon(&clock)).expect("a card");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while card.hears().len() == 1 {}
                card.says(answer);
            });
            let answer = transaction.transmit(&COMMAND, soon(&clock));
            assert!(matches!(answer, Err(CardError::Garbled)), "{answer:?}");
        });
    }
}

#[test]
fn one_card_at_a_time_and_one_program() {
    let (mut reader, clock) = reader();
    let address = reader.address().expect("a port");
    let second = NetworkReader::listen(address, clock.clone()).err().expect("somebody listens there");
    assert!(matches!(second, CardError::Busy), "{second:?}");

    let first = inserted(&mut reader, &clock);
    let mut next = Puppet::insert(&reader);
    next.says(&[0x3B, 0x00]);
    assert_eq!(reader.connect(soon(&clock)).expect("a card").identity().atr, ATR);
    drop(first);
    reader.wait_for_card(soon(&clock)).expect("the other card");
    assert_eq!(reader.connect(soon(&clock)).expect("a card").identity().atr, [0x3B, 0x00]);
}

#[test]
fn a_mute_card_is_told_from_an_absent_one() {
    let (mut reader, clock) = reader();
    assert!(matches!(reader.connect(soon(&clock)), Err(CardError::NoCard)));
    let _card = Puppet::insert(&reader);
    reader.wait_for_card(soon(&clock)).expect("a card");
    assert!(matches!(reader.connect(shortly(&clock)), Err(CardError::Mute)));
}
