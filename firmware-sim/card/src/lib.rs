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
//! * [`vpcd`]: a runner that puts the card into a virtual reader of pcscd.
//! * Time is told to the clock; nothing waits.
//!
//! ```
//! use jiff::{Timestamp, civil::date};
//! use madoguchi_time::VirtualClock;
//! use sim_card::{Card, CardProfile, GeneratedKeys, Personalisation, StaticKeySet};
//!
//! let key = zeroize::Zeroizing::new(vec![0x40; 16]);
//! let nvm = Personalisation {
//!     serial: "SIM000000000001".into(),
//!     municipality: "13221".into(),
//!     expiry: date(2035, 2, 17),
//!     profile: CardProfile::jpki_2016(),
//!     key_version: 0x30,
//!     diversification: [0; 10],
//!     keys: StaticKeySet { enc: key.clone(), mac: key.clone(), dek: key, import: None },
//!     sign_ca: Vec::new(),
//!     auth_ca: Vec::new(),
//!     name: "黒桐　幹也".into(),
//!     address: "東京都清瀬市観布子南１２－７－２０２".into(),
//!     birth: date(1980, 2, 17),
//!     sex: jpki::Sex::Male,
//!     my_number: "123456789018".into(),
//!     check_number_b: "55021720352285".into(),
//!     face_input_pin: "4321".into(),
//!     juki_pin: "5678".into(),
//!     face: true,
//!     rng_seed: [0; 32],
//! }
//! .into_memory()?;
//! let mut card = Card::power_on(nvm, VirtualClock::at(Timestamp::UNIX_EPOCH), GeneratedKeys)?;
//!
//! let select = [[0x00, 0xA4, 0x04, 0x0C, 10].as_slice(), &jpki::card::AID_JPKI].concat();
//! assert_eq!(card.transmit(&select), [0x90, 0x00]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aes_key;
mod apdu;
mod application;
mod card;
mod face;
mod fault;
mod files;
mod inspect;
mod issuing;
mod key_wrap;
mod keys;
mod mistake;
pub mod nvm;
mod personalise;
mod pin;
mod profile;
mod reader;
mod resident;
mod scp03;
mod security_domain;
mod session_key;
mod simulated_keys;
mod state;
mod static_keys;
mod store;
mod sw;
mod tlv;
pub mod vpcd;

pub use card::Card;
pub use fault::{Fault, When};
pub use inspect::Slots;
pub use keys::{GeneratedKeys, KeyAlgorithm, KeySource, PooledKeys, PrivateKey};
pub use mistake::Mistake;
pub use personalise::{Personalisation, PersonalisationError, StaticKeySet};
pub use profile::{CardProfile, CardTiming, Scp03Mode};
pub use reader::{LinkTime, SimReader, SimReaderControl};
