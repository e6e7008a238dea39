//! A register in a CSV file, read anew at every look-up.

mod columns;
mod fault;
mod records;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jpki::Resident;

pub use columns::Column;
pub use fault::{FaultyLine, Problem};
pub use write::write;

use self::columns::Header;
use self::records::Records;
use crate::{RegisterError, ResidentRegister};

/// The CSV backend. It keeps the path only; each look-up streams the file through buffers that are wiped.
#[derive(Debug)]
pub struct CsvRegister {
    path: PathBuf,
}

impl CsvRegister {
    /// Opens a register and checks its header. Its lines are checked by [`CsvRegister::validate`].
    ///
    /// # Errors
    /// If the file can't be read or its header is faulty.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RegisterError> {
        let register = Self { path: path.into() };
        register.read()?;
        Ok(register)
    }

    /// Checks every line of a file and names each fault. An empty list means that all residents can be found.
    ///
    /// If the header is faulty, only its faults are named: without it, nothing is known about the lines.
    ///
    /// # Errors
    /// If the file can't be read at all.
    pub fn validate(path: impl AsRef<Path>) -> io::Result<Vec<FaultyLine>> {
        validate(File::open(path)?)
    }

    fn read(&self) -> Result<(Header, Records<File>), RegisterError> {
        let mut records = Records::new(File::open(&self.path)?)?;
        match Header::read(&mut records)? {
            Ok(header) => Ok((header, records)),
            Err(faults) => Err(RegisterError::Faulty(faults.into_first())),
        }
    }
}

impl ResidentRegister for CsvRegister {
    fn find(&mut self, number: &str) -> Result<Option<Resident>, RegisterError> {
        let (header, mut records) = self.read()?;
        let mut found: Option<(u64, Resident)> = None;
        while let Some(record) = records.next()? {
            if number.is_empty() || header.number(&record) != Some(number.as_bytes()) {
                continue;
            }
            let second = record.line;
            if let Some((first, _)) = found {
                return Err(RegisterError::Ambiguous { first, second });
            }
            let resident = header.resident(&record).map_err(|faults| RegisterError::Faulty(faults.into_first()))?;
            found = Some((second, resident));
        }
        Ok(found.map(|(_, resident)| resident))
    }

    fn count(&mut self) -> Result<u64, RegisterError> {
        let (_, mut records) = self.read()?;
        let mut count = 0;
        while records.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

fn validate(source: impl Read) -> io::Result<Vec<FaultyLine>> {
    let mut records = Records::new(source)?;
    let header = match Header::read(&mut records)? {
        Ok(header) => header,
        Err(faults) => return Ok(faults.into_all()),
    };
    let mut faulty = Vec::new();
    let mut lines_by_number = HashMap::new();
    while let Some(record) = records.next()? {
        match header.resident(&record) {
            Ok(resident) => {
                if let Some(first) = lines_by_number.insert(number_key(&resident.number), record.line) {
                    let problem = Problem::DuplicateNumber { first };
                    faulty.push(FaultyLine { line: record.line, column: Some(Column::Number), problem });
                }
            }
            Err(faults) => faulty.extend(faults.into_all()),
        }
    }
    Ok(faulty)
}

/// A number of up to 15 digits without its text, so that no copy of it has to be wiped: the digits behind a 1 keep leading zeros apart.
fn number_key(number: &str) -> u64 {
    number.bytes().fold(1, |key, digit| key * 10 + u64::from(digit.wrapping_sub(b'0')))
}
