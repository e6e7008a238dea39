//! Scenarios from log-on to log-off: what a terminal does with bad input, with breakdowns and with liars; what its history
//! and its messages tell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use authority_link::message::PkiMessage;
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::checks::Broken;
use madoguchi_tests::{Stage, Start};
use orchestrator::ProcedureError;

mod applicants;
mod attempts;
mod authority;
mod breakdowns;
mod card_channel;
mod cards;
mod certificates;
mod history;
mod key_ceremony;
mod liar;
mod line_items;
mod operators;
mod pins;
mod session;
mod state_folder;
mod weak_keys;

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

fn stage(start: Start) -> Stage {
    Stage::new(&IssuingProfile::jpki_2016(), start)
}

/// What the authority was asked, message by message.
fn heard(stage: &Stage) -> Vec<&'static str> {
    let name = |message: &Vec<u8>| PkiMessage::from_bytes(message).map_or("nonsense", |message| message.body.name());
    stage.post.heard().iter().map(name).collect()
}

/// The authority heard of no application; the end of the log is shown to it after every procedure.
#[track_caller]
fn assert_heard_of_nobody(stage: &Stage) {
    assert!(heard(stage).iter().all(|body| *body == "genm"), "{:?}", heard(stage));
}

/// The error with which a procedure was refused, as it has to be.
#[track_caller]
fn properly(refused: Result<ProcedureError, Broken>, case: &str) -> ProcedureError {
    refused.unwrap_or_else(|broken| panic!("{case}: {broken}"))
}
