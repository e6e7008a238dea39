//! How sure rates are: subjects are drawn again and again, with replacement, and the rates computed for each draw.

use super::{AtFmr, Comparison, EqualErrorRate, Scores, upper_bound};

/// The range in which 95 % of the draws lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// 2.5 % lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

/// Draws of subjects.
///
/// A comparison counts as often as both its subjects were drawn, the number of one multiplied by that of the other: the two-way
/// bootstrap, which knows that a person who is often taken for others shows in all comparisons with them. Comparisons of a
/// subject with itself count as often as it was drawn.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// For each draw how often each subject was drawn.
    draws: Vec<Vec<u32>>,
    /// The subjects, in order.
    subjects: Vec<u32>,
}

impl Bootstrap {
    /// `draws` draws of the subjects of `scores`. The same `seed` gives the same draws.
    #[must_use]
    pub fn new(scores: &Scores, draws: usize, seed: u64) -> Self {
        let mut subjects: Vec<u32> = scores.comparisons().iter().flat_map(|c| [c.reference, c.probe]).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut state = seed;
        let draw = |_| {
            let mut counts = vec![0; subjects.len()];
            for _ in 0..subjects.len() {
                // The high half of the product is a number below the length.
                let drawn = (u128::from(split_mix(&mut state)) * subjects.len() as u128) >> 64;
                counts[drawn as usize] += 1;
            }
            counts
        };
        let draws = (0..draws).map(draw).collect();
        Self { draws, subjects }
    }

    /// The interval of the equal error rate.
    #[must_use]
    pub fn equal_error_rate(&self, scores: &Scores) -> Interval {
        self.interval(scores, |scores, weight| {
            let mut nearest = EqualErrorRate::default();
            scores.sweep(weight, |rates| nearest.see(rates));
            nearest.rate()
        })
    }

    /// The interval of the false non-match rate at the threshold that keeps the false match rate `fmr`. The threshold is
    /// found anew in each draw.
    #[must_use]
    pub fn fnmr_at_fmr(&self, scores: &Scores, fmr: f64) -> Interval {
        self.interval(scores, |scores, weight| {
            let mut at = AtFmr::new(fmr);
            scores.sweep(weight, |rates| at.see(rates));
            at.rates.fnmr()
        })
    }

    /// The interval of the false non-match rate at a fixed threshold.
    #[must_use]
    pub fn fnmr_at(&self, scores: &Scores, threshold: f32) -> Interval {
        self.interval(scores, |scores, weight| {
            let (mut missed, mut all) = (0.0, 0.0);
            for comparison in scores.comparisons().iter().filter(|c| c.is_genuine()) {
                let weight = weight(comparison);
                all += weight;
                missed += if comparison.score < threshold { weight } else { 0.0 };
            }
            super::ratio(missed, all)
        })
    }

    /// The upper end of the 95 % interval of the false match rate at a fixed threshold: that of the draws, or that of
    /// [`upper_bound`] where it is higher, as with few events or none.
    #[must_use]
    pub fn fmr_bound_at(&self, scores: &Scores, threshold: f32) -> f64 {
        let drawn = self.interval(scores, |scores, weight| {
            let (mut matched, mut all) = (0.0, 0.0);
            for comparison in scores.comparisons().iter().filter(|c| !c.is_genuine()) {
                let weight = weight(comparison);
                all += weight;
                matched += if comparison.score >= threshold { weight } else { 0.0 };
            }
            super::ratio(matched, all)
        });
        let rates = scores.rates_at(threshold);
        drawn.high.max(upper_bound(rates.false_matches as u64, rates.impostor as u64))
    }

    fn interval(&self, scores: &Scores, rate: impl Fn(&Scores, &dyn Fn(&Comparison) -> f64) -> f64) -> Interval {
        let mut rates: Vec<f64> = Vec::with_capacity(self.draws.len());
        // Subject numbers are looked up in a table, which they index if they are small, as they are.
        let mut table = vec![0.0; self.subjects.last().map_or(0, |&last| last as usize + 1)];
        for counts in &self.draws {
            for (&subject, &count) in self.subjects.iter().zip(counts) {
                table[subject as usize] = f64::from(count);
            }
            let times = |subject: u32| table.get(subject as usize).copied().unwrap_or_default();
            let weight = |comparison: &Comparison| {
                let reference = times(comparison.reference);
                if comparison.is_genuine() { reference } else { reference * times(comparison.probe) }
            };
            rates.push(rate(scores, &weight));
        }
        rates.sort_by(f64::total_cmp);
        let at =
            |share: f64| rates.get(((rates.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or_default();
        Interval { low: at(0.025), high: at(0.975) }
    }
}

/// The next number of the generator SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECTS: u32 = 100;

    /// Each subject compared with itself and with all others; `missed` of them are not recognised, and `lambs` are taken for
    /// everybody.
    fn trial(missed: u32, lambs: u32) -> Scores {
        let all = (0..SUBJECTS).flat_map(|reference| (0..SUBJECTS).map(move |probe| (reference, probe)));
        Scores::new(all.map(|(reference, probe)| {
            let is_match = if reference == probe { reference >= missed } else { reference < lambs };
            Comparison { reference, probe, score: if is_match { 0.9 } else { 0.1 } }
        }))
    }

    #[test]
    fn intervals_are_as_wide_as_theory_says() {
        let scores = trial(10, 0);
        let bootstrap = Bootstrap::new(&scores, 2_000, 7);
        // 10 of 100: the binomial's deviation is 3 %, so 95 % lie within 5.9 % of it.
        let Interval { low, high } = bootstrap.fnmr_at(&scores, 0.5);
        assert!((low - 0.041).abs() < 0.015 && (high - 0.159).abs() < 0.015, "{low} {high}");
        let at_fmr = bootstrap.fnmr_at_fmr(&scores, 0.01);
        assert_eq!(at_fmr, Interval { low, high }, "the threshold does not depend on the draw here");
        let eer = bootstrap.equal_error_rate(&scores);
        assert!((eer.low - 0.5 * low).abs() < 1e-9 && (eer.high - 0.5 * high).abs() < 1e-9, "{eer:?}");
    }

    #[test]
    fn a_few_people_who_look_like_everybody_make_the_bound_wide() {
        let scores = trial(0, 1);
        let bootstrap = Bootstrap::new(&scores, 2_000, 7);
        let rates = scores.rates_at(0.5);
        assert_eq!(rates.fmr(), 0.01);
        // As if all were independent, 99 of 9,900 would be known to 20 %; but all are of one person, who may be drawn three times.
        assert!(upper_bound(99, 9_900) < 0.0125);
        assert!(bootstrap.fmr_bound_at(&scores, 0.5) > 0.025);
        let none = trial(0, 0);
        let bound = Bootstrap::new(&none, 100, 7).fmr_bound_at(&none, 0.5);
        assert!((bound - upper_bound(0, 9_900)).abs() < 1e-12, "no event is no proof of a rate of 0");
    }

    #[test]
    fn draws_follow_from_the_seed() {
        let scores = trial(10, 3);
        let interval = |seed| Bootstrap::new(&scores, 50, seed).fnmr_at(&scores, 0.5);
        assert_eq!(interval(3), interval(3));
        // First output of SplitMix64 for seed 0, as in other implementations.
        assert_eq!(split_mix(&mut 0), 0xE220_A839_7B1D_CDAF);
        let nobody = Scores::new([]);
        assert_eq!(Bootstrap::new(&nobody, 10, 1).equal_error_rate(&nobody), Interval { low: 0.0, high: 0.0 });
    }
}
