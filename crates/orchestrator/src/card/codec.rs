//! Issuing commands as APDUs and their answers as data (`docs/protocols/card-issuing.md`).

use apdu::{CommandApdu, ResponseApdu, tlv};
use hsm::EncipheredKey;
use jpki::card::{self, ins, tag};
use jpki::{CertificateKind, Pin, Sex};
use zeroize::Zeroizing;

use crate::procedure::{CardCommand, CardData, CardReply, Holder, Name, Pending, SlotStatus, TransactionId};

/// CLA of the issuing commands.
const CLA: u8 = 0x84;
/// Le of commands whose answer is short.
const SHORT_ANSWER: u32 = 256;
/// Le of commands whose answer may be a certificate or a key.
const LONG_ANSWER: u32 = 65_536;

/// An issuing command as an APDU, before the channel wraps it. Nothing for commands that travel outside the channel.
pub(super) fn encode(command: &CardCommand, algorithm: u8) -> Option<CommandApdu> {
    let plain = |ins: u8, kind: CertificateKind| CommandApdu::new(CLA, ins, kind.p1(), 0);
    Some(match command {
        CardCommand::ReadSerial
        | CardCommand::ReadHolder(_)
        | CardCommand::OpenChannel
        | CardCommand::ReadKeyVersions
        | CardCommand::OpenDomain(_)
        | CardCommand::PutKeys(_)
        | CardCommand::DeleteKeys(_) => return None,
        CardCommand::Status(kind) => plain(ins::GET_SLOT_STATUS, *kind).with_le(SHORT_ANSWER),
        CardCommand::SetPin(kind, pin) => plain(ins::SET_INITIAL_PIN, *kind).with_sensitive(secret(pin)),
        CardCommand::VerifyPin(kind, pin) => {
            CommandApdu::new(CLA, ins::VERIFY, 0, pin_reference(*kind)).with_sensitive(secret(pin))
        }
        CardCommand::Generate(kind, transaction, overwrites) => {
            let data = [&transaction[..], overwrites.as_ref().map_or(&[][..], |name| &name[..])].concat();
            CommandApdu::new(CLA, ins::GENERATE_KEY_PAIR, kind.p1(), algorithm).with_data(data).with_le(SHORT_ANSWER)
        }
        CardCommand::Import(kind, transaction, overwrites, name, wrapped) => {
            let overwrites = overwrites.as_ref().map_or(&[][..], |name| &name[..]);
            let data = [&transaction[..], overwrites, name, wrapped].concat();
            CommandApdu::new(CLA, ins::IMPORT_KEY_PAIR, kind.p1(), algorithm).with_data(data).with_le(SHORT_ANSWER)
        }
        CardCommand::ReadKey(kind) => plain(ins::GET_PENDING_PUBLIC_KEY, *kind).with_le(LONG_ANSWER),
        CardCommand::Sign(kind, data) => {
            plain(ins::SIGN_WITH_PENDING_KEY, *kind).with_data(data.clone()).with_le(LONG_ANSWER)
        }
        CardCommand::Write(kind, spki, certificate, der) => {
            let mut data = Zeroizing::new(Vec::with_capacity(spki.len() + certificate.len() + der.len()));
            data.extend_from_slice(spki);
            data.extend_from_slice(certificate);
            data.extend_from_slice(der);
            plain(ins::WRITE_PENDING_CERTIFICATE, *kind).with_sensitive(data)
        }
        CardCommand::ReadBack(kind) => plain(ins::GET_PENDING_CERTIFICATE, *kind).with_le(LONG_ANSWER),
        CardCommand::Commit(kind, name) => plain(ins::COMMIT, *kind).with_data(name.to_vec()),
        CardCommand::Discard(kind, name) => plain(ins::DISCARD, *kind).with_data(name.to_vec()),
    })
}

/// What the answer to `command` says.
pub(super) fn decode(command: &CardCommand, response: &ResponseApdu) -> CardReply {
    if !response.status.is_ok() {
        return CardReply::Refused(response.status);
    }
    match command {
        CardCommand::Status(_) => {
            slot_status(&response.data).map_or(CardReply::Nonsense, |status| CardReply::Done(CardData::Status(status)))
        }
        CardCommand::Generate(..)
        | CardCommand::Import(..)
        | CardCommand::ReadKey(_)
        | CardCommand::Sign(..)
        | CardCommand::ReadBack(_) => CardReply::Done(CardData::Bytes(response.data.clone())),
        _ => CardReply::Done(CardData::None),
    }
}

/// Identifier of the key-import key; K-ENC, K-MAC and K-DEK have 1 to 3.
pub(super) const KEY_IMPORT_KEY: u8 = 4;

/// A static key that a card has.
pub(super) struct KeyInformation {
    pub(super) identifier: u8,
    pub(super) version: u8,
}

/// The key information template: `C0 04 <identifier> <version> <type> <length>` for every key (GlobalPlatform Card Specification v2.3
/// §11.3.3.1).
pub(super) fn key_information(data: &[u8]) -> Option<Vec<KeyInformation>> {
    /// Tag of one key's information.
    const KEY: u32 = 0xC0;
    let objects = tlv::parse_all(data).ok()?;
    let key = |object: &tlv::Tlv| match object.bytes()? {
        [identifier, version, ..] if object.tag() == KEY.into() => {
            Some(KeyInformation { identifier: *identifier, version: *version })
        }
        _ => None,
    };
    objects.iter().map(key).collect()
}

/// PUT KEY that adds a version: several keys, from identifier 1 on (§11.8.2.2). `length` is that of each key, which may be shorter than
/// what it is enciphered to (Amendment D §7.2).
pub(super) fn put_key(version: u8, keys: &[EncipheredKey], length: usize) -> CommandApdu {
    const ADD: u8 = 0x00;
    const KEYS_FROM_1: u8 = 0x81;
    let mut data = vec![version];
    for key in keys {
        data.extend([card::domain_ins::KEY_TYPE_AES, key.enciphered.len() as u8 + 1, length as u8]);
        data.extend_from_slice(&key.enciphered);
        data.push(key.check_value.len() as u8);
        data.extend(key.check_value);
    }
    CommandApdu::new(CLA, card::domain_ins::PUT_KEY, ADD, KEYS_FROM_1).with_data(data).with_le(SHORT_ANSWER)
}

/// What a card answers that took these keys (§11.8.3.1).
pub(super) fn put_key_answer(version: u8, keys: &[EncipheredKey]) -> Vec<u8> {
    std::iter::once(version).chain(keys.iter().flat_map(|key| key.check_value)).collect()
}

/// DELETE of a version, all its keys (§11.2.2.3.2).
pub(super) fn delete_key(version: u8) -> CommandApdu {
    let data = [card::domain_ins::TAG_KEY_VERSION, 1, version];
    CommandApdu::new(CLA, card::domain_ins::DELETE, 0, 0).with_data(data).with_le(SHORT_ANSWER)
}

fn secret(pin: &Pin) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(pin.as_bytes().to_vec())
}

/// P2 of VERIFY: the short identifier of the PIN's file (ISO/IEC 7816-4 §11.5.6).
fn pin_reference(kind: CertificateKind) -> u8 {
    let fid = match kind {
        CertificateKind::Signature => card::fid::SIGN_PIN,
        CertificateKind::Authentication => card::fid::AUTH_PIN,
    };
    0x80 | fid.to_be_bytes()[1]
}

fn slot_status(data: &[u8]) -> Option<SlotStatus> {
    let objects = tlv::parse_all(data).ok()?;
    let template = tlv::find(&objects, u32::from(tag::STATUS))?;
    let value = |tag: u8| template.find(u32::from(tag))?.bytes();
    let byte = |tag: u8| match value(tag)? {
        [byte] => Some(*byte),
        _ => None,
    };
    let name = |tag: u8| Name::try_from(value(tag)?).ok();
    Some(SlotStatus {
        active: match byte(tag::ACTIVE)? {
            0 => None,
            _ => Some(name(tag::ACTIVE_CERTIFICATE)?),
        },
        pending: match byte(tag::PENDING)? {
            0 => Pending::Empty,
            1 => Pending::Key(name(tag::PENDING_KEY)?),
            2 => Pending::Complete(
                TransactionId::try_from(value(tag::PENDING_TRANSACTION)?).ok()?,
                name(tag::PENDING_CERTIFICATE)?,
            ),
            _ => return None,
        },
        pin_set: byte(tag::PIN_SET)? != 0,
        tries_left: byte(tag::TRIES_LEFT)?,
        algorithm: byte(tag::ALGORITHM)?,
        pending_slot: byte(tag::HAS_PENDING_SLOT)? != 0,
        overwritten: value(tag::OVERWRITTEN_CERTIFICATE).map(Name::try_from).transpose().ok()?,
        // A card that says nothing of it is one that does.
        makes_keys: byte(tag::MAKES_KEYS) != Some(0),
    })
}

/// 基本4情報 of 券面事項入力補助AP.
pub(super) fn holder(data: &[u8]) -> Option<Holder> {
    let objects = tlv::parse_all(data).ok()?;
    let template = tlv::find(&objects, u32::from(card::face_input::TAG_BASIC_FOUR))?;
    let text = |tag: u16| std::str::from_utf8(template.find(u32::from(tag))?.bytes()?).ok();
    let sex = match text(card::face_input::TAG_SEX)? {
        "1" => Sex::Male,
        "2" => Sex::Female,
        _ => Sex::Other,
    };
    Some(Holder {
        name: text(card::face_input::TAG_NAME)?.into(),
        address: text(card::face_input::TAG_ADDRESS)?.into(),
        birth: jiff::civil::Date::strptime("%Y%m%d", text(card::face_input::TAG_BIRTH)?).ok(),
        sex: Some(sex),
    })
}

/// The serial number and the date of expiry in record 1 of 共通カードAP: `01 1C`, serial (15), municipality (5), expiry (8).
pub(super) fn card_record(record: &[u8]) -> Option<CardData> {
    let (serial, rest) = record.strip_prefix(&[0x01, 0x1C])?.split_at_checked(15)?;
    let expiry = std::str::from_utf8(rest.get(5..13)?).ok()?;
    let expiry = jiff::civil::Date::strptime("%Y%m%d", expiry).ok()?;
    Some(CardData::Record(Zeroizing::new(serial.to_vec()), expiry))
}
