//! The terminal's side of a card session: commands as APDUs, answers as data, and the secure channel around them.

mod codec;
mod session;
pub(crate) mod signing;

pub use session::CardKeys;
pub(crate) use session::{CardSession, SessionError};
