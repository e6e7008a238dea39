//! The terminal's TLS key, which stays in the HSM.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hsm::{Hsm, HsmError, KeyName, SignatureAlgorithm as HsmAlgorithm};
use madoguchi_time::SharedClock;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme, client::ResolvesClientCert, pki_types::CertificateDer};

/// How long the HSM may take for the one signature of a handshake.
const SIGNING: Duration = Duration::from_secs(10);

/// A key on P-256 in the HSM, with the certificate that goes with it.
#[derive(Debug)]
pub(super) struct HsmClientKey(Arc<CertifiedKey>, Arc<HsmKey>);

impl HsmClientKey {
    pub(super) fn new(certificate: &[u8], hsm: Arc<dyn Hsm>, name: KeyName, clock: SharedClock) -> Self {
        let key = Arc::new(HsmKey { hsm, name, clock, failure: Mutex::new(None) });
        let signing: Arc<dyn SigningKey> = Arc::new(HsmSigner(Arc::clone(&key)));
        Self(Arc::new(CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], signing)), key)
    }

    /// Why the HSM did not sign, if that is what happened since this was last asked.
    pub(super) fn take_failure(&self) -> Option<HsmError> {
        self.1.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ResolvesClientCert for HsmClientKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

struct HsmKey {
    hsm: Arc<dyn Hsm>,
    name: KeyName,
    clock: SharedClock,
    /// rustls has no place for a foreign error, so it waits here.
    failure: Mutex<Option<HsmError>>,
}

impl std::fmt::Debug for HsmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HsmKey({})", self.name)
    }
}

#[derive(Clone, Debug)]
struct HsmSigner(Arc<HsmKey>);

impl SigningKey for HsmSigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for HsmSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let key = &self.0;
        key.hsm.sign(&key.name, HsmAlgorithm::EcdsaP256Sha256, message, key.clock.deadline_in(SIGNING)).map_err(
            |error| {
                *key.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Error::General("the HSM did not sign".into())
            },
        )
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
