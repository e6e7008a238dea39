//! `madoguchi-sim`: the terminal composed with simulators, the worlds in which they stand, and the demonstration.

use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Arguments, Command};
use madoguchi_sim::commands::{Own, OwnCard};
use madoguchi_sim::composition::{PROGRAM, Simulated};
use madoguchi_sim::{authority, terminal};
use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is freed: what was personal in it does not stay for whoever gets it next.
#[global_allocator]
static WIPED: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    cli::forbid_core_files();
    let line: Vec<OsString> = std::env::args_os().collect();
    if line.get(1).is_some_and(|command| command == authority::COMMAND) {
        let line = std::iter::once("madoguchi-sim authority".into()).chain(line.into_iter().skip(2));
        return ::authority::cli::run(line, &authority::Keys);
    }
    let arguments = Arguments::<Own, OwnCard>::read(PROGRAM, line.iter().cloned()).ok();
    if let Some(arguments) = &arguments
        && let Command::Own(Own::Terminal(order)) = &arguments.command
    {
        return terminal::run(order, arguments);
    }
    cli::run(line, &Simulated::new(arguments.as_ref()))
}
