//! The program as it is started: exit statuses, languages, documents, on a state folder without any device.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{document, folder, madoguchi, stdout};

#[test]
fn what_needs_no_device_works_on_the_folder() {
    let folder = folder();
    for (line, expected) in [
        ("operator list", "操作者は登録されていません"),
        ("operator list --lang en", "No operator is enrolled"),
        ("log show", "操作履歴はまだありません"),
        ("completion bash", "_madoguchi()"),
        ("devices rules", "SUBSYSTEM==\"hidraw\""),
    ] {
        let output = madoguchi(folder.path(), line);
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        assert!(stdout(&output).contains(expected), "{line}: {}", stdout(&output));
    }
}

#[test]
fn what_needs_the_hsm_says_that_none_is_configured() {
    let folder = folder();
    for line in ["issue --operator 0417 --resident 1", "card show --operator 0417", "log verify", "operator enrol 0001"]
    {
        let output = madoguchi(folder.path(), line);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(stdout(&output).contains("HSM が設定されていません"), "{line}: {}", stdout(&output));
        let document = document(&madoguchi(folder.path(), &format!("{line} --json")));
        assert_eq!(document["ok"], false);
        assert_eq!(document["error"]["code"], "hsm-not-named");
    }
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_how_to_mend_it() {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = madoguchi(folder.path(), "doctor --json");
    assert_eq!(output.status.code(), Some(1));
    let document = document(&output);
    let checks = document["checks"].as_array().unwrap();
    let verdicts: Vec<(&str, bool)> =
        checks.iter().map(|check| (check["name"].as_str().unwrap(), check["ok"].as_bool().unwrap())).collect();
    assert_eq!(
        verdicts,
        [
            ("folder", true),
            ("permissions", false),
            ("writable", true),
            ("space", true),
            ("log", true),
            ("operators", false),
            ("settings", true),
            ("register", false),
            ("certificates", false),
            ("hsm", false),
            ("reader", false),
            ("sensor", false),
        ]
    );
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert!(check("permissions")["mend"].as_str().unwrap().starts_with("chmod 700 "));
    let fault = check("register")["details"][0].as_str().unwrap();
    assert!(fault.starts_with("3 行目の 生年月日: "), "{fault}");
    assert!(!document.to_string().contains("太郎"), "personal data in a document");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "probe"), "{left:?}");
}

#[test]
fn a_missing_folder_a_damaged_file_and_wrong_usage_are_told_apart() {
    let missing = madoguchi(Path::new("/nowhere/at/all"), "log show --json");
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(document(&missing)["error"]["code"], "state-missing");

    let folder = folder();
    fs::create_dir(folder.path().join("log")).unwrap();
    fs::write(folder.path().join("log/entries.jsonl"), "{}\n").unwrap();
    let damaged = madoguchi(folder.path(), "log show --json");
    assert_eq!(damaged.status.code(), Some(1));
    assert_eq!(document(&damaged)["error"]["code"], "log");

    let usage = madoguchi(folder.path(), "issue --pin 1234");
    assert_eq!(usage.status.code(), Some(2));
    assert!(usage.stdout.is_empty());
    assert_eq!(madoguchi(folder.path(), "issue --help").status.code(), Some(0));
}

/// Entries are verified with the log's public key alone, and a change is found.
#[test]
fn an_auditor_needs_the_folder_and_the_public_key_only() {
    let folder = folder();
    let key = folder.path().join("key.der");
    let output = madoguchi(folder.path(), &format!("log verify --key {} --json", key.display()));
    assert_eq!(document(&output)["error"]["code"], "log-key");
    // The public key of RFC 6979 A.2.5, as SubjectPublicKeyInfo.
    let spki = "3059301306072a8648ce3d020106082a8648ce3d0301070342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6c\
                e669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    fs::write(&key, hex::decode(spki).unwrap()).unwrap();
    let line = format!("log verify --key {} --json", key.display());
    assert_eq!(document(&madoguchi(folder.path(), &line))["verified"], true, "an empty log");

    fs::create_dir(folder.path().join("log")).unwrap();
    let entry = r#"{"actor":"system","index":0,"phase":"event","step":"lock","time":"2026-11-22T01:02:03.000Z"}"#;
    fs::write(folder.path().join("log/entries.jsonl"), format!("{entry}\n")).unwrap();
    let output = madoguchi(folder.path(), &line);
    assert_eq!(output.status.code(), Some(1));
    let document = document(&output);
    assert_eq!((&document["verified"], &document["entries"]), (&false.into(), &1.into()));
    assert_eq!(document["code"], "no-checkpoint", "{document}");
}

/// What a package is built from, by name.
fn dependencies(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none", "--format", "{p}", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stdout(&output).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn no_simulator_is_built_in_and_the_shared_commands_name_no_device() {
    let terminal = dependencies("terminal");
    assert!(terminal.iter().any(|name| name == "orchestrator"), "{terminal:?}");
    let simulators: Vec<_> =
        terminal.iter().filter(|name| name.starts_with("sim-") || name.ends_with("-sim")).collect();
    assert_eq!(simulators, [""; 0]);
    let devices = ["pcsc", "cryptoki", "hidapi", "card-reader-pcsc", "hsm-pkcs11", "biometric-hid"];
    for package in ["cli", "orchestrator"] {
        let named: Vec<_> = dependencies(package).into_iter().filter(|name| devices.contains(&name.as_str())).collect();
        assert_eq!(named, [""; 0], "{package}");
    }
}
