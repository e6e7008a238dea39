//! Signing with keys that never leave the HSM.

use std::sync::Arc;
use std::time::Duration;

use authority_link::signature;
use der::asn1::BitString;
use der::{Decode, Encode};
use hsm::{Hsm, HsmError, KeyName, SignatureAlgorithm};
use madoguchi_time::SharedClock;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::error::SetupError;

/// How long the HSM may take for one operation.
const HSM_TIMEOUT: Duration = Duration::from_secs(10);

/// The HSM as the authority uses it: keys by name, a deadline on every call.
#[derive(Clone)]
pub(crate) struct Keys {
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
}

impl Keys {
    pub(crate) fn new(hsm: Arc<dyn Hsm>, clock: SharedClock) -> Self {
        Self { hsm, clock }
    }

    /// The key of that name, ready to sign.
    pub(crate) fn signer(&self, label: &str, algorithm: SignatureAlgorithm) -> Result<Signer, SetupError> {
        let key = KeyName::new(label);
        let public_key = self.hsm.public_key(&key, self.clock.deadline_in(HSM_TIMEOUT))?;
        let public_key = SubjectPublicKeyInfoOwned::from_der(&public_key)?;
        let identifier = signature::algorithm_identifier(algorithm).ok_or_else(|| HsmError::WrongKind(key.clone()))?;
        Ok(Signer { keys: self.clone(), key, algorithm, identifier, public_key })
    }
}

/// One signing key.
#[derive(Clone)]
pub(crate) struct Signer {
    keys: Keys,
    key: KeyName,
    algorithm: SignatureAlgorithm,
    identifier: AlgorithmIdentifierOwned,
    public_key: SubjectPublicKeyInfoOwned,
}

impl Signer {
    pub(crate) fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    pub(crate) fn algorithm_identifier(&self) -> AlgorithmIdentifierOwned {
        self.identifier.clone()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let deadline = self.keys.clock.deadline_in(HSM_TIMEOUT);
        self.keys.hsm.sign(&self.key, self.algorithm, message, deadline)
    }

    /// Signs the DER of `structure`, as X.509, CRL and OCSP structures are signed.
    pub(crate) fn sign_der(&self, structure: &impl Encode) -> Result<BitString, SignError> {
        let signature = self.sign(&structure.to_der()?)?;
        Ok(BitString::from_bytes(&signature)?)
    }
}

/// Why a structure could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The HSM refused or failed; its own error says what may help.
    #[error("the HSM did not sign: {0}")]
    Hsm(#[from] HsmError),
    /// The structure can't be written as DER: a name or text too long for its field.
    #[error("the structure can't be written as DER: {0}")]
    Der(#[from] der::Error),
}
