//! A palm as light sees it: absorption of the veins after scattering, brightness of the skin, outline, relief. All of
//! it in the hand's own coordinates, so that a frame is this seen through a pose.

use super::Wavelength;
use super::exposure::{Blood, Look, Subject};
use super::maths::{exp, square};
use super::optics::SkinOptics;
use super::outline::{Outline, Point, segment_distance};
use super::raster::Raster;
use super::skin::Skin;
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
struct Sample {
    /// Absorbance of wide veins.
    wide: f32,
    /// Absorbance of narrow veins, which cold and posture empty first.
    narrow: f32,
    /// Logarithm of the skin's albedo.
    log_albedo: f32,
    /// Signed distance to the outline, mm, negative inside.
    outline: f32,
}

/// The maps of one palm.
pub(super) struct Tissue {
    /// One plane of samples for each wavelength.
    samples: [Vec<Sample>; 2],
    relief: Relief,
}

/// A palm as one light shows it.
pub(super) struct LitTissue<'a> {
    samples: &'a [Sample],
    relief: &'a Relief,
    /// Share of the veins' absorption that is there.
    veins: f32,
}

impl Tissue {
    /// The maps of a hand with these veins and this skin, which has these properties at each wavelength.
    pub(super) fn new(optics: [SkinOptics; 2], outline: &Outline, vessels: &[Segment], skin: &Skin) -> Self {
        let wide = absorbances(optics, vessels, |segment| segment.radius >= NARROW_BELOW);
        let narrow = absorbances(optics, vessels, |segment| segment.radius < NARROW_BELOW);
        let distances = on_coarse_grid(|point| outline.distance(point));
        let samples = [0, 1].map(|light: usize| {
            let log_albedo = skin.log_albedo(optics[light], Wavelength::ALL[light]);
            (0..FINE.width * FINE.height)
                .map(|i| Sample {
                    wide: wide[light].values[i],
                    narrow: narrow[light].values[i],
                    log_albedo: log_albedo.values[i],
                    outline: interpolate(&distances, FINE.point(i)),
                })
                .collect()
        });
        Self { samples, relief: Relief::new(outline, &distances) }
    }

    /// The palm as this light shows it, with this share of its veins' absorption.
    pub(super) fn in_light(&self, wavelength: Wavelength, veins: f32) -> LitTissue<'_> {
        let samples = match wavelength {
            Wavelength::NearInfrared => &self.samples[0],
            Wavelength::Red => &self.samples[1],
        };
        LitTissue { samples, relief: &self.relief, veins }
    }
}

impl LitTissue<'_> {
    /// The maps at `point`. Fingers and wrist go on beyond the maps' edge.
    fn sample(&self, point: Point) -> Sample {
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
}

impl Subject for LitTissue<'_> {
    fn relief(&self, point: Point) -> [f32; 3] {
        self.relief.at(point)
    }

    fn edge(&self, point: Point) -> f32 {
        self.sample(point).outline
    }

    fn look(&self, point: Point, blood: Blood) -> Look {
        let sample = self.sample(point);
        let absorbed = self.veins * (blood.wide * sample.wide + blood.narrow * sample.narrow);
        Look { edge: sample.outline, reflectance: exp(sample.log_albedo - absorbed), glow: 0.0 }
    }
}

/// Veins narrower than this (radius, mm) count as narrow.
const NARROW_BELOW: f32 = 0.75;
/// Lower limits of the layers in which veins are blurred together, mm.
const LAYERS: [f32; 4] = [0.0, 1.2, 2.2, 3.4];

/// The absorbance of the chosen veins as seen from the skin, at each wavelength: scattering blurs them the more, the
/// deeper they lie.
fn absorbances(optics: [SkinOptics; 2], vessels: &[Segment], chosen: impl Fn(&Segment) -> bool) -> [Raster; 2] {
    let mut totals = [(); 2].map(|()| Raster::filled(FINE.width, FINE.height, 0.0));
    for (layer, &top) in LAYERS.iter().enumerate() {
        let bottom = LAYERS.get(layer + 1).copied().unwrap_or(f32::MAX);
        let inside: Vec<&Segment> =
            vessels.iter().filter(|s| chosen(s) && s.depth >= top && s.depth < bottom).collect();
        if inside.is_empty() {
            continue;
        }
        let mean_depth = inside.iter().map(|s| s.depth).sum::<f32>() / inside.len() as f32;
        for (total, optics) in totals.iter_mut().zip(optics) {
            let mut plane = Raster::filled(FINE.width, FINE.height, 0.0);
            for segment in &inside {
                draw_chord(segment, optics, &mut plane);
            }
            for lobe in optics.lobes(mean_depth) {
                let mut spread = plane.clone();
                spread.blur(lobe.sigma / FINE.pitch, lobe.sigma / FINE.pitch);
                for (sum, value) in total.values.iter_mut().zip(&spread.values) {
                    *sum += lobe.weight * value;
                }
            }
        }
    }
    totals
}

/// Draws how much light a vein takes along the line of sight: chord length, weakened by the tissue above it.
fn draw_chord(segment: &Segment, optics: SkinOptics, plane: &mut Raster) {
    // A vein narrower than the grid is drawn wider and fainter, so that its area stays right.
    let radius = segment.radius.max(0.55);
    let strength = square(segment.radius / radius) * optics.blood * optics.transmission(segment.depth);
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

/// Height above the plane of the hand, mm, and its slopes along x and y, on [`COARSE`].
struct Relief(Vec<[f32; 3]>);

impl Relief {
    fn new(outline: &Outline, distances: &[f32]) -> Self {
        let heights: Vec<f32> =
            distances.iter().enumerate().map(|(i, &distance)| outline.height(COARSE.point(i), distance)).collect();
        let (width, height) = (COARSE.width, COARSE.height);
        let slopes = (0..heights.len()).map(|i| {
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
        });
        Self(slopes.collect())
    }

    fn at(&self, point: Point) -> [f32; 3] {
        let [x, y] = COARSE.position(point);
        let column = x.clamp(0.0, (COARSE.width - 1) as f32) as usize;
        let row = y.clamp(0.0, (COARSE.height - 1) as f32) as usize;
        self.0[row * COARSE.width + column]
    }
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
