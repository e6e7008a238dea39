//! The production program with its keys in a token of SoftHSM2, before the program of the authority: set up, enrolled, examined,
//! renewed, struck off.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use private_softhsm2::Home;
use serde_json::Value;

/// The authority's program, in a process of its own.
struct Authority {
    folder: PathBuf,
    serving: Option<Child>,
}

impl Authority {
    fn program() -> PathBuf {
        let program = Path::new(env!("CARGO_BIN_EXE_madoguchi")).with_file_name("madoguchi-authority");
        assert!(program.exists(), "build it first: cargo build -p authority");
        program
    }

    fn make(folder: PathBuf) -> Self {
        let authority = Self { folder, serving: None };
        authority.run(&["init", "--generation", "jpki-next"]);
        authority
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(Self::program()).args(arguments).arg("--state").arg(&self.folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts to answer. Where?
    fn serve(&mut self) -> String {
        let any = "127.0.0.1:0";
        let mut serve = Command::new(Self::program());
        serve.args(["serve", "--until-stdin-ends", "--cmp", any, "--http", any, "--state"]).arg(&self.folder);
        let mut serving = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.serving = Some(serving);
        let ready: Value = serde_json::from_str(&line).expect("it says where it listens");
        ready["cmp"].as_str().unwrap().to_owned()
    }

    fn invite(&self) -> Value {
        let place = ["--window", "13221003A", "--prefecture", "Tokyo-to", "--city", "Kiyose-shi", "--by", "9001"];
        let told = self.run(&[&["terminal", "invite", "counter-1", "--json"][..], &place].concat());
        serde_json::from_str(&told).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            // It ends with its standard input.
            drop(serving.stdin.take());
            serving.wait().unwrap();
        }
    }
}

/// The terminal's program with its folder and its token.
struct Terminal {
    home: Home,
    folder: PathBuf,
}

impl Terminal {
    fn new(authority: &str) -> Self {
        let home = Home::new();
        home.token("counter", "user-1234");
        let folder = home.path().join("state");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let (module, pin) = (private_softhsm2::module(), home.pin_file("user-1234", 0o600));
        let settings = format!(
            "terminal = 'counter-1'
window = '13221003A'
profile = 'jpki-next'
environment = 'sim'
card-key-version = 1
authority-name = 'localhost'
authority-address = '{authority}'
hsm = 'pkcs11:token=counter?module-path={}&pin-source=file:{}'
[municipality]
code = '13221'
prefecture = 'Tokyo-to'
city = 'Kiyose-shi'
",
            module.display(),
            pin.display()
        );
        fs::write(folder.join("terminal.toml"), settings).unwrap();
        Self { home, folder }
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let mut command = self.home.command(env!("CARGO_BIN_EXE_madoguchi"));
        let output = command.args(arguments).arg("--json").arg("--state").arg(&self.folder).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// What the doctor finds of these, in their order.
    fn doctor(&self, names: [&str; 2]) -> [bool; 2] {
        let document = self.run(&["doctor"]);
        let checks = document["checks"].as_array().unwrap().clone();
        names.map(|name| checks.iter().any(|check| check["name"] == name && check["ok"] == true))
    }

    /// The names of the keys of its own certificates.
    fn keys(&self) -> Vec<String> {
        let listed = self.run(&["hsm", "keys", "list"]);
        let names = listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("terminal-")).collect()
    }
}

#[test]
fn a_terminal_with_its_keys_in_a_token_enrols_and_renews_before_the_authoritys_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::make(folder.path().join("authority"));
    let terminal = Terminal::new(&authority.serve());
    let looked_at = ["certificates", "authority"];
    assert_eq!(terminal.run(&["hsm", "init", "--access-manager", "0001", "--second-person", "0002"])["ok"], true);
    assert_eq!(terminal.doctor(looked_at), [false, false], "not enrolled");
    assert_eq!(terminal.run(&["identity", "renew"])["error"]["code"], "not-enrolled");

    let invitation = authority.invite();
    let told = |field: &str| invitation[field].as_str().unwrap().to_owned();
    let secret = folder.path().join("secret");
    let write = |text: &str| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&secret);
        file.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    };
    let (reference, files, source) = (told("reference"), told("certificates"), format!("file:{}", secret.display()));
    let enrol = ["identity", "enrol", "--reference", &reference, "--secret", &source];
    write("MIST-YPED");
    let refused = terminal.run(&[&enrol[..], &["--authority", &files]].concat());
    assert_eq!(refused["error"]["code"], "enrolment-refused");
    // As somebody types it.
    write(&told("secret").to_lowercase());
    let enrolled = terminal.run(&enrol);
    let purposes = |document: &Value| {
        let new = document["certificates"].as_array().unwrap_or_else(|| panic!("{document}")).clone();
        new.iter().map(|own| own["purpose"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(purposes(&enrolled), ["messages", "line"]);
    assert_eq!(terminal.doctor(looked_at), [true, true]);
    assert_eq!(terminal.keys(), ["terminal-signing", "terminal-tls"]);

    assert_eq!(purposes(&terminal.run(&["identity", "renew", "--due"])), [""; 0], "nothing is due");
    assert_eq!(purposes(&terminal.run(&["identity", "renew"])), ["messages", "line"]);
    assert_eq!(terminal.doctor(looked_at), [true, true]);
    assert_eq!(terminal.keys(), ["terminal-signing-2", "terminal-tls-2"]);

    // What was done is in the log, and the secret is nowhere.
    let log = terminal.run(&["log", "show"]).to_string();
    for step in ["own-certificate-ask", "own-certificate-use", "own-certificate-supersede", "own-key-destroy"] {
        assert!(log.contains(step), "{step}");
    }
    let bare = told("secret").replace('-', "");
    for file in fs::read_dir(terminal.folder.join("trust")).unwrap().chain(fs::read_dir(&terminal.folder).unwrap()) {
        let path = file.unwrap().path();
        let content = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!content.windows(bare.len()).any(|window| window == bare.as_bytes()), "{}", path.display());
    }

    authority.run(&["terminal", "revoke", "counter-1"]);
    assert_eq!(terminal.doctor(looked_at), [true, false], "struck off");
    let listed: Value = serde_json::from_str(&authority.run(&["terminal", "list", "--json"])).unwrap();
    let states = listed["terminals"][0]["certificates"].as_array().unwrap().clone();
    assert!(states.len() == 4 && states.iter().all(|own| own["state"] != "valid"), "{states:?}");
}
