//! A synthetic resident register: a thousand residents who look like those of a real municipality, and none of whom exists.
//!
//! Ages, sexes, households, names by generation, 旧氏, foreign residents with their 通称 and periods of stay, long addresses, births on 29 February, and
//! name characters for which a certificate needs 代替文字. The municipality, [`MUNICIPALITY`], is fictional, and so is its code. The same seed gives
//! the same residents, as long as this simulator's version stays the same.

mod households;
mod names;
mod places;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::Date;
use jpki::{Municipality, Resident, Sex};
use rand::Rng;
use rand::distributions::{Distribution, WeightedIndex};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use self::households::{Household, Person};
use self::names::{FAMILY_NAMES, FOREIGN_GROUPS, ForeignGroup, GENERATIONS, VARIANTS};
use self::places::full_width;
pub use self::places::{MUNICIPALITY, MUNICIPALITY_CODE, MUNICIPALITY_ROMAN, PREFECTURE_ROMAN};

/// The fictional municipality as certificates name it.
#[must_use]
pub fn municipality() -> Municipality {
    Municipality {
        code: MUNICIPALITY_CODE.to_owned(),
        prefecture: PREFECTURE_ROMAN.to_owned(),
        city: MUNICIPALITY_ROMAN.to_owned(),
    }
}

/// `count` residents on the day `today`, household by household, always the same for the same `seed`.
#[must_use]
pub fn generate(seed: u64, count: usize, today: Date) -> Vec<Resident> {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let people = households::people(&mut random, count, today);
    let mut numbers = BTreeSet::new();
    let mut residents = Vec::with_capacity(count);
    for household in households::households(&mut random, people) {
        for mut resident in name_household(&mut random, household, today) {
            resident.number = new_number(&mut random, &mut numbers);
            residents.push(resident);
        }
    }
    residents
}

/// A 宛名番号 that nobody has yet: 12 digits without meaning.
fn new_number(random: &mut impl Rng, taken: &mut BTreeSet<u64>) -> String {
    loop {
        let number = random.gen_range(1..1_000_000_000_000);
        if taken.insert(number) {
            return format!("{number:012}");
        }
    }
}

fn name_household(random: &mut impl Rng, household: Household, today: Date) -> Vec<Resident> {
    let address = places::address(random);
    // Foreign residents are young: three in four households of theirs begin with somebody under 45.
    let foreign = if household.members[0].age < 45 { 0.12 } else { 0.03 };
    if random.gen_bool(foreign) {
        return foreign_household(random, household, &address, today);
    }
    let family = family_name(random, household.members[0].age);
    let has_couple = household.has_couple;
    let mut residents: Vec<Resident> = Vec::with_capacity(household.members.len());
    for (index, person) in household.members.into_iter().enumerate() {
        let former_family_name = (has_couple && index == 1 && random.gen_bool(0.19))
            .then(|| family_name(random, person.age))
            .filter(|former| *former != family);
        let mut name = format!("{family}　{}", given_name(random, &person));
        while residents.iter().any(|other| other.name == name) {
            name = format!("{family}　{}", given_name(random, &person));
        }
        let mut resident = resident(person, name, &address);
        resident.former_family_name = former_family_name;
        residents.push(resident);
    }
    residents
}

fn resident(person: Person, name: String, address: &str) -> Resident {
    Resident {
        number: String::new(),
        name,
        former_family_name: None,
        alias: None,
        address: address.to_owned(),
        birth: person.birth,
        sex: person.sex,
        stay_until: None,
    }
}

fn family_name(random: &mut impl Rng, age: i16) -> String {
    let name = pick_weighted(random, &FAMILY_NAMES).0;
    with_variants(random, name, age)
}

fn given_name(random: &mut impl Rng, person: &Person) -> String {
    let year = person.birth.year();
    let generation = GENERATIONS.iter().find(|generation| year <= generation.until).unwrap_or(&GENERATIONS[0]);
    let names: Vec<&str> = of_sex(person.sex, generation.men, generation.women, random).split_whitespace().collect();
    // The common ones stand first in the list: the smaller of two draws prefers them.
    let index = random.gen_range(0..names.len()).min(random.gen_range(0..names.len()));
    with_variants(random, names[index], person.age)
}

fn of_sex<T>(sex: Sex, men: T, women: T, random: &mut impl Rng) -> T {
    let is_man = match sex {
        Sex::Male => true,
        Sex::Female => false,
        Sex::Other => random.gen_bool(0.5),
    };
    if is_man { men } else { women }
}

/// Writes characters in an older form now and then. The old do so a little more often than the young.
fn with_variants(random: &mut impl Rng, name: &str, age: i16) -> String {
    let factor = if age >= 60 { 1.3 } else { 0.9 };
    let mut written = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        match VARIANTS.iter().find(|variant| variant.0 == character) {
            Some((_, form, percent, _)) if random.gen_bool((f64::from(*percent) / 100.0 * factor).min(1.0)) => {
                written += form
            }
            _ => written.push(character),
        }
    }
    written
}

fn foreign_household(random: &mut impl Rng, household: Household, address: &str, today: Date) -> Vec<Resident> {
    let weighted: Vec<(&ForeignGroup, u32)> = FOREIGN_GROUPS.iter().map(|group| (group, group.weight)).collect();
    let group = pick_weighted(random, &weighted).0;
    let family = choose(random, group.family, '/');
    let permanent = random.gen_ratio(group.permanent, 100);
    let alias_family = random.gen_ratio(group.aliases, 100).then(|| pick_weighted(random, &FAMILY_NAMES).0);
    let mut residents = Vec::with_capacity(household.members.len());
    for person in household.members {
        let given_names = of_sex(person.sex, group.men, group.women, random);
        let given = choose(random, given_names, '/');
        let name = full_width(&format!("{family} {given}"));
        let alias = alias_family.map(|alias| format!("{alias}　{}", given_name(random, &person)));
        let mut resident = resident(person, name, address);
        resident.alias = alias;
        resident.stay_until = (!permanent).then(|| today.saturating_add(random.gen_range(10..5 * 365).days()));
        residents.push(resident);
    }
    residents
}

/// One of the names in a list.
fn choose<'a>(random: &mut impl Rng, list: &'a str, separator: char) -> &'a str {
    let names: Vec<&str> = list.split(separator).collect();
    names[random.gen_range(0..names.len())]
}

/// One of a list of weighted things.
fn pick_weighted<'a, T>(random: &mut impl Rng, list: &'a [(T, u32)]) -> &'a (T, u32) {
    // The lists are constants with weights above zero, so the fallback is never taken.
    let index = WeightedIndex::new(list.iter().map(|(_, weight)| *weight)).map_or(0, |weights| weights.sample(random));
    &list[index]
}
