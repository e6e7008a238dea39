//! The modules of this process: each is loaded and initialised once, and can be started anew while tokens of it are in use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;

use crate::error::TokenError;

/// Modules are one for a process: a second `C_Initialize` would be refused, and a `C_Finalize` would end everybody's sessions.
static MODULES: Mutex<BTreeMap<PathBuf, Weak<Module>>> = Mutex::new(BTreeMap::new());

/// A loaded module.
pub(crate) struct Module {
    /// Who calls the module reads; who starts it anew writes, and so waits until nobody is inside.
    state: RwLock<State>,
}

pub(crate) struct State {
    /// The module; `None` after it could not be started anew.
    pub(crate) context: Option<Pkcs11>,
    library: Pkcs11,
    /// How often it was started.
    pub(crate) generation: u64,
    /// All sessions, by token: none may outlive a start, because the module may give its handle to another.
    held: Mutex<BTreeMap<u64, Held>>,
    next: u64,
}

/// The sessions of one token.
#[derive(Default)]
pub(crate) struct Held {
    /// Keeps the login: as long as it is open, all sessions of the token are logged in.
    pub(crate) anchor: Option<Session>,
    pub(crate) idle: Vec<Session>,
}

impl Module {
    /// The module at `path`, loaded if it is not.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, TokenError> {
        let failed = |source| TokenError::Module { path: path.display().to_string(), source };
        // Two names of one file are one module.
        let key = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&key).and_then(Weak::upgrade) {
            return Ok(module);
        }
        let library = Pkcs11::new(path).map_err(failed)?;
        initialize(&library).map_err(failed)?;
        let state = State { context: Some(library.clone()), library, generation: 1, held: Mutex::default(), next: 0 };
        let module = Arc::new(Self { state: RwLock::new(state) });
        modules.insert(key, Arc::downgrade(&module));
        Ok(module)
    }

    /// A number for a token's sessions.
    pub(crate) fn register(&self) -> u64 {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.next += 1;
        state.next
    }

    /// Closes a token's sessions.
    pub(crate) fn forget(&self, token: u64) {
        self.enter().held().remove(&token);
    }

    /// Into the module: it is not started anew until the guard is dropped.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the module anew, unless somebody has done so since `generation`. Waits until nobody is inside.
    pub(crate) fn restart(&self, generation: u64) -> Result<(), Error> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return Ok(());
        }
        state.held().clear();
        if let Some(context) = state.context.take() {
            // A module whose token has gone may refuse to be finalised; whether it can be initialised tells.
            let _ = context.finalize();
        }
        initialize(&state.library)?;
        state.context = Some(state.library.clone());
        state.generation += 1;
        tracing::info!(generation = state.generation, "PKCS #11 module started anew");
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.held.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(context) = state.context.take() {
            let _ = context.finalize();
        }
    }
}

impl State {
    pub(crate) fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn initialize(library: &Pkcs11) -> Result<(), Error> {
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another part of the process uses the module, past this registry.
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        result => result,
    }
}
