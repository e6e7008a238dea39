use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;
use jpki::text::is_allowed;
use jpki::{Application, ApplicationChoices, CertificateKind, SubstitutionTable, age, eligible};
use resident_register::{CsvRegister, write};

use super::*;

fn today() -> Date {
    date(2026, 7, 1)
}

fn share(residents: &[Resident], is_counted: impl Fn(&Resident) -> bool) -> f64 {
    residents.iter().filter(|resident| is_counted(resident)).count() as f64 / residents.len() as f64
}

fn is_foreign(resident: &Resident) -> bool {
    // Who stays without limit shows it by a 通称 or by a name in Roman letters only.
    resident.stay_until.is_some()
        || resident.alias.is_some()
        || resident.name.starts_with(|c: char| ('Ａ'..='Ｚ').contains(&c))
}

fn needs_substitute(text: &str) -> bool {
    !text.chars().all(is_allowed)
}

#[test]
fn the_register_looks_like_a_real_one() {
    for seed in 1..=5 {
        let residents = generate(seed, 1000, today());
        assert_eq!(residents.len(), 1000);
        let age = |resident: &Resident| age(resident.birth, today());
        let long = |resident: &Resident| resident.address.chars().count() >= 40;
        for (what, least, most, share) in [
            ("under 15", 0.08, 0.15, share(&residents, |r| age(r) < 15)),
            ("15 to 64", 0.53, 0.66, share(&residents, |r| (15..65).contains(&age(r)))),
            ("65 and more", 0.24, 0.35, share(&residents, |r| age(r) >= 65)),
            ("90 and more", 0.005, 0.045, share(&residents, |r| age(r) >= 90)),
            ("women", 0.46, 0.57, share(&residents, |r| r.sex == Sex::Female)),
            ("旧氏", 0.025, 0.06, share(&residents, |r| r.former_family_name.is_some())),
            ("foreign", 0.03, 0.1, share(&residents, is_foreign)),
            ("通称", 0.002, 0.04, share(&residents, |r| r.alias.is_some())),
            ("代替文字 in the name", 0.02, 0.09, share(&residents, |r| needs_substitute(&r.name))),
            ("long addresses", 0.01, 0.08, share(&residents, long)),
            ("佐藤", 0.01, 0.06, share(&residents, |r| r.name.starts_with("佐藤　"))),
            ("born on 29 February", 0.004, 0.02, share(&residents, |r| (r.birth.month(), r.birth.day()) == (2, 29))),
        ] {
            assert!((least..=most).contains(&share), "seed {seed}: {what}: {share}");
        }
        let family_names: BTreeSet<_> = residents.iter().filter_map(|r| r.name.split('　').next()).collect();
        assert!(family_names.len() > 150, "seed {seed}: {} family names", family_names.len());
        assert!(residents.iter().any(|r| r.sex == Sex::Other || age(r) > 95));
    }
}

#[test]
fn households_make_sense() {
    let residents = generate(1, 1000, today());
    let mut households: BTreeMap<&str, Vec<&Resident>> = BTreeMap::new();
    for resident in &residents {
        households.entry(&resident.address).or_default().push(resident);
    }
    let largest = households.values().map(Vec::len).max();
    assert!((350..650).contains(&households.len()), "{} households", households.len());
    assert!(largest.is_some_and(|largest| (3..=8).contains(&largest)), "{largest:?}");
    // A child lives with an adult; nobody in a household has somebody else's name.
    for members in households.values() {
        let names: BTreeSet<_> = members.iter().map(|r| &r.name).collect();
        assert!(names.len() == members.len() || members.iter().any(|r| is_foreign(r)));
    }
    for members in households.values().filter(|members| members.iter().any(|r| age(r.birth, today()) < 15)) {
        assert!(members.iter().any(|r| age(r.birth, today()) >= 20));
    }
}

#[test]
fn the_same_seed_gives_the_same_residents() {
    assert!(generate(7, 200, today()) == generate(7, 200, today()));
    assert!(generate(7, 200, today()) != generate(8, 200, today()));
    for count in [0, 1, 2] {
        assert_eq!(generate(1, count, today()).len(), count);
    }
    // On a 29 February as well.
    assert_eq!(generate(1, 300, date(2028, 2, 29)).len(), 300);
}

#[test]
fn everybody_can_apply_for_what_they_are_old_enough_for() {
    let (table, choices) = (SubstitutionTable::builtin(), ApplicationChoices::default());
    for seed in 1..=3 {
        for resident in generate(seed, 1000, today()) {
            let application = Application::from_resident(&resident, today(), table, &choices);
            assert!(application.is_ok(), "{:?}: {}", application.unwrap_err(), resident.name);
            let is_adult = age(resident.birth, today()) >= 15;
            assert_eq!(eligible(&resident, CertificateKind::Signature, today()).is_ok(), is_adult);
            assert_eq!(eligible(&resident, CertificateKind::Authentication, today()), Ok(()));
        }
    }
}

#[test]
fn lists_say_rightly_what_certificates_allow() {
    for (character, form, _, is_outside) in VARIANTS {
        assert!(is_allowed(*character), "{character}");
        assert_eq!(needs_substitute(form), *is_outside, "{form}");
    }
    assert_eq!(FAMILY_NAMES.len(), 208, "a line of the file was not read");
    let given = GENERATIONS.iter().flat_map(|g| g.men.split_whitespace().chain(g.women.split_whitespace()));
    for name in FAMILY_NAMES.iter().map(|(name, _)| *name).chain(given) {
        assert!(!needs_substitute(name), "{name}");
    }
    let names: BTreeSet<_> = FAMILY_NAMES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), FAMILY_NAMES.len());
}

#[test]
fn the_register_is_read_by_the_terminals_backend() {
    let residents = generate(1, 1000, today());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write(&residents, &mut file).unwrap();
    assert_eq!(CsvRegister::validate(file.path()).unwrap(), []);
}
