//! The HSM port: what the terminal and the authority ask of a hardware security module.
//!
//! Static keys never cross this port. What comes out is signatures, session keys for one card channel, record keys for
//! one sealed record, and authentication codes.
//!
//! [`sealing`] builds sealed records on the port. A backend proves itself with the suite in `contract` (feature `contract`).

#[cfg(feature = "contract")]
pub mod contract;
mod error;
mod key;
mod port;
pub mod record_key;
pub mod sealing;

pub use error::HsmError;
pub use key::{AesLength, KeyKind, KeyName, SignatureAlgorithm};
pub use port::{Hsm, HsmIdentity};
pub use sealing::Sealed;
pub use secure_channel::{SessionDerivation, SessionKeys};
