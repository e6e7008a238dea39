//! The line to one card: messages of vsmartcard's vpcd protocol, with deadlines.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use card_reader::CardError;
use madoguchi_time::{Clock, Deadline};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

/// Takes the power away. No answer.
pub(crate) const POWER_OFF: u8 = 0x00;
/// Gives it power. No answer.
pub(crate) const POWER_ON: u8 = 0x01;
/// Resets it. No answer.
pub(crate) const RESET: u8 = 0x02;
/// Asks for the answer to reset.
pub(crate) const GET_ATR: u8 = 0x04;
/// The longest message: its length travels in two bytes.
pub(crate) const LONGEST_MESSAGE: usize = 0xFFFF;
/// Bytes of the length.
const PREFIX: usize = 2;

/// A connection to a card. Each message, both ways, is its length in two bytes (big endian) and so many bytes.
pub(crate) struct Line {
    stream: TcpStream,
    /// What has arrived of the message that is being received.
    arrived: Zeroizing<Vec<u8>>,
    /// A message was asked for that has not arrived.
    awaited: bool,
}

/// What can be seen of a line without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Open, and nothing arrives.
    Quiet,
    /// Open, and something arrives.
    Talking,
    /// The card has gone.
    Closed,
}

impl Line {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // A message goes out in one write, at once.
        stream.set_nodelay(true)?;
        Ok(Self { stream, arrived: Zeroizing::default(), awaited: false })
    }

    pub(crate) fn look(&self) -> Sight {
        match self.stream.peek(&mut [0]) {
            Ok(1..) => Sight::Talking,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sight::Quiet,
            Ok(0) | Err(_) => Sight::Closed,
        }
    }

    /// Does the card owe an answer that was given up?
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Sends a message that has no answer.
    ///
    /// # Errors
    /// [`CardError::Removed`]; also if the message did not go out as a whole in time, after which the line is of no use.
    pub(crate) fn tell(&mut self, message: &[u8], deadline: Deadline, clock: &dyn Clock) -> Result<(), CardError> {
        let length = u16::try_from(message.len()).map_err(|_| too_long(message.len()))?;
        let mut framed = Zeroizing::new(Vec::with_capacity(PREFIX + message.len()));
        framed.extend(length.to_be_bytes());
        framed.extend_from_slice(message);

        let mut rest = framed.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !wait(&self.stream, PollFlags::OUT, deadline, clock)? {
                        return Err(CardError::Removed);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(CardError::Removed),
            }
        }
        Ok(())
    }

    /// Sends a message and returns its answer.
    ///
    /// # Errors
    /// As [`Line::tell`] and [`Line::receive`].
    pub(crate) fn ask(
        &mut self,
        message: &[u8],
        deadline: Deadline,
        clock: &dyn Clock,
    ) -> Result<Zeroizing<Vec<u8>>, CardError> {
        self.tell(message, deadline, clock)?;
        self.awaited = true;
        self.receive(deadline, clock)
    }

    /// Receives the message that is awaited.
    ///
    /// # Errors
    /// [`CardError::Timeout`]: what has arrived is kept, and the message is still awaited. [`CardError::Removed`].
    pub(crate) fn receive(&mut self, deadline: Deadline, clock: &dyn Clock) -> Result<Zeroizing<Vec<u8>>, CardError> {
        self.fill(PREFIX, deadline, clock)?;
        let length = usize::from(u16::from_be_bytes([self.arrived[0], self.arrived[1]]));
        self.fill(PREFIX + length, deadline, clock)?;
        let message = Zeroizing::new(self.arrived[PREFIX..].to_vec());
        self.arrived = Zeroizing::default();
        self.awaited = false;
        Ok(message)
    }

    /// Receives until `length` bytes have arrived.
    fn fill(&mut self, length: usize, deadline: Deadline, clock: &dyn Clock) -> Result<(), CardError> {
        let mut buffer = Zeroizing::new([0; 4096]);
        while self.arrived.len() < length {
            // Peers send length and body apart, with Nagle's algorithm on: an acknowledgement that is delayed, as is usual,
            // costs 44 ms for each message. The option does not last, so it is set before every read.
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, true);
            let wanted = buffer.len().min(length - self.arrived.len());
            match self.stream.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(CardError::Removed),
                Ok(read) => append(&mut self.arrived, &buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !wait(&self.stream, PollFlags::IN, deadline, clock)? {
                        return Err(CardError::Timeout);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(CardError::Removed),
            }
        }
        Ok(())
    }
}

/// Waits until something can be done without waiting. `false` if the deadline passes before.
///
/// # Errors
/// [`CardError::Other`] if the system can't wait.
pub(crate) fn wait(
    what: &impl AsFd,
    flags: PollFlags,
    deadline: Deadline,
    clock: &dyn Clock,
) -> Result<bool, CardError> {
    loop {
        let rest = deadline.remaining(clock);
        if rest.is_zero() {
            return Ok(false);
        }
        let rest = Timespec::try_from(rest).ok();
        match poll(&mut [PollFd::new(what, flags)], rest.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(CardError::Other(Box::new(error))),
        }
    }
}

/// The command is longer than a message can be.
fn too_long(length: usize) -> CardError {
    CardError::TooLong { length, max: LONGEST_MESSAGE }
}

/// Growing in place would leave copies of what may be personal behind.
fn append(to: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let mut longer = Zeroizing::new(Vec::with_capacity(to.len() + bytes.len()));
    longer.extend_from_slice(to);
    longer.extend_from_slice(bytes);
    *to = longer;
}
