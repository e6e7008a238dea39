//! `card serve` as people and programs use it, with the driver's end of the line played here: nothing to install.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use madoguchi_sim::world::{Making, World};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_madoguchi-sim");
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    // Cards of the next generation are made in no time.
    Making { seed: 3, profile: "jpki-next".into(), register: None, palms: None }
        .make(&folder.path().join("world"), &mut |_| {})
        .unwrap();
    folder
}

fn serve(world: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["card", "serve", "--lang", "en"]).args(arguments).arg("--state").arg(world.join("world"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

struct Served {
    process: Child,
    told: Receiver<Json>,
}

impl Served {
    fn start(world: &Path, arguments: &[&str]) -> Self {
        let mut process = serve(world, arguments).arg("--json").spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send(serde_json::from_str(&line).unwrap()).unwrap();
            }
        });
        Self { process, told }
    }

    fn hears(&self, told: &str) -> Json {
        let heard = self.told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(heard["told"], told, "{heard}");
        heard
    }

    fn says(&mut self, word: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn ends_well(mut self) {
        let ended = self.hears("ended");
        assert_eq!(ended["ok"], true);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The virtual reader's driver.
struct Driver(TcpListener);

impl Driver {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Takes the card that was put in, and asks for its ATR.
    fn accept(&self) -> TcpStream {
        let (mut slot, _) = self.0.accept().unwrap();
        slot.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(ask(&mut slot, &[0x04]), jpki::card::ATR);
        slot
    }
}

fn tell(slot: &mut TcpStream, message: &[u8]) {
    slot.write_all(&[&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()).unwrap();
}

fn ask(slot: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    tell(slot, message);
    let mut length = [0; 2];
    slot.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    slot.read_exact(&mut answer).unwrap();
    answer
}

fn is_gone(mut slot: TcpStream) -> bool {
    slot.read(&mut [0; 1]).unwrap() == 0
}

fn refused(output: &Output, code: &str) {
    let document: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["error"]["code"]), (Some(1), &code.into()), "{document:#}");
}

#[test]
fn words_and_signals_move_the_card() {
    let (world, driver) = (world(), Driver::start());
    let mut served = Served::start(world.path(), &["--vpcd", &driver.address(), "--show-pins"]);
    let mut slot = driver.accept();
    let ready = served.hears("inserted");
    assert_eq!(ready["vpcd"], *driver.address());
    let opened = World::open(world.path().join("world")).unwrap();
    assert_eq!(ready["serial"].as_str(), opened.serial_on_reader());
    let persona = opened.persona(&opened.at_the_counter().unwrap().unwrap());
    let shown: Vec<&str> = ready["pins"].as_array().unwrap().iter().map(|pin| pin["pin"].as_str().unwrap()).collect();
    assert_eq!(shown, persona.pins.iter().map(|(_, pin)| pin.as_str()).collect::<Vec<_>>());

    tell(&mut slot, &[0x01]);
    assert_eq!(ask(&mut slot, &[0x00, 0xA4, 0x04, 0x0C, 0x01, 0xA0]), [0x6A, 0x82]);
    served.says("status");
    let status = served.hears("status");
    for (key, value) in [("apdus", 1), ("bytes_out", 6), ("bytes_in", 2), ("power_ons", 1), ("insertions", 1)] {
        assert_eq!(status[key], value, "{key}");
    }
    assert_eq!(status["inserted"], true);

    served.says("remove");
    assert!(is_gone(slot));
    served.hears("removed");
    served.says("insert");
    let slot = driver.accept();
    served.hears("inserted");
    served.signal(Signal::USR1);
    assert!(is_gone(slot));
    served.hears("removed");
    served.signal(Signal::USR2);
    let slot = driver.accept();
    served.hears("inserted");
    served.says("turn");
    assert_eq!(served.hears("failed")["error"]["code"], "serve-unknown-word");

    // The reader goes and comes back.
    let address = driver.address();
    drop((slot, driver));
    served.hears("lost");
    let driver = Driver(TcpListener::bind(address).unwrap());
    let slot = driver.accept();
    served.hears("inserted");
    served.signal(Signal::TERM);
    served.ends_well();
    assert!(is_gone(slot));
}

#[test]
fn a_card_has_one_owner_and_the_next_resident_another_card() {
    let (world, driver) = (world(), Driver::start());
    let mut first = Served::start(world.path(), &["--vpcd", &driver.address()]);
    let slot = driver.accept();
    let ready = first.hears("inserted");
    let serial = &ready["serial"];
    assert_eq!(ready.get("pins"), None, "nobody has asked for them");

    let second = serve(world.path(), &["--json", "--vpcd", &driver.address()]).output().unwrap();
    refused(&second, "world-card-in-use");
    let state = world.path().join("world");
    let show = ["card", "show", "--json", "--operator", "0417", "--state"];
    refused(&Command::new(PROGRAM).args(show).arg(&state).output().unwrap(), "world-card-in-use");

    // While it is served, others come to the counter.
    let opened = World::open(&state).unwrap();
    let next = opened.applicant().unwrap();
    assert_ne!(opened.at_the_counter().unwrap().unwrap(), next);
    let other = Driver::start();
    let with_next = ["--vpcd", &other.address(), "--resident", &next.number, "--until-stdin-ends"];
    let mut second = Served::start(world.path(), &with_next);
    let other_slot = other.accept();
    assert_ne!(second.hears("inserted")["serial"], *serial);
    drop(second.process.stdin.take());
    second.ends_well();
    assert!(is_gone(other_slot));

    first.says("quit");
    first.ends_well();
    assert!(is_gone(slot));
}

#[test]
fn what_is_not_there_is_told_or_waited_for() {
    let (world, driver) = (world(), Driver::start());
    let address = driver.address();
    drop(driver);
    let said = |arguments: &[&str]| serve(world.path(), arguments).arg("--json").output().unwrap();
    refused(&said(&["--vpcd", &address]), "serve-nobody-listens");
    refused(&said(&["--vpcd", "nowhere.invalid:1"]), "serve-unreachable");
    refused(&said(&["--resident", "999999999999999"]), "unknown-resident");

    let mut waiting = Served::start(world.path(), &["--vpcd", &address, "--wait"]);
    waiting.says("status");
    assert_eq!(waiting.hears("status")["inserted"], false);
    let driver = Driver(TcpListener::bind(&address).unwrap());
    let slot = driver.accept();
    waiting.hears("inserted");
    waiting.signal(Signal::INT);
    waiting.ends_well();
    assert!(is_gone(slot));
}

#[test]
fn people_read_the_same() {
    let (world, driver) = (world(), Driver::start());
    let mut process = serve(world.path(), &["--vpcd", &driver.address(), "--show-pins"]).spawn().unwrap();
    let slot = driver.accept();
    writeln!(process.stdin.take().unwrap(), "remove").unwrap();
    assert!(is_gone(slot));
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let serial = World::open(world.path().join("world")).unwrap().serial_on_reader().unwrap().to_owned();
    for text in [&driver.address(), &serial, "PIN", "Type insert, remove, status or quit", "✓ End"] {
        assert!(said.contains(text), "{text}: {said}");
    }
}
