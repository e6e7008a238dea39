//! What can be wrong with a line.

use std::fmt;

use super::Column;

/// A fault in a register's file: where, and what; never what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {problem}", In(.column))]
pub struct FaultyLine {
    /// The line, from 1 on, as a text editor counts.
    pub line: u64,
    /// The column, if one is to blame.
    pub column: Option<Column>,
    /// What is wrong.
    pub problem: Problem,
}

struct In<'a>(&'a Option<Column>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |column| write!(f, ", {}", column.name()))
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file or the field is in Shift_JIS, UTF-16 or another encoding: it was saved as plain "CSV".
    #[error("not UTF-8; save the file as \"CSV UTF-8\"")]
    NotUtf8,
    /// There is no line at all.
    #[error("the file is empty")]
    EmptyFile,
    /// The header lacks the column.
    #[error("the header has no such column")]
    MissingColumn,
    /// The header names the column twice.
    #[error("the header has this column twice")]
    RepeatedColumn,
    /// The header names a column that the format does not know. It is not passed over: a misspelt 旧氏 would be lost in silence.
    #[error("the name of column {number} is not known")]
    UnknownColumn {
        /// The column, from 1 on.
        number: usize,
    },
    /// More or fewer fields than the header has. Often a comma in an address that is not in quotation marks.
    #[error("{found} fields instead of {expected}")]
    FieldCount {
        /// Fields of the header.
        expected: usize,
        /// Fields of this line.
        found: usize,
    },
    /// Longer than any resident's line. Often a quotation mark that is not closed.
    #[error("too long; a quotation mark may not be closed")]
    LineTooLong,
    /// The field must not be empty.
    #[error("empty")]
    Empty,
    /// More characters than the field may have.
    #[error("longer than {most} characters")]
    TooLong {
        /// Most characters.
        most: usize,
    },
    /// A line break, a tab or the like inside the field.
    #[error("contains a control character")]
    ControlCharacter,
    /// Not 1 to 15 digits.
    #[error("not a number of 1 to 15 half-width digits")]
    NotANumber,
    /// Another line has the same number.
    #[error("the same number as on line {first}")]
    DuplicateNumber {
        /// The other line.
        first: u64,
    },
    /// Not a date, or one that no calendar has.
    #[error("not a date such as 1980-02-17 or 1980/2/17")]
    NotADate,
    /// None of the accepted codes.
    #[error("not one of 男, 女, その他")]
    NotASex,
    /// 在留期間満了日 lies before the date of birth.
    #[error("lies before the date of birth")]
    BeforeBirth,
}

/// The faults of one line, at least one.
#[derive(Debug)]
pub(super) struct Faults {
    first: FaultyLine,
    others: Vec<FaultyLine>,
}

impl Faults {
    pub(super) fn one(line: u64, column: Option<Column>, problem: Problem) -> Self {
        Self { first: FaultyLine { line, column, problem }, others: Vec::new() }
    }

    /// `None` if there are none.
    pub(super) fn from_list(line: u64, list: Vec<(Option<Column>, Problem)>) -> Option<Self> {
        let mut faults = list.into_iter().map(|(column, problem)| FaultyLine { line, column, problem });
        Some(Self { first: faults.next()?, others: faults.collect() })
    }

    pub(super) fn into_first(self) -> FaultyLine {
        self.first
    }

    pub(super) fn into_all(self) -> Vec<FaultyLine> {
        let mut all = vec![self.first];
        all.extend(self.others);
        all
    }
}
