//! `madoguchi-sim` as people run it: processes, exit statuses, documents.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use card_reader::trace::{Completeness, Trace};
use madoguchi_sim::residue::{Needles, Sought, Value, search_process};
use madoguchi_sim::terminal::Told;
use madoguchi_sim::world::{Making, OPERATORS, RESIDENTS, World};
use orchestrator::{DiskFolder, StateFolder};
use serde_json::Value as Json;
use sim_palm_sensor::synth::{Level, PalmSeeds, Side, SyntheticPalm, Veins};
use sim_palm_sensor::write_png;
use tempfile::TempDir;

const OPERATOR: &str = OPERATORS[0];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madoguchi-sim"));
    command.stdin(Stdio::null()).env_remove("LC_ALL").env("LANG", "C.UTF-8");
    command
}

fn run(arguments: &[&str], state: &Path) -> Output {
    program().args(arguments).arg("--state").arg(state).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn document(output: &Output) -> Json {
    let document = serde_json::from_slice(&output.stdout);
    assert!(document.is_ok(), "{}{}", text(&output.stdout), text(&output.stderr));
    document.unwrap()
}

/// What the process said that ended with this status.
fn refused(output: &Output, status: i32) -> String {
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{said}{}", text(&output.stderr));
    said
}

fn making() -> Making {
    Making { seed: 1, profile: "jpki-2016".into(), register: None, palms: None }
}

/// A world of seed 1 of one's own. Worlds are copied: their keys take their time.
fn world() -> (TempDir, World) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        making().make(&folder.path().join("world"), &mut |_| {}).unwrap();
        folder
    });
    let folder = tempfile::tempdir().unwrap();
    copy(&made.path().join("world"), folder.path());
    let world = World::open(folder.path()).unwrap();
    (folder, world)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_demonstration_proves_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["demo", "--json", "--show-refusals"], folder.path());
    let found = document(&output);
    assert!(output.status.success(), "{found:#}");
    assert_eq!((&found["ok"], &found["seed"]), (&true.into(), &1.into()));
    let kinds: Vec<&str> =
        found["certificates"].as_array().unwrap().iter().map(|each| each["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["authentication", "signature"]);
    for certificate in found["certificates"].as_array().unwrap() {
        let pem = fs::read_to_string(certificate["path"].as_str().unwrap()).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(certificate["serial"].is_string());
        assert!(certificate["not_before"].as_str() < certificate["not_after"].as_str());
    }
    for (group, figures) in [("card", &["apdus", "bytes_out", "bytes_in"][..]), ("log", &["entries"])] {
        for figure in figures {
            assert!(found[group][figure].as_u64().unwrap() > 0, "{group}.{figure}");
        }
    }
    assert!(found["timings_ms"]["signature_generate_key"].as_u64().unwrap() > 0);
    assert_eq!(found["log"]["verified"], true);
    assert_eq!(found["residue"], Json::Array(Vec::new()));
    assert!(found["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    let proofs = found["proofs"].as_array().unwrap();
    assert_eq!(proofs.iter().filter(|proof| proof["ok"] == true).count(), 6);

    // Three refusals, and one log-on: the history has them all.
    let log = document(&run(&["log", "show", "--json"], folder.path()));
    let log_ons = log["entries"].as_array().unwrap().iter().filter(|entry| entry["step"] == "log-on");
    let outcomes: Vec<&str> = log_ons.map(|entry| entry["detail"].as_str().unwrap()).collect();
    let expected = ["refused", "no-usable-capture", "refused", "done"];
    assert_eq!(outcomes[outcomes.len() - expected.len()..], expected);

    // What the demonstration leaves can be worked with, and another resident comes the next time.
    for command in found["next"].as_array().unwrap() {
        let words: Vec<&str> = command.as_str().unwrap().split(' ').skip(1).collect();
        let output = program().args(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stdout));
    }
    let again = document(&run(&["demo", "--json"], folder.path()));
    assert_eq!(again["ok"], true);
    assert_ne!(again["next"][2], found["next"][2]);
}

#[test]
fn a_person_sees_each_step_in_their_language() {
    let (folder, _) = world();
    let trace = folder.path().join("demo.trace");
    let output = run(&["demo", "--lang", "ja", "--verbose", "--trace", trace.to_str().unwrap()], folder.path());
    let seen = text(&output.stdout);
    assert!(output.status.success(), "{seen}");
    for line in ["照合ID 0417", "近すぎます", "代替文字", "確定", "消去済 ✓", "残っている個人情報はありません"]
    {
        assert!(seen.contains(line), "{line}: {seen}");
    }
    assert!(seen.contains("カード  84220100"), "the technical view shows the command that commits: {seen}");
    assert!(!seen.contains('✗'), "{seen}");
    assert!(!["記録はありません", "記録が欠けて"].iter().any(|amiss| seen.contains(amiss)), "of the trace: {seen}");
    assert_eq!(Trace::read(&trace).unwrap().completeness, Completeness::Complete, "of the terminal's process");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let (first, world) = world();
    let second = tempfile::tempdir().unwrap();
    let same = making().make(second.path(), &mut |_| {}).unwrap();
    assert_eq!(world.applicant().unwrap(), same.applicant().unwrap());
    let cards = |folder: &Path| {
        let files = files(&folder.join("sim")).into_iter();
        files.filter(|path| path.extension().is_some_and(|extension| extension == "nvm")).count()
    };
    assert_eq!((cards(first.path()), cards(second.path())), (1, 1));
    for file in ["register.csv", "sim/terminal.hsm", "authority/hsm.json", "sim/world.toml"] {
        let content = |folder: &Path| fs::read(folder.join(file)).unwrap();
        assert!(content(first.path()) == content(second.path()), "{file}");
    }
    let register = fs::read_to_string(first.path().join("register.csv")).unwrap();
    assert_eq!(register.lines().count(), 1 + RESIDENTS);
    let other = tempfile::tempdir().unwrap();
    let making = Making { seed: 2, profile: "jpki-next".into(), ..making() };
    let other = making.make(other.path(), &mut |_| {}).unwrap();
    assert_ne!(world.applicant().unwrap(), other.applicant().unwrap());
}

#[test]
fn other_cards_are_issued_too() {
    for profile in ["jpki-next", "jpki-2016-single-slot"] {
        let folder = tempfile::tempdir().unwrap();
        let found = document(&run(&["demo", "--json", "--profile", profile, "--seed", "3"], folder.path()));
        assert_eq!(found["ok"], true, "{profile}: {found:#}");
        let shown = document(&run(&["card", "show", "--json", "--operator", OPERATOR], folder.path()));
        let pending_slot = profile != "jpki-2016-single-slot";
        assert_eq!(shown["slots"][0]["pending_slot"], pending_slot, "{profile}: {shown:#}");
    }
}

#[test]
fn what_is_wrong_is_told_with_an_exit_status() {
    let (folder, world) = world();
    let state = folder.path();
    let applicant = world.applicant().unwrap().number.clone();
    let issue = |resident: &str| run(&["issue", "--operator", OPERATOR, "--resident", resident], state);

    assert!(refused(&issue("999999999999999"), 1).contains("no resident of that number"));
    assert!(refused(&run(&["issue", "--operator", "9999", "--resident", &applicant], state), 1).contains("user ID"));
    refused(&run(&["issue", "--operator", OPERATOR], state), 2);
    refused(&run(&["world", "new"], state), 1);
    assert!(refused(&run(&["demo", "--profile", "jpki-next"], state), 1).contains("already"));
    assert!(refused(&run(&["demo", "--reader", "pcsc"], state), 1).contains("simulated reader only"));
    let nowhere = state.join("nowhere");
    refused(&run(&["doctor"], &nowhere), 1);

    let mut taken = DiskFolder::open(state).unwrap();
    taken.lock().unwrap();
    assert!(refused(&issue(&applicant), 1).contains("in use"));
    assert!(refused(&run(&["demo"], state), 1).contains("in use"));
    drop(taken);

    let hsm = state.join("sim/terminal.hsm");
    let content = fs::read(&hsm).unwrap();
    fs::write(&hsm, &content[..content.len() / 2]).unwrap();
    assert!(refused(&issue(&applicant), 1).contains("HSM"));
    fs::write(&hsm, content).unwrap();

    fs::write(state.join("terminal.toml"), "terminal = 1").unwrap();
    assert!(refused(&issue(&applicant), 1).contains("terminal.toml"));
}

#[test]
fn an_authority_that_does_not_answer_leaves_the_case_open() {
    let (folder, world) = world();
    let resident = world.applicant().unwrap().number.clone();
    let output = run(
        &["terminal", "--operator", OPERATOR, "--resident", &resident, "--authority", "127.0.0.1:9"],
        folder.path(),
    );
    let told = refused(&output, 3);
    let last: Told = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(matches!(last, Told::Failed { code, .. } if code == "authority-unreachable"));
}

#[test]
fn a_register_of_ones_own_is_taken_or_its_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let register = folder.path().join("register.csv");
    let good = "number,name,address,birth,sex\n17,髙橋　桜,東京都みどり区北町１番,1980-02-17,female\n";
    fs::write(&register, format!("{good}17,佐藤　健,東京都,1999-02-30,male\nx,鈴木　花,東京都,1990-01-01,?\n"))
        .unwrap();
    let state = folder.path().join("world");
    let new = ["world", "new", "--json", "--register", register.to_str().unwrap()];
    let output = run(&new, &state);
    refused(&output, 1);
    let faults = document(&output)["faults"].clone();
    assert_eq!(faults.as_array().unwrap().len(), 3, "{faults:#}");
    assert!(!state.exists(), "nothing is made of a faulty register");

    fs::write(&register, good).unwrap();
    assert!(run(&new, &state).status.success());
    assert_eq!(World::open(&state).unwrap().applicant().unwrap().number, "17");
}

#[test]
fn operators_can_bring_pictures_of_their_palms() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("palms").join(OPERATOR);
    fs::create_dir_all(&pictures).unwrap();
    let palm = SyntheticPalm::new(PalmSeeds::of_person(77, Side::Left));
    for take in 0..4 {
        let file = fs::File::create(pictures.join(format!("{take}.png"))).unwrap();
        write_png(&palm.photograph(Level::L0, take, Veins::Normal), BufWriter::new(file)).unwrap();
    }
    let state = folder.path().join("world");
    let palms = folder.path().join("palms");
    assert!(run(&["world", "new", "--palms", palms.to_str().unwrap()], &state).status.success());
    let found = document(&run(&["demo", "--json"], &state));
    assert_eq!((&found["ok"], &found["residue"]), (&true.into(), &Json::Array(Vec::new())), "{found:#}");
    // Without the pictures, it is somebody else's hand.
    fs::remove_dir_all(state.join("sim/palms")).unwrap();
    refused(&run(&["card", "show", "--operator", OPERATOR], &state), 1);
}

#[test]
fn what_a_process_keeps_in_its_memory_is_found() {
    // The number is on this process's command line, and so in its memory until its end.
    let (folder, world) = world();
    let resident = world.applicant().unwrap();
    let mut process = program()
        .args(["terminal", "--hold", "--operator", OPERATOR, "--resident", &resident.number])
        .arg("--state")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    writeln!(stdin, "{}", hex::encode([7; 32])).unwrap();
    let told = BufReader::new(process.stdout.take().unwrap());
    let held = told.lines().map_while(Result::ok).any(|line| line.contains("held"));
    assert!(held, "it ended before its time");
    let seek = |label: &str, text: &str| Sought { label: label.into(), value: Value::text(text) };
    let needles = Needles::new(&[seek("number", &resident.number), seek("name", &resident.name)]).unwrap();
    let mut found = Vec::new();
    search_process(&needles, process.id(), &mut found).unwrap();
    assert!(!found.is_empty() && found.iter().all(|found| found.label == "number"), "{found:?}");
    drop(stdin);
    assert!(process.wait().unwrap().success());
}

#[test]
fn help_shows_examples_that_can_be_typed() {
    for command in [&["demo"][..], &["world", "new"], &["authority"]] {
        let help = text(&program().args(command).arg("--help").output().unwrap().stdout);
        assert!(help.contains("$ madoguchi-sim") || command == ["authority"], "{command:?}: {help}");
    }
    let whole = text(&program().arg("--help").output().unwrap().stdout);
    assert!(!whole.contains("  terminal "), "for programs only: {whole}");
}
