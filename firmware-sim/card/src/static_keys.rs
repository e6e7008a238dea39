//! The static keys of SCP03: a small table of key versions, so that a new one can be proved before the old one goes.

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::nvm::NvmError;
use crate::state::{Chip, object};
use crate::store::Change;

/// How many versions a card holds at once.
pub(crate) const MAX_SETS: usize = 4;
/// Length of the key diversification data.
const DIVERSIFICATION: usize = 10;

/// K-ENC, K-MAC and K-DEK of one version. Wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct KeySet {
    pub(crate) version: u8,
    pub(crate) enc: Vec<u8>,
    pub(crate) mac: Vec<u8>,
    pub(crate) dek: Vec<u8>,
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
        Ok(stored.and_then(|stored| Self::from_stored(&stored, chip.profile.scp03_key_length)))
    }

    fn from_stored(stored: &[u8], length: usize) -> Option<Self> {
        let (diversification, sets) = stored.split_first_chunk()?;
        let sets = sets.chunks(1 + 3 * length).map(|set| {
            let (version, keys) = set.split_first()?;
            let (enc, keys) = keys.split_at_checked(length)?;
            let (mac, dek) = keys.split_at_checked(length)?;
            Some(KeySet { version: *version, enc: enc.to_vec(), mac: mac.to_vec(), dek: dek.to_vec() })
        });
        Some(Self { diversification: *diversification, sets: sets.collect::<Option<_>>()? })
    }

    /// What puts this table into the card's memory.
    pub(crate) fn storing(&self) -> Change {
        let capacity = DIVERSIFICATION + self.sets.len() * (1 + 3 * 32);
        let mut stored = Zeroizing::new(Vec::with_capacity(capacity));
        stored.extend_from_slice(&self.diversification);
        for set in &self.sets {
            stored.push(set.version);
            for key in [&set.enc, &set.mac, &set.dek] {
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
