use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::command::{CommandName, Follower, Known};
use super::event::{Entry, Event, FORMAT, Header, VERSION};

/// The longest line of a trace in bytes: the longest command and the longest answer, both shown in full, and what is around them.
const LONGEST_LINE: u64 = 1 << 20;
/// The most lines of a trace: some thousand issuances.
const MOST_LINES: usize = 1_000_000;

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its first line.
    pub header: Header,
    /// The lines after it, as far as they can be read. Line numbers start at 2.
    pub entries: Vec<Entry>,
    /// Is all of it there?
    pub completeness: Completeness,
}

/// Is all of a trace there?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It was closed in order, and no line is missing.
    Complete,
    /// Lines are missing in between: the disk was full.
    Gaps {
        /// How many lines.
        lost: u64,
    },
    /// It ends before it was closed: the program was stopped, or the disk was full.
    CutOff,
}

/// Why a trace can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file can't be read. It is not there, or not for this user.
    #[error("the trace can't be read")]
    Io(#[from] io::Error),
    /// The first line is not that of a trace: it is another file.
    #[error("this is no trace of a card")]
    NotATrace,
    /// A trace of another version of this program.
    #[error("a trace of version {found}")]
    Version {
        /// The version that its first line names.
        found: u32,
    },
    /// A line is not as the format says: the file was edited or damaged.
    #[error("line {line} is no line of a trace")]
    Malformed {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line is longer than any that is written.
    #[error("line {line} is too long")]
    LineTooLong {
        /// Which line, from 1.
        line: usize,
    },
    /// It has more lines than fit into memory.
    #[error("the trace is too long")]
    TooLong,
}

impl Trace {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`TraceError`] says. A trace that ends in the middle of a line is none: it was [cut off](Completeness::CutOff).
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        Self::from_reader(&mut BufReader::new(File::open(path)?))
    }

    /// Reads it from anywhere.
    ///
    /// # Errors
    /// As [`Trace::read`].
    pub fn from_reader(from: &mut dyn BufRead) -> Result<Self, TraceError> {
        let first = next_line(from, 1)?.ok_or(TraceError::NotATrace)?;
        let header = header(&first.bytes)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut completeness = Completeness::CutOff;
        let mut lost: u64 = 0;
        loop {
            let number = entries.len() + 2;
            if number > MOST_LINES {
                return Err(TraceError::TooLong);
            }
            let Some(line) = next_line(from, number)? else { break };
            let entry: Entry = match serde_json::from_slice(&line.bytes) {
                Ok(entry) => entry,
                // The program or the disk came to its end in the middle of it.
                Err(_) if !line.is_whole => break,
                Err(source) => return Err(TraceError::Malformed { line: number, source }),
            };
            match entry.event {
                Event::Gap { lost: more } => lost = lost.saturating_add(more),
                Event::Closed => completeness = Completeness::Complete,
                _ => completeness = Completeness::CutOff,
            }
            entries.push(entry);
        }
        if completeness == Completeness::Complete && lost > 0 {
            completeness = Completeness::Gaps { lost };
        }
        Ok(Self { header, entries, completeness })
    }

    /// The entries with their line numbers; every command with what it is called where it stands.
    pub fn conversation(&self) -> impl Iterator<Item = (usize, &Entry, Option<CommandName>)> {
        let mut follower = Follower::default();
        self.entries.iter().enumerate().map(move |(index, entry)| {
            let mut name = None;
            match &entry.event {
                Event::Exchange { command, answer, .. } => {
                    let known = Known { header: command.header, data: command.data.shown() };
                    name = Some(follower.name(known));
                    match answer {
                        Some(answer) => follower.follow(known, answer.status.is_ok()),
                        None => follower = Follower::default(),
                    }
                }
                Event::Begin { .. } | Event::WasReset | Event::Gap { .. } => follower = Follower::default(),
                _ => {}
            }
            (index + 2, entry, name)
        })
    }
}

struct Line {
    bytes: Vec<u8>,
    /// Does it end as a line does?
    is_whole: bool,
}

fn next_line(from: &mut dyn BufRead, number: usize) -> Result<Option<Line>, TraceError> {
    let mut bytes = Vec::new();
    from.take(LONGEST_LINE + 1).read_until(b'\n', &mut bytes)?;
    if bytes.len() as u64 > LONGEST_LINE {
        return Err(if number == 1 { TraceError::NotATrace } else { TraceError::LineTooLong { line: number } });
    }
    let is_whole = bytes.ends_with(b"\n");
    Ok((!bytes.is_empty()).then_some(Line { bytes, is_whole }))
}

/// Reads the first line. What it says of format and version comes before everything else: another version may have other keys.
fn header(line: &[u8]) -> Result<Header, TraceError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        format: String,
        version: u32,
    }
    let kind: Kind = serde_json::from_slice(line).map_err(|_| TraceError::NotATrace)?;
    if kind.format != FORMAT {
        return Err(TraceError::NotATrace);
    }
    if kind.version != VERSION {
        return Err(TraceError::Version { found: kind.version });
    }
    serde_json::from_slice(line).map_err(|source| TraceError::Malformed { line: 1, source })
}
