//! Programs sign with both keys; OpenSSL verifies with the certificates.

use std::fs;

use jpki::CertificateKind;

use crate::place::{Place, Served, Town, module};

/// A key as OpenSC presents it.
struct Key {
    id: &'static str,
    token: &'static str,
    token_in_uri: &'static str,
    ca: &'static str,
    /// For what OpenSSL takes the certificate.
    purpose: &'static str,
    pin: String,
}

fn keys(town: &Town) -> [Key; 2] {
    [
        Key {
            id: "1",
            token: "JPKI (User Authentication PIN)",
            token_in_uri: "JPKI%20%28User%20Authentication%20PIN%29",
            ca: "3",
            // It is for clients of TLS.
            purpose: "any",
            pin: town.pin(CertificateKind::Authentication),
        },
        Key {
            id: "2",
            token: "JPKI (Digital Signature PIN)",
            token_in_uri: "JPKI%20%28Digital%20Signature%20PIN%29",
            ca: "4",
            purpose: "smimesign",
            pin: town.pin(CertificateKind::Signature),
        },
    ]
}

/// Without it, the engine asks a person for the PIN of the signing key again.
const OPENSC_CONF: &str =
    "app default { card_drivers = jpki; framework pkcs15 { pin_cache_ignore_user_consent = true; } }";

#[test]
fn both_keys_sign_for_programs_and_openssl_verifies() {
    let (town, place) = (Town::issued(), Place::new());
    let _served = Served::start(&town.world_folder(), &place);
    let module = module();
    let content = "申請の内容\n";
    fs::write(place.path("content"), content).unwrap();
    fs::write(place.path("opensc.conf"), OPENSC_CONF).unwrap();

    for Key { id, token, token_in_uri, ca, purpose, pin } in keys(&town) {
        let read = ["--read-certificate", id, "--verify-pin", "--auth-id", id, "--pin", &pin, "-o", "certificate.pem"];
        place.run("pkcs15-tool", read).succeeds();
        place.run("pkcs15-tool", ["--read-certificate", ca, "-o", "ca.pem"]).succeeds();
        place.run("openssl", ["x509", "-in", "certificate.pem", "-noout", "-pubkey", "-out", "key.pem"]).succeeds();

        // pkcs11-tool, with the hash made by the host.
        let id_in_hex = format!("0{id}");
        let to_token = ["--module", &module, "--token-label", token, "--login", "--pin"];
        let sign = ["--sign", "--id", &id_in_hex, "-m", "SHA256-RSA-PKCS", "-i", "content", "-o", "signature"];
        place.run("pkcs11-tool", [&to_token[..], &[&pin], &sign].concat()).succeeds();
        let verify = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "content"];
        assert!(place.run("openssl", verify).succeeds().out().contains("Verified OK"), "{token}");

        // GnuTLS, which verifies with the key on the card too.
        let uri = format!("pkcs11:token={token_in_uri};id=%0{id};type=private");
        let tested = place.run("p11tool", ["--provider", &module, "--login", "--set-pin", &pin, "--test-sign", &uri]);
        let said = tested.succeeds().said();
        assert_eq!(said.matches("... ok").count(), 3, "{said}");

        // OpenSSL's engine: a signed message, and the chain up to the authority.
        let key = format!("{uri};pin-value={pin}");
        let conf = place.path("opensc.conf");
        let cms = ["cms", "-sign", "-engine", "pkcs11", "-keyform", "engine", "-inkey", &key];
        let what = ["-signer", "certificate.pem", "-in", "content", "-binary", "-nodetach", "-outform", "DER"];
        let environment = [("OPENSC_CONF", conf.to_str().unwrap()), ("PKCS11_MODULE_PATH", &module)];
        place.run_with("openssl", [&cms[..], &what, &["-out", "message"]].concat(), &environment).succeeds();
        let verify = ["cms", "-verify", "-inform", "DER", "-in", "message", "-binary"];
        let trust = ["-CAfile", "ca.pem", "-purpose", purpose];
        assert_eq!(place.run("openssl", [&verify[..], &trust].concat()).succeeds().out(), content, "{token}");
    }
}
