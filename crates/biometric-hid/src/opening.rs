use std::fs;
use std::path::{Path, PathBuf};

use biometric::SensorError;
use biometric::hid::{ReconnectingSensor, TrustedModels};
use madoguchi_time::{Deadline, SharedClock};

use crate::discovery::{Denial, HidapiConnector, SensorState, UsbId, diagnose};

/// Where the names of groups are (group(5)).
const GROUPS: &str = "/etc/group";

/// Why no sensor could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing to look for: the device table has no sensor for terminals in service, or one with an id that is none.
    #[error("the device table has no palm sensor")]
    NoneKnown,
    /// The system does not let this user at the sensor.
    #[error("no permission to use {}", node.display())]
    Denied {
        /// The sensor's node, such as `/dev/hidraw0`.
        node: PathBuf,
        /// Why not.
        denial: Denial,
    },
    /// Anything else.
    #[error(transparent)]
    Sensor(#[from] SensorError),
}

impl OpenError {
    /// What to tell people: the message's key, and what to fill in. `None` if the sensor's own error says it all.
    #[must_use]
    pub fn text(&self) -> Option<(&'static str, Vec<(&'static str, String)>)> {
        match self {
            Self::NoneKnown => Some(("error-sensor-none-known", vec![])),
            Self::Denied { node, denial: Denial::NoRule } => {
                Some(("error-sensor-no-rule", vec![("node", node.display().to_string())]))
            }
            Self::Denied { node, denial: Denial::NotInGroup(group) } => {
                let args = vec![("node", node.display().to_string()), ("group", group_name(*group))];
                Some(("error-sensor-not-in-group", args))
            }
            Self::Sensor(_) => None,
        }
    }
}

/// Opens the first sensor with one of these ids that this user may open and that is of a trusted model.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    usb_ids: &[String],
    trusted: TrustedModels,
    clock: SharedClock,
    deadline: Deadline,
) -> Result<ReconnectingSensor<HidapiConnector>, OpenError> {
    let ids: Vec<UsbId> = usb_ids.iter().filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() {
        return Err(OpenError::NoneKnown);
    }
    let connector = HidapiConnector::new(ids.clone(), clock.clone());
    match ReconnectingSensor::open(connector, trusted, clock, deadline) {
        Ok(sensor) => Ok(sensor),
        Err(SensorError::NotAuthorized) => Err(denied(&ids)),
        Err(error) => Err(error.into()),
    }
}

fn denied(ids: &[UsbId]) -> OpenError {
    let seen = diagnose(ids).unwrap_or_default();
    let denied = seen.into_iter().find_map(|seen| match seen.state {
        SensorState::Denied(denial) => Some(OpenError::Denied { node: seen.sensor.node, denial }),
        SensorState::Permitted => None,
    });
    denied.unwrap_or(OpenError::Sensor(SensorError::NotAuthorized))
}

/// The group's name, or its number if it has none.
fn group_name(number: u32) -> String {
    let groups = fs::read_to_string(Path::new(GROUPS)).unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| number.to_string())
}
