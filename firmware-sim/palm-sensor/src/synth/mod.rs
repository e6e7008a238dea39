//! Synthetic palms: near-infrared pictures of hands that nobody has.
//!
//! A seed decides a hand: its outline, veins grown by space colonisation, calibres by Murray's law, depths, skin with
//! creases and texture. A take decides how it is held, lit, focused and exposed. The same numbers give the same
//! picture, byte by byte, on the same machine type.
//!
//! Figures measured with these palms rank methods and find regressions. They say nothing about people.

mod outline;
mod random;
mod raster;
mod skin;
mod take;
mod tissue;
mod vessels;

use palm_vein::PalmImage;

use self::outline::Outline;
use self::tissue::Tissue;

/// Edge of a pixel of a synthetic picture at the nominal distance, in micrometres.
pub const MICROMETRES_PER_PIXEL: u16 = 280;

/// How well the hand is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Guided: hand rest, trained user.
    L0,
    /// Normal use.
    L1,
    /// Hard: in a hurry, cold hands.
    L2,
    /// Extreme: most such pictures should be refused.
    L3,
}

/// Left or right hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// Which palm: the seeds of its parts, so that negatives can mix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PalmSeeds {
    /// The outline of the hand.
    pub outline: u64,
    /// Its veins.
    pub veins: u64,
    /// Its skin.
    pub skin: u64,
    /// Left or right: the two hands of a person have different veins and creases, and mirrored outlines.
    pub side: Side,
}

impl PalmSeeds {
    /// The hand of the person that `seed` names.
    #[must_use]
    pub fn of_person(seed: u64, side: Side) -> Self {
        Self { outline: seed, veins: seed, skin: seed, side }
    }
}

/// How visible veins are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veins {
    /// As in most people.
    Normal,
    /// Faint, as in some: 0.4 of the normal absorption.
    Faint,
    /// Not there at all: creases and skin only, as in a print or a very poor artefact.
    Removed,
}

/// A synthetic palm, ready to be photographed.
pub struct SyntheticPalm {
    seeds: PalmSeeds,
    tissue: Tissue,
}

impl SyntheticPalm {
    /// Grows the palm that `seeds` name.
    #[must_use]
    pub fn new(seeds: PalmSeeds) -> Self {
        // The two sides of a person share nothing but the outline.
        let sided = |seed: u64| match seeds.side {
            Side::Left => seed,
            Side::Right => seed ^ 0x5249_4748_5400_0000,
        };
        let outline = Outline::new(seeds.outline);
        let vessels = vessels::grow(sided(seeds.veins), &outline);
        Self { seeds, tissue: Tissue::new(&outline, &vessels, sided(seeds.skin)) }
    }

    /// Which palm this is.
    #[must_use]
    pub fn seeds(&self) -> PalmSeeds {
        self.seeds
    }

    /// Takes picture number `take` at `level`.
    #[must_use]
    pub fn photograph(&self, level: Level, take: u64, veins: Veins) -> PalmImage {
        let absorption = match veins {
            Veins::Normal => 1.0,
            Veins::Faint => 0.4,
            Veins::Removed => 0.0,
        };
        // How a hand is held has nothing to do with whose skin it wears.
        let pose_seed = self.seeds.outline ^ self.seeds.veins.rotate_left(24) ^ self.seeds.skin.rotate_left(48);
        take::photograph(&self.tissue, self.seeds.side == Side::Left, absorption, level, pose_seed, take)
    }
}
