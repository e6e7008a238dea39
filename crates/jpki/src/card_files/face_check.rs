//! The files of 券面事項確認AP.

use std::fmt;

use jiff::civil::Date;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CardFileError, FileBytes, KeyId, PublicKey, Reader, Writer, check_offsets, date_digits, with_offsets};
use crate::card::{cv, face_check as file};
use crate::resident::Sex;

/// Room for a record with a key and a signature, without images.
const RECORD: usize = 1_024;

/// EF 0001: 生年月日 alone, for whoever needs to know no more.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct AgeRecord {
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// The key with which the application signs challenges.
    #[zeroize(skip)]
    pub key: PublicKey,
    /// The signature over both, by the key of EF 0004.
    pub signature: Vec<u8>,
}

impl fmt::Debug for AgeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeRecord").finish_non_exhaustive()
    }
}

impl AgeRecord {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_AGE)?;
        let read = Self {
            birth: reader.date(file::TAG_AGE_BIRTH)?,
            key: reader.key(file::TAG_AGE_KEY)?,
            signature: reader.bytes(file::TAG_AGE_SIGNATURE)?,
        };
        reader.end()?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        self.signed().put(file::TAG_AGE_SIGNATURE, &self.signature).into_template(file::TAG_AGE)
    }

    fn signed(&self) -> Writer {
        Writer::new(RECORD)
            .put(file::TAG_AGE_BIRTH, date_digits(self.birth).as_bytes())
            .put(file::TAG_AGE_KEY, &self.key.to_bytes())
    }

    /// Has this key signed the record?
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        issuer.has_signed(&self.signed().0, &self.signature)
    }
}

/// EF 0002: what is printed on the face.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Face {
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Sex,
    /// The key with which the application signs challenges.
    #[zeroize(skip)]
    pub key: PublicKey,
    /// 氏名 as an image: PNG, one bit per dot.
    pub name_image: Vec<u8>,
    /// 住所 as an image: PNG, one bit per dot.
    pub address_image: Vec<u8>,
    /// The photograph: JPEG 2000, grey.
    pub photo: Vec<u8>,
    /// The signature over what stands before it, by the key of EF 0004.
    pub signature: Vec<u8>,
    /// 有効期限. Not covered by the signature.
    #[zeroize(skip)]
    pub expiry: Date,
    /// セキュリティコード as an image: PNG, one bit per dot. Not covered by the signature.
    pub security_code_image: Vec<u8>,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").finish_non_exhaustive()
    }
}

impl Face {
    /// Reads the file, and its table of offsets against it. The images are not decoded.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_FACE)?;
        let offsets = reader.bytes(file::TAG_OFFSETS)?;
        let read = Self {
            birth: reader.date(file::TAG_BIRTH)?,
            sex: reader.sex(file::TAG_SEX)?,
            key: reader.key(file::TAG_KEY)?,
            name_image: reader.bytes(file::TAG_NAME_IMAGE)?,
            address_image: reader.bytes(file::TAG_ADDRESS_IMAGE)?,
            photo: reader.bytes(file::TAG_PHOTO)?,
            signature: reader.bytes(file::TAG_SIGNATURE)?,
            expiry: reader.date(file::TAG_EXPIRY)?,
            security_code_image: reader.bytes(file::TAG_SECURITY_CODE_IMAGE)?,
        };
        reader.end()?;
        check_offsets(&offsets, &read.to_bytes())?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        with_offsets(
            file::TAG_FACE,
            file::TAG_OFFSETS,
            &[
                (file::TAG_BIRTH, date_digits(self.birth).as_bytes()),
                (file::TAG_SEX, self.sex.code().as_bytes()),
                (file::TAG_KEY, &self.key.to_bytes()),
                (file::TAG_NAME_IMAGE, &self.name_image),
                (file::TAG_ADDRESS_IMAGE, &self.address_image),
                (file::TAG_PHOTO, &self.photo),
                (file::TAG_SIGNATURE, &self.signature),
                (file::TAG_EXPIRY, date_digits(self.expiry).as_bytes()),
                (file::TAG_SECURITY_CODE_IMAGE, &self.security_code_image),
            ],
        )
    }

    /// Has this key signed the face? The signature covers the digests of three groups, so that one who is not given the photograph
    /// can still check the rest.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        let text = Writer::new(RECORD)
            .put(file::TAG_BIRTH, date_digits(self.birth).as_bytes())
            .put(file::TAG_SEX, self.sex.code().as_bytes())
            .put(file::TAG_KEY, &self.key.to_bytes());
        let images = Writer::new(self.name_image.len() + self.address_image.len() + 10)
            .put(file::TAG_NAME_IMAGE, &self.name_image)
            .put(file::TAG_ADDRESS_IMAGE, &self.address_image);
        let photo = Writer::new(self.photo.len() + 5).put(file::TAG_PHOTO, &self.photo);
        let digests: Vec<u8> = [text, images, photo].iter().flat_map(|group| Sha256::digest(&*group.0)).collect();
        issuer.has_signed_digests(&digests, &self.signature)
    }
}

/// EF 0003: basic information. Nothing in it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaceCheckInformation {
    /// Version, support of extended lengths, vendor, vendor's own.
    pub identification: [u8; 4],
    /// A key identifier; not that of EF 0004.
    pub key: KeyId,
    /// Version.
    pub version: u8,
    /// 全国地方公共団体コード of the municipality, 5 digits.
    pub municipality: String,
    /// A key identifier.
    pub unknown_key: KeyId,
    /// 256 bytes of unknown meaning.
    pub unknown: Vec<u8>,
}

impl FaceCheckInformation {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_INFORMATION)?;
        let identification = reader.array(file::TAG_IDENTIFICATION)?;
        let key = KeyId(reader.array(file::TAG_KEY_REFERENCE)?);
        let [version] = reader.array(file::TAG_VERSION)?;
        let municipality = reader.digits(file::TAG_MUNICIPALITY, 5)?;
        let unknown = reader.take(file::TAG_UNKNOWN)?;
        let (unknown_key, unknown) =
            unknown.split_first_chunk::<{ cv::KEY_ID }>().ok_or(CardFileError::Value(file::TAG_UNKNOWN))?;
        let (unknown_key, unknown) = (KeyId(*unknown_key), unknown.to_vec());
        reader.end()?;
        Ok(Self { identification, key, version, municipality, unknown_key, unknown })
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        Writer::new(RECORD)
            .put(file::TAG_IDENTIFICATION, &self.identification)
            .put(file::TAG_KEY_REFERENCE, &self.key.0)
            .put(file::TAG_VERSION, &[self.version])
            .put(file::TAG_MUNICIPALITY, self.municipality.as_bytes())
            .put(file::TAG_UNKNOWN, &[self.unknown_key.0.as_slice(), &self.unknown].concat())
            .into_template(file::TAG_INFORMATION)
    }
}

/// EF 0005: the 個人番号 as an image.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MyNumberImage {
    /// PNG, one bit per dot.
    pub image: Vec<u8>,
    /// The key with which the application signs challenges.
    #[zeroize(skip)]
    pub key: PublicKey,
    /// The signature over both, by the key of EF 0004.
    pub signature: Vec<u8>,
}

impl fmt::Debug for MyNumberImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MyNumberImage").finish_non_exhaustive()
    }
}

impl MyNumberImage {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let mut reader = Reader::template(bytes, file::TAG_MY_NUMBER)?;
        let read = Self {
            image: reader.bytes(file::TAG_MY_NUMBER_IMAGE)?,
            key: reader.key(file::TAG_MY_NUMBER_KEY)?,
            signature: reader.bytes(file::TAG_MY_NUMBER_SIGNATURE)?,
        };
        reader.end()?;
        Ok(read)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        self.signed().put(file::TAG_MY_NUMBER_SIGNATURE, &self.signature).into_template(file::TAG_MY_NUMBER)
    }

    fn signed(&self) -> Writer {
        Writer::new(RECORD + self.image.len())
            .put(file::TAG_MY_NUMBER_IMAGE, &self.image)
            .put(file::TAG_MY_NUMBER_KEY, &self.key.to_bytes())
    }

    /// Has this key signed it?
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        issuer.has_signed(&self.signed().0, &self.signature)
    }
}
