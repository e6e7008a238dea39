//! Status words that the card answers (ISO/IEC 7816-4 §5.1.3).

/// A status word, SW1 in the high byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sw(pub(crate) u16);

impl Sw {
    pub(crate) const OK: Self = Self(0x9000);
    /// Wrong host cryptogram (GlobalPlatform Amendment D §7.1.2).
    pub(crate) const AUTHENTICATION_FAILED: Self = Self(0x6300);
    /// SET SESSION KEY in an application to which no key can be delivered, as the real card says it.
    pub(crate) const NO_KEY_DELIVERY: Self = Self(0x66F1);
    pub(crate) const MEMORY_FAILURE: Self = Self(0x6581);
    pub(crate) const WRONG_LENGTH: Self = Self(0x6700);
    pub(crate) const LOGICAL_CHANNEL: Self = Self(0x6881);
    pub(crate) const SECURE_MESSAGING: Self = Self(0x6882);
    pub(crate) const LAST_OF_CHAIN_EXPECTED: Self = Self(0x6883);
    pub(crate) const CHAINING: Self = Self(0x6884);
    pub(crate) const FILE_STRUCTURE: Self = Self(0x6981);
    pub(crate) const SECURITY_STATUS: Self = Self(0x6982);
    pub(crate) const CONDITIONS: Self = Self(0x6985);
    /// An enciphered command where no session key is in force, as the real card says it.
    pub(crate) const NO_SESSION: Self = Self(0x69FC);
    pub(crate) const NO_CURRENT_EF: Self = Self(0x6986);
    pub(crate) const BAD_SECURE_MESSAGING: Self = Self(0x6988);
    pub(crate) const BAD_DATA: Self = Self(0x6A80);
    pub(crate) const NOT_SUPPORTED: Self = Self(0x6A81);
    pub(crate) const FILE_NOT_FOUND: Self = Self(0x6A82);
    pub(crate) const RECORD_NOT_FOUND: Self = Self(0x6A83);
    pub(crate) const NO_MEMORY: Self = Self(0x6A84);
    pub(crate) const P1_P2: Self = Self(0x6A86);
    pub(crate) const NOT_FOUND: Self = Self(0x6A88);
    pub(crate) const OFFSET: Self = Self(0x6B00);
    pub(crate) const INS: Self = Self(0x6D00);
    pub(crate) const CLA: Self = Self(0x6E00);
    /// A wrapped key does not open (GlobalPlatform Card Specification v2.3 §11.8.3.2: "invalid key check value").
    pub(crate) const KEY_CHECK: Self = Self(0x9485);
    pub(crate) const UNKNOWN: Self = Self(0x6F00);

    /// `63Cx`: the comparison failed, `left` tries are left.
    pub(crate) fn tries_left(left: u8) -> Self {
        Self(0x63C0 | u16::from(left.min(15)))
    }

    /// `6Cxx`: the right Le is `available` (1–256).
    pub(crate) fn exact_le(available: usize) -> Self {
        Self(0x6C00 | (available & 0xFF) as u16)
    }

    /// `61xx`: so much waits for GET RESPONSE; 00 stands for 256 and more.
    pub(crate) fn more(waiting: usize) -> Self {
        Self(0x6100 | if waiting >= 256 { 0 } else { waiting as u16 })
    }

    /// Does secure messaging protect an answer with this word? Success and warnings only (Amendment D §6.2.5).
    pub(crate) fn is_protected(self) -> bool {
        matches!(self.0 >> 8, 0x90 | 0x62 | 0x63)
    }
}
