//! A simulated palm-vein sensor: its firmware as a library, and synthetic palms.
//!
//! [`plug_in`] gives a HID transport for [`biometric::hid::HidPalmSensor`] and a [`SimPalmControl`] that presents hands
//! and breaks things. The sensor speaks bytes: what passes between host and sensor are the reports of
//! `docs/protocols/palm-sensor.md`. Its serial should start with `SIM-`. Time that a real sensor would take is added to
//! the clock; nothing sleeps.
//!
//! ```
//! use std::time::Duration;
//!
//! use biometric::hid::HidPalmSensor;
//! use biometric::{MatchingVerifier, PalmVerifier, Verification};
//! use madoguchi_time::{Clock, VirtualClock};
//! use sim_palm_sensor::{Hand, plug_in, trusted_by_tests};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = VirtualClock::at(jiff::Timestamp::UNIX_EPOCH);
//! let deadline = clock.deadline_in(Duration::from_secs(60));
//! let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", 1024);
//! let sensor = HidPalmSensor::open(transport, &trusted_by_tests(), clock, deadline)?;
//! let mut verifier = MatchingVerifier::new(sensor);
//!
//! control.present(Hand::of_person(417));
//! let enrolled = verifier.enrol(deadline, &mut |_| {})?;
//! control.present(Hand { take: 50, ..Hand::of_person(417) });
//! assert_eq!(verifier.verify(&enrolled, deadline, &mut |_| {})?, Verification::Match);
//! # Ok(())
//! # }
//! ```

mod codec;
pub mod control;
mod firmware;
mod link;
mod picture;
mod runner;
mod stage;
pub mod synth;
pub mod trial;
pub mod uhid;

pub use codec::encode_med_rice;
pub use firmware::{Approach, Nameplate, PalmSensorFirmware, Scene, Sight};
pub use link::{DeviceKeys, simulated_model, trusted_by_tests};
pub use picture::{PictureError, read_png, write_grey_png, write_png};
pub use runner::{Direction, Fault, SimPalmControl, SimPalmTransport, plug_in};
pub use stage::{Hand, Presentation};
