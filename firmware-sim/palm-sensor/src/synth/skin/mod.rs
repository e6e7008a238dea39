//! The skin of a palm: its brightness, the creases, the texture.

mod curves;
mod walks;

use rand::{Rng, RngCore};

use super::maths::{bell, sin_cos, square};
use super::optics::SkinOptics;
use super::outline::{Outline, Point, segment_distance};
use super::random::{Field, Purpose, Stream, stream};
use super::raster::Raster;
use super::tissue::{FINE, Grid, interpolate, on_coarse_grid};
use super::{Family, Wavelength};

/// The skin of one palm. Everything in it is a loss of light as a natural logarithm, or a gain.
pub(super) struct Skin {
    /// Ridges and pores.
    texture: Raster,
    /// Creases, positive where they are dark.
    creases: Raster,
    /// Brighter and darker areas in near-infrared and in red light, where melanin and blood show more.
    patches: [Vec<f32>; 2],
    /// Brightness in red light against the mean person's.
    red_brightness: f32,
}

/// A crease: a line of changing depth.
struct Crease {
    points: Vec<Point>,
    /// Loss of light in the middle of the crease, as a natural logarithm, at each point.
    depths: Vec<f32>,
    /// Half the width, mm.
    sigma: f32,
}

impl Skin {
    /// The skin that `seed` names on the hand `outline`.
    pub(super) fn new(family: Family, seed: u64, outline: &Outline) -> Self {
        let rng = &mut stream(family, Purpose::Skin, seed, 0);
        let (texture, creases) = match family {
            Family::A => (pores(rng), curves::creases(rng, outline)),
            Family::B => {
                let flow = Field::new(rng, 60.0);
                (ridges(rng, &flow), walks::creases(rng, outline, &flow))
            }
        };
        let mut lines = Raster::filled(FINE.width, FINE.height, 0.0);
        for crease in creases {
            crease.draw(FINE, &mut lines);
        }
        let [broad, fine, broad_red, fine_red] = [45.0, 17.0, 38.0, 12.0].map(|scale| Field::new(rng, scale));
        let infrared = on_coarse_grid(|[x, y]| 0.045 * broad.at(x, y) + 0.014 * fine.at(x, y));
        let red = on_coarse_grid(|[x, y]| 0.035 * broad_red.at(x, y) + 0.025 * fine_red.at(x, y));
        let red = infrared.iter().zip(red).map(|(shared, own)| 0.6 * shared + own).collect();
        let melanin = rng.gen_range(-1.0..1.0_f32);
        Self { texture, creases: lines, patches: [infrared, red], red_brightness: -0.16 * melanin }
    }

    /// The surface of a cast: no creases, little texture, the same in both lights.
    pub(super) fn cast(family: Family, seed: u64, outline: &Outline) -> Self {
        let mut skin = Self::new(family, seed, outline);
        skin.texture.values.iter_mut().for_each(|value| *value *= 0.4);
        skin.creases.values.fill(0.0);
        skin.patches[1] = skin.patches[0].clone();
        skin.red_brightness = 0.0;
        skin
    }

    /// The logarithm of the albedo in one light, at each point of [`FINE`].
    pub(super) fn log_albedo(&self, optics: SkinOptics, wavelength: Wavelength) -> Raster {
        let (patches, brightness) = match wavelength {
            Wavelength::NearInfrared => (&self.patches[0], 0.0),
            Wavelength::Red => (&self.patches[1], self.red_brightness),
        };
        let mut albedo = Raster::filled(FINE.width, FINE.height, brightness);
        for (i, value) in albedo.values.iter_mut().enumerate() {
            let relief = self.texture.values[i] - self.creases.values[i];
            *value += interpolate(patches, FINE.point(i)) + optics.relief_contrast * relief;
        }
        albedo
    }
}

/// Pores: noise of two scales without direction.
fn pores(rng: &mut Stream) -> Raster {
    let mut sum = noise(rng, [0.8, 0.8], 0.012);
    for (value, other) in sum.values.iter_mut().zip(&noise(rng, [2.5, 2.5], 0.010).values) {
        *value += other;
    }
    sum
}

/// Ridges: noise that is drawn out along the flow.
fn ridges(rng: &mut Stream, flow: &Field) -> Raster {
    let along_x = noise(rng, [2.6, 0.6], 0.018);
    let along_y = noise(rng, [0.6, 2.6], 0.018);
    let directions = on_coarse_grid(|point| square(sin_cos(direction(flow, point)).0));
    let mut sum = noise(rng, [2.2, 2.2], 0.008);
    for (i, value) in sum.values.iter_mut().enumerate() {
        let upright = interpolate(&directions, FINE.point(i));
        *value += (1.0 - upright) * along_x.values[i] + upright * along_y.values[i];
    }
    sum
}

/// Direction of the ridges at `point`, radians from the x axis.
fn direction(flow: &Field, point: Point) -> f32 {
    0.9 + 0.9 * flow.at(point[0], point[1])
}

/// Noise of standard deviation `amplitude`, blurred by `sigma` grid points along x and y.
fn noise(rng: &mut Stream, sigma: [f32; 2], amplitude: f32) -> Raster {
    let mut raster = Raster::filled(FINE.width, FINE.height, 0.0);
    // The sum of eight bits stands for a normal draw; blurring makes it one.
    let mut bytes = vec![0; raster.values.len()];
    rng.fill_bytes(&mut bytes);
    for (value, byte) in raster.values.iter_mut().zip(bytes) {
        *value = byte.count_ones() as f32 - 4.0;
    }
    raster.blur(sigma[0], sigma[1]);
    // Blurring divides the deviation (√2 here) by 2σ√π.
    let scale = amplitude * (sigma[0] * sigma[1]).sqrt() * 2.0 * 1.772 / 1.414;
    raster.values.iter_mut().for_each(|value| *value *= scale);
    raster
}

impl Crease {
    fn draw(&self, grid: Grid, lines: &mut Raster) {
        for (ends, depths) in self.points.windows(2).zip(self.depths.windows(2)) {
            grid.near_segment(ends[0], ends[1], 3.0 * self.sigma, |i, point| {
                let (along, distance) = segment_distance(ends[0], ends[1], point);
                let depth = depths[0] + along * (depths[1] - depths[0]);
                lines.values[i] = lines.values[i].max(depth * bell(distance / self.sigma));
            });
        }
    }
}

/// How deep a crease of `depth` is at `points`: shallower at its ends, and here and there.
fn depths_along(rng: &mut Stream, points: &[Point], depth: f32) -> Vec<f32> {
    let strength = Field::new(rng, 22.0);
    let last = points.len().saturating_sub(1).max(1) as f32;
    let depth_at = |(i, &[x, y]): (usize, &Point)| {
        let place = i as f32 / last;
        let fade_out = (8.0 * place.min(1.0 - place)).clamp(0.25, 1.0);
        depth * fade_out * (1.0 + 0.35 * strength.at(x, y)).clamp(0.2, 1.6)
    };
    points.iter().enumerate().map(depth_at).collect()
}
