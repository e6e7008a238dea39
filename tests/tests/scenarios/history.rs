//! The operation history: who looked at whom, what was done, and how any tampering with it is found and told apart.

use std::time::Duration;

use audit_log::{Actor, Entry, LogFault, Outcome, Phase};
use authority::store::{AlarmKind, TerminalId};
use hsm::KeyName;
use jpki::CertificateKind;
use madoguchi_tests::folder::Disk;
use madoguchi_tests::stage::{OPERATOR, resident};
use madoguchi_tests::{Stage, Start};
use madoguchi_time::Clock;
use orchestrator::{LogVerdict, Plan, ProcedureError, Progress};
use sha2::{Digest, Sha256};

use crate::{BOTH, properly, stage};

use CertificateKind::{Authentication, Signature};

const ENTRIES: &str = "log/entries.jsonl";
const CHECKPOINT: &str = "log/checkpoint";

fn verdict(stage: &mut Stage) -> LogVerdict {
    stage.start(0).unwrap().verify_log().unwrap()
}

#[test]
fn after_an_issue_the_log_verifies_and_its_witness_has_seen_all_of_it() {
    let mut stage = stage(Start::Issued);
    let entries = stage.entries(0).unwrap();
    let witness = stage.authority.store().witness(&TerminalId::new(stage.name(0)).unwrap()).unwrap().unwrap();
    assert_eq!(witness.size, entries.len() as u64, "to the last entry");
    let found = verdict(&mut stage);
    let right = LogVerdict {
        entries: entries.len() as u64,
        verified: true,
        witnessed: Some(entries.len() as u64),
        fault: None,
        code: None,
    };
    assert_eq!(found, right);
    assert!(stage.authority.store().alarms().unwrap().is_empty());
}

// ---------------------------------------------------------------- tampering

/// Does something to the lines of the log.
fn edit(disk: &Disk, change: impl FnOnce(&mut Vec<String>)) {
    disk.tamper(ENTRIES, |content| {
        let mut lines: Vec<_> = std::str::from_utf8(content).unwrap().lines().map(ToOwned::to_owned).collect();
        let before = lines.clone();
        change(&mut lines);
        assert_ne!(lines, before, "a change");
        *content = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into_bytes();
    });
}

/// Puts one text in the place of another, in the first line that has it.
fn rewrite(disk: &Disk, old: &str, new: &str) {
    edit(disk, |lines| {
        let line = lines.iter_mut().find(|line| line.contains(old)).unwrap();
        *line = line.replacen(old, new, 1);
    });
}

fn change_checkpoint(disk: &Disk, change: impl FnOnce(&mut String)) {
    disk.tamper(CHECKPOINT, |content| {
        let mut text = String::from_utf8(content.clone()).unwrap();
        change(&mut text);
        *content = text.into_bytes();
    });
}

/// Gives one letter of a text its neighbour's place in the alphabet.
fn next_letter(text: &mut String, at: usize) {
    let changed = if text[at..=at] == *"A" { "B" } else { "A" };
    text.replace_range(at..=at, changed);
}

fn remove(disk: &Disk, name: &str) {
    let mut files = disk.files();
    assert!(files.remove(name).is_some());
    disk.restore(files);
}

#[test]
fn start_up_refuses_a_log_that_was_tampered_with_and_says_how() {
    type Case = (&'static str, fn(&Disk), fn(&LogFault) -> bool);
    let is_changed: fn(&LogFault) -> bool = |fault| matches!(fault, LogFault::Changed { .. });
    let is_malformed: fn(&LogFault) -> bool = |fault| matches!(fault, LogFault::Malformed { .. });
    let is_misplaced: fn(&LogFault) -> bool = |fault| matches!(fault, LogFault::Misplaced { .. });
    let cases: [Case; 16] = [
        ("another operator", |disk| rewrite(disk, "operator:0417", "operator:0418"), is_changed),
        ("another outcome", |disk| rewrite(disk, r#""outcome":"done""#, r#""outcome":"failed""#), is_changed),
        ("another day", |disk| rewrite(disk, "2026-11-20T", "2026-11-19T"), is_changed),
        ("nobody looked", |disk| rewrite(disk, r#""step":"view""#, r#""step":"lock""#), is_changed),
        ("a space", |disk| rewrite(disk, r#""step":"#, r#""step": "#), is_malformed),
        ("not a line", |disk| edit(disk, |lines| lines[3] = "nonsense".into()), is_malformed),
        ("a field more", |disk| rewrite(disk, r#"{"actor""#, r#"{"a":1,"actor""#), is_malformed),
        ("an entry taken out", |disk| edit(disk, |lines| drop(lines.remove(5))), is_misplaced),
        ("an entry twice", |disk| edit(disk, |lines| lines.insert(5, lines[4].clone())), is_misplaced),
        ("two entries in each other's place", |disk| edit(disk, |lines| lines.swap(4, 5)), is_misplaced),
        (
            "the last entry cut off",
            |disk| edit(disk, |lines| drop(lines.pop())),
            |fault| matches!(fault, LogFault::Truncated { entries, certified } if entries + 1 == *certified),
        ),
        (
            "all entries gone",
            |disk| remove(disk, ENTRIES),
            |fault| matches!(fault, LogFault::Truncated { entries: 0, .. }),
        ),
        (
            "the last entry cut in the middle",
            |disk| disk.tamper(ENTRIES, |content| content.truncate(content.len() - 20)),
            |fault| matches!(fault, LogFault::Truncated { .. }),
        ),
        ("no checkpoint", |disk| remove(disk, CHECKPOINT), |fault| matches!(fault, LogFault::NoCheckpoint { .. })),
        (
            "another signature",
            |disk| change_checkpoint(disk, |text| next_letter(text, text.len() - 12)),
            |fault| matches!(fault, LogFault::Forged(_)),
        ),
        (
            "another root",
            |disk| change_checkpoint(disk, |text| next_letter(text, text.find("\n\n").unwrap() - 10)),
            |fault| matches!(fault, LogFault::Forged(_)),
        ),
    ];
    let mut stage = stage(Start::Issued);
    let disk = stage.disk(0);
    let good = disk.files();
    for (case, tamper, is_expected) in cases {
        disk.restore(good.clone());
        tamper(&disk);
        let evidence = disk.files();
        assert_ne!(evidence, good, "{case}");
        let refused = stage.start(0).map(drop).unwrap_err();
        assert_eq!(refused.code(), "log", "{case}");
        let ProcedureError::Log(fault) = &refused else { panic!("{case}: {refused:?}") };
        assert!(is_expected(fault), "{case}: {fault:?}");
        assert_eq!(disk.files(), evidence, "{case}: the evidence is left alone");
    }
    disk.restore(good);
    assert!(verdict(&mut stage).verified);
}

#[test]
fn a_log_under_another_key_is_refused() {
    let mut stage = stage(Start::Issued);
    // Whoever puts another terminal's log in the place of this one's…
    let (own, mut others) = (stage.disk(0).files(), stage.disk(1).files());
    others.insert("terminal.toml".into(), own["terminal.toml"].clone());
    stage.disk(0).restore(others);
    let error = stage.start(0).map(drop).unwrap_err();
    assert!(matches!(error, ProcedureError::Log(LogFault::KeyReplaced { .. })), "{error:?}");
    // …or another HSM in the place of the one that signed it.
    stage.disk(0).restore(own);
    stage.start(0).unwrap();
    stage.replace_hsm(0);
    let error = stage.start(0).map(drop).unwrap_err();
    assert!(matches!(error, ProcedureError::Log(LogFault::KeyReplaced { .. })), "{error:?}");
}

/// A folder put back to what it was before an issue of which the witness has heard.
fn put_back() -> Stage {
    let mut stage = stage(Start::Fresh);
    let earlier = stage.disk(0).files();
    stage.run(0, Plan::issue(&[Authentication])).unwrap();
    stage.disk(0).restore(earlier);
    stage
}

/// Entries and checkpoint agree, so the terminal alone can't know: the witness does, and refuses to go on.
#[test]
fn what_only_the_witness_can_know_is_found_by_the_witness() {
    for (case, begins_anew) in [("the whole folder put back", false), ("the whole log removed", true)] {
        let mut stage = put_back();
        if begins_anew {
            remove(&stage.disk(0), ENTRIES);
            remove(&stage.disk(0), CHECKPOINT);
        }
        let error = properly(stage.refused(Plan::issue(&[Signature])), case);
        let is_refused = matches!(&error, ProcedureError::AuthorityRefused { failure } if failure == "notAuthorized");
        assert!(is_refused, "{case}: {error:?}");
        let found = verdict(&mut stage);
        assert_eq!((found.verified, found.code), (false, Some("rolled-back")), "{case}: {found:?}");
        let alarms = stage.authority.store().alarms().unwrap();
        assert!(alarms.iter().all(|alarm| alarm.kind == AlarmKind::RolledBack) && alarms.len() > 1, "{alarms:?}");

        // A terminal whose log is in order takes the card over.
        stage.carry_card(1);
        stage.run(1, Plan::issue(&BOTH)).unwrap();
        stage.check_settled().unwrap();
    }
}

#[test]
fn a_log_that_was_put_back_and_written_on_is_not_the_one_that_was_witnessed() {
    let mut stage = put_back();
    // Somebody comes and goes, of which the authority does not hear.
    let mut terminal = stage.start(0).unwrap();
    for _ in 0..40 {
        terminal.log_on(OPERATOR).unwrap();
        terminal.log_off().unwrap();
    }
    drop(terminal);
    let found = verdict(&mut stage);
    assert_eq!((found.verified, found.code), (false, Some("not-as-witnessed")), "{found:?}");
}

#[test]
fn a_line_that_was_torn_while_it_was_written_is_cut_off() {
    let mut stage = stage(Start::Issued);
    let whole = stage.disk(0).files()[ENTRIES].clone();
    for torn in [&b"{"[..], br#"{"actor":"operator:0417","detail":"done","index":"#, b"\xFF\xFE\x00"] {
        stage.disk(0).tamper(ENTRIES, |content| content.extend_from_slice(torn));
        stage.start(0).unwrap();
        assert_eq!(stage.disk(0).files()[ENTRIES], whole);
        assert!(verdict(&mut stage).verified);
    }
    stage.run(0, Plan::renew(&[Authentication])).unwrap();
    assert!(verdict(&mut stage).verified);
}

/// The power goes between an effect and its outcome: the next start says that nobody knows.
#[test]
fn what_was_interrupted_is_accounted_for_at_the_next_start() {
    let mut interrupted = 0;
    for n in 1..=40 {
        let mut stage = stage(Start::Fresh);
        stage.disk(0).cut_at_write(n);
        assert!(stage.run(0, Plan::issue(&[Authentication])).is_err() || n > 30);
        stage.disk(0).mend();
        let before = stage.entries(0).unwrap_or_default().len();
        let told = stage.record();
        stage.start(0).unwrap();
        let told = told.lock().unwrap();
        let open = told.iter().find_map(|told| match told {
            Progress::InterruptionFound { open_intents } => Some(*open_intents),
            _ => None,
        });
        let closed = &stage.entries(0).unwrap()[before..];
        assert_eq!(closed.len(), open.unwrap_or(0), "write {n}");
        for entry in closed {
            let is_unknown = matches!(entry.phase, Phase::Outcome { outcome: Outcome::Unknown, .. });
            assert!(is_unknown && entry.actor == Actor::System, "write {n}: {entry:?}");
            assert_eq!(entry.detail.as_ref().map(|detail| detail.as_str()), Some("interrupted"), "write {n}");
            interrupted += 1;
        }
    }
    assert!(interrupted > 3, "{interrupted}");
}

// ---------------------------------------------------------------- views

/// The answer to 「私の情報を誰が見たか」.
fn views_of<'a>(entries: &'a [Entry], stage: &Stage, number: &str) -> Vec<&'a Entry> {
    let deadline = stage.clock.deadline_in(Duration::from_secs(10));
    let key = KeyName::new(KeyName::RESIDENT_REFERENCE);
    let reference = stage.hsm(0).mac(&key, number.as_bytes(), deadline).unwrap();
    entries.iter().filter(|entry| entry.resident.is_some_and(|resident| resident.0 == reference)).collect()
}

#[test]
fn every_look_at_a_resident_is_an_entry_under_a_reference_that_says_nothing() {
    const NOBODY: &str = "100000000000099";
    let mut stage = stage(Start::Fresh);
    let number = stage.resident.number.clone();
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    properly(stage.refused(Plan::issue(&BOTH)), "issued already");
    stage.run(0, Plan::renew(&[Signature])).unwrap();
    properly(stage.refused_for(NOBODY, Plan::issue(&BOTH), |reader| reader), "nobody");
    stage.conversation.walk_away_at(1);
    properly(stage.refused(Plan::issue(&BOTH)), "not looked at");

    let entries = stage.entries(0).unwrap();
    let views = views_of(&entries, &stage, &number);
    assert_eq!(views.len(), 3, "issued, refused, renewed");
    assert_eq!(views_of(&entries, &stage, NOBODY).len(), 1);
    let all = entries.iter().filter(|entry| entry.step.as_str() == "view");
    assert_eq!(all.count(), 4, "and no other look");
    for view in views {
        assert!(matches!(&view.actor, Actor::Operator(id) if id.as_str() == OPERATOR));
        assert_eq!(view.phase, Phase::Event);
        // The look is noted before it happens, and whatever is done comes after.
        let first = entries.iter().find(|entry| entry.procedure == view.procedure).unwrap();
        assert_eq!((first.step.as_str(), first.index + 1), ("begin", view.index));
    }

    // The reference is neither the number nor a hash of it, and another terminal's is another.
    let reference = views_of(&entries, &stage, &number)[0].resident.unwrap().0;
    assert_ne!(reference.as_slice(), Sha256::digest(&number).as_slice());
    let deadline = stage.clock.deadline_in(Duration::from_secs(10));
    let elsewhere = stage.hsm(1).mac(&KeyName::new(KeyName::RESIDENT_REFERENCE), number.as_bytes(), deadline);
    assert_ne!(reference, elsewhere.unwrap());
    assert_eq!(resident().number, number);
    let log = stage.disk(0).files().remove(ENTRIES).unwrap();
    for number in [number.as_str(), NOBODY] {
        assert!(!log.windows(number.len()).any(|window| window == number.as_bytes()));
    }
}
