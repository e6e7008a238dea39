//! `world new`

use std::io;
use std::time::Instant;

use cli::{Context, Entry, Explanation, Failure, Mark, Messages, Report, Screen, register_fault, seconds};
use serde::Serialize;

use crate::commands::Made;
use crate::failure::failure;
use crate::token::{Tokens, unusable};
use crate::world::{Making, OPERATORS, Stage, World, WorldError};

/// Makes a world, and says so.
///
/// # Errors
/// See [`WorldError`].
pub(crate) fn run(made: &Made, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let making = made.making();
    let tokens = Tokens::read(context.hsm(), made.authority_hsm.as_deref()).map_err(unusable)?;
    heading("heading-world", making.seed, context)?;
    match make(&making, &tokens, context.folder(), context) {
        Ok((world, applicant)) => Ok(Box::new(NewWorld {
            ok: true,
            folder: context.folder().display().to_string(),
            seed: world.seed(),
            profile: world.issuing().name.clone(),
            next: next(&world, &applicant),
        })),
        Err(WorldError::FaultyRegister(faults)) => {
            let messages = context.messages();
            let faults: Vec<String> = faults.iter().map(|fault| register_fault(&messages, fault)).collect();
            let args = [("count", faults.len().into())];
            let error = Explanation::new(&messages, "error-world-faulty-register", &args);
            Ok(Box::new(FaultyRegister { ok: false, error, faults }))
        }
        Err(error) => Err(failure(error)),
    }
}

/// The heading of a command that makes or uses a world.
pub(crate) fn heading(key: &str, seed: u64, context: &Context) -> Result<(), Failure> {
    context.screen(|screen, messages| {
        let seed = messages.text("demo-seed", &[("seed", seed.to_string().into())]);
        screen.heading(&messages.get(key), &seed)
    })
}

/// Makes a world and shows how it goes on. The number of the resident who comes first is in the answer.
pub(crate) fn make(
    making: &Making,
    tokens: &Tokens,
    folder: &std::path::Path,
    context: &Context,
) -> Result<(World, String), WorldError> {
    let began = Instant::now();
    let mut done: Vec<String> = Vec::new();
    let shown = |done: &[String], running: Option<&str>, time: Option<String>| {
        let shown = context.screen(|screen, messages| {
            let running = running.map(|key| messages.text("step-running", &[("step", messages.get(key).into())]));
            let entry = Entry::new(messages.get("demo-world"), done.iter().cloned().chain(running));
            match time {
                Some(time) => screen.entry(Mark::Done, &entry.took(time)),
                None => screen.open_entry(&entry),
            }
        });
        // The result that follows can't be written either, and says so.
        drop(shown);
    };
    let messages = context.messages();
    let mut last = None;
    let mut told = |stage: Option<Stage>| {
        if let Some(key) = last {
            done.push(messages.get(key));
        }
        last = stage.map(stage_key);
        shown(&done, last, None);
    };
    let world = making.make_on(tokens, folder, &mut |stage| told(Some(stage)))?;
    told(None);
    shown(&done, None, Some(seconds(millis(began))));
    let applicant = world.applicant()?;
    Ok((world, applicant.number.clone()))
}

pub(crate) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn stage_key(stage: Stage) -> &'static str {
    match stage {
        Stage::Register => "demo-register",
        Stage::Authority => "demo-authority",
        Stage::Operators => "demo-operators",
    }
}

fn next(world: &World, applicant: &str) -> Vec<String> {
    let folder = world.folder().root().display();
    let program = crate::demo::program();
    vec![
        format!("{program} demo --state {folder}"),
        format!("{program} issue --operator {} --resident {applicant} --state {folder}", OPERATORS[0]),
    ]
}

/// A world that was made.
#[derive(Debug, Serialize)]
struct NewWorld {
    ok: bool,
    folder: String,
    seed: u64,
    profile: String,
    next: Vec<String>,
}

impl Report for NewWorld {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        screen.entry(Mark::Done, &Entry::new(messages.get("demo-folder"), [&self.folder]))?;
        show_next(&self.next, screen, messages)
    }
}

/// Commands to try next.
pub(crate) fn show_next(next: &[String], screen: &mut Screen, messages: &Messages) -> io::Result<()> {
    screen.gap()?;
    screen.heading(&messages.get("summary-next"), "")?;
    next.iter().try_for_each(|command| screen.verbatim(&format!("   $ {command}")))
}

/// A register that was refused, with every fault.
#[derive(Debug, Serialize)]
struct FaultyRegister {
    ok: bool,
    error: Explanation,
    faults: Vec<String>,
}

impl Report for FaultyRegister {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        screen.explanation(&self.error, messages)?;
        self.faults.iter().try_for_each(|fault| screen.text(3, fault))
    }
}
