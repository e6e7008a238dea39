//! PINs in OpenSC: changed, spent, blocked.

use std::fs;

use jpki::CertificateKind;

use crate::place::{Done, Place, Served, Town, module};

const AUTHENTICATION: (&str, &str, &str) = ("1", "JPKI (User Authentication PIN)", "0018");
const SIGNATURE: (&str, &str, &str) = ("2", "JPKI (Digital Signature PIN)", "001B");

fn sign(place: &Place, (id, token, _): (&str, &str, &str), pin: &str) -> Done {
    fs::write(place.path("content"), "content").unwrap();
    let arguments = ["--token-label", token, "--login", "--pin", pin, "--sign", "--id", &format!("0{id}")];
    let more = ["-m", "SHA256-RSA-PKCS", "-i", "content", "-o", "signature", "--module", &module()];
    place.run("pkcs11-tool", [&arguments[..], &more].concat())
}

fn verify(place: &Place, (id, ..): (&str, &str, &str), pin: &str) -> Done {
    place.run("pkcs15-tool", ["--verify-pin", "--auth-id", id, "--pin", pin])
}

/// As OpenSC shows them, for user authentication and for signing.
fn tries_left(place: &Place) -> Vec<u8> {
    let dump = place.run("pkcs15-tool", ["--dump"]).succeeds().out();
    let tries = dump.lines().filter(|line| line.contains("Tries left"));
    tries.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_pin_changed_by_apdus_is_the_pin() {
    let (town, place) = (Town::issued(), Place::new());
    let _served = Served::start(&town.world_folder(), &place);
    for (pin, kind, new) in
        [(AUTHENTICATION, CertificateKind::Authentication, "5937"), (SIGNATURE, CertificateKind::Signature, "N3W9PW")]
    {
        let old = town.pin(kind);
        let with = |header: &str, pin: &str| format!("{header}{:02X}{}", pin.len(), hex::encode_upper(pin));
        let commands = [
            "00A4040C0AD392F000260100000001".to_owned(),
            format!("00A4020C02{}", pin.2),
            with("00200080", &old),
            with("00240180", new),
        ];
        // OpenSC's driver has no change of PINs: one session of raw commands.
        let session = commands.iter().flat_map(|command| ["-s", command]);
        let said = place.run("opensc-tool", session).succeeds().out();
        assert_eq!(said.matches("SW1=0x90, SW2=0x00").count(), commands.len(), "{said}");
        assert!(sign(&place, pin, &old).fails().contains("CKR_PIN_INCORRECT"));
        sign(&place, pin, new).succeeds();
    }
    assert_eq!(tries_left(&place), [3, 5], "a success restores the tries");
}

#[test]
fn wrong_pins_block_as_the_card_is_configured() {
    // What a card answers once a PIN is blocked: as measured on real cards, and as ISO/IEC 7816-4 has it.
    for (status, refusal, in_pkcs11) in [
        (None, "Reference data not usable", "CKR_GENERAL_ERROR"),
        (Some(0x6983), "Authentication method blocked", "CKR_PIN_LOCKED"),
    ] {
        let (town, place) = (Town::issued_with(status), Place::new());
        let _served = Served::start(&town.world_folder(), &place);
        let mut kinds = vec![(AUTHENTICATION, 3, CertificateKind::Authentication, "0000")];
        if status.is_none() {
            kinds.push((SIGNATURE, 5, CertificateKind::Signature, "WR0NGPW"));
        }
        // A PIN that was never set has no tries.
        let mut expected = vec![3, if status.is_none() { 5 } else { 0 }];
        for (index, (pin, tries, kind, wrong)) in kinds.into_iter().enumerate() {
            let right = town.pin(kind);
            for left in (0..tries).rev() {
                let said = verify(&place, pin, wrong).fails();
                assert!(said.contains("PIN code or key incorrect"), "{left}: {said}");
                expected[index] = left;
                assert_eq!(tries_left(&place), expected, "{kind:?}");
            }
            let said = verify(&place, pin, &right).fails();
            assert!(said.contains(refusal), "{status:04X?}: {said}");
            let said = sign(&place, pin, &right).fails();
            assert!(said.contains(in_pkcs11), "{status:04X?}: {said}");
            let slots = place.run("pkcs11-tool", ["--module", &module(), "-L"]).succeeds().out();
            let locked = expected.iter().filter(|left| **left == 0).count();
            assert_eq!(slots.matches("user PIN locked").count(), locked, "{slots}");
        }
    }
}
