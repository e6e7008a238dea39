//! Measures the matcher on synthetic palms: error rates at the fixed threshold, equal error rate, time per operation.
//!
//! `accuracy [IDENTITIES] [FIRST SEED]`. The threshold was fixed on seeds 20000 to 20399: measure on others. Enrolment is at
//! level 1 with three templates; each condition takes three pictures a person. The figures rank methods and find
//! regressions; they say nothing about people.

use std::time::{Duration, Instant};

use palm_vein::{MATCH_THRESHOLD, Palm, PalmImage, PalmTemplate, QualityIssue, Shot, extract};
use sim_palm_sensor::synth::{Level, MICROMETRES_PER_PIXEL, PalmSeeds, Side, SyntheticPalm, Veins};

/// Pictures a person in each condition: the attempts of one transaction.
const ATTEMPTS: u64 = 3;
/// Added to a seed for the parts of somebody else.
const OTHER: u64 = 1 << 32;

struct Condition {
    name: &'static str,
    level: Level,
    veins: Veins,
    /// Whose hand it is that claims to be the enrolled person's.
    seeds: fn(u64) -> PalmSeeds,
}

fn same(seed: u64) -> PalmSeeds {
    PalmSeeds::of_person(seed, Side::Right)
}

const CONDITIONS: [Condition; 8] = [
    Condition { name: "L0 guided", level: Level::L0, veins: Veins::Normal, seeds: same },
    Condition { name: "L1 normal", level: Level::L1, veins: Veins::Normal, seeds: same },
    Condition { name: "L2 hard", level: Level::L2, veins: Veins::Normal, seeds: same },
    Condition { name: "L3 extreme", level: Level::L3, veins: Veins::Normal, seeds: same },
    Condition { name: "L1 faint veins", level: Level::L1, veins: Veins::Faint, seeds: same },
    Condition { name: "veins removed", level: Level::L1, veins: Veins::Removed, seeds: same },
    Condition {
        name: "same skin, other veins",
        level: Level::L1,
        veins: Veins::Normal,
        seeds: |seed| PalmSeeds { veins: seed + OTHER, ..same(seed) },
    },
    Condition {
        name: "other skin, same veins",
        level: Level::L1,
        veins: Veins::Normal,
        seeds: |seed| PalmSeeds { skin: seed + OTHER, ..same(seed) },
    },
];

/// The shortest times seen: what else runs on the machine only adds to them.
struct Times {
    grow: Duration,
    photograph: Duration,
    extract: Duration,
    compare: Duration,
}

fn fastest<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *time = start.elapsed().min(*time);
    result
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let identities: u64 = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let first: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let max = Duration::MAX;
    let mut times = Times { grow: max, photograph: max, extract: max, compare: max };
    let enrolled: Vec<Vec<PalmTemplate>> = (first..first + identities).map(enrol).collect();

    println!("{identities} identities from seed {first}, threshold {MATCH_THRESHOLD}");
    println!(
        "{:<24}{:>9}{:>9}{:>9}{:>10}{:>10}{:>11}{:>11}",
        "", "refused", "FNMR", "EER", "FNMR 3x3", "FMR", "impostors", "strongest"
    );
    for condition in &CONDITIONS {
        measure(condition, first, &enrolled, &mut times);
    }
    let Times { grow, photograph, extract, compare } = times;
    println!("grow {grow:.1?}, photograph {photograph:.1?}, extract {extract:.1?}, compare 1:1 {compare:.1?}");
    Ok(())
}

/// Three good captures at level 1.
fn enrol(seed: u64) -> Vec<PalmTemplate> {
    let palm = SyntheticPalm::new(same(seed));
    let captures = (1000..1100).filter_map(|take| capture(&palm, Level::L1, take, Veins::Normal).ok());
    captures.take(3).map(|palm| palm.template()).collect()
}

fn capture(palm: &SyntheticPalm, level: Level, take: u64, veins: Veins) -> Result<Palm, QualityIssue> {
    extract(&Shot::near_infrared(&palm.photograph(level, take, veins), MICROMETRES_PER_PIXEL))
}

fn measure(condition: &Condition, first: u64, enrolled: &[Vec<PalmTemplate>], times: &mut Times) {
    let (mut refused, mut failed_transactions) = (0, 0);
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (person, templates) in enrolled.iter().enumerate() {
        let seed = first + person as u64;
        let palm = fastest(&mut times.grow, || SyntheticPalm::new((condition.seeds)(seed)));
        let mut is_recognised = false;
        for take in 0..ATTEMPTS {
            let image: PalmImage =
                fastest(&mut times.photograph, || palm.photograph(condition.level, take, condition.veins));
            let start = Instant::now();
            let Ok(probe) = extract(&Shot::near_infrared(&image, MICROMETRES_PER_PIXEL)) else {
                refused += 1;
                continue;
            };
            times.extract = times.extract.min(start.elapsed());
            let scores = templates.iter().map(|template| probe.similarity(template)).collect::<Vec<_>>();
            is_recognised |= scores.iter().any(|&score| score >= MATCH_THRESHOLD);
            genuine.extend(scores.first());
            if take == 0 {
                let others = enrolled.iter().enumerate().filter(|(other, _)| *other != person);
                impostor.extend(others.filter_map(|(_, templates)| {
                    let template = templates.first()?;
                    Some(fastest(&mut times.compare, || probe.similarity(template)))
                }));
            }
        }
        failed_transactions += u32::from(!is_recognised);
    }
    let percent = |count: usize, of: usize| 100.0 * count as f32 / of.max(1) as f32;
    let missed = genuine.iter().filter(|&&score| score < MATCH_THRESHOLD).count();
    let false_matches = impostor.iter().filter(|&&score| score >= MATCH_THRESHOLD).count();
    println!(
        "{:<24}{:>8.1}%{:>8.2}%{:>8.2}%{:>9.2}%{:>10.1e}{:>11}{:>11.3}",
        condition.name,
        percent(refused, enrolled.len() * ATTEMPTS as usize),
        percent(missed, genuine.len()),
        100.0 * equal_error_rate(&mut genuine, &mut impostor),
        percent(failed_transactions as usize, enrolled.len()),
        false_matches as f32 / impostor.len().max(1) as f32,
        impostor.len(),
        impostor.last().copied().unwrap_or_default(),
    );
}

/// Where as many genuine comparisons fall below a threshold as impostors above. Sorts both.
fn equal_error_rate(genuine: &mut [f32], impostor: &mut [f32]) -> f32 {
    genuine.sort_by(f32::total_cmp);
    impostor.sort_by(f32::total_cmp);
    let rates = genuine.iter().enumerate().map(|(missed, score)| {
        let accepted = impostor.len() - impostor.partition_point(|other| other < score);
        (missed as f32 / genuine.len() as f32).max(accepted as f32 / impostor.len().max(1) as f32)
    });
    rates.fold(1.0, f32::min)
}
