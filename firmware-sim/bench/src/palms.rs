//! The hands that are held over the simulated sensor: every person of a world has one of their own.

use std::time::Duration;

use biometric::hid::HidPalmSensor;
use biometric::{
    CaptureEvent, EnrolError, EnrolledTemplates, MatchingVerifier, PalmVerifier, RetryReason, SensorError,
    SensorIdentity, Verification,
};
use madoguchi_time::{Deadline, SharedClock};
use palm_vein::PalmImage;
use sim_palm_sensor::synth::{Level, PalmSeeds, SyntheticPalm, Veins};
use sim_palm_sensor::{Hand, Presentation, SimPalmControl, SimPalmTransport, plug_in};

use crate::world::parts;

/// Bytes of a report: a sensor at high speed.
const REPORT: usize = 1_024;
/// How long the sensor may take to say what it is.
const GREETING: Duration = Duration::from_secs(5);
/// Takes of a hand from this one on are those of a log-on; those before were for the enrolment.
const LOG_ON_TAKE: u64 = 100;

/// The people in front of a sensor.
#[derive(Clone)]
pub struct Hands {
    seed: u64,
    control: SimPalmControl,
}

/// The sensor with its matcher.
pub type Sensor = MatchingVerifier<HidPalmSensor<SimPalmTransport>>;

/// A sensor without anybody in front of it, and the people of the world `seed`.
///
/// # Errors
/// If sensor and host don't understand each other.
pub fn sensor(seed: u64, clock: SharedClock) -> Result<(Sensor, Hands), SensorError> {
    let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", REPORT);
    let deadline = clock.deadline_in(GREETING);
    let sensor = HidPalmSensor::open(transport, clock, deadline)?;
    Ok((MatchingVerifier::new(sensor), Hands { seed, control }))
}

impl Hands {
    /// This person holds a hand over the sensor to be enrolled, well guided.
    pub fn enrols(&self, person: &str) {
        self.control.present(Hand { level: Level::L0, ..self.of(person) });
    }

    /// This person holds a hand over the sensor to log on.
    pub fn logs_on(&self, person: &str) {
        self.control.present(Hand { take: LOG_ON_TAKE, ..self.of(person) });
    }

    /// The same, too near at first.
    pub fn logs_on_too_near_at_first(&self, person: &str) {
        self.control.queue([Presentation::Retry(RetryReason::TooNear)]);
        self.logs_on(person);
    }

    /// Something like a print of this person's hand: without veins.
    pub fn shows_a_print(&self, person: &str) {
        self.control.present(Hand { take: LOG_ON_TAKE, veins: Veins::Removed, ..self.of(person) });
    }

    /// Nobody is there any more.
    pub fn leave(&self) {
        self.control.remove_hand();
    }

    fn of(&self, person: &str) -> Hand {
        Hand::of_person(identity(self.seed, person))
    }
}

/// The picture that the sensor takes when this person logs on.
#[must_use]
pub fn log_on_picture(seed: u64, person: &str) -> PalmImage {
    let hand = Hand::of_person(identity(seed, person));
    let palm = SyntheticPalm::new(PalmSeeds::of_person(hand.identity_seed, hand.side));
    palm.photograph(hand.level, LOG_ON_TAKE, hand.veins)
}

fn identity(seed: u64, person: &str) -> u64 {
    let drawn = parts::draw(seed, &format!("palm of {person}"), 0);
    u64::from_be_bytes(std::array::from_fn(|index| drawn[index]))
}

/// A sensor at which the right people hold out their hands: whoever logs on, and whoever is enrolled.
pub struct AttendedSensor {
    /// The sensor.
    pub sensor: Sensor,
    /// The people.
    pub hands: Hands,
    /// Who logs on; nobody holds a hand out of their own accord if none.
    pub logs_on: Option<String>,
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
        if let Some(person) = &self.logs_on {
            self.hands.logs_on(person);
        }
        self.sensor.verify(enrolled, deadline, observer)
    }

    fn enrol(
        &mut self,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError> {
        if let Some(person) = &self.enrols {
            self.hands.enrols(person);
        }
        self.sensor.enrol(deadline, observer)
    }
}
