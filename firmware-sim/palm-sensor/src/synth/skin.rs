//! The skin of a palm: its brightness, the creases, the texture.

use rand::{Rng, RngCore};

use super::outline::{Outline, Point, segment_distance};
use super::random::{Field, Purpose, Stream, normal, stream};
use super::raster::Raster;
use super::tissue::{Grid, interpolate, on_coarse_grid};

/// A crease as a quadratic Bézier curve.
struct Crease {
    points: [Point; 3],
    /// Loss of light in the middle of the crease, as a natural logarithm.
    depth: f32,
    /// Half the width, mm.
    sigma: f32,
}

/// The logarithm of the skin's albedo, 0 on average, for the skin that `seed` names on the hand `outline`.
pub(super) fn log_albedo(seed: u64, outline: &Outline, grid: Grid) -> Raster {
    let rng = &mut stream(Purpose::Skin, seed, 0);
    let mut albedo = texture(rng, grid);
    let broad = Field::new(rng, 45.0);
    let fine = Field::new(rng, 17.0);
    let patches = on_coarse_grid(|[x, y]| 0.045 * broad.at(x, y) + 0.02 * fine.at(x, y));
    for (i, value) in albedo.values.iter_mut().enumerate() {
        *value += interpolate(&patches, grid.point(i));
    }
    let mut lines = Raster::filled(grid.width, grid.height, 0.0);
    for crease in creases(rng, outline) {
        crease.draw(rng, grid, &mut lines);
    }
    for (value, line) in albedo.values.iter_mut().zip(&lines.values) {
        *value -= line;
    }
    albedo
}

/// Ridges and pores: noise of two scales.
fn texture(rng: &mut Stream, grid: Grid) -> Raster {
    let mut noise = |sigma: f32, amplitude: f32| {
        let mut raster = Raster::filled(grid.width, grid.height, 0.0);
        // The sum of eight bits stands for a normal draw; blurring makes it one.
        let mut bytes = vec![0; raster.values.len()];
        rng.fill_bytes(&mut bytes);
        for (value, byte) in raster.values.iter_mut().zip(bytes) {
            *value = byte.count_ones() as f32 - 4.0;
        }
        raster.blur(sigma, sigma);
        // Blurring divides the deviation (√2 here) by 2σ√π.
        let scale = amplitude * sigma * 2.0 * 1.772 / 1.414;
        raster.values.iter_mut().for_each(|value| *value *= scale);
        raster
    };
    let mut sum = noise(0.8, 0.012);
    for (value, other) in sum.values.iter_mut().zip(&noise(2.5, 0.010).values) {
        *value += other;
    }
    sum
}

fn creases(rng: &mut Stream, outline: &Outline) -> Vec<Crease> {
    let mut creases = Vec::new();
    let mut add = |rng: &mut Stream, points: [Point; 3], spread: f32, depth: f32, sigma: f32| {
        let points =
            points.map(|[x, y]| [x * outline.width + spread * normal(rng), y * outline.length + spread * normal(rng)]);
        let depth = depth * rng.gen_range(0.6..1.4);
        creases.push(Crease { points, depth, sigma: sigma * rng.gen_range(0.75..1.3) });
    };
    // Heart, head and life line.
    add(rng, [[0.47, -0.17], [0.10, -0.14], [-0.13, -0.40]], 2.6, 0.10, 0.50);
    add(rng, [[-0.46, -0.13], [-0.05, -0.08], [0.28, 0.12]], 2.6, 0.10, 0.50);
    add(rng, [[-0.46, -0.15], [0.02, -0.10], [-0.06, 0.45]], 2.6, 0.11, 0.55);
    for _ in 0..rng.gen_range(4..=9) {
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

impl Crease {
    fn draw(&self, rng: &mut Stream, grid: Grid, lines: &mut Raster) {
        const PIECES: usize = 24;
        let strength = Field::new(rng, 22.0);
        let [a, b, c] = self.points;
        let at = |t: f32| {
            [0, 1].map(|axis: usize| (1.0 - t) * (1.0 - t) * a[axis] + 2.0 * t * (1.0 - t) * b[axis] + t * t * c[axis])
        };
        for piece in 0..PIECES {
            let (start, end) = (piece as f32 / PIECES as f32, (piece + 1) as f32 / PIECES as f32);
            let (from, to) = (at(start), at(end));
            let fade_out = (8.0 * start.min(1.0 - end)).clamp(0.25, 1.0);
            let depth = self.depth * fade_out * (1.0 + 0.35 * strength.at(from[0], from[1])).clamp(0.2, 1.6);
            grid.near_segment(from, to, 3.0 * self.sigma, |i, point| {
                let distance = segment_distance(from, to, point).1 / self.sigma;
                let line = depth * (-0.5 * distance * distance).exp();
                lines.values[i] = lines.values[i].max(line);
            });
        }
    }
}
