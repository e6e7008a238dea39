//! Creases as walks: each step turns a little, by the crease's own curvature, by chance, and towards the flow of the
//! skin. Some fork.

use rand::Rng;

use super::super::maths::{ln, sin_cos};
use super::super::outline::{Outline, Point};
use super::super::random::{Field, Stream, normal};
use super::{Crease, depths_along, direction};

/// Length of a step, mm.
const STEP: f32 = 1.6;

struct Walk {
    from: Point,
    /// Radians from the x axis, clockwise as pictures show it.
    heading: f32,
    /// Change of heading over the whole walk.
    turn: f32,
    /// mm.
    length: f32,
}

/// The creases of a palm: three principal ones that may fork, fine ones with and across the flow, and two at the base of
/// each finger.
pub(super) fn creases(rng: &mut Stream, outline: &Outline, flow: &Field) -> Vec<Crease> {
    let (width, length) = (outline.width, outline.length);
    let mut creases = Vec::new();
    let mut principal = |rng: &mut Stream, start: [f32; 2], heading: f32, turn: f32, reach: f32| {
        let walk = Walk {
            from: [start[0] * width + 2.5 * normal(rng), start[1] * length + 2.5 * normal(rng)],
            heading: heading + 0.10 * normal(rng),
            turn: turn + 0.15 * normal(rng),
            length: reach * width * rng.gen_range(0.8..1.15),
        };
        let depth = 0.10 * rng.gen_range(0.6..1.5);
        let points = walk.points(rng, 0.05);
        if let (true, Some(&[x, y])) = (rng.gen_bool(0.55), points.get(points.len() * 2 / 3)) {
            let side = if rng.r#gen() { 1.0 } else { -1.0 };
            let heading = walk.heading + 0.67 * walk.turn + side * rng.gen_range(0.3..0.6);
            let fork = Walk { from: [x, y], heading, turn: 0.3 * side, length: rng.gen_range(8.0..20.0) };
            let points = fork.points(rng, 0.05);
            creases.push(Crease { depths: depths_along(rng, &points, 0.7 * depth), points, sigma: 0.42 });
        }
        creases.push(Crease { depths: depths_along(rng, &points, depth), points, sigma: rng.gen_range(0.40..0.65) });
    };
    // Heart, head and life line.
    principal(rng, [0.46, -0.19], 3.05, 0.75, 0.70);
    principal(rng, [-0.42, -0.14], 0.10, 0.45, 0.75);
    principal(rng, [-0.42, -0.16], 0.15, 1.65, 0.95);
    for _ in 0..rng.gen_range(12..=26_u8) {
        let from = [rng.gen_range(-0.4..0.4) * width, rng.gen_range(-0.38..0.42) * length];
        let across = if rng.gen_bool(0.35) { 1.57 } else { 0.0 };
        let heading = direction(flow, from) + across + 0.2 * normal(rng);
        let walk = Walk { from, heading, turn: 0.3 * normal(rng), length: rng.gen_range(6.0..22.0) };
        let points = walk.points(rng, 0.10);
        // Most are shallow, a few are deep.
        let depth = (-0.028 * ln(1.0 - rng.r#gen::<f32>())).min(0.10);
        creases.push(Crease { depths: depths_along(rng, &points, depth), points, sigma: rng.gen_range(0.28..0.45) });
    }
    for [x, y] in outline.finger_bases() {
        for offset in [-6.0, -3.0] {
            let from = [x - 8.0 + normal(rng), y + offset + 0.5 * normal(rng)];
            let walk = Walk { from, heading: 0.15, turn: -0.3, length: 16.0 };
            let points = walk.points(rng, 0.03);
            creases.push(Crease { depths: depths_along(rng, &points, 0.07), points, sigma: 0.42 });
        }
    }
    creases
}

impl Walk {
    /// The points that the walk passes; `unrest` is how much each step turns by chance, in radians.
    fn points(&self, rng: &mut Stream, unrest: f32) -> Vec<Point> {
        let steps = (self.length / STEP).ceil().max(2.0);
        let mut heading = self.heading;
        let mut at = self.from;
        let mut points = vec![at];
        for _ in 0..steps as u16 {
            heading += self.turn / steps + unrest * normal(rng);
            let (sin, cos) = sin_cos(heading);
            at = [at[0] + STEP * cos, at[1] + STEP * sin];
            points.push(at);
        }
        points
    }
}
