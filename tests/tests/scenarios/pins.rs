//! PINs that are refused: by the terminal, which the card never sees, and by the card, whose tries are counted.

use jiff::civil::date;
use jpki::card::ins;
use jpki::{CertificateKind, PinError};
use madoguchi_tests::people::Said;
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError, Progress};
use zeroize::Zeroizing;

use crate::{BOTH, properly, stage};

use CertificateKind::{Authentication, Signature};

/// Lets the resident type these, first to last, and then what was chosen before.
fn type_first(stage: &mut Stage, kind: CertificateKind, typed: &[&str]) {
    let typed = typed.iter().map(|pin| (kind, Zeroizing::new((*pin).into())));
    stage.persona.pins.splice(0..0, typed);
}

/// How often a command of this instruction went to the card.
fn sent(told: &[Progress], ins: u8) -> usize {
    let ins = format!("{ins:02X}");
    told.iter()
        .filter(|told| matches!(told, Progress::Apdu { header, .. } if header[..2] == *"84" && header[2..4] == ins))
        .count()
}

fn refusals(said: &[Said], of: CertificateKind) -> Vec<PinError> {
    let refused = said.iter().filter_map(|said| match said {
        Said::PinRefused(kind, reason) if *kind == of => Some(*reason),
        _ => None,
    });
    refused.collect()
}

#[test]
fn forbidden_pins_are_asked_for_again_and_never_reach_the_card() {
    let signature: [(&str, PinError); 4] = [
        ("AB12", PinError::WrongLength { min: 6, max: 16 }),
        ("ABCDEFGHIJK", PinError::NoDigit),
        ("ＢＤＦ２４７９", PinError::NotLettersAndDigits),
        ("S610709", PinError::Birthday),
    ];
    let repeats: [(&str, PinError); 3] =
        [("X7777K", PinError::Repeat), ("K2345X", PinError::Run), ("246813", PinError::NoLetter)];
    let authentication: [(&str, PinError); 4] = [
        ("12345", PinError::WrongLength { min: 4, max: 4 }),
        ("12A4", PinError::NotDigits),
        ("1111", PinError::Repeat),
        ("0709", PinError::Birthday),
    ];
    for (signature, authentication) in [(&signature[..], &authentication[..]), (&repeats, &[("4321", PinError::Run)])] {
        let mut stage = stage(Start::Fresh);
        assert_eq!(stage.resident.birth, date(1986, 7, 9), "昭和61年");
        for (kind, typed) in [(Signature, signature), (Authentication, authentication)] {
            type_first(&mut stage, kind, &typed.iter().map(|(pin, _)| *pin).collect::<Vec<_>>());
        }
        let told = stage.record();
        stage.run(0, Plan::issue(&BOTH)).unwrap();
        let said = stage.conversation.take();
        for (kind, typed) in [(Signature, signature), (Authentication, authentication)] {
            let reasons: Vec<_> = typed.iter().map(|(_, reason)| *reason).collect();
            assert_eq!(refusals(&said, kind), reasons, "{kind:?}");
        }
        let told = told.lock().unwrap();
        assert_eq!((sent(&told, ins::SET_INITIAL_PIN), sent(&told, ins::VERIFY)), (2, 2), "good PINs only");
        stage.check_settled().unwrap();
        stage.check_nothing_left().unwrap();
    }
}

#[test]
fn whoever_finds_no_pin_is_sent_home_with_the_card_as_it_was() {
    let mut stage = stage(Start::Fresh);
    type_first(&mut stage, Signature, &["short"; 5]);
    let told = stage.record();
    let error = properly(stage.refused(Plan::issue(&BOTH)), "five bad PINs");
    assert!(matches!(error, ProcedureError::Cancelled), "{error:?}");
    let told = told.lock().unwrap();
    assert_eq!((sent(&told, ins::SET_INITIAL_PIN), sent(&told, ins::VERIFY)), (0, 0));
}

#[test]
fn a_wrong_pin_is_asked_for_again_and_tries_are_told() {
    let mut stage = stage(Start::Issued);
    stage.conversation.take();
    type_first(&mut stage, Authentication, &["9130"]);
    type_first(&mut stage, Signature, &["WRONG2", "WRONG3"]);
    let told = stage.record();
    stage.run(0, Plan::renew(&BOTH)).unwrap();
    let tries: Vec<_> = stage
        .conversation
        .take()
        .into_iter()
        .filter_map(|said| match said {
            Said::EnterPin(kind, tries_left) => Some((kind, tries_left)),
            _ => None,
        })
        .collect();
    let of = |kind| tries.iter().filter(|(of, _)| *of == kind).map(|(_, left)| *left).collect::<Vec<_>>();
    // After a wrong PIN both are asked for again, as what the other one opened ended with the channel.
    assert_eq!(of(Authentication)[..2], [3, 2]);
    assert_eq!(of(Signature), [5, 5, 4]);
    assert_eq!(sent(&told.lock().unwrap(), ins::SET_INITIAL_PIN), 0);
    stage.check_settled().unwrap();
}

#[test]
fn a_pin_is_blocked_after_its_tries_and_the_other_is_not() {
    for (kind, tries, other) in [(Authentication, 3, Signature), (Signature, 5, Authentication)] {
        let mut stage = stage(Start::Issued);
        let right = stage.persona.pins.clone();
        let wrong = if kind == Signature { "WRONG2" } else { "9130" };
        stage.persona.pins.retain(|(of, _)| *of != kind);
        stage.persona.pins.push((kind, Zeroizing::new(wrong.into())));
        stage.conversation.take();
        let told = stage.record();
        let error = properly(stage.refused(Plan::renew(&[kind])), "wrong PINs");
        assert!(matches!(error, ProcedureError::PinBlocked(of) if of == kind), "{error:?}");
        assert_eq!(sent(&told.lock().unwrap(), ins::VERIFY), tries, "{kind:?}");

        stage.persona.pins = right;
        let error = properly(stage.refused(Plan::renew(&BOTH)), "blocked");
        assert!(matches!(error, ProcedureError::PinBlocked(of) if of == kind), "{error:?}");

        stage.run(0, Plan::renew(&[other])).unwrap();
        stage.check_settled().unwrap();
    }
}
