//! The domain: residents, applications, certificate profiles, card layout, PIN rules.

pub mod card;
mod kind;
pub mod oid;
mod resident;

pub use kind::CertificateKind;
pub use resident::{Application, CertificateText, Resident, Sex};
