//! A pcscd of a test's own: virtual readers, a socket in a temporary folder, no root, nothing shared with the system's
//! pcscd or with other tests.
//!
//! The readers are those of vsmartcard's driver vpcd. Each listens on a TCP port; a card is inserted by connecting to
//! it, and removed by closing the connection.
//!
//! Programs are led to it by an environment variable ([`PrivatePcscd::env`]). A test that uses the PC/SC library in its
//! own process needs that variable before it starts: it is built without the usual harness, and its `main` is
//! [`main_with`].
//!
//! Needs the packages `pcscd` and `vsmartcard-vpcd`, and the folder `/run/pcscd`: it is there once the system's pcscd has
//! been started, and is made when the tests run as root.

mod daemon;
mod harness;
mod ports;
mod protocol;

pub use daemon::{MAX_READERS, PrivatePcscd, VirtualReader};
pub use harness::{Lease, main_with};
