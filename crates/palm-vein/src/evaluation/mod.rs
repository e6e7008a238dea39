//! Error rates of a matcher, from the scores of its comparisons, in the terms of ISO/IEC 19795-1.
//!
//! Knows nothing of palms. A score of at least the threshold is a match. Subjects are numbers: a comparison is *genuine* (mated)
//! when reference and probe are of one subject, else it is an *impostor's* (non-mated). Captures that gave no template are
//! failures to acquire: they have no scores, and are to be reported beside these rates.
//!
//! ```
//! use palm_vein::evaluation::{Comparison, Scores};
//!
//! let score = |reference, probe, score| Comparison { reference, probe, score };
//! let scores = Scores::new([score(0, 0, 0.9), score(1, 1, 0.4), score(0, 1, 0.5), score(1, 0, 0.1)]);
//! let rates = scores.rates_at(0.45);
//! assert_eq!((rates.fmr(), rates.fnmr()), (0.5, 0.5));
//! assert_eq!(scores.equal_error_rate(), 0.5);
//! ```

mod bootstrap;
mod bounds;

use std::cmp::Ordering;

pub use bootstrap::{Bootstrap, Interval};
pub use bounds::upper_bound;

/// One comparison of a probe with a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Whose template it is.
    pub reference: u32,
    /// Whose picture it is.
    pub probe: u32,
    /// How much they agree; not NaN.
    pub score: f32,
}

impl Comparison {
    /// Are both of one subject?
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.reference == self.probe
    }
}

/// False non-match rate and false match rate at a threshold, with the counts that they are made of.
///
/// Counts are not whole where comparisons are weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// From this score on it is a match.
    pub threshold: f32,
    /// Impostors' comparisons that match.
    pub false_matches: f64,
    /// Impostors' comparisons.
    pub impostor: f64,
    /// Genuine comparisons that don't match.
    pub false_non_matches: f64,
    /// Genuine comparisons.
    pub genuine: f64,
}

impl Rates {
    /// False match rate; 0 if no impostor was compared.
    #[must_use]
    pub fn fmr(&self) -> f64 {
        ratio(self.false_matches, self.impostor)
    }

    /// False non-match rate; 0 if nobody was compared with himself.
    #[must_use]
    pub fn fnmr(&self) -> f64 {
        ratio(self.false_non_matches, self.genuine)
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The comparisons of one trial.
#[derive(Clone, Debug)]
pub struct Scores {
    /// The highest first.
    descending: Vec<Comparison>,
}

impl Scores {
    /// Takes the comparisons of a trial, in any order.
    #[must_use]
    pub fn new(comparisons: impl IntoIterator<Item = Comparison>) -> Self {
        let mut descending: Vec<Comparison> = comparisons.into_iter().collect();
        descending.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self { descending }
    }

    /// The comparisons, the highest score first.
    #[must_use]
    pub fn comparisons(&self) -> &[Comparison] {
        &self.descending
    }

    /// How many subjects have probes or references.
    #[must_use]
    pub fn subjects(&self) -> usize {
        let mut subjects: Vec<u32> = self.descending.iter().flat_map(|c| [c.reference, c.probe]).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects.len()
    }

    /// The rates at one threshold.
    #[must_use]
    pub fn rates_at(&self, threshold: f32) -> Rates {
        let accepted = self.descending.partition_point(|comparison| comparison.score >= threshold);
        let (matches, others) = self.descending.split_at(accepted);
        let genuine = |part: &[Comparison]| part.iter().filter(|c| c.is_genuine()).count();
        let (true_matches, false_non_matches) = (genuine(matches), genuine(others));
        let false_matches = matches.len() - true_matches;
        Rates {
            threshold,
            false_matches: false_matches as f64,
            impostor: (false_matches + others.len() - false_non_matches) as f64,
            false_non_matches: false_non_matches as f64,
            genuine: (true_matches + false_non_matches) as f64,
        }
    }

    /// The rates at every threshold that changes anything, from the strictest (which nothing reaches) down: the points of
    /// the DET curve.
    #[must_use]
    pub fn curve(&self) -> Vec<Rates> {
        let mut curve = Vec::new();
        self.sweep(|_| 1.0, |rates| curve.push(*rates));
        curve
    }

    /// The rate at which as many genuine comparisons fail as impostors' match: where the two rates are nearest to each other,
    /// their mean.
    #[must_use]
    pub fn equal_error_rate(&self) -> f64 {
        let mut nearest = EqualErrorRate::default();
        self.sweep(|_| 1.0, |rates| nearest.see(rates));
        nearest.rate()
    }

    /// The rates at the most lenient threshold at which the false match rate is at most `fmr`.
    #[must_use]
    pub fn at_fmr(&self, fmr: f64) -> Rates {
        let mut at = AtFmr::new(fmr);
        self.sweep(|_| 1.0, |rates| at.see(rates));
        at.rates
    }

    /// The chance that a genuine score is higher than an impostor's, a tie counted half: 1 where scores tell the two
    /// apart, 0.5 where they say nothing.
    #[must_use]
    pub fn area_under_curve(&self) -> f64 {
        let (mut area, mut before) = (0.0, None::<Rates>);
        self.sweep(
            |_| 1.0,
            |rates| {
                if let Some(before) = before {
                    let true_matches = 0.5 * ((1.0 - before.fnmr()) + (1.0 - rates.fnmr()));
                    area += (rates.fmr() - before.fmr()) * true_matches;
                }
                before = Some(*rates);
            },
        );
        area
    }

    /// Walks from the strictest threshold down, with each comparison counted `weight` times, and shows the rates at each
    /// threshold that changes anything.
    fn sweep(&self, weight: impl Fn(&Comparison) -> f64, mut see: impl FnMut(&Rates)) {
        let [mut genuine, mut impostor] = [0.0; 2];
        for comparison in &self.descending {
            *(if comparison.is_genuine() { &mut genuine } else { &mut impostor }) += weight(comparison);
        }
        let strictest =
            Rates { threshold: f32::INFINITY, false_matches: 0.0, impostor, false_non_matches: genuine, genuine };
        see(&strictest);
        let mut rates = strictest;
        for tied in self.descending.chunk_by(|a, b| a.score.total_cmp(&b.score) == Ordering::Equal) {
            rates.threshold = tied[0].score;
            for comparison in tied {
                let weight = weight(comparison);
                if comparison.is_genuine() {
                    rates.false_non_matches -= weight;
                } else {
                    rates.false_matches += weight;
                }
            }
            see(&rates);
        }
    }
}

/// Finds the equal error rate along a sweep.
struct EqualErrorRate {
    difference: f64,
    mean: f64,
}

impl Default for EqualErrorRate {
    fn default() -> Self {
        Self { difference: f64::INFINITY, mean: 0.0 }
    }
}

impl EqualErrorRate {
    fn see(&mut self, rates: &Rates) {
        let (fmr, fnmr) = (rates.fmr(), rates.fnmr());
        if (fmr - fnmr).abs() < self.difference {
            *self = Self { difference: (fmr - fnmr).abs(), mean: 0.5 * (fmr + fnmr) };
        }
    }

    fn rate(&self) -> f64 {
        self.mean
    }
}

/// Finds the most lenient threshold that keeps a false match rate along a sweep.
struct AtFmr {
    fmr: f64,
    rates: Rates,
}

impl AtFmr {
    fn new(fmr: f64) -> Self {
        let nothing =
            Rates { threshold: f32::INFINITY, false_matches: 0.0, impostor: 0.0, false_non_matches: 0.0, genuine: 0.0 };
        Self { fmr, rates: nothing }
    }

    fn see(&mut self, rates: &Rates) {
        // Along a sweep the false match rate only grows.
        if rates.fmr() <= self.fmr {
            self.rates = *rates;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scores(genuine: &[f32], impostor: &[f32]) -> Scores {
        let genuine = genuine.iter().map(|&score| Comparison { reference: 1, probe: 1, score });
        let impostor = impostor.iter().map(|&score| Comparison { reference: 1, probe: 2, score });
        Scores::new(genuine.chain(impostor))
    }

    #[test]
    fn small_cases_are_as_counted_by_hand() {
        let apart = scores(&[0.8, 0.9], &[0.1, 0.2, 0.3]);
        assert_eq!(apart.equal_error_rate(), 0.0);
        assert_eq!(apart.area_under_curve(), 1.0);
        let at = apart.at_fmr(0.0);
        assert_eq!((at.threshold, at.fnmr(), at.false_matches), (0.8, 0.0, 0.0));

        // Of four genuine scores one is below the impostors' highest, of five impostors' one above it.
        let mixed = scores(&[0.2, 0.6, 0.7, 0.8], &[0.1, 0.1, 0.15, 0.05, 0.5]);
        assert!((mixed.equal_error_rate() - 0.5 * (0.25 + 0.2)).abs() < 1e-12);
        assert_eq!(mixed.at_fmr(0.0).fnmr(), 0.25);
        assert_eq!(
            mixed.at_fmr(0.2).fnmr(),
            0.0,
            "one false match in five is allowed, and the weakest genuine one fits"
        );
        assert!((mixed.area_under_curve() - 19.0 / 20.0).abs() < 1e-12);

        let tied = scores(&[0.5, 0.5], &[0.5]);
        assert_eq!(tied.area_under_curve(), 0.5);
        assert_eq!(tied.at_fmr(0.5).fnmr(), 1.0, "a tie can't be split");
        assert_eq!(tied.rates_at(0.5).fmr(), 1.0, "the threshold itself matches");

        let nothing = scores(&[], &[]);
        assert_eq!((nothing.curve().len(), nothing.subjects()), (1, 0));
    }

    /// Rates as their definitions say, without sorting.
    fn counted(scores: &Scores, threshold: f32) -> (f64, f64) {
        let of = |genuine: bool| scores.comparisons().iter().filter(move |c| c.is_genuine() == genuine);
        let share = |hits: usize, all: usize| if all == 0 { 0.0 } else { hits as f64 / all as f64 };
        let (missed, matched) = (of(true).filter(|c| c.score < threshold), of(false).filter(|c| c.score >= threshold));
        (share(matched.count(), of(false).count()), share(missed.count(), of(true).count()))
    }

    proptest! {
        #[test]
        fn rates_are_those_of_the_definitions(
            genuine in proptest::collection::vec(0..30_u8, 1..30),
            impostor in proptest::collection::vec(0..30_u8, 1..60),
            target in 0.0..1.0_f64,
        ) {
            let unit = |draws: Vec<u8>| draws.into_iter().map(|draw| f32::from(draw) / 29.0).collect::<Vec<_>>();
            let scores = scores(&unit(genuine), &unit(impostor));
            let curve = scores.curve();
            for rates in &curve {
                prop_assert_eq!((rates.fmr(), rates.fnmr()), counted(&scores, rates.threshold));
                prop_assert_eq!(scores.rates_at(rates.threshold), *rates);
            }
            for pair in curve.windows(2) {
                prop_assert!(pair[0].threshold > pair[1].threshold);
                prop_assert!(pair[0].fmr() <= pair[1].fmr() && pair[0].fnmr() >= pair[1].fnmr());
            }
            let at = scores.at_fmr(target);
            prop_assert!(at.fmr() <= target);
            let more_lenient = curve.iter().filter(|rates| rates.threshold < at.threshold);
            prop_assert!(more_lenient.clone().all(|rates| rates.fmr() > target));
            let eer = scores.equal_error_rate();
            let gap = |rates: &Rates| (rates.fmr() - rates.fnmr()).abs();
            let narrowest = curve.iter().map(gap).fold(1.0, f64::min);
            let fits = |rates: &&Rates| gap(rates) == narrowest && 0.5 * (rates.fmr() + rates.fnmr()) == eer;
            prop_assert!(curve.iter().any(|rates| fits(&rates)));
            let pairs = |wins: fn(f32, f32) -> f64| {
                let (mut sum, mut count) = (0.0, 0.0);
                for a in scores.comparisons().iter().filter(|c| c.is_genuine()) {
                    for b in scores.comparisons().iter().filter(|c| !c.is_genuine()) {
                        sum += wins(a.score, b.score);
                        count += 1.0;
                    }
                }
                sum / count
            };
            let wins = pairs(|a, b| if a > b { 1.0 } else if a < b { 0.0 } else { 0.5 });
            prop_assert!((scores.area_under_curve() - wins).abs() < 1e-9);
        }
    }
}
