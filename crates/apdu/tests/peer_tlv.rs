//! What we encode, the crate `iso7816-tlv` reads alike. Why it is a peer and not our reader: `docs/adr/0008-ber-tlv-of-our-own.md`.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use apdu::tlv::Tlv;
use iso7816_tlv::ber;
use proptest::prelude::*;

/// Our objects as theirs.
fn theirs(ours: &Tlv) -> ber::Tlv {
    let tag = ber::Tag::try_from(ours.tag().number()).expect("a tag");
    let value = match ours.bytes() {
        Some(bytes) => ber::Value::Primitive(bytes.to_vec()),
        None => ber::Value::Constructed(ours.children().iter().map(theirs).collect()),
    };
    ber::Tlv::new(tag, value).expect("an object")
}

fn object() -> impl Strategy<Value = Tlv> {
    let primitive = (
        prop::sample::select(vec![0x80_u32, 0x9E, 0x5F24, 0xDF21, 0xDF25]),
        prop::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(tag, value)| Tlv::primitive(tag, value));
    primitive.prop_recursive(3, 16, 4, |inner| {
        (prop::sample::select(vec![0xE1_u32, 0x7F21, 0xFF20]), prop::collection::vec(inner, 0..4))
            .prop_map(|(tag, children)| Tlv::constructed(tag, children))
    })
}

proptest! {
    #[test]
    fn both_read_the_same(ours in object()) {
        let encoded = ours.encode().expect("encoded");
        let (read, rest) = ber::Tlv::parse(&encoded);
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read.expect("an object"), theirs(&ours));
    }
}
