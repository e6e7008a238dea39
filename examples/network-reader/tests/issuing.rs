//! The whole of it, with real processes: a terminal with the network reader issues certificates onto a card that
//! `madoguchi-sim card serve` connects to it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use madoguchi_sim::world::World;
use serde_json::Value;

#[test]
fn certificates_are_issued_onto_a_card_on_the_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = folder.path().join("world");
    succeeded(simulator().args(["world", "new", "--json", "--state"]).arg(&world));
    let resident = World::open(&world).and_then(|world| world.applicant()).expect("somebody is in the register");
    // Free now; whoever takes it before the terminal does fails this test loudly.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");

    let _card = Served(
        simulator()
            .args(["card", "serve", "--wait", "--until-stdin-ends", "--vpcd", &port.to_string()])
            .args(["--resident", &resident.number, "--state"])
            .arg(&world)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the simulator starts"),
    );
    let terminal = |arguments: &[&str]| succeeded(reader(&port.to_string(), &world).args(arguments));
    let issued = terminal(&["issue", "--operator", "0417", "--resident", &resident.number]);
    assert_eq!(issued["certificates"].as_array().map(Vec::len), Some(2), "{issued:#}");

    // They are on the card, and nothing waits to be settled.
    let shown = terminal(&["card", "show", "--operator", "0417"]);
    for slot in shown["slots"].as_array().expect("the card's slots") {
        assert!(slot["active"] == true && slot["pending"] == false, "{shown:#}");
    }
    assert_eq!(shown["settled"].as_array().map(Vec::len), Some(0), "{shown:#}");
}

/// A card in a process of its own, which ends with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The terminal with the network reader, from this package.
fn reader(port: &str, world: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_network-reader"));
    command.args(["--json", "--reader", port, "--state"]).arg(world).stdin(Stdio::null());
    command
}

/// The program with the simulators: the one that the environment names, or that of the workspace above, built if need be.
fn simulator() -> Command {
    if let Some(program) = std::env::var_os("MADOGUCHI_SIM") {
        return Command::new(program);
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--package", "madoguchi-sim", "--manifest-path"]);
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"), "--"]);
    command
}

fn succeeded(command: &mut Command) -> Value {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    assert!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("a JSON document")
}
