//! BER-TLV of the host, and the card's own: no length leads outside, what was read is written again, and what the card
//! takes the host understands in the same way.

#![no_main]

use apdu::tlv::{self, Tlv};
use libfuzzer_sys::fuzz_target;

/// The card's reader, which is private to it.
#[allow(dead_code, reason = "the card uses all of it")]
#[path = "../../firmware-sim/card/src/tlv.rs"]
mod card;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((object, rest)) = Tlv::parse(bytes) {
        assert!(bytes.ends_with(rest) && rest.len() < bytes.len());
        written_again(&object);
    }
    if let Ok(objects) = tlv::parse_all(bytes) {
        let written = tlv::encode_all(&objects).unwrap();
        // The shortest lengths may be shorter than what was read.
        assert!(written.len() <= bytes.len());
        assert_eq!(tlv::parse_all(&written).unwrap(), objects);
        assert!(objects.iter().all(|object| tlv::find(&objects, object.tag()).is_some()));
    }
    card_takes(bytes);
});

fn written_again(object: &Tlv) {
    let written = object.encode().unwrap();
    let (again, rest) = Tlv::parse(&written).unwrap();
    assert!(rest.is_empty());
    assert_eq!(again, *object);
    let _ = format!("{object:?}");
}

fn card_takes(bytes: &[u8]) {
    let Some(&tag) = bytes.first() else { return };
    if let Some((value, rest)) = card::take(bytes, tag) {
        assert!(bytes.ends_with(rest) && value.len() + rest.len() < bytes.len());
        // What the card writes is DER: the bytes that it has read.
        let mut written = Vec::new();
        card::push(&mut written, tag.into(), value);
        assert_eq!([written.as_slice(), rest].concat(), bytes);
        // The host agrees, unless the tag is none, goes on in a second byte, or holds objects, into which it looks.
        if tag != 0 && tag & 0x1F != 0x1F && tag & 0x20 == 0 {
            let (object, host_rest) = Tlv::parse(bytes).unwrap();
            assert_eq!((object.bytes(), host_rest), (Some(value), rest));
        }
    }
    let wrong = tag ^ 0x01;
    assert!(card::take(bytes, wrong).is_none());
}
