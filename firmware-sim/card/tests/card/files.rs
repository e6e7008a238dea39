//! What the card's own writer has put into the files, read by the host's parsers: two programs meet, and the images are looked at.

use std::io::Cursor;
use std::sync::LazyLock;

use jiff::civil::date;
use jpki::Sex;
use jpki::card::{
    AID_COMMON, AID_FACE_CHECK, AID_FACE_INPUT, AID_ISD, AID_JUKI, common, data, face_check, face_input, juki,
};
use jpki::card_files::{
    AgeRecord, BasicFour, CardRecord, CvCertificate, Face, FaceCheckInformation, FaceInputInformation, IntegrityRecord,
    MyNumberFile, MyNumberImage, SessionKeyFile, SignedKey,
};
use sim_card::{CardProfile, Personalisation};

use crate::terminal::{POOL, SharedMemory, Terminal, personalisation};

pub(crate) const BIRTH: &[u8] = b"550217";
pub(crate) const CHECK_NUMBER_A: &[u8] = b"123456789018";
pub(crate) const CHECK_NUMBER_B: &[u8] = b"55021720352285";

/// A card with everything on it that a card of the bench has.
pub(crate) static WITH_FACE: LazyLock<SharedMemory> = LazyLock::new(|| {
    let memory = SharedMemory::default();
    faced().write(memory.clone()).unwrap();
    memory
});

fn faced() -> Personalisation {
    let mut card = personalisation(CardProfile::jpki_2016());
    card.face = true;
    card
}

fn terminal() -> Terminal {
    Terminal::with_memory(WITH_FACE.copy(), POOL.clone())
}

/// The dots of a PNG, as text: one line per row, `#` for black.
fn dots(png: &[u8]) -> Vec<String> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut rows = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rows).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
    let dot = |row: &[u8], x: usize| if row[x / 8] & (0x80 >> (x % 8)) == 0 { '#' } else { '.' };
    rows.chunks(info.line_size).map(|row| (0..info.width as usize).map(|x| dot(row, x)).collect()).collect()
}

#[test]
fn the_host_reads_every_field_of_face_input() {
    let mut terminal = terminal();
    terminal.select(&AID_FACE_INPUT);
    assert_eq!(terminal.verify(face_input::PIN, b"4321"), 0x9000);
    let my_number = MyNumberFile::parse(&terminal.read(face_input::MY_NUMBER).unwrap()).unwrap();
    assert_eq!(my_number.number, "123456789018");
    let basic = BasicFour::parse(&terminal.read(face_input::BASIC_FOUR).unwrap()).unwrap();
    assert_eq!((basic.name.as_str(), basic.address.as_str()), ("黒桐　幹也", "東京都清瀬市観布子南１２－７－２０２"));
    assert_eq!((basic.birth, basic.sex), (date(1980, 2, 17), Sex::Male));
    let integrity = IntegrityRecord::parse(&terminal.read(face_input::INTEGRITY).unwrap()).unwrap();
    assert!(integrity.covers(&my_number, &basic));
    let certificate = CvCertificate::parse(&terminal.read(face_input::CERTIFICATE).unwrap()).unwrap();
    assert_eq!((certificate.issuer.number(), certificate.subject.number()), ("9000033".into(), "1322131".into()));
    assert!(integrity.is_signed_by(&certificate.key));
    let information = FaceInputInformation::parse(&terminal.read(face_input::INFORMATION).unwrap()).unwrap();
    assert_eq!((information.identification, information.key.number()), ([1, 3, 14, 1], "9000034".into()));
    let session = SessionKeyFile::parse(&terminal.read(face_input::SESSION_KEY).unwrap()).unwrap();
    let signed = SignedKey::parse(&terminal.read(face_input::SIGNED_KEY).unwrap()).unwrap();
    assert!(signed.is_signed_by(&certificate.key) && session.0 != signed.key);

    // The application signs a challenge with that key, and needs no PIN for it.
    terminal.select(&AID_FACE_INPUT);
    let answer = hex::decode(terminal.hex("80 2A 03 00 09 6368616C6C656E6765 00")).unwrap();
    assert!(signed.key.has_signed(b"challenge", &answer[..256]));
}

#[test]
fn the_host_reads_every_field_of_face_check() {
    let mut terminal = terminal();
    terminal.select(&AID_FACE_CHECK);
    assert_eq!(terminal.verify(face_check::CHECK_NUMBER_A, CHECK_NUMBER_A), 0x9000);
    let certificate = CvCertificate::parse(&terminal.read(face_check::CERTIFICATE).unwrap()).unwrap();
    assert_eq!((certificate.issuer.number(), certificate.subject.number()), ("9000023".into(), "1322121".into()));
    let information = FaceCheckInformation::parse(&terminal.read(face_check::INFORMATION).unwrap()).unwrap();
    assert_eq!((information.municipality.as_str(), information.key.number()), ("13221", "9000024".into()));

    let face = Face::parse(&terminal.read(face_check::FACE).unwrap()).unwrap();
    assert_eq!((face.birth, face.sex, face.expiry), (date(1980, 2, 17), Sex::Male, date(2035, 2, 17)));
    assert!(face.is_signed_by(&certificate.key));
    let name = dots(&face.name_image);
    assert_eq!((name.len(), name[0].len()), (12, 216), "as on the real card");
    // 桐, the second character.
    let expected = [
        "..#.........",
        "..#.#######.",
        "..#.#.....#.",
        "#####.###.#.",
        "..#.#.....#.",
        ".##.#.###.#.",
        ".####.#.#.#.",
        ".##.#.#.#.#.",
        "#.#.#.###.#.",
        "#.#.#.....#.",
        "..#.#.....#.",
        "..#.#....##.",
    ];
    for (row, expected) in name.iter().zip(expected) {
        assert_eq!(row[12..24], *expected);
    }
    assert!(name.iter().all(|row| row[5 * 12..].chars().all(|dot| dot == '.')), "five characters, then white");
    let address = dots(&face.address_image);
    assert_eq!((address.len(), address[0].len()), (12, 288));
    assert!(face.photo.windows(4).any(|marker| marker == b"jp2c"));
    let code = dots(&face.security_code_image);
    assert_eq!((code.len(), code[0].len()), (12, 24));
    // 2285: twice the same digit, then two others.
    let digit = |n: usize| code.iter().map(|row| row[n * 6..n * 6 + 6].to_owned()).collect::<Vec<_>>();
    assert!(digit(0) == digit(1) && digit(1) != digit(2) && digit(2) != digit(3));

    let number = MyNumberImage::parse(&terminal.read(face_check::MY_NUMBER_IMAGE).unwrap()).unwrap();
    assert!(number.is_signed_by(&certificate.key));
    let image = dots(&number.image);
    assert_eq!((image.len(), image[0].len()), (12, 72));
    assert_eq!(terminal.verify(face_check::BIRTH, BIRTH), 0x9000);
    let age = AgeRecord::parse(&terminal.read(face_check::AGE).unwrap()).unwrap();
    assert!(age.birth == face.birth && age.is_signed_by(&certificate.key));

    terminal.select(&AID_FACE_CHECK);
    for command in ["80 2A 03 00 09 6368616C6C656E6765 00", "80 2A 03 9A 09 6368616C6C656E6765 00"] {
        let answer = hex::decode(terminal.hex(command)).unwrap();
        assert!(age.key.has_signed(b"challenge", &answer[..256]), "{command}");
    }
}

#[test]
fn long_names_take_several_lines_and_unknown_characters_a_mark() {
    let mut long = faced();
    long.name = "あ".repeat(40);
    long.address = "𠮷".repeat(100);
    let memory = SharedMemory::default();
    long.write(memory.clone()).unwrap();
    let mut terminal = Terminal::with_memory(memory, POOL.clone());
    terminal.select(&AID_FACE_CHECK);
    terminal.verify(face_check::CHECK_NUMBER_B, CHECK_NUMBER_B);
    let face = Face::parse(&terminal.read(face_check::FACE).unwrap()).unwrap();
    let name = dots(&face.name_image);
    assert_eq!((name.len(), name[0].len()), (36, 216));
    assert_eq!(name[0..12], name[12..24]);
    assert!(name[24][4 * 12..].chars().all(|dot| dot == '.'));
    let address = dots(&face.address_image);
    assert_eq!(address.len(), 5 * 12);
    assert!(address[..12].iter().any(|row| row.starts_with(".########") || row.starts_with("##########")), "〓");
}

#[test]
fn the_records_and_data_objects_agree() {
    let mut terminal = terminal();
    terminal.select(&AID_COMMON);
    terminal.select_ef(common::CARD_RECORD);
    let record = hex::decode(terminal.hex("00 B2 01 04 00")).unwrap();
    let record = CardRecord::parse(&record[..record.len() - 2]).unwrap();
    assert_eq!((record.serial.as_str(), record.municipality.as_str()), ("SIM000000000001", "13221"));
    let reference = terminal.hex("00 B2 01 14 00");
    assert_eq!(terminal.select_ef(common::KEY_REFERENCE), 0x9000);
    terminal.select(&AID_JUKI);
    assert_eq!(terminal.select_ef(juki::KEY_REFERENCE), 0x9000);
    assert_eq!(terminal.hex("00 B2 01 04 00"), reference);

    terminal.select(&AID_ISD);
    let get =
        |terminal: &mut Terminal, tag: u16| terminal.hex(&format!("00 CA {:02X} {:02X} 00", tag >> 8, tag & 0xFF));
    assert_eq!(get(&mut terminal, data::ISSUER_IDENTIFICATION), reference);
    assert_eq!(get(&mut terminal, data::CARD_NUMBER), hex::encode_upper("SIM000000000001") + "9000");
    assert_eq!(get(&mut terminal, data::MUNICIPALITY), hex::encode_upper("13221") + "9000");
    assert_eq!(get(&mut terminal, data::EXPIRY), hex::encode_upper("20350217") + "9000");
    assert_eq!(
        get(&mut terminal, data::CARD_RECOGNITION),
        "732E06072A864886FC6B01600B06092A864886FC6B020203630906072A864886FC6B03640B06092A864886FC6B0403709000"
    );
    assert_eq!(get(&mut terminal, data::KEY_INFORMATION), "C00401308810C00402308810C004033088109000");
    assert_eq!(get(&mut terminal, data::CONTACT_ATR), "E000FF8131FE45149000");
    assert_eq!(get(&mut terminal, data::CERTIFICATE_CHAIN), "6A88");
    terminal.select(&AID_JUKI);
    assert_eq!(get(&mut terminal, data::CONTACT_ATR), "E000FF8131FE45149000");
    assert_eq!(get(&mut terminal, data::EXPIRY), "6A88");
}

#[test]
fn internal_authenticate_and_other_commands_of_the_surveyed_card() {
    let mut terminal = terminal();
    terminal.select(&AID_COMMON);
    let answer = terminal.hex("00 88 00 99 09 6368616C6C656E6765 00");
    assert_eq!((answer.len(), &answer[512..]), (516, "9000"));
    assert_eq!(terminal.hex("00 88 00 9C 01 00 00"), "6981", "a PIN is no key");
    assert_eq!(terminal.hex("80 AE 00 00 01 00"), "66F1");
    terminal.select(&AID_FACE_CHECK);
    assert_eq!(terminal.hex("00 88 00 9A 01 00 00"), "6985", "this key signs by the other command");
    assert_eq!(terminal.hex("80 AE 00 00 01 00"), "66F1");
    terminal.select(&jpki::card::AID_JPKI);
    assert_eq!(terminal.hex("00 88 00 97 01 00 00"), "6982", "behind a PIN");
    assert_eq!(terminal.hex("80 AE 00 00 01 00"), "6982");
    assert_eq!(terminal.select_ef(jpki::card::fid::TERMINAL_CA_KEY), 0x9000);
    assert_eq!(terminal.hex("00 B0 00 00 00"), "6981");
    terminal.select(&AID_FACE_INPUT);
    assert_eq!(terminal.verify(face_input::BLOCKED, b""), 0x63C0);
    assert_eq!(terminal.verify(face_input::BLOCKED, b"1234"), 0x6984);
    // The seven bytes that some take for the whole AID of the issuer security domain.
    assert_eq!(terminal.hex("00 A4 04 0C 07 A0000001510000"), "9000");
}

/// The two PINs that are 住民基本台帳用暗証番号 are two key references: changing one leaves the other.
#[test]
fn the_pin_of_the_register_is_two() {
    let mut terminal = terminal();
    for (aid, own, other) in [(AID_JUKI, juki::PIN, AID_COMMON), (AID_COMMON, common::PIN, AID_JUKI)] {
        terminal.select(&aid);
        assert_eq!(terminal.verify(own, b"5678"), 0x9000);
        assert_eq!(terminal.hex("00 24 01 80 04 38373635"), "6982", "not by CHANGE REFERENCE DATA");
        assert_eq!(terminal.hex("80 32 00 80 03 383736"), "6A80");
        assert_eq!(terminal.hex("80 32 01 80 04 38373635"), "6A86");
        assert_eq!(terminal.hex("80 32 00 80 04 38373635"), "9000");
        assert_eq!(terminal.verify(own, b"5678"), 0x63C2);
        assert_eq!(terminal.verify(own, b"8765"), 0x9000);
        terminal.select(&other);
        assert_eq!(terminal.verify(juki::PIN, if aid == AID_JUKI { b"5678" } else { b"8765" }), 0x9000);
    }
}

#[test]
fn a_card_without_a_face_has_these_files_and_they_are_empty() {
    let mut terminal = Terminal::jpki_2016();
    terminal.select(&AID_FACE_CHECK);
    assert_eq!(terminal.verify(face_check::CHECK_NUMBER_A, CHECK_NUMBER_A), 0x9000);
    assert_eq!(terminal.read(face_check::FACE), Ok(Vec::new()));
}
