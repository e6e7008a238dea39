//! The sensor in this process: a HID transport with the firmware behind it, and the strings to pull.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use biometric::hid::{HidError, HidTransport, protocol};
use madoguchi_time::{Deadline, Moment, SharedClock};
use palm_vein::PalmImage;
use zeroize::Zeroizing;

use crate::firmware::{Nameplate, PalmSensorFirmware, Scene};
use crate::link::DeviceKeys;
use crate::stage::{Hand, Presentation, Stage};

/// Which way a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the host to the sensor.
    ToSensor,
    /// From the sensor to the host.
    ToHost,
}

/// What happens to a report on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is lost.
    Drop,
    /// One of its bytes is changed: the one with this number, counted modulo the report's length.
    Corrupt {
        /// Which byte.
        byte: usize,
        /// The bits that are inverted; 0 changes nothing.
        mask: u8,
    },
    /// It comes after the one that follows it, if one follows.
    Reorder,
    /// It comes twice.
    Repeat,
    /// It comes so much later; those behind it do not wait.
    Delay(Duration),
    /// The sensor is unplugged before it.
    Unplug,
}

/// A simulated sensor, plugged in. Make a [`biometric::hid::HidPalmSensor`] of it.
pub struct SimPalmTransport {
    device: Arc<Mutex<Device>>,
    /// Which time of being plugged in this is a handle of.
    plugged: u64,
    report_size: usize,
}

/// The strings of a simulated sensor. Clones pull the same ones.
#[derive(Clone)]
pub struct SimPalmControl {
    device: Arc<Mutex<Device>>,
}

struct Device {
    clock: SharedClock,
    /// `None` while unplugged.
    firmware: Option<PalmSensorFirmware<SharedStage>>,
    stage: SharedStage,
    nameplate: Nameplate,
    report_size: usize,
    broken_parts: u32,
    plugged: u64,
    /// Time since power-up, and the moment at which it was that.
    uptime: Duration,
    seen: Moment,
    faults: Vec<(Direction, u64, Fault)>,
    passed: [u64; 2],
    /// Reports that wait for the host behind one that was held up.
    in_flight: VecDeque<Zeroizing<Vec<u8>>>,
    /// Reports that are held up in a direction, and when they come, by the time since power-up.
    held_up: Vec<(Duration, Direction, Zeroizing<Vec<u8>>)>,
    /// The reports of the last answer to CAPTURE, as somebody on the line would record them.
    recording: Vec<Zeroizing<Vec<u8>>>,
    /// Does the next further report belong to it?
    records: bool,
    /// Is the next CAPTURE answered from the recording?
    replays: bool,
}

/// The stage outlives the firmware, which is gone while the sensor is unplugged.
#[derive(Clone)]
struct SharedStage(Arc<Mutex<Stage>>);

impl Scene for SharedStage {
    fn approach(&mut self) -> crate::firmware::Approach {
        lock(&self.0).approach()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plugs a simulated sensor in. `report_size` is 64 for one at full speed, up to 1,024 at high speed; `serial` should start
/// with `SIM-`, as it says what the sensor is.
#[must_use]
pub fn plug_in(clock: SharedClock, serial: &str, report_size: usize) -> (SimPalmTransport, SimPalmControl) {
    let nameplate = Nameplate {
        manufacturer: "Madoguchi".into(),
        model: "Simulated palm sensor".into(),
        serial: serial.into(),
        firmware: env!("CARGO_PKG_VERSION").into(),
    };
    let device = Device {
        seen: clock.now(),
        clock,
        firmware: None,
        stage: SharedStage(Arc::new(Mutex::new(Stage::empty()))),
        nameplate,
        report_size,
        broken_parts: 0,
        plugged: 0,
        uptime: Duration::ZERO,
        faults: Vec::new(),
        passed: [0; 2],
        in_flight: VecDeque::new(),
        held_up: Vec::new(),
        recording: Vec::new(),
        records: false,
        replays: false,
    };
    let control = SimPalmControl { device: Arc::new(Mutex::new(device)) };
    (control.plug_in_again(), control)
}

impl SimPalmControl {
    /// Holds a hand over the sensor until another is presented. Each capture is another take, counted up from `hand.take`.
    pub fn present(&self, hand: Hand) {
        self.stage(|stage| stage.rest(Presentation::Hand(hand)));
    }

    /// Has the camera see this picture from now on.
    pub fn present_image(&self, image: PalmImage) {
        self.stage(|stage| stage.rest(Presentation::Image(image)));
    }

    /// Has every capture meet this from now on.
    pub fn rest(&self, presentation: Presentation) {
        self.stage(|stage| stage.rest(presentation));
    }

    /// Takes the hand away.
    pub fn remove_hand(&self) {
        self.stage(|stage| stage.rest(Presentation::Nothing));
    }

    /// Queues what the next captures meet, one each, before the hand that stays.
    pub fn queue(&self, presentations: impl IntoIterator<Item = Presentation>) {
        self.stage(|stage| presentations.into_iter().for_each(|presentation| stage.queue(presentation)));
    }

    /// Captures that were begun.
    #[must_use]
    pub fn captures(&self) -> u64 {
        lock(&lock(&self.device).stage.0).captures()
    }

    /// Lets something happen to the report that comes after `skip` more in that direction.
    pub fn fault(&self, direction: Direction, skip: u64, fault: Fault) {
        let mut device = lock(&self.device);
        let at = device.passed[direction as usize] + skip;
        device.faults.push((direction, at, fault));
    }

    /// Reports that have gone in a direction since the sensor exists.
    #[must_use]
    pub fn reports(&self, direction: Direction) -> u64 {
        lock(&self.device).passed[direction as usize]
    }

    /// Has somebody on the line answer the next CAPTURE with the recorded answer to the last one, made out to whoever asks. The sensor never
    /// hears of it.
    pub fn replay(&self) {
        lock(&self.device).replays = true;
    }

    /// Has the self-test find these parts at fault: bits of [`biometric::hid::protocol::part`].
    pub fn break_parts(&self, parts: u32) {
        let mut device = lock(&self.device);
        device.broken_parts = parts;
        if let Some(firmware) = &mut device.firmware {
            firmware.break_parts(parts);
        }
    }

    /// Pulls the plug.
    pub fn unplug(&self) {
        lock(&self.device).unplug();
    }

    /// Plugs the sensor in, after pulling the plug if need be. Handles from before stay dead.
    #[must_use]
    pub fn plug_in_again(&self) -> SimPalmTransport {
        let mut device = lock(&self.device);
        device.unplug();
        let keys = DeviceKeys::simulated(&device.nameplate.serial);
        let mut firmware =
            PalmSensorFirmware::new(device.stage.clone(), device.nameplate.clone(), keys, device.report_size);
        firmware.break_parts(device.broken_parts);
        let (report_size, plugged) = (firmware.report_size(), device.plugged);
        device.firmware = Some(firmware);
        device.uptime = Duration::ZERO;
        drop(device);
        SimPalmTransport { device: Arc::clone(&self.device), plugged, report_size }
    }

    /// A further handle to the sensor as it is plugged in now, as several programs may have one open.
    ///
    /// # Errors
    /// [`HidError::Gone`] while it is unplugged.
    pub fn open(&self) -> Result<SimPalmTransport, HidError> {
        let device = lock(&self.device);
        let report_size = device.firmware.as_ref().ok_or(HidError::Gone)?.report_size();
        Ok(SimPalmTransport { device: Arc::clone(&self.device), plugged: device.plugged, report_size })
    }

    /// Is this a handle to the sensor as it is plugged in now?
    #[must_use]
    pub fn is_plugged(&self, handle: &SimPalmTransport) -> bool {
        lock(&self.device).of(handle.plugged).is_ok()
    }

    fn stage(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut lock(&lock(&self.device).stage.0));
    }
}

impl SimPalmTransport {
    /// How long until the sensor says something by itself; `None` if it waits for the host.
    #[must_use]
    pub fn wakes_in(&self) -> Option<Duration> {
        let mut device = lock(&self.device);
        let now = device.catch_up();
        Some(device.wakes_at(self.plugged).ok()??.saturating_sub(now))
    }
}

impl HidTransport for SimPalmTransport {
    fn report_size(&self) -> usize {
        self.report_size
    }

    fn write_report(&mut self, report: &[u8], _deadline: Deadline) -> Result<(), HidError> {
        let mut device = lock(&self.device);
        device.of(self.plugged)?;
        let mut report = Zeroizing::new(report.to_vec());
        if device.replays && is_capture(&report) {
            device.replays = false;
            device.play_recording(&report);
            return Ok(());
        }
        let copies = match device.next_fault(Direction::ToSensor) {
            Some(Fault::Drop) => 0,
            Some(Fault::Repeat) => 2,
            Some(Fault::Corrupt { byte, mask }) => {
                corrupt(&mut report, byte, mask);
                1
            }
            Some(Fault::Unplug) => {
                device.unplug();
                return Err(HidError::Gone);
            }
            Some(Fault::Delay(delay)) => {
                let comes_at = device.catch_up() + delay;
                device.held_up.push((comes_at, Direction::ToSensor, report.clone()));
                0
            }
            // A host sends one report at a time and waits: there is none to come before it.
            Some(Fault::Reorder) | None => 1,
        };
        let now = device.catch_up();
        for _ in 0..copies {
            device.of(self.plugged)?.receive(&report, now);
        }
        Ok(())
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        let mut device = lock(&self.device);
        loop {
            device.of(self.plugged)?;
            if let Some(report) = device.in_flight.pop_front() {
                return Ok(Some(report));
            }
            let now = device.catch_up();
            if let Some(position) = device.held_up.iter().position(|(comes_at, ..)| *comes_at <= now) {
                let (_, direction, report) = device.held_up.remove(position);
                match direction {
                    Direction::ToHost => return Ok(Some(report)),
                    Direction::ToSensor => device.of(self.plugged)?.receive(&report, now),
                }
                continue;
            }
            if let Some(report) = device.of(self.plugged)?.send(now) {
                device.pass_on(report);
                continue;
            }
            let left = deadline.remaining(&*device.clock);
            let until_wake = device.wakes_at(self.plugged)?.map(|at| at.saturating_sub(now));
            let step = until_wake.filter(|until| *until <= left);
            device.elapse(step.unwrap_or(left));
            if step.is_none() {
                return Ok(None);
            }
        }
    }
}

impl Device {
    /// The firmware, for the handle of the time it was plugged in.
    fn of(&mut self, plugged: u64) -> Result<&mut PalmSensorFirmware<SharedStage>, HidError> {
        let is_current = self.plugged == plugged;
        self.firmware.as_mut().filter(|_| is_current).ok_or(HidError::Gone)
    }

    /// When, by the time since power-up, the sensor or a report that is held up will have something for the host.
    fn wakes_at(&mut self, plugged: u64) -> Result<Option<Duration>, HidError> {
        let firmware = self.of(plugged)?.wakes_at();
        Ok(self.held_up.iter().map(|(comes_at, ..)| *comes_at).chain(firmware).min())
    }

    /// Answers the CAPTURE whose first report this is with the recording.
    fn play_recording(&mut self, request: &[u8]) {
        for recorded in &self.recording {
            let mut report = recorded.clone();
            report[..4].copy_from_slice(&request[..4]);
            if report[4] & protocol::FIRST != 0 {
                report[10..protocol::FIRST_HEADER].copy_from_slice(&request[10..protocol::FIRST_HEADER]);
            }
            self.in_flight.push_back(report);
        }
    }

    /// Keeps the answer to CAPTURE: its first report and those up to the next message.
    fn record(&mut self, report: &[u8]) {
        let is_first = report[4] & protocol::FIRST != 0;
        if is_capture(report) {
            self.recording.clear();
        }
        self.records = is_capture(report) || (self.records && !is_first);
        if self.records {
            self.recording.push(Zeroizing::new(report.to_vec()));
        }
    }

    fn unplug(&mut self) {
        self.firmware = None;
        self.in_flight.clear();
        self.held_up.clear();
        self.plugged += 1;
    }

    /// Time since power-up.
    fn catch_up(&mut self) -> Duration {
        let now = self.clock.now();
        self.uptime += now.since(self.seen);
        self.seen = now;
        self.uptime
    }

    /// The sensor is busy for a while. On a clock of the real world it is simply faster than a real one.
    fn elapse(&mut self, duration: Duration) {
        let before = self.catch_up();
        self.clock.elapse(duration);
        self.uptime = self.catch_up().max(before + duration);
    }

    fn next_fault(&mut self, direction: Direction) -> Option<Fault> {
        let number = self.passed[direction as usize];
        self.passed[direction as usize] += 1;
        let index = self.faults.iter().position(|(to, at, _)| *to == direction && *at == number)?;
        Some(self.faults.swap_remove(index).2)
    }

    /// Sends a report towards the host.
    fn pass_on(&mut self, mut report: Zeroizing<Vec<u8>>) {
        self.record(&report);
        match self.next_fault(Direction::ToHost) {
            Some(Fault::Drop) => {}
            Some(Fault::Repeat) => {
                self.in_flight.push_back(report.clone());
                self.in_flight.push_back(report);
            }
            Some(Fault::Corrupt { byte, mask }) => {
                corrupt(&mut report, byte, mask);
                self.in_flight.push_back(report);
            }
            Some(Fault::Reorder) => {
                let now = self.uptime;
                if let Some(follower) = self.firmware.as_mut().and_then(|firmware| firmware.send(now)) {
                    self.pass_on(follower);
                }
                self.in_flight.push_back(report);
            }
            Some(Fault::Delay(delay)) => self.held_up.push((self.uptime + delay, Direction::ToHost, report)),
            Some(Fault::Unplug) => self.unplug(),
            None => self.in_flight.push_back(report),
        }
    }
}

fn is_capture(report: &[u8]) -> bool {
    report.get(4) == Some(&(protocol::FIRST | protocol::command::CAPTURE))
}

fn corrupt(report: &mut [u8], byte: usize, mask: u8) {
    let byte = byte % report.len().max(1);
    if let Some(byte) = report.get_mut(byte) {
        *byte ^= mask;
    }
}

impl fmt::Debug for SimPalmTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPalmTransport").field("report_size", &self.report_size).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimPalmControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimPalmControl(..)")
    }
}
