//! The contract suite against a reader that keeps it, and against readers that each break it in one way.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::contract::{Bench, CASES, Case, Hand, replay};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, CountingReader, Disposition,
};
use jiff::Timestamp;
use madoguchi_time::{Deadline, SharedClock, VirtualClock};

const EXTENDED: CardCapabilities = CardCapabilities { extended_length: true, max_command: 2_000 };
const SHORT: CardCapabilities = CardCapabilities { extended_length: false, max_command: 65_535 };

mod with_extended_length {
    card_reader::contract_tests!(|| crate::bench(crate::EXTENDED, None));
}

mod with_short_length {
    card_reader::contract_tests!(|| crate::bench(crate::SHORT, None));
}

mod counted {
    card_reader::contract_tests!(|| {
        let bench = crate::bench(crate::EXTENDED, None);
        crate::Bench { reader: Box::new(crate::CountingReader::new(bench.reader)), ..bench }
    });
}

#[test]
fn every_case_can_be_replayed_from_its_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    for capabilities in [EXTENDED, SHORT] {
        for (name, case) in CASES {
            let path = folder.path().join(format!("{name}-{}", capabilities.extended_length));
            replay(*case, bench(capabilities, None), &path);
        }
    }
}

/// Ways of breaking the contract, each seen in a driver or easily made in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    NoName,
    ConnectsWithoutCard,
    DoesNotWait,
    SaysThereIsACard,
    ChangesIdentity,
    TurnsRefusalsIntoErrors,
    ResetsOnLeave,
    ResetsOnDrop,
    DoesNotReset,
    DoesNotPowerOff,
    HidesReset,
    HidesResetUntilAsked,
    CallsRemovalTimeout,
    RevivesConnection,
    SendsAfterDeadline,
    IgnoresDeadline,
    RefusesLongest,
    SendsTooLong,
    TruncatesTooLong,
    ResetsOnTooLong,
}

const MISTAKES: [Mistake; 20] = [
    Mistake::NoName,
    Mistake::ConnectsWithoutCard,
    Mistake::DoesNotWait,
    Mistake::SaysThereIsACard,
    Mistake::ChangesIdentity,
    Mistake::TurnsRefusalsIntoErrors,
    Mistake::ResetsOnLeave,
    Mistake::ResetsOnDrop,
    Mistake::DoesNotReset,
    Mistake::DoesNotPowerOff,
    Mistake::HidesReset,
    Mistake::HidesResetUntilAsked,
    Mistake::CallsRemovalTimeout,
    Mistake::RevivesConnection,
    Mistake::SendsAfterDeadline,
    Mistake::IgnoresDeadline,
    Mistake::RefusesLongest,
    Mistake::SendsTooLong,
    Mistake::TruncatesTooLong,
    Mistake::ResetsOnTooLong,
];

#[test]
fn the_suite_catches_every_mistake_and_every_case_is_needed() {
    let mut idle: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    for mistake in MISTAKES {
        let fails =
            |&&(_, case): &&Case| catch_unwind(AssertUnwindSafe(|| case(bench(EXTENDED, Some(mistake))))).is_err();
        let caught_by: Vec<&str> = CASES.iter().filter(fails).map(|(name, _)| *name).collect();
        assert!(!caught_by.is_empty(), "no case catches {mistake:?}");
        idle.retain(|name| !caught_by.contains(name));
    }
    assert!(idle.is_empty(), "cases that catch nothing: {idle:?}");
}

fn bench(capabilities: CardCapabilities, mistake: Option<Mistake>) -> Bench {
    let clock: SharedClock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let state = State { present: true, ..State::default() };
    let desk = Desk { state: Arc::new(Mutex::new(state)), clock: clock.clone(), capabilities, mistake };
    Bench { reader: Box::new(FakeReader(desk.clone())), hand: Box::new(desk), clock }
}

/// What reader, hand and card share.
#[derive(Clone)]
struct Desk {
    state: Arc<Mutex<State>>,
    clock: SharedClock,
    capabilities: CardCapabilities,
    mistake: Option<Mistake>,
}

#[derive(Default)]
struct State {
    present: bool,
    insertions: u32,
    resets: u32,
    connections: u8,
    application_selected: bool,
}

impl State {
    fn reset(&mut self) {
        self.application_selected = false;
        self.resets += 1;
    }

    /// All of a card that the suite looks at.
    fn perform(&mut self, command: &CommandApdu) -> StatusWord {
        match (command.cla(), command.ins(), command.p1(), command.data()) {
            (0x00, 0xA4, 0x04, data) => {
                self.application_selected = data == jpki::card::AID_JPKI;
                if self.application_selected { StatusWord::OK } else { StatusWord::FILE_NOT_FOUND }
            }
            (0x00, 0xA4, 0x02, [0x00, 0x18]) if self.application_selected => StatusWord::OK,
            (0x00, 0xA4, ..) => StatusWord::FILE_NOT_FOUND,
            (0x00, ..) => StatusWord::INSTRUCTION_NOT_SUPPORTED,
            _ => StatusWord::CLASS_NOT_SUPPORTED,
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}

impl Hand for Desk {
    fn remove(&mut self) {
        let mut state = self.state();
        state.present = false;
        state.application_selected = false;
    }

    fn insert(&mut self) {
        let mut state = self.state();
        state.present = true;
        state.insertions += 1;
    }

    fn reset(&mut self) {
        self.state().reset();
    }
}

struct FakeReader(Desk);

impl CardReader for FakeReader {
    fn name(&self) -> &str {
        if self.0.makes(Mistake::NoName) { "" } else { "SIM-FAKE" }
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        let desk = &self.0;
        if desk.state().present || desk.makes(Mistake::SaysThereIsACard) {
            return Ok(());
        }
        if !desk.makes(Mistake::DoesNotWait) {
            desk.clock.elapse(deadline.remaining(&*desk.clock));
        }
        Err(CardError::Timeout)
    }

    fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let desk = self.0.clone();
        let mut state = desk.state();
        if !state.present && !desk.makes(Mistake::ConnectsWithoutCard) {
            return Err(CardError::NoCard);
        }
        state.connections += 1;
        let last = if desk.makes(Mistake::ChangesIdentity) { state.connections } else { 0x14 };
        let identity = CardIdentity { atr: vec![0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, last] };
        let (insertions, resets) = (state.insertions, state.resets);
        drop(state);
        Ok(Box::new(FakeConnection { desk, identity, insertions, resets }))
    }
}

struct FakeConnection {
    desk: Desk,
    identity: CardIdentity,
    insertions: u32,
    resets: u32,
}

impl FakeConnection {
    fn check(&self) -> Result<(), CardError> {
        let state = self.desk.state();
        let revives = self.desk.makes(Mistake::RevivesConnection) && state.present;
        if !state.present && self.desk.makes(Mistake::CallsRemovalTimeout) {
            Err(CardError::Timeout)
        } else if !revives && (!state.present || state.insertions != self.insertions) {
            Err(CardError::Removed)
        } else if state.resets != self.resets && !self.desk.makes(Mistake::HidesReset) {
            Err(CardError::Reset)
        } else {
            Ok(())
        }
    }
}

impl CardConnection for FakeConnection {
    fn identity(&self) -> &CardIdentity {
        &self.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        self.desk.capabilities
    }

    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        self.check()?;
        Ok(Box::new(FakeTransaction(self)))
    }
}

struct FakeTransaction<'a>(&'a mut FakeConnection);

impl CardTransaction for FakeTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let desk = self.0.desk.clone();
        if !desk.makes(Mistake::HidesResetUntilAsked) {
            self.0.check()?;
        }
        let passed = deadline.has_passed(&*desk.clock);
        if passed && !desk.makes(Mistake::SendsAfterDeadline) && !desk.makes(Mistake::IgnoresDeadline) {
            return Err(CardError::Timeout);
        }
        let mut command = command.clone();
        match desk.capabilities.encode(&command) {
            Ok(bytes) if desk.makes(Mistake::RefusesLongest) && bytes.len() == desk.capabilities.max_command => {
                return Err(CardError::TooLong { length: bytes.len(), max: bytes.len() - 1 });
            }
            Err(CardError::TooLong { .. }) if desk.makes(Mistake::SendsTooLong) => {}
            Err(CardError::TooLong { .. }) if desk.makes(Mistake::TruncatesTooLong) => {
                let data = command.data()[..255].to_vec();
                command = command.with_data(data);
            }
            Err(error) => {
                if desk.makes(Mistake::ResetsOnTooLong) {
                    desk.state().application_selected = false;
                }
                return Err(error);
            }
            Ok(_) => {}
        }
        let status = desk.state().perform(&command);
        desk.clock.elapse(Duration::from_millis(10));
        if passed && desk.makes(Mistake::SendsAfterDeadline) {
            return Err(CardError::Timeout);
        }
        if !status.is_ok() && desk.makes(Mistake::TurnsRefusalsIntoErrors) {
            return Err(CardError::Other("refused".into()));
        }
        Ok(status.into())
    }

    fn was_reset(&self) -> bool {
        self.0.check().is_err()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.0.check()?;
        let desk = self.0.desk.clone();
        let resets = match how {
            Disposition::Leave => desk.makes(Mistake::ResetsOnLeave),
            Disposition::Reset => !desk.makes(Mistake::DoesNotReset),
            Disposition::PowerOff => !desk.makes(Mistake::DoesNotPowerOff),
        };
        if resets {
            let mut state = desk.state();
            state.reset();
            self.0.resets = state.resets;
        }
        Ok(())
    }
}

impl Drop for FakeTransaction<'_> {
    fn drop(&mut self) {
        if self.0.desk.makes(Mistake::ResetsOnDrop) {
            self.0.desk.state().application_selected = false;
        }
    }
}
