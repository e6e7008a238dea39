//! The light that falls on the camera's chip: what lies before the sensor, as its lamps light it and the lens shows it.

use palm_vein::PalmImage;

use super::maths::{bell, hypot, sigmoid, sin_cos, square};
use super::optics::lamps;
use super::outline::Point;
use super::raster::Raster;
use super::take::{DISTANCE, Occlusion, Take};
use super::{Family, MICROMETRES_PER_PIXEL, Wavelength};

/// Edge of a pixel at the nominal distance, mm.
pub(super) const PIXEL: f32 = MICROMETRES_PER_PIXEL as f32 / 1000.0;
/// Grey level of the middle of a palm at normal exposure.
pub(super) const PALM_GREY: f32 = 145.0;
/// Grey level where there is nothing.
const BACKGROUND_GREY: f32 = 9.0;
/// Pose, light and warp are computed every so many pixels and interpolated.
const CELL: usize = 8;
/// Nothing of a cell is to be seen when its corners are so far outside, mm.
const FAR_OUTSIDE: f32 = 6.0;

/// How full the veins are, against their mean.
#[derive(Clone, Copy, Default)]
pub(super) struct Blood {
    pub(super) wide: f32,
    pub(super) narrow: f32,
}

/// What is to be seen at one point.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Signed distance to the edge, mm, negative inside.
    pub(super) edge: f32,
    /// Share of the light that comes back, against the mean skin.
    pub(super) reflectance: f32,
    /// Light that it gives off by itself, in grey levels.
    pub(super) glow: f32,
}

/// Something that is held before the sensor. Points are in its own coordinates.
pub(super) trait Subject {
    /// Height above its plane, mm, and the slopes along x and y.
    fn relief(&self, point: Point) -> [f32; 3];
    /// Signed distance to the edge, mm, negative inside.
    fn edge(&self, point: Point) -> f32;
    /// What is to be seen at a point.
    fn look(&self, point: Point, blood: Blood) -> Look;
    /// How much it mirrors the lamps: 0 as skin does, 1 as glass does.
    fn gloss(&self) -> f32 {
        0.0
    }
}

/// Pose and light at a corner of a cell.
#[derive(Clone, Copy, Default)]
struct Corner {
    point: Point,
    light: f32,
    blood: Blood,
    edge: f32,
}

/// Light on the chip, in grey levels, blurred by focus and motion.
pub(super) fn expose(subject: &impl Subject, take: &Take, wavelength: Wavelength) -> Raster {
    let (columns, rows) = (PalmImage::WIDTH / CELL, PalmImage::HEIGHT / CELL);
    let lamps = lamps(take.family, wavelength);
    let corners: Vec<Corner> = (0..=rows)
        .flat_map(|row| (0..=columns).map(move |column| on_sensor((column * CELL) as f32, (row * CELL) as f32)))
        .map(|place| corner(subject, take, wavelength, &lamps, place))
        .collect();
    let mut light = Raster::filled(PalmImage::WIDTH, PalmImage::HEIGHT, 0.0);
    for (y, line) in light.values.chunks_exact_mut(PalmImage::WIDTH).enumerate() {
        let fy = (y % CELL) as f32 / CELL as f32;
        let above = &corners[y / CELL * (columns + 1)..][..=columns];
        let below = &corners[(y / CELL + 1) * (columns + 1)..][..=columns];
        for (column, cell) in line.chunks_exact_mut(CELL).enumerate() {
            let left = above[column].towards(below[column], fy);
            let right = above[column + 1].towards(below[column + 1], fy);
            if left.edge.min(right.edge) > FAR_OUTSIDE {
                cell.fill(BACKGROUND_GREY);
                continue;
            }
            for (x, value) in cell.iter_mut().enumerate() {
                *value = grey(subject, left.towards(right, x as f32 / CELL as f32));
            }
        }
    }
    mirror_lamps(subject.gloss(), take, &lamps, &mut light);
    cover(take, &mut light);
    light.blur(take.blur[0], take.blur[1]);
    light
}

/// Where pixel (`x`, `y`) lies, in mm from the middle of the frame at nominal distance.
fn on_sensor(x: f32, y: f32) -> Point {
    [(x - 0.5 * PalmImage::WIDTH as f32) * PIXEL, (y - 0.5 * PalmImage::HEIGHT as f32) * PIXEL]
}

/// Where the ray through a point of the frame meets the subject, and how bright it is there.
fn corner(subject: &impl Subject, take: &Take, wavelength: Wavelength, lamps: &[[f32; 2]], on_sensor: Point) -> Corner {
    let from_axis = square(on_sensor[0]) + square(on_sensor[1]);
    // The lens of the second family draws barrels and darkens the corners.
    let (distortion, vignetting) = match take.family {
        Family::A => (1.0, 1.0),
        Family::B => (1.0 + 2.0e-6 * from_axis, 1.0 - 1.4e-5 * from_axis),
    };
    let on_sensor = on_sensor.map(|place| place * distortion);
    let seen = take.see(wavelength, on_sensor);
    let [height, slope_x, slope_y] = subject.relief(seen.hand);
    let slope_x = if take.mirrored { -slope_x } else { slope_x };
    let normal = [-slope_x - take.tilt[0], -slope_y - take.tilt[1]];
    let normal_length = (square(normal[0]) + square(normal[1]) + 1.0).sqrt();
    let z = seen.distance - height;
    let irradiance = |from: &[f32; 2]| {
        let to_lamp = [from[0] - on_sensor[0], from[1] - on_sensor[1]];
        let lambert = (to_lamp[0] * normal[0] + to_lamp[1] * normal[1] + z) / normal_length;
        lambert.max(0.0) * z / square(square(to_lamp[0]) + square(to_lamp[1]) + square(z))
    };
    let nominal = |from: &[f32; 2]| square(DISTANCE) / square(square(DISTANCE) + square(from[0]) + square(from[1]));
    let direct = lamps.iter().map(irradiance).sum::<f32>() / lamps.iter().map(nominal).sum::<f32>();
    // Light that has wandered through the hand fills the shadows.
    let fill = 0.18 * square(DISTANCE / z);
    let fade = take.fade_at(seen.hand);
    Corner {
        point: seen.hand,
        light: PALM_GREY * take.exposure * vignetting * (0.82 * direct + fill),
        blood: Blood {
            wide: (1.0 + take.dilation) * (1.0 - 0.6 * fade),
            narrow: ((1.0 + 2.0 * take.dilation) * (1.0 - fade)).max(0.0),
        },
        edge: subject.edge(seen.hand),
    }
}

impl Corner {
    fn towards(self, other: Self, share: f32) -> Self {
        let mix = |a: f32, b: f32| a + share * (b - a);
        Self {
            point: [mix(self.point[0], other.point[0]), mix(self.point[1], other.point[1])],
            light: mix(self.light, other.light),
            blood: Blood {
                wide: mix(self.blood.wide, other.blood.wide),
                narrow: mix(self.blood.narrow, other.blood.narrow),
            },
            edge: mix(self.edge, other.edge),
        }
    }
}

/// How bright the subject is at one place.
fn grey(subject: &impl Subject, corner: Corner) -> f32 {
    let look = subject.look(corner.point, corner.blood);
    if look.edge > 3.0 {
        return BACKGROUND_GREY;
    }
    let grey = corner.light * look.reflectance + look.glow;
    // Farther inside the edge makes less than a thousandth of a grey level.
    if look.edge < -5.0 { grey } else { BACKGROUND_GREY + sigmoid(-3.0 * look.edge) * (grey - BACKGROUND_GREY) }
}

/// The images of the lamps in a glossy subject: half way to them, and aside if it is tilted.
fn mirror_lamps(gloss: f32, take: &Take, lamps: &[[f32; 2]], light: &mut Raster) {
    const SIZE: f32 = 1.8;
    // Crossed polarisers keep mirrored light from the camera of the second family.
    if gloss <= 0.0 || take.family == Family::B {
        return;
    }
    for lamp in lamps {
        let centre = [0, 1].map(|axis: usize| 0.5 * lamp[axis] - DISTANCE * take.tilt[axis]);
        for_each_offset(light, centre, |value, [dx, dy]| {
            let distance = hypot(dx, dy) / SIZE;
            if distance < 5.0 {
                *value += 220.0 * gloss * take.exposure * bell(distance);
            }
        });
    }
}

/// Lays plaster, smear, shadow and glare over the picture.
fn cover(take: &Take, light: &mut Raster) {
    let bright = PALM_GREY * take.exposure;
    if let Some((kind, centre, angle)) = take.occlusion {
        let (sin, cos) = sin_cos(angle);
        for_each_offset(light, centre, |value, [dx, dy]| {
            let (along, across) = (cos * dx + sin * dy, cos * dy - sin * dx);
            match kind {
                Occlusion::Plaster => {
                    let outside = (along.abs() - 26.0).max(across.abs() - 9.0).max(-1.0);
                    *value += sigmoid(-4.0 * outside) * (0.9 * bright - *value) * 0.92;
                }
                Occlusion::Smear => {
                    *value += 0.75 * bell(hypot(along / 20.0, across / 12.0)) * (0.7 * bright - *value);
                }
                Occlusion::Shadow => *value *= 1.0 - 0.55 * sigmoid(across / 3.0),
            }
        });
    }
    if let Some(centre) = take.glare {
        for_each_offset(light, centre, |value, [dx, dy]| {
            let distance = hypot(dx, dy) / 3.0;
            if distance < 5.0 {
                *value += 45.0 * take.exposure * bell(distance);
            }
        });
    }
}

/// Visits every pixel with its offset in mm from `centre`.
fn for_each_offset(light: &mut Raster, centre: Point, mut visit: impl FnMut(&mut f32, Point)) {
    for (i, value) in light.values.iter_mut().enumerate() {
        let [x, y] = on_sensor((i % PalmImage::WIDTH) as f32, (i / PalmImage::WIDTH) as f32);
        visit(value, [x - centre[0], y - centre[1]]);
    }
}
