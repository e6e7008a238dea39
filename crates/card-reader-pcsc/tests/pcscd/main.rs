//! The adapter against a real pcscd, with simulated cards in virtual readers.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod trouble;

use std::process::ExitCode;
use std::sync::Arc;

use card_reader::contract::{self, Bench, CASES};
use libtest_mimic::Trial;
use private_pcscd::{MAX_READERS, PrivatePcscd, main_with};
use sim_card::CardProfile;

use crate::common::Desk;

/// Says in its ATR that it takes extended length: category 80, card capabilities C0 01 C0.
const ANNOUNCING_ATR: [u8; 12] = [0x3B, 0x87, 0x80, 0x01, 0x80, 0x31, 0xC0, 0x73, 0xC0, 0x01, 0xC0, 0x96];

fn main() -> ExitCode {
    main_with(MAX_READERS, |pcscd| {
        let mut trials = Vec::new();
        for &(name, case) in CASES {
            trials.push(trial(&format!("contract::{name}"), pcscd, move |pcscd| {
                case(bench(pcscd, CardProfile::jpki_2016()))
            }));
        }
        for (name, case) in LONG_COMMANDS {
            let name = format!("contract::extended_length::{name}");
            trials.push(trial(&name, pcscd, move |pcscd| case(bench(pcscd, announcing()))));
        }
        for &(name, test) in trouble::TESTS {
            trials.push(trial(&format!("trouble::{name}"), pcscd, test));
        }
        trials
    })
}

/// The cases in which the length of commands matters.
const LONG_COMMANDS: [contract::Case; 3] = [
    ("the_longest_command_passes", contract::the_longest_command_passes),
    ("a_longer_command_is_refused_unsent", contract::a_longer_command_is_refused_unsent),
    ("exchange_carries_long_commands", contract::exchange_carries_long_commands),
];

fn trial(name: &str, pcscd: &Arc<PrivatePcscd>, run: impl FnOnce(&Arc<PrivatePcscd>) + Send + 'static) -> Trial {
    let pcscd = Arc::clone(pcscd);
    Trial::test(name, move || {
        run(&pcscd);
        Ok(())
    })
}

fn announcing() -> CardProfile {
    CardProfile { atr: ANNOUNCING_ATR.to_vec(), ..CardProfile::jpki_2016() }
}

fn bench(pcscd: &Arc<PrivatePcscd>, profile: CardProfile) -> Bench {
    let desk = Desk::with_card(pcscd, profile);
    Bench { reader: Box::new(desk.reader()), clock: Arc::clone(&desk.clock), hand: Box::new(desk) }
}
