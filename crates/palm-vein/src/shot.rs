use crate::PalmImage;

/// What a sensor took of one palm in one presentation.
#[derive(Clone, Copy, Debug)]
pub struct Shot<'a> {
    /// The palm in near-infrared light (about 850 nm), which reaches the veins.
    pub near_infrared: &'a PalmImage,
    /// The palm in red light (about 660 nm), taken right before or after: the skin with hardly a vein. Without it, skin is not
    /// told from veins.
    pub red: Option<&'a PalmImage>,
    /// Edge of a pixel at the sensor's nominal distance, in micrometres.
    pub micrometres_per_pixel: u16,
}

impl<'a> Shot<'a> {
    /// A picture in near-infrared light alone.
    #[must_use]
    pub fn near_infrared(image: &'a PalmImage, micrometres_per_pixel: u16) -> Self {
        Self { near_infrared: image, red: None, micrometres_per_pixel }
    }

    /// The same with a picture in red light.
    #[must_use]
    pub fn with_red(self, red: &'a PalmImage) -> Self {
        Self { red: Some(red), ..self }
    }

    /// Edge of a pixel, mm.
    pub(crate) fn pixel_mm(&self) -> f32 {
        f32::from(self.micrometres_per_pixel.max(1)) / 1000.0
    }
}
