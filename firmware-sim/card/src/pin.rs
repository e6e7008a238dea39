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
    FaceInput,
    CheckNumberA,
    CheckNumberB,
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
            Self::CheckNumberA | Self::CheckNumberB => card::pin::CHECK_NUMBER_TRIES,
        }
    }

    /// May its holder change it?
    pub(crate) const fn is_changeable(self) -> bool {
        !matches!(self, Self::CheckNumberA | Self::CheckNumberB)
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
            Self::Authentication | Self::FaceInput => pin.len() == card::pin::AUTH_LENGTH && digits,
            Self::CheckNumberA => pin.len() == 12 && digits,
            Self::CheckNumberB => pin.len() == 14 && digits,
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
pub(crate) struct Verified(u8);

impl Verified {
    pub(crate) fn has(self, pin: PinId) -> bool {
        self.0 & (1 << pin as u8) != 0
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
