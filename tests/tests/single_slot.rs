//! A card without a pending slot: what of the agreement remains (ADR 0009) holds whatever is lost, and the loops notice when it
//! does not.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::loops::{self, Findings, Variant};
use madoguchi_tests::people::Said;
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError, Progress, Question, Settlement};
use sim_card::{Fault, When};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

/// What the documentation says holds, holds in the model, and each of its parts is needed.
#[test]
fn the_model_finds_what_the_documentation_says() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models/one_slot.py");
    let explored = Command::new("python3").arg(model).output().expect("python3");
    println!("{}", String::from_utf8_lossy(&explored.stdout));
    assert!(explored.status.success(), "{}", String::from_utf8_lossy(&explored.stderr));
}

type Loop = (&'static str, usize, fn(Variant, Start) -> Findings);

fn at_every_step(variant: Variant, _: Start) -> Findings {
    loops::undisturbed(variant)
}

fn stale(variant: Variant, _: Start) -> Findings {
    loops::stale_terminal_commits(variant)
}

/// The loops over one fault, and at how many places it strikes at least.
const LOOPS: [Loop; 8] = [
    ("undisturbed, at every step", 0, at_every_step),
    ("stale commit after every APDU", 15, stale),
    ("card away at every APDU", 15, loops::card_leaves_and_comes_back),
    ("card at a second terminal from every APDU", 15, loops::card_visits_a_second_terminal),
    ("authority gives up after every APDU", 15, loops::authority_gives_up),
    ("terminal stopped at every write", 30, loops::terminal_stops_at_writes),
    ("every message, every mishap", 30, loops::messages_meet_mishaps),
    ("power cut at every write of the card", 30, loops::power_cut_at_card_writes),
];

fn comes_through(start: Start, loops: &[Loop]) {
    for (name, least, run) in loops {
        let findings = run(Variant::SINGLE_SLOT, start);
        println!("{start:?}, {name}: {} cases, the fault struck at {} places", findings.cases, findings.struck);
        assert!(findings.struck >= *least, "{name}: a loop whose fault does not strike proves nothing");
        assert!(findings.broken.is_empty(), "{name}: {:#?}", &findings.broken[..findings.broken.len().min(3)]);
    }
}

// Two tests of about the same length, so that both cores have something to do.

#[test]
fn a_renewal_comes_through_what_happens_to_card_and_terminal() {
    comes_through(Start::Issued, &LOOPS[..6]);
}

#[test]
fn a_renewal_comes_through_lost_messages_and_power_cuts() {
    comes_through(Start::Issued, &LOOPS[6..]);
}

/// As long as there is nothing to overwrite, much is as on other cards.
#[test]
fn a_first_issue_comes_through() {
    comes_through(Start::Fresh, &[LOOPS[2], LOOPS[4], LOOPS[7]]);
}

/// With the superseding left out, every loop finds a valid certificate whose key is gone.
#[test]
fn every_loop_notices_a_certificate_that_is_never_superseded() {
    for (name, _, run) in LOOPS {
        let findings = run(Variant::NEVER_SUPERSEDED, Start::Issued);
        // Both are valid in the end, or the old one alone.
        let noticed = findings.broken.iter().any(|broken| broken.contains("I1") || broken.contains("I5"));
        assert!(noticed, "{name}: {:#?}", findings.broken.first());
    }
}

#[test]
fn a_card_that_forgets_what_it_has_overwritten_is_noticed() {
    let findings = loops::card_leaves_and_comes_back(Variant::FORGETFUL_CARD, Start::Issued);
    assert!(findings.broken.iter().any(|broken| broken.contains("I1")), "{:#?}", findings.broken.first());
}

fn stage(start: Start) -> Stage {
    Stage::new(&IssuingProfile::jpki_2016_single_slot(), start)
}

/// Whoever is asked last before the card is touched, and says no, has lost nothing.
#[test]
fn nothing_is_overwritten_before_everybody_has_agreed() {
    let mut asked = Vec::new();
    for n in 1.. {
        let mut stage = stage(Start::Issued);
        stage.conversation.take();
        let before = stage.holdings();
        stage.conversation.walk_away_at(n);
        let ended = stage.run(0, Plan::renew(&BOTH));
        if !stage.conversation.stay() {
            ended.expect("renewed");
            stage.check_settled().expect("settled");
            break;
        }
        assert!(matches!(ended, Err(ProcedureError::Cancelled)), "question {n}: {ended:?}");
        assert_eq!(stage.holdings(), before, "question {n}");
        asked.extend(stage.conversation.take().last().copied());
    }
    assert!(asked.contains(&Said::Confirm(Question::OverwritesInPlace)), "{asked:?}");

    let mut stage = stage(Start::Fresh);
    stage.run(0, Plan::issue(&BOTH)).expect("issued");
    assert!(!stage.conversation.was_asked(Question::OverwritesInPlace), "there was nothing to overwrite");
}

/// The card leaves right after its new key was made, and is only looked at the next time. What is issued then still is a renewal, with
/// the extra year of one.
#[test]
fn a_look_revokes_the_certificate_whose_key_is_gone() {
    // Issued in November 2026 to somebody born on 9 July: until the fifth birthday, and to be renewed in the three months before.
    const TO_THE_WINDOW: Duration = Duration::from_secs((4 * 365 + 180) * 24 * 3600);
    let renewed: Timestamp = "2036-07-09T14:59:59Z".parse().expect("a time");
    let (mut revoked, mut issued) = (0, 0);
    for n in 1.. {
        let mut stage = stage(Start::Issued);
        stage.wait(TO_THE_WINDOW);
        let control = stage.control(0);
        control.arm(n, Fault::Remove(When::AfterExecution));
        let ended = stage.run(0, Plan::renew(&[CertificateKind::Signature]));
        if control.armed() > 0 {
            assert_eq!(ended.expect("renewed").certificates[0].not_after, renewed);
            break;
        }
        control.disarm();
        stage.carry_card(1);
        let told = stage.record();
        let mut terminal = stage.start(1).expect("a terminal");
        terminal.log_on(OPERATOR).expect("logged on");
        terminal.settle().expect("settled");
        drop(terminal);
        stage.check_agreement(&[]).expect("agreed");
        let holdings = stage.holdings();
        for (slots, valid) in holdings.slots.iter().zip(&holdings.valid) {
            let works = slots.as_ref().is_some_and(|slots| slots.active.is_some());
            assert_eq!(valid.len(), usize::from(works), "APDU {n}: {holdings:?}");
        }
        let superseded =
            |progress: &Progress| matches!(progress, Progress::Settled { how: Settlement::Superseded, .. });
        revoked += usize::from(told.lock().expect("told").iter().any(superseded));
        if holdings.slots[1].as_ref().is_some_and(|slots| slots.active.is_none()) {
            let report = stage.run(1, Plan::issue(&[CertificateKind::Signature])).expect("issued");
            assert_eq!(report.certificates[0].not_after, renewed, "APDU {n}");
            stage.check_settled().expect("settled");
            issued += 1;
        }
    }
    assert!(revoked > 0, "the look after a new key was never tried");
    assert!(issued > revoked, "neither was that after the revocation");
}

/// The same with a certificate that has replaced another itself, interrupted once and once more: the extra year is that of the last one that
/// was valid, however many were given up since.
#[test]
fn two_interruptions_in_a_row_cost_no_extra_year() {
    const YEAR: u64 = 365 * 24 * 3600;
    let to_the_window = Duration::from_secs(4 * YEAR + 180 * 24 * 3600);
    let renewed: Timestamp = "2041-07-09T14:59:59Z".parse().expect("a time");
    let kind = [CertificateKind::Signature];
    let mut interrupted = 0;
    for n in 1.. {
        let mut stage = stage(Start::Fresh);
        drop(stage.control(0).remove());
        let card = stage.make_card(0, |personalisation| personalisation.expiry = jiff::civil::date(2050, 3, 31));
        stage.control(0).insert(card);
        stage.run(0, Plan::issue(&BOTH)).expect("issued");
        stage.wait(to_the_window);
        stage.run(0, Plan::renew(&BOTH)).expect("renewed");
        stage.wait(Duration::from_secs(5 * YEAR));
        let control = stage.control(0);
        let before = stage.holdings().valid[1].clone();
        let mut came_through = false;
        for _ in 0..2 {
            control.arm(n, Fault::Remove(When::AfterExecution));
            let _ = stage.run(0, Plan::renew(&kind));
            control.disarm();
            // Confirmed, it is the one to be renewed next.
            let valid = &stage.holdings().valid[1];
            came_through |= !valid.is_empty() && *valid != before;
            stage.carry_card(0);
            // What nobody has confirmed is given up.
            stage.wait(Duration::from_secs(24 * 3600));
            stage.authority.expire_unconfirmed(stage.now()).expect("given up");
        }
        if came_through {
            break;
        }
        let _ = stage.run(1, Plan::settle());
        stage.carry_card(1);
        // Renewed if it is still there, issued if it is not: by the renewal's rule either way.
        let works = stage.holdings().slots[1].as_ref().is_some_and(|slots| slots.active.is_some());
        let plan = if works { Plan::renew(&kind) } else { Plan::issue(&kind) };
        let report = stage.run(1, plan).unwrap_or_else(|error| panic!("APDU {n}: {error:?}"));
        let [certificate] = report.certificates.as_slice() else { panic!("APDU {n}: {report:?}") };
        assert_eq!(certificate.not_after, renewed, "APDU {n}");
        interrupted += 1;
    }
    assert!(interrupted > 15, "{interrupted}");
}

#[test]
fn a_card_that_makes_no_keys_is_refused_before_anybody_types_a_pin() {
    let mut stage = stage(Start::Fresh);
    let card = stage.make_card(0, |personalisation| personalisation.profile.makes_keys = false);
    drop(stage.control(0).remove());
    stage.control(0).insert(card);
    stage.conversation.take();
    let error = stage.refused(Plan::issue(&BOTH)).expect("refused properly");
    assert!(matches!(error, ProcedureError::CardMakesNoKeys), "{error:?}");
    assert!(!stage.conversation.take().iter().any(|said| matches!(said, Said::ChoosePin(_) | Said::EnterPin(..))));
}
