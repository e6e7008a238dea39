//! Statistical regression of the matcher on synthetic palms. The threshold was fixed on other seeds (20000 to 20399); the
//! `accuracy` example measures more.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use palm_vein::{MATCH_THRESHOLD, Palm, PalmTemplate, QualityIssue, Shot, extract};
use sim_palm_sensor::synth::{Level, MICROMETRES_PER_PIXEL, PalmSeeds, Side, SyntheticPalm, Veins};

const FIRST_SEED: u64 = 1_000_000;
const IDENTITIES: u64 = 60;
/// How many of them also present their hand in other ways.
const NEGATIVES: usize = 40;

type Captured = Result<Palm, QualityIssue>;

/// What one person gave.
struct Person {
    seed: u64,
    enrolled: PalmTemplate,
    normal: Captured,
    otherwise: Option<Otherwise>,
}

/// Captures that should be refused, or not match.
struct Otherwise {
    extreme: Captured,
    without_veins: Captured,
    with_other_veins: Captured,
}

fn capture(palm: &SyntheticPalm, level: Level, take: u64, veins: Veins) -> Captured {
    extract(&Shot::near_infrared(&palm.photograph(level, take, veins), MICROMETRES_PER_PIXEL))
}

fn person(seed: u64) -> Person {
    let seeds = PalmSeeds::of_person(seed, Side::Right);
    let palm = SyntheticPalm::new(seeds);
    let mut good = (1000..).filter_map(|take| capture(&palm, Level::L1, take, Veins::Normal).ok());
    Person {
        seed,
        enrolled: good.next().expect("some capture is good").template(),
        normal: capture(&palm, Level::L1, 0, Veins::Normal),
        otherwise: (seed < FIRST_SEED + NEGATIVES as u64).then(|| {
            let other = SyntheticPalm::new(PalmSeeds { veins: seed + (1 << 32), ..seeds });
            Otherwise {
                extreme: capture(&palm, Level::L3, 0, Veins::Normal),
                without_veins: capture(&palm, Level::L1, 0, Veins::Removed),
                with_other_veins: capture(&other, Level::L1, 0, Veins::Normal),
            }
        }),
    }
}

/// Everybody, made by as many threads as there are processors.
fn people() -> Vec<Person> {
    let next = AtomicU64::new(FIRST_SEED);
    let people = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= FIRST_SEED + IDENTITIES {
                        break;
                    }
                    let person = person(seed);
                    people.lock().expect("no thread panicked").push(person);
                }
            });
        }
    });
    let mut people = people.into_inner().expect("no thread panicked");
    people.sort_by_key(|person| person.seed);
    people
}

/// How many of these captures were refused, and how many matched.
fn tally<'a>(captures: impl Iterator<Item = (&'a Person, &'a Captured)>) -> (usize, usize) {
    captures.fold((0, 0), |(refused, matched), (person, capture)| match capture {
        Err(_) => (refused + 1, matched),
        Ok(palm) => (refused, matched + usize::from(palm.matches(&person.enrolled))),
    })
}

#[test]
fn palms_are_told_apart_and_veinless_hands_refused() {
    let people = people();

    // Normal use: hardly a capture is refused, nearly everybody is recognised, nobody is taken for somebody else.
    let (refused, matched) = tally(people.iter().map(|person| (person, &person.normal)));
    println!("normal: {refused} of {} refused, {matched} matched", people.len());
    assert!(refused <= 3 && refused + matched >= people.len() - 1, "{refused} refused, {matched} matched");

    let pairs = people.iter().flat_map(|a| people.iter().map(move |b| (a, b))).filter(|(a, b)| a.seed != b.seed);
    let strangers: Vec<f32> =
        pairs.filter_map(|(a, b)| Some(a.normal.as_ref().ok()?.similarity(&b.enrolled))).collect();
    let strongest = strangers.iter().copied().fold(0.0, f32::max);
    println!("strangers: {} compared, the strongest at {strongest:.3}", strangers.len());
    assert!(strangers.len() > 3_000);
    assert!(strongest < MATCH_THRESHOLD, "a stranger matched at {strongest}");

    let otherwise = |get: fn(&Otherwise) -> &Captured| {
        tally(people.iter().filter_map(move |person| Some((person, get(person.otherwise.as_ref()?)))))
    };
    let (refused, matched) = otherwise(|captures| &captures.extreme);
    println!("extreme: {refused} of {NEGATIVES} refused, {matched} matched");
    assert!(refused * 2 > NEGATIVES && matched * 2 < refused, "refused for their quality rather than compared");

    let (refused, matched) = otherwise(|captures| &captures.without_veins);
    println!("veins removed: {refused} of {NEGATIVES} refused, {matched} matched");
    assert!(refused * 10 >= NEGATIVES * 9 && matched * 20 <= NEGATIVES, "creases and outline are no palm");

    let (refused, matched) = otherwise(|captures| &captures.with_other_veins);
    println!("same skin, other veins: {refused} of {NEGATIVES} refused, {matched} matched");
    assert!(matched * 20 <= NEGATIVES, "{matched} of {NEGATIVES} were recognised by their skin");
}
