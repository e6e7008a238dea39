use std::fmt;

/// A status word, SW1 SW2 (ISO/IEC 7816-4 §5.1.3). Prints as four hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusWord(pub u16);

/// The named status words are those of ISO/IEC 7816-4 §5.1.3, and of GlobalPlatform Card Specification v2.3 §11.1.3
/// for [`StatusWord::AUTHENTICATION_FAILED`].
impl StatusWord {
    /// Done.
    pub const OK: Self = Self(0x9000);
    /// The file ended before as much was read as was asked for.
    pub const END_OF_FILE: Self = Self(0x6282);
    /// The selected file or application is deactivated.
    pub const DEACTIVATED: Self = Self(0x6283);
    /// Authentication failed; EXTERNAL AUTHENTICATE: the host's cryptogram is wrong.
    pub const AUTHENTICATION_FAILED: Self = Self(0x6300);
    /// Wrong PIN, and no tries left.
    pub const NO_TRIES_LEFT: Self = Self(0x63C0);
    /// The card's memory failed.
    pub const MEMORY_FAILURE: Self = Self(0x6581);
    /// Wrong length.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Logical channels are not supported.
    pub const LOGICAL_CHANNEL_NOT_SUPPORTED: Self = Self(0x6881);
    /// Secure messaging is not supported here.
    pub const SECURE_MESSAGING_NOT_SUPPORTED: Self = Self(0x6882);
    /// The last command of the chain was expected.
    pub const LAST_COMMAND_EXPECTED: Self = Self(0x6883);
    /// Command chaining is not supported.
    pub const CHAINING_NOT_SUPPORTED: Self = Self(0x6884);
    /// The command does not go with the kind of file.
    pub const INCOMPATIBLE_WITH_FILE: Self = Self(0x6981);
    /// Security status not satisfied: a PIN or a secure channel is missing.
    pub const SECURITY_STATUS_NOT_SATISFIED: Self = Self(0x6982);
    /// The PIN is blocked.
    pub const AUTHENTICATION_METHOD_BLOCKED: Self = Self(0x6983);
    /// The PIN can't be used; some cards say so of a blocked one.
    pub const REFERENCE_DATA_NOT_USABLE: Self = Self(0x6984);
    /// Conditions of use not satisfied.
    pub const CONDITIONS_NOT_SATISFIED: Self = Self(0x6985);
    /// No file is selected.
    pub const NO_CURRENT_FILE: Self = Self(0x6986);
    /// Secure messaging data objects are missing.
    pub const SECURE_MESSAGING_DATA_MISSING: Self = Self(0x6987);
    /// Secure messaging data objects are incorrect; the channel is closed.
    pub const SECURE_MESSAGING_DATA_INCORRECT: Self = Self(0x6988);
    /// Incorrect data.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// Function not supported.
    pub const FUNCTION_NOT_SUPPORTED: Self = Self(0x6A81);
    /// No such file or application.
    pub const FILE_NOT_FOUND: Self = Self(0x6A82);
    /// No such record.
    pub const RECORD_NOT_FOUND: Self = Self(0x6A83);
    /// Not enough memory.
    pub const NOT_ENOUGH_MEMORY: Self = Self(0x6A84);
    /// Incorrect P1-P2.
    pub const INCORRECT_P1_P2: Self = Self(0x6A86);
    /// What the command refers to is not there; issuing commands: the name does not fit.
    pub const REFERENCED_DATA_NOT_FOUND: Self = Self(0x6A88);
    /// P1-P2 point outside the file.
    pub const OFFSET_OUTSIDE_FILE: Self = Self(0x6B00);
    /// Unknown instruction.
    pub const INSTRUCTION_NOT_SUPPORTED: Self = Self(0x6D00);
    /// Unknown class.
    pub const CLASS_NOT_SUPPORTED: Self = Self(0x6E00);
    /// The card gives no diagnosis.
    pub const NO_PRECISE_DIAGNOSIS: Self = Self(0x6F00);

    /// Is it `9000`? Warnings (`62xx`, `63xx`) are not.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    /// `62xx` or `63xx`: performed, with a remark.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        matches!(self.0 >> 8, 0x62 | 0x63)
    }

    /// `63Cx`: the PIN was wrong, or was only asked about; x tries are left.
    #[must_use]
    pub const fn tries_left(self) -> Option<u8> {
        match self.0.to_be_bytes() {
            [0x63, low] if low & 0xF0 == 0xC0 => Some(low & 0x0F),
            _ => None,
        }
    }

    /// `61xx`: so many bytes of the answer, 1 to 256, can be fetched with GET RESPONSE. 256 may stand for more.
    #[must_use]
    pub const fn more_data(self) -> Option<u16> {
        self.length_in_sw2(0x61)
    }

    /// `6Cxx`: the command is to be repeated with this Le, 1 to 256.
    #[must_use]
    pub const fn wrong_le(self) -> Option<u16> {
        self.length_in_sw2(0x6C)
    }

    const fn length_in_sw2(self, sw1: u8) -> Option<u16> {
        match self.0.to_be_bytes() {
            [first, 0] if first == sw1 => Some(0x100),
            [first, length] if first == sw1 => Some(length as u16),
            _ => None,
        }
    }

    /// What the status word means, in English, for diagnostics.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OK => "done",
            Self::END_OF_FILE => "end of file reached",
            Self::DEACTIVATED => "selected file deactivated",
            Self::AUTHENTICATION_FAILED => "authentication failed",
            Self::NO_TRIES_LEFT => "wrong PIN, no tries left",
            Self::MEMORY_FAILURE => "memory failure",
            Self::WRONG_LENGTH => "wrong length",
            Self::LOGICAL_CHANNEL_NOT_SUPPORTED => "logical channel not supported",
            Self::SECURE_MESSAGING_NOT_SUPPORTED => "secure messaging not supported",
            Self::LAST_COMMAND_EXPECTED => "last command of the chain expected",
            Self::CHAINING_NOT_SUPPORTED => "command chaining not supported",
            Self::INCOMPATIBLE_WITH_FILE => "command incompatible with file structure",
            Self::SECURITY_STATUS_NOT_SATISFIED => "security status not satisfied",
            Self::AUTHENTICATION_METHOD_BLOCKED => "PIN blocked",
            Self::REFERENCE_DATA_NOT_USABLE => "PIN not usable",
            Self::CONDITIONS_NOT_SATISFIED => "conditions of use not satisfied",
            Self::NO_CURRENT_FILE => "no file selected",
            Self::SECURE_MESSAGING_DATA_MISSING => "secure messaging data missing",
            Self::SECURE_MESSAGING_DATA_INCORRECT => "secure messaging data incorrect",
            Self::WRONG_DATA => "incorrect data",
            Self::FUNCTION_NOT_SUPPORTED => "function not supported",
            Self::FILE_NOT_FOUND => "file or application not found",
            Self::RECORD_NOT_FOUND => "record not found",
            Self::NOT_ENOUGH_MEMORY => "not enough memory",
            Self::INCORRECT_P1_P2 => "incorrect P1-P2",
            Self::REFERENCED_DATA_NOT_FOUND => "referenced data not found",
            Self::OFFSET_OUTSIDE_FILE => "offset outside the file",
            Self::INSTRUCTION_NOT_SUPPORTED => "unknown instruction",
            Self::CLASS_NOT_SUPPORTED => "unknown class",
            Self::NO_PRECISE_DIAGNOSIS => "no precise diagnosis",
            Self(other) => match other.to_be_bytes() {
                [0x61, _] => "more data to fetch",
                [0x62, _] => "warning, memory unchanged",
                [0x63, low] if low & 0xF0 == 0xC0 => "wrong PIN, tries left",
                [0x63, _] => "warning, memory changed",
                [0x64, _] => "failed, memory unchanged",
                [0x65, _] => "failed, memory changed",
                [0x66, _] => "security problem",
                [0x68, _] => "function in CLA not supported",
                [0x69, _] => "command not allowed",
                [0x6A, _] => "wrong parameters",
                [0x6C, _] => "wrong expected length",
                _ => "unknown status word",
            },
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusWord({self})")
    }
}
