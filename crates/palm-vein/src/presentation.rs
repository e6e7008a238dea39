//! Living hand or artefact: what both lights together tell of what is held before the sensor.

use crate::plane::{self, Plane};
use crate::region::{ROI, Region};
use crate::skin;

/// Structures at least as wide as veins, in pixels of the region.
const VEIN_SCALE: f32 = 1.6;

/// What sets a living hand apart from an artefact. Toner, ink and carbon absorb both lights alike; blood and skin don't. For
/// measuring the method only: who sees these figures can work towards them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Presentation {
    /// Correlation of what the two lights show at the scale of veins: 1 if they show the same, as of a print.
    pub shared: f32,
    /// Of what near-infrared light alone shows: its power at scales finer than veins, against that of veins. High where there
    /// is nothing but noise and a screen's dots.
    pub fineness: f32,
    /// How much darker the palm grows from its middle outwards: change of the logarithm of brightness over 38 mm squared. A sheet is
    /// flat, a palm is not.
    pub dome: f32,
}

/// What a living hand has, and how far hands differ: means and deviations of atanh(shared), ln(fineness), dome. Of family A,
/// seeds 20000 to 20059, levels 1 and 2, normal and faint veins.
const LIVING: [[f32; 2]; 3] = [[1.22, 0.16], [-0.63, 0.17], [-0.36, 0.06]];

impl Presentation {
    /// From this score on it is taken for an artefact. Fixed with [`LIVING`], on the same palms.
    pub const LIMIT: f32 = 30.0;

    /// How unlike a living hand: the sum of the squared deviations of all cues, in their own units.
    #[must_use]
    pub fn score(&self) -> f32 {
        let cues = [self.shared.clamp(-0.9999, 0.9999).atanh(), self.fineness.max(1e-3).ln(), self.dome];
        cues.iter().zip(LIVING).map(|(cue, [mean, deviation])| ((cue - mean) / deviation).powi(2)).sum()
    }

    /// The cues of a palm: its region in near-infrared light, and the contrasts in both lights and of the veins alone.
    pub(crate) fn of(region: &Region, near_infrared: &Plane, red: &Plane, veins: &Plane) -> Self {
        let [wide_near_infrared, wide_red, wide_veins] =
            [near_infrared, red, veins].map(|plane| plane.blurred(VEIN_SCALE));
        let product = |a: &Plane, b: &Plane| plane::product(&a.values, &b.values);
        let powers = product(&wide_near_infrared, &wide_near_infrared) * product(&wide_red, &wide_red);
        let fine = skin::fine(veins, &region.inside);
        Self {
            shared: product(&wide_near_infrared, &wide_red) / powers.sqrt().max(f32::MIN_POSITIVE),
            fineness: (product(&fine, &fine) / product(&wide_veins, &wide_veins).max(f32::MIN_POSITIVE)).sqrt(),
            dome: dome(region),
        }
    }
}

/// The slope of the logarithm of brightness over the squared distance from the middle, in half widths of the region.
fn dome(region: &Region) -> f32 {
    let (mut count, mut sums, mut squares, mut products) = (0.0, [0.0; 2], 0.0, 0.0);
    for (i, (&grey, &inside)) in region.grey.values.iter().zip(region.inside.values.iter()).enumerate() {
        if inside > 0.0 {
            let [x, y] = [i % ROI, i / ROI].map(|place| place as f32 / (0.5 * ROI as f32) - 1.0);
            let (square, brightness) = (x * x + y * y, grey.max(1.0).ln());
            count += 1.0;
            sums[0] += square;
            sums[1] += brightness;
            squares += square * square;
            products += square * brightness;
        }
    }
    let variance: f32 = count * squares - sums[0] * sums[0];
    if variance > 0.0 { (count * products - sums[0] * sums[1]) / variance } else { 0.0 }
}
