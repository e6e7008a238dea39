//! Commands of any length and whole answers over a scripted line.

use std::collections::VecDeque;
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, CountingReader,
    Disposition, Traffic, exchange,
};
use madoguchi_time::{Deadline, Moment};
use proptest::collection::vec;
use proptest::prelude::*;

const EXTENDED: CardCapabilities = CardCapabilities { extended_length: true, max_command: 65_535 };
const SHORT: CardCapabilities = CardCapabilities { extended_length: false, max_command: 261 };

fn deadline() -> Deadline {
    Deadline::at(Moment::since_start(Duration::from_secs(1)))
}

/// Answers in the order of the script, then `6F00`; remembers what was sent. Refuses what the line can't carry.
struct Line {
    capabilities: CardCapabilities,
    answers: VecDeque<Result<ResponseApdu, CardError>>,
    sent: Vec<Vec<u8>>,
}

impl Line {
    fn new(capabilities: CardCapabilities, answers: impl IntoIterator<Item = ResponseApdu>) -> Self {
        Self { capabilities, answers: answers.into_iter().map(Ok).collect(), sent: Vec::new() }
    }

    fn exchange(&mut self, command: &CommandApdu) -> Result<ResponseApdu, CardError> {
        let capabilities = self.capabilities;
        exchange(self, capabilities, command, deadline())
    }
}

impl CardTransaction for Line {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        assert_eq!(deadline, self::deadline());
        self.sent.push(self.capabilities.encode(command)?.to_vec());
        self.answers.pop_front().unwrap_or(Ok(StatusWord::NO_PRECISE_DIAGNOSIS.into()))
    }

    fn was_reset(&self) -> bool {
        false
    }

    fn end(self: Box<Self>, _how: Disposition) -> Result<(), CardError> {
        Ok(())
    }
}

fn answer(data: &[u8], status: u16) -> ResponseApdu {
    ResponseApdu::new(data, StatusWord(status))
}

fn write(length: usize) -> CommandApdu {
    CommandApdu::new(0x84, 0x1C, 0x01, 0x00).with_data((0..length).map(|i| i as u8).collect::<Vec<_>>()).with_le(256)
}

#[test]
fn a_command_that_fits_goes_in_one_piece() {
    for (capabilities, length) in [(SHORT, 0), (SHORT, 255), (EXTENDED, 255), (EXTENDED, 256), (EXTENDED, 4_000)] {
        let mut line = Line::new(capabilities, [answer(b"done", 0x9000)]);
        let command = write(length);
        assert_eq!(line.exchange(&command).expect("an answer"), answer(b"done", 0x9000));
        assert_eq!(line.sent, [command.to_bytes(command.encoding()).expect("encodes").to_vec()]);
    }
}

#[test]
fn a_longer_command_goes_as_a_chain() {
    let narrow = CardCapabilities { extended_length: true, max_command: 300 };
    let tiny = CardCapabilities { extended_length: false, max_command: 16 };
    for (capabilities, block) in [(SHORT, 255), (narrow, 255), (tiny, 10)] {
        let command = write(1_000);
        let parts = command.chain(block);
        let mut line = Line::new(capabilities, vec![answer(&[], 0x9000); parts.len()]);
        assert_eq!(line.exchange(&command).expect("an answer"), answer(&[], 0x9000));
        let expected: Vec<Vec<u8>> =
            parts.iter().map(|part| part.to_bytes(part.encoding()).expect("encodes").to_vec()).collect();
        assert_eq!(line.sent, expected);
        assert_eq!(line.sent.len(), 1_000_usize.div_ceil(block));
    }
}

#[test]
fn a_chain_ends_where_the_card_refuses() {
    for refused in 0..3 {
        let mut answers = vec![answer(&[], 0x9000); refused];
        answers.push(answer(&[], 0x6884));
        let mut line = Line::new(SHORT, answers);
        assert_eq!(line.exchange(&write(1_000)).expect("an answer"), answer(&[], 0x6884));
        assert_eq!(line.sent.len(), refused + 1);
    }
}

#[test]
fn the_expected_length_is_lowered_to_what_the_line_can_ask_for() {
    for (capabilities, le) in [(SHORT, &[0x00][..]), (EXTENDED, &[0x00, 0x10, 0x00])] {
        let mut line = Line::new(capabilities, [answer(&[], 0x9000)]);
        line.exchange(&CommandApdu::new(0x00, 0xB0, 0x00, 0x00).with_le(4_096)).expect("an answer");
        assert_eq!(line.sent, [[&[0x00, 0xB0, 0x00, 0x00], le].concat()]);
    }
    let error = Line::new(SHORT, []).exchange(&CommandApdu::new(0x00, 0xB0, 0x00, 0x00).with_le(0));
    assert!(matches!(error, Err(CardError::Unencodable(_))), "{error:?}");
}

#[test]
fn the_rest_of_an_answer_is_fetched() {
    for (cla, get_response) in [(0x00, 0x00), (0x84, 0x00), (0x81, 0x01), (0x42, 0x42), (0x65, 0x45)] {
        let script = [answer(b"one ", 0x6100), answer(b"two ", 0x6105), answer(&[], 0x6C04), answer(b"three", 0x9000)];
        let mut line = Line::new(SHORT, script);
        let command = CommandApdu::new(cla, 0xCA, 0x00, 0x66).with_le(256);
        assert_eq!(line.exchange(&command).expect("an answer"), answer(b"one two three", 0x9000));
        let fetch = |le: u8| vec![get_response, 0xC0, 0x00, 0x00, le];
        assert_eq!(line.sent[1..], [fetch(0x00), fetch(0x05), fetch(0x04)]);
    }
}

#[test]
fn the_status_word_behind_the_rest_counts() {
    for (status, whole) in [(0x9000, true), (0x6282, true), (0x63C1, true), (0x6F00, false), (0x6982, false)] {
        let mut line = Line::new(SHORT, [answer(b"one", 0x6103), answer(b"two", status)]);
        let expected = if whole { answer(b"onetwo", status) } else { answer(&[], status) };
        assert_eq!(line.exchange(&write(1)).expect("an answer"), expected);
    }
}

#[test]
fn a_wrong_expected_length_is_corrected_once() {
    let mut line = Line::new(SHORT, [answer(&[], 0x6C20), answer(b"data", 0x9000)]);
    assert_eq!(line.exchange(&CommandApdu::new(0x00, 0xB0, 0, 0).with_le(256)).expect("data"), answer(b"data", 0x9000));
    assert_eq!(line.sent, [[0x00, 0xB0, 0, 0, 0x00], [0x00, 0xB0, 0, 0, 0x20]]);

    let mut line = Line::new(SHORT, [answer(&[], 0x6C20), answer(&[], 0x6C21)]);
    assert_eq!(line.exchange(&CommandApdu::new(0x00, 0xB0, 0, 0)).expect("an answer"), answer(&[], 0x6C21));
    assert_eq!(line.sent.len(), 2);
}

#[test]
fn a_command_with_data_is_never_sent_twice() {
    let verify = CommandApdu::new(0x00, 0x20, 0x00, 0x80).with_data(*b"1234");
    for command in [verify.clone(), verify.with_le(256), write(1_000)] {
        let parts = command.data().len().div_ceil(255);
        let mut line = Line::new(SHORT, vec![answer(&[], 0x9000); parts - 1]);
        line.answers.push_back(Ok(answer(&[], 0x6CFF)));
        assert_eq!(line.exchange(&command).expect("an answer"), answer(&[], 0x6CFF));
        assert_eq!(line.sent.len(), parts);
    }
}

#[test]
fn an_answer_without_end_is_garbled() {
    let mut nothing_comes = Line::new(SHORT, [answer(&[], 0x6110), answer(&[], 0x6110)]);
    assert!(matches!(nothing_comes.exchange(&write(1)), Err(CardError::Garbled)));
    assert_eq!(nothing_comes.sent.len(), 2);

    let mut endless = Line::new(SHORT, vec![answer(&[0; 256], 0x6100); 1_000]);
    assert!(matches!(endless.exchange(&write(1)), Err(CardError::Garbled)));
    assert_eq!(endless.sent.len(), 65_536 / 256 + 1);
}

/// Whatever step fails, its error comes out and nothing more is sent.
#[test]
fn an_error_at_any_step_ends_the_exchange() {
    let script = || {
        let parts = vec![answer(&[], 0x9000); 3];
        let rest = [answer(b"one", 0x6103), answer(&[], 0x6C10), answer(b"two", 0x9000)];
        parts.into_iter().chain(rest)
    };
    let steps = script().count();
    for n in 0..=steps {
        let mut line = Line::new(SHORT, script());
        line.answers.insert(n, Err(CardError::Removed));
        let outcome = line.exchange(&write(1_000));
        if n == steps {
            assert_eq!(outcome.expect("an answer"), answer(b"onetwo", 0x9000));
            assert_eq!(line.sent.len(), steps);
        } else {
            assert!(matches!(outcome, Err(CardError::Removed)), "{n}: {outcome:?}");
            assert_eq!(line.sent.len(), n + 1);
        }
    }
}

#[test]
fn a_command_is_encoded_as_the_line_can() {
    let narrow = CardCapabilities { extended_length: true, max_command: 300 };
    let cases = [
        (SHORT, 255, None),
        (SHORT, 256, Some((263, 261))),
        (narrow, 256, None),
        (narrow, 291, None),
        (narrow, 292, Some((301, 300))),
        (EXTENDED, 65_526, None),
        (EXTENDED, 65_527, Some((65_536, 65_535))),
        (EXTENDED, 70_000, Some((70_007, 65_535))),
    ];
    for (capabilities, length, too_long) in cases {
        match (capabilities.encode(&write(length)), too_long) {
            (Ok(bytes), None) => assert_eq!(CommandApdu::parse(&bytes).as_ref(), Ok(&write(length))),
            (Err(CardError::TooLong { length, max }), Some(expected)) => assert_eq!((length, max), expected),
            (outcome, _) => panic!("{capabilities:?} {length}: {outcome:?}"),
        }
    }
}

/// A reader with nothing but a line.
struct LineReader(Option<Line>);

impl CardReader for LineReader {
    fn name(&self) -> &str {
        "SIM-LINE"
    }

    fn wait_for_card(&mut self, _deadline: Deadline) -> Result<(), CardError> {
        Ok(())
    }

    fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        Ok(Box::new(LineConnection(self, CardIdentity { atr: vec![0x3B, 0x00] })))
    }
}

struct LineConnection<'a>(&'a mut LineReader, CardIdentity);

impl CardConnection for LineConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.1
    }

    fn capabilities(&self) -> CardCapabilities {
        SHORT
    }

    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        Ok(Box::new(self.0.0.take().ok_or(CardError::Busy)?))
    }
}

#[test]
fn a_counting_reader_counts_what_was_answered() {
    let mut line = Line::new(SHORT, [answer(&[], 0x9000), answer(b"one", 0x6103), answer(b"two", 0x9000)]);
    line.answers.push_back(Err(CardError::Removed));
    let mut reader = CountingReader::new(LineReader(Some(line)));
    let meter = reader.meter();
    assert_eq!(meter.read(), Traffic::default());
    let mut connection = reader.connect(deadline()).expect("connects");
    let mut transaction = connection.begin(deadline()).expect("begins");
    exchange(&mut *transaction, SHORT, &write(256), deadline()).expect("an answer");
    let counted = Traffic { apdus: 3, bytes_out: (5 + 255) + (5 + 1 + 1) + 5, bytes_in: 2 + 5 + 5 };
    assert_eq!(meter.read(), counted);
    exchange(&mut *transaction, SHORT, &write(1), deadline()).expect_err("removed");
    assert_eq!(meter.read() - counted, Traffic::default());
}

proptest! {
    #[test]
    fn every_script_comes_to_an_end(
        answers in vec((vec(any::<u8>(), 0..8), prop_oneof![Just(0x61u8), Just(0x6C), Just(0x90)], any::<u8>()), 0..12),
        length in 0usize..600,
        extended in any::<bool>(),
    ) {
        let script = answers.iter().map(|(data, sw1, sw2)| answer(data, u16::from_be_bytes([*sw1, *sw2])));
        let mut line = Line::new(if extended { EXTENDED } else { SHORT }, script);
        // A correction leads to one repetition, and what is fetched never exceeds what the card gave.
        if let Ok(whole) = line.exchange(&write(length)) {
            let given: usize = answers.iter().map(|(data, ..)| data.len()).sum();
            prop_assert!(whole.data.len() <= given);
        }
        prop_assert!(line.sent.len() <= 2 * (answers.len() + 4));
    }
}
