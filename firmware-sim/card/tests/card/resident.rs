//! What a resident's programs see: the contract of OpenSC, myna and their like.

use jpki::CertificateKind::{Authentication, Signature};
use jpki::card::{AID_COMMON, AID_FACE_INPUT, AID_JPKI, face_input, fid};
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};
use sim_card::CardProfile;

use crate::terminal::{AUTH_PIN, SIGN_PIN, Terminal};

/// A card with both certificates.
fn issued(profile: CardProfile) -> (Terminal, Vec<u8>, Vec<u8>) {
    let mut terminal = Terminal::new(profile);
    terminal.open();
    terminal.set_pins();
    let auth = terminal.issue_certificate(Authentication, 1);
    let sign = terminal.issue_certificate(Signature, 2);
    assert_eq!(terminal.select(&AID_JPKI), 0x9000);
    (terminal, auth, sign)
}

fn key_of(certificate: &[u8]) -> Vec<u8> {
    use der::{Decode, Encode};
    let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    certificate.tbs_certificate.subject_public_key_info.to_der().unwrap()
}

#[test]
fn probes_of_other_cards_find_nothing() {
    let mut terminal = Terminal::jpki_2016();
    for aid in [
        "627601FF000000",
        "A00000000101",
        "A00000030800001000",
        "A000000116DB00",
        "F276A288BCFBA69D34F31001",
        "D27600012401",
    ] {
        for p2 in ["00", "0C"] {
            assert_eq!(terminal.hex(&format!("00 A4 04 {p2} {:02X} {aid}", aid.len() / 2)), "6A82");
        }
    }
    assert_eq!(terminal.hex("00 CA DF 30 05"), "6A88");
    assert_eq!(terminal.hex("00 CB 3F FF 03 5C 01 7E 08"), "6D00");
    // A part of an AID is not one.
    assert_eq!(terminal.hex("00 A4 04 0C 09 D392F0002601000000"), "6A82");
    assert_eq!(terminal.hex("00 A4 04 0C 0B D392F00026010000000100"), "6A82");
    assert_eq!(terminal.hex("00 A4 04 0C 0A D392F000260100000001"), "9000");
    assert_eq!(hex::encode_upper(terminal.card.atr()), "3BE000FF8131FE4514");
}

#[test]
fn certificates_and_their_access() {
    let (mut terminal, auth, sign) = issued(CardProfile::jpki_2016());
    assert_eq!(terminal.read(fid::AUTH_CERTIFICATE).unwrap(), auth);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE), Err(0x6982));
    assert_eq!(terminal.read(fid::SIGN_CA_CERTIFICATE).unwrap(), [0x5C; 1200]);
    assert_eq!(terminal.read(fid::AUTH_CA_CERTIFICATE).unwrap(), [0xAC; 300]);
    assert_eq!(terminal.read(fid::CERTIFICATE_AVAILABILITY).unwrap(), [0x8F, 0x8F, 0x00]);
    assert_eq!(terminal.read(fid::UNKNOWN_0009), Err(0x6982));
    let token = terminal.read(fid::TOKEN_INFO).unwrap();
    assert_eq!((token.len(), &token[..32]), (160, b"JPKIAPICCTOKEN2                 ".as_slice()));
    assert_eq!(terminal.verify(fid::AUTH_PIN, AUTH_PIN), 0x9000);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE), Err(0x6982), "the other PIN does not open it");
    assert_eq!(terminal.verify(fid::SIGN_PIN, SIGN_PIN), 0x9000);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE).unwrap(), sign);
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE), Err(0x6982), "selecting the application again logs out");
    for secret in [fid::AUTH_KEY, fid::SIGN_KEY, fid::AUTH_PIN, fid::SIGN_PIN] {
        assert_eq!(terminal.read(secret), Err(0x6981));
    }
    assert_eq!(terminal.read(0x0003), Err(0x6A82));
}

#[test]
fn read_binary_at_its_edges() {
    let mut terminal = Terminal::jpki_2016();
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.hex("00 B0 00 00 00"), "6986", "no file selected");
    terminal.select_ef(fid::AUTH_CA_CERTIFICATE);
    let read = |terminal: &mut Terminal, command: &str| terminal.hex(command);
    assert_eq!(read(&mut terminal, "00 B0 00 00 04"), "ACACACAC9000");
    assert_eq!(read(&mut terminal, "00 B0 00 00 00").len(), 2 * (256 + 2));
    assert_eq!(read(&mut terminal, "00 B0 01 00 00").len(), 2 * (44 + 2));
    assert_eq!(read(&mut terminal, "00 B0 01 00 2C").len(), 2 * (44 + 2));
    assert_eq!(read(&mut terminal, "00 B0 01 00 2D"), "6C2C");
    assert_eq!(read(&mut terminal, "00 B0 01 2C 00"), "6B00");
    assert_eq!(read(&mut terminal, "00 B0 7F FF 00"), "6B00");
    assert_eq!(read(&mut terminal, "00 B0 00 00 00 00 00").len(), 2 * (300 + 2), "extended Le");
    assert_eq!(read(&mut terminal, "00 B0 86 00 05"), "4A504B49419000", "short identifier 06");
    assert_eq!(read(&mut terminal, "00 B0 00 00 05"), "4A504B49419000", "which is the current file now");
    assert_eq!(read(&mut terminal, "00 B0 83 00 05"), "6A82");
    assert_eq!(read(&mut terminal, "00 B0 8A 00 05"), "6B00", "no certificate yet");
    assert_eq!(terminal.read(fid::CERTIFICATE_AVAILABILITY).unwrap(), [0, 0, 0]);
}

#[test]
fn tries_run_out_and_the_answer_to_an_empty_verify_is_always_63cx() {
    for (blocked, profile) in [
        (0x6984, CardProfile::jpki_2016()),
        (0x6983, CardProfile { blocked_status: 0x6983, ..CardProfile::jpki_2016() }),
    ] {
        let (mut terminal, ..) = issued(profile);
        assert_eq!(terminal.verify(fid::AUTH_PIN, b""), 0x63C3);
        assert_eq!(terminal.verify(fid::AUTH_PIN, AUTH_PIN), 0x9000);
        assert_eq!(terminal.verify(fid::AUTH_PIN, b""), 0x63C3, "also when it has been verified");
        assert_eq!(terminal.verify(fid::AUTH_PIN, b"1235"), 0x63C2);
        assert_eq!(terminal.hex("00 20 00 98"), "63C2", "by short identifier");
        assert_eq!(terminal.hex("00 20 00 98 05 3132333400"), "63C1", "compared byte for byte");
        assert_eq!(terminal.verify(fid::AUTH_PIN, b"0000"), 0x63C0);
        assert_eq!(terminal.verify(fid::AUTH_PIN, b""), 0x63C0);
        assert_eq!(terminal.verify(fid::AUTH_PIN, AUTH_PIN), blocked, "also with the right PIN");
        terminal.card.power_up().unwrap();
        terminal.select(&AID_JPKI);
        assert_eq!(terminal.verify(fid::AUTH_PIN, AUTH_PIN), blocked, "after a reset too");

        assert_eq!(terminal.verify(fid::SIGN_PIN, b"abc123"), 0x63C4, "letters are not folded");
        assert_eq!(terminal.verify(fid::SIGN_PIN, SIGN_PIN), 0x9000);
        assert_eq!(terminal.verify(fid::SIGN_PIN, b""), 0x63C5, "success restores the counter");
    }
}

#[test]
fn a_wrong_pin_takes_the_verification_back() {
    let (mut terminal, ..) = issued(CardProfile::jpki_2016());
    terminal.verify(fid::SIGN_PIN, SIGN_PIN);
    terminal.verify(fid::SIGN_PIN, b"ABC124");
    assert_eq!(terminal.read(fid::SIGN_CERTIFICATE), Err(0x6982));
}

#[test]
fn a_pin_that_is_not_set_looks_blocked_and_opens_nothing() {
    let mut terminal = Terminal::jpki_2016();
    terminal.select(&AID_JPKI);
    assert_eq!(terminal.verify(fid::AUTH_PIN, b""), 0x63C0);
    assert_eq!(terminal.verify(fid::AUTH_PIN, b"1234"), 0x6985);
}

#[test]
fn change_needs_verify_and_a_good_format() {
    let (mut terminal, ..) = issued(CardProfile::jpki_2016());
    terminal.select_ef(fid::AUTH_PIN);
    assert_eq!(terminal.hex("00 24 01 80 04 35363738"), "6982");
    terminal.verify(fid::AUTH_PIN, AUTH_PIN);
    assert_eq!(terminal.hex("00 24 01 80 03 353637"), "6A80");
    assert_eq!(terminal.hex("00 24 00 80 04 35363738"), "6A86");
    assert_eq!(terminal.hex("00 24 01 80 04 35363738"), "9000");
    assert_eq!(terminal.verify(fid::AUTH_PIN, AUTH_PIN), 0x63C2);
    assert_eq!(terminal.verify(fid::AUTH_PIN, b"5678"), 0x9000);
}

#[test]
fn signatures_in_their_forms() {
    let (mut terminal, auth, sign) = issued(CardProfile::jpki_2016());
    let hash = Sha256::digest(b"message");
    let info = format!("3031300D060960864801650304020105000420{}", hex::encode(hash));
    for (certificate, key, pin_file, pin) in
        [(auth, fid::AUTH_KEY, fid::AUTH_PIN, AUTH_PIN), (sign, fid::SIGN_KEY, fid::SIGN_PIN, SIGN_PIN)]
    {
        terminal.select_ef(key);
        assert_eq!(terminal.hex(&format!("80 2A 00 80 33 {info} 00")), "6982");
        assert_eq!(terminal.verify(pin_file, pin), 0x9000);
        assert_eq!(terminal.hex(&format!("80 2A 00 80 33 {info} 00")), "6981", "the PIN is selected, not the key");
        terminal.select_ef(key);
        let public = RsaPublicKey::from_public_key_der(&key_of(&certificate)).unwrap();
        let before = terminal.clock.elapsed();
        for command in [
            format!("80 2A 00 80 33 {info} 00"),
            format!("80 2A 02 80 20 {} 00", hex::encode(hash)),
            format!("80 2A 03 80 07 {} 00", hex::encode(b"message")),
            format!("80 2A 00 {:02X} 33 {info} 00", 0x80 | key),
        ] {
            let answer = hex::decode(terminal.hex(&command)).unwrap();
            let (signature, status) = answer.split_at(answer.len() - 2);
            assert_eq!((signature.len(), status), (256, [0x90, 0x00].as_slice()));
            public.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, signature).unwrap();
        }
        assert_eq!(terminal.clock.elapsed() - before, 4 * std::time::Duration::from_millis(201));
        assert_eq!(terminal.hex("80 2A 05 80 01 00 00"), "6A86");
        assert_eq!(terminal.hex("80 2A 02 80 01 00 00"), "6700");
        assert_eq!(
            terminal.hex(&format!("80 2A 00 80 F6 {} 00", "00".repeat(0xF6))),
            "6700",
            "246 bytes leave no padding"
        );
        assert_eq!(terminal.hex(&format!("80 2A 00 80 F5 {} 00", "00".repeat(0xF5))).len(), 2 * 258);
    }
}

#[test]
fn the_next_card_signs_with_p384() {
    use p384::ecdsa::signature::hazmat::PrehashVerifier;
    use sha2::Sha384;
    let (mut terminal, auth, _) = issued(CardProfile::jpki_next());
    terminal.verify(fid::AUTH_PIN, AUTH_PIN);
    terminal.select_ef(fid::AUTH_KEY);
    let hash = Sha384::digest(b"message");
    let key = p384::ecdsa::VerifyingKey::from(p384::PublicKey::from_public_key_der(&key_of(&auth)).unwrap());
    for command in
        [format!("80 2A 00 80 30 {} 00", hex::encode(hash)), format!("80 2A 03 80 07 {} 00", hex::encode(b"message"))]
    {
        let answer = hex::decode(terminal.hex(&command)).unwrap();
        let signature = p384::ecdsa::Signature::from_der(&answer[..answer.len() - 2]).unwrap();
        key.verify_prehash(&hash, &signature).unwrap();
    }
    assert_eq!(terminal.hex("80 2A 00 80 01 00 00"), "6700");
}

#[test]
fn long_answers_come_in_pieces() {
    let (mut terminal, ..) = issued(CardProfile::jpki_2016());
    terminal.verify(fid::AUTH_PIN, AUTH_PIN);
    terminal.select_ef(fid::AUTH_KEY);
    let whole = terminal.hex("80 2A 00 80 01 55 00");
    let first = terminal.hex("80 2A 00 80 01 55 64");
    assert!(first.ends_with("619C"), "{first}");
    let second = terminal.hex("00 C0 00 00 32");
    assert!(second.ends_with("616A"));
    let third = terminal.hex("00 C0 00 00 00");
    let joined = [&first[..200], &second[..100], &third].concat();
    assert_eq!(joined, whole);
    assert_eq!(terminal.hex("00 C0 00 00 00"), "6985", "nothing waits");
    terminal.hex("80 2A 00 80 01 55 64");
    terminal.select_ef(fid::AUTH_KEY);
    assert_eq!(terminal.hex("00 C0 00 00 00"), "6985", "another command drops what waits");
}

#[test]
fn chaining_and_its_errors() {
    let (mut terminal, ..) = issued(CardProfile::jpki_2016());
    assert_eq!(terminal.hex("10 20 00 98 02 3132"), "9000");
    assert_eq!(terminal.hex("00 20 00 98 02 3334"), "9000");
    assert_eq!(terminal.hex("10 20 00 98 02 3132"), "9000");
    assert_eq!(terminal.hex("00 20 00 9B 02 3334"), "6883", "another command breaks the chain");
    assert_eq!(terminal.hex("00 20 00 98"), "63C3", "and is not performed, nor is the broken one");
    assert_eq!(terminal.hex("10 20 00 98 02 3132"), "9000");
    assert_eq!(terminal.hex("00 C0 00 00 00"), "6883");
    assert_eq!(terminal.hex("10 B0 00 00"), "6884");
    let part = format!("90 2A 00 80 FF {}", "00".repeat(255));
    for _ in 0..32 {
        assert_eq!(terminal.hex(&part), "9000");
    }
    assert_eq!(terminal.hex(&part), "6700", "more than the card's buffer");
    assert_eq!(terminal.hex("00 20 00 98"), "63C3");
}

#[test]
fn classes_and_instructions_that_are_not_there() {
    let mut terminal = Terminal::jpki_2016();
    for (command, answer) in [
        ("00 A4 04", "6700"),
        ("00 A4 04 0C 0A D392", "6700"),
        ("01 A4 04 0C", "6881"),
        ("41 A4 04 0C", "6881"),
        ("0C A4 04 0C", "6882"),
        ("A0 A4 04 0C", "6E00"),
        ("FF A4 04 0C", "6E00"),
        ("00 D0 00 00", "6D00"),
        ("00 A4 04 04 0A D392F000260100000001", "6A86"),
        ("00 A4 08 0C 02 0001", "6A86"),
        ("00 A4 02 0C 01 00", "6700"),
        ("00 A4 02 0C 02 0001", "6A82"),
    ] {
        assert_eq!(terminal.hex(command), answer, "{command}");
    }
}

#[test]
fn face_input_opens_what_each_number_may_open() {
    let mut terminal = Terminal::jpki_2016();
    for (pin_file, pin, number, basic) in [
        (face_input::PIN, "4321", true, true),
        (face_input::CHECK_NUMBER_A, "123456789018", true, false),
        (face_input::CHECK_NUMBER_B, "55021720352285", false, true),
    ] {
        assert_eq!(terminal.select(&AID_FACE_INPUT), 0x9000);
        assert_eq!(terminal.read(face_input::MY_NUMBER), Err(0x6982));
        assert_eq!(terminal.read(face_input::BASIC_FOUR), Err(0x6982));
        assert_eq!(terminal.verify(pin_file, pin.as_bytes()), 0x9000);
        assert_eq!(terminal.read(face_input::MY_NUMBER).is_ok(), number, "{pin}");
        assert_eq!(terminal.read(face_input::BASIC_FOUR).is_ok(), basic, "{pin}");
    }
    terminal.verify(face_input::PIN, b"4321");
    let number = terminal.read(face_input::MY_NUMBER).unwrap();
    assert_eq!(number, b"\xFF\x10\x0C123456789018\xFF\xFF");
    let file = terminal.read(face_input::BASIC_FOUR).unwrap();
    let (outer, rest) = apdu::tlv::Tlv::parse(&file).unwrap();
    assert!(rest.is_empty());
    let offsets = outer.find(face_input::TAG_OFFSETS).unwrap().bytes().unwrap();
    for (offset, (tag, value)) in offsets.chunks(2).zip([
        (face_input::TAG_NAME, "黒桐　幹也"),
        (face_input::TAG_ADDRESS, "東京都清瀬市観布子南１２－７－２０２"),
        (face_input::TAG_BIRTH, "19800217"),
        (face_input::TAG_SEX, "1"),
    ]) {
        assert_eq!(outer.find(tag).unwrap().bytes().unwrap(), value.as_bytes());
        let offset = usize::from(u16::from_be_bytes([offset[0], offset[1]]));
        assert_eq!(file[offset..offset + 2], tag.to_be_bytes());
    }
    assert_eq!(terminal.verify(face_input::CHECK_NUMBER_B, b""), 0x63CA);
    assert_eq!(terminal.hex("00 24 01 80 04 31313131"), "6982", "nobody changes a check number");
    assert_eq!(terminal.verify(face_input::PIN, b"4321"), 0x9000);
    assert_eq!(terminal.hex("00 24 01 80 04 31313131"), "9000");
}

#[test]
fn the_common_application_tells_the_card() {
    let mut terminal = Terminal::jpki_2016();
    assert_eq!(terminal.select(&AID_COMMON), 0x9000);
    let record = hex::encode_upper("SIM0000000000011322120350217");
    for command in ["00 B2 01 0C 00", "00 B2 01 04 00"] {
        assert_eq!(terminal.hex(command), format!("011C{record}9000"));
    }
    assert_eq!(terminal.hex("00 B2 02 0C 00"), "6A83");
    assert_eq!(terminal.hex("00 B2 01 0D 00"), "6A86");
    assert_eq!(terminal.hex("00 B0 00 00 00"), "6981");
}
