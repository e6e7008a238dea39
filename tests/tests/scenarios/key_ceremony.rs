//! Key ceremonies of a terminal: who may hold them, what is accounted for, and that nothing is made twice.

use std::collections::BTreeMap;

use audit_log::{LogKey, Outcome, Phase};
use hsm::custody::fingerprint;
use hsm::{AesLength, Hsm, KeyCustody, KeyKind, KeyName};
use jpki::IssuingProfile;
use key_ceremony::{CeremonyError, Deed};
use madoguchi_sim::world::parts;
use madoguchi_tests::folder::Disk;
use madoguchi_time::{Deadline, SharedClock, SystemClock};
use orchestrator::{Ceremony, ProcedureError, StateFolder, ceremony, logbook};
use sim_hsm::{Provision, SoftwareHsm};

const PERSONS: [&str; 2] = ["Tanaka", "Suzuki"];

/// A new terminal: its settings, and nothing else.
struct NewTerminal {
    disk: Disk,
    hsm: SoftwareHsm,
    clock: SharedClock,
}

impl NewTerminal {
    fn new() -> Self {
        let issuing = IssuingProfile::jpki_2016();
        let disk = Disk::default();
        let site = parts::site(&issuing, &parts::card_profile(&issuing), "127.0.0.1:1");
        site.save(&mut disk.open()).unwrap();
        let hsm = SoftwareHsm::in_memory(&Provision::empty("ceremony", [4; 32])).unwrap();
        Self { disk, hsm, clock: SystemClock::shared() }
    }

    fn set_up(&self) -> Result<Ceremony, ProcedureError> {
        ceremony::set_up_keys(&mut self.disk.open(), &self.hsm, &*self.clock, PERSONS, true)
    }

    fn soon(&self) -> Deadline {
        self.clock.deadline_in(std::time::Duration::from_secs(60))
    }

    /// What is in the HSM, by fingerprint.
    fn prints(&self) -> BTreeMap<KeyName, String> {
        let inventory = self.hsm.inventory(self.soon()).unwrap();
        let print = |name, kind| fingerprint(&self.hsm, name, kind, self.soon()).unwrap().to_string();
        inventory.keys.iter().map(|key| (key.name.clone(), print(&key.name, key.kind))).collect()
    }

    fn verify(&self, case: &str) {
        let state = self.disk.open();
        let key = LogKey::new(parts::TERMINAL, &self.hsm.public_key(&log_key(), self.soon()).unwrap()).unwrap();
        let verdict = logbook::verify(&state, &key, None).unwrap();
        assert!(verdict.verified, "{case}: {verdict:?}");
        let entries = logbook::entries(&state).unwrap();
        let closed = |index| {
            entries
                .iter()
                .filter(|entry| matches!(entry.phase, Phase::Outcome { intent, .. } if intent == index))
                .count()
        };
        for intent in entries.iter().filter(|entry| entry.phase == Phase::Intent) {
            assert_eq!(closed(intent.index), 1, "{case}: {intent:?}");
        }
        // Every key is accounted for, and the last record by its hash.
        for name in self.prints().keys() {
            let told = |detail: Option<&audit_log::Code>| detail.is_some_and(|detail| detail.as_str() == name.as_str());
            assert!(entries.iter().any(|entry| told(entry.detail.as_ref())), "{case}: {name} is in no entry");
        }
        let noted = entries.iter().rev().find(|entry| entry.step.as_str() == "key-ceremony").unwrap();
        let last = ceremony::records(&state).unwrap().pop().unwrap();
        assert_eq!(noted.detail.as_ref().unwrap().as_str(), last.digest(), "{case}");
    }
}

fn log_key() -> KeyName {
    KeyName::new(KeyName::LOG_SIGNING)
}

#[test]
fn a_ceremony_that_is_cut_short_is_gone_on_with_and_makes_nothing_twice() {
    type Break = (&'static str, fn(&NewTerminal, u64));
    let breaks: [Break; 3] = [
        ("HSM gone", |terminal, n| terminal.hsm.unplug_after(n)),
        ("answer lost", |terminal, n| terminal.hsm.lose_answer_after(n)),
        ("power gone", |terminal, n| terminal.disk.cut_at_write(n + 1)),
    ];
    for (what, break_it) in breaks {
        let mut survived = 0;
        for n in 0.. {
            let case = format!("{what}, {n}");
            let terminal = NewTerminal::new();
            break_it(&terminal, n);
            let first = terminal.set_up();
            terminal.hsm.plug_in();
            terminal.disk.mend();
            let before = terminal.prints();
            let Err(broken) = first else {
                terminal.verify(&case);
                survived = n;
                break;
            };
            assert!(
                matches!(broken, ProcedureError::Keys(_) | ProcedureError::Hsm(_) | ProcedureError::State(_)),
                "{case}: {broken:?}"
            );
            let second = terminal.set_up().unwrap_or_else(|error| panic!("{case}: {error:?}"));
            let after = terminal.prints();
            assert_eq!(after.len(), 5, "{case}");
            for (name, print) in &before {
                assert_eq!(&after[name], print, "{case}: {name} was made anew");
            }
            let created = second.sealed.record.keys.iter().filter(|key| key.deed == Deed::Created).count();
            assert_eq!(created, 5 - before.len(), "{case}");
            assert_eq!(second.sealed.record.keys.len(), 5, "{case}");
            terminal.verify(&case);
        }
        assert!(survived >= 5, "{what}: only {survived} breaks");
    }
}

#[test]
fn the_hsm_of_somebody_else_is_refused_before_anything_is_made() {
    let soon = |terminal: &NewTerminal| terminal.soon();
    type Case = (&'static str, KeyKind, fn(&CeremonyError) -> bool);
    let cases: [Case; 3] = [
        ("authority-tls", KeyKind::EcP256, |error| matches!(error, CeremonyError::AnotherInstallation(_))),
        ("somebody's own", KeyKind::Hmac, |error| matches!(error, CeremonyError::AnotherInstallation(_))),
        ("terminal-tls", KeyKind::EcP384, |error| matches!(error, CeremonyError::OtherKind { .. })),
    ];
    for (name, kind, is_expected) in cases {
        let terminal = NewTerminal::new();
        terminal.hsm.create(&KeyName::new(name), kind, soon(&terminal)).unwrap();
        let refused = terminal.set_up();
        assert!(matches!(&refused, Err(ProcedureError::Keys(error)) if is_expected(error)), "{name}: {refused:?}");
        assert_eq!(terminal.prints().len(), 1, "{name}");
        assert_eq!(terminal.disk.files().len(), 1, "{name}: only the settings");
    }
}

#[test]
fn a_log_whose_key_is_gone_gets_no_other_key() {
    let terminal = NewTerminal::new();
    terminal.set_up().unwrap();
    terminal.hsm.destroy(&log_key(), terminal.soon()).unwrap();
    let refused = terminal.set_up();
    assert!(matches!(refused, Err(ProcedureError::Keys(CeremonyError::LogKeyGone))), "{refused:?}");
    assert!(!terminal.prints().contains_key(&log_key()));
}

#[test]
fn one_person_is_not_two() {
    let terminal = NewTerminal::new();
    for persons in [["Tanaka", "Tanaka"], ["Tanaka", " "], ["", "Suzuki"], ["Tanaka", " Tanaka "]] {
        let refused = ceremony::set_up_keys(&mut terminal.disk.open(), &terminal.hsm, &*terminal.clock, persons, true);
        assert!(matches!(refused, Err(ProcedureError::Keys(CeremonyError::SamePerson))), "{persons:?}: {refused:?}");
    }
    assert!(terminal.prints().is_empty());
}

#[test]
fn listed_keys_say_when_they_were_made_if_a_record_does() {
    let terminal = NewTerminal::new();
    let made = terminal.set_up().unwrap();
    let master = KeyName::card_master(1);
    terminal.hsm.create(&master, KeyKind::CardMaster(AesLength::Aes128), terminal.soon()).unwrap();
    let state: &dyn StateFolder = &terminal.disk.open();
    for key in ceremony::list_keys(state, &terminal.hsm, &*terminal.clock).unwrap() {
        let expected = (key.name != master.as_str()).then_some(made.sealed.record.ended_at);
        assert_eq!(key.created_at, expected, "{}", key.name);
    }
    let done = |entry: &audit_log::Entry| matches!(entry.phase, Phase::Outcome { outcome: Outcome::Done, .. });
    assert_eq!(
        logbook::entries(state).unwrap().iter().filter(|entry| done(entry)).count(),
        4,
        "all but the log's own key"
    );
}
