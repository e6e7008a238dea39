//! PINs: tries are spent in non-volatile memory before the comparison, so that pulling the card saves none.

use jpki::{CertificateKind, card};
use subtle::ConstantTimeEq;

use crate::nvm::NvmError;
use crate::store::{Change, ObjectId, Store};
use crate::sw::Sw;

/// A PIN of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PinId {
    Signature,
    Authentication,
    /// The PIN of 券面事項入力補助AP.
    FaceInput,
    /// 照合番号A of 券面事項入力補助AP.
    CheckNumberA,
    /// 照合番号B of 券面事項入力補助AP.
    CheckNumberB,
    /// 生年月日 of 券面事項確認AP.
    CheckBirth,
    /// 照合番号A of 券面事項確認AP.
    CheckNumberAOfCheck,
    /// 照合番号B of 券面事項確認AP.
    CheckNumberBOfCheck,
    /// 住民基本台帳用暗証番号 in 住基AP.
    Juki,
    /// 住民基本台帳用暗証番号 in 共通カードAP.
    Common,
    /// Has no value and no tries, on any card.
    Blocked,
}

/// By which command its holder changes a PIN, after VERIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangedBy {
    /// CHANGE REFERENCE DATA.
    ReferenceData,
    /// CHANGE KEY of JICSAP.
    Key,
    Nobody,
}

impl PinId {
    pub(crate) const fn of(kind: CertificateKind) -> Self {
        match kind {
            CertificateKind::Signature => Self::Signature,
            CertificateKind::Authentication => Self::Authentication,
        }
    }

    /// The full try counter.
    pub(crate) const fn tries(self) -> u8 {
        match self {
            Self::Signature => card::pin::SIGN_TRIES,
            Self::Authentication => card::pin::AUTH_TRIES,
            Self::FaceInput => card::pin::FACE_INPUT_TRIES,
            Self::CheckNumberA
            | Self::CheckNumberB
            | Self::CheckBirth
            | Self::CheckNumberAOfCheck
            | Self::CheckNumberBOfCheck => card::pin::CHECK_NUMBER_TRIES,
            Self::Juki | Self::Common => card::pin::JUKI_TRIES,
            Self::Blocked => 0,
        }
    }

    pub(crate) const fn changed_by(self) -> ChangedBy {
        match self {
            Self::Signature | Self::Authentication | Self::FaceInput => ChangedBy::ReferenceData,
            Self::Juki | Self::Common => ChangedBy::Key,
            _ => ChangedBy::Nobody,
        }
    }

    /// Is this a value that the card takes (card-issuing §6)?
    pub(crate) fn accepts(self, pin: &[u8]) -> bool {
        let digits = pin.iter().all(u8::is_ascii_digit);
        match self {
            Self::Signature => {
                (card::pin::SIGN_MIN..=card::pin::SIGN_MAX).contains(&pin.len())
                    && pin.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
                    && pin.iter().any(u8::is_ascii_digit)
                    && !digits
            }
            Self::Authentication | Self::FaceInput | Self::Juki | Self::Common => {
                pin.len() == card::pin::AUTH_LENGTH && digits
            }
            Self::CheckNumberA | Self::CheckNumberAOfCheck => pin.len() == 12 && digits,
            Self::CheckNumberB | Self::CheckNumberBOfCheck => pin.len() == 14 && digits,
            Self::CheckBirth => pin.len() == 6 && digits,
            Self::Blocked => false,
        }
    }

    const fn value(self) -> ObjectId {
        ObjectId(0x0020 + self as u16)
    }

    const fn counter(self) -> ObjectId {
        ObjectId(0x0030 + self as u16)
    }

    pub(crate) fn is_set(self, store: &Store) -> bool {
        store.has(self.value())
    }

    /// Tries left; none while the PIN is not set.
    pub(crate) fn tries_left(self, store: &Store) -> Result<u8, NvmError> {
        Ok(store.get(self.counter())?.and_then(|counter| counter.first().copied()).unwrap_or(0))
    }

    /// What sets the PIN and its full try counter, in one transaction.
    pub(crate) fn setting(self, pin: &[u8]) -> [Change; 2] {
        [Change::put(self.value(), pin), Change::put(self.counter(), [self.tries()])]
    }

    /// Compares, byte for byte. The answer is `9000`, `63Cx`, `6985` while no PIN is set, or `blocked`.
    pub(crate) fn verify(self, store: &mut Store, pin: &[u8], blocked: u16) -> Result<Sw, NvmError> {
        if self == Self::Blocked {
            return Ok(Sw(blocked));
        }
        let Some(value) = store.get(self.value())? else { return Ok(Sw::CONDITIONS) };
        let left = self.tries_left(store)?;
        if left == 0 {
            return Ok(Sw(blocked));
        }
        self.set_counter(store, left - 1)?;
        // The length of a PIN is no secret worth a constant time; its characters are.
        if bool::from(value.as_slice().ct_eq(pin)) {
            self.set_counter(store, self.tries())?;
            Ok(Sw::OK)
        } else {
            Ok(Sw::tries_left(left - 1))
        }
    }

    fn set_counter(self, store: &mut Store, tries: u8) -> Result<(), NvmError> {
        store.transact(vec![Change::put(self.counter(), [tries])])
    }
}

/// Which PINs have been verified.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verified(u16);

impl Verified {
    pub(crate) fn has(self, pin: PinId) -> bool {
        self.0 & (1 << pin as u8) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn set(&mut self, pin: PinId, verified: bool) {
        if verified {
            self.0 |= 1 << pin as u8;
        } else {
            self.0 &= !(1 << pin as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (pin, good) in [
            ("ABC123", true),
            ("ABCDEFGHIJKLMNO1", true),
            ("ABC12", false),
            ("ABCDEFGHIJKLMNOP1", false),
            ("ABCDEF", false),
            ("123456", false),
            ("abc123", false),
            ("ABC 12", false),
        ] {
            assert_eq!(PinId::Signature.accepts(pin.as_bytes()), good, "{pin}");
        }
        for (pin, good) in [("1234", true), ("123", false), ("12345", false), ("123A", false)] {
            assert_eq!(PinId::Authentication.accepts(pin.as_bytes()), good, "{pin}");
        }
    }
}
