//! Flat things with a picture on them: paper, foil, a screen.

use palm_vein::PalmImage;
use rand::Rng;

use super::super::Family;
use super::super::Wavelength;
use super::super::exposure::{Blood, Look, PALM_GREY, PIXEL, Subject};
use super::super::maths::{square, wave};
use super::super::outline::Point;
use super::super::random::{Purpose, normal, stream};
use super::super::raster::Raster;
use super::super::tissue::LitTissue;

/// Size of all sheets in dots: 210 mm × 162 mm, larger than what the camera sees.
const WIDTH: usize = 1_500;
const HEIGHT: usize = 1_157;
/// Distance of neighbouring dots, mm.
const PITCH: f32 = 0.14;
/// Reflectance of paper and of toner, against the mean skin.
const PAPER: f32 = 1.30;
const TONER: f32 = 0.06;
/// Reflectance of a dark glass.
const GLASS: f32 = 0.05;
/// Light of a screen's white, in grey levels.
const SCREEN_WHITE: f32 = 235.0;

/// What is done to the capture before it is printed.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    /// Nothing.
    AsCaptured,
    /// The light of the sensor's lamps is taken out, so that it does not fall on the hand twice.
    Evened,
}

/// What the picture is printed with.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    /// Soot, black in both lights.
    Toner,
    /// Dyes that near-infrared light passes.
    Dye,
}

/// How a printer makes grey.
#[derive(Clone, Copy)]
pub(super) enum Screen {
    /// Dots of different size, so many mm apart.
    Dots(f32),
    /// Dots too small to be seen, scattered.
    Scattered,
}

/// A sheet with a picture.
pub(super) struct Sheet {
    /// How much of the sheet is covered with ink; of a foil, how much light it takes; of a screen, how bright it is.
    picture: Raster,
    kind: Kind,
    /// How far the middle is above the edges, mm.
    bend: f32,
}

#[derive(Clone, Copy)]
enum Kind {
    Paper(Ink),
    Foil,
    Screen,
}

/// A sheet as one light shows it.
pub(super) struct LitSheet<'a> {
    sheet: &'a Sheet,
    wavelength: Wavelength,
}

/// A foil that lies on a hand.
pub(super) struct FoilOnHand<'a> {
    pub(super) hand: LitTissue<'a>,
    pub(super) foil: LitSheet<'a>,
    /// Does the camera see the hand mirrored?
    pub(super) mirrored: bool,
}

impl Sheet {
    /// Prints `capture` on paper.
    pub(super) fn print(seed: u64, capture: &PalmImage, tone: Tone, ink: Ink, screen: Screen) -> Self {
        let grey = match tone {
            Tone::AsCaptured => plane(capture),
            Tone::Evened => evened(capture).grey,
        };
        let wanted = on_sheet(|at| {
            let reflectance = (sample(&grey, at) / PALM_GREY).clamp(TONER, PAPER);
            (PAPER - reflectance) / (PAPER - TONER)
        });
        Self { picture: screened(seed, wanted, screen), kind: Kind::Paper(ink), bend: bend(seed) }
    }

    /// Prints the veins of `capture` on a foil.
    pub(super) fn foil(seed: u64, capture: &PalmImage) -> Self {
        let Evened { grey, inside } = evened(capture);
        // Light passes twice, so half of a line's darkness is enough. Edges of the hand are no lines.
        let wanted = on_sheet(|at| {
            let line = if sample(&inside, at) > 0.95 { 1.0 - sample(&grey, at) / PALM_GREY } else { 0.0 };
            (0.8 * line - 0.01).clamp(0.0, 0.45)
        });
        Self { picture: screened(seed, wanted, Screen::Scattered), kind: Kind::Foil, bend: 0.0 }
    }

    /// Shows `capture` on a screen.
    pub(super) fn screen(seed: u64, capture: &PalmImage) -> Self {
        let grey = plane(capture);
        let picture = on_sheet(|[x, y]| {
            // The screen's own dots beat with the camera's.
            let dots = 1.0 + 0.05 * wave(1.45 * x) * wave(1.45 * y);
            sample(&grey, [x, y]) / 255.0 * dots
        });
        Self { picture, kind: Kind::Screen, bend: 0.2 * bend(seed) }
    }

    /// The sheet as this light shows it.
    pub(super) fn in_light(&self, wavelength: Wavelength) -> LitSheet<'_> {
        LitSheet { sheet: self, wavelength }
    }
}

impl LitSheet<'_> {
    fn picture_at(&self, point: Point) -> f32 {
        let x = (point[0] / PITCH + 0.5 * WIDTH as f32).clamp(0.0, WIDTH as f32 - 1.001);
        let y = (point[1] / PITCH + 0.5 * HEIGHT as f32).clamp(0.0, HEIGHT as f32 - 1.001);
        between(&self.sheet.picture, x, y)
    }
}

impl Subject for LitSheet<'_> {
    fn relief(&self, [x, _]: Point) -> [f32; 3] {
        const HALF: f32 = 90.0;
        let bend = self.sheet.bend;
        [bend * (1.0 - square(x / HALF)), -2.0 * bend * x / square(HALF), 0.0]
    }

    fn edge(&self, [x, y]: Point) -> f32 {
        (x.abs() - 0.5 * WIDTH as f32 * PITCH).max(y.abs() - 0.5 * HEIGHT as f32 * PITCH)
    }

    fn look(&self, point: Point, _: Blood) -> Look {
        let edge = self.edge(point);
        let picture = self.picture_at(point);
        let (reflectance, glow) = match (self.sheet.kind, self.wavelength) {
            (Kind::Paper(Ink::Toner), _) | (Kind::Paper(Ink::Dye), Wavelength::Red) => {
                (PAPER - picture * (PAPER - TONER), 0.0)
            }
            (Kind::Paper(Ink::Dye), Wavelength::NearInfrared) => (PAPER * (1.0 - 0.05 * picture), 0.0),
            (Kind::Foil, _) => (square(1.0 - picture), 0.0),
            (Kind::Screen, Wavelength::NearInfrared) => (GLASS, 0.0),
            (Kind::Screen, Wavelength::Red) => (GLASS, SCREEN_WHITE * picture),
        };
        Look { edge, reflectance, glow }
    }

    fn gloss(&self) -> f32 {
        match self.sheet.kind {
            Kind::Paper(_) => 0.0,
            Kind::Foil => 0.35,
            Kind::Screen => 1.0,
        }
    }
}

impl Subject for FoilOnHand<'_> {
    fn relief(&self, point: Point) -> [f32; 3] {
        self.hand.relief(point)
    }

    fn edge(&self, point: Point) -> f32 {
        self.hand.edge(point)
    }

    fn look(&self, point: Point, blood: Blood) -> Look {
        let look = self.hand.look(point, blood);
        let on_foil = if self.mirrored { [-point[0], point[1]] } else { point };
        Look { reflectance: look.reflectance * self.foil.look(on_foil, blood).reflectance, ..look }
    }

    fn gloss(&self) -> f32 {
        self.foil.gloss()
    }
}

fn plane(capture: &PalmImage) -> Raster {
    let values = capture.pixels().iter().map(|&pixel| f32::from(pixel)).collect();
    Raster { width: PalmImage::WIDTH, height: PalmImage::HEIGHT, values }
}

/// A capture as if the light had been the same everywhere on the hand.
struct Evened {
    grey: Raster,
    /// Share of the surroundings that is hand.
    inside: Raster,
}

fn evened(capture: &PalmImage) -> Evened {
    /// Grey level below which there is no hand.
    const HAND_FROM: f32 = 45.0;
    /// Scale of the light, pixels.
    const SCALE: f32 = 14.0;
    let mut grey = plane(capture);
    let mut inside = grey.clone();
    inside.values.iter_mut().for_each(|value| *value = if *value > HAND_FROM { 1.0 } else { 0.0 });
    let mut light = grey.clone();
    for (value, hand) in light.values.iter_mut().zip(&inside.values) {
        *value *= hand;
    }
    light.blur(SCALE, SCALE);
    inside.blur(SCALE, SCALE);
    for (i, value) in grey.values.iter_mut().enumerate() {
        let around = light.values[i] / inside.values[i].max(1e-3);
        if *value > HAND_FROM {
            *value *= PALM_GREY / around.max(HAND_FROM);
        }
    }
    Evened { grey, inside }
}

/// The values of a function of the place on a sheet, mm from its middle.
fn on_sheet(value: impl Fn(Point) -> f32) -> Raster {
    let values = (0..WIDTH * HEIGHT).map(|i| {
        let (x, y) = ((i % WIDTH) as f32, (i / WIDTH) as f32);
        value([(x - 0.5 * WIDTH as f32) * PITCH, (y - 0.5 * HEIGHT as f32) * PITCH])
    });
    Raster { width: WIDTH, height: HEIGHT, values: values.collect() }
}

/// A capture's value at a place in mm from its middle; beyond its edge the border's goes on.
fn sample(capture: &Raster, [x, y]: Point) -> f32 {
    let x = (x / PIXEL + 0.5 * capture.width as f32).clamp(0.0, capture.width as f32 - 1.001);
    let y = (y / PIXEL + 0.5 * capture.height as f32).clamp(0.0, capture.height as f32 - 1.001);
    between(capture, x, y)
}

fn between(raster: &Raster, x: f32, y: f32) -> f32 {
    let (column, row) = (x as usize, y as usize);
    let (fx, fy) = (x - column as f32, y - row as f32);
    let mix = |row: usize| {
        let pair = &raster.row(row)[column..column + 2];
        pair[0] + fx * (pair[1] - pair[0])
    };
    let (top, bottom) = (mix(row), mix(row + 1));
    top + fy * (bottom - top)
}

/// Ink where a printer puts it, to cover as much of the paper as `wanted`.
fn screened(seed: u64, mut wanted: Raster, screen: Screen) -> Raster {
    const TURN: f32 = std::f32::consts::FRAC_1_SQRT_2;
    /// How far ink runs, and how far paper carries the light around a dot, mm.
    const RUN: f32 = 0.10;
    let rng = &mut stream(Family::A, Purpose::Forgery, seed, 1);
    for (i, value) in wanted.values.iter_mut().enumerate() {
        let grain = rng.gen_range(-0.06..0.06);
        *value = match screen {
            Screen::Dots(distance) => {
                // Rows of dots are turned by 45°. Toner gets nearly everywhere and nearly nowhere.
                let (x, y) = ((i % WIDTH) as f32 * PITCH, (i / WIDTH) as f32 * PITCH);
                let (u, v) = ((x + y) * TURN, (x - y) * TURN);
                let threshold = 0.5 + 0.25 * (wave(u / distance) + wave(v / distance)) + grain;
                (0.5 + 4.0 * (*value - threshold.clamp(0.05, 0.95))).clamp(0.0, 1.0)
            }
            // Grain where there are dots and gaps: nowhere on blank and on covered paper.
            Screen::Scattered => (*value + 8.0 * grain * *value * (1.0 - *value)).clamp(0.0, 1.0),
        };
    }
    wanted.blur(RUN / PITCH, RUN / PITCH);
    wanted
}

/// How a sheet is held: bent towards the sensor, or away, mm.
fn bend(seed: u64) -> f32 {
    3.0 * normal(&mut stream(Family::A, Purpose::Forgery, seed, 0))
}
