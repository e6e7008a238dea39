//! Measures the matcher on synthetic palms, in both lights: `accuracy [IDENTITIES] [A|B] [FIRST SEED] [PEOPLE WHO FORGE]`.
//!
//! Thresholds were fixed on seeds 20000 and up of family A: measure on others. Enrolment is at level 1 with three templates;
//! each condition takes three captures a person. The figures rank methods and find regressions; they say nothing about
//! people.

use palm_vein::TWO_LIGHT_THRESHOLD;
use palm_vein::evaluation::{Bootstrap, upper_bound};
use sim_palm_sensor::synth::{Artefact, Family, Level, Negative, Veins};
use sim_palm_sensor::trial::{Gallery, Presented};

/// Captures of a person in each condition: the attempts of one transaction.
const ATTEMPTS: u64 = 3;
/// Strangers with whom each person's first capture is compared.
const STRANGERS: usize = 200;
const DRAWS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let identities: u64 = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let family = match arguments.next().as_deref() {
        None | Some("B") => Family::B,
        Some("A") => Family::A,
        Some(other) => return Err(format!("no family {other}").into()),
    };
    let first: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let forgers: usize = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let gallery = Gallery::enrol(family, first..first + identities, 3);
    println!("family {family:?}, seeds from {first}: {} of {identities} enrolled", gallery.people());

    let hands = [
        ("L0 guided", Presented::Hand(Level::L0, Veins::Normal)),
        ("L1 normal", Presented::Hand(Level::L1, Veins::Normal)),
        ("L2 hard", Presented::Hand(Level::L2, Veins::Normal)),
        ("L3 extreme", Presented::Hand(Level::L3, Veins::Normal)),
        ("L1 faint veins", Presented::Hand(Level::L1, Veins::Faint)),
        ("other skin, same veins", Presented::Negative(Negative::OtherSkinSameVeins)),
    ];
    println!("{:24}{:>8}{:>22}{:>22}{:>30}{:>12}", "", "FTA", "EER", "FNMR at threshold", "FMR", "not recogn.");
    for (name, what) in hands {
        let outcome = gallery.present(what, gallery.people(), ATTEMPTS, STRANGERS);
        let bootstrap = Bootstrap::new(&outcome.scores, DRAWS, 1);
        let (eer, rates) = (outcome.scores.equal_error_rate(), outcome.scores.rates_at(TWO_LIGHT_THRESHOLD));
        let (eers, fnmrs) =
            (bootstrap.equal_error_rate(&outcome.scores), bootstrap.fnmr_at(&outcome.scores, TWO_LIGHT_THRESHOLD));
        let bound = bootstrap.fmr_bound_at(&outcome.scores, TWO_LIGHT_THRESHOLD);
        let interval =
            |rate: f64, low: f64, high: f64| format!("{:.2} [{:.2}, {:.2}] %", 100.0 * rate, 100.0 * low, 100.0 * high);
        println!(
            "{name:24}{:>7.1}%{:>22}{:>22}{:>30}{:>6} of {}",
            100.0 * outcome.failure_to_acquire(),
            interval(eer, eers.low, eers.high),
            interval(rates.fnmr(), fnmrs.low, fnmrs.high),
            format!("{} of {} (≤ {bound:.1e})", rates.false_matches, rates.impostor),
            outcome.people - outcome.transactions_accepted,
            outcome.people,
        );
        for fmr in [1e-4, 1e-5] {
            let (at, interval) = (outcome.scores.at_fmr(fmr), bootstrap.fnmr_at_fmr(&outcome.scores, fmr));
            println!(
                "    FNMR at FMR {fmr:.0e}: {:.2} [{:.2}, {:.2}] % (threshold {:.3}, {} false matches)",
                100.0 * at.fnmr(),
                100.0 * interval.low,
                100.0 * interval.high,
                at.threshold,
                at.false_matches,
            );
        }
    }

    println!("{:24}{:>10}{:>10}{:>10}{:>20}  refused for", "", "captures", "refused", "accepted", "transactions");
    let negatives = [Negative::VeinsRemoved, Negative::SameSkinOtherVeins]
        .map(|negative| (format!("{negative:?}"), Presented::Negative(negative), gallery.people()));
    let artefacts = Artefact::ALL.map(|artefact| (format!("{artefact:?}"), Presented::Artefact(artefact), forgers));
    for (name, what, people) in negatives.into_iter().chain(artefacts) {
        let outcome = gallery.present(what, people, ATTEMPTS, 0);
        println!(
            "{name:24}{:>10}{:>10}{:>10}{:>20}  {:?}",
            outcome.captures,
            outcome.refusals(),
            format!(
                "{} ≤{:.1}%",
                outcome.accepted,
                100.0 * upper_bound(outcome.accepted as u64, outcome.captures as u64)
            ),
            format!("{} of {}", outcome.transactions_accepted, outcome.people),
            outcome.refused,
        );
    }
    Ok(())
}
