//! What a verifier does with a proof, without the tree.

use crate::TreeHash;

/// The proof does not prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Merkle proof does not fit")]
pub struct ProofRefused;

/// Checks that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with the root `root` (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofRefused`] if `proof` does not show that.
pub fn verify_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    proof: &[TreeHash],
    root: TreeHash,
) -> Result<(), ProofRefused> {
    if index >= size {
        return Err(ProofRefused);
    }
    let mut path = Path { node: index, last: size - 1 };
    let mut hash = leaf;
    for &sibling in proof {
        hash = match path.climb()? {
            Side::Left => TreeHash::node(sibling, hash),
            Side::Right => TreeHash::node(hash, sibling),
        };
    }
    if path.last == 0 && hash == root { Ok(()) } else { Err(ProofRefused) }
}

/// Checks that the tree of `new` leaves with the root `new_root` begins with the tree of `old` leaves with the root `old_root`
/// (RFC 9162 §2.1.4.2). Every tree begins with the empty one.
///
/// # Errors
/// [`ProofRefused`] if `proof` does not show that.
pub fn verify_consistency(
    old: u64,
    old_root: TreeHash,
    new: u64,
    new_root: TreeHash,
    proof: &[TreeHash],
) -> Result<(), ProofRefused> {
    if old == 0 || old == new {
        let same = if old == new { new_root } else { TreeHash::empty_tree() };
        let empty_fits = new != 0 || new_root == TreeHash::empty_tree();
        return if proof.is_empty() && old_root == same && empty_fits { Ok(()) } else { Err(ProofRefused) };
    }
    if old > new {
        return Err(ProofRefused);
    }
    // A complete old tree is itself the node from which the way up begins, and is left out of the proof.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofRefused)?;
        (*first, rest)
    };
    let complete = (old - 1).trailing_ones();
    let mut path = Path { node: (old - 1) >> complete, last: (new - 1) >> complete };
    let (mut old_hash, mut new_hash) = (first, first);
    for &sibling in rest {
        match path.climb()? {
            Side::Left => {
                old_hash = TreeHash::node(sibling, old_hash);
                new_hash = TreeHash::node(sibling, new_hash);
            }
            Side::Right => new_hash = TreeHash::node(new_hash, sibling),
        }
    }
    if path.last == 0 && old_hash == old_root && new_hash == new_root { Ok(()) } else { Err(ProofRefused) }
}

/// The way from a node up to the root, beside the number of the last node of the same level.
struct Path {
    node: u64,
    last: u64,
}

/// On which side of the node its sibling stands.
enum Side {
    Left,
    Right,
}

impl Path {
    /// Goes up to the next node that has two children on this way, and tells where the sibling below it stands.
    fn climb(&mut self) -> Result<Side, ProofRefused> {
        if self.last == 0 {
            return Err(ProofRefused);
        }
        let side = if self.node % 2 == 1 {
            Side::Left
        } else if self.node == self.last {
            // The last node of a level without a sibling is handed up until it has one, on its left.
            let without_sibling = self.node.trailing_zeros();
            self.node >>= without_sibling;
            self.last >>= without_sibling;
            Side::Left
        } else {
            Side::Right
        };
        self.node /= 2;
        self.last /= 2;
        Ok(side)
    }
}
