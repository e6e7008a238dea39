//! What the module does for one card, opened as only that card can.

use aes_kw::{KekAes128, KekAes192, KekAes256};
use pkcs8::DecodePrivateKey;
use pkcs8::der::{Decode, Header, Reader, SliceReader};
use rsa::traits::PublicKeyParts;
use secure_channel::{CardKeys, kdf};
use spki::EncodePublicKey;
use zeroize::Zeroizing;

use super::{Fixture, derivation};
use crate::{CardKeyPairKind, CardKeySet, EncipheredKey, HsmError, KeyName, SessionDerivation, WrappedKeyPair};

/// A channel's session keys are those that come of the master key by SCP03.
pub fn derives_what_software_derives(fixture: &Fixture) {
    for derivation in super::derivations(fixture) {
        let card = static_keys(fixture, &CardKeySet::from(&derivation));
        let SessionDerivation { host_challenge, card_challenge, .. } = &derivation;
        let expected = kdf::session_keys(&card.enc, &card.mac, host_challenge, card_challenge).unwrap();
        let derived = fixture.hsm.derive_session(&derivation, fixture.soon()).unwrap();
        assert_eq!([&derived.enc, &derived.mac, &derived.rmac], [&expected.enc, &expected.mac, &expected.rmac]);
    }
}

/// A key pair comes wrapped for the one card, fits its public half, is another one each time, and is not in the module afterwards.
pub fn makes_key_pairs_for_one_card(fixture: &Fixture) {
    let keys = fixture.hsm.keys(fixture.soon()).unwrap();
    let mut public_keys = Vec::new();
    let mut make = |kind, card: &CardKeySet| {
        let made = fixture.hsm.make_card_key_pair(kind, card, fixture.soon()).unwrap();
        let opened = unwrap(&import_key(fixture, card), &made).map(|key| public_half(kind, &key));
        assert_eq!(opened.as_ref(), Some(&made.public_key), "{kind:?} for {card:?}");
        for changed in [
            CardKeySet { diversification: *b"0123456780", ..card.clone() },
            CardKeySet { diversification: *b"1123456789", ..card.clone() },
        ] {
            assert!(unwrap(&import_key(fixture, &changed), &made).is_none(), "another card opens it");
        }
        public_keys.push(made.public_key);
    };
    for card in cards(fixture) {
        make(CardKeyPairKind::EcP384, &card);
    }
    // Some modules take seconds for each.
    let card = cards(fixture).pop().unwrap();
    for _ in 0..2 {
        make(CardKeyPairKind::EcP384, &card);
        make(CardKeyPairKind::Rsa2048, &card);
    }
    super::all_differ("key pairs", &public_keys);
    assert_eq!(fixture.hsm.keys(fixture.soon()).unwrap(), keys, "nothing is left behind");
}

/// New static keys open under the present K-DEK, are those of the next version, and come with their check values.
pub fn enciphers_the_keys_of_the_next_version(fixture: &Fixture) {
    let mut changes = 0;
    for present in cards(fixture) {
        for (next, master) in &fixture.card_masters {
            if *next == present.key_version || master.len() < present.key_length {
                continue;
            }
            let sent = fixture.hsm.encipher_card_keys(&present, *next, fixture.soon()).unwrap();
            let k_dek = static_keys(fixture, &present).dek;
            let next_set = CardKeySet { key_version: *next, ..present.clone() };
            let (new, import) = (static_keys(fixture, &next_set), import_key(fixture, &next_set));
            for (name, sent, key) in [
                ("enc", sent.enc, new.enc),
                ("mac", sent.mac, new.mac),
                ("dek", sent.dek, new.dek),
                ("import", sent.import, import),
            ] {
                let EncipheredKey { enciphered, check_value } = sent;
                assert_eq!(enciphered.len(), key.len().next_multiple_of(16), "{name} of {present:?} to {next:02x}");
                let opened = cipher::decrypt(&k_dek, &enciphered);
                assert_eq!(opened[..key.len()], **key, "{name} of {present:?} to {next:02x}");
                assert_eq!(check_value, cipher::encrypt_block(&key, [1; 16])[..3], "{name}: its check value");
            }
            changes += 1;
        }
    }
    assert!(changes > 0, "no two masters");
}

/// What concerns cards is refused as it is when a channel is opened.
pub fn tells_what_is_not_for_cards(fixture: &Fixture) {
    let unknown = |result: Result<(), HsmError>| {
        let missing = KeyName::card_master(0x7f);
        assert!(matches!(&result, Err(HsmError::NoSuchKey(name)) if *name == missing), "{result:?}");
    };
    let stranger = CardKeySet::from(&derivation(0x7f, 16));
    unknown(fixture.hsm.make_card_key_pair(CardKeyPairKind::EcP384, &stranger, fixture.soon()).map(drop));
    for (version, master) in &fixture.card_masters {
        let ours = CardKeySet::from(&derivation(*version, 16));
        unknown(fixture.hsm.encipher_card_keys(&stranger, *version, fixture.soon()).map(drop));
        unknown(fixture.hsm.encipher_card_keys(&ours, 0x7f, fixture.soon()).map(drop));
        for key_length in [0, 15, 17, 24, 32, 33, 64] {
            let card = CardKeySet::from(&derivation(*version, key_length));
            let name = KeyName::card_master(*version);
            let wrong = |result: Result<(), HsmError>| {
                let case = format!("{key_length} bytes, {name}: {result:?}");
                assert!(matches!(&result, Err(HsmError::WrongKind(key)) if *key == name), "{case}");
            };
            if ![24, 32].contains(&key_length) || key_length > master.len() {
                wrong(fixture.hsm.make_card_key_pair(CardKeyPairKind::EcP384, &card, fixture.soon()).map(drop));
                wrong(fixture.hsm.encipher_card_keys(&card, *version, fixture.soon()).map(drop));
            }
        }
    }
}

/// A card of each length for each master.
fn cards(fixture: &Fixture) -> Vec<CardKeySet> {
    let of = |(version, master): &(u8, Vec<u8>)| {
        let fits = |length: &usize| *length <= master.len();
        let cards = [16, 24, 32].into_iter().filter(fits).map(|length| CardKeySet::from(&derivation(*version, length)));
        cards.collect::<Vec<_>>()
    };
    fixture.card_masters.iter().flat_map(of).collect()
}

fn master<'a>(fixture: &'a Fixture, card: &CardKeySet) -> &'a [u8] {
    &fixture.card_masters.iter().find(|(version, _)| *version == card.key_version).unwrap().1
}

fn static_keys(fixture: &Fixture, card: &CardKeySet) -> CardKeys {
    kdf::card_keys(master(fixture, card), card.key_version, &card.diversification, card.key_length).unwrap()
}

fn import_key(fixture: &Fixture, card: &CardKeySet) -> Zeroizing<Vec<u8>> {
    kdf::import_key(master(fixture, card), card.key_version, &card.diversification, card.key_length).unwrap()
}

/// The PKCS #8 key, without the zeros that may follow it.
fn unwrap(import_key: &[u8], pair: &WrappedKeyPair) -> Option<Vec<u8>> {
    let wrapped = &pair.wrapped_private_key;
    let mut opened = match import_key.len() {
        16 => KekAes128::try_from(import_key).unwrap().unwrap_with_padding_vec(wrapped),
        24 => KekAes192::try_from(import_key).unwrap().unwrap_with_padding_vec(wrapped),
        _ => KekAes256::try_from(import_key).unwrap().unwrap_with_padding_vec(wrapped),
    }
    .ok()?;
    let mut reader = SliceReader::new(&opened).unwrap();
    let header = Header::decode(&mut reader).unwrap();
    let end = usize::try_from(reader.position()).unwrap() + usize::try_from(header.length).unwrap();
    let zeros = opened.split_off(end);
    assert!(zeros.len() < 8 && zeros.iter().all(|byte| *byte == 0), "what follows: {zeros:02x?}");
    Some(opened)
}

fn public_half(kind: CardKeyPairKind, pkcs8: &[u8]) -> Vec<u8> {
    match kind {
        CardKeyPairKind::Rsa2048 => {
            let key = rsa::RsaPrivateKey::from_pkcs8_der(pkcs8).unwrap();
            assert_eq!((key.n().bits(), key.e()), (2048, &rsa::BigUint::from(65537_u32)));
            key.validate().unwrap();
            key.to_public_key().to_public_key_der().unwrap().into_vec()
        }
        CardKeyPairKind::EcP384 => {
            p384::SecretKey::from_pkcs8_der(pkcs8).unwrap().public_key().to_public_key_der().unwrap().into_vec()
        }
    }
}

/// AES by the crate itself, not by what the software side of the port uses.
mod cipher {
    use aes::cipher::block_padding::NoPadding;
    use aes::cipher::{BlockDecryptMut, BlockEncrypt, KeyInit, KeyIvInit};
    use aes::{Aes128, Aes192, Aes256};

    pub(super) fn decrypt(key: &[u8], data: &[u8]) -> Vec<u8> {
        let iv = [0; 16].into();
        match key.len() {
            16 => cbc::Decryptor::<Aes128>::new(key.into(), &iv).decrypt_padded_vec_mut::<NoPadding>(data),
            24 => cbc::Decryptor::<Aes192>::new(key.into(), &iv).decrypt_padded_vec_mut::<NoPadding>(data),
            _ => cbc::Decryptor::<Aes256>::new(key.into(), &iv).decrypt_padded_vec_mut::<NoPadding>(data),
        }
        .unwrap()
    }

    pub(super) fn encrypt_block(key: &[u8], block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        match key.len() {
            16 => Aes128::new(key.into()).encrypt_block(&mut block),
            24 => Aes192::new(key.into()).encrypt_block(&mut block),
            _ => Aes256::new(key.into()).encrypt_block(&mut block),
        }
        block.into()
    }
}
