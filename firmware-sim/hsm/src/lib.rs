//! A software HSM behind the HSM port, for runs with nothing installed: real cryptography, keys in one file.
//!
//! **It protects nothing.** Whoever reads the file has the keys. Its serial starts with `SIM-`, and its file says so too.
//! A module is provisioned from a seed, so that worlds can be made again; see [`Provision`].

mod custody;
mod material;
mod module;
mod provision;
mod store;

pub use module::SoftwareHsm;
pub use provision::Provision;
