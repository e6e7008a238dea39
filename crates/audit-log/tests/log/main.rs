//! The log's tests, in one program.
#![expect(clippy::unwrap_used, reason = "a failure in a test is to be a panic")]

mod checkpoints;
mod common;
mod entries;
mod rfc6962;
mod verify;
mod witness;
