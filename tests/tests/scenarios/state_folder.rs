//! A damaged state folder: the error names the file, and nothing in the folder is touched.

use hsm::HsmError;
use madoguchi_tests::Start;
use madoguchi_tests::folder::Disk;
use madoguchi_tests::stage::{MANAGER, OPERATOR};
use orchestrator::{Plan, ProcedureError, StateError};

use crate::session::sealed_in;
use crate::{BOTH, assert_heard_of_nobody, properly, stage};

fn remove(disk: &Disk, name: &str) {
    let mut files = disk.files();
    assert!(files.remove(name).is_some(), "{name}");
    disk.restore(files);
}

fn overwrite(disk: &Disk, name: &str, content: &[u8]) {
    let mut files = disk.files();
    files.insert(name.into(), content.to_vec());
    disk.restore(files);
}

fn replace(disk: &Disk, name: &str, old: &str, new: &str) {
    disk.tamper(name, |content| {
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(old), "{name}: {text}");
        *content = text.replace(old, new).into_bytes();
    });
}

#[track_caller]
fn assert_names(error: &ProcedureError, file: &str) {
    let ProcedureError::State(StateError::Damaged { file: named, problem }) = error else { panic!("{error:?}") };
    assert_eq!(named, file);
    assert!(!problem.is_empty());
}

#[test]
fn a_damaged_file_keeps_the_terminal_from_starting_and_is_named() {
    let site: [(&str, &str); 8] = [
        ("lock-after-s = 300", "lock-after-s = 301"),
        ("lock-after-s = 300", "lock-after-s = 0"),
        ("lock-after-s = 300", "lock-after = 300"),
        (r#"profile = "jpki-2016""#, r#"profile = "jpki-1999""#),
        (r#"environment = "sim""#, r#"environment = "play""#),
        (r#"window = "13999001A""#, r#"window = "1399900""#),
        ("card-challenge-length = 8", "card-challenge-length = 12"),
        (r#"terminal = "SIM-TERMINAL-1""#, ""),
    ];
    let mut stage = stage(Start::Fresh);
    let disk = stage.disk(0);
    let good = disk.files();
    let mut refused = |file: &str, damage: &dyn Fn(&Disk)| {
        disk.restore(good.clone());
        damage(&disk);
        let damaged = disk.files();
        assert_ne!(damaged, good, "{file}");
        let error = stage.start(0).map(drop).unwrap_err();
        assert_names(&error, file);
        assert_eq!(error.code(), "state");
        assert_eq!(disk.files(), damaged, "{file} is left as it is");
    };
    for (right, wrong) in site {
        refused("terminal.toml", &|disk| replace(disk, "terminal.toml", right, wrong));
    }
    for name in ["terminal-signing", "authority-signing", "sign-ca", "auth-ca"] {
        let file = format!("trust/{name}.der");
        refused(&file, &|disk| remove(disk, &file));
        refused(&file, &|disk| overwrite(disk, &file, b""));
        refused(&file, &|disk| disk.tamper(&file, |content| content.truncate(100)));
        refused(&file, &|disk| disk.tamper(&file, |content| content[0] = 0xFF));
    }
    refused("terminal.toml", &|disk| remove(disk, "terminal.toml"));
    for file in ["terminal.toml", "log/checkpoint"] {
        refused(file, &|disk| overwrite(disk, file, b""));
        refused(file, &|disk| overwrite(disk, file, b"\xFF\xFE"));
        refused(file, &|disk| overwrite(disk, file, b"nonsense"));
    }
    disk.restore(good);
    stage.run(0, Plan::issue(&BOTH)).unwrap();
}

#[test]
fn a_damaged_operators_record_keeps_that_operator_out() {
    const RECORD: &str = "operators/0417.json";
    let mut stage = stage(Start::Fresh);
    let disk = stage.disk(0);
    let good = disk.files();
    let managers = good["operators/0001.json"].clone();
    let garbled: &dyn Fn(&Disk) = &|disk| overwrite(disk, RECORD, b"{");
    let anothers: &dyn Fn(&Disk) = &|disk| overwrite(disk, RECORD, &managers);
    for damage in [garbled, anothers] {
        disk.restore(good.clone());
        damage(&disk);
        let mut terminal = stage.start(0).unwrap();
        assert_names(&terminal.log_on(OPERATOR).unwrap_err(), RECORD);
        let entries = stage.entries(0).unwrap();
        let last = entries.last().unwrap();
        assert_eq!((last.step.as_str(), last.detail.as_ref().map(|d| d.as_str())), ("log-on", Some("failed")));
        terminal.log_on(MANAGER).unwrap();
    }

    // Well-formed, but not as it was sealed.
    let others_palm: &dyn Fn(&Disk) = &|disk| replace(disk, RECORD, &sealed_in(&good[RECORD]), &sealed_in(&managers));
    let promoted: &dyn Fn(&Disk) = &|disk| replace(disk, RECORD, r#""operator""#, r#""access-manager""#);
    let no_hex: &dyn Fn(&Disk) = &|disk| replace(disk, RECORD, r#""sealed": ""#, r#""sealed": "x"#);
    for damage in [others_palm, promoted, no_hex] {
        disk.restore(good.clone());
        damage(&disk);
        let mut terminal = stage.start(0).unwrap();
        let error = terminal.log_on(OPERATOR).unwrap_err();
        assert!(matches!(error, ProcedureError::Hsm(HsmError::NotAuthentic)), "{error:?}");
    }
}

#[test]
fn a_damaged_counter_ends_the_procedure_before_the_card_is_touched() {
    let mut stage = stage(Start::Fresh);
    for content in [&b"x"[..], b"-1", b"", b"\xFF", b"99999999999999999999"] {
        overwrite(&stage.disk(0), "request-counter", content);
        assert_names(&properly(stage.refused(Plan::issue(&BOTH)), "counter"), "request-counter");
    }
    assert_eq!(stage.control(0).apdus(), 0);
    assert_heard_of_nobody(&stage);
}

/// Losing the journal loses nothing, so a damaged one stops nobody; it is erased like any other.
#[test]
fn a_damaged_journal_is_erased() {
    let mut stage = stage(Start::Fresh);
    for content in [&b""[..], b"\xFF\xFE\xFD", br#"{"procedure":"00"#, b"{}\n{}\n"] {
        overwrite(&stage.disk(0), "journal", content);
        stage.start(0).unwrap();
        assert!(!stage.disk(0).files().contains_key("journal"));
    }
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    stage.check_settled().unwrap();
}
