//! The log of who did what: a Merkle log (RFC 9162 §2.1) of entries in JSON lines, with checkpoints that the HSM signs and a
//! witness outside the building keeps.
//!
//! Pure: no file, no clock, no key. The store writes the lines that [`Log`] prepares; [`SignedCheckpoint`] has its text signed
//! by whoever holds the key; [`verify`] compares lines, checkpoint and witness, and says what was done to them.
//!
//! # Formats
//! *Entries*: one a line, JSON in the canonical form of RFC 8785, closed by a newline. Fields: `actor` (`operator:` and the 照合ID,
//! or `system`), `detail`, `index`, `intent` (of an outcome: the index of its intent), `outcome` (`done`, `refused`, `failed`,
//! `unknown`), `phase` (`intent`, `outcome`, `event`), `procedure`, `resident` (keyed reference, 64 hexadecimal digits), `step`,
//! `time` (RFC 3339, UTC, milliseconds). What does not apply is left out. The bytes of a line, without the newline, are a leaf.
//!
//! *Checkpoints*: c2sp.org/tlog-checkpoint, signed notes with ECDSA P-256 / SHA-256; key IDs as c2sp.org/signed-note gives for
//! signature type 0x02. For a witness, with a consistency proof: [`AddCheckpoint`], c2sp.org/tlog-witness.
//!
//! # Example
//! ```
//! use audit_log::{Actor, Certified, Code, Log, LogKey, NewEntry, Outcome, SignedCheckpoint, verify};
//! # use p256::ecdsa::{DerSignature, SigningKey, signature::Signer};
//! # use p256::pkcs8::EncodePublicKey;
//! # let hsm = SigningKey::from_slice(&[1; 32])?;
//! # let spki = hsm.verifying_key().to_public_key_der()?.into_vec();
//! # let now = jiff::Timestamp::UNIX_EPOCH;
//! let mut file = String::new();
//! let mut log = Log::default();
//!
//! let intent = NewEntry::intent(Actor::System, const { Code::literal("card-commit") });
//! let prepared = log.prepare(intent, now)?;
//! file += prepared.line(); // and make it durable
//! let index = log.commit(prepared)?.index;
//! // … the card commits …
//! let outcome = log.outcome(index, Actor::System, Outcome::Done)?;
//! let prepared = log.prepare(outcome, now)?;
//! file += prepared.line();
//! log.commit(prepared)?;
//!
//! let key = LogKey::new("city.example/terminal-1", &spki)?;
//! let root = log.tree().root(log.size()).ok_or("no such size")?;
//! let checkpoint = SignedCheckpoint::sign(log.size(), root, &key, |text| {
//!     let signature: DerSignature = hsm.try_sign(text)?;
//!     Ok::<_, p256::ecdsa::Error>(signature.as_bytes().to_vec())
//! })?;
//!
//! let report = verify(file.as_bytes(), Some(&Certified { checkpoint, key }), None)?;
//! assert_eq!((report.entries, report.certified), (2, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod witness;

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
pub use witness::{AddCheckpoint, Succession, SuccessionFault};
