//! The commands of the issuer security domain: GET DATA for everybody; PUT KEY, STORE DATA and DELETE inside a secure channel at
//! the full level (GlobalPlatform Card Specification v2.3, §11; Amendment D v1.2, §7.2). Each is one transaction.

use jpki::card::{data, domain_ins};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aes_key::{AesKey, BLOCK};
use crate::apdu::Command;
use crate::application::{KEY_REFERENCE, ef_object};
use crate::scp03::{Channel, Level};
use crate::state::{Answer, Chip, Session, done, object};
use crate::static_keys::{KeySet, KeyTable, MAX_SETS};
use crate::store::{Change, ObjectId};
use crate::sw::Sw;
use crate::tlv;

/// P1 of STORE DATA: last block, without structure or in BER-TLV, not enciphered (§11.11.2.1).
const LAST_BLOCK: [u8; 2] = [0x80, 0x90];
/// P2 of PUT KEY: several keys, from identifier 1 on (§11.8.2.2).
const KEYS_FROM_1: u8 = 0x81;
/// Length of a key check value.
const CHECK_VALUE: usize = 3;
/// The longest data object that can be stored, in bytes.
const MAX_OBJECT: usize = 4_096;
/// Places of the card record of 共通カードAP: serial number, municipality, expiry.
mod record {
    use std::ops::Range;

    pub(super) const SERIAL: Range<usize> = 2..17;
    pub(super) const MUNICIPALITY: Range<usize> = 17..22;
    pub(super) const EXPIRY: Range<usize> = 22..30;
}

/// Data objects that STORE DATA replaces.
const STORABLE: [u16; 3] = [data::ISSUER_IDENTIFICATION, data::CARD_NUMBER, data::CERTIFICATE_CHAIN];

/// Performs a command that came through a channel of the security domain.
pub(crate) fn perform(chip: &mut Chip, session: &Session, channel: &Channel, command: &Command) -> Answer {
    if command.ins == domain_ins::GET_DATA {
        return get_data(chip, session, command);
    }
    if !matches!(command.ins, domain_ins::PUT_KEY | domain_ins::STORE_DATA | domain_ins::DELETE) {
        return Err(Sw::INS.into());
    }
    if channel.level != Level::FULL {
        return Err(Sw::SECURITY_STATUS.into());
    }
    match command.ins {
        domain_ins::PUT_KEY => put_key(chip, channel, command),
        domain_ins::STORE_DATA => store_data(chip, command),
        _ => delete_key(chip, channel, command),
    }
}

/// Is this an instruction that needs the channel?
pub(crate) fn is_protected(instruction: u8) -> bool {
    matches!(instruction, domain_ins::PUT_KEY | domain_ins::STORE_DATA | domain_ins::DELETE)
}

/// `00 CA <tag> Le`: the object's value, without tag and length, as the real card and others give it.
pub(crate) fn get_data(chip: &Chip, session: &Session, command: &Command) -> Answer {
    let tag = u16::from_be_bytes([command.p1, command.p2]);
    if tag == data::CONTACT_ATR {
        return Ok(Zeroizing::new(chip.profile.atr.get(1..).unwrap_or_default().to_vec()));
    }
    if !session.application.security_domain {
        return Err(Sw::NOT_FOUND.into());
    }
    if let Some(stored) = stored_as(tag)
        && let Some(value) = chip.store.get(stored)?
    {
        return Ok(value);
    }
    let from_record = |range| -> Answer {
        let record = chip.store.get(ef_object::CARD_RECORD)?.unwrap_or_default();
        Ok(Zeroizing::new(record.get::<std::ops::Range<usize>>(range).ok_or(Sw::NOT_FOUND)?.to_vec()))
    };
    match tag {
        data::ISSUER_IDENTIFICATION => Ok(Zeroizing::new(KEY_REFERENCE.to_vec())),
        data::CARD_NUMBER => from_record(record::SERIAL),
        data::CARD_RECOGNITION => Ok(Zeroizing::new(recognition(chip))),
        data::KEY_INFORMATION => key_information(chip),
        data::MUNICIPALITY => from_record(record::MUNICIPALITY),
        data::EXPIRY => from_record(record::EXPIRY),
        _ => Err(Sw::NOT_FOUND.into()),
    }
}

/// Where a storable object is kept.
fn stored_as(tag: u16) -> Option<ObjectId> {
    STORABLE.iter().position(|storable| *storable == tag).map(object::stored_data)
}

/// Card recognition data: GlobalPlatform 2.3, and SCP03 with the profile's parameter (§H.2).
fn recognition(chip: &Chip) -> Vec<u8> {
    /// The arc of GlobalPlatform, 1.2.840.114283.
    const ARC: [u8; 6] = [0x2A, 0x86, 0x48, 0x86, 0xFC, 0x6B];
    let mut body = Vec::new();
    let mut identify = |tag: u8, rest: &[u8]| {
        let oid = [&ARC, rest].concat();
        let mut object = Vec::new();
        tlv::push(&mut object, 0x06, &oid);
        if tag == 0x06 { body.extend(object) } else { tlv::push(&mut body, tag.into(), &object) }
    };
    identify(0x06, &[0x01]);
    identify(0x60, &[0x02, 0x02, 0x03]);
    identify(0x63, &[0x03]);
    identify(0x64, &[0x04, 0x03, chip.profile.scp03_mode.parameter()]);
    let mut template = Vec::new();
    tlv::push(&mut template, 0x73, &body);
    template
}

/// `C0 04 <identifier> <version> 88 <length>` for every key (§11.3.3.1).
fn key_information(chip: &Chip) -> Answer {
    let table = KeyTable::load(chip)?.ok_or(Sw::NOT_FOUND)?;
    let length = chip.profile.scp03_key_length as u8;
    let mut list = Vec::new();
    for set in &table.sets {
        for identifier in 1..=set.keys.len() as u8 {
            tlv::push(&mut list, 0xC0, &[identifier, set.version, domain_ins::KEY_TYPE_AES, length]);
        }
    }
    Ok(Zeroizing::new(list))
}

/// `84 D8 <version to replace, 00 to add> 81 Lc <new version> { 88 L <key, enciphered by K-DEK> 03 <check value> } × 3`, × 4 on a
/// card that takes key pairs.
fn put_key(chip: &mut Chip, channel: &Channel, command: &Command) -> Answer {
    if command.p2 != KEYS_FROM_1 {
        return Err(Sw::P1_P2.into());
    }
    let mut table = KeyTable::load(chip)?.ok_or(Sw::CONDITIONS)?;
    let place = match command.p1 {
        0 => table.sets.len(),
        old => table.position(old).ok_or(Sw::NOT_FOUND)?,
    };
    let (&version, mut rest) = command.data.split_first().ok_or(Sw::WRONG_LENGTH)?;
    let taken = table.position(version).is_some_and(|taken| taken != place);
    if !(0x01..=0x7F).contains(&version) || taken {
        return Err(Sw::BAD_DATA.into());
    }
    if place == MAX_SETS {
        return Err(Sw::NO_MEMORY.into());
    }
    let mut answer = vec![version];
    let mut set = KeySet { version, keys: Vec::with_capacity(chip.profile.keys_of_a_version()) };
    for _ in 0..chip.profile.keys_of_a_version() {
        let (key, check, after) = take_key(channel, chip.profile.scp03_key_length, rest).ok_or(Sw::BAD_DATA)?;
        set.keys.push(key.to_vec());
        answer.extend(check);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(Sw::BAD_DATA.into());
    }
    if chip.mistakes.stores_other_keys {
        set.keys.iter_mut().flatten().for_each(|byte| *byte ^= 0x01);
    }
    if place == table.sets.len() {
        table.sets.push(set);
    } else {
        table.sets[place] = set;
    }
    chip.store.transact(vec![table.storing()])?;
    Ok(Zeroizing::new(answer))
}

type TakenKey<'a> = (Zeroizing<Vec<u8>>, [u8; CHECK_VALUE], &'a [u8]);

/// One key, its check value, and what follows. The key's own length may stand before it (Amendment D §7.2), and need not.
fn take_key<'a>(channel: &Channel, length: usize, bytes: &'a [u8]) -> Option<TakenKey<'a>> {
    let (value, rest) = tlv::take(bytes, domain_ins::KEY_TYPE_AES)?;
    let enciphered = match value.split_first() {
        Some((own, enciphered)) if value.len() % BLOCK == 1 && usize::from(*own) == length => enciphered,
        _ => value,
    };
    if enciphered.len() != length.next_multiple_of(BLOCK) {
        return None;
    }
    let mut key = channel.dek.cbc_decrypt(&[0; BLOCK], enciphered)?;
    key.truncate(length);
    let (&[check_length, ref given @ ..], rest) = rest.split_first_chunk::<{ 1 + CHECK_VALUE }>()?;
    let block = AesKey::new(&key)?.block(u128::from_be_bytes([1; BLOCK]));
    let check = *block.first_chunk()?;
    let is_right = usize::from(check_length) == CHECK_VALUE && bool::from(check.ct_eq(given));
    is_right.then_some((key, check, rest))
}

/// `84 E2 90 00 Lc <data objects>`: all are stored, or none. An empty value takes the object away.
fn store_data(chip: &mut Chip, command: &Command) -> Answer {
    if !LAST_BLOCK.contains(&command.p1) || command.p2 != 0 {
        return Err(Sw::P1_P2.into());
    }
    let mut changes = Vec::new();
    let mut rest: &[u8] = &command.data;
    while !rest.is_empty() {
        let (tag, value, after) = STORABLE
            .iter()
            .find_map(|tag| tlv::take_wide(rest, *tag).map(|(value, after)| (*tag, value, after)))
            .ok_or(Sw::BAD_DATA)?;
        let id = stored_as(tag).ok_or(Sw::BAD_DATA)?;
        if value.len() > MAX_OBJECT {
            return Err(Sw::NO_MEMORY.into());
        }
        changes.push(if value.is_empty() { Change::Delete(id) } else { Change::put(id, value) });
        rest = after;
    }
    if changes.is_empty() {
        return Err(Sw::WRONG_LENGTH.into());
    }
    chip.store.transact(changes)?;
    done()
}

/// `84 E4 00 00 Lc D2 01 <version>`: the version goes, all three keys. Never the last one, nor the one under which this channel
/// was opened: whoever takes keys away has others.
fn delete_key(chip: &mut Chip, channel: &Channel, command: &Command) -> Answer {
    if command.p1 != 0 || command.p2 > 1 {
        return Err(Sw::P1_P2.into());
    }
    let Some(([version], [])) = tlv::take(&command.data, domain_ins::TAG_KEY_VERSION) else {
        return Err(Sw::BAD_DATA.into());
    };
    let mut table = KeyTable::load(chip)?.ok_or(Sw::CONDITIONS)?;
    let place = table.position(*version).ok_or(Sw::NOT_FOUND)?;
    if *version == channel.key_version || table.sets.len() == 1 {
        return Err(Sw::CONDITIONS.into());
    }
    if !chip.mistakes.keeps_deleted_keys {
        table.sets.remove(place);
    }
    chip.store.transact(vec![table.storing()])?;
    // No further data (§11.2.3.1).
    Ok(Zeroizing::new(vec![0]))
}
