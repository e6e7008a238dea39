//! What is wrong with the terminal's own certificates.

use orchestrator::identity::IdentityError;

use super::{Args, ports};
use crate::summary::in_japan;

/// The key and arguments of its text.
pub(super) fn error(error: &IdentityError) -> (&'static str, Args) {
    match error {
        IdentityError::NotEnrolled => ("error-not-enrolled", vec![]),
        IdentityError::Expired { not_after, .. } => {
            ("error-own-certificate-expired", vec![("day", in_japan(*not_after).date().to_string().into())])
        }
        IdentityError::Refused { failure, .. } => {
            ("error-enrolment-refused", vec![("failure", failure.as_str().into())])
        }
        IdentityError::NotAsAsked(_) => ("error-own-certificate-rejected", vec![]),
        IdentityError::OtherAuthority => ("error-other-authority", vec![]),
        IdentityError::NoKey => ("error-no-successor-key", vec![]),
        IdentityError::Unreachable(error) => ports::line(error),
        IdentityError::Hsm(error) => ports::hsm(error),
        IdentityError::State(error) => ports::state(error),
        IdentityError::Line(_) => ("error-line-setup", vec![]),
        _ => ("error-other", vec![]),
    }
}
