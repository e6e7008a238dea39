//! Personalisation: what a card carries when it comes to the counter, before it has keys of its own.

use std::path::Path;

use jiff::civil::Date;
use jpki::Sex;
use jpki::card::{self, common, face_input};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::application::ef_object;
use crate::nvm::{FileNvm, MemoryNvm, Nvm, NvmError};
use crate::pin::PinId;
use crate::profile::CardProfile;
use crate::state::object;
use crate::store::{Change, Store};
use crate::tlv;

/// Length of a card's serial number in characters.
const SERIAL_LENGTH: usize = 15;
/// Length of EF 0006 of 公的個人認証AP.
const TOKEN_INFO_LENGTH: usize = 160;
/// Length of the token's name at its start.
const TOKEN_NAME_LENGTH: usize = 32;

/// What is put on a card.
///
/// `Debug` prints nothing; everything is wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Personalisation {
    /// Serial number of the card: 15 ASCII characters that start with `SIM`.
    pub serial: String,
    /// 全国地方公共団体コード, 5 digits.
    pub municipality: String,
    /// Date of expiry (有効期限) of the card.
    #[zeroize(skip)]
    pub expiry: Date,
    /// Kind of card.
    #[zeroize(skip)]
    pub profile: CardProfile,
    /// Version of the static keys, 01–7F.
    pub key_version: u8,
    /// Key diversification data of GlobalPlatform.
    pub diversification: [u8; 10],
    /// The static keys, of the length that the profile says.
    pub keys: StaticKeySet,
    /// Certificate of 署名用認証局, DER.
    pub sign_ca: Vec<u8>,
    /// Certificate of 利用者証明用認証局, DER.
    pub auth_ca: Vec<u8>,
    /// 氏名.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Sex,
    /// 個人番号, 12 digits; also 照合番号A.
    pub my_number: String,
    /// 照合番号B, 14 digits.
    pub check_number_b: String,
    /// PIN of 券面事項入力補助AP, 4 digits.
    pub face_input_pin: String,
    /// Where the card's random numbers come from.
    pub rng_seed: [u8; 32],
}

/// The three static keys of SCP03.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StaticKeySet {
    /// K-ENC.
    pub enc: Zeroizing<Vec<u8>>,
    /// K-MAC.
    pub mac: Zeroizing<Vec<u8>>,
    /// K-DEK.
    pub dek: Zeroizing<Vec<u8>>,
}

/// Why a card can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersonalisationError {
    /// A field does not have the form that the card's files need.
    #[error("{field} does not have the form that a card needs")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
    /// The memory failed.
    #[error("the card's memory failed")]
    Memory(#[from] NvmError),
}

impl Personalisation {
    /// Makes the card in a memory of its own.
    ///
    /// # Errors
    /// [`PersonalisationError::Field`] names the first field that is wrong.
    pub fn into_memory(self) -> Result<Box<dyn Nvm>, PersonalisationError> {
        self.write(MemoryNvm::new())
    }

    /// Makes the card in a new file.
    ///
    /// # Errors
    /// As [`Self::into_memory`], and whatever the file has; a file that exists already is not touched.
    pub fn into_file(self, path: &Path) -> Result<Box<dyn Nvm>, PersonalisationError> {
        self.check()?;
        self.write(FileNvm::create(path)?)
    }

    /// Makes the card in this memory, whatever was in it.
    ///
    /// # Errors
    /// As [`Self::into_memory`], and whatever the memory has.
    pub fn write(&self, nvm: impl Nvm + 'static) -> Result<Box<dyn Nvm>, PersonalisationError> {
        self.check()?;
        let mut store = Store::format(Box::new(nvm))?;
        let profile = serde_json::to_vec(&self.profile).map_err(|_| field("profile"))?;
        let mut changes = vec![
            Change::put(object::PROFILE, profile),
            Change::Put(object::STATIC_KEYS, self.static_keys()),
            Change::put(object::SEQUENCE, [0; 3]),
            Change::put(object::RNG_SEED, self.rng_seed),
            Change::put(ef_object::SIGN_CA_CERTIFICATE, self.sign_ca.as_slice()),
            Change::put(ef_object::AUTH_CA_CERTIFICATE, self.auth_ca.as_slice()),
            Change::put(ef_object::TOKEN_INFO, token_info()),
            Change::put(ef_object::UNKNOWN_0009, [0xFF; 16]),
            Change::Put(ef_object::MY_NUMBER, self.my_number_file()),
            Change::Put(ef_object::BASIC_FOUR, self.basic_four_file()),
            Change::Put(ef_object::CARD_RECORD, self.card_record()),
        ];
        changes.extend(PinId::FaceInput.setting(self.face_input_pin.as_bytes()));
        changes.extend(PinId::CheckNumberA.setting(self.my_number.as_bytes()));
        changes.extend(PinId::CheckNumberB.setting(self.check_number_b.as_bytes()));
        store.transact(changes)?;
        Ok(store.into_nvm())
    }

    fn check(&self) -> Result<(), PersonalisationError> {
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let key_length = self.profile.scp03_key_length;
        let keys = [&self.keys.enc, &self.keys.mac, &self.keys.dek];
        let checks = [
            ("serial", self.serial.len() == SERIAL_LENGTH && self.serial.is_ascii() && self.serial.starts_with("SIM")),
            ("municipality", digits(&self.municipality, 5)),
            ("key_version", (0x01..=0x7F).contains(&self.key_version)),
            ("keys", matches!(key_length, 16 | 24 | 32) && keys.iter().all(|key| key.len() == key_length)),
            ("my_number", PinId::CheckNumberA.accepts(self.my_number.as_bytes())),
            ("check_number_b", PinId::CheckNumberB.accepts(self.check_number_b.as_bytes())),
            ("face_input_pin", PinId::FaceInput.accepts(self.face_input_pin.as_bytes())),
        ];
        checks.into_iter().find(|(_, good)| !good).map_or(Ok(()), |(name, _)| Err(field(name)))
    }

    fn static_keys(&self) -> Zeroizing<Vec<u8>> {
        let mut stored = Zeroizing::new(Vec::with_capacity(11 + 3 * 32));
        stored.push(self.key_version);
        stored.extend_from_slice(&self.diversification);
        for key in [&self.keys.enc, &self.keys.mac, &self.keys.dek] {
            stored.extend_from_slice(key);
        }
        stored
    }

    /// EF 0001 of 券面事項入力補助AP: `FF10 0C`, twelve digits, filled up to 17 bytes.
    fn my_number_file(&self) -> Zeroizing<Vec<u8>> {
        let mut file = Zeroizing::new(Vec::with_capacity(17));
        tlv::push(&mut file, face_input::TAG_MY_NUMBER, self.my_number.as_bytes());
        file.resize(17, 0xFF);
        file
    }

    /// EF 0002 of 券面事項入力補助AP. The offsets are those of the four objects from the start of the file.
    fn basic_four_file(&self) -> Zeroizing<Vec<u8>> {
        let birth = Zeroizing::new(self.birth.strftime("%Y%m%d").to_string());
        let items: [(u16, &[u8]); 4] = [
            (face_input::TAG_NAME, self.name.as_bytes()),
            (face_input::TAG_ADDRESS, self.address.as_bytes()),
            (face_input::TAG_BIRTH, birth.as_bytes()),
            (
                face_input::TAG_SEX,
                match self.sex {
                    Sex::Male => b"1",
                    Sex::Female => b"2",
                    Sex::Other => b"3",
                },
            ),
        ];
        // Tag and length of the template, then the object with the offsets.
        let first_item = 5 + 2 + 1 + 2 * items.len();
        let capacity = first_item + items.iter().map(|(_, value)| value.len() + 5).sum::<usize>();
        let mut offsets = Vec::new();
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        for (tag, value) in items {
            offsets.extend(((first_item + body.len()) as u16).to_be_bytes());
            tlv::push(&mut body, tag, value);
        }
        let mut head = Vec::new();
        tlv::push(&mut head, face_input::TAG_OFFSETS, &offsets);
        let mut file = Zeroizing::new(Vec::with_capacity(capacity));
        file.extend(face_input::TAG_BASIC_FOUR.to_be_bytes());
        // Always in the long form, so that the offsets don't depend on the length.
        file.push(0x82);
        file.extend(((head.len() + body.len()) as u16).to_be_bytes());
        file.extend_from_slice(&head);
        file.extend_from_slice(&body);
        file
    }

    /// Record 1 of EF 0001 of 共通カードAP: `01 1C`, serial, municipality, expiry.
    fn card_record(&self) -> Zeroizing<Vec<u8>> {
        let text = Zeroizing::new(format!("{}{}{}", self.serial, self.municipality, self.expiry.strftime("%Y%m%d")));
        let mut record = Zeroizing::new(Vec::with_capacity(2 + text.len()));
        tlv::push(&mut record, common::TAG_CARD_RECORD, text.as_bytes());
        record
    }
}

/// EF 0006 of 公的個人認証AP: the token's name, filled with spaces; what follows it on a real card is not public.
fn token_info() -> Vec<u8> {
    let mut info = card::TOKEN_NAME.as_bytes().to_vec();
    info.resize(TOKEN_NAME_LENGTH, b' ');
    info.resize(TOKEN_INFO_LENGTH, 0x00);
    info
}

fn field(name: &'static str) -> PersonalisationError {
    PersonalisationError::Field { field: name }
}
