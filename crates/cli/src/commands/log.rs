//! `log show|verify`

use std::io;
use std::path::Path;

use audit_log::{Actor, Entry, LogKey, Outcome, Phase};
use orchestrator::{LogVerdict, SiteConfig, Terminal, logbook};
use serde::Serialize;

use crate::composition::{Attendance, Composition, open_ports};
use crate::context::Context;
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry as Line, Mark, Screen};
use crate::summary::in_japan;

pub(super) fn show(
    last: Option<usize>,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let state = composition.state(context.folder())?;
    let mut entries = logbook::entries(&*state)?;
    if let Some(last) = last {
        entries.drain(..entries.len().saturating_sub(last));
    }
    Ok(Box::new(LogReport { ok: true, entries }))
}

pub(super) fn verify(
    key: Option<&Path>,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let verdict = match key {
        Some(file) => with_key(file, composition, context)?,
        None => {
            Terminal::start(open_ports(composition, context, Attendance::Nobody)?, context.progress())?.verify_log()?
        }
    };
    Ok(Box::new(VerdictReport::new(verdict, &context.messages())))
}

/// Verifies a folder with the log's public key alone, as an auditor does.
fn with_key(file: &Path, composition: &impl Composition, context: &Context) -> Result<LogVerdict, Failure> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| Failure::Own {
        key: "error-log-key",
        args: vec![("path", file.display().to_string().into())],
        source: Some(source),
    };
    let state = composition.state(context.folder())?;
    let site = SiteConfig::load(&*state)?;
    let spki = std::fs::read(file).map_err(|error| unusable(error.into()))?;
    let key = LogKey::new(&site.terminal, &spki).map_err(|error| unusable(error.into()))?;
    Ok(logbook::verify(&*state, &key, None)?)
}

/// The operation history.
#[derive(Debug, Serialize)]
struct LogReport {
    ok: bool,
    entries: Vec<Entry>,
}

impl Report for LogReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if self.entries.is_empty() {
            return screen.text(0, &messages.get("history-none"));
        }
        let columns =
            ["history-index", "history-time", "history-who", "history-what", "history-outcome", "history-detail"];
        let mut rows = vec![columns.map(|key| messages.get(key)).to_vec()];
        rows.extend(self.entries.iter().map(|entry| row(entry, messages)));
        screen.table(&rows)
    }
}

fn row(entry: &Entry, messages: &Messages) -> Vec<String> {
    let who = match &entry.actor {
        Actor::Operator(id) => id.to_string(),
        _ => messages.get("history-system"),
    };
    let outcome = match entry.phase {
        Phase::Intent => messages.get("history-intent"),
        Phase::Outcome { intent, outcome } => {
            let outcome = messages.get(match outcome {
                Outcome::Done => "history-done",
                Outcome::Refused => "history-refused",
                Outcome::Failed => "history-failed",
                Outcome::Unknown => "history-unknown",
            });
            format!("{outcome} (#{intent})")
        }
        Phase::Event => String::new(),
    };
    vec![
        format!("#{}", entry.index),
        in_japan(entry.time).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        who,
        step_key(entry.step.as_str()).map_or_else(|| entry.step.to_string(), |key| messages.get(key)),
        outcome,
        entry.detail.as_ref().map(ToString::to_string).unwrap_or_default(),
    ]
}

/// The key of the text for a step of the log; none for a step that this version does not know.
fn step_key(step: &str) -> Option<&'static str> {
    Some(match step {
        "log-on" => "progress-log-on",
        "second-person" => "progress-second-person",
        "log-off" => "progress-logged-off",
        "lock" => "history-lock",
        "hsm-weaker-modes" => "history-hsm-weaker-modes",
        "begin" => "history-begin",
        "end" => "history-end",
        "view" => "history-view",
        "read-holder" => "history-read-holder",
        "read-back" => "history-read-back",
        "set-pin" => "history-set-pin",
        "verify-pin" => "history-verify-pin",
        "generate-key" => "step-generate-key",
        "make-key" => "history-make-key",
        "put-keys" => "history-put-keys",
        "delete-keys" => "history-delete-keys",
        "import-key" => "history-import-key",
        "request" => "step-request",
        "write" => "step-write",
        "confirm" => "history-confirm",
        "reject" => "history-reject",
        "commit" => "step-commit",
        "discard" => "history-discard",
        "supersede" | "retire" => "step-supersede",
        "enrol-operator" => "history-enrol",
        "release-operator" => "history-release",
        "retire-operator" => "history-retire",
        "create-key" => "history-create-key",
        "find-key" => "history-find-key",
        "retire-key" => "history-retire-key",
        "prove-honesty" => "history-prove-honesty",
        "own-key-make" => "history-own-key-make",
        "own-key-destroy" => "history-own-key-destroy",
        "own-certificate-ask" => "history-own-certificate-ask",
        "own-certificate-confirm" => "history-own-certificate-confirm",
        "own-certificate-use" => "history-own-certificate-use",
        "own-certificate-supersede" => "history-own-certificate-supersede",
        "key-ceremony" => "history-key-ceremony",
        _ => return None,
    })
}

/// Whether the history is the one that was written.
#[derive(Debug, Serialize)]
struct VerdictReport {
    ok: bool,
    #[serde(flatten)]
    verdict: LogVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Explanation>,
}

impl VerdictReport {
    fn new(verdict: LogVerdict, messages: &Messages) -> Self {
        let error = (!verdict.verified).then(|| {
            let fault = messages.get(fault_key(verdict.code.unwrap_or_default()));
            Explanation::new(messages, "error-log", &[("fault", fault.into())])
        });
        Self { ok: verdict.verified, verdict, error }
    }
}

impl Report for VerdictReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let entries = ("entries", self.verdict.entries.into());
        let label = messages.get("summary-log");
        match &self.error {
            None => {
                let verified = messages.text("summary-log-verified", &[entries]);
                let witnessed = match self.verdict.witnessed {
                    Some(count) => messages.text("history-witnessed", &[("count", count.into())]),
                    None => messages.get("history-not-witnessed"),
                };
                screen.entry(Mark::Done, &Line::new(label, [verified, witnessed]))
            }
            Some(error) => {
                let not_verified = messages.text("summary-log-not-verified", &[entries]);
                screen.entry(Mark::Failed, &Line::new(label, [not_verified]))?;
                screen.explanation(error, messages)
            }
        }
    }
}

/// The key of the text for a fault of the log, as [`LogVerdict::code`] names it.
fn fault_key(code: &str) -> &'static str {
    match code {
        "malformed" => "log-malformed",
        "misplaced" => "log-misplaced",
        "changed" => "log-changed",
        "truncated" => "log-truncated",
        "rolled-back" => "log-rolled-back",
        "key-replaced" => "log-key-replaced",
        "forged" => "log-forged",
        "other-log" => "log-other-log",
        "not-as-witnessed" => "log-not-as-witnessed",
        "no-checkpoint" => "log-no-checkpoint",
        "accounting" => "log-accounting",
        "open-intents" => "log-open-intents",
        "alarm-on-record" => "log-alarm-on-record",
        _ => "log-other",
    }
}
