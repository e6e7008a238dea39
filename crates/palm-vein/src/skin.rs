//! What is skin and what is vein: red light shows creases and texture as near-infrared light does, and hardly a vein. What
//! both show alike is taken out.

use crate::plane::Plane;
use crate::region::ROI;

/// Finer structures than this are skin in either light, in pixels of the region: scattering blurs veins more.
const FINE: f32 = 1.6;
/// Pixels by which a hand may have moved between the two pictures (1.8 mm).
const MOVES: isize = 3;
/// Contrast of the skin in near-infrared light as a share of that in red light: its limits.
const GAINS: [f32; 2] = [0.6, 1.0];

/// How the red picture of a palm lies under the near-infrared one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    /// By how many pixels of the region a structure of the near-infrared picture lies elsewhere in the red one.
    pub(crate) shift: [f32; 2],
    /// How well the fine structures agree there: 1 if they are the same, 0 if they have nothing in common.
    pub(crate) agreement: f32,
    /// Contrast of the fine structures in near-infrared light, as a share of that in red light.
    pub(crate) gain: f32,
}

/// Finds how far the hand moved between two pictures, from the fine structures of its skin. Both planes are contrasts, 0
/// outside of the palm; `inside` says where it is.
pub(crate) fn register(near_infrared: &Plane, red: &Plane, inside: &Plane) -> Registration {
    let (near_infrared, red) = (fine(near_infrared, inside), fine(red, inside));
    let mut products = [[0.0_f32; 2 * MOVES as usize + 1]; 2 * MOVES as usize + 1];
    let edge = MOVES as usize;
    for (row, dy) in products.iter_mut().zip(-MOVES..) {
        for (product, dx) in row.iter_mut().zip(-MOVES..) {
            for y in edge..ROI - edge {
                let from = &near_infrared.values[y * ROI + edge..][..ROI - 2 * edge];
                let start = (y * ROI + edge).wrapping_add_signed(dy * ROI as isize + dx);
                let to = &red.values[start..][..ROI - 2 * edge];
                *product += from.iter().zip(to).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }
    let (mut best, mut highest) = ([edge; 2], f32::MIN);
    for (y, row) in products.iter().enumerate() {
        for (x, &product) in row.iter().enumerate() {
            if product > highest {
                (best, highest) = ([x, y], product);
            }
        }
    }
    let at = |x: usize, y: usize| products.get(y).and_then(|row| row.get(x)).copied();
    let [x, y] = best;
    // Between pixels, the top of the parabola through the highest value and its neighbours.
    let top = |before: Option<f32>, after: Option<f32>| {
        let (Some(before), Some(after)) = (before, after) else { return 0.0 };
        let curvature = 2.0 * highest - before - after;
        if curvature > 0.0 { 0.5 * (after - before) / curvature } else { 0.0 }
    };
    let shift = [
        x as f32 - MOVES as f32 + top(at(x.wrapping_sub(1), y), at(x + 1, y)),
        y as f32 - MOVES as f32 + top(at(x, y.wrapping_sub(1)), at(x, y + 1)),
    ];
    let power = |plane: &Plane| plane.values.iter().map(|value| value * value).sum::<f32>().max(1e-12);
    let (power_near_infrared, power_red) = (power(&near_infrared), power(&red));
    Registration {
        shift,
        agreement: highest / (power_near_infrared * power_red).sqrt(),
        gain: (highest / power_red).clamp(GAINS[0], GAINS[1]),
    }
}

/// The structures of a contrast that are finer than [`FINE`].
fn fine(contrast: &Plane, inside: &Plane) -> Plane {
    let (blurred, weight) = (contrast.blurred(FINE), inside.blurred(FINE));
    let mut fine = Plane::new(ROI, ROI);
    for (i, value) in fine.values.iter_mut().enumerate() {
        if inside.values[i] > 0.0 {
            *value = contrast.values[i] - blurred.values[i] / weight.values[i].max(1e-3);
        }
    }
    fine
}

/// What near-infrared light shows and red light does not: the near-infrared contrast less `gain` times the red one.
pub(crate) fn taken_out(near_infrared: &Plane, red: &Plane, gain: f32) -> Plane {
    let mut veins = Plane::new(ROI, ROI);
    for ((vein, near_infrared), red) in veins.values.iter_mut().zip(near_infrared.values.iter()).zip(red.values.iter())
    {
        *vein = near_infrared - gain * red;
    }
    veins
}
