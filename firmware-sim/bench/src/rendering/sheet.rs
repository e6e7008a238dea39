//! Contact sheets: small pictures in rows, with words beside and above them.

use biometric::PalmImage;
use font8x8::{BASIC_FONTS, UnicodeFonts};
use sim_palm_sensor::synth::Frames;

/// A picture is shown this many times smaller.
const REDUCTION: usize = 4;
const TILE: [usize; 2] = [PalmImage::WIDTH / REDUCTION, PalmImage::HEIGHT / REDUCTION];
/// Pictures in a row.
pub(super) const COLUMNS: usize = 8;
/// Edge of a letter, pixels.
const LETTER: usize = 8;
/// Space on the left for what a row shows.
const MARGIN: usize = 10 * LETTER;
/// Height of a line of words.
const LINE: usize = 14;
/// Labels of rows.
pub(super) const NEAR_INFRARED: &str = "850 nm";
const RED: &str = "660 nm";
const PAPER: u8 = 32;
const INK: u8 = 235;

/// A contact sheet: grey pixels of 8 bits.
pub struct ContactSheet {
    pixels: Vec<u8>,
}

impl ContactSheet {
    /// Pixels in a row.
    pub const WIDTH: usize = MARGIN + COLUMNS * TILE[0];

    /// A sheet with a title.
    pub(super) fn new(title: &str) -> Self {
        let mut sheet = Self { pixels: Vec::new() };
        sheet.line(&[(LETTER, title)]);
        sheet
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Adds the words that stand above columns.
    pub(super) fn headings(&mut self, headings: [&str; COLUMNS]) {
        let mut column = 0;
        self.line(&headings.map(|heading| {
            column += 1;
            (MARGIN + (column - 1) * TILE[0] + LETTER / 2, heading)
        }));
    }

    /// Adds two rows: frames in near-infrared and in red light.
    pub(super) fn rows(&mut self, label: &str, frames: &[Frames]) {
        self.row([label, NEAR_INFRARED], &frames.iter().map(|frames| &frames.near_infrared).collect::<Vec<_>>());
        self.row([label, RED], &frames.iter().map(|frames| &frames.red).collect::<Vec<_>>());
    }

    /// Adds a row of pictures with two lines of words on their left.
    pub(super) fn row(&mut self, labels: [&str; 2], pictures: &[&PalmImage]) {
        let top = self.pixels.len() / Self::WIDTH;
        self.pixels.resize((top + TILE[1]) * Self::WIDTH, PAPER);
        for (column, picture) in pictures.iter().take(COLUMNS).enumerate() {
            for y in 0..TILE[1] {
                let row = (top + y) * Self::WIDTH + MARGIN + column * TILE[0];
                for (x, pixel) in self.pixels[row..row + TILE[0]].iter_mut().enumerate() {
                    *pixel = mean(picture, x * REDUCTION, y * REDUCTION);
                }
            }
        }
        for (line, label) in labels.into_iter().enumerate() {
            self.write(LETTER / 2, top + LINE * (line + 1), label);
        }
    }

    /// Adds a line of words, each with its place.
    fn line(&mut self, words: &[(usize, &str)]) {
        let top = self.pixels.len() / Self::WIDTH;
        self.pixels.resize((top + LINE) * Self::WIDTH, PAPER);
        for (left, text) in words {
            self.write(*left, top + (LINE - LETTER) / 2, text);
        }
    }

    fn write(&mut self, left: usize, top: usize, text: &str) {
        for (number, letter) in text.chars().enumerate() {
            for (y, bits) in BASIC_FONTS.get(letter).unwrap_or_default().into_iter().enumerate() {
                for x in (0..LETTER).filter(|x| bits >> x & 1 == 1) {
                    let column = left + number * LETTER + x;
                    if column < Self::WIDTH {
                        self.pixels[(top + y) * Self::WIDTH + column] = INK;
                    }
                }
            }
        }
    }
}

fn mean(picture: &PalmImage, left: usize, top: usize) -> u8 {
    let square = (0..REDUCTION * REDUCTION).map(|i| (left + i % REDUCTION, top + i / REDUCTION));
    let sum: u32 = square.map(|(x, y)| u32::from(picture.pixels()[y * PalmImage::WIDTH + x])).sum();
    (sum / (REDUCTION * REDUCTION) as u32) as u8
}
