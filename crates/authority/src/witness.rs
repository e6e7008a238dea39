//! The authority as the witness of the terminals' logs: it remembers how far each log has come, and takes nothing that is not
//! proved to continue it.

use audit_log::{AddCheckpoint, Checkpoint, LogKey, Succession, SuccessionFault, TreeHash};
use jiff::Timestamp;

use crate::store::{Alarm, AlarmKind, Terminal, Witness};

/// What a request's checkpoint means.
pub(crate) enum Verdict {
    /// The log has grown: to be remembered.
    Newer(Witness),
    /// The same state again.
    Nothing,
    /// The proof begins elsewhere than at this number of entries. Nothing is proved, and nothing is wrong.
    ProofWanted(u64),
    /// The log can't have come to this by appending.
    Alarm(Box<Alarm>),
}

/// Why a checkpoint is no checkpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WitnessError {
    #[error("a terminal's request carries the checkpoint of its log")]
    Missing,
    #[error("the checkpoint or its consistency proof can't be read")]
    Malformed,
}

/// Compares the checkpoint that came with the one witnessed before.
pub(crate) fn judge(
    terminal: &Terminal,
    log_key: &[u8],
    checkpoint: Option<&str>,
    witnessed: Option<&Witness>,
    now: Timestamp,
) -> Result<Verdict, WitnessError> {
    let text = checkpoint.ok_or(WitnessError::Missing)?;
    let shown: AddCheckpoint = text.parse().map_err(|_| WitnessError::Malformed)?;
    let claimed = shown.checkpoint().claimed();
    let key = LogKey::new(&claimed.origin, log_key).map_err(|_| WitnessError::Malformed)?;
    let alarm = |kind, offered_size| {
        Verdict::Alarm(Box::new(Alarm {
            terminal: terminal.id.clone(),
            kind,
            witnessed_size: witnessed.map_or(0, |witness| witness.size),
            offered_size,
            witnessed: witnessed.map(|witness| witness.checkpoint.clone()),
            offered: text.to_owned(),
            at: now,
            acknowledged: None,
        }))
    };
    let seen = witnessed.map(Witness::as_checkpoint);
    Ok(match shown.follows(seen.as_ref(), &key) {
        Ok(Succession::Grown) => Verdict::Newer(Witness {
            terminal: terminal.id.clone(),
            origin: claimed.origin.clone(),
            size: claimed.size,
            root: claimed.root.0,
            checkpoint: shown.checkpoint().to_string(),
            follows: seen.map(|seen| seen.size),
        }),
        Ok(Succession::Same) => Verdict::Nothing,
        Err(SuccessionFault::ProofWanted { seen }) => Verdict::ProofWanted(seen),
        Err(SuccessionFault::RolledBack) => alarm(AlarmKind::RolledBack, claimed.size),
        // What it says can't be believed, so its size is not recorded.
        Err(SuccessionFault::KeyReplaced(_)) => alarm(AlarmKind::KeyReplaced, 0),
        Err(_) => alarm(AlarmKind::Forked, claimed.size),
    })
}

/// The log that was offered with an alarm, to be witnessed from now on, if the terminal's registered log key has signed it.
pub(crate) fn offered(alarm: &Alarm, terminal: &Terminal, follows: Option<u64>) -> Option<Witness> {
    let shown: AddCheckpoint = alarm.offered.parse().ok()?;
    let key = LogKey::new(&shown.checkpoint().claimed().origin, terminal.log_key.as_deref()?).ok()?;
    let Checkpoint { origin, size, root: TreeHash(root) } = shown.checkpoint().verify(&key).ok()?.clone();
    let checkpoint = shown.checkpoint().to_string();
    Some(Witness { terminal: terminal.id.clone(), origin, size, root, checkpoint, follows })
}

impl Witness {
    fn as_checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size: self.size, root: TreeHash(self.root) }
    }
}
