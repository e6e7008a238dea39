use std::fmt;

use crate::matching::Probe;
use crate::{PalmImage, PalmTemplate, QualityIssue, quality, region, ridges};

/// From this similarity on, two palms count as the same.
///
/// Fixed on one set of synthetic identities and measured on another; see `docs/protocols/palm-sensor.md` §8 for the figures.
pub const MATCH_THRESHOLD: f32 = 0.37;

/// A palm that is good enough to be compared or enrolled. Secret: wiped when dropped, printed by nobody.
pub struct Palm(Probe);

/// Finds the palm in a picture, judges the picture, and extracts the pattern of the veins. `micrometres_per_pixel`
/// is the edge of a pixel at the sensor's nominal distance.
///
/// # Errors
/// The first reason not to use the picture.
pub fn extract(image: &PalmImage, micrometres_per_pixel: u16) -> Result<Palm, QualityIssue> {
    let pixel_mm = f32::from(micrometres_per_pixel.max(1)) / 1000.0;
    let place = region::locate(image, pixel_mm).ok_or(QualityIssue::NoHand)?;
    quality::judge_place(&place)?;
    let region = place.cut(image, pixel_mm);
    quality::judge_light(&region)?;
    quality::judge_sharpness(image, &place, pixel_mm)?;
    let ridges = ridges::find(&region);
    quality::judge_veins(&region, &ridges)?;
    Ok(Palm(Probe::new(&ridges.veins(&region))))
}

impl Palm {
    /// The template to be enrolled.
    #[must_use]
    pub fn template(&self) -> PalmTemplate {
        self.0.upright().clone()
    }

    /// Is this the enrolled palm?
    #[must_use]
    pub fn matches(&self, enrolled: &PalmTemplate) -> bool {
        self.similarity(enrolled) >= MATCH_THRESHOLD
    }

    /// How much this palm agrees with an enrolled one: 1 for the very same picture, about 0.2 for different palms (the best
    /// of many alignments is never quite 0). For measuring the method only: whoever sees it can climb towards a match.
    #[must_use]
    pub fn similarity(&self, enrolled: &PalmTemplate) -> f32 {
        self.0.similarity(enrolled)
    }
}

impl fmt::Debug for Palm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Palm(..)")
    }
}
