//! Somebody on the line, and somebody's other sensor: no picture of theirs is taken for one of the sensor's.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use biometric::hid::protocol::{FIRST, FIRST_HEADER, command, link, part};
use biometric::hid::{
    HidConnector, HidError, HidPalmSensor, HidTransport, ReconnectingSensor, SensorPart, TrustedModels,
};
use biometric::{CaptureOutcome, PalmImage, PalmSensor, SensorError};
use jiff::Timestamp;
use madoguchi_time::{Clock, Deadline, Recovery, VirtualClock};
use sim_palm_sensor::synth::Frames;
use sim_palm_sensor::{
    Direction, Fault, Presentation, SimPalmControl, SimPalmTransport, plug_in, simulated_model, trusted_by_tests,
};
use zeroize::Zeroizing;

const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    clock: Arc<VirtualClock>,
    control: SimPalmControl,
}

impl Bench {
    fn new() -> Self {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let (_, control) = plug_in(clock.clone(), "SIM-PALM-1", 512);
        control.rest(picture(1));
        Self { clock, control }
    }

    fn deadline(&self) -> Deadline {
        self.clock.deadline_in(MINUTE)
    }

    fn open(&self) -> Result<HidPalmSensor<SimPalmTransport>, SensorError> {
        let transport = self.control.open().expect("a plugged-in sensor");
        HidPalmSensor::open(transport, &trusted_by_tests(), self.clock.clone(), self.deadline())
    }
}

/// Small enough to be quick to send, different for each number.
fn pixels(number: u8) -> PalmImage {
    let pixel = |i: usize| if i < 2_000 { (i * usize::from(number) % 251) as u8 } else { number };
    PalmImage::from_pixels((0..PalmImage::PIXELS).map(pixel).collect()).expect("as many pixels as a palm image has")
}

fn picture(number: u8) -> Presentation {
    Presentation::Frames(Frames { near_infrared: pixels(number), red: pixels(number + 100) })
}

fn take(sensor: &mut dyn PalmSensor, deadline: Deadline) -> Result<PalmImage, SensorError> {
    match sensor.capture(deadline, &mut |_| {})? {
        CaptureOutcome::Image(capture) => Ok(capture.near_infrared),
        CaptureOutcome::Retry(reason) => panic!("{reason:?}"),
    }
}

#[test]
fn a_recorded_capture_is_refused_and_the_next_one_works() {
    let bench = Bench::new();
    let mut sensor = bench.open().expect("a sensor");
    assert!(take(&mut sensor, bench.deadline()).expect("a picture") == pixels(1));
    // Played once, the recording is found out and the sensor asked again. Played each time it is asked, that is an error.
    bench.control.rest(picture(2));
    bench.control.replay();
    assert!(take(&mut sensor, bench.deadline()).expect("a picture") == pixels(2));
    let captures = bench.control.captures();
    let recorder = Recorder { bench: &bench, inner: bench.control.open().expect("a sensor") };
    let mut played_to =
        HidPalmSensor::open(recorder, &trusted_by_tests(), bench.clock.clone(), bench.deadline()).expect("a sensor");
    let refused = take(&mut played_to, bench.deadline());
    assert!(matches!(refused, Err(SensorError::NotAuthentic)), "{refused:?}");
    assert_eq!(refused.err().map(|error| error.recovery()), Some(Recovery::Reconnect));
    assert_eq!(bench.control.captures(), captures, "the sensor never heard of it");
    assert!(take(&mut sensor, bench.deadline()).expect("a picture") == pixels(2));
}

/// Answers every CAPTURE from a recording.
struct Recorder<'a> {
    bench: &'a Bench,
    inner: SimPalmTransport,
}

impl HidTransport for Recorder<'_> {
    fn report_size(&self) -> usize {
        self.inner.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        if report[4] == FIRST | command::CAPTURE {
            self.bench.control.replay();
        }
        self.inner.write_report(report, deadline)
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        self.inner.read_report(deadline)
    }
}

/// Changes every report to the host for which the command fits, at one byte.
struct Forger {
    inner: SimPalmTransport,
    /// The command whose answers are changed, and the byte of the message.
    target: (u8, usize),
    /// Is the message that arrives now one of them, and how many bytes of it were before this report?
    within: Option<usize>,
}

impl HidTransport for Forger {
    fn report_size(&self) -> usize {
        self.inner.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        self.inner.write_report(report, deadline)
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        let Some(mut report) = self.inner.read_report(deadline)? else { return Ok(None) };
        let mut header = 6;
        if report[4] & FIRST != 0 {
            header = FIRST_HEADER;
            self.within = (report[4] == FIRST | self.target.0).then_some(0);
        }
        if let Some(before) = &mut self.within {
            let size = report.len();
            if let Some(at) = self.target.1.checked_sub(*before).filter(|at| header + at < size) {
                report[header + at] ^= 0x40;
            }
            *before += size - header;
        }
        Ok(Some(report))
    }
}

#[test]
fn no_byte_of_what_the_sensor_says_can_be_changed_for_good() {
    let bench = Bench::new();
    let with = |target| {
        let forger = Forger { inner: bench.control.open().expect("a sensor"), target, within: None };
        HidPalmSensor::open(forger, &trusted_by_tests(), bench.clock.clone(), bench.deadline())
    };
    for at in (0..link::ANSWER).step_by(13) {
        assert!(matches!(with((command::ATTEST, at)), Err(SensorError::Untrusted(_))), "ATTEST, byte {at}");
    }
    for at in [0, 5, 20, 40] {
        assert!(matches!(with((command::GET_INFO, at)), Err(SensorError::NotAuthentic)), "GET_INFO, byte {at}");
    }
    // Outcome, nonce, count, number, wavelength, flags, length, digest, the second picture, MAC.
    for at in [0, 1, 32, 33, 34, 48, 52, 60, 63, 90, 110, 160, 187] {
        let mut sensor = with((command::CAPTURE, at)).expect("a sensor");
        let refused = take(&mut sensor, bench.deadline());
        assert!(matches!(refused, Err(SensorError::NotAuthentic)), "CAPTURE, byte {at}: {refused:?}");
    }
    for at in [8, 9, 400] {
        let mut sensor = with((command::FRAME_DATA, at)).expect("a sensor");
        let refused = take(&mut sensor, bench.deadline());
        assert!(matches!(refused, Err(SensorError::DamagedImage)), "FRAME_DATA, byte {at}: {refused:?}");
    }
}

#[test]
fn a_request_that_was_changed_on_its_way_gets_no_picture() {
    // Every byte of the report with CAPTURE: nonce, wait, wavelengths.
    for byte in 0..FIRST_HEADER + 41 {
        let bench = Bench::new();
        let mut sensor = bench.open().expect("a sensor");
        bench.control.fault(Direction::ToSensor, 0, Fault::Corrupt { byte, mask: 0x01 });
        let taken = take(&mut sensor, bench.deadline());
        assert!(matches!(&taken, Ok(image) if *image == pixels(1)), "byte {byte}: {taken:?}");
    }
}

#[test]
fn pictures_do_not_travel_in_the_clear() {
    let bench = Bench::new();
    // All one grey: it would stand out in whatever way it is encoded.
    let grey = PalmImage::from_pixels(vec![128; PalmImage::PIXELS]).expect("as many pixels as a palm image has");
    bench.control.present_image(grey);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Listener { inner: bench.control.open().expect("a sensor"), heard: heard.clone() };
    let mut sensor =
        HidPalmSensor::open(listener, &trusted_by_tests(), bench.clock.clone(), bench.deadline()).expect("a sensor");
    take(&mut sensor, bench.deadline()).expect("a picture");
    let heard = heard.lock().expect("no panic before");
    let mut counts = [0_usize; 256];
    heard.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let most = counts.iter().max().expect("some count");
    assert!(heard.len() > 30_000 && most * 40 < heard.len(), "{most} of {} bytes are the same", heard.len());
}

/// Hears the pieces of pictures.
struct Listener {
    inner: SimPalmTransport,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl HidTransport for Listener {
    fn report_size(&self) -> usize {
        self.inner.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        self.inner.write_report(report, deadline)
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        let report = self.inner.read_report(deadline)?;
        if let Some(report) = report.as_ref().filter(|report| report[4] & FIRST == 0) {
            self.heard.lock().expect("no panic before").extend_from_slice(&report[6..]);
        }
        Ok(report)
    }
}

#[test]
fn a_sensor_of_an_unknown_model_is_refused_before_anything_is_captured() {
    let bench = Bench::new();
    let transport = bench.control.open().expect("a plugged-in sensor");
    let refused = HidPalmSensor::open(transport, &TrustedModels::default(), bench.clock.clone(), bench.deadline());
    let error = refused.expect_err("a refusal");
    assert!(matches!(error, SensorError::Untrusted(_)) && error.recovery() == Recovery::Reconfigure, "{error:?}");
    assert_eq!(bench.control.captures(), 0);
    // A test terminal's table has the simulated model, and marks it as one for tests.
    let table = include_str!("../../../udev/devices.toml");
    let key: String = simulated_model().expect("a key").as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(table.contains(&key), "model-key = \"{key}\" is not in udev/devices.toml");
}

#[test]
fn two_programs_may_have_the_sensor_open() {
    let bench = Bench::new();
    let mut one = bench.open().expect("a sensor");
    let mut other = bench.open().expect("the same sensor");
    assert_eq!(one.attested(), other.attested());
    for number in 1..4 {
        bench.control.rest(picture(number));
        assert!(take(&mut one, bench.deadline()).expect("a picture") == pixels(number));
        assert!(take(&mut other, bench.deadline()).expect("a picture") == pixels(number));
    }
}

#[test]
fn parts_at_fault_are_named() {
    let bench = Bench::new();
    let mut sensor = bench.open().expect("a sensor");
    assert_eq!(sensor.self_test(bench.deadline()).expect("an answer"), []);
    bench.control.break_parts(part::ILLUMINATION | part::KEYS | 1 << 20);
    let broken = [SensorPart::Illumination, SensorPart::Keys, SensorPart::Other];
    assert_eq!(sensor.self_test(bench.deadline()).expect("an answer"), broken);
}

/// A socket into which the sensor may be plugged.
struct Socket {
    control: SimPalmControl,
    looks: Arc<Mutex<u32>>,
}

impl HidConnector for Socket {
    type Transport = SimPalmTransport;

    fn connect(&mut self) -> Result<SimPalmTransport, SensorError> {
        *self.looks.lock().expect("no panic before") += 1;
        Ok(self.control.open()?)
    }
}

#[test]
fn a_sensor_that_was_unplugged_or_slept_is_opened_anew_and_another_one_is_refused() {
    let bench = Bench::new();
    let looks = Arc::new(Mutex::new(0));
    let seen = || *looks.lock().expect("no panic before");
    let socket = Socket { control: bench.control.clone(), looks: looks.clone() };
    let mut sensor =
        ReconnectingSensor::open(socket, trusted_by_tests(), bench.clock.clone(), bench.deadline()).expect("a sensor");
    let identity = sensor.identity().clone();
    assert!(take(&mut sensor, bench.deadline()).is_ok());
    // Asleep and awake: plugged in again before anybody looks.
    for _ in 0..2 {
        let _awake = bench.control.plug_in_again();
        assert!(take(&mut sensor, bench.deadline()).expect("a picture") == pixels(1));
    }
    assert_eq!(seen(), 3);
    // Unplugged for a while: one look for each attempt, and then it is there again.
    bench.control.unplug();
    for attempts in 1..4 {
        assert!(matches!(take(&mut sensor, bench.deadline()), Err(SensorError::Gone)));
        assert_eq!(seen(), 3 + attempts);
    }
    let _back = bench.control.plug_in_again();
    assert!(take(&mut sensor, bench.deadline()).expect("a picture") == pixels(1));
    assert_eq!(sensor.identity(), &identity);
    // In the middle of a capture.
    bench.control.fault(Direction::ToHost, 4, Fault::Unplug);
    assert!(matches!(take(&mut sensor, bench.deadline()), Err(SensorError::Gone)));

    let (_, another) = plug_in(bench.clock.clone(), "SIM-PALM-2", 512);
    another.rest(picture(1));
    let swapped = Swapped { sockets: vec![another, bench.control.clone()] };
    let _back = bench.control.plug_in_again();
    let mut sensor =
        ReconnectingSensor::open(swapped, trusted_by_tests(), bench.clock.clone(), bench.deadline()).expect("a sensor");
    let _again = bench.control.plug_in_again();
    assert!(matches!(take(&mut sensor, bench.deadline()), Err(SensorError::Untrusted(_))));
}

/// First one sensor, then another.
struct Swapped {
    sockets: Vec<SimPalmControl>,
}

impl HidConnector for Swapped {
    type Transport = SimPalmTransport;

    fn connect(&mut self) -> Result<SimPalmTransport, SensorError> {
        let socket = if self.sockets.len() > 1 { self.sockets.pop() } else { self.sockets.first().cloned() };
        Ok(socket.expect("a socket").open()?)
    }
}
