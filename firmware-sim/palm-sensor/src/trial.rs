//! Trials of the matcher on synthetic palms: people are enrolled, hands and artefacts presented, and what came of it is counted.
//!
//! What is told of genuine hands and of what must be refused comes from the same templates and the same thresholds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use palm_vein::evaluation::{Comparison, Scores};
use palm_vein::{Palm, PalmTemplate, QualityIssue, Shot, extract};

use crate::synth::{
    Artefact, Family, Forgery, Frames, Level, MICROMETRES_PER_PIXEL, Negative, PalmSeeds, Side, SyntheticPalm, Veins,
};

/// Takes from this one on are those of an enrolment.
const ENROLMENT: u64 = 1_000;
/// Takes in which an enrolment finds its good ones.
const ENROLMENT_TAKES: u64 = 20;

/// What is held before the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The enrolled hand.
    Hand(Level, Veins),
    /// A hand with parts of the enrolled one, at [`Level::L1`].
    Negative(Negative),
    /// An artefact made from the enrolled hand, at [`Level::L1`].
    Artefact(Artefact),
}

/// People who are enrolled: the right hands of those whom the seeds name, at [`Level::L1`].
pub struct Gallery {
    family: Family,
    people: Vec<Enrolled>,
}

struct Enrolled {
    seed: u64,
    templates: Vec<PalmTemplate>,
}

/// What came of presenting one thing for each person.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Captures.
    pub captures: usize,
    /// Captures that the matcher refused, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Captures that were taken for the enrolled hand.
    pub accepted: usize,
    /// People.
    pub people: usize,
    /// People of whose captures, together one transaction, at least one was taken for the enrolled hand.
    pub transactions_accepted: usize,
    /// Comparisons, each with the most similar of the templates of one person.
    pub scores: Scores,
}

impl Outcome {
    /// How many captures were refused.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    /// Failure-to-acquire rate.
    #[must_use]
    pub fn failure_to_acquire(&self) -> f64 {
        self.refusals() as f64 / self.captures.max(1) as f64
    }
}

impl Gallery {
    /// Enrols people, each with `templates` good captures that match each other. Who gives none is not enrolled.
    #[must_use]
    pub fn enrol(family: Family, seeds: Range<u64>, templates: usize) -> Self {
        let seeds: Vec<u64> = seeds.collect();
        let people = in_parallel(&seeds, |&seed| {
            let palm = SyntheticPalm::new(seeds_of(family, seed));
            let mut good: Vec<PalmTemplate> = Vec::new();
            for take in ENROLMENT..ENROLMENT + ENROLMENT_TAKES {
                match taken(&palm.capture(Level::L1, take, Veins::Normal)) {
                    Ok(palm) if good.iter().all(|template| palm.matches(template)) => good.push(palm.template()),
                    _ => {}
                }
                if good.len() == templates {
                    return Some(Enrolled { seed, templates: good });
                }
            }
            None
        });
        Self { family, people: people.into_iter().flatten().collect() }
    }

    /// How many people are enrolled.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Presents something for each of the first `people`, `attempts` times, and compares the first capture with the
    /// templates of the `strangers` who follow in the gallery too.
    #[must_use]
    pub fn present(&self, what: Presented, people: usize, attempts: u64, strangers: usize) -> Outcome {
        let places: Vec<usize> = (0..people.min(self.people.len())).collect();
        let tried = in_parallel(&places, |&place| self.present_one(what, place, attempts, strangers));
        let mut outcome = Outcome {
            captures: places.len() * attempts as usize,
            refused: BTreeMap::new(),
            accepted: 0,
            people: places.len(),
            transactions_accepted: 0,
            scores: Scores::new([]),
        };
        let mut comparisons = Vec::new();
        for tried in tried {
            for issue in &tried.refused {
                *outcome.refused.entry(format!("{issue:?}")).or_default() += 1;
            }
            outcome.accepted += tried.accepted;
            outcome.transactions_accepted += usize::from(tried.accepted > 0);
            comparisons.extend(tried.comparisons);
        }
        outcome.scores = Scores::new(comparisons);
        outcome
    }

    fn present_one(&self, what: Presented, place: usize, attempts: u64, strangers: usize) -> Tried {
        let enrolled = &self.people[place];
        let genuine = seeds_of(self.family, enrolled.seed);
        let mut tried = Tried::default();
        let capture: Box<dyn Fn(u64) -> Frames> = match what {
            Presented::Hand(level, veins) => {
                let palm = SyntheticPalm::new(genuine);
                Box::new(move |take| palm.capture(level, take, veins))
            }
            Presented::Negative(negative) => {
                let (seeds, veins) = negative.of(genuine);
                let palm = SyntheticPalm::new(seeds);
                Box::new(move |take| palm.capture(Level::L1, take, veins))
            }
            Presented::Artefact(artefact) => {
                let forgery = Forgery::new(artefact, &SyntheticPalm::new(genuine));
                Box::new(move |take| forgery.capture(Level::L1, take))
            }
        };
        for take in 0..attempts {
            let palm = match taken(&capture(take)) {
                Ok(palm) => palm,
                Err(issue) => {
                    tried.refused.push(issue);
                    continue;
                }
            };
            tried.accepted += usize::from(enrolled.templates.iter().any(|template| palm.matches(template)));
            let strangers = if take == 0 { strangers.min(self.people.len() - 1) } else { 0 };
            for step in 0..=strangers {
                let other = (place + step) % self.people.len();
                let scores = self.people[other].templates.iter().map(|template| palm.similarity(template));
                let score = scores.fold(f32::MIN, f32::max);
                tried.comparisons.push(Comparison { reference: other as u32, probe: place as u32, score });
            }
        }
        tried
    }
}

/// What came of presenting one thing for one person.
#[derive(Default)]
struct Tried {
    refused: Vec<QualityIssue>,
    accepted: usize,
    comparisons: Vec<Comparison>,
}

fn seeds_of(family: Family, seed: u64) -> PalmSeeds {
    PalmSeeds::of_person(seed, Side::Right).in_family(family)
}

fn taken(frames: &Frames) -> Result<Palm, QualityIssue> {
    extract(&Shot::near_infrared(&frames.near_infrared, MICROMETRES_PER_PIXEL).with_red(&frames.red))
}

/// `work` on all items, by as many threads as there are processors; the results are in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, R>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let result = work(item);
                    // A thread that panicked ends the scope anyway.
                    done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(index, result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).into_values().collect()
}
