//! What light does in the skin, and where it comes from.

use std::f32::consts::TAU;

use super::maths::{exp, power, sin_cos};
use super::{Family, Wavelength};

/// A Gaussian as part of what scattering makes of a point.
#[derive(Clone, Copy)]
pub(super) struct Lobe {
    /// Its share of the light.
    pub(super) weight: f32,
    /// Its standard deviation, mm.
    pub(super) sigma: f32,
}

/// How veins, creases and texture of the skin look in one light.
#[derive(Clone, Copy)]
pub(super) struct SkinOptics {
    /// Absorbance of 1 mm of blood, as a natural logarithm, beyond that of the tissue around.
    pub(super) blood: f32,
    /// Contrast of creases and of texture, against those in white light. The farther light wanders under the skin, the less
    /// of them is left.
    pub(super) relief_contrast: f32,
    medium: Medium,
}

/// What lies over the veins.
#[derive(Clone, Copy)]
enum Medium {
    /// Loss by depth, width of the Gaussian at the skin, and its growth by depth.
    OneLobe { loss: f32, width: [f32; 2] },
    /// Scale and power of the loss by depth; share of the core; widths of core and halo as above.
    TwoLobes { loss: [f32; 2], core: f32, widths: [[f32; 2]; 2] },
}

impl SkinOptics {
    /// The skin of a family's palms. Red light turns back earlier than near-infrared, and what comes from below is
    /// broader.
    pub(super) fn new(family: Family, wavelength: Wavelength) -> Self {
        match (family, wavelength) {
            (Family::A, Wavelength::NearInfrared) => {
                Self { blood: 0.84, relief_contrast: 0.8, medium: Medium::OneLobe { loss: 0.42, width: [0.35, 0.60] } }
            }
            (Family::A, Wavelength::Red) => {
                Self { blood: 0.66, relief_contrast: 1.2, medium: Medium::OneLobe { loss: 0.92, width: [0.42, 0.80] } }
            }
            (Family::B, Wavelength::NearInfrared) => Self {
                blood: 0.78,
                relief_contrast: 0.8,
                medium: Medium::TwoLobes { loss: [0.30, 2.0], core: 0.70, widths: [[0.30, 0.50], [1.1, 1.0]] },
            },
            (Family::B, Wavelength::Red) => Self {
                blood: 0.64,
                relief_contrast: 1.1,
                medium: Medium::TwoLobes { loss: [0.65, 2.5], core: 0.60, widths: [[0.38, 0.70], [1.3, 1.2]] },
            },
        }
    }

    /// Silicone with channels of ink, as dark as veins usually look: the same in both lights.
    pub(super) fn silicone(family: Family) -> Self {
        let skin = Self::new(family, Wavelength::NearInfrared);
        Self { blood: 0.55 * skin.blood, ..skin }
    }

    /// Share of a vein's contrast that `depth` mm of tissue above it leave.
    pub(super) fn transmission(self, depth: f32) -> f32 {
        match self.medium {
            Medium::OneLobe { loss, .. } => exp(-loss * depth),
            Medium::TwoLobes { loss: [scale, exponent], .. } => power(1.0 + scale * depth, -exponent),
        }
    }

    /// What becomes of a point `depth` mm under the skin.
    pub(super) fn lobes(self, depth: f32) -> Vec<Lobe> {
        let lobe = |weight: f32, [at_skin, growth]: [f32; 2]| Lobe { weight, sigma: at_skin + growth * depth };
        match self.medium {
            Medium::OneLobe { width, .. } => vec![lobe(1.0, width)],
            Medium::TwoLobes { core, widths, .. } => vec![lobe(core, widths[0]), lobe(1.0 - core, widths[1])],
        }
    }
}

/// The sensor's lamps in one light: places around the lens, mm.
pub(super) fn lamps(family: Family, wavelength: Wavelength) -> Vec<[f32; 2]> {
    let ring = |count: u8, radius: f32, turn: f32| {
        (0..count)
            .map(|lamp| {
                let (sin, cos) = sin_cos(TAU * (f32::from(lamp) + turn) / f32::from(count));
                [radius * cos, radius * sin]
            })
            .collect()
    };
    let bars = |x: f32, half_length: f32| {
        let row = [-1.0, -0.5, 0.0, 0.5, 1.0];
        [-x, x].iter().flat_map(|&x| row.map(|y| [x, half_length * y])).collect()
    };
    match (family, wavelength) {
        (Family::A, Wavelength::NearInfrared) => ring(8, 32.0, 0.0),
        (Family::A, Wavelength::Red) => ring(8, 32.0, 0.5),
        (Family::B, Wavelength::NearInfrared) => bars(36.0, 30.0),
        (Family::B, Wavelength::Red) => bars(30.0, 30.0),
    }
}
