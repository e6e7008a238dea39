//! What happens at the readers, by `SCardGetStatusChange`: the service says when something changes, nobody polls.

use std::ffi::{CStr, CString};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use card_reader::CardError;
use pcsc::{Context, Error, PNP_NOTIFICATION, ReaderState, Scope, State};

use crate::ask::{Silence, ask};
use crate::choice::ReaderChoice;
use crate::classify::classify;

/// After so long without news the list of readers is read again: a reader that comes between the list and the wait is
/// announced by newer services only.
const RELIST: Duration = Duration::from_secs(10);
/// The same for one reader. The service tells at its own next look (every 400 ms) that a program has let a card go, and if
/// another takes it at once, it says nothing.
const RELOOK: Duration = Duration::from_millis(500);
/// The service answers by the deadline itself. If it does not, it hangs.
const GRACE: Duration = Duration::from_millis(250);
/// The library takes so many entries in one question (`PCSCLITE_MAX_READERS_CONTEXTS`), one of which is for new readers.
const MAX_READERS: usize = 15;

/// A reader, as the service sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Counts insertions and removals, modulo 65536.
    pub(crate) count: u32,
    pub(crate) atr: Vec<u8>,
}

impl Seen {
    pub(crate) fn has_card(&self) -> bool {
        self.state.contains(State::PRESENT)
    }

    /// Another program has the card open.
    pub(crate) fn in_use(&self) -> bool {
        self.state.intersects(State::INUSE | State::EXCLUSIVE)
    }
}

/// Waits for changes, on the thread of whoever asks.
pub(crate) struct Monitor {
    choice: ReaderChoice,
    context: Option<Context>,
    readers: Vec<ReaderState>,
    /// The entry by which the service announces readers that come or go.
    plugs: ReaderState,
}

impl Monitor {
    fn new(choice: ReaderChoice) -> Self {
        Self { choice, context: None, readers: Vec::new(), plugs: ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE) }
    }

    /// Of one reader that is there, in a context that exists.
    pub(crate) fn of_reader(context: Context, reader: &CStr) -> Self {
        let choice = ReaderChoice::Named(reader.to_string_lossy().into_owned());
        Self { context: Some(context), ..Self::new(choice) }
    }

    /// Returns after a change, after a while, or at the deadline.
    pub(crate) fn until_something_changes(&mut self, deadline: Instant) -> Result<(), Error> {
        if self.readers.is_empty() {
            self.look_now()?;
        }
        self.look(deadline.min(Instant::now() + RELOOK)).map(drop)
    }

    /// The readers as they are.
    fn look_now(&mut self) -> Result<Vec<Seen>, Error> {
        // What has been seen is asked for anew, so there is an answer at once.
        self.readers.clear();
        self.look(Instant::now())
    }

    /// The readers as they are, as soon as something differs from what was seen last, or at the deadline.
    fn look(&mut self, deadline: Instant) -> Result<Vec<Seen>, Error> {
        let fresh = self.context.is_none();
        match self.try_look(deadline) {
            // The service may have been started anew since.
            Err(Error::NoService | Error::ServiceStopped | Error::CommError | Error::InvalidHandle) if !fresh => {
                self.forget();
                self.try_look(deadline).inspect_err(|_| self.forget())
            }
            result => result.inspect_err(|_| self.forget()),
        }
    }

    fn forget(&mut self) {
        self.context = None;
        self.readers.clear();
    }

    fn try_look(&mut self, deadline: Instant) -> Result<Vec<Seen>, Error> {
        loop {
            let context = match &self.context {
                Some(context) => context.clone(),
                None => self.context.insert(Context::establish(Scope::System)?).clone(),
            };
            let list_changed = self.relist(&context)?;
            let remaining = deadline.saturating_duration_since(Instant::now());
            let timeout = if list_changed { Duration::ZERO } else { remaining.min(RELIST) };
            match self.wait(&context, timeout) {
                Ok(()) => return Ok(self.seen()),
                Err(Error::Timeout) if list_changed || remaining.is_zero() => return Ok(self.seen()),
                // A reader went between the list and the wait.
                Err(Error::Timeout | Error::UnknownReader) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over the service's list of readers. Has it changed?
    fn relist(&mut self, context: &Context) -> Result<bool, Error> {
        let mut names: Vec<CString> = match context.list_readers_owned() {
            Ok(names) => names,
            Err(Error::NoReadersAvailable) => Vec::new(),
            Err(error) => return Err(error),
        };
        names.retain(|name| self.choice.matches(&name.to_string_lossy()));
        names.truncate(MAX_READERS);
        let before = self.readers.len();
        self.readers.retain(|reader| names.iter().any(|name| name.as_c_str() == reader.name()));
        let gone = before != self.readers.len();
        names.retain(|name| !self.readers.iter().any(|reader| name.as_c_str() == reader.name()));
        let come = !names.is_empty();
        self.readers.extend(names.into_iter().map(|name| ReaderState::new(name, State::UNAWARE)));
        Ok(gone || come)
    }

    fn wait(&mut self, context: &Context, timeout: Duration) -> Result<(), Error> {
        let mut states: Vec<ReaderState> = std::mem::take(&mut self.readers);
        states.push(std::mem::replace(&mut self.plugs, ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)));
        let result = context.get_status_change(timeout, &mut states);
        if result.is_ok() {
            states.iter_mut().for_each(ReaderState::sync_current_state);
        }
        if let Some(plugs) = states.pop() {
            self.plugs = plugs;
        }
        self.readers = states;
        result
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.readers.iter().map(|reader| Seen {
            name: reader.name().to_string_lossy().into_owned(),
            state: reader.event_state(),
            count: reader.event_count(),
            atr: reader.atr().to_vec(),
        });
        seen.collect()
    }
}

/// A [`Monitor`] on a thread of its own.
pub(crate) struct MonitorThread {
    choice: ReaderChoice,
    jobs: Option<Sender<Look>>,
}

struct Look {
    /// `None`: as it is now.
    until: Option<Instant>,
    reply: Sender<Result<Vec<Seen>, Error>>,
}

impl MonitorThread {
    pub(crate) fn new(choice: ReaderChoice) -> Self {
        Self { choice, jobs: None }
    }

    /// The readers that are meant, as they are now.
    pub(crate) fn look_now(&mut self, patience: Duration) -> Result<Vec<Seen>, CardError> {
        self.ask(None, patience)
    }

    /// The same as soon as something differs from what was seen last, or after `patience`.
    pub(crate) fn look(&mut self, patience: Duration) -> Result<Vec<Seen>, CardError> {
        self.ask(Some(Instant::now() + patience), patience)
    }

    fn ask(&mut self, until: Option<Instant>, patience: Duration) -> Result<Vec<Seen>, CardError> {
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => self.jobs.insert(spawn(self.choice.clone()).map_err(|error| CardError::Other(Box::new(error)))?),
        };
        match ask(jobs, patience + GRACE, |reply| Look { until, reply }) {
            Ok(result) => result.map_err(classify),
            Err(silence) => {
                // The next question goes to a thread that is not caught in the library.
                self.jobs = None;
                Err(match silence {
                    Silence::StillWorking => CardError::Timeout,
                    Silence::Ended => CardError::Other(Box::new(silence)),
                })
            }
        }
    }
}

fn spawn(choice: ReaderChoice) -> std::io::Result<Sender<Look>> {
    let (jobs, queue): (_, Receiver<Look>) = mpsc::channel();
    thread::Builder::new().name("pcsc-monitor".into()).spawn(move || {
        let mut monitor = Monitor::new(choice);
        while let Ok(Look { until, reply }) = queue.recv() {
            let result = match until {
                Some(deadline) => monitor.look(deadline),
                None => monitor.look_now(),
            };
            let _ = reply.send(result);
        }
    })?;
    Ok(jobs)
}
