use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use biometric::hid::{HidError, HidTransport};
use hidapi::HidDevice;
use madoguchi_time::{Deadline, SharedClock};
use zeroize::Zeroizing;

/// The longest single wait for a report, ms: what hidapi takes for the length of a wait is an `i32`, and negative is for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An open sensor.
pub struct HidapiTransport {
    device: HidDevice,
    report_size: usize,
    clock: SharedClock,
    /// The device in sysfs, with the number of this time of being plugged in.
    instance: Instance,
}

/// Which device at which time of being plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Where sysfs has it under the name of its node.
    pub(crate) link: PathBuf,
    /// Where that led when the device was opened: the kernel never gives the same place to another.
    pub(crate) target: PathBuf,
}

impl Instance {
    /// Is the device still plugged in, or another in its place?
    fn is_there(&self) -> bool {
        fs::canonicalize(&self.link).is_ok_and(|target| target == self.target)
    }
}

impl HidapiTransport {
    pub(crate) fn new(device: HidDevice, report_size: usize, clock: SharedClock, instance: Instance) -> Self {
        Self { device, report_size, clock, instance }
    }

    /// hidapi tells an unplugged device in words only: the system is asked.
    fn failure(&self, error: hidapi::HidError) -> HidError {
        if !self.instance.is_there() {
            return HidError::Gone;
        }
        match &error {
            hidapi::HidError::IoError { error } if is_gone(error) => HidError::Gone,
            hidapi::HidError::IoError { error } if error.kind() == io::ErrorKind::TimedOut => HidError::Timeout,
            _ => HidError::Other(Box::new(error)),
        }
    }
}

/// Errors with which Linux answers whoever has a device open that was unplugged: ENODEV, ENXIO, ESHUTDOWN.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(19 | 6 | 108))
}

impl HidTransport for HidapiTransport {
    fn report_size(&self) -> usize {
        self.report_size
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        if deadline.has_passed(&*self.clock) {
            return Err(HidError::Timeout);
        }
        // The number of the report, 0 for a device without such numbers.
        let mut numbered = Zeroizing::new(Vec::with_capacity(1 + report.len()));
        numbered.push(0);
        numbered.extend_from_slice(report);
        match self.device.write(&numbered) {
            Ok(written) if written == numbered.len() => Ok(()),
            Ok(_) => Err(HidError::Other(Box::from("the device took a part of a report"))),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        let mut report = Zeroizing::new(vec![0; self.report_size]);
        loop {
            let left = deadline.remaining(&*self.clock).min(LONGEST_WAIT);
            // Rounded up, so that the last millisecond is waited for and not spun through.
            let wait = i32::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
            match self.device.read_timeout(&mut report, wait) {
                Ok(0) if deadline.has_passed(&*self.clock) => return Ok(None),
                Ok(0) => {}
                Ok(length) => {
                    report.truncate(length);
                    return Ok(Some(report));
                }
                Err(hidapi::HidError::IoError { error }) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(error)),
            }
        }
    }
}

impl fmt::Debug for HidapiTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HidapiTransport").field("instance", &self.instance).finish_non_exhaustive()
    }
}
