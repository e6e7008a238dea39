use std::fmt;

use madoguchi_time::{Deadline, Recovery, SharedClock};

use super::{HidPalmSensor, HidTransport, TrustedModels};
use crate::{CaptureOutcome, HandState, PalmSensor, SensorError, SensorIdentity};

/// Finds a sensor and opens it, again and again.
///
/// # For backend authors
/// One look each time, no waiting: who calls decides when to look again.
pub trait HidConnector: Send {
    /// What is opened.
    type Transport: HidTransport;

    /// Looks for the sensor and opens it.
    ///
    /// # Errors
    /// [`SensorError::Gone`] if there is none, [`SensorError::NotAuthorized`] if the system does not let this user at it.
    fn connect(&mut self) -> Result<Self::Transport, SensorError>;
}

/// A sensor that is opened anew when it was unplugged, lost its power or was reset, as when the computer sleeps.
///
/// It is opened anew at most once in a capture, so a sensor that is not there costs one look and not a storm of them. Only the very
/// device that was there first is taken: another one, of the same model too, is refused until the program is started again.
pub struct ReconnectingSensor<C: HidConnector> {
    connector: C,
    trusted: TrustedModels,
    clock: SharedClock,
    /// `None` while it is lost.
    sensor: Option<HidPalmSensor<C::Transport>>,
    identity: SensorIdentity,
    device_key: [u8; super::protocol::link::PUBLIC_KEY],
}

impl<C: HidConnector> ReconnectingSensor<C> {
    /// Opens the sensor for the first time.
    ///
    /// # Errors
    /// As [`HidConnector::connect`] and [`HidPalmSensor::open`].
    pub fn open(
        mut connector: C,
        trusted: TrustedModels,
        clock: SharedClock,
        deadline: Deadline,
    ) -> Result<Self, SensorError> {
        let sensor = HidPalmSensor::open(connector.connect()?, &trusted, clock.clone(), deadline)?;
        let (identity, device_key) = (sensor.identity().clone(), sensor.attested().device_key);
        Ok(Self { connector, trusted, clock, sensor: Some(sensor), identity, device_key })
    }

    /// The sensor, opened if need be, and whether that was needed.
    fn sensor(&mut self, deadline: Deadline) -> Result<(&mut HidPalmSensor<C::Transport>, bool), SensorError> {
        let opened = match self.sensor.take() {
            Some(sensor) => (sensor, false),
            None => {
                let transport = self.connector.connect()?;
                let sensor = HidPalmSensor::open(transport, &self.trusted, self.clock.clone(), deadline)?;
                if sensor.attested().device_key != self.device_key {
                    return Err(SensorError::Untrusted("another sensor is in the place of the one that was opened"));
                }
                (sensor, true)
            }
        };
        Ok((self.sensor.insert(opened.0), opened.1))
    }
}

impl<C: HidConnector> PalmSensor for ReconnectingSensor<C> {
    fn identity(&self) -> &SensorIdentity {
        &self.identity
    }

    fn capture(&mut self, deadline: Deadline, hand: &mut dyn FnMut(HandState)) -> Result<CaptureOutcome, SensorError> {
        loop {
            let (sensor, is_fresh) = self.sensor(deadline)?;
            match sensor.capture(deadline, hand) {
                Err(error) if error.recovery() == Recovery::Reconnect => {
                    self.sensor = None;
                    if is_fresh || deadline.has_passed(&*self.clock) {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn disarm(&mut self) {
        if let Some(sensor) = &mut self.sensor {
            sensor.disarm();
        }
    }
}

impl<C: HidConnector> fmt::Debug for ReconnectingSensor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSensor").field("identity", &self.identity).finish_non_exhaustive()
    }
}
