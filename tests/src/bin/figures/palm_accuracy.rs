//! Error rates of the palm matcher on many synthetic people of the family that nothing was tuned on.

use std::fmt;

use madoguchi_sim::evaluation::{ErrorRates, percent};
use palm_vein::TWO_LIGHT_THRESHOLD;
use serde::Serialize;
use sim_palm_sensor::synth::{Artefact, Family, Level, Negative, Veins};
use sim_palm_sensor::trial::{Gallery, Outcome, Presented};

use crate::Figures;

const FIRST_SEED: u64 = 1_000_000;
const IDENTITIES: u64 = 600;
/// Templates of an enrolment, and captures of a transaction.
const TEMPLATES: usize = 3;
const ATTEMPTS: u64 = 3;
/// Strangers with whose templates each first capture is compared.
const STRANGERS: usize = 150;
/// People for whom artefacts are made.
const FORGED: usize = 40;
const DRAWS: usize = 300;

#[derive(Serialize)]
pub(crate) struct PalmAccuracy {
    enrolled: usize,
    hands: Vec<Hand>,
    refused: Vec<Refused>,
}

/// What came of hands that should match.
#[derive(Serialize)]
struct Hand {
    what: String,
    failure_to_acquire: f64,
    transactions: usize,
    transactions_not_accepted: usize,
    rates: ErrorRates,
}

/// What came of what should not match.
#[derive(Serialize)]
struct Refused {
    what: String,
    captures: usize,
    not_acquired: usize,
    accepted: usize,
}

impl Figures for PalmAccuracy {
    const TITLE: &'static str = "Palm veins: error rates on synthetic palms";
    const METHOD: &'static str = "600 people of family B, which nothing was tuned on; enrolled at level 1 with 3 templates; 3 captures a \
        person and condition, the first compared with 150 strangers, each with the most similar of 3 templates; rates at the matcher's own threshold; \
        intervals: 95 %, by drawing people; nothing is said about people of flesh and blood";
}

pub(crate) fn take() -> PalmAccuracy {
    let gallery = Gallery::enrol(Family::B, FIRST_SEED..FIRST_SEED + IDENTITIES, TEMPLATES);
    let hands = [
        ("level 1, normal", Presented::Hand(Level::L1, Veins::Normal)),
        ("level 2, hard", Presented::Hand(Level::L2, Veins::Normal)),
        ("level 1, faint veins", Presented::Hand(Level::L1, Veins::Faint)),
    ];
    let hands = hands.map(|(what, presented)| {
        let outcome = gallery.present(presented, gallery.people(), ATTEMPTS, STRANGERS);
        Hand {
            what: what.to_owned(),
            failure_to_acquire: outcome.failure_to_acquire(),
            transactions: outcome.people,
            transactions_not_accepted: outcome.people - outcome.transactions_accepted,
            rates: ErrorRates::of(&outcome.scores, TWO_LIGHT_THRESHOLD, DRAWS),
        }
    });
    let refused = |what: String, outcome: Outcome| Refused {
        what,
        captures: outcome.captures,
        not_acquired: outcome.refusals(),
        accepted: outcome.accepted,
    };
    let negatives = [Negative::VeinsRemoved, Negative::SameSkinOtherVeins].map(|negative| {
        let outcome = gallery.present(Presented::Negative(negative), gallery.people(), ATTEMPTS, 0);
        refused(format!("{negative:?}"), outcome)
    });
    // Frames that are put in behind the camera are the link's business.
    let artefacts = Artefact::ALL.into_iter().filter(|artefact| *artefact != Artefact::ReplayedFrames);
    let artefacts = artefacts.map(|artefact| {
        refused(format!("{artefact:?}"), gallery.present(Presented::Artefact(artefact), FORGED, ATTEMPTS, 0))
    });
    PalmAccuracy {
        enrolled: gallery.people(),
        hands: hands.into(),
        refused: negatives.into_iter().chain(artefacts).collect(),
    }
}

impl fmt::Display for PalmAccuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Hand { what, failure_to_acquire, transactions, transactions_not_accepted, rates } in &self.hands {
            let (eer, at) = (rates.equal_error_rate, rates.at_threshold);
            let interval = |low, high| format!("[{}, {}]", percent(low), percent(high));
            writeln!(
                f,
                "  {what:24} FTA {}, EER {} {}, FNMR {} {}, {} of {} strangers matched (FMR ≤ {:.1e}), not recognised in {ATTEMPTS} captures: \
                 {transactions_not_accepted} of {transactions}",
                percent(*failure_to_acquire),
                percent(eer.rate),
                interval(eer.low, eer.high),
                percent(at.fnmr.rate),
                interval(at.fnmr.low, at.fnmr.high),
                at.false_matches,
                rates.impostor,
                at.fmr_bound,
            )?;
            for at in rates.at_fmr.iter().filter(|at| at.fmr < 5e-4) {
                writeln!(
                    f,
                    "    at FMR {:.0e}: FNMR {} {}, {} false matches{}",
                    at.fmr,
                    percent(at.fnmr.rate),
                    interval(at.fnmr.low, at.fnmr.high),
                    at.false_matches,
                    if at.is_bound { ": a bound, no estimate" } else { "" },
                )?;
            }
        }
        for Refused { what, captures, not_acquired, accepted } in &self.refused {
            writeln!(
                f,
                "  {what:24} accepted {accepted} of {captures}, {not_acquired} of them refused before any comparison"
            )?;
        }
        Ok(())
    }
}
