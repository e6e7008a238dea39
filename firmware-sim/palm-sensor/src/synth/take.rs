//! What differs from one take of a palm to the next: how the hand is held, how full its veins are, what covers it, and
//! how the camera sees it.

use std::f32::consts::TAU;

use rand::Rng;

use super::maths::{exp, sin_cos};
use super::outline::Point;
use super::random::{Field, Purpose, Stream, normal, stream};
use super::{Family, Level, PalmSeeds, Side, Wavelength};

/// Nominal distance of the palm from the sensor, mm.
pub(super) const DISTANCE: f32 = 50.0;

/// How much takes of a level differ. Lengths in mm, angles in degrees, blur in pixels.
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
    /// How far the hand moves between the two frames.
    movement: f32,
}

impl Level {
    fn spread(self) -> Spread {
        let spread = |v: [f32; 11], occlusion: f64| Spread {
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
            movement: v[10],
            occlusion,
        };
        match self {
            Self::L0 => spread([3.0, 3.0, 0.02, 0.02, 0.3, 0.06, 0.15, 0.4, 0.06, 0.6, 0.1], 0.0),
            Self::L1 => spread([6.0, 6.0, 0.05, 0.05, 0.8, 0.12, 0.30, 0.8, 0.15, 1.0, 0.3], 0.05),
            Self::L2 => spread([10.0, 9.0, 0.08, 0.09, 1.4, 0.20, 0.50, 1.3, 0.30, 1.6, 0.6], 0.20),
            Self::L3 => spread([14.0, 13.0, 0.12, 0.14, 2.2, 0.30, 0.75, 2.0, 0.45, 2.6, 1.2], 0.50),
        }
    }
}

/// What covers part of the palm or of the window.
#[derive(Clone, Copy)]
pub(super) enum Occlusion {
    /// A bright strip that hides the veins.
    Plaster,
    /// Grease on the window: contrast is lost.
    Smear,
    /// A shadow falls on the palm.
    Shadow,
}

/// One take: the state of hand and camera while the frames are taken.
pub(super) struct Take {
    pub(super) family: Family,
    /// Does the frame show the hand mirrored? Hands are modelled as right ones.
    pub(super) mirrored: bool,
    rotation: f32,
    shift: [f32; 2],
    /// How far the hand has moved when the second frame is taken.
    movement: [f32; 2],
    scale: f32,
    pub(super) tilt: [f32; 2],
    warp: [[Field; 2]; 2],
    warp_amplitude: f32,
    pub(super) dilation: f32,
    fade: Field,
    fade_amplitude: f32,
    pub(super) blur: [f32; 2],
    pub(super) exposure: f32,
    pub(super) noise: f32,
    /// What covers the palm, where, and turned how far.
    pub(super) occlusion: Option<(Occlusion, Point, f32)>,
    /// Where the skin glares.
    pub(super) glare: Option<Point>,
    noise_seed: u64,
    noise_part: u64,
}

/// A point of a hand that the camera sees.
pub(super) struct Seen {
    /// Where on the hand.
    pub(super) hand: Point,
    /// How far below the lens, mm, if the hand were flat.
    pub(super) distance: f32,
}

impl Take {
    /// Take `number` at `level` of the palm that `seeds` name.
    pub(super) fn draw(seeds: PalmSeeds, level: Level, number: u64) -> Self {
        let (seed, mirrored) = (seeds.of_takes(), seeds.side == Side::Left);
        let part = number.wrapping_mul(8).wrapping_add(2 * level as u64 + u64::from(mirrored));
        let rng = &mut stream(seeds.family, Purpose::Take, seed, part);
        let spread = level.spread();
        // The table's figures are 1.6 standard deviations.
        let mut vary = |range: f32| range * (normal(rng) / 1.6).clamp(-1.3, 1.3);
        let rotation = vary(spread.rotation).to_radians();
        let shift = [vary(spread.shift), vary(spread.shift)];
        let scale = 1.0 + vary(spread.scale);
        let tilt = [vary(spread.tilt), vary(spread.tilt)];
        let dilation = vary(spread.dilation);
        let exposure = exp(vary(spread.exposure));
        let movement = [vary(spread.movement), vary(spread.movement)];
        let focus = spread.blur * rng.gen_range(0.5..1.0);
        let motion = spread.blur * rng.gen_range(0.0..0.8);
        let blur = if rng.r#gen() { [focus + motion, focus] } else { [focus, focus + motion] };
        let occlusion = rng.gen_bool(spread.occlusion).then(|| draw_occlusion(rng));
        let glare = rng.gen_bool(0.3).then(|| [rng.gen_range(-20.0..20.0), rng.gen_range(-20.0..20.0)]);
        Self {
            family: seeds.family,
            mirrored,
            rotation,
            shift,
            movement,
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
            // Crossed polarisers keep the glare from the other camera.
            glare: glare.filter(|_| seeds.family == Family::A),
            noise_seed: seed,
            noise_part: part,
        }
    }

    /// Which point of the hand lies before a point of the frame, given in mm from its middle at nominal distance.
    pub(super) fn see(&self, wavelength: Wavelength, on_sensor: Point) -> Seen {
        let moved = match wavelength {
            Wavelength::NearInfrared => self.shift,
            Wavelength::Red => [self.shift[0] + self.movement[0], self.shift[1] + self.movement[1]],
        };
        // Perspective: a nearer hand is larger, and a tilted one larger at its near side.
        let (dx, dy) = (on_sensor[0] - moved[0], on_sensor[1] - moved[1]);
        let distance = DISTANCE / self.scale + self.tilt[0] * dx + self.tilt[1] * dy;
        let magnification = DISTANCE / distance;
        let (sin, cos) = sin_cos(self.rotation);
        let [x, y] = [(cos * dx + sin * dy) / magnification, (cos * dy - sin * dx) / magnification];
        let warp = [0, 1].map(|axis: usize| {
            self.warp_amplitude * (0.8 * self.warp[0][axis].at(x, y) + 0.35 * self.warp[1][axis].at(x, y))
        });
        let hand = [x + warp[0], y + warp[1]];
        Seen { hand: if self.mirrored { [-hand[0], hand[1]] } else { hand }, distance }
    }

    /// How empty the veins are at a point of the hand: 0 to 1, times the level's amplitude.
    pub(super) fn fade_at(&self, hand: Point) -> f32 {
        self.fade_amplitude * 0.5 * (1.0 + self.fade.at(hand[0], hand[1])).clamp(0.0, 2.0)
    }

    /// Randomness for the noise of one frame.
    pub(super) fn noise_stream(&self, wavelength: Wavelength) -> Stream {
        stream(self.family, Purpose::Noise, self.noise_seed, self.noise_part.wrapping_mul(2) + wavelength as u64)
    }
}

fn draw_occlusion(rng: &mut Stream) -> (Occlusion, Point, f32) {
    let kind = match rng.gen_range(0..3_u8) {
        0 => Occlusion::Plaster,
        1 => Occlusion::Smear,
        _ => Occlusion::Shadow,
    };
    let place = [rng.gen_range(-25.0..25.0), rng.gen_range(-28.0..28.0)];
    (kind, place, rng.gen_range(0.0..TAU))
}
