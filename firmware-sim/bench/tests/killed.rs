//! The real process is killed with SIGKILL at its n-th write to journal or log, for every n, and started again: the job comes
//! to its end, card and authority agree, and nothing personal is left in the folder.
//!
//! On cards of the next generation: their keys are made in no time, and this loop is about processes and files.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use audit_log::open_intents;
use authority::store::{IssueKey, SqliteStore, State, Store};
use jpki::CertificateKind;
use madoguchi_sim::residue::{Needles, Sought, Value, search_folder};
use madoguchi_sim::world::World;
use madoguchi_time::SystemClock;
use orchestrator::{DiskFolder, StateFolder, logbook};

const PROGRAM: &str = env!("CARGO_BIN_EXE_madoguchi-sim");
const OPERATOR: &str = "0417";
/// The first serial number of a new authority, and more than a case issues.
const SERIALS: std::ops::Range<u64> = 2_000_001..2_000_033;

/// The authority of one case; killed when the case is over.
struct Authority {
    process: Child,
    address: String,
}

impl Authority {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(PROGRAM)
            .args([
                "authority",
                "serve",
                "--until-stdin-ends",
                "--cmp",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--state",
            ])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self { process, address: ready["cmp"].as_str().unwrap().into() }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn terminal(state: &Path, resident: &str, authority: &Authority, more: &[String]) -> ExitStatus {
    Command::new(PROGRAM)
        .args([
            "terminal",
            "--operator",
            OPERATOR,
            "--resident",
            resident,
            "--authority",
            &authority.address,
            "--state",
        ])
        .arg(state)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// What must be true once the job has come to its end.
fn check(state: &Path, number: &str, case: &str) {
    let world = World::open(state).unwrap();
    let card = world.card_on_reader(SystemClock::shared()).unwrap().unwrap();
    let store = SqliteStore::open(&world.folder().authority().join("store.sqlite"), [0; 2]).unwrap();
    for kind in CertificateKind::BOTH {
        let issues = SERIALS.filter_map(|serial| store.issue(IssueKey::Serial(kind, serial)).unwrap());
        let valid: Vec<_> = issues.filter(|issue| issue.state == State::Valid).map(|issue| issue.sha256).collect();
        let slots = card.slots(kind).unwrap();
        assert_eq!(valid.len(), 1, "{case}: I5 idempotent: one valid certificate, {kind:?}");
        assert_eq!(slots.active, Some(valid[0]), "{case}: I2 no ghost, {kind:?}");
        assert!(slots.active_fits && !slots.pending_key, "{case}: I7 no brick, {kind:?}");
    }
    let folder = DiskFolder::open(state).unwrap();
    assert_eq!(folder.read("journal").unwrap(), None, "{case}: I4 nothing left: the journal");
    let open = open_intents(&logbook::entries(&folder).unwrap()).unwrap();
    assert!(open.is_empty(), "{case}: I6 accounted: {open:?}");

    let resident = world.resident(number).unwrap().unwrap();
    let persona = world.persona(&resident);
    let secret = |label: &str, value: &str| Sought { label: label.into(), value: Value::text(value) };
    let mut sought = vec![
        secret("氏名", &resident.name),
        secret("住所", &resident.address),
        secret("照合番号B", &persona.face_code),
    ];
    let signing = persona.pins.iter().filter(|(kind, _)| *kind == CertificateKind::Signature);
    sought.extend(signing.map(|(_, pin)| secret("署名用暗証番号", pin)));
    let mut found = Vec::new();
    let others = world.folder().not_the_terminals();
    let is_anothers = |path: &Path| others.iter().any(|other| path.starts_with(other));
    search_folder(&Needles::new(&sought).unwrap(), state, &is_anothers, &mut found).unwrap();
    assert!(found.is_empty(), "{case}: I4 nothing left, I8 secret: {found:?}");
}

/// Kills the terminal at every write of a procedure, in copies of the world at `start`.
fn kill_at_every_write(start: &Path, work: &Path, resident: &str, more: &[String]) -> u64 {
    for n in 1.. {
        let case = work.join("case");
        if case.exists() {
            fs::remove_dir_all(&case).unwrap();
        }
        copy(start, &case);
        let authority = Authority::start(&case.join("authority"));
        let mut order = more.to_vec();
        order.extend(["--kill-at-write".into(), n.to_string()]);
        if n % 2 == 0 {
            order.push("--torn".into());
        }
        let killed = terminal(&case, resident, &authority, &order);
        if killed.signal().is_none() {
            assert!(killed.success(), "undisturbed: {killed}");
            return n - 1;
        }
        assert_eq!(killed.signal(), Some(9));
        // One visit settles what was open, and issues what was missing; if nothing was, it says that all is there.
        let again = terminal(&case, resident, &authority, &[]);
        assert!(again.code().is_some(), "write {n}: {again}");
        check(&case, resident, &format!("killed at write {n}"));
    }
    unreachable!("the loop ends when nothing is left to kill")
}

/// A new world, and its applicant's number.
fn world(folder: &Path) -> String {
    let made = Command::new(PROGRAM)
        .args(["world", "new", "--seed", "3", "--profile", "jpki-next", "--state"])
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    World::open(folder).unwrap().applicant().unwrap().number.clone()
}

#[test]
fn killed_at_every_write_of_a_first_issue() {
    let work = tempfile::tempdir().unwrap();
    let start = work.path().join("world");
    let resident = world(&start);
    let cases = kill_at_every_write(&start, work.path(), &resident, &[]);
    println!("first issue: killed at {cases} writes");
    assert!(cases > 20, "a loop without cases proves nothing");
}

#[test]
fn killed_at_every_write_of_a_renewal() {
    let work = tempfile::tempdir().unwrap();
    let start = work.path().join("world");
    let resident = world(&start);
    let authority = Authority::start(&start.join("authority"));
    assert!(terminal(&start, &resident, &authority, &[]).success());
    drop(authority);
    let cases = kill_at_every_write(&start, work.path(), &resident, &["--renew".into()]);
    println!("renewal: killed at {cases} writes");
    assert!(cases > 20, "a loop without cases proves nothing");
}
