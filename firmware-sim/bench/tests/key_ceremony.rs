//! Key ceremonies as people hold them: `hsm init` and `hsm keys` of the terminal and of the authority, on the software HSM, on SoftHSM2
//! and on a token that gives keys away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jpki::IssuingProfile;
use madoguchi_sim::world::{Making, parts};
use orchestrator::{DiskFolder, SiteConfig};
use private_softhsm2::Home;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

const PIN: &str = "pin-48151623";
const PROGRAM: &str = env!("CARGO_BIN_EXE_madoguchi-sim");

fn run(mut command: Command, arguments: &[&str], state: &Path) -> Output {
    command.args(arguments).arg("--json").arg("--state").arg(state);
    command.stdin(Stdio::null()).env_remove("LC_ALL").env("LANG", "C.UTF-8").output().unwrap()
}

fn document(output: &Output) -> Json {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)))
}

/// The command of a terminal.
fn terminal(arguments: &[&str], state: &Path) -> Json {
    document(&run(Command::new(PROGRAM), &[arguments, &["--lang", "en"]].concat(), state))
}

fn code(document: &Json) -> &str {
    document["error"]["code"].as_str().unwrap_or_else(|| panic!("{document:#}"))
}

fn deeds(document: &Json) -> Vec<(String, String)> {
    let of = |key: &Json, name: &str| key[name].as_str().unwrap().to_owned();
    let keys = document["record"]["keys"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    keys.iter().map(|key| (of(key, "name"), of(key, "deed"))).collect()
}

/// The record is in its file, its hash is what was said, and the page shows both.
fn assert_recorded(document: &Json, folder: &Path) {
    let at = |name: &str| folder.join(document[name].as_str().unwrap());
    let record = fs::read(at("record_file")).unwrap();
    let digest = document["record_sha256"].as_str().unwrap();
    assert_eq!(hex::encode(Sha256::digest(&record)), digest);
    assert_eq!(serde_json::from_slice::<Json>(&record).unwrap(), document["record"]);
    let page = fs::read_to_string(at("page_file")).unwrap();
    assert!(page.replace(' ', "").contains(digest), "the page shows the hash");
    for key in document["record"]["keys"].as_array().unwrap() {
        assert!(page.contains(key["name"].as_str().unwrap()));
    }
}

#[test]
fn two_access_managers_make_and_retire_a_key_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world");
    let making = Making { seed: 1, profile: "jpki-next".into(), register: None, palms: None };
    making.make(&world, &mut |_| {}).unwrap();
    let create = |first: &str, second: &str| {
        let persons = ["--access-manager", first, "--second-person", second];
        terminal(&[&["hsm", "keys", "create", "card-master-02"], &persons[..]].concat(), &world)
    };
    for (first, second, expected) in [
        ("0001", "0001", "second-person-needed"),
        ("0001", "0417", "not-allowed"),
        ("0417", "0001", "not-allowed"),
        ("0001", "9999", "log-on-refused"),
    ] {
        assert_eq!(code(&create(first, second)), expected, "{first}, {second}");
    }
    let enrolled = ["operator", "enrol", "0002", "--role", "access-manager", "--access-manager", "0001"];
    terminal(&[&enrolled[..], &["--second-person", "0417"]].concat(), &world);

    let made = create("0001", "0002");
    assert_eq!(deeds(&made), [("card-master-02".to_owned(), "created".to_owned())]);
    assert_recorded(&made, &world);
    assert_eq!((&made["record"]["persons_proved_by"], &made["record"]["simulated"]), (&"palms".into(), &true.into()));
    assert_eq!(code(&create("0001", "0002")), "hsm-name-taken");
    let listed = terminal(&["hsm", "keys", "list"], &world);
    let master = listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == "card-master-02").unwrap();
    assert_eq!(master["fingerprint"], made["record"]["keys"][0]["fingerprint"]);
    assert!(master["created_at"].is_string());

    let retire = |name: &str| {
        let persons = ["--access-manager", "0002", "--second-person", "0001", "--reason", "no-cards"];
        terminal(&[&["hsm", "keys", "retire", name], &persons[..]].concat(), &world)
    };
    for name in
        ["card-master-01", "log-signing", "template-sealing", "resident-reference", "terminal-tls", "terminal-signing"]
    {
        assert_eq!(code(&retire(name)), "hsm-in-use", "{name}");
    }
    let retired = retire("card-master-02");
    assert_eq!(deeds(&retired), [("card-master-02".to_owned(), "retired".to_owned())]);
    assert_recorded(&retired, &world);
    assert_eq!(code(&retire("card-master-02")), "hsm-no-such-key");

    // The history has all of it, with the hash of each record.
    let history = terminal(&["log", "show"], &world);
    let details = |step: &str| -> Vec<String> {
        let entries = history["entries"].as_array().unwrap().iter().filter(|entry| entry["step"] == step);
        entries.filter_map(|entry| entry["detail"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(details("create-key"), ["card-master-02", "card-master-02"], "the one that was refused, too");
    assert_eq!(details("retire-key"), ["card-master-02"]);
    let digests = [&made, &retired].map(|document| document["record_sha256"].as_str().unwrap().to_owned());
    assert_eq!(details("key-ceremony"), digests);
}

/// A terminal's folder with settings that name this token, and nothing else.
fn new_terminal(folder: &Path, uri: &str) {
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    let issuing = IssuingProfile::jpki_2016();
    let site = parts::site(&issuing, &parts::card_profile(&issuing), "127.0.0.1:1");
    let site = SiteConfig { hsm: Some(uri.to_owned()), ..site };
    site.save(&mut DiskFolder::open(folder).unwrap()).unwrap();
}

/// A database of NSS, whose softokn copies keys without their protection: its URI.
fn nss(folder: &Path, pin: &Path) -> String {
    let database = folder.join("nss");
    fs::create_dir(&database).unwrap();
    let directory = format!("sql:{}", database.display());
    let made = Command::new("certutil").args(["-N", "-d", &directory, "-f"]).arg(pin).status();
    assert!(made.expect("certutil of libnss3-tools (run tests/install-peers)").success());
    let module = private_softhsm2::library("libsoftokn3.so").expect("libnss3 (run tests/install-peers)");
    let parameters =
        format!("configdir%3D'{directory}'%20certPrefix%3D''%20keyPrefix%3D''%20secmod%3D'secmod.db'%20flags%3D");
    format!(
        "pkcs11:token=NSS%20Certificate%20DB?module-path={}&module-parameters={parameters}&pin-source=file:{}",
        module.display(),
        pin.display()
    )
}

#[test]
fn an_honest_token_is_set_up_and_a_dishonest_one_is_refused_by_every_command() {
    let home = Home::new();
    home.token("terminal", PIN);
    home.token("authority", PIN);
    let pin: PathBuf = home.pin_file(PIN, 0o600);
    let uri = |label: &str| {
        let module = private_softhsm2::module();
        format!("pkcs11:token={label}?module-path={}&pin-source=file:{}", module.display(), pin.display())
    };
    let terminal = |arguments: &[&str], state: &Path| {
        document(&run(home.command(PROGRAM), &[arguments, &["--lang", "en"]].concat(), state))
    };
    let init = ["hsm", "init", "--access-manager", "Tanaka", "--second-person", "Suzuki"];

    let folder = home.path().join("counter");
    new_terminal(&folder, &uri("terminal"));
    let made = terminal(&init, &folder);
    let names = ["log-signing", "resident-reference", "template-sealing", "terminal-signing", "terminal-tls"];
    assert_eq!(deeds(&made), names.map(|name| (name.to_owned(), "created".to_owned())));
    assert_recorded(&made, &folder);
    let record = &made["record"];
    assert!(record["honesty"]["refused"].as_u64().unwrap() > 100, "{record:#}");
    assert_eq!(record["persons_proved_by"], "declared");
    assert_eq!(record["weaker_modes"], serde_json::json!(["derives-outside", "hashes-outside"]));
    assert_eq!(record["keys"][0]["attributes"]["CKA_EXTRACTABLE"], "false");
    let again = terminal(&init, &folder);
    assert_eq!(deeds(&again), names.map(|name| (name.to_owned(), "found".to_owned())));

    // The authority: not in a token without two persons, and not in the terminal's.
    let authority = |arguments: &[&str], state: &Path, token: &str| {
        let mut command = home.command(PROGRAM);
        command.arg("authority").args(arguments).arg("--hsm").arg(token).arg("--state").arg(state);
        command.output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let state = home.path().join("authority");
    let persons = ["--custodian", "Tanaka", "--second-person", "Suzuki"];
    let held = [&["hsm", "init", "--generation", "jpki-next", "--json"], &persons[..]].concat();
    let refused = authority(&["init", "--generation", "jpki-next"], &state, &uri("authority"));
    assert!(!refused.status.success() && said(&refused).contains("two persons"), "{refused:?}");
    let refused = authority(&held, &state, &uri("terminal"));
    assert!(!refused.status.success() && said(&refused).contains("another installation"), "{refused:?}");
    let made = document(&authority(&held, &state, &uri("authority")));
    assert_eq!(deeds(&made).len(), 6);
    assert_recorded(&made, Path::new(""));
    let begun = authority(&["init", "--generation", "jpki-next"], &state, &uri("authority"));
    assert!(begun.status.success(), "{begun:?}");
    let last = [&["hsm", "keys", "retire", "authority-ocsp", "--reason", "none"], &persons[..]].concat();
    let refused = authority(&last, &state, &uri("authority"));
    assert!(said(&refused).contains("authority-ocsp is in use"), "{refused:?}");

    // NSS softokn keeps no key to itself, and no command makes one in it.
    let dishonest = nss(home.path(), &pin);
    let folder = home.path().join("second");
    new_terminal(&folder, &dishonest);
    for found in [
        terminal(&init, &folder),
        terminal(&["world", "new", "--hsm", &dishonest], &home.path().join("world")),
        terminal(&["world", "new", "--authority-hsm", &dishonest], &home.path().join("another")),
    ] {
        assert_eq!(code(&found), "hsm-dishonest");
        assert!(found["error"]["cause"].as_str().unwrap().contains("could be copied"), "{found:#}");
    }
    assert_eq!(terminal(&["hsm", "keys", "list"], &folder)["keys"], serde_json::json!([]));
    let refused = authority(&held, &home.path().join("third"), &dishonest);
    assert!(!refused.status.success() && said(&refused).contains("copied (ec-p256"), "{refused:?}");
}
