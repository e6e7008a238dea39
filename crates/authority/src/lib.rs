#![doc = include_str!("../README.md")]

mod authority;
pub mod ceremonies;
mod certificate;
pub mod cli;
mod crl;
mod deciding;
mod enrolling;
mod error;
mod exchange;
mod issuing;
mod key_commands;
mod ocsp;
mod profile;
mod service;
mod setup;
mod signer;
pub mod store;
mod telling;
mod terminal_commands;
mod witness;

pub use authority::{AcknowledgementError, Authority, CrlError};
pub use enrolling::{Guest, Invited};
pub use error::{RegistrationFault, SetupError};
pub use exchange::Peer;
pub use service::{Addresses, Service};
pub use setup::{
    AuthorityCertificates, Config, TerminalCredentials, TerminalRegistration, add_terminal, certificates, exists,
    in_memory, initialise, invite_terminal, key, open, read_config, required_keys, terminal_folder,
};
pub use signer::SignError;
