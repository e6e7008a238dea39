use std::fmt;

use zeroize::Zeroizing;

/// A near-infrared picture of a palm: [`PalmImage::WIDTH`] × [`PalmImage::HEIGHT`] pixels of 8 bits, row by row from
/// the top, 0 black. Wiped from memory when dropped.
///
/// Fingers point up, give or take the tilt that a person's hand has.
#[derive(Clone, PartialEq, Eq)]
pub struct PalmImage(Zeroizing<Vec<u8>>);

impl PalmImage {
    /// Pixels in a row.
    pub const WIDTH: usize = 640;
    /// Rows.
    pub const HEIGHT: usize = 480;
    /// Pixels altogether.
    pub const PIXELS: usize = Self::WIDTH * Self::HEIGHT;

    /// Takes over `pixels`, which are wiped if they are refused.
    ///
    /// # Errors
    /// [`WrongSize`] unless there are exactly [`PalmImage::PIXELS`] of them.
    pub fn from_pixels(pixels: Vec<u8>) -> Result<Self, WrongSize> {
        let pixels = Zeroizing::new(pixels);
        if pixels.len() == Self::PIXELS { Ok(Self(pixels)) } else { Err(WrongSize { pixels: pixels.len() }) }
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PalmImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PalmImage(..)")
    }
}

/// These pixels are no palm image: there are too many of them, or too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pixels} pixels instead of {}", PalmImage::PIXELS)]
pub struct WrongSize {
    /// How many there are.
    pub pixels: usize,
}
