//! The card with its lid off: what tests compare with what terminal and authority believe. No command gives this.

use jpki::CertificateKind;
use sha2::{Digest, Sha256};

use crate::Card;
use crate::nvm::NvmError;
use crate::state::object;

/// What the slots of one kind hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// SHA-256 of the active certificate.
    pub active: Option<[u8; 32]>,
    /// Does the active key belong to the active certificate?
    pub active_fits: bool,
    /// Is there a pending key?
    pub pending_key: bool,
    /// SHA-256 of the pending certificate.
    pub pending: Option<[u8; 32]>,
    /// SHA-256 of the certificate that the pending key has overwritten, on a card without a pending slot.
    pub overwritten: Option<[u8; 32]>,
}

impl Card {
    /// Looks into the slots of `kind`. Works without power too.
    ///
    /// # Errors
    /// Whatever the memory has.
    pub fn slots(&self, kind: CertificateKind) -> Result<Slots, NvmError> {
        let hash = |certificate: &[u8]| <[u8; 32]>::from(Sha256::digest(certificate));
        let active = self.chip.store.get(object::active_certificate(kind))?;
        let active_fits = match (&active, self.chip.key(object::active_key(kind))?) {
            (Some(certificate), Some(key)) => {
                // The key's SubjectPublicKeyInfo stands in the certificate byte for byte.
                key.spki().is_ok_and(|spki| certificate.windows(spki.len()).any(|window| window == spki))
            }
            (None, None) => true,
            _ => false,
        };
        let overwritten = self.chip.store.get(object::overwritten(kind))?;
        Ok(Slots {
            active: active.as_deref().map(|certificate| hash(certificate)),
            active_fits,
            pending_key: self.chip.store.has(object::pending_key(kind)),
            pending: self.chip.store.get(object::pending_certificate(kind))?.as_deref().map(|der| hash(der)),
            overwritten: overwritten.and_then(|name| name.as_slice().try_into().ok()),
        })
    }
}
