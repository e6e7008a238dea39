//! Writing a register's file.

use std::io::{self, Write};

use jpki::{Resident, Sex};
use zeroize::Zeroizing;

use super::Column;

/// Writes residents in the format that [`CsvRegister`](crate::CsvRegister) reads: UTF-8, Japanese header, all columns.
///
/// # Errors
/// If `target` can't be written.
pub fn write<'a>(residents: impl IntoIterator<Item = &'a Resident>, target: &mut impl Write) -> io::Result<()> {
    let header = Column::ALL.map(Column::name);
    write_record(&header, target)?;
    for resident in residents {
        let sex = match resident.sex {
            Sex::Male => "男",
            Sex::Female => "女",
            Sex::Other => "その他",
        };
        let birth = Zeroizing::new(resident.birth.to_string());
        let stay_until = Zeroizing::new(resident.stay_until.map(|date| date.to_string()).unwrap_or_default());
        write_record(
            &[
                &resident.number,
                &resident.name,
                resident.former_family_name.as_deref().unwrap_or_default(),
                resident.alias.as_deref().unwrap_or_default(),
                &resident.address,
                &birth,
                sex,
                &stay_until,
            ],
            target,
        )?;
    }
    target.flush()
}

fn write_record(fields: &[&str; Column::ALL.len()], target: &mut impl Write) -> io::Result<()> {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            target.write_all(b",")?;
        }
        // Twice the length and two quotation marks are the most that quoting needs.
        let mut quoted = Zeroizing::new(vec![0; field.len() * 2 + 2]);
        let needs_quotes = field.contains([',', '"', '\r', '\n']);
        let text = if needs_quotes {
            let (_, _, written) = csv_core::quote(field.as_bytes(), &mut quoted[1..], b'"', b'"', true);
            quoted[0] = b'"';
            quoted[written + 1] = b'"';
            &quoted[..written + 2]
        } else {
            field.as_bytes()
        };
        target.write_all(text)?;
    }
    target.write_all(b"\n")
}
