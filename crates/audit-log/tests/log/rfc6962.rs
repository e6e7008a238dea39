//! The tree and its proofs against the reference values of Certificate Transparency, and against a tree written straight from
//! the definition.

use audit_log::{Tree, TreeHash, verify_consistency, verify_inclusion};

/// The reference leaves (certificate-transparency, `merkle_tree_test`; also in transparency-dev/merkle).
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The reference roots for 0 to 8 leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Reference inclusion proofs: index, size, proof.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Reference consistency proofs: old size, new size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn hash(text: &str) -> TreeHash {
    TreeHash(hex::decode(text).unwrap().try_into().unwrap())
}

fn hashes(texts: &[&str]) -> Vec<TreeHash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn reference() -> Tree {
    let mut tree = Tree::default();
    for leaf in LEAVES {
        tree.append(TreeHash::leaf(&hex::decode(leaf).unwrap()));
    }
    tree
}

#[test]
fn reference_roots() {
    let tree = reference();
    for (size, root) in (0..).zip(ROOTS) {
        assert_eq!(tree.root(size).unwrap(), hash(root), "{size}");
    }
    assert_eq!(tree.root(9), None);
}

#[test]
fn reference_inclusion_proofs() {
    let tree = reference();
    for (index, size, proof) in INCLUSION {
        let (proof, at) = (hashes(proof), usize::try_from(index).unwrap());
        let leaf = TreeHash::leaf(&hex::decode(LEAVES[at]).unwrap());
        assert_eq!(tree.inclusion_proof(index, size).unwrap(), proof, "{index} in {size}");
        verify_inclusion(leaf, index, size, &proof, tree.root(size).unwrap()).unwrap();
    }
}

#[test]
fn reference_consistency_proofs() {
    let tree = reference();
    for (old, new, proof) in CONSISTENCY {
        let proof = hashes(proof);
        assert_eq!(tree.consistency_proof(old, new).unwrap(), proof, "{old} to {new}");
        verify_consistency(old, tree.root(old).unwrap(), new, tree.root(new).unwrap(), &proof).unwrap();
    }
}

const LARGEST: u64 = 64;

fn leaf(index: u64) -> TreeHash {
    TreeHash::leaf(&index.to_be_bytes())
}

fn tree_of(size: u64) -> Tree {
    let mut tree = Tree::default();
    (0..size).for_each(|index| tree.append(leaf(index)));
    tree
}

/// The root by the definition of RFC 9162 §2.1.1, word for word.
fn root_by_definition(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::empty_tree(),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            TreeHash::node(root_by_definition(&leaves[..k]), root_by_definition(&leaves[k..]))
        }
    }
}

#[test]
fn every_root_is_that_of_the_definition() {
    let tree = tree_of(LARGEST);
    let leaves: Vec<_> = (0..LARGEST).map(leaf).collect();
    for size in 0..=LARGEST {
        let expected = root_by_definition(&leaves[..usize::try_from(size).unwrap()]);
        assert_eq!(tree.root(size).unwrap(), expected, "{size}");
        assert_eq!(tree_of(size).root(size).unwrap(), expected, "{size}: whether or not it has grown since");
    }
}

/// Wrong proofs made of a right one: every hash changed, left out, doubled; one more at either end; two swapped.
fn wrong_proofs(proof: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut wrong = Vec::new();
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at].0[at % 32] ^= 1;
        wrong.push(changed);
        wrong.push([&proof[..at], &proof[at + 1..]].concat());
        wrong.push([&proof[..=at], &proof[at..]].concat());
    }
    for at in 1..proof.len() {
        let mut swapped = proof.to_vec();
        swapped.swap(at - 1, at);
        wrong.push(swapped);
    }
    wrong.push([&[TreeHash([0; 32])], proof].concat());
    wrong.push([proof, &[TreeHash([0; 32])]].concat());
    wrong
}

#[test]
fn every_inclusion_proof_verifies_and_no_other_does() {
    let tree = tree_of(LARGEST);
    for size in 1..=LARGEST {
        let root = tree.root(size).unwrap();
        for index in 0..size {
            let proof = tree.inclusion_proof(index, size).unwrap();
            verify_inclusion(leaf(index), index, size, &proof, root).unwrap();
            for (number, wrong) in wrong_proofs(&proof).iter().enumerate() {
                assert!(verify_inclusion(leaf(index), index, size, wrong, root).is_err(), "{index} {size} {number}");
            }
            for other in [index + 1, index ^ 1, index ^ 2, index + size, size, size + 1, index / 2] {
                if other == index {
                    continue;
                }
                assert!(verify_inclusion(leaf(index), other, size, &proof, root).is_err(), "{index} as {other}");
                assert!(verify_inclusion(leaf(other), index, size, &proof, root).is_err(), "{other} for {index}");
            }
            let other_root = tree.root(size - 1).unwrap();
            assert!(verify_inclusion(leaf(index), index, size, &proof, other_root).is_err());
        }
        assert_eq!(tree.inclusion_proof(size, size), None);
    }
    assert_eq!(tree.inclusion_proof(0, LARGEST + 1), None);
}

#[test]
fn every_consistency_proof_verifies_and_no_other_does() {
    let tree = tree_of(LARGEST);
    for new in 0..=LARGEST {
        let new_root = tree.root(new).unwrap();
        for old in 0..=new {
            let old_root = tree.root(old).unwrap();
            let proof = tree.consistency_proof(old, new).unwrap();
            verify_consistency(old, old_root, new, new_root, &proof).unwrap();
            for (number, wrong) in wrong_proofs(&proof).iter().enumerate() {
                assert!(verify_consistency(old, old_root, new, new_root, wrong).is_err(), "{old} {new} {number}");
            }
            let some_root = TreeHash([7; 32]);
            assert!(verify_consistency(old, some_root, new, new_root, &proof).is_err(), "{old} {new}");
            // With an empty old tree there is nothing that the new root would have to fit.
            if old > 0 || new == 0 {
                assert!(verify_consistency(old, old_root, new, some_root, &proof).is_err(), "{old} {new}");
            }
            if old < new {
                assert!(verify_consistency(new, new_root, old, old_root, &proof).is_err(), "{new} back to {old}");
                let other = if old + 1 < new { old + 1 } else { old.saturating_sub(1) };
                if other != old {
                    assert!(verify_consistency(other, old_root, new, new_root, &proof).is_err(), "{old} as {other}");
                }
            }
        }
        assert_eq!(tree.consistency_proof(new + 1, new), None);
    }
    assert_eq!(tree.consistency_proof(0, LARGEST + 1), None);
}
