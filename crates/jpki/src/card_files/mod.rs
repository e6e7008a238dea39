//! The files of the card, read and written byte for byte as the real card has them: `docs/protocols/card-files.md`.
//!
//! Reading is strict: exactly the data objects of the file, in their order. Lengths may be in any form of BER; what is
//! written has the form of the real card's files, two bytes from 128 on. Nothing here panics, whatever the bytes.
//!
//! The values are personal data: wiped when dropped, and `Debug` prints none of them.
//!
//! ```
//! use jpki::card_files::CardRecord;
//!
//! let record = CardRecord::parse(b"\x01\x1c4000000127198431322120350217")?;
//! assert_eq!((record.serial.as_str(), record.municipality.as_str()), ("400000012719843", "13221"));
//! assert_eq!(&*record.to_bytes(), b"\x01\x1c4000000127198431322120350217");
//! # Ok::<(), jpki::card_files::CardFileError>(())
//! ```

mod common;
mod face_check;
mod face_input;
mod key;

use std::str;

use apdu::tlv::Tlv;
use jiff::civil::Date;
use zeroize::Zeroizing;

use crate::resident::Sex;

pub use common::CardRecord;
pub use face_check::{AgeRecord, Face, FaceCheckInformation, MyNumberImage};
pub use face_input::{BasicFour, FaceInputInformation, IntegrityRecord, MyNumberFile, SessionKeyFile, SignedKey};
pub use key::{CvCertificate, KeyId, PublicKey};

/// The bytes of a file, wiped when dropped.
pub type FileBytes = Zeroizing<Vec<u8>>;

/// Why bytes are not the file that they should be. Data of another file, of a card of another generation, or of a transfer that
/// was cut or garbled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardFileError {
    /// No BER-TLV, or one that is cut. An empty file, most often: nothing has been put there.
    #[error("the file is not made of data objects")]
    Malformed,
    /// Another data object stands where this one should, or none.
    #[error("data object {0:04X} is not in its place")]
    Missing(u16),
    /// There is more in the file than should be.
    #[error("the file holds more than it should")]
    Surplus,
    /// The value of this data object does not have the form that it should: length, digits, date, UTF-8.
    #[error("the value of data object {0:04X} is malformed")]
    Value(u16),
    /// The table of offsets contradicts the places of the data objects.
    #[error("the table of offsets is wrong")]
    Offsets,
}

/// The data objects of a template, to be taken in their order.
struct Reader {
    template: Tlv,
    next: usize,
}

impl Reader {
    /// Reads a template and nothing after it.
    fn template(bytes: &[u8], tag: u16) -> Result<Self, CardFileError> {
        let (template, rest) = Tlv::parse(bytes).map_err(|_| CardFileError::Malformed)?;
        if template.tag() != tag.into() {
            return Err(CardFileError::Missing(tag));
        }
        if rest.is_empty() { Ok(Self { template, next: 0 }) } else { Err(CardFileError::Surplus) }
    }

    /// The value of the next object, which must have this tag.
    fn take(&mut self, tag: u16) -> Result<&[u8], CardFileError> {
        let object = self.template.children().get(self.next).filter(|object| object.tag() == tag.into());
        self.next += 1;
        object.and_then(Tlv::bytes).ok_or(CardFileError::Missing(tag))
    }

    fn array<const N: usize>(&mut self, tag: u16) -> Result<[u8; N], CardFileError> {
        self.take(tag)?.try_into().map_err(|_| CardFileError::Value(tag))
    }

    fn bytes(&mut self, tag: u16) -> Result<Vec<u8>, CardFileError> {
        self.take(tag).map(<[u8]>::to_vec)
    }

    fn text(&mut self, tag: u16) -> Result<String, CardFileError> {
        str::from_utf8(self.take(tag)?).map(str::to_owned).map_err(|_| CardFileError::Value(tag))
    }

    fn digits(&mut self, tag: u16, length: usize) -> Result<String, CardFileError> {
        digits(self.take(tag)?, length).ok_or(CardFileError::Value(tag))
    }

    fn date(&mut self, tag: u16) -> Result<Date, CardFileError> {
        date(self.take(tag)?).ok_or(CardFileError::Value(tag))
    }

    fn sex(&mut self, tag: u16) -> Result<Sex, CardFileError> {
        let code = str::from_utf8(self.take(tag)?).ok();
        code.and_then(Sex::from_code).ok_or(CardFileError::Value(tag))
    }

    fn key(&mut self, tag: u16) -> Result<PublicKey, CardFileError> {
        PublicKey::parse(self.take(tag)?).map_err(|_| CardFileError::Value(tag))
    }

    /// Was that all?
    fn end(&self) -> Result<(), CardFileError> {
        if self.next == self.template.children().len() { Ok(()) } else { Err(CardFileError::Surplus) }
    }
}

/// Data objects, one after the other.
struct Writer(FileBytes);

impl Writer {
    /// `capacity` bytes are enough for everything: growing would leave copies behind.
    fn new(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Appends a data object as the files of the card have them. Longer values than 65,535 bytes, which no file holds, are cut.
    fn put(mut self, tag: u16, value: &[u8]) -> Self {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        match tag.to_be_bytes() {
            [0, low] => self.0.push(low),
            tag => self.0.extend_from_slice(&tag),
        }
        if value.len() < 0x80 {
            self.0.push(value.len() as u8);
        } else {
            self.0.push(0x82);
            self.0.extend_from_slice(&(value.len() as u16).to_be_bytes());
        }
        self.0.extend_from_slice(value);
        self
    }

    /// All of it as the value of a template.
    fn into_template(self, tag: u16) -> FileBytes {
        Self::new(self.0.len() + 5).put(tag, &self.0).0
    }
}

/// A template of a table of offsets and items. The offsets count from the start of the file.
fn with_offsets(template: u16, table: u16, items: &[(u16, &[u8])]) -> FileBytes {
    let capacity = items.iter().map(|(_, value)| value.len() + 5).sum::<usize>();
    let mut written = Writer::new(capacity);
    let mut starts = Vec::with_capacity(items.len());
    for (tag, value) in items {
        starts.push(written.0.len());
        written = written.put(*tag, value);
    }
    let table_length = 3 + 2 * items.len();
    let head = if table_length + written.0.len() < 0x80 { 3 } else { 5 };
    let offsets: Vec<u8> =
        starts.iter().flat_map(|start| ((head + table_length + start) as u16).to_be_bytes()).collect();
    let mut body = Writer::new(table_length + written.0.len()).put(table, &offsets);
    body.0.extend_from_slice(&written.0);
    body.into_template(template)
}

/// Is the table of offsets that was read the one that such a file has?
fn check_offsets(table: &[u8], written: &[u8]) -> Result<(), CardFileError> {
    let at = if written.get(2).is_some_and(|length| *length < 0x80) { 3 } else { 5 };
    let right = written.get(at + 3..at + 3 + table.len());
    if right == Some(table) { Ok(()) } else { Err(CardFileError::Offsets) }
}

fn digits(bytes: &[u8], length: usize) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

/// A date in eight digits.
fn date(bytes: &[u8]) -> Option<Date> {
    let text = Zeroizing::new(digits(bytes, 8)?);
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

fn date_digits(date: Date) -> Zeroizing<String> {
    Zeroizing::new(format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
}
