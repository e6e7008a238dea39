//! `card show` and `card rekey`

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator::{KeyChange, KeyOrigin, Progress, SlotFound, Terminal};
use serde::Serialize;

use super::announce;
use crate::composition::{Attendance, Composition, open_ports};
use crate::context::Context;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry, Mark, Screen};
use crate::view::slot_text;

/// What the card holds, after what was pending has been settled.
#[derive(Debug, Serialize)]
struct CardReport {
    ok: bool,
    /// As found, before anything was settled.
    slots: Vec<SlotFound>,
    /// What was settled.
    settled: Vec<Progress>,
}

pub(super) fn show(
    operator: &str,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let ports = open_ports(composition, context, Attendance::People)?;
    announce("heading-card", composition, context)?;
    let report = Arc::new(Mutex::new(CardReport { ok: true, slots: Vec::new(), settled: Vec::new() }));
    let seen = Arc::clone(&report);
    let mut watch = context.progress();
    let progress = Box::new(move |progress: &Progress| {
        let mut report = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            // The first look is the one that tells what was found.
            Progress::CardRecognised { slots, .. } if report.slots.is_empty() => report.slots.clone_from(slots),
            Progress::Settled { .. } => report.settled.push(progress.clone()),
            _ => {}
        }
        watch(progress);
    });
    let mut terminal = Terminal::start(ports, progress)?;
    terminal.log_on(operator)?;
    terminal.settle()?;
    drop(terminal);
    let report = Arc::into_inner(report).map(|report| report.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(Box::new(report.unwrap_or(CardReport { ok: true, slots: Vec::new(), settled: Vec::new() })))
}

/// What became of the card's keys.
#[derive(Debug, Serialize)]
struct RekeyReport {
    ok: bool,
    #[serde(flatten)]
    change: Option<KeyChange>,
}

pub(super) fn rekey(
    operator: &str,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let ports = open_ports(composition, context, Attendance::People)?;
    announce("heading-card-rekey", composition, context)?;
    let mut terminal = Terminal::start(ports, Box::new(context.progress()))?;
    terminal.log_on(operator)?;
    let change = terminal.rekey()?.key_change;
    Ok(Box::new(RekeyReport { ok: true, change }))
}

impl Report for RekeyReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let Some(KeyChange { version, removed }) = &self.change else { return Ok(()) };
        let key = if removed.is_empty() { "card-keys-current" } else { "card-keys-changed" };
        let text = messages.text(key, &[("version", u64::from(*version).into())]);
        screen.entry(Mark::Done, &Entry::new(messages.get("progress-card-keys"), [text]))
    }
}

impl Report for CardReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let overwrites = self.slots.iter().any(|slot| !slot.pending_slot);
        let imports = self.slots.iter().any(|slot| slot.key_origin == KeyOrigin::Hsm);
        let slots = self.slots.iter().map(|slot| slot_text(messages, slot));
        let texts = slots
            .chain(overwrites.then(|| messages.get("progress-card-overwrites")))
            .chain(imports.then(|| messages.get("progress-card-imports")));
        screen.entry(Mark::Plain, &Entry::new(messages.get("progress-card"), texts))
    }
}
