//! The commands, messages and views of both programs. Names no adapter and no simulator: those come from the
//! composition root, a [`Composition`].

mod arguments;
mod devices;
mod language;
mod messages;
mod screen;

pub use arguments::{Arguments, Command, Global, LogFormat, NoOwnCommands};
pub use devices::{DeviceKind, DeviceTable, KnownDevice, RecognisedBy};
pub use language::Language;
pub use messages::{Messages, Value};
pub use screen::{Entry, Mark, Screen, seconds};
