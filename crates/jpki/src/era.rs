//! The Japanese eras, as far as people living today were born in them.

use jiff::civil::{Date, date};

/// An era (元号).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// 明治
    Meiji,
    /// 大正
    Taisho,
    /// 昭和
    Showa,
    /// 平成
    Heisei,
    /// 令和
    Reiwa,
}

impl Era {
    const ALL: [Self; 5] = [Self::Meiji, Self::Taisho, Self::Showa, Self::Heisei, Self::Reiwa];

    /// The era's first day. A day on which the era changed counts to the new one, as in registers.
    #[must_use]
    pub fn first_day(self) -> Date {
        match self {
            Self::Meiji => date(1868, 1, 25),
            Self::Taisho => date(1912, 7, 30),
            Self::Showa => date(1926, 12, 25),
            Self::Heisei => date(1989, 1, 8),
            Self::Reiwa => date(2019, 5, 1),
        }
    }

    /// The digit that certificates write for it.
    #[must_use]
    pub fn digit(self) -> char {
        match self {
            Self::Meiji => '1',
            Self::Taisho => '2',
            Self::Showa => '3',
            Self::Heisei => '4',
            Self::Reiwa => '5',
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meiji => "明治",
            Self::Taisho => "大正",
            Self::Showa => "昭和",
            Self::Heisei => "平成",
            Self::Reiwa => "令和",
        }
    }
}

/// The era of a day and the year in it, from 1 on; `None` before 明治.
#[must_use]
pub fn of(day: Date) -> Option<(Era, i16)> {
    let era = Era::ALL.into_iter().rev().find(|era| day >= era.first_day())?;
    Some((era, day.year() - era.first_day().year() + 1))
}

/// 生年月日 as a certificate carries it: the era's digit (0 before 明治), then the Gregorian YYYYMMDD.
#[must_use]
pub fn birth_code(birth: Date) -> String {
    let digit = of(birth).map_or('0', |(era, _)| era.digit());
    format!("{digit}{:04}{:02}{:02}", birth.year(), birth.month(), birth.day())
}

/// Reads what [`birth_code`] writes. The era's digit may also be 0, "not known"; any other must be the day's era.
///
/// `None` for anything else.
#[must_use]
pub fn parse_birth_code(code: &str) -> Option<Date> {
    if code.len() != 9 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let birth = Date::new(code[1..5].parse().ok()?, code[5..7].parse().ok()?, code[7..9].parse().ok()?).ok()?;
    (code.starts_with('0') || birth_code(birth) == code).then_some(birth)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn eras_begin_on_their_first_day() {
        for (day, digit, year) in [
            (date(1912, 7, 29), '1', 45),
            (date(1912, 7, 30), '2', 1),
            (date(1926, 12, 24), '2', 15),
            (date(1926, 12, 25), '3', 1),
            (date(1989, 1, 7), '3', 64),
            (date(1989, 1, 8), '4', 1),
            (date(2019, 4, 30), '4', 31),
            (date(2019, 5, 1), '5', 1),
        ] {
            let (era, year_of_era) = of(day).unwrap();
            assert_eq!((era.digit(), year_of_era), (digit, year), "{day}");
        }
        assert_eq!(of(date(1868, 1, 24)), None);
    }

    #[test]
    fn the_test_cards_birth_code() {
        assert_eq!(birth_code(date(1980, 2, 17)), "319800217");
        assert_eq!(parse_birth_code("019800217"), Some(date(1980, 2, 17)));
        for wrong in ["419800217", "319800230", "31980021", "3198002177", "3１９800217", ""] {
            assert_eq!(parse_birth_code(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn birth_codes_read_back(days in 0i32..60_000) {
            let birth = date(1880, 1, 1).saturating_add(jiff::Span::new().days(days));
            prop_assert_eq!(parse_birth_code(&birth_code(birth)), Some(birth));
        }

        #[test]
        fn any_text_is_judged(text in "\\PC{0,12}") {
            let _ = parse_birth_code(&text);
        }
    }
}
