//! Threads that call the module, so that whoever waits can stop waiting.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use hsm::HsmError;
use madoguchi_time::{Deadline, SharedClock};

use crate::module::Until;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. They end with the last owner, each after the call that it is in.
pub(crate) struct Workers {
    jobs: Sender<Job>,
    clock: SharedClock,
}

impl Workers {
    pub(crate) fn start(count: usize, clock: SharedClock) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("PKCS #11".into()).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs, clock })
    }

    /// Has `job` done and waits for it until the deadline. A job that nobody waits for any more when its turn comes is not begun.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        job: impl FnOnce(&Until) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        if deadline.has_passed(&*self.clock) {
            return Err(HsmError::Timeout);
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let until = Until { deadline, clock: Arc::clone(&self.clock) };
        let job = Box::new(move || {
            if until.remaining().is_ok() {
                // Whoever waited may have gone.
                let _ = answer.send(job(&until));
            }
        });
        self.jobs.send(job).map_err(|_| HsmError::Unreachable)?;
        match answered.recv_timeout(deadline.remaining(&*self.clock)) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(HsmError::Timeout),
            Err(RecvTimeoutError::Disconnected) if deadline.has_passed(&*self.clock) => Err(HsmError::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(HsmError::Unreachable),
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic is the end of its job, whose answer then never comes, and not of the thread.
        let _ = panic::catch_unwind(AssertUnwindSafe(job));
    }
}
