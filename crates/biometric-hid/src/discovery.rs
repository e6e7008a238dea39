//! Which sensors are plugged in, and whether this user may use them.

use std::error::Error;
use std::ffi::CString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use biometric::SensorError;
use biometric::hid::HidConnector;
use biometric::hid::protocol::{REPORT_SIZES, USAGE_PAGE};
use hidapi::HidApi;
use madoguchi_time::SharedClock;

use crate::descriptor::ReportDescriptor;
use crate::transport::{HidapiTransport, Instance};

/// Where Linux lists hidraw devices.
const HIDRAW: &str = "/sys/class/hidraw";

/// Vendor and product of a USB device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UsbId {
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
}

/// Not of the form `vvvv:pppp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a USB id has the form vvvv:pppp")]
pub struct InvalidUsbId;

impl FromStr for UsbId {
    type Err = InvalidUsbId;

    fn from_str(id: &str) -> Result<Self, InvalidUsbId> {
        let hex = |digits: &str| match digits.len() {
            // `from_str_radix` takes a sign too.
            4 if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u16::from_str_radix(digits, 16).map_err(|_| InvalidUsbId)
            }
            _ => Err(InvalidUsbId),
        };
        let (vendor, product) = id.split_once(':').ok_or(InvalidUsbId)?;
        Ok(Self { vendor: hex(vendor)?, product: hex(product)? })
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

/// A sensor that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSensor {
    /// Its node, such as `/dev/hidraw0`.
    pub node: PathBuf,
    /// What it says it is.
    pub id: UsbId,
    /// The serial number that USB gives it; may be empty. What the sensor proves to be is another matter.
    pub serial: String,
    /// Bytes in its reports.
    pub report_size: usize,
}

/// The sensors with these ids, in the order of their nodes. What has such an id and no reports of a palm sensor is none.
fn find(api: &mut HidApi, ids: &[UsbId]) -> Result<Vec<FoundSensor>, SensorError> {
    api.reset_devices().map_err(other)?;
    for id in ids {
        api.add_devices(id.vendor, id.product).map_err(other)?;
    }
    let mut found: Vec<FoundSensor> = Vec::new();
    for device in api.device_list() {
        let node = PathBuf::from(std::ffi::OsStr::from_bytes(device.path().to_bytes()));
        let Some(descriptor) = descriptor(&node) else { continue };
        if descriptor.usage_page != USAGE_PAGE || !REPORT_SIZES.contains(&descriptor.report_size) {
            continue;
        }
        found.push(FoundSensor {
            node,
            id: UsbId { vendor: device.vendor_id(), product: device.product_id() },
            serial: device.serial_number().unwrap_or_default().to_owned(),
            report_size: descriptor.report_size,
        });
    }
    found.sort_by(|one, other| one.node.cmp(&other.node));
    // hidapi lists a device once for each of its usages.
    found.dedup_by(|one, other| one.node == other.node);
    Ok(found)
}

/// Where sysfs has the device of this node.
fn in_sysfs(node: &Path) -> Option<PathBuf> {
    Some(Path::new(HIDRAW).join(node.file_name()?).join("device"))
}

/// Everybody may read it there, also who may not open the device.
fn descriptor(node: &Path) -> Option<ReportDescriptor> {
    ReportDescriptor::parse(&fs::read(in_sysfs(node)?.join("report_descriptor")).ok()?).ok()
}

fn other(error: impl Error + Send + Sync + 'static) -> SensorError {
    SensorError::Other(Box::new(error))
}

/// Looks for sensors with the given ids and opens the first.
pub struct HidapiConnector {
    ids: Vec<UsbId>,
    clock: SharedClock,
    api: Option<HidApi>,
}

impl HidapiConnector {
    /// Of sensors with these ids. The clock must be the machine's: waiting takes real time.
    #[must_use]
    pub fn new(ids: Vec<UsbId>, clock: SharedClock) -> Self {
        Self { ids, clock, api: None }
    }

    fn api(&mut self) -> Result<&mut HidApi, SensorError> {
        let api = match self.api.take() {
            Some(api) => api,
            None => HidApi::new().map_err(other)?,
        };
        Ok(self.api.insert(api))
    }
}

impl HidConnector for HidapiConnector {
    type Transport = HidapiTransport;

    fn connect(&mut self) -> Result<HidapiTransport, SensorError> {
        let ids = self.ids.clone();
        let clock = self.clock.clone();
        let api = self.api()?;
        // With several, the one that may be used.
        let mut failure = SensorError::Gone;
        for sensor in find(api, &ids)? {
            match open(api, &sensor, clock.clone()) {
                Ok(transport) => return Ok(transport),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl fmt::Debug for HidapiConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HidapiConnector").field("ids", &self.ids).finish_non_exhaustive()
    }
}

fn open(api: &HidApi, sensor: &FoundSensor, clock: SharedClock) -> Result<HidapiTransport, SensorError> {
    let link = in_sysfs(&sensor.node).ok_or(SensorError::Gone)?;
    let target = fs::canonicalize(&link).map_err(|_| SensorError::Gone)?;
    let path = CString::new(sensor.node.as_os_str().as_bytes()).map_err(other)?;
    match api.open_path(&path) {
        Ok(device) => Ok(HidapiTransport::new(device, sensor.report_size, clock, Instance { link, target })),
        // hidapi says why in words only: it is tried again in a way that says more.
        Err(error) => Err(match OpenOptions::new().read(true).write(true).open(&sensor.node) {
            Err(refused) => match refused.kind() {
                io::ErrorKind::PermissionDenied => SensorError::NotAuthorized,
                io::ErrorKind::NotFound => SensorError::Gone,
                _ => other(refused),
            },
            Ok(_) => other(error),
        }),
    }
}

/// What [`diagnose`] found out about one sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Which.
    pub sensor: FoundSensor,
    /// Whether it can be used.
    pub state: SensorState,
}

/// Whether a sensor can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SensorState {
    /// This user may open it.
    Permitted,
    /// This user may not.
    Denied(Denial),
}

/// Why a user may not open a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// The node is still as the kernel made it, for root alone: the udev rules are not installed, or the sensor was plugged in before
    /// they were.
    NoRule,
    /// The node belongs to a group with this number, and this process is not in it: the user was not added to it, or was after the log-in.
    NotInGroup(u32),
}

/// Looks at the sensors with these ids, without opening any for long.
///
/// # Errors
/// If the system can't be asked.
pub fn diagnose(ids: &[UsbId]) -> Result<Vec<Diagnosis>, SensorError> {
    let mut api = HidApi::new().map_err(other)?;
    let found = find(&mut api, ids)?;
    Ok(found.into_iter().map(|sensor| Diagnosis { state: state(&sensor.node), sensor }).collect())
}

fn state(node: &Path) -> SensorState {
    match OpenOptions::new().read(true).write(true).open(node) {
        Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied => {
            let group = fs::metadata(node).ok().filter(|node| node.mode() & 0o060 == 0o060).map(|node| node.gid());
            SensorState::Denied(group.map_or(Denial::NoRule, Denial::NotInGroup))
        }
        // What else goes wrong is told by whoever opens it.
        _ => SensorState::Permitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_the_device_table_writes_them() {
        let id: UsbId = "1209:00aF".parse().unwrap();
        assert_eq!((id, id.to_string().as_str()), (UsbId { vendor: 0x1209, product: 0xAF }, "1209:00af"));
        for wrong in ["", "1209", "1209:", "12090:001", "1209:00001", "1209:000g", "1209:+001"] {
            assert_eq!(UsbId::from_str(wrong), Err(InvalidUsbId), "{wrong}");
        }
    }
}
