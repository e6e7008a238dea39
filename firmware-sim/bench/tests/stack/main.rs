//! The card through the real PC/SC stack: it is issued through pcscd, and programs that were not written here use it.
//!
//! Each test has a pcscd of its own, and a copy of a world with its card served. What these programs need is installed by
//! `tests/install-peers`; a test without them fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod issuing;
mod opensc;
mod pins;
mod place;
mod readme;
mod security_domain;
mod signing;
