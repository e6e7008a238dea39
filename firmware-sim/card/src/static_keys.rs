//! The static keys of SCP03: a small table of key versions, so that a new one can be proved before the old one goes.

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::nvm::NvmError;
use crate::profile::CardProfile;
use crate::state::{Chip, object};
use crate::store::Change;

/// How many versions a card holds at once.
pub(crate) const MAX_SETS: usize = 4;
/// How many keys a version has at most.
const MAX_KEYS: usize = 4;
/// Length of the key diversification data.
const DIVERSIFICATION: usize = 10;

/// The keys of one version. Wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct KeySet {
    pub(crate) version: u8,
    /// In the order of their identifiers, from 1 on: K-ENC, K-MAC, K-DEK and, on a card that takes key pairs, the key-import key.
    pub(crate) keys: Vec<Vec<u8>>,
}

impl KeySet {
    /// K-ENC.
    pub(crate) fn enc(&self) -> &[u8] {
        self.key(0)
    }

    /// K-MAC.
    pub(crate) fn mac(&self) -> &[u8] {
        self.key(1)
    }

    /// K-DEK.
    pub(crate) fn dek(&self) -> &[u8] {
        self.key(2)
    }

    /// The key-import key; empty on a card that makes its keys itself.
    pub(crate) fn import(&self) -> &[u8] {
        self.key(3)
    }

    fn key(&self, place: usize) -> &[u8] {
        self.keys.get(place).map_or(&[], Vec::as_slice)
    }
}

/// All static keys of a card. As stored: the diversification data, then version and keys of each set.
pub(crate) struct KeyTable {
    pub(crate) diversification: [u8; DIVERSIFICATION],
    /// In the order in which they came. The first one is the default.
    pub(crate) sets: Vec<KeySet>,
}

impl KeyTable {
    /// The table of this card; none on a card without keys.
    pub(crate) fn load(chip: &Chip) -> Result<Option<Self>, NvmError> {
        let stored = chip.store.get(object::STATIC_KEYS)?;
        Ok(stored.and_then(|stored| Self::from_stored(&stored, &chip.profile)))
    }

    fn from_stored(stored: &[u8], profile: &CardProfile) -> Option<Self> {
        let (diversification, sets) = stored.split_first_chunk()?;
        let length = profile.scp03_key_length;
        let sets = sets.chunks(1 + profile.keys_of_a_version() * length).map(|set| {
            let (version, keys) = set.split_first()?;
            let is_whole = keys.len() == profile.keys_of_a_version() * length;
            let keys = is_whole.then(|| keys.chunks(length).map(<[u8]>::to_vec).collect())?;
            Some(KeySet { version: *version, keys })
        });
        Some(Self { diversification: *diversification, sets: sets.collect::<Option<_>>()? })
    }

    /// What puts this table into the card's memory.
    pub(crate) fn storing(&self) -> Change {
        let capacity = DIVERSIFICATION + self.sets.len() * (1 + MAX_KEYS * 32);
        let mut stored = Zeroizing::new(Vec::with_capacity(capacity));
        stored.extend_from_slice(&self.diversification);
        for set in &self.sets {
            stored.push(set.version);
            for key in &set.keys {
                stored.extend_from_slice(key);
            }
        }
        Change::Put(object::STATIC_KEYS, stored)
    }

    /// The set of this version, 0 for the default.
    pub(crate) fn set(&self, version: u8) -> Option<&KeySet> {
        self.sets.iter().find(|set| version == 0 || set.version == version)
    }

    /// The place of exactly this version.
    pub(crate) fn position(&self, version: u8) -> Option<usize> {
        self.sets.iter().position(|set| set.version == version)
    }
}
