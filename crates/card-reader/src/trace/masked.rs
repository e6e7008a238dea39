use std::fmt;
use std::iter;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest data of a command or an answer that a trace may hold, in bytes. The longest that a card can be sent has 65,535; a
/// program may try a longer one.
const MAX_LENGTH: usize = 1 << 17;

/// Bytes of which some or all are hidden; the length is always known.
///
/// As a text: hexadecimal digits, and in parentheses how many bytes are hidden: `3082(2)A0`, `(16)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Masked(Vec<Run>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Run {
    Shown(Vec<u8>),
    Hidden(usize),
}

/// The text is none of the form that [`Masked`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not hexadecimal digits with hidden lengths in parentheses")]
pub struct NotMasked;

impl Masked {
    /// Shows `visible` of the bytes and hides the rest. What lies outside the bytes is no part of it.
    pub(super) fn of(bytes: &[u8], visible: Range<usize>) -> Self {
        let end = visible.end.min(bytes.len());
        let start = visible.start.min(end);
        let runs = [Run::Hidden(start), Run::Shown(bytes[start..end].to_vec()), Run::Hidden(bytes.len() - end)];
        Self(runs.into_iter().filter(|run| run.length() > 0).collect())
    }

    /// How many bytes it stands for.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.iter().map(Run::length).sum()
    }

    /// The bytes, if none is hidden.
    #[must_use]
    pub fn shown(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [Run::Shown(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Could it stand for these bytes? Hidden ones may be any.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for run in &self.0 {
            let Some((head, tail)) = rest.split_at_checked(run.length()) else { return false };
            if matches!(run, Run::Shown(shown) if shown != head) {
                return false;
            }
            rest = tail;
        }
        rest.is_empty()
    }

    /// The bytes, with zeros for the hidden ones.
    #[must_use]
    pub fn with_zeros(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.length()));
        for run in &self.0 {
            match run {
                Run::Shown(shown) => bytes.extend_from_slice(shown),
                Run::Hidden(length) => bytes.extend(iter::repeat_n(0, *length)),
            }
        }
        bytes
    }
}

impl Run {
    fn length(&self) -> usize {
        match self {
            Self::Shown(bytes) => bytes.len(),
            Self::Hidden(length) => *length,
        }
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in &self.0 {
            match run {
                Run::Shown(bytes) => f.write_str(&hex::encode_upper(bytes))?,
                Run::Hidden(length) => write!(f, "({length})")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Masked {
    type Err = NotMasked;

    fn from_str(text: &str) -> Result<Self, NotMasked> {
        let mut runs = Vec::new();
        let mut rest = text;
        let mut length = 0usize;
        while !rest.is_empty() {
            let run = match rest.strip_prefix('(') {
                Some(hidden) => {
                    let (count, tail) = hidden.split_once(')').ok_or(NotMasked)?;
                    rest = tail;
                    let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
                    Run::Hidden(count.parse().ok().filter(|count| is_number && *count > 0).ok_or(NotMasked)?)
                }
                None => {
                    let (digits, tail) = rest.split_at(rest.find('(').unwrap_or(rest.len()));
                    rest = tail;
                    Run::Shown(hex::decode(digits).map_err(|_| NotMasked)?)
                }
            };
            length = length.saturating_add(run.length());
            if length > MAX_LENGTH {
                return Err(NotMasked);
            }
            runs.push(run);
        }
        Ok(Self(runs))
    }
}

impl TryFrom<String> for Masked {
    type Error = NotMasked;

    fn try_from(text: String) -> Result<Self, NotMasked> {
        text.parse()
    }
}

impl From<Masked> for String {
    fn from(masked: Masked) -> Self {
        masked.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_bytes_are_counted_and_nothing_else_of_them_is_kept() {
        let bytes = [0x30, 0x82, 0x05, 0x11, 0xAA];
        for (visible, text) in [
            (0..0, "(5)"),
            (0..5, "30820511AA"),
            (0..9, "30820511AA"),
            (1..3, "(1)8205(2)"),
            (4..9, "(4)AA"),
            (7..9, "(5)"),
        ] {
            let masked = Masked::of(&bytes, visible);
            assert_eq!(masked.to_string(), text);
            assert_eq!(masked.length(), 5);
            assert!(masked.fits(&bytes));
            assert_eq!(text.parse::<Masked>().unwrap(), masked);
        }
        assert!(!"(1)8205(2)".parse::<Masked>().unwrap().fits(&[0, 0x82, 0x06, 0, 0]));
        assert_eq!(*"(1)82(1)".parse::<Masked>().unwrap().with_zeros(), [0, 0x82, 0]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["3", "3G", "(", "()", "(0)", "(+1)", "(1", "1)", "(99999999999999999999)", "(131073)", "(131072)00", "äb"]
        {
            assert_eq!(text.parse::<Masked>(), Err(NotMasked), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-F()]{0,12}|.{0,12}") {
            if let Ok(masked) = text.parse::<Masked>() {
                prop_assert!(masked.fits(&masked.with_zeros()) && masked.to_string().parse::<Masked>().is_ok());
            }
        }
    }
}
