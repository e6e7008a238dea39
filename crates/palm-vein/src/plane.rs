//! Plane arrays of numbers, wiped when dropped, and Gaussian blurring.

use zeroize::Zeroizing;

/// A plane of numbers, row by row.
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) values: Zeroizing<Vec<f32>>,
}

impl Plane {
    /// A plane of zeros.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, values: Zeroizing::new(vec![0.0; width * height]) }
    }

    /// This plane blurred with a Gaussian of `sigma` pixels; beyond the edge are zeros.
    pub(crate) fn blurred(&self, sigma: f32) -> Self {
        let reach = (3.0 * sigma).ceil() as usize;
        let mut kernel: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
        let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
        kernel.iter_mut().for_each(|weight| *weight /= sum);

        let height = self.values.len() / self.width;
        let mut across = Self::new(self.width, height);
        for (to, from) in across.values.chunks_exact_mut(self.width).zip(self.values.chunks_exact(self.width)) {
            add_scaled(to, from, kernel[0]);
            for (offset, &weight) in kernel.iter().enumerate().skip(1).take_while(|(offset, _)| *offset < self.width) {
                let keep = self.width - offset;
                add_scaled(&mut to[..keep], &from[offset..], weight);
                add_scaled(&mut to[offset..], &from[..keep], weight);
            }
        }
        let mut both = Self::new(self.width, height);
        for (y, to) in both.values.chunks_exact_mut(self.width).enumerate() {
            let row = |y: usize| &across.values[y * self.width..(y + 1) * self.width];
            add_scaled(to, row(y), kernel[0]);
            for (offset, &weight) in kernel.iter().enumerate().skip(1) {
                if offset <= y {
                    add_scaled(to, row(y - offset), weight);
                }
                if y + offset < height {
                    add_scaled(to, row(y + offset), weight);
                }
            }
        }
        both
    }
}

/// The sum of the products of two rows, several at once: the order of the additions is fixed, but not that of the rows.
pub(crate) fn product(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}

fn add_scaled(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}
