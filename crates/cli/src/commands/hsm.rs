//! `hsm init`, `hsm keys list|create|retire`

use std::io;
use std::sync::Arc;

use hsm::{Hsm, KeyCustody, KeyKind, KeyName};
use key_ceremony::{Deed, Record};
use orchestrator::ceremony::{self, ListedKey};
use orchestrator::{Ceremony, ProcedureError, SecondPerson, Terminal, operators};
use serde::Serialize;

use super::announce;
use crate::arguments::TwoPersons;
use crate::composition::{Attendance, Composition, Site, open_ports_with};
use crate::context::Context;
use crate::explanation::keys;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry, INDENT, Mark, Screen};
use crate::summary::in_japan;

pub(super) fn init(
    persons: &TwoPersons,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let mut state = composition.state(context.folder())?;
    if !operators::nobody_was_ever_enrolled(&*state)? {
        drop(state);
        return with_palms(persons, "heading-hsm-init", composition, context, |terminal, custody, second| {
            terminal.complete_keys(custody, second, composition.is_simulated())
        });
    }
    let site = Site::load(composition, context)?;
    let custody = composition.key_custody(&site)?;
    announce("heading-hsm-init", composition, context)?;
    let names = [persons.access_manager.as_str(), &persons.second_person];
    let held = ceremony::set_up_keys(&mut *state, &*custody, &*site.clock, names, composition.is_simulated())?;
    Ok(Box::new(CeremonyReport::new(held)))
}

pub(super) fn create(
    name: &KeyName,
    kind: Option<KeyKind>,
    persons: &TwoPersons,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    with_palms(persons, "heading-hsm-create", composition, context, |terminal, custody, second| {
        terminal.create_key(custody, second, (name, kind), composition.is_simulated())
    })
}

pub(super) fn retire(
    name: &KeyName,
    reason: &str,
    persons: &TwoPersons,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    with_palms(persons, "heading-hsm-retire", composition, context, |terminal, custody, second| {
        terminal.retire_key(custody, second, (name, reason), composition.is_simulated())
    })
}

/// Has the two persons show their palms, holds the ceremony, and logs off whatever comes of it.
fn with_palms(
    persons: &TwoPersons,
    heading: &str,
    composition: &impl Composition,
    context: &Context,
    hold: impl FnOnce(&mut Terminal, &dyn KeyCustody, SecondPerson) -> Result<Ceremony, ProcedureError>,
) -> Result<Box<dyn Report>, Failure> {
    let mut opened = None;
    let ports = open_ports_with(composition, context, Attendance::Nobody, |site| {
        let custody = composition.key_custody(site)?;
        opened = Some(Arc::clone(&custody));
        Ok(custody as Arc<dyn Hsm>)
    })?;
    let custody = opened.ok_or(ProcedureError::NotAllowed)?;
    announce(heading, composition, context)?;
    let mut terminal = Terminal::start(ports, context.progress())?;
    terminal.log_on(&persons.access_manager)?;
    let held = terminal.second_person(&persons.second_person).and_then(|second| hold(&mut terminal, &*custody, second));
    let logged_off = terminal.log_off();
    let held = held?;
    logged_off?;
    Ok(Box::new(CeremonyReport::new(held)))
}

pub(super) fn list(composition: &impl Composition, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let site = Site::load(composition, context)?;
    let custody = composition.key_custody(&site)?;
    let state = composition.state(context.folder())?;
    let keys = ceremony::list_keys(&*state, &*custody, &*site.clock)?;
    Ok(Box::new(KeyList { ok: true, keys }))
}

/// A ceremony that was held.
#[derive(Debug, Serialize)]
struct CeremonyReport {
    ok: bool,
    /// Relative to the state folder.
    record_file: String,
    page_file: String,
    record_sha256: String,
    record: Record,
}

impl CeremonyReport {
    fn new(held: Ceremony) -> Self {
        let Ceremony { sealed, record_file, page_file } = held;
        Self { ok: true, record_file, page_file, record_sha256: sealed.digest(), record: sealed.record }
    }
}

impl Report for CeremonyReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if let Some(trial) = &self.record.honesty {
            let text = match trial.refused {
                0 => messages.get("ceremony-not-tried"),
                refused => messages.text("ceremony-tried", &[("refused", refused.into())]),
            };
            screen.entry(Mark::Done, &Entry::new(messages.get("ceremony-honesty"), [text]))?;
        }
        for key in &self.record.keys {
            let deed = messages.get(match key.deed {
                Deed::Created => "ceremony-created",
                Deed::Found => "ceremony-found",
                Deed::Retired => "ceremony-retired",
            });
            let kind = messages.get(keys::kind(&key.kind));
            screen.entry(Mark::Done, &Entry::new(key.name.clone(), [deed, kind]))?;
        }
        for mode in &self.record.weaker_modes {
            let text = messages.get(keys::ability(mode));
            screen.text(INDENT, &messages.text("doctor-hsm-weaker", &[("text", text.into())]))?;
        }
        screen.entry(Mark::Plain, &Entry::new(messages.get("ceremony-page"), [&self.page_file]))?;
        screen.text(INDENT, &messages.get("ceremony-to-be-signed"))?;
        screen.text(INDENT, &messages.text("ceremony-hash", &[("hash", self.record_sha256.as_str().into())]))
    }
}

/// The keys in the HSM.
#[derive(Debug, Serialize)]
struct KeyList {
    ok: bool,
    keys: Vec<ListedKey>,
}

impl Report for KeyList {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if self.keys.is_empty() {
            return screen.text(0, &messages.get("keys-none"));
        }
        let columns = ["keys-name", "keys-kind", "keys-origin", "keys-created", "keys-fingerprint"];
        let mut rows = vec![columns.map(|key| messages.get(key)).to_vec()];
        rows.extend(self.keys.iter().map(|key| {
            vec![
                key.name.clone(),
                messages.get(keys::kind(&key.kind)),
                messages.get(keys::origin(&key.origin)),
                key.created_at.map(|at| in_japan(at).date().to_string()).unwrap_or_default(),
                short(&key.fingerprint.value),
            ]
        }));
        screen.table(&rows)
    }
}

/// As much of a fingerprint as tells keys apart at a glance; the document has all of it.
fn short(fingerprint: &str) -> String {
    let digits: String = fingerprint.chars().take(16).collect();
    if digits.len() < fingerprint.len() { digits + "…" } else { digits }
}
