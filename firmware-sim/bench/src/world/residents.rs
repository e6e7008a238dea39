//! Who comes to the counter.

use jiff::ToSpan;
use jiff::civil::Date;
use jpki::{Application, ApplicationChoices, CertificateKind, Resident, SubstitutionTable, eligible, validity};
use resident_register::{Column, CsvRegister, ResidentRegister};
use sim_card::Card;
use sim_card::nvm::FileNvm;
use zeroize::Zeroizing;

use super::{World, WorldError, parts};

/// How many residents are looked at before one is taken who has nothing special.
const LOOKED_AT: usize = 64;
/// An applicant of the demonstration is of age.
const ADULT: i32 = 18;

/// The numbers of all residents, in the order of the register.
pub(super) fn numbers(world: &World) -> Result<Vec<Zeroizing<String>>, WorldError> {
    let path = world.folder().register();
    let unreadable = |error: csv::Error| WorldError::Io { path: path.clone(), source: error.into() };
    let mut reader = csv::Reader::from_path(&path).map_err(unreadable)?;
    let headers = reader.headers().map_err(unreadable)?;
    let column = headers.iter().position(|name| {
        name.trim() == Column::Number.name() || name.trim().eq_ignore_ascii_case(Column::Number.english_name())
    });
    // A register without the column was refused when the world was made.
    let Some(column) = column else { return Ok(Vec::new()) };
    let records = reader.records().map(|record| {
        let record = record.map_err(unreadable)?;
        Ok(Zeroizing::new(record.get(column).unwrap_or_default().to_owned()))
    });
    records.collect()
}

/// See [`World::applicant`].
pub(super) fn applicant(world: &World) -> Result<Resident, WorldError> {
    let mut numbers = numbers(world)?;
    numbers.sort_by_cached_key(|number| parts::draw(world.seed(), &format!("applicant {}", **number), 0));
    let mut register = CsvRegister::open(world.folder().register())?;
    let today = validity::japanese_day(jiff::Timestamp::now());
    let mut best: Option<(u8, Resident)> = None;
    for (looked_at, number) in numbers.iter().enumerate() {
        if best.as_ref().is_some_and(|(score, _)| *score == BEST || looked_at >= LOOKED_AT) {
            break;
        }
        if has_certificates(world, number)? {
            continue;
        }
        let Some(resident) = register.find(number)? else { continue };
        if let Some(score) = score(&resident, today)
            && best.as_ref().is_none_or(|(highest, _)| score > *highest)
        {
            best = Some((score, resident));
        }
    }
    best.map(|(_, resident)| resident).ok_or(WorldError::NoApplicant)
}

/// A resident with a 旧氏 or a 通称, and with 代替文字.
const BEST: u8 = 2;

/// How much is special about a resident's name; none if this person can't apply for both certificates.
fn score(resident: &Resident, today: Date) -> Option<u8> {
    if today < resident.birth.saturating_add(ADULT.years()) {
        return None;
    }
    CertificateKind::BOTH.iter().try_for_each(|kind| eligible(resident, *kind, today)).ok()?;
    let table = SubstitutionTable::builtin();
    let application = Application::from_resident(resident, today, table, &ApplicationChoices::default()).ok()?;
    let has_two_names = resident.former_family_name.is_some() || resident.alias.is_some();
    let is_substituted = application.name.substituted.contains('1');
    Some(u8::from(has_two_names) + u8::from(is_substituted))
}

/// Was anything issued to this resident's card, or begun?
fn has_certificates(world: &World, number: &str) -> Result<bool, WorldError> {
    let path = world.folder().card(&parts::card_serial(world.seed(), number, 0));
    if !path.exists() {
        return Ok(false);
    }
    let clock = madoguchi_time::SystemClock::shared();
    let card = Card::power_on(FileNvm::open(&path)?, clock, sim_card::GeneratedKeys)?;
    for kind in CertificateKind::BOTH {
        let slots = card.slots(kind)?;
        if slots.active.is_some() || slots.pending_key {
            return Ok(true);
        }
    }
    Ok(false)
}
