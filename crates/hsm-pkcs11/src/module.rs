//! The modules of this process: each is loaded and initialised once, and can be started anew while tokens of it are in use.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use hsm::HsmError;
use madoguchi_time::{Deadline, SharedClock};

use crate::error::TokenError;
use crate::raw;
use crate::sessions::Pool;

/// Modules are one for a process: a second `C_Initialize` would be refused, and a `C_Finalize` would end everybody's sessions.
static MODULES: Mutex<BTreeMap<PathBuf, Weak<Module>>> = Mutex::new(BTreeMap::new());

/// How long somebody waits.
#[derive(Clone)]
pub(crate) struct Until {
    pub(crate) deadline: Deadline,
    pub(crate) clock: SharedClock,
}

impl Until {
    /// What is left.
    ///
    /// # Errors
    /// [`HsmError::Timeout`] if nothing is.
    pub(crate) fn remaining(&self) -> Result<Duration, HsmError> {
        if self.deadline.has_passed(&*self.clock) {
            return Err(HsmError::Timeout);
        }
        Ok(self.deadline.remaining(&*self.clock))
    }

    /// Waits until `changed` is told, or the time is up.
    pub(crate) fn wait<'a, T>(
        &self,
        changed: &Condvar,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, HsmError> {
        let remaining = self.remaining()?;
        Ok(changed.wait_timeout(guard, remaining).unwrap_or_else(PoisonError::into_inner).0)
    }
}

/// A loaded module.
pub(crate) struct Module {
    /// Its place in the registry.
    key: PathBuf,
    library: Pkcs11,
    parameters: Option<String>,
    state: Mutex<State>,
    /// Somebody has left the module, or it was started anew.
    changed: Condvar,
    /// The sessions of all its tokens: none may outlive a start, because the module may give its handle to another.
    pools: Mutex<Vec<Weak<Pool<Session>>>>,
}

struct State {
    /// How many threads are inside the module.
    inside: usize,
    /// Somebody is alone with it, or waits to be: nobody else is let in.
    closed: bool,
    /// Its last start succeeded.
    running: bool,
    /// How often it was started.
    generation: u64,
}

impl Module {
    /// The module at `path`, loaded if it is not.
    pub(crate) fn load(path: &Path, parameters: Option<&str>) -> Result<Arc<Self>, TokenError> {
        // Two names of one file are one module.
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&key).and_then(Weak::upgrade) {
            // It stays loaded for whoever has it, so it must not end here, with the registry locked.
            drop(modules);
            return if module.parameters.as_deref() == parameters {
                Ok(module)
            } else {
                Err(TokenError::OtherParameters)
            };
        }
        let named = || path.display().to_string();
        let library = Pkcs11::new(path).map_err(|source| TokenError::Module { path: named(), source })?;
        initialize(&library, parameters).map_err(|source| TokenError::NotStarted { path: named(), source })?;
        let module = Arc::new(Self {
            key: key.clone(),
            library,
            parameters: parameters.map(str::to_owned),
            state: Mutex::new(State { inside: 0, closed: false, running: true, generation: 1 }),
            changed: Condvar::new(),
            pools: Mutex::default(),
        });
        modules.insert(key, Arc::downgrade(&module));
        Ok(module)
    }

    /// A place for a token's sessions.
    pub(crate) fn pool(&self) -> Arc<Pool<Session>> {
        let pool = Arc::new(Pool::default());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Into the module: nobody is alone with it until the guard is dropped.
    ///
    /// # Errors
    /// [`HsmError::Timeout`] if somebody is alone with it for longer than the caller waits.
    pub(crate) fn enter(&self, until: &Until) -> Result<Inside<'_>, HsmError> {
        let mut state = self.opened(until)?;
        state.inside += 1;
        Ok(Inside { module: self, generation: state.generation, running: state.running, is_alone: Cell::new(false) })
    }

    /// Into the module, alone with it: for what modules do not stand while others are inside.
    ///
    /// # Errors
    /// [`HsmError::Timeout`] if somebody does not come out.
    pub(crate) fn enter_alone(&self, until: &Until) -> Result<Inside<'_>, HsmError> {
        let mut state = self.close(self.opened(until)?, until)?;
        state.inside = 1;
        Ok(Inside { module: self, generation: state.generation, running: state.running, is_alone: Cell::new(true) })
    }

    /// Waits until nobody is alone with it.
    fn opened(&self, until: &Until) -> Result<MutexGuard<'_, State>, HsmError> {
        let mut state = self.state();
        while state.closed {
            state = until.wait(&self.changed, state)?;
        }
        Ok(state)
    }

    /// Lets nobody in, and waits until everybody has come out.
    fn close<'a>(&'a self, mut state: MutexGuard<'a, State>, until: &Until) -> Result<MutexGuard<'a, State>, HsmError> {
        state.closed = true;
        while state.inside > 0 {
            // Waiting gives the lock away; when the time is up, it is taken again.
            state = match until.wait(&self.changed, state) {
                Ok(state) => state,
                Err(timeout) => {
                    self.state().closed = false;
                    self.changed.notify_all();
                    return Err(timeout);
                }
            };
        }
        Ok(state)
    }

    /// Starts the module anew, unless somebody has done so since `generation`. Waits until nobody is inside, because
    /// `C_Finalize` must not be called while another function runs (PKCS #11 v3.0 §5.4).
    ///
    /// # Errors
    /// [`HsmError::Timeout`] if a call does not come back from the module, [`HsmError::Unreachable`] if the module does not
    /// start; whoever finds it so tries again.
    pub(crate) fn restart(&self, generation: u64, until: &Until) -> Result<(), HsmError> {
        let state = self.opened(until)?;
        if state.generation != generation {
            return if state.running { Ok(()) } else { Err(HsmError::Unreachable) };
        }
        let was_running = state.running;
        drop(self.close(state, until)?);

        for pool in self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            pool.close();
        }
        if was_running {
            // A module whose token has gone may refuse to be finalised; whether it can be initialised tells.
            let _ = self.library.clone().finalize();
        }
        let started = initialize(&self.library, self.parameters.as_deref());

        let mut state = self.state();
        state.closed = false;
        state.running = started.is_ok();
        state.generation += 1;
        self.changed.notify_all();
        match started {
            Ok(()) => {
                tracing::info!(generation = state.generation, "PKCS #11 module started anew");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "PKCS #11 module does not start");
                Err(HsmError::Unreachable)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have loaded it again in the meantime: then it is theirs.
        if modules.get(&self.key).is_some_and(|module| module.strong_count() == 0) {
            modules.remove(&self.key);
            let _ = self.library.clone().finalize();
        }
    }
}

/// A thread inside the module.
pub(crate) struct Inside<'a> {
    module: &'a Module,
    /// Which start of the module this is.
    pub(crate) generation: u64,
    running: bool,
    is_alone: Cell<bool>,
}

impl Inside<'_> {
    /// Is nobody else inside?
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone.get()
    }

    /// Others may come in.
    pub(crate) fn let_others_in(&self) {
        if self.is_alone.take() {
            self.module.state().closed = false;
            self.module.changed.notify_all();
        }
    }

    /// The module; `None` while it could not be started.
    pub(crate) fn context(&self) -> Option<&Pkcs11> {
        self.running.then_some(&self.module.library)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.let_others_in();
        self.module.state().inside -= 1;
        self.module.changed.notify_all();
    }
}

fn initialize(library: &Pkcs11, parameters: Option<&str>) -> Result<(), Error> {
    match raw::initialize(library, parameters) {
        // Another part of the process uses the module, past this registry.
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        result => result,
    }
}
