//! Comparing two palms: over rotations and shifts first coarsely, then finely, then block by block.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::region::ROI;
use crate::ridges::Veins;
use crate::template::{Lights, MASK, PLANES, PalmTemplate, Row};

/// Rotations tried on either side of none.
const TURNS: i8 = 7;
/// Step of rotation: 3/252 of half a turn, 2.1°.
const TURN_STEP: i8 = 3;
/// A coarse pixel is this many fine ones wide and high.
const COARSENESS: usize = 4;
const COARSE: usize = ROI / COARSENESS;
/// Coarse pixels by which a palm may be shifted (12 mm).
const COARSE_SHIFTS: i32 = 5;
/// Coarse alignments that are looked at finely.
const CANDIDATES: usize = 3;
/// Steps in which a fine alignment is climbed to, in pixels.
const CLIMBS: [i32; 2] = [2, 1];
/// Edge of a block that may move by itself, in pixels: as wide as a word.
const BLOCK: usize = 32;
const BLOCKS: usize = ROI / BLOCK;
/// Pixels by which a block may move from where the whole palm lies.
const BLOCK_SHIFTS: i32 = 4;
/// Empty rows kept above and below a palm, so that it can be shifted as far as all the above together.
const PADDING: usize = 28;

/// A palm to be compared: its template in every rotation.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Probe {
    rotations: Vec<Rotation>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Rotation {
    template: PalmTemplate,
    coarse: Coarse,
}

/// One way to lay one palm on another: which rotation, and by how many pixels to shift it.
#[derive(Clone, Copy, Default)]
struct Alignment {
    similarity: f32,
    rotation: usize,
    shift: [i32; 2],
}

impl Probe {
    pub(crate) fn new(veins: &Veins, lights: Lights) -> Self {
        let rotations = (-TURNS..=TURNS)
            .map(|turn| {
                let template = PalmTemplate::turned(veins, lights, turn * TURN_STEP);
                let coarse = Coarse::of(&template);
                Rotation { template, coarse }
            })
            .collect();
        Self { rotations }
    }

    /// The palm as it was captured.
    pub(crate) fn upright(&self) -> &PalmTemplate {
        &self.rotations[TURNS as usize].template
    }

    /// How much this palm agrees with an enrolled one.
    pub(crate) fn similarity(&self, enrolled: &PalmTemplate) -> f32 {
        let words = Words::new(enrolled.rows(), 0, 0);
        let mut best = Alignment { similarity: f32::MIN, ..Alignment::default() };
        for candidate in self.coarse_alignments(&Coarse::of(enrolled)) {
            let fine = self.climb(enrolled, &words, candidate);
            if fine.similarity > best.similarity {
                best = fine;
            }
        }
        let probe = self.rotations[best.rotation].template.rows();
        let agreement = elastic_agreement(probe, &words, best.shift);
        similarity(agreement, common_veins(probe, enrolled.rows(), best.shift), ROI)
    }

    /// The most promising alignments, each of another rotation.
    fn coarse_alignments(&self, enrolled: &Coarse) -> [Alignment; CANDIDATES] {
        let mut candidates = [Alignment::default(); CANDIDATES];
        for (rotation, turned) in self.rotations.iter().enumerate() {
            let mut best = Alignment { rotation, ..Alignment::default() };
            for dx in -COARSE_SHIFTS..=COARSE_SHIFTS {
                let shifted = turned.coarse.shifted(dx);
                for dy in -COARSE_SHIFTS..=COARSE_SHIFTS {
                    let agreement = shifted.agreement(&enrolled.words, dy);
                    let veins = [turned.coarse.veins_left(dx, dy), enrolled.veins_left(-dx, -dy)];
                    let similarity = similarity(agreement, veins, COARSE);
                    if similarity > best.similarity {
                        let shift = [dx, dy].map(|shift| shift * COARSENESS as i32);
                        best = Alignment { similarity, rotation, shift };
                    }
                }
            }
            if best.similarity > candidates[CANDIDATES - 1].similarity {
                candidates[CANDIDATES - 1] = best;
                candidates.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
            }
        }
        candidates
    }

    /// Climbs from a coarse alignment to the best fine one nearby.
    fn climb(&self, enrolled: &PalmTemplate, words: &Words, from: Alignment) -> Alignment {
        let probe = self.rotations[from.rotation].template.rows();
        let (mut shift, mut agreement) = (from.shift, i32::MIN);
        for step in CLIMBS {
            let middle = shift;
            for dx in [-step, 0, step].map(|x| middle[0] + x) {
                let shifted = Words::new(probe, dx, PADDING);
                for dy in [-step, 0, step].map(|y| middle[1] + y) {
                    let tried = shifted.agreement(words, dy);
                    if tried > agreement {
                        (shift, agreement) = ([dx, dy], tried);
                    }
                }
            }
        }
        let veins = common_veins(probe, enrolled.rows(), shift);
        Alignment { similarity: similarity(agreement, veins, ROI), shift, ..from }
    }
}

/// 1 for a palm with itself, 0 by chance. `agreement` as of [`Words::agreement`], `veins` the pixels that are vein in
/// each palm, as far as they lie in the common area, of palms `size` wide.
fn similarity(agreement: i32, veins: [u32; 2], size: usize) -> f32 {
    // With hardly any veins in common view nothing can be said: then this share counts.
    let least = 0.08 * (size * size) as f32;
    let [a, b] = veins.map(|count| (count as f32).max(least));
    agreement as f32 / AGREED as f32 / (a * b).sqrt()
}

/// Like [`Words::agreement`], but each block of the enrolled palm may look for its best place near the common one.
fn elastic_agreement(probe: &[Row], enrolled: &Words, shift: [i32; 2]) -> i32 {
    let mut best = [0; BLOCKS * BLOCKS];
    for dx in shift[0] - BLOCK_SHIFTS..=shift[0] + BLOCK_SHIFTS {
        let shifted = Words::new(probe, dx, PADDING);
        for dy in shift[1] - BLOCK_SHIFTS..=shift[1] + BLOCK_SHIFTS {
            let mut blocks = [0; BLOCKS * BLOCKS];
            shifted.visit_agreements(enrolled, dy, |group, lanes| {
                let row_of_blocks = group * GROUP / LANES / BLOCK * BLOCKS;
                for (block, lane) in blocks[row_of_blocks..].iter_mut().zip(lanes) {
                    *block += lane;
                }
            });
            for (best, block) in best.iter_mut().zip(blocks) {
                *best = block.max(*best);
            }
        }
    }
    best.iter().sum()
}

/// Pixels that are vein in `probe`, shifted, and in `enrolled`, as far as the two overlap.
fn common_veins(probe: &[Row], enrolled: &[Row], [dx, dy]: [i32; 2]) -> [u32; 2] {
    let window = [shifted(shifted(u128::MAX, dx), -dx), shifted(u128::MAX, dx)];
    let count = |rows: &[Row], window: u128| rows.iter().map(|row| (row[MASK] & window).count_ones()).sum();
    let cut = dy.unsigned_abs() as usize;
    let (from, to) =
        if dy >= 0 { (&probe[..ROI - cut], &enrolled[cut..]) } else { (&probe[cut..], &enrolled[..ROI - cut]) };
    [count(from, window[0]), count(to, window[1])]
}

/// `word` moved to the right in the picture, thus to higher bits.
fn shifted(word: u128, by: i32) -> u128 {
    let distance = by.unsigned_abs();
    if by >= 0 { word.checked_shl(distance).unwrap_or(0) } else { word.checked_shr(distance).unwrap_or(0) }
}

/// Words handled side by side: a row of a palm, or four rows of a coarse one.
const LANES: usize = 4;
/// Words whose bits are counted before the counts of eight bits each could overflow.
const GROUP: usize = 8 * LANES;
/// What a pixel counts that is vein in both palms, in the same direction; it counts the opposite in opposite ones.
const AGREED: i32 = 3;

/// The planes of a palm as words of 32 pixels, row by row, with empty rows above and below.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Words {
    planes: [Vec<u32>; PLANES],
    words_per_row: usize,
    padding: usize,
}

impl Words {
    /// The rows of a palm, each moved to the right by `dx` pixels.
    fn new(rows: &[Row], dx: i32, padding: usize) -> Self {
        let words_per_row = ROI / BLOCK;
        let planes = std::array::from_fn(|plane| {
            let mut words = vec![0; (rows.len() + 2 * padding) * words_per_row];
            for (to, row) in words[padding * words_per_row..].chunks_exact_mut(words_per_row).zip(rows) {
                let bits = shifted(row[plane], dx);
                for (block, word) in to.iter_mut().enumerate() {
                    *word = (bits >> (block * BLOCK)) as u32;
                }
            }
            words
        });
        Self { planes, words_per_row, padding }
    }

    /// Sum over the pixels that are vein both here, moved down by `dy`, and in `other`, which has no padding: from
    /// [`AGREED`] for the same direction to −[`AGREED`] for opposite ones.
    fn agreement(&self, other: &Self, dy: i32) -> i32 {
        let mut sum = 0;
        self.visit_agreements(other, dy, |_, lanes| sum += lanes.iter().sum::<i32>());
        sum
    }

    /// Hands the agreement of each [`GROUP`] of words to `visit`, lane by lane.
    fn visit_agreements(&self, other: &Self, dy: i32, mut visit: impl FnMut(usize, [i32; LANES])) {
        let first = (self.padding as i32 - dy) as usize * self.words_per_row;
        let others = other.planes.each_ref().map(|plane| plane.as_chunks::<GROUP>().0);
        let probes = self.planes.each_ref().map(|plane| plane[first..].as_chunks::<GROUP>().0);
        for group in 0..others[MASK].len() {
            visit(group, group_agreement(probes.map(|plane| &plane[group]), others.map(|plane| &plane[group])));
        }
    }
}

fn group_agreement(
    [a0, a1, a2, a_mask]: [&[u32; GROUP]; PLANES],
    [b0, b1, b2, b_mask]: [&[u32; GROUP]; PLANES],
) -> [i32; LANES] {
    // Word by word, without a branch or a check for overflow, so that the compiler can do several at once.
    let (mut common, mut differing) = ([0; GROUP], [0; GROUP]);
    for i in 0..GROUP {
        let both = a_mask[i] & b_mask[i];
        let bits = |a: u32, b: u32| bits_per_nibble((a ^ b) & both);
        common[i] = fold_nibbles(bits_per_nibble(both));
        // At most twelve, which a nibble holds.
        let three = bits(a0[i], b0[i]).wrapping_add(bits(a1[i], b1[i])).wrapping_add(bits(a2[i], b2[i]));
        differing[i] = fold_nibbles(three);
    }
    let by_lane = |counts: [u32; GROUP]| {
        let mut sums = [0; LANES];
        for row in counts.as_chunks::<LANES>().0 {
            for (sum, count) in sums.iter_mut().zip(row) {
                *sum = count.wrapping_add(*sum);
            }
        }
        sums.map(sum_of_bytes)
    };
    let (common, differing) = (by_lane(common), by_lane(differing));
    // Opposite directions differ in three bits.
    std::array::from_fn(|lane| AGREED * common[lane] - 2 * differing[lane])
}

/// How many bits are set in each nibble. Not every processor has an instruction that counts bits.
fn bits_per_nibble(word: u32) -> u32 {
    let pairs = word.wrapping_sub(word >> 1 & 0x5555_5555);
    (pairs & 0x3333_3333).wrapping_add(pairs >> 2 & 0x3333_3333)
}

/// The sum of the two nibbles of each byte.
fn fold_nibbles(word: u32) -> u32 {
    (word & 0x0F0F_0F0F).wrapping_add(word >> 4 & 0x0F0F_0F0F)
}

fn sum_of_bytes(word: u32) -> i32 {
    let pairs = (word & 0x00FF_00FF) + (word >> 8 & 0x00FF_00FF);
    ((pairs & 0xFFFF) + (pairs >> 16)) as i32
}

/// A template at a quarter of the resolution.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Coarse {
    words: Words,
    /// Veins above and to the left of each place.
    integral: Vec<u16>,
}

impl Coarse {
    fn of(template: &PalmTemplate) -> Self {
        /// A coarse pixel is vein when at least this many of its sixteen pixels are.
        const LEAST: u8 = 5;
        let mut planes = [0; PLANES].map(|_: u32| vec![0_u32; COARSE]);
        for (y, rows) in template.rows().chunks_exact(COARSENESS).enumerate() {
            let counts: [[u8; COARSE]; PLANES] =
                std::array::from_fn(|plane| bits_per_square(rows.iter().map(|row| row[plane])));
            let [a, b, c, mask] = counts;
            for (x, &veins) in mask.iter().enumerate().filter(|(_, veins)| **veins >= LEAST) {
                planes[MASK][y] |= 1 << x;
                // The bits of a code vote one by one, which keeps to the neighbourhood of sectors.
                for (plane, ones) in [a[x], b[x], c[x]].into_iter().enumerate() {
                    planes[plane][y] |= u32::from(2 * ones > veins) << x;
                }
            }
        }
        let mut integral = vec![0; (COARSE + 1) * (COARSE + 1)];
        for y in 0..COARSE {
            let mut in_row = 0;
            for x in 0..COARSE {
                in_row += (planes[MASK][y] >> x & 1) as u16;
                integral[(y + 1) * (COARSE + 1) + x + 1] = integral[y * (COARSE + 1) + x + 1] + in_row;
            }
        }
        Self { words: Words { planes, words_per_row: 1, padding: 0 }, integral }
    }

    /// Moved to the right by `dx` coarse pixels, with padding.
    fn shifted(&self, dx: i32) -> Words {
        const EMPTY: usize = COARSE_SHIFTS as usize;
        let planes = self.words.planes.each_ref().map(|plane| {
            let mut words = vec![0; COARSE + 2 * EMPTY];
            for (to, &word) in words[EMPTY..].iter_mut().zip(plane) {
                *to = if dx >= 0 { word << dx } else { word >> -dx };
            }
            words
        });
        Words { planes, words_per_row: 1, padding: EMPTY }
    }

    /// Vein pixels that still lie within the square after a move by (`dx`, `dy`).
    fn veins_left(&self, dx: i32, dy: i32) -> u32 {
        let range = |shift: i32| ((-shift).max(0) as usize, (COARSE as i32 - shift.max(0)) as usize);
        let ((left, right), (top, bottom)) = (range(dx), range(dy));
        let at = |x: usize, y: usize| u32::from(self.integral[y * (COARSE + 1) + x]);
        at(right, bottom) + at(left, top) - at(left, bottom) - at(right, top)
    }
}

/// How many bits are set in each square of [`COARSENESS`] columns in all of `rows`.
fn bits_per_square(rows: impl Iterator<Item = u128>) -> [u8; COARSE] {
    let (mut even, mut odd) = (0, 0);
    for row in rows {
        let pairs = row - (row >> 1 & (u128::MAX / 3));
        let nibbles = (pairs & (u128::MAX / 5)) + (pairs >> 2 & (u128::MAX / 5));
        even += nibbles & (u128::MAX / 17);
        odd += nibbles >> 4 & (u128::MAX / 17);
    }
    let (even, odd) = (u128::to_le_bytes(even), u128::to_le_bytes(odd));
    std::array::from_fn(|x| if x % 2 == 0 { even[x / 2] } else { odd[x / 2] })
}
