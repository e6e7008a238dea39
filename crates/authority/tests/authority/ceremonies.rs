//! Key ceremonies: one at a time, and in a module that is fit for it. How they are held in tokens is tested with the programs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use audit_log::{Actor, Code, Log, NewEntry};
use authority::ceremonies::Ceremonies;
use authority::cli::{self, KeyStore};
use authority::{SetupError, exists, read_config, required_keys};
use hsm::{HsmError, KeyCustody, KeyKind, KeyName};
use madoguchi_time::SystemClock;
use sim_hsm::{Provision, SoftwareHsm};

use crate::fixtures::{authority_hsm, authority_keys, next_generation};
use crate::service::program;

#[test]
fn one_program_at_a_time_holds_a_ceremony_and_keys_are_listed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("authority");
    assert!(program(&["init", "--generation", "jpki-next"], &state).status().unwrap().success());
    let (config, clock) = (read_config(&state).unwrap(), SystemClock::shared());
    let (hsm, required) = (authority_hsm(&config), required_keys(&config.issuing));
    let open = || Ceremonies::open(&state, required.clone(), &hsm, &*clock);

    let held = open().unwrap();
    // What it is about to do.
    let intent = NewEntry::intent(Actor::System, Code::literal("create-key"));
    let intent = Log::default().prepare(intent, clock.wall()).unwrap();
    let log = state.join("ceremonies/log.jsonl");
    fs::write(&log, intent.line()).unwrap();
    assert!(matches!(open(), Err(SetupError::CeremonyHeld(_))));
    let persons = ["--custodian", "Tanaka", "--second-person", "Suzuki"];
    let create = [&["hsm", "keys", "create", "authority-more"], &persons[..]].concat();
    let refused = program(&create, &state).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("another program holds a key ceremony"), "{said}");
    let listed = program(&["hsm", "keys", "list", "--json"], &state).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), required.len());
    assert_eq!(fs::read_to_string(&log).unwrap(), intent.line(), "nobody else has written");

    // Cut short: to list keys changes nothing, and whoever holds the next ceremony notes that it is not known how it ended.
    drop(held);
    assert!(program(&["hsm", "keys", "list"], &state).output().unwrap().status.success());
    assert_eq!(fs::read_to_string(&log).unwrap(), intent.line());
    assert!(program(&create, &state).output().unwrap().status.success());
    let (log, torn) = Log::from_lines(&fs::read(&log).unwrap()).unwrap();
    assert!(torn.is_none() && log.open_intents().next().is_none());
}

/// A token that was filled before.
struct Filled(Arc<SoftwareHsm>);

impl KeyStore for Filled {
    fn open(&self, _: &Path, _: Option<&str>) -> Result<Arc<dyn KeyCustody>, HsmError> {
        Ok(self.0.clone())
    }

    fn begin(&self, dir: &Path, hsm: Option<&str>, _: Option<u64>) -> Result<Arc<dyn KeyCustody>, HsmError> {
        self.open(dir, hsm)
    }
}

#[test]
fn an_authority_is_made_with_keys_that_are_there_only_if_the_token_is_fit() {
    let issuing = next_generation().issuing;
    let required = required_keys(&issuing);
    let fit = authority_keys(&issuing, 1);
    let of_terminal = fit.clone().with_key(KeyName::new(KeyName::TERMINAL_TLS), KeyKind::EcP256);
    let empty = Provision::empty("authority", [1; 32]);
    let of_other_kind =
        required.iter().fold(empty.clone(), |all, (name, _)| all.with_key(name.clone(), KeyKind::EcP256));
    let (_, all_but_one) = required.split_last().unwrap();
    let lacking = all_but_one.iter().fold(empty, |all, (name, kind)| all.with_key(name.clone(), *kind));
    for (case, provision, is_fit) in [
        ("a key of a terminal", of_terminal, false),
        ("keys of another kind", of_other_kind, false),
        ("all but one", lacking, false),
        ("what is needed", fit, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().to_str().unwrap();
        let init = ["madoguchi-authority", "init", "--hsm", "pkcs11:token=authority", "--generation", "jpki-next"];
        let token = Filled(Arc::new(SoftwareHsm::in_memory(&provision).unwrap()));
        let expected = if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        let ended = cli::run([&init[..], &["--state", state]].concat(), &token);
        assert_eq!((ended, exists(dir.path())), (expected, is_fit), "{case}");
    }
}
