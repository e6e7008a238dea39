use apdu::StatusWord;
use madoguchi_time::Recovery;

/// Why there is no secure channel, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The card refused a command of the handshake. `6A88` to INITIALIZE UPDATE: it has no keys of that version.
    /// `6300` to EXTERNAL AUTHENTICATE: it has other keys. `6982`, `6983`: too many attempts have failed.
    #[error("the card refuses the secure channel ({0}, {meaning})", meaning = .0.meaning())]
    Refused(StatusWord),
    /// The answer to INITIALIZE UPDATE is none of SCP03. The selected application speaks another protocol, or none.
    #[error("the card's answer to INITIALIZE UPDATE is not one of SCP03 ({length} bytes)")]
    NotScp03 {
        /// Length of the answer in bytes.
        length: usize,
    },
    /// The host's challenge is not as long as the card's mode wants: 8 bytes in S8 mode, 16 in S16 mode. The card
    /// profile names the wrong mode.
    #[error("the host challenge has {host} bytes, and the card works with {card}")]
    ChallengeLength {
        /// Length of the host's challenge in bytes.
        host: usize,
        /// Length that the card's mode wants, in bytes.
        card: usize,
    },
    /// The card answered with keys of another version than it was asked for.
    #[error("the card answers with key version {answered:02X}, asked for was {asked:02X}")]
    KeyVersion {
        /// The version asked for.
        asked: u8,
        /// The version that the card uses.
        answered: u8,
    },
    /// The session keys are not three AES keys of one length. The HSM derived them for another card profile.
    #[error("session keys must be three AES keys of one length")]
    KeyLength,
    /// No such security level, or the card can't do it. The card profile asks too much.
    #[error("security level {level:02X} is not possible with this card (i = {options:02X})")]
    Level {
        /// The security level asked for.
        level: u8,
        /// The card's implementation options, "i".
        options: u8,
    },
    /// The card's cryptogram is wrong: it is not the card that it says it is, or the HSM's master key is not that of
    /// this card. Not to be tried again and again: cards count failures.
    #[error("the card can't prove that it has the keys")]
    CardNotAuthentic,
    /// A command for a logical channel, of a chain, or secured already. A channel wraps whole commands of the basic
    /// logical channel.
    #[error("a command of class {0:02X} can't be sent through a secure channel")]
    Class(u8),
    /// More data than one command carries once it is enciphered and authenticated.
    #[error("{length} bytes of data are too long for a command in a secure channel")]
    DataTooLong {
        /// Length of the data in bytes.
        length: usize,
    },
    /// The answer's MAC or padding is wrong, or there is none. The answer was changed on its way, or card and host are
    /// out of step. The command may have taken effect.
    #[error("the card's answer is not authentic")]
    AnswerNotAuthentic,
    /// The channel is dead, since an earlier answer was not authentic, was lost, or said that the card has closed it.
    #[error("the secure channel is broken")]
    Broken,
}

impl ChannelError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Refused(_) | Self::AnswerNotAuthentic | Self::Broken => Recovery::Reconnect,
            Self::NotScp03 { .. } => Recovery::AskPerson,
            Self::ChallengeLength { .. }
            | Self::KeyVersion { .. }
            | Self::KeyLength
            | Self::Level { .. }
            | Self::CardNotAuthentic => Recovery::Reconfigure,
            Self::Class(_) | Self::DataTooLong { .. } => Recovery::Fatal,
        }
    }
}
