//! The sessions of one token: a logged-in anchor, and others that are lent for one call each.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::error::{Error, RvError};

use crate::error::Fault;
use crate::module::Until;

/// Sessions of type `S`. As long as the anchor is open, all sessions of the token are logged in (PKCS #11 v3.0 §5.6.8).
pub(crate) struct Pool<S> {
    held: Mutex<Held<S>>,
    /// A session has come back.
    returned: Condvar,
}

struct Held<S> {
    /// Goes up whenever sessions are lost: what was opened before does not come back.
    epoch: u64,
    anchor: Anchor<S>,
    idle: Vec<S>,
}

enum Anchor<S> {
    None,
    Here(S),
    /// Lent, because the token allows no session more.
    Lent,
}

/// A session for one call. It comes back if [`Lent::keep`] says so, else it is closed.
pub(crate) struct Lent<'a, S> {
    pool: &'a Pool<S>,
    session: Option<S>,
    is_anchor: bool,
    epoch: u64,
}

impl<S> Default for Pool<S> {
    fn default() -> Self {
        let held = Held { epoch: 0, anchor: Anchor::None, idle: Vec::new() };
        Self { held: Mutex::new(held), returned: Condvar::new() }
    }
}

impl<S> Pool<S> {
    /// Has somebody logged in, and has the login not been lost since?
    pub(crate) fn is_logged_in(&self) -> bool {
        !matches!(self.held().anchor, Anchor::None)
    }

    /// A session that is logged in: the first call logs in, by one thread, so that a PIN is given once.
    ///
    /// # Errors
    /// Those of `log_in` and `open`. If the token has no session more to give, one is waited for.
    pub(crate) fn lend(
        &self,
        log_in: impl FnOnce() -> Result<S, Fault>,
        open: impl FnOnce() -> Result<S, Fault>,
        until: &Until,
    ) -> Result<Lent<'_, S>, Fault> {
        let mut held = self.held();
        if matches!(held.anchor, Anchor::None) {
            held.anchor = Anchor::Here(log_in()?);
        }
        if let Some(session) = held.idle.pop() {
            return Ok(self.lent(&held, session, false));
        }
        match open() {
            Ok(session) => return Ok(self.lent(&held, session, false)),
            Err(Fault::Call(Error::Pkcs11(RvError::SessionCount, _))) => {}
            Err(fault) => return Err(fault),
        }
        let epoch = held.epoch;
        loop {
            if let Some(session) = held.idle.pop() {
                return Ok(self.lent(&held, session, false));
            }
            match std::mem::replace(&mut held.anchor, Anchor::Lent) {
                Anchor::Here(session) => return Ok(self.lent(&held, session, true)),
                other => held.anchor = other,
            }
            held = until.wait(&self.returned, held)?;
            if held.epoch != epoch {
                return Err(lost());
            }
        }
    }

    fn lent(&self, held: &Held<S>, session: S, is_anchor: bool) -> Lent<'_, S> {
        Lent { pool: self, session: Some(session), is_anchor, epoch: held.epoch }
    }

    /// Closes all sessions, those that are lent when they come back.
    pub(crate) fn close(&self) {
        self.held().close();
        self.returned.notify_all();
    }

    fn held(&self) -> MutexGuard<'_, Held<S>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Held<S> {
    fn close(&mut self) {
        self.epoch += 1;
        self.anchor = Anchor::None;
        self.idle.clear();
    }
}

/// The login is over.
pub(crate) fn lost() -> Fault {
    Error::Pkcs11(RvError::SessionClosed, cryptoki::context::Function::OpenSession).into()
}

impl<S> Lent<'_, S> {
    /// The session.
    ///
    /// # Errors
    /// Never, until it has been given back.
    pub(crate) fn session(&self) -> Result<&S, Fault> {
        self.session.as_ref().ok_or_else(lost)
    }

    /// Have sessions been lost since this one was lent?
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.pool.held().epoch != self.epoch
    }

    /// The session is sound: another call may have it.
    pub(crate) fn keep(mut self) {
        let Some(session) = self.session.take() else { return };
        let mut held = self.pool.held();
        if held.epoch == self.epoch {
            if self.is_anchor {
                held.anchor = Anchor::Here(session);
            } else {
                held.idle.push(session);
            }
            self.pool.returned.notify_all();
        }
    }

    /// The login is over, and with it every session.
    pub(crate) fn all_lost(self) {
        let mut held = self.pool.held();
        if held.epoch == self.epoch {
            held.close();
        }
    }
}

impl<S> Drop for Lent<'_, S> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let mut held = self.pool.held();
            if self.is_anchor && held.epoch == self.epoch {
                // The login may have ended with it: the next call logs in.
                held.anchor = Anchor::None;
            }
            drop(held);
            // Closed without the lock: the module may take its time.
            drop(session);
        }
        self.pool.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use cryptoki::context::Function;
    use hsm::HsmError;
    use madoguchi_time::SystemClock;

    use super::*;

    fn within(time: Duration) -> Until {
        let clock = SystemClock::shared();
        Until { deadline: clock.deadline_in(time), clock }
    }

    /// A token that has `limit` sessions to give.
    struct Token {
        open: AtomicUsize,
        limit: usize,
        logins: AtomicUsize,
    }

    struct Session<'a>(&'a Token);

    impl Drop for Session<'_> {
        fn drop(&mut self) {
            self.0.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Token {
        fn with(limit: usize) -> Self {
            Self { open: AtomicUsize::new(0), limit, logins: AtomicUsize::new(0) }
        }

        fn open(&self) -> Result<Session<'_>, Fault> {
            let next = |open| (open < self.limit).then_some(open + 1);
            match self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
                Ok(_) => Ok(Session(self)),
                Err(_) => Err(Error::Pkcs11(RvError::SessionCount, Function::OpenSession).into()),
            }
        }

        fn log_in(&self) -> Result<Session<'_>, Fault> {
            self.logins.fetch_add(1, Ordering::SeqCst);
            self.open()
        }
    }

    #[test]
    fn a_token_with_few_sessions_serves_many_threads() {
        for limit in 1..4 {
            let token = Token::with(limit);
            let pool = Pool::default();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for round in 0..50 {
                            let until = within(Duration::from_secs(30));
                            let lent = pool.lend(|| token.log_in(), || token.open(), &until).expect("its turn comes");
                            assert!(token.open.load(Ordering::SeqCst) <= limit);
                            // One that is not kept must not take the place of others.
                            if round % 7 != 0 {
                                lent.keep();
                            }
                        }
                    });
                }
            });
            assert!(token.logins.load(Ordering::SeqCst) >= 1, "limit {limit}");
        }
    }

    #[test]
    fn whoever_waits_in_vain_is_told() {
        let token = Token::with(1);
        let pool = Pool::default();
        let only = pool.lend(|| token.log_in(), || token.open(), &within(Duration::from_secs(30))).expect("the anchor");
        let second = pool.lend(|| token.log_in(), || token.open(), &within(Duration::from_millis(20)));
        assert!(matches!(second.err(), Some(Fault::Answer(HsmError::Timeout))));
        only.keep();
        pool.lend(|| token.log_in(), || token.open(), &within(Duration::from_secs(30))).expect("it is back").keep();
        assert_eq!(token.logins.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_was_opened_before_a_loss_does_not_come_back() {
        let token = Token::with(8);
        let pool = Pool::default();
        let lend =
            || pool.lend(|| token.log_in(), || token.open(), &within(Duration::from_secs(30))).expect("a session");
        let (first, second, third) = (lend(), lend(), lend());
        first.keep();
        second.all_lost();
        assert!(third.is_of_the_past());
        third.keep();
        assert_eq!(token.open.load(Ordering::SeqCst), 0, "all are closed");
        let fourth = lend();
        assert!(!fourth.is_of_the_past());
        assert_eq!(token.logins.load(Ordering::SeqCst), 2);
    }
}
