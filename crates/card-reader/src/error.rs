use apdu::ApduError;
use madoguchi_time::Recovery;

/// Why an answer did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// No card in the reader. Nobody presented one, or it lies askew.
    #[error("no card in the reader")]
    NoCard,
    /// The card was taken away. The last command may have taken effect.
    #[error("the card was removed")]
    Removed,
    /// The card was reset: by another program, by a power glitch, or after idling.
    #[error("the card was reset")]
    Reset,
    /// Another program holds the card.
    #[error("another program uses the card")]
    Busy,
    /// The deadline passed. The card may be computing still, or stuck.
    #[error("the card did not answer in time")]
    Timeout,
    /// What came back is no response APDU: a bad contact, or a reader at fault.
    #[error("the card's answer is garbled")]
    Garbled,
    /// The command is longer than card and reader can pass.
    #[error("the command is too long for this card and reader ({length} bytes, at most {max})")]
    TooLong {
        /// Length of the command in bytes.
        length: usize,
        /// What passes.
        max: usize,
    },
    /// The command can't be put into bytes: it asks for an answer of no length, or of more than a short command can ask
    /// for. A mistake in the program; [`exchange`](crate::exchange()) asks for what the line can do.
    #[error("the command can't be encoded for this card and reader")]
    Unencodable(#[source] ApduError),
    /// The card is there and says nothing when it is powered up: it lies upside down, its contacts are dirty, or it is broken.
    #[error("the card does not react")]
    Mute,
    /// The reader can't talk to a card of this kind: another protocol, or no smart card at all.
    #[error("the reader can't use a card of this kind")]
    UnsupportedCard,
    /// The reader itself has gone: unplugged, or its service stopped.
    #[error("the reader is gone")]
    ReaderGone,
    /// There is no reader, or none of the name that was asked for: not plugged in, or its driver is missing.
    #[error("there is no such reader")]
    NoReader,
    /// The system's service for card readers can't be reached: not installed, not started, or stopped.
    #[error("the service for card readers does not run")]
    NoService,
    /// A command that was given up at its deadline still blocks the reader. Until it returns, nothing else can be sent.
    #[error("the reader is stuck with an earlier command")]
    ReaderStuck,
    /// The system does not let this user at the reader.
    #[error("no permission to use the reader")]
    NotAuthorized,
    /// Anything else, with its cause kept.
    #[error("the reader failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CardError {
    /// A stable name, for machines and for traces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoCard => "no-card",
            Self::Removed => "removed",
            Self::Reset => "reset",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Garbled => "garbled",
            Self::TooLong { .. } => "too-long",
            Self::Unencodable(_) => "unencodable",
            Self::Mute => "mute",
            Self::UnsupportedCard => "unsupported-card",
            Self::ReaderGone => "reader-gone",
            Self::NoReader => "no-reader",
            Self::NoService => "no-service",
            Self::ReaderStuck => "reader-stuck",
            Self::NotAuthorized => "not-authorized",
            Self::Other(_) => "other",
        }
    }

    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Busy => Recovery::Retry,
            Self::Removed | Self::Reset | Self::Timeout | Self::Garbled => Recovery::Reconnect,
            Self::NoCard | Self::Mute | Self::UnsupportedCard | Self::ReaderStuck => Recovery::AskPerson,
            Self::NotAuthorized | Self::ReaderGone | Self::NoReader | Self::NoService => Recovery::Reconfigure,
            Self::TooLong { .. } | Self::Unencodable(_) | Self::Other(_) => Recovery::Fatal,
        }
    }
}
