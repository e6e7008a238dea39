use crate::TreeHash;

/// A Merkle tree that grows at its right end (RFC 9162 §2.1).
///
/// Holds the hashes of all complete subtrees, 64 bytes a leaf, so that appending takes one hash on average, and a root or
/// a proof at any size a number of hashes that grows with the logarithm of the size.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `levels[k][i]` is the hash of the complete subtree over the leaves from `i · 2^k` to `(i + 1) · 2^k`.
    levels: Vec<Vec<TreeHash>>,
}

impl Tree {
    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Adds a leaf by its hash.
    pub fn append(&mut self, leaf: TreeHash) {
        let mut hash = leaf;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(hash);
            match nodes.as_slice() {
                [.., left, right] if nodes.len().is_multiple_of(2) => hash = TreeHash::node(*left, *right),
                _ => return,
            }
        }
    }

    /// The root of the tree as it was when it had `size` leaves; none if it has never had so many.
    #[must_use]
    pub fn root(&self, size: u64) -> Option<TreeHash> {
        match size {
            0 => Some(TreeHash::empty_tree()),
            _ if size > self.size() => None,
            _ => Some(self.range(0, size)),
        }
    }

    /// The proof that leaf `index` is in the tree with `size` leaves (RFC 9162 §2.1.3.1). None if it is not.
    #[must_use]
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<TreeHash>> {
        if index >= size || size > self.size() {
            return None;
        }
        let mut proof = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                proof.push(self.range(middle, end));
                end = middle;
            } else {
                proof.push(self.range(start, middle));
                start = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// The proof that the tree with `old` leaves is the beginning of the tree with `new` leaves (RFC 9162 §2.1.4.1); empty if
    /// the sizes are equal or `old` is 0. None if there are no such sizes.
    #[must_use]
    pub fn consistency_proof(&self, old: u64, new: u64) -> Option<Vec<TreeHash>> {
        if old > new || new > self.size() {
            return None;
        }
        let mut proof = Vec::new();
        if old == 0 || old == new {
            return Some(proof);
        }
        let (mut start, mut end) = (0, new);
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                proof.push(self.range(middle, end));
                end = middle;
            } else {
                proof.push(self.range(start, middle));
                start = middle;
            }
        }
        // The verifier has the old root already, if that is the node where the way down ends.
        if start != 0 {
            proof.push(self.range(start, end));
        }
        proof.reverse();
        Some(proof)
    }

    /// The hash over the leaves from `start` to `end`, a range that the recursion of RFC 9162 §2.1.1 comes by: `start` is a
    /// multiple of the power of two that is the range's length or the next above it.
    fn range(&self, start: u64, end: u64) -> TreeHash {
        let length = end - start;
        if length.is_power_of_two() {
            let level = length.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(length);
        TreeHash::node(self.range(start, middle), self.range(middle, end))
    }
}

/// The largest power of two below `length`, which is at least 2 (RFC 9162 §2.1.1).
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}
