//! A simulated card: its operating system as a library, bytes in, bytes out.
//!
//! [`Personalisation`] makes a card's memory; [`Card::power_on`] puts it to work; [`Card::transmit`] takes command APDUs
//! and gives response APDUs. For a resident's programs it answers as the public clients of the real card expect. The issuing
//! commands are ours: `docs/protocols/card-issuing.md`.
//!
//! The card shares constants with the host, and no code: its reader of APDUs and its side of SCP03 are its own.
//!
//! * [`nvm`]: the memory, in the process or in a file; any write may be torn by a loss of power.
//! * [`KeySource`]: generated keys, or a pool of real ones for loops.
//! * [`SimReader`]: a reader in the process, with faults: removal, reset, busy, stall, garbled answers.
//! * Time is told to the clock; nothing waits.

mod aes_key;
mod apdu;
mod application;
mod card;
mod fault;
mod inspect;
mod issuing;
mod keys;
mod mistake;
pub mod nvm;
mod personalise;
mod pin;
mod profile;
mod reader;
mod resident;
mod scp03;
mod state;
mod store;
mod sw;
mod tlv;

pub use card::Card;
pub use fault::{Fault, When};
pub use inspect::Slots;
pub use keys::{GeneratedKeys, KeyAlgorithm, KeySource, PooledKeys, PrivateKey};
pub use mistake::Mistake;
pub use personalise::{Personalisation, PersonalisationError, StaticKeySet};
pub use profile::{CardProfile, CardTiming, Scp03Mode};
pub use reader::{LinkTime, SimReader, SimReaderControl, Traffic};
