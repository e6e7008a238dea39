//! Where the palm is in a picture: mask, inscribed disc, region of interest.

use zeroize::Zeroizing;

use crate::PalmImage;
use crate::plane::Plane;

/// The mask is found on a picture this many times smaller.
const REDUCTION: usize = 4;
const REDUCED_WIDTH: usize = PalmImage::WIDTH / REDUCTION;
const REDUCED_HEIGHT: usize = PalmImage::HEIGHT / REDUCTION;

/// Edge of the region of interest, in its own pixels.
pub(crate) const ROI: usize = 128;
/// Edge of a pixel of the region of interest on a palm of reference size, mm.
const ROI_PITCH: f32 = 0.6;
/// Radius of the disc inscribed in a palm of reference size, mm.
const REFERENCE_RADIUS: f32 = 40.0;
/// How far from the edge of the hand the region of interest counts, mm. Nearer, the skin curves away.
const MARGIN: f32 = 6.0;

/// The palm's place in a picture. Lengths in mm at the sensor's nominal distance.
pub(crate) struct PalmPlace {
    /// Middle of the inscribed disc, from the middle of the picture; x to the right, y down.
    pub(crate) centre: [f32; 2],
    /// Radius of the inscribed disc.
    pub(crate) radius: f32,
    /// Share of the picture that the hand covers.
    pub(crate) hand_share: f32,
    /// For each point of the reduced picture its distance to the edge of the hand, mm; 0 outside.
    depths: Zeroizing<Vec<f32>>,
}

/// The region of interest: a square of the palm, of size and place that don't depend on where the hand was.
pub(crate) struct Region {
    /// Grey levels.
    pub(crate) grey: Plane,
    /// 1 well inside the hand and inside the picture, 0 elsewhere.
    pub(crate) inside: Plane,
}

impl Region {
    /// Difference of each pixel to its surroundings, a Gaussian of `surroundings` pixels, in units of their brightness (Weber
    /// contrast); 0 outside of the palm.
    pub(crate) fn contrast(&self, surroundings: f32) -> Plane {
        let mut masked = Plane::new(ROI, ROI);
        for ((to, grey), inside) in masked.values.iter_mut().zip(self.grey.values.iter()).zip(self.inside.values.iter())
        {
            *to = grey * inside;
        }
        let (sum, weight) = (masked.blurred(surroundings), self.inside.blurred(surroundings));
        let mut contrast = masked;
        for (i, value) in contrast.values.iter_mut().enumerate() {
            let mean = sum.values[i] / weight.values[i].max(1e-3);
            *value = if self.inside.values[i] > 0.0 { (self.grey.values[i] - mean) / mean.max(8.0) } else { 0.0 };
        }
        contrast
    }
}

/// Finds the palm. `None` if nothing in the picture stands out.
pub(crate) fn locate(image: &PalmImage, pixel_mm: f32) -> Option<PalmPlace> {
    let reduced = reduce(image);
    let threshold = otsu(&reduced)?;
    let step = pixel_mm * REDUCTION as f32;
    let hand: Zeroizing<Vec<bool>> = Zeroizing::new(reduced.iter().map(|&grey| grey > threshold).collect());
    let hand_share = hand.iter().filter(|&&inside| inside).count() as f32 / hand.len() as f32;
    let mut depths = squared_distances(&hand);
    depths.iter_mut().for_each(|squared| *squared = squared.sqrt() * step);

    // The largest disc can slide along a palm that is longer than wide: the middle of its slide is steadier than the
    // place where it happens to be largest.
    let largest = depths.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 {
        return None;
    }
    let (mut weight, mut sum) = (0.0, [0.0; 2]);
    for (i, &depth) in depths.iter().enumerate() {
        let nearly = depth - 0.93 * largest;
        if nearly > 0.0 {
            weight += nearly;
            sum[0] += nearly * ((i % REDUCED_WIDTH) as f32 + 0.5 - 0.5 * REDUCED_WIDTH as f32);
            sum[1] += nearly * ((i / REDUCED_WIDTH) as f32 + 0.5 - 0.5 * REDUCED_HEIGHT as f32);
        }
    }
    Some(PalmPlace { centre: sum.map(|s| s / weight * step), radius: largest, hand_share, depths })
}

impl PalmPlace {
    /// Cuts the region of interest out of a picture of this palm, in which the hand lies `shift` pixels of the region to
    /// the right and down of where it was found.
    pub(crate) fn cut(&self, image: &PalmImage, pixel_mm: f32, shift: [f32; 2]) -> Region {
        // Half of the difference in size is taken out: the disc tells a nearer hand from a larger one only roughly.
        let pitch = ROI_PITCH * (self.radius / REFERENCE_RADIUS).sqrt();
        let (mut grey, mut inside) = (Plane::new(ROI, ROI), Plane::new(ROI, ROI));
        let place = |x: f32, y: f32| {
            [
                self.centre[0] + (x - 0.5 * (ROI - 1) as f32) * pitch,
                self.centre[1] + (y - 0.5 * (ROI - 1) as f32) * pitch,
            ]
        };
        for i in 0..ROI * ROI {
            let (x, y) = ((i % ROI) as f32, (i / ROI) as f32);
            // Four samples a pixel: the picture is about twice as fine.
            let samples = [(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)]
                .map(|(dx, dy)| sample(image, place(x + dx + shift[0], y + dy + shift[1]), pixel_mm));
            grey.values[i] = 0.25 * samples.iter().sum::<f32>();
            inside.values[i] = if self.depth(place(x, y), pixel_mm) > MARGIN { 1.0 } else { 0.0 };
        }
        Region { grey, inside }
    }

    fn depth(&self, place: [f32; 2], pixel_mm: f32) -> f32 {
        let step = pixel_mm * REDUCTION as f32;
        let column = (place[0] / step + 0.5 * REDUCED_WIDTH as f32).floor();
        let row = (place[1] / step + 0.5 * REDUCED_HEIGHT as f32).floor();
        if column < 0.0 || row < 0.0 || column >= REDUCED_WIDTH as f32 || row >= REDUCED_HEIGHT as f32 {
            return 0.0;
        }
        self.depths[row as usize * REDUCED_WIDTH + column as usize]
    }
}

/// The grey level at `place` (mm from the middle of the picture), between pixels; the border's goes on outside.
fn sample(image: &PalmImage, place: [f32; 2], pixel_mm: f32) -> f32 {
    let x = (place[0] / pixel_mm + 0.5 * (PalmImage::WIDTH - 1) as f32).clamp(0.0, PalmImage::WIDTH as f32 - 1.001);
    let y = (place[1] / pixel_mm + 0.5 * (PalmImage::HEIGHT - 1) as f32).clamp(0.0, PalmImage::HEIGHT as f32 - 1.001);
    let (column, row) = (x as usize, y as usize);
    let (fx, fy) = (x - column as f32, y - row as f32);
    let i = row * PalmImage::WIDTH + column;
    let pixels = image.pixels();
    let at = |i: usize| f32::from(pixels[i]);
    let top = at(i) + fx * (at(i + 1) - at(i));
    let bottom = at(i + PalmImage::WIDTH) + fx * (at(i + PalmImage::WIDTH + 1) - at(i + PalmImage::WIDTH));
    top + fy * (bottom - top)
}

/// Means of squares of [`REDUCTION`] pixels.
fn reduce(image: &PalmImage) -> Zeroizing<Vec<u8>> {
    let mut reduced = Zeroizing::new(vec![0; REDUCED_WIDTH * REDUCED_HEIGHT]);
    let mut sums = Zeroizing::new([0_u16; REDUCED_WIDTH]);
    for (y, row) in image.pixels().chunks_exact(PalmImage::WIDTH).enumerate() {
        for (sum, square) in sums.iter_mut().zip(row.chunks_exact(REDUCTION)) {
            *sum += square.iter().map(|&pixel| u16::from(pixel)).sum::<u16>();
        }
        if y % REDUCTION == REDUCTION - 1 {
            let line = &mut reduced[y / REDUCTION * REDUCED_WIDTH..][..REDUCED_WIDTH];
            for (mean, sum) in line.iter_mut().zip(sums.iter_mut()) {
                *mean = (*sum / (REDUCTION * REDUCTION) as u16) as u8;
                *sum = 0;
            }
        }
    }
    reduced
}

/// The grey level that parts hand from background best (Otsu 1979), if the two differ enough to be told apart.
fn otsu(greys: &[u8]) -> Option<u8> {
    /// Grey levels between the means of hand and background.
    const LEAST_CONTRAST: f32 = 18.0;
    /// Where between the two means the hand begins: nearer to the background, whose grey varies less than the hand's.
    const HAND_FROM: f32 = 0.3;
    let mut histogram = [0_u32; 256];
    greys.iter().for_each(|&grey| histogram[usize::from(grey)] += 1);
    let total = greys.len() as f32;
    let sum: f32 = histogram.iter().enumerate().map(|(grey, &count)| grey as f32 * count as f32).sum();
    let (mut below, mut sum_below) = (0.0, 0.0);
    let (mut means, mut best_variance) = ([0.0; 2], 0.0);
    for (grey, &count) in histogram.iter().enumerate() {
        below += count as f32;
        sum_below += grey as f32 * count as f32;
        let above = total - below;
        if below == 0.0 || above <= 0.0 {
            continue;
        }
        let [dark, bright] = [sum_below / below, (sum - sum_below) / above];
        let variance = below * above * (bright - dark).powi(2);
        if variance > best_variance {
            (means, best_variance) = ([dark, bright], variance);
        }
    }
    let [dark, bright] = means;
    (bright - dark >= LEAST_CONTRAST).then_some((dark + HAND_FROM * (bright - dark)) as u8)
}

/// The square of each point's distance to the nearest point outside of the hand, in steps of the reduced picture; all
/// beyond the picture counts as outside (Felzenszwalb and Huttenlocher 2012).
fn squared_distances(hand: &[bool]) -> Zeroizing<Vec<f32>> {
    let mut squares = Zeroizing::new(vec![0.0_f32; hand.len()]);
    // Down each column: distance to the nearest outside point of that column.
    for x in 0..REDUCED_WIDTH {
        let mut distance = 0.0_f32;
        for y in 0..REDUCED_HEIGHT {
            let i = y * REDUCED_WIDTH + x;
            distance = if hand[i] { distance + 1.0 } else { 0.0 };
            squares[i] = distance;
        }
        distance = 0.0;
        for y in (0..REDUCED_HEIGHT).rev() {
            let i = y * REDUCED_WIDTH + x;
            distance = if hand[i] { distance + 1.0 } else { 0.0 };
            squares[i] = squares[i].min(distance).powi(2);
        }
    }
    // Along each row: the lower envelope of the parabolas that stand on the columns' distances, with one of height 0
    // just beyond either end.
    let mut heights = Zeroizing::new([0.0; REDUCED_WIDTH + 2]);
    let mut feet = [0_usize; REDUCED_WIDTH + 2];
    let mut starts = [0.0_f32; REDUCED_WIDTH + 3];
    for row in squares.chunks_exact_mut(REDUCED_WIDTH) {
        heights[1..=REDUCED_WIDTH].copy_from_slice(row);
        let mut last = 0;
        (feet[0], starts[0], starts[1]) = (0, f32::MIN, f32::MAX);
        for foot in 1..heights.len() {
            let meeting = |other: usize| {
                let (a, b) = (foot as f32, other as f32);
                ((heights[foot] + a * a) - (heights[other] + b * b)) / (2.0 * (a - b))
            };
            while last > 0 && meeting(feet[last]) <= starts[last] {
                last -= 1;
            }
            let start = meeting(feet[last]);
            last += 1;
            (feet[last], starts[last], starts[last + 1]) = (foot, start, f32::MAX);
        }
        let mut current = 0;
        for (x, value) in row.iter_mut().enumerate() {
            let place = (x + 1) as f32;
            while starts[current + 1] < place {
                current += 1;
            }
            *value = (place - feet[current] as f32).powi(2) + heights[feet[current]];
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_search() {
        let mut hand = vec![false; REDUCED_WIDTH * REDUCED_HEIGHT];
        // A disc that leaves the picture below, with a hole.
        for (i, inside) in hand.iter_mut().enumerate() {
            let (x, y) = ((i % REDUCED_WIDTH) as f32, (i / REDUCED_WIDTH) as f32);
            *inside = (x - 70.0).hypot(y - 90.0) < 45.0 && (x - 60.0).hypot(y - 80.0) > 6.0;
        }
        let squares = squared_distances(&hand);
        let outside = |x: i32, y: i32| {
            x < 0
                || y < 0
                || x >= REDUCED_WIDTH as i32
                || y >= REDUCED_HEIGHT as i32
                || !hand[y as usize * REDUCED_WIDTH + x as usize]
        };
        for y in (0..REDUCED_HEIGHT as i32).step_by(7) {
            for x in (0..REDUCED_WIDTH as i32).step_by(5) {
                let searched = (-1..=REDUCED_HEIGHT as i32)
                    .flat_map(|v| (-1..=REDUCED_WIDTH as i32).map(move |u| (u, v)))
                    .filter(|&(u, v)| outside(u, v))
                    .map(|(u, v)| (u - x).pow(2) + (v - y).pow(2))
                    .min();
                let found = squares[y as usize * REDUCED_WIDTH + x as usize];
                assert_eq!(Some(found as i32), searched, "at {x}, {y}");
            }
        }
    }
}
