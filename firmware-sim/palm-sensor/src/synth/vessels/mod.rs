//! The veins of a palm.

mod colonisation;
mod optimisation;

use super::Family;
use super::maths::square;
use super::outline::{Outline, Point};
use super::random::{Purpose, stream};

/// A stretch of vein.
pub(super) struct Segment {
    pub(super) from: Point,
    pub(super) to: Point,
    /// Radius in mm.
    pub(super) radius: f32,
    /// Depth under the skin in mm.
    pub(super) depth: f32,
}

/// The veins that `seed` names, grown inside `outline`.
pub(super) fn grow(family: Family, seed: u64, outline: &Outline) -> Vec<Segment> {
    let rng = &mut stream(family, Purpose::Vessels, seed, 0);
    match family {
        Family::A => colonisation::grow(rng, outline),
        Family::B => optimisation::grow(rng, outline),
    }
}

fn squared_distance(a: Point, b: Point) -> f32 {
    square(a[0] - b[0]) + square(a[1] - b[1])
}
