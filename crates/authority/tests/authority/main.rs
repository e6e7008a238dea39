//! The authority from outside: messages in, messages out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod agreement;
mod ceremonies;
mod certificates;
mod enrolment;
mod fixtures;
mod peer;
mod requests;
mod served;
mod service;
mod store;
mod walk;
mod witness;
