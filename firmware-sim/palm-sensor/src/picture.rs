//! Pictures in files: PNG in, palm images out, and back.

use std::io::{BufRead, Seek, Write};

use palm_vein::PalmImage;
use zeroize::Zeroizing;

/// Grey level around a picture whose shape is not that of a palm image.
const MARGIN_GREY: u8 = 6;
/// Pixels of the largest file that is read.
const LARGEST: u64 = 1 << 26;

/// Why a file is no picture of a palm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file is no PNG, or a damaged one.
    #[error("not a readable PNG file")]
    NotPng(#[source] png::DecodingError),
    /// The picture has too many pixels, or none.
    #[error("a picture of {width} × {height} pixels is too large")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// Reads a PNG file of any size and colour type as a palm image: grey, made to fit into 640 × 480, dark around. Fingers
/// should point up; a pixel of the result should be about 0.28 mm of palm, thus the hand about as wide as half the picture.
///
/// # Errors
/// [`PictureError`] unless it is a PNG file of at most 64 megapixels.
pub fn read_png(file: impl BufRead + Seek) -> Result<PalmImage, PictureError> {
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(PictureError::NotPng)?;
    let (width, height) = reader.info().size();
    let size = reader.output_buffer_size().filter(|_| u64::from(width) * u64::from(height) <= LARGEST);
    let size = size.ok_or(PictureError::TooLarge { width, height })?;
    let mut samples = Zeroizing::new(vec![0; size]);
    let info = reader.next_frame(&mut samples).map_err(PictureError::NotPng)?;
    let colours = match info.color_type {
        png::ColorType::Rgb | png::ColorType::Rgba => 3,
        _ => 1,
    };
    let grey = |x: usize, y: usize| {
        let pixel = &samples[y * info.line_size + x * info.color_type.samples()..][..colours];
        pixel.iter().map(|&sample| f32::from(sample)).sum::<f32>() / colours as f32
    };
    Ok(fit(width as usize, height as usize, grey))
}

/// Scales a picture so that it just fits.
fn fit(width: usize, height: usize, grey: impl Fn(usize, usize) -> f32) -> PalmImage {
    let step = (width as f32 / PalmImage::WIDTH as f32).max(height as f32 / PalmImage::HEIGHT as f32);
    // Averages over about as many pixels as fall together.
    let samples = step.ceil().clamp(1.0, 8.0) as usize;
    let mut pixels = vec![MARGIN_GREY; PalmImage::PIXELS];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let (column, row) = (i % PalmImage::WIDTH, i / PalmImage::WIDTH);
        let mut sum = 0.0;
        let mut is_inside = true;
        for sample in 0..samples * samples {
            let place = |at: usize, sample: usize, size: usize, whole: usize| {
                let offset = (sample as f32 + 0.5) / samples as f32;
                ((at as f32 + offset - 0.5 * whole as f32) * step + 0.5 * size as f32).floor()
            };
            let x = place(column, sample % samples, width, PalmImage::WIDTH);
            let y = place(row, sample / samples, height, PalmImage::HEIGHT);
            is_inside &= x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
            if is_inside {
                sum += grey(x as usize, y as usize);
            }
        }
        if is_inside {
            *pixel = (sum / (samples * samples) as f32).round() as u8;
        }
    }
    match PalmImage::from_pixels(std::mem::take(&mut pixels)) {
        Ok(image) => image,
        Err(_) => unreachable!("as many pixels as a palm image has"),
    }
}

/// Writes a palm image as a grey PNG file.
///
/// # Errors
/// If the file can't be written.
pub fn write_png(image: &PalmImage, file: impl Write) -> Result<(), png::EncodingError> {
    write_grey_png(PalmImage::WIDTH as u32, image.pixels(), file)
}

/// Writes pixels of 8 bits, row by row, `width` in a row, as a grey PNG file.
///
/// # Errors
/// If the file can't be written, or the pixels don't fill their last row.
pub fn write_grey_png(width: u32, pixels: &[u8], file: impl Write) -> Result<(), png::EncodingError> {
    let height = pixels.len() / width.max(1) as usize;
    let mut encoder = png::Encoder::new(file, width, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(pixels)
}
