//! Which answers a terminal takes, and from whom.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::time::Duration;

use authority_link::message::{
    CertRepMessage, CertResponse, CertifiedKeyPair, ErrorMsgContent, Failure, FailureInfo, InfoTypeAndValue, PVNO_2,
    PVNO_3, PkiBody, PkiHeader, PkiMessage, PkiStatus, PkiStatusInfo, ProtectionError, RawSequence, RevRepContent,
    TransactionId, Unprotected, directory_name,
};
use authority_link::signature::{SignatureError, algorithm_identifier};
use authority_link::{
    Answer, CertificateState, CertificationRequest, Confirmation, IssueState, IssuerAndSerial, LinkError, Request,
    Sent, open_answer, state,
};
use common::{
    CHECKPOINT, EXPIRED, Issuer, NONCE, REQUEST_NAME, TRANSACTION, VALID, World, application, key, now, spki,
};
use const_oid::db::rfc5912::ID_SHA_256;
use der::Decode;
use der::asn1::{GeneralizedTime, Null, OctetString};
use hsm::SignatureAlgorithm;
use jpki::CertificateKind;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use x509_cert::Certificate;
use x509_cert::serial_number::SerialNumber;
use zeroize::Zeroizing;

/// An answer under construction.
struct Reply {
    message: Unprotected,
    key: SigningKey,
}

/// The authority's answer to `sent`, as it should be.
fn reply(world: &World, sent: &Sent, body: PkiBody) -> Reply {
    let asked = PkiMessage::from_bytes(sent.bytes()).unwrap().header;
    let certificate = Certificate::from_der(&world.authority_certificate).unwrap().tbs_certificate;
    let seconds = u64::try_from(now().as_second()).unwrap();
    let header = PkiHeader {
        pvno: PVNO_2,
        sender: directory_name(certificate.subject),
        recipient: asked.sender,
        message_time: Some(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).unwrap()),
        protection_alg: algorithm_identifier(SignatureAlgorithm::EcdsaP256Sha256),
        sender_kid: None,
        recip_kid: None,
        transaction_id: asked.transaction_id,
        sender_nonce: Some(OctetString::new([9; 16]).unwrap()),
        recip_nonce: asked.sender_nonce,
        free_text: None,
        general_info: None,
    };
    let extra_certs = vec![RawSequence::new(&world.authority_certificate).unwrap()];
    Reply { message: Unprotected { header, body, extra_certs }, key: world.authority_key.clone() }
}

impl Reply {
    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn bytes(self) -> Zeroizing<Vec<u8>> {
        let signature: DerSignature = self.key.sign(&self.message.to_be_protected().unwrap());
        self.message.protect(signature.as_bytes()).unwrap()
    }
}

fn ip(response: CertResponse) -> PkiBody {
    PkiBody::Ip(CertRepMessage { ca_pubs: None, response: vec![response] })
}

fn granted(certificate: &[u8]) -> CertResponse {
    let certified = CertifiedKeyPair { certificate: RawSequence::new(certificate).unwrap() };
    CertResponse {
        cert_req_id: 0,
        status: PkiStatusInfo::accepted(),
        certified_key_pair: Some(certified),
        rsp_info: None,
    }
}

fn certification(world: &World) -> Sent {
    world.send(Request::Certification(Box::new(world.certification(CertificateKind::Signature, &key(9), None))))
}

fn open(world: &World, sent: &Sent, bytes: &[u8]) -> Result<Answer, LinkError> {
    open_answer(bytes, sent.expected(), &world.authority(), now())
}

#[test]
fn each_request_takes_its_own_answer_and_no_other() {
    let world = World::new();
    let certificate = world.ca.issue("CN=card,C=JP", &spki(&key(9)), VALID, &[]);
    let other = CertificateState { sha256: [2; 32], state: IssueState::Unknown, issue: None };
    let asked = CertificateState { sha256: [1; 32], ..other.clone() };
    let named = IssuerAndSerial { issuer: world.ca.name.clone(), serial: SerialNumber::from(5u32) };
    let requests = [
        Request::Certification(Box::new(world.certification(CertificateKind::Signature, &key(9), None))),
        Request::Confirm(Confirmation::by_sha256([1; 32])),
        Request::Supersede(named),
        Request::StateOf([1; 32]),
        Request::WitnessedCheckpoint,
        Request::Unsettled,
    ];
    let genp = |info: InfoTypeAndValue| PkiBody::Genp(vec![info]);
    let answers = [
        (ip(granted(&certificate)), Some(0)),
        (PkiBody::PkiConf(Null), Some(1)),
        (PkiBody::Rp(RevRepContent { status: vec![PkiStatusInfo::accepted()], rev_certs: None, crls: None }), Some(2)),
        (genp(asked.to_info().unwrap()), Some(3)),
        (genp(state::witnessed_checkpoint(Some(CHECKPOINT)).unwrap()), Some(4)),
        (genp(state::unsettled(&[]).unwrap()), Some(5)),
        (genp(other.to_info().unwrap()), None),
        (PkiBody::Genp(vec![]), None),
        (PkiBody::Genm(vec![]), None),
    ];
    for (position, request) in requests.iter().enumerate() {
        let sent = world.send(request.clone());
        for (body, answered) in &answers {
            let answer = open(&world, &sent, &reply(&world, &sent, body.clone()).bytes());
            assert_eq!(answer.is_ok(), *answered == Some(position), "{} / {}: {answer:?}", request.name(), body.name());
            if let Err(error) = answer {
                assert!(matches!(error, LinkError::UnexpectedAnswer { .. }), "{error:?}");
            }
        }
    }
}

#[test]
fn an_issued_certificate_comes_as_it_was_sent() {
    let world = World::new();
    let sent = certification(&world);
    let issued = world.ca.issue("CN=card,C=JP", &spki(&key(9)), VALID, &[]);
    let ca = world.ca.certificate.clone();
    let body = PkiBody::Ip(CertRepMessage {
        ca_pubs: Some(vec![RawSequence::new(&ca).unwrap()]),
        response: vec![granted(&issued)],
    });
    let Answer::Issued { certificate, ca_certificate, nonce } =
        open(&world, &sent, &reply(&world, &sent, body).bytes()).unwrap()
    else {
        unreachable!("not issued")
    };
    assert_eq!((&*certificate, ca_certificate, nonce), (&issued, Some(ca), Some(vec![9; 16])));
}

#[test]
fn a_refusal_is_an_answer() {
    let world = World::new();
    let sent = certification(&world);
    let status = PkiStatusInfo::rejection(Failure::BadPop, "no proof");
    let error = ErrorMsgContent { pki_status_info: status.clone(), error_code: Some(2), error_details: None };
    let rejected = CertResponse { cert_req_id: 0, status, certified_key_pair: None, rsp_info: None };
    for (body, code) in [(PkiBody::Error(error), Some(2)), (ip(rejected), None)] {
        let answer = open(&world, &sent, &reply(&world, &sent, body).bytes()).unwrap();
        let failure = FailureInfo::from(Failure::BadPop);
        assert_eq!(answer, Answer::Refused { failure, code, text: "no proof".into() });
    }
    // Neither granted nor refused.
    let waiting = PkiStatusInfo { status: PkiStatus::Waiting, ..PkiStatusInfo::accepted() };
    let waiting = CertResponse { status: waiting, certified_key_pair: None, ..granted(&world.ca.certificate) };
    let nothing = CertResponse { certified_key_pair: None, ..granted(&world.ca.certificate) };
    let elsewhere = CertResponse { cert_req_id: 1, ..granted(&world.ca.certificate) };
    for response in [waiting, nothing, elsewhere] {
        let error = open(&world, &sent, &reply(&world, &sent, ip(response)).bytes()).unwrap_err();
        assert!(matches!(error, LinkError::UnexpectedAnswer { .. }), "{error:?}");
    }
}

#[test]
fn only_the_pinned_authoritys_own_fresh_answer_is_taken() {
    let world = World::new();
    let sent = world.send(Request::WitnessedCheckpoint);
    let good = || reply(&world, &sent, PkiBody::Genp(vec![state::witnessed_checkpoint(None).unwrap()]));
    assert_eq!(open(&world, &sent, &good().bytes()), Ok(Answer::Checkpoint(None)));

    let foreign = Issuer::new("CN=Other,C=JP", 30);
    let name = "CN=authority,O=JPKI-SIM,C=JP";
    let impostor = foreign.issue(name, &spki(&key(31)), VALID, &[]);
    type Case<'a> = (Box<dyn Fn(&mut Reply) + 'a>, LinkError);
    let cases: [Case<'_>; 7] = [
        (Box::new(|r| r.key = key(31)), ProtectionError::Signature(SignatureError::Invalid).into()),
        (
            Box::new(|r| {
                r.key = key(31);
                r.message.extra_certs = vec![RawSequence::new(&impostor).unwrap()];
            }),
            ProtectionError::Foreign.into(),
        ),
        (Box::new(|r| r.message.header.sender = directory_name(foreign.name.clone())), ProtectionError::Foreign.into()),
        (
            Box::new(|r| r.message.header.transaction_id = Some(OctetString::new([0; 16]).unwrap())),
            LinkError::WrongTransaction,
        ),
        (Box::new(|r| r.message.header.transaction_id = None), LinkError::WrongTransaction),
        (Box::new(|r| r.message.header.recip_nonce = Some(OctetString::new([0; 16]).unwrap())), LinkError::WrongNonce),
        (Box::new(|r| r.message.header.recip_nonce = None), LinkError::WrongNonce),
    ];
    for (spoil, expected) in cases {
        assert_eq!(open(&world, &sent, &good().change(|r| spoil(r)).bytes()), Err(expected));
    }

    // Whatever byte is changed on the way, nothing comes through.
    let bytes = good().bytes();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x01;
        open(&world, &sent, &changed).unwrap_err();
    }
}

#[test]
fn an_expired_authority_certificate_is_told_from_a_foreign_one() {
    let mut world = World::new();
    let sent = world.send(Request::WitnessedCheckpoint);
    let name = "CN=authority,O=JPKI-SIM,C=JP";
    world.authority_certificate = world.infrastructure.issue(name, &spki(&world.authority_key), EXPIRED, &[]);
    let answer = reply(&world, &sent, PkiBody::Genp(vec![state::witnessed_checkpoint(None).unwrap()])).bytes();
    let error = open(&world, &sent, &answer).unwrap_err();
    assert!(matches!(error, LinkError::Protection(ProtectionError::NotValidNow { .. })), "{error:?}");
    // The day before, it was good.
    let before = "2027-03-31T12:00:00Z".parse().unwrap();
    open_answer(&answer, sent.expected(), &world.authority(), before).unwrap();
}

#[test]
fn a_confirmation_can_be_made_again_from_what_the_card_knows() {
    let world = World::new();
    let again = || world.send(Request::Confirm(Confirmation::by_sha256([1; 32])));
    let message = PkiMessage::from_bytes(again().bytes()).unwrap();
    assert_eq!(message.header.pvno, PVNO_3);
    assert_eq!(message.header.recip_nonce, None);
    assert_eq!(TransactionId::of(&message.header), Some(TRANSACTION));
    let PkiBody::CertConf(statuses) = &message.body else { unreachable!("not a certConf") };
    assert_eq!(statuses[0].cert_hash.as_bytes(), [1; 32]);
    assert_eq!(statuses[0].hash_alg.as_ref().unwrap().oid, ID_SHA_256);
    // The same to the last bit of what is protected, wherever it is made.
    let second = PkiMessage::from_bytes(again().bytes()).unwrap();
    assert_eq!(message.protected_part().unwrap(), second.protected_part().unwrap());

    let message = world.send(Request::Confirm(Confirmation::implying_sha256([1; 32])));
    let message = PkiMessage::from_bytes(message.bytes()).unwrap();
    assert_eq!(message.header.pvno, PVNO_2);
    let PkiBody::CertConf(statuses) = &message.body else { unreachable!("not a certConf") };
    assert_eq!(statuses[0].hash_alg, None);
}

#[test]
fn every_request_has_the_header_of_the_profile_and_a_checkpoint() {
    let world = World::new();
    for request in [Request::Unsettled, Request::StateOf([1; 32]), Request::Confirm(Confirmation::by_sha256([1; 32]))] {
        let message = PkiMessage::from_bytes(world.send(request).bytes()).unwrap();
        assert_eq!(state::checkpoint_of(&message.header).unwrap().as_deref(), Some(CHECKPOINT));
        assert_eq!(message.header.sender_nonce.as_ref().unwrap().as_bytes(), NONCE);
        assert_eq!(message.header.transaction_id.as_ref().unwrap().as_bytes(), TRANSACTION.0);
        assert!(message.header.sender_kid.is_some() && message.header.message_time.is_some());
        // As the authority verifies it: under the issuer of the terminals' certificates.
        let issuer = Certificate::from_der(&world.infrastructure.certificate).unwrap();
        message.verify_issued_by(&issuer, now()).unwrap();
    }
}

#[test]
fn a_wrong_proof_of_possession_never_leaves_the_terminal() {
    let world = World::new();
    let draft = CertificationRequest::draft(
        CertificateKind::Authentication,
        &application(),
        &spki(&key(9)),
        REQUEST_NAME,
        &world.ca.certificate,
        None,
    )
    .unwrap();
    let other: DerSignature = key(10).sign(draft.to_be_proved());
    assert_eq!(draft.prove(other.as_bytes()), Err(LinkError::Signature(SignatureError::Invalid)));
}

#[test]
fn nothing_personal_is_shown() {
    let world = World::new();
    let request = world.certification(CertificateKind::Signature, &key(9), None);
    let outgoing = world.address(Request::Certification(Box::new(request.clone())));
    let mut shown = format!("{request:?} {outgoing:?}");
    let sent = world.protect(outgoing);
    shown += &format!("{sent:?} {:?}", PkiMessage::from_bytes(sent.bytes()).unwrap());
    for personal in ["花子", "東京都", "19800217", "20270401", "51, 49, 57, 56", "229, 177, 177"] {
        assert!(!shown.contains(personal), "{personal}: {shown}");
    }
}
