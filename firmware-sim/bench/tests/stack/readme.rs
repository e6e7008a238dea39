//! The page that tells strangers how to use the demonstration's card: its lines are run as they stand there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::place::{PROGRAM, Place, Town};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
const SECTION: &str = "\n## The card in other programs\n";
/// What the page has in the place of a PIN and of a resident's number.
const PIN: &str = "--pin 1234";
const NUMBER: &str = "--resident NUMBER";
/// What stands in a stranger's way once, and not here.
const PREPARATIONS: [&str; 2] = ["sudo ", "cargo build "];

/// The blocks of commands in the section, without preparations.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(README).unwrap();
    let (_, section) = page.split_once(SECTION).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let is_run = |line: &&str| !PREPARATIONS.iter().any(|preparation| line.starts_with(preparation));
    blocks.map(|block| block.lines().filter(is_run).map(|line| format!("{line}\n")).collect()).collect()
}

#[test]
fn the_lines_of_the_readme_do_what_it_says() {
    let [serve, others, terminal] = &blocks()[..] else { panic!("three blocks of commands: {:#?}", blocks()) };
    let (town, place) = (Town::issued(), Place::new());
    fs::create_dir_all(place.path("target/release")).unwrap();
    symlink(PROGRAM, place.path("target/release/madoguchi-sim")).unwrap();
    symlink(town.world_folder(), place.path("world")).unwrap();

    let mut served = Command::new("sh")
        .args(["-c", &format!("exec {} --until-stdin-ends --vpcd {}", serve.trim_end(), place.vpcd())])
        .current_dir(place.path(""))
        .env("LANG", "C.UTF-8")
        .env_remove("LC_ALL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(served.stdout.take().unwrap()).lines().map_while(Result::ok);
    let pins = said.find(|line| line.trim_start().starts_with("PIN")).unwrap();
    let pin = pins.split_whitespace().nth(2).unwrap();
    place.pcscd.wait_for_card(0).unwrap();

    assert!(others.contains(PIN), "{others}");
    let script = format!("set -e\n{}", others.replace(PIN, &format!("--pin {pin}")));
    let done = place.run("sh", ["-c", &script]).succeeds().out();
    assert!(done.starts_with("jpki\n") && done.contains("Verified OK"), "{done}");
    assert!(done.contains("PKCS#15 Card [JPKI]"), "{done}");

    assert!(terminal.contains(NUMBER), "{terminal}");
    let script = format!("set -e\n{}", terminal.replace(NUMBER, &format!("--resident {}", town.resident)));
    let done = place.run("sh", ["-c", &script]).succeeds().out();
    assert!(done.contains("✓ signing") && done.contains("COMMIT signing"), "issued, and the trace says so: {done}");

    drop(served.stdin.take());
    assert!(served.wait().unwrap().success());
}
