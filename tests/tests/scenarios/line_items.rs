//! What travels about a person: the seven items of an application, the eleven items of a certificate, and nothing else.
//!
//! Two residents who differ in everything are issued to in two worlds that differ in nothing but the resident. Whatever differs
//! between what the authorities hear says something about the resident, and has to be one of the items.

use std::collections::{BTreeMap, BTreeSet};

use authority::store::IssueKey;
use authority_link::items::RequestedCertificate;
use authority_link::message::{PkiBody, PkiMessage};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use jiff::civil::date;
use jpki::{
    Application, ApplicationChoices, CertificateKind, CertificateView, IssuingProfile, Resident, Sex,
    SubstitutionTable, oid,
};
use madoguchi_tests::stage::resident;
use madoguchi_tests::{Stage, Start};
use orchestrator::Plan;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

use crate::BOTH;

/// Another resident: other in all items, as long in each.
fn somebody_else() -> Resident {
    Resident {
        number: "300000000000058".into(),
        name: "山﨑　太郎".into(),
        former_family_name: Some("佐藤".into()),
        alias: Some("青山　たろ".into()),
        address: "大阪府あおい市虚構町一丁目２３番４６－８１５号".into(),
        birth: date(1991, 12, 30),
        sex: Sex::Male,
        stay_until: None,
    }
}

/// A stage on which both kinds were issued and then renewed.
fn played(resident: Resident) -> Stage {
    let mut stage = Stage::for_resident(&IssuingProfile::jpki_2016(), Start::Fresh, resident);
    // All cards take the same time, so that no message says by its time whose it is.
    let card = stage.make_card(0, |p| p.rng_seed = [0; 32]);
    stage.control(0).insert(card);
    stage.run(0, Plan::issue(&BOTH)).unwrap();
    stage.run(0, Plan::renew(&BOTH)).unwrap();
    stage
}

/// The leaves of a DER structure by their place. OCTET STRINGs and BIT STRINGs that hold DER are opened; what begins with an
/// object identifier is called by it, anything else by its position and tag.
fn leaves(der: &[u8]) -> BTreeMap<String, Vec<u8>> {
    fn walk(bytes: &[u8], path: &str, leaves: &mut BTreeMap<String, Vec<u8>>) -> der::Result<()> {
        let mut reader = SliceReader::new(bytes)?;
        let mut position = 0;
        while !reader.is_finished() {
            let value = AnyRef::decode(&mut reader)?;
            let name = match value.tag() {
                Tag::ContextSpecific { number, .. } => format!("{position}[{number}]"),
                _ => position.to_string(),
            };
            let inside = match value.tag() {
                tag if tag.is_constructed() => Some(value.value()),
                Tag::OctetString => Some(value.value()),
                Tag::BitString => value.value().get(1..),
                _ => None,
            };
            let name = inside.and_then(named).map_or(name, |id| id.to_string());
            let path = format!("{path}/{name}");
            let mut inner = BTreeMap::new();
            match inside {
                Some(inside) if !inside.is_empty() && walk(inside, &path, &mut inner).is_ok() => {
                    leaves.append(&mut inner);
                }
                _ => drop(leaves.insert(path, value.value().to_vec())),
            }
            position += 1;
        }
        Ok(())
    }
    fn named(inside: &[u8]) -> Option<ObjectIdentifier> {
        ObjectIdentifier::decode(&mut SliceReader::new(inside).ok()?).ok()
    }
    let mut found = BTreeMap::new();
    walk(der, "", &mut found).unwrap();
    found
}

/// Where two structures differ.
fn differences(one: &[u8], other: &[u8]) -> BTreeSet<String> {
    let (one, other) = (leaves(one), leaves(other));
    let places: BTreeSet<_> = one.keys().chain(other.keys()).cloned().collect();
    places.into_iter().filter(|place| one.get(place) != other.get(place)).collect()
}

/// The CertReqMsg in an ir.
const REQUEST: &str = "/0/1[0]/0/0";
/// The signature over a message, its two integers.
const PROTECTION: [&str; 2] = ["/0/2[0]/0/0/0", "/0/2[0]/0/0/1"];

fn other_names() -> Vec<(String, &'static str)> {
    let names = format!("{REQUEST}/0/1/3[9]/{}/1", "2.5.29.17");
    [
        (oid::NAME, "氏名"),
        (oid::NAME_SUBSTITUTED, "氏名"),
        (oid::ALIAS, "通称"),
        (oid::ADDRESS, "住所"),
        (oid::BIRTH, "生年月日"),
        (oid::SEX, "性別"),
    ]
    .map(|(id, item)| (format!("{names}/0/{id}/1[0]/0"), item))
    .to_vec()
}

#[test]
fn exactly_the_items_travel_to_the_authority() {
    let (one, other) = (played(resident()), played(somebody_else()));
    let (heard, heard_of_other) = (one.post.heard(), other.post.heard());
    assert_eq!(heard.len(), heard_of_other.len());
    let mut bodies = BTreeMap::new();
    for (message, of_other) in heard.iter().zip(&heard_of_other) {
        let body = PkiMessage::from_bytes(message).unwrap().body.name();
        *bodies.entry(body).or_insert(0) += 1;
        let mut found = differences(message, of_other);
        for (what, places) in [
            ("signature", PROTECTION.map(Into::into).to_vec()),
            // The log names the resident by a reference, which goes into the checkpoint's root.
            ("checkpoint", vec![format!("/0/0/8[8]/0/{}/1", oid::LOG_CHECKPOINT)]),
        ] {
            for place in places {
                assert!(found.remove(&place), "{body}: {what} at {place} in {found:?}");
            }
        }
        let mut expected: Vec<(String, &str)> = Vec::new();
        match body {
            "ir" => {
                expected = other_names();
                // The modulus; the exponent is everybody's.
                expected.push((format!("{REQUEST}/0/1/2[6]/1/0/0"), "公開鍵"));
                expected.push((format!("{REQUEST}/1[1]/1"), "its proof of possession"));
            }
            "certConf" => expected.push(("/0/1[24]/0/0/0".into(), "SHA-256 of the certificate")),
            "genm" if !found.is_empty() => {
                let question = format!("/0/1[21]/0/{}/1", oid::CERTIFICATE_STATE);
                expected.push((question, "SHA-256 of the certificate"));
            }
            _ => {}
        }
        let expected: BTreeSet<_> = expected.into_iter().map(|(place, _)| place).collect();
        assert_eq!(found, expected, "{body}");
    }
    // For each kind: issued and confirmed; asked about before and after its PIN, issued, confirmed, superseded. And the end of
    // the log, twice.
    assert_eq!(bodies, BTreeMap::from([("ir", 4), ("certConf", 4), ("rr", 2), ("genm", 6)]));
}

#[test]
fn the_items_are_the_applications_own() {
    for resident in [resident(), somebody_else()] {
        let stage = played(resident.clone());
        let applied_on = date(2026, 11, 20);
        let table = SubstitutionTable::builtin();
        let application =
            Application::from_resident(&resident, applied_on, table, &ApplicationChoices::default()).unwrap();
        let mut requests = 0;
        for message in stage.post.heard() {
            let PkiBody::Ir(asked) = PkiMessage::from_bytes(&message).unwrap().body else { continue };
            let [asked] = &asked[..] else { panic!("one request in one message") };
            // A day on which it was not received: the day is in the message.
            let read = RequestedCertificate::read(asked, date(2000, 1, 1)).unwrap();
            assert_eq!(read.application, application);
            requests += 1;
        }
        assert_eq!(requests, 4);
    }
}

/// What the terminal knows and the authority must not.
#[test]
fn no_number_and_no_pin_travels() {
    let mut stage = played(resident());
    let mut my_number = String::new();
    let _ = stage.make_card(0, |p| my_number.clone_from(&p.my_number));
    let mut secrets = vec![stage.resident.number.clone(), my_number, stage.persona.face_code.to_string()];
    secrets.extend(
        stage
            .persona
            .pins
            .drain(..)
            .filter(|(kind, _)| *kind == CertificateKind::Signature)
            .map(|(_, pin)| pin.to_string()),
    );
    for secret in secrets {
        let utf_16: Vec<u8> = secret.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let digits: Vec<u8> = secret.bytes().map(|byte| byte.wrapping_sub(b'0')).collect();
        for form in [secret.clone().into_bytes(), hex::encode(&secret).into_bytes(), utf_16, digits] {
            for message in stage.post.heard() {
                assert!(!message.windows(form.len()).any(|window| window == form), "{} bytes", form.len());
            }
        }
    }
}

fn certificate(stage: &Stage, kind: CertificateKind) -> Vec<u8> {
    let valid = &stage.holdings().valid[usize::from(kind == CertificateKind::Signature)];
    let [serial] = valid[..] else { panic!("{valid:?}") };
    stage.authority.store().issue(IssueKey::Serial(kind, serial)).unwrap().unwrap().certificate
}

#[test]
fn exactly_the_items_come_back_in_the_certificates() {
    let (one, other) = (played(resident()), played(somebody_else()));
    for kind in BOTH {
        let (certificate, of_other) = (certificate(&one, kind), certificate(&other, kind));
        let mut expected: BTreeSet<String> = [
            "/0/0/4/1",                  // 有効期間の満了日: the birthday's
            "/0/0/6/1/0/0",              // 公開鍵
            "/0/0/7[3]/0/2.5.29.14/1/0", // its identifier
            "/0/2",                      // the authority's signature over all of it
        ]
        .map(Into::into)
        .into();
        if kind == CertificateKind::Signature {
            for (place, _) in other_names() {
                let (_, name) = place.split_once("2.5.29.17/1").unwrap();
                expected.insert(format!("/0/0/7[3]/0/2.5.29.17/1{name}"));
            }
        }
        assert_eq!(differences(&certificate, &of_other), expected, "{kind:?}");

        let view = CertificateView::parse(&certificate).unwrap();
        let slots = one.holdings();
        let serial = slots.valid[usize::from(kind == CertificateKind::Signature)][0];
        assert_eq!(view.serial.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), serial, "シリアル番号");
        assert!(
            view.not_before <= one.now() && view.not_before > one.now() - jiff::SignedDuration::from_mins(5),
            "発行年月日"
        );
        // The fifth birthday after the issue, to the end of that day in Japan.
        assert_eq!(view.not_after, "2031-07-09T14:59:59Z".parse().unwrap(), "有効期間の満了日");
        assert!(certificate.windows(view.spki.len()).any(|window| window == *view.spki), "公開鍵");
        assert!(format!("{:?}", view.issuer).contains("SIM"), "発行者: {:?}", view.issuer);
        let usage = match kind {
            CertificateKind::Signature => KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
            CertificateKind::Authentication => KeyUsages::DigitalSignature.into(),
        };
        assert_eq!(view.key_usage, Some(KeyUsage(usage)), "用途");
        assert_eq!(view.person.is_some(), kind == CertificateKind::Signature);
        if let Some(person) = &view.person {
            assert_eq!(person.name.text, "高橋［渡辺］　花子", "氏名");
            assert_eq!(person.name.substituted, "100000000");
            assert_eq!(person.alias.as_ref().unwrap().text, "緑川　はな", "通称");
            assert_eq!(person.birth, date(1986, 7, 9), "生年月日");
            assert_eq!(person.sex, Sex::Female, "性別");
            assert_eq!(person.address.text, "東京都みどり区架空町三丁目１４番１５－９２６号", "住所");
        }
    }
}

/// Had the number been in a message, it would be a difference like the items.
#[test]
fn an_eighth_item_would_be_found() {
    let with_number = |resident: Resident| {
        let number = resident.number.clone();
        let mut message = PkiMessage::from_bytes(&played(resident).post.heard()[0]).unwrap();
        assert_eq!(message.body.name(), "ir");
        message.header.free_text = Some(vec![number]);
        message.to_bytes().unwrap()
    };
    let found = differences(&with_number(resident()), &with_number(somebody_else()));
    assert!(found.contains("/0/0/8[7]/0/0"), "{found:?}");
}
