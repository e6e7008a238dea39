use std::collections::BTreeMap;

use hsm::{AesLength, KeyKind, KeyName};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a module is to hold.
///
/// Every key depends on the seed, the module's label and the key's own name, and on nothing else: the same provision gives the
/// same keys, and a key more changes none of the others.
#[derive(Clone)]
pub struct Provision {
    label: String,
    seed: Zeroizing<[u8; 32]>,
    keys: BTreeMap<KeyName, KeyKind>,
}

impl Provision {
    /// A module without keys. `label` tells modules of one world apart; it is part of the serial.
    #[must_use]
    pub fn empty(label: &str, seed: [u8; 32]) -> Self {
        Self { label: label.to_owned(), seed: Zeroizing::new(seed), keys: BTreeMap::new() }
    }

    /// A terminal's module: the keys that [`KeyName`] names. Masters of cards are to be added.
    #[must_use]
    pub fn terminal(seed: [u8; 32]) -> Self {
        Self::empty("terminal", seed)
            .with_key(KeyName::new(KeyName::TERMINAL_SIGNING), KeyKind::EcP256)
            .with_key(KeyName::new(KeyName::TERMINAL_TLS), KeyKind::EcP256)
            .with_key(KeyName::new(KeyName::LOG_SIGNING), KeyKind::EcP256)
            .with_key(KeyName::new(KeyName::TEMPLATE_SEALING), KeyKind::RecordKey)
            .with_key(KeyName::new(KeyName::RESIDENT_REFERENCE), KeyKind::Hmac)
    }

    /// One key more. A key of the same name is replaced.
    #[must_use]
    pub fn with_key(mut self, name: KeyName, kind: KeyKind) -> Self {
        self.keys.insert(name, kind);
        self
    }

    /// The master key of cards with key version `version`.
    #[must_use]
    pub fn with_card_master(self, version: u8, length: AesLength) -> Self {
        self.with_key(KeyName::card_master(version), KeyKind::CardMaster(length))
    }

    /// The keys that it is to hold.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyName, KeyKind)> {
        self.keys.iter().map(|(name, kind)| (name, *kind))
    }

    /// Tells the seed apart from others without giving it away.
    pub(crate) fn serial(&self) -> String {
        let digest = self.digest(b"serial", "");
        format!("SIM-{}-{}", self.label, hex::encode_upper(&digest[..4]))
    }

    /// The source of the key `name`.
    pub(crate) fn randomness(&self, name: &KeyName) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.digest(b"key", name.as_str()))
    }

    fn digest(&self, purpose: &[u8], name: &str) -> Zeroizing<[u8; 32]> {
        let mut hash = Sha256::new();
        for part in [b"madoguchi simulated HSM", purpose, self.seed.as_slice(), self.label.as_bytes(), name.as_bytes()]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Zeroizing::new(hash.finalize().into())
    }
}
