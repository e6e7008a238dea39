//! The issuer security domain: keys put, proved and taken away, data stored; inside a channel only, whole or not at all.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use jpki::card::{AID_ISD, AID_JPKI, domain_ins};
use sim_card::nvm::Tear;
use sim_card::{CardProfile, StaticKeySet};
use zeroize::Zeroizing;

use crate::terminal::{KEY_VERSION, POOL, SharedMemory, Terminal, personalisation};

const NEW_VERSION: u8 = 0x31;

/// A set of keys, of the profile's length.
pub(crate) fn keys(first: u8, length: usize) -> StaticKeySet {
    let key =
        |add: u8| Zeroizing::new((0..length as u8).map(|i| i.wrapping_mul(7) ^ first.wrapping_add(add)).collect());
    StaticKeySet { enc: key(1), mac: key(2), dek: key(3), import: None }
}

pub(crate) fn check_value(key: &[u8]) -> Vec<u8> {
    let mut block = [1; 16].into();
    match key.len() {
        16 => Aes128::new(key.into()).encrypt_block(&mut block),
        24 => Aes192::new(key.into()).encrypt_block(&mut block),
        _ => Aes256::new(key.into()).encrypt_block(&mut block),
    }
    block[..3].to_vec()
}

/// A key enciphered by K-DEK, padded to whole blocks.
fn enciphered(dek: &[u8], key: &[u8]) -> Vec<u8> {
    let mut padded = key.to_vec();
    padded.resize(key.len().next_multiple_of(16), 0xA5);
    let icv = [0; 16].into();
    match dek.len() {
        16 => cbc::Encryptor::<Aes128>::new(dek.into(), &icv).encrypt_padded_vec_mut::<NoPadding>(&padded),
        24 => cbc::Encryptor::<Aes192>::new(dek.into(), &icv).encrypt_padded_vec_mut::<NoPadding>(&padded),
        _ => cbc::Encryptor::<Aes256>::new(dek.into(), &icv).encrypt_padded_vec_mut::<NoPadding>(&padded),
    }
}

/// The data of PUT KEY, as yubikit and gpshell send it, or with the key's length before it.
pub(crate) fn put_key_data(version: u8, dek: &[u8], new: &StaticKeySet, own_length: bool) -> Vec<u8> {
    let mut data = vec![version];
    for key in [&new.enc, &new.mac, &new.dek].into_iter().chain(&new.import) {
        let mut value = if own_length { vec![key.len() as u8] } else { Vec::new() };
        value.extend(enciphered(dek, key));
        data.extend([domain_ins::KEY_TYPE_AES, value.len() as u8]);
        data.extend(value);
        data.push(3);
        data.extend(check_value(key));
    }
    data
}

fn own_keys(terminal: &Terminal) -> StaticKeySet {
    personalisation(terminal.card.profile().clone()).keys.clone()
}

/// Selects the security domain and opens a channel with these keys.
pub(crate) fn enter(terminal: &mut Terminal, version: u8, keys: &StaticKeySet) -> Result<(), u16> {
    assert_eq!(terminal.select(&AID_ISD), 0x9000);
    terminal.open_with(version, keys, 0x33)
}

fn put(terminal: &mut Terminal, p1: u8, version: u8, dek: &[u8], new: &StaticKeySet) -> Result<Vec<u8>, u16> {
    terminal.issue(domain_ins::PUT_KEY, p1, 0x81, &put_key_data(version, dek, new, false))
}

fn versions(terminal: &mut Terminal) -> Vec<u8> {
    terminal.select(&AID_ISD);
    let list = hex::decode(terminal.hex("00 CA 00 E0 00")).unwrap();
    list[..list.len() - 2].chunks(6).filter(|entry| entry[2] == 1).map(|entry| entry[3]).collect()
}

#[test]
fn a_changeover_adds_proves_and_removes() {
    let longest = CardProfile { scp03_key_length: 32, ..CardProfile::jpki_next() };
    for profile in [
        CardProfile::jpki_2016(),
        CardProfile::jpki_2016().announcing_extended_length(),
        CardProfile::jpki_next(),
        longest,
    ] {
        for (chains, own_length) in [(false, false), (true, false), (false, true)] {
            let mut terminal = Terminal::new(profile.clone());
            terminal.chains = chains;
            let (old, new) = (own_keys(&terminal), keys(0x11, profile.scp03_key_length));
            enter(&mut terminal, KEY_VERSION, &old).unwrap();
            let data = put_key_data(NEW_VERSION, &old.dek, &new, own_length);
            let answer = terminal.issue(domain_ins::PUT_KEY, 0, 0x81, &data).unwrap();
            let expected = [vec![NEW_VERSION], check_value(&new.enc), check_value(&new.mac), check_value(&new.dek)];
            assert_eq!(answer, expected.concat());
            assert_eq!(versions(&mut terminal), [KEY_VERSION, NEW_VERSION]);

            // Whoever stands on the old keys can't take them away.
            enter(&mut terminal, KEY_VERSION, &old).unwrap();
            let remove_old = [domain_ins::TAG_KEY_VERSION, 1, KEY_VERSION];
            assert_eq!(terminal.issue(domain_ins::DELETE, 0, 0, &remove_old), Err(0x6985));
            enter(&mut terminal, 0, &old).expect("the old keys are the default");
            enter(&mut terminal, NEW_VERSION, &new).unwrap();
            assert_eq!(terminal.issue(domain_ins::DELETE, 0, 0, &remove_old), Ok(vec![0]));
            assert_eq!(versions(&mut terminal), [NEW_VERSION]);
            assert_eq!(enter(&mut terminal, KEY_VERSION, &old), Err(0x6A88));
            enter(&mut terminal, NEW_VERSION, &new).unwrap();
            let remove_new = [domain_ins::TAG_KEY_VERSION, 1, NEW_VERSION];
            assert_eq!(terminal.issue(domain_ins::DELETE, 0, 0, &remove_new), Err(0x6985), "the last ones stay");

            // The new keys open channels to 公的個人認証AP too.
            terminal.select(&AID_JPKI);
            terminal.open_with(NEW_VERSION, &new, 0x33).unwrap();
            assert!(!terminal.status(jpki::CertificateKind::Signature).pin_set);

            // Replacing in place: the channel lives on, and the next one needs the newest keys.
            enter(&mut terminal, NEW_VERSION, &new).unwrap();
            let newest = keys(0x77, profile.scp03_key_length);
            put(&mut terminal, NEW_VERSION, NEW_VERSION, &new.dek, &newest).unwrap();
            assert_eq!(versions(&mut terminal), [NEW_VERSION]);
            enter(&mut terminal, NEW_VERSION, &new).expect_err("replaced");
            enter(&mut terminal, NEW_VERSION, &newest).unwrap();
        }
    }
}

#[test]
fn keys_and_data_need_the_channel_the_level_and_the_right_form() {
    let mut terminal = Terminal::jpki_2016();
    let (old, new) = (own_keys(&terminal), keys(0x11, 16));
    let good = put_key_data(NEW_VERSION, &old.dek, &new, false);
    terminal.select(&AID_ISD);
    for ins in ["D8 00 81", "E2 90 00", "E4 00 00"] {
        assert_eq!(terminal.hex(&format!("80 {ins} 03 D20130")), "6982", "{ins}");
        assert_eq!(terminal.hex(&format!("84 {ins} 0B D201300011223344556677")), "6982", "{ins}");
    }
    for level in [0x01, 0x03, 0x11, 0x13] {
        terminal.select(&AID_ISD);
        terminal.open_with(KEY_VERSION, &old, level).unwrap();
        assert_eq!(terminal.issue(domain_ins::PUT_KEY, 0, 0x81, &good), Err(0x6982), "level {level:02X}");
        assert_eq!(terminal.issue(domain_ins::STORE_DATA, 0x90, 0, b"\x42\x01A"), Err(0x6982));
    }
    assert!(terminal.select(&AID_ISD) == 0x9000 && terminal.open_with(KEY_VERSION, &new, 0x33).is_err(), "wrong keys");
    terminal.open();
    assert_eq!(terminal.issue(domain_ins::PUT_KEY, 0, 0x81, &good), Err(0x6D00), "another application");

    enter(&mut terminal, KEY_VERSION, &old).unwrap();
    let changed = |at: usize| {
        let mut data = good.clone();
        data[at] ^= 1;
        data
    };
    for (what, p1, p2, data, status) in [
        ("one key only", 0, 0x01, good.clone(), 0x6A86),
        ("unknown version to replace", 0x44, 0x81, good.clone(), 0x6A88),
        ("version that is there", 0, 0x81, put_key_data(KEY_VERSION, &old.dek, &new, false), 0x6A80),
        ("version 00", 0, 0x81, put_key_data(0, &old.dek, &new, false), 0x6A80),
        ("version 80", 0, 0x81, put_key_data(0x80, &old.dek, &new, false), 0x6A80),
        ("wrong key type", 0, 0x81, changed(1), 0x6A80),
        ("wrong length", 0, 0x81, changed(2), 0x6A80),
        ("another key", 0, 0x81, changed(5), 0x6A80),
        ("wrong check value", 0, 0x81, changed(good.len() - 1), 0x6A80),
        ("wrong K-DEK", 0, 0x81, put_key_data(NEW_VERSION, &new.dek, &new, false), 0x6A80),
        ("wrong key length", 0, 0x81, put_key_data(NEW_VERSION, &old.dek, &keys(9, 24), false), 0x6A80),
        ("two keys", 0, 0x81, good[..good.len() - 22].to_vec(), 0x6A80),
        ("four keys", 0, 0x81, [&good[..], &good[1..23]].concat(), 0x6A80),
        ("nothing", 0, 0x81, Vec::new(), 0x6700),
    ] {
        assert_eq!(terminal.issue(domain_ins::PUT_KEY, p1, p2, &data), Err(status), "{what}");
    }
    for (what, p1, data, status) in [
        ("not the last block", 0x10, &b"\x42\x01A"[..], 0x6A86),
        ("enciphered", 0xF0, b"\x42\x01A", 0x6A86),
        ("unknown object", 0x90, b"\x66\x01A", 0x6A80),
        ("cut", 0x90, b"\x42\x02A", 0x6A80),
        ("one good, one unknown", 0x90, b"\x42\x01A\x43\x01B", 0x6A80),
        ("nothing", 0x90, b"", 0x6700),
    ] {
        assert_eq!(terminal.issue(domain_ins::STORE_DATA, p1, 0, data), Err(status), "{what}");
    }
    assert_eq!(terminal.issue(domain_ins::DELETE, 0, 0, &[0xD2, 1, 0x44]), Err(0x6A88));
    assert_eq!(terminal.issue(domain_ins::DELETE, 0, 0, &[0xD0, 1, 1, 0xD2, 1, 0x30]), Err(0x6A80));
    assert_eq!(versions(&mut terminal), [KEY_VERSION], "nothing has happened");
    assert_eq!(terminal.hex("00 CA 00 42 00"), hex::encode_upper(b"9000013\x08\x05001\0\0\0\0") + "9000");

    enter(&mut terminal, KEY_VERSION, &old).unwrap();
    for version in [0x31, 0x32, 0x33] {
        put(&mut terminal, 0, version, &old.dek, &new).unwrap();
    }
    assert_eq!(put(&mut terminal, 0, 0x34, &old.dek, &new), Err(0x6A84), "four versions, no more");
}

#[test]
fn what_is_stored_is_read_again_in_every_form() {
    for (length, chains) in
        [(1, false), (127, true), (128, false), (300, true), (300, false), (3000, true), (4096, false)]
    {
        let mut terminal = Terminal::jpki_2016();
        terminal.chains = chains;
        let keys = own_keys(&terminal);
        enter(&mut terminal, KEY_VERSION, &keys).unwrap();
        let value: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut data = vec![0x7F, 0x21];
        match length {
            0..=127 => data.push(length as u8),
            128..=255 => data.extend([0x81, length as u8]),
            _ => data.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        data.extend(&value);
        data.extend(b"\x45\x04CARD");
        terminal.issue(domain_ins::STORE_DATA, 0x90, 0, &data).unwrap();
        for cla in [0x00, 0x80] {
            let read = terminal.issue_in_class(cla, domain_ins::GET_DATA, 0x7F, 0x21, &[]);
            assert_eq!(read.as_ref(), Ok(&value), "in the channel");
        }
        terminal.select(&AID_ISD);
        assert_eq!(terminal.hex("00 CA 7F 21 00 00 00"), hex::encode_upper(&value) + "9000", "outside");
        assert_eq!(terminal.hex("00 CA 00 45 00"), hex::encode_upper("CARD") + "9000");
        terminal.card.power_up().unwrap();
        enter(&mut terminal, KEY_VERSION, &keys).unwrap();
        terminal.issue(domain_ins::STORE_DATA, 0x90, 0, b"\x7F\x21\x00\x45\x00").unwrap();
        terminal.select(&AID_ISD);
        assert_eq!(terminal.hex("00 CA 7F 21 00"), "6A88");
        assert_eq!(terminal.hex("00 CA 00 45 00"), hex::encode_upper("SIM000000000001") + "9000", "as before");
    }
}

/// Data objects, key versions, and which keys open a channel.
fn look(terminal: &mut Terminal) -> (Vec<u8>, Vec<String>, Vec<bool>) {
    let versions = versions(terminal);
    let objects = ["42", "45"].map(|tag| terminal.hex(&format!("00 CA 00 {tag} 00"))).to_vec();
    let sets = [(KEY_VERSION, own_keys(terminal)), (NEW_VERSION, keys(0x11, 16)), (KEY_VERSION, keys(0x55, 16))];
    let opens = sets.iter().map(|(version, keys)| enter(terminal, *version, keys).is_ok()).collect();
    (versions, objects, opens)
}

#[test]
fn every_change_happens_or_does_not_whenever_the_power_goes() {
    type Step = fn(&Terminal) -> (u8, u8, u8, Vec<u8>);
    let add: Step =
        |t| (domain_ins::PUT_KEY, 0, 0x81, put_key_data(NEW_VERSION, &own_keys(t).dek, &keys(0x11, 16), false));
    let replace: Step = |t| {
        let data = put_key_data(KEY_VERSION, &own_keys(t).dek, &keys(0x55, 16), false);
        (domain_ins::PUT_KEY, KEY_VERSION, 0x81, data)
    };
    let store: Step = |_| (domain_ins::STORE_DATA, 0x90, 0, b"\x42\x03ABC\x45\x03DEF".to_vec());
    let delete: Step = |_| (domain_ins::DELETE, 0, 0, vec![domain_ins::TAG_KEY_VERSION, 1, NEW_VERSION]);
    let give = |terminal: &mut Terminal, step: Step| {
        let (ins, p1, p2, data) = step(terminal);
        terminal.attempt(ins, p1, p2, &data)
    };
    for (name, prepare, step) in
        [("add", None, add), ("replace", None, replace), ("store", None, store), ("delete", Some(add), delete)]
    {
        let start = SharedMemory::default();
        personalisation(CardProfile::jpki_2016()).write(start.clone()).unwrap();
        let fresh = |memory: &SharedMemory| Terminal::with_memory(memory.copy(), POOL.clone());
        let entered = |terminal: &mut Terminal| {
            let keys = own_keys(terminal);
            enter(terminal, KEY_VERSION, &keys).unwrap();
        };
        if let Some(prepare) = prepare {
            let mut terminal = Terminal::with_memory(start.clone(), POOL.clone());
            entered(&mut terminal);
            assert!(give(&mut terminal, prepare));
        }
        let before = look(&mut fresh(&start));
        let after = {
            let mut terminal = fresh(&start);
            entered(&mut terminal);
            assert!(give(&mut terminal, step));
            look(&mut terminal)
        };
        assert_ne!(before, after, "{name} changes something");
        let mut seen = (0, 0);
        for tear in Tear::ALL {
            for n in 1.. {
                let mut terminal = fresh(&start);
                entered(&mut terminal);
                let switch = terminal.card.power_switch();
                switch.cut_at_write(n, tear);
                let is_done = give(&mut terminal, step);
                if switch.cancel() {
                    assert!(is_done, "{name}");
                    break;
                }
                assert!(!is_done, "{name}, write {n}, {tear:?}");
                terminal.card.power_up().unwrap();
                let found = look(&mut terminal);
                if found == before {
                    seen.0 += 1;
                } else {
                    seen.1 += 1;
                    assert_eq!(found, after, "{name}, write {n}, {tear:?}");
                }
            }
        }
        assert!(seen.0 >= 3 && seen.1 >= 1, "{name}: {seen:?}");
    }
}
