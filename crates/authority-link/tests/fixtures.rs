//! Messages made by OpenSSL are read and written again to the same bytes.

use authority_link::message::PkiMessage;

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
