//! The certificates of a real JPKI test card, field by field, and checked as if they had been applied for.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use common::fixture;
use const_oid::db::rfc4519::CN;
use jiff::civil::date;
use jpki::certificate::{DistinguishedName, ExtensionHeader};
use jpki::{
    Application, CertificateField, CertificateKind, CertificateProfile, CertificateText, CertificateView, Expected,
    IssuingProfile, Mismatch, Municipality, Sex, check,
};
use proptest::prelude::*;
use x509_cert::ext::pkix::KeyUsages;

const ISSUER_END: &str = "OU=Japan Agency for Local Authority Information Systems";

fn extensions(view: &CertificateView) -> Vec<(String, bool)> {
    view.extensions.iter().map(|ExtensionHeader { oid, is_critical }| (oid.to_string(), *is_critical)).collect()
}

fn expect_extensions(view: &CertificateView, expected: &[(&str, bool)]) {
    let expected: Vec<_> = expected.iter().map(|(oid, critical)| ((*oid).to_owned(), *critical)).collect();
    assert_eq!(extensions(view), expected);
}

/// C is a PrintableString, everything else a UTF8String.
fn expect_string_types(name: &DistinguishedName) {
    for (index, attribute) in name.0.iter().enumerate() {
        assert_eq!(attribute.is_printable, index == 0, "{name}");
    }
}

#[test]
fn the_signing_certificate() {
    let view = CertificateView::parse(&fixture("jpki-sign-cert.der")).unwrap();
    assert_eq!(hex::encode(&*view.serial), "1ee607");
    assert_eq!(view.signature_algorithm, const_oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION);
    assert_eq!(view.issuer.to_string(), format!("C=JP, O=JPKI-TEST, OU=JPKI for digital signature, {ISSUER_END}"));
    assert_eq!(view.not_before.to_string(), "2025-10-27T01:35:57Z");
    assert_eq!(view.not_after.to_string(), "2030-02-17T14:59:59Z");
    assert_eq!(view.subject.to_string(), "C=JP, L=Tokyo-to, L=Kiyose-shi, CN=202510161726000013413221003A");
    assert_eq!(view.spki.len(), 294);
    assert_eq!(view.key_usage.unwrap().0, KeyUsages::DigitalSignature | KeyUsages::NonRepudiation);
    assert!(view.extended_key_usage.is_empty());

    let person = view.person.as_ref().unwrap();
    assert_eq!(person.name.text, "黒桐　幹也");
    assert_eq!(person.name.substituted, "00000");
    assert_eq!(person.sex, Sex::Male);
    assert_eq!(person.birth, date(1980, 2, 17));
    assert_eq!(person.address.text, "東京都清瀬市観布子南１２－７－２０２");
    assert_eq!(person.address.substituted, "000000000000000000");
    assert!(person.alias.is_none());

    assert_eq!(view.policies.len(), 1);
    assert_eq!(view.policies[0].oid.to_string(), jpki::oid::POLICY_SIGNATURE_TEST);
    assert_eq!(view.policies[0].cps_uri.as_deref(), Some(jpki::oid::CPS_URI));
    assert_eq!(
        view.issuer_alt_name.as_ref().unwrap().to_string(),
        "C=JP, O=公的個人認証サービス, OU=公的個人認証サービス署名用, OU=地方公共団体情報システム機構"
    );
    assert_eq!(
        view.crl_distribution_point.as_ref().unwrap().to_string(),
        "C=JP, O=JPKI-TEST, OU=JPKI for digital signature, OU=CRL Distribution Points, OU=Tokyo-to, CN=Kiyose-shi CRLDP"
    );
    assert_eq!(view.ocsp_uri, None);
    let key = view.authority_key.as_ref().unwrap();
    assert_eq!(hex::encode(key.id.as_ref().unwrap()), "410021476b2bcf2c8a2bbbf83b38a978863da142");
    assert_eq!(key.issuer.as_ref(), Some(&view.issuer));
    assert_eq!(hex::encode(key.serial.as_ref().unwrap()), "1ea8a8");
    assert_eq!(hex::encode(&**view.subject_key_id.as_ref().unwrap()), "130b318079629716c0d95e7bfbe85be9d2d71218");
    assert!(!view.is_authority);
    expect_extensions(
        &view,
        &[
            ("2.5.29.15", true),
            ("2.5.29.17", false),
            ("2.5.29.32", true),
            ("2.5.29.18", false),
            ("2.5.29.31", false),
            ("2.5.29.35", false),
            ("2.5.29.14", false),
        ],
    );
    for name in [&view.issuer, &view.subject, &key.issuer.clone().unwrap()] {
        expect_string_types(name);
    }
}

#[test]
fn the_authentication_certificate() {
    let view = CertificateView::parse(&fixture("jpki-auth-cert.der")).unwrap();
    assert_eq!(view.issuer.to_string(), format!("C=JP, O=JPKI-TEST, OU=JPKI for user authentication, {ISSUER_END}"));
    assert_eq!(view.not_before.to_string(), "2025-10-27T01:35:42Z");
    assert_eq!(view.not_after.to_string(), "2030-02-17T14:59:59Z");
    assert_eq!(view.subject.to_string(), "C=JP, CN=997794E9AGCIEG13221003A");
    assert_eq!(view.key_usage.unwrap().0, KeyUsages::DigitalSignature);
    assert_eq!(view.extended_key_usage, [const_oid::db::rfc5912::ID_KP_CLIENT_AUTH]);
    assert!(view.person.is_none());
    assert_eq!(view.policies[0].oid.to_string(), jpki::oid::POLICY_AUTHENTICATION_TEST);
    assert_eq!(
        view.issuer_alt_name.as_ref().unwrap().to_string(),
        "C=JP, O=公的個人認証サービス, OU=公的個人認証サービス利用者証明用, OU=地方公共団体情報システム機構"
    );
    assert_eq!(view.ocsp_uri.as_deref(), Some("http://test-ocspauthnorm.jpki.go.jp"));
    assert!(view.authority_key.as_ref().is_some_and(|key| key.id.is_some() && key.serial.is_some()));
    expect_extensions(
        &view,
        &[
            ("2.5.29.15", true),
            ("2.5.29.37", false),
            ("2.5.29.32", true),
            ("2.5.29.18", false),
            ("2.5.29.31", false),
            ("1.3.6.1.5.5.7.1.1", false),
            ("2.5.29.35", false),
            ("2.5.29.14", false),
        ],
    );
}

#[test]
fn the_authorities_certificates() {
    for name in
        ["jpki-sign-ca-cert.der", "jpki-auth-ca-cert.der", "jpki-sign-ca-cert-2019.der", "jpki-auth-ca-cert-2019.der"]
    {
        let view = CertificateView::parse(&fixture(name)).unwrap();
        assert!(view.is_authority && view.person.is_none());
        assert_eq!(view.issuer, view.subject);
        assert_eq!(view.crl_distribution_point.as_ref(), Some(&view.subject));
        assert_eq!(view.key_usage.unwrap().0, KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    }
}

fn text(text: &str) -> CertificateText {
    CertificateText { text: text.to_owned(), substituted: "0".repeat(text.chars().count()) }
}

fn application() -> Application {
    Application {
        name: text("黒桐　幹也"),
        alias: None,
        address: text("東京都清瀬市観布子南１２－７－２０２"),
        birth: date(1980, 2, 17),
        sex: Sex::Male,
        applied_on: date(2025, 10, 16),
    }
}

/// Checks a certificate of the test card as the terminal of Kiyose would have.
fn check_test_card(kind: CertificateKind, issuer: &[u8], environment: &CertificateProfile) -> Result<(), Mismatch> {
    let certificate = match kind {
        CertificateKind::Signature => fixture("jpki-sign-cert.der"),
        CertificateKind::Authentication => fixture("jpki-auth-cert.der"),
    };
    let view = CertificateView::parse(&certificate).unwrap();
    let municipality = Municipality { code: "13221".into(), prefecture: "Tokyo-to".into(), city: "Kiyose-shi".into() };
    let expected = Expected {
        kind,
        application: &application(),
        spki: &view.spki,
        issuer,
        request_name: "202510161726000013413221003A",
        profile: &IssuingProfile::jpki_2016(),
        environment,
        municipality: &municipality,
        ocsp_uri: None,
        now: "2025-10-27T02:00:00Z".parse().unwrap(),
        renewal: false,
        limits: &[],
        predecessor: None,
    };
    check(&certificate, &expected).map(|checked| {
        assert_eq!(checked.view.subject.get(CN), view.subject.get(CN));
    })
}

#[test]
fn the_test_cards_certificates_pass_the_check() {
    use CertificateKind::{Authentication, Signature};
    let test = CertificateProfile::test();
    assert_eq!(check_test_card(Signature, &fixture("jpki-sign-ca-cert.der"), &test), Ok(()));
    assert_eq!(check_test_card(Authentication, &fixture("jpki-auth-ca-cert.der"), &test), Ok(()));

    // The other authority; and the same one's other generation, which has the same name but ends before this certificate.
    let wrong_subject = Err(Mismatch::Issuer(CertificateField::Subject));
    assert_eq!(check_test_card(Signature, &fixture("jpki-auth-ca-cert.der"), &test), wrong_subject);
    assert_eq!(
        check_test_card(Signature, &fixture("jpki-sign-ca-cert-2019.der"), &test),
        Err(Mismatch::Field(CertificateField::NotAfter))
    );
    // A certificate of the test environment at a terminal of the production environment.
    let production = CertificateProfile::production();
    assert_eq!(check_test_card(Signature, &fixture("jpki-sign-ca-cert.der"), &production), wrong_subject);
}

proptest! {
    #[test]
    fn damaged_certificates_are_read_or_refused(
        which: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = fixture(if which { "jpki-sign-cert.der" } else { "jpki-auth-cert.der" });
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
            prop_assert!(CertificateView::parse(&bytes).is_err());
        }
        let _ = CertificateView::parse(&bytes);
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(CertificateView::parse(&bytes).is_err());
    }
}
