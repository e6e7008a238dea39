use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::session::Session;
use hsm::custody::Honesty;
use hsm::{
    CardKeyPairKind, CardKeySet, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyKind, KeyName, SessionDerivation,
    SessionKeys, SignatureAlgorithm, WrappedKeyPair, record_key,
};
use madoguchi_time::{Deadline, SharedClock};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use crate::capabilities::Capabilities;
use crate::cards;
use crate::derivation::{Master, cmac};
use crate::error::{Fault, TokenError, odd};
use crate::honesty::{OnSession, judge};
use crate::module::Until;
use crate::objects::{self, Found, find};
use crate::provisioning::Refusal;
use crate::token::{Call, Pin, Token, TokenSelector};
use crate::workers::Workers;

/// Calls that may be under way in a token at one time.
const WORKERS: usize = 4;
/// How long trying out what a token can do may take.
const PROBING: Duration = Duration::from_secs(60);

/// A token of a PKCS #11 module as the HSM of a terminal or an authority.
pub struct Pkcs11Hsm {
    token: Arc<Token>,
    workers: Workers,
    identity: HsmIdentity,
    capabilities: Capabilities,
    /// Held by whoever makes a key.
    making: Arc<Mutex<()>>,
}

impl Pkcs11Hsm {
    /// Opens a token: loads its module, logs in, tries out what it can do.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn open(selector: TokenSelector, pin: Pin, clock: SharedClock) -> Result<Self, TokenError> {
        let (token, info) = Token::open(selector, pin, Arc::clone(&clock))?;
        let identity = HsmIdentity {
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial: info.serial_number().to_owned(),
        };
        let until = Until { deadline: clock.deadline_in(PROBING), clock: Arc::clone(&clock) };
        let capabilities = Capabilities::probe(&token, &until)?;
        // Of no concern where no cards are.
        let holds_card_masters = |session: &Call<'_>| {
            let (keys, _) = objects::all(session)?;
            Ok(keys.iter().any(|key| matches!(key.kind, KeyKind::CardMaster(_))))
        };
        if capabilities.aes_cmac && !capabilities.sp800_108 && token.work(&until, holds_card_masters)? {
            tracing::warn!(
                serial = identity.serial,
                "this HSM has no SP 800-108 derivation: cards' keys are computed by AES-CMAC and are on the host while they are used"
            );
        }
        let workers = Workers::start(WORKERS, clock)
            .map_err(|source| HsmError::Failed { function: "thread", source: Box::new(source) })?;
        Ok(Self { token: Arc::new(token), workers, identity, capabilities, making: Arc::default() })
    }

    /// What the token was found to do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Tries to get keys out of the token, with throw-away keys of every kind: to be done before it is provisioned. Takes some
    /// seconds, as RSA keys are made.
    ///
    /// # Errors
    /// [`TokenError::Dishonest`] names the attempt that succeeded; [`TokenError::Hsm`] if the token failed or was lost, and nothing
    /// is known.
    pub fn prove_honesty(&self, deadline: Deadline) -> Result<Honesty, TokenError> {
        let capabilities = self.capabilities;
        Ok(self.ask(deadline, move |session| judge(&OnSession::new(session, &capabilities)))??)
    }

    /// Makes a key that is not there yet.
    ///
    /// # Errors
    /// [`Refusal`] if the token did not make the key as it was told to; [`HsmError::SeveralKeys`] if the name is taken. After
    /// [`HsmError::Unreachable`] and [`HsmError::Timeout`] the key may have been made or not; never are there two.
    pub fn generate(&self, name: &KeyName, kind: KeyKind, deadline: Deadline) -> Result<Result<(), Refusal>, HsmError> {
        let (name, capabilities) = (name.clone(), self.capabilities);
        let making = Arc::clone(&self.making);
        let mut begun = false;
        self.ask(deadline, move |session| {
            // One at a time, so that two threads do not both find that the name is free.
            let _turn = making.lock().unwrap_or_else(PoisonError::into_inner);
            objects::generate(session, &name, kind, &capabilities, &mut begun)
        })
    }

    /// Destroys a key.
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`]. After [`HsmError::Unreachable`] and [`HsmError::Timeout`] the key may be destroyed or not.
    pub fn destroy(&self, name: &KeyName, deadline: Deadline) -> Result<(), HsmError> {
        let name = name.clone();
        let mut begun = false;
        self.ask(deadline, move |session| match find(session, &name) {
            // The attempt before has destroyed it.
            Err(Fault::Answer(HsmError::NoSuchKey(_))) if begun => Ok(()),
            Err(fault) => Err(fault),
            Ok(key) => {
                begun = true;
                objects::destroy(session, &key)
            }
        })
    }

    /// Has `job` done on a session; it is begun anew when the session was lost on the way.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        deadline: Deadline,
        job: impl FnMut(&Call<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, HsmError> {
        let token = Arc::clone(&self.token);
        self.workers.run(deadline, move |until| token.work(until, job))
    }
}

impl Hsm for Pkcs11Hsm {
    fn identity(&self) -> HsmIdentity {
        self.identity.clone()
    }

    fn weaker_modes(&self) -> Vec<&'static str> {
        self.capabilities
            .abilities()
            .into_iter()
            .filter(|ability| ability.is_weaker)
            .map(|ability| ability.code)
            .collect()
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        self.ask(deadline, |session| {
            let (keys, _) = objects::all(session)?;
            let mut names: Vec<KeyName> = keys.into_iter().map(|key| key.name).collect();
            names.sort();
            names.dedup();
            Ok(names)
        })
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        let key = key.clone();
        self.ask(deadline, move |session| objects::public_key(session, &find(session, &key)?))
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        let (key, message) = (key.clone(), Zeroizing::new(message.to_vec()));
        let capabilities = self.capabilities;
        self.ask(deadline, move |session| {
            let kind = match algorithm {
                SignatureAlgorithm::EcdsaP256Sha256 => KeyKind::EcP256,
                SignatureAlgorithm::EcdsaP384Sha384 => KeyKind::EcP384,
                SignatureAlgorithm::RsaPkcs1Sha256 => KeyKind::Rsa2048,
                _ => return Err(HsmError::WrongKind(key.clone()).into()),
            };
            let key = objects::find_kind(session, &key, kind)?;
            signature(session, &key, &message, &capabilities)
        })
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        let derived = derivation.clone();
        self.ask(deadline, move |session| {
            Master::find(session, derived.key_version, derived.key_length)?.session_keys(&derived)
        })
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        let (card, capabilities) = (card.clone(), self.capabilities);
        self.ask(deadline, move |session| cards::make_key_pair(session, kind, &card, &capabilities))
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        let (present, capabilities) = (present.clone(), self.capabilities);
        self.ask(deadline, move |session| cards::encipher_keys(session, &present, next, &capabilities))
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        let (key, context) = (key.clone(), context.to_vec());
        self.ask(deadline, move |session| {
            let key = objects::find_kind(session, &key, KeyKind::RecordKey)?;
            let mut derived = Zeroizing::new([0; 32]);
            for (half, counter) in derived.chunks_mut(16).zip(1..) {
                half.copy_from_slice(&cmac(session, key.handle, &record_key::prf_input(counter, &context))?);
            }
            Ok(derived)
        })
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        let (key, message) = (key.clone(), Zeroizing::new(message.to_vec()));
        self.ask(deadline, move |session| {
            let key = objects::find_kind(session, &key, KeyKind::Hmac)?;
            let code = session.sign(&Mechanism::Sha256Hmac, key.handle, &message)?;
            code.try_into().map_err(|_| odd("C_Sign"))
        })
    }
}

fn signature(session: &Session, key: &Found, message: &[u8], capabilities: &Capabilities) -> Result<Vec<u8>, Fault> {
    let mechanism = objects::mechanism_of(key.kind, capabilities);
    if mechanism == MechanismType::SHA256_RSA_PKCS {
        return Ok(session.sign(&Mechanism::Sha256RsaPkcs, key.handle, message)?);
    }
    let plain = match (key.kind, mechanism) {
        (_, MechanismType::ECDSA_SHA256) => session.sign(&Mechanism::EcdsaSha256, key.handle, message)?,
        (_, MechanismType::ECDSA_SHA384) => session.sign(&Mechanism::EcdsaSha384, key.handle, message)?,
        (KeyKind::EcP384, _) => session.sign(&Mechanism::Ecdsa, key.handle, &Sha384::digest(message))?,
        _ => session.sign(&Mechanism::Ecdsa, key.handle, &Sha256::digest(message))?,
    };
    // PKCS #11 gives r and s one after the other; everybody else wants DER.
    let der = match key.kind {
        KeyKind::EcP384 => {
            p384::ecdsa::Signature::from_slice(&plain).map(|signature| signature.to_der().as_bytes().to_vec())
        }
        _ => p256::ecdsa::Signature::from_slice(&plain).map(|signature| signature.to_der().as_bytes().to_vec()),
    };
    der.map_err(|_| odd("C_Sign"))
}

impl fmt::Debug for Pkcs11Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Hsm").field("token", &self.token).finish_non_exhaustive()
    }
}
