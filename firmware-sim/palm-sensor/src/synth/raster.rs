//! Plane arrays of numbers, and blurring.

use zeroize::Zeroize;

use super::maths::bell;

/// A plane of numbers, row by row. Wiped when dropped: most of them show a palm.
#[derive(Clone)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

impl Raster {
    pub(super) fn filled(width: usize, height: usize, value: f32) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    pub(super) fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..(y + 1) * self.width]
    }

    /// Blurs with a Gaussian of `sigma_x` and `sigma_y` pixels. Beyond the edge the border's values go on.
    pub(super) fn blur(&mut self, sigma_x: f32, sigma_y: f32) {
        /// From here on half the resolution is enough.
        const WIDE: f32 = 4.0;
        if sigma_x >= WIDE && sigma_y >= WIDE {
            let mut half = self.halved();
            // Halving and doubling blur by themselves: with a variance of ¼ and, on average, ½ pixels.
            let remaining = |sigma: f32| 0.5 * (sigma * sigma - 0.75).sqrt();
            half.blur(remaining(sigma_x), remaining(sigma_y));
            half.double_into(self);
            return;
        }
        if sigma_x > 0.0 {
            let kernel = gaussian(sigma_x);
            let reach = kernel.len() - 1;
            let mut padded = vec![0.0; self.width + 2 * reach];
            for row in self.values.chunks_exact_mut(self.width) {
                padded[..reach].fill(row[0]);
                padded[reach..reach + row.len()].copy_from_slice(row);
                padded[reach + row.len()..].fill(row[row.len() - 1]);
                for (value, &centre) in row.iter_mut().zip(&padded[reach..]) {
                    *value = kernel[0] * centre;
                }
                for (offset, &weight) in kernel.iter().enumerate().skip(1) {
                    let (before, after) = (&padded[reach - offset..], &padded[reach + offset..]);
                    for ((value, a), b) in row.iter_mut().zip(before).zip(after) {
                        *value += weight * (a + b);
                    }
                }
            }
            padded.zeroize();
        }
        if sigma_y > 0.0 {
            let kernel = gaussian(sigma_y);
            let last = self.height - 1;
            let source = self.clone();
            for (y, row) in self.values.chunks_exact_mut(self.width).enumerate() {
                for (value, &centre) in row.iter_mut().zip(source.row(y)) {
                    *value = kernel[0] * centre;
                }
                for (offset, &weight) in kernel.iter().enumerate().skip(1) {
                    let above = source.row(y.saturating_sub(offset));
                    let below = source.row((y + offset).min(last));
                    for ((value, a), b) in row.iter_mut().zip(above).zip(below) {
                        *value += weight * (a + b);
                    }
                }
            }
        }
    }

    /// Means of four.
    pub(super) fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut half = Self::filled(width, height, 0.0);
        for (y, row) in half.values.chunks_exact_mut(width).enumerate() {
            let (above, below) = (self.row(2 * y), self.row((2 * y + 1).min(self.height - 1)));
            for (x, value) in row.iter_mut().enumerate() {
                let (left, right) = (2 * x, (2 * x + 1).min(self.width - 1));
                *value = 0.25 * (above[left] + above[right] + below[left] + below[right]);
            }
        }
        half
    }

    /// Fills `whole`, twice as large, with what lies between these values.
    fn double_into(&self, whole: &mut Self) {
        let width = whole.width;
        for (y, row) in whole.values.chunks_exact_mut(width).enumerate() {
            // A quarter of the next but one value, three of the next.
            let near = self.row(y / 2);
            let far = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(self.height - 1) };
            let far = self.row(far);
            for (x, value) in row.iter_mut().enumerate() {
                let beside = if x % 2 == 0 { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(self.width - 1) };
                let across = |row: &[f32]| 0.75 * row[x / 2] + 0.25 * row[beside];
                *value = 0.75 * across(near) + 0.25 * across(far);
            }
        }
    }
}

impl Drop for Raster {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

/// One half of a Gaussian kernel, from the middle outwards; the whole sums to 1.
fn gaussian(sigma: f32) -> Vec<f32> {
    let reach = (2.6 * sigma).ceil().max(1.0) as usize;
    let mut kernel: Vec<f32> = (0..=reach).map(|i| bell(i as f32 / sigma)).collect();
    let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    kernel
}
