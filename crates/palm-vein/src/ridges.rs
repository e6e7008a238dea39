//! Where veins run, and in which direction: dark lines found with a bank of Gabor filters.

use std::f32::consts::PI;

use zeroize::Zeroizing;

use crate::plane::Plane;
use crate::region::ROI;

/// Filters of the bank, over half a turn.
const ORIENTATIONS: usize = 12;
/// Filters end this many pixels from their middle.
const REACH: usize = 8;

/// Steps of direction in half a turn.
pub(crate) const STEPS: u8 = 252;
/// Share of the palm that counts as vein at most: the strongest lines.
const LARGEST_SHARE: f32 = 0.42;
/// What lines are looked for, in pixels of the region (0.6 mm).
#[derive(Debug)]
pub(crate) struct LineFilter {
    /// Distance between two dark lines to which the filters answer best.
    wavelength: f32,
    /// Standard deviations of the filters' envelope across and along the line.
    envelope: [f32; 2],
    /// Contrast that a line needs to count as vein.
    least_strength: f32,
}

impl LineFilter {
    /// For what one light shows. Fixed on family A, seeds 20000 to 20399, by the facts of the first prototype.
    pub(crate) const ONE_LIGHT: Self = Self { wavelength: 8.5, envelope: [3.2, 5.0], least_strength: 0.015 };
    /// For what is left of the veins when the skin was taken out. Narrower than the above, as brown and red patches of the skin,
    /// 12 mm and more wide, are another in either light. Fixed on family A, seeds 20000 to 20039, by the distance between
    /// the weakest genuine comparison and the strongest with a hand without veins.
    pub(crate) const TWO_LIGHTS: Self = Self { wavelength: 7.0, envelope: [2.8, 5.0], least_strength: 0.010 };
}

/// The veins of a palm: for each pixel of the region the direction of the vein through it, in [`STEPS`] of half a turn
/// clockwise from the x axis, or [`Veins::NONE`].
pub(crate) struct Veins(pub(crate) Zeroizing<Vec<u8>>);

impl Veins {
    pub(crate) const NONE: u8 = 255;
}

/// Direction and strength of the dark lines of a palm.
pub(crate) struct Ridges {
    /// Direction of the line through each pixel, in [`STEPS`].
    direction: Zeroizing<Vec<u8>>,
    /// Contrast of the line through each pixel, relative to the brightness around it; 0 outside of the palm.
    pub(crate) strength: Plane,
}

/// Finds the dark lines in a contrast, as far as `inside` says that there is palm.
pub(crate) fn find(contrast: &Plane, inside: &Plane, lines: &LineFilter) -> Ridges {
    let mut direction = Zeroizing::new(vec![0; ROI * ROI]);
    let mut strength = Plane::new(ROI, ROI);
    filter(contrast, lines, |i, responses| {
        if inside.values[i] == 0.0 {
            return;
        }
        // Directions repeat after half a turn, so vectors of twice the angle can be added.
        let (mut x, mut y, mut strongest) = (0.0, 0.0, 0.0_f32);
        for (response, [cos, sin]) in responses.iter().zip(double_angles()) {
            let dark = response.max(0.0);
            x += dark * cos;
            y += dark * sin;
            strongest = strongest.max(dark);
        }
        let half_turns = y.atan2(x) / (2.0 * PI);
        direction[i] = (half_turns * f32::from(STEPS)).round().rem_euclid(f32::from(STEPS)) as u8;
        strength.values[i] = strongest;
    });
    Ridges { direction, strength }
}

impl Ridges {
    /// The lines that count as veins: the strongest, as far as they are strong enough.
    pub(crate) fn veins(&self, inside: &Plane, lines: &LineFilter) -> Veins {
        let mut strengths = Zeroizing::new(Vec::with_capacity(ROI * ROI));
        let inside = self.strength.values.iter().zip(inside.values.iter()).filter(|(_, inside)| **inside > 0.0);
        strengths.extend(inside.map(|(strength, _)| *strength));
        let weaker = ((1.0 - LARGEST_SHARE) * strengths.len() as f32) as usize;
        let mut threshold = lines.least_strength;
        if weaker < strengths.len() {
            threshold = threshold.max(*strengths.select_nth_unstable_by(weaker, f32::total_cmp).1);
        }
        let cells = self.strength.values.iter().zip(self.direction.iter());
        let cells = cells.map(|(&strength, &direction)| if strength > threshold { direction } else { Veins::NONE });
        Veins(Zeroizing::new(cells.collect()))
    }
}

fn double_angles() -> [[f32; 2]; ORIENTATIONS] {
    std::array::from_fn(|k| {
        let (sin, cos) = (2.0 * PI * k as f32 / ORIENTATIONS as f32).sin_cos();
        [cos, sin]
    })
}

/// One place of the filters and its mirror image, which has the same weights.
struct Tap {
    dx: isize,
    dy: isize,
    weights: [f32; ORIENTATIONS],
}

/// Even Gabor filters without response to brightness, as pairs of places. A filter answers with up to about half the
/// contrast of a dark line.
fn taps(lines: &LineFilter) -> Vec<Tap> {
    let LineFilter { wavelength, envelope: [sigma_across, sigma_along], .. } = *lines;
    let reach = REACH as isize;
    let mut taps: Vec<Tap> = (0..=reach)
        .flat_map(|dy| (-reach..=reach).map(move |dx| (dx, dy)))
        .filter(|&(dx, dy)| dy > 0 || dx >= 0)
        .map(|(dx, dy)| Tap { dx, dy, weights: [0.0; ORIENTATIONS] })
        .collect();
    for orientation in 0..ORIENTATIONS {
        let (sin, cos) = (PI * orientation as f32 / ORIENTATIONS as f32).sin_cos();
        let profile = |tap: &Tap| {
            let (dx, dy) = (tap.dx as f32, tap.dy as f32);
            let (along, across) = (cos * dx + sin * dy, cos * dy - sin * dx);
            // The middle is its own mirror image, and a pair counts it twice.
            let pair = if tap.dx == 0 && tap.dy == 0 { 0.5 } else { 1.0 };
            let envelope = pair * (-0.5 * ((across / sigma_across).powi(2) + (along / sigma_along).powi(2))).exp();
            [envelope, envelope * (2.0 * PI * across / wavelength).cos()]
        };
        let sums = taps.iter().map(profile).fold([0.0, 0.0], |sum, [a, b]| [sum[0] + a, sum[1] + b]);
        let weight = |tap: &Tap| {
            let [envelope, wave] = profile(tap);
            envelope * sums[1] / sums[0] - wave
        };
        let norm: f32 = taps.iter().map(|tap| weight(tap).abs()).sum();
        for tap in &mut taps {
            tap.weights[orientation] = weight(tap) / norm;
        }
    }
    taps
}

/// Runs the whole bank over a region and hands the responses of each pixel to `visit`.
fn filter(contrast: &Plane, lines: &LineFilter, mut visit: impl FnMut(usize, [f32; ORIENTATIONS])) {
    /// Pixels filtered together: as many as a vector register holds.
    const LANES: usize = 4;
    const PADDED: usize = ROI + 2 * REACH;
    let taps = taps(lines);
    let mut padded = Zeroizing::new(vec![0.0_f32; PADDED * PADDED]);
    for (y, row) in contrast.values.chunks_exact(ROI).enumerate() {
        padded[(y + REACH) * PADDED + REACH..][..ROI].copy_from_slice(row);
    }
    for y in 0..ROI {
        for x in (0..ROI).step_by(LANES) {
            let middle = (y + REACH) * PADDED + x + REACH;
            let mut responses = [[0.0_f32; LANES]; ORIENTATIONS];
            for tap in &taps {
                let offset = tap.dy * PADDED as isize + tap.dx;
                let after = &padded[middle.wrapping_add_signed(offset)..][..LANES];
                let before = &padded[middle.wrapping_add_signed(-offset)..][..LANES];
                let pair: [f32; LANES] = std::array::from_fn(|lane| after[lane] + before[lane]);
                for (response, weight) in responses.iter_mut().zip(&tap.weights) {
                    for lane in 0..LANES {
                        response[lane] += weight * pair[lane];
                    }
                }
            }
            for lane in 0..LANES {
                visit(y * ROI + x + lane, responses.map(|response| response[lane]));
            }
        }
    }
}
