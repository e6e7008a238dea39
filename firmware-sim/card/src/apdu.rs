//! The card's own reader of command APDUs (ISO/IEC 7816-4 §5.1), short and extended.

use zeroize::Zeroizing;

/// How Lc and Le were encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Extended,
}

/// A command as it came over the line. It has no `Debug`: data may be a PIN.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) cla: u8,
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: Zeroizing<Vec<u8>>,
    /// Bytes wanted, with 00 already read as 256 or 65536; none if Le was absent.
    pub(crate) le: Option<usize>,
    pub(crate) form: Form,
}

/// CLA bit: more parts of a chain follow (§5.1.1.1).
pub(crate) const CLA_CHAIN: u8 = 0x10;
/// CLA bit of proprietary classes: secure messaging (GlobalPlatform Card Specification §11.1.4).
pub(crate) const CLA_SECURE: u8 = 0x04;
/// Le = 00 in a short APDU.
pub(crate) const SHORT_LE_MAX: usize = 256;
const EXTENDED_LE_MAX: usize = 65_536;

impl Command {
    /// Reads one command; `None` if the lengths contradict each other.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[cla, ins, p1, p2], body) = bytes.split_first_chunk::<4>()?;
        let (data, le, form) = parse_body(body)?;
        Some(Self { cla, ins, p1, p2, data: Zeroizing::new(data.to_vec()), le, form })
    }

    /// The class without the bits of chaining and secure messaging.
    pub(crate) fn base_class(&self) -> u8 {
        self.cla & !(CLA_CHAIN | CLA_SECURE)
    }

    pub(crate) fn is_chained(&self) -> bool {
        self.cla & CLA_CHAIN != 0
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.cla & CLA_SECURE != 0
    }

    /// How much the host takes of the answer in one piece. A host that sent no Le still gets an answer: some send
    /// protected commands as case 1 or 3.
    pub(crate) fn room(&self) -> usize {
        self.le.unwrap_or(match self.form {
            Form::Short => SHORT_LE_MAX,
            Form::Extended => EXTENDED_LE_MAX,
        })
    }
}

/// Data field, Le and form of the seven cases of §5.1.
fn parse_body(body: &[u8]) -> Option<(&[u8], Option<usize>, Form)> {
    let short_le = |le: u8| if le == 0 { SHORT_LE_MAX } else { usize::from(le) };
    let extended_le = |hi: u8, lo: u8| match u16::from_be_bytes([hi, lo]) {
        0 => EXTENDED_LE_MAX,
        le => usize::from(le),
    };
    match *body {
        [] => Some((&[], None, Form::Short)),
        [le] => Some((&[], Some(short_le(le)), Form::Short)),
        [0, hi, lo] => Some((&[], Some(extended_le(hi, lo)), Form::Extended)),
        [0, hi, lo, ref rest @ ..] => {
            let lc = usize::from(u16::from_be_bytes([hi, lo]));
            let (data, tail) = rest.split_at_checked(lc).filter(|_| lc > 0)?;
            match *tail {
                [] => Some((data, None, Form::Extended)),
                [hi, lo] => Some((data, Some(extended_le(hi, lo)), Form::Extended)),
                _ => None,
            }
        }
        [0, _] => None,
        [lc, ref rest @ ..] => {
            let (data, tail) = rest.split_at_checked(usize::from(lc))?;
            match *tail {
                [] => Some((data, None, Form::Short)),
                [le] => Some((data, Some(short_le(le)), Form::Short)),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(hex: &str) -> Option<(usize, Option<usize>, Form)> {
        let command = Command::parse(&hex::decode(hex).unwrap())?;
        Some((command.data.len(), command.le, command.form))
    }

    #[test]
    fn the_seven_cases_of_7816_4_are_told_apart() {
        assert_eq!(parsed("00A40000"), Some((0, None, Form::Short)));
        assert_eq!(parsed("00B0000000"), Some((0, Some(256), Form::Short)));
        assert_eq!(parsed("00B0000007"), Some((0, Some(7), Form::Short)));
        assert_eq!(parsed("00A4020C020001"), Some((2, None, Form::Short)));
        assert_eq!(parsed("802A0080020001FF"), Some((2, Some(255), Form::Short)));
        assert_eq!(parsed("00B00000000000"), Some((0, Some(65_536), Form::Extended)));
        assert_eq!(parsed("00B00000000100"), Some((0, Some(256), Form::Extended)));
        assert_eq!(parsed("00A4020C0000020001"), Some((2, None, Form::Extended)));
        assert_eq!(parsed("00A4020C00000200010000"), Some((2, Some(65_536), Form::Extended)));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        for hex in [
            "",
            "00",
            "00A402",
            "00A4020C0200",
            "00A4020C02000100FF",
            "00B000000000",
            "00A4020C000000",
            "00A4020C00000200",
            "00A4020C000002000100",
            "00A4020C0000020001000000",
            "00A4020C000000000000",
        ] {
            if hex == "00A4020C000000" {
                continue; // case 2E with Le = 0000
            }
            assert_eq!(parsed(hex), None, "{hex}");
        }
    }
}
