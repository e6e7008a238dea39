//! What differs from one take of a palm to the next, and the picture that comes of it.

use std::f32::consts::TAU;

use palm_vein::PalmImage;
use rand::{Rng, RngCore};
use zeroize::Zeroize;

use super::Level;
use super::random::{Field, Purpose, Stream, normal, stream};
use super::raster::Raster;
use super::tissue::Tissue;

/// Edge of a pixel at the nominal distance, mm.
pub(super) const PIXEL: f32 = 0.28;
/// Nominal distance of the palm from the sensor, mm.
const DISTANCE: f32 = 50.0;
/// Radius of the ring of LEDs around the lens, mm.
const LED_RING: f32 = 32.0;
/// How many LEDs there are.
const LEDS: u8 = 8;
/// Grey level of the middle of a palm at normal exposure.
const PALM_GREY: f32 = 152.0;
/// Grey level where there is nothing.
const BACKGROUND_GREY: f32 = 9.0;
/// Pose, light and warp are computed every so many pixels and interpolated.
const CELL: usize = 8;
/// No part of a cell is hand when its corners are so far outside, mm.
const FAR_OUTSIDE: f32 = 6.0;

/// How much takes of a level differ. Lengths in mm, angles in degrees.
struct Spread {
    rotation: f32,
    shift: f32,
    scale: f32,
    tilt: f32,
    warp: f32,
    dilation: f32,
    fade: f32,
    blur: f32,
    exposure: f32,
    noise: f32,
    occlusion: f64,
}

impl Level {
    fn spread(self) -> Spread {
        let spread = |v: [f32; 10], occlusion: f64| Spread {
            rotation: v[0],
            shift: v[1],
            scale: v[2],
            tilt: v[3],
            warp: v[4],
            dilation: v[5],
            fade: v[6],
            blur: v[7],
            exposure: v[8],
            noise: v[9],
            occlusion,
        };
        match self {
            Self::L0 => spread([3.0, 3.0, 0.02, 0.02, 0.3, 0.06, 0.15, 0.4, 0.06, 0.6], 0.0),
            Self::L1 => spread([6.0, 6.0, 0.05, 0.05, 0.8, 0.12, 0.30, 0.8, 0.15, 1.0], 0.05),
            Self::L2 => spread([10.0, 9.0, 0.08, 0.09, 1.4, 0.20, 0.50, 1.3, 0.30, 1.6], 0.20),
            Self::L3 => spread([14.0, 13.0, 0.12, 0.14, 2.2, 0.30, 0.75, 2.0, 0.45, 2.6], 0.50),
        }
    }
}

/// What covers part of the palm or of the window.
enum Occlusion {
    /// A bright strip that hides the veins.
    Plaster,
    /// Grease on the window: contrast is lost.
    Smear,
    /// A shadow falls on the palm.
    Shadow,
}

/// One take: the state of the hand and the camera while a picture is taken.
struct Take {
    rotation: f32,
    shift: [f32; 2],
    scale: f32,
    tilt: [f32; 2],
    warp: [[Field; 2]; 2],
    warp_amplitude: f32,
    dilation: f32,
    fade: Field,
    fade_amplitude: f32,
    blur: [f32; 2],
    exposure: f32,
    noise: f32,
    occlusion: Option<(Occlusion, [f32; 2], f32)>,
    specular: Option<[f32; 2]>,
    mirrored: bool,
}

/// Pose and light at a corner of a cell.
#[derive(Clone, Copy, Default)]
struct Corner {
    hand: [f32; 2],
    light: f32,
    wide_gain: f32,
    narrow_gain: f32,
    /// Signed distance to the outline, mm.
    outline: f32,
}

/// Takes a picture of a palm. `veins` scales the absorption of the veins (1 as they are, 0 none).
pub(super) fn photograph(tissue: &Tissue, mirrored: bool, veins: f32, level: Level, seed: u64, take: u64) -> PalmImage {
    let rng = &mut stream(Purpose::Take, seed, take.wrapping_mul(4).wrapping_add(level as u64));
    let take = Take::draw(rng, level, mirrored);
    let mut light = take.expose(tissue, veins);
    light.blur(take.blur[0], take.blur[1]);
    take.read_out(rng, &light)
}

impl Take {
    fn draw(rng: &mut Stream, level: Level, mirrored: bool) -> Self {
        let spread = level.spread();
        // The table's figures are 1.6 standard deviations.
        let mut vary = |range: f32| range * (normal(rng) / 1.6).clamp(-1.3, 1.3);
        let rotation = vary(spread.rotation).to_radians();
        let shift = [vary(spread.shift), vary(spread.shift)];
        let scale = 1.0 + vary(spread.scale);
        let tilt = [vary(spread.tilt), vary(spread.tilt)];
        let dilation = vary(spread.dilation);
        let exposure = vary(spread.exposure).exp();
        let focus = spread.blur * rng.gen_range(0.5..1.0);
        let motion = spread.blur * rng.gen_range(0.0..0.8);
        let blur = if rng.r#gen() { [focus + motion, focus] } else { [focus, focus + motion] };
        let occlusion = rng.gen_bool(spread.occlusion).then(|| {
            let kind = match rng.gen_range(0..3) {
                0 => Occlusion::Plaster,
                1 => Occlusion::Smear,
                _ => Occlusion::Shadow,
            };
            let place = [rng.gen_range(-25.0..25.0), rng.gen_range(-28.0..28.0)];
            (kind, place, rng.gen_range(0.0..TAU))
        });
        let specular = rng.gen_bool(0.3).then(|| [rng.gen_range(-20.0..20.0), rng.gen_range(-20.0..20.0)]);
        Self {
            rotation,
            shift,
            scale,
            tilt,
            warp: [[(); 2].map(|()| Field::new(rng, 55.0)), [(); 2].map(|()| Field::new(rng, 22.0))],
            warp_amplitude: spread.warp,
            dilation,
            fade: Field::new(rng, 40.0),
            fade_amplitude: spread.fade,
            blur,
            exposure,
            noise: spread.noise,
            occlusion,
            specular,
            mirrored,
        }
    }

    /// Light on the chip before the lens has blurred it, in grey levels.
    fn expose(&self, tissue: &Tissue, veins: f32) -> Raster {
        let (columns, rows) = (PalmImage::WIDTH / CELL, PalmImage::HEIGHT / CELL);
        let corners: Vec<Corner> = (0..=rows)
            .flat_map(|row| (0..=columns).map(move |column| (column, row)))
            .map(|(column, row)| self.corner(tissue, veins, (column * CELL) as f32, (row * CELL) as f32))
            .collect();
        let mut light = Raster::filled(PalmImage::WIDTH, PalmImage::HEIGHT, 0.0);
        for (y, line) in light.values.chunks_exact_mut(PalmImage::WIDTH).enumerate() {
            let fy = (y % CELL) as f32 / CELL as f32;
            let above = &corners[y / CELL * (columns + 1)..][..=columns];
            let below = &corners[(y / CELL + 1) * (columns + 1)..][..=columns];
            for (column, cell) in line.chunks_exact_mut(CELL).enumerate() {
                let left = above[column].towards(below[column], fy);
                let right = above[column + 1].towards(below[column + 1], fy);
                if left.outline.min(right.outline) > FAR_OUTSIDE {
                    cell.fill(BACKGROUND_GREY);
                    continue;
                }
                for (x, value) in cell.iter_mut().enumerate() {
                    let corner = left.towards(right, x as f32 / CELL as f32);
                    *value = skin_light(tissue, corner);
                }
            }
        }
        self.cover(&mut light);
        light
    }

    /// Where the ray through pixel (`x`, `y`) meets the hand, and how bright it is there.
    fn corner(&self, tissue: &Tissue, veins: f32, x: f32, y: f32) -> Corner {
        let on_sensor = [(x - 0.5 * PalmImage::WIDTH as f32) * PIXEL, (y - 0.5 * PalmImage::HEIGHT as f32) * PIXEL];
        // Perspective: a nearer hand is larger, and a tilted one larger at its near side.
        let (dx, dy) = (on_sensor[0] - self.shift[0], on_sensor[1] - self.shift[1]);
        let distance = DISTANCE / self.scale + self.tilt[0] * dx + self.tilt[1] * dy;
        let magnification = DISTANCE / distance;
        let (sin, cos) = self.rotation.sin_cos();
        let turned = [(cos * dx + sin * dy) / magnification, (cos * dy - sin * dx) / magnification];
        let [x, y] = turned;
        let warp = [0, 1].map(|axis: usize| {
            self.warp_amplitude * (0.8 * self.warp[0][axis].at(x, y) + 0.35 * self.warp[1][axis].at(x, y))
        });
        let mut hand = [x + warp[0], y + warp[1]];
        if self.mirrored {
            hand[0] = -hand[0];
        }

        let [height, slope_x, slope_y] = tissue.relief(hand);
        let slope_x = if self.mirrored { -slope_x } else { slope_x };
        let normal = [-slope_x - self.tilt[0], -slope_y - self.tilt[1], 1.0];
        let normal_length = (normal[0].powi(2) + normal[1].powi(2) + 1.0).sqrt();
        let z = distance - height;
        let irradiance: f32 = (0..LEDS)
            .map(|led| {
                let (sin, cos) = (TAU * f32::from(led) / f32::from(LEDS)).sin_cos();
                let to_led = [LED_RING * cos - on_sensor[0], LED_RING * sin - on_sensor[1], z];
                let square = to_led.iter().map(|c| c * c).sum::<f32>();
                let lambert = (to_led[0] * normal[0] + to_led[1] * normal[1] + z) / normal_length;
                lambert.max(0.0) * z / square.powi(2)
            })
            .sum();
        let nominal_square = DISTANCE * DISTANCE + LED_RING * LED_RING;
        let nominal = f32::from(LEDS) * DISTANCE * DISTANCE / nominal_square.powi(2);
        // Light that has wandered through the hand fills the shadows.
        let fill = 0.18 * (DISTANCE / z).powi(2);
        let fade = self.fade_amplitude * 0.5 * (1.0 + self.fade.at(hand[0], hand[1])).clamp(0.0, 2.0);
        Corner {
            hand,
            light: PALM_GREY * self.exposure * (0.82 * irradiance / nominal + fill),
            wide_gain: veins * (1.0 + self.dilation) * (1.0 - 0.6 * fade),
            narrow_gain: (veins * (1.0 + 2.0 * self.dilation) * (1.0 - fade)).max(0.0),
            outline: tissue.sample(hand).outline,
        }
    }

    /// Lays plaster, smear, shadow and glare over the picture.
    fn cover(&self, light: &mut Raster) {
        let offset = |i: usize, centre: [f32; 2]| {
            let (x, y) = (i % PalmImage::WIDTH, i / PalmImage::WIDTH);
            [
                (x as f32 - 0.5 * PalmImage::WIDTH as f32) * PIXEL - centre[0],
                (y as f32 - 0.5 * PalmImage::HEIGHT as f32) * PIXEL - centre[1],
            ]
        };
        if let Some((kind, centre, angle)) = &self.occlusion {
            let (sin, cos) = angle.sin_cos();
            for (i, value) in light.values.iter_mut().enumerate() {
                let [dx, dy] = offset(i, *centre);
                let (along, across) = (cos * dx + sin * dy, cos * dy - sin * dx);
                match kind {
                    Occlusion::Plaster => {
                        let outside = (along.abs() - 26.0).max(across.abs() - 9.0).max(-1.0);
                        let cover = 1.0 / (1.0 + (outside * 4.0).exp());
                        *value += cover * (0.9 * PALM_GREY * self.exposure - *value) * 0.92;
                    }
                    Occlusion::Smear => {
                        let cover = 0.75 * (-0.5 * ((along / 20.0).powi(2) + (across / 12.0).powi(2))).exp();
                        *value += cover * (0.7 * PALM_GREY * self.exposure - *value);
                    }
                    Occlusion::Shadow => *value *= 1.0 - 0.55 / (1.0 + (-across / 3.0).exp()),
                }
            }
        }
        if let Some(centre) = self.specular {
            for (i, value) in light.values.iter_mut().enumerate() {
                let [dx, dy] = offset(i, centre);
                *value += 45.0 * self.exposure * (-0.5 * (dx * dx + dy * dy) / 9.0).exp();
            }
        }
    }

    /// Turns light into pixels: photon, column and read noise, and eight bits.
    fn read_out(&self, rng: &mut Stream, light: &Raster) -> PalmImage {
        let columns: Vec<f32> = (0..PalmImage::WIDTH).map(|_| 0.35 * self.noise * normal(rng)).collect();
        let mut random = vec![0; PalmImage::PIXELS * 4];
        rng.fill_bytes(&mut random);
        let pixels = light
            .values
            .iter()
            .zip(random.chunks_exact(4))
            .enumerate()
            .map(|(i, (&value, random))| {
                // Twelve fair bits and a uniform draw make a near enough normal one.
                let bits = u32::from_le_bytes([random[0], random[1], random[2], random[3]]);
                let count = (bits & 0xFFFF).count_ones() as f32 - 8.0;
                let uniform = (bits >> 16) as f32 / 65536.0 - 0.5;
                let draw = (count + uniform) * 0.495;
                let deviation = self.noise * (0.8 + 0.0085 * value.max(0.0)).sqrt();
                // The cast cuts off what is behind the point, and what lies outside of a byte.
                (value + columns[i % PalmImage::WIDTH] + deviation * draw + 0.5) as u8
            })
            .collect();
        random.zeroize();
        match PalmImage::from_pixels(pixels) {
            Ok(image) => image,
            Err(_) => unreachable!("a raster of the image's size has the image's size"),
        }
    }
}

impl Corner {
    fn towards(self, other: Self, share: f32) -> Self {
        let mix = |a: f32, b: f32| a + share * (b - a);
        Self {
            hand: [mix(self.hand[0], other.hand[0]), mix(self.hand[1], other.hand[1])],
            light: mix(self.light, other.light),
            wide_gain: mix(self.wide_gain, other.wide_gain),
            narrow_gain: mix(self.narrow_gain, other.narrow_gain),
            outline: mix(self.outline, other.outline),
        }
    }
}

/// What skin and veins leave of the light at one place.
fn skin_light(tissue: &Tissue, corner: Corner) -> f32 {
    let sample = tissue.sample(corner.hand);
    if sample.outline > 3.0 {
        return BACKGROUND_GREY;
    }
    let inside = 1.0 / (1.0 + (sample.outline * 3.0).exp());
    let absorbed = corner.wide_gain * sample.wide + corner.narrow_gain * sample.narrow;
    let skin = corner.light * (sample.log_albedo - absorbed).exp();
    BACKGROUND_GREY + inside * (skin - BACKGROUND_GREY)
}
