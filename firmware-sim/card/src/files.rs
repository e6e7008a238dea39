//! The bytes of the files that are made of the resident's data. `docs/protocols/card-files.md` says what follows the real card.

use jiff::civil::Date;
use jpki::card::{self, common, cv, face_check, face_input};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::application::ef_object;
use crate::face;
use crate::personalise::Personalisation;
use crate::resident::digest_info;
use crate::simulated_keys::SimulatedKey;
use crate::store::Change;
use crate::tlv::push_in_file;

/// Length of EF 0006 of 公的個人認証AP.
const TOKEN_INFO_LENGTH: usize = 160;
/// Length of the token's name at its start.
const TOKEN_NAME_LENGTH: usize = 32;
/// More than a file is long: files are put together in place, because growing would leave copies behind.
const CAPACITY: usize = 8_192;

type Bytes = Zeroizing<Vec<u8>>;

/// The files that every card has.
pub(crate) fn unsigned(card: &Personalisation) -> Vec<Change> {
    vec![
        Change::put(ef_object::SIGN_CA_CERTIFICATE, card.sign_ca.as_slice()),
        Change::put(ef_object::AUTH_CA_CERTIFICATE, card.auth_ca.as_slice()),
        Change::put(ef_object::TOKEN_INFO, token_info()),
        Change::Put(ef_object::MY_NUMBER, my_number(card)),
        Change::Put(ef_object::BASIC_FOUR, basic_four(card)),
        Change::Put(ef_object::CARD_RECORD, card_record(card)),
        Change::put(ef_object::CHECK_INFORMATION, check_information(card)),
    ]
}

/// The files with a signature, and the keys beside them. None if a key or a font of this program is damaged.
pub(crate) fn signed(card: &Personalisation) -> Option<Vec<Change>> {
    Some(vec![
        Change::Put(ef_object::INTEGRITY, integrity(card)?),
        Change::put(ef_object::INPUT_CERTIFICATE, certificate(b"9000033", "31", card)?),
        Change::put(ef_object::INPUT_SESSION_KEY, session_key()?),
        Change::put(ef_object::INPUT_SIGNED_KEY, signed_key()?),
        Change::Put(ef_object::AGE, age(card)?),
        Change::Put(ef_object::FACE, face_file(card)?),
        Change::put(ef_object::CHECK_CERTIFICATE, certificate(b"9000023", "21", card)?),
        Change::Put(ef_object::MY_NUMBER_IMAGE, my_number_image(card)?),
    ])
}

/// EF 0006 of 公的個人認証AP: the token's name, filled with spaces; what follows it on a real card is not public.
fn token_info() -> Vec<u8> {
    let mut info = card::TOKEN_NAME.as_bytes().to_vec();
    info.resize(TOKEN_NAME_LENGTH, b' ');
    info.resize(TOKEN_INFO_LENGTH, 0x00);
    info
}

/// EF 0001 of 券面事項入力補助AP: `FF10 0C`, twelve digits, filled up to 17 bytes.
fn my_number(card: &Personalisation) -> Bytes {
    let mut file = Zeroizing::new(Vec::with_capacity(17));
    push_in_file(&mut file, face_input::TAG_MY_NUMBER, card.my_number.as_bytes());
    file.resize(17, 0xFF);
    file
}

/// EF 0002 of 券面事項入力補助AP.
fn basic_four(card: &Personalisation) -> Bytes {
    let items = basic_four_items(card);
    with_offsets(face_input::TAG_BASIC_FOUR, face_input::TAG_OFFSETS, &items)
}

fn basic_four_items(card: &Personalisation) -> [(u16, Bytes); 4] {
    [
        (face_input::TAG_NAME, Zeroizing::new(card.name.as_bytes().to_vec())),
        (face_input::TAG_ADDRESS, Zeroizing::new(card.address.as_bytes().to_vec())),
        (face_input::TAG_BIRTH, day(card.birth)),
        (face_input::TAG_SEX, sex(card)),
    ]
}

/// EF 0003 of 券面事項入力補助AP. One digest covers a file with its filling, the other the items without the offsets.
fn integrity(card: &Personalisation) -> Option<Bytes> {
    let mut signed = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut signed, face_input::TAG_MY_NUMBER_DIGEST, &Sha256::digest(&*my_number(card)));
    let items = objects(&basic_four_items(card));
    push_in_file(&mut signed, face_input::TAG_BASIC_FOUR_DIGEST, &Sha256::digest(&*items));
    signed_by_municipality(face_input::TAG_INTEGRITY, signed, face_input::TAG_INTEGRITY_SIGNATURE)
}

/// EF 0006 of 券面事項入力補助AP.
fn session_key() -> Option<Vec<u8>> {
    let mut file = Vec::new();
    push_in_file(&mut file, face_input::TAG_SESSION_KEY.into(), &SimulatedKey::Session.public()?);
    Some(file)
}

/// EF 0007 of 券面事項入力補助AP.
fn signed_key() -> Option<Vec<u8>> {
    let mut signed = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut signed, face_input::TAG_PUBLIC_KEY, &SimulatedKey::FaceInput.public()?);
    signed_by_municipality(face_input::TAG_SIGNED_KEY, signed, face_input::TAG_PUBLIC_KEY_SIGNATURE)
        .map(|file| file.to_vec())
}

/// Record 1 of EF 0001 of 共通カードAP: `01 1C`, serial, municipality, expiry.
fn card_record(card: &Personalisation) -> Bytes {
    let text = Zeroizing::new(format!("{}{}{}", card.serial, card.municipality, card.expiry.strftime("%Y%m%d")));
    let mut record = Zeroizing::new(Vec::with_capacity(2 + text.len()));
    push_in_file(&mut record, common::TAG_CARD_RECORD, text.as_bytes());
    record
}

/// EF 0003 of 券面事項確認AP. The meaning of the last object is not known: a key identifier, and FF in place of 256 bytes.
fn check_information(card: &Personalisation) -> Vec<u8> {
    let mut unknown = key_id(b"9000025", b"001").to_vec();
    unknown.resize(cv::KEY_ID + 256, 0xFF);
    let mut body = Vec::new();
    push_in_file(&mut body, face_check::TAG_IDENTIFICATION, &[0x06, 0x03, 0x0E, 0x01]);
    push_in_file(&mut body, face_check::TAG_KEY_REFERENCE, &key_id(b"9000024", b"001"));
    push_in_file(&mut body, face_check::TAG_VERSION, &[0]);
    push_in_file(&mut body, face_check::TAG_MUNICIPALITY, card.municipality.as_bytes());
    push_in_file(&mut body, face_check::TAG_UNKNOWN, &unknown);
    let mut file = Vec::new();
    push_in_file(&mut file, face_check::TAG_INFORMATION, &body);
    file
}

/// EF 0001 of 券面事項確認AP.
fn age(card: &Personalisation) -> Option<Bytes> {
    let mut signed = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut signed, face_check::TAG_AGE_BIRTH, &day(card.birth));
    push_in_file(&mut signed, face_check::TAG_AGE_KEY, &SimulatedKey::FaceCheck.public()?);
    signed_by_municipality(face_check::TAG_AGE, signed, face_check::TAG_AGE_SIGNATURE)
}

/// EF 0002 of 券面事項確認AP. The signature covers the digests of three groups, so that whoever is not shown the photograph can
/// still check the rest.
fn face_file(card: &Personalisation) -> Option<Bytes> {
    let text = [
        (face_check::TAG_BIRTH, day(card.birth)),
        (face_check::TAG_SEX, sex(card)),
        (face_check::TAG_KEY, Zeroizing::new(SimulatedKey::FaceCheck.public()?)),
    ];
    let images = [
        (face_check::TAG_NAME_IMAGE, Zeroizing::new(face::name(&card.name)?)),
        (face_check::TAG_ADDRESS_IMAGE, Zeroizing::new(face::address(&card.address)?)),
    ];
    let photo = [(face_check::TAG_PHOTO, Zeroizing::new(face::PHOTO.to_vec()))];
    let digests: Vec<u8> =
        [&text[..], &images, &photo].iter().flat_map(|group| Sha256::digest(&*objects(group))).collect();
    let signature = SimulatedKey::Municipality.private()?.sign(&digest_info(&digests))?;
    let security_code = card.check_number_b.get(10..)?;
    let rest = [
        (face_check::TAG_SIGNATURE, Zeroizing::new(signature)),
        (face_check::TAG_EXPIRY, day(card.expiry)),
        (face_check::TAG_SECURITY_CODE_IMAGE, Zeroizing::new(face::number(security_code)?)),
    ];
    let items: Vec<_> = text.into_iter().chain(images).chain(photo).chain(rest).collect();
    Some(with_offsets(face_check::TAG_FACE, face_check::TAG_OFFSETS, &items))
}

/// EF 0005 of 券面事項確認AP.
fn my_number_image(card: &Personalisation) -> Option<Bytes> {
    let mut signed = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut signed, face_check::TAG_MY_NUMBER_IMAGE, &Zeroizing::new(face::number(&card.my_number)?));
    push_in_file(&mut signed, face_check::TAG_MY_NUMBER_KEY, &SimulatedKey::FaceCheck.public()?);
    signed_by_municipality(face_check::TAG_MY_NUMBER, signed, face_check::TAG_MY_NUMBER_SIGNATURE)
}

/// EF 0004 of both: the municipality's key, certified by a simulated issuer's.
fn certificate(issuer: &[u8; 7], application: &str, card: &Personalisation) -> Option<Vec<u8>> {
    let subject = format!("{}{application}", card.municipality);
    let mut body = key_id(issuer, b"001").to_vec();
    body.extend(key_id(subject.as_bytes().try_into().ok()?, b"000"));
    body.extend(SimulatedKey::Municipality.public()?);
    let mut content = Vec::new();
    push_in_file(&mut content, cv::TAG_BODY, &body);
    push_in_file(&mut content, cv::TAG_SIGNATURE, &SimulatedKey::Issuer.sign(&body)?);
    let mut file = Vec::new();
    push_in_file(&mut file, cv::TAG_CERTIFICATE, &content);
    Some(file)
}

/// A key identifier: seven digits, `08 05`, three digits, zeros.
fn key_id(number: &[u8; 7], group: &[u8; 3]) -> [u8; cv::KEY_ID] {
    let mut id = [0; cv::KEY_ID];
    id[..7].copy_from_slice(number);
    id[7..9].copy_from_slice(&[0x08, 0x05]);
    id[9..12].copy_from_slice(group);
    id
}

/// A template of what is signed, and the signature.
fn signed_by_municipality(template: u16, mut signed: Bytes, signature: u16) -> Option<Bytes> {
    let value = SimulatedKey::Municipality.sign(&signed)?;
    push_in_file(&mut signed, signature, &value);
    let mut file = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut file, template, &signed);
    Some(file)
}

/// A template of a table of offsets, which count from the start of the file, and the items.
fn with_offsets(template: u16, table: u16, items: &[(u16, Bytes)]) -> Bytes {
    let values = objects(items);
    let head = 3 + 2 * items.len();
    let outer = if head + values.len() < 0x80 { 3 } else { 5 };
    let mut at = outer + head;
    let mut offsets = Vec::new();
    for item in items {
        offsets.extend((at as u16).to_be_bytes());
        at += objects(std::slice::from_ref(item)).len();
    }
    let mut body = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut body, table, &offsets);
    body.extend_from_slice(&values);
    let mut file = Zeroizing::new(Vec::with_capacity(CAPACITY));
    push_in_file(&mut file, template, &body);
    file
}

fn objects(items: &[(u16, Bytes)]) -> Bytes {
    let mut out = Zeroizing::new(Vec::with_capacity(CAPACITY));
    for (tag, value) in items {
        push_in_file(&mut out, *tag, value);
    }
    out
}

fn day(date: Date) -> Bytes {
    Zeroizing::new(date.strftime("%Y%m%d").to_string().into_bytes())
}

fn sex(card: &Personalisation) -> Bytes {
    Zeroizing::new(card.sex.code().as_bytes().to_vec())
}
