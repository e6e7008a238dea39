//! Card readers by PC/SC: the adapter between the port `card-reader` and the system's service pcscd.
//!
//! [`PcscReader`] is the port's [`CardReader`](card_reader::CardReader). [`ReaderWatch`] tells what happens at several
//! readers at once. [`diagnose()`] finds out why a reader can't be used.

mod ask;
mod atr;
mod capabilities;
mod choice;
mod classify;
mod diagnose;
mod line;
mod monitor;
mod part10;
mod reader;
mod watch;

pub use capabilities::ExtendedLength;
pub use choice::ReaderChoice;
pub use diagnose::diagnose;
pub use reader::{PcscReader, ReaderOptions};
pub use watch::{ReaderEvent, ReaderWatch};
