//! Is a picture good enough? The limits leave nearly all normal takes alone and refuse most of those that would not
//! match anyway, or that show no veins.

use std::ops::RangeInclusive;

use crate::PalmImage;
use crate::plane::Plane;
use crate::region::{PalmPlace, ROI, Region};
use crate::ridges::Ridges;

/// Why a picture can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QualityIssue {
    /// No hand in the picture.
    NoHand,
    /// The hand is too near.
    TooNear,
    /// The hand is too far away.
    TooFar,
    /// The hand is too far to the left, as the picture shows it.
    TooLeft,
    /// The hand is too far to the right, as the picture shows it.
    TooRight,
    /// The hand is too far up or down in the picture.
    OffCentre,
    /// Too dark.
    TooDark,
    /// Too bright.
    TooBright,
    /// One side is much darker than the other: a tilted hand, or a shadow on it.
    Uneven,
    /// Out of focus, or moved.
    Blurred,
    /// Large parts of the palm show no lines at all: something covers it.
    Covered,
    /// A palm, but too few veins: very cold, a print, a glove.
    NoVeins,
    /// Not as living skin looks in the two lights: a print, a foil, a cast; or the two pictures are not of one hand.
    Unnatural,
}

/// Radius of the disc inscribed in a palm, mm; smaller is no hand at all, or one far away, or one too near.
const NO_PALM_BELOW: f32 = 22.0;
const FAR_BELOW: f32 = 33.0;
const NEAR_ABOVE: f32 = 52.0;
/// Share of the picture that a hand covers.
const NO_HAND_BELOW: f32 = 0.08;
const HAND_FILLS_PICTURE: f32 = 0.85;
/// Distance of the palm from the middle, mm: beyond it, parts leave the light, and the shifts that are searched.
const ASIDE: f32 = 13.0;
const UP_OR_DOWN: f32 = 14.0;
/// Mean grey level of a palm.
const DARK_BELOW: f32 = 78.0;
const BRIGHT_ABOVE: f32 = 208.0;
/// Grey level of a pixel that may be saturated, and how many of them there may be.
const SATURATED: f32 = 240.0;
const SATURATED_SHARE: f32 = 0.04;
/// Change of the logarithm of brightness over 48 mm: across, and along (a palm is darker at the wrist). Wide enough for lamps that
/// stand elsewhere than those with which the other limits were fixed.
const UNEVEN_ACROSS: f32 = 0.42;
const UNEVEN_ALONG: RangeInclusive<f32> = -0.28..=0.58;
/// How much grey changes over three pixels, as a share of the change over eight. Where nothing is sharp it is 0.13.
const BLURRED_BELOW: f32 = 0.15;
/// Edge of the blocks in which lines are counted, in pixels.
const BLOCK: usize = 16;
const BLOCKS: usize = ROI / BLOCK;

/// How many lines a palm has at least.
#[derive(Debug)]
pub(crate) struct VeinLimits {
    /// Share of the palm with lines of at least [`clear_line`](Self::clear_line).
    veins_from: f32,
    clear_line: f32,
    /// Share of blocks in which fewer than [`blank_block`](Self::blank_block) of the pixels are lines of at least
    /// [`faint_line`](Self::faint_line).
    covered_from: f32,
    blank_block: f32,
    faint_line: f32,
}

impl VeinLimits {
    /// For one light, which shows creases too: they and texture alone don't reach it.
    pub(crate) const ONE_LIGHT: Self =
        Self { veins_from: 0.265, clear_line: 0.018, covered_from: 0.20, blank_block: 0.08, faint_line: 0.012 };
    /// For what is left when the skin was taken out. Of hands without veins 5 % have as many lines, which don't match;
    /// of hands with very faint ones 4 % have fewer. Fixed on family A, seeds 20000 to 20059.
    pub(crate) const TWO_LIGHTS: Self =
        Self { veins_from: 0.085, clear_line: 0.010, covered_from: 0.25, blank_block: 0.04, faint_line: 0.006 };
}

pub(crate) fn judge_place(place: &PalmPlace) -> Result<(), QualityIssue> {
    let [x, y] = place.centre;
    let issue = if place.hand_share < NO_HAND_BELOW || place.radius < NO_PALM_BELOW {
        QualityIssue::NoHand
    } else if place.radius < FAR_BELOW {
        QualityIssue::TooFar
    } else if place.radius > NEAR_ABOVE || place.hand_share > HAND_FILLS_PICTURE {
        QualityIssue::TooNear
    } else if x < -ASIDE {
        QualityIssue::TooLeft
    } else if x > ASIDE {
        QualityIssue::TooRight
    } else if y.abs() > UP_OR_DOWN {
        QualityIssue::OffCentre
    } else {
        return Ok(());
    };
    Err(issue)
}

pub(crate) fn judge_light(region: &Region) -> Result<(), QualityIssue> {
    let (mut pixels, mut sum, mut saturated) = (0.0, 0.0, 0.0);
    let mut logs = LinearFit::default();
    for (i, (&grey, &inside)) in region.grey.values.iter().zip(region.inside.values.iter()).enumerate() {
        if inside == 0.0 {
            continue;
        }
        pixels += 1.0;
        sum += grey;
        saturated += if grey > SATURATED { 1.0 } else { 0.0 };
        let [x, y] = [i % ROI, i / ROI].map(|place| place as f32 - 0.5 * (ROI - 1) as f32);
        if x.abs() < 40.0 && y.abs() < 40.0 {
            logs.add([x / 80.0, y / 80.0], grey.max(1.0).ln());
        }
    }
    let [across, along] = logs.slopes();
    let issue = if pixels == 0.0 {
        QualityIssue::NoHand
    } else if sum / pixels < DARK_BELOW {
        QualityIssue::TooDark
    } else if sum / pixels > BRIGHT_ABOVE || saturated / pixels > SATURATED_SHARE {
        QualityIssue::TooBright
    } else if across.abs() > UNEVEN_ACROSS || !UNEVEN_ALONG.contains(&along) {
        QualityIssue::Uneven
    } else {
        return Ok(());
    };
    Err(issue)
}

/// A plane through values, fitted along each axis by itself: near enough for a nearly symmetrical area.
#[derive(Default)]
struct LinearFit {
    count: f32,
    sum: f32,
    place: [f32; 2],
    square: [f32; 2],
    product: [f32; 2],
}

impl LinearFit {
    fn add(&mut self, place: [f32; 2], value: f32) {
        self.count += 1.0;
        self.sum += value;
        for (axis, place) in place.into_iter().enumerate() {
            self.place[axis] += place;
            self.square[axis] += place * place;
            self.product[axis] += place * value;
        }
    }

    fn slopes(&self) -> [f32; 2] {
        [0, 1].map(|axis: usize| {
            let variance = self.square[axis] * self.count - self.place[axis].powi(2);
            if variance > 0.0 {
                (self.product[axis] * self.count - self.place[axis] * self.sum) / variance
            } else {
                0.0
            }
        })
    }
}

/// Compares how much grey changes over short and longer distances, along both axes; noise, which changes as much over
/// any distance, is taken out by the change over the shortest.
pub(crate) fn judge_sharpness(image: &PalmImage, place: &PalmPlace, pixel_mm: f32) -> Result<(), QualityIssue> {
    const REACH: f32 = 25.0;
    const NOISE: usize = 1;
    const SHORT: usize = 3;
    const LONG: usize = 8;
    let range = |axis: usize, size: usize| {
        let place = |offset: f32| (place.centre[axis] + offset) / pixel_mm + 0.5 * size as f32;
        place(-REACH).max(0.0) as usize..(place(REACH).max(0.0) as usize).min(size - LONG)
    };
    let (columns, rows) = (range(0, PalmImage::WIDTH), range(1, PalmImage::HEIGHT));
    for step in [1, PalmImage::WIDTH] {
        let mut changes = [0.0_f32; 3];
        for y in rows.clone().step_by(2) {
            let row = &image.pixels()[y * PalmImage::WIDTH..];
            for (change, distance) in changes.iter_mut().zip([NOISE, SHORT, LONG]) {
                let pairs = row[columns.clone()].iter().zip(&row[columns.start + distance * step..]);
                let squares = pairs.map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum::<i32>();
                *change += squares as f32;
            }
        }
        let [noise, short, long] = changes;
        if short - noise < BLURRED_BELOW * (long - noise) {
            return Err(QualityIssue::Blurred);
        }
    }
    Ok(())
}

pub(crate) fn judge_veins(inside: &Plane, ridges: &Ridges, limits: &VeinLimits) -> Result<(), QualityIssue> {
    #[derive(Clone, Copy, Default)]
    struct Block {
        pixels: f32,
        faint: f32,
        clear: f32,
    }
    let mut blocks = [Block::default(); BLOCKS * BLOCKS];
    for (i, (&strength, &inside)) in ridges.strength.values.iter().zip(inside.values.iter()).enumerate() {
        if inside > 0.0 {
            let block = &mut blocks[i / ROI / BLOCK * BLOCKS + i % ROI / BLOCK];
            block.pixels += 1.0;
            block.faint += if strength > limits.faint_line { 1.0 } else { 0.0 };
            block.clear += if strength > limits.clear_line { 1.0 } else { 0.0 };
        }
    }
    let sum = |get: fn(&Block) -> f32| blocks.iter().map(get).sum::<f32>();
    if sum(|block| block.clear) < limits.veins_from * sum(|block| block.pixels) {
        return Err(QualityIssue::NoVeins);
    }
    let full = blocks.iter().filter(|block| block.pixels > 0.75 * (BLOCK * BLOCK) as f32);
    let blank = full.clone().filter(|block| block.faint < limits.blank_block * block.pixels).count();
    if blank as f32 > limits.covered_from * full.count() as f32 {
        return Err(QualityIssue::Covered);
    }
    Ok(())
}
