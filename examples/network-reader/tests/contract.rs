//! The contract suite of the card reader port, with a simulated card at the other end of the line.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use card_reader::CardReader;
use card_reader::contract::{Bench, Hand};
use jiff::civil::date;
use madoguchi_time::SystemClock;
use network_reader::NetworkReader;
use sim_card::vpcd::{VpcdControl, VpcdRunner};
use sim_card::{Card, CardProfile, GeneratedKeys, Personalisation, StaticKeySet};
use zeroize::Zeroizing;

/// The card since 2016, which says nothing of extended length.
const SAYS_NOTHING: &[u8] = &jpki::card::ATR;
/// Historical bytes: COMPACT-TLV, card capabilities with extended length (ISO/IEC 7816-4 §8.1.1.2.7).
const SAYS_EXTENDED: &[u8] = &[0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0xC0, 0x01, 0x40, 0xF3];

mod short {
    card_reader::contract_tests!(|| crate::bench(crate::SAYS_NOTHING));
}

mod extended {
    card_reader::contract_tests!(|| crate::bench(crate::SAYS_EXTENDED));
}

fn bench(atr: &[u8]) -> Bench {
    let clock = SystemClock::shared();
    let mut reader = NetworkReader::listen("127.0.0.1:0", clock.clone()).expect("a free port");
    let address = reader.address().expect("a port").to_string();
    let runner = VpcdRunner::new(card(atr), address);
    let mut hand = Fingers { control: runner.control(), _runner: runner };
    hand.insert();
    reader.wait_for_card(clock.deadline_in(Duration::from_secs(30))).expect("a card was inserted");
    Bench { reader: Box::new(reader), hand: Box::new(hand), clock }
}

/// Moves the card.
struct Fingers {
    control: VpcdControl,
    _runner: VpcdRunner,
}

impl Hand for Fingers {
    fn remove(&mut self) {
        self.control.remove();
    }

    fn insert(&mut self) {
        self.control.insert().expect("the reader listens");
    }

    /// The line fails for a moment, and the card with it. Another program can't reset the card: the reader has one user.
    fn reset(&mut self) {
        self.remove();
        self.insert();
    }
}

fn card(atr: &[u8]) -> Card {
    let key = |byte| Zeroizing::new(vec![byte; 16]);
    let nvm = Personalisation {
        serial: "SIM000000000001".into(),
        municipality: "13221".into(),
        expiry: date(2035, 2, 17),
        profile: CardProfile { atr: atr.to_vec(), ..CardProfile::jpki_2016() },
        key_version: 0x30,
        diversification: [0; 10],
        keys: StaticKeySet { enc: key(0x40), mac: key(0x41), dek: key(0x42), import: None },
        sign_ca: Vec::new(),
        auth_ca: Vec::new(),
        name: "黒桐　幹也".into(),
        address: "東京都清瀬市観布子南１２－７－２０２".into(),
        birth: date(1980, 2, 17),
        sex: jpki::Sex::Male,
        my_number: "123456789018".into(),
        check_number_b: "55021720352285".into(),
        face_input_pin: "4321".into(),
        juki_pin: "8765".into(),
        face: false,
        rng_seed: [0; 32],
    }
    .into_memory()
    .expect("a card");
    Card::power_on(nvm, SystemClock::shared(), GeneratedKeys).expect("a card")
}
