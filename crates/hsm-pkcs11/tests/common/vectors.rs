//! Published values, from a token itself: what this project's software has, tokens have too.

use aes_kw::KekAes192;
use cryptoki::mechanism::kbkdf::{Endianness, KbkdfCounterFormat, KbkdfParams, PrfDataParam, PrfDataParamType};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).expect("hexadecimal")
}

/// A key that goes with the session.
fn put(session: &Session, key_type: KeyType, value: &str, more: &[Attribute]) -> ObjectHandle {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Token(false),
        Attribute::Value(bytes(value)),
    ];
    template.extend_from_slice(more);
    session.create_object(&template).expect("put")
}

/// RFC 4493 §4.
pub(crate) fn cmac_has_the_values_of_rfc_4493(session: &Session) {
    let key = put(session, KeyType::AES, "2b7e151628aed2a6abf7158809cf4f3c", &[Attribute::Sign(true)]);
    let message = bytes(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    for (length, code) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        assert_eq!(session.sign(&Mechanism::AesCMac, key, &message[..length]).expect("signed"), bytes(code));
    }
}

/// NIST's validation vectors (CAVS, counter mode, CMAC_AES128, CTRLOCATION=MIDDLE_FIXED, RLEN=8_BITS); `secure-channel` has the same.
pub(crate) fn counter_mode_has_the_values_of_cavs(session: &Session) {
    for (key, before, after, derived) in [
        (
            "f8844ba943586c432a3651f23850bdd4",
            "170b43391c09e65f9672c01d9743767ce9b96f48096e96a0041f3f9ca7ee8703606ed794ba67b5132afe0f83dd1df733e57c",
            "dea6e0549413fc2a26d0",
            "8dfc0cc6a66631351f09c625b6cc4bf0",
        ),
        (
            "81af08477372f38c56e127acd600e24c",
            "65d89a710994ab00ec66588de78560018eec589fc8c86f2d6fcc18783bc793e7c7c467084f59b6c122407695eff18ea2f443",
            "cb9c0a61af46da34fa74",
            "5eb6bdbf35322fef20b6a4e30e1a3f2b4e86bcb002d87e9e1fdea554ffe3077d",
        ),
    ] {
        let key = put(session, KeyType::AES, key, &[Attribute::Derive(true)]);
        let (before, after, derived) = (bytes(before), bytes(after), bytes(derived));
        let counter = KbkdfCounterFormat::new(Endianness::Big, 8.try_into().expect("not zero"));
        let input = [
            PrfDataParam::new(PrfDataParamType::ByteArray(&before)),
            PrfDataParam::new(PrfDataParamType::IterationVariable(Some(&counter))),
            PrfDataParam::new(PrfDataParamType::ByteArray(&after)),
        ];
        let mechanism = Mechanism::KbkdfCounter(KbkdfParams::new(MechanismType::AES_CMAC, &input, None));
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen((derived.len() as u64).into()),
            Attribute::Token(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ];
        let child = session.derive_key(&mechanism, key, &template).expect("derived");
        let value = session.get_attributes(child, &[AttributeType::Value]).expect("readable");
        assert_eq!(value, [Attribute::Value(derived)]);
    }
}

/// RFC 5649 §6. A token that fills up keys with zeros before it wraps them gives what software gives for such a key.
pub(crate) fn key_wrap_has_the_values_of_rfc_5649(session: &Session, mechanism: &Mechanism<'_>, fills_up: bool) {
    const KEK: &str = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8";
    let software = KekAes192::try_from(bytes(KEK).as_slice()).expect("an AES key");
    let kek = put(session, KeyType::AES, KEK, &[Attribute::Wrap(true)]);
    for (key, wrapped) in [
        (
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
        ),
        ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
    ] {
        let mut value = bytes(key);
        assert_eq!(software.wrap_with_padding_vec(&value).expect("wrapped"), bytes(wrapped));
        let key = put(session, KeyType::GENERIC_SECRET, key, &[Attribute::Extractable(true)]);
        let from_token = session.wrap_key(mechanism, kek, key).expect("wrapped");
        if fills_up {
            value.resize(value.len().next_multiple_of(8), 0);
            assert_eq!(from_token, software.wrap_with_padding_vec(&value).expect("wrapped"));
        } else {
            assert_eq!(from_token, bytes(wrapped));
        }
    }
}
