//! The program and its state folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use jpki::{Municipality, PinRules};
use orchestrator::{DiskFolder, SiteConfig};

/// A certificate of nobody, made with `openssl req -x509`; its private key was thrown away.
const CERTIFICATE: &[u8] = include_bytes!("../fixtures/certificate.der");

/// The program on a state folder, not yet started. The folder comes after everything else on its line.
pub(crate) fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madoguchi"));
    command.args(line.split_whitespace()).arg("--state").arg(folder).env_clear().env("LANG", "ja_JP.UTF-8");
    command
}

/// Runs it on a system whose PC/SC service does not run.
pub(crate) fn madoguchi(folder: &Path, line: &str) -> Output {
    command(folder, line).env("PCSCLITE_CSOCK_NAME", "/nowhere/pcscd.comm").output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn document(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

/// A state folder as an administrator sets it up, with a register that has a faulty line.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut state = DiskFolder::open(folder.path()).unwrap();
    let site = SiteConfig {
        terminal: "TERMINAL-1".into(),
        window: "13999001A".into(),
        profile: "jpki-2016".into(),
        environment: "test".into(),
        card_challenge_length: 8,
        municipality: Municipality { code: "13999".into(), prefecture: "Tokyo-to".into(), city: "Midori-ku".into() },
        card_key_version: 1,
        previous_card_key_versions: Vec::new(),
        authority_name: "localhost".into(),
        authority_address: "127.0.0.1:1".into(),
        card_reader: None,
        hsm: None,
        lock_after_s: 300,
        refusals_until_locked: 3,
        pin_rules: PinRules::default(),
    };
    site.save(&mut state).unwrap();
    fs::create_dir(folder.path().join("trust")).unwrap();
    for name in ["terminal-signing", "authority-signing", "sign-ca", "auth-ca"] {
        fs::write(folder.path().join(format!("trust/{name}.der")), CERTIFICATE).unwrap();
    }
    let register = "宛名番号,氏名,住所,生年月日,性別\n1,窓口　花子,東京都緑区一丁目,1980-02-17,女\n2,窓口　太郎,東京都緑区一丁目,1980-02-30,男\n";
    fs::write(folder.path().join("register.csv"), register).unwrap();
    folder
}
