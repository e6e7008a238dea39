//! The line to the authority: CMP messages (RFC 9810, profiled by RFC 9483) and the terminal's client over mutual TLS.
//!
//! * [`message`] holds the messages themselves, [`items`] what a request says about a person, [`state`] the questions of
//!   our own: for both ends of the line. What travels in which field stands in `docs/protocols/authority.md`.
//! * A terminal drafts a [`CertificationRequest`], has it proved by the card, makes a message of it with
//!   [`Terminal::address`], has that protected by its HSM, and reads what comes back with [`open_answer`]. All of this is
//!   sans-I/O: times, nonces and transaction IDs are arguments, signatures are made elsewhere.
//! * [`AuthorityLine`] is the port that carries the bytes; [`TlsLine`] is the line of production.

mod answer;
mod certification;
mod error;
pub mod items;
mod line;
pub mod message;
mod own;
mod request;
pub mod signature;
pub mod state;
mod tls;

pub use answer::{Answer, Authority, Opened, open, open_answer};
pub use certification::{CertificationDraft, CertificationRequest};
pub use error::LinkError;
pub use line::{AuthorityLine, LineError};
pub use message::{SharedSecret, TransactionId};
pub use own::{OwnCertificate, OwnCertificateError, Purpose, RequestedOwnCertificate, check_own_certificate, validity};
pub use request::{Confirmation, Expected, Newcomer, Nonce, Outgoing, Request, Sent, Terminal};
pub use state::{CertificateState, Issue, IssueState, IssuerAndSerial, UnsettledCase};
pub use tls::{MEDIA_TYPE, PATH, TlsClient, TlsLine, TlsLineConfig, TlsSetupError};
