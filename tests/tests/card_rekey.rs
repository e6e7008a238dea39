//! Card key changeover: whatever happens, and wherever, the card has keys that work, and the next changeover ends what this one began.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use card_reader::CardError;
use hsm::{Hsm, HsmError};
use jpki::card::{AID_ISD, ISSUING_SECURITY_LEVEL};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_sim::world::parts::CARD_KEY_VERSION;
use madoguchi_tests::stage::{MANAGER, NEXT_KEY_VERSION, OPERATOR};
use madoguchi_tests::{Stage, Start};
use madoguchi_time::Clock;
use orchestrator::{KeyChange, KeyChangeStep, Plan, ProcedureError, ProcedureReport, Progress, SiteConfig};
use secure_channel::Handshake;
use sim_card::nvm::Tear;
use sim_card::{Card, Fault, Mistake, When};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;
const OLD: u8 = CARD_KEY_VERSION;
const NEW: u8 = NEXT_KEY_VERSION;

/// A stage whose terminals are to change cards over.
fn stage(profile: &IssuingProfile) -> Stage {
    let stage = Stage::new(profile, Start::Fresh);
    for place in 0..stage.places() {
        configure(&stage, place, NEW, &[OLD]);
    }
    stage
}

fn configure(stage: &Stage, place: usize, current: u8, previous: &[u8]) {
    let mut folder = stage.disk(place).open();
    let mut site = SiteConfig::load(&folder).expect("a configuration");
    site.card_key_version = current;
    site.previous_card_key_versions = previous.to_vec();
    site.save(&mut folder).expect("written");
}

/// Another card, with the old keys.
fn new_card(stage: &Stage, number: u64) {
    for place in 0..stage.places() {
        drop(stage.control(place).remove());
    }
    stage.control(0).insert(stage.make_card(number, |_| {}));
}

fn rekey(stage: &mut Stage, place: usize) -> Result<ProcedureReport, ProcedureError> {
    let mut terminal = stage.start(place)?;
    terminal.log_on(OPERATOR)?;
    terminal.rekey()
}

/// The key versions with which the card opens a channel.
fn working(stage: &Stage) -> Vec<u8> {
    let control = (0..stage.places()).map(|place| stage.control(place)).find(|control| control.has_card());
    let opens = |card: &mut Card, version| {
        card.power_up().expect("memory");
        send(card, &CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_ISD));
        let keys = stage.profile().channel_key_bits / 8;
        let (handshake, command) = Handshake::begin(version, vec![0x5A; if keys == 16 { 8 } else { 16 }]);
        let negotiated = handshake.answered(&send(card, &command)).ok()?;
        let deadline = stage.clock.deadline_in(Duration::from_secs(10));
        let session = stage.masters().derive_session(&negotiated.derivation(keys.into()), deadline).expect("keys");
        let (authenticating, command) = negotiated.authenticate(session, ISSUING_SECURITY_LEVEL).ok()?;
        authenticating.opened(&send(card, &command)).ok()
    };
    let opened = control.expect("a card").with_card(|card| {
        let versions = [OLD, NEW].into_iter().filter(|version| opens(card, *version).is_some()).collect();
        card.power_up().expect("memory");
        versions
    });
    opened.expect("a card")
}

fn send(card: &mut Card, command: &CommandApdu) -> ResponseApdu {
    ResponseApdu::parse(&card.transmit(&command.to_bytes(command.encoding()).expect("bytes"))).expect("an answer")
}

/// Plays a changeover for every n, disturbed by what `arm` does, until `disarm` says that it found nothing to disturb. In between, the card
/// works; then the other terminal, which knows nothing of it, brings it to its end.
fn disturbed_anywhere(what: &str, is_cut_off: bool, arm: impl Fn(&Stage, u64), disarm: impl Fn(&Stage) -> bool) -> u64 {
    let mut stage = stage(&IssuingProfile::jpki_next().imported());
    for n in 1.. {
        new_card(&stage, n);
        stage.control(0).return_when_awaited(true);
        arm(&stage, n);
        let ended = rekey(&mut stage, 0);
        let struck = disarm(&stage);
        stage.control(0).return_when_awaited(false);
        stage.carry_card(1);
        let working = working(&stage);
        assert!(!working.is_empty(), "{what} {n}: no keys work");
        if ended.is_ok() {
            assert_eq!(working, [NEW], "{what} {n}");
        }
        if !struck {
            ended.expect("undisturbed");
            return n - 1;
        }
        if !is_cut_off {
            stage.check_accounted(0).expect("accounted");
        }
        rekey(&mut stage, 1).unwrap_or_else(|error| panic!("{what} {n}: {error:?}"));
        assert_eq!(self::working(&stage), [NEW], "{what} {n}");
        for place in 0..stage.places() {
            // What was cut off is closed at the next start.
            drop(stage.start(place).expect("a terminal"));
            stage.check_accounted(place).expect("accounted");
        }
    }
    unreachable!("a loop without end")
}

#[test]
fn the_card_may_go_at_any_command() {
    let faults = When::BOTH
        .into_iter()
        .flat_map(|when| [Fault::Remove(when), Fault::Reset(when), Fault::Stall(when)])
        .chain([Fault::Garble, Fault::Corrupt, Fault::StatusWord(0x6F00), Fault::StatusWord(0x6A88)]);
    for fault in faults {
        let disarm = |stage: &Stage| {
            let struck = stage.control(0).armed() == 0;
            stage.control(0).disarm();
            struck
        };
        let places =
            disturbed_anywhere(&format!("{fault:?}"), false, |stage, n| stage.control(0).arm(n, fault), disarm);
        println!("{fault:?}: at {places} places");
        assert!(places >= 12, "a loop whose fault does not strike proves nothing");
    }
}

#[test]
fn power_may_be_cut_at_any_write_of_the_card() {
    for tear in Tear::ALL {
        let switch = |stage: &Stage| stage.control(0).with_card(|card| card.power_switch());
        let places = disturbed_anywhere(
            &format!("{tear:?}"),
            false,
            |stage, n| switch(stage).expect("a card").cut_at_write(n, tear),
            // The card may stand aside: it is there again as soon as somebody looks.
            |stage| {
                stage.carry_card(0);
                !switch(stage).expect("a card").cancel()
            },
        );
        println!("{tear:?}: at {places} writes");
        assert!(places >= 10);
    }
}

#[test]
fn hsm_and_disk_may_go_at_any_time() {
    let calls = disturbed_anywhere(
        "HSM",
        true,
        |stage, n| stage.hsm_plug(0).unplug_after(n - 1),
        |stage| stage.hsm_plug(0).plug_in(),
    );
    let writes =
        disturbed_anywhere("disk", true, |stage, n| stage.disk(0).cut_at_write(n), |stage| stage.disk(0).mend());
    println!("HSM: at {calls} calls; disk: at {writes} writes");
    assert!(calls >= 5 && writes >= 8);
}

/// A card that only says that it has deleted keys is no good, and no reason to go on for ever.
#[test]
fn keys_that_are_not_deleted_end_it() {
    let mut stage = stage(&IssuingProfile::jpki_next().imported());
    new_card(&stage, 1);
    stage.control(0).with_card(|card| card.make_mistake(Mistake::KeepsDeletedKeys)).expect("a card");
    let ended = rekey(&mut stage, 0);
    assert!(matches!(ended, Err(ProcedureError::WrongCard)), "{ended:?}");
    assert_eq!(working(&stage), [OLD, NEW]);
    stage.check_accounted(0).expect("accounted");
}

/// What the card stored is not what it was given: the new version is taken back, and the old one works, also if that is disturbed.
#[test]
fn keys_that_do_not_prove_themselves_are_taken_back() {
    let mut stage = stage(&IssuingProfile::jpki_2016());
    for n in 1.. {
        new_card(&stage, n);
        let control = stage.control(0);
        control.with_card(|card| card.make_mistake(Mistake::StoresOtherKeys)).expect("a card");
        control.return_when_awaited(true);
        control.arm(n, Fault::Remove(When::AfterExecution));
        let told = stage.record();
        let ended = rekey(&mut stage, 0);
        let struck = control.armed() == 0;
        control.disarm();
        stage.carry_card(0);
        assert_eq!(working(&stage), [OLD], "APDU {n}");
        assert!(matches!(ended, Err(ProcedureError::CardKeysNotProved)), "APDU {n}: {ended:?}");
        stage.check_accounted(0).expect("accounted");
        if !struck {
            let told = told.lock().expect("told");
            let steps: Vec<_> = told
                .iter()
                .filter_map(|progress| match progress {
                    Progress::CardKeys { version, step } => Some((*version, *step)),
                    _ => None,
                })
                .collect();
            assert_eq!(steps, [(NEW, KeyChangeStep::Added), (NEW, KeyChangeStep::RolledBack)]);
            return;
        }
    }
}

/// Every kind of card, with three keys or four, before and after its certificates; and what is on it stays.
#[test]
fn cards_of_both_versions_are_served_and_changed_over() {
    let profiles = [IssuingProfile::jpki_2016(), IssuingProfile::jpki_next(), IssuingProfile::jpki_next().imported()];
    for profile in profiles {
        let mut stage = stage(&profile);
        stage.run(0, Plan::issue(&BOTH)).expect("issued under the old keys");
        assert_eq!(working(&stage), [OLD], "an ordinary procedure changes no keys");
        let holdings = stage.holdings();
        let expected = |removed| Some(KeyChange { version: NEW, removed });
        assert_eq!(rekey(&mut stage, 0).expect("changed over").key_change, expected(vec![OLD]));
        assert_eq!((working(&stage), stage.holdings()), (vec![NEW], holdings));
        assert_eq!(rekey(&mut stage, 0).expect("nothing to do").key_change, expected(vec![]));
        stage.run(0, Plan::renew(&BOTH)).expect("renewed under the new keys");
        stage.check_settled().expect("settled");

        let entries = orchestrator::logbook::entries(&stage.disk(0).open()).expect("a log");
        for (step, version) in [("put-keys", "02"), ("delete-keys", "01")] {
            let logged = entries.iter().filter(|entry| entry.step.as_str() == step);
            let details: Vec<_> = logged.map(|entry| entry.detail.as_ref().map(ToString::to_string)).collect();
            assert_eq!(details.len(), 2, "an intent and an outcome");
            assert_eq!(details[0].as_deref(), Some(version));
        }
    }
}

/// What stands in the way is said before the card is touched.
#[test]
fn a_changeover_that_can_not_be_made_changes_nothing() {
    let mut stage = stage(&IssuingProfile::jpki_next());
    // The HSM has no such master.
    configure(&stage, 0, 0x7F, &[OLD]);
    let missing = rekey(&mut stage, 0);
    assert!(matches!(missing, Err(ProcedureError::Hsm(HsmError::NoSuchKey(_)))), "{missing:?}");
    // The card has keys that this site does not know.
    configure(&stage, 0, NEW, &[0x30]);
    assert!(matches!(rekey(&mut stage, 0), Err(ProcedureError::WrongCard)));
    configure(&stage, 0, NEW, &[OLD]);
    let mut terminal = stage.start(0).expect("a terminal");
    assert!(matches!(terminal.rekey(), Err(ProcedureError::NotLoggedOn)));
    terminal.log_on(MANAGER).expect("logged on");
    assert!(matches!(terminal.rekey(), Err(ProcedureError::NotAllowed)), "cards are for operators");
    drop(terminal);
    assert_eq!(working(&stage), [OLD]);
    // No card, or another one.
    let card = stage.control(0).remove().expect("a card");
    assert!(matches!(rekey(&mut stage, 0), Err(ProcedureError::NoCard | ProcedureError::Reader(CardError::NoCard))));
    stage.control(0).insert(card);
    rekey(&mut stage, 0).expect("changed over");
    assert_eq!(working(&stage), [NEW]);
}
