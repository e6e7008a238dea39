//! Palm sensors on USB, by hidapi: they are found by the device table, opened, and spoken to in the reports of PVHID/1.
//!
//! [`open`] gives a [`biometric::PalmSensor`], or says why there is none that can be used. Below it, [`HidapiConnector`] looks for a sensor with one of the given ids and opens it; [`biometric::hid::ReconnectingSensor`] has it
//! survive sleep and replugging. [`diagnose`] tells which sensors are plugged in, and why one can't be used.
//!
//! On Linux hidapi is its backend in pure Rust, which speaks to hidraw and reads sysfs: nothing of the system is linked, and nothing need be
//! installed to build it. What it can't do: bound the time that the kernel takes to send a report (5 s at worst, when a device takes none).
//!
//! hidraw lets several programs open one device and gives each of them all that it says. Nothing here keeps others out: each has a
//! channel of its own, and ignores reports of other channels.

mod descriptor;
mod discovery;
mod opening;
mod transport;

pub use descriptor::{ReportDescriptor, UnsuitableDescriptor};
pub use discovery::{Denial, Diagnosis, FoundSensor, HidapiConnector, InvalidUsbId, SensorState, UsbId, diagnose};
pub use opening::{OpenError, open};
pub use transport::HidapiTransport;
