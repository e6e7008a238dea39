//! Synthetic palms: pictures of hands that nobody has, in near-infrared and in red light.
//!
//! A seed decides a person: two hands with mirrored outlines and each its own veins, depths, creases and texture. A take
//! decides how a hand is held, lit, focused and exposed. The same numbers give the same picture, byte by byte, on every
//! machine: what platforms compute differently (sines, exponentials) is computed here, by `maths`.
//!
//! Two [families](Family) of palms share nothing but the sensor's geometry and the [levels](Level) of nuisance, so that
//! what was tuned on one can be judged on the other. [`Negative`]s mix the parts of a palm, and a [`Forgery`] is an
//! artefact made from somebody's palm.
//!
//! Figures measured with these palms rank methods and find regressions. They say nothing about people.
//!
//! ```
//! use sim_palm_sensor::synth::{Artefact, Forgery, Level, Negative, PalmSeeds, Side, SyntheticPalm, Veins};
//!
//! let seeds = PalmSeeds::of_person(417, Side::Right);
//! let palm = SyntheticPalm::new(seeds);
//! let frames = palm.capture(Level::L1, 0, Veins::Normal);
//! assert_eq!(frames, palm.capture(Level::L1, 0, Veins::Normal));
//!
//! let (other, veins) = Negative::SameSkinOtherVeins.of(seeds);
//! assert_ne!(frames, SyntheticPalm::new(other).capture(Level::L1, 0, veins));
//!
//! let print = Forgery::new(Artefact::OfficePrint, &palm);
//! assert_ne!(frames, print.capture(Level::L1, 0));
//! ```

mod camera;
mod exposure;
mod forgery;
mod maths;
mod optics;
mod outline;
mod random;
mod raster;
mod skin;
pub mod statistics;
mod take;
mod tissue;
mod vessels;

use palm_vein::{PalmImage, Shot};

pub use self::forgery::{Artefact, Forgery};
use self::optics::SkinOptics;
use self::outline::Outline;
use self::skin::Skin;
use self::take::Take;
use self::tissue::Tissue;

/// Edge of a pixel of a synthetic picture at the nominal distance, in micrometres.
pub const MICROMETRES_PER_PIXEL: u16 = 280;

/// Where a palm's parameters come from. Families differ in anatomy, skin, light and camera, in kind and not only in
/// numbers: methods are built and tuned on one and reported on the other.
///
/// | | [`Family::A`] | [`Family::B`] |
/// |---|---|---|
/// | veins | space colonisation, calibres from the tips by Murray's law | constrained constructive optimisation round a palmar arch, calibres from the stem |
/// | depth | a smooth field | by calibre, tips rising and diving |
/// | scatter | one Gaussian, wider with depth; exponential loss | a core and a halo; loss by a power of depth |
/// | creases | quadratic curves | walks along a flow field, with forks |
/// | texture | isotropic noise | ridges along the flow |
/// | light | a ring of 8 LEDs | two bars of 5 LEDs, polarised: no glare |
/// | camera | noise of columns | noise of rows, fixed pattern, vignetting, distortion |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// To build and tune on.
    #[default]
    A,
    /// Only to report on.
    B,
}

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

impl Level {
    /// All levels, the easiest first.
    pub const ALL: [Self; 4] = [Self::L0, Self::L1, Self::L2, Self::L3];
}

/// Left or right hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// The light of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wavelength {
    /// Near-infrared light of 850 nm, which reaches the veins.
    NearInfrared,
    /// Red light of 660 nm. Most of it turns back above the veins: they are weaker and broader here, by their depth, but
    /// not gone, while creases and texture of the skin are clearer.
    Red,
}

impl Wavelength {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NearInfrared, Self::Red];

    /// The wavelength in nm.
    #[must_use]
    pub fn nanometres(self) -> u16 {
        match self {
            Self::NearInfrared => 850,
            Self::Red => 660,
        }
    }
}

/// What the sensor takes at one presentation: a frame in each light, one shortly after the other. Between them the hand
/// moves a little, as hands do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The frame at 850 nm.
    pub near_infrared: PalmImage,
    /// The frame at 660 nm.
    pub red: PalmImage,
}

impl Frames {
    /// Both frames as a matcher takes them.
    #[must_use]
    pub fn shot(&self) -> Shot<'_> {
        Shot::near_infrared(&self.near_infrared, MICROMETRES_PER_PIXEL).with_red(&self.red)
    }
}

/// Which palm: the seeds of its parts, so that negatives can mix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PalmSeeds {
    /// Where its parameters come from.
    pub family: Family,
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
    /// The hand of the person of [`Family::A`] that `seed` names.
    #[must_use]
    pub fn of_person(seed: u64, side: Side) -> Self {
        Self { family: Family::A, outline: seed, veins: seed, skin: seed, side }
    }

    /// The same seeds in another family: another person.
    #[must_use]
    pub fn in_family(self, family: Family) -> Self {
        Self { family, ..self }
    }
}

/// How visible veins are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veins {
    /// As in most people.
    Normal,
    /// Faint, as in some, more often in the old: 0.4 of the normal absorption.
    Faint,
    /// Not there at all: creases, texture and outline only.
    Removed,
}

/// A palm made from parts of another to find out what a matcher goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Negative {
    /// The same hand without its veins: must not match.
    VeinsRemoved,
    /// Outline and skin of the hand, with veins of somebody else: must not match.
    SameSkinOtherVeins,
    /// Outline and veins of the hand under somebody else's skin: should match.
    OtherSkinSameVeins,
}

impl Negative {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::VeinsRemoved, Self::SameSkinOtherVeins, Self::OtherSkinSameVeins];

    /// The palm to be photographed in place of the `genuine` one, and with which veins.
    #[must_use]
    pub fn of(self, genuine: PalmSeeds) -> (PalmSeeds, Veins) {
        // Seeds of people are small numbers, or random ones.
        let somebody_else = |seed: u64| seed ^ (1 << 32);
        match self {
            Self::VeinsRemoved => (genuine, Veins::Removed),
            Self::SameSkinOtherVeins => (PalmSeeds { veins: somebody_else(genuine.veins), ..genuine }, Veins::Normal),
            Self::OtherSkinSameVeins => (PalmSeeds { skin: somebody_else(genuine.skin), ..genuine }, Veins::Normal),
        }
    }
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
        let outline = Outline::new(seeds.family, seeds.outline);
        let vessels = vessels::grow(seeds.family, seeds.sided(seeds.veins), &outline);
        let skin = Skin::new(seeds.family, seeds.sided(seeds.skin), &outline);
        let optics = Wavelength::ALL.map(|wavelength| SkinOptics::new(seeds.family, wavelength));
        Self { seeds, tissue: Tissue::new(optics, &outline, &vessels, &skin) }
    }

    /// Which palm this is.
    #[must_use]
    pub fn seeds(&self) -> PalmSeeds {
        self.seeds
    }

    /// Presentation number `take` at `level`, in both lights.
    #[must_use]
    pub fn capture(&self, level: Level, take: u64, veins: Veins) -> Frames {
        let [near_infrared, red] = Wavelength::ALL.map(|wavelength| self.frame(wavelength, level, take, veins));
        Frames { near_infrared, red }
    }

    /// One frame of [`SyntheticPalm::capture`].
    #[must_use]
    pub fn frame(&self, wavelength: Wavelength, level: Level, take: u64, veins: Veins) -> PalmImage {
        let absorption = match veins {
            Veins::Normal => 1.0,
            Veins::Faint => 0.4,
            Veins::Removed => 0.0,
        };
        let take = Take::draw(self.seeds, level, take);
        let light = exposure::expose(&self.tissue.in_light(wavelength, absorption), &take, wavelength);
        camera::read_out(&light, &take, wavelength)
    }

    /// The frame at 850 nm of [`SyntheticPalm::capture`].
    #[must_use]
    pub fn photograph(&self, level: Level, take: u64, veins: Veins) -> PalmImage {
        self.frame(Wavelength::NearInfrared, level, take, veins)
    }
}

impl PalmSeeds {
    /// The two sides of a person share nothing but the outline.
    fn sided(self, seed: u64) -> u64 {
        match self.side {
            Side::Left => seed,
            Side::Right => seed ^ 0x5249_4748_5400_0000,
        }
    }

    /// How a hand is held has nothing to do with whose skin it wears.
    fn of_takes(self) -> u64 {
        self.outline ^ self.veins.rotate_left(24) ^ self.skin.rotate_left(48)
    }
}
