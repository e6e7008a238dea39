//! The card reader port: what the terminal asks of a card reader, whatever stands behind it.
//!
//! A [`CardReader`] waits for a card and opens a [`CardConnection`]; a connection opens a [`CardTransaction`], and the
//! borrow is the exclusivity: while a transaction lives, nobody else talks to that card.

use std::fmt;

use apdu::{CommandApdu, ResponseApdu};
use madoguchi_time::{Deadline, Recovery};

/// A device that holds cards.
///
/// # Guarantees
/// Calls return by their deadline, with [`CardError::Timeout`] if nothing else can be said.
///
/// # Errors
/// See [`CardError`]; the caller acts on [`CardError::recovery`] alone.
///
/// # For callers
/// One thread owns one reader. After any error that asks for a reconnect, open a new connection, compare the
/// identity with the one from before, and *look* before acting: the card may be another one.
///
/// # For backend authors
/// `wait_for_card` must not poll faster than the device can tell. Names and serials of simulators start with `SIM-`.
pub trait CardReader: Send {
    /// The reader's name, as the operator sees it.
    fn name(&self) -> &str;

    /// Returns as soon as a card is present; at once if one is there already.
    ///
    /// # Errors
    /// [`CardError::Timeout`] when the deadline passes without a card.
    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError>;

    /// Powers the card up and opens it.
    ///
    /// # Errors
    /// [`CardError::NoCard`] if there is none.
    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError>;
}

/// An open card.
pub trait CardConnection: Send {
    /// What the card said when it was powered up.
    fn identity(&self) -> &CardIdentity;

    /// What card and reader can do.
    fn capabilities(&self) -> CardCapabilities;

    /// Begins an exclusive transaction.
    ///
    /// # Errors
    /// [`CardError::Busy`] when another program holds the card; [`CardError::Removed`] when it has gone.
    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError>;
}

/// Exclusive use of a card.
///
/// # For callers
/// End it explicitly with [`CardTransaction::end`]: dropping it leaves the card as it is and hides errors.
pub trait CardTransaction {
    /// Sends one command and returns the card's answer, status word included. What the card refuses is an answer,
    /// not an error.
    ///
    /// # Errors
    /// Whatever kept the answer from arriving. The command may have taken effect all the same.
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError>;

    /// Has the card lost its state (selected application, PINs, channel) since the transaction began?
    fn was_reset(&self) -> bool;

    /// Ends the transaction and leaves the card as asked.
    ///
    /// # Errors
    /// If the card can't be left so. It may have gone, which is no harm.
    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError>;
}

/// What a card says of itself when it is powered up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardIdentity {
    /// The answer to reset (ISO/IEC 7816-3 §8), at most 33 bytes.
    pub atr: Vec<u8>,
}

/// What card and reader can do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardCapabilities {
    /// Extended-length APDUs (ISO/IEC 7816-4 §5.1) pass.
    pub extended_length: bool,
    /// The longest command in bytes that passes in one piece.
    pub max_command: usize,
}

/// How to leave a card at the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// As it is: selected application and security status stay.
    Leave,
    /// Reset: security status is gone, the card stays powered.
    Reset,
    /// Powered down.
    PowerOff,
}

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
    /// The reader itself has gone: unplugged, or its service stopped.
    #[error("the reader is gone")]
    ReaderGone,
    /// The system does not let this user at the reader.
    #[error("no permission to use the reader")]
    NotAuthorized,
    /// Anything else, with its cause kept.
    #[error("the reader failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CardError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Busy => Recovery::Retry,
            Self::Removed | Self::Reset | Self::Timeout | Self::Garbled => Recovery::Reconnect,
            Self::NoCard => Recovery::AskPerson,
            Self::NotAuthorized | Self::ReaderGone => Recovery::Reconfigure,
            Self::TooLong { .. } | Self::Other(_) => Recovery::Fatal,
        }
    }
}

impl fmt::Display for CardIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.atr.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}
