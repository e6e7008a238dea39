//! Who comes to the counter.

use std::cmp::Reverse;

use jiff::civil::Date;
use jpki::{
    Application, ApplicationChoices, CertificateKind, CertificateText, Choices, Resident, SubstitutionTable, age,
    eligible, validity,
};
use resident_register::{Column, CsvRegister, ResidentRegister};
use sim_card::Card;
use sim_card::nvm::{FileNvm, NvmError};
use zeroize::Zeroizing;

use super::{World, WorldError, parts};

/// An applicant of the demonstration is of age.
const ADULT: i16 = 18;

/// What the register says of somebody, as far as it tells who comes first.
struct Entry {
    number: Zeroizing<String>,
    /// How much is special about this person's names.
    special: u8,
}

/// The residents in the order of the register.
fn entries(world: &World) -> Result<Vec<Entry>, WorldError> {
    let path = world.folder().register();
    let unreadable = |error: csv::Error| WorldError::Io { path: path.clone(), source: error.into() };
    let mut reader = csv::Reader::from_path(&path).map_err(unreadable)?;
    let headers = reader.headers().map_err(unreadable)?;
    let position = |column: Column| {
        let is_named = |name: &str| name == column.name() || name.eq_ignore_ascii_case(column.english_name());
        headers.iter().position(|name| is_named(name.trim()))
    };
    let [number, name, former, alias] =
        [Column::Number, Column::Name, Column::FormerFamilyName, Column::Alias].map(position);
    let entries = reader.records().map(|record| {
        let record = record.map_err(unreadable)?;
        let field = |position: Option<usize>| position.and_then(|position| record.get(position)).unwrap_or_default();
        let has_two_names = !field(former).is_empty() || !field(alias).is_empty();
        // 代替文字 are shown as they are applied for, a second name only on the certificate.
        let special = u8::from(has_two_names) + 2 * u8::from(needs_substitutes(field(name)));
        Ok(Entry { number: Zeroizing::new(field(number).to_owned()), special })
    });
    entries.collect()
}

/// Has a name characters in whose place a certificate has 代替文字?
fn needs_substitutes(name: &str) -> bool {
    let text = CertificateText::with_choices(name, SubstitutionTable::builtin(), &Choices::none());
    text.is_ok_and(|text| text.substituted.contains('1'))
}

/// The numbers of all residents.
pub(super) fn numbers(world: &World) -> Result<Vec<Zeroizing<String>>, WorldError> {
    Ok(entries(world)?.into_iter().map(|entry| entry.number).collect())
}

/// See [`World::applicant`].
pub(super) fn applicant(world: &World) -> Result<Resident, WorldError> {
    let mut entries = entries(world)?;
    entries.sort_by_cached_key(|entry| {
        let drawn = parts::draw(world.seed(), &format!("applicant {}", *entry.number), 0);
        (Reverse(entry.special), drawn)
    });
    let mut register = CsvRegister::open(world.folder().register())?;
    let today = validity::japanese_day(jiff::Timestamp::now());
    for Entry { number, .. } in entries {
        if !has_certificates(world, &number)?
            && let Some(resident) = register.find(&number)?
            && can_apply(&resident, today)
        {
            return Ok(resident);
        }
    }
    Err(WorldError::NoApplicant)
}

/// An adult who can apply for both certificates with what the register says.
fn can_apply(resident: &Resident, today: Date) -> bool {
    age(resident.birth, today) >= ADULT
        && CertificateKind::BOTH.iter().all(|kind| eligible(resident, *kind, today).is_ok())
        && Application::from_resident(resident, today, SubstitutionTable::builtin(), &ApplicationChoices::default())
            .is_ok()
}

/// Was anything issued to this resident's card, or begun?
fn has_certificates(world: &World, number: &str) -> Result<bool, WorldError> {
    let path = world.folder().card(&parts::card_serial(world.seed(), number, 0));
    if !path.exists() {
        return Ok(false);
    }
    let memory = match FileNvm::open(&path) {
        // Whoever has it in use came before.
        Err(NvmError::InUse) => return Ok(true),
        memory => memory?,
    };
    let card = Card::power_on(memory, madoguchi_time::SystemClock::shared(), sim_card::GeneratedKeys)?;
    for kind in CertificateKind::BOTH {
        let slots = card.slots(kind)?;
        if slots.active.is_some() || slots.pending_key {
            return Ok(true);
        }
    }
    Ok(false)
}
