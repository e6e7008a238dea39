//! A palm as light sees it: absorption of the veins after scattering, brightness of the skin, outline, relief. All of
//! it in the hand's own coordinates, so that a frame is this seen through a pose.

use super::outline::{Outline, Point, segment_distance};
use super::raster::Raster;
use super::skin;
use super::vessels::Segment;

/// A grid of points over the hand.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Distance of neighbours, mm.
    pub(super) pitch: f32,
}

/// The grid of the maps: 200 × 160 mm.
pub(super) const FINE: Grid = Grid { width: 500, height: 400, pitch: 0.4 };
/// The grid of the relief.
pub(super) const COARSE: Grid = Grid { width: 126, height: 101, pitch: 1.6 };

impl Grid {
    /// The point with index `i`, in mm from the middle.
    pub(super) fn point(self, i: usize) -> Point {
        let (x, y) = (i % self.width, i / self.width);
        [
            (x as f32 - 0.5 * (self.width - 1) as f32) * self.pitch,
            (y as f32 - 0.5 * (self.height - 1) as f32) * self.pitch,
        ]
    }

    /// Where `point` lies, in grid units from the first.
    pub(super) fn position(self, point: Point) -> Point {
        [point[0] / self.pitch + 0.5 * (self.width - 1) as f32, point[1] / self.pitch + 0.5 * (self.height - 1) as f32]
    }

    /// Calls `visit` with index and place of every point in the rectangle that lies `reach` mm around a segment.
    pub(super) fn near_segment(self, from: Point, to: Point, reach: f32, mut visit: impl FnMut(usize, Point)) {
        let low = self.position([from[0].min(to[0]) - reach, from[1].min(to[1]) - reach]);
        let high = self.position([from[0].max(to[0]) + reach, from[1].max(to[1]) + reach]);
        let range = |axis: usize, size: usize| {
            let start = low[axis].ceil().max(0.0) as usize;
            let end = (high[axis].floor() + 1.0).clamp(0.0, size as f32) as usize;
            start..end.max(start)
        };
        for y in range(1, self.height) {
            for x in range(0, self.width) {
                let i = y * self.width + x;
                visit(i, self.point(i));
            }
        }
    }
}

/// What a frame samples at a point of the hand.
#[derive(Clone, Copy, Default)]
pub(super) struct Sample {
    /// Absorbance of wide veins.
    pub(super) wide: f32,
    /// Absorbance of narrow veins, which cold and posture empty first.
    pub(super) narrow: f32,
    /// Logarithm of the skin's albedo.
    pub(super) log_albedo: f32,
    /// Signed distance to the outline, mm, negative inside.
    pub(super) outline: f32,
}

/// The maps of one palm.
pub(super) struct Tissue {
    samples: Vec<Sample>,
    /// Height above the plane of the hand and its two derivatives, on [`COARSE`].
    relief: Vec<[f32; 3]>,
}

impl Tissue {
    /// The maps of a hand with these veins, whose skin `skin_seed` names.
    pub(super) fn new(outline: &Outline, vessels: &[Segment], skin_seed: u64) -> Self {
        let wide = absorbance(vessels, |segment| segment.radius >= NARROW_BELOW);
        let narrow = absorbance(vessels, |segment| segment.radius < NARROW_BELOW);
        let log_albedo = skin::log_albedo(skin_seed, outline, FINE);
        let distances = on_coarse_grid(|point| outline.distance(point));
        let samples = (0..FINE.width * FINE.height)
            .map(|i| Sample {
                wide: wide.values[i],
                narrow: narrow.values[i],
                log_albedo: log_albedo.values[i],
                outline: interpolate(&distances, FINE.point(i)),
            })
            .collect();
        Self { samples, relief: relief(outline, &distances) }
    }

    /// The maps at `point`. Fingers and wrist go on beyond the maps' edge.
    pub(super) fn sample(&self, point: Point) -> Sample {
        let [x, y] = FINE.position(point);
        let (x, y) = (x.clamp(0.0, FINE.width as f32 - 1.001), y.clamp(0.0, FINE.height as f32 - 1.001));
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let i = row * FINE.width + column;
        let [a, b] = [self.samples[i], self.samples[i + 1]];
        let [c, d] = [self.samples[i + FINE.width], self.samples[i + FINE.width + 1]];
        let mix = |get: fn(&Sample) -> f32| {
            let (top, bottom) = (get(&a) + fx * (get(&b) - get(&a)), get(&c) + fx * (get(&d) - get(&c)));
            top + fy * (bottom - top)
        };
        Sample {
            wide: mix(|s| s.wide),
            narrow: mix(|s| s.narrow),
            log_albedo: mix(|s| s.log_albedo),
            outline: mix(|s| s.outline),
        }
    }

    /// Height above the plane of the hand at `point`, mm, and its slope along x and y.
    pub(super) fn relief(&self, point: Point) -> [f32; 3] {
        let [x, y] = COARSE.position(point);
        let column = x.clamp(0.0, (COARSE.width - 1) as f32) as usize;
        let row = y.clamp(0.0, (COARSE.height - 1) as f32) as usize;
        self.relief[row * COARSE.width + column]
    }
}

/// Veins narrower than this (radius, mm) count as narrow.
const NARROW_BELOW: f32 = 0.75;
/// Loss of contrast per mm of depth.
const ATTENUATION: f32 = 0.42;
/// Absorbance per mm of blood.
const ABSORPTION: f32 = 0.46;
/// Lower limits of the layers in which veins are blurred together, mm.
const LAYERS: [f32; 4] = [0.0, 1.2, 2.2, 3.4];

/// The absorbance of the chosen veins as seen from the skin: scattering blurs them the more, the deeper they lie.
fn absorbance(vessels: &[Segment], chosen: impl Fn(&Segment) -> bool) -> Raster {
    let mut total = Raster::filled(FINE.width, FINE.height, 0.0);
    for (layer, &top) in LAYERS.iter().enumerate() {
        let bottom = LAYERS.get(layer + 1).copied().unwrap_or(f32::MAX);
        let inside: Vec<&Segment> =
            vessels.iter().filter(|s| chosen(s) && s.depth >= top && s.depth < bottom).collect();
        if inside.is_empty() {
            continue;
        }
        let mut plane = Raster::filled(FINE.width, FINE.height, 0.0);
        for segment in &inside {
            draw_chord(segment, &mut plane);
        }
        let mean_depth = inside.iter().map(|s| s.depth).sum::<f32>() / inside.len() as f32;
        let sigma = (0.28 + 0.42 * mean_depth) / FINE.pitch;
        plane.blur(sigma, sigma);
        for (sum, value) in total.values.iter_mut().zip(&plane.values) {
            *sum += value;
        }
    }
    total
}

/// Draws how much light a vein takes along the line of sight: chord length, weakened by the tissue above it.
fn draw_chord(segment: &Segment, plane: &mut Raster) {
    // A vein narrower than the grid is drawn wider and fainter, so that its area stays right.
    let radius = segment.radius.max(0.55);
    let strength = (segment.radius / radius).powi(2) * ABSORPTION * (-ATTENUATION * segment.depth).exp();
    FINE.near_segment(segment.from, segment.to, radius, |i, point| {
        let distance = segment_distance(segment.from, segment.to, point).1;
        if distance < radius {
            let chord = 2.0 * (radius * radius - distance * distance).sqrt();
            plane.values[i] = plane.values[i].max(strength * chord);
        }
    });
}

/// The values of a smooth function on [`COARSE`].
pub(super) fn on_coarse_grid(function: impl Fn(Point) -> f32) -> Vec<f32> {
    (0..COARSE.width * COARSE.height).map(|i| function(COARSE.point(i))).collect()
}

fn relief(outline: &Outline, distances: &[f32]) -> Vec<[f32; 3]> {
    let heights: Vec<f32> =
        distances.iter().enumerate().map(|(i, &distance)| outline.height(COARSE.point(i), distance)).collect();
    let (width, height) = (COARSE.width, COARSE.height);
    (0..heights.len())
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let slope = |before: usize, after: usize, steps: usize| {
                (heights[after] - heights[before]) / (steps.max(1) as f32 * COARSE.pitch)
            };
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
            [
                heights[i],
                slope(y * width + left, y * width + right, right - left),
                slope(above * width + x, below * width + x, below - above),
            ]
        })
        .collect()
}

/// The value at `point` of a function given on [`COARSE`]; the border's values go on outside.
pub(super) fn interpolate(values: &[f32], point: Point) -> f32 {
    let [x, y] = COARSE.position(point);
    let x = x.clamp(0.0, COARSE.width as f32 - 1.001);
    let y = y.clamp(0.0, COARSE.height as f32 - 1.001);
    let (column, row) = (x as usize, y as usize);
    let (fx, fy) = (x - column as f32, y - row as f32);
    let i = row * COARSE.width + column;
    let top = values[i] + fx * (values[i + 1] - values[i]);
    let bottom = values[i + COARSE.width] + fx * (values[i + COARSE.width + 1] - values[i + COARSE.width]);
    top + fy * (bottom - top)
}
