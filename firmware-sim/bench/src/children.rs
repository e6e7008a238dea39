//! Processes of our own that never outlive us.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal};

/// The children that run now.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process. It is killed when this is dropped; a child that calls [`die_with_parent`] also ends when its parent is killed.
pub(crate) struct ChildProcess(Child);

impl ChildProcess {
    /// Starts a child with pipes to its standard input and output.
    ///
    /// # Errors
    /// If the system does not start it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        // The lock is held meanwhile, so that `kill_all` misses none.
        let mut running = running();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        running.insert(child.id());
        Ok(Self(child))
    }

    /// Its process ID.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it writes.
    ///
    /// # Errors
    /// If it was taken before.
    pub(crate) fn take_stdout(&mut self) -> io::Result<ChildStdout> {
        self.0.stdout.take().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Where it reads from.
    ///
    /// # Errors
    /// If it was taken before, or closed.
    pub(crate) fn stdin(&mut self) -> io::Result<&mut ChildStdin> {
        self.0.stdin.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// If it does not read any more.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.stdin()?;
        stdin.write_all(line.as_bytes())?;
        stdin.write_all(b"\n")?;
        stdin.flush()
    }

    /// Closes its standard input and waits for its end.
    ///
    /// # Errors
    /// If the system does not say.
    pub(crate) fn finish(mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }

    /// What a child that is about to end has said on its standard error.
    pub(crate) fn last_words(&mut self) -> String {
        let mut words = String::new();
        if let Some(stderr) = &mut self.0.stderr {
            // What can't be read is not known.
            let _ = stderr.take(8 << 10).read_to_string(&mut words);
        }
        words.trim().to_owned()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Once it has been waited for, its number may be another's.
        running().remove(&self.0.id());
        // A child that has ended already can't be killed, and is waited for at once.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills every child. Then this process ends: no more can be started.
pub(crate) fn kill_all() {
    let running = running();
    for id in running.iter() {
        let pid = i32::try_from(*id).ok().and_then(Pid::from_raw);
        // One that has ended is as good as killed.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, Signal::KILL));
    }
    std::mem::forget(running);
}

/// Ends this process when the one that started it ends, however that happens.
///
/// # Errors
/// If the system refuses.
pub(crate) fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
