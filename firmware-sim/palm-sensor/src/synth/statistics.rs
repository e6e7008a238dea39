//! Statistics of a picture by which synthetic palms are held against pictures of real ones.

use palm_vein::PalmImage;

use super::maths::square;
use super::raster::Raster;

/// How visible veins are in a picture, and how noisy it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureStatistics {
    /// How much darker than their surroundings (Gaussian, σ 16 pixels) the darkest 5 % of the hand are at least: the 95th
    /// percentile of the Weber contrast of valleys.
    pub valley_contrast: f32,
    /// Standard deviation of the noise in grey levels, from the median absolute deviation of second differences.
    pub noise: f32,
    /// Mean scale of the strongest 5 % of valleys, in pixels: the σ at which the second derivative of a Gaussian answers
    /// most.
    pub valley_scale: f32,
}

/// Scales at which valleys are looked for, in pixels: on a picture of half the size, where they cost less.
const SCALES: [f32; 7] = [2.0, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0];
/// Distance from the edge of the hand within which nothing is measured, in pixels: the skin curves away.
const MARGIN: f32 = 26.0;

/// Measures a picture. `None` if there is no bright hand in it.
#[must_use]
pub fn measure(image: &PalmImage) -> Option<PictureStatistics> {
    let grey = Raster {
        width: PalmImage::WIDTH,
        height: PalmImage::HEIGHT,
        values: image.pixels().iter().map(|&pixel| f32::from(pixel)).collect(),
    };
    let hand = inside_of_hand(&grey);
    if hand.len() < PalmImage::PIXELS / 100 {
        return None;
    }
    let mut surroundings = grey.clone();
    surroundings.blur(16.0, 16.0);
    let mut smooth = grey.clone();
    smooth.blur(1.5, 1.5);
    let mut contrasts: Vec<f32> =
        hand.iter().map(|&i| 1.0 - smooth.values[i] / surroundings.values[i].max(1.0)).collect();
    Some(PictureStatistics {
        valley_contrast: percentile(&mut contrasts, 0.95),
        noise: noise(&grey, &hand),
        valley_scale: valley_scale(&grey, &surroundings, &hand),
    })
}

/// The pixels well inside the hand.
fn inside_of_hand(grey: &Raster) -> Vec<usize> {
    let mut around = grey.clone();
    around.blur(8.0, 8.0);
    let brightest = around.values.iter().copied().fold(0.0, f32::max);
    let mut outside = around;
    outside.values.iter_mut().for_each(|value| *value = if *value > 0.35 * brightest { 0.0 } else { 1.0 });
    // What is farther from the outside than the margin has next to nothing of it after blurring.
    outside.blur(0.5 * MARGIN, 0.5 * MARGIN);
    let frame = MARGIN as usize;
    let is_inside = |&i: &usize| {
        let (x, y) = (i % PalmImage::WIDTH, i / PalmImage::WIDTH);
        let in_frame = x >= frame && x < PalmImage::WIDTH - frame && y >= frame && y < PalmImage::HEIGHT - frame;
        in_frame && outside.values[i] < 0.02
    };
    (0..PalmImage::PIXELS).filter(is_inside).collect()
}

fn noise(grey: &Raster, hand: &[usize]) -> f32 {
    /// What the mask [1 −2 1; −2 4 −2; 1 −2 1] (Immerkær 1996) makes of noise of deviation 1.
    const GAIN: f32 = 6.0;
    let width = PalmImage::WIDTH;
    let v = &grey.values;
    let mut differences: Vec<f32> = hand
        .iter()
        .map(|&i| {
            let corners = v[i - width - 1] + v[i - width + 1] + v[i + width - 1] + v[i + width + 1];
            let sides = v[i - width] + v[i - 1] + v[i + 1] + v[i + width];
            (corners - 2.0 * sides + 4.0 * v[i]).abs()
        })
        .collect();
    percentile(&mut differences, 0.5) * 1.4826 / GAIN
}

fn valley_scale(grey: &Raster, surroundings: &Raster, hand: &[usize]) -> f32 {
    let grey = grey.halved();
    let width = grey.width;
    let hand: Vec<usize> = hand
        .iter()
        .map(|&i| (i % PalmImage::WIDTH, i / PalmImage::WIDTH))
        .filter(|(x, y)| x % 2 == 0 && y % 2 == 0)
        .map(|(x, y)| y / 2 * width + x / 2)
        .collect();
    // Strongest answer and its scale for each pixel of the hand.
    let mut strongest = vec![(0.0_f32, 0.0_f32); hand.len()];
    for scale in SCALES {
        let mut blurred = grey.clone();
        blurred.blur(0.5 * scale, 0.5 * scale);
        let v = &blurred.values;
        for ((answer, best), &i) in strongest.iter_mut().zip(&hand) {
            let xx = v[i - 1] - 2.0 * v[i] + v[i + 1];
            let yy = v[i - width] - 2.0 * v[i] + v[i + width];
            let xy = v[i - width - 1] + v[i + width + 1] - v[i - width + 1] - v[i + width - 1];
            let xy = 0.25 * xy;
            // Across a dark line brightness curves upwards: the larger eigenvalue of the second derivatives. The power 3/2
            // of the scale makes a line answer most at its own scale (Lindeberg 1998).
            let curvature = 0.5 * (xx + yy) + (square(0.5 * (xx - yy)) + square(xy)).sqrt();
            let around = surroundings.values[i / width * 2 * PalmImage::WIDTH + i % width * 2];
            let here = curvature * scale * scale.sqrt() / around.max(1.0);
            if here > *answer {
                (*answer, *best) = (here, scale);
            }
        }
    }
    strongest.sort_by(|a, b| b.0.total_cmp(&a.0));
    let valleys = &strongest[..hand.len().div_ceil(20)];
    valleys.iter().map(|(_, scale)| scale).sum::<f32>() / valleys.len() as f32
}

/// The value below which a `share` of the values lies. Sorts them.
fn percentile(values: &mut [f32], share: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let place = (share * values.len() as f32) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
