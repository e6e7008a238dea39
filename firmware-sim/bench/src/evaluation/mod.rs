//! `palm evaluate`: how well the matcher tells the palms in a folder apart.
//!
//! Every probe is compared with every subject of the gallery; the score is that with the most similar of the subject's
//! templates. A picture that is refused has no scores: it is a failure to acquire, counted by reason.

mod det;
mod pictures;
mod rates;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use biometric::PalmImage;
use cli::{Entry, Failure, Mark, Messages, Report, Screen};
use palm_vein::evaluation::{Comparison, Scores};
use palm_vein::{
    MATCH_THRESHOLD, Palm, PalmTemplate, QualityIssue, RegionOfInterest, Shot, TWO_LIGHT_THRESHOLD, extract,
};
use serde::Serialize;
use sim_palm_sensor::trial::in_parallel;
use sim_palm_sensor::{PictureError, read_png, write_grey_png};

pub use self::det::det_svg;
pub use self::pictures::Picture;
pub use self::rates::{ErrorRates, Measured};
use crate::commands::Evaluate;
use crate::failure::own;

/// Draws of subjects behind each interval.
const DRAWS: usize = 1_000;

/// Why palms can't be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A file or folder can't be read or written: a wrong path, missing permissions, a full disk.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no picture: not a PNG, or too large.
    #[error("{path}: {source}")]
    NotPicture {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PictureError,
    },
    /// A PNG file's name is not made of subject, session and number.
    #[error("{0}: not subject_session_n.png")]
    Name(PathBuf),
    /// A picture has none in red light beside it, though a suffix for such was given.
    #[error("{0}: no picture in red light")]
    NoRed(PathBuf),
    /// A folder has no pictures.
    #[error("{0}: no pictures")]
    NoPictures(PathBuf),
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        let (key, path) = match &error {
            EvaluationError::Io { path, .. } => ("error-evaluate-io", path),
            EvaluationError::NotPicture { path, .. } => ("error-evaluate-not-picture", path),
            EvaluationError::Name(path) => ("error-evaluate-name", path),
            EvaluationError::NoRed(path) => ("error-evaluate-no-red", path),
            EvaluationError::NoPictures(path) => ("error-evaluate-no-pictures", path),
        };
        let args = [("path", path.display().to_string().into())];
        own(key, args, error)
    }
}

/// Runs the command.
///
/// # Errors
/// If pictures can't be read, or results written.
pub(crate) fn run(order: &Evaluate) -> Result<Box<dyn Report>, Failure> {
    let suffix = order.second_wavelength_suffix.as_deref();
    let gallery = Picture::list(&order.gallery, suffix)?;
    let probes = Picture::list(&order.probes, suffix)?;
    let trial = Trial::take(&gallery, &probes, order.micrometres_per_pixel)?;
    write(&order.scores, |file| trial.write_scores(file))?;
    let scores = trial.scores();
    if let Some(path) = &order.det {
        write(path, |file| file.write_all(det_svg(&[("", &scores)]).as_bytes()))?;
    }
    let threshold = if suffix.is_some() { TWO_LIGHT_THRESHOLD } else { MATCH_THRESHOLD };
    if let Some(folder) = &order.regions {
        for (name, pictures) in [("gallery", &gallery), ("probes", &probes)] {
            write_regions(&folder.join(name), pictures, order.micrometres_per_pixel)?;
        }
    }
    let report = Evaluation {
        ok: true,
        two_wavelengths: suffix.is_some(),
        gallery: trial.gallery.clone(),
        probes: trial.probes.clone(),
        rates: ErrorRates::of(&scores, threshold, DRAWS),
    };
    Ok(Box::new(report))
}

/// Writes the regions of interest of pictures, each with a mask that is white inside of the hand, for other programs to try.
fn write_regions(folder: &Path, pictures: &[Picture], micrometres_per_pixel: u16) -> Result<(), EvaluationError> {
    fs::create_dir_all(folder).map_err(|source| EvaluationError::Io { path: folder.to_owned(), source })?;
    let written = in_parallel(pictures, |picture| {
        let near_infrared = read(&picture.near_infrared)?;
        let Ok(region) = RegionOfInterest::of(&Shot::near_infrared(&near_infrared, micrometres_per_pixel)) else {
            return Ok(());
        };
        let mask: Vec<u8> = region.inside.iter().map(|&inside| if inside { 255 } else { 0 }).collect();
        for (ending, pixels) in [("", region.grey.as_slice()), ("-mask", &mask)] {
            let path = folder.join(format!("{}{ending}.png", picture.label()));
            write(&path, |file| write_grey_png(RegionOfInterest::SIZE as u32, pixels, file).map_err(io::Error::other))?;
        }
        Ok(())
    });
    written.into_iter().collect()
}

fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), EvaluationError> {
    let written = fs::File::create(path).and_then(|file| {
        let mut file = io::BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|source| EvaluationError::Io { path: path.to_owned(), source })
}

/// How many pictures there were, and why some could not be used.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Acquisition {
    /// Whose they are.
    pub subjects: usize,
    /// How many there are.
    pub pictures: usize,
    /// How many were refused.
    pub refused: usize,
    /// For what reasons.
    pub reasons: BTreeMap<String, usize>,
}

impl Acquisition {
    fn of<'a, T: 'a>(pictures: &[Picture], taken: impl Iterator<Item = &'a Result<T, QualityIssue>>) -> Self {
        let mut reasons = BTreeMap::new();
        for issue in taken.filter_map(|taken| taken.as_ref().err()) {
            *reasons.entry(format!("{issue:?}")).or_default() += 1;
        }
        let subjects: BTreeSet<&str> = pictures.iter().map(|picture| picture.subject.as_str()).collect();
        Self { subjects: subjects.len(), pictures: pictures.len(), refused: reasons.values().sum(), reasons }
    }

    /// Share of the pictures that were refused: the failure-to-acquire rate (FTA).
    #[must_use]
    pub fn failure_to_acquire(&self) -> f64 {
        self.refused as f64 / self.pictures.max(1) as f64
    }
}

/// All probes compared with all subjects of a gallery.
pub struct Trial {
    /// The pictures from which templates were made.
    pub gallery: Acquisition,
    /// The pictures that were compared with them.
    pub probes: Acquisition,
    /// The subjects' names; comparisons name them by their places here.
    names: Vec<String>,
    /// Each comparison with the name of the probe's picture.
    comparisons: Vec<(Comparison, String)>,
}

impl Trial {
    /// Compares. `micrometres_per_pixel` is the edge of a pixel of a picture 640 pixels wide.
    ///
    /// # Errors
    /// If a picture can't be read. One that the matcher refuses is no error.
    pub fn take(gallery: &[Picture], probes: &[Picture], micrometres_per_pixel: u16) -> Result<Self, EvaluationError> {
        let names: BTreeSet<&str> = gallery.iter().chain(probes).map(|picture| picture.subject.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let number = |picture: &Picture| names.partition_point(|name| *name < picture.subject) as u32;

        let templates = in_parallel(gallery, |picture| {
            let palm = palm(picture, micrometres_per_pixel)?;
            Ok::<_, EvaluationError>(palm.map(|palm| palm.template()))
        });
        let templates: Vec<Result<PalmTemplate, QualityIssue>> = templates.into_iter().collect::<Result<_, _>>()?;
        let mut enrolled: BTreeMap<u32, Vec<(&Picture, &PalmTemplate)>> = BTreeMap::new();
        for (picture, template) in gallery.iter().zip(&templates) {
            if let Ok(template) = template {
                enrolled.entry(number(picture)).or_default().push((picture, template));
            }
        }

        let taken = in_parallel(probes, |picture| {
            let palm = palm(picture, micrometres_per_pixel)?;
            Ok::<_, EvaluationError>(palm.map(|palm| {
                let of_subject = enrolled.iter().filter_map(|(&reference, templates)| {
                    // A picture that is in the gallery too is not compared with itself.
                    let others = templates.iter().filter(|(enrolled, _)| *enrolled != picture);
                    let scores = others.map(|(_, template)| palm.similarity(template));
                    let score = scores.max_by(f32::total_cmp)?;
                    Some((Comparison { reference, probe: number(picture), score }, picture.label()))
                });
                of_subject.collect::<Vec<_>>()
            }))
        });
        let taken: Vec<Result<Vec<_>, QualityIssue>> = taken.into_iter().collect::<Result<_, _>>()?;
        Ok(Self {
            gallery: Acquisition::of(gallery, templates.iter()),
            probes: Acquisition::of(probes, taken.iter()),
            names,
            comparisons: taken.into_iter().flatten().flatten().collect(),
        })
    }

    /// The scores.
    #[must_use]
    pub fn scores(&self) -> Scores {
        Scores::new(self.comparisons.iter().map(|(comparison, _)| *comparison))
    }

    /// Writes the scores in four columns, as bob.measure reads them: subject of the template, subject of the probe, the
    /// probe's file, score.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn write_scores(&self, file: &mut dyn Write) -> io::Result<()> {
        let name = |number: u32| self.names.get(number as usize).map_or("", String::as_str);
        self.comparisons.iter().try_for_each(|(comparison, label)| {
            let Comparison { reference, probe, score } = *comparison;
            writeln!(file, "{} {} {label} {score:.6}", name(reference), name(probe))
        })
    }
}

/// The palm in a picture.
fn palm(picture: &Picture, micrometres_per_pixel: u16) -> Result<Result<Palm, QualityIssue>, EvaluationError> {
    let near_infrared = read(&picture.near_infrared)?;
    let red = picture.red.as_deref().map(read).transpose()?;
    let shot = Shot { near_infrared: &near_infrared, red: red.as_ref(), micrometres_per_pixel };
    Ok(extract(&shot))
}

fn read(path: &Path) -> Result<PalmImage, EvaluationError> {
    let file = fs::File::open(path).map_err(|source| EvaluationError::Io { path: path.to_owned(), source })?;
    read_png(BufReader::new(file)).map_err(|source| EvaluationError::NotPicture { path: path.to_owned(), source })
}

/// What `palm evaluate` found.
#[derive(Debug, Serialize)]
struct Evaluation {
    ok: bool,
    two_wavelengths: bool,
    gallery: Acquisition,
    probes: Acquisition,
    rates: ErrorRates,
}

impl Report for Evaluation {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let labels = ["evaluate-gallery", "evaluate-probes", "evaluate-equal-error-rate", "evaluate-threshold"];
        screen.heading(&messages.get("heading-evaluate"), "")?;
        screen.align(labels.map(|label| messages.get(label)));
        for (label, acquisition) in [(labels[0], &self.gallery), (labels[1], &self.probes)] {
            let counts = messages.text(
                "evaluate-pictures",
                &[("subjects", acquisition.subjects.into()), ("pictures", acquisition.pictures.into())],
            );
            let refused = messages.text(
                "evaluate-refused",
                &[("refused", acquisition.refused.into()), ("share", percent(acquisition.failure_to_acquire()).into())],
            );
            screen.entry(Mark::Plain, &Entry::new(messages.get(label), [counts, refused]))?;
            for (reason, count) in &acquisition.reasons {
                screen.verbatim(&format!("      {count:5} {reason}"))?;
            }
        }
        self.rates.show(screen, messages)
    }
}

/// A rate in per cent, or as a power of ten where that is too small.
#[must_use]
pub fn percent(rate: f64) -> String {
    if rate > 0.0 && rate < 0.001 { format!("{:.1e}", rate) } else { format!("{:.2} %", 100.0 * rate) }
}
