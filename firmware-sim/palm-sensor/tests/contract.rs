//! The simulated sensor, behind the HID framing, keeps the contracts of the biometric port.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::time::Duration;

use biometric::contract::{PalmStage, Person, palm_sensor, palm_verifier};
use biometric::hid::HidPalmSensor;
use biometric::{MatchingVerifier, RetryReason};
use jiff::Timestamp;
use madoguchi_time::{Clock, SharedClock, VirtualClock};
use sim_palm_sensor::{Hand, Presentation, SimPalmControl, SimPalmTransport, plug_in, trusted_by_tests};

struct Rig {
    clock: SharedClock,
    control: SimPalmControl,
}

fn rig(report_size: usize) -> (Rig, HidPalmSensor<SimPalmTransport>) {
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", report_size);
    let deadline = clock.deadline_in(Duration::from_secs(10));
    let sensor = HidPalmSensor::open(transport, &trusted_by_tests(), clock.clone(), deadline).expect("a sensor");
    (Rig { clock, control }, sensor)
}

impl PalmStage for Rig {
    fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    fn present(&mut self, person: Person) {
        let seed = match person {
            Person::Enrolled => 417,
            Person::Stranger => 418,
        };
        self.control.present(Hand::of_person(seed));
    }

    fn present_too_near_once(&mut self) {
        self.control.queue([Presentation::Retry(RetryReason::TooNear)]);
    }

    fn remove_hand(&mut self) {
        self.control.remove_hand();
    }

    fn unplug(&mut self) {
        self.control.unplug();
    }
}

#[test]
fn the_sensor_keeps_its_contract_at_high_speed() {
    let (mut rig, mut sensor) = rig(1024);
    palm_sensor(&mut rig, &mut sensor);
}

#[test]
fn the_sensor_keeps_its_contract_at_full_speed() {
    let (mut rig, mut sensor) = rig(64);
    palm_sensor(&mut rig, &mut sensor);
}

#[test]
fn the_matching_verifier_keeps_its_contract() {
    let (mut rig, sensor) = rig(1024);
    palm_verifier(&mut rig, &mut MatchingVerifier::new(sensor));
}
