use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, of a node, of a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// The root of the tree without leaves: the hash of nothing (RFC 9162 §2.1.1).
    #[must_use]
    pub fn empty_tree() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of the leaf that holds `data` (RFC 9162 §2.1.1).
    #[must_use]
    pub fn leaf(data: &[u8]) -> Self {
        Self(Sha256::new_with_prefix([0x00]).chain_update(data).finalize().into())
    }

    /// The hash of the node above `left` and `right` (RFC 9162 §2.1.1).
    #[must_use]
    pub fn node(left: Self, right: Self) -> Self {
        Self(Sha256::new_with_prefix([0x01]).chain_update(left.0).chain_update(right.0).finalize().into())
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
