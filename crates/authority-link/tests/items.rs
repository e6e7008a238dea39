//! Exactly seven items travel to the authority: a request is taken apart down to its last leaf, and every leaf is one of
//! the seven or a part of the protocol that says nothing about the person.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;

use authority_link::items::{ItemsError, RequestedCertificate};
use authority_link::message::{
    CertReqMsg, InfoTypeAndValue, PkiBody, PkiMessage, RawAny, RawOctets, RawSequence, SingleAttribute,
    TemplateExtension,
};
use authority_link::{IssuerAndSerial, Request};
use common::{CHECKPOINT, NONCE, REQUEST_NAME, TRANSACTION, World, application, key, spki};
use der::asn1::{AnyRef, ObjectIdentifier, Utf8StringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use jpki::{CertificateKind, oid};
use x509_cert::Certificate;
use x509_cert::serial_number::SerialNumber;
use zeroize::Zeroizing;

/// One leaf: the way to it, its tag, its content. The way is the position in each constructed value, with the tag where
/// it is context-specific.
type Leaf = (String, Tag, Vec<u8>);

/// Every leaf of a DER structure. OCTET STRINGs and BIT STRINGs that hold DER are opened.
fn leaves(der: &[u8]) -> Vec<Leaf> {
    fn walk(bytes: &[u8], path: &str, leaves: &mut Vec<Leaf>) -> der::Result<()> {
        let mut reader = SliceReader::new(bytes)?;
        let mut position = 0;
        while !reader.is_finished() {
            let value = AnyRef::decode(&mut reader)?;
            let tag = value.tag();
            let path = match tag {
                Tag::ContextSpecific { number, .. } => format!("{path}.{position}[{number}]"),
                _ => format!("{path}.{position}"),
            };
            let inside = match tag {
                _ if tag.is_constructed() => Some(value.value()),
                Tag::OctetString => Some(value.value()),
                Tag::BitString => value.value().get(1..),
                _ => None,
            };
            let mut inner = Vec::new();
            match inside {
                Some(inside) if !inside.is_empty() && walk(inside, &path, &mut inner).is_ok() => {
                    leaves.append(&mut inner);
                }
                _ => leaves.push((path, tag, value.value().to_vec())),
            }
            position += 1;
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(der, "", &mut found).unwrap();
    found
}

/// Takes a request apart. The answer is the items with their values, or the first leaf that is neither an item nor a
/// known part of the protocol.
fn items_of(message: &[u8], world: &World) -> Result<BTreeMap<&'static str, Vec<u8>>, String> {
    /// The CertReqMsg.
    const REQUEST: &str = ".0.1[0].0.0";
    /// The subjectAltName in its template.
    const NAMES: &str = ".0.1[0].0.0.0.1.3[9].0";
    let name =
        |certificate: &[u8]| Certificate::from_der(certificate).unwrap().tbs_certificate.subject.to_der().unwrap();
    let parsed = PkiMessage::from_bytes(message).unwrap();
    let terminal = parsed.extra_certs.as_ref().unwrap()[0].der().unwrap();

    // Parts of the protocol, by their place, with the only content that they may have; none: any, of one leaf.
    let oid = |text: &str| Some(ObjectIdentifier::new_unwrap(text).to_der().unwrap());
    let ecdsa_sha256 = || oid("1.2.840.10045.4.3.2");
    let text = |text: &str| Some(Utf8StringRef::new(text).unwrap().to_der().unwrap());
    let octets = |bytes: &[u8]| Some(der::asn1::OctetStringRef::new(bytes).unwrap().to_der().unwrap());
    let mut protocol: Vec<(String, Option<Vec<u8>>)> = vec![
        (".0.0.0".into(), 2u8.to_der().ok()),                           // pvno
        (".0.0.1[4]".into(), Some(name(&terminal))),                    // sender
        (".0.0.2[4]".into(), Some(name(&world.authority_certificate))), // recipient
        (".0.0.3[0]".into(), None),                                     // messageTime
        (".0.0.4[1].0".into(), ecdsa_sha256()),                         // protectionAlg
        (".0.0.5[2]".into(), None),                                     // senderKID
        (".0.0.6[4]".into(), octets(&TRANSACTION.0)),                   // transactionID
        (".0.0.7[5]".into(), octets(&NONCE)),                           // senderNonce
        (".0.0.8[8].0.0.0".into(), oid(oid::LOG_CHECKPOINT)),
        (".0.0.8[8].0.0.1".into(), text(CHECKPOINT)),
        (format!("{REQUEST}.0.0"), 0u8.to_der().ok()), // certReqId
        (format!("{REQUEST}.0.1.0[3]"), Some(name(&world.ca.certificate))), // issuer
        (format!("{REQUEST}.0.1.1[5].0.0.0.0"), oid("2.5.4.6")),
        (format!("{REQUEST}.0.1.1[5].0.0.0.1"), Some(b"\x13\x02JP".to_vec())),
        (format!("{REQUEST}.0.1.1[5].0.1.0.0"), oid("2.5.4.3")),
        (format!("{REQUEST}.0.1.1[5].0.1.0.1"), text(REQUEST_NAME)),
        (format!("{REQUEST}.0.1.3[9].0.0"), oid("2.5.29.17")),
        (format!("{REQUEST}.0.2.0.0"), oid("1.3.6.1.5.5.7.5.1.5")), // oldCertID
        (format!("{REQUEST}.0.2.0.1.0[4]"), Some(name(&world.ca.certificate))),
        (format!("{REQUEST}.0.2.0.1.1"), None),
        (format!("{REQUEST}.1[1].0"), ecdsa_sha256()), // proof of possession
        (format!("{REQUEST}.1[1].1.0.0"), None),
        (format!("{REQUEST}.1[1].1.0.1"), None),
        (format!("{REQUEST}.2.0.0"), oid(oid::APPLIED_ON)),
        (".0.2[0].0.0.0".into(), None), // protection
        (".0.2[0].0.0.1".into(), None),
        (".0.3[1].0".into(), Some(terminal.to_vec())), // extraCerts
    ];
    for (position, name) in [oid::NAME, oid::BIRTH, oid::SEX, oid::ADDRESS, oid::NAME_SUBSTITUTED].iter().enumerate() {
        protocol.push((format!("{NAMES}.1.0.{position}[0].0"), oid(name)));
    }
    for (position, name) in [oid::ADDRESS_SUBSTITUTED, oid::ALIAS, oid::ALIAS_SUBSTITUTED].iter().enumerate() {
        protocol.push((format!("{NAMES}.1.0.{}[0].0", position + 5), oid(name)));
    }
    let known: Vec<Leaf> = protocol
        .iter()
        .filter_map(|(path, content)| content.as_ref().map(|der| (path, der)))
        .flat_map(|(path, der)| {
            // A part that is itself a leaf stands at its path; the leaves of a larger one stand below it.
            let inner = leaves(der);
            let single = inner.len() == 1;
            inner.into_iter().map(move |(below, tag, value)| {
                let at = if single { path.clone() } else { format!("{path}{below}") };
                (at, tag, value)
            })
        })
        .collect();

    let item = |path: &str| match path.strip_prefix(NAMES) {
        Some(".1.0.0[0].1[0].0") => Some("氏名"),
        Some(".1.0.1[0].1[0].0") => Some("生年月日"),
        Some(".1.0.2[0].1[0].0") => Some("性別"),
        Some(".1.0.3[0].1[0].0") => Some("住所"),
        Some(".1.0.4[0].1[0].0") => Some("氏名 代替文字"),
        Some(".1.0.5[0].1[0].0") => Some("住所 代替文字"),
        Some(".1.0.6[0].1[0].0") => Some("通称"),
        Some(".1.0.7[0].1[0].0") => Some("通称 代替文字"),
        _ => match path.strip_prefix(REQUEST) {
            Some(".0.1.2[6].0.0" | ".0.1.2[6].0.1" | ".0.1.2[6].1") => Some("公開鍵"),
            Some(".2.0.1") => Some("申請年月日"),
            _ => None,
        },
    };
    let mut items = BTreeMap::new();
    for (path, tag, value) in leaves(message) {
        let single = |leaf: &Leaf| {
            let (at, known_tag, content) = leaf;
            path.strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest == ".0")
                && *known_tag == tag
                && *content == value
        };
        let any = |(at, content): &(String, Option<Vec<u8>>)| {
            content.is_none() && path.strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest == ".0")
        };
        if let Some(item) = item(&path) {
            items.entry(item).or_insert_with(Vec::new).extend(value);
        } else if !known.iter().any(single) && !protocol.iter().any(any) {
            return Err(format!("{path} {tag}: {}", String::from_utf8_lossy(&value)));
        }
    }
    Ok(items)
}

fn sent(world: &World, kind: CertificateKind, predecessor: Option<&IssuerAndSerial>) -> PkiMessage {
    let request = world.certification(kind, &key(9), predecessor);
    PkiMessage::from_bytes(world.send(Request::Certification(Box::new(request))).bytes()).unwrap()
}

fn predecessor(world: &World) -> IssuerAndSerial {
    IssuerAndSerial { issuer: world.ca.name.clone(), serial: SerialNumber::new(&[0x1E, 0xE6, 0x07]).unwrap() }
}

fn request(message: &mut PkiMessage) -> &mut CertReqMsg {
    match &mut message.body {
        PkiBody::Ir(requests) => &mut requests[0],
        other => panic!("not an ir: {}", other.name()),
    }
}

#[test]
fn exactly_the_seven_items_are_sent_for_both_kinds() {
    let world = World::new();
    let key_leaves: Vec<u8> = leaves(&spki(&key(9))).into_iter().flat_map(|(_, _, value)| value).collect();
    let expected: BTreeMap<&str, Vec<u8>> = [
        ("氏名", "山﨑　花子".as_bytes()),
        ("氏名 代替文字", b"01000"),
        ("通称", "山田　花子".as_bytes()),
        ("通称 代替文字", b"00000"),
        ("住所", "東京都架空市本町１－２－３".as_bytes()),
        ("住所 代替文字", b"0000000000000"),
        ("生年月日", b"319800217"),
        ("性別", b"2"),
        ("申請年月日", b"20270401"),
        ("公開鍵", &key_leaves),
    ]
    .into_iter()
    .map(|(item, value)| (item, value.to_vec()))
    .collect();
    for kind in CertificateKind::BOTH {
        for predecessor in [None, Some(predecessor(&world))] {
            let message = sent(&world, kind, predecessor.as_ref());
            assert_eq!(items_of(&message.to_bytes().unwrap(), &world).unwrap(), expected, "{kind:?}");
        }
    }
}

#[test]
fn an_eighth_item_is_found_wherever_it_is_put() {
    let world = World::new();
    let secret = || RawAny::of(&Utf8StringRef::new("123456789012").unwrap()).unwrap();
    let number = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.7");
    let extension = || TemplateExtension {
        extn_id: number,
        critical: false,
        extn_value: RawOctets::new(Zeroizing::new(secret().to_der().unwrap())),
    };
    let attribute = || SingleAttribute { attribute_type: number, value: secret() };
    type Smuggle<'a> = (&'a str, bool, Box<dyn Fn(&mut PkiMessage) + 'a>);
    let smuggled: [Smuggle<'_>; 8] = [
        (
            "an extension",
            true,
            Box::new(|m| request(m).cert_req.cert_template.extensions.as_mut().unwrap().push(extension())),
        ),
        (
            "another extension",
            true,
            Box::new(|m| request(m).cert_req.cert_template.extensions = Some(vec![extension()])),
        ),
        ("a regInfo", true, Box::new(|m| request(m).reg_info.as_mut().unwrap().push(attribute()))),
        ("a control", true, Box::new(|m| request(m).cert_req.controls = Some(vec![attribute()]))),
        (
            "the serial number",
            true,
            Box::new(|m| {
                request(m).cert_req.cert_template.serial_number = Some(SerialNumber::from(1234_5678u32));
            }),
        ),
        (
            "a generalInfo",
            false,
            Box::new(|m| {
                let info = InfoTypeAndValue { info_type: number, info_value: Some(secret()) };
                m.header.general_info.as_mut().unwrap().push(info);
            }),
        ),
        ("freeText", false, Box::new(|m| m.header.free_text = Some(vec!["123456789012".into()]))),
        (
            "another certificate",
            false,
            Box::new(|m| {
                m.extra_certs.as_mut().unwrap().push(RawSequence::new(&world.ca.certificate).unwrap());
            }),
        ),
    ];
    for (place, in_request, smuggle) in smuggled {
        let mut message = sent(&world, CertificateKind::Signature, None);
        smuggle(&mut message);
        items_of(&message.to_bytes().unwrap(), &world).expect_err(place);
        // What stands in the request itself, the authority's reading refuses too.
        let read = RequestedCertificate::read(request(&mut message), application().applied_on);
        assert_eq!(read.is_err(), in_request, "{place}");
    }
}

#[test]
fn an_eighth_name_is_found_and_refused() {
    let world = World::new();
    let mut message = sent(&world, CertificateKind::Signature, None);
    let names = &mut request(&mut message).cert_req.cert_template.extensions.as_mut().unwrap()[0].extn_value;
    // One otherName more, of an OID that is not among ours, spliced into the DER.
    let more = [b"\xA0\x15\x06\x03\x2A\x03\x04\xA0\x0E\x0C\x0C".as_slice(), b"123456789012"].concat();
    let inner = AnyRef::from_der(names.as_bytes()).unwrap().value().to_vec();
    let longer = der::asn1::Any::new(Tag::Sequence, [inner, more].concat()).unwrap().to_der().unwrap();
    *names = RawOctets::new(Zeroizing::new(longer));
    items_of(&message.to_bytes().unwrap(), &world).unwrap_err();
    assert_eq!(
        RequestedCertificate::read(request(&mut message), application().applied_on),
        Err(ItemsError::NotAsked(ObjectIdentifier::new_unwrap("1.2.3.4")))
    );
}

#[test]
fn the_authority_reads_what_the_terminal_wrote() {
    let world = World::new();
    for kind in CertificateKind::BOTH {
        for predecessor in [None, Some(predecessor(&world))] {
            let mut message = sent(&world, kind, predecessor.as_ref());
            let read = RequestedCertificate::read(request(&mut message), "2000-01-01".parse().unwrap()).unwrap();
            assert_eq!(read.application, application());
            assert_eq!(*read.spki, spki(&key(9)));
            assert_eq!(read.issuer.as_ref(), Some(&world.ca.name));
            assert_eq!(read.predecessor, predecessor);
            assert_eq!(read.request_name.as_deref(), (kind == CertificateKind::Signature).then_some(REQUEST_NAME));
        }
    }
}
