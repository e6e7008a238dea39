//! Where a test takes place: a pcscd, a card in its reader, and programs that use it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use jpki::CertificateKind;
use madoguchi_sim::authority::AuthorityFolder;
use madoguchi_sim::world::{Making, OPERATORS, World, parts};
use private_pcscd::PrivatePcscd;
use serde_json::Value as Json;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_madoguchi-sim");
pub(crate) const OPERATOR: &str = OPERATORS[0];
/// No program takes longer, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A pcscd with one reader, and a folder for what programs write.
pub(crate) struct Place {
    pub(crate) pcscd: PrivatePcscd,
    folder: TempDir,
}

/// What a program did.
pub(crate) struct Done {
    line: String,
    output: Output,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { pcscd: PrivatePcscd::start(1).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn vpcd(&self) -> String {
        format!("127.0.0.1:{}", self.pcscd.port(0))
    }

    /// Runs a program in the folder of this place, with this pcscd and nobody's settings.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Done {
        self.run_with(program, arguments, &[])
    }

    pub(crate) fn run_with<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Done {
        let mut command = Command::new("timeout");
        command.arg(LIMIT.as_secs().to_string()).arg(program).args(arguments);
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).env("LANG", "C.UTF-8");
        command.env_remove("LC_ALL").env_remove("OPENSC_CONF").envs(environment.iter().copied());
        let output = self.pcscd.env(&mut command).stdin(Stdio::null()).output().unwrap();
        let line = format!("{command:?}");
        assert_ne!(output.status.code(), Some(127), "{program} is not there: run tests/install-peers");
        assert_ne!(output.status.code(), Some(124), "it did not end in {LIMIT:?}: {line}");
        Done { line, output }
    }
}

impl Done {
    /// It ended well, or the test fails.
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.output.status.success(), "{}\n{}", self.line, self.said());
        self
    }

    /// It failed, or the test does. What it said is the answer.
    pub(crate) fn fails(self) -> String {
        assert!(!self.output.status.success(), "{}\n{}", self.line, self.said());
        self.said()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out(), String::from_utf8_lossy(&self.output.stderr))
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub(crate) fn document(&self) -> Json {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|_| panic!("{}\n{}", self.line, self.said()))
    }
}

/// `madoguchi-sim card serve`. It ends when this is dropped.
pub(crate) struct Served {
    process: Child,
    words: Option<ChildStdin>,
    told: Receiver<Json>,
}

impl Served {
    /// Serves the card of a world in the reader of a place, and waits until it is there.
    pub(crate) fn start(world: &Path, place: &Place) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["card", "serve", "--json", "--until-stdin-ends", "--vpcd", &place.vpcd(), "--state"])
            .arg(world)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(told) = serde_json::from_str(&line) else { return };
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        let served = Self { words: process.stdin.take(), process, told };
        assert_eq!(served.hear()["told"], "inserted");
        place.pcscd.wait_for_card(0).unwrap();
        served
    }

    pub(crate) fn say(&mut self, word: &str) {
        writeln!(self.words.as_mut().unwrap(), "{word}").unwrap();
    }

    pub(crate) fn hear(&self) -> Json {
        self.told.recv_timeout(LIMIT).unwrap()
    }

    /// What has come over the line.
    pub(crate) fn status(&mut self) -> Json {
        self.say("status");
        let told = self.hear();
        assert_eq!(told["told"], "status");
        told
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.words.take());
        // It ends when its standard input does, with its card in its file.
        let _ = self.process.wait();
    }
}

/// A world of one's own, and who comes first.
pub(crate) struct Town {
    pub(crate) folder: TempDir,
    pub(crate) resident: String,
}

impl Town {
    /// A new one. Worlds are copied: their keys take their time.
    pub(crate) fn new() -> Self {
        static MADE: OnceLock<Town> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let making = Making { seed: 1, profile: "jpki-2016".into(), register: None, palms: None };
            let world = making.make(&folder.path().join("world"), &mut |_| {}).unwrap();
            Self { resident: world.applicant().unwrap().number.clone(), folder }
        });
        made.copied()
    }

    /// One whose applicant has both certificates, on a card with the usual status word for a blocked PIN.
    pub(crate) fn issued() -> Self {
        Self::issued_with(None)
    }

    /// One whose applicant's card says this of a blocked PIN, with a certificate for user authentication.
    pub(crate) fn issued_with(blocked_status: Option<u16>) -> Self {
        static ISSUED: OnceLock<Town> = OnceLock::new();
        if let Some(status) = blocked_status {
            let town = Self::new();
            town.replace_card(status);
            town.issue(&["--kind", "authentication"]);
            return town;
        }
        let issued = ISSUED.get_or_init(|| {
            let town = Self::new();
            town.issue(&[]);
            town
        });
        issued.copied()
    }

    fn issue(&self, more: &[&str]) {
        let mut command = Command::new(PROGRAM);
        command.args(["issue", "--json", "--operator", OPERATOR, "--resident", &self.resident, "--state"]);
        let output = command.arg(self.world_folder()).args(more).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Another card in the place of the resident's, as fresh as that one.
    fn replace_card(&self, blocked_status: u16) {
        let mut world = self.world();
        let resident = world.resident(&self.resident).unwrap().unwrap();
        let hsm = world.terminal_hsm().unwrap();
        let certificates = AuthorityFolder::new(world.folder().authority()).certificates().unwrap();
        let profile = sim_card::CardProfile { blocked_status, ..parts::card_profile(world.issuing()) };
        let card = parts::personalisation(world.seed(), 0, &resident, &profile, &hsm, &certificates).unwrap();
        let path = world.folder().card(&parts::card_serial(world.seed(), &resident.number, 0));
        fs::remove_file(&path).unwrap();
        drop(card.into_file(&path).unwrap());
        world.lay_on_reader(&resident).unwrap();
    }

    pub(crate) fn world_folder(&self) -> PathBuf {
        self.folder.path().join("world")
    }

    pub(crate) fn world(&self) -> World {
        World::open(self.world_folder()).unwrap()
    }

    /// The PIN that the resident has chosen.
    pub(crate) fn pin(&self, kind: CertificateKind) -> String {
        parts::chosen_pin(self.world().seed(), &self.resident, kind).to_string()
    }

    fn copied(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.world_folder(), &folder.path().join("world"));
        Self { folder, resident: self.resident.clone() }
    }
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

/// The first of these that is there.
pub(crate) fn found(folder: &str, name: &str) -> String {
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths = folders.map(|folder| folder.join(name)).filter(|path| path.exists());
    let path = paths.next().unwrap_or_else(|| panic!("no {name} in {folder}: run tests/install-peers"));
    path.to_str().unwrap().to_owned()
}

/// OpenSC's PKCS #11 module.
pub(crate) fn module() -> String {
    found("/usr/lib", "opensc-pkcs11.so")
}
