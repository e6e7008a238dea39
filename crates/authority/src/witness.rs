//! The authority as the witness of the terminals' logs: it remembers how far each log has come, and notices when one
//! goes back.

use audit_log::{LogKey, SignedCheckpoint};
use jiff::Timestamp;

use crate::store::{Alarm, AlarmKind, Terminal, Witness};

/// What a request's checkpoint means.
pub(crate) enum Verdict {
    /// The log has grown: to be remembered.
    Newer(Witness),
    /// Nothing new: the same state again, or a late message from before.
    Nothing,
    /// The log can't have come to this by appending.
    Alarm(Alarm),
}

/// Why a checkpoint is no checkpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WitnessError {
    #[error("a terminal's request carries the checkpoint of its log")]
    Missing,
    #[error("the checkpoint can't be read")]
    Malformed,
}

/// Compares the checkpoint that came with the one witnessed before.
///
/// `message_time` tells a log that was rolled back from a message that was on its way for long: only a message made
/// after the one that brought the witnessed checkpoint has to know of it.
pub(crate) fn judge(
    terminal: &Terminal,
    log_key: &[u8],
    checkpoint: Option<&str>,
    witnessed: Option<&Witness>,
    message_time: Timestamp,
    now: Timestamp,
) -> Result<Verdict, WitnessError> {
    let text = checkpoint.ok_or(WitnessError::Missing)?;
    let signed: SignedCheckpoint = text.parse().map_err(|_| WitnessError::Malformed)?;
    let origin = text.lines().next().ok_or(WitnessError::Malformed)?;
    let key = LogKey::new(origin, log_key).map_err(|_| WitnessError::Malformed)?;
    let witnessed_size = witnessed.map_or(0, |witness| witness.size);
    let alarm = |kind, offered_size| {
        let terminal = terminal.id.clone();
        Ok(Verdict::Alarm(Alarm { terminal, kind, witnessed_size, offered_size, at: now }))
    };
    let Ok(offered) = signed.verify(&key) else {
        // What it says can't be believed, so its size is not recorded.
        return alarm(AlarmKind::KeyReplaced, 0);
    };
    let newer = || {
        Verdict::Newer(Witness {
            terminal: terminal.id.clone(),
            origin: offered.origin.clone(),
            size: offered.size,
            root: offered.root.0,
            checkpoint: text.to_owned(),
            message_time,
        })
    };
    let Some(before) = witnessed else { return Ok(newer()) };
    if offered.origin != before.origin || (offered.size == before.size && offered.root.0 != before.root) {
        return alarm(AlarmKind::Forked, offered.size);
    }
    if offered.size > before.size {
        return Ok(newer());
    }
    if offered.size < before.size && message_time >= before.message_time {
        return alarm(AlarmKind::RolledBack, offered.size);
    }
    Ok(Verdict::Nothing)
}
