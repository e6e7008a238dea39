//! Somebody on the line between host and sensor, who loses, changes, doubles, swaps and delays reports and puts in others: the host gets the
//! pictures that were taken, or an error, and in time.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::Arbitrary;
use biometric::hid::{HidError, HidPalmSensor, HidTransport};
use biometric::{CaptureOutcome, PalmImage, PalmSensor};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use madoguchi_time::{Clock, Deadline, VirtualClock};
use sim_palm_sensor::synth::Frames;
use sim_palm_sensor::{Direction, Fault, Presentation, SimPalmTransport, plug_in, trusted_by_tests};
use zeroize::Zeroizing;

/// What happens to a report.
#[derive(Arbitrary, Debug)]
struct Trouble {
    to_host: bool,
    /// Which report, counted from the start.
    at: u8,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum What {
    Drop,
    Repeat,
    Reorder,
    Corrupt {
        byte: u16,
        mask: u8,
    },
    Delay {
        ms: u16,
    },
    /// Another one is put in before it; to the host only.
    Insert(Vec<u8>),
    /// The last answer to CAPTURE is played again.
    Replay,
}

const REPORT: usize = 1024;

/// Different in each light, and short to encode.
static PICTURES: LazyLock<Frames> = LazyLock::new(|| {
    let picture = |factor: usize| {
        let pixel = |i: usize| if i < 3_000 { (i * factor % 251) as u8 } else { 0 };
        PalmImage::from_pixels((0..PalmImage::PIXELS).map(pixel).collect()).unwrap()
    };
    Frames { near_infrared: picture(7), red: picture(11) }
});

/// The line, with reports that are put in before the n-th that is read.
struct Line {
    inner: SimPalmTransport,
    inserted: Vec<(usize, Vec<u8>)>,
    read: usize,
}

impl HidTransport for Line {
    fn report_size(&self) -> usize {
        self.inner.report_size()
    }

    fn write_report(&mut self, report: &[u8], deadline: Deadline) -> Result<(), HidError> {
        self.inner.write_report(report, deadline)
    }

    fn read_report(&mut self, deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        if let Some(position) = self.inserted.iter().position(|(at, _)| *at <= self.read) {
            return Ok(Some(Zeroizing::new(self.inserted.swap_remove(position).1)));
        }
        self.read += 1;
        self.inner.read_report(deadline)
    }
}

fuzz_target!(|troubles: Vec<Trouble>| {
    let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
    let (inner, control) = plug_in(clock.clone(), "SIM-FUZZ", REPORT);
    control.rest(Presentation::Frames(PICTURES.clone()));
    let mut line = Line { inner, inserted: Vec::new(), read: 0 };
    for Trouble { to_host, at, what } in troubles.into_iter().take(24) {
        let fault = match what {
            What::Drop => Fault::Drop,
            What::Repeat => Fault::Repeat,
            What::Reorder => Fault::Reorder,
            What::Corrupt { byte, mask } => Fault::Corrupt { byte: byte.into(), mask },
            What::Delay { ms } => Fault::Delay(Duration::from_millis(ms.into())),
            What::Insert(report) => {
                line.inserted.push((at.into(), report));
                continue;
            }
            What::Replay => {
                control.replay();
                continue;
            }
        };
        let direction = if to_host { Direction::ToHost } else { Direction::ToSensor };
        control.fault(direction, (at % 80).into(), fault);
    }
    let deadline = clock.deadline_in(Duration::from_secs(60));
    if let Ok(mut sensor) = HidPalmSensor::open(line, &trusted_by_tests(), clock.clone(), deadline) {
        match sensor.capture(deadline, &mut |_| {}) {
            Ok(CaptureOutcome::Image(capture)) => {
                assert!(capture.near_infrared == PICTURES.near_infrared);
                assert!(capture.red.as_ref() == Some(&PICTURES.red));
            }
            // The hand moves and holds still: there is no reason to try again but a forged one.
            Ok(CaptureOutcome::Retry(reason)) => panic!("{reason:?}"),
            Err(_) => {}
        }
    }
    assert!(clock.elapsed() < Duration::from_secs(130), "it took {:?}", clock.elapsed());
});
