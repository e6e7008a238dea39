use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::{Arc, PoisonError};
use std::{env, io};

use libtest_mimic::{Arguments, Trial};

use crate::daemon::{SOCKET_NAME, SOCKET_VARIABLE};
use crate::{PrivatePcscd, VirtualReader};

/// Names the folder for the second run of the same program.
const FOLDER_VARIABLE: &str = "PRIVATE_PCSCD_FOLDER";

/// The `main` of a test target without the usual harness (`harness = false`), whose tests use the PC/SC library in this
/// process: it finds the private pcscd and no other.
///
/// The library takes the socket from the environment, which a running program can't change safely. So the program runs
/// itself once more with the variable set, and starts the pcscd there. The usual arguments of a test program work.
pub fn main_with(readers: usize, trials: impl FnOnce(&Arc<PrivatePcscd>) -> Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Tests with cards wait more than they work, so as many run as there are readers.
    arguments.test_threads.get_or_insert(readers.max(1));
    let result = match env::var_os(FOLDER_VARIABLE) {
        None => run_again(),
        Some(folder) => PrivatePcscd::start_in(folder.into(), readers).map(|pcscd| {
            let pcscd = Arc::new(pcscd);
            let conclusion = libtest_mimic::run(&arguments, trials(&pcscd));
            if conclusion.has_failed() {
                eprintln!("--- pcscd's log ---\n{}", pcscd.log());
            }
            conclusion.exit_code()
        }),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn run_again() -> io::Result<ExitCode> {
    // The second run owns the folder.
    let folder = PrivatePcscd::new_folder()?;
    let error = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(SOCKET_VARIABLE, folder.join(SOCKET_NAME))
        .env(FOLDER_VARIABLE, &folder)
        .exec();
    Err(error)
}

/// A reader that nobody else has now. Others get it when this is dropped.
#[derive(Debug)]
pub struct Lease {
    pcscd: Arc<PrivatePcscd>,
    index: usize,
}

impl PrivatePcscd {
    /// Takes a reader for oneself; waits until one is free. For tests that run side by side, each with its own card.
    #[must_use]
    pub fn lease(self: &Arc<Self>) -> Lease {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(index) = free.pop() {
                return Lease { pcscd: Arc::clone(self), index };
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Deref for Lease {
    type Target = VirtualReader;

    fn deref(&self) -> &VirtualReader {
        &self.pcscd.readers()[self.index]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pcscd.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
        self.pcscd.returned.notify_one();
    }
}
