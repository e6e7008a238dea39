use std::fmt;

use zeroize::Zeroizing;

use crate::matching::Probe;
use crate::plane::Plane;
use crate::quality::VeinLimits;
use crate::region::{PalmPlace, Region};
use crate::ridges::LineFilter;
use crate::template::Lights;
use crate::{PalmTemplate, Presentation, QualityIssue, Shot, quality, region, ridges, skin};

/// From this similarity on, two palms seen in near-infrared light alone count as the same.
///
/// Fixed on family A, seeds 20000 to 20399, levels 0 to 2.
pub const MATCH_THRESHOLD: f32 = 0.37;

/// From this similarity on, two palms seen in both lights count as the same.
///
/// Fixed on family A, seeds 20000 to 20059, levels 1 and 2 and faint veins; see `docs/palm-vein.md`.
pub const TWO_LIGHT_THRESHOLD: f32 = 0.29;

/// A palm that is good enough to be compared or enrolled. Secret: wiped when dropped, printed by nobody.
pub struct Palm {
    probe: Probe,
}

/// Finds the palm in what the sensor took, judges the pictures, and extracts the pattern of the veins.
///
/// # Errors
/// The first reason not to use the shot.
pub fn extract(shot: &Shot<'_>) -> Result<Palm, QualityIssue> {
    let sight = Sight::of(shot)?;
    if sight.presentation.is_some_and(|presentation| presentation.score() >= Presentation::LIMIT) {
        return Err(QualityIssue::Unnatural);
    }
    let (filter, limits) = match sight.presentation {
        None => (&LineFilter::ONE_LIGHT, &VeinLimits::ONE_LIGHT),
        Some(_) => (&LineFilter::TWO_LIGHTS, &VeinLimits::TWO_LIGHTS),
    };
    let ridges = ridges::find(&sight.lines, &sight.inside, filter);
    quality::judge_veins(&sight.inside, &ridges, limits)?;
    let lights = if sight.presentation.is_some() { Lights::Two } else { Lights::One };
    Ok(Palm { probe: Probe::new(&ridges.veins(&sight.inside, filter), lights) })
}

/// What tells whether a shot shows a living hand; `None` of a shot in one light. For measuring the method only.
///
/// # Errors
/// The first reason not to use the shot.
pub fn presentation(shot: &Shot<'_>) -> Result<Option<Presentation>, QualityIssue> {
    Ok(Sight::of(shot)?.presentation)
}

/// The square of a palm in which veins are looked for, as other methods may take it. For measuring the method only.
pub struct RegionOfInterest {
    /// Grey levels, [`RegionOfInterest::SIZE`] rows of as many pixels.
    pub grey: Zeroizing<Vec<u8>>,
    /// For each pixel whether it is well inside the hand.
    pub inside: Zeroizing<Vec<bool>>,
}

impl RegionOfInterest {
    /// Pixels in a row, and rows. A pixel is 0.6 mm of a palm of usual size.
    pub const SIZE: usize = region::ROI;

    /// Cuts it out of a picture in near-infrared light.
    ///
    /// # Errors
    /// The first reason not to use the picture.
    pub fn of(shot: &Shot<'_>) -> Result<Self, QualityIssue> {
        let region = Sight::region(shot)?.1;
        let grey = region.grey.values.iter().map(|grey| grey.round() as u8).collect();
        let inside = region.inside.values.iter().map(|&inside| inside > 0.0).collect();
        Ok(Self { grey: Zeroizing::new(grey), inside: Zeroizing::new(inside) })
    }
}

impl fmt::Debug for RegionOfInterest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegionOfInterest(..)")
    }
}

/// The palm in a shot that is good enough.
struct Sight {
    /// Where the palm is.
    inside: Plane,
    /// The contrast in which veins are looked for.
    lines: Plane,
    /// If there are two lights.
    presentation: Option<Presentation>,
}

impl Sight {
    /// Scale of what counts as the brightness around a pixel, in pixels: with one light and with two.
    const SURROUNDINGS: [f32; 2] = [9.0, 6.0];

    fn of(shot: &Shot<'_>) -> Result<Self, QualityIssue> {
        let (place, region) = Self::region(shot)?;
        let pixel_mm = shot.pixel_mm();
        let Some(red) = shot.red else {
            let lines = region.contrast(Self::SURROUNDINGS[0]);
            return Ok(Self { inside: region.inside, lines, presentation: None });
        };
        let contrast = region.contrast(Self::SURROUNDINGS[1]);
        let unmoved = place.cut(red, pixel_mm, [0.0; 2]).contrast(Self::SURROUNDINGS[1]);
        let movement = skin::movement(&contrast, &unmoved, &region.inside);
        let red = place.cut(red, pixel_mm, movement).contrast(Self::SURROUNDINGS[1]);
        let lines = skin::without_skin(&contrast, &red);
        let presentation = Presentation::of(&region, &contrast, &red, &lines);
        Ok(Self { inside: region.inside, lines, presentation: Some(presentation) })
    }

    /// Where the palm is in the near-infrared picture, and what is there, if the picture is good enough.
    fn region(shot: &Shot<'_>) -> Result<(PalmPlace, Region), QualityIssue> {
        let (image, pixel_mm) = (shot.near_infrared, shot.pixel_mm());
        let place = region::locate(image, pixel_mm).ok_or(QualityIssue::NoHand)?;
        quality::judge_place(&place)?;
        let region = place.cut(image, pixel_mm, [0.0; 2]);
        quality::judge_light(&region)?;
        quality::judge_sharpness(image, &place, pixel_mm)?;
        Ok((place, region))
    }
}

impl Palm {
    /// The template to be enrolled.
    #[must_use]
    pub fn template(&self) -> PalmTemplate {
        self.probe.upright().clone()
    }

    /// Is this the enrolled palm? Not if one was seen in one light and the other in two.
    #[must_use]
    pub fn matches(&self, enrolled: &PalmTemplate) -> bool {
        let lights = enrolled.lights();
        let threshold = match lights {
            Lights::One => MATCH_THRESHOLD,
            Lights::Two => TWO_LIGHT_THRESHOLD,
        };
        self.probe.upright().lights() == lights && self.similarity(enrolled) >= threshold
    }

    /// How much this palm agrees with an enrolled one: 1 for the very same picture, about 0.2 for different palms (the best
    /// of many alignments is never quite 0). For measuring the method only: whoever sees it can climb towards a match.
    #[must_use]
    pub fn similarity(&self, enrolled: &PalmTemplate) -> f32 {
        self.probe.similarity(enrolled)
    }
}

impl fmt::Debug for Palm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Palm(..)")
    }
}
