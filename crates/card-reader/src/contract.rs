//! The contract suite: what every backend of [`CardReader`] must do, and what it must refuse.
//!
//! A backend's tests make a [`Bench`], a reader with a card in it, and instantiate the suite with one line:
//!
//! ```text
//! card_reader::contract_tests!(make_bench);
//! ```
//!
//! Each case gets a bench of its own. The card is any card with 公的個人認証AP (`jpki::card`), issued or not: the suite
//! selects applications and files, and tries no PIN.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a case fails by panicking")]

use std::path::Path;
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use jiff::Timestamp;
use jpki::card::{AID_JPKI, fid};
use madoguchi_time::{Deadline, Recovery, SharedClock, VirtualClock};

use crate::trace::{Completeness, Move, RecordingReader, ReplayMonitor, ReplayReader, Trace, TraceMonitor};
use crate::{CardConnection, CardError, CardReader, CardTransaction, Disposition, exchange};

/// A reader with a card in it, and somebody who moves the card.
pub struct Bench {
    /// The reader under test. The card is in it and has no power yet, or none of its state.
    pub reader: Box<dyn CardReader>,
    /// Who moves the card.
    pub hand: Box<dyn Hand>,
    /// The clock that the reader goes by.
    pub clock: SharedClock,
}

/// Moves the card. A method returns when the reader can know.
pub trait Hand {
    /// Takes the card out.
    fn remove(&mut self);

    /// Puts it back.
    fn insert(&mut self);

    /// Resets it behind the program's back: another program did, or power failed for a moment.
    fn reset(&mut self);

    /// Can it be reset while a transaction is under way? Where a service keeps every other program away until the
    /// transaction ends, it can't, and the case for it says nothing.
    fn can_reset_within_a_transaction(&self) -> bool {
        true
    }
}

/// Instantiates the suite: a module `contract` with one test for each case. The argument is a function or closure
/// without parameters that makes a [`contract::Bench`](crate::contract::Bench).
#[macro_export]
macro_rules! contract_tests {
    ($bench:expr) => {
        $crate::__contract_cases!(@tests $bench);
    };
}

/// Runs a case on a bench and records it, then runs it again on what was recorded: every backend whose traces can be replayed passes.
///
/// The trace is written to a new file at `path`, as on the command line: what is not on the list of what may be shown is hidden.
pub fn replay(case: fn(Bench), bench: Bench, path: &Path) {
    let reader = RecordingReader::create(bench.reader, path, bench.clock.clone()).expect("a new file");
    let can_reset_within_a_transaction = bench.hand.can_reset_within_a_transaction();
    let hand = RecordedHand { monitor: reader.monitor(), hand: bench.hand };
    case(Bench { reader: Box::new(reader), hand: Box::new(hand), clock: bench.clock });

    let trace = Trace::read(path).expect("what was written can be read");
    assert_eq!(trace.completeness, Completeness::Complete);
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let reader = ReplayReader::new(trace, clock.clone());
    let monitor = reader.monitor();
    let hand = ReplayedHand { monitor: monitor.clone(), can_reset_within_a_transaction };
    case(Bench { reader: Box::new(reader), hand: Box::new(hand), clock });
    monitor.finish().expect("all that was recorded has come to pass");
}

/// A hand that writes down what it does.
struct RecordedHand {
    monitor: TraceMonitor,
    hand: Box<dyn Hand>,
}

impl Hand for RecordedHand {
    fn remove(&mut self) {
        self.hand.remove();
        self.monitor.hand(Move::Removed);
    }

    fn insert(&mut self) {
        self.hand.insert();
        self.monitor.hand(Move::Inserted);
    }

    fn reset(&mut self) {
        self.hand.reset();
        self.monitor.hand(Move::Reset);
    }

    fn can_reset_within_a_transaction(&self) -> bool {
        self.hand.can_reset_within_a_transaction()
    }
}

/// A hand that does what was written down.
struct ReplayedHand {
    monitor: ReplayMonitor,
    can_reset_within_a_transaction: bool,
}

impl Hand for ReplayedHand {
    fn remove(&mut self) {
        self.monitor.hand(Move::Removed);
    }

    fn insert(&mut self) {
        self.monitor.hand(Move::Inserted);
    }

    fn reset(&mut self) {
        self.monitor.hand(Move::Reset);
    }

    fn can_reset_within_a_transaction(&self) -> bool {
        self.can_reset_within_a_transaction
    }
}

/// A case of the suite.
pub type Case = (&'static str, fn(Bench));

macro_rules! cases {
    ($d:tt $($(#[$doc:meta])* $name:ident;)*) => {
        /// All cases, by name.
        pub const CASES: &[Case] = &[$((stringify!($name), $name)),*];

        #[doc(hidden)]
        #[macro_export]
        macro_rules! __contract_cases {
            (@tests $d bench:expr) => {
                mod contract {
                    #[allow(unused_imports, reason = "a closure needs nothing from outside")]
                    use super::*;

                    $(#[test] fn $name() { $crate::contract::$name(($d bench)()); })*
                }
            };
        }
    };
}

cases! { $
    a_present_card_is_opened;
    without_a_card_waiting_times_out_and_connecting_fails;
    the_identity_is_stable;
    refusals_are_answers;
    leaving_keeps_the_state;
    dropping_a_transaction_keeps_the_state;
    reset_clears_the_state;
    power_off_clears_the_state;
    a_reset_between_transactions_is_noticed;
    a_reset_within_a_transaction_is_noticed;
    a_removal_is_noticed;
    a_card_that_came_back_is_another_connection;
    after_the_deadline_nothing_is_sent;
    the_longest_command_passes;
    a_longer_command_is_refused_unsent;
    exchange_carries_long_commands;
}

/// A card that is there is waited for no longer, powers up, and is the card of this system.
pub fn a_present_card_is_opened(mut bench: Bench) {
    assert!(!bench.reader.name().is_empty());
    let deadline = bench.soon();
    bench.reader.wait_for_card(deadline).expect("there is a card");
    let mut connection = bench.reader.connect(deadline).expect("there is a card");
    let atr = &connection.identity().atr;
    assert!((2..=33).contains(&atr.len()), "ISO/IEC 7816-3 §8.1: {atr:02X?}");
    assert!(matches!(atr[0], 0x3B | 0x3F), "ISO/IEC 7816-3 §8.1: {atr:02X?}");
    let capabilities = connection.capabilities();
    assert!(capabilities.max_command >= 261, "a whole short command passes: {capabilities:?}");

    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(!transaction.was_reset());
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    assert!(has_state(&mut *transaction, deadline));
    transaction.end(Disposition::Leave).expect("the card is there");
}

/// No card: waiting ends at the deadline, connecting says so at once, and a person can help.
pub fn without_a_card_waiting_times_out_and_connecting_fails(mut bench: Bench) {
    bench.hand.remove();
    let deadline = bench.clock.deadline_in(Duration::from_millis(50));
    let waited = bench.reader.wait_for_card(deadline);
    assert!(matches!(waited, Err(CardError::Timeout)), "{waited:?}");
    assert!(deadline.has_passed(&*bench.clock), "the deadline is waited for");
    let deadline = bench.soon();
    let error = bench.reader.connect(deadline).err().expect("there is no card");
    assert!(matches!(error, CardError::NoCard), "{error:?}");
    assert_eq!(error.recovery(), Recovery::AskPerson);

    bench.hand.insert();
    let deadline = bench.soon();
    bench.reader.wait_for_card(deadline).expect("the card is back");
}

/// The same card says the same of itself, however often it is opened.
pub fn the_identity_is_stable(mut bench: Bench) {
    let deadline = bench.soon();
    let first = bench.open(deadline).identity().clone();
    assert_eq!(*bench.open(deadline).identity(), first);
    bench.hand.remove();
    bench.hand.insert();
    let deadline = bench.soon();
    assert_eq!(*bench.open(deadline).identity(), first);
}

/// What the card refuses arrives as a status word: an unknown instruction, an unknown class, an unknown application.
pub fn refusals_are_answers(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    for refused in [
        CommandApdu::new(0x00, 0xFE, 0x00, 0x00),
        CommandApdu::new(0x7C, 0xA4, 0x04, 0x0C).with_data([0x01; 5]),
        CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data([0xF0, 0x53, 0x49, 0x4D, 0x2D, 0x3F]),
    ] {
        let answer = transaction.transmit(&refused, deadline).expect("a refusal is an answer");
        assert!(!answer.status.is_ok(), "{refused} was accepted");
        assert!(answer.data.is_empty(), "{refused} got {answer}");
    }
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
}

/// [`Disposition::Leave`]: the next transaction goes on where this one ended.
pub fn leaving_keeps_the_state(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    transaction.end(Disposition::Leave).expect("the card is there");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(!transaction.was_reset());
    assert!(has_state(&mut *transaction, deadline));
}

/// Dropping a transaction is leaving the card as it is.
pub fn dropping_a_transaction_keeps_the_state(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    drop(transaction);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(has_state(&mut *transaction, deadline));
}

/// [`Disposition::Reset`]: the selected application is gone; the card can be used at once.
pub fn reset_clears_the_state(bench: Bench) {
    ending_clears_the_state(bench, Disposition::Reset);
}

/// [`Disposition::PowerOff`]: the same.
pub fn power_off_clears_the_state(bench: Bench) {
    ending_clears_the_state(bench, Disposition::PowerOff);
}

fn ending_clears_the_state(mut bench: Bench, how: Disposition) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    transaction.end(how).expect("the card is there");
    drop(connection);
    bench.finds_a_card_without_state();
}

/// A reset behind the program's back, between two transactions: the second does not begin; a new connection finds the card
/// without its state.
pub fn a_reset_between_transactions_is_noticed(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.reader.connect(deadline).expect("there is a card");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    transaction.end(Disposition::Leave).expect("the card is there");

    bench.hand.reset();
    for _ in 0..2 {
        let error = connection.begin(deadline).err().expect("the card was reset");
        assert_eq!(error.recovery(), Recovery::Reconnect, "{error:?}");
    }
    drop(connection);
    bench.finds_a_card_without_state();
}

/// A reset behind the program's back, within a transaction: nothing more is performed in it, and it says why; a new
/// connection finds the card without its state.
pub fn a_reset_within_a_transaction_is_noticed(mut bench: Bench) {
    if !bench.hand.can_reset_within_a_transaction() {
        return;
    }
    let deadline = bench.soon();
    let mut connection = bench.reader.connect(deadline).expect("there is a card");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    assert!(!transaction.was_reset());

    bench.hand.reset();
    let error = transaction.transmit(&select_pin_file(), deadline).expect_err("the card was reset");
    assert_eq!(error.recovery(), Recovery::Reconnect, "{error:?}");
    assert!(transaction.was_reset());
    let again = transaction.transmit(&select_pin_file(), deadline).expect_err("the transaction is over");
    assert_eq!(again.recovery(), Recovery::Reconnect, "{again:?}");
    // Whether it can still be ended in order is the backend's business; the caller goes on either way.
    let _ = transaction.end(Disposition::Leave);
    drop(connection);
    bench.finds_a_card_without_state();
}

/// A removal: nothing more is performed, and there is no card to connect to. Back in the reader, it is usable again.
pub fn a_removal_is_noticed(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.reader.connect(deadline).expect("there is a card");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());

    bench.hand.remove();
    for _ in 0..2 {
        let error = transaction.transmit(&select_pin_file(), deadline).expect_err("the card is gone");
        assert!(matches!(error, CardError::Removed), "{error:?}");
        assert_eq!(error.recovery(), Recovery::Reconnect);
    }
    let _ = transaction.end(Disposition::Reset);
    let begun = connection.begin(deadline).err().expect("the card is gone");
    assert!(matches!(begun, CardError::Removed), "{begun:?}");
    drop(connection);
    let connected = bench.reader.connect(deadline).err().expect("the card is gone");
    assert!(matches!(connected, CardError::NoCard), "{connected:?}");

    bench.hand.insert();
    let deadline = bench.soon();
    bench.reader.wait_for_card(deadline).expect("the card is back");
    bench.finds_a_card_without_state();
}

/// A card that was out for a moment may be another one: the connection to it does not revive.
pub fn a_card_that_came_back_is_another_connection(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.reader.connect(deadline).expect("there is a card");
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());

    bench.hand.remove();
    bench.hand.insert();
    let error = transaction.transmit(&select_pin_file(), deadline).expect_err("the card was out");
    assert_eq!(error.recovery(), Recovery::Reconnect, "{error:?}");
    assert!(transaction.was_reset());
    let _ = transaction.end(Disposition::Leave);
    let error = connection.begin(deadline).err().expect("the card was out");
    assert_eq!(error.recovery(), Recovery::Reconnect, "{error:?}");
    drop(connection);
    bench.finds_a_card_without_state();
}

/// A command whose deadline has passed is not sent.
pub fn after_the_deadline_nothing_is_sent(mut bench: Bench) {
    let deadline = bench.soon();
    let passed = Deadline::at(bench.clock.now());
    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI);
    let error = transaction.transmit(&select, passed).expect_err("the deadline has passed");
    assert!(matches!(error, CardError::Timeout), "{error:?}");
    let _ = transaction.end(Disposition::Leave);
    drop(connection);

    let mut connection = bench.open(deadline);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(!has_state(&mut *transaction, deadline), "the application was selected after the deadline");
}

/// A command of exactly the length that the capabilities promise reaches the card, and with it one of every short length.
pub fn the_longest_command_passes(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let longest = longest_data(&*connection);
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    for length in (0..=255).chain([longest]) {
        let command = CommandApdu::new(0x00, 0xFE, 0x00, 0x00).with_data(vec![0xA5; length]);
        let answer = transaction.transmit(&command, deadline).expect("as promised");
        assert!(!answer.status.is_ok());
    }
}

/// One byte more is refused before it is sent, and the transaction goes on.
pub fn a_longer_command_is_refused_unsent(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let too_long = longest_data(&*connection) + 1;
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    assert!(select_application(&mut *transaction, deadline).status.is_ok());
    let command = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(vec![0xA5; too_long]);
    let error = transaction.transmit(&command, deadline).expect_err("too long");
    assert!(matches!(error, CardError::TooLong { length, max } if length > max), "{error:?}");
    assert!(!transaction.was_reset());
    assert!(has_state(&mut *transaction, deadline));
}

/// [`exchange`] carries commands of any length, in whatever pieces, and gets the card's status word.
pub fn exchange_carries_long_commands(mut bench: Bench) {
    let deadline = bench.soon();
    let mut connection = bench.open(deadline);
    let capabilities = connection.capabilities();
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    for length in [1, 255, 256, 1_000, 3_000] {
        let command = CommandApdu::new(0x00, 0xFE, 0x00, 0x00).with_data(vec![0xA5; length]).with_le(65_536);
        let answer = exchange(&mut *transaction, capabilities, &command, deadline).expect("an answer");
        assert!(!answer.status.is_ok(), "{command}");
    }
    let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI);
    let answer = exchange(&mut *transaction, capabilities, &select, deadline).expect("an answer");
    assert!(answer.status.is_ok(), "{answer}");
}

impl Bench {
    /// Long enough for a whole case with any card and reader: 64 KiB at 106 kbit/s alone take 5 s.
    fn soon(&self) -> Deadline {
        self.clock.deadline_in(Duration::from_secs(60))
    }

    fn open(&mut self, deadline: Deadline) -> Box<dyn CardConnection + '_> {
        self.reader.wait_for_card(deadline).expect("there is a card");
        self.reader.connect(deadline).expect("there is a card")
    }

    fn finds_a_card_without_state(&mut self) {
        let deadline = self.soon();
        let mut connection = self.open(deadline);
        let mut transaction = connection.begin(deadline).expect("nobody else is there");
        assert!(!transaction.was_reset());
        assert!(!has_state(&mut *transaction, deadline), "the card still has its state");
        assert!(select_application(&mut *transaction, deadline).status.is_ok());
        assert!(has_state(&mut *transaction, deadline));
        transaction.end(Disposition::Leave).expect("the card is there");
    }
}

fn select_application(transaction: &mut dyn CardTransaction, deadline: Deadline) -> ResponseApdu {
    let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI);
    transaction.transmit(&select, deadline).expect("the card answers")
}

/// Is 公的個人認証AP selected? Only then is there such a file.
fn has_state(transaction: &mut dyn CardTransaction, deadline: Deadline) -> bool {
    transaction.transmit(&select_pin_file(), deadline).expect("the card answers").status.is_ok()
}

fn select_pin_file() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(fid::AUTH_PIN.to_be_bytes())
}

/// The longest data field that passes in one command without Le (ISO/IEC 7816-4 §5.1).
fn longest_data(connection: &dyn CardConnection) -> usize {
    let capabilities = connection.capabilities();
    let extended = capabilities.max_command.saturating_sub(4 + 3).min(0xFFFF);
    if capabilities.extended_length && extended > 0xFF { extended } else { 0xFF }
}
