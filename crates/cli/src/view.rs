//! A procedure as a person sees it: one line per step, live on a terminal.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use jpki::CertificateKind;
use orchestrator::{KeyChangeStep, Progress, Settlement, SlotFound, Step};

use crate::explanation::{Explanation, retry_reason};
use crate::messages::{Messages, Value};
use crate::screen::{Entry, INDENT, Mark, Screen, seconds};

/// A step that takes longer is shown with its own time.
const NOTABLE_MS: u64 = 1_000;

/// Shows [`Progress`] to a person.
pub struct HumanView {
    screen: Screen,
    messages: Arc<Messages>,
    verbose: bool,
    /// Why captures were taken again, since the log-on began.
    retries: Vec<String>,
    line: Option<StepLine>,
    /// The first failure to write: shown by nobody, kept for the exit status.
    fault: Option<io::Error>,
}

/// Steps that stand on one line.
struct StepLine {
    group: Group,
    done: Vec<String>,
    running: Option<Running>,
    elapsed_ms: u64,
}

/// A step that has begun.
struct Running {
    name: String,
    since: Instant,
}

/// What a line of steps is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The PINs, of which all are asked for before the first key is made.
    Pins,
    /// The steps on one kind of certificate.
    Kind(CertificateKind),
}

impl Group {
    fn of(kind: CertificateKind, step: Step) -> Self {
        if step == Step::Pin { Self::Pins } else { Self::Kind(kind) }
    }
}

impl HumanView {
    /// A view on `screen`; with the technical view if `verbose`.
    #[must_use]
    pub fn new(mut screen: Screen, messages: Arc<Messages>, verbose: bool) -> Self {
        const LABELS: [&str; 8] = [
            "progress-log-on",
            "progress-interruption",
            "progress-application",
            "progress-card",
            "progress-settle",
            "progress-erase",
            "progress-log-off",
            "kind-authentication",
        ];
        screen.align(LABELS.map(|key| messages.get(key)));
        Self { screen, messages, verbose, retries: Vec::new(), line: None, fault: None }
    }

    /// The screen, for what is not progress. What is under way is closed first.
    pub fn screen(&mut self) -> &mut Screen {
        self.end_line(Mark::Done);
        &mut self.screen
    }

    /// The language and the texts.
    #[must_use]
    pub fn messages(&self) -> Arc<Messages> {
        Arc::clone(&self.messages)
    }

    /// Is the technical view wanted?
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// The first failure to write, once.
    pub fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take()
    }

    /// Shows what happened.
    pub fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::StepStarted { kind, step } => self.step_started(*kind, *step),
            Progress::StepDone { kind, step, elapsed_ms } => self.step_done(*kind, *step, *elapsed_ms),
            Progress::Apdu { header, sent, received, status } => self.technical(
                "progress-apdu",
                &[
                    ("header", header.as_str().into()),
                    ("sent", (*sent).into()),
                    ("received", (*received).into()),
                    ("status", status.as_str().into()),
                ],
            ),
            Progress::Message { kind, sent, received } => self.technical(
                "progress-message",
                &[("kind", kind.as_str().into()), ("sent", (*sent).into()), ("received", (*received).into())],
            ),
            Progress::AuthorityRetried { attempt } => {
                let again = self.messages.text("progress-authority-retried", &[("attempt", (*attempt).into())]);
                self.aside(&again);
            }
            Progress::CardLost => {
                self.interrupt_line();
                let lost = Entry::new(self.messages.get("progress-card"), [self.messages.get("progress-card-lost")]);
                self.entry(Mark::Plain, &lost);
            }
            other => {
                self.end_line(Mark::Done);
                self.show_event(other);
            }
        }
    }

    /// Shows that a long step still runs. To be called now and then.
    pub(crate) fn tick(&mut self) {
        if self.line.as_ref().is_some_and(|line| line.running.is_some()) {
            self.draw_line();
        }
    }

    /// Tells why it ended.
    pub fn failed(&mut self, explanation: &Explanation, source: &dyn std::error::Error) {
        self.end_line(Mark::Failed);
        let written = self.screen.explanation(explanation, &self.messages);
        self.note(written);
        if self.verbose {
            let chain = self.messages.text("error-technical", &[("chain", chain(source).into())]);
            self.text(&chain);
        }
    }

    /// A palm was recognised, perhaps after some captures that were no good.
    fn palm_shown(&mut self, label: &str, operator: &str, captures: u32, elapsed_ms: u64) {
        let mut parts = vec![self.messages.text("progress-log-on-done", &[("operator", operator.into())])];
        if !self.retries.is_empty() {
            let reasons = std::mem::take(&mut self.retries).join(&self.messages.get("list-separator"));
            let args = [("captures", captures.into()), ("reasons", reasons.into())];
            parts.push(self.messages.text("progress-captures", &args));
        }
        self.entry(Mark::Done, &Entry::new(self.messages.get(label), parts).took(seconds(elapsed_ms)));
    }

    fn show_event(&mut self, progress: &Progress) {
        let text = |key: &str| self.messages.get(key);
        let with = |key: &str, args: &[(&str, Value)]| self.messages.text(key, args);
        match progress {
            Progress::CaptureRetried { reason, .. } => {
                let reason = text(retry_reason(reason));
                let again = with("progress-capture-retried", &[("reason", reason.as_str().into())]);
                self.retries.push(with("retry-quoted", &[("reason", reason.into())]));
                self.open(&Entry::new(text("progress-log-on"), [again]));
            }
            Progress::LoggedOn { operator, captures, elapsed_ms } => {
                self.palm_shown("progress-log-on", operator, *captures, *elapsed_ms);
            }
            Progress::SecondPerson { operator, captures, elapsed_ms } => {
                self.palm_shown("progress-second-person", operator, *captures, *elapsed_ms);
            }
            Progress::LogOnRefused => {
                let mut parts = vec![text("progress-log-on-refused")];
                let mut reasons = std::mem::take(&mut self.retries);
                reasons.dedup();
                if !reasons.is_empty() {
                    let reasons = reasons.join(&text("list-separator"));
                    parts.push(with("progress-refused-captures", &[("reasons", reasons.into())]));
                }
                self.entry(Mark::Failed, &Entry::new(text("progress-log-on"), parts));
            }
            Progress::InterruptionFound { open_intents } => {
                let found = with("progress-interruption-found", &[("count", (*open_intents).into())]);
                self.entry(Mark::Done, &Entry::new(text("progress-interruption"), [found]));
            }
            Progress::ApplicationTaken { kinds, substituted, elapsed_ms } => {
                let kinds = self.messages.kinds(kinds);
                let mut parts = vec![with("progress-application-taken", &[("kinds", kinds.into())])];
                if *substituted > 0 {
                    parts.push(with("progress-application-substituted", &[("count", (*substituted).into())]));
                }
                self.entry(Mark::Done, &Entry::new(text("progress-application"), parts).took(seconds(*elapsed_ms)));
            }
            Progress::CardRecognised { slots, elapsed_ms } => {
                let mut parts = vec![self.slots(slots)];
                if slots.iter().any(|slot| !slot.pending_slot) {
                    parts.push(text("progress-card-overwrites"));
                }
                self.entry(Mark::Done, &Entry::new(text("progress-card"), parts).took(seconds(*elapsed_ms)));
            }
            Progress::CardKeys { version, step } => {
                let key = match step {
                    KeyChangeStep::Added => "progress-card-keys-added",
                    KeyChangeStep::Proved => "progress-card-keys-proved",
                    KeyChangeStep::Removed => "progress-card-keys-removed",
                    KeyChangeStep::RolledBack => "progress-card-keys-rolled-back",
                };
                let mark = if *step == KeyChangeStep::RolledBack { Mark::Plain } else { Mark::Done };
                let what = with(key, &[("version", u64::from(*version).into())]);
                self.entry(mark, &Entry::new(text("progress-card-keys"), [what]));
            }
            Progress::Settled { kind, how } => {
                let key = match how {
                    Settlement::Committed => "progress-settled-committed",
                    Settlement::ConfirmedAndCommitted => "progress-settled-confirmed-and-committed",
                    Settlement::Discarded => "progress-settled-discarded",
                    Settlement::Superseded => "progress-settled-superseded",
                };
                let how = with(key, &[("kind", self.messages.kind(*kind).into())]);
                self.entry(Mark::Done, &Entry::new(text("progress-settle"), [how]));
            }
            Progress::Erased => {
                self.entry(Mark::Done, &Entry::new(text("progress-erase"), [text("progress-erased")]));
            }
            Progress::LoggedOff => {
                self.entry(Mark::Done, &Entry::new(text("progress-log-off"), [text("progress-logged-off")]));
            }
            // Shown by `show` already, or not known to this version.
            _ => {}
        }
    }

    fn slots(&self, slots: &[SlotFound]) -> String {
        if slots.iter().all(|slot| !slot.active && !slot.pending) {
            return self.messages.get("progress-card-new");
        }
        let texts: Vec<String> = slots.iter().map(|slot| slot_text(&self.messages, slot)).collect();
        let slots = texts.join(&self.messages.get("progress-slot-separator"));
        self.messages.text("progress-card-found", &[("slots", slots.into())])
    }

    fn step_started(&mut self, kind: CertificateKind, step: Step) {
        let name = self.step_name(kind, step);
        self.line_of(Group::of(kind, step)).running = Some(Running { name, since: Instant::now() });
        self.draw_line();
    }

    fn step_done(&mut self, kind: CertificateKind, step: Step, elapsed_ms: u64) {
        let name = self.step_name(kind, step);
        let text = if elapsed_ms >= NOTABLE_MS {
            let key = if step == Step::GenerateKey { "step-timed-by-card" } else { "step-timed" };
            self.messages.text(key, &[("step", name.into()), ("time", seconds(elapsed_ms).into())])
        } else {
            name
        };
        let line = self.line_of(Group::of(kind, step));
        line.running = None;
        line.done.push(text);
        line.elapsed_ms += elapsed_ms;
        self.draw_line();
    }

    /// What a step is called on its line.
    fn step_name(&self, kind: CertificateKind, step: Step) -> String {
        match Group::of(kind, step) {
            Group::Pins => self.messages.kind(kind),
            Group::Kind(_) => self.messages.get(step_key(step)),
        }
    }

    /// The line of `group`; the line of another group is closed.
    fn line_of(&mut self, group: Group) -> &mut StepLine {
        if self.line.as_ref().is_some_and(|line| line.group != group) {
            self.end_line(Mark::Done);
        }
        self.line.get_or_insert_with(|| StepLine { group, done: Vec::new(), running: None, elapsed_ms: 0 })
    }

    fn label(&self, group: Group) -> String {
        match group {
            Group::Pins => self.messages.get(step_key(Step::Pin)),
            Group::Kind(kind) => self.messages.kind(kind),
        }
    }

    fn draw_line(&mut self) {
        if let Some(line) = &self.line {
            let running = line.running.as_ref().map(|running| {
                let step = ("step", running.name.as_str().into());
                match running.since.elapsed().as_secs() {
                    0 => self.messages.text("step-running", &[step]),
                    passed => self.messages.text("step-running-for", &[step, ("seconds", passed.into())]),
                }
            });
            let parts = line.done.iter().cloned().chain(running);
            let entry = Entry::new(self.label(line.group), parts);
            self.open(&entry);
        }
    }

    fn end_line(&mut self, mark: Mark) {
        if let Some(line) = self.line.take() {
            // A step that began and did not end is where it failed.
            let mark = if line.running.is_some() { Mark::Failed } else { mark };
            let unfinished = line.running.map(|step| format!("✗ {}", step.name));
            let parts = line.done.into_iter().chain(unfinished);
            let entry = Entry::new(self.label(line.group), parts).took(seconds(line.elapsed_ms));
            self.entry(mark, &entry);
        }
    }

    /// Closes the line of a step that was broken off and will be done again.
    fn interrupt_line(&mut self) {
        if let Some(line) = &mut self.line
            && let Some(step) = line.running.take()
        {
            line.done.push(self.messages.text("step-interrupted", &[("step", step.name.into())]));
            self.end_line(Mark::Plain);
        }
    }

    fn technical(&mut self, key: &str, args: &[(&str, Value)]) {
        if self.verbose {
            let text = self.messages.text(key, args);
            self.aside(&text);
        }
    }

    /// A text that stands above the line that is under way.
    fn aside(&mut self, text: &str) {
        let written = self.screen.text(2 * INDENT, text);
        self.note(written);
        self.draw_line();
    }

    fn open(&mut self, entry: &Entry) {
        let written = self.screen.open_entry(entry);
        self.note(written);
    }

    fn entry(&mut self, mark: Mark, entry: &Entry) {
        let written = self.screen.entry(mark, entry);
        self.note(written);
    }

    fn text(&mut self, text: &str) {
        let written = self.screen.text(INDENT, text);
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.fault.get_or_insert(error);
        }
    }
}

/// What is in the slots of one kind.
#[must_use]
pub fn slot_text(messages: &Messages, slot: &SlotFound) -> String {
    let state = messages.get(match (slot.active, slot.pending) {
        (false, false) => "progress-slot-empty",
        (true, false) => "progress-slot-active",
        (false, true) if !slot.pending_slot => "progress-slot-interrupted",
        (false, true) => "progress-slot-pending",
        (true, true) => "progress-slot-active-pending",
    });
    messages.text("progress-slot", &[("kind", messages.kind(slot.kind).into()), ("state", state.into())])
}

/// The key of a step's name.
pub(crate) const fn step_key(step: Step) -> &'static str {
    match step {
        Step::Pin => "step-pin",
        Step::GenerateKey => "step-generate-key",
        Step::ImportKey => "step-import-key",
        Step::Request => "step-request",
        Step::Check => "step-check",
        Step::Write => "step-write",
        Step::Exercise => "step-exercise",
        Step::Confirm => "step-confirm",
        Step::Commit => "step-commit",
        Step::Supersede => "step-supersede",
    }
}

/// An error and all its causes, in the technical language.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // A wrapper may say the same as what it wraps.
    texts.dedup();
    texts.join(": ")
}
