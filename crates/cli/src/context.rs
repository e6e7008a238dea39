//! What every command has at hand: folder, language, view.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use card_reader::CardReader;
use card_reader::trace::{Completeness, CreateError, RecordingReader, Trace, TraceMonitor};
use madoguchi_time::SharedClock;
use orchestrator::{Progress, ProgressSink};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::language::Language;
use crate::messages::Messages;
use crate::reached::Reached;
use crate::report::{Document, FailureDocument, Report};
use crate::screen::{INDENT, Screen};
use crate::summary::Timings;
use crate::view::HumanView;

/// How often what is under way is drawn again.
const TICK: Duration = Duration::from_millis(500);

/// What a command runs in.
pub struct Context {
    folder: PathBuf,
    folder_was_named: bool,
    card_reader: Option<String>,
    palm_sensor: Option<String>,
    hsm: Option<String>,
    trace: Option<PathBuf>,
    recording: Mutex<Recording>,
    messages: Arc<Messages>,
    verbose: bool,
    observed: Arc<Mutex<Observed>>,
    /// As long as it is there, the view shows that long steps still run.
    _alive: Option<Sender<Infallible>>,
}

/// Where the trace that the command line asks for is made.
#[derive(Default)]
enum Recording {
    /// Nowhere yet.
    #[default]
    NotBegun,
    /// In this process.
    Here(TraceMonitor),
    /// In a process that this one has started.
    Elsewhere,
}

/// Who watches what happens.
struct Observed {
    view: Option<HumanView>,
    timings: Timings,
    reached: Reached,
}

impl Context {
    /// The context of a command line.
    #[must_use]
    pub fn new(global: &Global, default_folder: PathBuf, screen: Screen) -> Self {
        let language = global.lang.unwrap_or_else(Language::from_environment);
        let messages = Arc::new(Messages::new(language));
        let is_live = screen.is_live();
        let view = (!global.json).then(|| HumanView::new(screen, Arc::clone(&messages), global.verbose));
        let observed =
            Arc::new(Mutex::new(Observed { view, timings: Timings::default(), reached: Reached::default() }));
        Self {
            folder: global.state.clone().unwrap_or(default_folder),
            folder_was_named: global.state.is_some(),
            card_reader: global.reader.clone(),
            palm_sensor: global.palm_sensor.clone(),
            hsm: global.hsm.clone(),
            trace: global.trace.clone(),
            recording: Mutex::default(),
            messages,
            verbose: global.verbose,
            _alive: (is_live && !global.json).then(|| keep_alive(Arc::clone(&observed))),
            observed,
        }
    }

    /// The state folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Was the state folder named on the command line?
    #[must_use]
    pub fn folder_was_named(&self) -> bool {
        self.folder_was_named
    }

    /// The card reader that the command line names.
    #[must_use]
    pub fn card_reader(&self) -> Option<&str> {
        self.card_reader.as_deref()
    }

    /// The palm sensor that the command line names.
    #[must_use]
    pub fn palm_sensor(&self) -> Option<&str> {
        self.palm_sensor.as_deref()
    }

    /// The HSM that the command line names, by its URI.
    #[must_use]
    pub fn hsm(&self) -> Option<&str> {
        self.hsm.as_deref()
    }

    /// Has the reader recorded, if the command line asks for a trace.
    ///
    /// # Errors
    /// If the file can't be made: traces are never written over another file.
    pub fn recorded(&self, reader: Box<dyn CardReader>, clock: &SharedClock) -> Result<Box<dyn CardReader>, Failure> {
        let Some(path) = &self.trace else { return Ok(reader) };
        let reader = RecordingReader::create(reader, path, Arc::clone(clock)).map_err(|e| unrecordable(path, e))?;
        *self.recording() = Recording::Here(reader.monitor());
        Ok(Box::new(reader))
    }

    /// The file in which another process of this program has to record the exchanges with the card, if the command line asks for a
    /// trace: what is said of the trace at the end is said of that process's.
    #[must_use]
    pub fn trace_for_another_process(&self) -> Option<&Path> {
        let path = self.trace.as_deref()?;
        *self.recording() = Recording::Elsewhere;
        Some(path)
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of what is to be said of the trace that the command line asks for; none if all is well with it, or if a failure says why
    /// there is none.
    fn trace_remark(&self, has_failed: bool) -> Option<&'static str> {
        let path = self.trace.as_ref()?;
        match &*self.recording() {
            Recording::Here(monitor) => monitor.fault().map(|_| "trace-incomplete"),
            Recording::Elsewhere => {
                let is_whole = Trace::read(path).is_ok_and(|trace| trace.completeness == Completeness::Complete);
                (!has_failed && !is_whole).then_some("trace-incomplete")
            }
            Recording::NotBegun => (!has_failed).then_some("trace-not-begun"),
        }
    }

    /// The texts in the person's language.
    #[must_use]
    pub fn messages(&self) -> Arc<Messages> {
        Arc::clone(&self.messages)
    }

    /// Is the technical view wanted?
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Is one JSON document wanted?
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.observed().view.is_none()
    }

    /// Where the terminal tells what happens: to the view, and to the times that [`Context::timings`] gives.
    #[must_use]
    pub fn progress(&self) -> ProgressSink {
        let observed = Arc::clone(&self.observed);
        Box::new(move |progress: &Progress| {
            let mut observed = observed.lock().unwrap_or_else(PoisonError::into_inner);
            observed.timings.observe(progress);
            observed.reached.observe(progress);
            if let Some(view) = &mut observed.view {
                view.show(progress);
            }
        })
    }

    /// The times seen so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.observed().timings.clone()
    }

    /// Writes to the screen, if a person watches.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn screen(&self, write: impl FnOnce(&mut Screen, &Messages) -> io::Result<()>) -> Result<(), Failure> {
        match &mut self.observed().view {
            Some(view) => Ok(write(view.screen(), &self.messages)?),
            None => Ok(()),
        }
    }

    /// Shows why something failed, if a person watches. For a failure that does not end the command.
    pub fn tell(&self, failure: &Failure) {
        if let Some(view) = &mut self.observed().view {
            view.failed(&failure.explain(&self.messages), failure);
        }
    }

    /// Says how the command ended.
    pub(crate) fn conclude(&self, outcome: &Result<Box<dyn Report>, Failure>) -> Result<(), Failure> {
        let mut observed = self.observed();
        if let Some(remark) = self.trace_remark(outcome.is_err()) {
            let remark = self.messages.get(remark);
            match &mut observed.view {
                Some(view) => view.screen().text(INDENT, &remark)?,
                None => tracing::warn!("{remark}"),
            }
        }
        let reached = std::mem::take(&mut observed.reached);
        match (&mut observed.view, outcome) {
            (Some(view), Ok(report)) => {
                report.show(view.screen(), &self.messages)?;
                view.take_fault().map_or(Ok(()), |fault| Err(fault.into()))
            }
            (Some(view), Err(failure)) => {
                view.failed(&failure.explain(&self.messages), failure);
                Ok(reached.show(view.screen(), &self.messages)?)
            }
            (None, Ok(report)) => print(&**report),
            (None, Err(failure)) => print(&FailureDocument::new(&failure.explain(&self.messages), &reached)),
        }
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws what is under way again and again, until the answer is dropped.
fn keep_alive(observed: Arc<Mutex<Observed>>) -> Sender<Infallible> {
    let (alive, gone) = mpsc::channel();
    thread::spawn(move || {
        while gone.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if let Some(view) = &mut observed.lock().unwrap_or_else(PoisonError::into_inner).view {
                view.tick();
            }
        }
    });
    alive
}

fn unrecordable(path: &Path, error: CreateError) -> Failure {
    let key = match &error {
        CreateError::Io(error) if error.kind() == io::ErrorKind::AlreadyExists => "error-trace-exists",
        _ => "error-trace-unwritable",
    };
    let args = vec![("path", path.display().to_string().into())];
    Failure::Own { key, args, source: Some(Box::new(error)) }
}

fn print(document: &(impl Document + ?Sized)) -> Result<(), Failure> {
    use io::Write as _;
    let text = document.document().map_err(io::Error::from)?;
    Ok(writeln!(io::stdout(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use card_reader::trace::{Completeness, Trace};
    use card_reader::{CardConnection, CardError};
    use madoguchi_time::{Deadline, SystemClock};

    use super::*;
    use crate::arguments::{Arguments, NoOwnCommands};
    use crate::screen::tests::Paper;

    /// A reader that nobody has put a card into.
    struct Empty;

    impl CardReader for Empty {
        fn name(&self) -> &str {
            "SIM-EMPTY"
        }

        fn wait_for_card(&mut self, _deadline: Deadline) -> Result<(), CardError> {
            Err(CardError::Timeout)
        }

        fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
            Err(CardError::NoCard)
        }
    }

    fn context(line: &str) -> (Context, Paper) {
        let line = format!("madoguchi doctor --lang en {line}");
        let arguments = Arguments::<NoOwnCommands>::read("madoguchi", line.split_whitespace()).unwrap();
        let paper = Paper::default();
        let screen = Screen::plain(Box::new(paper.clone()), 80);
        (Context::new(&arguments.global, PathBuf::from("/nowhere"), screen), paper)
    }

    fn failed() -> Result<Box<dyn Report>, Failure> {
        Err(orchestrator::ProcedureError::NoCard.into())
    }

    #[test]
    fn what_goes_through_the_reader_is_recorded_if_the_command_line_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.trace");
        let clock = SystemClock::shared();
        let (silent, _) = context("");
        silent.recorded(Box::new(Empty), &clock).unwrap();

        let (asked, paper) = context(&format!("--trace {}", path.display()));
        let mut reader = asked.recorded(Box::new(Empty), &clock).unwrap();
        assert!(reader.connect(clock.deadline_in(Duration::ZERO)).is_err());
        drop(reader);
        let trace = Trace::read(&path).unwrap();
        assert_eq!((trace.completeness, trace.entries.len()), (Completeness::Complete, 2));
        assert!(!trace.header.unredacted, "not even of a simulated card");
        asked.conclude(&failed()).unwrap();
        assert!(!paper.text().contains("trace"), "{}", paper.text());

        let before = fs::read(&path).unwrap();
        let (again, _) = context(&format!("--trace {}", path.display()));
        let refused = again.recorded(Box::new(Empty), &clock).err().unwrap();
        assert_eq!(refused.explain(&again.messages()).code, "trace-exists");
        assert_eq!(fs::read(&path).unwrap(), before);
        let (elsewhere, _) = context("--trace /nowhere/at/all/card.trace");
        let refused = elsewhere.recorded(Box::new(Empty), &clock).err().unwrap();
        assert_eq!(refused.explain(&again.messages()).code, "trace-unwritable");
    }

    #[test]
    fn a_trace_that_was_asked_for_and_not_made_is_missed() {
        let done = || -> Result<Box<dyn Report>, Failure> { Ok(Box::new(crate::Summary::default())) };
        for (outcome, is_missed) in [(done(), true), (failed(), false)] {
            let (context, paper) = context("--trace card.trace");
            context.conclude(&outcome).unwrap();
            assert_eq!(paper.text().contains("No trace was made"), is_missed, "{}", paper.text());
        }
    }

    #[test]
    fn a_trace_that_another_process_makes_is_looked_at_in_the_end() {
        let done = || -> Result<Box<dyn Report>, Failure> { Ok(Box::new(crate::Summary::default())) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.trace");
        let remark_on = |outcome| {
            let (context, paper) = context(&format!("--trace {}", path.display()));
            assert_eq!(context.trace_for_another_process(), Some(path.as_path()));
            context.conclude(&outcome).unwrap();
            paper.text().contains("The trace is incomplete")
        };
        assert!(remark_on(done()), "there is none");
        assert!(!remark_on(failed()), "the failure says why");
        drop(RecordingReader::create(Empty, &path, SystemClock::shared()).unwrap());
        assert!(!remark_on(done()), "it is complete");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.lines().next().unwrap()).unwrap();
        assert!(remark_on(done()), "it was cut off");
    }
}
