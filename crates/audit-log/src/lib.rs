//! The log of who did what: a Merkle log (RFC 9162 §2.1) of entries in JSON lines, with checkpoints that the HSM signs and a
//! witness outside the building keeps.
//!
//! Pure: no file, no clock, no key. The store writes the lines that [`Log`] prepares; [`SignedCheckpoint`] has its text signed
//! by whoever holds the key; [`verify`] compares lines, checkpoint and witness, and says what was done to them.

mod accounts;
mod checkpoint;
mod code;
mod entry;
mod hash;
mod log;
mod note;
mod proof;
mod tree;
mod verify;

pub use accounts::{AccountingFault, OpenIntent, open_intents};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use code::{Code, NotACode};
pub use entry::{Actor, Entry, EntryError, NewEntry, Outcome, Phase, ResidentReference};
pub use hash::TreeHash;
pub use log::{AppendError, LineFault, Log, Prepared, TornLine};
pub use note::{KeyFault, KeyId, LogKey, NoteError, SignatureFault};
pub use proof::{ProofRefused, verify_consistency, verify_inclusion};
pub use tree::Tree;
pub use verify::{Certified, LogFault, Report, verify};
