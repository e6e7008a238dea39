//! Who sits at the terminal: logged on, locked after idling, logged off after each job.

use std::time::Duration;

use madoguchi_time::Moment;

use crate::operators::Operator;

/// The longest idle time before the screen locks that a site may set: five minutes.
pub const MAX_IDLE: Duration = Duration::from_secs(300);

/// The operator's session. A machine without I/O: it is told what happens and when.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    LoggedOff,
    LoggedOn {
        operator: Operator,
        last_activity: Moment,
    },
    /// Only the same person may unlock; anybody may log off.
    Locked {
        operator: Operator,
    },
}

impl Session {
    /// The palm of `operator` has matched.
    pub fn log_on(&mut self, operator: Operator, now: Moment) {
        self.state = State::LoggedOn { operator, last_activity: now };
    }

    /// The operator, if one is logged on and not locked out by idling. Asking counts as activity.
    pub fn active(&mut self, now: Moment, limit: Duration) -> Option<&Operator> {
        self.lock_if_idle(now, limit);
        match &mut self.state {
            State::LoggedOn { operator, last_activity } => {
                *last_activity = now;
                Some(operator)
            }
            State::LoggedOff | State::Locked { .. } => None,
        }
    }

    /// Locks the screen if nobody has done anything for `limit`, at most [`MAX_IDLE`]. The answer tells whether it did.
    pub fn lock_if_idle(&mut self, now: Moment, limit: Duration) -> bool {
        let idle = match &self.state {
            State::LoggedOn { last_activity, .. } => now.since(*last_activity) >= limit.min(MAX_IDLE),
            State::LoggedOff | State::Locked { .. } => false,
        };
        if idle {
            self.state = match std::mem::take(&mut self.state) {
                State::LoggedOn { operator, .. } => State::Locked { operator },
                other => other,
            };
        }
        idle
    }

    /// Whose palm may unlock the screen.
    #[must_use]
    pub fn locked_by(&self) -> Option<&Operator> {
        match &self.state {
            State::Locked { operator } => Some(operator),
            State::LoggedOff | State::LoggedOn { .. } => None,
        }
    }

    /// Logs off; who was logged on is the answer.
    pub fn log_off(&mut self) -> Option<Operator> {
        match std::mem::take(&mut self.state) {
            State::LoggedOn { operator, .. } | State::Locked { operator } => Some(operator),
            State::LoggedOff => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::since_start(Duration::from_secs(seconds))
    }

    #[test]
    fn an_idle_screen_locks_and_only_log_on_opens_it() {
        let limit = Duration::from_secs(60);
        let mut session = Session::default();
        assert!(session.active(at(0), limit).is_none());
        session.log_on(Operator::example("0417"), at(0));
        assert!(session.active(at(59), limit).is_some());
        assert!(session.active(at(118), limit).is_some(), "activity puts the lock off");
        assert!(session.active(at(178), limit).is_none());
        assert_eq!(session.locked_by().map(|o| o.user_id.as_str()), Some("0417"));
        assert!(session.active(at(179), limit).is_none(), "a locked screen stays locked");
        session.log_on(Operator::example("0417"), at(180));
        assert!(session.active(at(181), limit).is_some());
        assert!(session.log_off().is_some());
        assert!(session.active(at(182), limit).is_none());
    }

    #[test]
    fn no_site_can_set_more_than_five_minutes() {
        let mut session = Session::default();
        session.log_on(Operator::example("0417"), at(0));
        assert!(session.lock_if_idle(at(300), Duration::from_secs(3600)));
    }
}
