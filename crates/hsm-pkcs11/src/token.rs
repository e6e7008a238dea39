//! One token: found in its module, logged in to, and asked through sessions.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use hsm::HsmError;
use secrecy::SecretString;

use crate::error::{Fault, Loss, TokenError, failed, loss};
use crate::module::{Module, State};

/// How often a call that may be repeated is begun, at most.
const ATTEMPTS: usize = 4;

/// A token's user PIN. It is kept for as long as the token is used: after the module has been started anew it is needed again.
pub type Pin = SecretString;

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSelector {
    /// Where the module is.
    pub module: PathBuf,
    /// The token's label.
    pub label: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
}

/// A token in use.
pub(crate) struct Token {
    module: Arc<Module>,
    selector: TokenSelector,
    pin: Pin,
    /// The number of its sessions in the module.
    number: u64,
}

impl Token {
    /// Finds the token and logs in.
    pub(crate) fn open(selector: TokenSelector, pin: Pin) -> Result<(Self, TokenInfo), TokenError> {
        let module = Module::load(&selector.module)?;
        let number = module.register();
        let token = Self { module, selector, pin, number };
        let info = {
            let state = token.module.enter();
            let context = state.context.as_ref().ok_or(HsmError::Unreachable)?;
            let slot = token.slot(context)?;
            let info = context.get_token_info(slot).map_err(failed)?;
            let anchor = token.log_in(context, slot)?;
            state.held().entry(token.number).or_default().anchor = Some(anchor);
            info
        };
        Ok((token, info))
    }

    /// The module's context and the token's slot, for what needs no session.
    pub(crate) fn with_slot<T>(&self, look: impl FnOnce(&Pkcs11, Slot) -> T) -> Result<T, TokenError> {
        let state = self.module.enter();
        let context = state.context.as_ref().ok_or(HsmError::Unreachable)?;
        Ok(look(context, self.slot(context)?))
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, TokenError> {
        let mut fitting = Vec::new();
        for slot in context.get_slots_with_token().map_err(failed)? {
            // A slot whose token can't be read is none of ours.
            let Ok(info) = context.get_token_info(slot) else { continue };
            let fits = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
            if info.token_initialized()
                && fits(&self.selector.label, info.label())
                && fits(&self.selector.serial, info.serial_number())
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

    fn log_in(&self, context: &Pkcs11, slot: Slot) -> Result<Session, TokenError> {
        let session = context.open_rw_session(slot).map_err(failed)?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                Err(TokenError::PinRefused)
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::PinBlocked),
            Err(error) => Err(failed(error).into()),
        }
    }

    /// Works on a session of this token. What may be `repeated` is begun anew after a loss has been mended.
    pub(crate) fn work<T>(&self, repeated: bool, job: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, HsmError> {
        for attempt in 1.. {
            let last = attempt == ATTEMPTS || !repeated;
            let (generation, error) = match self.attempt(&job) {
                (_, Ok(done)) => return Ok(done),
                (_, Err(Fault::Answer(answer))) => return Err(answer),
                (generation, Err(Fault::Call(error))) => (generation, error),
            };
            let loss = loss(&error);
            tracing::debug!(%error, ?loss, attempt, "PKCS #11 call failed");
            let mended = match loss {
                Loss::None => return Err(failed(error)),
                Loss::Session => true,
                Loss::Login => {
                    self.module.forget(self.number);
                    true
                }
                Loss::Module => self.module.restart(generation).is_ok(),
            };
            if last || !mended {
                return Err(if loss == Loss::Module { HsmError::Unreachable } else { failed(error) });
            }
        }
        Err(HsmError::Unreachable)
    }

    /// Also tells in which generation of the module it was tried.
    fn attempt<T>(&self, job: impl Fn(&Session) -> Result<T, Fault>) -> (u64, Result<T, Fault>) {
        let state = self.module.enter();
        let generation = state.generation;
        let session = match self.session(&state) {
            Ok(session) => session,
            Err(fault) => return (generation, Err(fault)),
        };
        let result = job(&session);
        match &result {
            // The session is closed.
            Err(Fault::Call(error)) if loss(error) != Loss::None => {}
            _ => state.held().entry(self.number).or_default().idle.push(session),
        }
        (generation, result)
    }

    /// A session that is logged in.
    fn session(&self, state: &State) -> Result<Session, Fault> {
        let context = state.context.as_ref().ok_or(HsmError::Unreachable)?;
        if let Some(session) = state.held().entry(self.number).or_default().idle.pop() {
            return Ok(session);
        }
        let slot = self.slot(context).map_err(unreachable)?;
        let has_anchor = state.held().get(&self.number).is_some_and(|held| held.anchor.is_some());
        if !has_anchor {
            let anchor = self.log_in(context, slot).map_err(unreachable)?;
            state.held().entry(self.number).or_default().anchor = Some(anchor);
        }
        Ok(context.open_rw_session(slot)?)
    }
}

/// A token that was there when it was opened and is not now.
fn unreachable(error: TokenError) -> Fault {
    match error {
        TokenError::Hsm(HsmError::Failed { source, .. }) => match source.downcast::<Error>() {
            Ok(error) => Fault::Call(*error),
            Err(_) => HsmError::Unreachable.into(),
        },
        _ => Error::Pkcs11(RvError::TokenNotPresent, cryptoki::context::Function::GetSlotList).into(),
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.module.forget(self.number);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("selector", &self.selector).finish_non_exhaustive()
    }
}
