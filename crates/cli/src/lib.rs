//! The commands, messages and views of both programs. Names no adapter and no simulator: those come from the
//! composition root, a [`Composition`].
//!
//! * [`run`]: a whole program. [`Arguments`]: its command line. [`Status`]: its exit statuses.
//! * [`Messages`]: texts for people, in `messages/`. [`Explanation`]: what failed, why, what to do.
//! * [`HumanView`]: a procedure as it happens. [`Summary`]: what came of it. [`Report`]: what any command says at its end.

mod arguments;
mod commands;
mod composition;
mod context;
mod devices;
mod diagnostics;
mod explanation;
mod failure;
mod language;
mod messages;
mod people;
mod program;
mod reached;
mod report;
mod screen;
mod secret;
mod summary;
mod trace_view;
mod view;

pub use arguments::{
    Arguments, Card, CardTrace, Command, Devices, Global, Hsm, Identity, Issue, Keys, Kind, Log, LogFormat,
    NoOwnCommands, Operator, RoleArgument, TwoPersons,
};
pub use composition::{Attendance, Composition, Site, open_ports};
pub use context::Context;
pub use devices::{DeviceKind, DeviceTable, KnownDevice, KnownPalmSensors, RecognisedBy};
pub use explanation::{Explanation, register_fault};
pub use failure::{Failure, Part, Status};
pub use language::Language;
pub use messages::{Messages, Value};
pub use people::TerminalPeople;
pub use program::{forbid_core_files, run};
pub use reached::Reached;
pub use report::{Document, Report};
pub use screen::{Entry, Mark, Screen, seconds};
pub use secret::SecretSource;
pub use summary::{
    AuthorityTraffic, CardTraffic, CertificateFace, CertificateSummary, LogSummary, Proof, Proved, Residue, Summary,
    Timings, peak_memory_bytes,
};
pub use trace_view::TraceView;
pub use view::{HumanView, slot_text};
