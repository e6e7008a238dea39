//! yubikit, which opens SCP03 to other people's cards, opens it to the security domain of ours.

use jiff::Timestamp;
use madoguchi_sim::authority::AuthorityFolder;
use madoguchi_sim::world::parts;
use madoguchi_time::VirtualClock;
use sim_card::vpcd::VpcdRunner;
use sim_card::{Card, CardProfile, GeneratedKeys};

use crate::place::{Place, Town};

/// Installed by `tests/install-peers`.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/yubikit/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/yubikit_scp03.py");

/// yubikit chooses the form of its commands by the ATR.
#[test]
fn yubikit_opens_the_security_domain_in_short_form() {
    play("short", |profile| profile);
}

#[test]
fn yubikit_opens_the_security_domain_in_extended_form() {
    play("extended", CardProfile::announcing_extended_length);
}

fn play(form: &str, profile: impl FnOnce(CardProfile) -> CardProfile) {
    let (town, place) = (Town::new(), Place::new());
    let world = town.world();
    let resident = world.resident(&town.resident).unwrap().unwrap();
    let certificates = AuthorityFolder::new(world.folder().authority()).certificates().unwrap();
    let profile = profile(parts::card_profile(world.issuing()));
    let hsm = world.terminal_hsm().unwrap();
    let made = parts::personalisation(world.seed(), 0, &resident, &profile, &hsm, &certificates).unwrap();
    let keys = [&made.keys.enc, &made.keys.mac, &made.keys.dek].map(hex::encode);
    let nvm = made.into_memory().unwrap();
    let card = Card::power_on(nvm, VirtualClock::at(Timestamp::UNIX_EPOCH), GeneratedKeys).unwrap();
    let runner = VpcdRunner::new(card, place.vpcd());
    let control = runner.control();
    control.insert().unwrap();
    place.pcscd.wait_for_card(0).unwrap();

    let version = parts::CARD_KEY_VERSION.to_string();
    let [enc, mac, dek] = &keys;
    let reader = place.pcscd.reader_name(0);
    let done = place.run(PYTHON, [SCRIPT, reader, form, &version, enc, mac, dek]).succeeds();
    assert_eq!(done.out(), "as it should be\n");
}
