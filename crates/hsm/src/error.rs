use madoguchi_time::Recovery;

use crate::KeyName;

/// Why the module did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HsmError {
    /// No key of that name, or several. The module was set up for another terminal, or not set up at all.
    #[error("the HSM has no key named {0}")]
    NoSuchKey(KeyName),
    /// Several keys of that name. Somebody else made one beside ours, or a key was made twice.
    #[error("the HSM has several keys named {0}")]
    SeveralKeys(KeyName),
    /// The key can't do what was asked of it: it is of another kind, or shorter than the key to be derived from it.
    #[error("the HSM's key {0} is of the wrong kind for this")]
    WrongKind(KeyName),
    /// The module has no mechanism for this. What a module can do is found out when it is opened; another one is needed, or cards
    /// that don't ask for it.
    #[error("the HSM has no mechanism for {0}")]
    Unsupported(&'static str),
    /// The module did not answer in time, or was asked after the deadline.
    #[error("the HSM did not answer in time")]
    Timeout,
    /// The module is not there: unplugged, or its network line is down.
    #[error("the HSM is not reachable")]
    Unreachable,
    /// The module no longer takes the PIN with which it was opened: it was changed, or is blocked. It is not given again, so that
    /// tries are not used up.
    #[error("the HSM refuses its PIN; it is not tried again")]
    PinRefused,
    /// The module's own store can't be read: a damaged file.
    #[error("the HSM's store is damaged: {0}")]
    Damaged(String),
    /// A sealed record was changed, belongs elsewhere, or was sealed by another module.
    #[error("the sealed record can't be opened: it was changed, moved, or sealed by another HSM")]
    NotAuthentic,
    /// The module failed; the function that did so is named.
    #[error("the HSM failed in {function}")]
    Failed {
        /// The function of the module's interface that failed.
        function: &'static str,
        /// Its cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HsmError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Timeout => Recovery::Retry,
            Self::Unreachable => Recovery::Reconnect,
            Self::NoSuchKey(_)
            | Self::SeveralKeys(_)
            | Self::WrongKind(_)
            | Self::Unsupported(_)
            | Self::PinRefused => Recovery::Reconfigure,
            Self::Damaged(_) | Self::NotAuthentic | Self::Failed { .. } => Recovery::Fatal,
        }
    }
}
