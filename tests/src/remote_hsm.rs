//! An HSM at the end of a line that breaks.

use std::sync::Arc;
use std::time::Duration;

use hsm::{
    CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyName, SessionDerivation, SessionKeys,
    SignatureAlgorithm, WrappedKeyPair,
};
use madoguchi_time::{Deadline, SystemClock};
use zeroize::Zeroizing;

/// How long the HSM may take: a generous time of the machine's, whatever the stage's clock says.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal's HSM of which a part is at the end of a line. The line carries signatures and HMAC, and no AES-CMAC: what is derived is
/// derived at this end, once the other has answered. So nothing is to be had while the line is broken.
pub struct RemoteHsm {
    /// At the other end, on the clock of the machine.
    pub far: Arc<dyn Hsm>,
    /// At this end, on the clock of the stage.
    pub near: Arc<dyn Hsm>,
}

impl RemoteHsm {
    fn far(&self) -> (&dyn Hsm, Deadline) {
        (&*self.far, SystemClock::shared().deadline_in(LIMIT))
    }

    /// This end, if the other answers.
    fn near(&self) -> Result<&dyn Hsm, HsmError> {
        let (far, limit) = self.far();
        far.public_key(&KeyName::new(KeyName::LOG_SIGNING), limit)?;
        Ok(&*self.near)
    }
}

impl Hsm for RemoteHsm {
    fn identity(&self) -> HsmIdentity {
        self.far.identity()
    }

    fn keys(&self, _: Deadline) -> Result<Vec<KeyName>, HsmError> {
        let (far, limit) = self.far();
        far.keys(limit)
    }

    fn public_key(&self, key: &KeyName, _: Deadline) -> Result<Vec<u8>, HsmError> {
        let (far, limit) = self.far();
        far.public_key(key, limit)
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        _: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        let (far, limit) = self.far();
        far.sign(key, algorithm, message, limit)
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        self.near()?.derive_session(derivation, deadline)
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.near()?.make_card_key_pair(kind, card, deadline)
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.near()?.encipher_card_keys(present, next, deadline)
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        self.near()?.derive_record_key(key, context, deadline)
    }

    fn mac(&self, key: &KeyName, message: &[u8], _: Deadline) -> Result<[u8; 32], HsmError> {
        let (far, limit) = self.far();
        far.mac(key, message, limit)
    }
}
