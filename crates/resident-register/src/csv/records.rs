//! Records of a CSV file, through buffers that are wiped.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader};
use zeroize::Zeroizing;

/// Bytes read at a time.
const INPUT: usize = 64 * 1024;
/// The longest record in bytes; the longest valid one (three texts of 200 characters) has less than a quarter of it.
const OUTPUT: usize = 16 * 1024;
/// The most fields of a record.
const FIELDS: usize = 64;

/// Reads records one at a time. Whatever passes through is wiped with the buffers.
pub(super) struct Records<R> {
    source: R,
    parser: Reader,
    input: Zeroizing<Vec<u8>>,
    /// The part of `input` that has not been parsed.
    unread: std::ops::Range<usize>,
    at_end: bool,
    output: Zeroizing<Vec<u8>>,
    ends: [usize; FIELDS],
    /// The line on which `unread` begins.
    line: u64,
}

/// One record.
pub(super) struct Record<'a> {
    /// The line on which it begins, from 1 on.
    pub(super) line: u64,
    /// It did not fit; its fields are not to be used.
    pub(super) is_too_long: bool,
    output: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn field(&self, index: usize) -> Option<&'a [u8]> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.output.get(start..*self.ends.get(index)?)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.len()).filter_map(|index| self.field(index))
    }
}

impl<R: Read> Records<R> {
    pub(super) fn new(source: R) -> io::Result<Self> {
        let mut records = Self {
            source,
            parser: Reader::new(),
            input: Zeroizing::new(vec![0; INPUT]),
            unread: 0..0,
            at_end: false,
            output: Zeroizing::new(vec![0; OUTPUT]),
            ends: [0; FIELDS],
            line: 1,
        };
        // The parser passes over a byte order mark if the first piece contains all of it.
        while records.unread.len() < 3 && !records.at_end {
            records.fill()?;
        }
        Ok(records)
    }

    /// The next record; `None` at the end of the file. Empty lines are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.skip_line_ends()?;
        let line = self.line;
        let (mut written, mut fields, mut is_too_long) = (0, 0, false);
        loop {
            if self.unread.is_empty() && !self.at_end {
                self.fill()?;
            }
            let input = &self.input[self.unread.clone()];
            let (result, read, wrote, ended) =
                self.parser.read_record(input, &mut self.output[written..], &mut self.ends[fields..]);
            self.consume(read);
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                // What does not fit is overwritten: the record is only of interest for its line.
                ReadRecordResult::OutputFull => (written, is_too_long) = (0, true),
                ReadRecordResult::OutputEndsFull => (fields, is_too_long) = (0, true),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        Ok(Some(Record { line, is_too_long, output: &self.output[..written], ends: &self.ends[..fields] }))
    }

    /// The rest of the last line end, and empty lines: the parser would pass over them too, but then the line on which the record begins
    /// would not be known.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            if self.unread.is_empty() && !self.at_end {
                self.fill()?;
            }
            let rest = &self.input[self.unread.clone()];
            let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if ends == 0 {
                return Ok(());
            }
            self.consume(ends);
        }
    }

    fn consume(&mut self, count: usize) {
        let (read, _) = self.input[self.unread.clone()].split_at(count);
        self.line += read.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.unread.start += count;
    }

    /// Reads a piece of the file behind what has not been parsed.
    fn fill(&mut self) -> io::Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        match self.source.read(&mut self.input[self.unread.end..]) {
            Ok(0) => self.at_end = true,
            Ok(count) => self.unread.end += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
