//! What to tell a person when something failed: what, the likely cause, what to do.

mod domain;
mod identity;
pub(crate) mod keys;
mod ports;

use std::io;

use authority_link::LineError;
use biometric::{EnrolError, RetryReason};
use madoguchi_time::Recovery;
use orchestrator::ProcedureError;
use serde::Serialize;

pub(crate) use domain::pin;
pub use ports::register_fault;

use crate::messages::{Messages, Value};
use crate::screen::{INDENT, Mark, Screen};

/// A failure in the person's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// A stable name of the failure, for machines.
    pub code: String,
    /// What failed.
    pub text: String,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub mend: String,
}

type Args = Vec<(&'static str, Value)>;

impl Screen {
    /// What failed, why, and what to do.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn explanation(&mut self, explanation: &Explanation, messages: &Messages) -> io::Result<()> {
        self.verdict(Mark::Failed, &explanation.text)?;
        self.text(INDENT, &format!("{}{}", messages.get("error-cause"), explanation.cause))?;
        self.text(INDENT, &format!("{}{}", messages.get("error-mend"), explanation.mend))
    }
}

impl Explanation {
    /// The explanation that the catalogue has under `error-…`.
    #[must_use]
    pub fn new(messages: &Messages, key: &str, args: &[(&str, Value)]) -> Self {
        Self {
            code: key.strip_prefix("error-").unwrap_or(key).to_owned(),
            text: messages.text(key, args),
            cause: messages.text(&format!("{key}.cause"), args),
            mend: messages.text(&format!("{key}.mend"), args),
        }
    }

    /// Explains why a procedure failed.
    #[must_use]
    pub fn of(messages: &Messages, error: &ProcedureError) -> Self {
        let (key, args) = procedure(messages, error);
        Self::new(messages, key, &args)
    }
}

/// Explains why the authority could not be asked.
pub(crate) fn line(messages: &Messages, error: &LineError) -> Explanation {
    let (key, args) = ports::line(error);
    Explanation::new(messages, key, &args)
}

fn procedure(messages: &Messages, error: &ProcedureError) -> (&'static str, Args) {
    let certificate = |kind| ("certificate", messages.certificate(kind).into());
    match error {
        ProcedureError::LogOnRefused => ("error-log-on-refused", vec![]),
        ProcedureError::LogOnDelayed { wait } => (
            "error-log-on-delayed",
            vec![("seconds", wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).into())],
        ),
        ProcedureError::NoUsableCapture(reason) => {
            ("error-no-usable-capture", vec![("reason", messages.get(retry_reason(reason)).into())])
        }
        ProcedureError::NotLoggedOn => ("error-not-logged-on", vec![]),
        ProcedureError::NotAllowed => ("error-not-allowed", vec![]),
        ProcedureError::SecondPersonNeeded => ("error-second-person-needed", vec![]),
        ProcedureError::LastAccessManager => ("error-last-access-manager", vec![]),
        ProcedureError::UserIdNotFree => ("error-user-id-not-free", vec![]),
        ProcedureError::UnknownOperator => ("error-unknown-operator", vec![]),
        ProcedureError::Enrolment(error) => enrolment(messages, error),
        ProcedureError::UnknownResident => ("error-unknown-resident", vec![]),
        ProcedureError::NotEligible { kind, reason } => (
            "error-not-eligible",
            vec![certificate(*kind), ("reason", messages.get(domain::ineligible(reason)).into())],
        ),
        ProcedureError::Application(reason) => {
            ("error-application", vec![("reason", domain::application(messages, reason).into())])
        }
        ProcedureError::NoCard => ("error-no-card", vec![]),
        ProcedureError::WrongCard => ("error-wrong-card", vec![]),
        ProcedureError::WrongFaceCode { tries_left } => {
            ("error-wrong-face-code", vec![("tries", (*tries_left).into())])
        }
        ProcedureError::CardExpired => ("error-card-expired", vec![]),
        ProcedureError::CardOfAnotherPerson { item } => {
            ("error-card-of-another-person", vec![("item", messages.get(domain::item_name(item)).into())])
        }
        ProcedureError::AlreadyIssued(kind) => ("error-already-issued", vec![certificate(*kind)]),
        ProcedureError::CardMakesNoKeys => ("error-card-makes-no-keys", vec![]),
        ProcedureError::WeakKey { kind, weakness } => {
            ("error-weak-key", vec![certificate(*kind), ("weakness", messages.get(domain::weak_key(*weakness)).into())])
        }
        ProcedureError::WeakHsmKey { kind, weakness } => (
            "error-weak-hsm-key",
            vec![certificate(*kind), ("weakness", messages.get(domain::weak_key(*weakness)).into())],
        ),
        ProcedureError::CardKeysNotProved => ("error-card-keys-not-proved", vec![]),
        ProcedureError::NothingToRenew(kind) => ("error-nothing-to-renew", vec![certificate(*kind)]),
        ProcedureError::PinBlocked(kind) => ("error-pin-blocked", vec![certificate(*kind)]),
        ProcedureError::Pin(reason) => ("error-pin", vec![("reason", domain::pin(messages, reason).into())]),
        ProcedureError::Cancelled => ("error-cancelled", vec![]),
        ProcedureError::CardRefused { .. } => ("error-card-refused", vec![]),
        ProcedureError::CardGone => ("error-card-gone", vec![]),
        ProcedureError::AuthorityUnreachable(source) => match source.downcast_ref::<LineError>() {
            // Not just out of reach: waiting does not help.
            Some(error) if error.recovery() != Recovery::Retry => ports::line(error),
            _ => ("error-authority-unreachable", vec![]),
        },
        ProcedureError::AuthorityRefused { .. } => ("error-authority-refused", vec![]),
        ProcedureError::AuthorityNotTrusted(_) => ("error-authority-not-trusted", vec![]),
        ProcedureError::CertificateDiffers { field } => {
            ("error-certificate-differs", vec![("field", messages.get(domain::field_name(field)).into())])
        }
        ProcedureError::Hsm(error) => ports::hsm(error),
        ProcedureError::Identity(error) => identity::error(error),
        ProcedureError::Keys(error) => ports::ceremony(messages, error),
        ProcedureError::Reader(error) => (ports::reader(error), vec![]),
        ProcedureError::Sensor(error) => (ports::sensor(error), vec![]),
        ProcedureError::Register(error) => ports::register(messages, error),
        ProcedureError::State(error) => ports::state(error),
        ProcedureError::Log(fault) => ("error-log", vec![("fault", messages.get(ports::log_fault(fault)).into())]),
        ProcedureError::UnexpectedEvent { .. } => ("error-unexpected-event", vec![]),
        _ => ("error-other", vec![]),
    }
}

fn enrolment(messages: &Messages, error: &EnrolError) -> (&'static str, Args) {
    match error {
        EnrolError::Unusable(reason) => {
            ("error-enrol-unusable", vec![("reason", messages.get(unusable(*reason)).into())])
        }
        EnrolError::Inconsistent => ("error-enrol-inconsistent", vec![]),
        EnrolError::Sensor(error) => (ports::sensor(error), vec![]),
        _ => ("error-other", vec![]),
    }
}

fn unusable(reason: RetryReason) -> &'static str {
    match reason {
        RetryReason::NoHand => "retry-no-hand",
        RetryReason::TooNear => "retry-too-near",
        RetryReason::TooFar => "retry-too-far",
        RetryReason::TooLeft => "retry-too-left",
        RetryReason::TooRight => "retry-too-right",
        RetryReason::OffCentre => "retry-off-centre",
        RetryReason::Moving => "retry-moving",
        RetryReason::Tilted => "retry-tilted",
        RetryReason::TooDark => "retry-too-dark",
        RetryReason::TooBright => "retry-too-bright",
        RetryReason::Covered => "retry-covered",
        RetryReason::NoVeins => "retry-no-veins",
        _ => "retry-other",
    }
}

/// The key of the text for why a palm capture is taken again, as `Progress::CaptureRetried` names it.
pub(crate) fn retry_reason(reason: &str) -> &'static str {
    match reason {
        "no-hand" => "retry-no-hand",
        "too-near" => "retry-too-near",
        "too-far" => "retry-too-far",
        "too-left" => "retry-too-left",
        "too-right" => "retry-too-right",
        "off-centre" => "retry-off-centre",
        "moving" => "retry-moving",
        "tilted" => "retry-tilted",
        "too-dark" => "retry-too-dark",
        "too-bright" => "retry-too-bright",
        "covered" => "retry-covered",
        "no-veins" => "retry-no-veins",
        "not-recognised" => "retry-not-recognised",
        _ => "retry-other",
    }
}
