use std::fmt;

use crate::matching::Probe;
use crate::{PalmTemplate, QualityIssue, Shot, quality, region, ridges, skin};

/// From this similarity on, two palms count as the same.
///
/// Fixed on one set of synthetic identities and measured on another; see `docs/protocols/palm-sensor.md` §8 for the figures.
pub const MATCH_THRESHOLD: f32 = 0.37;

/// A palm that is good enough to be compared or enrolled. Secret: wiped when dropped, printed by nobody.
pub struct Palm(Probe);

/// Finds the palm in what the sensor took, judges the pictures, and extracts the pattern of the veins.
///
/// # Errors
/// The first reason not to use the shot.
pub fn extract(shot: &Shot<'_>) -> Result<Palm, QualityIssue> {
    let pixel_mm = f32::from(shot.micrometres_per_pixel.max(1)) / 1000.0;
    let image = shot.near_infrared;
    let place = region::locate(image, pixel_mm).ok_or(QualityIssue::NoHand)?;
    quality::judge_place(&place)?;
    let region = place.cut(image, pixel_mm, [0.0; 2]);
    quality::judge_light(&region)?;
    quality::judge_sharpness(image, &place, pixel_mm)?;
    let contrast = region.contrast();
    let ridges = match shot.red {
        None => ridges::find(&contrast, &region.inside),
        Some(red) => {
            let unregistered = place.cut(red, pixel_mm, [0.0; 2]).contrast();
            let registration = skin::register(&contrast, &unregistered, &region.inside);
            let red = place.cut(red, pixel_mm, registration.shift).contrast();
            ridges::find(&skin::taken_out(&contrast, &red, registration.gain), &region.inside)
        }
    };
    quality::judge_veins(&region.inside, &ridges)?;
    Ok(Palm(Probe::new(&ridges.veins(&region.inside))))
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
