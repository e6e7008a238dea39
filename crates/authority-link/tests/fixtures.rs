//! Messages made by OpenSSL are read and written again to the same bytes.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use authority_link::message::{PkiMessage, ProtectionError};
use authority_link::signature::SignatureError;
use der::Decode;
use jiff::Timestamp;
use x509_cert::Certificate;

/// Every message in `tests/fixtures`, with the name of its body.
const FIXTURES: [(&str, &[u8], &str); 21] = [
    ("ir", include_bytes!("fixtures/ir.der"), "ir"),
    ("ip", include_bytes!("fixtures/ip.der"), "ip"),
    ("certConf", include_bytes!("fixtures/certConf.der"), "certConf"),
    ("pkiConf", include_bytes!("fixtures/pkiConf.der"), "pkiconf"),
    ("rr", include_bytes!("fixtures/rr.der"), "rr"),
    ("rp", include_bytes!("fixtures/rp.der"), "rp"),
    ("genm", include_bytes!("fixtures/genm.der"), "genm"),
    ("genp", include_bytes!("fixtures/genp.der"), "genp"),
    ("error", include_bytes!("fixtures/error.der"), "error"),
    ("p10cr", include_bytes!("fixtures/p10cr.der"), "p10cr"),
    ("cp", include_bytes!("fixtures/cp.der"), "cp"),
    ("kur", include_bytes!("fixtures/kur.der"), "kur"),
    ("kup", include_bytes!("fixtures/kup.der"), "kup"),
    ("cr-p384", include_bytes!("fixtures/cr-p384.der"), "cr"),
    ("ir-rsa", include_bytes!("fixtures/ir-rsa.der"), "ir"),
    ("ir-mac", include_bytes!("fixtures/ir-mac.der"), "ir"),
    ("ip-rejection", include_bytes!("fixtures/ip-rejection.der"), "ip"),
    ("ip-waiting", include_bytes!("fixtures/ip-waiting.der"), "ip"),
    ("pollReq", include_bytes!("fixtures/pollReq.der"), "pollReq"),
    ("pollRep", include_bytes!("fixtures/pollRep.der"), "pollRep"),
    ("certConf-rejection", include_bytes!("fixtures/certConf-rejection.der"), "certConf"),
];

#[test]
fn openssl_messages_are_read_and_written_byte_for_byte() {
    for (name, bytes, body) in FIXTURES {
        let message = PkiMessage::from_bytes(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(message.body.name(), body, "{name}");
        assert_eq!(message.to_bytes().expect("encodes").as_slice(), bytes, "{name}");
    }
}

fn fixture(name: &str) -> PkiMessage {
    let (_, bytes, _) = FIXTURES.iter().find(|(fixture, ..)| *fixture == name).expect("a fixture");
    PkiMessage::from_bytes(bytes).expect("reads")
}

fn issuer() -> Certificate {
    Certificate::from_der(include_bytes!("fixtures/ca-certificate.der")).expect("a certificate")
}

/// A moment at which the fixtures' certificates are valid.
fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().expect("a timestamp")
}

#[test]
fn openssl_protection_verifies() {
    for (name, _, body) in FIXTURES {
        let verified = fixture(name).verify_issued_by(&issuer(), now());
        if name == "ir-mac" {
            assert!(matches!(verified, Err(ProtectionError::NoSigner)), "{name}");
        } else {
            let signer = verified.unwrap_or_else(|error| panic!("{name}, {body}: {error}"));
            fixture(name).verify_signed_by(&signer, now()).expect("the same signer");
        }
    }
}

#[test]
fn a_changed_message_or_another_signer_is_refused() {
    let at = now();
    let terminal = fixture("ir").verify_issued_by(&issuer(), at).expect("verifies");
    let server = fixture("ip").verify_issued_by(&issuer(), at).expect("verifies");

    assert!(matches!(fixture("ip").verify_signed_by(&terminal, at), Err(ProtectionError::Foreign)));
    assert!(matches!(fixture("ip").verify_issued_by(&server, at), Err(ProtectionError::Foreign)));

    let mut changed = fixture("ip");
    changed.header.pvno += 1;
    assert!(matches!(changed.verify_signed_by(&server, at), Err(ProtectionError::Signature(SignatureError::Invalid))));

    let mut bare = fixture("ip");
    bare.protection = None;
    assert!(matches!(bare.verify_signed_by(&server, at), Err(ProtectionError::Missing)));

    // The other one's signature under the right name.
    let mut swapped = fixture("ip");
    swapped.protection = fixture("rp").protection;
    assert!(matches!(swapped.verify_signed_by(&server, at), Err(ProtectionError::Signature(SignatureError::Invalid))));

    let long_ago = "2020-01-01T00:00:00Z".parse().expect("a timestamp");
    assert!(matches!(fixture("ip").verify_signed_by(&server, long_ago), Err(ProtectionError::NotValidNow { .. })));
}
