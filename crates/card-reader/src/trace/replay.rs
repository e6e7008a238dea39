use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use madoguchi_time::{Deadline, SharedClock};

use super::event::{Command, Ending, Entry, ErrorName, Event, Move, Opened};
use super::read::Trace;
use crate::{CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition};

/// A reader that answers as was recorded.
///
/// The caller must do what the one did who was recorded: hidden bytes of a command may be any of that length, and hidden bytes of an answer
/// are zeros. At the first call that differs, and from then on, every call fails with [`CardError::Other`] and the [`Difference`] as its
/// source. Time passes on the clock as it did, where the clock allows it.
pub struct ReplayReader {
    name: String,
    replay: Replay,
}

/// Looks after a [`ReplayReader`], from any thread. Clones look after the same one.
#[derive(Clone)]
pub struct ReplayMonitor(Replay);

/// Where and how a conversation differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trace: recorded was {recorded}, now came {came}")]
pub struct Difference {
    /// The line of the trace, from 1.
    pub line: usize,
    /// What was recorded: a call, of a command its header and lengths.
    pub recorded: String,
    /// What the caller did.
    pub came: String,
}

#[derive(Clone)]
struct Replay {
    state: Arc<Mutex<State>>,
    clock: SharedClock,
}

struct State {
    trace: Trace,
    /// Index of the entry that comes next.
    next: usize,
    /// Does the card of this transaction say that it was reset?
    was_reset: bool,
    difference: Option<Difference>,
}

impl ReplayReader {
    /// Plays `trace`; time passes on `clock`.
    #[must_use]
    pub fn new(trace: Trace, clock: SharedClock) -> Self {
        let name = trace.header.reader.clone();
        let state = State { trace, next: 0, was_reset: false, difference: None };
        Self { name, replay: Replay { state: Arc::new(Mutex::new(state)), clock } }
    }

    /// Who looks after this replay.
    #[must_use]
    pub fn monitor(&self) -> ReplayMonitor {
        ReplayMonitor(self.replay.clone())
    }
}

impl ReplayMonitor {
    /// Somebody moves the card, as was recorded here. If it was not, that is a [`Difference`].
    pub fn hand(&self, did: Move) {
        let mut state = self.0.lock();
        state.skip(|event| matches!(event, Event::WasReset | Event::Disconnect));
        match state.peek() {
            Some(Event::Hand { did: recorded }) if *recorded == did => state.next += 1,
            _ => state.differ(format!("a hand: {did:?}")),
        }
    }

    /// Has everything come to pass that was recorded, and nothing else?
    ///
    /// # Errors
    /// The first difference; a trace that goes on is one.
    pub fn finish(&self) -> Result<(), Difference> {
        let mut state = self.0.lock();
        state.skip(|event| is_aside(event) || matches!(event, Event::Closed));
        if state.peek().is_some() {
            state.differ("the end".into());
        }
        state.difference.clone().map_or(Ok(()), Err)
    }
}

/// What is no call of the port.
fn is_aside(event: &Event) -> bool {
    matches!(event, Event::WasReset | Event::Hand { .. } | Event::Disconnect)
}

impl Replay {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded outcome of a call that `matches` the next entry. Time passes as it did.
    fn call<T>(
        &self,
        deadline: Deadline,
        came: impl FnOnce() -> String,
        matches: impl FnOnce(&Event) -> Option<Result<T, ErrorName>>,
    ) -> Result<T, CardError> {
        let (took, outcome) = self.lock().advance(came, matches)?;
        self.clock.elapse(took);
        outcome.map_err(|name| {
            let error = name.to_error();
            if matches!(error, CardError::Timeout) {
                self.clock.elapse(deadline.remaining(&*self.clock));
            }
            error
        })
    }
}

impl State {
    fn peek(&self) -> Option<&Event> {
        self.trace.entries.get(self.next).map(|entry| &entry.event)
    }

    fn skip(&mut self, skipped: impl Fn(&Event) -> bool) {
        while let Some(event) = self.peek().filter(|event| skipped(event)) {
            self.was_reset |= matches!(event, Event::WasReset);
            self.next += 1;
        }
    }

    fn advance<T>(
        &mut self,
        came: impl FnOnce() -> String,
        matches: impl FnOnce(&Event) -> Option<Result<T, ErrorName>>,
    ) -> Result<(Duration, Result<T, ErrorName>), CardError> {
        if self.difference.is_none() {
            self.skip(is_aside);
            let entry = self.trace.entries.get(self.next);
            let taken = entry.and_then(|Entry { took_us, event, .. }| Some((*took_us, matches(event)?)));
            if let Some((took_us, outcome)) = taken {
                self.next += 1;
                return Ok((Duration::from_micros(took_us), outcome));
            }
            self.differ(came());
        }
        Err(self.failure())
    }

    fn differ(&mut self, came: String) {
        if self.difference.is_none() {
            let recorded = self.peek().map_or_else(|| "the end".into(), described);
            self.difference = Some(Difference { line: self.next + 2, recorded, came });
        }
    }

    fn failure(&self) -> CardError {
        match &self.difference {
            Some(difference) => CardError::Other(Box::new(difference.clone())),
            None => CardError::ReaderGone,
        }
    }
}

/// An event in short, without data.
fn described(event: &Event) -> String {
    match event {
        Event::Wait { .. } => WAIT.into(),
        Event::Connect { .. } => CONNECT.into(),
        Event::Begin { .. } => BEGIN.into(),
        Event::Exchange { command, .. } => sent(command.header, command.data.length(), command.le),
        Event::End { how, .. } => ended(*how),
        Event::Hand { did } => format!("a hand: {did:?}"),
        Event::Gap { lost } => format!("{lost} lines that are missing"),
        Event::WasReset => "a look for a reset".into(),
        Event::Disconnect => "closing the card".into(),
        Event::Closed => "the end".into(),
    }
}

const WAIT: &str = "waiting for a card";
const CONNECT: &str = "opening the card";
const BEGIN: &str = "beginning a transaction";

fn sent(header: [u8; 4], lc: usize, le: Option<u32>) -> String {
    let le = le.map_or_else(String::new, |le| format!(" Le {le}"));
    format!("a command {} Lc {lc}{le}", hex::encode_upper(header))
}

fn ended(how: Ending) -> String {
    format!("ending a transaction: {how:?}")
}

fn outcome<T: Clone>(value: Option<&T>, error: Option<ErrorName>) -> Option<Result<T, ErrorName>> {
    match (value, error) {
        (Some(value), None) => Some(Ok(value.clone())),
        (None, Some(error)) => Some(Err(error)),
        // Nobody records both or neither.
        _ => None,
    }
}

impl CardReader for ReplayReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.replay.call(
            deadline,
            || WAIT.into(),
            |event| match event {
                Event::Wait { error } => Some(error.map_or(Ok(()), Err)),
                _ => None,
            },
        )
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let opened: Opened = self.replay.call(
            deadline,
            || CONNECT.into(),
            |event| match event {
                Event::Connect { card, error } => outcome(card.as_ref(), *error),
                _ => None,
            },
        )?;
        let capabilities = opened.capabilities();
        Ok(Box::new(ReplayConnection {
            identity: CardIdentity { atr: opened.atr },
            capabilities,
            replay: &self.replay,
        }))
    }
}

struct ReplayConnection<'a> {
    identity: CardIdentity,
    capabilities: CardCapabilities,
    replay: &'a Replay,
}

impl CardConnection for ReplayConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        self.capabilities
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        self.replay.lock().was_reset = false;
        self.replay.call(
            deadline,
            || BEGIN.into(),
            |event| match event {
                Event::Begin { error } => Some(error.map_or(Ok(()), Err)),
                _ => None,
            },
        )?;
        Ok(Box::new(ReplayTransaction { replay: self.replay, capabilities: self.capabilities, is_ended: false }))
    }
}

struct ReplayTransaction<'a> {
    replay: &'a Replay,
    capabilities: CardCapabilities,
    is_ended: bool,
}

impl CardTransaction for ReplayTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let encoded = self.capabilities.encode(command);
        let header = [command.cla(), command.ins(), command.p1(), command.p2()];
        let came = || sent(header, command.data().len(), command.le());
        let answered = self.replay.call(deadline, came, |event| match event {
            Event::Exchange { command: recorded, answer, error } if is_same(recorded, command) => match error {
                // Who refuses a command unsent goes by the capabilities, as the recorded reader did.
                Some(error) if error.is_of_command() => encoded.as_ref().err().map(|_| Ok(None)),
                error => Some(outcome(answer.as_ref(), *error)?.map(Some)),
            },
            _ => None,
        })?;
        match answered {
            Some(answer) => Ok(ResponseApdu { data: answer.data.with_zeros(), status: answer.status }),
            None => Err(encoded.err().unwrap_or(CardError::Garbled)),
        }
    }

    fn was_reset(&self) -> bool {
        let mut state = self.replay.lock();
        state.skip(|event| matches!(event, Event::WasReset));
        state.was_reset
    }

    fn end(mut self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.is_ended = true;
        let deadline = Deadline::at(self.replay.clock.now());
        let how = Ending::from(how);
        self.replay.call(
            deadline,
            || ended(how),
            |event| match event {
                Event::End { how: recorded, error } if *recorded == how => Some(error.map_or(Ok(()), Err)),
                _ => None,
            },
        )
    }
}

impl Drop for ReplayTransaction<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            let dropped = |event: &Event| matches!(event, Event::End { how: Ending::Dropped, .. }).then_some(Ok(()));
            // A difference is kept, and told at the next call.
            let _ = self.replay.lock().advance(|| ended(Ending::Dropped), dropped);
        }
    }
}

fn is_same(recorded: &Command, command: &CommandApdu) -> bool {
    recorded.header == [command.cla(), command.ins(), command.p1(), command.p2()]
        && recorded.le == command.le()
        && recorded.data.fits(command.data())
}
