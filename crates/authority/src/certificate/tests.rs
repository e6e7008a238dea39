//! Compares what is built here with the certificates of a card of the JPKI test environment, which the package
//! `myna-card` carries.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use der::Decode;
use hsm::{KeyKind, KeyName, SignatureAlgorithm};
use jpki::{CertificateProfile, KeyAlgorithm, oid};
use madoguchi_time::SystemClock;
use sim_hsm::{Provision, SoftwareHsm};

use super::*;
use crate::signer::Keys;

/// A file of the package `myna-card`, as cargo has unpacked it.
fn fixture(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let arguments = ["metadata", "--format-version=1", "--offline", "--manifest-path"];
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let output = Command::new(env!("CARGO")).args(arguments).arg(manifest).output().unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "myna-card");
        let manifest = PathBuf::from(package.unwrap()["manifest_path"].as_str().unwrap());
        manifest.parent().unwrap().join("tests/fixtures")
    });
    std::fs::read(folder.join(name)).unwrap()
}

fn golden(name: &str) -> Certificate {
    Certificate::from_der(&fixture(name)).unwrap()
}

fn signer() -> Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER
        .get_or_init(|| {
            let provision = Provision::empty("golden", [7; 32]).with_key(KeyName::new("ca"), KeyKind::Rsa2048);
            let hsm = SoftwareHsm::in_memory(&provision).unwrap();
            Keys::new(Arc::new(hsm), SystemClock::shared()).signer("ca", SignatureAlgorithm::RsaPkcs1Sha256).unwrap()
        })
        .clone()
}

fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_second(time.to_unix_duration().as_secs() as i64).unwrap()
}

fn period(certificate: &Certificate) -> Period {
    let validity = &certificate.tbs_certificate.validity;
    Period { not_before: timestamp(&validity.not_before), not_after: timestamp(&validity.not_after) }
}

fn serial(certificate: &Certificate) -> u64 {
    crate::ocsp::serial(certificate.tbs_certificate.serial_number.as_bytes()).unwrap()
}

/// Our root in the place of the test environment's: same serial, other key.
fn our_root(kind: CertificateKind, golden: &Certificate) -> CertificationAuthority {
    let names = Names(CertificateProfile::test());
    let certificate = root(&names, kind, &signer(), serial(golden), period(golden)).unwrap();
    CertificationAuthority { kind, certificate, signer: signer() }
}

/// Replaces the one thing that must differ, the identifier of our key, wherever it stands.
fn with_key_identifier_of(golden: &Certificate, der: Vec<u8>) -> Vec<u8> {
    let ours = key_identifier(signer().public_key()).unwrap();
    let theirs = key_identifier(&golden.tbs_certificate.subject_public_key_info).unwrap();
    let at = der.windows(20).position(|window| window == ours.as_bytes()).expect("our key identifier");
    let mut der = der;
    der[at..at + 20].copy_from_slice(theirs.as_bytes());
    der
}

fn municipality() -> Municipality {
    Municipality { code: "13221".to_owned(), prefecture: "Tokyo-to".to_owned(), city: "Kiyose-shi".to_owned() }
}

/// The end-entity certificate that we make of what stands in the golden one.
fn reissued(
    authority: &CertificationAuthority,
    golden: &Certificate,
    subject: Name,
    names: &[(&str, &str)],
) -> Certificate {
    let other_name = |(id, text): &(&str, &str)| (ObjectIdentifier::new(id).unwrap(), (*text).to_owned());
    let content = EndEntity {
        serial: serial(golden),
        subject,
        public_key: golden.tbs_certificate.subject_public_key_info.clone(),
        period: period(golden),
        other_names: names.iter().map(other_name).collect(),
        municipality: &municipality(),
        ocsp_url: "http://test-ocspauthnorm.jpki.go.jp",
    };
    end_entity(&Names(CertificateProfile::test()), authority, content).unwrap()
}

#[test]
fn a_signing_certificate_equals_the_test_cards_byte_for_byte() {
    let golden_root = golden("jpki-sign-ca-cert.der");
    let golden = golden("jpki-sign-cert.der");
    let names = Names(CertificateProfile::test());
    let authority = our_root(CertificateKind::Signature, &golden_root);
    let subject = names.signature_holder(&municipality(), "202510161726000013413221003A").unwrap();
    let other_names = [
        (oid::NAME, "黒桐　幹也"),
        (oid::BIRTH, "319800217"),
        (oid::SEX, "1"),
        (oid::ADDRESS, "東京都清瀬市観布子南１２－７－２０２"),
        (oid::NAME_SUBSTITUTED, "00000"),
        (oid::ADDRESS_SUBSTITUTED, "000000000000000000"),
    ];
    let ours = reissued(&authority, &golden, subject, &other_names);
    let ours = with_key_identifier_of(&golden_root, ours.tbs_certificate.to_der().unwrap());
    assert_eq!(hex::encode(ours), hex::encode(golden.tbs_certificate.to_der().unwrap()));
}

#[test]
fn an_authentication_certificate_equals_the_test_cards_byte_for_byte() {
    let golden_root = golden("jpki-auth-ca-cert.der");
    let golden = golden("jpki-auth-cert.der");
    let names = Names(CertificateProfile::test());
    let authority = our_root(CertificateKind::Authentication, &golden_root);
    let subject = names.authentication_holder("997794E9AGCIEG13221003A").unwrap();
    let ours = reissued(&authority, &golden, subject, &[]);
    let ours = with_key_identifier_of(&golden_root, ours.tbs_certificate.to_der().unwrap());
    assert_eq!(hex::encode(ours), hex::encode(golden.tbs_certificate.to_der().unwrap()));
}

#[test]
fn the_roots_equal_the_test_environments_but_for_the_key() {
    for (kind, files) in [
        (CertificateKind::Signature, ["jpki-sign-ca-cert.der", "jpki-sign-ca-cert-2019.der"]),
        (CertificateKind::Authentication, ["jpki-auth-ca-cert.der", "jpki-auth-ca-cert-2019.der"]),
    ] {
        for file in files {
            let golden = golden(file);
            let mut ours = our_root(kind, &golden).certificate.tbs_certificate;
            ours.subject_public_key_info = golden.tbs_certificate.subject_public_key_info.clone();
            let ours = with_key_identifier_of(&golden, ours.to_der().unwrap());
            assert_eq!(hex::encode(ours), hex::encode(golden.tbs_certificate.to_der().unwrap()), "{file}");
        }
    }
}

#[test]
fn the_next_generation_differs_in_algorithms_only() {
    let provision = Provision::empty("golden", [7; 32]).with_key(KeyName::new("ca"), KeyKind::EcP384);
    let keys = Keys::new(Arc::new(SoftwareHsm::in_memory(&provision).unwrap()), SystemClock::shared());
    let signer = keys.signer("ca", SignatureAlgorithm::EcdsaP384Sha384).unwrap();
    let golden = golden("jpki-sign-ca-cert.der");
    let names = Names(CertificateProfile::test());
    let kind = CertificateKind::Signature;
    let ours = root(&names, kind, &signer, serial(&golden), period(&golden)).unwrap();
    jpki::check_public_key(&signer.public_key().to_der().unwrap(), KeyAlgorithm::EcP384).unwrap();
    let tbs = ours.tbs_certificate.to_der().unwrap();
    let spki = signer.public_key().to_der().unwrap();
    authority_link::signature::verify(&spki, &ours.signature_algorithm, &tbs, ours.signature.raw_bytes()).unwrap();
    let mut like_before = ours.tbs_certificate;
    like_before.signature = golden.tbs_certificate.signature.clone();
    like_before.subject_public_key_info = golden.tbs_certificate.subject_public_key_info.clone();
    like_before.extensions = golden.tbs_certificate.extensions.clone();
    assert_eq!(like_before, golden.tbs_certificate);
}
