//! From a resident to an application, and who may apply for what.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kind::CertificateKind;
use crate::resident::{Application, CertificateText, Resident};
use crate::text::{Choices, SubstitutionTable, TextError};

/// Youngest age at which a signing certificate is issued, in years.
pub const SIGNATURE_AGE: i16 = 15;

/// How a 旧氏 goes into the certificate's 氏名. How the real certificates do it is not public, so this is a choice of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormerNameRule {
    /// In brackets after the family name, as on the face of the 住民票: `氏［旧氏］　名`.
    #[default]
    Brackets,
    /// Not at all.
    Omit,
}

/// What people decided for one application.
#[derive(Clone, Debug, Default)]
pub struct ApplicationChoices {
    /// How a 旧氏 is written.
    pub former_name: FormerNameRule,
    /// 代替文字 of the 氏名. Positions count in [`registered_name`], which contains the 旧氏.
    pub name: Choices,
    /// 代替文字 of the 通称.
    pub alias: Choices,
    /// 代替文字 of the 住所.
    pub address: Choices,
}

/// A text of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextField {
    /// 氏名
    Name,
    /// 通称
    Alias,
    /// 住所
    Address,
}

/// Why a resident's data can't be made into an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// A text does not fit a certificate; most often a character needs a 代替文字 that a person must choose.
    #[error("{field:?}: {reason}")]
    Text {
        /// Which text.
        field: TextField,
        /// What is wrong with it.
        reason: TextError,
    },
    /// Born after the day of the application: the register or the terminal's date is wrong.
    #[error("the date of birth lies after the date of application")]
    NotYetBorn,
}

impl Application {
    /// The application of `resident` on `applied_on`, with 代替文字 from `table` and from the `choices` of people.
    ///
    /// # Errors
    /// [`ApplicationError`]; for a missing 代替文字 it names text and position.
    pub fn from_resident(
        resident: &Resident,
        applied_on: Date,
        table: &SubstitutionTable,
        choices: &ApplicationChoices,
    ) -> Result<Self, ApplicationError> {
        if resident.birth > applied_on {
            return Err(ApplicationError::NotYetBorn);
        }
        let text = |field, register: &str, choices| {
            CertificateText::with_choices(register, table, choices)
                .map_err(|reason| ApplicationError::Text { field, reason })
        };
        Ok(Self {
            name: text(TextField::Name, &registered_name(resident, choices.former_name), &choices.name)?,
            alias: resident.alias.as_deref().map(|alias| text(TextField::Alias, alias, &choices.alias)).transpose()?,
            address: text(TextField::Address, &resident.address, &choices.address)?,
            birth: resident.birth,
            sex: resident.sex,
            applied_on,
        })
    }
}

/// The 氏名 for the certificate in the register's characters, with the 旧氏 as `rule` says.
#[must_use]
pub fn registered_name(resident: &Resident, rule: FormerNameRule) -> Zeroizing<String> {
    let (family, given) = match resident.name.find(['\u{3000}', ' ']) {
        Some(gap) => resident.name.split_at(gap),
        None => (resident.name.as_str(), ""),
    };
    match (rule, resident.former_family_name.as_deref()) {
        (FormerNameRule::Brackets, Some(former)) => {
            // Room for all parts at once, so that no shorter copy is left behind.
            let mut name = Zeroizing::new(String::with_capacity(resident.name.len() + former.len() + 6));
            for part in [family, "［", former, "］", given] {
                name.push_str(part);
            }
            name
        }
        (FormerNameRule::Omit, _) | (_, None) => Zeroizing::new(resident.name.clone()),
    }
}

/// Why a resident gets no certificate of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ineligible {
    /// Under 15: no signing certificate, which is like a registered seal. The authentication certificate is issued all the same.
    #[error("signing certificates are issued from the 15th birthday on")]
    UnderFifteen,
    /// 在留期間満了日 has passed; the register may not know of an extension yet.
    #[error("the period of stay has ended")]
    StayEnded,
    /// The date of birth lies in the future: register or terminal date wrong.
    #[error("the date of birth lies in the future")]
    NotYetBorn,
}

/// May `resident` be issued a certificate of `kind` on the day `on`?
///
/// An age is reached when the day before the birthday ends (年齢計算ニ関スル法律), so someone born on 29 February is 15 on 1 March where
/// there is no 29th. The last day of stay still counts.
///
/// # Errors
/// Why not.
pub fn eligible(resident: &Resident, kind: CertificateKind, on: Date) -> Result<(), Ineligible> {
    if resident.birth > on {
        return Err(Ineligible::NotYetBorn);
    }
    if kind == CertificateKind::Signature && age(resident.birth, on) < SIGNATURE_AGE {
        return Err(Ineligible::UnderFifteen);
    }
    if resident.stay_until.is_some_and(|last_day| on > last_day) {
        return Err(Ineligible::StayEnded);
    }
    Ok(())
}

/// Age in whole years on a day.
#[must_use]
pub fn age(birth: Date, on: Date) -> i16 {
    let had_birthday = (on.month(), on.day()) >= (birth.month(), birth.day());
    on.year() - birth.year() - i16::from(!had_birthday)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::resident::Sex;

    fn resident() -> Resident {
        Resident {
            number: "1".to_owned(),
            name: "髙橋　桜".to_owned(),
            former_family_name: None,
            alias: None,
            address: "東京都清瀬市観布子南12-7-202".to_owned(),
            birth: date(1980, 2, 17),
            sex: Sex::Female,
            stay_until: None,
        }
    }

    fn resident_with(change: impl FnOnce(&mut Resident)) -> Resident {
        let mut resident = resident();
        change(&mut resident);
        resident
    }

    fn apply(resident: &Resident, choices: &ApplicationChoices) -> Result<Application, ApplicationError> {
        Application::from_resident(resident, date(2026, 7, 1), SubstitutionTable::builtin(), choices)
    }

    #[test]
    fn a_plain_application() {
        let application = apply(&resident(), &ApplicationChoices::default()).unwrap();
        assert_eq!(application.name.text, "高橋　桜");
        assert_eq!(application.name.substituted, "1000");
        assert_eq!(application.address.text, "東京都清瀬市観布子南１２－７－２０２");
        assert_eq!(application.address.substituted, "0".repeat(18));
        assert_eq!(application.applied_on, date(2026, 7, 1));
        assert!(application.alias.is_none());
    }

    #[test]
    fn former_names_follow_the_rule() {
        for (name, former, expected) in [
            ("髙橋　桜", "佐藤", "高橋［佐藤］　桜"),
            ("高橋 桜", "佐藤", "高橋［佐藤］　桜"),
            ("ＳＭＩＴＨ", "ＪＯＮＥＳ", "ＳＭＩＴＨ［ＪＯＮＥＳ］"),
        ] {
            let resident = resident_with(|r| {
                name.clone_into(&mut r.name);
                r.former_family_name = Some(former.to_owned());
            });
            assert_eq!(apply(&resident, &ApplicationChoices::default()).unwrap().name.text, expected);
        }
        let resident = resident_with(|r| r.former_family_name = Some("佐藤".to_owned()));
        let omit = ApplicationChoices { former_name: FormerNameRule::Omit, ..Default::default() };
        assert_eq!(apply(&resident, &omit).unwrap().name.text, "高橋　桜");
    }

    #[test]
    fn errors_name_field_and_position() {
        let resident = resident_with(|r| r.alias = Some("山\u{2A6A5}".to_owned()));
        let error = apply(&resident, &ApplicationChoices::default()).unwrap_err();
        let reason = TextError::NoSubstitute { position: 2 };
        assert_eq!(error, ApplicationError::Text { field: TextField::Alias, reason });
        let choices = ApplicationChoices { alias: Choices::none().with_choice(2, "田"), ..Default::default() };
        assert_eq!(apply(&resident, &choices).unwrap().alias.as_ref().unwrap().text, "山田");
        let unborn = resident_with(|r| r.birth = date(2026, 7, 2));
        assert_eq!(apply(&unborn, &choices), Err(ApplicationError::NotYetBorn));
    }

    #[test]
    fn eligibility_turns_on_the_day() {
        use CertificateKind::{Authentication, Signature};
        for (birth, day_before, first_day) in [
            (date(2011, 4, 2), date(2026, 4, 1), date(2026, 4, 2)),
            (date(2012, 2, 29), date(2027, 2, 28), date(2027, 3, 1)),
        ] {
            let resident = resident_with(|r| r.birth = birth);
            assert_eq!(eligible(&resident, Signature, day_before), Err(Ineligible::UnderFifteen));
            assert_eq!(eligible(&resident, Authentication, day_before), Ok(()));
            assert_eq!(eligible(&resident, Signature, first_day), Ok(()));
        }
        let staying = resident_with(|r| r.stay_until = Some(date(2026, 7, 1)));
        for kind in CertificateKind::BOTH {
            assert_eq!(eligible(&staying, kind, date(2026, 7, 1)), Ok(()));
            assert_eq!(eligible(&staying, kind, date(2026, 7, 2)), Err(Ineligible::StayEnded));
            assert_eq!(eligible(&staying, kind, date(1980, 2, 16)), Err(Ineligible::NotYetBorn));
        }
    }

    #[test]
    fn nothing_personal_is_printed() {
        let resident = resident();
        let choices = ApplicationChoices { name: Choices::none().with_choice(1, "喬"), ..Default::default() };
        let application = apply(&resident, &choices).unwrap();
        let printed = format!("{resident:?} {application:?} {:?} {choices:?}", application.name);
        for secret in ["橋", "喬", "桜", "清瀬", "1980"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
