//! Words for what ports and stores fail with.

use std::path::Path;

use audit_log::LogFault;
use authority_link::LineError;
use biometric::SensorError;
use card_reader::CardError;
use hsm::custody::CustodyError;
use hsm::{HsmError, KeyKind, KeyName};
use key_ceremony::CeremonyError;
use orchestrator::StateError;
use resident_register::{FaultyLine, Problem, RegisterError};

use super::{Args, keys};
use crate::language::Language;
use crate::messages::Messages;

pub(super) fn hsm(error: &HsmError) -> (&'static str, Args) {
    match error {
        HsmError::NoSuchKey(key) => ("error-hsm-no-such-key", vec![("key", key.as_str().into())]),
        HsmError::SeveralKeys(key) => ("error-hsm-several-keys", vec![("key", key.as_str().into())]),
        HsmError::WrongKind(key) => ("error-hsm-wrong-kind", vec![("key", key.as_str().into())]),
        HsmError::Unsupported(_) => ("error-hsm-unsupported", vec![]),
        HsmError::Timeout => ("error-hsm-timeout", vec![]),
        HsmError::Unreachable => ("error-hsm-unreachable", vec![]),
        HsmError::PinRefused => ("error-hsm-pin-refused", vec![]),
        HsmError::Damaged(_) => ("error-hsm-damaged", vec![]),
        HsmError::NotAuthentic => ("error-hsm-not-authentic", vec![]),
        _ => ("error-hsm-failed", vec![]),
    }
}

/// Words for why keys of the HSM can't be made, or not be destroyed.
pub(super) fn ceremony(messages: &Messages, error: &CeremonyError) -> (&'static str, Args) {
    let kind = |kind: KeyKind| messages.get(keys::kind(kind.code()));
    let named = |key: &KeyName| vec![("key", key.as_str().into())];
    match error {
        CeremonyError::Custody(error) => match error {
            CustodyError::Dishonest(leak) => (
                "error-hsm-dishonest",
                vec![
                    ("way", messages.get(keys::leak(leak.way)).into()),
                    ("kind", kind(leak.kind).into()),
                    ("by", leak.by.as_str().into()),
                ],
            ),
            CustodyError::NotAsAsked { key, attribute } => {
                ("error-hsm-not-as-asked", vec![("key", key.as_str().into()), ("attribute", attribute.as_str().into())])
            }
            CustodyError::NameTaken(key) => ("error-hsm-name-taken", named(key)),
            CustodyError::Hsm(error) => hsm(error),
            _ => ("error-hsm-failed", vec![]),
        },
        CeremonyError::ForeignKeys(count) => ("error-hsm-foreign-keys", vec![("count", (*count).into())]),
        CeremonyError::AnotherInstallation(key) => ("error-hsm-another-installation", named(key)),
        CeremonyError::OtherKind { key, is, wanted } => (
            "error-hsm-other-kind",
            vec![("key", key.as_str().into()), ("is", kind(*is).into()), ("wanted", kind(*wanted).into())],
        ),
        CeremonyError::UnknownKey(key) => ("error-hsm-unknown-key", named(key)),
        CeremonyError::InUse { key, by } => {
            ("error-hsm-in-use", vec![("key", key.as_str().into()), ("use", messages.get(keys::key_use(*by)).into())])
        }
        CeremonyError::LogKeyGone => ("error-hsm-log-key-gone", vec![]),
        CeremonyError::SamePerson => ("error-hsm-same-person", vec![]),
        _ => ("error-hsm-failed", vec![]),
    }
}

pub(super) fn reader(error: &CardError) -> &'static str {
    match error {
        CardError::NoCard => "error-reader-no-card",
        CardError::Removed => "error-reader-removed",
        CardError::Reset => "error-reader-reset",
        CardError::Busy => "error-reader-busy",
        CardError::Timeout => "error-reader-timeout",
        CardError::Garbled => "error-reader-garbled",
        CardError::TooLong { .. } => "error-reader-too-long",
        CardError::Unencodable(_) => "error-reader-unencodable",
        CardError::Mute => "error-reader-mute",
        CardError::UnsupportedCard => "error-reader-unsupported-card",
        CardError::ReaderGone => "error-reader-reader-gone",
        CardError::NoReader => "error-reader-no-reader",
        CardError::NoService => "error-reader-no-service",
        CardError::ReaderStuck => "error-reader-reader-stuck",
        CardError::NotAuthorized => "error-reader-not-authorized",
        _ => "error-reader-other",
    }
}

pub(super) fn sensor(error: &SensorError) -> &'static str {
    match error {
        SensorError::Gone => "error-sensor-gone",
        SensorError::Timeout => "error-sensor-timeout",
        SensorError::Busy => "error-sensor-busy",
        SensorError::DamagedImage => "error-sensor-damaged-image",
        SensorError::Garbled(_) => "error-sensor-garbled",
        SensorError::Unsupported(_) => "error-sensor-unsupported",
        SensorError::Untrusted(_) => "error-sensor-untrusted",
        SensorError::NotAuthentic => "error-sensor-not-authentic",
        SensorError::Refused { .. } => "error-sensor-refused",
        SensorError::ForeignTemplates => "error-sensor-foreign-templates",
        SensorError::NotAuthorized => "error-sensor-not-authorized",
        _ => "error-sensor-other",
    }
}

pub(super) fn state(error: &StateError) -> (&'static str, Args) {
    let path = |path: &Path| vec![("path", path.display().to_string().into())];
    match error {
        StateError::Missing(folder) => ("error-state-missing", path(folder)),
        StateError::InUse(folder) => ("error-state-in-use", path(folder)),
        StateError::DiskFull(file) => ("error-state-disk-full", path(file)),
        StateError::NotAllowed(file) => ("error-state-not-allowed", path(file)),
        StateError::Damaged { file, .. } => ("error-state-damaged", vec![("path", file.as_str().into())]),
        StateError::Io { path: file, .. } => ("error-state-io", path(file)),
        _ => ("error-other", vec![]),
    }
}

pub(super) fn register(messages: &Messages, error: &RegisterError) -> (&'static str, Args) {
    match error {
        RegisterError::Unreadable(_) => ("error-register-unreadable", vec![]),
        RegisterError::Faulty(fault) => {
            ("error-register-faulty", vec![("fault", register_fault(messages, fault).into())])
        }
        RegisterError::Ambiguous { first, second } => {
            ("error-register-ambiguous", vec![("first", (*first).into()), ("second", (*second).into())])
        }
        _ => ("error-other", vec![]),
    }
}

/// A faulty line of a resident register: where, and what; never what stands there.
#[must_use]
pub fn register_fault(messages: &Messages, fault: &FaultyLine) -> String {
    let (key, args): (_, Args) = match fault.problem {
        Problem::NotUtf8 => ("problem-not-utf8", vec![]),
        Problem::EmptyFile => ("problem-empty-file", vec![]),
        Problem::MissingColumn => ("problem-missing-column", vec![]),
        Problem::RepeatedColumn => ("problem-repeated-column", vec![]),
        Problem::UnknownColumn { number } => ("problem-unknown-column", vec![("number", number.into())]),
        Problem::FieldCount { expected, found } => {
            ("problem-field-count", vec![("expected", expected.into()), ("found", found.into())])
        }
        Problem::LineTooLong => ("problem-line-too-long", vec![]),
        Problem::Empty => ("problem-empty", vec![]),
        Problem::TooLong { most } => ("problem-too-long", vec![("most", most.into())]),
        Problem::ControlCharacter => ("problem-control-character", vec![]),
        Problem::NotANumber => ("problem-not-a-number", vec![]),
        Problem::DuplicateNumber { first } => ("problem-duplicate-number", vec![("first", first.into())]),
        Problem::NotADate => ("problem-not-a-date", vec![]),
        Problem::NotASex => ("problem-not-a-sex", vec![]),
        Problem::BeforeBirth => ("problem-before-birth", vec![]),
        _ => ("problem-other", vec![]),
    };
    let mut args_of_line = vec![("line", fault.line.into()), ("problem", messages.text(key, &args).into())];
    let Some(column) = fault.column else { return messages.text("register-fault", &args_of_line) };
    let column = match messages.language() {
        Language::Ja => column.name(),
        Language::En => column.english_name(),
    };
    args_of_line.push(("column", column.into()));
    messages.text("register-fault-in-column", &args_of_line)
}

/// The key of the text for what is wrong with the line to the authority.
pub(super) fn line(error: &LineError) -> (&'static str, Args) {
    let key = match error {
        LineError::Refused => "error-line-refused",
        LineError::Unreachable(_) => "error-line-unreachable",
        LineError::UnknownName(_) => "error-line-unknown-name",
        LineError::ForeignPeer => "error-line-foreign-peer",
        LineError::PeerNotValidNow => "error-line-peer-not-valid-now",
        LineError::NotAdmitted => "error-line-not-admitted",
        LineError::Tls(_) => "error-line-tls",
        LineError::Lost => "error-line-lost",
        LineError::Timeout => "error-line-timeout",
        LineError::Http(_) => "error-line-http",
        LineError::TooLong => "error-line-too-long",
        LineError::Hsm(error) => return hsm(error),
        _ => "error-other",
    };
    (key, vec![])
}

/// The key of the text for what is wrong with a log.
pub(super) fn log_fault(fault: &LogFault) -> &'static str {
    match fault {
        LogFault::Malformed { .. } => "log-malformed",
        LogFault::Misplaced { .. } => "log-misplaced",
        LogFault::Changed { .. } => "log-changed",
        LogFault::Truncated { .. } => "log-truncated",
        LogFault::RolledBack { .. } => "log-rolled-back",
        LogFault::KeyReplaced { .. } => "log-key-replaced",
        LogFault::Forged(_) => "log-forged",
        LogFault::OtherLog { .. } => "log-other-log",
        LogFault::NotAsWitnessed { .. } => "log-not-as-witnessed",
        LogFault::NoCheckpoint { .. } => "log-no-checkpoint",
        LogFault::Accounting(_) => "log-accounting",
        LogFault::OpenIntents(_) => "log-open-intents",
        _ => "log-other",
    }
}
