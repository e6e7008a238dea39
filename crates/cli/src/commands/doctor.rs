//! `doctor`: everything that a procedure needs, tried one by one, with what mends it.

mod readers;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use authority_link::{LineError, Purpose};
use hsm::custody::Ability;
use hsm::{Hsm, KeyName};
use orchestrator::identity::{self, IdentityError};
use orchestrator::operators::Listed;
use orchestrator::{ProcedureError, Role, SiteConfig, StateError, journal, logbook, operators};
use resident_register::CsvRegister;
use serde::Serialize;

use crate::composition::{Composition, Site};
use crate::context::Context;
use crate::devices::{DeviceKind, DeviceTable};
use crate::explanation::{self, Explanation};
use crate::failure::Failure;
use crate::messages::{Messages, Value};
use crate::report::Report;
use crate::screen::{Entry, Mark, Screen};
use crate::summary::in_japan;

use readers::{SeenReader, Wanted};

/// Free space below which a terminal is not safe: the log must be durable before anything takes effect.
const LEAST_FREE: u64 = 64 << 20;
/// How long a device may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Faulty lines of a register that are named one by one.
const NAMED_FAULTS: usize = 20;
/// A file that is written and erased to see that files can be.
const PROBE: &str = "probe";

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    ok: bool,
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// A stable name.
    name: &'static str,
    ok: bool,
    /// What was found.
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    /// More, one by one: faulty lines, devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
    /// A stable name of what was found, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The card readers that were seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readers: Vec<SeenReader>,
}

impl Check {
    fn new(name: &'static str, ok: bool, text: String) -> Self {
        Self { name, ok, text, mend: None, details: Vec::new(), code: None, readers: Vec::new() }
    }
}

pub(super) fn examine<C: Composition>(composition: &C, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let messages = context.messages();
    let mut doctor = Doctor { composition, context, messages: &messages, checks: Vec::new() };
    context.screen(|screen, messages| screen.heading(&messages.get("heading-doctor"), ""))?;
    doctor.examine();
    Ok(Box::new(Findings { ok: doctor.checks.iter().all(|check| check.ok), checks: doctor.checks }))
}

struct Doctor<'a, C> {
    composition: &'a C,
    context: &'a Context,
    messages: &'a Messages,
    checks: Vec<Check>,
}

impl<C: Composition> Doctor<'_, C> {
    fn examine(&mut self) {
        let folder = self.context.folder().to_owned();
        if !self.folder(&folder) {
            return;
        }
        self.permissions(&folder);
        self.use_of(&folder);
        self.space(&folder);
        self.history(&folder);
        self.operators(&folder);
        let Some(site) = self.settings() else { return };
        self.register(&site);
        self.certificates(&site);
        let hsm = self.hsm(&site);
        self.reader(&site);
        self.sensor(&site);
        if let Some(hsm) = hsm {
            self.authority(&site, &hsm);
        }
    }

    fn folder(&mut self, folder: &Path) -> bool {
        let opened = self.composition.state(folder);
        self.found("folder", opened.map(|_| self.say("doctor-folder", &[("path", shown(folder).into())])))
    }

    /// Nobody but the terminal's user may look into the folder.
    fn permissions(&mut self, folder: &Path) {
        let metadata = match fs::metadata(folder) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.found("permissions", Err(StateError::from_io(folder, error).into()));
                return;
            }
        };
        let mode = metadata.mode() & 0o777;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        let args = [("mode", format!("{mode:03o}").into()), ("path", shown(folder).into())];
        if own && mode & 0o077 == 0 {
            self.sound("permissions", self.say("doctor-permissions", &args));
        } else {
            let key = if own { "doctor-permissions-open" } else { "doctor-permissions-foreign" };
            self.unsound("permissions", key, &args, Vec::new());
        }
    }

    /// Nobody else uses the folder, and files can be written and erased there.
    fn use_of(&mut self, folder: &Path) {
        let tried = self.composition.state(folder).and_then(|mut state| {
            state.lock()?;
            state.replace(PROBE, b"probe")?;
            state.erase(PROBE)?;
            Ok(journal::interrupted(&*state)?.is_empty())
        });
        let text = tried
            .map(|settled| self.messages.get(if settled { "doctor-writable" } else { "doctor-writable-interrupted" }));
        self.found("writable", text);
    }

    fn space(&mut self, folder: &Path) {
        match rustix::fs::statvfs(folder) {
            Ok(space) => {
                let free = space.f_bavail.saturating_mul(space.f_frsize);
                let args = [("free", (free >> 20).into()), ("least", (LEAST_FREE >> 20).into())];
                if free >= LEAST_FREE {
                    self.sound("space", self.say("doctor-space", &args));
                } else {
                    self.unsound("space", "doctor-space-low", &args, Vec::new());
                }
            }
            Err(error) => {
                self.found("space", Err(StateError::from_io(folder, error.into()).into()));
            }
        }
    }

    fn history(&mut self, folder: &Path) {
        let entries = self.composition.state(folder).and_then(|state| Ok(logbook::entries(&*state)?));
        let text = entries.map(|entries| self.say("doctor-log", &[("entries", entries.len().into())]));
        self.found("log", text);
    }

    fn operators(&mut self, folder: &Path) {
        let state = self.composition.state(folder);
        let listed = state.and_then(|state| {
            let limit = SiteConfig::load(&*state)?.refusals_until_locked;
            Ok(operators::list(&*state, limit)?)
        });
        let active = listed.map(|all| {
            let able = |role| {
                move |one: &&Listed| !one.locked && one.operator.retired_at.is_none() && one.operator.role == role
            };
            let count = |role| all.iter().filter(able(role)).count();
            (count(Role::Operator), count(Role::AccessManager))
        });
        match active {
            Ok((0, _) | (_, 0)) => self.unsound("operators", "doctor-operators-missing", &[], Vec::new()),
            Ok((operators, managers)) => {
                let args = [("operators", operators.into()), ("managers", managers.into())];
                self.sound("operators", self.say("doctor-operators", &args));
            }
            Err(failure) => {
                self.found("operators", Err(failure));
            }
        }
    }

    fn settings(&mut self) -> Option<Site> {
        match Site::load(self.composition, self.context) {
            Ok(site) => {
                let args = [
                    ("terminal", site.config.terminal.as_str().into()),
                    ("window", site.config.window.as_str().into()),
                    ("profile", site.config.profile.as_str().into()),
                ];
                self.sound("settings", self.say("doctor-settings", &args));
                Some(site)
            }
            Err(failure) => {
                // The file's own words help whoever edits it.
                let details = match &failure {
                    Failure::Procedure(ProcedureError::State(StateError::Damaged { file, problem })) => {
                        vec![format!("{file}: {problem}")]
                    }
                    _ => Vec::new(),
                };
                self.broken("settings", &failure, details);
                None
            }
        }
    }

    fn register(&mut self, site: &Site) {
        let counted = self
            .composition
            .resident_register(site)
            .and_then(|mut register| Ok(register.count().map_err(ProcedureError::from)?));
        let faults = match self.composition.register_file(site) {
            Some(file) => CsvRegister::validate(file).unwrap_or_default(),
            None => Vec::new(),
        };
        let named = faults.iter().take(NAMED_FAULTS).map(|fault| explanation::register_fault(self.messages, fault));
        let mut details: Vec<String> = named.collect();
        if faults.len() > NAMED_FAULTS {
            details.push(self.say("doctor-register-more", &[("count", (faults.len() - NAMED_FAULTS).into())]));
        }
        match counted {
            Err(failure) => self.broken("register", &failure, details),
            Ok(_) if !faults.is_empty() => {
                self.unsound("register", "doctor-register-faulty", &[("count", faults.len().into())], details);
            }
            Ok(residents) => self.sound("register", self.say("doctor-register", &[("residents", residents.into())])),
        }
    }

    /// The terminal's own certificates, one by one in the details.
    fn certificates(&mut self, site: &Site) {
        let own = self.composition.state(&site.folder);
        let own = own.and_then(|state| Ok(identity::status(&*state, site.clock.wall())?));
        let own = match own {
            Ok(own) => own,
            Err(failure) => return self.broken("certificates", &failure, Vec::new()),
        };
        let line = |own| {
            let remarks = super::identity::remarks(self.messages, own).join(", ");
            format!("{}: {remarks}", self.messages.get(super::identity::label(own.purpose)))
        };
        let details = own.iter().map(line).collect();
        let first = own.iter().min_by_key(|own| own.not_after).filter(|_| own.len() == Purpose::BOTH.len());
        match first {
            None => self.broken("certificates", &procedure(IdentityError::NotEnrolled), details),
            Some(own) if own.expired => {
                let expired = IdentityError::Expired { purpose: own.purpose, not_after: own.not_after };
                self.broken("certificates", &procedure(expired), details);
            }
            Some(own) => {
                let day = in_japan(own.not_after).date().to_string();
                let text = self.say("doctor-certificates", &[("day", day.into())]);
                self.note(Check { details, ..Check::new("certificates", true, text) });
            }
        }
    }

    fn hsm(&mut self, site: &Site) -> Option<Arc<dyn Hsm>> {
        let hsm = match self.composition.hsm(site) {
            Ok(hsm) => hsm,
            Err(failure) => {
                self.broken("hsm", &failure, Vec::new());
                return None;
            }
        };
        let keys = match hsm.keys(site.clock.deadline_in(PATIENCE)) {
            Ok(keys) => keys,
            Err(error) => {
                self.broken("hsm", &ProcedureError::from(error).into(), Vec::new());
                return None;
            }
        };
        let needed = self.keys_needed(site, &*hsm).into_iter();
        let missing: Vec<String> = needed.filter(|name| !keys.contains(name)).map(|name| name.to_string()).collect();
        let found = self.composition.diagnose_hsm().into_iter().map(|ability| ability_text(self.messages, ability));
        let found: Vec<String> = found.collect();
        if missing.is_empty() {
            let identity = hsm.identity();
            let device = format!("{} {} {}", identity.manufacturer, identity.model, identity.serial);
            let text = self.say("doctor-hsm", &[("device", device.into()), ("keys", keys.len().into())]);
            self.note(Check { details: found, ..Check::new("hsm", true, text) });
        } else {
            let args = [("count", missing.len().into())];
            let details = missing.into_iter().chain(found).collect();
            self.unsound("hsm", "doctor-hsm-keys-missing", &args, details);
        }
        Some(hsm)
    }

    /// The names of the keys that the terminal can't do without: those of its certificates by whichever certificate is in use.
    fn keys_needed(&self, site: &Site, hsm: &dyn Hsm) -> Vec<KeyName> {
        let own = [KeyName::LOG_SIGNING, KeyName::TEMPLATE_SEALING, KeyName::RESIDENT_REFERENCE].map(KeyName::new);
        let state = self.composition.state(&site.folder).ok();
        let of_certificates = [
            (Purpose::Messages, KeyName::new(KeyName::TERMINAL_SIGNING)),
            (Purpose::Line, KeyName::new(KeyName::TERMINAL_TLS)),
        ];
        let of_certificates = of_certificates.into_iter().map(|(purpose, first)| {
            let state = state.as_deref()?;
            let in_use = identity::key_in_use(state, hsm, purpose, site.clock.deadline_in(PATIENCE)).ok()?;
            Some(in_use.unwrap_or(first))
        });
        let masters = [KeyName::card_master(site.config.card_key_version)];
        own.into_iter().chain(of_certificates.flatten()).chain(masters).collect()
    }

    fn reader(&mut self, site: &Site) {
        let findings = self.composition.diagnose_readers(site);
        let opened = self.composition.card_reader(site);
        let means = |name: &str| self.composition.means_reader(site, name);
        let wanted = Wanted { name: site.card_reader.as_deref(), means: &means };
        let verdict = readers::judge(self.messages, &wanted, &findings, self.plugged_in(DeviceKind::CardReader));
        if let Some(verdict) = verdict {
            self.note(verdict);
            return;
        }
        match opened {
            Ok(reader) => self.sound("reader", self.say("doctor-reader", &[("device", reader.name().into())])),
            Err(failure) => self.broken("reader", &failure, self.plugged_in(DeviceKind::CardReader)),
        }
    }

    fn sensor(&mut self, site: &Site) {
        match self.composition.palm_verifier(site) {
            Ok(verifier) => {
                let device = verifier.identity().to_string();
                self.sound("sensor", self.say("doctor-sensor", &[("device", device.into())]));
            }
            Err(failure) => self.broken("sensor", &failure, self.plugged_in(DeviceKind::PalmSensor)),
        }
    }

    /// Known devices of `kind` that the system sees, whether or not they can be used.
    fn plugged_in(&self, kind: DeviceKind) -> Vec<String> {
        let Ok(table) = DeviceTable::built_in() else { return Vec::new() };
        let present = table.present(Path::new("/sys"));
        let names: Vec<String> = present.iter().filter(|device| device.kind == kind).map(|d| d.name.clone()).collect();
        if names.is_empty() {
            return vec![self.messages.get("doctor-not-plugged-in")];
        }
        names.into_iter().map(|name| self.say("doctor-plugged-in", &[("device", name.into())])).collect()
    }

    /// An empty message has no effect; any answer at all shows that line and authentication are good.
    fn authority(&mut self, site: &Site, hsm: &Arc<dyn Hsm>) {
        let mut line = match self.composition.authority_line(site, hsm) {
            Ok(line) => line,
            Err(failure) => {
                self.broken("authority", &failure, Vec::new());
                return;
            }
        };
        let answered = line.exchange(&[], site.clock.deadline_in(PATIENCE));
        line.close();
        match answered {
            Ok(_) | Err(LineError::Http(400..=499)) => {
                let args = [("address", site.config.authority_address.as_str().into())];
                self.sound("authority", self.say("doctor-authority", &args));
            }
            Err(error) => {
                let explanation = explanation::line(self.messages, &error);
                self.explained("authority", explanation, Vec::new());
            }
        }
    }

    fn say(&self, key: &str, args: &[(&str, Value)]) -> String {
        self.messages.text(key, args)
    }

    /// Notes what was found; true if it is sound.
    fn found(&mut self, name: &'static str, found: Result<String, Failure>) -> bool {
        match found {
            Ok(text) => {
                self.sound(name, text);
                true
            }
            Err(failure) => {
                self.broken(name, &failure, Vec::new());
                false
            }
        }
    }

    fn sound(&mut self, name: &'static str, text: String) {
        self.note(Check::new(name, true, text));
    }

    /// Notes something that is wrong, and explained by a text of its own.
    fn unsound(&mut self, name: &'static str, key: &str, args: &[(&str, Value)], details: Vec<String>) {
        let mend = Some(self.say(&format!("{key}.mend"), args));
        self.note(Check { mend, details, ..Check::new(name, false, self.say(key, args)) });
    }

    /// Notes a failure that procedures can have too.
    fn broken(&mut self, name: &'static str, failure: &Failure, details: Vec<String>) {
        self.explained(name, failure.explain(self.messages), details);
    }

    fn explained(&mut self, name: &'static str, explanation: Explanation, details: Vec<String>) {
        self.note(Check { mend: Some(explanation.mend), details, ..Check::new(name, false, explanation.text) });
    }

    fn note(&mut self, check: Check) {
        self.checks.push(check);
    }
}

/// What an HSM does or does not do; a way round is told as one.
fn ability_text(messages: &Messages, ability: Ability) -> String {
    let text = messages.get(explanation::keys::ability(ability.code));
    if ability.is_weaker { messages.text("doctor-hsm-weaker", &[("text", text.into())]) } else { text }
}

fn procedure(error: IdentityError) -> Failure {
    ProcedureError::from(error).into()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Report for Findings {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        for check in &self.checks {
            let mark = if check.ok { Mark::Done } else { Mark::Failed };
            screen.entry(mark, &Entry::new(messages.get(label(check.name)), [&check.text]))?;
            let details = check.details.iter().chain(&check.mend);
            for detail in details {
                screen.entry(Mark::Plain, &Entry::new("", [detail]))?;
            }
        }
        let key = if self.ok { "doctor-all-well" } else { "doctor-not-well" };
        screen.gap()?;
        screen.verdict(if self.ok { Mark::Done } else { Mark::Failed }, &messages.get(key))
    }
}

/// The key of a check's label.
fn label(name: &str) -> &'static str {
    match name {
        "folder" => "check-folder",
        "permissions" => "check-permissions",
        "writable" => "check-writable",
        "space" => "check-space",
        "log" => "summary-log",
        "operators" => "check-operators",
        "settings" => "check-settings",
        "register" => "check-register",
        "certificates" => "check-certificates",
        "hsm" => "check-hsm",
        "reader" => "part-card-reader",
        "sensor" => "part-palm-verifier",
        _ => "summary-authority",
    }
}
