//! A log and its witness, over a line that loses, delays and repeats: an honest log is never turned away, and one that was put
//! back is never taken.

use audit_log::{
    AddCheckpoint, Checkpoint, LogKey, NoteError, SignatureFault, Succession, SuccessionFault, Tree, TreeHash,
};
use proptest::prelude::*;

use crate::common::Notary;

const ORIGIN: &str = "madoguchi.example/terminal-1";

fn leaf(name: u64) -> TreeHash {
    TreeHash::leaf(&name.to_be_bytes())
}

/// The tree over leaves of these names.
fn tree(leaves: &[u64]) -> Tree {
    let mut tree = Tree::default();
    leaves.iter().for_each(|name| tree.append(leaf(*name)));
    tree
}

/// What a log of these leaves shows a witness that has seen `old` of them.
fn shown(notary: &Notary, leaves: &[u64], old: u64) -> AddCheckpoint {
    let (tree, size) = (tree(leaves), leaves.len() as u64);
    AddCheckpoint::new(old, &tree, notary.sign(size, tree.root(size).unwrap()))
}

fn seen(leaves: &[u64]) -> Checkpoint {
    let root = tree(leaves).root(leaves.len() as u64).unwrap();
    Checkpoint { origin: ORIGIN.into(), size: leaves.len() as u64, root }
}

#[test]
fn a_witness_takes_what_continues_what_it_has_seen_and_nothing_else() {
    let notary = Notary::new(1, ORIGIN);
    for old in 0..10_u64 {
        let before: Vec<_> = (0..old).collect();
        for new in 0..10_u64 {
            let (honest, put_back): (Vec<_>, Vec<_>) = ((0..new).collect(), (0..new).map(|name| name + 1).collect());
            let judge = |leaves: &[u64], from| shown(&notary, leaves, from).follows(Some(&seen(&before)), &notary.key);
            let expected = match new.cmp(&old) {
                std::cmp::Ordering::Less => Err(SuccessionFault::RolledBack),
                std::cmp::Ordering::Equal => Ok(Succession::Same),
                std::cmp::Ordering::Greater => Ok(Succession::Grown),
            };
            assert_eq!(judge(&honest, old), expected, "{old} to {new}");
            let expected = if new < old { expected } else { Err(SuccessionFault::Forked) };
            if old > 0 {
                assert_eq!(judge(&put_back, old), expected, "{old} to {new} of another history");
            }
            for elsewhere in (0..10).filter(|from| *from != old && new != old) {
                let wanted = Err(SuccessionFault::ProofWanted { seen: old });
                assert_eq!(judge(&honest, elsewhere), wanted, "from {elsewhere} where {old} were seen");
                assert_eq!(judge(&put_back, elsewhere), wanted, "from {elsewhere} where {old} were seen");
            }
            // Who has seen nothing takes what is shown first.
            let first = |from| shown(&notary, &honest, from).follows(None, &notary.key);
            assert_eq!(first(0), Ok(Succession::Grown));
            assert_eq!(first(1), Err(SuccessionFault::ProofWanted { seen: 0 }));
        }
    }
}

#[test]
fn other_logs_and_other_keys_are_told_apart() {
    let notary = Notary::new(1, ORIGIN);
    let before = seen(&[0, 1]);
    let judge = |other: &Notary, key: &LogKey| shown(other, &[0, 1, 2], 2).follows(Some(&before), key);
    let elsewhere = Notary::new(1, "madoguchi.example/terminal-2");
    assert_eq!(judge(&elsewhere, &elsewhere.key), Err(SuccessionFault::OtherLog));
    let stranger = Notary::new(2, ORIGIN);
    let not_signed = SuccessionFault::KeyReplaced(SignatureFault::NotSigned(notary.key.id()));
    assert_eq!(judge(&stranger, &notary.key), Err(not_signed));
    assert_eq!(judge(&notary, &notary.key), Ok(Succession::Grown));
}

#[test]
fn every_changed_bit_of_a_proof_is_found() {
    let notary = Notary::new(1, ORIGIN);
    let leaves: Vec<_> = (0..13).collect();
    let good = shown(&notary, &leaves, 6).to_string();
    let before = seen(&leaves[..6]);
    let judge = |text: &str| text.parse::<AddCheckpoint>().map(|shown| shown.follows(Some(&before), &notary.key));
    assert_eq!(judge(&good), Ok(Ok(Succession::Grown)));
    let head = good.find("\n\n").unwrap();
    assert_eq!(good[..head].lines().count(), 5, "the old size, and four hashes: {good}");
    for bit in 0..head * 8 {
        let mut changed = good.clone().into_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(!matches!(judge(&changed), Ok(Ok(_))), "bit {bit}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let notary = Notary::new(1, ORIGIN);
    let good = shown(&notary, &[0, 1, 2], 2).to_string();
    let read: AddCheckpoint = good.parse().unwrap();
    assert_eq!(read.to_string(), good);
    let parse = |text: &str| text.parse::<AddCheckpoint>().map(drop).unwrap_err();
    let hash = good.lines().nth(1).unwrap();
    assert_eq!(parse(""), NoteError::Form);
    assert_eq!(parse(&good.replacen("old ", "", 1)), NoteError::OldSize);
    for size in ["", "02", "+2", "-2", "two", "18446744073709551616"] {
        assert_eq!(parse(&good.replacen("old 2", &format!("old {size}"), 1)), NoteError::OldSize, "{size}");
    }
    assert_eq!(parse(&good.replacen(hash, &hash[4..], 1)), NoteError::ProofLine(1));
    assert_eq!(parse(&good.replacen(hash, &[hash, ""].join("\n"), 1)), NoteError::CheckpointLine(1));
    let long = |lines: usize| good.replacen(hash, &vec![hash; lines].join("\n"), 1);
    assert!(long(63).parse::<AddCheckpoint>().is_ok());
    assert_eq!(parse(&long(64)), NoteError::ProofLine(64));
    assert_eq!(parse(&notary.sign(0, TreeHash::empty_tree()).to_string()), NoteError::OldSize);
}

// ---------------------------------------------------------------- a model

/// What happens to a terminal and its witness.
#[derive(Clone, Debug)]
enum Happening {
    /// So many entries are written.
    Append(u8),
    /// A message, and what becomes of it on its way.
    Exchange(Fate),
    /// Late messages arrive.
    LateArrive,
    /// The terminal stops and starts: it knows no more than what is in its folder.
    Restart,
    /// Somebody copies the folder.
    Copy,
    /// Somebody puts the copy back.
    PutBack,
    /// The witness is put back to how it was at the last copy of its own.
    WitnessPutBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    RequestLost,
    AnswerLost,
    Late,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let fate = prop_oneof![
        4 => Just(Fate::Answered), 1 => Just(Fate::RequestLost), 1 => Just(Fate::AnswerLost), 1 => Just(Fate::Late),
    ];
    let happening = prop_oneof![
        4 => (1..9_u8).prop_map(Happening::Append),
        6 => fate.prop_map(Happening::Exchange),
        1 => Just(Happening::LateArrive),
        2 => Just(Happening::Restart),
        1 => Just(Happening::Copy),
        1 => Just(Happening::PutBack),
        1 => Just(Happening::WitnessPutBack),
    ];
    prop::collection::vec(happening, 1..40)
}

/// The folder of a terminal: its entries, and how many there were when it signed a checkpoint last.
#[derive(Clone, Default)]
struct Folder {
    entries: Vec<u64>,
    signed: u64,
}

/// The witness, and beside what it keeps, what it can't see: the entries themselves.
#[derive(Clone, Default)]
struct Witness {
    checkpoint: Option<Checkpoint>,
    entries: Vec<u64>,
}

impl Witness {
    /// How many entries it has seen after this message, and what it thinks of the message.
    fn hear(&mut self, notary: &Notary, message: &str, written: &[u64]) -> (u64, Result<Succession, SuccessionFault>) {
        let shown: AddCheckpoint = message.parse().unwrap();
        let verdict = shown.follows(self.checkpoint.as_ref(), &notary.key);
        if verdict == Ok(Succession::Grown) {
            assert!(written.starts_with(&self.entries), "taken though {:?} became {written:?}", self.entries);
            self.checkpoint = Some(shown.checkpoint().claimed().clone());
            self.entries = written.to_vec();
        }
        (self.entries.len() as u64, verdict)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// An exchange that is answered ends, with two messages at most, in the witness having seen all there is, if the log
    /// continues what it saw; and in an alarm if not. What arrives late is never an alarm unless the log went back.
    #[test]
    fn the_witness_knows_every_log_that_was_put_back_and_no_other(happenings in happenings()) {
        let notary = Notary::new(1, ORIGIN);
        let (mut folder, mut witness, mut told) = (Folder::default(), Witness::default(), 0);
        let (mut copy, mut witness_copy) = (folder.clone(), witness.clone());
        let mut late: Vec<(String, Vec<u64>)> = Vec::new();
        let (mut names, mut was_put_back) = (0.., false);
        for happening in happenings {
            match happening {
                Happening::Append(entries) => folder.entries.extend(names.by_ref().take(entries.into())),
                Happening::Restart => told = folder.signed,
                Happening::Copy => (copy, witness_copy) = (folder.clone(), witness.clone()),
                Happening::PutBack => {
                    folder = copy.clone();
                    told = folder.signed;
                    was_put_back = true;
                }
                Happening::WitnessPutBack => witness = witness_copy.clone(),
                Happening::LateArrive => {
                    for (message, written) in late.drain(..) {
                        let verdict = witness.hear(&notary, &message, &written).1;
                        let is_fine = matches!(verdict, Ok(_) | Err(SuccessionFault::ProofWanted { .. }));
                        prop_assert!(is_fine || was_put_back, "{verdict:?}");
                    }
                }
                Happening::Exchange(fate) => {
                    let continues = folder.entries.starts_with(&witness.entries);
                    let is_shorter = folder.entries.len() < witness.entries.len();
                    folder.signed = folder.entries.len() as u64;
                    let first = shown(&notary, &folder.entries, told).to_string();
                    match fate {
                        Fate::RequestLost => {}
                        Fate::Late => late.push((first, folder.entries.clone())),
                        Fate::AnswerLost => {
                            let verdict = witness.hear(&notary, &first, &folder.entries).1;
                            let is_fine = matches!(verdict, Ok(_) | Err(SuccessionFault::ProofWanted { .. }));
                            prop_assert!(is_fine || !continues, "{verdict:?}");
                        }
                        Fate::Answered => {
                            let mut verdict = witness.hear(&notary, &first, &folder.entries);
                            if matches!(verdict.1, Err(SuccessionFault::ProofWanted { seen }) if seen == verdict.0) {
                                let again = shown(&notary, &folder.entries, verdict.0).to_string();
                                verdict = witness.hear(&notary, &again, &folder.entries);
                            }
                            told = verdict.0;
                            match verdict.1 {
                                Ok(_) => prop_assert!(continues && witness.entries == folder.entries),
                                Err(fault) if is_shorter => prop_assert_eq!(fault, SuccessionFault::RolledBack),
                                Err(fault) => {
                                    prop_assert!(!continues);
                                    prop_assert_eq!(fault, SuccessionFault::Forked);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
