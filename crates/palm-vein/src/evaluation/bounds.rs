//! What few events say about a rate.

/// The highest rate that would let `events` or fewer be seen in `trials` with a probability of 2.5 %: the upper end of a
/// two-sided 95 % interval (Poisson). With no event it is 3.69 in `trials`.
///
/// Holds for independent trials. Comparisons that share subjects are not: their bound is wider, see
/// [`Bootstrap`](super::Bootstrap).
#[must_use]
pub fn upper_bound(events: u64, trials: u64) -> f64 {
    if trials == 0 {
        return 1.0;
    }
    // The chance of at most `events` events falls with the mean: find the mean by halving.
    let (mut low, mut high) = (events as f64, events as f64 + 10.0 * (events as f64 + 1.0).sqrt());
    for _ in 0..60 {
        let mean = 0.5 * (low + high);
        *(if chance_of_at_most(events, mean) > 0.025 { &mut low } else { &mut high }) = mean;
    }
    (high / trials as f64).min(1.0)
}

/// The chance of at most `events` events where `mean` are expected (Poisson distribution).
fn chance_of_at_most(events: u64, mean: f64) -> f64 {
    // By logarithms: the chance of none is too small for a number when many are expected.
    let mut log_term = -mean;
    let mut sum = log_term.exp();
    for count in 1..=events {
        log_term += (mean / count as f64).ln();
        sum += log_term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_tables() {
        // Garwood's exact limits of a Poisson mean, two-sided 95 %.
        for (events, mean) in [(0, 3.689), (1, 5.572), (2, 7.225), (5, 11.668), (10, 18.390), (100, 121.627)] {
            assert!((upper_bound(events, 1_000_000) * 1e6 - mean).abs() < 2e-3, "{events}");
        }
        assert_eq!(upper_bound(0, 0), 1.0);
        assert_eq!(upper_bound(3, 4), 1.0);
        assert!(upper_bound(200_000, 1_000_000) < 0.201);
    }
}
