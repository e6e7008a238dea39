//! Applicants who get no certificate, and what they are told.

use jiff::civil::date;
use jpki::{ApplicationError, CertificateKind, Ineligible, IssuingProfile, Resident, TextError, TextField};
use madoguchi_tests::people::Said;
use madoguchi_tests::stage::resident;
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError, Question};

use crate::{BOTH, assert_heard_of_nobody, properly, stage};

#[test]
fn whoever_may_not_apply_is_told_why_before_the_card_is_touched() {
    type Case = (&'static str, fn(&mut Resident), fn(&ProcedureError) -> bool);
    let cases: [Case; 5] = [
        (
            "14 years old",
            |r| r.birth = date(2011, 11, 21),
            |e| {
                matches!(e, ProcedureError::NotEligible { kind, reason: Ineligible::UnderFifteen }
                if *kind == CertificateKind::Signature)
            },
        ),
        (
            "stay ended yesterday",
            |r| r.stay_until = Some(date(2026, 11, 19)),
            |e| matches!(e, ProcedureError::NotEligible { reason: Ineligible::StayEnded, .. }),
        ),
        (
            "born tomorrow",
            |r| r.birth = date(2026, 11, 21),
            |e| matches!(e, ProcedureError::NotEligible { reason: Ineligible::NotYetBorn, .. }),
        ),
        (
            "an address that no certificate takes",
            |r| r.address = "架".repeat(201),
            |e| {
                let ProcedureError::Application(ApplicationError::Text { field, reason }) = e else { return false };
                (*field, *reason) == (TextField::Address, TextError::TooLong { characters: 201 })
            },
        ),
        (
            "an alias that no certificate takes",
            |r| r.alias = Some("緑".repeat(201)),
            |e| {
                let ProcedureError::Application(ApplicationError::Text { field, reason }) = e else { return false };
                (*field, *reason) == (TextField::Alias, TextError::TooLong { characters: 201 })
            },
        ),
    ];
    let mut stage = stage(Start::Fresh);
    for (case, change, is_expected) in cases {
        stage.resident = resident();
        change(&mut stage.resident);
        let error = properly(stage.refused(Plan::issue(&BOTH)), case);
        assert!(is_expected(&error), "{case}: {error:?}");
        assert_eq!(stage.conversation.take(), [Said::Confirm(Question::ApplicantIsHere)], "{case}");
    }
    assert_eq!(stage.control(0).apdus(), 0, "no card was touched");
    assert_heard_of_nobody(&stage);

    // The last day of stay counts.
    stage.resident = resident();
    stage.resident.stay_until = Some(date(2026, 11, 20));
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    stage.check_settled().unwrap();
}

#[test]
fn an_unknown_number_is_refused_and_not_kept() {
    const UNKNOWN: &str = "987650000000123";
    let mut stage = stage(Start::Fresh);
    for number in [UNKNOWN, "", "'; DROP TABLE residents; --", "１００００００００００００１７"] {
        let error = properly(stage.refused_for(number, Plan::issue(&BOTH), |reader| reader), number);
        assert!(matches!(error, ProcedureError::UnknownResident), "{number}: {error:?}");
    }
    assert_eq!(stage.control(0).apdus(), 0);
    for (name, content) in stage.disk(0).files() {
        assert!(!content.windows(UNKNOWN.len()).any(|window| window == UNKNOWN.as_bytes()), "{name}");
    }
}

#[test]
fn under_fifteen_authentication_alone_is_issued_and_signing_on_the_birthday() {
    let mut child = resident();
    child.birth = date(2011, 11, 21);
    let mut stage = Stage::for_resident(&IssuingProfile::jpki_2016(), Start::Fresh, child);
    let authentication = CertificateKind::Authentication;
    let report = stage.run(0, Plan::issue(&[authentication])).unwrap();
    assert_eq!(report.certificates.iter().map(|issued| issued.kind).collect::<Vec<_>>(), [authentication]);
    stage.check_agreement(&[authentication]).unwrap();
    assert_eq!(stage.holdings().slots[1].as_ref().unwrap().active, None);

    let error = properly(stage.refused(Plan::issue(&BOTH)), "still 14");
    assert!(matches!(error, ProcedureError::NotEligible { .. }), "{error:?}");

    // Two hours before midnight in Japan, and two hours after.
    stage.wait(std::time::Duration::from_secs(12 * 3600));
    properly(stage.refused(Plan::issue(&BOTH)), "on the eve");
    stage.wait(std::time::Duration::from_secs(4 * 3600));
    let report = stage.run(0, Plan::issue(&BOTH)).unwrap();
    assert_eq!(report.certificates.iter().map(|issued| issued.kind).collect::<Vec<_>>(), [CertificateKind::Signature]);
    stage.check_settled().unwrap();
}

#[test]
fn nobody_is_held_to_an_application() {
    for (start, plan) in [(Start::Fresh, Plan::issue(&BOTH)), (Start::Issued, Plan::renew(&BOTH))] {
        let mut stage = stage(start);
        stage.conversation.take();
        // A character for which the table has nothing: the clerk is asked.
        stage.resident.former_family_name = Some("渡邉𠮟".into());
        let mut questions = 0;
        loop {
            stage.conversation.walk_away_at(questions + 1);
            let before = stage.holdings();
            let mut terminal = stage.start(0).unwrap();
            terminal.log_on(madoguchi_tests::stage::OPERATOR).unwrap();
            let ended = terminal.run(&stage.resident.number.clone(), plan.clone());
            drop(terminal);
            if !stage.conversation.stay() {
                ended.unwrap();
                break;
            }
            questions += 1;
            assert!(matches!(ended, Err(ProcedureError::Cancelled)), "{start:?}, question {questions}: {ended:?}");
            assert_eq!(stage.holdings(), before, "{start:?}, question {questions}");
            stage.check_accounted(0).unwrap();
            stage.check_nothing_left().unwrap();
        }
        let said = stage.conversation.take();
        println!("{start:?}: cancelled at each of {questions} questions");
        assert!(questions >= 5, "{said:?}");
        stage.check_settled().unwrap();
    }
}
