//! Certificates that differ from the application in one field, under the authority's own signature: each is rejected by the
//! name of the field, and never comes onto a card.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::CN;
use const_oid::db::rfc5280::ID_PE_AUTHORITY_INFO_ACCESS;
use const_oid::db::rfc5912::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE,
    ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_SERVER_AUTH,
    SHA_384_WITH_RSA_ENCRYPTION,
};
use der::asn1::{Any, BitString, OctetString, SetOfVec, UtcTime};
use der::{Decode, Encode, Tag};
use jpki::{CertificateField as Field, CertificateKind, oid};
use madoguchi_tests::{Stage, Start};
use orchestrator::{Plan, ProcedureError};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};
use x509_cert::name::{Name, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use crate::liar::Liar;
use crate::{BOTH, heard, properly, stage};

use CertificateKind::{Authentication, Signature};

const DAY: i64 = 24 * 3600;
const BOTH_KINDS: &[CertificateKind] = &BOTH;

/// What is done to a certificate before it is signed.
type Change = fn(&mut TbsCertificate);

/// Every field that an authority could get wrong.
const FIELDS: &[(&str, &[CertificateKind], Field, Change)] = &[
    ("serial number 0", BOTH_KINDS, Field::SerialNumber, |tbs| {
        tbs.serial_number = SerialNumber::new(&[0]).unwrap();
    }),
    ("another algorithm", BOTH_KINDS, Field::SignatureAlgorithm, |tbs| {
        tbs.signature.oid = SHA_384_WITH_RSA_ENCRYPTION;
    }),
    ("another authority's name", BOTH_KINDS, Field::Issuer, |tbs| put_last(&mut tbs.issuer, "OU=Somebody else")),
    ("not valid before tomorrow", BOTH_KINDS, Field::NotBefore, |tbs| move_time(&mut tbs.validity.not_before, DAY)),
    ("ahead by more than clocks are", &[Authentication], Field::NotBefore, |tbs| {
        move_time(&mut tbs.validity.not_before, 400);
    }),
    ("from before the application", BOTH_KINDS, Field::NotBefore, |tbs| move_time(&mut tbs.validity.not_before, -DAY)),
    ("a day too long", BOTH_KINDS, Field::NotAfter, |tbs| move_time(&mut tbs.validity.not_after, DAY)),
    ("a second too short", BOTH_KINDS, Field::NotAfter, |tbs| move_time(&mut tbs.validity.not_after, -1)),
    ("another request's name", &[Signature], Field::Subject, |tbs| {
        put_last(&mut tbs.subject, "CN=2026112010000000002139990001A");
    }),
    ("another window", &[Authentication], Field::Subject, |tbs| {
        put_last(&mut tbs.subject, "CN=ABCDEFGHIJKLMN139990009");
    }),
    ("another key", BOTH_KINDS, Field::PublicKey, |tbs| {
        let key = &mut tbs.subject_public_key_info.subject_public_key;
        let mut bits = key.raw_bytes().to_vec();
        bits[20] ^= 0x01;
        *key = BitString::from_bytes(&bits).unwrap();
    }),
    ("no keyUsage", BOTH_KINDS, Field::KeyUsage, |tbs| remove(tbs, ID_CE_KEY_USAGE)),
    ("no nonRepudiation", &[Signature], Field::KeyUsage, |tbs| {
        set(tbs, ID_CE_KEY_USAGE, &KeyUsage(KeyUsages::DigitalSignature.into()));
    }),
    ("may sign certificates", BOTH_KINDS, Field::KeyUsage, |tbs| {
        set(tbs, ID_CE_KEY_USAGE, &KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign));
    }),
    ("for servers", &[Authentication], Field::ExtendedKeyUsage, |tbs| {
        set(tbs, ID_CE_EXT_KEY_USAGE, &vec![ID_KP_SERVER_AUTH]);
    }),
    ("another name", &[Signature], Field::Name, |tbs| rename(tbs, oid::NAME, "高橋［渡辺］　華子")),
    ("other substitutes in the name", &[Signature], Field::NameSubstituted, |tbs| {
        rename(tbs, oid::NAME_SUBSTITUTED, "000000000");
    }),
    ("another alias", &[Signature], Field::Alias, |tbs| rename(tbs, oid::ALIAS, "緑川　はる")),
    ("other substitutes in the alias", &[Signature], Field::AliasSubstituted, |tbs| {
        rename(tbs, oid::ALIAS_SUBSTITUTED, "10000");
    }),
    ("another address", &[Signature], Field::Address, |tbs| {
        rename(tbs, oid::ADDRESS, "東京都みどり区架空町三丁目１４番１５－９２５号");
    }),
    ("other substitutes in the address", &[Signature], Field::AddressSubstituted, |tbs| {
        rename(tbs, oid::ADDRESS_SUBSTITUTED, "10000000000000000000000");
    }),
    ("another date of birth", &[Signature], Field::Birth, |tbs| rename(tbs, oid::BIRTH, "319860708")),
    ("another sex", &[Signature], Field::Sex, |tbs| rename(tbs, oid::SEX, "1")),
    ("nobody's", &[Signature], Field::SubjectAltName, |tbs| remove(tbs, ID_CE_SUBJECT_ALT_NAME)),
    ("a person in it", &[Authentication], Field::SubjectAltName, |tbs| {
        add(tbs, ID_CE_SUBJECT_ALT_NAME, false, &OctetString::new(*b"somebody").unwrap());
    }),
    ("a real authority's policy", &[Signature], Field::CertificatePolicies, |tbs| {
        splice(tbs, ID_CE_CERTIFICATE_POLICIES, oid::POLICY_SIGNATURE_TEST, oid::POLICY_SIGNATURE);
    }),
    ("the other kind's policy", &[Authentication], Field::CertificatePolicies, |tbs| {
        splice(tbs, ID_CE_CERTIFICATE_POLICIES, oid::POLICY_AUTHENTICATION_TEST, oid::POLICY_SIGNATURE_TEST);
    }),
    ("another issuer in Japanese", BOTH_KINDS, Field::IssuerAltName, |tbs| {
        set(tbs, ID_CE_ISSUER_ALT_NAME, &vec![GeneralName::DirectoryName(Name::default())]);
    }),
    ("another list", BOTH_KINDS, Field::CrlDistributionPoints, |tbs| {
        let list = extension(tbs, ID_CE_CRL_DISTRIBUTION_POINTS);
        let mut content = list.extn_value.as_bytes().to_vec();
        let city = content.windows(9).position(|window| window == b"Midori-ku").unwrap();
        content[city] = b'N';
        list.extn_value = OctetString::new(content).unwrap();
    }),
    ("no place to ask", &[Authentication], Field::AuthorityInfoAccess, |tbs| remove(tbs, ID_PE_AUTHORITY_INFO_ACCESS)),
    ("another authority's key", BOTH_KINDS, Field::AuthorityKeyIdentifier, |tbs| {
        last_bit(tbs, ID_CE_AUTHORITY_KEY_IDENTIFIER);
    }),
    ("another key's identifier", BOTH_KINDS, Field::SubjectKeyIdentifier, |tbs| {
        last_bit(tbs, ID_CE_SUBJECT_KEY_IDENTIFIER);
    }),
    ("something more", BOTH_KINDS, Field::Extensions, |tbs| {
        add(tbs, ObjectIdentifier::new_unwrap("1.2.3.4"), false, &true);
    }),
    ("a critical name", &[Signature], Field::Extensions, |tbs| extension(tbs, ID_CE_SUBJECT_ALT_NAME).critical = true),
    ("a policy that may be ignored", BOTH_KINDS, Field::Extensions, |tbs| {
        extension(tbs, ID_CE_CERTIFICATE_POLICIES).critical = false;
    }),
];

#[test]
fn a_certificate_that_differs_in_one_field_is_rejected_by_its_name() {
    let mut cases = 0;
    for (case, kinds, field, change) in FIELDS {
        for kind in *kinds {
            let case = format!("{kind:?}, {case}");
            let differs = rejected(&mut stage(Start::Fresh), &case, Plan::issue(&[*kind]), |liar, honest| {
                let mut tbs = honest.tbs_certificate;
                change(&mut tbs);
                liar.certify(*kind, tbs).to_der().unwrap()
            });
            assert_eq!(differs, field.name(), "{case}");
            cases += 1;
        }
    }
    println!("{cases} certificates that differ in one field");
}

/// Runs a procedure against a liar, who gives `lie` for the honest certificate. The answer is the field for which the
/// certificate was rejected.
fn rejected(
    stage: &mut Stage,
    case: &str,
    plan: Plan,
    mut lie: impl FnMut(&Liar, Certificate) -> Vec<u8> + Send + 'static,
) -> &'static str {
    let liar = Liar::of(stage);
    stage.post.forge(move |_, answer| liar.replace_certificate(answer, |honest| lie(&liar, honest)));
    let before = heard(stage).len();
    let error = properly(stage.refused(plan), case);
    let heard = heard(stage).split_off(before);
    let ProcedureError::CertificateDiffers { field } = error else { panic!("{case}: {error:?}") };
    let exchanges: Vec<_> = heard.iter().filter(|body| **body != "genm").collect();
    assert_eq!(exchanges, [&"ir", &"certConf"], "{case}: asked for and rejected");
    field
}

#[test]
fn a_certificate_that_is_none_is_rejected() {
    type Lie = fn(&Liar, Certificate) -> Vec<u8>;
    let lies: [(&str, Lie); 5] = [
        ("a changed signature", |_, mut honest| {
            let mut bits = honest.signature.raw_bytes().to_vec();
            bits[100] ^= 0x01;
            honest.signature = BitString::from_bytes(&bits).unwrap();
            honest.to_der().unwrap()
        }),
        ("a field changed after signing", |_, mut honest| {
            honest.tbs_certificate.serial_number = SerialNumber::new(&[0x77]).unwrap();
            honest.to_der().unwrap()
        }),
        ("signed by the other authority", |liar, honest| {
            liar.certify(Authentication, honest.tbs_certificate).to_der().unwrap()
        }),
        ("longer than a card stores", |liar, mut honest| {
            let long = OctetString::new([0; 4096]).unwrap();
            add(&mut honest.tbs_certificate, ObjectIdentifier::new_unwrap("1.2.3.4"), false, &long);
            liar.certify(Signature, honest.tbs_certificate).to_der().unwrap()
        }),
        ("not a certificate", |_, _| vec![0x30, 0x03, 0x02, 0x01, 0x00]),
    ];
    for (case, lie) in lies {
        let field = rejected(&mut stage(Start::Fresh), case, Plan::issue(&[Signature]), lie);
        assert_eq!(field, Field::Signature.name(), "{case}");
    }
}

#[test]
fn a_certificate_of_another_kind_key_or_time_is_rejected() {
    // What was issued to the same person for another key.
    let mut first = stage(Start::Fresh);
    let (send, receive) = std::sync::mpsc::channel();
    let liar = Liar::of(&first);
    first.post.forge(move |_, answer| {
        liar.replace_certificate(answer, |honest| {
            let der = honest.to_der().unwrap();
            send.send(honest).unwrap();
            der
        })
    });
    first.run(0, Plan::issue(&BOTH)).unwrap();
    let [authentication, signature] = [receive.recv().unwrap(), receive.recv().unwrap()];
    let replayed = signature.to_der().unwrap();
    let field = rejected(&mut first, "renewed with the old certificate", Plan::renew(&[Signature]), move |_, _| {
        replayed.clone()
    });
    assert_eq!(field, Field::PublicKey.name());

    let field = rejected(&mut first, "renewed with the old number", Plan::renew(&[Signature]), move |liar, honest| {
        let mut tbs = honest.tbs_certificate;
        tbs.serial_number = signature.tbs_certificate.serial_number.clone();
        liar.certify(Signature, tbs).to_der().unwrap()
    });
    assert_eq!(field, Field::SerialNumber.name());

    let other = authentication.clone();
    let field =
        rejected(&mut stage(Start::Fresh), "of the other kind", Plan::issue(&[Signature]), move |liar, honest| {
            let mut tbs = other.tbs_certificate.clone();
            tbs.subject_public_key_info = honest.tbs_certificate.subject_public_key_info;
            liar.certify(Authentication, tbs).to_der().unwrap()
        });
    assert_eq!(field, Field::Issuer.name());
}

// ---------------------------------------------------------------- changes

fn extension(tbs: &mut TbsCertificate, id: ObjectIdentifier) -> &mut Extension {
    tbs.extensions.iter_mut().flatten().find(|extension| extension.extn_id == id).unwrap()
}

fn set(tbs: &mut TbsCertificate, id: ObjectIdentifier, value: &impl Encode) {
    extension(tbs, id).extn_value = OctetString::new(value.to_der().unwrap()).unwrap();
}

fn add(tbs: &mut TbsCertificate, extn_id: ObjectIdentifier, critical: bool, value: &impl Encode) {
    let extn_value = OctetString::new(value.to_der().unwrap()).unwrap();
    tbs.extensions.as_mut().unwrap().push(Extension { extn_id, critical, extn_value });
}

fn remove(tbs: &mut TbsCertificate, id: ObjectIdentifier) {
    tbs.extensions.as_mut().unwrap().retain(|extension| extension.extn_id != id);
}

/// Changes the last bit of an extension's value.
fn last_bit(tbs: &mut TbsCertificate, id: ObjectIdentifier) {
    let extension = extension(tbs, id);
    let mut content = extension.extn_value.as_bytes().to_vec();
    *content.last_mut().unwrap() ^= 0x01;
    extension.extn_value = OctetString::new(content).unwrap();
}

/// Puts one object identifier in the place of another of the same length.
fn splice(tbs: &mut TbsCertificate, id: ObjectIdentifier, old: &str, new: &str) {
    let [old, new] = [old, new].map(|oid| ObjectIdentifier::new_unwrap(oid).as_bytes().to_vec());
    let extension = extension(tbs, id);
    let mut content = extension.extn_value.as_bytes().to_vec();
    let at = content.windows(old.len()).position(|window| window == old).unwrap();
    content[at..at + old.len()].copy_from_slice(&new);
    extension.extn_value = OctetString::new(content).unwrap();
}

/// Gives an otherName of the holder another value.
fn rename(tbs: &mut TbsCertificate, id: &str, value: &str) {
    let id = ObjectIdentifier::new_unwrap(id);
    let mut names = GeneralNames::from_der(extension(tbs, ID_CE_SUBJECT_ALT_NAME).extn_value.as_bytes()).unwrap();
    for name in &mut names {
        if let GeneralName::OtherName(other) = name
            && other.type_id == id
        {
            let renamed = Any::new(Tag::Utf8String, value.as_bytes()).unwrap();
            assert_ne!(other.value, renamed, "a change");
            other.value = renamed;
        }
    }
    set(tbs, ID_CE_SUBJECT_ALT_NAME, &names);
}

/// Puts `TYPE=value` in the place of the last attribute of a name.
fn put_last(name: &mut Name, attribute: &str) {
    let (kind, value) = attribute.split_once('=').unwrap();
    let oid = if kind == "CN" { CN } else { const_oid::db::rfc4519::OU };
    let value = Any::new(Tag::Utf8String, value.as_bytes()).unwrap();
    *name.0.last_mut().unwrap() =
        RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }]).unwrap());
}

fn move_time(time: &mut Time, seconds: i64) {
    let at = time.to_unix_duration().as_secs().checked_add_signed(seconds).unwrap();
    *time = Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::from_secs(at)).unwrap());
}
