//! `palm render`: synthetic palms as pictures, named as `palm evaluate` wants them, and a contact sheet to look at.

mod sheet;

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use biometric::PalmImage;
use cli::{Entry, Failure, Mark, Messages, Report, Screen};
use serde::Serialize;
use sim_palm_sensor::synth::{
    Artefact, Family, Forgery, Frames, Level, Negative, PalmSeeds, Side, SyntheticPalm, Veins,
};
use sim_palm_sensor::trial::in_parallel;
use sim_palm_sensor::{write_grey_png, write_png};

pub use self::sheet::ContactSheet;
use self::sheet::NEAR_INFRARED;
use crate::commands::Render;
use crate::failure::own;
use crate::making::show_next;

/// What follows the name of a picture in the name of that in red light.
pub const RED_SUFFIX: &str = "_660";
/// Pictures of a palm in each session, as many as an enrolment or the attempts of a log-on.
const PICTURES: u64 = 3;
/// Takes of a session are numbered from here times its number.
const TAKES: u64 = 100;
/// Persons on a contact sheet beside the first.
const OTHERS: u64 = 3;

/// Why palms can't be rendered: a file or folder can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
struct RenderError {
    path: PathBuf,
    source: io::Error,
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        own("error-render-io", [("path", error.path.display().to_string().into())], error)
    }
}

/// Runs the command.
///
/// # Errors
/// If pictures can't be written.
pub(crate) fn run(order: &Render) -> Result<Box<dyn Report>, Failure> {
    let (family, level) = (order.family.into(), order.level.into());
    let out = &order.out;
    let sheet_path = out.join("contact-sheet.png");
    folder(out)?;
    let sheet = contact_sheet(family, order.seed, order.persons.into());
    save(&sheet_path, |file| write_grey_png(ContactSheet::WIDTH as u32, sheet.pixels(), file))?;

    let hands: Vec<PalmSeeds> = (0..u64::from(order.persons))
        .flat_map(|person| [Side::Left, Side::Right].map(|side| (person, side)))
        .map(|(person, side)| PalmSeeds::of_person(order.seed.wrapping_add(person), side).in_family(family))
        .collect();
    let rendered: Vec<Result<usize, RenderError>> =
        in_parallel(&hands, |seeds| hand(*seeds, level, order.negatives, order.artefacts, out));
    let pictures = rendered.into_iter().sum::<Result<usize, RenderError>>()?;
    let shown = |name: &str| out.join(name).display().to_string();
    let next = vec![format!(
        "madoguchi-sim palm evaluate --gallery {} --probes {} --second-wavelength-suffix {RED_SUFFIX} --scores {}",
        shown("gallery"),
        shown("probes"),
        shown("scores.txt")
    )];
    Ok(Box::new(Rendered {
        ok: true,
        simulated: true,
        folder: out.display().to_string(),
        contact_sheet: sheet_path.display().to_string(),
        family: format!("{family:?}"),
        level: format!("{level:?}"),
        seed: order.seed,
        palms: hands.len(),
        pictures,
        red_suffix: RED_SUFFIX,
        next,
    }))
}

/// Writes the pictures of one hand. How many there are is in the answer.
fn hand(seeds: PalmSeeds, level: Level, negatives: bool, artefacts: bool, out: &Path) -> Result<usize, RenderError> {
    let palm = SyntheticPalm::new(seeds);
    let enrolled_at = if level == Level::L0 { Level::L0 } else { Level::L1 };
    let mut written = 0;
    let mut session = |name: &str, number: u64, capture: &dyn Fn(u64) -> Frames| {
        let folder_path = out.join(name);
        folder(&folder_path)?;
        for picture in 1..=PICTURES {
            let frames = capture(TAKES * number + picture);
            let stem = format!("{}_{number}_{picture}", subject(seeds));
            let save_frame = |suffix: &str, frame: &PalmImage| {
                save(&folder_path.join(format!("{stem}{suffix}.png")), |file| write_png(frame, file))
            };
            save_frame("", &frames.near_infrared)?;
            save_frame(RED_SUFFIX, &frames.red)?;
            written += 2;
        }
        Ok(())
    };
    session("gallery", 1, &|take| palm.capture(enrolled_at, take, Veins::Normal))?;
    session("probes", 2, &|take| palm.capture(level, take, Veins::Normal))?;
    for negative in Negative::ALL.into_iter().filter(|_| negatives) {
        let (other, veins) = negative.of(seeds);
        let other = SyntheticPalm::new(other);
        session(&format!("negatives/{}", negative_name(negative)), 3, &|take| other.capture(level, take, veins))?;
    }
    for artefact in Artefact::ALL.into_iter().filter(|_| artefacts) {
        let forgery = Forgery::new(artefact, &palm);
        session(&format!("artefacts/{}", artefact_name(artefact)), 4, &|take| forgery.capture(level, take))?;
    }
    Ok(written)
}

/// The subject in names of pictures: the two hands of a person are two.
fn subject(seeds: PalmSeeds) -> String {
    let side = match seeds.side {
        Side::Left => 'L',
        Side::Right => 'R',
    };
    format!("{:?}{}{side}", seeds.family, seeds.outline)
}

/// A contact sheet: the two hands of the person that `seed` names, in both lights, at all levels, with faint veins and as
/// negatives; the artefacts; and a few of `persons` others.
#[must_use]
pub fn contact_sheet(family: Family, seed: u64, persons: u64) -> ContactSheet {
    let seeds = |seed: u64, side| PalmSeeds::of_person(seed, side).in_family(family);
    let title = format!("SIMULATED: palms that nobody has, of madoguchi-sim. Family {family:?}, seed {seed}");
    let mut sheet = ContactSheet::new(&title);
    sheet.headings([
        "L0 guided",
        "L1 normal",
        "L2 hard",
        "L3 extreme",
        "faint veins",
        "veins removed",
        "its skin, not veins",
        "its veins, not skin",
    ]);
    for (side, label) in [(Side::Left, "left"), (Side::Right, "right")] {
        let palm = SyntheticPalm::new(seeds(seed, side));
        let mut frames: Vec<Frames> = Level::ALL.map(|level| palm.capture(level, 0, Veins::Normal)).into();
        frames.push(palm.capture(Level::L1, 0, Veins::Faint));
        frames.extend(Negative::ALL.map(|negative| {
            let (other, veins) = negative.of(palm.seeds());
            SyntheticPalm::new(other).capture(Level::L1, 0, veins)
        }));
        sheet.rows(label, &frames);
    }
    let victim = SyntheticPalm::new(seeds(seed, Side::Left));
    let forged = Artefact::ALL.map(|artefact| Forgery::new(artefact, &victim).capture(Level::L0, 0));
    sheet.headings(Artefact::ALL.map(artefact_name));
    sheet.rows("of left", &forged);
    for person in (1..persons.min(OTHERS + 1)).map(|number| seed.wrapping_add(number)) {
        if person == seed.wrapping_add(1) {
            let hand = |side: &str| Level::ALL.map(|level| format!("{side} {level:?}"));
            let headings = [hand("left"), hand("right")].concat();
            sheet.headings(std::array::from_fn(|column| headings[column].as_str()));
        }
        let pictures = [Side::Left, Side::Right].map(|side| {
            let palm = SyntheticPalm::new(seeds(person, side));
            Level::ALL.map(|level| palm.photograph(level, 0, Veins::Normal))
        });
        sheet.row([&format!("seed {person}"), NEAR_INFRARED], &pictures.iter().flatten().collect::<Vec<_>>());
    }
    sheet
}

fn negative_name(negative: Negative) -> &'static str {
    match negative {
        Negative::VeinsRemoved => "veins-removed",
        Negative::SameSkinOtherVeins => "same-skin-other-veins",
        Negative::OtherSkinSameVeins => "other-skin-same-veins",
    }
}

fn artefact_name(artefact: Artefact) -> &'static str {
    match artefact {
        Artefact::DraftPrint => "draft-print",
        Artefact::OfficePrint => "office-print",
        Artefact::FinePrint => "fine-print",
        Artefact::InkjetPrint => "inkjet-print",
        Artefact::Transparency => "transparency",
        Artefact::Screen => "screen",
        Artefact::Phantom => "phantom",
        Artefact::ReplayedFrames => "replayed-frames",
    }
}

fn folder(path: &Path) -> Result<(), RenderError> {
    fs::create_dir_all(path).map_err(|source| RenderError { path: path.to_owned(), source })
}

fn save<E: Into<io::Error>>(
    path: &Path,
    write: impl FnOnce(BufWriter<fs::File>) -> Result<(), E>,
) -> Result<(), RenderError> {
    let written = fs::File::create(path).and_then(|file| write(BufWriter::new(file)).map_err(Into::into));
    written.map_err(|source| RenderError { path: path.to_owned(), source })
}

/// What `palm render` made.
#[derive(Debug, Serialize)]
struct Rendered {
    ok: bool,
    simulated: bool,
    folder: String,
    contact_sheet: String,
    family: String,
    level: String,
    seed: u64,
    palms: usize,
    pictures: usize,
    red_suffix: &'static str,
    next: Vec<String>,
}

impl Report for Rendered {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let labels = ["render-pictures", "render-contact-sheet"];
        let family = [("family", self.family.as_str().into()), ("level", self.level.as_str().into())];
        screen.heading(&messages.get("heading-render"), &messages.text("render-family", &family))?;
        screen.align(labels.map(|label| messages.get(label)));
        let counts =
            messages.text("render-counts", &[("pictures", self.pictures.into()), ("palms", self.palms.into())]);
        screen.entry(Mark::Done, &Entry::new(messages.get(labels[0]), [&counts, &self.folder]))?;
        screen.entry(Mark::Done, &Entry::new(messages.get(labels[1]), [&self.contact_sheet]))?;
        show_next(&self.next, screen, messages)
    }
}
