//! A card reader on the network: an example of a backend that lives outside Madoguchi's workspace.
//!
//! The reader listens on a TCP port. A card *connects*: that inserts it, and closing the connection removes it. They speak the
//! protocol of vsmartcard's virtual reader (`vpcd`), from the reader's side, so that whatever is a card for `vpcd` is
//! one for this reader, without pcscd: `madoguchi-sim card serve`, or programs of others.
//!
//! [`NetworkReader`] implements the port of `card-reader`; `tests/contract.rs` instantiates its contract suite;
//! `src/main.rs` is a terminal that uses it. Nothing on the line is protected but by the card's own secure channel: the reader
//! belongs on the loopback interface, or on a line of its own.

mod atr;
mod line;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use madoguchi_time::{Clock, Deadline, SharedClock};
use rustix::event::PollFlags;

use crate::line::{GET_ATR, LONGEST_MESSAGE, Line, POWER_OFF, POWER_ON, RESET, Sight, wait};

/// How long a card may take to say its ATR; and to take a message that has no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A card reader on a TCP port.
pub struct NetworkReader {
    name: String,
    listener: TcpListener,
    clock: SharedClock,
    slot: Option<Inserted>,
}

/// A card in the reader.
struct Inserted {
    line: Line,
    has_power: bool,
}

impl NetworkReader {
    /// A reader that listens at `address`. Its `clock` must be one of the real world: a network does not wait for another.
    ///
    /// # Errors
    /// [`CardError::Busy`] if another program listens there, [`CardError::NotAuthorized`], [`CardError::NoReader`] if there is
    /// no such address here.
    pub fn listen(address: impl ToSocketAddrs, clock: SharedClock) -> Result<Self, CardError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => CardError::Busy,
            io::ErrorKind::PermissionDenied => CardError::NotAuthorized,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::InvalidInput => CardError::NoReader,
            _ => CardError::Other(Box::new(error)),
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let name = format!("Network reader {}", listener.local_addr().map_err(failed)?);
        Ok(Self { name, listener, clock, slot: None })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Whatever the system has against it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes note of a card that has left, or come.
    fn look(&mut self) -> Result<(), CardError> {
        self.slot.take_if(|card| card.line.look() == Sight::Closed);
        while self.slot.is_none() {
            match self.listener.accept().and_then(|(stream, _)| Line::new(stream)) {
                // Closed: a card that came and went while nobody looked.
                Ok(line) if line.look() == Sight::Closed => {}
                Ok(line) => self.slot = Some(Inserted { line, has_power: false }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(CardError::Other(Box::new(error))),
            }
        }
        Ok(())
    }
}

impl CardReader for NetworkReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        loop {
            self.look()?;
            if self.slot.is_some() {
                return Ok(());
            }
            if !wait(&self.listener, PollFlags::IN, deadline, &*self.clock)? {
                return Err(CardError::Timeout);
            }
        }
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        self.look()?;
        let card = self.slot.as_mut().ok_or(CardError::NoCard)?;
        let atr = card.power_up(deadline, &*self.clock)?;
        let capabilities =
            CardCapabilities { extended_length: atr::says_extended_length(&atr), max_command: LONGEST_MESSAGE };
        Ok(Box::new(NetworkConnection {
            identity: CardIdentity { atr },
            capabilities,
            slot: &mut self.slot,
            clock: &*self.clock,
        }))
    }
}

impl Inserted {
    /// Gives the card power if it has none, and returns its ATR.
    fn power_up(&mut self, deadline: Deadline, clock: &dyn Clock) -> Result<Vec<u8>, CardError> {
        if self.line.is_awaited() {
            // The answer that somebody gave up comes first. What the card has done meanwhile nobody knows: it starts anew.
            self.line.receive(deadline, clock).map_err(|error| match error {
                CardError::Timeout => CardError::ReaderStuck,
                error => error,
            })?;
            self.line.tell(&[RESET], deadline, clock)?;
        }
        if !self.has_power {
            self.line.tell(&[POWER_ON], deadline, clock)?;
            self.has_power = true;
        }
        let deadline = deadline.earlier(clock.deadline_in(PATIENCE));
        let atr = self.line.ask(&[GET_ATR], deadline, clock).map_err(|error| match error {
            CardError::Timeout => CardError::Mute,
            error => error,
        })?;
        // ISO/IEC 7816-3 §8.2.1: TS and T0 at least, 32 characters after TS at most.
        if (2..=33).contains(&atr.len()) { Ok(atr.to_vec()) } else { Err(CardError::UnsupportedCard) }
    }
}

/// The card that was in the reader when the connection was made. Another one that comes is left waiting until the reader is
/// asked again.
struct NetworkConnection<'a> {
    identity: CardIdentity,
    capabilities: CardCapabilities,
    slot: &'a mut Option<Inserted>,
    clock: &'a dyn Clock,
}

impl NetworkConnection<'_> {
    /// Is the card there, with the state in which it was left, and ready for a command?
    fn check(&self) -> Result<(), CardError> {
        match &*self.slot {
            None => Err(CardError::Removed),
            Some(card) => match card.line.look() {
                Sight::Closed => Err(CardError::Removed),
                _ if !card.has_power => Err(CardError::Reset),
                _ if card.line.is_awaited() => Err(CardError::ReaderStuck),
                // Nobody asked: what it says would be taken for the next answer.
                Sight::Talking => Err(CardError::Garbled),
                Sight::Quiet => Ok(()),
            },
        }
    }

    /// The card, if it is there and ready. One that speaks out of turn is put out.
    fn card(&mut self) -> Result<&mut Inserted, CardError> {
        self.check().inspect_err(|error| {
            if matches!(error, CardError::Removed | CardError::Garbled) {
                *self.slot = None;
            }
        })?;
        self.slot.as_mut().ok_or(CardError::Removed)
    }
}

impl CardConnection for NetworkConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        self.capabilities
    }

    /// Never [`CardError::Busy`]: who listens has the card to himself.
    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        self.card()?;
        Ok(Box::new(NetworkTransaction { connection: self }))
    }
}

struct NetworkTransaction<'a, 'c> {
    connection: &'a mut NetworkConnection<'c>,
}

impl CardTransaction for NetworkTransaction<'_, '_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let NetworkConnection { capabilities, clock, .. } = *self.connection;
        let card = self.connection.card()?;
        if deadline.has_passed(clock) {
            return Err(CardError::Timeout);
        }
        let bytes = capabilities.encode(command)?;
        let answer = card.line.ask(&bytes, deadline, clock);
        if matches!(answer, Err(CardError::Removed)) {
            *self.connection.slot = None;
        }
        ResponseApdu::parse(&answer?).map_err(|_| CardError::Garbled)
    }

    fn was_reset(&self) -> bool {
        !matches!(self.connection.check(), Ok(()) | Err(CardError::ReaderStuck))
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        let clock = self.connection.clock;
        // A card that has gone has lost its state: it is left as asked.
        let Some(card) = self.connection.slot else { return Ok(()) };
        let deadline = clock.deadline_in(PATIENCE);
        match how {
            Disposition::Leave => Ok(()),
            Disposition::Reset => card.line.tell(&[RESET], deadline, clock),
            Disposition::PowerOff => {
                card.has_power = false;
                card.line.tell(&[POWER_OFF], deadline, clock)
            }
        }
    }
}
