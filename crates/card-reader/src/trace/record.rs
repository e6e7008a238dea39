use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use madoguchi_time::{Deadline, Moment, SharedClock};
use serde::Serialize;

use super::command::{Follower, Known};
use super::event::{Answer, Command, Ending, Entry, Event, FORMAT, Header, Move, Opened, VERSION};
use super::redaction::Redaction;
use crate::{CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition};

/// How the name of every simulated reader starts.
const SIMULATED: &str = "SIM-";

/// A reader whose exchanges are recorded to a file, around any other. See [the module](super) for what is in it.
///
/// Dropping it closes the trace.
pub struct RecordingReader<R> {
    inner: R,
    monitor: TraceMonitor,
}

/// Looks after the recording of a [`RecordingReader`], from any thread. Clones look after the same one.
#[derive(Clone)]
pub struct TraceMonitor(Arc<Mutex<Recorder>>);

/// Why a trace can't be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The file can't be made or written: it exists already (traces are never overwritten), the folder does not, or the disk is full.
    #[error("the trace can't be written")]
    Io(#[from] io::Error),
    /// A lossless trace was asked for, and the reader is no simulated one: its name does not start with `SIM-`.
    #[error("only a simulated card may be recorded unredacted")]
    NotSimulated,
}

impl<R: CardReader> RecordingReader<R> {
    /// Records what goes through `inner` from now on to a new file at `path`.
    ///
    /// # Errors
    /// [`CreateError::Io`]; a file that exists is left as it is.
    pub fn create(inner: R, path: &Path, clock: SharedClock) -> Result<Self, CreateError> {
        let sink = DiskFile::create(path)?;
        let begun = Self::begin(inner, Box::new(sink), clock, Redaction::Standard);
        if begun.is_err() {
            // Nothing is in it, and it would be in the way of the next attempt.
            let _ = fs::remove_file(path);
        }
        begun
    }

    /// The same, with everything in full, so that it can be replayed byte for byte: PINs, keys, personal data.
    ///
    /// # Errors
    /// [`CreateError::NotSimulated`] for any reader but a simulated one; as [`RecordingReader::create`].
    pub fn unredacted(inner: R, path: &Path, clock: SharedClock) -> Result<Self, CreateError> {
        if !inner.name().starts_with(SIMULATED) {
            return Err(CreateError::NotSimulated);
        }
        Self::begin(inner, Box::new(DiskFile::create(path)?), clock, Redaction::Nothing)
    }

    fn begin(inner: R, sink: Box<dyn Sink>, clock: SharedClock, redaction: Redaction) -> Result<Self, CreateError> {
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            reader: inner.name().into(),
            started: clock.wall().to_string(),
            unredacted: redaction == Redaction::Nothing,
        };
        let mut recorder = Recorder {
            sink,
            started: clock.now(),
            clock,
            redaction,
            follower: Follower::default(),
            was_reset: false,
            lost: 0,
            fault: None,
        };
        recorder.write(&header)?;
        Ok(Self { inner, monitor: TraceMonitor(Arc::new(Mutex::new(recorder))) })
    }

    /// Who looks after this recording.
    #[must_use]
    pub fn monitor(&self) -> TraceMonitor {
        self.monitor.clone()
    }
}

impl TraceMonitor {
    /// The first failure to write, if there was one: then the trace is incomplete.
    #[must_use]
    pub fn fault(&self) -> Option<io::ErrorKind> {
        self.recorder().fault
    }

    /// Notes that somebody moved the card.
    pub fn hand(&self, did: Move) {
        let mut recorder = self.recorder();
        let now = recorder.clock.now();
        recorder.note(now, Event::Hand { did });
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        self.recorder().clock.now()
    }

    fn note(&self, since: Moment, event: Event) {
        self.recorder().note(since, event);
    }
}

struct Recorder {
    sink: Box<dyn Sink>,
    clock: SharedClock,
    started: Moment,
    redaction: Redaction,
    follower: Follower,
    /// Is it noted already that the card lost its state in this transaction?
    was_reset: bool,
    /// Lines since the last one that could be written.
    lost: u64,
    fault: Option<io::ErrorKind>,
}

impl Recorder {
    fn note(&mut self, since: Moment, event: Event) {
        let took_us = microseconds(self.clock.now().since(since));
        self.entry(&Entry { at_us: microseconds(since.since(self.started)), took_us, event });
    }

    fn exchange(&mut self, since: Moment, command: &CommandApdu, answer: Result<&ResponseApdu, &CardError>) {
        let header = [command.cla(), command.ins(), command.p1(), command.p2()];
        let shown = Command { header, data: self.redaction.command(&self.follower, command), le: command.le() };
        let event = Event::Exchange {
            command: shown,
            answer: answer.ok().map(|answer| Answer {
                data: self.redaction.answer(&self.follower, command, answer),
                status: answer.status,
            }),
            error: answer.err().map(Into::into),
        };
        match answer {
            Ok(answer) => {
                self.follower.follow(Known { header, data: Some(command.data()) }, answer.status.is_ok());
            }
            // Whatever happened, nothing is known of the card any more.
            Err(_) => self.follower = Follower::default(),
        }
        self.note(since, event);
    }

    /// Writes a line; if lines before it were lost, says so first.
    fn entry(&mut self, entry: &Entry) {
        if self.lost > 0 {
            let gap = Entry { at_us: entry.at_us, took_us: 0, event: Event::Gap { lost: self.lost } };
            if self.write(&gap).is_err() {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if self.write(entry).is_err() {
            self.lost += 1;
        }
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.sink.append(&line)
        });
        written.inspect_err(|error| {
            self.fault.get_or_insert(error.kind());
        })
    }
}

/// In whole microseconds, rounded up: what was waited for is not made shorter.
fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Where lines go. A line that can't be written whole is not there at all.
trait Sink: Send {
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
}

struct DiskFile {
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl DiskFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, length: 0 })
    }
}

impl Sink for DiskFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(line);
        match written {
            Ok(()) => self.length += line.len() as u64,
            // Best effort: half a line at the very end is read as cut off.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        written
    }
}

impl<R> Drop for RecordingReader<R> {
    fn drop(&mut self) {
        let now = self.monitor.now();
        self.monitor.note(now, Event::Closed);
    }
}

impl<R: CardReader> CardReader for RecordingReader<R> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        let since = self.monitor.now();
        let waited = self.inner.wait_for_card(deadline);
        self.monitor.note(since, Event::Wait { error: waited.as_ref().err().map(Into::into) });
        waited
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let since = self.monitor.now();
        let connected = self.inner.connect(deadline);
        let card = connected.as_ref().ok().map(|connection| {
            let CardCapabilities { extended_length, max_command } = connection.capabilities();
            Opened { atr: connection.identity().atr.clone(), extended_length, max_command }
        });
        self.monitor.note(since, Event::Connect { card, error: connected.as_ref().err().map(Into::into) });
        let inner = connected?;
        let end = NotedEnd { monitor: &self.monitor, event: Some(Event::Disconnect) };
        Ok(Box::new(RecordingConnection { inner, monitor: &self.monitor, _end: end }))
    }
}

/// Notes how something ended, when it is dropped.
struct NotedEnd<'a> {
    monitor: &'a TraceMonitor,
    event: Option<Event>,
}

impl Drop for NotedEnd<'_> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            let now = self.monitor.now();
            self.monitor.note(now, event);
        }
    }
}

struct RecordingConnection<'a> {
    inner: Box<dyn CardConnection + 'a>,
    monitor: &'a TraceMonitor,
    _end: NotedEnd<'a>,
}

impl CardConnection for RecordingConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        self.inner.capabilities()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        let since = self.monitor.now();
        let begun = self.inner.begin(deadline);
        {
            let mut recorder = self.monitor.recorder();
            // Between transactions, others may have selected something else.
            recorder.follower = Follower::default();
            recorder.was_reset = false;
            recorder.note(since, Event::Begin { error: begun.as_ref().err().map(Into::into) });
        }
        let inner = begun?;
        let dropped = Event::End { how: Ending::Dropped, error: None };
        let end = NotedEnd { monitor: self.monitor, event: Some(dropped) };
        Ok(Box::new(RecordingTransaction { inner, monitor: self.monitor, end }))
    }
}

struct RecordingTransaction<'a> {
    inner: Box<dyn CardTransaction + 'a>,
    monitor: &'a TraceMonitor,
    end: NotedEnd<'a>,
}

impl CardTransaction for RecordingTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let since = self.monitor.now();
        let answer = self.inner.transmit(command, deadline);
        self.monitor.recorder().exchange(since, command, answer.as_ref());
        answer
    }

    fn was_reset(&self) -> bool {
        let was_reset = self.inner.was_reset();
        let mut recorder = self.monitor.recorder();
        if was_reset && !recorder.was_reset {
            recorder.was_reset = true;
            recorder.follower = Follower::default();
            let now = recorder.clock.now();
            recorder.note(now, Event::WasReset);
        }
        was_reset
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        let Self { inner, monitor, mut end } = *self;
        end.event = None;
        let since = monitor.now();
        let ended = inner.end(how);
        monitor.note(since, Event::End { how: how.into(), error: ended.as_ref().err().map(Into::into) });
        ended
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use madoguchi_time::VirtualClock;

    use super::*;
    use crate::trace::{Completeness, Trace};

    /// A disk that is full for some lines.
    #[derive(Clone, Default)]
    struct Paper {
        text: Arc<Mutex<Vec<u8>>>,
        appended: u64,
        full: std::ops::Range<u64>,
    }

    impl Sink for Paper {
        fn append(&mut self, line: &[u8]) -> io::Result<()> {
            let number = self.appended;
            self.appended += 1;
            if self.full.contains(&number) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.lock().unwrap().extend_from_slice(line);
            Ok(())
        }
    }

    struct NoCards;

    impl CardReader for NoCards {
        fn name(&self) -> &str {
            "Reader X"
        }

        fn wait_for_card(&mut self, _deadline: Deadline) -> Result<(), CardError> {
            Err(CardError::Timeout)
        }

        fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
            Err(CardError::NoCard)
        }
    }

    #[test]
    fn a_full_disk_stops_no_procedure_and_the_trace_says_what_is_missing() {
        const CALLS: u64 = 6;
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        // The disk is full from the first-th line on, for some lines; the header is line 0, and closing comes last.
        for first in 1..=CALLS + 2 {
            for lines in 0..=CALLS + 2 {
                let paper = Paper { full: first..first + lines, ..Paper::default() };
                let text = Arc::clone(&paper.text);
                let mut reader =
                    RecordingReader::begin(NoCards, Box::new(paper), clock.clone(), Redaction::Standard).unwrap();
                let monitor = reader.monitor();
                for _ in 0..CALLS {
                    assert!(matches!(reader.wait_for_card(Deadline::at(monitor.now())), Err(CardError::Timeout)));
                }
                drop(reader);
                let trace = Trace::from_reader(&mut text.lock().unwrap().as_slice()).unwrap();
                let waits = trace.entries.iter().filter(|entry| matches!(entry.event, Event::Wait { .. })).count();
                let lost = CALLS - waits as u64;
                let is_struck = lines > 0 && first <= CALLS + 1;
                assert_eq!(monitor.fault(), is_struck.then_some(io::ErrorKind::StorageFull));
                match trace.completeness {
                    Completeness::Complete => assert!(!is_struck && lost == 0),
                    Completeness::Gaps { lost: told } => assert!(is_struck && told == lost),
                    Completeness::CutOff => assert!(first + lines > CALLS + 1, "{first} {lines}"),
                }
            }
        }
    }
}
