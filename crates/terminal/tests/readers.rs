//! `doctor` and a real PC/SC service: none, one without a reader, one with readers and with cards in them. Needs the packages that
//! `tests/install-peers` installs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{command, document, folder, madoguchi};
use jiff::civil::date;
use jpki::Sex;
use madoguchi_time::SystemClock;
use private_pcscd::PrivatePcscd;
use serde_json::Value as Json;
use sim_card::vpcd::VpcdRunner;
use sim_card::{Card, CardProfile, Personalisation, PooledKeys, StaticKeySet};
use zeroize::Zeroizing;

/// The service asks a virtual reader for its card 2.5 times a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// The ATR of a contactless card without historical bytes (PC/SC part 3 §3.1.3.2.3).
const FOREIGN_ATR: [u8; 5] = [0x3B, 0x80, 0x80, 0x01, 0x01];

/// What `doctor` says of the card reader.
fn reader_check(document: &Json) -> Json {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "reader").unwrap().clone()
}

fn examined(pcscd: &PrivatePcscd, reader: Option<&str>) -> Json {
    let folder = folder();
    let mut doctor = command(folder.path(), "doctor --json");
    doctor.args(reader.map(|name| format!("--reader={name}")));
    reader_check(&document(&pcscd.env(&mut doctor).output().unwrap()))
}

fn card(profile: CardProfile) -> Card {
    let key = |first: u8| Zeroizing::new((first..).take(profile.scp03_key_length).collect());
    let personalisation = Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13999".into(),
        expiry: date(2035, 2, 17),
        keys: StaticKeySet { enc: key(0x40), mac: key(0x80), dek: key(0xC0), import: None },
        profile,
        key_version: 0x30,
        diversification: [0; 10],
        sign_ca: vec![0x5C; 300],
        auth_ca: vec![0xAC; 300],
        name: "窓口　花子".into(),
        address: "東京都緑区一丁目".into(),
        birth: date(1980, 2, 17),
        sex: Sex::Female,
        my_number: "123456789018".into(),
        check_number_b: "55021720352285".into(),
        face_input_pin: "4321".into(),
        juki_pin: "5678".into(),
        face: false,
        rng_seed: [7; 32],
    };
    let nvm = personalisation.into_memory().unwrap();
    Card::power_on(nvm, SystemClock::shared(), PooledKeys::new(Vec::new())).unwrap()
}

/// Puts a card of another kind into the virtual reader at `port`: it has an ATR, and no application that anybody asks for. Returns when the
/// service has powered it up.
fn insert_foreign_card(port: u16) {
    let (powered, noticed) = mpsc::channel();
    let mut line = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // It ends with the service.
    thread::spawn(move || -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            line.read_exact(&mut length)?;
            let mut message = vec![0; u16::from_be_bytes(length).into()];
            line.read_exact(&mut message)?;
            let answer: &[u8] = match message[..] {
                // Power-up; power-down and reset; the question for the ATR (vsmartcard's protocol).
                [1] => {
                    let _ = powered.send(());
                    continue;
                }
                [0 | 2] => continue,
                [4] => &FOREIGN_ATR,
                _ => &[0x6A, 0x82],
            };
            line.write_all(&[&[0, u8::try_from(answer.len()).unwrap()], answer].concat())?;
        }
    });
    noticed.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn without_the_service_the_doctor_says_how_to_start_it() {
    let check = reader_check(&document(&madoguchi(folder().path(), "doctor --json")));
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"service-not-running".into()), "{check}");
    assert!(check["mend"].as_str().unwrap().contains("systemctl enable --now pcscd.socket"), "{check}");
}

#[test]
fn without_a_reader_the_doctor_asks_for_one() {
    let check = examined(&PrivatePcscd::start(0).unwrap(), None);
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"no-reader".into()), "{check}");
    assert!(check["mend"].as_str().unwrap().contains("libccid"), "{check}");
    let check = examined(&PrivatePcscd::start(1).unwrap(), Some("RC-S300"));
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"reader-not-there".into()), "{check}");
}

#[test]
fn readers_and_the_cards_in_them_are_told_apart() {
    let pcscd = PrivatePcscd::start(2).unwrap();
    let [first, second] = [0, 1].map(|index| pcscd.readers()[index].clone());
    let check = examined(&pcscd, None);
    assert_eq!((&check["ok"], &check["code"]), (&true.into(), &"empty".into()), "{check}");

    let ours = VpcdRunner::new(card(CardProfile::jpki_2016()), format!("127.0.0.1:{}", second.port));
    ours.control().insert().unwrap();
    // The service powers a card up when it notices it.
    assert!(ours.control().wait_until(PATIENCE, |activity| activity.power_ons > 0));
    insert_foreign_card(first.port);
    let check = examined(&pcscd, Some(&first.name));
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"unknown-card".into()), "{check}");
    assert!(check["text"].as_str().unwrap().contains("3B 80 80 01 01"), "{check}");

    let check = examined(&pcscd, Some("sim-pcd-1"));
    assert_eq!((&check["ok"], &check["code"]), (&true.into(), &"card".into()), "{check}");
    let seen = |name: &str| check["readers"].as_array().unwrap().iter().find(|reader| reader["name"] == name).cloned();
    let (first, second) = (seen(&first.name).unwrap(), seen(&second.name).unwrap());
    assert_eq!((&first["state"], &first["meant"]), (&"unknown-card".into(), &false.into()));
    assert_eq!((&second["state"], &second["meant"]), (&"card".into(), &true.into()));
    assert_eq!(second["atr"], "3B E0 00 FF 81 31 FE 45 14");
}
