//! What stands in a trace: one JSON object a line.

use apdu::StatusWord;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::masked::Masked;
use crate::{CardCapabilities, CardError, Disposition};

/// What a trace says that it is.
pub(super) const FORMAT: &str = "madoguchi-card-trace";
/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `madoguchi-card-trace`.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// The reader's name.
    pub reader: String,
    /// When it was begun, RFC 3339, UTC.
    pub started: String,
    /// May there be secrets and personal data in it? Only of simulated cards, never in a trace from the command line.
    pub unredacted: bool,
}

/// A line of a trace after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it began, in microseconds since the trace did, by the clock of the port.
    pub at_us: u64,
    /// How long it took, in microseconds by the clock of the port.
    pub took_us: u64,
    /// What it was.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened at the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A card was waited for.
    Wait {
        /// Why there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorName>,
    },
    /// The card was powered up and opened.
    Connect {
        /// The card, if it was opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<Opened>,
        /// Why it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorName>,
    },
    /// A transaction was begun.
    Begin {
        /// Why it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorName>,
    },
    /// A command and its answer.
    Exchange {
        /// The command.
        command: Command,
        /// The answer, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Answer>,
        /// Why there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorName>,
    },
    /// It was noticed that the card had lost its state.
    WasReset,
    /// A transaction was ended.
    End {
        /// How the card was left.
        how: Ending,
        /// Why it could not be left so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<ErrorName>,
    },
    /// The card was closed.
    Disconnect,
    /// Somebody moved the card, and told the recorder.
    Hand {
        /// What was done.
        did: Move,
    },
    /// Lines are missing here: they could not be written.
    Gap {
        /// How many.
        lost: u64,
    },
    /// The trace was closed in order. Without this line as its last one, it was cut off.
    Closed,
}

/// A card as it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The answer to reset.
    #[serde(serialize_with = "hex::serde::serialize_upper", deserialize_with = "hex::serde::deserialize")]
    pub atr: Vec<u8>,
    /// Do extended-length APDUs pass?
    pub extended_length: bool,
    /// The longest command in bytes.
    pub max_command: usize,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// CLA INS P1 P2.
    #[serde(serialize_with = "hex::serde::serialize_upper", deserialize_with = "hex::serde::deserialize")]
    pub header: [u8; 4],
    /// The data.
    pub data: Masked,
    /// The longest answer that is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub le: Option<u32>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The data.
    pub data: Masked,
    /// The status word.
    #[serde(serialize_with = "write_status", deserialize_with = "read_status")]
    pub status: StatusWord,
}

/// How a transaction was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// [`Disposition::Leave`].
    Leave,
    /// [`Disposition::Reset`].
    Reset,
    /// [`Disposition::PowerOff`].
    PowerOff,
    /// It was dropped, which leaves the card as it is.
    Dropped,
}

/// What somebody did to the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Took it out.
    Removed,
    /// Put it in.
    Inserted,
    /// Reset it.
    Reset,
}

/// A [`CardError`], by its stable [`name`](CardError::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorName(&'static str);

/// An error whose name is all that a trace keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader failed when this was recorded")]
pub struct RecordedFailure;

impl ErrorName {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The error of this name. [`CardError::TooLong`] and [`CardError::Unencodable`] follow from command and capabilities, and are not made
    /// from a name.
    pub(super) fn to_error(self) -> CardError {
        let named = simple_errors().into_iter().find(|error| error.name() == self.0);
        named.unwrap_or_else(|| CardError::Other(Box::new(RecordedFailure)))
    }

    /// Was the command refused before it was sent?
    pub(super) fn is_of_command(self) -> bool {
        [TOO_LONG, UNENCODABLE].contains(&self.0)
    }
}

/// The errors that consist of their name.
fn simple_errors() -> [CardError; 13] {
    [
        CardError::NoCard,
        CardError::Removed,
        CardError::Reset,
        CardError::Busy,
        CardError::Timeout,
        CardError::Garbled,
        CardError::Mute,
        CardError::UnsupportedCard,
        CardError::ReaderGone,
        CardError::NoReader,
        CardError::NoService,
        CardError::ReaderStuck,
        CardError::NotAuthorized,
    ]
}

const TOO_LONG: &str = "too-long";
const UNENCODABLE: &str = "unencodable";
/// The names of all others.
const OTHERS: [&str; 3] = [TOO_LONG, UNENCODABLE, "other"];

impl From<&CardError> for ErrorName {
    fn from(error: &CardError) -> Self {
        Self(error.name())
    }
}

impl Serialize for ErrorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for ErrorName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mut names = simple_errors().into_iter().map(|error| error.name()).chain(OTHERS);
        names.find(|known| *known == name).map(Self).ok_or_else(|| de::Error::custom("an error of no known name"))
    }
}

impl From<Disposition> for Ending {
    fn from(how: Disposition) -> Self {
        match how {
            Disposition::Leave => Self::Leave,
            Disposition::Reset => Self::Reset,
            Disposition::PowerOff => Self::PowerOff,
        }
    }
}

impl Opened {
    /// What card and reader can do together.
    #[must_use]
    pub const fn capabilities(&self) -> CardCapabilities {
        CardCapabilities { extended_length: self.extended_length, max_command: self.max_command }
    }
}

fn write_status<S: Serializer>(status: &StatusWord, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(status)
}

fn read_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusWord, D::Error> {
    let mut bytes = [0; 2];
    let text = String::deserialize(deserializer)?;
    hex::decode_to_slice(text, &mut bytes).map_err(|_| de::Error::custom("no status word"))?;
    Ok(StatusWord(u16::from_be_bytes(bytes)))
}
