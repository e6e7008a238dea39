//! Secure messaging of 券面事項入力補助AP, with a terminal's side written from the measurements.

use aes::Aes128;
use aes::cipher::block_padding::Iso7816;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use jpki::card::{AID_FACE_INPUT, face_input};
use jpki::card_files::{MyNumberFile, SessionKeyFile};
use rand_core::SeedableRng;
use rsa::{BigUint, Oaep, RsaPublicKey};
use sha2::Sha256;

use crate::files::{CHECK_NUMBER_A, WITH_FACE};
use crate::terminal::{POOL, Terminal};

const KEY: [u8; 16] = *b"session key 0001";

struct Hidden {
    terminal: Terminal,
    counter: u32,
}

impl Hidden {
    /// Presents the PIN and delivers a key.
    fn open() -> Self {
        let mut terminal = Terminal::with_memory(WITH_FACE.copy(), POOL.clone());
        terminal.select(&AID_FACE_INPUT);
        terminal.verify(face_input::PIN, b"4321");
        let delivery = delivery(&mut terminal, &[&[0xA0, 0x22, 0x80, 0x20][..], &KEY, &[0x5A; 16]].concat());
        assert_eq!(terminal.hex(&delivery), "9000");
        Self { terminal, counter: 1 }
    }

    fn icv(&self) -> [u8; 16] {
        let mut block = u128::from(self.counter).to_be_bytes().into();
        Aes128::new(&KEY.into()).encrypt_block(&mut block);
        block.into()
    }

    fn send(&mut self, header: &str, data: &[u8]) -> String {
        let cipher = cbc::Encryptor::<Aes128>::new(&KEY.into(), &self.icv().into());
        let cryptogram = cipher.encrypt_padded_vec_mut::<Iso7816>(data);
        let lc = cryptogram.len() + 3;
        let command = format!("08 {header} {lc:02X} 86 {:02X} 01 {}", lc - 2, hex::encode(cryptogram));
        let answer = self.terminal.hex(&command);
        self.counter += 1;
        answer
    }

    fn read(&mut self, length: u16) -> Result<Vec<u8>, String> {
        let answer = self.terminal.hex(&format!("08 B0 00 00 05 96 03 00 {length:04X} 00"));
        let icv = self.icv();
        self.counter += 1;
        let bytes = hex::decode(answer.strip_suffix("9000").ok_or_else(|| answer.clone())?).unwrap();
        let (object, rest) = apdu::tlv::Tlv::parse(&bytes).unwrap();
        let (indicator, cryptogram) = object.bytes().unwrap().split_first().unwrap();
        assert!(rest.is_empty() && object.tag() == 0x86_u8.into() && *indicator == 1);
        let cipher = cbc::Decryptor::<Aes128>::new(&KEY.into(), &icv.into());
        Ok(cipher.decrypt_padded_vec_mut::<Iso7816>(cryptogram).unwrap())
    }
}

/// SET SESSION KEY with this content.
fn delivery(terminal: &mut Terminal, content: &[u8]) -> String {
    let SessionKeyFile(key) = SessionKeyFile::parse(&terminal.read(face_input::SESSION_KEY).unwrap()).unwrap();
    let key = RsaPublicKey::new(BigUint::from_bytes_be(&key.modulus), BigUint::from_bytes_be(&key.exponent)).unwrap();
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let cryptogram = key.encrypt(&mut rng, Oaep::new::<Sha256>(), content).unwrap();
    format!("80 AE 00 00 00 0100 {}", hex::encode(cryptogram))
}

#[test]
fn the_number_is_presented_and_read_without_being_seen() {
    let mut hidden = Hidden::open();
    assert_eq!(hidden.send("20 00 94", CHECK_NUMBER_A), "9000");
    assert_eq!(hidden.send("A4 02 0C", &face_input::MY_NUMBER.to_be_bytes()), "9000");
    let file = hidden.read(0).unwrap();
    assert_eq!(MyNumberFile::parse(&file).unwrap().number.as_bytes(), CHECK_NUMBER_A);
    assert_eq!(hidden.read(3).unwrap(), file[..3]);

    // What the application refuses counts as a command, and costs a try as it does in the open.
    assert_eq!(hidden.send("20 00 94", b"000000000000"), "63C9");
    assert_eq!(hidden.send("20 00 92", b"1234"), "6984");
    assert_eq!(hidden.send("A4 02 0C", &face_input::MY_NUMBER.to_be_bytes()), "9000");
    assert_eq!(hidden.read(3).unwrap(), file[..3]);
    // Open commands in between do not.
    assert_eq!(hidden.terminal.hex("00 B0 00 00 03"), hex::encode_upper(&file[..3]) + "9000");
    assert_eq!(hidden.read(3).unwrap(), file[..3]);
}

#[test]
fn what_ends_a_session() {
    type Wrong = (&'static str, fn(&mut Hidden) -> String, &'static str);
    let wrong: [Wrong; 6] = [
        (
            "a number skipped",
            |h| {
                h.counter += 1;
                h.send("20 00 94", CHECK_NUMBER_A)
            },
            "6988",
        ),
        ("the wrong object", |h| h.terminal.hex("08 20 00 94 05 96 03 00 00 00"), "6988"),
        ("two objects", |h| h.terminal.hex("08 B0 00 00 0A 96 03 00 00 00 96 03 00 00 00 00"), "6988"),
        ("nothing", |h| h.terminal.hex("08 B0 00 00 00"), "6988"),
        ("another command", |h| h.terminal.hex("08 24 01 91 05 96 03 00 00 00"), "6882"),
        ("another application", |h| format!("{:04X}", h.terminal.select(&AID_FACE_INPUT)), "9000"),
    ];
    for (what, give, status) in wrong {
        let mut hidden = Hidden::open();
        assert_eq!(give(&mut hidden), status, "{what}");
        for counter in 1..4 {
            hidden.counter = counter;
            assert_eq!(hidden.read(3), Err("69FC".into()), "{what}");
        }
    }
}

#[test]
fn a_key_is_taken_after_the_pin_and_in_the_right_form_only() {
    let mut terminal = Terminal::with_memory(WITH_FACE.copy(), POOL.clone());
    let seed = [0x5A; 32];
    let good = [&[0xA0, 0x22, 0x80, 0x20][..], &seed].concat();
    terminal.select(&AID_FACE_INPUT);
    terminal.verify(face_input::CHECK_NUMBER_A, CHECK_NUMBER_A);
    let command = delivery(&mut terminal, &good);
    assert_eq!(terminal.hex(&command), "6982", "照合番号A is not enough");
    assert_eq!(terminal.hex("08 B0 00 00 05 96 03 00 00 00 00"), "69FC");
    terminal.verify(face_input::PIN, b"4321");
    for wrong in [
        [&[0xA0, 0x22, 0x81, 0x20][..], &seed].concat(),
        [&[0xA1, 0x22, 0x80, 0x20][..], &seed].concat(),
        [&[0xA0, 0x21, 0x80, 0x1F][..], &seed[..31]].concat(),
        [&good[..], &[0]].concat(),
    ] {
        let command = delivery(&mut terminal, &wrong);
        assert_eq!(terminal.hex(&command), "6A80");
    }
    assert_eq!(terminal.hex(&format!("80 AE 00 00 00 0100 {}", "11".repeat(256))), "6A80", "no OAEP");
    assert_eq!(terminal.hex(&format!("80 AE 00 00 00 0100 {}", "FF".repeat(256))), "6F00", "more than the modulus");
    assert_eq!(terminal.hex("08 B0 00 00 05 96 03 00 00 00 00"), "69FC");
    assert_eq!(terminal.hex(&command), "9000");
}
