//! GlobalPlatform SCP03 (Card Specification v2.3, Amendment D v1.2), the host side: mutual authentication with a card,
//! then commands and answers that are enciphered and authenticated.
//!
//! Nothing here does I/O, and nothing draws random numbers: challenges come in, commands go out, and the session keys
//! come from wherever the static keys are kept (an HSM), so that those never enter the terminal.
//!
//! ```text
//! Handshake::begin ──INITIALIZE UPDATE──▶ answered ─▶ Negotiated ── derivation ─▶ (HSM) ─▶ SessionKeys
//!     authenticate ◀─ Negotiated + SessionKeys: the card's cryptogram is verified
//!     ──EXTERNAL AUTHENTICATE──▶ opened ─▶ SecureChannel: wrap, unwrap, wrap, unwrap, …
//! ```
//!
//! A channel that saw one wrong MAC, or whose answer got lost, is dead: every later call says
//! [`ChannelError::Broken`], and only a new handshake helps.

mod channel;
mod error;
mod handshake;
pub mod kdf;
pub mod key_transport;
mod keys;
mod level;
pub mod primitives;

pub use channel::SecureChannel;
pub use error::ChannelError;
pub use handshake::{Authenticating, Handshake, Negotiated};
pub use keys::{CardKeys, SessionDerivation, SessionKeys};
