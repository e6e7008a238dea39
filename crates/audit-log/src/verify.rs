//! Is this the log that was written?

use crate::accounts::{AccountingFault, Accounts};
use crate::log::{Lines, read_entry};
use crate::{
    Checkpoint, EntryError, KeyId, LineFault, LogKey, OpenIntent, SignatureFault, SignedCheckpoint, TornLine, Tree,
    TreeHash,
};

/// A signed checkpoint and the key that ought to have signed it.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The checkpoint, not yet verified.
    pub checkpoint: SignedCheckpoint,
    /// For the log's own: the key in the HSM. For the witness's: the key that the witness knows as this log's, or, if it keeps
    /// nothing but the checkpoint, the key in the HSM.
    pub key: LogKey,
}

/// What was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many entries there are.
    pub entries: u64,
    /// How many of them the checkpoint covers. Those after it are only well-formed.
    pub certified: u64,
    /// How many of them the witness has seen; none without a witness.
    pub witnessed: Option<u64>,
    /// A line at the end that was cut while it was written.
    pub torn: Option<TornLine>,
}

/// What was done to the log, or left undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// A line is not an entry any more. It was damaged, or changed by hand.
    #[error("entry {index} is damaged")]
    Malformed {
        /// Which.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// An entry stands in another's place. Lines were taken out, put in, or moved.
    #[error("entry {index} stands in the place of entry {place}")]
    Misplaced {
        /// Whose place it is.
        place: u64,
        /// What stands there.
        index: u64,
    },
    /// An entry was changed, and is still well-formed: the entries do not give the root that was signed. Somebody who knows
    /// the format wrote to the file.
    #[error("one of the entries {from} to {} was changed", until - 1)]
    Changed {
        /// The first that may be it: all before are proved right.
        from: u64,
        /// The first after those that may be it.
        until: u64,
    },
    /// There are fewer entries than the log's own checkpoint says. The end of the file was cut off.
    #[error("the log has {entries} entries, and had {certified}")]
    Truncated {
        /// How many there are.
        entries: u64,
        /// How many the checkpoint says.
        certified: u64,
    },
    /// Entries and checkpoint agree, and are older than what the witness has seen. The whole folder was put back to an earlier state,
    /// from a copy say, and what was written since is lost.
    #[error("the log has {entries} entries, and the witness has seen {witnessed}")]
    RolledBack {
        /// How many there are.
        entries: u64,
        /// How many the witness has seen.
        witnessed: u64,
    },
    /// The log is signed by another key than the one known before. The HSM was replaced, or the log was written anew by
    /// somebody with a key of their own.
    #[error("the log is signed by key {found}, not by key {known}")]
    KeyReplaced {
        /// The key that the witness knows; without a witness, the key in the HSM.
        known: KeyId,
        /// The other one.
        found: KeyId,
    },
    /// A signature that names the right key is wrong. The checkpoint was changed.
    #[error("the signature by key {0} is wrong")]
    Forged(KeyId),
    /// The checkpoint is of another log. Files of two terminals were mixed up.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    OtherLog {
        /// The log it ought to be of.
        expected: String,
        /// The log it is of.
        found: String,
    },
    /// The log's own checkpoint and the witness's are not of one history, and the entries agree with one of them. The log's key
    /// has signed both: the log was rewritten by somebody who can make the HSM sign.
    #[error("the log is not the one of which the witness has seen {witnessed} entries")]
    NotAsWitnessed {
        /// How many entries the witness has seen.
        witnessed: u64,
    },
    /// There are entries, and no checkpoint. It was removed: a log gets one before its first entry.
    #[error("the log has {entries} entries and no checkpoint")]
    NoCheckpoint {
        /// How many entries there are.
        entries: u64,
    },
    /// An outcome has no place. The program has lost count, or an entry was written by something else.
    #[error(transparent)]
    Accounting(AccountingFault),
    /// Every entry is as it was written, and these intents have no outcome. A procedure is still running, or was
    /// interrupted and not taken up again.
    #[error("{} intents have no outcome, the first is entry {}", .0.len(), .0.first().map_or(0, |intent| intent.index))]
    OpenIntents(Vec<OpenIntent>),
}

/// Compares the log's lines with its own checkpoint and with the latest one that the witness has.
///
/// # Errors
/// [`LogFault`]: what weighs most, if there are several. Accounts are looked at last, when all entries are proved to be those that
/// were written.
pub fn verify(lines: &[u8], own: Option<&Certified>, witness: Option<&Certified>) -> Result<Report, LogFault> {
    if let (Some(own), Some(witness)) = (own, witness)
        && own.key.spki() != witness.key.spki()
    {
        return Err(LogFault::KeyReplaced { known: witness.key.id(), found: own.key.id() });
    }
    let key_replaced = |known, found| LogFault::KeyReplaced { known, found };
    let own = own.map(|own| certified(own, key_replaced)).transpose()?;
    let witnessed = witness.map(|witness| certified(witness, |ours, theirs| key_replaced(theirs, ours))).transpose()?;
    if let (Some(own), Some(witnessed)) = (own, witnessed)
        && own.origin != witnessed.origin
    {
        return Err(LogFault::OtherLog { expected: witnessed.origin.clone(), found: own.origin.clone() });
    }

    let lines = Lines::of(lines);
    let torn = lines.torn;
    let (mut tree, mut accounts, mut misplaced_outcome) = (Tree::default(), Accounts::default(), None);
    for line in lines {
        let entry = read_entry(line, tree.size())?;
        tree.append(TreeHash::leaf(line));
        match accounts.check(&entry) {
            Ok(()) => accounts.record(&entry),
            Err(fault) => misplaced_outcome = misplaced_outcome.or(Some(fault)),
        }
    }
    compare(&tree, own, witnessed)?;
    if let Some(fault) = misplaced_outcome {
        return Err(LogFault::Accounting(fault));
    }
    let open: Vec<_> = accounts.open().cloned().collect();
    if !open.is_empty() {
        return Err(LogFault::OpenIntents(open));
    }
    let (entries, certified) = (tree.size(), own.map_or(0, |own| own.size));
    Ok(Report { entries, certified, witnessed: witnessed.map(|seen| seen.size), torn })
}

/// What the checkpoint says, if it is signed as it ought to be and of the log that its key is for. `other_key` makes the fault of
/// the key that ought to have signed it and the one that did.
fn certified(certified: &Certified, other_key: impl FnOnce(KeyId, KeyId) -> LogFault) -> Result<&Checkpoint, LogFault> {
    let checkpoint = certified.checkpoint.verify(&certified.key).map_err(|fault| match fault {
        SignatureFault::Wrong(key) => LogFault::Forged(key),
        SignatureFault::NotSigned(key) => match certified.checkpoint.key_ids().next() {
            Some(signer) if signer != key => other_key(key, signer),
            _ => LogFault::Forged(key),
        },
    })?;
    if checkpoint.origin != certified.key.name() {
        let (expected, found) = (certified.key.name().to_owned(), checkpoint.origin.clone());
        return Err(LogFault::OtherLog { expected, found });
    }
    Ok(checkpoint)
}

/// Compares the entries with what was certified of them.
fn compare(tree: &Tree, own: Option<&Checkpoint>, witnessed: Option<&Checkpoint>) -> Result<(), LogFault> {
    let entries = tree.size();
    // None if there are not so many entries.
    let agrees = |checkpoint: &Checkpoint| tree.root(checkpoint.size).map(|root| root == checkpoint.root);
    let as_witnessed = witnessed.and_then(agrees);
    match own.map(|own| (own, agrees(own))) {
        Some((own, None)) => return Err(LogFault::Truncated { entries, certified: own.size }),
        Some((own, Some(false))) => {
            return Err(match (witnessed, as_witnessed) {
                (Some(seen), Some(true)) if seen.size < own.size => {
                    LogFault::Changed { from: seen.size, until: own.size }
                }
                (Some(seen), Some(true)) => LogFault::NotAsWitnessed { witnessed: seen.size },
                (Some(seen), Some(false)) => LogFault::Changed { from: 0, until: own.size.min(seen.size) },
                (_, None) | (None, _) => LogFault::Changed { from: 0, until: own.size },
            });
        }
        Some((_, Some(true))) | None => {}
    }
    match (witnessed, as_witnessed) {
        (Some(seen), None) => Err(LogFault::RolledBack { entries, witnessed: seen.size }),
        (Some(seen), Some(false)) => Err(LogFault::NotAsWitnessed { witnessed: seen.size }),
        _ if own.is_none() && entries > 0 => Err(LogFault::NoCheckpoint { entries }),
        _ => Ok(()),
    }
}

impl From<LineFault> for LogFault {
    fn from(fault: LineFault) -> Self {
        match fault {
            LineFault::Malformed { line, source } => Self::Malformed { index: line, source },
            LineFault::Misplaced { line, index } => Self::Misplaced { place: line, index },
            LineFault::Accounting(fault) => Self::Accounting(fault),
        }
    }
}
