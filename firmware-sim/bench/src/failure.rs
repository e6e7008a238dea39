//! Failures of simulated worlds in the words of the message catalogue.

use std::error::Error;
use std::path::Path;

use cli::{Failure, Value};
use orchestrator::ProcedureError;
use sim_card::PersonalisationError;
use sim_card::nvm::NvmError;
use sim_card::vpcd::VpcdError;

use crate::line::LineSetupError;
use crate::token;
use crate::world::WorldError;

/// A failure with a text of its own.
pub(crate) fn own(
    key: &'static str,
    args: impl IntoIterator<Item = (&'static str, Value)>,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> Failure {
    Failure::Own { key, args: args.into_iter().collect(), source: Some(source.into()) }
}

fn path(path: &Path) -> (&'static str, Value) {
    ("path", path.display().to_string().into())
}

/// Why there is no world, for people.
pub(crate) fn failure(error: WorldError) -> Failure {
    let (key, args) = match &error {
        WorldError::NotEmpty(folder) => ("error-world-not-empty", vec![path(folder)]),
        WorldError::AlreadyMade(folder) => ("error-world-already-made", vec![path(folder)]),
        WorldError::NotMade(folder) => ("error-world-not-made", vec![path(folder)]),
        WorldError::Damaged { path: file, .. } => ("error-world-damaged", vec![path(file)]),
        WorldError::UnknownProfile(name) => ("error-world-unknown-profile", vec![("name", name.as_str().into())]),
        WorldError::FaultyRegister(faults) => ("error-world-faulty-register", vec![("count", faults.len().into())]),
        WorldError::NoApplicant => ("error-world-no-applicant", vec![]),
        WorldError::Io { path: file, .. } => ("error-world-io", vec![path(file)]),
        WorldError::Authority(_) => ("error-world-authority", vec![]),
        WorldError::Card(NvmError::InUse) => ("error-world-card-in-use", vec![]),
        WorldError::Card(NvmError::Io(_))
        | WorldError::Personalisation(PersonalisationError::Memory(NvmError::Io(_))) => ("error-world-card-io", vec![]),
        WorldError::Personalisation(_) | WorldError::Card(_) => ("error-world-card", vec![]),
        WorldError::Token(_)
        | WorldError::Keys(_)
        | WorldError::Register(_)
        | WorldError::Hsm(_)
        | WorldError::State(_)
        | WorldError::Terminal(_) => {
            return Failure::Procedure(match error {
                WorldError::Token(error) => return token::unusable(error),
                WorldError::Register(error) => error.into(),
                WorldError::Hsm(error) => error.into(),
                WorldError::Keys(error) => error.into(),
                WorldError::State(error) => error.into(),
                WorldError::Terminal(error) => error,
                other => return own("error-other", [], other),
            });
        }
    };
    own(key, args, error)
}

/// Why a card is not in its virtual reader, for people.
pub(crate) fn of_vpcd(error: VpcdError) -> Failure {
    let (key, address) = match &error {
        VpcdError::NobodyListens { address, .. } => ("error-serve-nobody-listens", address),
        VpcdError::Unreachable { address, .. } => ("error-serve-unreachable", address),
        VpcdError::NotAsked { address } => ("error-serve-not-asked", address),
        _ => return own("error-serve-system", [], error),
    };
    let args = [("vpcd", address.as_str().into())];
    own(key, args, error)
}

/// Why there is no line to the authority, for people.
pub(crate) fn of_line(error: LineSetupError) -> Failure {
    match error {
        LineSetupError::State(error) => error.into(),
        other => ProcedureError::AuthorityUnreachable(Box::new(other)).into(),
    }
}
