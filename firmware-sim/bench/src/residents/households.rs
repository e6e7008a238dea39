//! People of all ages, and who lives with whom.

use jiff::ToSpan;
use jiff::civil::Date;
use jpki::Sex;
use rand::Rng;
use rand::seq::SliceRandom;

/// Residents in a thousand by bands of five years of age, from 0–4 on; the last band is 100 and more. Japan in 2024, rounded.
const PYRAMID: [(u16, u32); 21] = [
    (0, 32),
    (5, 39),
    (10, 42),
    (15, 44),
    (20, 49),
    (25, 52),
    (30, 52),
    (35, 56),
    (40, 62),
    (45, 72),
    (50, 77),
    (55, 66),
    (60, 60),
    (65, 59),
    (70, 67),
    (75, 62),
    (80, 47),
    (85, 33),
    (90, 17),
    (95, 5),
    (100, 1),
];

/// One in so many is born on 29 February, more than in life, so that even a small register has some.
const LEAP_DAY_EVERY: usize = 150;

/// Somebody without a name yet.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) age: i16,
    pub(super) birth: Date,
    pub(super) sex: Sex,
}

/// Those who live together. The first bears the household's family name by birth.
pub(super) struct Household {
    pub(super) members: Vec<Person>,
    /// The second member is the first one's wife or husband.
    pub(super) has_couple: bool,
}

/// `count` people on the day `today`.
pub(super) fn people(random: &mut impl Rng, count: usize, today: Date) -> Vec<Person> {
    (1..=count)
        .map(|index| {
            let band = super::pick_weighted(random, &PYRAMID).0;
            let age = i16::try_from(band).unwrap_or_default() + random.gen_range(0..5);
            let birth = birth(random, age, today, index % LEAP_DAY_EVERY == 0);
            let sex = match random.gen_range(0..1000) {
                0..=1 => Sex::Other,
                chance if chance < women_in_thousand(age) => Sex::Female,
                _ => Sex::Male,
            };
            Person { age: jpki::age(birth, today), birth, sex }
        })
        .collect()
}

fn women_in_thousand(age: i16) -> u32 {
    match age {
        ..65 => 490,
        65..75 => 520,
        75..85 => 575,
        85..95 => 680,
        _ => 830,
    }
}

/// A date of birth of somebody who is `age` years old; on a 29 February it may be up to four years earlier.
fn birth(random: &mut impl Rng, age: i16, today: Date, on_leap_day: bool) -> Date {
    let year = today.year() - age;
    if on_leap_day {
        let leap_day = (0..8).find_map(|years| Date::new(year - years, 2, 29).ok().filter(|day| *day <= today));
        if let Some(leap_day) = leap_day {
            return leap_day;
        }
    }
    let birthday = today.saturating_sub(i32::from(age).years());
    birthday.saturating_sub(random.gen_range(0..365).days())
}

/// Puts people into households: couples, children with their mothers, some grown children, and those who live alone.
pub(super) fn households(random: &mut impl Rng, mut people: Vec<Person>) -> Vec<Household> {
    people.shuffle(random);
    let (children, adults): (Vec<_>, Vec<_>) = people.into_iter().partition(|person| person.age < 20);
    let (mut women, others): (Vec<_>, Vec<_>) = adults.into_iter().partition(|person| person.sex == Sex::Female);
    let mut households = Vec::new();
    let mut alone = Vec::new();
    for person in others {
        let marries = person.sex == Sex::Male && random.gen_bool(married(person.age));
        let fits = |woman: &Person| (person.age - 10..=person.age + 4).contains(&woman.age);
        match women.iter().position(fits).filter(|_| marries) {
            Some(index) => {
                let wife = women.swap_remove(index);
                households.push(Household { members: vec![person, wife], has_couple: true });
            }
            None => alone.push(person),
        }
    }
    alone.append(&mut women);
    alone.shuffle(random);
    let (leaving, staying): (Vec<_>, Vec<_>) = alone.into_iter().partition(|p| p.age > 35 || random.gen_bool(0.6));
    households.extend(leaving.into_iter().map(|person| Household { members: vec![person], has_couple: false }));
    for child in children.into_iter().chain(staying) {
        join_parents(random, &mut households, child);
    }
    households.shuffle(random);
    households
}

/// How likely a man of this age lives with his wife.
fn married(age: i16) -> f64 {
    match age {
        ..25 => 0.03,
        25..30 => 0.25,
        30..40 => 0.55,
        40..80 => 0.7,
        _ => 0.6,
    }
}

/// Lets a child live with a mother of the right age, with any adult if there is none, alone in an empty town.
fn join_parents(random: &mut impl Rng, households: &mut Vec<Household>, child: Person) {
    let start = if households.is_empty() { 0 } else { random.gen_range(0..households.len()) };
    let mut from_start = (start..households.len()).chain(0..start);
    let is_family = |household: &Household| {
        let parent = if household.has_couple { &household.members[1] } else { &household.members[0] };
        let may_be_alone = household.has_couple || (parent.sex == Sex::Female && household.members.len() > 1);
        let siblings = household.members.iter().skip(1 + usize::from(household.has_couple));
        may_be_alone
            && household.members.len() < 5
            && (20..=42).contains(&(parent.age - child.age))
            && siblings.map(|sibling| days_between(sibling.birth, child.birth)).all(|days| days > 300)
    };
    let is_adult = |household: &Household| (20..=45).contains(&(household.members[0].age - child.age));
    let index = from_start
        .clone()
        .find(|index| is_family(&households[*index]))
        .or_else(|| from_start.find(|index| is_adult(&households[*index])));
    match index {
        Some(index) => households[index].members.push(child),
        None => households.push(Household { members: vec![child], has_couple: false }),
    }
}

fn days_between(a: Date, b: Date) -> i32 {
    (b - a).get_days().abs()
}
