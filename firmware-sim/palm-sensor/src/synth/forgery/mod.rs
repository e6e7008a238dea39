//! Artefacts: what somebody holds before the sensor in place of somebody else's hand.

mod sheet;

use palm_vein::PalmImage;

use self::sheet::{FoilOnHand, Ink, Screen, Sheet, Tone};
use super::exposure::expose;
use super::optics::SkinOptics;
use super::outline::Outline;
use super::skin::Skin;
use super::take::Take;
use super::tissue::Tissue;
use super::vessels::{self, Segment};
use super::{Frames, Level, PalmSeeds, Side, SyntheticPalm, Veins, Wavelength, camera};

/// A kind of artefact. All are made from one good capture at 850 nm of the palm that they are to pass for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Artefact {
    /// A laser print with a coarse screen (50 lines an inch) on paper. Toner is soot, as dark at 850 nm as at 660 nm;
    /// paper is flat and brighter than skin.
    DraftPrint,
    /// A laser print with a finer screen (85 lines an inch).
    OfficePrint,
    /// A laser print of scattered dots too small to be seen; the light of the capture was evened out before.
    FinePrint,
    /// An inkjet print with dyes: a good picture at 660 nm, hardly more than white paper at 850 nm.
    InkjetPrint,
    /// The veins alone, in toner on a transparent foil, laid on the forger's own hand: its relief, its skin and, fainter,
    /// its own veins are real. The foil mirrors the lamps.
    Transparency,
    /// A screen: nothing but a dark glass with the lamps mirrored in it at 850 nm, the capture shining at 660 nm.
    Screen,
    /// A cast of a hand with channels full of carbon ink where the capture showed veins, all at one depth; its skin has no
    /// creases. Silicone scatters both lights alike, and carbon absorbs both alike.
    Phantom,
    /// The very frames that were captured, byte for byte, put in behind the camera. No picture of them is wrong: only
    /// the link between sensor and host can refuse them.
    ReplayedFrames,
}

impl Artefact {
    /// All of them, roughly in the order of the work they take.
    pub const ALL: [Self; 8] = [
        Self::DraftPrint,
        Self::OfficePrint,
        Self::FinePrint,
        Self::InkjetPrint,
        Self::Screen,
        Self::Transparency,
        Self::Phantom,
        Self::ReplayedFrames,
    ];
}

/// An artefact, ready to be presented.
pub struct Forgery {
    /// Who presents it.
    forger: PalmSeeds,
    thing: Thing,
}

enum Thing {
    Sheet(Sheet),
    Foil { on: Box<SyntheticPalm>, foil: Sheet },
    Cast(Tissue),
    Frames(Frames),
}

/// The take whose frames fell into the forger's hands.
const STOLEN_TAKE: u64 = u64::MAX;
/// What turns the seeds of the victim into those of the forger.
const FORGER: u64 = 0x464F_5247_4552_0000;

impl Forgery {
    /// Makes an artefact that is to pass for `victim`.
    #[must_use]
    pub fn new(artefact: Artefact, victim: &SyntheticPalm) -> Self {
        let stolen = || victim.photograph(Level::L0, STOLEN_TAKE, Veins::Normal);
        let seeds = victim.seeds();
        let seed = seeds.of_takes();
        let own_hand = PalmSeeds {
            outline: seeds.outline ^ FORGER,
            veins: seeds.veins ^ FORGER,
            skin: seeds.skin ^ FORGER,
            ..seeds
        };
        // A sheet shows the picture as it is, whichever hand is on it.
        let upright = PalmSeeds { side: Side::Right, ..own_hand };
        let print =
            |tone: Tone, ink: Ink, screen: Screen| Thing::Sheet(Sheet::print(seed, &stolen(), tone, ink, screen));
        let (forger, thing) = match artefact {
            Artefact::DraftPrint => (upright, print(Tone::AsCaptured, Ink::Toner, Screen::Dots(25.4 / 50.0))),
            Artefact::OfficePrint => (upright, print(Tone::AsCaptured, Ink::Toner, Screen::Dots(25.4 / 85.0))),
            Artefact::FinePrint => (upright, print(Tone::Evened, Ink::Toner, Screen::Scattered)),
            Artefact::InkjetPrint => (upright, print(Tone::Evened, Ink::Dye, Screen::Scattered)),
            Artefact::Screen => (upright, Thing::Sheet(Sheet::screen(seed, &stolen()))),
            Artefact::Transparency => {
                let foil = Sheet::foil(seed, &stolen());
                (own_hand, Thing::Foil { on: Box::new(SyntheticPalm::new(own_hand)), foil })
            }
            Artefact::Phantom => (PalmSeeds { outline: seeds.outline, ..own_hand }, Thing::Cast(cast(seeds))),
            Artefact::ReplayedFrames => {
                (own_hand, Thing::Frames(victim.capture(Level::L0, STOLEN_TAKE, Veins::Normal)))
            }
        };
        Self { forger, thing }
    }

    /// Presentation number `take` at `level`, in both lights.
    #[must_use]
    pub fn capture(&self, level: Level, take: u64) -> Frames {
        let take = Take::draw(self.forger, level, take);
        let [near_infrared, red] = Wavelength::ALL.map(|wavelength| self.frame(&take, wavelength));
        Frames { near_infrared, red }
    }

    fn frame(&self, take: &Take, wavelength: Wavelength) -> PalmImage {
        let light = match &self.thing {
            Thing::Sheet(sheet) => expose(&sheet.in_light(wavelength), take, wavelength),
            Thing::Foil { on, foil } => {
                let hand = on.tissue.in_light(wavelength, 1.0);
                expose(&FoilOnHand { hand, foil: foil.in_light(wavelength), mirrored: take.mirrored }, take, wavelength)
            }
            Thing::Cast(tissue) => expose(&tissue.in_light(wavelength, 1.0), take, wavelength),
            Thing::Frames(frames) => {
                return match wavelength {
                    Wavelength::NearInfrared => frames.near_infrared.clone(),
                    Wavelength::Red => frames.red.clone(),
                };
            }
        };
        camera::read_out(&light, take, wavelength)
    }
}

/// A hand of silicone with the veins of `victim` as far as a capture shows them.
fn cast(victim: PalmSeeds) -> Tissue {
    /// Deeper veins are not seen well enough to be copied, mm.
    const SEEN_ABOVE: f32 = 3.0;
    /// Depth of all channels, mm.
    const DEPTH: f32 = 1.0;
    let outline = Outline::new(victim.family, victim.outline);
    let channels: Vec<Segment> = vessels::grow(victim.family, victim.sided(victim.veins), &outline)
        .into_iter()
        .filter(|vein| vein.depth < SEEN_ABOVE)
        .map(|vein| Segment { depth: DEPTH, ..vein })
        .collect();
    let skin = Skin::cast(victim.family, victim.skin ^ FORGER, &outline);
    Tissue::new([SkinOptics::silicone(victim.family); 2], &outline, &channels, &skin)
}
