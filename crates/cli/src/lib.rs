//! The commands, messages and views of both programs. Names no adapter and no simulator: those come from the
//! composition root, a [`Composition`].

mod arguments;
mod devices;
mod explanation;
mod language;
mod messages;
mod people;
mod screen;
mod view;

pub use arguments::{Arguments, Command, Global, LogFormat, NoOwnCommands};
pub use devices::{DeviceKind, DeviceTable, KnownDevice, RecognisedBy};
pub use explanation::{Explanation, register_fault};
pub use language::Language;
pub use messages::{Messages, Value};
pub use people::TerminalPeople;
pub use screen::{Entry, Mark, Screen, seconds};
pub use view::{HumanView, slot_text};
