//! The domain: residents, applications, certificate profiles, card layout, PIN rules.

mod application;
pub mod card;
pub mod certificate;
pub mod era;
mod kind;
pub mod oid;
mod pin;
pub mod profile;
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
pub use resident::{Application, CertificateText, Resident, Sex};
pub use text::{Choices, SubstitutionTable, TextError};
pub use validity::{Validity, ValidityError, validity};
