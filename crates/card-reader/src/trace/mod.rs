//! Traces: every exchange with a card, written to a file, read again, and played back as a reader.
//!
//! [`RecordingReader`] records around any backend. [`Trace::read`] reads a file, and [`Trace::conversation`] names its commands in the
//! field's terms. [`ReplayReader`] is a backend that answers as was recorded, and says at which line a conversation differs.
//!
//! # The file
//! JSON Lines: a [`Header`], then one [`Entry`] a line, written through at each line: what the process did before it died is there. Its
//! mode is 0600, and no file is ever overwritten. If a line can't be written, the procedure goes on, and the trace has a
//! [`Event::Gap`] or no [`Event::Closed`] at its end; [`TraceMonitor::fault`] tells.
//!
//! # What is in it
//! One table (`redaction.rs`) lists what may be shown: AIDs of the card's applications, file identifiers, what kind of channel the card
//! opens, the authorities' certificates, the length of a resident's. Of everything else, the length: PINs, keys, names, numbers and
//! signatures never leave memory by a trace. The header of a command (CLA INS P1 P2), its lengths and the status word are always there. Lengths
//! tell something too, at worst how long a password is that is verified outside the channel, so the file is for its owner alone.
//!
//! What is enciphered by SCP03 is hidden as well. It would be harmless for as long as the card's static keys stay secret; but the challenges
//! stand beside it, so whoever got hold of the master key years later could open the channel's every command, PINs included (SCP03 has no
//! forward secrecy). For the same reason, and because the diversification data names the card, of INITIALIZE UPDATE's answer only
//! key version and protocol are shown.
//!
//! A lossless trace, which replays byte for byte, is made by [`RecordingReader::unredacted`], for simulated cards only.

mod command;
mod event;
mod masked;
mod read;
mod record;
mod redaction;
mod replay;

pub use command::{Application, CommandName, Element, Object};
pub use event::{Answer, Command, Ending, Entry, ErrorName, Event, Header, Move, Opened, RecordedFailure};
pub use masked::{Masked, NotMasked};
pub use read::{Completeness, Trace, TraceError};
pub use record::{CreateError, RecordingReader, TraceMonitor};
pub use replay::{Difference, ReplayMonitor, ReplayReader};
