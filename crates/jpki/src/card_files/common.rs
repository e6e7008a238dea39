//! The record of 共通カードAP.

use std::fmt;

use apdu::tlv::Tlv;
use jiff::civil::Date;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CardFileError, FileBytes, Writer, date, date_digits, digits};
use crate::card::common;

/// Length of the serial number in characters.
const SERIAL: usize = 15;
/// Length of the municipality's code in digits.
const MUNICIPALITY: usize = 5;

/// Record 1 of EF 0001 of 共通カードAP: which card this is.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CardRecord {
    /// Serial number: 15 ASCII letters and digits. On real cards they are digits.
    pub serial: String,
    /// 全国地方公共団体コード of the municipality, 5 digits.
    pub municipality: String,
    /// 有効期限.
    #[zeroize(skip)]
    pub expiry: Date,
}

impl fmt::Debug for CardRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardRecord").finish_non_exhaustive()
    }
}

impl CardRecord {
    /// Reads the record.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(record: &[u8]) -> Result<Self, CardFileError> {
        let tag = common::TAG_CARD_RECORD;
        let (object, rest) = Tlv::parse(record).map_err(|_| CardFileError::Malformed)?;
        let value = object.bytes().filter(|_| object.tag() == tag.into()).ok_or(CardFileError::Missing(tag))?;
        if !rest.is_empty() {
            return Err(CardFileError::Surplus);
        }
        let parts = || {
            let (serial, rest) = value.split_at_checked(SERIAL)?;
            let (municipality, expiry) = rest.split_at_checked(MUNICIPALITY)?;
            Some(Self {
                serial: serial
                    .iter()
                    .all(u8::is_ascii_alphanumeric)
                    .then(|| serial.iter().copied().map(char::from).collect())?,
                municipality: digits(municipality, MUNICIPALITY)?,
                expiry: date(expiry)?,
            })
        };
        parts().ok_or(CardFileError::Value(tag))
    }

    /// The record's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        let mut value = FileBytes::new(Vec::with_capacity(SERIAL + MUNICIPALITY + 8));
        for part in [self.serial.as_str(), &self.municipality, &date_digits(self.expiry)] {
            value.extend_from_slice(part.as_bytes());
        }
        Writer::new(value.len() + 5).put(common::TAG_CARD_RECORD, &value).0
    }
}
