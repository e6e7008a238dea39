//! A log and its witness: what the log shows, and what the witness makes of it (c2sp.org/tlog-witness).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{Checkpoint, LogKey, NoteError, SignatureFault, SignedCheckpoint, Tree, TreeHash, verify_consistency};

/// The most lines that a consistency proof has (c2sp.org/tlog-witness).
const LONGEST_PROOF: usize = 63;

/// A checkpoint for a witness, with the proof that the log continues what the witness has seen of it. Written and read as the
/// body of an `add-checkpoint` request.
///
/// A log that is shorter than what the witness has seen has no such proof. It says so by naming a size that its checkpoint does
/// not reach; c2sp.org/tlog-witness has no way to say that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<TreeHash>,
    checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// `checkpoint` of the log over `tree`, for a witness that has seen the first `old` entries.
    #[must_use]
    pub fn new(old: u64, tree: &Tree, checkpoint: SignedCheckpoint) -> Self {
        let proof = tree.consistency_proof(old, checkpoint.claimed().size).unwrap_or_default();
        Self { old, proof, checkpoint }
    }

    /// The checkpoint, not yet verified.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// May a witness that has seen `seen`, or nothing of this log, take the checkpoint as what the log has become since? `key` is
    /// the one that the witness knows as this log's.
    ///
    /// # Errors
    /// [`SuccessionFault`] if it may not.
    pub fn follows(&self, seen: Option<&Checkpoint>, key: &LogKey) -> Result<Succession, SuccessionFault> {
        let offered = self.checkpoint.verify(key)?;
        let (size, root) = match seen {
            Some(seen) if seen.origin != offered.origin => return Err(SuccessionFault::OtherLog),
            Some(seen) => (seen.size, seen.root),
            None => (0, TreeHash::empty_tree()),
        };
        match offered.size.cmp(&size) {
            Ordering::Equal if offered.root != root => Err(SuccessionFault::Forked),
            Ordering::Equal if seen.is_some() => Ok(Succession::Same),
            // A message that was on its way for long has fewer entries too; it does not know how far the witness is.
            _ if self.old != size => Err(SuccessionFault::ProofWanted { seen: size }),
            Ordering::Less => Err(SuccessionFault::RolledBack),
            Ordering::Equal | Ordering::Greater => {
                match verify_consistency(size, root, offered.size, offered.root, &self.proof) {
                    Ok(()) => Ok(Succession::Grown),
                    Err(_) => Err(SuccessionFault::Forked),
                }
            }
        }
    }
}

/// What a checkpoint is to a witness that may take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// The log has grown, or was never seen before: to be remembered.
    Grown,
    /// The one that was seen last.
    Same,
}

/// Why a witness does not take a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionFault {
    /// Nothing is proved, and nothing is wrong: the proof begins elsewhere than where the witness stands. An answer of the witness
    /// was lost, a message was late, or the witness was put back. The log shows itself again, with a proof from there.
    #[error("a proof from entry {seen} on is wanted")]
    ProofWanted {
        /// How many entries the witness has seen.
        seen: u64,
    },
    /// It is of another log. Two terminals use one identity.
    #[error("the checkpoint is of another log")]
    OtherLog,
    /// The known key has not signed it. The HSM was replaced, or the log was written anew by somebody with a key of their own.
    #[error("the checkpoint is not signed by the log's key")]
    KeyReplaced(#[from] SignatureFault),
    /// The log is shorter than what the witness has seen, and knows it: its end was cut off, or an older copy put back.
    #[error("the log is shorter than it was")]
    RolledBack,
    /// The log does not begin with what the witness has seen: it was put back and written on, or rewritten.
    #[error("the log does not continue what was witnessed")]
    Forked,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(NoteError::Form)?;
        let mut lines = head.split('\n');
        let size = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(NoteError::OldSize)?;
        let old = size.parse::<u64>().ok().filter(|old| old.to_string() == size).ok_or(NoteError::OldSize)?;
        let proof = lines
            .enumerate()
            .map(|(number, line)| {
                let hash = STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok()).map(TreeHash);
                hash.filter(|_| number < LONGEST_PROOF).ok_or(NoteError::ProofLine(number + 1))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { old, proof, checkpoint: checkpoint.parse()? })
    }
}
