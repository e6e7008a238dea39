//! A whole program: command line in, exit status out.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::arguments::Arguments;
use crate::commands::execute;
use crate::composition::Composition;
use crate::context::Context;
use crate::diagnostics;
use crate::failure::{Failure, Status};
use crate::screen::Screen;

/// Lets no core file of this process be written: it would hold what the process's memory holds. A program does this first.
pub fn forbid_core_files() {
    // A system that refuses is no worse than without.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Runs a program: reads its command line, does what it says over the ports of `composition`, tells what came of it.
///
/// The exit statuses are those of [`Status`].
pub fn run<C: Composition>(line: impl IntoIterator<Item = OsString>, composition: &C) -> ExitCode {
    let arguments = match Arguments::<C::Own, C::OwnCard>::read(composition.program(), line) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            // Help and version are asked for; anything else is wrong usage. If nobody reads it, nothing is lost.
            let _ = wrong.print();
            return if wrong.use_stderr() { Status::Usage.into() } else { Status::Done.into() };
        }
    };
    diagnostics::start(arguments.global.log_format);
    let context = Context::new(&arguments.global, composition.default_folder(), Screen::stdout());
    let outcome = execute(arguments.command, composition, &context);
    let concluded = match context.conclude(&outcome) {
        // Whoever reads has seen enough, as `head` has after some lines.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        concluded => concluded,
    };
    let status = match (&outcome, concluded) {
        (Err(failure), _) => failure.status(),
        (Ok(_), Err(failure)) => {
            tracing::error!(%failure, "the result could not be shown");
            failure.status()
        }
        (Ok(report), Ok(())) if report.succeeded() => Status::Done,
        (Ok(_), Ok(())) => Status::Failed,
    };
    status.into()
}
