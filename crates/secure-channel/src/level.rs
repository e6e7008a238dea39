/// What a security level protects (Amendment D, table 7-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(u8);

/// Answers carry a MAC.
const R_MAC: u8 = 0x10;
/// Answers are enciphered.
const R_ENC: u8 = 0x20;
/// Commands are enciphered. All levels carry a MAC on commands.
const C_ENC: u8 = 0x02;
/// Bits 6 and 7 of "i": the card can authenticate answers, and encipher them too (Amendment D, table 5-1).
const CAN_R_MAC: u8 = 0x20;
const CAN_R_ENC: u8 = 0x40;

impl Level {
    /// The level, if there is one of that number and a card with the implementation options `options` can do it.
    pub(crate) fn new(level: u8, options: u8) -> Option<Self> {
        let defined = matches!(level, 0x01 | 0x03 | 0x11 | 0x13 | 0x33);
        let needed = match level & (R_MAC | R_ENC) {
            0 => 0,
            R_MAC => CAN_R_MAC,
            _ => CAN_R_MAC | CAN_R_ENC,
        };
        (defined && options & needed == needed).then_some(Self(level))
    }

    pub(crate) const fn byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn enciphers_commands(self) -> bool {
        self.0 & C_ENC != 0
    }

    pub(crate) const fn authenticates_answers(self) -> bool {
        self.0 & R_MAC != 0
    }

    pub(crate) const fn enciphers_answers(self) -> bool {
        self.0 & R_ENC != 0
    }
}
