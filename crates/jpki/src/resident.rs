//! Residents as the municipality knows them, and the application that is made of them.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 性別, as coded in certificates: 1 男, 2 女, 3 その他 or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sex {
    /// 男
    Male,
    /// 女
    Female,
    /// Neither recorded; other codes are read as this.
    Other,
}

/// One resident of the register.
///
/// `Debug` prints nothing personal; the strings are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Resident {
    /// The register's own number for this person (宛名番号): up to 15 digits, meaningless outside the municipality.
    pub number: String,
    /// 氏名: family and given name split by U+3000; foreign residents' as on the 住民票.
    pub name: String,
    /// 旧氏, if recorded.
    pub former_family_name: Option<String>,
    /// 通称, if recorded.
    pub alias: Option<String>,
    /// 住所, from the prefecture on, full-width, at most 200 characters.
    pub address: String,
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Sex,
    /// 在留期間満了日, for foreign residents whose stay ends.
    #[zeroize(skip)]
    pub stay_until: Option<Date>,
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").finish_non_exhaustive()
    }
}

/// An application for certificates: six of the seven items that travel to the authority; the seventh, 公開鍵, comes from the card.
///
/// Texts are already in the characters that certificates allow; where a character was replaced (代替文字), the position is marked.
/// `Debug` prints nothing personal; the strings are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Application {
    /// 氏名.
    pub name: CertificateText,
    /// 通称, if there is one.
    pub alias: Option<CertificateText>,
    /// 住所.
    pub address: CertificateText,
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Date,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Sex,
    /// 申請年月日.
    #[zeroize(skip)]
    pub applied_on: Date,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").finish_non_exhaustive()
    }
}

/// A text as a certificate carries it, with the positions of its 代替文字.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct CertificateText {
    /// The text.
    pub text: String,
    /// One digit per character of `text`: 1 where the character stands for another one.
    pub substituted: String,
}

impl fmt::Debug for CertificateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateText").finish_non_exhaustive()
    }
}

impl Sex {
    /// The digit that certificates and the card carry. For [`Sex::Other`] 3 is written: the sources disagree (3 or 9).
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Male => "1",
            Self::Female => "2",
            Self::Other => "3",
        }
    }

    /// Reads such a digit; 0, 3 and 9 are [`Sex::Other`].
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "1" => Some(Self::Male),
            "2" => Some(Self::Female),
            "0" | "3" | "9" => Some(Self::Other),
            _ => None,
        }
    }
}
