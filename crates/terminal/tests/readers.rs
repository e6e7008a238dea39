//! `doctor` and a real PC/SC service: none, one without a reader, one with readers and with cards in them. Needs the packages that
//! `tests/install-peers` installs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

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

/// What `doctor` says of the card reader.
fn reader_check(document: &Json) -> Json {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "reader").unwrap().clone()
}

fn examined(pcscd: &PrivatePcscd, options: &str) -> Json {
    let folder = folder();
    let mut doctor = command(folder.path(), &format!("doctor --json {options}"));
    reader_check(&document(&pcscd.env(&mut doctor).output().unwrap()))
}

fn card(profile: CardProfile) -> Card {
    let key = |first: u8| Zeroizing::new((first..).take(profile.scp03_key_length).collect());
    let personalisation = Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13999".into(),
        expiry: date(2035, 2, 17),
        keys: StaticKeySet { enc: key(0x40), mac: key(0x80), dek: key(0xC0) },
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

#[test]
fn without_the_service_the_doctor_says_how_to_start_it() {
    let check = reader_check(&document(&madoguchi(folder().path(), "doctor --json")));
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"service-not-running".into()), "{check}");
    assert!(check["mend"].as_str().unwrap().contains("systemctl enable --now pcscd.socket"), "{check}");
}

#[test]
fn without_a_reader_the_doctor_asks_for_one() {
    let check = examined(&PrivatePcscd::start(0).unwrap(), "");
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"no-reader".into()), "{check}");
    assert!(check["mend"].as_str().unwrap().contains("libccid"), "{check}");
    let check = examined(&PrivatePcscd::start(1).unwrap(), "--reader RC-S300");
    assert_eq!((&check["ok"], &check["code"]), (&false.into(), &"reader-not-there".into()), "{check}");
}

#[test]
fn readers_and_the_cards_in_them_are_told_apart() {
    let pcscd = PrivatePcscd::start(2).unwrap();
    let [first, second] = [0, 1].map(|index| pcscd.readers()[index].clone());
    let check = examined(&pcscd, "");
    assert_eq!((&check["ok"], &check["code"]), (&true.into(), &"empty".into()), "{check}");

    let ours = VpcdRunner::new(card(CardProfile::jpki_2016()), format!("127.0.0.1:{}", second.port));
    ours.control().insert().unwrap();
    ours.control().wait_until_seen(PATIENCE).unwrap();
    let check = examined(&pcscd, "--reader SIM-PCD-1");
    assert_eq!((&check["ok"], &check["code"]), (&true.into(), &"card".into()), "{check}");
    let seen = |name: &str| check["readers"].as_array().unwrap().iter().find(|reader| reader["name"] == name).cloned();
    let (first, second) = (seen(&first.name).unwrap(), seen(&second.name).unwrap());
    assert_eq!((&first["state"], &first["meant"]), (&"empty".into(), &false.into()));
    assert_eq!((&second["state"], &second["meant"]), (&"card".into(), &true.into()));
    assert_eq!(second["atr"], "3B E0 00 FF 81 31 FE 45 14");
}
