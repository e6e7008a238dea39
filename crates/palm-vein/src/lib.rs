//! Palm veins: from a near-infrared picture to a template, and from two templates to an answer.
//!
//! [`extract`] finds the palm in a [`PalmImage`], judges whether the picture is good enough, and codes the direction of
//! the veins at each place; [`Palm::template`] is what gets enrolled, [`Palm::matches`] compares. Everything here is pure:
//! no clock, no randomness, no files. What shows a palm is wiped when it is dropped.
//!
//! # Method
//! 1. The hand is what is brighter than the background (threshold after Otsu 1979). The palm is where the largest inscribed
//!    disc lies; half of the disc's size is taken out of the scale.
//! 2. A square of 77 mm around it is resampled to 128 × 128 pixels and put in relation to its local brightness.
//! 3. With a picture in red light: the two are laid over each other by the fine structures of the skin, and what red light
//!    shows is taken out. Creases go, veins stay. What the two have in common tells a [living hand](Presentation) from a print.
//! 4. Twelve Gabor filters find dark lines. Where a line is strong enough, its direction is coded in one of six sectors
//!    (competitive code, Kong and Zhang 2004).
//! 5. Two palms are compared over rotations of ±15° and shifts of ±12 mm, first coarsely, then finely; then sixteen blocks look for
//!    their own best place nearby, because skin stretches.
//!
//! # What this is not
//! The figures behind the thresholds were measured on synthetic palms: they find regressions and rank methods, and say
//! nothing about people. With near-infrared light alone, creases of the skin contribute to a match, and artefacts are noticed only
//! by their lack of veins. `docs/palm-vein.md` has the figures.

pub mod evaluation;
mod image;
mod matching;
mod palm;
mod plane;
mod presentation;
mod quality;
mod region;
mod ridges;
mod shot;
mod skin;
mod template;

pub use image::{PalmImage, WrongSize};
pub use palm::{MATCH_THRESHOLD, Palm, RegionOfInterest, TWO_LIGHT_THRESHOLD, extract, presentation};
pub use presentation::Presentation;
pub use quality::QualityIssue;
pub use shot::Shot;
pub use template::{DamagedTemplate, PalmTemplate};
