use jiff::Timestamp;

use crate::accounts::{AccountingFault, Accounts, OpenIntent};
use crate::entry::{Entry, EntryError, NewEntry, Outcome, Phase};
use crate::{Actor, Tree, TreeHash};

/// A log's state: the tree over its entries, and which intents are open. The entries themselves are the store's.
///
/// An entry is appended in two moves, so that nothing is in the tree that is not in the store: [`prepare`](Self::prepare), then
/// the store writes the line and makes it durable, then [`commit`](Self::commit). When writing fails, the prepared entry is
/// dropped and nothing has happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    tree: Tree,
    accounts: Accounts,
}

/// An entry with its place in the log, to be written.
#[derive(Clone, Debug)]
#[must_use = "write the line, then commit"]
pub struct Prepared {
    entry: Entry,
    line: String,
}

impl Prepared {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What is to be written: the entry's line with its newline.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// Why an entry can't be appended. The caller has lost count: a mistake in the program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no open intent with this index.
    #[error("intent {0} is not open")]
    NotOpen(u64),
    /// The entry was prepared for another place: something else has been appended since.
    #[error("prepared as entry {prepared}, but the log has {size}")]
    OutOfTurn {
        /// The place it was prepared for.
        prepared: u64,
        /// How many entries the log has.
        size: u64,
    },
}

/// What stands in a line that a log can't go on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// The line is not an entry. It was damaged, or changed by hand.
    #[error("line {line} is not an entry of this log")]
    Malformed {
        /// The line's number, from 0.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// The entry has the index of another place. Lines were taken out, put in, or moved.
    #[error("line {line} holds entry {index}")]
    Misplaced {
        /// The line's number, from 0.
        line: u64,
        /// The index that the entry has.
        index: u64,
    },
    /// The entry is an outcome that has no place.
    #[error(transparent)]
    Accounting(#[from] AccountingFault),
}

/// What follows the last newline: a write that was cut. It was never acknowledged, and the store may cut it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornLine {
    /// Where it begins: the length in bytes of all that is whole.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// The whole lines of a log's file, each without its newline.
pub(crate) struct Lines<'a> {
    whole: &'a [u8],
    /// What follows the last whole line.
    pub(crate) torn: Option<TornLine>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let offset = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let length = bytes.len() - offset;
        Self { whole: &bytes[..offset], torn: (length > 0).then_some(TornLine { offset, length }) }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let newline = self.whole.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.whole.split_at(newline);
        self.whole = &rest[1..];
        Some(line)
    }
}

/// The entry in the line that has the number `number`.
pub(crate) fn read_entry(line: &[u8], number: u64) -> Result<Entry, LineFault> {
    let entry = Entry::from_line(line).map_err(|source| LineFault::Malformed { line: number, source })?;
    if entry.index == number { Ok(entry) } else { Err(LineFault::Misplaced { line: number, index: entry.index }) }
}

impl Log {
    /// Reads a log from its lines, in time proportional to their number, and what follows the last whole one.
    ///
    /// Tells nothing about whether this is the log that was written: see [`verify`](crate::verify).
    ///
    /// # Errors
    /// [`LineFault`] at the first line that the log can't go on with.
    pub fn from_lines(lines: &[u8]) -> Result<(Self, Option<TornLine>), LineFault> {
        Self::from_lines_with(lines, drop)
    }

    /// The same, and shows each entry as it is read.
    ///
    /// # Errors
    /// [`LineFault`] at the first line that the log can't go on with.
    pub fn from_lines_with(lines: &[u8], mut show: impl FnMut(Entry)) -> Result<(Self, Option<TornLine>), LineFault> {
        let lines = Lines::of(lines);
        let torn = lines.torn;
        let mut log = Self::default();
        for line in lines {
            show(log.replay(line)?);
        }
        Ok((log, torn))
    }

    /// Takes in the next line, without its newline.
    ///
    /// # Errors
    /// [`LineFault`]; the log then is as before.
    pub fn replay(&mut self, line: &[u8]) -> Result<Entry, LineFault> {
        let entry = read_entry(line, self.size())?;
        self.accounts.check(&entry)?;
        self.take(&entry, line);
        Ok(entry)
    }

    /// Gives an entry its place at the end of the log, and its time.
    ///
    /// # Errors
    /// [`AppendError::NotOpen`] for an outcome of an intent that is not open.
    pub fn prepare(&self, entry: NewEntry, time: Timestamp) -> Result<Prepared, AppendError> {
        let entry = entry.at(self.size(), time);
        if let Phase::Outcome { intent, .. } = entry.phase {
            self.accounts.check(&entry).map_err(|_| AppendError::NotOpen(intent))?;
        }
        let line = entry.to_line() + "\n";
        Ok(Prepared { entry, line })
    }

    /// Takes in an entry that the store now holds.
    ///
    /// # Errors
    /// [`AppendError::OutOfTurn`] if something else was appended since it was prepared.
    pub fn commit(&mut self, prepared: Prepared) -> Result<Entry, AppendError> {
        let Prepared { entry, line } = prepared;
        if entry.index != self.size() {
            return Err(AppendError::OutOfTurn { prepared: entry.index, size: self.size() });
        }
        self.take(&entry, line.trim_end_matches('\n').as_bytes());
        Ok(entry)
    }

    /// The outcome of the open intent `intent`, as told by `actor`: of the same procedure, step and resident.
    ///
    /// # Errors
    /// [`AppendError::NotOpen`].
    pub fn outcome(&self, intent: u64, actor: Actor, outcome: Outcome) -> Result<NewEntry, AppendError> {
        let open = self.accounts.get(intent).ok_or(AppendError::NotOpen(intent))?;
        Ok(NewEntry {
            actor,
            procedure: open.procedure.clone(),
            step: open.step.clone(),
            phase: Phase::Outcome { intent, outcome },
            resident: open.resident,
            detail: None,
        })
    }

    /// The intents that have no outcome, in order.
    pub fn open_intents(&self) -> impl Iterator<Item = &OpenIntent> {
        self.accounts.open()
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The tree over the entries: roots and proofs.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn take(&mut self, entry: &Entry, line: &[u8]) {
        self.accounts.record(entry);
        self.tree.append(TreeHash::leaf(line));
    }
}
