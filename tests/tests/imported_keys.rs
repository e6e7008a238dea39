//! Cards that make no keys themselves: the HSM makes them, the card takes them, and card and authority agree whatever is lost.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use jpki::card::ins;
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::loops::reader::{self, Played};
use madoguchi_tests::loops::{self, Findings, Variant};
use madoguchi_tests::people::Said;
use madoguchi_tests::{Stage, Start};
use orchestrator::{KeyOrigin, Plan, ProcedureError, Progress, Step};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

type Loop = (&'static str, usize, fn(Variant, Start) -> Findings);

/// What concerns the import alone, where the other commands are those of every card.
const AT_THE_IMPORT: [Loop; 4] = [
    ("reset", 3, |variant, start| reader::resets(Played::of(variant), start)),
    ("silence", 3, |variant, start| reader::silence(Played::of(variant), start)),
    ("wrong bits and garbled answers", 3, |variant, start| reader::damage(Played::of(variant), start)),
    ("odd status words", 3, |variant, start| reader::odd_status_words(Played::of(variant), start)),
];

fn comes_through(variant: Variant, loops: &[Loop]) {
    for (name, least, run) in loops {
        let findings = run(variant, Start::Issued);
        println!("{}, {name}: {} cases, the fault struck at {} places", variant.name, findings.cases, findings.struck);
        assert!(findings.struck >= *least, "{name}: a loop whose fault does not strike proves nothing");
        assert!(findings.broken.is_empty(), "{name}: {:#?}", &findings.broken[..findings.broken.len().min(3)]);
    }
}

/// From the command before the import to the one after it.
fn at_the_import(variant: Variant) -> Variant {
    let places = reader::places_of(variant, Start::Issued, ins::IMPORT_KEY_PAIR);
    let (Some(first), Some(last)) = (places.first(), places.last()) else { panic!("nothing is imported") };
    variant.between(first - 1, last + 1)
}

// Tests of about the same length, so that both cores have something to do.

#[test]
fn a_renewal_comes_through() {
    comes_through(
        Variant::IMPORTED,
        &[
            ("card away at every APDU", 15, loops::card_leaves_and_comes_back),
            ("HSM gone after every call", 8, loops::hsm_goes),
        ],
    );
    comes_through(at_the_import(Variant::IMPORTED), &AT_THE_IMPORT);
}

#[test]
fn a_renewal_without_a_pending_slot_comes_through() {
    comes_through(
        Variant::IMPORTED_SINGLE_SLOT,
        &[
            ("power cut at every write of the card", 25, loops::power_cut_at_card_writes),
            ("every message, every mishap", 30, loops::messages_meet_mishaps),
        ],
    );
    comes_through(at_the_import(Variant::IMPORTED_SINGLE_SLOT), &AT_THE_IMPORT);
}

/// Both kinds of card, issue and renewal, with the keys of 2016: the certificates say where their keys were made, and so does the log.
#[test]
fn where_a_key_was_made_is_recorded() {
    for (profile, origin) in [
        (IssuingProfile::jpki_2016().imported(), KeyOrigin::Hsm),
        (IssuingProfile::jpki_2016().single_slot().imported(), KeyOrigin::Hsm),
        (IssuingProfile::jpki_2016(), KeyOrigin::Card),
    ] {
        let mut stage = Stage::new(&profile, Start::Fresh);
        let told = stage.record();
        for plan in [Plan::issue(&BOTH), Plan::renew(&BOTH)] {
            let report = stage.run(0, plan).expect("issued");
            assert_eq!(report.certificates.len(), 2);
            assert!(report.certificates.iter().all(|certificate| certificate.key_origin == origin), "{}", profile.name);
        }
        stage.check_settled().expect("settled");
        stage.check_accounted(0).expect("accounted");
        let entries = orchestrator::logbook::entries(&stage.disk(0).open()).expect("a log");
        let count = |step: &str| entries.iter().filter(|entry| entry.step.as_str() == step).count();
        // An intent and an outcome for each of four keys.
        let (made, imported, generated) = (count("make-key"), count("import-key"), count("generate-key"));
        let step = match origin {
            KeyOrigin::Hsm => {
                assert_eq!((made, imported, generated), (8, 8, 0));
                Step::ImportKey
            }
            KeyOrigin::Card => {
                assert_eq!((made, imported, generated), (0, 0, 8));
                Step::GenerateKey
            }
        };
        let told = told.lock().expect("told");
        let done = |progress: &&Progress| matches!(progress, Progress::StepDone { step: done, .. } if *done == step);
        assert_eq!(told.iter().filter(done).count(), 4);
    }
}

/// Where on-card generation is required, a card that makes no keys is refused before anybody types a PIN.
#[test]
fn the_profile_may_require_that_cards_make_their_keys() {
    let required = IssuingProfile::jpki_next();
    let mut stage = Stage::new(&required, Start::Fresh);
    let card = stage.make_card(0, |personalisation| personalisation.profile.makes_keys = false);
    drop(stage.control(0).remove());
    stage.control(0).insert(card);
    stage.conversation.take();
    let error = stage.refused(Plan::issue(&BOTH)).expect("refused properly");
    assert!(matches!(error, ProcedureError::CardMakesNoKeys), "{error:?}");
    assert!(!stage.conversation.take().iter().any(|said| matches!(said, Said::ChoosePin(_) | Said::EnterPin(..))));

    // And where import is allowed, a card that makes keys makes them.
    let mut stage = Stage::new(&IssuingProfile::jpki_next().imported(), Start::Fresh);
    let card = stage.make_card(0, |personalisation| personalisation.profile.makes_keys = true);
    drop(stage.control(0).remove());
    stage.control(0).insert(card);
    let report = stage.run(0, Plan::issue(&BOTH)).expect("issued");
    assert!(report.certificates.iter().all(|certificate| certificate.key_origin == KeyOrigin::Card));
}
