//! `demo`: the main job, from an empty folder to the proof that everything is as it should be.
//!
//! This process is the supervisor. The authority and the terminal are processes of their own, which it starts, watches and ends; it
//! holds no role but that of whoever relies on the certificates afterwards.

mod chain;
mod holder;
mod ocsp;
mod proof;
mod search;
mod supervisor;

use std::path::{Path, PathBuf};
use std::time::Instant;

use cli::{CertificateSummary, Context, Failure, Report};
use jpki::Resident;

use crate::commands::Demo;
use crate::composition::{PROGRAM, READER};
use crate::failure::failure;
use crate::making::{heading, make, millis};
use crate::token::{Tokens, unusable};
use crate::world::{OPERATORS, World, WorldError};

/// Runs the demonstration.
///
/// # Errors
/// What kept it from coming to its proof.
pub(crate) fn run(order: &Demo, context: &Context) -> Result<Box<dyn Report>, Failure> {
    if context.card_reader().is_some_and(|name| name != READER) {
        return Err(Failure::Own { key: "error-demo-reader", args: Vec::new(), source: None });
    }
    let folder = folder(context)?;
    supervisor::end_on_interrupt((!context.folder_was_named()).then(|| folder.clone()));
    let making = order.made.making();
    let existing = match World::open(&folder) {
        Ok(world) => Some(world),
        Err(WorldError::NotMade(_)) => None,
        Err(error) => return Err(failure(error)),
    };
    heading("heading-demo", existing.as_ref().map_or(making.seed, World::seed), context)?;
    let began = Instant::now();
    let named = (context.hsm(), order.made.authority_hsm.as_deref());
    let (mut world, tokens) = match existing {
        Some(world) if order.made.fits(&world) => {
            let tokens = Tokens::of(world.folder(), named.0, named.1).map_err(failure)?;
            (world, tokens)
        }
        Some(_) => return Err(failure(WorldError::AlreadyMade(folder.clone()))),
        None => {
            let tokens = Tokens::read(named.0, named.1).map_err(unusable)?;
            (make(&making, &tokens, &folder, context).map_err(failure)?.0, tokens)
        }
    };
    let making_took = millis(began);
    let applicant = world.applicant().map_err(failure)?;
    world.lay_on_reader(&applicant).map_err(failure)?;
    let mut summary = supervisor::run(order, &world, &tokens, &applicant, context)?;
    summary.seed = Some(world.seed());
    summary.timings_ms.add("world", making_took);
    summary.next = next(&world, &applicant);
    if !context.folder_was_named() {
        summary.next.push(format!("rm -r {}", folder.display()));
    }
    Ok(Box::new(summary))
}

/// The folder that was named, or a new one in the temporary folder.
fn folder(context: &Context) -> Result<PathBuf, Failure> {
    if context.folder_was_named() {
        return Ok(context.folder().to_owned());
    }
    let folder = tempfile::Builder::new().prefix("madoguchi-").tempdir()?;
    Ok(folder.keep())
}

/// What a person may want to try now.
fn next(world: &World, applicant: &Resident) -> Vec<String> {
    let (program, operator) = (program(), OPERATORS[0]);
    let folder = world.folder().root().display();
    vec![
        format!("{program} log show --state {folder}"),
        format!("{program} card show --operator {operator} --state {folder}"),
        format!("{program} issue --renew --operator {operator} --resident {} --state {folder}", applicant.number),
    ]
}

/// This program, as a person would type it.
pub(crate) fn program() -> String {
    let typed = std::env::args().next().unwrap_or_else(|| PROGRAM.into());
    let in_path = Path::new(&typed).components().count() == 1;
    if in_path { PROGRAM.into() } else { typed }
}

/// The files in which the holder keeps the certificates, on the summary.
fn with_paths(certificates: Vec<CertificateSummary>, world: &World) -> Vec<CertificateSummary> {
    certificates
        .into_iter()
        .map(|certificate| CertificateSummary {
            path: Some(proof::file_of(world, certificate.kind).display().to_string()),
            ..certificate
        })
        .collect()
}
