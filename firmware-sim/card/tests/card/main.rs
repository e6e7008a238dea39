//! The simulated card from outside: bytes in, bytes out.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking too")]

mod channel;
mod issuing;
mod noise;
mod power;
mod reader;
mod resident;
mod terminal;
mod vpcd;
