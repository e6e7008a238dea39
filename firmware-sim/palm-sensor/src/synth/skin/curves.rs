//! Creases as quadratic Bézier curves.

use rand::Rng;

use super::super::outline::{Outline, Point};
use super::super::random::{Stream, normal};
use super::{Crease, depths_along};

/// Pieces in which a curve is drawn.
const PIECES: u16 = 24;

/// The creases of a palm: three principal ones, short ones, one at the base of each finger.
pub(super) fn creases(rng: &mut Stream, outline: &Outline) -> Vec<Crease> {
    let mut creases = Vec::new();
    let mut add = |rng: &mut Stream, points: [Point; 3], spread: f32, depth: f32, sigma: f32| {
        let points =
            points.map(|[x, y]| [x * outline.width + spread * normal(rng), y * outline.length + spread * normal(rng)]);
        let depth = depth * rng.gen_range(0.6..1.4);
        creases.push(curve(rng, points, depth, sigma));
    };
    // Heart, head and life line.
    add(rng, [[0.47, -0.17], [0.10, -0.14], [-0.13, -0.40]], 2.6, 0.10, 0.50);
    add(rng, [[-0.46, -0.13], [-0.05, -0.08], [0.28, 0.12]], 2.6, 0.10, 0.50);
    add(rng, [[-0.46, -0.15], [0.02, -0.10], [-0.06, 0.45]], 2.6, 0.11, 0.55);
    for _ in 0..rng.gen_range(4..=9_u8) {
        let (x, y) = (rng.gen_range(-0.4..0.4), rng.gen_range(-0.35..0.4));
        let (dx, dy) = (rng.gen_range(-0.16..0.16), rng.gen_range(-0.16..0.16));
        add(rng, [[x - dx, y - dy], [x, y], [x + dx, y + dy]], 1.5, 0.05, 0.36);
    }
    for base in outline.finger_bases() {
        let (x, y) = (base[0] / outline.width, base[1] / outline.length - 0.045);
        add(rng, [[x - 0.10, y], [x, y + 0.02], [x + 0.10, y]], 0.6, 0.09, 0.45);
    }
    creases
}

fn curve(rng: &mut Stream, [a, b, c]: [Point; 3], depth: f32, sigma: f32) -> Crease {
    let at = |t: f32| {
        [0, 1].map(|axis: usize| (1.0 - t) * (1.0 - t) * a[axis] + 2.0 * t * (1.0 - t) * b[axis] + t * t * c[axis])
    };
    let points: Vec<Point> = (0..=PIECES).map(|piece| at(f32::from(piece) / f32::from(PIECES))).collect();
    Crease { depths: depths_along(rng, &points, depth), points, sigma: sigma * rng.gen_range(0.75..1.3) }
}
