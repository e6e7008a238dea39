//! The outline of a hand: where it ends, how it bulges, and where its landmarks are.
//!
//! Coordinates are millimetres from the middle of the palm, x to the right and y down, fingers up. The thumb of the
//! hand as modelled points to the left; frames of a left hand show it the other way round.

use rand::Rng;

use super::Family;
use super::maths::{bell, hypot, sin_cos};
use super::random::{Purpose, normal, stream};

/// A point in the plane of the hand, in mm.
pub(super) type Point = [f32; 2];

/// One person's hand without its inside.
pub(super) struct Outline {
    /// Width of the palm across the knuckles.
    pub(super) width: f32,
    /// Length of the palm from the wrist crease to the base of the middle finger.
    pub(super) length: f32,
    palm: [Point; 6],
    fingers: [Capsule; 4],
    thumb: Capsule,
    wrist_half_width: f32,
    thenar_height: f32,
    hypothenar_height: f32,
}

/// A finger: all points within a radius, which shrinks from `from` to `to`, of a segment.
struct Capsule {
    from: Point,
    to: Point,
    from_radius: f32,
    to_radius: f32,
}

/// What hands of a family have in common.
struct Build {
    /// Mean width of the palm, mm.
    width: f32,
    /// Mean length, in widths.
    length: f32,
    /// Corners of the palm in widths and lengths, before they are rounded off.
    palm: [Point; 6],
    /// How far the fingers are spread: least and most.
    spread: [f32; 2],
    /// Angle between the thumb and the fingers, radians.
    thumb_angle: f32,
}

impl Build {
    fn of(family: Family) -> Self {
        match family {
            Family::A => Self {
                width: 83.0,
                length: 1.18,
                palm: [[-0.31, -0.36], [0.29, -0.31], [0.36, -0.04], [0.25, 0.36], [-0.23, 0.36], [-0.36, 0.02]],
                spread: [0.7, 1.4],
                thumb_angle: 0.85,
            },
            Family::B => Self {
                width: 80.0,
                length: 1.11,
                palm: [[-0.29, -0.36], [0.28, -0.34], [0.34, -0.10], [0.30, 0.34], [-0.26, 0.34], [-0.33, -0.06]],
                spread: [0.3, 1.0],
                thumb_angle: 0.62,
            },
        }
    }
}

impl Outline {
    /// The outline of the hand that `seed` names.
    pub(super) fn new(family: Family, seed: u64) -> Self {
        let rng = &mut stream(family, Purpose::Outline, seed, 0);
        let build = Build::of(family);
        let width = (build.width + 4.5 * normal(rng)).clamp(72.0, 95.0);
        let length = width * (build.length + 0.035 * normal(rng)).clamp(build.length - 0.1, build.length + 0.1);
        let mut near =
            |x: f32, y: f32, spread: f32| [x * width + spread * normal(rng), y * length + spread * normal(rng)];
        let palm = build.palm.map(|[x, y]| near(x, y, 1.2));
        let bases = [near(-0.34, -0.44, 0.8), near(-0.11, -0.49, 0.8), near(0.12, -0.47, 0.8), near(0.34, -0.38, 0.8)];
        let thumb_base = near(-0.26, 0.20, 1.5);
        let spread = rng.gen_range(build.spread[0]..build.spread[1]);
        let girth = width * rng.gen_range(0.100..0.112);
        let mut number = 0.0;
        let fingers = bases.map(|from| {
            let angle = spread * (-0.15 + 0.13 * number) + 0.03 * normal(rng);
            let (sin, cos) = sin_cos(angle);
            let radius = girth * if number > 2.5 { 0.86 } else { 1.0 };
            number += 1.0;
            Capsule {
                from,
                to: [from[0] + 75.0 * sin, from[1] - 75.0 * cos],
                from_radius: radius,
                to_radius: radius * 0.8,
            }
        });
        let (sin, cos) = sin_cos(build.thumb_angle + 0.12 * normal(rng));
        let thumb = Capsule {
            from: thumb_base,
            to: [thumb_base[0] - 68.0 * sin, thumb_base[1] - 68.0 * cos],
            from_radius: width * 0.16,
            to_radius: width * 0.105,
        };
        Self {
            width,
            length,
            palm,
            fingers,
            thumb,
            wrist_half_width: width * rng.gen_range(0.31..0.35),
            thenar_height: rng.gen_range(5.0..9.0),
            hypothenar_height: rng.gen_range(3.5..7.0),
        }
    }

    /// Signed distance to the outline in mm, negative inside.
    pub(super) fn distance(&self, point: Point) -> f32 {
        const ROUNDING: f32 = 13.0;
        let mut distance = polygon_distance(&self.palm, point) - ROUNDING;
        let below_palm = [point[0], point[1] - self.length * 0.3];
        let wrist = if below_palm[1] > 0.0 {
            below_palm[0].abs() - self.wrist_half_width
        } else {
            hypot(below_palm[0], below_palm[1]) - self.wrist_half_width
        };
        distance = smooth_union(distance, wrist, 14.0);
        distance = smooth_union(distance, self.thumb.distance(point), 12.0);
        for finger in &self.fingers {
            distance = smooth_union(distance, finger.distance(point), 4.0);
        }
        distance
    }

    /// Height of the skin above the plane of the hand, in mm, towards the sensor; `distance` as of
    /// [`Outline::distance`].
    pub(super) fn height(&self, point: Point, distance: f32) -> f32 {
        let bump = |x: f32, y: f32, sigma: f32| {
            let (dx, dy) = ((point[0] - x * self.width) / sigma, (point[1] - y * self.length) / sigma);
            bell(hypot(dx, dy))
        };
        let mounts = 2.0 * [-0.33, -0.11, 0.12, 0.33].map(|x| bump(x, -0.38, 8.0)).iter().sum::<f32>();
        let edge_radius = 9.0;
        let from_edge = (1.0 + distance / edge_radius).clamp(0.0, 1.0);
        let roundness = 6.0 * ((1.0 - from_edge * from_edge).sqrt() - 1.0);
        self.thenar_height * bump(-0.25, 0.16, 17.0)
            + self.hypothenar_height * bump(0.27, 0.20, 18.0)
            + mounts
            + roundness
    }

    /// The bases of index, middle, ring and little finger.
    pub(super) fn finger_bases(&self) -> [Point; 4] {
        [0, 1, 2, 3].map(|finger: usize| self.fingers[finger].from)
    }

    /// Half the width of the wrist.
    pub(super) fn wrist_half_width(&self) -> f32 {
        self.wrist_half_width
    }
}

impl Capsule {
    fn distance(&self, point: Point) -> f32 {
        let (along, distance) = segment_distance(self.from, self.to, point);
        distance - (self.from_radius + along * (self.to_radius - self.from_radius))
    }
}

/// Where on the segment (0 to 1) the nearest point lies, and how far it is.
pub(super) fn segment_distance(from: Point, to: Point, point: Point) -> (f32, f32) {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let (px, py) = (point[0] - from[0], point[1] - from[1]);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    (along, hypot(px - along * dx, py - along * dy))
}

/// Signed distance to a polygon, negative inside.
fn polygon_distance(corners: &[Point], point: Point) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    for (i, &to) in corners.iter().enumerate() {
        let from = corners[(i + corners.len() - 1) % corners.len()];
        nearest = nearest.min(segment_distance(from, to, point).1);
        if (from[1] > point[1]) != (to[1] > point[1])
            && point[0] < (to[0] - from[0]) * (point[1] - from[1]) / (to[1] - from[1]) + from[0]
        {
            inside = !inside;
        }
    }
    if inside { -nearest } else { nearest }
}

/// The union of two shapes, with the corner between them filled over a width of `blend` mm.
fn smooth_union(a: f32, b: f32, blend: f32) -> f32 {
    let mix = (0.5 + 0.5 * (b - a) / blend).clamp(0.0, 1.0);
    b + (a - b) * mix - blend * mix * (1.0 - mix)
}
