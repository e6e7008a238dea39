//! The HSM of a terminal on the stage.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hsm::{
    CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyName, SessionDerivation, SessionKeys,
    SignatureAlgorithm, WrappedKeyPair,
};
use madoguchi_time::Deadline;
use sha2::{Digest, Sha256};
use sim_hsm::SoftwareHsm;
use zeroize::Zeroizing;

/// A terminal's own HSM, with the masters of the cards that all terminals of a municipality have. It can be unplugged.
pub struct TerminalHsm {
    own: Arc<dyn Hsm>,
    masters: Arc<dyn Hsm>,
    /// Calls that are still answered.
    calls_left: AtomicU64,
    /// Was a call made in vain?
    missed: AtomicBool,
}

impl TerminalHsm {
    pub(crate) fn new(own: Arc<dyn Hsm>, masters: Arc<dyn Hsm>) -> Self {
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

    fn reached(&self) -> Result<&dyn Hsm, HsmError> {
        let left = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        if self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            self.missed.store(true, Ordering::SeqCst);
            return Err(HsmError::Unreachable);
        }
        Ok(&*self.own)
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

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.reached()?;
        self.masters.make_card_key_pair(kind, card, deadline)
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.reached()?;
        self.masters.encipher_card_keys(present, next, deadline)
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

/// A software HSM that makes every signature once, after [`remember_signatures`].
pub(crate) struct Remembering(pub(crate) Arc<SoftwareHsm>);

/// The signatures of this program, by what was asked for; none as long as they are not to be remembered.
static SIGNATURES: Mutex<Option<HashMap<[u8; 32], Vec<u8>>>> = Mutex::new(None);

/// From now on every signature is made once. They are deterministic (RFC 8017 §8.2, RFC 6979 §3.2), and the stages of a
/// fault loop differ only in what follows the fault: up to it, all of them sign the same messages.
pub(crate) fn remember_signatures() {
    signatures().get_or_insert_default();
}

fn signatures() -> MutexGuard<'static, Option<HashMap<[u8; 32], Vec<u8>>>> {
    SIGNATURES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hsm for Remembering {
    fn identity(&self) -> HsmIdentity {
        self.0.identity()
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        self.0.keys(deadline)
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        self.0.public_key(key, deadline)
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        let asked = format!("{}, {key}, {algorithm:?}: ", self.0.identity().serial);
        let asked = Sha256::new().chain_update(asked).chain_update(message).finalize().into();
        if let Some(signature) = signatures().as_ref().and_then(|made| made.get(&asked)) {
            return Ok(signature.clone());
        }
        let signature = self.0.sign(key, algorithm, message, deadline)?;
        if let Some(made) = signatures().as_mut() {
            made.insert(asked, signature.clone());
        }
        Ok(signature)
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        self.0.derive_session(derivation, deadline)
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.0.make_card_key_pair(kind, card, deadline)
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.0.encipher_card_keys(present, next, deadline)
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        self.0.derive_record_key(key, context, deadline)
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        self.0.mac(key, message, deadline)
    }
}
