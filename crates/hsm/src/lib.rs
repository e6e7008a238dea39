//! The HSM port: what the terminal and the authority ask of a hardware security module.
//!
//! Static keys never cross this port in clear. What comes out is signatures, session keys for one card channel, key pairs and static
//! keys that only one card can open, record keys for one sealed record, and authentication codes.
//!
//! [`sealing`] builds sealed records on the port. [`custody`] is the port of those who look after the keys. A backend proves itself with
//! the suite in `contract` (feature `contract`).

mod card;
#[cfg(feature = "contract")]
pub mod contract;
pub mod custody;
mod error;
mod key;
mod port;
pub mod record_key;
pub mod sealing;

pub use card::{CardKeyPairKind, CardKeySet, EncipheredKey, EncipheredKeys, WrappedKeyPair};
pub use custody::KeyCustody;
pub use error::HsmError;
pub use key::{AesLength, KeyKind, KeyName, SignatureAlgorithm};
pub use port::{Hsm, HsmIdentity};
pub use sealing::Sealed;
pub use secure_channel::{SessionDerivation, SessionKeys};
