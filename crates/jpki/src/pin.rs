//! PINs: their format, and what a resident is advised against choosing.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::card::pin::{AUTH_LENGTH, SIGN_MAX, SIGN_MIN};
use crate::era;
use crate::kind::CertificateKind;

/// A PIN of the right format, as the card compares it: ASCII, letters raised.
///
/// `Debug` prints nothing of it; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin {
    kind: CertificateKind,
    value: Zeroizing<String>,
}

impl Pin {
    /// Takes what a resident typed as the PIN of `kind`. Lower-case letters are raised, as every client of the card does.
    ///
    /// 署名用: 6 to 16 letters A–Z and digits, at least one of each. 利用者証明用: 4 digits.
    ///
    /// # Errors
    /// What is wrong with the format.
    pub fn new(kind: CertificateKind, typed: &str) -> Result<Self, PinError> {
        let value = Zeroizing::new(typed.to_ascii_uppercase());
        match kind {
            CertificateKind::Authentication => {
                if !value.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(PinError::NotDigits);
                }
                if value.len() != AUTH_LENGTH {
                    return Err(PinError::WrongLength { min: AUTH_LENGTH, max: AUTH_LENGTH });
                }
            }
            CertificateKind::Signature => {
                if !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(PinError::NotLettersAndDigits);
                }
                if !(SIGN_MIN..=SIGN_MAX).contains(&value.len()) {
                    return Err(PinError::WrongLength { min: SIGN_MIN, max: SIGN_MAX });
                }
                if !value.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(PinError::NoLetter);
                }
                if !value.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(PinError::NoDigit);
                }
            }
        }
        Ok(Self { kind, value })
    }

    /// The kind of certificate that this PIN is for.
    #[must_use]
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// The PIN as it goes to the card. Copy it into wiped memory only.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.value.as_bytes()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Which PINs of the right format are refused all the same because they are easily guessed. These rules are ours: the
/// real terminal's are not public, so a site can set each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PinRules {
    /// Refuse the holder's date of birth in its usual forms.
    pub refuse_birthday: bool,
    /// How often one character may stand in a row; 0 for no limit.
    pub longest_repeat: usize,
    /// How many neighbours (`1234`, `FEDC`) may stand in a row; 0 for no limit.
    pub longest_run: usize,
}

impl Default for PinRules {
    fn default() -> Self {
        Self { refuse_birthday: true, longest_repeat: 3, longest_run: 3 }
    }
}

impl PinRules {
    /// Checks `pin` against these rules for a holder born on `birth`.
    ///
    /// # Errors
    /// The first rule that the PIN breaks.
    pub fn check(&self, pin: &Pin, birth: Date) -> Result<(), PinError> {
        let characters = pin.as_bytes();
        if self.longest_repeat > 0 && longest_row(characters, 0) > self.longest_repeat {
            return Err(PinError::Repeat);
        }
        if self.longest_run > 0 {
            let run = longest_row(characters, 1).max(longest_row(characters, -1));
            if run > self.longest_run || nothing_but_rows(characters) {
                return Err(PinError::Run);
            }
        }
        if self.refuse_birthday && tells_birthday(characters, birth) {
            return Err(PinError::Birthday);
        }
        Ok(())
    }
}

/// Length of the longest row in which each character is its left neighbour plus `step`; letters and digits don't mix.
fn longest_row(characters: &[u8], step: i16) -> usize {
    characters.chunk_by(|a, b| i16::from(*b) == i16::from(*a) + step).map(<[u8]>::len).max().unwrap_or(0)
}

/// Is this made of rows of three and more only, like `ABC123` or `111AAA`?
fn nothing_but_rows(characters: &[u8]) -> bool {
    let mut rest = characters;
    while !rest.is_empty() {
        let row = [-1, 0, 1]
            .into_iter()
            .filter_map(|step| rest.chunk_by(|a, b| i16::from(*b) == i16::from(*a) + step).next())
            .map(<[u8]>::len)
            .max()
            .unwrap_or(0);
        if row < 3 {
            return false;
        }
        rest = &rest[row..];
    }
    true
}

/// Do the digits of the PIN, read without its letters, say when its holder was born?
///
/// A form of four digits must be all there is: four digits somewhere in a long PIN are chance. Longer forms may stand anywhere.
fn tells_birthday(characters: &[u8], birth: Date) -> bool {
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(characters.iter().copied().filter(u8::is_ascii_digit).collect());
    birthday_forms(birth).iter().any(|form| {
        let form = form.as_bytes();
        digits.as_slice() == form || (form.len() >= 6 && digits.windows(form.len()).any(|w| w == form))
    })
}

/// The usual ways to write a date of birth in digits, in the Gregorian calendar and in the era's years.
fn birthday_forms(birth: Date) -> Vec<Zeroizing<String>> {
    let (year, month, day) = (birth.year(), birth.month(), birth.day());
    let short_years = [Some(i32::from(year) % 100), era::of(birth).map(|(_, year_of_era)| i32::from(year_of_era))];
    let mut forms = vec![
        format!("{year:04}"),
        format!("{month:02}{day:02}"),
        format!("{day:02}{month:02}"),
        format!("{year:04}{month:02}"),
        format!("{year:04}{month:02}{day:02}"),
        format!("{day:02}{month:02}{year:04}"),
        format!("{month:02}{day:02}{year:04}"),
        format!("{year:04}{month}{day}"),
    ];
    for short in short_years.into_iter().flatten() {
        forms.extend([
            format!("{short:02}{month:02}"),
            format!("{month:02}{short:02}"),
            format!("{short:02}{month}{day}"),
            format!("{short}{month}{day}"),
            format!("{short}{month:02}{day:02}"),
            format!("{short:02}{month:02}{day:02}"),
            format!("{day:02}{month:02}{short:02}"),
            format!("{month:02}{day:02}{short:02}"),
        ]);
    }
    forms.into_iter().filter(|form| form.len() >= 4).map(Zeroizing::new).collect()
}

/// Why a PIN was not accepted, each with what its holder can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// Too short or too long: count again.
    #[error("choose a PIN of {} characters", Span(.min, .max))]
    WrongLength {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// A character other than 0–9; often the input method is on and gives full-width digits.
    #[error("use the digits 0 to 9 only, in half width")]
    NotDigits,
    /// A character other than A–Z and 0–9; often the input method is on.
    #[error("use the letters A to Z and the digits 0 to 9 only, in half width")]
    NotLettersAndDigits,
    /// Digits only.
    #[error("use at least one letter")]
    NoLetter,
    /// Letters only.
    #[error("use at least one digit")]
    NoDigit,
    /// The holder's date of birth.
    #[error("do not use the date of birth")]
    Birthday,
    /// One character many times.
    #[error("do not repeat one character so often")]
    Repeat,
    /// Neighbours in order, as on the keyboard of digits or in the alphabet.
    #[error("do not use characters in their order, such as 1234 or ABCD")]
    Run,
}

struct Span<'a>(&'a usize, &'a usize);

impl fmt::Display for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 { write!(f, "{}", self.0) } else { write!(f, "{} to {}", self.0, self.1) }
    }
}

#[cfg(test)]
mod tests {
    use CertificateKind::{Authentication, Signature};
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    /// 17 February 1980, 昭和55年.
    fn birth() -> Date {
        date(1980, 2, 17)
    }

    fn verdict(kind: CertificateKind, typed: &str) -> Result<(), PinError> {
        PinRules::default().check(&Pin::new(kind, typed)?, birth())
    }

    #[test]
    fn format() {
        assert_eq!(Pin::new(Signature, "abc98d").unwrap().as_bytes(), b"ABC98D");
        let length = PinError::WrongLength { min: 6, max: 16 };
        for (typed, expected) in [
            ("", length),
            ("AB12C", length),
            ("ABCDEFGH12345678X", length),
            ("123456", PinError::NoLetter),
            ("ABCDEF", PinError::NoDigit),
            ("ABC 123", PinError::NotLettersAndDigits),
            ("ＡＢＣ１２３", PinError::NotLettersAndDigits),
            ("ABC-123", PinError::NotLettersAndDigits),
        ] {
            assert_eq!(Pin::new(Signature, typed), Err(expected), "{typed}");
        }
        for (typed, expected) in [
            ("123", PinError::WrongLength { min: 4, max: 4 }),
            ("12345", PinError::WrongLength { min: 4, max: 4 }),
            ("12A4", PinError::NotDigits),
            ("１２３４", PinError::NotDigits),
        ] {
            assert_eq!(Pin::new(Authentication, typed), Err(expected), "{typed}");
        }
    }

    #[test]
    fn easily_guessed_pins_are_refused() {
        for (typed, expected) in [
            ("1111", PinError::Repeat),
            ("1234", PinError::Run),
            ("4321", PinError::Run),
            ("6789", PinError::Run),
            ("0217", PinError::Birthday),
            ("1702", PinError::Birthday),
            ("1980", PinError::Birthday),
            ("8002", PinError::Birthday),
            ("5502", PinError::Birthday),
        ] {
            assert_eq!(verdict(Authentication, typed), Err(expected), "{typed}");
        }
        for (typed, expected) in [
            ("AAAAA1", PinError::Repeat),
            ("A11111", PinError::Repeat),
            ("ABCDE7", PinError::Run),
            ("A12345", PinError::Run),
            ("ABC123", PinError::Run),
            ("111AAA", PinError::Run),
            ("A800217", PinError::Birthday),
            ("S550217", PinError::Birthday),
            ("T19800217K", PinError::Birthday),
            ("TARO0217", PinError::Birthday),
            ("8002T17", PinError::Birthday),
        ] {
            assert_eq!(verdict(Signature, typed), Err(expected), "{typed}");
        }
        for typed in ["1357", "1112", "2580", "0317"] {
            assert_eq!(verdict(Authentication, typed), Ok(()), "{typed}");
        }
        for typed in ["K7M2Q9", "ABC12X", "TARO9217", "A0B2C1D7E5"] {
            assert_eq!(verdict(Signature, typed), Ok(()), "{typed}");
        }
    }

    #[test]
    fn every_rule_can_be_switched_off() {
        let lenient = PinRules { refuse_birthday: false, longest_repeat: 0, longest_run: 0 };
        for typed in ["1111", "1234", "0217"] {
            assert_eq!(lenient.check(&Pin::new(Authentication, typed).unwrap(), birth()), Ok(()));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Pin::new(Authentication, "8264").unwrap()), "Pin { kind: Authentication, .. }");
    }

    proptest! {
        #[test]
        fn any_input_is_judged_and_only_the_format_passes(typed in "\\PC{0,20}") {
            let four_digits = typed.len() == 4 && typed.bytes().all(|b| b.is_ascii_digit());
            prop_assert_eq!(Pin::new(Authentication, &typed).is_ok(), four_digits);
            let _ = Pin::new(Signature, &typed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn the_rules_leave_room(birth in (1920i16..2015, 1i8..=12, 1i8..=28)) {
            let birth = date(birth.0, birth.1, birth.2);
            let left = (0..10_000)
                .filter(|n| PinRules::default().check(&Pin::new(Authentication, &format!("{n:04}")).unwrap(), birth).is_ok())
                .count();
            prop_assert!((9_900..10_000).contains(&left), "{left} PINs of 4 digits are left");
        }
    }
}
