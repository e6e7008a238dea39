//! The demonstration with every key in tokens of SoftHSM2: the terminal's in one, the authority's in another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use private_softhsm2::Home;
use serde_json::Value as Json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_madoguchi-sim");
const TERMINAL: &str = "counter 1";
const TERMINAL_PIN: &str = "terminal-ピン-48151623";
const AUTHORITY: &str = "authority";
const AUTHORITY_PIN: &str = "authority-pin-42108";

/// SoftHSM2 with tokens of its own.
struct SoftHsm(Home);

impl SoftHsm {
    fn uri(&self, label: &str, pin_source: &str) -> String {
        let label = label.replace(' ', "%20");
        format!("pkcs11:token={label}?module-path={}&pin-source={pin_source}", private_softhsm2::module().display())
    }

    /// Runs the program; it reads `input`.
    fn run(&self, arguments: &[&str], state: &Path, input: &str) -> Output {
        let mut command = self.0.command(PROGRAM);
        command.args(arguments).args(["--json", "--lang", "en", "--state"]).arg(state);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.env_remove("LC_ALL").env("LANG", "C.UTF-8").spawn().unwrap();
        // A program that fails before it reads does not read.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    }
}

fn document(output: &Output) -> Json {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)))
}

fn check<'a>(document: &'a Json, name: &str) -> &'a Json {
    let mut checks = document["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_demonstration_with_all_keys_in_tokens_proves_what_it_shows() {
    let hsm = SoftHsm(Home::new());
    hsm.0.token(TERMINAL, TERMINAL_PIN);
    hsm.0.token(AUTHORITY, AUTHORITY_PIN);
    let file = |pin: &str| format!("file:{}", hsm.0.pin_file(pin, 0o600).display());
    let of_authority = hsm.uri(AUTHORITY, &file(AUTHORITY_PIN));
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world");

    let of_terminal = hsm.uri(TERMINAL, "fd:0");
    let demo = ["demo", "--hsm", &of_terminal, "--authority-hsm", &of_authority];
    let output = hsm.run(&demo, &world, &format!("{TERMINAL_PIN}\n"));
    let found = document(&output);
    assert!(output.status.success() && found["ok"] == true, "{found:#}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(found["residue"], Json::Array(Vec::new()));
    assert_eq!(found["certificates"].as_array().unwrap().len(), 2);

    // No key is in a file, but for the master that the cards' maker has too; and no PIN.
    let files = files(&world);
    let names: Vec<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert!(names.contains(&"factory.hsm") && !names.contains(&"terminal.hsm") && !names.contains(&"hsm.json"));
    for path in files {
        let contents = fs::read(&path).unwrap();
        for pin in [TERMINAL_PIN, AUTHORITY_PIN] {
            let shown = contents.windows(pin.len()).any(|window| window == pin.as_bytes());
            assert!(!shown, "{}", path.display());
        }
    }

    // The world is one to go on with.
    let again = hsm.uri(TERMINAL, &file(TERMINAL_PIN));
    let found = document(&hsm.run(&["doctor", "--hsm", &again], &world, ""));
    assert_eq!(found["ok"], true, "{found:#}");
    let details = check(&found, "hsm")["details"].to_string();
    assert!(details.contains("weaker") && details.contains("outside"), "{details}");
    // What SoftHSM2 does in a weaker way is in the log, once.
    let log = self::files(&world).into_iter().find(|path| path.ends_with("log/entries.jsonl")).expect("a log");
    let entries = fs::read_to_string(log).unwrap();
    let weaker: Vec<_> = entries.lines().filter(|entry| entry.contains("hsm-weaker-modes")).collect();
    assert!(matches!(*weaker, [entry] if entry.contains("derives-outside.hashes-outside")), "{weaker:?}");
    let found = document(&hsm.run(&["log", "verify", "--hsm", &again], &world, ""));
    assert_eq!(found["ok"], true, "{found:#}");

    // The two tokens are two: the authority's holds none of the terminal's keys.
    let found = document(&hsm.run(&["doctor", "--hsm", &of_authority], &world, ""));
    let missing = check(&found, "hsm")["details"].to_string();
    assert!(missing.contains("log-signing") && missing.contains("card-master-01"), "{missing}");
}

/// The lines of the README, as a stranger types them.
#[test]
fn the_three_lines_of_the_readme_play_the_demonstration() {
    let lines = |text: &str| {
        let begin = text.find("softhsm2-util --init-token").expect("the lines");
        text[begin..].split("```").next().unwrap().replace("target/release/madoguchi-sim", "madoguchi-sim")
    };
    let readme = lines(include_str!("../../../README.md"));
    assert_eq!(readme.lines().count(), 3);
    assert_eq!(readme, lines(include_str!("../../../README.ja.md")));
    assert_eq!(readme, lines(include_str!("../../../docs/hsm.md")));

    let hsm = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let script = readme.replace("/usr/lib/softhsm/libsofthsm2.so", &private_softhsm2::module().display().to_string());
    let mut shell = hsm.command("sh");
    shell.args(["-euc", &script]).current_dir(&folder).env("PATH", path).env("TMPDIR", folder.path());
    let output = shell.env_remove("LC_ALL").env("LANG", "en_US.UTF-8").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("user authentication certificate") && !printed.contains('✗'), "{printed}");
}

#[test]
fn a_token_that_can_not_be_opened_is_explained_before_anything_is_made() {
    let hsm = SoftHsm(Home::new());
    hsm.0.token(TERMINAL, TERMINAL_PIN);
    let folder = tempfile::tempdir().unwrap();
    let module = private_softhsm2::module().display().to_string();
    // It does not start without parameters.
    let unconfigured = private_softhsm2::library("libsoftokn3.so").expect("libnss3").display().to_string();
    let exposed = format!("file:{}", hsm.0.pin_file(TERMINAL_PIN, 0o644).display());
    for (uri, code) in [
        (hsm.uri(TERMINAL, "fd:0").replace("pin-source=fd:0", "pin-value=s3cret"), "hsm-pin-in-uri"),
        (hsm.uri(TERMINAL, "env:PIN"), "hsm-uri"),
        (hsm.uri(TERMINAL, "file:/nowhere/pin"), "hsm-pin-unreadable"),
        (hsm.uri(TERMINAL, &exposed), "hsm-pin-exposed"),
        (hsm.uri(TERMINAL, "fd:0"), "hsm-pin-refused"),
        (hsm.uri("another", "fd:0"), "hsm-no-token"),
        (hsm.uri(TERMINAL, "fd:0").replace("libsofthsm2.so", "nothing.so"), "hsm-no-module"),
        (hsm.uri(TERMINAL, "fd:0").replace(&module, &unconfigured), "hsm-not-started"),
    ] {
        let world = folder.path().join(code);
        let output = hsm.run(&["world", "new", "--hsm", &uri], &world, "wrong-s3cret\n");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(document(&output)["error"]["code"], code, "{output:?}");
        assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
        assert!(!world.join("sim/world.toml").exists());
    }
}
