//! The camera's chip: photon, column or row, pattern and read noise, and eight bits.

use palm_vein::PalmImage;
use rand::RngCore;
use zeroize::Zeroize;

use super::random::{Purpose, normal, stream};
use super::raster::Raster;
use super::take::Take;
use super::{Family, Wavelength};

/// Turns the light on the chip, in grey levels, into pixels.
pub(super) fn read_out(light: &Raster, take: &Take, wavelength: Wavelength) -> PalmImage {
    let rng = &mut take.noise_stream(wavelength);
    let lines: Vec<f32> = (0..PalmImage::WIDTH).map(|_| 0.35 * take.noise * normal(rng)).collect();
    let mut random = vec![0; PalmImage::PIXELS * 4];
    rng.fill_bytes(&mut random);
    let pattern = match take.family {
        Family::A => Vec::new(),
        Family::B => fixed_pattern(),
    };
    let pixels = light
        .values
        .iter()
        .zip(random.chunks_exact(4))
        .enumerate()
        .map(|(i, (&value, random))| {
            // Sixteen fair bits and a uniform draw make a near enough normal one.
            let bits = u32::from_le_bytes([random[0], random[1], random[2], random[3]]);
            let count = (bits & 0xFFFF).count_ones() as f32 - 8.0;
            let uniform = (bits >> 16) as f32 / 65536.0 - 0.5;
            let draw = (count + uniform) * 0.495;
            let (value, line, deviation) = match take.family {
                Family::A => (value, lines[i % PalmImage::WIDTH], (0.8 + 0.0085 * value.max(0.0)).sqrt()),
                Family::B => {
                    // More read noise and larger wells than the other.
                    let patterned = value * (1.0 + 0.002 * (f32::from(pattern[i]) - 4.0));
                    (patterned, lines[i / PalmImage::WIDTH], (1.2 + 0.0050 * value.max(0.0)).sqrt())
                }
            };
            // The cast cuts off what is behind the point, and what lies outside of a byte.
            (value + line + take.noise * deviation * draw + 0.5) as u8
        })
        .collect();
    random.zeroize();
    match PalmImage::from_pixels(pixels) {
        Ok(image) => image,
        Err(_) => unreachable!("a raster of the image's size has the image's size"),
    }
}

/// How sensitive each pixel of the one camera of [`Family::B`] is: 0 to 8, 4 on average.
fn fixed_pattern() -> Vec<u8> {
    let mut pattern = vec![0; PalmImage::PIXELS];
    stream(Family::B, Purpose::Camera, 0, 0).fill_bytes(&mut pattern);
    pattern.iter_mut().for_each(|byte| *byte = byte.count_ones() as u8);
    pattern
}
