//! The columns of a register's file and what they may hold.

use std::io::{self, Read};

use jiff::civil::Date;
use jpki::text::MAX_CHARACTERS;
use jpki::{Resident, Sex};

use super::fault::{Faults, Problem};
use super::records::{Record, Records};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Column {
    /// 宛名番号
    Number,
    /// 氏名
    Name,
    /// 旧氏
    FormerFamilyName,
    /// 通称
    Alias,
    /// 住所
    Address,
    /// 生年月日
    Birth,
    /// 性別
    Sex,
    /// 在留期間満了日
    StayUntil,
}

impl Column {
    /// All columns, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::Number,
        Self::Name,
        Self::FormerFamilyName,
        Self::Alias,
        Self::Address,
        Self::Birth,
        Self::Sex,
        Self::StayUntil,
    ];

    /// Its name in a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "宛名番号",
            Self::Name => "氏名",
            Self::FormerFamilyName => "旧氏",
            Self::Alias => "通称",
            Self::Address => "住所",
            Self::Birth => "生年月日",
            Self::Sex => "性別",
            Self::StayUntil => "在留期間満了日",
        }
    }

    /// Its English name, accepted as well.
    #[must_use]
    pub fn english_name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Name => "name",
            Self::FormerFamilyName => "former_family_name",
            Self::Alias => "alias",
            Self::Address => "address",
            Self::Birth => "birth",
            Self::Sex => "sex",
            Self::StayUntil => "stay_until",
        }
    }

    /// Must the header have it?
    #[must_use]
    pub fn is_required(self) -> bool {
        !matches!(self, Self::FormerFamilyName | Self::Alias | Self::StayUntil)
    }
}

/// Which column stands where.
pub(super) struct Header {
    positions: [Option<usize>; Column::ALL.len()],
    fields: usize,
}

impl Header {
    /// Reads the first record.
    pub(super) fn read(records: &mut Records<impl Read>) -> io::Result<Result<Self, Faults>> {
        Ok(match records.next()? {
            Some(record) => Self::parse(&record),
            None => Err(Faults::one(1, None, Problem::EmptyFile)),
        })
    }

    fn parse(record: &Record<'_>) -> Result<Self, Faults> {
        let names: Option<Vec<&str>> = record.fields().map(|field| std::str::from_utf8(field).ok()).collect();
        let names = names.ok_or_else(|| Faults::one(record.line, None, Problem::NotUtf8))?;
        if record.is_too_long {
            return Err(Faults::one(record.line, None, Problem::LineTooLong));
        }
        let mut positions = [None; Column::ALL.len()];
        let mut faults = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let name = name.trim();
            let is_named = |column: &Column| name == column.name() || name.eq_ignore_ascii_case(column.english_name());
            match Column::ALL.iter().position(is_named) {
                None => faults.push((None, Problem::UnknownColumn { number: index + 1 })),
                Some(column) if positions[column].is_some() => {
                    faults.push((Some(Column::ALL[column]), Problem::RepeatedColumn));
                }
                Some(column) => positions[column] = Some(index),
            }
        }
        for (column, position) in Column::ALL.into_iter().zip(positions) {
            if column.is_required() && position.is_none() {
                faults.push((Some(column), Problem::MissingColumn));
            }
        }
        match Faults::from_list(record.line, faults) {
            Some(faults) => Err(faults),
            None => Ok(Self { positions, fields: record.len() }),
        }
    }

    /// The bytes of a column's field; `None` if the header does not have the column.
    fn field<'a>(&self, record: &Record<'a>, column: Column) -> Option<&'a [u8]> {
        record.field(self.positions[column as usize]?)
    }

    /// The number, whatever else is wrong with the record.
    pub(super) fn number<'a>(&self, record: &Record<'a>) -> Option<&'a [u8]> {
        self.field(record, Column::Number).map(<[u8]>::trim_ascii)
    }

    /// The resident of a record, or all its faults.
    pub(super) fn resident(&self, record: &Record<'_>) -> Result<Resident, Faults> {
        if record.is_too_long {
            return Err(Faults::one(record.line, None, Problem::LineTooLong));
        }
        if record.len() != self.fields {
            let problem = Problem::FieldCount { expected: self.fields, found: record.len() };
            return Err(Faults::one(record.line, None, problem));
        }
        let mut fields = Fields { header: self, record, faults: Vec::new() };
        let number = fields.required(Column::Number, number);
        let name = fields.required(Column::Name, text);
        let former_family_name = fields.optional(Column::FormerFamilyName, text);
        let alias = fields.optional(Column::Alias, text);
        let address = fields.required(Column::Address, text);
        let birth = fields.required(Column::Birth, date);
        let sex = fields.required(Column::Sex, sex);
        let stay_until = fields.optional(Column::StayUntil, date);
        if let (Some(birth), Some(stay_until)) = (birth, stay_until)
            && stay_until < birth
        {
            fields.faults.push((Some(Column::StayUntil), Problem::BeforeBirth));
        }
        match (Faults::from_list(record.line, fields.faults), number, name, address, birth, sex) {
            (None, Some(number), Some(name), Some(address), Some(birth), Some(sex)) => Ok(Resident {
                number: number.to_owned(),
                name: name.to_owned(),
                former_family_name: former_family_name.map(str::to_owned),
                alias: alias.map(str::to_owned),
                address: address.to_owned(),
                birth,
                sex,
                stay_until,
            }),
            (Some(faults), ..) => Err(faults),
            // A required field that is missing has left a fault.
            (None, ..) => Err(Faults::one(record.line, None, Problem::Empty)),
        }
    }
}

/// The fields of a record while it is being read, with the faults found.
struct Fields<'a, 'r> {
    header: &'a Header,
    record: &'a Record<'r>,
    faults: Vec<(Option<Column>, Problem)>,
}

impl<'r> Fields<'_, 'r> {
    fn required<T>(&mut self, column: Column, read: impl Fn(&'r str) -> Result<T, Problem>) -> Option<T> {
        self.read(column, |field| if field.is_empty() { Err(Problem::Empty) } else { read(field).map(Some) })
    }

    /// An empty field is none.
    fn optional<T>(&mut self, column: Column, read: impl Fn(&'r str) -> Result<T, Problem>) -> Option<T> {
        self.read(column, |field| if field.is_empty() { Ok(None) } else { read(field).map(Some) })
    }

    fn read<T>(&mut self, column: Column, read: impl Fn(&'r str) -> Result<Option<T>, Problem>) -> Option<T> {
        let field = self.header.field(self.record, column)?;
        let read = std::str::from_utf8(field).map_err(|_| Problem::NotUtf8).and_then(|field| read(field.trim()));
        read.unwrap_or_else(|problem| {
            self.faults.push((Some(column), problem));
            None
        })
    }
}

fn number(field: &str) -> Result<&str, Problem> {
    let is_number = (1..=15).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(field) } else { Err(Problem::NotANumber) }
}

fn text(field: &str) -> Result<&str, Problem> {
    if field.chars().any(char::is_control) {
        Err(Problem::ControlCharacter)
    } else if field.chars().count() > MAX_CHARACTERS {
        Err(Problem::TooLong { most: MAX_CHARACTERS })
    } else {
        Ok(field)
    }
}

/// `1980-02-17`, or as a spreadsheet rewrites it, `1980/2/17`.
fn date(field: &str) -> Result<Date, Problem> {
    let read = || {
        let mut parts = field.splitn(3, ['-', '/']);
        let mut part = |digits: std::ops::RangeInclusive<usize>| {
            let part = parts.next()?;
            (digits.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(part)
        };
        let (year, month, day) = (part(4..=4)?, part(1..=2)?, part(1..=2)?);
        Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
    };
    read().ok_or(Problem::NotADate)
}

fn sex(field: &str) -> Result<Sex, Problem> {
    match field {
        "男" | "1" | "male" => Ok(Sex::Male),
        "女" | "2" | "female" => Ok(Sex::Female),
        "その他" | "不明" | "3" | "other" => Ok(Sex::Other),
        _ => Err(Problem::NotASex),
    }
}
