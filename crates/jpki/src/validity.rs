//! How long a certificate is valid.
//!
//! A certificate ends with the fifth birthday of its holder after the day of issue, with the sixth if it replaces one in its renewal
//! window, and never after its card, the holder's stay, or (signing) the holder's authentication certificate.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use crate::profile::ValidityRule;

/// Japan Standard Time, by which certificates are dated.
const JST: Offset = Offset::constant(9);

/// The period of validity of a certificate, in whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The moment of issue.
    pub not_before: Timestamp,
    /// 23:59:59 JST of the last day.
    pub not_after: Timestamp,
}

/// Why a certificate would not be valid for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidityError {
    /// A limit lies before the moment of issue: the card, the stay or the other certificate has expired.
    #[error("what limits the certificate has expired")]
    LimitPassed,
    /// A date that no calendar has; the clock is wrong.
    #[error("the date of issue is out of range")]
    OutOfRange,
}

/// Validity of a certificate for someone born on `birth`, issued at `issued_at`; `is_renewal` if it replaces one in its renewal window
/// ([`is_renewal`]). `limits` are other ends of validity: of the card, the stay ([`end_of_day`]), the authentication certificate.
///
/// # Errors
/// If the certificate would end before it begins.
pub fn validity(
    rule: ValidityRule,
    birth: Date,
    issued_at: Timestamp,
    is_renewal: bool,
    limits: &[Timestamp],
) -> Result<Validity, ValidityError> {
    let not_before = Timestamp::from_second(issued_at.as_second()).map_err(|_| ValidityError::OutOfRange)?;
    let count = if is_renewal { rule.birthdays_at_renewal } else { rule.birthdays };
    let last_day = birthday_after(birth, japanese_day(not_before), count).ok_or(ValidityError::OutOfRange)?;
    let birthday = end_of_day(last_day).ok_or(ValidityError::OutOfRange)?;
    let not_after = limits.iter().copied().fold(birthday, Timestamp::min);
    if not_after < not_before {
        return Err(ValidityError::LimitPassed);
    }
    Ok(Validity { not_before, not_after })
}

/// Is a certificate that ends at `not_after` in its renewal window on the day `on`?
///
/// The window opens on the day after the same day so many months before: for an end on 10 April, on 11 January. After the end there is no
/// renewal, but a new issue.
#[must_use]
pub fn is_renewal(rule: ValidityRule, not_after: Timestamp, on: Date) -> bool {
    let last_day = japanese_day(not_after);
    let opens = last_day.checked_sub(i32::from(rule.renewal_window_months).months()).and_then(Date::tomorrow);
    opens.is_ok_and(|opens| (opens..=last_day).contains(&on))
}

/// The day in Japan.
#[must_use]
pub fn japanese_day(moment: Timestamp) -> Date {
    JST.to_datetime(moment).date()
}

/// 23:59:59 of a day in Japan; `None` at the end of the calendar.
#[must_use]
pub fn end_of_day(day: Date) -> Option<Timestamp> {
    JST.to_timestamp(day.at(23, 59, 59, 0)).ok()
}

/// The `count`-th birthday after `day`; one on the day itself does not count.
fn birthday_after(birth: Date, day: Date, count: u8) -> Option<Date> {
    let passed = i16::from(birthday_in(birth, day.year())? <= day);
    birthday_in(birth, day.year().checked_add(i16::from(count) - 1 + passed)?)
}

/// The birthday in a year. For someone born on 29 February it is 28 February where there is no 29th: the law's words were not at hand, so
/// this is our reading of them.
fn birthday_in(birth: Date, year: i16) -> Option<Date> {
    let first = Date::new(year, birth.month(), 1).ok()?;
    Date::new(year, birth.month(), birth.day().min(first.days_in_month())).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::profile::IssuingProfile;

    fn rule() -> ValidityRule {
        IssuingProfile::jpki_2016().validity
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn last_moment(birth: Date, issued_at: &str, is_renewal: bool) -> String {
        validity(rule(), birth, at(issued_at), is_renewal, &[]).unwrap().not_after.to_string()
    }

    #[test]
    fn the_test_cards_validity() {
        assert_eq!(last_moment(date(1980, 2, 17), "2025-10-27T01:35:57Z", false), "2030-02-17T14:59:59Z");
    }

    #[test]
    fn the_birthday_turns_at_midnight_in_japan() {
        let birth = date(1980, 4, 10);
        // Still 9 April in Japan: the first birthday is tomorrow.
        assert_eq!(last_moment(birth, "2026-04-09T14:59:59Z", false), "2030-04-10T14:59:59Z");
        // 10 April: a birthday on the day of issue does not count.
        assert_eq!(last_moment(birth, "2026-04-09T15:00:00Z", false), "2031-04-10T14:59:59Z");
        assert_eq!(last_moment(birth, "2026-04-09T14:59:59Z", true), "2031-04-10T14:59:59Z");
    }

    #[test]
    fn born_on_29_february() {
        let birth = date(2000, 2, 29);
        for (issued_at, end) in [
            ("2026-07-01T00:00:00Z", "2031-02-28T14:59:59Z"),
            ("2027-07-01T00:00:00Z", "2032-02-29T14:59:59Z"),
            ("2026-02-27T14:59:59Z", "2030-02-28T14:59:59Z"),
            ("2026-02-27T15:00:00Z", "2031-02-28T14:59:59Z"),
            ("2028-02-28T00:00:00Z", "2032-02-29T14:59:59Z"),
            ("2028-02-29T00:00:00Z", "2033-02-28T14:59:59Z"),
        ] {
            assert_eq!(last_moment(birth, issued_at, false), end, "{issued_at}");
        }
    }

    #[test]
    fn the_earliest_limit_counts() {
        let stay = end_of_day(date(2027, 3, 31)).unwrap();
        let card = end_of_day(date(2029, 3, 31)).unwrap();
        let limited = validity(rule(), date(1980, 4, 10), at("2026-07-01T00:00:00.9Z"), false, &[card, stay]).unwrap();
        assert_eq!(limited, Validity { not_before: at("2026-07-01T00:00:00Z"), not_after: at("2027-03-31T14:59:59Z") });
        let late = validity(rule(), date(1980, 4, 10), at("2027-04-01T00:00:00Z"), false, &[stay]);
        assert_eq!(late, Err(ValidityError::LimitPassed));
    }

    #[test]
    fn the_renewal_window() {
        let end = at("2030-04-10T14:59:59Z");
        for (day, expected) in [
            (date(2030, 1, 10), false),
            (date(2030, 1, 11), true),
            (date(2030, 4, 10), true),
            (date(2030, 4, 11), false),
        ] {
            assert_eq!(is_renewal(rule(), end, day), expected, "{day}");
        }
        assert!(is_renewal(IssuingProfile::jpki_next().validity, end, date(2029, 4, 11)));
    }

    #[test]
    fn the_calendars_end_is_an_error() {
        let result = validity(rule(), date(1980, 4, 10), at("9998-01-01T00:00:00Z"), false, &[]);
        assert_eq!(result, Err(ValidityError::OutOfRange));
    }

    prop_compose! {
        fn any_day(from: i16, to: i16)(year in from..to, month in 1i8..=12, day in 1i8..=31) -> Date {
            date(year, month, day.min(date(year, month, 1).days_in_month()))
        }
    }

    proptest! {
        #[test]
        fn a_certificate_ends_on_the_nth_birthday(
            birth in any_day(1910, 2026), issued in any_day(2026, 2090), second in 0i64..86_400, is_renewal: bool, next: bool,
        ) {
            let rule = if next { IssuingProfile::jpki_next() } else { IssuingProfile::jpki_2016() }.validity;
            let issued_at = Timestamp::from_second(JST.to_timestamp(issued.at(0, 0, 0, 0)).unwrap().as_second() + second).unwrap();
            let validity = validity(rule, birth, issued_at, is_renewal, &[]).unwrap();
            let last_day = japanese_day(validity.not_after);
            prop_assert_eq!(validity.not_before, issued_at);
            prop_assert_eq!(end_of_day(last_day), Some(validity.not_after));

            // Counted independently: walk from the day after issue, one day at a time, and count birthdays.
            let mut birthdays = 0;
            let mut day = issued;
            while day < last_day {
                day = day.tomorrow().unwrap();
                let is_29th_moved = (birth.month(), birth.day()) == (2, 29) && (day.month(), day.day()) == (2, 28) && !day.in_leap_year();
                birthdays += u8::from((day.month(), day.day()) == (birth.month(), birth.day()) || is_29th_moved);
            }
            prop_assert_eq!(birthdays, if is_renewal { rule.birthdays_at_renewal } else { rule.birthdays });
            let years = i64::from(birthdays);
            prop_assert!((last_day - issued).get_days() as i64 > (years - 1) * 365 && (last_day - issued).get_days() as i64 <= years * 366 + 1);
        }
    }
}
