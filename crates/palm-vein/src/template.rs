//! The template: for each pixel of the region whether a vein runs through it, and in which of six directions.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::region::ROI;
use crate::ridges::{STEPS, Veins};

/// Directions that a code tells apart.
const SECTORS: u16 = 6;
/// The three bits of each sector: neighbours differ in one bit, opposites in three (Kong and Zhang 2004).
const CODES: [u8; SECTORS as usize] = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100];
/// The bit planes of a template: three of code and the mask.
pub(crate) const PLANES: usize = 4;
/// The plane that says where veins are.
pub(crate) const MASK: usize = 3;

/// One row of a template: the bits of each plane, the leftmost pixel in the lowest bit.
pub(crate) type Row = [u128; PLANES];

/// The lights in which a palm was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroize)]
pub(crate) enum Lights {
    /// Near-infrared light: veins and creases.
    One,
    /// Near-infrared light, less what red light shows: veins.
    Two,
}

/// A palm's template. Secret: wiped when dropped, printed by nobody.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PalmTemplate {
    rows: Vec<Row>,
    lights: Lights,
}

impl PalmTemplate {
    /// Length of an encoded template: a version byte, three code planes and a mask.
    pub const ENCODED: usize = 1 + PLANES * ROI * ROI / 8;

    /// The template of `veins` turned clockwise by `turn` steps of [`STEPS`] in half a turn.
    pub(crate) fn turned(veins: &Veins, lights: Lights, turn: i8) -> Self {
        let codes = turned_codes(turn);
        let angle = f32::from(turn) / f32::from(STEPS) * std::f32::consts::PI;
        // Places in 65536ths of a pixel, so that a step is an addition.
        let fixed = |value: f32| (value * 65536.0).round() as i32;
        let [cos, sin] = [fixed(angle.cos()), fixed(angle.sin())];
        let middle = fixed(0.5 * (ROI - 1) as f32);
        let mut rows = vec![Row::default(); ROI];
        for (y, row) in rows.iter_mut().enumerate() {
            let from_middle = |place: usize| place as i32 * 2 - (ROI as i32 - 1);
            // Twice the distance times half the step.
            let (dx, dy) = (from_middle(0), from_middle(y));
            let mut from_x = middle + dx * (cos / 2) + dy * (sin / 2) + 32768;
            let mut from_y = middle + dy * (cos / 2) - dx * (sin / 2) + 32768;
            for x in 0..ROI {
                // A negative place becomes a huge one.
                let (column, line) = ((from_x >> 16) as usize, (from_y >> 16) as usize);
                if column < ROI && line < ROI {
                    let code = codes[usize::from(veins.0[line * ROI + column])];
                    for (plane, bits) in row.iter_mut().enumerate() {
                        *bits |= u128::from(code >> plane & 1) << x;
                    }
                }
                from_x += cos;
                from_y -= sin;
            }
        }
        Self { rows, lights }
    }

    /// The lights in which the palm was seen.
    pub(crate) fn lights(&self) -> Lights {
        self.lights
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The template as bytes: version `01` (of near-infrared light alone) or `02` (with red light), then code planes 0 to 2 and the mask, each row by row from the top, 16 bytes a
    /// row, the leftmost pixel in the lowest bit of the first byte.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::ENCODED));
        bytes.push(match self.lights {
            Lights::One => 1,
            Lights::Two => 2,
        });
        for plane in 0..PLANES {
            for row in &self.rows {
                bytes.extend_from_slice(&row[plane].to_le_bytes());
            }
        }
        bytes
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`DamagedTemplate`] unless the bytes are what `to_bytes` could have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedTemplate> {
        let Some((&version, planes)) = bytes.split_first() else { return Err(DamagedTemplate) };
        let lights = match version {
            1 => Lights::One,
            2 => Lights::Two,
            _ => return Err(DamagedTemplate),
        };
        let (words, []) = planes.as_chunks::<16>() else { return Err(DamagedTemplate) };
        if words.len() != PLANES * ROI {
            return Err(DamagedTemplate);
        }
        let rows = (0..ROI).map(|y| [0, 1, 2, MASK].map(|plane| u128::from_le_bytes(words[plane * ROI + y])));
        let template = Self { rows: rows.collect(), lights };
        if template.rows.iter().all(is_canonical) { Ok(template) } else { Err(DamagedTemplate) }
    }
}

impl fmt::Debug for PalmTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PalmTemplate(..)")
    }
}

/// These bytes are no template, or one of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no palm template that this version can read")]
pub struct DamagedTemplate;

/// For each cell of [`Veins`], turned by `turn`, the bit of each plane.
fn turned_codes(turn: i8) -> [u8; 256] {
    let mut codes = [0; 256];
    for (direction, code) in (0..STEPS).zip(codes.iter_mut()) {
        let turned = (i32::from(direction) + i32::from(turn)).rem_euclid(i32::from(STEPS)) as u16;
        let sector = (turned * SECTORS + u16::from(STEPS) / 2) / u16::from(STEPS) % SECTORS;
        *code = CODES[usize::from(sector)] | 1 << MASK;
    }
    codes
}

/// No code where there is no vein, and none of the two combinations of three bits that stand for no sector.
fn is_canonical(&[a, b, c, mask]: &Row) -> bool {
    (a | b | c) & !mask == 0 && (!a & b & !c | a & !b & c) == 0
}
