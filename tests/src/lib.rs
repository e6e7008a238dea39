//! The stage of the end-to-end tests: one municipality, one authority, one card, and as many terminals as a test wants, all
//! in one process and on one virtual clock. Real messages, real cryptography, a real store; keys come from a pool.
//!
//! * [`Stage`]: the world and its terminals.
//! * [`line`], [`reader`], [`folder`], [`palm`], [`people`], [`terminal_hsm`], [`remote_hsm`]: the ports at which faults strike.
//! * [`loops`]: the fault loops.
//! * [`checks`]: the invariants I1–I8, each by its name. [`refusal`]: what holds of every refusal.

#![allow(clippy::expect_used, clippy::panic, reason = "the stage of tests: what fails here fails the test")]

pub mod checks;
pub mod folder;
pub mod line;
pub mod loops;
pub mod palm;
pub mod people;
pub mod reader;
pub mod refusal;
pub mod remote_hsm;
pub mod stage;
mod stale;
pub mod terminal_hsm;

pub use stage::{Stage, Start};
