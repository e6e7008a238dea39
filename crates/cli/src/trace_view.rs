//! A trace as people and machines see it.

use std::io;

use apdu::StatusWord;
use card_reader::CardError;
use card_reader::trace::{
    Answer, Application, Command, CommandName, Completeness, Element, Ending, Entry, ErrorName, Event, Move, Object,
    Trace,
};
use serde::Serialize;

use crate::messages::{Messages, Value};
use crate::report::Report;
use crate::screen::{Entry as Line, INDENT, Mark, Screen};

/// Columns of the bar that shows how long an exchange took.
const BAR_COLUMNS: u64 = 8;
/// Parts of a column that a bar can fill: U+258F to U+2588.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// What `card trace show` shows.
#[derive(Debug)]
pub struct TraceView(Trace);

/// The document of a trace.
#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    reader: &'a str,
    started: &'a str,
    unredacted: bool,
    /// `complete`, `gaps`, `cut-off`.
    completeness: &'static str,
    summary: Summary,
    entries: Vec<DocumentLine<'a>>,
}

/// A line of the file, with what it means.
#[derive(Serialize)]
struct DocumentLine<'a> {
    line: usize,
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<CommandName>,
    /// What the status word means, in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
}

/// A trace in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    /// Commands that were sent, or tried.
    commands: u64,
    /// Bytes of data in commands.
    data_out: u64,
    /// Bytes of data in answers.
    data_in: u64,
    /// Time that exchanges took.
    exchanges_us: u64,
    /// From the first line to the last.
    whole_us: u64,
}

impl TraceView {
    /// A view on `trace`.
    #[must_use]
    pub fn new(trace: Trace) -> Self {
        Self(trace)
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for entry in &self.0.entries {
            summary.whole_us = summary.whole_us.max(entry.at_us.saturating_add(entry.took_us));
            if let Event::Exchange { command, answer, .. } = &entry.event {
                summary.commands += 1;
                summary.data_out += command.data.length() as u64;
                summary.data_in += answer.as_ref().map_or(0, |answer| answer.data.length() as u64);
                summary.exchanges_us = summary.exchanges_us.saturating_add(entry.took_us);
            }
        }
        summary
    }

    fn longest_us(&self) -> u64 {
        let exchanges = self.0.entries.iter().filter(|entry| matches!(entry.event, Event::Exchange { .. }));
        exchanges.map(|entry| entry.took_us).max().unwrap_or(0)
    }
}

impl Serialize for TraceView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Trace { header, completeness, .. } = &self.0;
        let document = Document {
            ok: true,
            reader: &header.reader,
            started: &header.started,
            unredacted: header.unredacted,
            completeness: match completeness {
                Completeness::Complete => "complete",
                Completeness::Gaps { .. } => "gaps",
                Completeness::CutOff => "cut-off",
            },
            summary: self.summary(),
            entries: self
                .0
                .conversation()
                .map(|(line, entry, name)| DocumentLine { line, entry, name, meaning: meaning(entry) })
                .collect(),
        };
        document.serialize(serializer)
    }
}

fn meaning(entry: &Entry) -> Option<&'static str> {
    match &entry.event {
        Event::Exchange { answer: Some(answer), .. } => Some(answer.status.meaning()),
        _ => None,
    }
}

impl Report for TraceView {
    fn succeeded(&self) -> bool {
        true
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let Trace { header, completeness, .. } = &self.0;
        let Summary { commands, data_out, data_in, exchanges_us, whole_us } = self.summary();
        screen.heading(&header.reader, &header.started)?;
        if header.unredacted {
            screen.verdict(Mark::Failed, &messages.get("trace-unredacted"))?;
        }
        screen.align([clock(whole_us)]);
        let longest = self.longest_us();
        for (_, entry, name) in self.0.conversation() {
            let teller = Teller { messages, longest_us: longest };
            if let Some((mark, line)) = teller.line(entry, name) {
                screen.entry(mark, &line)?;
            }
        }
        screen.gap()?;
        let args = [
            ("commands", commands.into()),
            ("sent", data_out.into()),
            ("received", data_in.into()),
            ("exchanges", duration(exchanges_us).into()),
            ("whole", duration(whole_us).into()),
        ];
        screen.text(INDENT, &messages.text("trace-summary", &args))?;
        match completeness {
            Completeness::Complete => Ok(()),
            Completeness::Gaps { lost } => {
                screen.verdict(Mark::Failed, &messages.text("trace-gaps", &[("count", (*lost).into())]))
            }
            Completeness::CutOff => screen.verdict(Mark::Failed, &messages.get("trace-cut-off")),
        }
    }
}

/// Puts one line into words.
struct Teller<'a> {
    messages: &'a Messages,
    longest_us: u64,
}

impl Teller<'_> {
    /// The line for an entry; none for what only machines want to know.
    fn line(&self, entry: &Entry, name: Option<CommandName>) -> Option<(Mark, Line)> {
        let get = |key: &str| self.messages.get(key);
        let (mark, parts) = match &entry.event {
            Event::Exchange { command, answer, error } => {
                let (mut mark, outcome) = self.outcome(answer.as_ref(), *error);
                if is_question(command, answer.as_ref()) {
                    mark = Mark::Plain;
                }
                let name = self.name(command, name);
                let lengths = lengths(command, answer.as_ref());
                (mark, vec![format!("{} {name}", bar(entry.took_us, self.longest_us)), lengths, outcome])
            }
            // The deadline was for a person with a card, not for the card.
            Event::Wait { error: Some(name) } if *name == ErrorName::from(&CardError::Timeout) => {
                self.moment("trace-wait", Some(ErrorName::from(&CardError::NoCard)))
            }
            Event::Wait { error } => self.moment("trace-wait", *error),
            Event::Connect { card, error } => {
                let (mark, mut parts) = self.moment("trace-connect", *error);
                if let Some(card) = card {
                    let atr = card.atr.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
                    let key = if card.extended_length { "trace-card-extended" } else { "trace-card-short" };
                    let args = [("atr", atr.into()), ("most", card.max_command.into())];
                    parts.push(self.messages.text(key, &args));
                }
                (mark, parts)
            }
            Event::Begin { error } => self.moment("trace-begin", *error),
            Event::End { how, error } => self.moment(
                match how {
                    Ending::Leave => "trace-end-leave",
                    Ending::Reset => "trace-end-reset",
                    Ending::PowerOff => "trace-end-power-off",
                    Ending::Dropped => "trace-end-dropped",
                },
                *error,
            ),
            Event::WasReset => (Mark::Failed, vec![get("trace-was-reset")]),
            Event::Hand { did } => {
                let key = match did {
                    Move::Removed => "trace-hand-removed",
                    Move::Inserted => "trace-hand-inserted",
                    Move::Reset => "trace-hand-reset",
                };
                (Mark::Plain, vec![get(key)])
            }
            Event::Gap { lost } => (Mark::Failed, vec![self.messages.text("trace-gap", &[("count", (*lost).into())])]),
            _ => return None,
        };
        let line = Line::new(clock(entry.at_us), parts);
        let is_timed = matches!(entry.event, Event::Exchange { .. } | Event::Wait { .. } | Event::Connect { .. });
        Some((mark, if is_timed { line.took(duration(entry.took_us)) } else { line }))
    }

    /// Something that is no exchange, and why it failed.
    fn moment(&self, key: &str, error: Option<ErrorName>) -> (Mark, Vec<String>) {
        let text = self.messages.get(key);
        match error {
            Some(error) => (Mark::Failed, vec![text, self.error(error.as_str())]),
            None => (Mark::Plain, vec![text]),
        }
    }

    fn outcome(&self, answer: Option<&Answer>, error: Option<ErrorName>) -> (Mark, String) {
        let Some(answer) = answer else {
            return (Mark::Failed, self.error(error.map_or("other", ErrorName::as_str)));
        };
        let status = answer.status;
        let is_well = status.is_ok() || status.more_data().is_some();
        let args: [(&str, Value); 2] = [
            ("count", status.tries_left().map_or_else(|| u64::from(status.0 & 0xFF), u64::from).into()),
            ("status", status.to_string().into()),
        ];
        let text = format!("{status} {}", self.messages.text(status_key(status), &args));
        (if is_well { Mark::Done } else { Mark::Failed }, text)
    }

    fn error(&self, name: &str) -> String {
        self.messages.get(&format!("error-reader-{name}"))
    }

    fn name(&self, command: &Command, name: Option<CommandName>) -> String {
        let [cla, ins, p1, p2] = command.header;
        let header = format!("{cla:02X} {ins:02X} {p1:02X} {p2:02X}");
        let Some(CommandName { instruction, object, is_chained }) = name else { return header };
        let mut text = instruction.map_or(header, str::to_owned);
        if let Some(object) = object {
            text = format!("{text} {}", self.object(object));
        }
        if is_chained {
            text = format!("{text} …");
        }
        text
    }

    fn object(&self, object: Object) -> String {
        match object {
            Object::Application(application) => self.messages.get(application_key(application)),
            Object::Element(element) => self.messages.get(element_key(element)),
            Object::FileId(file) => format!("{file:04X}"),
            Object::Slots(kind) => self.messages.kind(kind),
            _ => String::new(),
        }
    }
}

/// VERIFY without a PIN only asks how many tries are left (ISO/IEC 7816-4 §11.5.6).
fn is_question(command: &Command, answer: Option<&Answer>) -> bool {
    command.data.length() == 0 && answer.is_some_and(|answer| answer.status.tries_left().is_some())
}

fn lengths(command: &Command, answer: Option<&Answer>) -> String {
    let sent = command.data.length();
    match answer.map(|answer| answer.data.length()) {
        Some(received) => format!("{sent} → {received}"),
        None => format!("{sent} →"),
    }
}

/// A bar for a time's share of the longest one, in eighths of a column. Its length goes with the square root: beside a key pair, which takes
/// seconds, milliseconds can still be told apart.
fn bar(took_us: u64, longest_us: u64) -> String {
    let whole = u128::from(BAR_COLUMNS) * EIGHTHS.len() as u128;
    let share = (u128::from(took_us) * whole * whole / u128::from(longest_us.max(1))).isqrt();
    let eighths = usize::try_from(share).unwrap_or(0).max(usize::from(took_us > 0));
    let mut bar: String = std::iter::repeat_n(EIGHTHS[7], eighths / EIGHTHS.len()).collect();
    if let Some(rest) = (eighths % EIGHTHS.len()).checked_sub(1) {
        bar.push(EIGHTHS[rest]);
    }
    let columns = usize::try_from(BAR_COLUMNS).unwrap_or(0);
    format!("{bar:columns$}")
}

/// A point in time, in seconds.
fn clock(us: u64) -> String {
    format!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000)
}

/// How long something took, to three digits or so.
fn duration(us: u64) -> String {
    match us {
        0..100_000 => format!("{}.{:02} ms", us / 1_000, us / 10 % 100),
        100_000..10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

const fn application_key(application: Application) -> &'static str {
    match application {
        Application::Jpki => "application-name-jpki",
        Application::FaceCheck => "application-name-face-check",
        Application::FaceInput => "application-name-face-input",
        Application::Juki => "application-name-juki",
        Application::Common => "application-name-common",
        Application::SecurityDomain => "application-name-security-domain",
        _ => "application-name-other",
    }
}

const fn element_key(element: Element) -> &'static str {
    match element {
        Element::SignCertificate => "certificate-signature",
        Element::AuthCertificate => "certificate-authentication",
        Element::SignCaCertificate => "element-sign-ca-certificate",
        Element::AuthCaCertificate => "element-auth-ca-certificate",
        Element::TokenInfo => "element-token-info",
        Element::CertificateAvailability => "element-certificate-availability",
        Element::SignKey => "element-sign-key",
        Element::AuthKey => "element-auth-key",
        Element::SignPin => "element-sign-pin",
        Element::AuthPin => "element-auth-pin",
        Element::MyNumber => "element-my-number",
        Element::BasicFour => "element-basic-four",
        Element::FaceInputPin => "element-face-input-pin",
        Element::CheckNumberA => "element-check-number-a",
        Element::CheckNumberB => "element-check-number-b",
        Element::Integrity => "element-integrity",
        Element::Age => "element-age",
        Element::Face => "element-face",
        Element::MyNumberImage => "element-my-number-image",
        Element::BirthNumber => "element-birth-number",
        Element::ApplicationKey => "element-application-key",
        Element::ApplicationCertificate => "element-application-certificate",
        Element::Information => "element-information",
        Element::CardRecord => "element-card-record",
        Element::KeyReference => "element-key-reference",
        Element::AuthenticationKey => "element-authentication-key",
        Element::JukiPin => "element-juki-pin",
        _ => "element-other",
    }
}

/// The key of what a status word means.
const fn status_key(status: StatusWord) -> &'static str {
    match status {
        StatusWord::OK => "status-ok",
        StatusWord::END_OF_FILE => "status-end-of-file",
        StatusWord::DEACTIVATED => "status-deactivated",
        StatusWord::AUTHENTICATION_FAILED => "status-authentication-failed",
        StatusWord::NO_TRIES_LEFT => "status-no-tries-left",
        StatusWord::MEMORY_FAILURE => "status-memory-failure",
        StatusWord::WRONG_LENGTH => "status-wrong-length",
        StatusWord::LOGICAL_CHANNEL_NOT_SUPPORTED => "status-logical-channel-not-supported",
        StatusWord::SECURE_MESSAGING_NOT_SUPPORTED => "status-secure-messaging-not-supported",
        StatusWord::LAST_COMMAND_EXPECTED => "status-last-command-expected",
        StatusWord::CHAINING_NOT_SUPPORTED => "status-chaining-not-supported",
        StatusWord::INCOMPATIBLE_WITH_FILE => "status-incompatible-with-file",
        StatusWord::SECURITY_STATUS_NOT_SATISFIED => "status-security-status-not-satisfied",
        StatusWord::AUTHENTICATION_METHOD_BLOCKED => "status-authentication-method-blocked",
        StatusWord::REFERENCE_DATA_NOT_USABLE => "status-reference-data-not-usable",
        StatusWord::CONDITIONS_NOT_SATISFIED => "status-conditions-not-satisfied",
        StatusWord::NO_CURRENT_FILE => "status-no-current-file",
        StatusWord::SECURE_MESSAGING_DATA_MISSING => "status-secure-messaging-data-missing",
        StatusWord::SECURE_MESSAGING_DATA_INCORRECT => "status-secure-messaging-data-incorrect",
        StatusWord::WRONG_DATA => "status-wrong-data",
        StatusWord::FUNCTION_NOT_SUPPORTED => "status-function-not-supported",
        StatusWord::FILE_NOT_FOUND => "status-file-not-found",
        StatusWord::RECORD_NOT_FOUND => "status-record-not-found",
        StatusWord::NOT_ENOUGH_MEMORY => "status-not-enough-memory",
        StatusWord::INCORRECT_P1_P2 => "status-incorrect-p1-p2",
        StatusWord::REFERENCED_DATA_NOT_FOUND => "status-referenced-data-not-found",
        StatusWord::OFFSET_OUTSIDE_FILE => "status-offset-outside-file",
        StatusWord::INSTRUCTION_NOT_SUPPORTED => "status-instruction-not-supported",
        StatusWord::CLASS_NOT_SUPPORTED => "status-class-not-supported",
        StatusWord::NO_PRECISE_DIAGNOSIS => "status-no-precise-diagnosis",
        _ if status.tries_left().is_some() => "status-tries-left",
        _ => match status.0 >> 8 {
            0x61 => "status-more-data",
            0x62 => "status-warning-unchanged",
            0x63 => "status-warning-changed",
            0x64 => "status-failed-unchanged",
            0x65 => "status-failed-changed",
            0x68 => "status-class-not-supported",
            0x69 => "status-not-allowed",
            0x6A => "status-wrong-parameters",
            0x6C => "status-wrong-le",
            _ => "status-unknown",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_shares() {
        for (took, longest, expected) in [
            (0, 100, "        "),
            (1, 1_000_000, "▏       "),
            (10_000, 1_000_000, "▊       "),
            (25, 100, "████    "),
            (27, 100, "████▏   "),
            (50, 100, "█████▋  "),
            (100, 100, "████████"),
            (0, 0, "        "),
            (u64::MAX, u64::MAX, "████████"),
        ] {
            assert_eq!(bar(took, longest), expected, "{took} of {longest}");
        }
    }

    #[test]
    fn times_have_the_digits_that_matter() {
        for (us, expected) in [
            (0, "0.00 ms"),
            (1_234, "1.23 ms"),
            (99_999, "99.99 ms"),
            (123_456, "123 ms"),
            (9_999_999, "9999 ms"),
            (12_345_678, "12.3 s"),
        ] {
            assert_eq!(duration(us), expected);
        }
        assert_eq!(clock(12_345_678), "12.345");
    }
}
