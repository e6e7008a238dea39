//! Randomness that a seed decides: number streams and smooth fields.

use std::f32::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Family;
use super::maths::{ln, sin_cos, wave};

/// A stream of numbers.
pub(super) type Stream = ChaCha8Rng;

/// What a stream is for. Streams of one seed and different purposes have nothing in common.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Outline,
    Vessels,
    Skin,
    Take,
    /// Noise of a frame.
    Noise,
    /// What is peculiar to a camera.
    Camera,
    Forgery,
}

/// The stream of `seed` for `purpose` in `family`; `part` tells streams of the same purpose apart.
pub(super) fn stream(family: Family, purpose: Purpose, seed: u64, part: u64) -> Stream {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&part.to_le_bytes());
    key[16] = purpose as u8;
    key[17] = family as u8;
    ChaCha8Rng::from_seed(key)
}

/// A draw from the standard normal distribution (Box and Muller 1958).
pub(super) fn normal(rng: &mut Stream) -> f32 {
    let radius = (-2.0 * ln(1.0 - rng.r#gen::<f32>())).sqrt();
    radius * wave(rng.r#gen())
}

/// A smooth random function of the plane with mean 0 and variance 1: a sum of plane waves.
pub(super) struct Field {
    /// Waves per mm along x and y, and the phase in turns.
    waves: Vec<[f32; 3]>,
    amplitude: f32,
}

impl Field {
    const WAVES: usize = 14;

    /// A field whose hills and hollows are about `scale` mm from each other.
    pub(super) fn new(rng: &mut Stream, scale: f32) -> Self {
        let waves = (0..Self::WAVES)
            .map(|_| {
                let wave_number = rng.gen_range(0.4..1.2) / scale;
                let (sin, cos) = sin_cos(rng.gen_range(0.0..TAU));
                [wave_number * cos, wave_number * sin, rng.r#gen()]
            })
            .collect();
        Self { waves, amplitude: (2.0 / Self::WAVES as f32).sqrt() }
    }

    /// The field at (`x`, `y`) mm.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        self.amplitude * self.waves.iter().map(|[kx, ky, phase]| wave(kx * x + ky * y + phase)).sum::<f32>()
    }
}
