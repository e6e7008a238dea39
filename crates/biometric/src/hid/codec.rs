//! The lossless picture codec of PVHID/1 §6: median edge detection and Rice codes. The decoder.

use zeroize::Zeroizing;

/// These bytes are no picture of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the picture's stream is damaged")]
pub struct DamagedStream;

/// Decodes a picture of `width` × `height` pixels.
///
/// # Errors
/// [`DamagedStream`] unless `stream` is exactly such a picture, filled up with zero bits to a whole byte.
pub fn decode_med_rice(stream: &[u8], width: usize, height: usize) -> Result<Zeroizing<Vec<u8>>, DamagedStream> {
    let pixels = width.checked_mul(height).filter(|&pixels| pixels > 0).ok_or(DamagedStream)?;
    // No pixel takes less than a bit: don't make room for a picture that can't be in there.
    if pixels.div_ceil(8) > stream.len() {
        return Err(DamagedStream);
    }
    let mut bits = Bits { stream, next: 0 };
    let mut image = Zeroizing::new(vec![0; pixels]);
    for y in 0..height {
        let parameter = bits.take(4)?;
        if parameter > 8 {
            return Err(DamagedStream);
        }
        let (done, rest) = image.split_at_mut(y * width);
        let above = done.len().checked_sub(width).map(|start| &done[start..]);
        let row = &mut rest[..width];
        for x in 0..width {
            let residual = bits.rice(parameter)?;
            row[x] = predict(row, above, x).wrapping_add(unfold(residual));
        }
    }
    if bits.is_filled_up() { Ok(image) } else { Err(DamagedStream) }
}

/// The median of left, above, and left + above − above left.
fn predict(row: &[u8], above: Option<&[u8]>, x: usize) -> u8 {
    let left = x.checked_sub(1).map(|before| row[before]);
    match (left, above) {
        (None, None) => 128,
        (Some(left), None) => left,
        (None, Some(above)) => above[0],
        (Some(left), Some(above)) => {
            let (up, corner) = (above[x], above[x - 1]);
            let (low, high) = (left.min(up), left.max(up));
            if corner >= high {
                low
            } else if corner <= low {
                high
            } else {
                // Between the two others, thus within a byte.
                (i16::from(left) + i16::from(up) - i16::from(corner)) as u8
            }
        }
    }
}

/// 0, 1, 2, 3 … back to 0, −1, 1, −2 …, modulo 256.
fn unfold(folded: u8) -> u8 {
    (folded >> 1) ^ 0_u8.wrapping_sub(folded & 1)
}

/// A stream of bits, the highest of each byte first.
struct Bits<'a> {
    stream: &'a [u8],
    next: usize,
}

impl Bits<'_> {
    /// The next 32 bits, with zeros beyond the end.
    fn peek(&self) -> u32 {
        let start = self.next / 8;
        let mut window = [0; 8];
        let rest = &self.stream[start.min(self.stream.len())..];
        let length = rest.len().min(8);
        window[..length].copy_from_slice(&rest[..length]);
        (u64::from_be_bytes(window) << (self.next % 8) >> 32) as u32
    }

    fn skip(&mut self, count: usize) -> Result<(), DamagedStream> {
        self.next += count;
        if self.next <= 8 * self.stream.len() { Ok(()) } else { Err(DamagedStream) }
    }

    fn take(&mut self, count: u32) -> Result<u32, DamagedStream> {
        let value = if count == 0 { 0 } else { self.peek() >> (32 - count) };
        self.skip(count as usize)?;
        Ok(value)
    }

    /// A Rice code: the high part as so many ones and a zero, then the low `parameter` bits.
    fn rice(&mut self, parameter: u32) -> Result<u8, DamagedStream> {
        let mut high = 0;
        loop {
            let ones = self.peek().leading_ones();
            high += ones;
            if high > 255 {
                return Err(DamagedStream);
            }
            if ones < 32 {
                self.skip(ones as usize + 1)?;
                break;
            }
            self.skip(32)?;
        }
        let value = (high << parameter) | self.take(parameter)?;
        u8::try_from(value).map_err(|_| DamagedStream)
    }

    /// Is only the filling of the last byte left?
    fn is_filled_up(&self) -> bool {
        8 * self.stream.len() - self.next < 8 && self.peek() == 0
    }
}
