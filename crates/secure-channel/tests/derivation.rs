//! AES-CMAC and key derivation against published values.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use secure_channel::kdf::{self, KdfError, constant};
use secure_channel::key_transport;
use secure_channel::primitives::{NotAnAesKey, cmac};

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).expect("hexadecimal")
}

/// NIST SP 800-38B, appendix D (AES-128 also RFC 4493 §4).
#[test]
fn cmac_has_the_values_of_sp_800_38b() {
    let message = bytes(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    let cases = [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            [
                "bb1d6929e95937287fa37d129b756746",
                "070a16b46b4d4144f79bdd9dd04a287c",
                "dfa66747de9ae63030ca32611497c827",
                "51f0bebf7e3b9d92fc49741779363cfe",
            ],
        ),
        (
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            [
                "d17ddf46adaacde531cac483de7a9367",
                "9e99a7bf31e710900662f65e617c5184",
                "8a1de5be2eb31aad089a82e6ee908b0e",
                "a1d5df0eed790f794d77589659f39a11",
            ],
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            [
                "028962f61b7bf89efc6b551f4667d983",
                "28a7023f452e8f82bd4bf28d8c37c35c",
                "aaf3d8f1de5640c232f5b169b9c911e6",
                "e1992190549f6ed5696a2c056c315410",
            ],
        ),
    ];
    for (key, macs) in cases {
        for (length, mac) in [0, 16, 40, 64].into_iter().zip(macs) {
            let message = &message[..length];
            assert_eq!(cmac(&bytes(key), &[message]).map(|mac| mac.to_vec()), Ok(bytes(mac)));
            let (left, right) = message.split_at(length / 3);
            assert_eq!(cmac(&bytes(key), &[left, &[], right]).map(|mac| mac.to_vec()), Ok(bytes(mac)));
        }
    }
    for length in (0..40).filter(|length| ![16, 24, 32].contains(length)) {
        assert_eq!(cmac(&vec![0; length], &[]), Err(NotAnAesKey(length)));
    }
}

/// The session keys of an NXP JCOP4 card with the default keys, as in the traces' file `jcop4.txt`.
#[test]
fn session_keys_have_published_values() {
    let default_key = bytes("404142434445464748494a4b4c4d4e4f");
    let keys = kdf::session_keys(&default_key, &default_key, &bytes("0102030405060708"), &bytes("734ecdca19e446a3"))
        .expect("AES keys");
    assert_eq!(keys.enc, bytes("72790ca8eddd33ff607b2ea804e25344"));
    assert_eq!(keys.mac, bytes("f7062fb6554bb7b140a7336658c4178e"));
    assert_eq!(keys.rmac, bytes("d6e86d640a74caf2dab8894c64a358e8"));
}

/// `docs/protocols/card-issuing.md` §8; values computed with another implementation of CMAC.
#[test]
fn card_keys_have_the_values_of_the_specification() {
    let master_key: Vec<u8> = (0x40..0x60).collect();
    let diversification = *b"\xa1\xa0\x12\x43\x05\x85\x51\x31\x20\x85";
    let cases = [
        (
            16,
            "041f041947045fb5130bc3619816c759",
            "3c262390b52305d92341cb1035d620a5",
            "ace1a452580ab4f0bf481c59adb36edd",
        ),
        (
            24,
            "4e6c0057096e446960242695dbb3abdcebf1eb978aa84517",
            "6b8f61e559e6a0307f73c8644bfe3f2b683a4407f6c6e7f0",
            "8fe0ac3a1d444ad7376c2c42a85116e1ee451a4c7e4b2b46",
        ),
        (
            32,
            "2707a0007e1097df9f3a0c3df905bc546f97c3e41d679dad4e81a590d3668e64",
            "4ed13404d68800f1d998e94a02972f25f11d2c42f345d53493da16717e0cc2ae",
            "083f7fe77b8aa1900404e0744ee4f4ce6f77a94c8f0c58a8f7c09bce2b34be9d",
        ),
    ];
    for (length, enc, mac, dek) in cases {
        let keys = kdf::card_keys(&master_key, 0x30, &diversification, length).expect("AES lengths");
        assert_eq!([&*keys.enc, &*keys.mac, &*keys.dek], [&bytes(enc), &bytes(mac), &bytes(dek)]);
        let other_version = kdf::card_keys(&master_key, 0x31, &diversification, length).expect("AES lengths");
        assert_ne!(keys.enc, other_version.enc);
    }
    for length in [0, 8, 17, 64] {
        let error = kdf::card_keys(&master_key, 0x30, &diversification, length).err();
        assert_eq!(error, Some(KdfError::NotAnAesKey(NotAnAesKey(length))));
    }
}

/// NIST's validation vectors for SP 800-108 (CAVS, counter mode, CMAC_AES128, CTRLOCATION=MIDDLE_FIXED, RLEN=8_BITS): the layout of
/// SCP03, with the counter behind 50 bytes instead of 15.
#[test]
fn counter_mode_has_the_values_of_cavs() {
    for (key, before, after, derived) in CAVS {
        let blocks = (1..).map(|counter: u8| {
            cmac(&bytes(key), &[&bytes(before), &[counter], &bytes(after)]).expect("an AES key").to_vec()
        });
        let derived = bytes(derived);
        assert_eq!(blocks.take(derived.len().div_ceil(16)).flatten().take(derived.len()).collect::<Vec<_>>(), derived);
    }
}

/// Key, fixed input before and after the counter, result.
const CAVS: [(&str, &str, &str, &str); 4] = [
    (
        "f8844ba943586c432a3651f23850bdd4",
        "170b43391c09e65f9672c01d9743767ce9b96f48096e96a0041f3f9ca7ee8703606ed794ba67b5132afe0f83dd1df733e57c",
        "dea6e0549413fc2a26d0",
        "8dfc0cc6a66631351f09c625b6cc4bf0",
    ),
    (
        "3cc8c5621a795052f288e5464da7010f",
        "7dac5dec921ed40df8ef64318fea097c8df883ec19bfc2c7380a2d3ed0da2136658eb215315755f1a796ca4c47d60f89954a",
        "0b39075dc2d52587434c",
        "64a260623acce683cceee7c997653d5e14c18e67",
    ),
    (
        "81af08477372f38c56e127acd600e24c",
        "65d89a710994ab00ec66588de78560018eec589fc8c86f2d6fcc18783bc793e7c7c467084f59b6c122407695eff18ea2f443",
        "cb9c0a61af46da34fa74",
        "5eb6bdbf35322fef20b6a4e30e1a3f2b4e86bcb002d87e9e1fdea554ffe3077d",
    ),
    (
        "7b4572da1398a381f603e5e93d5154b2",
        "aede23e7e90f2f343134bf4766cb67bad52c5e0170a9ca07fb23e36cc52dcc472d8fb95ec65a3facca20dc37a148f6a2a42a",
        "24489f40f6588b9d5c0f",
        "3452be5f7062537ec48796db84f6f6455abee41868689a379fbf46954fdc9a367d1cf4b9cd9009b0",
    ),
];

/// Computed with `openssl mac` and `openssl enc`: the key-import key of version 30, and K-ENC of version 31 as it is sent to a card that
/// has version 30.
#[test]
fn keys_are_sent_to_cards_as_openssl_enciphers_them() {
    let master_key: Vec<u8> = (0x40..0x60).collect();
    let diversification = *b"\xa1\xa0\x12\x43\x05\x85\x51\x31\x20\x85";
    let cases = [
        (16, "b95b9b86de7063f0ee702d44e565b248", "896800bed5ec696003c4ce9294f2a58d", "7cdd91"),
        (
            24,
            "ee8b8daacbe074ad7f2e44471cbdf36c100b63b27025f410",
            "9d4e3577c030f51ff57a940377421bfcb9496c1ffe4386ff3c6af832be7bc36e",
            "5898f3",
        ),
        (
            32,
            "3e88ba03c90380d9cba98175ae81f6de597c2bc8875afdd25a804ddd3718c603",
            "7fae476a73d243639218e8d257fdd049f676664938be61f4fd119cba4d77bd50",
            "43d4b7",
        ),
    ];
    for (length, import, enciphered, check_value) in cases {
        let import_key = kdf::import_key(&master_key, 0x30, &diversification, length).expect("an AES length");
        assert_eq!(*import_key, bytes(import));
        let present = kdf::card_keys(&master_key, 0x30, &diversification, length).expect("an AES length");
        let next = kdf::card_keys(&master_key, 0x31, &diversification, length).expect("an AES length");
        assert_eq!(key_transport::encipher_key(&present.dek, &next.enc), Ok(bytes(enciphered)));
        assert_eq!(key_transport::check_value(&next.enc).map(|value| value.to_vec()), Ok(bytes(check_value)));
    }
    for length in (0..40).filter(|length| ![16, 24, 32].contains(length)) {
        let no_key = Err(NotAnAesKey(length));
        assert_eq!(key_transport::encipher_key(&[0; 16], &vec![0; length]), no_key);
        assert_eq!(key_transport::encipher_key(&vec![0; length], &[0; 16]), no_key);
        assert_eq!(key_transport::check_value(&vec![0; length]), Err(NotAnAesKey(length)));
    }
}

#[test]
fn only_whole_bytes_within_the_counter_are_derived() {
    let key = [0x55; 32];
    for bits in [8, 64, 128, 136, 192, 256, 32_640] {
        let derived = kdf::derive(&key, constant::S_ENC, bits, &[]).expect("in range");
        assert_eq!(derived.len(), usize::from(bits / 8));
    }
    for bits in [0, 1, 7, 127, 129, 32_648, u16::MAX] {
        assert_eq!(kdf::derive(&key, constant::S_ENC, bits, &[]), Err(KdfError::Bits(bits)));
    }
    assert_eq!(kdf::derive(&[0; 20], constant::S_ENC, 128, &[]), Err(KdfError::NotAnAesKey(NotAnAesKey(20))));
}
