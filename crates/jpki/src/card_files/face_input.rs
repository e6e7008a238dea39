//! The files of 券面事項入力補助AP.

use std::fmt;

use jiff::civil::Date;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{
    CardFileError, FileBytes, KeyId, PublicKey, Reader, Writer, check_offsets, date_digits, digits, with_offsets,
};
use crate::card::face_input as file;
use crate::resident::Sex;

/// Length of EF 0001 with its filling, in bytes.
const MY_NUMBER_FILE: usize = 17;
/// Length of a 個人番号 in digits.
const MY_NUMBER: usize = 12;
/// What the filling consists of.
const FILLING: u8 = 0xFF;
/// Length of a SHA-256 digest.
const DIGEST: usize = 32;

/// EF 0001: the 個人番号, with the filling behind it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MyNumberFile {
    /// 個人番号, 12 digits. Its check digit is not looked at.
    pub number: String,
}

impl fmt::Debug for MyNumberFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MyNumberFile").finish_non_exhaustive()
    }
}

impl MyNumberFile {
    /// Reads the file. The filling may be missing.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let tag = file::TAG_MY_NUMBER;
        // Not read as BER: by its tag it would be a template.
        let rest = bytes.strip_prefix(&tag.to_be_bytes()).ok_or(CardFileError::Missing(tag))?;
        let value = rest.strip_prefix(&[MY_NUMBER as u8]).ok_or(CardFileError::Value(tag))?;
        let (number, filling) = value.split_at_checked(MY_NUMBER).ok_or(CardFileError::Malformed)?;
        if filling.iter().any(|byte| *byte != FILLING) {
            return Err(CardFileError::Surplus);
        }
        digits(number, MY_NUMBER).map(|number| Self { number }).ok_or(CardFileError::Value(tag))
    }

    /// The file's bytes, with the filling.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        let mut bytes = Writer::new(MY_NUMBER_FILE).put(file::TAG_MY_NUMBER, self.number.as_bytes()).0;
        bytes.resize(MY_NUMBER_FILE, FILLING);
        bytes
    }
}

/// EF 0002: 基本4情報.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BasicFour {
    /// 氏名, family and given name split by U+3000.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Sex,
}

impl fmt::Debug for BasicFour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicFour").finish_non_exhaustive()
    }
}

impl BasicFour {
    /// Reads the file, and its table of offsets against it.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_BASIC_FOUR)?;
        let offsets = reader.bytes(file::TAG_OFFSETS)?;
        let read = Self {
            name: reader.text(file::TAG_NAME)?,
            address: reader.text(file::TAG_ADDRESS)?,
            birth: reader.date(file::TAG_BIRTH)?,
            sex: reader.sex(file::TAG_SEX)?,
        };
        reader.end()?;
        check_offsets(&offsets, &read.to_bytes())?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        with_offsets(
            file::TAG_BASIC_FOUR,
            file::TAG_OFFSETS,
            &[
                (file::TAG_NAME, self.name.as_bytes()),
                (file::TAG_ADDRESS, self.address.as_bytes()),
                (file::TAG_BIRTH, date_digits(self.birth).as_bytes()),
                (file::TAG_SEX, self.sex.code().as_bytes()),
            ],
        )
    }

    /// What the integrity record has the digest of: the four items, without the offsets.
    fn items(&self) -> FileBytes {
        Writer::new(self.name.len() + self.address.len() + 32)
            .put(file::TAG_NAME, self.name.as_bytes())
            .put(file::TAG_ADDRESS, self.address.as_bytes())
            .put(file::TAG_BIRTH, date_digits(self.birth).as_bytes())
            .put(file::TAG_SEX, self.sex.code().as_bytes())
            .0
    }
}

/// EF 0003: digests of both files above, signed by the key of EF 0004.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct IntegrityRecord {
    /// SHA-256 of EF 0001 with its filling.
    pub my_number: [u8; DIGEST],
    /// SHA-256 of the items of EF 0002.
    pub basic_four: [u8; DIGEST],
    /// The signature over both.
    pub signature: Vec<u8>,
}

impl fmt::Debug for IntegrityRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntegrityRecord").finish_non_exhaustive()
    }
}

impl IntegrityRecord {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_INTEGRITY)?;
        let read = Self {
            my_number: reader.array(file::TAG_MY_NUMBER_DIGEST)?,
            basic_four: reader.array(file::TAG_BASIC_FOUR_DIGEST)?,
            signature: reader.bytes(file::TAG_INTEGRITY_SIGNATURE)?,
        };
        reader.end()?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        self.signed().put(file::TAG_INTEGRITY_SIGNATURE, &self.signature).into_template(file::TAG_INTEGRITY)
    }

    fn signed(&self) -> Writer {
        Writer::new(512)
            .put(file::TAG_MY_NUMBER_DIGEST, &self.my_number)
            .put(file::TAG_BASIC_FOUR_DIGEST, &self.basic_four)
    }

    /// Has this key signed the record?
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        issuer.has_signed(&self.signed().0, &self.signature)
    }

    /// Are these the files that the record vouches for?
    #[must_use]
    pub fn covers(&self, my_number: &MyNumberFile, basic_four: &BasicFour) -> bool {
        let digest = |bytes: &[u8]| <[u8; DIGEST]>::from(Sha256::digest(bytes));
        digest(&my_number.to_bytes()) == self.my_number && digest(&basic_four.items()) == self.basic_four
    }
}

/// EF 0005: basic information. Nothing in it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaceInputInformation {
    /// Version, support of extended lengths, vendor, vendor's own.
    pub identification: [u8; 4],
    /// A key identifier; not that of EF 0004.
    pub key: KeyId,
    /// 128 bytes of unknown meaning.
    pub unknown: Vec<u8>,
}

impl FaceInputInformation {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_INFORMATION)?;
        let read = Self {
            identification: reader.array(file::TAG_IDENTIFICATION)?,
            key: KeyId(reader.array(file::TAG_KEY_REFERENCE)?),
            unknown: reader.bytes(file::TAG_UNKNOWN)?,
        };
        reader.end()?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        Writer::new(256)
            .put(file::TAG_IDENTIFICATION, &self.identification)
            .put(file::TAG_KEY_REFERENCE, &self.key.0)
            .put(file::TAG_UNKNOWN, &self.unknown)
            .into_template(file::TAG_INFORMATION)
    }
}

/// EF 0006: the key to which a terminal enciphers a session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKeyFile(pub PublicKey);

impl SessionKeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let reader = Reader::template(bytes, file::TAG_SESSION_KEY.into())?;
        let content = apdu::tlv::encode_all(reader.template.children()).map_err(|_| CardFileError::Malformed)?;
        PublicKey::parse(&content).map(Self)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        Writer::new(512).put(file::TAG_SESSION_KEY.into(), &self.0.to_bytes()).0
    }
}

/// EF 0007: the application's own public key, signed by the key of EF 0004.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedKey {
    /// The key with which the application signs challenges.
    pub key: PublicKey,
    /// The signature over it.
    pub signature: Vec<u8>,
}

impl SignedKey {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_SIGNED_KEY)?;
        let read =
            Self { key: reader.key(file::TAG_PUBLIC_KEY)?, signature: reader.bytes(file::TAG_PUBLIC_KEY_SIGNATURE)? };
        reader.end()?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        self.signed().put(file::TAG_PUBLIC_KEY_SIGNATURE, &self.signature).into_template(file::TAG_SIGNED_KEY)
    }

    fn signed(&self) -> Writer {
        Writer::new(1_024).put(file::TAG_PUBLIC_KEY, &self.key.to_bytes())
    }

    /// Has this key signed it?
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        issuer.has_signed(&self.signed().0, &self.signature)
    }
}
