//! The line to the authority: CMP messages (RFC 9810, profiled by RFC 9483) and the terminal's client over mutual TLS.
//!
//! [`message`] holds the messages themselves, for both ends of the line. What travels in which field stands in
//! `docs/protocols/authority.md`.

pub mod message;
pub mod signature;
