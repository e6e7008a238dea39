use std::io;

use cli::{Entry, Mark, Messages, Screen};
use palm_vein::evaluation::{Bootstrap, Interval, Scores};
use serde::Serialize;

use super::percent;

/// False match rates at which the false non-match rate is told.
const TARGETS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];
/// With fewer false matches than this a rate is no estimate, but lies somewhere below a bound.
const FEW: f64 = 10.0;
/// The draws follow from it, so that the same scores give the same intervals.
const SEED: u64 = 1;

/// The error rates of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorRates {
    /// People.
    pub subjects: usize,
    /// Comparisons of a person with their own template.
    pub genuine: u64,
    /// Comparisons with somebody else's.
    pub impostor: u64,
    /// Where false matches and false non-matches are equally frequent.
    pub equal_error_rate: Measured,
    /// The false non-match rate where false matches are so rare.
    pub at_fmr: Vec<AtFmr>,
    /// Both at the matcher's own threshold.
    pub at_threshold: AtThreshold,
}

/// A rate with its 95 % interval by drawing subjects.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// As counted.
    pub rate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Measured {
    fn new(rate: f64, Interval { low, high }: Interval) -> Self {
        Self { rate, low, high }
    }
}

/// What a threshold costs that is as strict as wanted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AtFmr {
    /// The false match rate that is kept.
    pub fmr: f64,
    /// The threshold that keeps it on these comparisons; none is strict enough if absent.
    pub threshold: Option<f32>,
    /// Impostors that still match.
    pub false_matches: u64,
    /// Are there too few of them to call it an estimate?
    pub is_bound: bool,
    /// The false match rate is below this with 97.5 % confidence.
    pub fmr_bound: f64,
    /// The false non-match rate.
    pub fnmr: Measured,
}

/// Both rates at one threshold.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AtThreshold {
    /// The threshold.
    pub threshold: f32,
    /// Impostors that match.
    pub false_matches: u64,
    /// The false match rate as counted.
    pub fmr: f64,
    /// It is below this with 97.5 % confidence.
    pub fmr_bound: f64,
    /// The false non-match rate.
    pub fnmr: Measured,
}

impl ErrorRates {
    /// The rates of `scores`; intervals come from `draws` draws of subjects.
    #[must_use]
    pub fn of(scores: &Scores, threshold: f32, draws: usize) -> Self {
        let bootstrap = Bootstrap::new(scores, draws, SEED);
        let at_fmr = TARGETS.map(|fmr| {
            let rates = scores.at_fmr(fmr);
            AtFmr {
                fmr,
                threshold: rates.threshold.is_finite().then_some(rates.threshold),
                false_matches: rates.false_matches as u64,
                is_bound: rates.false_matches < FEW,
                fmr_bound: bootstrap.fmr_bound_at(scores, rates.threshold),
                fnmr: Measured::new(rates.fnmr(), bootstrap.fnmr_at_fmr(scores, fmr)),
            }
        });
        let rates = scores.rates_at(threshold);
        Self {
            subjects: scores.subjects(),
            genuine: rates.genuine as u64,
            impostor: rates.impostor as u64,
            equal_error_rate: Measured::new(scores.equal_error_rate(), bootstrap.equal_error_rate(scores)),
            at_fmr: at_fmr.to_vec(),
            at_threshold: AtThreshold {
                threshold,
                false_matches: rates.false_matches as u64,
                fmr: rates.fmr(),
                fmr_bound: bootstrap.fmr_bound_at(scores, threshold),
                fnmr: Measured::new(rates.fnmr(), bootstrap.fnmr_at(scores, threshold)),
            },
        }
    }

    pub(super) fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let interval = |measured: Measured| {
            let Measured { rate, low, high } = measured;
            format!("{} [{}, {}]", percent(rate), percent(low), percent(high))
        };
        let comparisons = messages
            .text("evaluate-comparisons", &[("genuine", self.genuine.into()), ("impostor", self.impostor.into())]);
        let rate =
            Entry::new(messages.get("evaluate-equal-error-rate"), [interval(self.equal_error_rate), comparisons]);
        screen.entry(Mark::Plain, &rate)?;
        let at = &self.at_threshold;
        let rates = [
            format!("{:.3}", at.threshold),
            format!("FNMR {}", interval(at.fnmr)),
            format!("FMR {} (≤ {})", percent(at.fmr), percent(at.fmr_bound)),
        ];
        screen.entry(Mark::Plain, &Entry::new(messages.get("evaluate-threshold"), rates))?;
        screen.gap()?;
        let columns =
            ["evaluate-fmr", "evaluate-threshold", "evaluate-false-matches", "evaluate-bound", "evaluate-fnmr"];
        let mut rows = vec![columns.map(|column| messages.get(column)).to_vec()];
        for at in &self.at_fmr {
            rows.push(vec![
                format!("{:.0e}", at.fmr),
                at.threshold.map_or("–".to_owned(), |threshold| format!("{threshold:.3}")),
                format!("{}{}", at.false_matches, if at.is_bound { " *" } else { "" }),
                percent(at.fmr_bound),
                interval(at.fnmr),
            ]);
        }
        screen.table(&rows)?;
        screen.gap()?;
        screen.text(0, &messages.get("evaluate-notes"))
    }
}

#[cfg(test)]
mod tests {
    use palm_vein::evaluation::Comparison;

    use super::*;

    #[test]
    fn few_false_matches_are_told_as_a_bound() {
        // Forty people; one is not recognised, and one pair is taken for each other.
        let pairs = (0..40).flat_map(|reference| (0..40).map(move |probe| (reference, probe)));
        let scores = Scores::new(pairs.map(|(reference, probe)| {
            let is_match = (reference == probe && probe != 3) || (reference, probe) == (5, 6);
            Comparison { reference, probe, score: if is_match { 0.8 } else { 0.2 } }
        }));
        let rates = ErrorRates::of(&scores, 0.5, 200);
        assert_eq!((rates.subjects, rates.genuine, rates.impostor), (40, 40, 1_560));
        assert_eq!(rates.at_threshold.false_matches, 1);
        assert!((rates.at_threshold.fmr - 1.0 / 1_560.0).abs() < 1e-9);
        assert!(rates.at_threshold.fmr_bound > 5.0 / 1_560.0);
        let [at_hundredth, .., at_strictest] = rates.at_fmr[..] else { panic!("several rates") };
        assert!(at_hundredth.is_bound && (at_hundredth.fnmr.rate - 1.0 / 40.0).abs() < 1e-9);
        assert!(at_hundredth.fnmr.low < 0.01 && at_hundredth.fnmr.high > 0.04);
        assert_eq!((at_strictest.threshold, at_strictest.fnmr.rate), (None, 1.0), "one in 1,560 is too many");
    }
}
