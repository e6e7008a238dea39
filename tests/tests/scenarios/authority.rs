//! Answers that can't be trusted, and an authority that refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use authority::key;
use authority::store::{Terminal, TerminalId};
use authority_link::LinkError;
use authority_link::message::{
    ErrorMsgContent, Failure, NONCE_LENGTH, PkiBody, PkiMessage, PkiStatus, PkiStatusInfo, ProtectionError,
    RawSequence, directory_name,
};
use authority_link::signature::SignatureError;
use der::Decode;
use der::asn1::{BitString, Null, OctetString};
use jiff::SignedDuration;
use jiff::civil::date;
use jpki::{CertificateField as Field, CertificateKind};
use madoguchi_tests::{Stage, Start};
use madoguchi_time::Clock;
use orchestrator::{Plan, ProcedureError};
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::liar::Liar;
use crate::{BOTH, heard, properly, stage};

use CertificateKind::{Authentication, Signature};

/// Does `lie` with every answer to an ir.
fn lie_about_certificates(stage: &Stage, mut lie: impl FnMut(&Liar, PkiMessage) -> Vec<u8> + Send + 'static) {
    let liar = Liar::of(stage);
    stage.post.forge(move |_, answer| {
        let message = PkiMessage::from_bytes(&answer).unwrap();
        if matches!(message.body, PkiBody::Ip(_)) { lie(&liar, message) } else { answer }
    });
}

fn in_ip(mut message: PkiMessage, status: PkiStatusInfo) -> PkiMessage {
    if let PkiBody::Ip(content) = &mut message.body {
        content.response[0].status = status;
        content.response[0].certified_key_pair = None;
    }
    message
}

#[test]
fn answers_that_are_not_the_authoritys_own_to_this_request_are_not_believed() {
    type Lie = fn(&Liar, PkiMessage) -> Vec<u8>;
    type Expected = fn(&LinkError) -> bool;
    /// How often it is worth asking again.
    const ONCE: usize = 1;
    const THRICE: usize = 3;
    let is_invalid: Expected =
        |error| matches!(error, LinkError::Protection(ProtectionError::Signature(SignatureError::Invalid)));
    let is_unexpected: Expected = |error| matches!(error, LinkError::UnexpectedAnswer { expected: "ip", .. });
    let lies: [(&str, Lie, usize, Expected); 14] = [
        ("nothing", |_, _| Vec::new(), ONCE, |e| matches!(e, LinkError::Message(_))),
        ("a web page", |_, _| b"<html>".to_vec(), ONCE, |e| matches!(e, LinkError::Message(_))),
        (
            "something after the end",
            |_, message| [message.to_bytes().unwrap().as_slice(), b"\0"].concat(),
            ONCE,
            |e| matches!(e, LinkError::Message(_)),
        ),
        (
            "too long",
            |_, message| message.to_bytes().unwrap().repeat(200),
            ONCE,
            |e| matches!(e, LinkError::Message(_)),
        ),
        (
            "changed on its way",
            |_, mut message| {
                message.header.sender_nonce = Some(OctetString::new([0; NONCE_LENGTH]).unwrap());
                message.to_bytes().unwrap().to_vec()
            },
            ONCE,
            is_invalid,
        ),
        (
            "a changed signature",
            |_, mut message| {
                let mut bits = message.protection.unwrap().raw_bytes().to_vec();
                *bits.last_mut().unwrap() ^= 0x01;
                message.protection = Some(BitString::from_bytes(&bits).unwrap());
                message.to_bytes().unwrap().to_vec()
            },
            ONCE,
            is_invalid,
        ),
        ("signed with another key", |liar, message| liar.protect_with(key::TLS, message), ONCE, is_invalid),
        (
            "not signed",
            |_, message| PkiMessage { protection: None, ..message }.to_bytes().unwrap().to_vec(),
            ONCE,
            |e| matches!(e, LinkError::Protection(ProtectionError::Missing)),
        ),
        (
            "of another transaction",
            |liar, mut message| {
                message.header.transaction_id = Some(OctetString::new([9; 16]).unwrap());
                liar.protect(message)
            },
            THRICE,
            |e| matches!(e, LinkError::WrongTransaction),
        ),
        (
            "to another request",
            |liar, mut message| {
                message.header.recip_nonce = Some(OctetString::new([9; NONCE_LENGTH]).unwrap());
                liar.protect(message)
            },
            THRICE,
            |e| matches!(e, LinkError::WrongNonce),
        ),
        (
            "to no request",
            |liar, mut message| {
                message.header.recip_nonce = None;
                liar.protect(message)
            },
            THRICE,
            |e| matches!(e, LinkError::WrongNonce),
        ),
        (
            "of another kind",
            |liar, message| liar.protect(PkiMessage { body: PkiBody::PkiConf(Null), ..message }),
            ONCE,
            is_unexpected,
        ),
        (
            "a request to wait",
            |liar, message| {
                let waiting = PkiStatusInfo { status: PkiStatus::Waiting, ..PkiStatusInfo::accepted() };
                liar.protect(in_ip(message, waiting))
            },
            ONCE,
            is_unexpected,
        ),
        (
            "granted without a certificate",
            |liar, message| liar.protect(in_ip(message, PkiStatusInfo::accepted())),
            ONCE,
            is_unexpected,
        ),
    ];
    for (case, lie, times, is_expected) in lies {
        let mut stage = stage(Start::Fresh);
        lie_about_certificates(&stage, lie);
        let error = properly(stage.refused(Plan::issue(&[Signature])), case);
        let ProcedureError::AuthorityNotTrusted(link) = &error else { panic!("{case}: {error:?}") };
        assert!(is_expected(link), "{case}: {link:?}");
        assert_eq!(heard(&stage).iter().filter(|body| **body == "ir").count(), times, "{case}");
    }
}

#[test]
fn a_foreign_signer_is_not_believed_whoever_vouches_for_it() {
    let mut stage = stage(Start::Fresh);
    // Another service of the same authority, certified by the same infrastructure authority.
    let foreign = stage.authority.certificates().unwrap().tls;
    lie_about_certificates(&stage, move |liar, mut message| {
        let certificate = Certificate::from_der(&foreign).unwrap().tbs_certificate;
        let (_, key) = certificate.get::<SubjectKeyIdentifier>().unwrap().unwrap();
        message.header.sender = directory_name(certificate.subject.clone());
        message.header.sender_kid = Some(key.0);
        message.extra_certs = Some(vec![RawSequence::new(&foreign).unwrap()]);
        liar.protect_with(key::TLS, message)
    });
    let error = properly(stage.refused(Plan::issue(&[Signature])), "foreign");
    let is_foreign =
        matches!(error, ProcedureError::AuthorityNotTrusted(LinkError::Protection(ProtectionError::Foreign)));
    assert!(is_foreign, "{error:?}");
}

#[test]
fn an_old_answer_played_again_is_not_believed() {
    let mut stage = stage(Start::Fresh);
    let old: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    lie_about_certificates(&stage, move |_, message| {
        let honest = message.to_bytes().unwrap().to_vec();
        old.lock().unwrap().get_or_insert(honest).clone()
    });
    stage.run(0, Plan::issue(&[Authentication])).unwrap();
    let error = properly(stage.refused(Plan::issue(&[Signature])), "replayed");
    assert!(matches!(error, ProcedureError::AuthorityNotTrusted(LinkError::WrongTransaction)), "{error:?}");
}

/// Each answer in turn is forged, for as long as it is asked for. Card and authority end agreed all the same.
#[test]
fn whichever_answer_is_forged_the_next_visit_settles() {
    for (start, plan) in [(Start::Fresh, Plan::issue(&BOTH)), (Start::Issued, Plan::renew(&BOTH))] {
        let worked: &[CertificateKind] = if start == Start::Issued { &BOTH } else { &[] };
        let mut forged = 0;
        for n in 1.. {
            let mut stage = stage(start);
            let (struck, mut seen) = (Arc::new(Mutex::new(false)), Vec::<Vec<u8>>::new());
            let strikes = struck.clone();
            stage.post.forge(move |request, mut answer| {
                if seen.last().is_none_or(|last| last != request) {
                    seen.push(request.to_vec());
                }
                if seen.len() == n {
                    *strikes.lock().unwrap() = true;
                    let last = answer.len() - 1;
                    answer[last] ^= 0x01;
                }
                answer
            });
            let ended = stage.run(0, plan.clone());
            stage.post.be_honest();
            if !*struck.lock().unwrap() {
                ended.unwrap();
                break;
            }
            forged += 1;
            let case = format!("{start:?}, answer {n}");
            assert!(matches!(ended, Ok(_) | Err(ProcedureError::AuthorityNotTrusted(_))), "{case}: {ended:?}");
            stage.check_agreement(worked).unwrap_or_else(|broken| panic!("{case}: {broken}"));
            stage.check_accounted(0).unwrap_or_else(|broken| panic!("{case}: {broken}"));
            // One visit settles what was open, one issues what is still missing.
            for _ in 0..2 {
                let _ = stage.run(0, Plan::issue(&BOTH));
            }
            stage.check_settled().unwrap_or_else(|broken| panic!("{case}: {broken}"));
            stage.check_nothing_left().unwrap_or_else(|broken| panic!("{case}: {broken}"));
        }
        println!("{start:?}: each of {forged} answers forged");
        assert!(forged > 4);
    }
}

/// Changes what the authority knows of the first terminal.
fn register(stage: &Stage, change: impl FnOnce(&mut Terminal)) {
    let id = TerminalId::new(stage.name(0)).unwrap();
    let mut terminal = stage.authority.store().terminal(&id).unwrap().unwrap();
    change(&mut terminal);
    stage.authority.store().register_terminal(&terminal, None, stage.clock.wall()).unwrap();
}

#[test]
fn an_authority_that_refuses_is_heard_and_its_reason_told() {
    type Change = fn(&Stage);
    let ahead: Change = |stage| stage.post.put_authority_ahead(SignedDuration::from_mins(6));
    let behind: Change = |stage| stage.post.put_authority_ahead(-SignedDuration::from_mins(6));
    let struck_off: Change = |stage| register(stage, |terminal| terminal.authorised = false);
    let other_window: Change = |stage| register(stage, |terminal| terminal.window = "139990099".into());
    let says_no: Change = |stage| {
        lie_about_certificates(stage, |liar, message| {
            liar.protect(in_ip(message, PkiStatusInfo::rejection(Failure::BadPop, "no")))
        });
    };
    let errs: Change = |stage| {
        lie_about_certificates(stage, |liar, message| {
            let content = ErrorMsgContent {
                pki_status_info: PkiStatusInfo::rejection(Failure::SystemFailure, "out of order"),
                error_code: None,
                error_details: None,
            };
            liar.protect(PkiMessage { body: PkiBody::Error(content), ..message })
        });
    };
    for (case, change, reason) in [
        ("the authority's clock is ahead", ahead, "badTime"),
        ("the authority's clock is behind", behind, "badTime"),
        ("struck off", struck_off, "notAuthorized"),
        ("another's window", other_window, "notAuthorized"),
        ("a rejection", says_no, "badPOP"),
        ("an error", errs, "systemFailure"),
    ] {
        let mut stage = stage(Start::Fresh);
        // A clock that is behind must not fall before the day on which everybody's certificates were made.
        stage.wait(Duration::from_secs(24 * 3600));
        change(&stage);
        let error = properly(stage.refused(Plan::issue(&[Signature])), case);
        assert!(
            matches!(&error, ProcedureError::AuthorityRefused { failure } if failure == reason),
            "{case}: {error:?}"
        );
    }
}

#[test]
fn an_authority_that_takes_the_terminal_for_another_is_found_by_its_certificates() {
    let other_window: fn(&mut Terminal) = |terminal| terminal.window = "139990099".into();
    let other_city: fn(&mut Terminal) = |terminal| terminal.municipality.city = "Aoi-ku".into();
    for (case, kind, change, field) in [
        ("another window", Authentication, other_window, Field::Subject),
        ("another city", Authentication, other_city, Field::CrlDistributionPoints),
        ("another city", Signature, other_city, Field::Subject),
    ] {
        let mut stage = stage(Start::Fresh);
        register(&stage, change);
        let error = properly(stage.refused(Plan::issue(&[kind])), case);
        let differs = matches!(&error, ProcedureError::CertificateDiffers { field: name } if *name == field.name());
        assert!(differs, "{case}: {error:?}");
        // The authority has heard of the rejection: nothing waits for a confirmation.
        stage.wait(Duration::from_secs(24 * 3600));
        assert!(stage.authority.expire_unconfirmed(stage.now()).unwrap().is_empty(), "{case}");
    }
}

#[test]
fn an_expired_authority_is_not_believed() {
    // Longer than any authority of the stage is valid.
    const YEARS: u64 = 51;
    for (start, plan) in [(Start::Fresh, Plan::issue(&BOTH)), (Start::Issued, Plan::renew(&BOTH))] {
        let mut stage = stage(Start::Fresh);
        // Outlives the authority.
        let card = stage.make_card(0, |personalisation| personalisation.expiry = date(2099, 3, 31));
        drop(stage.control(0).remove());
        stage.control(0).insert(card);
        if start == Start::Issued {
            stage.run(0, Plan::issue(&BOTH)).unwrap();
        }
        stage.wait(Duration::from_secs(YEARS * 366 * 24 * 3600));
        let error = properly(stage.refused(plan), "expired");
        let expired = matches!(
            error,
            ProcedureError::AuthorityNotTrusted(LinkError::Protection(ProtectionError::NotValidNow { .. }))
        );
        assert!(expired, "{start:?}: {error:?}");
    }
}
