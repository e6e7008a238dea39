use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use aes_kw::{KekAes128, KekAes192, KekAes256};
use hmac::{Hmac, Mac};
use hsm::{
    CardKeyPairKind, CardKeySet, EncipheredKey, EncipheredKeys, Hsm, HsmError, HsmIdentity, KeyKind, KeyName,
    SessionDerivation, SessionKeys, SignatureAlgorithm, WrappedKeyPair, record_key,
};
use madoguchi_time::{Deadline, SharedClock};
use rand_chacha::ChaCha20Rng;
use rand_core::{OsRng, SeedableRng};
use secure_channel::primitives::cmac;
use secure_channel::{CardKeys, kdf, key_transport};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::material::{BoxError, Material, MaterialError};
use crate::provision::Provision;
use crate::store::{self, Contents};

/// A module in software.
///
/// It answers at once. Deadlines are checked if it has been told its [clock](Self::with_clock).
pub struct SoftwareHsm {
    pub(crate) contents: RwLock<Contents>,
    /// Where the contents are kept; nowhere if it is none.
    pub(crate) file: Option<PathBuf>,
    /// Where new keys come from, as long as the module is as it was provisioned; the operating system if it is none.
    pub(crate) source: Mutex<Option<Provision>>,
    clock: Option<SharedClock>,
    /// Where key pairs for cards come from; the operating system if it is none.
    randomness: Option<Mutex<ChaCha20Rng>>,
    /// Calls that are still answered before the module is unplugged.
    calls_left: AtomicU64,
    /// Changes of its keys that are still acknowledged before the answer to one is lost.
    pub(crate) changes_left: AtomicU64,
}

impl SoftwareHsm {
    /// A new module in a new file.
    ///
    /// # Errors
    /// [`HsmError::Failed`] if the file exists or can't be written.
    pub fn create(path: &Path, provision: &Provision) -> Result<Self, HsmError> {
        let module = Self { file: Some(path.to_owned()), ..Self::in_memory(provision)? };
        store::create(path, &module.contents())?;
        Ok(module)
    }

    /// The module in the file `path`.
    ///
    /// # Errors
    /// [`HsmError::Unreachable`] if there is no such file, [`HsmError::Damaged`] if it is not as it was written.
    pub fn open(path: &Path) -> Result<Self, HsmError> {
        store::open(path).map(|contents| Self { file: Some(path.to_owned()), ..Self::holding(contents) })
    }

    /// A module without a file.
    ///
    /// # Errors
    /// [`HsmError::Failed`] for a kind of key that this module does not have.
    pub fn in_memory(provision: &Provision) -> Result<Self, HsmError> {
        let keys = provision
            .keys()
            .map(|(name, kind)| {
                let material = Material::generate(kind, &mut provision.randomness(name))
                    .map_err(|source| HsmError::Failed { function: "generate", source })?;
                Ok((name.clone(), Arc::new(material)))
            })
            .collect::<Result<_, HsmError>>()?;
        let source = Mutex::new(Some(provision.clone()));
        Ok(Self { source, ..Self::holding(Contents { serial: provision.serial(), keys }) })
    }

    fn holding(contents: Contents) -> Self {
        Self {
            contents: RwLock::new(contents),
            file: None,
            source: Mutex::new(None),
            clock: None,
            randomness: None,
            calls_left: AtomicU64::new(u64::MAX),
            changes_left: AtomicU64::new(u64::MAX),
        }
    }

    /// Checks deadlines, which are points on `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Makes key pairs for cards from a seed: the same ones in the same order, so that a run can be repeated. Two modules, or two
    /// programs that open one module, must not have the same seed.
    #[must_use]
    pub fn with_randomness(mut self, seed: [u8; 32]) -> Self {
        self.randomness = Some(Mutex::new(ChaCha20Rng::from_seed(seed)));
        self
    }

    /// Answers `calls` calls more, then is unreachable.
    pub fn unplug_after(&self, calls: u64) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }

    /// Makes or destroys `changes` keys more, then one whose answer is lost: the module is unreachable from then on.
    pub fn lose_answer_after(&self, changes: u64) {
        self.changes_left.store(changes, Ordering::SeqCst);
    }

    /// Is there again.
    pub fn plug_in(&self) {
        self.unplug_after(u64::MAX);
        self.lose_answer_after(u64::MAX);
    }

    /// The static keys of the card with these diversification data: for the factory that personalises simulated cards, and
    /// for nobody else. Not on the port.
    ///
    /// # Errors
    /// As [`Hsm::derive_session`].
    pub fn card_static_keys(
        &self,
        version: u8,
        diversification: &[u8; 10],
        key_length: usize,
    ) -> Result<CardKeys, HsmError> {
        let master = self.card_master_for(version, key_length)?;
        kdf::card_keys(&master, version, diversification, key_length)
            .map_err(|_| HsmError::WrongKind(KeyName::card_master(version)))
    }

    /// The key-import key of that card: for simulated card factories, as [`SoftwareHsm::card_static_keys`].
    ///
    /// # Errors
    /// As [`Hsm::derive_session`].
    pub fn card_import_key(
        &self,
        version: u8,
        diversification: &[u8; 10],
        key_length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let master = self.card_master_for(version, key_length)?;
        kdf::import_key(&master, version, diversification, key_length)
            .map_err(|_| HsmError::WrongKind(KeyName::card_master(version)))
    }

    /// The master key of cards with keys of `key_length` bytes.
    fn card_master_for(&self, version: u8, key_length: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let name = KeyName::card_master(version);
        match &*self.material(&name)? {
            Material::Secret(KeyKind::CardMaster(length), master) if key_length <= length.bytes() => Ok(master.clone()),
            _ => Err(HsmError::WrongKind(name)),
        }
    }

    /// The master key of cards with key version `version`: for the factory that brings it to a terminal's real token, and for nobody
    /// else. Not on the port.
    ///
    /// # Errors
    /// [`HsmError::NoSuchKey`], [`HsmError::WrongKind`].
    pub fn card_master(&self, version: u8) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let name = KeyName::card_master(version);
        match &*self.material(&name)? {
            Material::Secret(KeyKind::CardMaster(_), master) => Ok(master.clone()),
            _ => Err(HsmError::WrongKind(name)),
        }
    }

    pub(crate) fn contents(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// May this call be answered?
    pub(crate) fn admit(&self, deadline: Deadline) -> Result<(), HsmError> {
        let left = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
        if self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            return Err(HsmError::Unreachable);
        }
        match &self.clock {
            Some(clock) if deadline.has_passed(&**clock) => Err(HsmError::Timeout),
            _ => Ok(()),
        }
    }

    fn key_pair(&self, kind: CardKeyPairKind) -> Result<Material, BoxError> {
        match &self.randomness {
            Some(seeded) => {
                let mut seeded = seeded.lock().unwrap_or_else(PoisonError::into_inner);
                Material::generate(kind.into(), &mut *seeded)
            }
            None => Material::generate(kind.into(), &mut OsRng),
        }
    }

    fn material(&self, key: &KeyName) -> Result<Arc<Material>, HsmError> {
        self.contents().keys.get(key).cloned().ok_or_else(|| HsmError::NoSuchKey(key.clone()))
    }
}

impl Hsm for SoftwareHsm {
    fn identity(&self) -> HsmIdentity {
        HsmIdentity {
            manufacturer: "Madoguchi".to_owned(),
            model: "Simulated HSM".to_owned(),
            serial: self.contents().serial.clone(),
        }
    }

    fn keys(&self, deadline: Deadline) -> Result<Vec<KeyName>, HsmError> {
        self.admit(deadline)?;
        Ok(self.contents().keys.keys().cloned().collect())
    }

    fn public_key(&self, key: &KeyName, deadline: Deadline) -> Result<Vec<u8>, HsmError> {
        self.admit(deadline)?;
        let public_key = self.material(key)?.public_key().ok_or_else(|| HsmError::WrongKind(key.clone()))?;
        public_key.map_err(|source| HsmError::Failed { function: "public_key", source: Box::new(source) })
    }

    fn sign(
        &self,
        key: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>, HsmError> {
        self.admit(deadline)?;
        let signature = self.material(key)?.sign(algorithm, message).ok_or_else(|| HsmError::WrongKind(key.clone()))?;
        signature.map_err(|source| HsmError::Failed { function: "sign", source: Box::new(source) })
    }

    fn derive_session(&self, derivation: &SessionDerivation, deadline: Deadline) -> Result<SessionKeys, HsmError> {
        self.admit(deadline)?;
        let keys = self.card_static_keys(derivation.key_version, &derivation.diversification, derivation.key_length)?;
        kdf::session_keys(&keys.enc, &keys.mac, &derivation.host_challenge, &derivation.card_challenge)
            .map_err(|source| HsmError::Failed { function: "derive_session", source: Box::new(source) })
    }

    fn make_card_key_pair(
        &self,
        kind: CardKeyPairKind,
        card: &CardKeySet,
        deadline: Deadline,
    ) -> Result<WrappedKeyPair, HsmError> {
        self.admit(deadline)?;
        let import_key = self.card_import_key(card.key_version, &card.diversification, card.key_length)?;
        self.key_pair(kind)
            .and_then(|pair| wrapped(&pair, &import_key))
            .map_err(|source| HsmError::Failed { function: "make_card_key_pair", source })
    }

    fn encipher_card_keys(
        &self,
        present: &CardKeySet,
        next: u8,
        deadline: Deadline,
    ) -> Result<EncipheredKeys, HsmError> {
        self.admit(deadline)?;
        let CardKeySet { key_version, diversification, key_length } = present;
        let k_dek = self.card_static_keys(*key_version, diversification, *key_length)?.dek;
        let new = self.card_static_keys(next, diversification, *key_length)?;
        let import = self.card_import_key(next, diversification, *key_length)?;
        let encipher = |key: &[u8]| {
            key_transport::encipher_key(&k_dek, key)
                .and_then(|enciphered| Ok(EncipheredKey { enciphered, check_value: key_transport::check_value(key)? }))
                .map_err(|source| HsmError::Failed { function: "encipher_card_keys", source: Box::new(source) })
        };
        Ok(EncipheredKeys {
            enc: encipher(&new.enc)?,
            mac: encipher(&new.mac)?,
            dek: encipher(&new.dek)?,
            import: encipher(&import)?,
        })
    }

    fn derive_record_key(
        &self,
        key: &KeyName,
        context: &[u8],
        deadline: Deadline,
    ) -> Result<Zeroizing<[u8; 32]>, HsmError> {
        self.admit(deadline)?;
        let material = self.material(key)?;
        let Material::Secret(KeyKind::RecordKey, secret) = &*material else {
            return Err(HsmError::WrongKind(key.clone()));
        };
        let mut record_key = Zeroizing::new([0; 32]);
        for (half, counter) in record_key.chunks_mut(16).zip(1..) {
            let block = cmac(secret, &[&record_key::prf_input(counter, context)])
                .map_err(|source| HsmError::Failed { function: "derive_record_key", source: Box::new(source) })?;
            half.copy_from_slice(&block);
        }
        Ok(record_key)
    }

    fn mac(&self, key: &KeyName, message: &[u8], deadline: Deadline) -> Result<[u8; 32], HsmError> {
        self.admit(deadline)?;
        let material = self.material(key)?;
        let Material::Secret(KeyKind::Hmac, secret) = &*material else {
            return Err(HsmError::WrongKind(key.clone()));
        };
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).map_err(|_| HsmError::WrongKind(key.clone()))?;
        Ok(mac.chain_update(message).finalize().into_bytes().into())
    }
}

/// The pair's public half, and its private half under the key-import key of a card.
fn wrapped(pair: &Material, import_key: &[u8]) -> Result<WrappedKeyPair, BoxError> {
    let public_key = pair.public_key().ok_or(MaterialError::UnknownKind(pair.kind()))??;
    let private_key = pair.to_bytes()?;
    let wrapped_private_key = match import_key.len() {
        16 => KekAes128::try_from(import_key)?.wrap_with_padding_vec(&private_key),
        24 => KekAes192::try_from(import_key)?.wrap_with_padding_vec(&private_key),
        _ => KekAes256::try_from(import_key)?.wrap_with_padding_vec(&private_key),
    }?;
    Ok(WrappedKeyPair { public_key, wrapped_private_key })
}

impl fmt::Debug for SoftwareHsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareHsm").field("serial", &self.contents().serial).finish_non_exhaustive()
    }
}
