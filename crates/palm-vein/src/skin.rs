//! What is skin and what is vein: red light shows creases and texture as near-infrared light does, and hardly a vein. What
//! both show alike is taken out.

use crate::plane::{Plane, product};
use crate::region::ROI;

/// Finer structures than this are skin in either light, in pixels of the region: scattering blurs veins more.
const FINE: f32 = 1.6;
/// Pixels by which a hand may have moved between the two pictures (1.8 mm).
const MOVES: isize = 3;
/// Contrast of creases and texture in near-infrared light, as a share of that in red light, which wanders less under the
/// skin. A property of light and skin. Where it is set too low creases are left over, too high, they show as bright lines.
/// Fixed on family A, seeds 20000 to 20039, by the least similarity of hands with the same skin and other veins.
const GAIN: f32 = 0.77;

/// Finds how far the hand moved between two pictures, from the fine structures of its skin: by how many pixels of the region
/// what the near-infrared picture shows lies elsewhere in the red one. Both planes are contrasts, 0 outside of the palm;
/// `inside` says where it is.
pub(crate) fn movement(near_infrared: &Plane, red: &Plane, inside: &Plane) -> [f32; 2] {
    let (near_infrared, red) = (fine(near_infrared, inside), fine(red, inside));
    let mut products = [[0.0_f32; 2 * MOVES as usize + 1]; 2 * MOVES as usize + 1];
    let edge = MOVES as usize;
    for (row, dy) in products.iter_mut().zip(-MOVES..) {
        for (agreement, dx) in row.iter_mut().zip(-MOVES..) {
            for y in edge..ROI - edge {
                let from = &near_infrared.values[y * ROI + edge..][..ROI - 2 * edge];
                let start = (y * ROI + edge).wrapping_add_signed(dy * ROI as isize + dx);
                let to = &red.values[start..][..ROI - 2 * edge];
                *agreement += product(from, to);
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
        if curvature > 0.0 { (0.5 * (after - before) / curvature).clamp(-0.5, 0.5) } else { 0.0 }
    };
    [
        x as f32 - MOVES as f32 + top(at(x.wrapping_sub(1), y), at(x + 1, y)),
        y as f32 - MOVES as f32 + top(at(x, y.wrapping_sub(1)), at(x, y + 1)),
    ]
}

/// The structures of a contrast that are finer than [`FINE`].
pub(crate) fn fine(contrast: &Plane, inside: &Plane) -> Plane {
    let (blurred, weight) = (contrast.blurred(FINE), inside.blurred(FINE));
    let mut fine = Plane::new(ROI, ROI);
    for (i, value) in fine.values.iter_mut().enumerate() {
        if inside.values[i] > 0.0 {
            *value = contrast.values[i] - blurred.values[i] / weight.values[i].max(1e-3);
        }
    }
    fine
}

/// The contrast that near-infrared light shows and red light does not: the veins, less what red light shows of them.
pub(crate) fn without_skin(near_infrared: &Plane, red: &Plane) -> Plane {
    let mut veins = Plane::new(ROI, ROI);
    for ((vein, near_infrared), red) in veins.values.iter_mut().zip(near_infrared.values.iter()).zip(red.values.iter())
    {
        *vein = near_infrared - GAIN * red;
    }
    veins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(value: impl Fn(f32, f32) -> f32) -> Plane {
        let mut plane = Plane::new(ROI, ROI);
        for (i, pixel) in plane.values.iter_mut().enumerate() {
            *pixel = value((i % ROI) as f32, (i / ROI) as f32);
        }
        plane
    }

    #[test]
    fn movement_is_found_between_pixels() {
        let texture = |x: f32, y: f32| 0.02 * ((x * 1.3 + 0.4 * y).sin() + (y * 1.1 - 0.3 * x).sin() + (0.9 * x).cos());
        // Veins, which only one light shows, don't lead it astray.
        let near_infrared = plane(|x, y| texture(x, y) + 0.05 * (x / 3.0 + (y / 9.0).sin()).sin());
        for moved in [[0.0, 0.0], [0.4, -0.7], [-1.5, 1.2], [2.3, 2.0]] {
            let red = plane(|x, y| 1.3 * texture(x - moved[0], y - moved[1]));
            let found = movement(&near_infrared, &red, &plane(|_, _| 1.0));
            let apart = (found[0] - moved[0]).hypot(found[1] - moved[1]);
            assert!(apart < 0.25, "{moved:?} was found as {found:?}");
        }
    }

    #[test]
    fn what_both_lights_show_is_taken_out() {
        let crease = |x: f32, _: f32| if (x - 60.0).abs() < 1.5 { -0.10 } else { 0.0 };
        let vein = |_: f32, y: f32| if (y - 40.0).abs() < 2.5 { -0.05 } else { 0.0 };
        let near_infrared = plane(|x, y| crease(x, y) + vein(x, y));
        let red = plane(|x, y| crease(x, y) / GAIN + 0.3 * vein(x, y));
        let left = without_skin(&near_infrared, &red);
        assert!(left.values[10 * ROI + 60].abs() < 1e-3, "the crease is gone");
        assert!(left.values[40 * ROI + 20] < -0.03, "the vein is there");
    }
}
