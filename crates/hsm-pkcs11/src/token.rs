//! One token: found in its module, logged in to, and asked through sessions.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use hsm::HsmError;
use madoguchi_time::SharedClock;
use secrecy::SecretString;

use crate::error::{Fault, Loss, TokenError, failed, loss};
use crate::module::{Inside, Module, Until};
use crate::sessions::{Lent, Pool, lost};

/// How often a call is begun, at most.
const ATTEMPTS: usize = 4;
/// How long a token that is being opened waits for a module that others are starting anew.
const OPENING: Duration = Duration::from_secs(60);

/// A token's user PIN. It is kept for as long as the token is used: after the module has been started anew it is needed again.
pub type Pin = SecretString;

/// Which token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSelector {
    /// Where the module is.
    pub module: PathBuf,
    /// What the module is told when it is initialised, as its manual says; most modules want nothing. NSS softokn wants the place
    /// of its database. All tokens of one module in one program are opened with the same.
    pub parameters: Option<String>,
    /// The token's label.
    pub label: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
}

/// A token in use.
pub(crate) struct Token {
    // Before the module, so that the sessions are closed first.
    sessions: Arc<Pool<Session>>,
    module: Arc<Module>,
    selector: TokenSelector,
    pin: Pin,
    /// A token without a PIN never says that somebody is logged in.
    has_login: bool,
    /// The PIN was refused after the token had been opened: it is never given again.
    refused: OnceLock<()>,
}

impl Token {
    /// Finds the token and logs in.
    pub(crate) fn open(selector: TokenSelector, pin: Pin, clock: SharedClock) -> Result<(Self, TokenInfo), TokenError> {
        let until = Until { deadline: clock.deadline_in(OPENING), clock };
        let module = Module::load(&selector.module, selector.parameters.as_deref())?;
        let mut inside = module.enter_alone(&until)?;
        if inside.context().is_none() {
            let generation = inside.generation;
            drop(inside);
            module.restart(generation, &until)?;
            inside = module.enter_alone(&until)?;
        }
        let context = inside.context().ok_or(HsmError::Unreachable)?;
        let slot = slot(context, &selector)?;
        let info = context.get_token_info(slot).map_err(failed)?;
        // The same token is to be found again, not another that was given the same label.
        let serial = Some(info.serial_number().to_owned());
        let token = Self {
            sessions: module.pool(),
            module: Arc::clone(&module),
            selector: TokenSelector { serial, ..selector },
            pin,
            has_login: info.login_required(),
            refused: OnceLock::new(),
        };
        let opened = token
            .sessions
            .lend(|| Ok(log_in(context, slot, &token.pin)?), || Ok(context.open_rw_session(slot)?), &until)
            .map(Lent::keep);
        match opened {
            Ok(()) => {}
            Err(Fault::Answer(answer)) => return Err(answer.into()),
            Err(Fault::Call(error)) => return Err(pin_problem(&error).unwrap_or_else(|| failed(error).into())),
        }
        drop(inside);
        Ok((token, info))
    }

    /// The module and the token's slot, for what needs no session.
    pub(crate) fn with_slot<T>(&self, until: &Until, look: impl FnOnce(&Pkcs11, Slot) -> T) -> Result<T, TokenError> {
        let inside = self.module.enter(until)?;
        let context = inside.context().ok_or(HsmError::Unreachable)?;
        Ok(look(context, slot(context, &self.selector)?))
    }

    /// Works on a session of this token. After a loss that could be mended, `job` is begun anew: a job that must not be done twice
    /// finds out for itself how far it had come.
    pub(crate) fn work<T>(
        &self,
        until: &Until,
        mut job: impl FnMut(&Call<'_>) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        for attempt in 1..=ATTEMPTS {
            until.remaining()?;
            // Modules have been seen to lock themselves up when one thread logs in while others search.
            let inside = match self.sessions.is_logged_in() {
                true => self.module.enter(until)?,
                false => self.module.enter_alone(until)?,
            };
            let generation = inside.generation;
            let result = self.attempt(&inside, until, &mut job);
            drop(inside);
            let (fault, loss) = match result {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            tracing::debug!(?fault, ?loss, attempt, "PKCS #11 call failed");
            match loss {
                Loss::None => return Err(fault.into()),
                Loss::Session | Loss::Login => {}
                Loss::Doubtful | Loss::Module => self.module.restart(generation, until)?,
            }
        }
        Err(HsmError::Unreachable)
    }

    /// Also tells what a failure means.
    fn attempt<T>(
        &self,
        inside: &Inside<'_>,
        until: &Until,
        job: &mut impl FnMut(&Call<'_>) -> Result<T, Fault>,
    ) -> Result<T, (Fault, Loss)> {
        let gone = |rv| Fault::Call(Error::Pkcs11(rv, cryptoki::context::Function::GetSlotList));
        let context = inside.context().ok_or((gone(RvError::CryptokiNotInitialized), Loss::Module))?;
        // A token that was there and is not: a module may see it only when it is started anew.
        let slot = || slot(context, &self.selector).map_err(|_| gone(RvError::TokenNotPresent));
        // Whoever is not alone comes again: the login was lost on the way in.
        let log_in = || if inside.is_alone() { self.log_in_again(context, slot()?) } else { Err(lost()) };
        let lent =
            self.sessions.lend(log_in, || Ok(context.open_rw_session(slot()?)?), until).map_err(
                |fault| match fault {
                    Fault::Answer(_) => (fault, Loss::None),
                    Fault::Call(ref error) if loss(error) == Loss::Login => (fault, Loss::Login),
                    // Where no session and no login can be had, the module stands in the way.
                    Fault::Call(_) => (fault, Loss::Module),
                },
            )?;
        inside.let_others_in();
        let session = lent.session().map_err(|fault| (fault, Loss::Session))?;
        let is_logged_in = || {
            !self.has_login
                || session
                    .get_session_info()
                    .is_ok_and(|info| matches!(info.session_state(), SessionState::RwUser | SessionState::RoUser))
        };
        let sees_all = || !lent.is_of_the_past() && is_logged_in();
        let closes = Cell::new(false);
        let result = job(&Call { session, sees_all: &sees_all, closes: &closes });
        // A session that is not kept is closed.
        let keep = |lent: Lent<'_, Session>| {
            if !closes.get() {
                lent.keep()
            }
        };
        let fault = match result {
            Ok(done) => {
                keep(lent);
                return Ok(done);
            }
            Err(fault) => fault,
        };
        let loss = match &fault {
            Fault::Answer(_) => Loss::None,
            Fault::Call(error) => loss(error),
        };
        let loss = match loss {
            Loss::Doubtful if session.get_session_info().is_err() => Loss::Module,
            // Whatever was said while the login was away, it may not be so.
            Loss::None | Loss::Session | Loss::Doubtful if !sees_all() => Loss::Login,
            Loss::Doubtful => Loss::None,
            loss => loss,
        };
        match loss {
            Loss::None => keep(lent),
            Loss::Login => lent.all_lost(),
            // Closed.
            Loss::Session | Loss::Doubtful | Loss::Module => drop(lent),
        }
        Err((fault, loss))
    }

    /// Logs in after the login was lost. A PIN that is refused now was changed or blocked by somebody: it is not given again.
    fn log_in_again(&self, context: &Pkcs11, slot: Slot) -> Result<Session, Fault> {
        if self.refused.get().is_some() {
            return Err(HsmError::PinRefused.into());
        }
        log_in(context, slot, &self.pin).map_err(|error| {
            let Some(_) = pin_problem(&error) else { return error.into() };
            tracing::error!(token = self.selector.label, %error, "the HSM refuses its PIN; it is not tried again");
            let _ = self.refused.set(());
            HsmError::PinRefused.into()
        })
    }
}

/// A session for one piece of work.
pub(crate) struct Call<'a> {
    session: &'a Session,
    sees_all: &'a dyn Fn() -> bool,
    closes: &'a Cell<bool>,
}

impl Call<'_> {
    /// Something is left on the session that must not stay: it is closed when the call has ended.
    pub(crate) fn close_after(&self) {
        self.closes.set(true);
    }

    /// To be asked when something is not there: without the login, private objects are not refused, they are invisible.
    ///
    /// # Errors
    /// The loss of the login, if it was lost at any time since the call began.
    pub(crate) fn has_seen_all(&self) -> Result<(), Fault> {
        if (self.sees_all)() {
            Ok(())
        } else {
            Err(Error::Pkcs11(RvError::UserNotLoggedIn, cryptoki::context::Function::FindObjects).into())
        }
    }
}

impl Deref for Call<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
    }
}

/// The slot that the token is in now.
fn slot(context: &Pkcs11, selector: &TokenSelector) -> Result<Slot, TokenError> {
    let mut fitting = Vec::new();
    for slot in context.get_slots_with_token().map_err(failed)? {
        // A slot whose token can't be read is none of ours.
        let Ok(info) = context.get_token_info(slot) else { continue };
        let fits = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
        if info.token_initialized()
            && fits(&selector.label, info.label())
            && fits(&selector.serial, info.serial_number())
        {
            fitting.push(slot);
        }
    }
    match *fitting {
        [slot] => Ok(slot),
        [] => Err(TokenError::NoToken),
        _ => Err(TokenError::SeveralTokens(fitting.len())),
    }
}

/// A session that is logged in.
fn log_in(context: &Pkcs11, slot: Slot, pin: &Pin) -> Result<Session, Error> {
    let session = context.open_rw_session(slot)?;
    match session.login(UserType::User, Some(pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(error),
    }
}

/// Did the PIN fail, and not the line?
fn pin_problem(error: &Error) -> Option<TokenError> {
    match error {
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired, _) => {
            Some(TokenError::PinRefused)
        }
        Error::Pkcs11(RvError::PinLocked, _) => Some(TokenError::PinBlocked),
        _ => None,
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("selector", &self.selector).finish_non_exhaustive()
    }
}
