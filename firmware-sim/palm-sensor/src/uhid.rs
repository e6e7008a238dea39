//! The sensor as a HID device of the kernel: what `/dev/uhid` is told and asks (Linux, `include/uapi/linux/uhid.h`).
//!
//! The kernel makes a hidraw device of it, which programs find and open like any other. Its path has no USB device in it, so what looks for
//! the attributes of one does not find it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use biometric::hid::{HidError, HidTransport};
use madoguchi_time::SharedClock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::runner::{SimPalmControl, SimPalmTransport};

/// Kinds of events that are needed (`enum uhid_event_type`).
pub mod kind {
    /// To the kernel: the device is gone.
    pub const DESTROY: u32 = 1;
    /// From the kernel: the device was started; another follows after STOP.
    pub const START: u32 = 2;
    /// From the kernel: the device was stopped.
    pub const STOP: u32 = 3;
    /// From the kernel: somebody has opened the device.
    pub const OPEN: u32 = 4;
    /// From the kernel: nobody has it open any more.
    pub const CLOSE: u32 = 5;
    /// From the kernel: a report for the device.
    pub const OUTPUT: u32 = 6;
    /// From the kernel: a question for a feature report.
    pub const GET_REPORT: u32 = 9;
    /// To the kernel: the answer.
    pub const GET_REPORT_REPLY: u32 = 10;
    /// To the kernel: here is a device.
    pub const CREATE2: u32 = 11;
    /// To the kernel: a report of the device.
    pub const INPUT2: u32 = 12;
    /// From the kernel: a feature report for the device.
    pub const SET_REPORT: u32 = 13;
    /// To the kernel: the answer.
    pub const SET_REPORT_REPLY: u32 = 14;
}

/// Bytes of the largest event, CREATE2: type, name, phys, uniq, descriptor's length, bus, vendor, product, version, country, descriptor.
pub const EVENT: usize = 4 + NAME + PHYS + UNIQ + 2 + 2 + 4 * 4 + DATA;
/// Bytes for a descriptor or a report (`HID_MAX_DESCRIPTOR_SIZE`, `UHID_DATA_MAX`).
pub const DATA: usize = 4_096;
const NAME: usize = 128;
const PHYS: usize = 64;
const UNIQ: usize = 64;
/// USB, in the kernel's list of buses (`BUS_USB`): the device is to be found like one on USB.
const BUS: u16 = 3;
/// Vendor and product that are reserved for tests (pid.codes).
pub const TEST_ID: (u32, u32) = (0x1209, 0x0001);
/// No such request (errno).
const EIO: u16 = 5;
/// How long the device goes without looking whether the plug was pulled.
const LOOK: Duration = Duration::from_millis(20);

/// The report descriptor of a sensor with reports of this many bytes (`docs/protocols/palm-sensor.md` §2).
#[must_use]
pub fn report_descriptor(report_size: usize) -> Vec<u8> {
    let [low, high] = (report_size as u16).to_le_bytes();
    let count: &[u8] = if high == 0 { &[0x95, low] } else { &[0x96, low, high] };
    let mut descriptor = vec![0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01];
    for (usage, main) in [(0x20, 0x81), (0x21, 0x91)] {
        descriptor.extend_from_slice(&[0x09, usage, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08]);
        descriptor.extend_from_slice(count);
        descriptor.extend_from_slice(&[main, 0x02]);
    }
    descriptor.push(0xC0);
    descriptor
}

/// The event that makes the device.
fn create(serial: &str, report_size: usize) -> Vec<u8> {
    let descriptor = report_descriptor(report_size);
    let mut event = kind::CREATE2.to_ne_bytes().to_vec();
    for (text, length) in [("Madoguchi simulated palm sensor", NAME), ("", PHYS), (serial, UNIQ)] {
        // The kernel wants a zero byte at the end.
        let text = &text.as_bytes()[..text.len().min(length - 1)];
        event.extend_from_slice(text);
        event.resize(event.len() + length - text.len(), 0);
    }
    event.extend_from_slice(&(descriptor.len() as u16).to_ne_bytes());
    event.extend_from_slice(&BUS.to_ne_bytes());
    for number in [TEST_ID.0, TEST_ID.1, 1, 0] {
        event.extend_from_slice(&number.to_ne_bytes());
    }
    event.extend_from_slice(&descriptor);
    event
}

/// The event that carries a report of the device.
fn input(report: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut event = Zeroizing::new(Vec::with_capacity(6 + report.len()));
    event.extend_from_slice(&kind::INPUT2.to_ne_bytes());
    event.extend_from_slice(&(report.len() as u16).to_ne_bytes());
    event.extend_from_slice(report);
    event
}

/// What the kernel wants.
#[derive(Debug, PartialEq, Eq)]
enum Event<'a> {
    /// A report for the device, without the number that stands before it.
    Output(&'a [u8]),
    /// A question for a feature report, of which there are none; with its number.
    GetReport(u32),
    /// The same with a report to set.
    SetReport(u32),
    /// Nothing that needs doing.
    Other,
}

fn read_event(event: &[u8]) -> Event<'_> {
    let number_at = |at: usize| -> Option<u32> { event.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes) };
    match number_at(0) {
        Some(kind::OUTPUT) => {
            let length = event.get(4 + DATA..4 + DATA + 2).and_then(|bytes| bytes.try_into().ok());
            let length = length.map_or(0, u16::from_ne_bytes);
            // hidraw puts the report's number first, 0 if the device has none.
            event
                .get(4..4 + usize::from(length))
                .and_then(|data| data.split_first())
                .map_or(Event::Other, |(_, report)| Event::Output(report))
        }
        Some(kind::GET_REPORT) => number_at(4).map_or(Event::Other, Event::GetReport),
        Some(kind::SET_REPORT) => number_at(4).map_or(Event::Other, Event::SetReport),
        _ => Event::Other,
    }
}

/// A simulated sensor at `/dev/uhid`.
pub struct UhidSensor {
    uhid: File,
    control: SimPalmControl,
    clock: SharedClock,
    serial: String,
    /// The device that the kernel has; `None` while it is unplugged.
    plugged: Option<SimPalmTransport>,
}

impl UhidSensor {
    /// Over `uhid`, open for reading and writing. The clock must be the machine's.
    #[must_use]
    pub fn new(uhid: File, control: SimPalmControl, serial: &str, clock: SharedClock) -> Self {
        Self { uhid, control, clock, serial: serial.to_owned(), plugged: None }
    }

    /// Is the sensor until `goes_on` says no, which is asked every 20 ms at least.
    ///
    /// # Errors
    /// Whatever `/dev/uhid` answers with: usually that this user may not make devices.
    pub fn run(&mut self, goes_on: &mut dyn FnMut() -> bool) -> io::Result<()> {
        while goes_on() {
            self.follow_plug()?;
            self.deliver()?;
            if self.wait()? {
                self.serve()?;
            }
        }
        self.pull()
    }

    /// Tells the kernel that the sensor was plugged in or unplugged.
    fn follow_plug(&mut self) -> io::Result<()> {
        let is_current = self.plugged.as_ref().is_some_and(|plugged| self.control.is_plugged(plugged));
        if !is_current {
            self.pull()?;
            if let Ok(transport) = self.control.open() {
                self.uhid.write_all(&create(&self.serial, transport.report_size()))?;
                self.plugged = Some(transport);
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> io::Result<()> {
        match self.plugged.take() {
            Some(_) => self.uhid.write_all(&kind::DESTROY.to_ne_bytes()),
            None => Ok(()),
        }
    }

    /// Hands the kernel what the sensor has to say now.
    fn deliver(&mut self) -> io::Result<()> {
        let Some(plugged) = &mut self.plugged else { return Ok(()) };
        let now = self.clock.deadline_in(Duration::ZERO);
        loop {
            match plugged.read_report(now) {
                Ok(Some(report)) => self.uhid.write_all(&input(&report))?,
                // Unplugged: seen on the next round.
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until the kernel wants something (`true`), the sensor has something to say, or it is time to look at the plug.
    fn wait(&self) -> io::Result<bool> {
        let longest = self.plugged.as_ref().and_then(SimPalmTransport::wakes_in).unwrap_or(LOOK).min(LOOK);
        let timeout = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        let mut polled = [PollFd::from_borrowed_fd(self.uhid.as_fd(), PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut event = Zeroizing::new(vec![0; EVENT]);
        let length = self.uhid.read(&mut event)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match read_event(&event[..length]) {
            Event::Output(report) => {
                let Some(plugged) = &mut self.plugged else { return Ok(()) };
                match plugged.write_report(report, self.clock.deadline_in(LOOK)) {
                    Ok(()) | Err(HidError::Gone) => Ok(()),
                    Err(error) => Err(io::Error::other(error)),
                }
            }
            Event::GetReport(id) => {
                let mut reply = kind::GET_REPORT_REPLY.to_ne_bytes().to_vec();
                reply.extend_from_slice(&id.to_ne_bytes());
                reply.extend_from_slice(&EIO.to_ne_bytes());
                reply.extend_from_slice(&[0, 0]);
                self.uhid.write_all(&reply)
            }
            Event::SetReport(id) => {
                let mut reply = kind::SET_REPORT_REPLY.to_ne_bytes().to_vec();
                reply.extend_from_slice(&id.to_ne_bytes());
                reply.extend_from_slice(&EIO.to_ne_bytes());
                self.uhid.write_all(&reply)
            }
            Event::Other => Ok(()),
        }
    }
}
