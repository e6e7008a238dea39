//! Time as the terminal sees it: a [`Clock`] that tests can turn by hand, [`Deadline`]s as points on that clock, and
//! [`Recovery`], the one word in which every port tells its caller what may help after an error.
//!
//! Device traits take an absolute [`Deadline`], never a duration: a call that is made of several exchanges then can't
//! outlive what its caller allowed. Simulators advance a [`VirtualClock`] where a device would take time; nothing sleeps.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A point on a clock that never goes back. Only comparable with moments of the same clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `since_start` after the clock's start.
    #[must_use]
    pub const fn since_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where time comes from. One clock serves a whole composition: driver, devices and simulators.
///
/// # Guarantees
/// `now` never goes back. `wall` may jump (somebody sets the clock); it is for dates on documents, not for deadlines.
///
/// # For callers
/// Ask once per decision and keep the answer.
///
/// # For backend authors
/// `elapse` says that a device has been busy for so long. A clock of the real world ignores it, as that time has
/// passed already; a virtual clock advances.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Moment;

    /// The present date and time, UTC.
    fn wall(&self) -> Timestamp;

    /// A simulated device was busy for `duration`.
    fn elapse(&self, duration: Duration);

    /// The deadline `duration` from now.
    fn deadline_in(&self, duration: Duration) -> Deadline {
        Deadline(Moment(self.now().0.saturating_add(duration)))
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The moment by which an operation must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Moment);

impl Deadline {
    /// A deadline at `moment`.
    #[must_use]
    pub const fn at(moment: Moment) -> Self {
        Self(moment)
    }

    /// What is left until the deadline; zero once it has passed.
    #[must_use]
    pub fn remaining(self, clock: &dyn Clock) -> Duration {
        self.0.since(clock.now())
    }

    /// Has the deadline passed?
    #[must_use]
    pub fn has_passed(self, clock: &dyn Clock) -> bool {
        clock.now() >= self.0
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }
}

/// When this process looked at the time first. All clocks that go with the machine count from here: what one of them gives as a
/// deadline, another must not take for long past because it was made earlier.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The clock of the machine. There is one for a process, however often it is made.
#[derive(Debug)]
pub struct SystemClock(());

impl SystemClock {
    /// The clock.
    #[must_use]
    pub fn shared() -> SharedClock {
        LazyLock::force(&START);
        Arc::new(Self(()))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(START.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapse(&self, _duration: Duration) {}
}

/// A clock that moves only when told to, by a test or by a simulated device.
#[derive(Debug)]
pub struct VirtualClock {
    start: Mutex<Timestamp>,
    elapsed_ns: AtomicU64,
}

impl VirtualClock {
    /// A clock that shows `wall` and stands still.
    #[must_use]
    pub fn at(wall: Timestamp) -> Arc<Self> {
        Arc::new(Self { start: Mutex::new(wall), elapsed_ns: AtomicU64::new(0) })
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_ns.fetch_add(ns, Ordering::SeqCst);
    }

    /// Time since the clock was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns.load(Ordering::SeqCst))
    }

    /// Sets the wall clock without touching the monotonic one, as an administrator would.
    pub fn set_wall(&self, wall: Timestamp) {
        let shifted = wall.checked_sub(self.elapsed()).unwrap_or(wall);
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = shifted;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        Moment(self.elapsed())
    }

    fn wall(&self) -> Timestamp {
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        start.checked_add(self.elapsed()).unwrap_or(Timestamp::MAX)
    }

    fn elapse(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// The machine's clock, put forward by the time that simulated devices would have taken: real dates, real computing
/// time, and no waiting for a simulated card.
#[derive(Debug)]
pub struct ElapsingClock {
    virtual_ns: AtomicU64,
}

impl ElapsingClock {
    /// A clock that has not been put forward yet: it agrees with [`SystemClock`].
    #[must_use]
    pub fn shared() -> Arc<Self> {
        LazyLock::force(&START);
        Arc::new(Self { virtual_ns: AtomicU64::new(0) })
    }

    /// How much of the clock's time nobody has waited for.
    #[must_use]
    pub fn skipped(&self) -> Duration {
        Duration::from_nanos(self.virtual_ns.load(Ordering::SeqCst))
    }
}

impl Clock for ElapsingClock {
    fn now(&self) -> Moment {
        Moment(START.elapsed() + self.skipped())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now().checked_add(self.skipped()).unwrap_or(Timestamp::MAX)
    }

    fn elapse(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.virtual_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

/// What may help after an error. The orchestrator decides by this alone; texts and sources are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// The same call may succeed at once: nothing has been lost. Retry a bounded number of times.
    Retry,
    /// The device's state is gone (card removed or reset, connection dropped): open it anew and look before acting.
    Reconnect,
    /// Only a person can mend it: present the right card, enter the PIN again, place the hand.
    AskPerson,
    /// Wrong configuration: a name, a key, a permission. Nothing will change until an administrator acts.
    Reconfigure,
    /// Stop here. Going on could do harm, or makes no sense.
    Fatal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_told() {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let deadline = clock.deadline_in(Duration::from_secs(5));
        assert!(!deadline.has_passed(&*clock));
        assert_eq!(deadline.remaining(&*clock), Duration::from_secs(5));
        clock.elapse(Duration::from_secs(5));
        assert!(deadline.has_passed(&*clock));
        assert_eq!(clock.wall().as_second(), 5);
    }

    #[test]
    fn clocks_of_the_machine_agree_whenever_they_were_made() {
        let early = SystemClock::shared();
        let (begun, a_while) = (early.now(), Duration::from_millis(2));
        while early.now().since(begun) < a_while {}
        let before = early.now();
        for late in [SystemClock::shared(), ElapsingClock::shared()] {
            assert!(late.now() >= before, "{late:?}");
            assert!(!late.deadline_in(Duration::from_secs(60)).has_passed(&*early));
        }
    }

    #[test]
    fn setting_the_wall_clock_leaves_deadlines_alone() {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(10));
        let deadline = clock.deadline_in(Duration::from_secs(1));
        let noon = Timestamp::from_second(1_000_000).expect("in range");
        clock.set_wall(noon);
        assert_eq!(clock.wall(), noon);
        assert!(!deadline.has_passed(&*clock));
    }
}
