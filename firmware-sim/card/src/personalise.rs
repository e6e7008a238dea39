//! Personalisation: what a card carries when it comes to the counter, before it has keys of its own.

use std::path::Path;

use jiff::civil::Date;
use jpki::Sex;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::files;
use crate::nvm::{FileNvm, MemoryNvm, Nvm, NvmError};
use crate::pin::PinId;
use crate::profile::CardProfile;
use crate::state::object;
use crate::static_keys::{KeySet, KeyTable};
use crate::store::{Change, Store};

/// Length of a card's serial number in characters.
const SERIAL_LENGTH: usize = 15;

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
    /// 住民基本台帳用暗証番号, 4 digits: the first value of both PINs that it consists of.
    pub juki_pin: String,
    /// Is the card's face put on it: the images of 券面事項確認AP, and the signed files of both 券面 applications? It takes some ten
    /// milliseconds; without it, these files are there, and empty.
    pub face: bool,
    /// Where the card's random numbers come from.
    pub rng_seed: [u8; 32],
}

/// The static keys of one version: those of SCP03, and the one under which key pairs come.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StaticKeySet {
    /// K-ENC.
    pub enc: Zeroizing<Vec<u8>>,
    /// K-MAC.
    pub mac: Zeroizing<Vec<u8>>,
    /// K-DEK.
    pub dek: Zeroizing<Vec<u8>>,
    /// The key-import key. Only cards that make no keys themselves keep it, and need it.
    pub import: Option<Zeroizing<Vec<u8>>>,
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
            self.static_keys(),
            Change::put(object::SEQUENCE, [0; 3]),
            Change::put(object::RNG_SEED, self.rng_seed),
        ];
        changes.extend(files::unsigned(self));
        if self.face {
            changes.extend(files::signed(self).ok_or(field("face"))?);
        }
        changes.extend(self.pins().into_iter().flat_map(|(pin, value)| pin.setting(value.as_bytes())));
        store.transact(changes)?;
        Ok(store.into_nvm())
    }

    fn check(&self) -> Result<(), PersonalisationError> {
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let key_length = self.profile.scp03_key_length;
        let keys = self.version_keys();
        let is_whole = keys.len() == self.profile.keys_of_a_version();
        let checks = [
            ("serial", self.serial.len() == SERIAL_LENGTH && self.serial.is_ascii() && self.serial.starts_with("SIM")),
            ("municipality", digits(&self.municipality, 5)),
            ("key_version", (0x01..=0x7F).contains(&self.key_version)),
            ("keys", matches!(key_length, 16 | 24 | 32) && is_whole && keys.iter().all(|key| key.len() == key_length)),
            ("my_number", PinId::CheckNumberA.accepts(self.my_number.as_bytes())),
            ("check_number_b", PinId::CheckNumberB.accepts(self.check_number_b.as_bytes())),
            ("face_input_pin", PinId::FaceInput.accepts(self.face_input_pin.as_bytes())),
            ("juki_pin", PinId::Juki.accepts(self.juki_pin.as_bytes())),
        ];
        checks.into_iter().find(|(_, good)| !good).map_or(Ok(()), |(name, _)| Err(field(name)))
    }

    /// The PINs that the card comes with.
    fn pins(&self) -> [(PinId, &str); 8] {
        // 生年月日 is the first part of 照合番号B.
        let (birth, _) = self.check_number_b.split_at_checked(6).unwrap_or_default();
        [
            (PinId::FaceInput, &self.face_input_pin),
            (PinId::CheckNumberA, &self.my_number),
            (PinId::CheckNumberB, &self.check_number_b),
            (PinId::CheckBirth, birth),
            (PinId::CheckNumberAOfCheck, &self.my_number),
            (PinId::CheckNumberBOfCheck, &self.check_number_b),
            (PinId::Juki, &self.juki_pin),
            (PinId::Common, &self.juki_pin),
        ]
    }

    /// The keys that this kind of card keeps, in the order of their identifiers.
    fn version_keys(&self) -> Vec<&Zeroizing<Vec<u8>>> {
        let StaticKeySet { enc, mac, dek, import } = &self.keys;
        let import = import.as_ref().filter(|_| !self.profile.makes_keys);
        [enc, mac, dek].into_iter().chain(import).collect()
    }

    fn static_keys(&self) -> Change {
        let keys = self.version_keys().into_iter().map(|key| key.to_vec()).collect();
        let set = KeySet { version: self.key_version, keys };
        KeyTable { diversification: self.diversification, sets: vec![set] }.storing()
    }
}

fn field(name: &'static str) -> PersonalisationError {
    PersonalisationError::Field { field: name }
}
