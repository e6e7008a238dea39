//! What was found out about card readers, in words, and whether the terminal can work with it.

use card_reader::diagnosis::{Denial, Finding, Holder, HolderKind, ReaderState};
use serde::Serialize;

use super::Check;
use crate::messages::{Messages, Value};

/// A reader that was seen, for machines.
#[derive(Debug, Serialize)]
pub(super) struct SeenReader {
    name: String,
    /// A stable name of how it is.
    state: &'static str,
    /// Is it the one to use, or one of them?
    meant: bool,
    /// The card in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    atr: Option<String>,
    /// Who holds it, if that could be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

/// Which reader the terminal is to use.
pub(super) struct Wanted<'a> {
    /// What it is called where it was chosen; `None` if any that is known will do.
    pub(super) name: Option<&'a str>,
    /// Is the reader of this name meant?
    pub(super) means: &'a dyn Fn(&str) -> bool,
}

/// The check `reader` from what was found; none if nothing was. `plugged_in`: what the system sees without the service.
pub(super) fn judge(
    messages: &Messages,
    wanted: &Wanted<'_>,
    findings: &[Finding],
    plugged_in: Vec<String>,
) -> Option<Check> {
    if findings.is_empty() {
        return None;
    }
    let judge = Judge { messages, wanted };
    let readers: Vec<(&String, &ReaderState)> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Reader { name, state } => Some((name, state)),
            _ => None,
        })
        .collect();
    let fault = findings.iter().find(|finding| !matches!(finding, Finding::Reader { .. }));
    let held = readers.iter().find(|(_, state)| matches!(state, ReaderState::Held(_)));
    let mut check = match (fault, held) {
        // The service does not see a reader that another program drives: that is what is to be mended.
        (Some(Finding::NoReader), Some((_, state))) => judge.unusable(state),
        (Some(fault), _) => Check { details: plugged_in, ..judge.fault(fault) },
        (None, _) => judge.choice(&readers),
    };
    let is_told = |name: &str| check.ok && readers.len() == 1 && name == readers[0].0;
    let others = readers.iter().filter(|(name, _)| !is_told(name));
    check.details.extend(others.map(|(name, state)| judge.seen(name, state)));
    check.readers = readers.iter().map(|(name, state)| judge.document(name, state)).collect();
    Some(check)
}

struct Judge<'a> {
    messages: &'a Messages,
    wanted: &'a Wanted<'a>,
}

impl Judge<'_> {
    /// What is wrong with the system as a whole.
    fn fault(&self, finding: &Finding) -> Check {
        let (key, args) = match finding {
            Finding::NoService { installed: false } => ("doctor-service-not-installed", vec![]),
            Finding::NoService { installed: true } => ("doctor-service-not-running", vec![]),
            Finding::NotAuthorized(Denial::Socket { path, group }) => {
                let group = group.as_deref().unwrap_or("none");
                ("doctor-socket-not-permitted", vec![("path", path.as_str().into()), ("group", group.into())])
            }
            Finding::NotAuthorized(_) => ("doctor-refused-by-polkit", vec![]),
            _ => ("doctor-no-reader", vec![]),
        };
        self.unsound(key, &args, finding.name())
    }

    /// The reader to use among those that there are.
    fn choice(&self, readers: &[(&String, &ReaderState)]) -> Check {
        let meant: Vec<_> = readers.iter().filter(|(name, _)| (self.wanted.means)(name)).collect();
        let with_card = meant.iter().find(|(_, state)| matches!(state, ReaderState::Card(_)));
        let usable = with_card.or_else(|| meant.iter().find(|(_, state)| matches!(state, ReaderState::Empty)));
        match (usable, meant.first()) {
            (Some((name, state)), _) => {
                let device = self.seen(name, state);
                let text = self.messages.text("doctor-reader", &[("device", device.into())]);
                Check { code: Some(state.name()), ..Check::new("reader", true, text) }
            }
            (None, Some((_, state))) => self.unusable(state),
            (None, None) => {
                let any = || self.messages.get("doctor-reader-known");
                let wanted = self.wanted.name.map_or_else(any, str::to_owned);
                self.unsound("doctor-reader-not-there", &[("wanted", wanted.into())], "reader-not-there")
            }
        }
    }

    /// A reader that can't be used as it is.
    fn unusable(&self, state: &ReaderState) -> Check {
        let (key, args) = self.state(state);
        self.unsound(key, &args, state.name())
    }

    fn unsound(&self, key: &str, args: &[(&str, Value)], code: &'static str) -> Check {
        let mend = Some(self.messages.text(&format!("{key}.mend"), args));
        Check { mend, code: Some(code), ..Check::new("reader", false, self.messages.text(key, args)) }
    }

    /// A reader and how it is.
    fn seen(&self, name: &str, state: &ReaderState) -> String {
        let (key, args) = self.state(state);
        let state = self.messages.text(key, &args);
        self.messages.text("doctor-reader-seen", &[("device", name.into()), ("state", state.into())])
    }

    fn state(&self, state: &ReaderState) -> (&'static str, Vec<(&'static str, Value)>) {
        match state {
            ReaderState::Empty => ("doctor-reader-empty", vec![]),
            ReaderState::Card(_) => ("doctor-reader-card", vec![]),
            ReaderState::UnknownCard(card) => ("doctor-reader-unknown-card", vec![("atr", card.to_string().into())]),
            ReaderState::Mute => ("doctor-reader-mute", vec![]),
            ReaderState::Held(holder) => {
                let key = match holder.kind {
                    HolderKind::Client => "doctor-reader-held-by-client",
                    HolderKind::GnuPg => "doctor-reader-held-by-gnupg",
                    HolderKind::Usb => "doctor-reader-held-over-usb",
                    HolderKind::Kernel => "doctor-reader-held-by-kernel",
                    _ => "doctor-reader-held",
                };
                (key, vec![("program", self.program(holder).into())])
            }
            ReaderState::Stuck => ("doctor-reader-stuck", vec![]),
            _ => ("doctor-reader-failed", vec![]),
        }
    }

    fn program(&self, holder: &Holder) -> String {
        match (&holder.program, holder.pid) {
            (Some(program), Some(pid)) => {
                self.messages.text("doctor-program", &[("program", program.as_str().into()), ("pid", pid.into())])
            }
            (Some(program), None) => program.clone(),
            (None, _) => self.messages.get("doctor-program-unknown"),
        }
    }

    fn document(&self, name: &str, state: &ReaderState) -> SeenReader {
        let atr = match state {
            ReaderState::Card(card) | ReaderState::UnknownCard(card) => Some(card.to_string()),
            _ => None,
        };
        let (program, pid) = match state {
            ReaderState::Held(holder) => (holder.program.clone(), holder.pid),
            _ => (None, None),
        };
        let meant = (self.wanted.means)(name);
        SeenReader { name: name.to_owned(), state: state.name(), meant, atr, program, pid }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use card_reader::CardIdentity;
    use jpki::{Municipality, PinRules};
    use madoguchi_time::SystemClock;
    use orchestrator::SiteConfig;

    use super::*;
    use crate::composition::Site;
    use crate::language::Language;

    fn site(card_reader: Option<&str>) -> Site {
        let config = SiteConfig {
            terminal: "TERMINAL-1".into(),
            window: "13999001A".into(),
            profile: "jpki-2016".into(),
            environment: "test".into(),
            card_challenge_length: 8,
            municipality: Municipality {
                code: "13999".into(),
                prefecture: "Tokyo-to".into(),
                city: "Midori-ku".into(),
            },
            card_key_version: 1,
            previous_card_key_versions: Vec::new(),
            authority_name: "localhost".into(),
            authority_address: "127.0.0.1:1".into(),
            card_reader: None,
            hsm: None,
            lock_after_s: 300,
            refusals_until_locked: 3,
            pin_rules: PinRules::default(),
        };
        let card_reader = card_reader.map(str::to_owned);
        Site { folder: "/".into(), clock: SystemClock::shared(), config, card_reader, palm_sensor: None, hsm: None }
    }

    fn judged(messages: &Messages, named: Option<&str>, findings: &[Finding]) -> Option<Check> {
        let site = site(named);
        let wanted = Wanted { name: named, means: &|name| site.means_reader(name) };
        judge(messages, &wanted, findings, vec![])
    }

    const READER: &str = "SCM SCR 3310 [CCID Interface] 00 00";

    fn reader(name: &str, state: ReaderState) -> Finding {
        Finding::Reader { name: name.into(), state }
    }

    fn held(kind: HolderKind, program: Option<&str>, pid: Option<u32>) -> ReaderState {
        ReaderState::Held(Holder { kind, program: program.map(str::to_owned), pid })
    }

    /// Everything that can be found.
    fn everything() -> Vec<Finding> {
        let card = CardIdentity { atr: jpki::card::ATR.to_vec() };
        let socket = |group: Option<&str>| Denial::Socket {
            path: "/run/pcscd/pcscd.comm".into(),
            group: group.map(str::to_owned),
        };
        let mut all = vec![
            Finding::NoService { installed: false },
            Finding::NoService { installed: true },
            Finding::NotAuthorized(Denial::Polkit),
            Finding::NotAuthorized(socket(Some("pcscd"))),
            Finding::NotAuthorized(socket(None)),
            Finding::NoReader,
        ];
        all.extend(
            [
                ReaderState::Empty,
                ReaderState::Card(card.clone()),
                ReaderState::UnknownCard(CardIdentity { atr: vec![0x3B, 0x80, 0x80, 0x01, 0x01] }),
                ReaderState::Mute,
                held(HolderKind::Client, Some("firefox"), Some(4711)),
                held(HolderKind::GnuPg, Some("scdaemon"), Some(815)),
                held(HolderKind::Usb, Some("qemu-system-x86_64"), Some(42)),
                held(HolderKind::Kernel, Some("pn533"), None),
                held(HolderKind::Unknown, None, None),
                ReaderState::Stuck,
                ReaderState::Failed,
            ]
            .map(|state| reader(READER, state)),
        );
        all
    }

    #[test]
    fn everything_that_can_be_found_is_said_with_its_mend() {
        for language in Language::ALL {
            let messages = Messages::new(language);
            let mut said = String::new();
            for finding in everything() {
                let check = judged(&messages, None, std::slice::from_ref(&finding)).unwrap();
                assert_eq!(check.code, Some(finding.name()));
                assert_eq!(check.ok, finding.is_usable());
                assert_eq!(check.mend.is_some(), !check.ok, "{finding:?}");
                writeln!(said, "{}: {}", finding.name(), check.text).unwrap();
                check.details.iter().chain(&check.mend).for_each(|line| writeln!(said, "    {line}").unwrap());
            }
            // Written anew as those of `tests/views.rs` are.
            let path = format!("{}/tests/golden/doctor-readers.{}.txt", env!("CARGO_MANIFEST_DIR"), language.tag());
            if std::env::var_os("MADOGUCHI_WRITE_GOLDEN").is_some() {
                std::fs::write(&path, &said).unwrap();
            }
            assert_eq!(said, std::fs::read_to_string(path).unwrap_or_default());
        }
    }

    #[test]
    fn one_reader_that_can_be_used_is_enough() {
        let messages = Messages::new(Language::En);
        let check = |named: Option<&str>, findings: &[Finding]| judged(&messages, named, findings).unwrap();
        let token = reader("Yubico YubiKey CCID 00 00", ReaderState::Empty);
        let stuck = reader(READER, ReaderState::Stuck);
        let good = reader("ACS ACR39U 00 00", ReaderState::Empty);

        let all = check(None, &[token.clone(), stuck.clone(), good.clone()]);
        assert!(all.ok && all.text.contains("ACR39U"));
        assert_eq!((all.details.len(), all.readers.len()), (3, 3));
        let meant: Vec<bool> = all.readers.iter().map(|reader| reader.meant).collect();
        assert_eq!(meant, [false, true, true]);

        let card = reader("Gemalto PC Twin 00 00", ReaderState::Card(CardIdentity { atr: jpki::card::ATR.to_vec() }));
        assert_eq!(check(None, &[good.clone(), card]).code, Some("card"), "before an empty one");
        assert_eq!(check(Some("scr 3310"), &[stuck.clone(), good.clone()]).code, Some("stuck"));
        assert_eq!(check(Some("RC-S300"), &[good]).code, Some("reader-not-there"));
        assert_eq!(check(None, std::slice::from_ref(&token)).code, Some("reader-not-there"));
        assert!(check(Some("yubikey"), &[token]).ok, "whoever names it means it");
        // A reader that the service does not see, as another program has it.
        let over_usb = reader("SCR 3310", held(HolderKind::Usb, Some("scdaemon"), Some(1)));
        let check = check(None, &[Finding::NoReader, over_usb]);
        assert_eq!(check.code, Some("held-over-usb"));
        assert!(check.details.iter().any(|line| line.contains("scdaemon")), "{:?}", check.details);
        assert!(judged(&messages, None, &[]).is_none());
    }
}
