//! The domain: residents, applications, certificate profiles, card layout, PIN rules. No input or output, no clock, no randomness.
//!
//! From a resident to an application, in the characters that certificates allow:
//!
//! ```
//! use jiff::civil::date;
//! use jpki::{Application, ApplicationChoices, CertificateKind, Resident, Sex, SubstitutionTable, eligible};
//!
//! let resident = Resident {
//!     number: "101".into(),
//!     name: "髙橋　桜".into(),
//!     former_family_name: Some("佐藤".into()),
//!     alias: None,
//!     address: "東京都みどり区北町1-2-3".into(),
//!     birth: date(1980, 2, 17),
//!     sex: Sex::Female,
//!     stay_until: None,
//! };
//! let today = date(2026, 7, 1);
//! eligible(&resident, CertificateKind::Signature, today)?;
//!
//! let table = SubstitutionTable::builtin();
//! let application = Application::from_resident(&resident, today, table, &ApplicationChoices::default())?;
//! assert_eq!(application.name.text, "高橋［佐藤］　桜");
//! assert_eq!(application.name.substituted, "10000000");
//! assert_eq!(application.address.text, "東京都みどり区北町１－２－３");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the authority's answer to a certificate that may be written to the card: [`check`] compares every field with the application, the
//! card's key and the profile. Before it is asked for, [`check_public_key`] looks at the key that the card has made.

mod application;
pub mod card;
pub mod card_files;
pub mod certificate;
pub mod era;
mod kind;
pub mod oid;
mod pin;
pub mod profile;
mod public_key;
mod resident;
pub mod text;
pub mod validity;

pub use application::{
    ApplicationChoices, ApplicationError, FormerNameRule, Ineligible, SIGNATURE_AGE, TextField, age, eligible,
    registered_name,
};
pub use certificate::{
    CertificateError, CertificateField, CertificateView, Checked, Expected, Mismatch, Person, check,
};
pub use kind::CertificateKind;
pub use pin::{Pin, PinError, PinRules};
pub use profile::{CertificateProfile, IssuingProfile, KeyAlgorithm, LinkageProfile, Municipality};
pub use public_key::{WeakKey, check_public_key};
pub use resident::{Application, CertificateText, Resident, Sex};
pub use text::{Choices, SubstitutionTable, TextError};
pub use validity::{Validity, ValidityError, validity};
