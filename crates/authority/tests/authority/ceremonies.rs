//! Key ceremonies: one at a time. How they are held in tokens is tested with the programs.

use std::fs;

use audit_log::{Actor, Code, Log, NewEntry};
use authority::ceremonies::Ceremonies;
use authority::{SetupError, read_config, required_keys};
use madoguchi_time::SystemClock;

use crate::fixtures::authority_hsm;
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
