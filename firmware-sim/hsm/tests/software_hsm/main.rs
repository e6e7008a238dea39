//! The software HSM's tests, in one program.
#![expect(clippy::unwrap_used, reason = "a failure in a test is to be a panic")]

use std::time::Duration;

use madoguchi_time::{Deadline, Moment};

mod contract;
mod custody;
mod defects;
mod known_answers;
mod store;

/// For modules without a clock: any deadline will do.
fn soon() -> Deadline {
    Deadline::at(Moment::since_start(Duration::from_secs(10)))
}
