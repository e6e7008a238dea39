//! The HSM of a terminal on the stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hsm::{Hsm, HsmError, HsmIdentity, KeyName, SessionDerivation, SessionKeys, SignatureAlgorithm};
use madoguchi_time::Deadline;
use sim_hsm::SoftwareHsm;
use zeroize::Zeroizing;

/// A terminal's own HSM, with the masters of the cards that all terminals of a municipality have. It can be unplugged.
pub struct TerminalHsm {
    own: Arc<SoftwareHsm>,
    masters: Arc<SoftwareHsm>,
    /// Calls that are still answered.
    calls_left: AtomicU64,
    /// Was a call made in vain?
    missed: AtomicBool,
}

impl TerminalHsm {
    pub(crate) fn new(own: Arc<SoftwareHsm>, masters: Arc<SoftwareHsm>) -> Self {
        Self { own, masters, calls_left: AtomicU64::new(u64::MAX), missed: AtomicBool::new(false) }
    }

    /// Answers `calls` calls more, then is gone until [`TerminalHsm::plug_in`].
    pub fn unplug_after(&self, calls: u64) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Is there again. Was a call made in vain meanwhile?
    pub fn plug_in(&self) -> bool {
        self.calls_left.store(u64::MAX, Ordering::SeqCst);
        self.missed.swap(false, Ordering::SeqCst)
    }

    fn reached(&self) -> Result<&SoftwareHsm, HsmError> {
        let left = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        if self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            self.missed.store(true, Ordering::SeqCst);
            return Err(HsmError::Unreachable);
        }
        Ok(&self.own)
    }
}

impl Hsm for TerminalHsm {
    fn identity(&self) -> HsmIdentity {
        self.own.identity()
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        self.reached()?.keys(deadline)
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        self.reached()?.public_key(key, deadline)
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        self.reached()?.sign(key, algorithm, message, deadline)
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        self.reached()?;
        self.masters.derive_session(derivation, deadline)
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        self.reached()?.derive_record_key(key, context, deadline)
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        self.reached()?.mac(key, message, deadline)
    }
}
