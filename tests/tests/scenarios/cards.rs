//! Cards that are not the applicant's fresh card: finished ones, other people's, other systems'.

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use jiff::civil::date;
use jpki::{CertificateKind, Resident, Sex};
use madoguchi_tests::Start;
use madoguchi_tests::people::Said;
use madoguchi_tests::stage::{Interlude, OPERATOR, resident};
use madoguchi_time::Deadline;
use orchestrator::{Plan, ProcedureError};
use sim_card::{Fault, Personalisation, When};
use zeroize::Zeroizing;

use crate::{BOTH, assert_heard_of_nobody, properly, stage};

use CertificateKind::{Authentication, Signature};

#[test]
fn finished_cards_are_renewed_and_not_issued_again() {
    let mut stage = stage(Start::Issued);
    for kinds in [&BOTH[..], &[Authentication], &[Signature]] {
        let error = properly(stage.refused(Plan::issue(kinds)), "issued");
        assert!(matches!(error, ProcedureError::AlreadyIssued(kind) if kind == kinds[0]), "{error:?}");
    }
    let before = stage.holdings();
    stage.conversation.take();
    let report = stage.run(0, Plan::renew(&[Signature])).unwrap();
    assert_eq!(report.certificates.len(), 1);
    stage.check_settled().unwrap();
    let after = stage.holdings();
    assert_eq!(after.slots[0], before.slots[0], "the other kind is left alone");
    assert_ne!(after.slots[1], before.slots[1]);
    let said = stage.conversation.take();
    assert!(!said.iter().any(|said| matches!(said, Said::EnterPin(Authentication, _))), "{said:?}");
}

#[test]
fn a_card_without_certificates_is_not_renewed() {
    let mut stage = stage(Start::Fresh);
    for kinds in [&BOTH[..], &[Signature]] {
        let error = properly(stage.refused(Plan::renew(kinds)), "empty");
        assert!(matches!(error, ProcedureError::NothingToRenew(kind) if kind == kinds[0]), "{error:?}");
    }
    stage.run(0, Plan::issue(&[Authentication])).unwrap();
    let error = properly(stage.refused(Plan::renew(&BOTH)), "half empty");
    assert!(matches!(error, ProcedureError::NothingToRenew(Signature)), "{error:?}");
    // What is missing is issued, what is there is left alone.
    let before = stage.holdings();
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    assert_eq!(stage.holdings().slots[0], before.slots[0]);
    stage.check_settled().unwrap();
}

#[test]
fn a_card_whose_holder_differs_in_any_item_is_refused() {
    type Case = (&'static str, fn(&mut Resident));
    let cases: [Case; 4] = [
        ("name", |r| r.name = "髙橋　華子".into()),
        ("birth", |r| r.birth = date(1986, 7, 8)),
        ("sex", |r| r.sex = Sex::Male),
        ("address", |r| r.address = "東京都みどり区架空町三丁目１４番１５－９２７号".into()),
    ];
    let mut stage = stage(Start::Fresh);
    for (differing, change) in cases {
        stage.resident = resident();
        change(&mut stage.resident);
        stage.conversation.take();
        let error = properly(stage.refused(Plan::issue(&BOTH)), differing);
        assert!(matches!(error, ProcedureError::CardOfAnotherPerson { item } if item == differing), "{error:?}");
        assert_eq!(stage.conversation.take().last(), Some(&Said::FaceCode), "{differing}: no PIN was asked for");
    }
    assert_heard_of_nobody(&stage);
}

#[test]
fn a_wrong_number_from_the_face_costs_one_try_each_time() {
    let mut stage = stage(Start::Fresh);
    let right = std::mem::replace(&mut stage.persona.face_code, Zeroizing::new("61070920369999".into()));
    let wrong = stage.persona.face_code.clone();
    for left in [9, 8] {
        let error = properly(stage.refused(Plan::issue(&BOTH)), "wrong number");
        assert!(matches!(error, ProcedureError::WrongFaceCode { tries_left } if tries_left == left), "{error:?}");
    }
    stage.persona.face_code.clone_from(&right);
    stage.run(0, Plan::issue(&[Authentication])).unwrap();

    // The right number gave the tries back; now they are used up.
    stage.persona.face_code = wrong;
    for left in (0..10).rev() {
        let error = properly(stage.refused(Plan::issue(&BOTH)), "wrong number");
        assert!(matches!(error, ProcedureError::WrongFaceCode { tries_left } if tries_left == left), "{error:?}");
    }
    stage.persona.face_code = right;
    let error = properly(stage.refused(Plan::issue(&BOTH)), "blocked");
    assert!(matches!(error, ProcedureError::WrongFaceCode { tries_left: 0 }), "{error:?}");
}

/// A card that answers every command in one way, whatever it is.
struct OddCard {
    identity: CardIdentity,
    answer: fn(&CommandApdu) -> Result<ResponseApdu, CardError>,
}

impl CardReader for OddCard {
    fn name(&self) -> &str {
        "SIM-ODD"
    }

    fn wait_for_card(&mut self, _deadline: Deadline) -> Result<(), CardError> {
        Ok(())
    }

    fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        Ok(Box::new(OddConnection(self)))
    }
}

struct OddConnection<'a>(&'a OddCard);

impl CardConnection for OddConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.0.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        CardCapabilities { extended_length: true, max_command: 65_535 }
    }

    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        Ok(Box::new(OddTransaction(self.0)))
    }
}

struct OddTransaction<'a>(&'a OddCard);

impl CardTransaction for OddTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, _deadline: Deadline) -> Result<ResponseApdu, CardError> {
        (self.0.answer)(command)
    }

    fn was_reset(&self) -> bool {
        false
    }

    fn end(self: Box<Self>, _how: Disposition) -> Result<(), CardError> {
        Ok(())
    }
}

/// The record of a card's serial number, for the one command that reads a record.
fn with_a_serial(command: &CommandApdu, otherwise: ResponseApdu) -> ResponseApdu {
    match command.ins() {
        0xA4 => StatusWord::OK.into(),
        0xB2 => ResponseApdu::new([&b"\x01\x1CODD000000000001"[..], b"1399920360331"].concat(), StatusWord::OK),
        _ => otherwise,
    }
}

#[test]
fn cards_of_other_systems_are_refused() {
    type Case = (&'static str, fn(&CommandApdu) -> Result<ResponseApdu, CardError>, fn(&ProcedureError) -> bool);
    let wrong_card: fn(&ProcedureError) -> bool = |error| matches!(error, ProcedureError::WrongCard);
    let cases: [Case; 9] = [
        ("no such application", |_| Ok(StatusWord::FILE_NOT_FOUND.into()), wrong_card),
        ("no such command", |_| Ok(StatusWord::INSTRUCTION_NOT_SUPPORTED.into()), wrong_card),
        ("says yes to everything", |_| Ok(StatusWord::OK.into()), wrong_card),
        ("nonsense", |_| Ok(ResponseApdu::new([0xFF; 256], StatusWord::OK)), wrong_card),
        ("yes after the serial", |c| Ok(with_a_serial(c, StatusWord::OK.into())), wrong_card),
        (
            "nonsense after the serial",
            |c| Ok(with_a_serial(c, ResponseApdu::new([0x30; 7], StatusWord::OK))),
            wrong_card,
        ),
        (
            "an answer without end",
            |_| Ok(ResponseApdu::new([0; 256], StatusWord(0x6100))),
            |error| matches!(error, ProcedureError::CardGone),
        ),
        ("garbled answers", |_| Err(CardError::Garbled), |error| matches!(error, ProcedureError::CardGone)),
        (
            "the reader goes",
            |_| Err(CardError::ReaderGone),
            |error| matches!(error, ProcedureError::Reader(CardError::ReaderGone)),
        ),
    ];
    let mut stage = stage(Start::Fresh);
    let number = stage.resident.number.clone();
    for (case, answer, is_expected) in cases {
        let odd = OddCard { identity: CardIdentity { atr: vec![0x3B, 0x00] }, answer };
        let error = properly(stage.refused_for(&number, Plan::issue(&BOTH), |_| Box::new(odd)), case);
        assert!(is_expected(&error), "{case}: {error:?}");
    }
    assert_heard_of_nobody(&stage);
}

#[test]
fn cards_under_other_keys_and_empty_readers_are_refused() {
    type Case = (&'static str, fn(&mut Personalisation));
    let cases: [Case; 4] = [
        ("other keys", |p| {
            for key in [&mut p.keys.enc, &mut p.keys.mac, &mut p.keys.dek] {
                key[0] ^= 1;
            }
        }),
        ("another MAC key", |p| p.keys.mac[15] ^= 0x80),
        ("another ENC key", |p| p.keys.enc[15] ^= 0x80),
        ("another key version", |p| p.key_version = 0x02),
    ];
    let mut stage = stage(Start::Fresh);
    let own = stage.control(0).remove().unwrap();
    for (case, change) in cases {
        let card = stage.make_card(0, change);
        stage.control(0).insert(card);
        let error = properly(stage.refused(Plan::issue(&BOTH)), case);
        assert!(matches!(error, ProcedureError::WrongCard), "{case}: {error:?}");
    }
    let _ = stage.control(0).remove();
    let error = properly(stage.refused(Plan::issue(&BOTH)), "no card");
    assert!(matches!(error, ProcedureError::NoCard), "{error:?}");
    assert_heard_of_nobody(&stage);
    stage.control(0).insert(own);
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    stage.check_settled().unwrap();
}

#[test]
fn an_expired_card_is_refused() {
    let mut stage = stage(Start::Fresh);
    // The stage opens on 20 November.
    for (expiry, expired) in [(date(2026, 11, 19), true), (date(2026, 11, 20), false)] {
        let card = stage.make_card(0, |p| p.expiry = expiry);
        drop(stage.control(0).remove());
        stage.control(0).insert(card);
        if expired {
            stage.conversation.take();
            let error = properly(stage.refused(Plan::issue(&BOTH)), "expired");
            assert!(matches!(error, ProcedureError::CardExpired), "{error:?}");
            assert!(!stage.conversation.take().iter().any(|said| matches!(said, Said::ChoosePin(_))));
            assert_heard_of_nobody(&stage);
        } else {
            stage.run(0, Plan::issue(&BOTH)).unwrap();
        }
    }
}

/// The card is taken away at the n-th APDU, and the card of somebody else laid in its place.
#[test]
fn a_card_that_takes_the_place_of_another_is_left_alone() {
    let mut swaps = 0;
    for n in 1.. {
        let mut stage = stage(Start::Fresh);
        let others = stage.make_card(7, |p| {
            p.name = "山本　太郎".into();
            p.check_number_b = "55021720352285".into();
        });
        let control = stage.control(0);
        control.arm(n, Fault::Remove(When::AfterExecution));
        let (hand, mut others) = (control.clone(), Some(others));
        let mut terminal = stage
            .start_with(0, |reader| {
                let happens = move |waits| {
                    if waits > 0
                        && !hand.has_card()
                        && let Some(card) = others.take()
                    {
                        hand.insert(card);
                    }
                };
                Box::new(Interlude { reader, waits: 0, happens })
            })
            .unwrap();
        let number = stage.resident.number.clone();
        let ended = terminal.log_on(OPERATOR).and_then(|()| terminal.run(&number, Plan::issue(&BOTH)));
        drop(terminal);
        if control.armed() > 0 {
            ended.unwrap();
            break;
        }
        swaps += 1;
        match ended {
            Err(ProcedureError::WrongCard | ProcedureError::WrongFaceCode { .. }) => {}
            // All was done when the card was taken.
            Ok(report) => assert_eq!(report.certificates.len(), 2, "APDU {n}"),
            other => panic!("APDU {n}: {other:?}"),
        }
        if stage.control(0).with_card(|card| card.atr().len()).is_some() {
            let slots = stage.holdings().slots.map(Option::unwrap);
            assert!(slots.iter().all(|slots| slots.active.is_none() && !slots.pending_key), "APDU {n}: {slots:?}");
        }
        stage.check_accounted(0).unwrap();
        stage.check_nothing_left().unwrap();
    }
    println!("cards swapped at each of {swaps} APDUs");
    assert!(swaps > 20);
}
