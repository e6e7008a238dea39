//! The card reader port: what the terminal asks of a card reader, whatever stands behind it.
//!
//! A [`CardReader`] waits for a card and opens a [`CardConnection`]; a connection opens a [`CardTransaction`], and the
//! borrow is the exclusivity: while a transaction lives, nobody else talks to that card.
//!
//! A backend implements the three traits and instantiates the contract suite (module and feature `contract`). Callers
//! use [`exchange`], which makes one command of any length and one whole answer out of what the line can carry.
//!
//! Around any backend, [`CountingReader`] counts what goes over the line, and [`trace::RecordingReader`] writes it to a file that
//! [`trace::ReplayReader`] plays back.

#[cfg(feature = "contract")]
pub mod contract;
pub mod diagnosis;
mod error;
mod exchange;
pub mod trace;
mod traffic;

use std::fmt;

use apdu::{ApduError, CommandApdu, Encoding, ResponseApdu};
use madoguchi_time::Deadline;
use zeroize::Zeroizing;

pub use error::CardError;
pub use exchange::exchange;
pub use traffic::{CountingReader, Traffic, TrafficMeter};

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

impl<R: CardReader + ?Sized> CardReader for Box<R> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        (**self).wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        (**self).connect(deadline)
    }
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
    /// Whatever kept the answer from arriving. The command may have taken effect all the same, except after
    /// [`CardError::TooLong`], and after [`CardError::Timeout`] if the deadline had passed before the call.
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

impl CardCapabilities {
    /// The command as it goes over this line: in short form where that can say it, else extended.
    ///
    /// # Errors
    /// [`CardError::TooLong`]; [`CardError::Unencodable`] for an expected length that the line can't ask for.
    pub fn encode(self, command: &CommandApdu) -> Result<Zeroizing<Vec<u8>>, CardError> {
        let (encoding, max) = if self.extended_length {
            (command.encoding(), self.max_command)
        } else {
            (Encoding::Short, self.max_command.min(LONGEST_SHORT))
        };
        let too_long = |length| CardError::TooLong { length, max };
        match command.to_bytes(encoding) {
            Ok(bytes) if bytes.len() <= self.max_command => Ok(bytes),
            Ok(bytes) => Err(too_long(bytes.len())),
            Err(ApduError::DataTooLong { length, .. }) => Err(too_long(LONGEST_HEADER + length)),
            Err(error) => Err(CardError::Unencodable(error)),
        }
    }
}

/// Header and length field of an extended command with data, in bytes.
const LONGEST_HEADER: usize = 4 + 3;
/// The longest short command: header, Lc, 255 bytes of data, Le.
const LONGEST_SHORT: usize = 4 + 1 + 255 + 1;

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
