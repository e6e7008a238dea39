//! BER-TLV as bytes.

use apdu::tlv::{MAX_DEPTH, Tlv, TlvError, encode_all, find, parse_all};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn a_file_of_the_card_is_read() {
    // The shape of 基本4情報: two-byte tags, lengths longer than necessary, filler behind.
    let mut file = vec![0xFF, 0x20, 0x82, 0x00, 0x0B, 0xDF, 0x22, 0x82, 0x00, 0x02, b'A', b'B', 0xDF, 0x25, 0x01, b'1'];
    file.extend([0xFF; 5]);
    let (template, filler) = Tlv::parse(&file).expect("reads");
    assert_eq!(filler, [0xFF; 5]);
    assert_eq!(template.tag().number(), 0xFF20);
    assert_eq!(template.find(0xDF22_u16).and_then(Tlv::bytes), Some(&b"AB"[..]));
    assert_eq!(template.find(0xDF25_u16).and_then(Tlv::bytes), Some(&b"1"[..]));
    assert_eq!(template.find(0xDF24_u16), None);
    assert!(parse_all(&file).is_err());
    assert_eq!(format!("{template:?}"), "FF20 {DF22 (2 bytes), DF25 (1 bytes)}");
    // Written anew, lengths are the shortest (X.690 §10.1).
    let der = [0xFF, 0x20, 0x09, 0xDF, 0x22, 0x02, b'A', b'B', 0xDF, 0x25, 0x01, b'1'];
    assert_eq!(*template.encode().expect("writes"), der);
}

#[test]
fn lengths_are_written_as_der() {
    for (length, field) in [
        (0, &[0x00][..]),
        (0x7F, &[0x7F]),
        (0x80, &[0x81, 0x80]),
        (0xFF, &[0x81, 0xFF]),
        (0x100, &[0x82, 0x01, 0x00]),
        (0xFFFF, &[0x82, 0xFF, 0xFF]),
        (0x1_0000, &[0x83, 0x01, 0x00, 0x00]),
    ] {
        let object = Tlv::primitive(0x04_u8, vec![0; length]);
        let bytes = object.encode().expect("writes");
        assert_eq!(&bytes[1..=field.len()], field);
        assert_eq!(parse_all(&bytes), Ok(vec![object]));
    }
    assert_eq!(Tlv::primitive(0x04_u8, vec![0; 0x100_0000]).encode(), Err(TlvError::TooLong));
}

#[test]
fn malformed_objects_are_refused() {
    let cases: [(&[u8], TlvError); 12] = [
        (&[0x04], TlvError::Truncated),
        (&[0x04, 0x02, 0x00], TlvError::Truncated),
        (&[0x04, 0x82, 0x01], TlvError::Truncated),
        (&[0x5F], TlvError::Truncated),
        (&[0x5F, 0x81], TlvError::Truncated),
        (&[0x04, 0x01, 0x00, 0x04, 0x05], TlvError::Truncated),
        // The inner object runs past the outer one, not past the data.
        (&[0x30, 0x03, 0x04, 0x02, 0xAA, 0xBB], TlvError::Truncated),
        (&[0x00, 0x00], TlvError::BadTag(0x00)),
        (&[0x5F, 0x81, 0x81, 0x01, 0x00], TlvError::BadTag(0x5F_8181)),
        (&[0x30, 0x80, 0x04, 0x00, 0x00, 0x00], TlvError::BadLength(0x80)),
        (&[0x04, 0x84, 0x00, 0x00, 0x00, 0x00], TlvError::BadLength(0x84)),
        (&[0x04, 0xFF], TlvError::BadLength(0xFF)),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse_all(bytes), Err(error), "{bytes:02X?}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested =
        |depth: usize| (1..depth).fold(Tlv::primitive(0x04_u8, []), |inner, _| Tlv::constructed(0x30_u8, vec![inner]));
    let deepest = nested(MAX_DEPTH).encode().expect("writes");
    assert_eq!(parse_all(&deepest), Ok(vec![nested(MAX_DEPTH)]));
    for depth in [MAX_DEPTH + 1, 60] {
        assert_eq!(parse_all(&nested(depth).encode().expect("writes")), Err(TlvError::TooDeep));
    }
    // A megabyte of headers, each nested in the one before: refused at once, not by running out of stack.
    let headers = 200_000_u32;
    let pile: Vec<u8> = (0..headers)
        .rev()
        .flat_map(|inside| {
            let [_, high, middle, low] = (inside * 5).to_be_bytes();
            [0x30, 0x83, high, middle, low]
        })
        .collect();
    assert_eq!(parse_all(&pile), Err(TlvError::TooDeep));
}

#[test]
fn a_tag_goes_with_its_kind_of_value() {
    for object in [
        Tlv::primitive(0x30_u8, []),
        Tlv::constructed(0x04_u8, vec![]),
        Tlv::primitive(0x00_u8, []),
        Tlv::primitive(0x1F_u8, []),
        Tlv::primitive(0x0481_u16, []),
        Tlv::primitive(0x5F_1F01_u32, []),
        Tlv::primitive(0x5F81_8101_u32, []),
    ] {
        assert_eq!(object.encode(), Err(TlvError::BadTag(object.tag().number())), "{object:?}");
    }
    assert!(find(&[], 0x04_u8).is_none());
}

fn any_object() -> impl Strategy<Value = Tlv> {
    let primitive_tag = prop_oneof![Just(0x80_u32), Just(0x04), Just(0xDF21), Just(0x5F_8101), Just(0x9F_FF7F)];
    let leaf = (primitive_tag, vec(any::<u8>(), 0..200)).prop_map(|(tag, value)| Tlv::primitive(tag, value));
    leaf.prop_recursive(MAX_DEPTH as u32 - 1, 40, 5, |inner| {
        let tag = prop_oneof![Just(0xE1_u32), Just(0x30), Just(0xFF20), Just(0x7F_8101)];
        (tag, vec(inner, 0..5)).prop_map(|(tag, children)| Tlv::constructed(tag, children))
    })
}

proptest! {
    #[test]
    fn objects_survive_their_bytes(objects in vec(any_object(), 0..4)) {
        let bytes = encode_all(&objects).expect("well-formed");
        prop_assert_eq!(parse_all(&bytes), Ok(objects));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop_oneof![vec(any::<u8>(), 0..64), vec(prop_oneof![Just(0x30u8), Just(0x81), 0u8..8], 0..64)]) {
        if let Ok(objects) = parse_all(&bytes) {
            let shortest = encode_all(&objects).expect("was read");
            prop_assert!(shortest.len() <= bytes.len());
            prop_assert_eq!(parse_all(&shortest), Ok(objects));
        }
    }
}
