//! Requests that are not granted: each for its own reason, none with an effect, none with a panic.

use std::time::Duration;

use authority::Config;
use authority_link::message::{
    CertReqMsg, Failure, InfoTypeAndValue, PkiBody, PkiMessage, ProofOfPossession, RawAny, RawOctets, SingleAttribute,
    TemplateExtension,
};
use authority_link::{Answer, CertificationRequest, Confirmation, IssueState, Request, Sent};
use der::asn1::{Null, ObjectIdentifier, OctetString, Utf8StringRef};
use jpki::CertificateKind::{self, Authentication, Signature};
use x509_cert::serial_number::SerialNumber;
use zeroize::Zeroizing;

use crate::fixtures::{CardKey, Counter, Issued, World, application, next_generation};

/// What may be wrong with a request: its name, what is changed, and why it is refused.
type Fault = (&'static str, fn(&mut PkiMessage), Failure);

fn request(message: &mut PkiMessage) -> &mut CertReqMsg {
    match &mut message.body {
        PkiBody::Ir(requests) => &mut requests[0],
        other => panic!("{}", other.name()),
    }
}

fn unknown_id() -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.99")
}

fn attribute() -> SingleAttribute {
    let value = RawAny::of(&Utf8StringRef::new("個人番号").unwrap()).unwrap();
    SingleAttribute { attribute_type: unknown_id(), value }
}

fn draft(world: &World, kind: CertificateKind) -> Sent {
    let counter = &world.counters[0];
    let request = world.certification(counter, kind, &world.card_key(), None);
    counter.protect(request, world.transaction(), world.random(), world.now())
}

fn failure(world: &World, counter: &Counter, sent: &Sent, bytes: &[u8]) -> Option<Failure> {
    match world.open(sent, &world.deliver(counter, bytes)) {
        Answer::Refused { failure, .. } => failure.iter().next(),
        Answer::Issued { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_message_is_refused_for_what_is_wrong_with_it() {
    let faults: &[Fault] = &[
        (
            "an eighth extension",
            |m| {
                let extension = TemplateExtension {
                    extn_id: unknown_id(),
                    critical: false,
                    extn_value: RawOctets::new(Zeroizing::new(vec![5, 0])),
                };
                request(m).cert_req.cert_template.extensions.as_mut().unwrap().push(extension);
            },
            Failure::BadRequest,
        ),
        ("another control", |m| request(m).cert_req.controls = Some(vec![attribute()]), Failure::BadRequest),
        ("another regInfo", |m| request(m).reg_info.as_mut().unwrap().push(attribute()), Failure::BadRequest),
        ("no 申請年月日", |m| request(m).reg_info = None, Failure::BadCertTemplate),
        (
            "a serial number",
            |m| {
                request(m).cert_req.cert_template.serial_number = Some(SerialNumber::from(7u8));
            },
            Failure::BadRequest,
        ),
        ("another certReqId", |m| request(m).cert_req.cert_req_id = 1, Failure::BadRequest),
        (
            "two requests",
            |m| {
                let copy = request(m).clone();
                if let PkiBody::Ir(requests) = &mut m.body {
                    requests.push(copy);
                }
            },
            Failure::BadRequest,
        ),
        ("no request", |m| m.body = PkiBody::Ir(Vec::new()), Failure::BadRequest),
        ("no issuer", |m| request(m).cert_req.cert_template.issuer = None, Failure::BadCertTemplate),
        (
            "another issuer",
            |m| {
                request(m).cert_req.cert_template.issuer = request(m).cert_req.cert_template.subject.clone();
            },
            Failure::WrongAuthority,
        ),
        ("no proof of possession", |m| request(m).popo = None, Failure::BadPop),
        (
            "a proof by somebody else's word",
            |m| {
                request(m).popo = Some(ProofOfPossession::RaVerified(Null));
            },
            Failure::BadPop,
        ),
        (
            "another subject than was proved",
            |m| {
                request(m).cert_req.cert_template.subject.as_mut().unwrap().0.pop();
            },
            Failure::BadPop,
        ),
        ("freeText", |m| m.header.free_text = Some(vec!["個人番号".into()]), Failure::BadRequest),
        (
            "another generalInfo",
            |m| {
                let info = InfoTypeAndValue { info_type: unknown_id(), info_value: None };
                m.header.general_info.as_mut().unwrap().push(info);
            },
            Failure::BadRequest,
        ),
        ("no checkpoint", |m| m.header.general_info = None, Failure::AddInfoNotAvailable),
        (
            "another certificate",
            |m| {
                let certificate = m.extra_certs.as_ref().unwrap()[0].clone();
                m.extra_certs.as_mut().unwrap().push(certificate);
            },
            Failure::BadRequest,
        ),
        ("another recipient", |m| m.header.recipient = m.header.sender.clone(), Failure::WrongAuthority),
        ("an old version", |m| m.header.pvno = 1, Failure::UnsupportedVersion),
        ("no time", |m| m.header.message_time = None, Failure::BadTime),
        (
            "another kind of request",
            |m| {
                if let PkiBody::Ir(requests) = &m.body {
                    m.body = PkiBody::Cr(requests.clone());
                }
            },
            Failure::BadRequest,
        ),
    ];
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    for (name, change, expected) in faults {
        let sent = draft(&world, Signature);
        let mut message = PkiMessage::from_bytes(sent.bytes()).unwrap();
        change(&mut message);
        let bytes = counter.protect_again(&mut message);
        assert_eq!(failure(&world, counter, &sent, &bytes), Some(*expected), "{name}");
    }
    assert_eq!(world.authority.store().counts().unwrap(), []);
    // And what was changed was good before.
    let sent = draft(&world, Signature);
    assert_eq!(failure(&world, counter, &sent, sent.bytes()), None);
}

#[test]
fn an_application_that_can_not_be_granted_is_refused() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let mut child = application();
    child.birth = "2012-04-02".parse().unwrap();
    let mut today_fifteen = application();
    today_fifteen.birth = "2012-04-01".parse().unwrap();
    let mut unborn = application();
    unborn.birth = "2027-04-02".parse().unwrap();
    let mut ancient = application();
    ancient.birth = "1870-01-01".parse().unwrap();
    let mut from_tomorrow = application();
    from_tomorrow.applied_on = "2027-04-02".parse().unwrap();
    let mut stale = application();
    stale.applied_on = "2026-03-31".parse().unwrap();
    let mut foreign_character = application();
    foreign_character.name.text = "髙橋　花子".to_owned();
    let mut long = application();
    long.address.text = "一".repeat(201);
    long.address.substituted = "0".repeat(201);
    for (name, kind, application, expected) in [
        ("under 15, signing", Signature, &child, Some(Failure::NotAuthorized)),
        ("under 15, authentication", Authentication, &child, None),
        ("15 today", Signature, &today_fifteen, None),
        ("not yet born", Authentication, &unborn, Some(Failure::IncorrectData)),
        ("older than anybody", Authentication, &ancient, Some(Failure::IncorrectData)),
        ("applied for tomorrow", Authentication, &from_tomorrow, Some(Failure::IncorrectData)),
        ("applied for a year ago", Authentication, &stale, Some(Failure::IncorrectData)),
        ("a character that certificates don't have", Signature, &foreign_character, Some(Failure::IncorrectData)),
        ("an address too long", Signature, &long, Some(Failure::IncorrectData)),
    ] {
        let request = world.certification_of(counter, kind, &world.card_key(), None, application);
        let sent = counter.protect(request, world.transaction(), world.random(), world.now());
        assert_eq!(failure(&world, counter, &sent, sent.bytes()), expected, "{name}");
    }
}

#[test]
fn a_request_name_is_a_recent_time_a_number_and_the_terminals_own_window() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    let foreign = two.request_name(1);
    for (name, expected) in [
        (foreign.as_str(), Some(Failure::NotAuthorized)),
        ("2027040109590000001", Some(Failure::NotAuthorized)),
        ("", Some(Failure::BadCertTemplate)),
        ("20270401095900ABCDE13221001A", Some(Failure::BadCertTemplate)),
        ("20271301095900000011322100A1", Some(Failure::NotAuthorized)),
        ("202713010959000000113221001A", Some(Failure::BadCertTemplate)),
        ("202704011006000000113221001A", Some(Failure::BadCertTemplate)),
        ("202603010959000000113221001A", Some(Failure::BadCertTemplate)),
        ("202704011004590000113221001A", None),
    ] {
        let key = world.card_key();
        let ca = world.ca(Signature);
        let draft = CertificationRequest::draft(Signature, &application(), &key.spki(), name, ca, None).unwrap();
        let proof = key.sign(draft.to_be_proved());
        let request = Request::Certification(Box::new(draft.prove(&proof).unwrap()));
        let sent = one.protect(request, world.transaction(), world.random(), world.now());
        assert_eq!(failure(&world, one, &sent, sent.bytes()), expected, "{name}");
    }
}

#[test]
fn a_key_is_certified_once_and_only_of_its_generation() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    let key = world.card_key();
    let certify = |counter: &Counter, kind, key: &CardKey| {
        let request = world.certification(counter, kind, key, None);
        let sent = counter.protect(request, world.transaction(), world.random(), world.now());
        failure(&world, counter, &sent, sent.bytes())
    };
    assert_eq!(certify(one, Signature, &key), None);
    assert_eq!(certify(one, Signature, &key), Some(Failure::DuplicateCertReq));
    assert_eq!(certify(two, Authentication, &key), Some(Failure::DuplicateCertReq));
    assert_eq!(certify(one, Signature, &CardKey::rsa()), Some(Failure::BadCertTemplate));
}

/// Whoever had the key certified, at whichever terminal, and whatever became of the certificate.
#[test]
fn a_key_stays_certified_once_whatever_becomes_of_its_certificate() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    let (key, transaction) = (world.card_key(), world.transaction());
    let sent = one.protect(world.certification(one, Signature, &key, None), transaction, world.random(), world.now());
    let first = world.deliver(one, sent.bytes());
    let Answer::Issued { certificate, .. } = world.open(&sent, &first) else { panic!("not issued") };
    let issued = Issued::new(transaction, &certificate, None);
    let again = |counter: &Counter, predecessor, birth: &str| {
        let mut person = application();
        person.birth = birth.parse().unwrap();
        let request = world.certification_of(counter, Authentication, &key, predecessor, &person);
        let sent = counter.protect(request, world.transaction(), world.random(), world.now());
        failure(&world, counter, &sent, sent.bytes())
    };
    for (counter, birth) in [(one, "1980-02-17"), (two, "1975-05-05")] {
        assert_eq!(again(counter, None, birth), Some(Failure::DuplicateCertReq), "while it waits");
    }
    let confirmed = world.ask(two, Request::Confirm(Confirmation::by_sha256(issued.sha256)), transaction);
    assert!(matches!(confirmed, Answer::Confirmed), "{confirmed:?}");
    assert_eq!(again(two, None, "1975-05-05"), Some(Failure::DuplicateCertReq), "while it is valid");
    // The certificate may be replaced, by one of another key.
    let renewed = world.issue(two, Signature, Some(&issued.name));
    let confirmed = world.ask(two, Request::Confirm(Confirmation::by_sha256(renewed.sha256)), renewed.transaction);
    assert!(matches!(confirmed, Answer::Confirmed), "{confirmed:?}");
    let superseded = world.ask(two, Request::Supersede(issued.name.clone()), world.transaction());
    assert!(matches!(superseded, Answer::Revoked), "{superseded:?}");
    assert_eq!(again(two, None, "1975-05-05"), Some(Failure::DuplicateCertReq), "when it is superseded");
    // Nothing of this is a repeated message: the same bytes get the same answer, for ever.
    assert_eq!(world.deliver(one, sent.bytes()), first);
}

#[test]
fn a_weak_key_is_not_certified_though_the_terminal_did_not_mind() {
    let world = World::new(&Config::default());
    let counter = &world.counters[0];
    for kind in CertificateKind::BOTH {
        let request = world.certification(counter, kind, &CardKey::roca(), None);
        let sent = counter.protect(request, world.transaction(), world.random(), world.now());
        assert_eq!(failure(&world, counter, &sent, sent.bytes()), Some(Failure::BadCertTemplate), "{kind:?}");
    }
    assert_eq!(world.authority.store().counts().unwrap(), []);
}

#[test]
fn a_predecessor_must_be_of_this_authority_and_this_kind() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let issued = world.issue(counter, Authentication, None);
    let mut other = issued.name.clone();
    other.serial = SerialNumber::from(4_711u32);
    let mut long = issued.name.clone();
    long.serial = SerialNumber::new(&[1; 19]).unwrap();
    for (kind, predecessor) in [(Signature, &issued.name), (Authentication, &other), (Authentication, &long)] {
        let request = world.certification(counter, kind, &world.card_key(), Some(predecessor));
        let sent = counter.protect(request, world.transaction(), world.random(), world.now());
        assert_eq!(failure(&world, counter, &sent, sent.bytes()), Some(Failure::BadCertId));
    }
}

#[test]
fn nobody_but_the_terminal_itself_on_its_own_line_is_heard() {
    let world = World::new(&next_generation());
    let [one, two] = &world.counters[..] else { unreachable!() };
    let sent = draft(&world, Authentication);
    assert_eq!(failure(&world, two, &sent, sent.bytes()), Some(Failure::NotAuthorized), "another line");
    let answer = world.authority.handle(sent.bytes(), authority::Peer::Unknown, world.now(), &mut rand_core::OsRng);
    assert!(matches!(world.open(&sent, &answer), Answer::Refused { .. }), "no TLS");

    // Another terminal's key under this terminal's name.
    let mut message = PkiMessage::from_bytes(sent.bytes()).unwrap();
    let bytes = two.protect_again(&mut message);
    assert_eq!(failure(&world, one, &sent, &bytes), Some(Failure::BadMessageCheck));
    message.protection = None;
    let bytes = message.to_bytes().unwrap();
    assert_eq!(failure(&world, one, &sent, &bytes), Some(Failure::WrongIntegrity));

    // A terminal that was taken off the list: not even an old answer is given again.
    let issued = world.deliver(one, sent.bytes());
    assert!(matches!(world.open(&sent, &issued), Answer::Issued { .. }));
    let mut withdrawn = world.authority.store().terminal(&one.id).unwrap().unwrap();
    withdrawn.authorised = false;
    world.authority.store().register_terminal(&withdrawn, None, world.now()).unwrap();
    assert_eq!(failure(&world, one, &sent, sent.bytes()), Some(Failure::NotAuthorized));
    let again = draft(&world, Authentication);
    assert_eq!(failure(&world, one, &again, again.bytes()), Some(Failure::NotAuthorized));
}

#[test]
fn a_message_from_another_time_is_refused() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let early = draft(&world, Authentication);
    world.clock.advance(Duration::from_secs(300));
    let late = draft(&world, Authentication);
    assert_eq!(failure(&world, counter, &early, early.bytes()), None, "at the edge");
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(failure(&world, counter, &late, late.bytes()), Some(Failure::BadTime));
}

#[test]
fn a_confirmation_names_its_certificate_by_the_hash_that_it_states() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let issued = world.issue(counter, Authentication, None);
    let confirm = |change: &dyn Fn(&mut authority_link::message::CertStatus)| {
        let request = Request::Confirm(Confirmation::by_sha256(issued.sha256));
        let sent = counter.protect(request, issued.transaction, world.random(), world.now());
        let mut message = PkiMessage::from_bytes(sent.bytes()).unwrap();
        let PkiBody::CertConf(statuses) = &mut message.body else { panic!() };
        change(&mut statuses[0]);
        let bytes = counter.protect_again(&mut message);
        world.open(&sent, &world.deliver(counter, &bytes))
    };
    // The certificate is signed with SHA-384: an unstated hash is one of that.
    assert!(matches!(confirm(&|status| status.hash_alg = None), Answer::Refused { .. }));
    assert!(matches!(confirm(&|status| status.cert_req_id = 1), Answer::Refused { .. }));
    assert!(matches!(confirm(&|status| status.cert_hash = OctetString::new([]).unwrap()), Answer::Refused { .. }));
    assert_eq!(world.state(counter, issued.sha256), IssueState::Issued);
    let sha384 = <sha2::Sha384 as sha2::Digest>::digest(&issued.certificate);
    let unstated = |status: &mut authority_link::message::CertStatus| {
        status.hash_alg = None;
        status.cert_hash = OctetString::new(sha384.to_vec()).unwrap();
    };
    assert_eq!(confirm(&unstated), Answer::Confirmed);
}

#[test]
fn bytes_that_were_cut_or_changed_anywhere_change_nothing() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let issued = world.issue(counter, Authentication, None);
    let before = world.authority.store().counts().unwrap();
    let confirm = counter.protect(
        Request::Confirm(Confirmation::by_sha256(issued.sha256)),
        issued.transaction,
        world.random(),
        world.now(),
    );
    let good = confirm.bytes();
    let mut changed: Vec<Vec<u8>> = (0..good.len()).step_by(7).map(|end| good[..end].to_vec()).collect();
    changed.extend((0..good.len()).step_by(3).map(|at| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x21;
        bytes
    }));
    changed.push(vec![0x30; 300_000]);
    for bytes in changed {
        let answer = PkiMessage::from_bytes(&world.deliver(counter, &bytes)).expect("a CMP message");
        assert!(matches!(answer.body, PkiBody::Error(_)), "{}", answer.body.name());
    }
    assert_eq!(world.authority.store().counts().unwrap(), before);
    assert_eq!(world.exchange(counter, &confirm), Answer::Confirmed);
}

#[test]
fn an_unreachable_hsm_is_an_error_that_changes_nothing() {
    let world = World::new(&next_generation());
    let counter = &world.counters[0];
    let before = world.authority.store().counts().unwrap();
    let sent = draft(&world, Authentication);
    // The authority signs the certificate, then the message: either may fail, and then the error goes unsigned.
    for calls in 0..2 {
        world.authority_hsm.unplug_after(calls);
        let answer = PkiMessage::from_bytes(&world.deliver(counter, sent.bytes())).expect("a CMP message");
        assert!(matches!(answer.body, PkiBody::Error(_)) && answer.protection.is_none());
        assert_eq!(world.authority.store().counts().unwrap(), before);
    }
    world.authority_hsm.plug_in();
    assert_eq!(failure(&world, counter, &sent, sent.bytes()), None);
}
