//! The line to the driver: messages with their lengths before them.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use zeroize::Zeroizing;

use super::VpcdError;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The messages on a socket.
pub(super) struct Line(TcpStream);

impl Line {
    pub(super) fn connect(address: &str) -> Result<Self, VpcdError> {
        let unreachable = |source| VpcdError::Unreachable { address: address.to_owned(), source };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for candidate in address.to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&candidate, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(match last.kind() {
            io::ErrorKind::ConnectionRefused => VpcdError::NobodyListens { address: address.to_owned(), source: last },
            _ => unreachable(last),
        })
    }

    /// The socket once more, to close it from outside.
    pub(super) fn socket(&self) -> Result<TcpStream, VpcdError> {
        Ok(self.0.try_clone()?)
    }

    /// The next message; `None` at the end.
    pub(super) fn receive(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut length = [0; 2];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let mut message = Zeroizing::new(vec![0; u16::from_be_bytes(length).into()]);
        Ok(self.fill(&mut message)?.then_some(message))
    }

    /// Fills `into`; `false` if the line ends before.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < into.len() {
            rustix::net::sockopt::set_tcp_quickack(&self.0, true)?;
            match self.0.read(&mut into[filled..]) {
                Ok(0) => return Ok(false),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends a message in one write.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // The card's answers fit: 65533 bytes and a status word at most.
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        let mut framed = Zeroizing::new(Vec::with_capacity(2 + message.len()));
        framed.extend(length.to_be_bytes());
        framed.extend_from_slice(message);
        self.0.write_all(&framed)
    }
}
