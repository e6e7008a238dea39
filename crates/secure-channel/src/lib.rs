//! GlobalPlatform SCP03, the host side

mod keys;

pub use keys::{SessionDerivation, SessionKeys};
