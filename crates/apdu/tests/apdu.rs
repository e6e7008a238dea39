//! Commands and responses as bytes.

use apdu::{ApduError, CommandApdu, Encoding, ResponseApdu, StatusWord};
use proptest::collection::vec;
use proptest::prelude::*;
use zeroize::Zeroizing;

fn command(data: &[u8], le: Option<u32>) -> CommandApdu {
    let command = CommandApdu::new(0x80, 0x2A, 0x9E, 0x9A).with_data(data);
    match le {
        Some(le) => command.with_le(le),
        None => command,
    }
}

/// ISO/IEC 7816-4 §5.1, table of the seven forms.
#[test]
fn the_seven_forms_have_the_bytes_of_the_standard() {
    let (short, extended) = (Encoding::Short, Encoding::Extended);
    let long = vec![0xAB; 0x0102];
    let mut case_3e = vec![0x80, 0x2A, 0x9E, 0x9A, 0x00, 0x01, 0x02];
    case_3e.extend(&long);
    let case_4e = [&case_3e[..], &[0x01, 0x00]].concat();
    let cases = [
        (&[][..], None, short, &[0x80, 0x2A, 0x9E, 0x9A][..]),
        (&[], Some(1), short, &[0x80, 0x2A, 0x9E, 0x9A, 0x01]),
        (&[], Some(256), short, &[0x80, 0x2A, 0x9E, 0x9A, 0x00]),
        (&[], Some(256), extended, &[0x80, 0x2A, 0x9E, 0x9A, 0x00, 0x01, 0x00]),
        (&[], Some(65_536), extended, &[0x80, 0x2A, 0x9E, 0x9A, 0x00, 0x00, 0x00]),
        (&[0], None, short, &[0x80, 0x2A, 0x9E, 0x9A, 0x01, 0x00]),
        (&[1, 2], None, short, &[0x80, 0x2A, 0x9E, 0x9A, 0x02, 1, 2]),
        (&[1, 2], None, extended, &[0x80, 0x2A, 0x9E, 0x9A, 0x00, 0x00, 0x02, 1, 2]),
        (&[1, 2], Some(255), short, &[0x80, 0x2A, 0x9E, 0x9A, 0x02, 1, 2, 0xFF]),
        (&[1, 2], Some(256), short, &[0x80, 0x2A, 0x9E, 0x9A, 0x02, 1, 2, 0x00]),
        (&[1, 2], Some(65_535), extended, &[0x80, 0x2A, 0x9E, 0x9A, 0x00, 0x00, 0x02, 1, 2, 0xFF, 0xFF]),
        (&long, None, extended, &case_3e),
        (&long, Some(256), extended, &case_4e),
    ];
    for (data, le, encoding, bytes) in cases {
        let command = command(data, le);
        assert_eq!(*command.to_bytes(encoding).expect("encodes"), bytes, "{command}");
        let (parsed, parsed_encoding) = CommandApdu::parse_encoded(bytes).expect("parses");
        assert_eq!(parsed, command);
        let header_only = data.is_empty() && le.is_none();
        assert_eq!(parsed_encoding, if header_only { short } else { encoding });
    }
}

#[test]
fn what_an_encoding_cannot_say_is_refused() {
    let cases = [
        (command(&[0; 256], None), Encoding::Short, ApduError::DataTooLong { length: 256, max: 255 }),
        (command(&[0; 65_536], None), Encoding::Extended, ApduError::DataTooLong { length: 65_536, max: 65_535 }),
        (command(&[], Some(257)), Encoding::Short, ApduError::LeOutOfRange { le: 257, max: 256 }),
        (command(&[], Some(65_537)), Encoding::Extended, ApduError::LeOutOfRange { le: 65_537, max: 65_536 }),
        (command(&[], Some(0)), Encoding::Short, ApduError::LeOutOfRange { le: 0, max: 256 }),
        (command(&[], Some(0)), Encoding::Extended, ApduError::LeOutOfRange { le: 0, max: 65_536 }),
    ];
    for (command, encoding, error) in cases {
        assert_eq!(command.to_bytes(encoding), Err(error), "{command}");
    }
}

#[test]
fn bytes_whose_lengths_contradict_each_other_are_refused() {
    for length in 0..4 {
        assert_eq!(CommandApdu::parse(&[0; 4][..length]), Err(ApduError::Truncated { length }));
    }
    let bodies: [&[u8]; 9] = [
        &[0, 1],                   // neither Le nor extended
        &[2, 0xAA],                // one byte short
        &[1, 0xAA, 0, 0],          // short Lc, extended Le
        &[0, 0, 0, 0],             // extended Lc of zero
        &[0, 0, 0, 0, 0],          // the same with Le
        &[0, 0, 2, 0xAA],          // one byte short
        &[0, 0, 1, 0xAA, 0],       // extended Lc, short Le
        &[0, 0, 1, 0xAA, 0, 0, 0], // one byte too many
        &[0, 0xFF, 0xFF, 0xAA],    // cut
    ];
    for body in bodies {
        let bytes = [&[0x00, 0xA4, 0x00, 0x00], body].concat();
        assert_eq!(CommandApdu::parse(&bytes), Err(ApduError::InconsistentLength { length: bytes.len() }), "{body:?}");
    }
    for length in 0..2 {
        assert_eq!(ResponseApdu::parse(&[0x90][..length]), Err(ApduError::Truncated { length }));
    }
}

#[test]
fn printing_shows_no_data() {
    let pin = || Zeroizing::new(b"ABC123".to_vec());
    let command = CommandApdu::new(0x00, 0x20, 0x00, 0x80).with_sensitive(pin()).with_le(256);
    assert_eq!(format!("{command}"), "00 20 00 80 Lc 6 Le 256");
    assert_eq!(format!("{command:?}"), "CommandApdu(00 20 00 80 Lc 6 Le 256)");
    let response = ResponseApdu::new(pin().to_vec(), StatusWord::OK);
    assert_eq!(format!("{response}"), "6 bytes, 9000");
    assert_eq!(format!("{response:?}"), "ResponseApdu(6 bytes, 9000)");
}

#[test]
fn status_words_say_what_they_carry() {
    for word in 0..=u16::MAX {
        let status = StatusWord(word);
        let [sw1, sw2] = word.to_be_bytes();
        let length = if sw2 == 0 { 256 } else { u16::from(sw2) };
        assert_eq!(status.is_ok(), word == 0x9000);
        assert_eq!(status.is_warning(), sw1 == 0x62 || sw1 == 0x63);
        assert_eq!(status.tries_left(), (word & 0xFFF0 == 0x63C0).then_some(sw2 & 0x0F));
        assert_eq!(status.more_data(), (sw1 == 0x61).then_some(length));
        assert_eq!(status.wrong_le(), (sw1 == 0x6C).then_some(length));
        assert!(!status.meaning().is_empty());
    }
    assert_eq!(StatusWord(0x63C2).meaning(), "wrong PIN, tries left");
    assert_eq!(format!("{} {:?}", StatusWord(0x6A82), StatusWord(0x0061)), "6A82 StatusWord(0061)");
}

fn any_command() -> impl Strategy<Value = CommandApdu> {
    let data = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 250..260), vec(any::<u8>(), 0..1500)];
    let le = prop_oneof![Just(None), (1u32..=256).prop_map(Some), (1u32..=65_536).prop_map(Some)];
    (any::<[u8; 4]>(), data, le).prop_map(|([cla, ins, p1, p2], data, le)| {
        let command = CommandApdu::new(cla, ins, p1, p2).with_data(data);
        if let Some(le) = le { command.with_le(le) } else { command }
    })
}

proptest! {
    #[test]
    fn a_command_survives_its_bytes(command in any_command()) {
        for encoding in [command.encoding(), Encoding::Extended] {
            let bytes = command.to_bytes(encoding).expect("in range");
            prop_assert_eq!(&CommandApdu::parse(&bytes).expect("own bytes"), &command);
        }
    }

    #[test]
    fn bytes_that_parse_are_the_bytes_of_what_was_parsed(
        header in any::<[u8; 4]>(),
        body in prop_oneof![vec(any::<u8>(), 0..12), vec(0u8..4, 0..12)],
    ) {
        let bytes = [&header[..], &body].concat();
        if let Ok((command, encoding)) = CommandApdu::parse_encoded(&bytes) {
            prop_assert_eq!(&*command.to_bytes(encoding).expect("was encoded so"), &bytes);
        }
    }

    #[test]
    fn a_response_survives_its_bytes(bytes in vec(any::<u8>(), 0..300)) {
        match ResponseApdu::parse(&bytes) {
            Ok(response) => prop_assert_eq!(&*response.to_bytes(), &bytes),
            Err(error) => prop_assert_eq!(error, ApduError::Truncated { length: bytes.len() }),
        }
    }

    #[test]
    fn a_chain_adds_up_to_the_command(command in any_command(), max_block in 0usize..300) {
        let chain = command.chain(max_block);
        let (last, before) = chain.split_last().expect("never empty");
        for block in before {
            prop_assert!(block.is_chained());
            prop_assert_eq!(block.data().len(), max_block.max(1));
            prop_assert_eq!(block.le(), None);
        }
        prop_assert_eq!((last.cla(), last.le()), (command.cla(), command.le()));
        prop_assert!(last.data().len() <= max_block.max(1));
        let header = |c: &CommandApdu| (c.cla() | 0x10, c.ins(), c.p1(), c.p2());
        prop_assert!(chain.iter().all(|block| header(block) == header(&command)));
        let whole: Vec<u8> = chain.iter().flat_map(|block| block.data().to_vec()).collect();
        prop_assert_eq!(whole, command.data());
    }
}
