//! The sensor's strings as lines of text, and the sensor as a device of the kernel.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use biometric::hid::{HidError, HidPalmSensor, HidTransport};
use biometric::{CaptureOutcome, PalmImage, PalmSensor, RetryReason, SensorError};
use jiff::Timestamp;
use madoguchi_time::{Clock, Deadline, SystemClock, VirtualClock};
use sim_palm_sensor::control::{ControlError, VOCABULARY, converse, obey};
use sim_palm_sensor::synth::Frames;
use sim_palm_sensor::uhid::{self, UhidSensor, kind, report_descriptor};
use sim_palm_sensor::{Presentation, SimPalmControl, plug_in, trusted_by_tests};
use zeroize::Zeroizing;

#[test]
fn every_word_of_the_vocabulary_does_what_it_says() {
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", 1024);
    let say = |line: &str| obey(&control, line).expect(line);
    let deadline = || clock.deadline_in(Duration::from_secs(60));
    let open = |transport| HidPalmSensor::open(transport, &trusted_by_tests(), clock.clone(), deadline());
    let mut sensor = open(transport).expect("a sensor");
    let mut capture = || sensor.capture(deadline(), &mut |_| {});
    let is_image = |outcome| matches!(outcome, Ok(CaptureOutcome::Image(_)));

    say("HAND 417 L0 left take 3");
    assert!(is_image(capture()));
    say("ARTEFACT office-print 417 L0");
    assert!(is_image(capture()));
    say("RETRY too-near");
    assert!(matches!(capture(), Ok(CaptureOutcome::Retry(RetryReason::TooNear))));
    say("ERROR 127");
    assert!(matches!(capture(), Err(SensorError::Refused { code: 127 })));
    let disturbances =
        ["DROP host 3", "REPEAT sensor 1", "REORDER host 20", "CORRUPT host 30 100 255", "DELAY host 25 700"];
    for line in disturbances.into_iter().chain(["DELAY sensor 0 700", "REPLAY"]) {
        say(line);
        assert!(is_image(capture()), "{line}");
    }
    say("NOTHING");
    assert!(matches!(capture(), Ok(CaptureOutcome::Retry(RetryReason::NoHand))));
    assert!(say("STATUS").is_some_and(|told| told.starts_with("captures ")));
    say("UNPLUG");
    assert!(matches!(capture(), Err(SensorError::Gone)));
    say("PLUG");
    say("BREAK 2");
    let mut sensor = open(control.open().expect("it is plugged in")).expect("a sensor");
    assert_eq!(sensor.self_test(deadline()).expect("an answer").len(), 1);

    for (line, error) in [
        ("", ControlError::TooFew),
        ("hand 1", ControlError::UnknownCommand),
        ("HAND", ControlError::TooFew),
        ("HAND x", ControlError::BadWord),
        ("HAND 1 L4", ControlError::BadWord),
        ("ARTEFACT mirror 1", ControlError::BadWord),
        ("ERROR 256", ControlError::BadWord),
        ("DROP both 1", ControlError::BadWord),
        ("CORRUPT host 1 2", ControlError::TooFew),
        ("UNPLUG now", ControlError::TooMany),
    ] {
        assert_eq!(obey(&control, line), Err(error), "{line}");
    }
    let commands =
        ["HAND", "ARTEFACT", "NOTHING", "RETRY", "ERROR", "DROP", "CORRUPT", "DELAY", "REPLAY", "BREAK", "PLUG"];
    assert!(commands.iter().all(|command| VOCABULARY.contains(command)));

    let mut answers = Vec::new();
    converse(&control, &b"NOTHING\nnothing\n"[..], &mut answers).expect("answers");
    assert_eq!(String::from_utf8(answers).expect("text"), "ok\nerror unknown command\n");
}

/// The kernel's side of `/dev/uhid`, as far as a program sees it that has the hidraw device open.
struct Kernel {
    uhid: File,
    report_size: usize,
}

impl Kernel {
    fn event(&mut self) -> (u32, Vec<u8>) {
        let mut event = vec![0; uhid::EVENT];
        let length = self.uhid.read(&mut event).expect("an event");
        event.truncate(length);
        let kind = u32::from_ne_bytes(event[..4].try_into().expect("four bytes"));
        (kind, event)
    }

    fn tell(&mut self, kind: u32, payload: &[u8]) {
        // The kernel always hands out a whole event.
        let mut event = kind.to_ne_bytes().to_vec();
        event.extend_from_slice(payload);
        event.resize(uhid::EVENT, 0);
        self.uhid.write_all(&event).expect("taken");
    }
}

impl HidTransport for Kernel {
    fn report_size(&self) -> usize {
        self.report_size
    }

    fn write_report(&mut self, report: &[u8], _deadline: Deadline) -> Result<(), HidError> {
        let mut payload = vec![0];
        payload.extend_from_slice(report);
        let length = payload.len() as u16;
        payload.resize(uhid::DATA, 0);
        payload.extend_from_slice(&length.to_ne_bytes());
        payload.push(1);
        self.tell(kind::OUTPUT, &payload);
        Ok(())
    }

    fn read_report(&mut self, _deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        match self.event() {
            (kind::INPUT2, event) => {
                let length = usize::from(u16::from_ne_bytes([event[4], event[5]]));
                Ok(Some(Zeroizing::new(event[6..6 + length].to_vec())))
            }
            (kind::DESTROY, _) => Err(HidError::Gone),
            (other, _) => panic!("event {other}"),
        }
    }
}

#[test]
fn the_sensor_is_a_device_of_the_kernel() {
    for report_size in [64, 1024] {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
        theirs.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let clock = SystemClock::shared();
        let (_, control) = plug_in(clock.clone(), "SIM-PALM-U", report_size);
        // Made at once: nobody waits for it in real time.
        let image = PalmImage::from_pixels(vec![90; PalmImage::PIXELS]).expect("as many pixels as a palm image has");
        control.rest(Presentation::Frames(Frames { near_infrared: image.clone(), red: image }));
        let stops = Arc::new(AtomicBool::new(false));
        let runner = {
            let (stops, control) = (stops.clone(), control.clone());
            let clock = clock.clone();
            thread::spawn(move || {
                let mut sensor = UhidSensor::new(File::from(OwnedFd::from(ours)), control, "SIM-PALM-U", clock);
                sensor.run(&mut || !stops.load(Ordering::Relaxed))
            })
        };
        let mut kernel = Kernel { uhid: File::from(OwnedFd::from(theirs)), report_size };
        is_created(&mut kernel, report_size);
        // Questions that this device has no answer to.
        kernel.tell(kind::GET_REPORT, &7_u32.to_ne_bytes());
        let (reply, event) = kernel.event();
        assert_eq!((reply, &event[4..10]), (kind::GET_REPORT_REPLY, &[7, 0, 0, 0, 5, 0][..]));
        kernel.tell(kind::SET_REPORT, &8_u32.to_ne_bytes());
        assert_eq!(kernel.event().0, kind::SET_REPORT_REPLY);

        capture_and_unplug(kernel, &control, clock, report_size);
        stops.store(true, Ordering::Relaxed);
        runner.join().expect("no panic").expect("no error");
    }
}

/// The device is as `docs/protocols/palm-sensor.md` §2 says.
fn is_created(kernel: &mut Kernel, report_size: usize) {
    let (created, event) = kernel.event();
    assert_eq!(created, kind::CREATE2);
    assert!(event[4..].starts_with(b"Madoguchi simulated palm sensor\0"));
    assert!(event[4 + 128 + 64..].starts_with(b"SIM-PALM-U\0"));
    let numbers = &event[4 + 256..];
    let length = usize::from(u16::from_ne_bytes([numbers[0], numbers[1]]));
    assert_eq!(&numbers[2..12], &[3, 0, 0x09, 0x12, 0, 0, 1, 0, 0, 0][..], "USB, 1209:0001");
    assert_eq!(&numbers[20..20 + length], report_descriptor(report_size));
    kernel.tell(kind::START, &[0; 8]);
    kernel.tell(kind::OPEN, &[]);
}

fn capture_and_unplug(kernel: Kernel, control: &SimPalmControl, clock: Arc<dyn Clock>, report_size: usize) {
    let deadline = clock.deadline_in(Duration::from_secs(60));
    let fresh = Fresh { kernel, is_drained: false };
    let mut sensor = HidPalmSensor::open(fresh, &trusted_by_tests(), clock.clone(), deadline).expect("a sensor");
    assert_eq!(sensor.identity().serial, "SIM-PALM-U");
    let taken = sensor.capture(deadline, &mut |_| {});
    assert!(matches!(&taken, Ok(CaptureOutcome::Image(capture)) if capture.red.is_some()), "{report_size}: {taken:?}");
    control.unplug();
    assert!(matches!(sensor.capture(deadline, &mut |_| {}), Err(SensorError::Gone)));
}

/// A device that has said nothing yet: there is nothing to drain.
struct Fresh {
    kernel: Kernel,
    is_drained: bool,
}

impl HidTransport for Fresh {
    fn report_size(&self) -> usize {
        self.kernel.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        self.kernel.write_report(report, deadline)
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        if std::mem::replace(&mut self.is_drained, true) { self.kernel.read_report(deadline) } else { Ok(None) }
    }
}
