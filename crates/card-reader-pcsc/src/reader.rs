use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use apdu::{CommandApdu, ResponseApdu};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use madoguchi_time::{Deadline, SharedClock};
use pcsc::Protocol;

use crate::ask::{Silence, ask};
use crate::capabilities::{self, ExtendedLength};
use crate::choice::ReaderChoice;
use crate::line::{self, CardJob, LineJob, Open, TransactionJob};
use crate::monitor::{MonitorThread, Seen};

/// How long the end of a transaction may take: the port gives no deadline for it. A reset takes a card well under a second.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// The service answers from what it knows.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);
/// How long a reader that is dropped waits until its card has been let go.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What a site may want otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Extended-length APDUs: found out, or decided.
    pub extended_length: ExtendedLength,
    /// How long a reader that is not there is waited for before [`CardError::NoReader`]: somebody may just be plugging
    /// it in.
    pub plug_patience: Duration,
}

/// Extended length found out, and 2 s for a reader that is being plugged in.
impl Default for ReaderOptions {
    fn default() -> Self {
        Self { extended_length: ExtendedLength::default(), plug_patience: Duration::from_secs(2) }
    }
}

/// A card reader of the system's PC/SC service, or several of which the first with a card is taken.
///
/// Nothing is opened before the first call: the service may be started, and readers plugged in, later, and both may come
/// and go while this lives.
///
/// # Guarantees
/// * Every call returns by its deadline, whatever the PC/SC library does; calls into it are made on other threads. The end
///   of a transaction takes 5 s at most.
/// * A command that is given up at its deadline is the last thing that goes to that card: as soon as it returns, the card
///   is reset and let go. Until then its reader is [`CardError::ReaderStuck`]; other readers can be used meanwhile.
/// * No command is ever repeated, whatever happened to it. After an error the caller looks.
/// * A card is left as the caller said, else as it is; reset only after a command was given up.
pub struct PcscReader {
    options: ReaderOptions,
    clock: SharedClock,
    /// For people: the reader in use, or the one that is meant.
    name: String,
    monitor: MonitorThread,
    /// Has a reader been there?
    had_reader: bool,
    /// By the reader's name.
    lines: HashMap<String, Line>,
}

impl PcscReader {
    /// The readers that are meant.
    #[must_use]
    pub fn new(choice: ReaderChoice, clock: SharedClock) -> Self {
        Self {
            name: choice.to_string(),
            monitor: MonitorThread::new(choice),
            options: ReaderOptions::default(),
            clock,
            had_reader: false,
            lines: HashMap::new(),
        }
    }

    /// The same with other options.
    #[must_use]
    pub fn with_options(self, options: ReaderOptions) -> Self {
        Self { options, ..self }
    }

    /// Of the readers that are there, those that are not stuck.
    fn usable(&mut self, seen: Vec<Seen>) -> Result<Vec<Seen>, CardError> {
        let there = !seen.is_empty();
        self.had_reader |= there;
        let usable: Vec<Seen> = seen
            .into_iter()
            .filter(|reader| self.lines.get_mut(&reader.name).is_none_or(|line| !line.is_stuck()))
            .collect();
        match usable.len() {
            0 if there => Err(CardError::ReaderStuck),
            0 if self.had_reader => Err(CardError::ReaderGone),
            0 => Err(CardError::NoReader),
            _ => Ok(usable),
        }
    }
}

impl CardReader for PcscReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        let started = self.clock.now();
        let mut seen = self.monitor.look_now(deadline.remaining(&*self.clock))?;
        loop {
            let mut patience = deadline.remaining(&*self.clock);
            match self.usable(seen) {
                Ok(readers) => {
                    if let Some(reader) = readers.into_iter().find(Seen::has_card) {
                        self.name = reader.name;
                        return Ok(());
                    }
                    if patience.is_zero() {
                        return Err(CardError::Timeout);
                    }
                }
                Err(error) => {
                    let waited = self.clock.now().since(started);
                    patience = patience.min(self.options.plug_patience.saturating_sub(waited));
                    if patience.is_zero() || matches!(error, CardError::ReaderStuck) {
                        return Err(error);
                    }
                }
            }
            seen = self.monitor.look(patience)?;
        }
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let remaining = deadline.remaining(&*self.clock);
        if remaining.is_zero() {
            return Err(CardError::Timeout);
        }
        let seen = self.monitor.look_now(remaining)?;
        let mut with_card: Vec<Seen> = self.usable(seen)?.into_iter().filter(Seen::has_card).collect();
        // The one that was waited for, if its card is still there.
        let place = with_card.iter().position(|reader| reader.name == self.name).unwrap_or(0);
        if place >= with_card.len() {
            return Err(CardError::NoCard);
        }
        let reader = with_card.swap_remove(place);
        self.name.clone_from(&reader.name);
        let line = self.lines.entry(reader.name.clone()).or_default();
        let connection = line.open(&reader, deadline, &self.clock, self.options.extended_length)?;
        Ok(Box::new(connection))
    }
}

/// One reader's thread, and what it is busy with.
#[derive(Default)]
struct Line {
    jobs: Option<Sender<LineJob>>,
    running: Option<Running>,
}

struct Running {
    /// Disconnected when the thread has let go of the card.
    done: Receiver<Infallible>,
    /// A command or the opening of a card was given up.
    stuck: bool,
}

impl Line {
    /// Has the thread let go of the last card?
    fn is_free(&mut self) -> bool {
        if let Some(running) = &self.running
            && running.done.try_recv() == Err(TryRecvError::Disconnected)
        {
            self.running = None;
        }
        self.running.is_none()
    }

    fn is_stuck(&mut self) -> bool {
        !self.is_free() && self.running.as_ref().is_some_and(|running| running.stuck)
    }

    fn wait_until_free(&mut self, patience: Duration) -> bool {
        if let Some(running) = &self.running
            && running.done.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
        {
            self.running = None;
        }
        self.running.is_none()
    }

    fn open<'a>(
        &'a mut self,
        reader: &Seen,
        deadline: Deadline,
        clock: &SharedClock,
        extended_length: ExtendedLength,
    ) -> Result<PcscConnection<'a>, CardError> {
        // The last connection may be waiting still for another program's transaction to end.
        if !self.wait_until_free(deadline.remaining(&**clock)) {
            return Err(CardError::Busy);
        }
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => self.jobs.insert(line::spawn().map_err(|error| CardError::Other(Box::new(error)))?),
        };
        let name = CString::new(reader.name.as_str()).map_err(|error| CardError::Other(Box::new(error)))?;
        let (card_jobs, card_queue) = mpsc::channel();
        let (running, done) = mpsc::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let remaining = deadline.remaining(&**clock);
        let result = ask(jobs, remaining, |reply| {
            let deadline = Instant::now() + remaining;
            LineJob::Open(Open {
                reader: name,
                deadline,
                reply,
                jobs: card_queue,
                abandoned: Arc::clone(&abandoned),
                running,
            })
        });
        let running = self.running.insert(Running { done, stuck: false });
        match result {
            Ok(opened) => {
                let opened = opened?;
                let capabilities = extended_length.capabilities(&opened);
                Ok(PcscConnection {
                    identity: CardIdentity { atr: opened.atr },
                    capabilities,
                    drops_le: opened.protocol == Some(Protocol::T0),
                    lost: None,
                    jobs: Some(card_jobs),
                    abandoned,
                    stuck: &mut running.stuck,
                    clock: Arc::clone(clock),
                })
            }
            Err(Silence::StillWorking) => {
                abandoned.store(true, Ordering::SeqCst);
                // The service lets nobody connect while another program is in the middle of something.
                if reader.in_use() {
                    return Err(CardError::Busy);
                }
                running.stuck = true;
                Err(CardError::Timeout)
            }
            Err(Silence::Ended) => {
                self.jobs = None;
                Err(CardError::Other(Box::new(Silence::Ended)))
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.jobs = None;
        if !self.is_stuck() {
            self.wait_until_free(CLOSE_PATIENCE);
        }
    }
}

/// How a connection ended for good.
#[derive(Clone, Copy)]
enum Lost {
    Removed,
    Reset,
    ReaderGone,
    NoService,
    Stuck,
}

impl Lost {
    /// Does this error end the connection?
    fn by(error: &CardError) -> Option<Self> {
        match error {
            CardError::Removed => Some(Self::Removed),
            CardError::Reset => Some(Self::Reset),
            CardError::ReaderGone => Some(Self::ReaderGone),
            CardError::NoService => Some(Self::NoService),
            _ => None,
        }
    }

    fn error(self) -> CardError {
        match self {
            Self::Removed => CardError::Removed,
            Self::Reset => CardError::Reset,
            Self::ReaderGone => CardError::ReaderGone,
            Self::NoService => CardError::NoService,
            Self::Stuck => CardError::ReaderStuck,
        }
    }
}

struct PcscConnection<'a> {
    identity: CardIdentity,
    capabilities: CardCapabilities,
    /// T=0 has no command with data and Le (ISO/IEC 7816-3 §12.2.4): the card says `61xx`.
    drops_le: bool,
    lost: Option<Lost>,
    /// `None` once a command was given up.
    jobs: Option<Sender<CardJob>>,
    abandoned: Arc<AtomicBool>,
    stuck: &'a mut bool,
    clock: SharedClock,
}

impl PcscConnection<'_> {
    fn remaining(&self, deadline: Deadline) -> Duration {
        deadline.remaining(&*self.clock)
    }

    fn noted<T>(&mut self, result: Result<T, CardError>) -> Result<T, CardError> {
        result.inspect_err(|error| self.lost = Lost::by(error).or(self.lost))
    }

    /// Nobody waits any more for what the thread does. It sends nothing after that.
    fn abandon(&mut self) {
        tracing::warn!("a card does not answer; its reader is stuck until it does");
        self.abandoned.store(true, Ordering::SeqCst);
        self.jobs = None;
        self.lost = Some(Lost::Stuck);
        *self.stuck = true;
    }

    fn ended(&mut self) -> CardError {
        self.lost = Some(Lost::Reset);
        CardError::Other(Box::new(Silence::Ended))
    }
}

impl CardConnection for PcscConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        self.capabilities
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        if let Some(lost) = self.lost {
            return Err(lost.error());
        }
        let remaining = self.remaining(deadline);
        if remaining.is_zero() {
            return Err(CardError::Timeout);
        }
        let Some(card_jobs) = &self.jobs else { return Err(CardError::ReaderStuck) };
        let (jobs, queue) = mpsc::channel();
        match ask(card_jobs, remaining, |reply| CardJob { reply, jobs: queue }) {
            Ok(result) => self.noted(result)?,
            // The library waits for as long as another program holds the card. When it gets it, it lets it go at once, as
            // this queue of jobs is closed.
            Err(Silence::StillWorking) => return Err(CardError::Busy),
            Err(Silence::Ended) => return Err(self.ended()),
        }
        Ok(Box::new(PcscTransaction { jobs: Some(jobs), connection: self }))
    }
}

struct PcscTransaction<'c, 'a> {
    connection: &'c mut PcscConnection<'a>,
    /// `None` once a command was given up.
    jobs: Option<Sender<TransactionJob>>,
}

impl PcscTransaction<'_, '_> {
    fn ask<T>(
        &mut self,
        patience: Duration,
        job: impl FnOnce(Sender<Result<T, CardError>>) -> TransactionJob,
    ) -> Result<T, CardError> {
        if let Some(lost) = self.connection.lost {
            return Err(lost.error());
        }
        let Some(jobs) = &self.jobs else { return Err(CardError::ReaderStuck) };
        match ask(jobs, patience, job) {
            Ok(result) => self.connection.noted(result),
            Err(Silence::StillWorking) => {
                self.connection.abandon();
                self.jobs = None;
                Err(CardError::Timeout)
            }
            Err(Silence::Ended) => Err(self.connection.ended()),
        }
    }
}

impl CardTransaction for PcscTransaction<'_, '_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        if let Some(lost) = self.connection.lost {
            return Err(lost.error());
        }
        let remaining = self.connection.remaining(deadline);
        if remaining.is_zero() {
            return Err(CardError::Timeout);
        }
        let mut command = self.connection.capabilities.encode(command)?;
        if self.connection.drops_le {
            capabilities::drop_le(&mut command);
        }
        let deadline = Instant::now() + remaining;
        self.ask(remaining, |reply| TransactionJob::Transmit { command, deadline, reply })
    }

    fn was_reset(&self) -> bool {
        let Some(jobs) = self.jobs.as_ref().filter(|_| self.connection.lost.is_none()) else { return true };
        // No answer is no assurance.
        !matches!(ask(jobs, CHECK_PATIENCE, |reply| TransactionJob::Check { reply }), Ok(Ok(())))
    }

    fn end(mut self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        match self.connection.lost {
            // A card that has gone has lost its state: it is left as asked.
            Some(Lost::Removed) => return Ok(()),
            Some(Lost::Reset) if how == Disposition::Reset => return Ok(()),
            _ => {}
        }
        match self.ask(END_PATIENCE, |reply| TransactionJob::End { how, reply }) {
            Err(CardError::Removed) => Ok(()),
            result => result,
        }
    }
}
