//! The hands that are held over the simulated sensor: every person of a world has one of their own, synthetic or in pictures.

use std::collections::VecDeque;
use std::error::Error;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biometric::hid::HidPalmSensor;
use biometric::{
    CaptureEvent, EnrolError, EnrolledTemplates, MatchingVerifier, PalmVerifier, RetryReason, SensorError,
    SensorIdentity, Verification,
};
use madoguchi_time::{Deadline, SharedClock};
use palm_vein::PalmImage;
use sim_palm_sensor::synth::{Artefact, Forgery, Level, PalmSeeds, SyntheticPalm};
use sim_palm_sensor::{Hand, Presentation, SimPalmControl, SimPalmTransport, plug_in, read_png, trusted_by_tests};

use crate::world::parts;

/// Bytes of a report: a sensor at high speed.
const REPORT: usize = 1_024;
/// How long the sensor may take to say what it is.
pub(crate) const GREETING: Duration = Duration::from_secs(5);
/// Takes of a hand from this one on are those of a log-on; those before were for the enrolment.
const LOG_ON_TAKE: u64 = 100;

/// Whose hands look how: synthetic ones, drawn from the seed, unless there are pictures of a person's hand.
#[derive(Clone, Debug)]
pub struct Palms {
    seed: u64,
    /// For each person with pictures a folder of PNG files, which are shown in the order of their names.
    pictures: PathBuf,
}

impl Palms {
    /// The palms of the world `seed`, with pictures below the folder `pictures`, which need not be there.
    #[must_use]
    pub fn new(seed: u64, pictures: PathBuf) -> Self {
        Self { seed, pictures }
    }

    /// The picture that the sensor takes when this person logs on.
    ///
    /// # Errors
    /// If a picture can't be read.
    pub fn log_on_picture(&self, person: &str) -> Result<PalmImage, SensorError> {
        if let Some(path) = self.pictures_of(person).last() {
            return read(path);
        }
        let hand = self.synthetic(person);
        let palm = SyntheticPalm::new(PalmSeeds::of_person(hand.identity_seed, hand.side));
        Ok(palm.photograph(hand.level, LOG_ON_TAKE, hand.veins))
    }

    fn synthetic(&self, person: &str) -> Hand {
        let drawn = parts::draw(self.seed, &format!("palm of {person}"), 0);
        Hand::of_person(u64::from_be_bytes(std::array::from_fn(|index| drawn[index])))
    }

    fn pictures_of(&self, person: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.pictures.join(person)).into_iter().flatten().filter_map(Result::ok);
        let is_picture =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        let mut pictures: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_picture).collect();
        pictures.sort();
        pictures
    }
}

fn read(path: &Path) -> Result<PalmImage, SensorError> {
    let other = |error: Box<dyn Error + Send + Sync>| SensorError::Other(error);
    let file = fs::File::open(path).map_err(|error| other(error.into()))?;
    read_png(BufReader::new(file)).map_err(|error| other(error.into()))
}

/// The people in front of a sensor.
#[derive(Clone)]
pub struct Hands {
    palms: Palms,
    control: SimPalmControl,
}

/// The sensor with its matcher.
pub type Sensor = MatchingVerifier<HidPalmSensor<SimPalmTransport>>;

/// A sensor without anybody in front of it yet.
///
/// # Errors
/// If sensor and host don't understand each other.
pub fn sensor(palms: Palms, clock: SharedClock) -> Result<(Sensor, Hands), SensorError> {
    let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", REPORT);
    let deadline = clock.deadline_in(GREETING);
    let sensor = HidPalmSensor::open(transport, &trusted_by_tests(), clock, deadline)?;
    Ok((MatchingVerifier::new(sensor), Hands { palms, control }))
}

impl Hands {
    /// This person holds a hand over the sensor to be enrolled, well guided. Of pictures, the first three are taken.
    ///
    /// # Errors
    /// If a picture can't be read.
    pub fn enrols(&self, person: &str) -> Result<(), SensorError> {
        match self.palms.pictures_of(person).as_slice() {
            [] => self.control.present(Hand { level: Level::L0, ..self.palms.synthetic(person) }),
            [only] => self.control.present_image(read(only)?),
            [first, others @ ..] => {
                let second = &others[0];
                let queued = [read(first)?, read(second)?].map(Presentation::Image);
                self.control.queue(queued);
                self.control.present_image(read(others.get(1).unwrap_or(second))?);
            }
        }
        Ok(())
    }

    /// This person holds a hand over the sensor to log on. Of pictures, the last is taken.
    ///
    /// # Errors
    /// If a picture can't be read.
    pub fn logs_on(&self, person: &str) -> Result<(), SensorError> {
        match self.palms.pictures_of(person).last() {
            None => self.control.present(Hand { take: LOG_ON_TAKE, ..self.palms.synthetic(person) }),
            Some(picture) => self.control.present_image(read(picture)?),
        }
        Ok(())
    }

    /// The same, too near at first.
    ///
    /// # Errors
    /// If a picture can't be read.
    pub fn logs_on_too_near_at_first(&self, person: &str) -> Result<(), SensorError> {
        self.control.queue([Presentation::Retry(RetryReason::TooNear)]);
        self.logs_on(person)
    }

    /// Somebody shows a print of this person's hand.
    pub fn shows_a_print(&self, person: &str) {
        let hand = self.palms.synthetic(person);
        let palm = SyntheticPalm::new(PalmSeeds::of_person(hand.identity_seed, hand.side));
        let frames = Forgery::new(Artefact::OfficePrint, &palm).capture(hand.level, LOG_ON_TAKE);
        self.control.rest(Presentation::Frames(frames));
    }

    /// Nobody is there any more.
    pub fn leave(&self) {
        self.control.remove_hand();
    }
}

/// A sensor at which the right people hold out their hands: whoever logs on, and whoever is enrolled.
pub struct AttendedSensor {
    /// The sensor.
    pub sensor: Sensor,
    /// The people.
    pub hands: Hands,
    /// Who logs on and who is the second person, one after the other; nobody holds a hand out of their own accord if none.
    pub logs_on: VecDeque<String>,
    /// Who is enrolled.
    pub enrols: Option<String>,
}

impl PalmVerifier for AttendedSensor {
    fn identity(&self) -> &SensorIdentity {
        self.sensor.identity()
    }

    fn verify(
        &mut self,
        enrolled: &EnrolledTemplates,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<Verification, SensorError> {
        if let Some(person) = self.logs_on.front() {
            self.hands.logs_on(person)?;
        }
        // The last one stays.
        if self.logs_on.len() > 1 {
            self.logs_on.pop_front();
        }
        self.sensor.verify(enrolled, deadline, observer)
    }

    fn enrol(
        &mut self,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError> {
        if let Some(person) = &self.enrols {
            self.hands.enrols(person)?;
        }
        self.sensor.enrol(deadline, observer)
    }
}
