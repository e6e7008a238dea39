//! From the pictures of a palm to an answer.

use std::fmt;
use std::time::Duration;

use palm_vein::{Shot, TWO_LIGHT_THRESHOLD, extract};
use serde::Serialize;
use sim_palm_sensor::synth::{Level, MICROMETRES_PER_PIXEL, PalmSeeds, Side, SyntheticPalm, Veins};

use crate::Figures;
use crate::rsa_peer::Rsa;
use crate::stopwatch::Stopwatch;

/// Pictures of one palm, and as many strangers.
const PICTURES: u32 = 40;

#[derive(Serialize)]
pub(crate) struct PalmTimes {
    pictures: u32,
    growth_ms: f64,
    picture_ms: f64,
    extraction_ms: f64,
    match_own_ms: f64,
    match_stranger_ms: f64,
    own_matched: u32,
    strangers_matched: u32,
    /// Against one RSA-2048 signature of crate rsa.
    extraction_to_rsa_signature: f64,
    match_to_rsa_signature: f64,
}

impl Figures for PalmTimes {
    const TITLE: &'static str = "Palm veins: synthetic pictures as in normal use";
    const METHOD: &'static str = "processor time; means over 40 pictures of one palm and one of each of 40 strangers, compared with one \
        template; RSA: signatures of crate rsa, timed alone between the pictures";
}

pub(crate) fn take() -> PalmTimes {
    let (growth, picture, extraction, own, stranger) =
        <(Stopwatch, Stopwatch, Stopwatch, Stopwatch, Stopwatch)>::default();
    let grow = |person: u64| growth.time(|| SyntheticPalm::new(PalmSeeds::of_person(person, Side::Right)));
    let palm_in = |palm: &SyntheticPalm, take: u64| {
        let frames = picture.time(|| palm.capture(Level::L1, take, Veins::Normal));
        let shot = Shot::near_infrared(&frames.near_infrared, MICROMETRES_PER_PIXEL).with_red(&frames.red);
        extraction.time(|| extract(&shot))
    };
    let enrolled = grow(0);
    let template = palm_in(&enrolled, 0).expect("a good picture").template();
    let mut rsa = Rsa::new();
    let (mut own_matched, mut strangers_matched) = (0, 0);
    let (mut own_compared, mut strangers_compared) = (0, 0);
    for number in 1..=PICTURES {
        if let Ok(palm) = palm_in(&enrolled, number.into()) {
            own_matched += u32::from(own.time(|| palm.similarity(&template)) >= TWO_LIGHT_THRESHOLD);
            own_compared += 1;
        }
        if let Ok(palm) = palm_in(&grow(number.into()), 0) {
            strangers_matched += u32::from(stranger.time(|| palm.similarity(&template)) >= TWO_LIGHT_THRESHOLD);
            strangers_compared += 1;
        }
        rsa.work();
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mean = |watch: &Stopwatch, count: u32| milliseconds(watch.read()) / f64::from(count.max(1));
    let taken = 2 * PICTURES + 1;
    let (extraction_ms, match_own_ms) = (mean(&extraction, taken), mean(&own, own_compared));
    PalmTimes {
        pictures: PICTURES,
        growth_ms: mean(&growth, PICTURES + 1),
        picture_ms: mean(&picture, taken),
        extraction_ms,
        match_own_ms,
        match_stranger_ms: mean(&stranger, strangers_compared),
        own_matched,
        strangers_matched,
        extraction_to_rsa_signature: extraction_ms / milliseconds(rsa.signature()),
        match_to_rsa_signature: match_own_ms / milliseconds(rsa.signature()),
    }
}

impl fmt::Display for PalmTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, figure: f64, unit: &str| writeln!(f, "  {name:44} {figure:8.2} {unit}");
        line("simulator: growing a palm", self.growth_ms, "ms")?;
        line("simulator: pictures in both lights", self.picture_ms, "ms")?;
        line("extraction, with the check of quality", self.extraction_ms, "ms")?;
        line("1:1 comparison, own palm", self.match_own_ms, "ms")?;
        line("1:1 comparison, a stranger's", self.match_stranger_ms, "ms")?;
        line("extraction / RSA-2048 signature", self.extraction_to_rsa_signature, "×")?;
        line("1:1 comparison / RSA-2048 signature", self.match_to_rsa_signature, "×")?;
        let Self { pictures, own_matched, strangers_matched, .. } = self;
        writeln!(f, "  matched: own palm {own_matched} of {pictures}, strangers {strangers_matched} of {pictures}")
    }
}
