//! A command and its whole answer over a line whose card says anything: chains, `61xx`, `6Cxx`, errors. The call ends, sends
//! nothing that the line can't carry, and its answer is bounded and was said by the card.

#![no_main]

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use arbitrary::Arbitrary;
use card_reader::{CardCapabilities, CardError, CardTransaction, Disposition, exchange};
use libfuzzer_sys::fuzz_target;
use madoguchi_time::{Deadline, Moment};

/// The longest answer that can be asked for.
const LONGEST_ANSWER: usize = 0x1_0000;

#[derive(Arbitrary, Debug)]
struct Case {
    header: [u8; 4],
    data: u16,
    le: Option<u32>,
    sensitive: bool,
    extended_length: bool,
    max_command: u32,
    answers: Vec<Answer>,
}

#[derive(Arbitrary, Clone, Debug)]
enum Answer {
    Status(u16),
    /// So many bytes, and more to come.
    More(u16, u8),
    WrongLe(u16, u8),
    Data(u16, u16),
    Lost,
}

/// A card that goes through its answers again and again.
struct Card {
    capabilities: CardCapabilities,
    answers: Vec<Answer>,
    sent: usize,
    data_sent: usize,
    said: Vec<StatusWord>,
}

impl CardTransaction for Card {
    fn transmit(&mut self, command: &CommandApdu, _deadline: Deadline) -> Result<ResponseApdu, CardError> {
        // What the line can't carry is refused, as a reader does.
        self.capabilities.encode(command)?;
        self.data_sent += command.data().len();
        let answer = self.answers.get(self.sent % self.answers.len().max(1));
        self.sent += 1;
        let (length, status) = match answer {
            None => (0, 0x9000),
            Some(Answer::Lost) => return Err(CardError::Removed),
            Some(Answer::Status(status)) => (0, *status),
            Some(Answer::More(length, more)) => (*length, 0x6100 | u16::from(*more)),
            Some(Answer::WrongLe(length, le)) => (*length, 0x6C00 | u16::from(*le)),
            Some(Answer::Data(length, status)) => (*length, *status),
        };
        self.said.push(StatusWord(status));
        Ok(ResponseApdu::new(vec![0xDA; length.into()], StatusWord(status)))
    }

    fn was_reset(&self) -> bool {
        false
    }

    fn end(self: Box<Self>, _how: Disposition) -> Result<(), CardError> {
        Ok(())
    }
}

fuzz_target!(|case: Case| {
    let capabilities = CardCapabilities {
        extended_length: case.extended_length,
        // A line carries a short command without data at least.
        max_command: 5 + case.max_command as usize % 70_000,
    };
    let [cla, ins, p1, p2] = case.header;
    let data = vec![0xA5; case.data.into()];
    let command = CommandApdu::new(cla, ins, p1, p2);
    let command =
        if case.sensitive { command.with_sensitive(zeroize::Zeroizing::new(data)) } else { command.with_data(data) };
    let command = match case.le {
        Some(le) => command.with_le(le % 70_000),
        None => command,
    };
    let length = command.data().len();
    let mut card = Card { capabilities, answers: case.answers, sent: 0, data_sent: 0, said: Vec::new() };
    let answer = exchange(&mut card, capabilities, &command, Deadline::at(Moment::since_start(Default::default())));
    // Each part carries a byte of the command, or a byte of the answer; twice, with `6Cxx`.
    assert!(card.sent <= 2 * (length + 1) + 2 * (LONGEST_ANSWER + 1), "{} commands", card.sent);
    assert!(card.data_sent <= 2 * length);
    match answer {
        Ok(answer) => {
            assert_eq!(card.said.last(), Some(&answer.status));
            // A single piece may be what it likes; pieces that were put together may not.
            assert!(answer.data.len() <= LONGEST_ANSWER || card.sent <= 2 * (length + 1));
        }
        Err(CardError::Removed | CardError::Garbled | CardError::TooLong { .. } | CardError::Unencodable(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
});
