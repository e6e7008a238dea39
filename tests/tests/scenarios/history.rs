//! The operation history: who looked at whom, what was done, and how any tampering with it is found and told apart.

use std::time::Duration;

use audit_log::{Actor, Entry, LogFault, Outcome, Phase};
use authority::store::{AlarmKind, PersonId, TerminalId};
use hsm::KeyName;
use jpki::CertificateKind;
use madoguchi_tests::folder::Disk;
use madoguchi_tests::line::Mishap;
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

/// Somebody comes and goes, of which the authority does not hear, until the log has so many entries.
fn write_on(stage: &mut Stage, entries: usize) {
    let mut terminal = stage.start(0).unwrap();
    while stage.entries(0).unwrap().len() < entries {
        terminal.log_on(OPERATOR).unwrap();
        terminal.log_off().unwrap();
    }
}

fn acknowledge(stage: &Stage) {
    let terminal = TerminalId::new(stage.name(0)).unwrap();
    stage.authority.acknowledge_alarms(&terminal, PersonId::new("auditor-1").unwrap(), stage.now()).unwrap();
}

/// Put back, and written on until the log is longer than ever: what was witnessed is never given up, whatever the terminal
/// does then, and whoever puts the right folder in place again is not through with it.
#[test]
fn a_log_that_was_put_back_and_written_on_is_found_for_good() {
    let mut stage = stage(Start::Fresh);
    let earlier = stage.disk(0).files();
    stage.run(0, Plan::issue(&[Authentication])).unwrap();
    let (right, size) = (stage.disk(0).files(), stage.entries(0).unwrap().len());
    let witnessed = |stage: &Stage| {
        let witness = stage.authority.store().witness(&TerminalId::new(stage.name(0)).unwrap());
        witness.unwrap().unwrap().size as usize
    };
    assert_eq!(witnessed(&stage), size);
    for (more, is_verified_first) in [(0, true), (0, false), (1, true), (1, false), (30, true), (30, false)] {
        let case = format!("{more} more, verified first: {is_verified_first}");
        stage.disk(0).restore(earlier.clone());
        write_on(&mut stage, size + more);
        if is_verified_first {
            let found = verdict(&mut stage);
            assert_eq!((found.verified, found.code), (false, Some("not-as-witnessed")), "{case}: {found:?}");
        }
        for _ in 0..3 {
            let error = properly(stage.refused(Plan::issue(&[Signature])), &case);
            let is_refused =
                matches!(&error, ProcedureError::AuthorityRefused { failure } if failure == "notAuthorized");
            assert!(is_refused, "{case}: {error:?}");
            let found = verdict(&mut stage);
            assert_eq!((found.verified, found.code), (false, Some("not-as-witnessed")), "{case}: {found:?}");
            assert_eq!(witnessed(&stage), size, "{case}");
        }
        // The evidence is two checkpoints under the log's own key.
        let alarms = stage.authority.store().alarms().unwrap();
        let alarm = alarms.last().unwrap();
        assert_eq!((alarm.kind, alarm.witnessed_size), (AlarmKind::Forked, size as u64), "{case}");
        assert!(alarm.offered_size > size as u64 && alarm.offered.starts_with(&format!("old {size}\n")), "{case}");

        // The right folder is put in place again. Work goes on, and the history is not clean before somebody has looked.
        stage.disk(0).restore(right.clone());
        for _ in 0..2 {
            let found = verdict(&mut stage);
            assert_eq!((found.verified, found.code), (false, Some("alarm-on-record")), "{case}: {found:?}");
            assert_eq!((found.entries, found.witnessed), (size as u64, Some(size as u64)), "{case}");
        }
        acknowledge(&stage);
        assert!(verdict(&mut stage).verified, "{case}");
    }
    stage.run(0, Plan::issue(&[Signature])).unwrap();
    assert!(verdict(&mut stage).verified);
    stage.check_settled().unwrap();
}

/// The log was lost with its disk, and a copy is all there is: somebody at the authority has to say so.
#[test]
fn a_copy_is_taken_when_somebody_answers_for_it() {
    let mut stage = put_back();
    properly(stage.refused(Plan::issue(&[Signature])), "not yet");
    let terminal = TerminalId::new(stage.name(0)).unwrap();
    stage.authority.accept_log(&terminal, PersonId::new("0001").unwrap(), stage.now()).unwrap();
    assert!(verdict(&mut stage).verified);
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    assert!(verdict(&mut stage).verified);
    stage.check_settled().unwrap();
}

/// Whatever the terminal knows of the witness when it starts: nobody who tells the truth is turned away, and no message is sent
/// more than twice.
#[test]
fn an_honest_log_is_never_turned_away() {
    let mut stage = stage(Start::Issued);
    let undisturbed = {
        let before = stage.post.heard().len();
        stage.run(0, Plan::renew(&[Authentication])).unwrap();
        stage.post.heard().len() - before
    };
    // More was written than the authority has heard of.
    let size = stage.entries(0).unwrap().len();
    write_on(&mut stage, size + 6);
    let before = stage.post.heard().len();
    stage.run(0, Plan::renew(&[Authentication])).unwrap();
    assert_eq!(stage.post.heard().len() - before, undisturbed, "it knows from where to prove");
    for idea in [None, Some("0"), Some("7"), Some("100000"), Some("18446744073709551616"), Some("x"), Some("")] {
        let mut files = stage.disk(0).files();
        assert!(files.remove("log/witnessed").is_some());
        files.extend(idea.map(|idea| ("log/witnessed".into(), idea.into())));
        stage.disk(0).restore(files);
        let before = stage.post.heard().len();
        stage.run(0, Plan::renew(&[Authentication])).unwrap();
        assert_eq!(stage.post.heard().len() - before, undisturbed + 1, "{idea:?}: one proof was wanted, once");
    }
    assert!(verdict(&mut stage).verified);
    assert!(stage.authority.store().alarms().unwrap().is_empty());
}

/// At each place of a procedure a message, an answer, or the terminal itself is lost; messages arrive late, and out of order.
/// None of it is taken for tampering, and the log ends witnessed to its last entry.
#[test]
fn whatever_is_lost_the_log_is_witnessed_in_the_end() {
    let check = |stage: &mut Stage, case: &str| {
        stage.run(0, Plan::settle()).map(drop).unwrap_or_else(|error| panic!("{case}: {error:?}"));
        let found = verdict(stage);
        assert!(found.verified && found.witnessed == Some(found.entries), "{case}: {found:?}");
        stage.post.deliver_delayed();
        let found = verdict(stage);
        assert!(found.verified && found.witnessed == Some(found.entries), "{case}, late: {found:?}");
        let alarms = stage.authority.store().alarms().unwrap();
        assert!(alarms.is_empty(), "{case}: {alarms:?}");
    };
    let mut struck = 0;
    for mishap in Mishap::ALL {
        for stubborn in [false, true] {
            for n in 1.. {
                let case = format!("message {n} {mishap:?}, stubborn: {stubborn}");
                let mut stage = stage(Start::Fresh);
                // Two in a row: the second goes out while the first is still on its way.
                stage.post.arm(n, mishap, stubborn);
                stage.post.arm(n + 1, Mishap::AnswerLost, stubborn);
                let _ = stage.run(0, Plan::issue(&[Authentication]));
                let is_over = stage.post.disarm() == 2;
                check(&mut stage, &case);
                if is_over {
                    break;
                }
                struck += 1;
            }
        }
    }
    assert!(struck >= 20, "{struck}");
    for n in 1.. {
        let mut stage = stage(Start::Fresh);
        stage.disk(0).cut_at_write(n);
        let _ = stage.run(0, Plan::issue(&[Authentication]));
        let was_cut = stage.disk(0).mend();
        check(&mut stage, &format!("write {n}"));
        if !was_cut {
            assert!(n > 30, "{n}");
            break;
        }
    }
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
