//! What the private pcscd promises to tests.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Trial;
use private_pcscd::{MAX_READERS, PrivatePcscd, main_with};

fn main() -> ExitCode {
    main_with(2, |pcscd| {
        let bench = Arc::clone(pcscd);
        vec![
            Trial::test("every_reader_asks_its_card", move || {
                asks_a_card(&bench, 0);
                asks_a_card(&bench, 1);
                Ok(())
            }),
            Trial::test("instances_stand_side_by_side", || {
                instances_stand_side_by_side();
                Ok(())
            }),
            Trial::test("a_killed_one_comes_back", || {
                a_killed_one_comes_back();
                Ok(())
            }),
        ]
    })
}

/// The driver asks a card for its ATR as soon as it is there.
fn asks_a_card(pcscd: &PrivatePcscd, index: usize) {
    let mut card = TcpStream::connect((Ipv4Addr::LOCALHOST, pcscd.port(index))).expect("the reader listens");
    let mut frame = [0; 3];
    card.read_exact(&mut frame).expect("the driver asks");
    assert_eq!(frame, [0, 1, 4]);
    card.write_all(&[0, 2, 0x3B, 0x00]).expect("the driver listens");
}

fn instances_stand_side_by_side() {
    let full = PrivatePcscd::start(MAX_READERS).expect("starts");
    let small = PrivatePcscd::start(1).expect("starts");
    assert_eq!(full.readers().len(), MAX_READERS);
    assert!(full.readers().iter().all(|reader| reader.port != small.port(0)));
    for index in 0..MAX_READERS {
        asks_a_card(&full, index);
    }
    asks_a_card(&small, 0);

    let socket = full.socket();
    drop(full);
    UnixStream::connect(&socket).expect_err("it has ended");
    assert!(!fs::exists(socket).expect("readable"));
    asks_a_card(&small, 0);
}

fn a_killed_one_comes_back() {
    let pcscd = PrivatePcscd::start(1).expect("starts");
    pcscd.kill();
    UnixStream::connect(pcscd.socket()).expect_err("nobody listens");
    TcpStream::connect((Ipv4Addr::LOCALHOST, pcscd.port(0))).expect_err("no reader");
    pcscd.restart().expect("starts again");
    UnixStream::connect(pcscd.socket()).expect("listens again");
    asks_a_card(&pcscd, 0);
}
