//! What is printed on the card's face, as images: characters of 12 dots, as on the real card.

use std::io::Cursor;
use std::sync::LazyLock;

use encoding_rs::EUC_JP;
use zeroize::Zeroizing;

/// Height of a line in dots; width of a character that is not a digit of a number.
const DOTS: usize = 12;
/// Width of the digits of numbers.
const DIGIT: usize = 6;
/// Characters in a line of 氏名: as wide as on the real card.
const NAME_LINE: usize = 18;
/// Characters in a line of 住所.
const ADDRESS_LINE: usize = 24;
/// What stands for a character that the font does not have: 〓, row 2, cell 14 of JIS X 0208.
const MISSING: (usize, usize) = (1, 13);

/// The photograph: nobody's, and it says so.
pub(crate) const PHOTO: &[u8] = include_bytes!("../data/photo-simulated.jp2");

/// A 1-bit image. What it shows is personal: wiped when dropped.
struct Bitmap {
    width: usize,
    height: usize,
    /// Rows of whole bytes, the leftmost dot in the highest bit, 1 for white.
    rows: Zeroizing<Vec<u8>>,
}

impl Bitmap {
    fn white(width: usize, height: usize) -> Self {
        Self { width, height, rows: Zeroizing::new(vec![0xFF; width.div_ceil(8) * height]) }
    }

    /// Reads an image of the font. An image that can't be read is an empty one: only a damaged source has that.
    fn read(png: &[u8]) -> Self {
        let read = || {
            let mut reader = png::Decoder::new(Cursor::new(png)).read_info().ok()?;
            let mut rows = Zeroizing::new(vec![0xFF; reader.output_buffer_size()?]);
            let info = reader.next_frame(&mut rows).ok()?;
            (info.bit_depth == png::BitDepth::One).then_some(Self {
                width: info.width as usize,
                height: info.height as usize,
                rows,
            })
        };
        read().unwrap_or_else(|| Self::white(0, 0))
    }

    fn is_black(&self, x: usize, y: usize) -> bool {
        let byte = self.rows.get(y * self.width.div_ceil(8) + x / 8);
        x < self.width && byte.is_some_and(|byte| byte & (0x80 >> (x % 8)) == 0)
    }

    fn blacken(&mut self, x: usize, y: usize) {
        let width = self.width.div_ceil(8);
        if let Some(byte) = self.rows.get_mut(y * width + x / 8) {
            *byte &= !(0x80 >> (x % 8));
        }
    }

    /// Copies what is black in a part of `from` that is `width` wide and a line high.
    fn copy(&mut self, from: &Self, (from_x, from_y): (usize, usize), width: usize, (x, y): (usize, usize)) {
        for (dx, dy) in (0..DOTS).flat_map(|dy| (0..width).map(move |dx| (dx, dy))) {
            if from.is_black(from_x + dx, from_y + dy) {
                self.blacken(x + dx, y + dy);
            }
        }
    }

    /// As a PNG of one bit per dot; none that is known fails.
    fn to_png(&self) -> Option<Vec<u8>> {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header().ok()?.write_image_data(&self.rows).ok()?;
        Some(png)
    }
}

static CHARACTERS: LazyLock<Bitmap> = LazyLock::new(|| Bitmap::read(include_bytes!("../data/shinonome-12.png")));
static DIGITS: LazyLock<Bitmap> = LazyLock::new(|| Bitmap::read(include_bytes!("../data/shinonome-6x12-digits.png")));

/// 氏名.
pub(crate) fn name(text: &str) -> Option<Vec<u8>> {
    lines(text, NAME_LINE).to_png()
}

/// 住所.
pub(crate) fn address(text: &str) -> Option<Vec<u8>> {
    lines(text, ADDRESS_LINE).to_png()
}

/// A number, in narrow digits.
pub(crate) fn number(digits: &str) -> Option<Vec<u8>> {
    let mut bitmap = Bitmap::white(digits.len() * DIGIT, DOTS);
    for (i, digit) in digits.bytes().enumerate() {
        let value = usize::from(digit.saturating_sub(b'0'));
        bitmap.copy(&DIGITS, (value * DIGIT, 0), DIGIT, (i * DIGIT, 0));
    }
    bitmap.to_png()
}

/// Text in as many lines as it takes.
fn lines(text: &str, characters: usize) -> Bitmap {
    let lines = text.chars().count().div_ceil(characters).max(1);
    let mut bitmap = Bitmap::white(characters * DOTS, lines * DOTS);
    for (i, character) in text.chars().enumerate() {
        let (row, cell) = place(character);
        let to = (i % characters * DOTS, i / characters * DOTS);
        bitmap.copy(&CHARACTERS, (cell * DOTS, row * DOTS), DOTS, to);
    }
    bitmap
}

/// Row and cell of a character in JIS X 0208, from 0 on.
fn place(character: char) -> (usize, usize) {
    let wide = match character {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(character) + 0xFEE0).unwrap_or(character),
        other => other,
    };
    let mut utf8 = Zeroizing::new([0; 4]);
    let (encoded, _, is_unknown) = EUC_JP.encode(wide.encode_utf8(&mut *utf8));
    match *encoded {
        // Two bytes: JIS X 0208. Three would be JIS X 0212.
        [row @ 0xA1..=0xFE, cell @ 0xA1..=0xFE] if !is_unknown => (usize::from(row - 0xA1), usize::from(cell - 0xA1)),
        _ => MISSING,
    }
}
