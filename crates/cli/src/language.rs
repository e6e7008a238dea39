//! The language that a person reads.

use clap::ValueEnum;
use serde::Serialize;

/// A language of the texts for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// 日本語
    Ja,
    /// English
    En,
}

impl Language {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ja, Self::En];

    /// The language of the process's locale: `LC_ALL`, else `LC_MESSAGES`, else `LANG` (POSIX.1-2017 §8.2).
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_locale(["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok()))
    }

    /// The language of the first locale that is set, in order of precedence; English for any locale but Japanese.
    fn from_locale(locales: impl IntoIterator<Item = String>) -> Self {
        let locale = locales.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("ja") { Self::Ja } else { Self::En }
    }

    /// BCP 47 tag.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        for (locales, expected) in [
            (&["", "", "ja_JP.UTF-8"][..], Language::Ja),
            (&["C.UTF-8", "ja_JP.UTF-8"], Language::En),
            (&["ja"], Language::Ja),
            (&["ja@calendar", "en_US"], Language::Ja),
            (&["jam_JM"], Language::En),
            (&[], Language::En),
        ] {
            assert_eq!(Language::from_locale(locales.iter().map(ToString::to_string)), expected, "{locales:?}");
        }
    }
}
