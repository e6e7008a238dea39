//! The lossless picture codec of PVHID/1 §6: median edge detection and Rice codes. The encoder.

use zeroize::Zeroizing;

/// The largest Rice parameter; one row may need all eight bits and more.
const PARAMETERS: std::ops::RangeInclusive<u8> = 0..=8;

/// Encodes a picture that is `width` pixels wide.
#[must_use]
pub fn encode_med_rice(pixels: &[u8], width: usize) -> Zeroizing<Vec<u8>> {
    let mut out = BitWriter { bytes: Zeroizing::new(Vec::with_capacity(pixels.len())), held: 0, count: 0 };
    let mut residuals = Zeroizing::new(vec![0_u8; width]);
    let mut above: Option<&[u8]> = None;
    for row in pixels.chunks(width.max(1)) {
        let residuals = &mut residuals[..row.len()];
        for (x, residual) in residuals.iter_mut().enumerate() {
            *residual = fold(row[x].wrapping_sub(expectation(row, above, x)));
        }
        let parameter = cheapest_parameter(residuals);
        out.put(u64::from(parameter), 4);
        for &residual in residuals.iter() {
            for _ in 0..residual.checked_shr(u32::from(parameter)).unwrap_or(0) {
                out.put(1, 1);
            }
            out.put(0, 1);
            out.put(u64::from(residual) & ((1 << parameter) - 1), u32::from(parameter));
        }
        above = Some(row);
    }
    out.finish()
}

fn expectation(row: &[u8], above: Option<&[u8]>, x: usize) -> u8 {
    match above {
        None if x == 0 => 128,
        None => row[x - 1],
        Some(above) if x == 0 => above[0],
        Some(above) => {
            let [west, north, north_west] = [row[x - 1], above[x], above[x - 1]].map(i32::from);
            let median = (west + north - north_west).clamp(west.min(north), west.max(north));
            median as u8
        }
    }
}

/// Differences −128 to 127 become 0 to 255, small ones small: 0, −1, 1, −2, 2 …
fn fold(difference: u8) -> u8 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 7)).cast_unsigned()
}

fn cheapest_parameter(residuals: &[u8]) -> u8 {
    let cost = |parameter: u8| -> usize {
        let high = |residual: u8| usize::from(residual.checked_shr(u32::from(parameter)).unwrap_or(0));
        residuals.iter().map(|&residual| high(residual) + 1 + usize::from(parameter)).sum()
    };
    PARAMETERS.min_by_key(|&parameter| cost(parameter)).unwrap_or_default()
}

struct BitWriter {
    bytes: Zeroizing<Vec<u8>>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `bits` bits of `value`, at most 8.
    fn put(&mut self, value: u64, bits: u32) {
        self.held = self.held << bits | value;
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
    }

    fn finish(mut self) -> Zeroizing<Vec<u8>> {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes
    }
}
