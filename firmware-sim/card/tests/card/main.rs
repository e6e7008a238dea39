//! The simulated card from outside: bytes in, bytes out.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking too")]

mod channel;
mod files;
mod import;
mod issuing;
mod noise;
mod power;
mod reader;
mod resident;
mod rules;
mod security_domain;
mod session_key;
mod single_slot;
mod terminal;
mod vpcd;
