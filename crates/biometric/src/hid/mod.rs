//! Palm sensors that speak PVHID/1 over USB HID: the host's side of `docs/protocols/palm-sensor.md`.

mod codec;
mod line;
mod link;
mod message;
pub mod protocol;
mod reconnect;
mod report;
mod sensor;
mod trust;

use madoguchi_time::Deadline;
use zeroize::Zeroizing;

pub use self::codec::{DamagedStream, decode_med_rice};
pub use self::link::AttestedDevice;
pub use self::reconnect::{HidConnector, ReconnectingSensor};
pub use self::sensor::{HidPalmSensor, SensorPart};
pub use self::trust::{InvalidModelKey, ModelKey, TrustedModels};

/// An open HID device: reports go out, reports come in.
///
/// # Guarantees
/// Reports arrive in the order in which the device sent them; some may be missing, as the system drops what nobody
/// reads in time.
///
/// # For backend authors
/// Reports carry no report ID; add or strip the leading zero byte that your library may want. A report may be shorter
/// than [`report_size`](HidTransport::report_size) only if the device sent it so.
pub trait HidTransport: Send {
    /// Bytes in a report, as the report descriptor says: 64 at full speed, up to 1,024 at high speed.
    fn report_size(&self) -> usize;

    /// Sends one report of [`report_size`](HidTransport::report_size) bytes.
    ///
    /// # Errors
    /// See [`HidError`].
    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError>;

    /// Waits for a report; `None` when the deadline passes without one. Reports carry pictures, so they are wiped.
    ///
    /// # Errors
    /// See [`HidError`].
    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError>;
}

/// Why a report was not passed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HidError {
    /// The device has gone: unplugged, or without power.
    #[error("the HID device is gone")]
    Gone,
    /// The report could not be sent in time.
    #[error("the HID device takes no reports")]
    Timeout,
    /// The system does not let this user at the device.
    #[error("no permission to use the HID device")]
    NotAuthorized,
    /// Anything else, with its cause kept.
    #[error("the HID device failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}
