//! The authority: the counterpart of the terminals. CMP server, certificate store, OCSP, CRL.
//!
//! It stands for 署名用認証局 and 利用者証明用認証局 with their line to the terminals. Everything that it issues says that it is simulated.

mod authority;
mod certificate;
pub mod cli;
mod crl;
mod deciding;
mod error;
mod exchange;
mod issuing;
mod keys;
mod ocsp;
mod profile;
mod service;
mod setup;
mod signer;
pub mod store;
mod telling;
mod witness;

pub use authority::{Authority, CrlError};
pub use error::{RegistrationFault, SetupError};
pub use keys::WeakKey;
pub use service::{Addresses, Service};
pub use setup::{
    AuthorityCertificates, Config, TerminalCredentials, TerminalRegistration, add_terminal, certificates, exists,
    in_memory, initialise, key, open, required_keys, terminal_folder,
};
pub use signer::SignError;
