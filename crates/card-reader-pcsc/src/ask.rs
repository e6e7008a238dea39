//! Questions to a worker thread, with a limit to one's patience.
//!
//! A call into the PC/SC library may block for as long as it likes, and can't be given up. So every call is made on a thread
//! of its own, and whoever wants the answer waits for it no longer than the deadline.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Silence {
    /// The worker still works on it.
    #[error("the PC/SC library has not returned")]
    StillWorking,
    /// The worker has ended. It panicked: the library said something that is in no specification.
    #[error("the thread that calls the PC/SC library ended")]
    Ended,
}

/// Sends a job that carries the way back, and waits for the answer.
pub(crate) fn ask<J, T>(jobs: &Sender<J>, patience: Duration, job: impl FnOnce(Sender<T>) -> J) -> Result<T, Silence> {
    let (reply, answer) = mpsc::channel();
    jobs.send(job(reply)).map_err(|_| Silence::Ended)?;
    answer.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => Silence::StillWorking,
        RecvTimeoutError::Disconnected => Silence::Ended,
    })
}
