//! The line between host and sensor under faults: a picture arrives as it was taken, or there is a clear error.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use biometric::hid::protocol::{self, command, error};
use biometric::hid::{HidError, HidPalmSensor, HidTransport, decode_med_rice};
use biometric::{
    CaptureEvent, CaptureOutcome, EnrolError, MatchingVerifier, PalmImage, PalmSensor, PalmVerifier, RetryReason,
    SensorError, Verification,
};
use jiff::Timestamp;
use madoguchi_time::{Clock, Deadline, VirtualClock};
use proptest::collection::vec;
use proptest::prelude::*;
use sim_palm_sensor::synth::Frames;
use sim_palm_sensor::{
    Approach, DeviceKeys, Direction, Fault, Hand, Nameplate, PalmSensorFirmware, Presentation, Scene, SimPalmControl,
    SimPalmTransport, encode_med_rice, plug_in, trusted_by_tests,
};
use zeroize::Zeroizing;

const MINUTE: Duration = Duration::from_secs(60);
/// As at high speed: a small picture takes two pieces of it, and the loops are quick.
const REPORT: usize = 1024;

struct Bench {
    clock: Arc<VirtualClock>,
    control: SimPalmControl,
    transport: Option<SimPalmTransport>,
}

impl Bench {
    fn new(report_size: usize) -> Self {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let (transport, control) = plug_in(clock.clone(), "SIM-PALM-1", report_size);
        Self { clock, control, transport: Some(transport) }
    }

    fn deadline(&self) -> Deadline {
        self.clock.deadline_in(MINUTE)
    }

    fn open(&mut self) -> Result<HidPalmSensor<SimPalmTransport>, SensorError> {
        let transport = self.transport.take().unwrap_or_else(|| self.control.plug_in_again());
        HidPalmSensor::open(transport, &trusted_by_tests(), self.clock.clone(), self.deadline())
    }
}

/// A picture that is quick to send: a striped square on black.
fn small_picture() -> PalmImage {
    let pixel = |i: usize| {
        let (x, y) = (i % PalmImage::WIDTH, i / PalmImage::WIDTH);
        if x < 96 && y < 80 { (x * 7 % 31 + y * 3 % 17 + 60) as u8 } else { 0 }
    };
    PalmImage::from_pixels((0..PalmImage::PIXELS).map(pixel).collect()).expect("as many pixels as a palm image has")
}

/// The other one that is taken with it.
fn red_picture() -> PalmImage {
    PalmImage::from_pixels(small_picture().pixels().iter().map(|pixel| pixel / 2).collect()).expect("as many pixels")
}

fn both_pictures() -> Presentation {
    Presentation::Frames(Frames { near_infrared: small_picture(), red: red_picture() })
}

/// The one pair of pictures that may come of a capture: `true` if it came, `false` if there was an error.
fn arrived(outcome: Result<CaptureOutcome, SensorError>, what: &dyn std::fmt::Debug) -> bool {
    match outcome {
        Ok(CaptureOutcome::Image(capture)) => {
            assert!(capture.near_infrared == small_picture(), "a wrong picture after {what:?}");
            assert!(capture.red == Some(red_picture()), "a wrong red picture after {what:?}");
            true
        }
        Ok(CaptureOutcome::Retry(reason)) => panic!("{reason:?} after {what:?}"),
        Err(_) => false,
    }
}

/// Opens the sensor and takes the picture that is presented, with these faults on the way.
fn capture_with(faults: &[(Direction, u64, Fault)]) -> bool {
    let mut bench = Bench::new(REPORT);
    bench.control.rest(both_pictures());
    for (direction, skip, fault) in faults {
        bench.control.fault(*direction, *skip, *fault);
    }
    match bench.open() {
        Err(_) => false,
        Ok(mut sensor) => {
            let outcome = sensor.capture(bench.deadline(), &mut |_| {});
            let arrived = arrived(outcome, &faults);
            // Whatever else happened, the sensor is of use again.
            let again = sensor.capture(bench.deadline(), &mut |_| {});
            let may_fail = faults.len() > 1 || matches!(faults, [(_, _, Fault::Unplug)]);
            assert!(may_fail || again.is_ok(), "{again:?} after {faults:?}");
            arrived
        }
    }
}

#[test]
fn one_fault_at_every_report_spoils_no_picture() {
    let mut bench = Bench::new(REPORT);
    bench.control.rest(both_pictures());
    let mut sensor = bench.open().expect("a sensor");
    assert!(arrived(sensor.capture(bench.deadline(), &mut |_| {}), &"no fault"));
    let reports = [Direction::ToSensor, Direction::ToHost].map(|to| (to, bench.control.reports(to)));

    let (mut tried, mut delivered) = (0, 0);
    for (direction, reports) in reports {
        for n in 0..reports {
            for fault in [Fault::Drop, Fault::Reorder, Fault::Repeat, Fault::Delay(Duration::from_millis(700))] {
                assert!(capture_with(&[(direction, n, fault)]), "no picture after {direction:?} {n} {fault:?}");
            }
            // Every byte of a header is hit somewhere, and payload too.
            let corrupt = Fault::Corrupt { byte: n as usize * 5 % 41, mask: 1 << (n % 8) };
            delivered += u32::from(capture_with(&[(direction, n, corrupt)]));
            // The last thing the host says is that the picture may be wiped.
            let has_picture = direction == Direction::ToSensor && n + 1 == reports;
            assert_eq!(capture_with(&[(direction, n, Fault::Unplug)]), has_picture, "unplugged at {direction:?} {n}");
            tried += 1;
        }
    }
    println!("{tried} reports, {delivered} pictures delivered although one of them was corrupted");
    assert!(tried > 30 && delivered * 10 > tried * 9);
}

#[test]
fn a_stream_of_faults_ends_in_an_error_not_in_a_loop() {
    let everything = |fault: Fault| (0..2_000).map(|n| (Direction::ToHost, n, fault)).collect::<Vec<_>>();
    assert!(!capture_with(&everything(Fault::Drop)));
    assert!(!capture_with(&everything(Fault::Corrupt { byte: 30, mask: 0x55 })));
}

#[test]
fn every_capture_fetches_its_own_picture_and_the_sensor_keeps_none() {
    let mut bench = Bench::new(1024);
    let mut sensor = bench.open().expect("a sensor");
    bench.control.queue([
        Presentation::Hand(Hand::of_person(1)),
        Presentation::Retry(RetryReason::Moving),
        both_pictures(),
    ]);
    let began = bench.clock.elapsed();
    let hand = sensor.capture(bench.deadline(), &mut |_| {}).expect("a picture");
    let took = bench.clock.elapsed() - began;
    assert!(took >= Duration::from_millis(1000) && took < Duration::from_millis(1500), "a capture took {took:?}");
    assert!(matches!(hand, CaptureOutcome::Image(capture) if capture.near_infrared != small_picture()));
    let moving = sensor.capture(bench.deadline(), &mut |_| {}).expect("an answer");
    assert!(matches!(moving, CaptureOutcome::Retry(RetryReason::Moving)));
    let small = sensor.capture(bench.deadline(), &mut |_| {}).expect("a picture");
    assert!(matches!(small, CaptureOutcome::Image(capture) if capture.near_infrared == small_picture()));
    let nothing = sensor.capture(bench.deadline(), &mut |_| {}).expect("an answer");
    assert!(matches!(nothing, CaptureOutcome::Retry(RetryReason::NoHand)));
    assert_eq!(bench.control.captures(), 4);
}

#[test]
fn a_plugged_in_sensor_is_a_new_one_to_the_host() {
    let mut bench = Bench::new(64);
    bench.control.present(Hand::of_person(3));
    let mut verifier = MatchingVerifier::new(bench.open().expect("a sensor"));
    let enrolled = verifier.enrol(bench.deadline(), &mut |_| {}).expect("templates");
    bench.control.unplug();
    let gone = verifier.verify(&enrolled, bench.deadline(), &mut |_| {});
    assert!(matches!(gone, Err(SensorError::Gone)));
    let mut again = MatchingVerifier::new(bench.open().expect("the sensor, plugged in again"));
    let gone = verifier.verify(&enrolled, bench.deadline(), &mut |_| {});
    assert!(matches!(gone, Err(SensorError::Gone)), "the old handle stays dead");

    let mut events = Vec::new();
    bench.control.queue([Presentation::Retry(RetryReason::TooNear), Presentation::Hand(Hand::of_person(4))]);
    let answer = again.verify(&enrolled, bench.deadline(), &mut |event| events.push(event));
    assert!(matches!(answer, Ok(Verification::Match)));
    events.retain(|event| !matches!(event, CaptureEvent::Hand(_)));
    let begin = |number| CaptureEvent::Begin { number, of: 3 };
    let retry = CaptureEvent::Retry(RetryReason::TooNear);
    let expected = [begin(1), retry, begin(2), CaptureEvent::NotRecognised, begin(3), CaptureEvent::Accepted];
    assert_eq!(events, expected);
}

#[test]
fn enrolment_takes_one_palm_only() {
    let mut bench = Bench::new(1024);
    let mut verifier = MatchingVerifier::new(bench.open().expect("a sensor"));
    bench.control.present(Hand::of_person(6));
    bench.control.queue([Presentation::Hand(Hand::of_person(5))]);
    let refused = verifier.enrol(bench.deadline(), &mut |_| {});
    assert!(matches!(refused, Err(EnrolError::Inconsistent)), "{refused:?}");
    bench.control.queue((0..8).map(|_| Presentation::Retry(RetryReason::TooDark)));
    let refused = verifier.enrol(bench.deadline(), &mut |_| {});
    assert!(matches!(refused, Err(EnrolError::Unusable(RetryReason::TooDark))), "{refused:?}");
}

/// The example of the protocol's specification, §6.
#[test]
fn the_codec_keeps_to_its_specification() {
    let pixels = [130, 131, 131, 129, 130, 130, 200, 0, 130, 129, 128, 128];
    let stream = [0x1C, 0x85, 0x50, 0x01, 0xF3, 0x3A, 0x8C, 0x00, 0x0E, 0x37, 0xBF];
    assert_eq!(encode_med_rice(&pixels, 4)[..], stream);
    assert_eq!(decode_med_rice(&stream, 4, 3).expect("a whole stream")[..], pixels);
}

/// The example of the protocol's specification, §4.1.
#[test]
fn the_firmware_gives_out_channels_as_specified() {
    let mut request = vec![0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0, 0, 0, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    request.resize(64, 0);
    let mut answer = vec![0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0, 0, 0, 0, 14, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 1, 1];
    answer.resize(64, 0);
    let mut firmware = firmware();
    firmware.receive(&request, Duration::ZERO);
    assert_eq!(firmware.send(Duration::ZERO).as_deref(), Some(&answer));
    assert_eq!(firmware.send(Duration::ZERO), None);
}

/// A device that answers with whatever reports it was given, over and over, until time is up.
struct Babbler {
    clock: Arc<VirtualClock>,
    reports: Vec<Vec<u8>>,
    next: usize,
}

impl HidTransport for Babbler {
    fn report_size(&self) -> usize {
        64
    }

    fn write_report(&mut self, _report: &[u8], _deadline: Deadline) -> Result<(), HidError> {
        Ok(())
    }

    fn read_report(&mut self, _deadline: Deadline) -> Result<Option<Zeroizing<Vec<u8>>>, HidError> {
        self.clock.advance(Duration::from_millis(10));
        let report = self.reports.get(self.next % self.reports.len().max(1)).cloned();
        self.next += 1;
        Ok(report.map(Zeroizing::new))
    }
}

struct Nobody;

impl Scene for Nobody {
    fn approach(&mut self) -> Approach {
        Approach { states: Vec::new(), sight: None }
    }
}

fn firmware() -> PalmSensorFirmware<Nobody> {
    let name = || "x".repeat(300);
    let nameplate = Nameplate { manufacturer: name(), model: name(), serial: name(), firmware: name() };
    PalmSensorFirmware::new(Nobody, nameplate, DeviceKeys::simulated("SIM-"), 64)
}

/// Reports that look like some: the right length, a channel that may exist, a command that may too.
fn plausible_report() -> impl Strategy<Value = Vec<u8>> {
    let channel = prop_oneof![Just(protocol::BROADCAST), 0..4_u32];
    let kind = prop_oneof![0x80..0xC0_u8, 0..2_u8];
    (channel, kind, any::<[u8; 7]>(), vec(any::<u8>(), 52), 0..64_u8).prop_map(
        |(channel, kind, head, payload, length)| {
            let mut report = channel.to_be_bytes().to_vec();
            report.push(kind);
            report.extend_from_slice(&head);
            report.extend_from_slice(&payload);
            if length < 48 {
                report[5..10].copy_from_slice(&[0, 0, 0, 0, length]);
            }
            report
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn several_faults_spoil_no_picture(
        faults in vec((any::<bool>(), 0..60_u64, 0..5_u8, 0..REPORT, 1..=255_u8), 1..8),
    ) {
        let faults: Vec<_> = faults.into_iter().map(|(to_host, skip, fault, byte, mask)| {
            let direction = if to_host { Direction::ToHost } else { Direction::ToSensor };
            let fault = match fault {
                0 => Fault::Drop,
                1 => Fault::Reorder,
                2 => Fault::Repeat,
                3 => Fault::Delay(Duration::from_millis(mask.into()) * 4),
                _ => Fault::Corrupt { byte, mask },
            };
            (direction, skip, fault)
        }).collect();
        // Asserts that no wrong picture arrives.
        capture_with(&faults);
    }

    #[test]
    fn the_codec_gives_back_what_it_got(
        width in 1..40_usize,
        rows in vec(vec(any::<u8>(), 40), 1..20),
        smooth in any::<bool>(),
    ) {
        let pixel = |(i, &value): (usize, &u8)| if smooth { (i * 3) as u8 ^ (value & 3) } else { value };
        let pixels: Vec<u8> = rows.iter().flat_map(|row| row[..width].iter().enumerate().map(pixel)).collect();
        let stream = encode_med_rice(&pixels, width);
        prop_assert_eq!(&*decode_med_rice(&stream, width, rows.len()).expect("a whole stream"), &pixels);
        prop_assert!(decode_med_rice(&stream[..stream.len() - 1], width, rows.len()).is_err());
        let mut longer = stream.to_vec();
        longer.push(0);
        prop_assert!(decode_med_rice(&longer, width, rows.len()).is_err());
    }

    #[test]
    fn the_decoder_takes_any_bytes(stream in vec(any::<u8>(), 0..600), width in 0..70_usize, height in 0..70_usize) {
        if let Ok(pixels) = decode_med_rice(&stream, width, height) {
            prop_assert_eq!(pixels.len(), width * height);
        }
        prop_assert!(decode_med_rice(&stream, usize::MAX, height + 2).is_err());
    }

    #[test]
    fn the_host_takes_any_reports(reports in vec(prop_oneof![vec(any::<u8>(), 0..80), plausible_report()], 1..30)) {
        let clock = VirtualClock::at(Timestamp::UNIX_EPOCH);
        let babbler = Babbler { clock: clock.clone(), reports, next: 0 };
        let deadline = clock.deadline_in(Duration::from_secs(3));
        prop_assert!(HidPalmSensor::open(babbler, &trusted_by_tests(), clock.clone(), deadline).is_err());
        prop_assert!(clock.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn the_firmware_takes_any_reports(
        reports in vec((prop_oneof![vec(any::<u8>(), 0..80), plausible_report()], 0..700_u64), 1..40),
    ) {
        let mut firmware = firmware();
        let mut now = Duration::ZERO;
        for (report, pause) in reports {
            firmware.receive(&report, now);
            if report.len() != 64 {
                let answer = std::iter::from_fn(|| firmware.send(now)).last().expect("an answer");
                prop_assert_eq!(answer[4], protocol::FIRST | command::ERROR);
                prop_assert_eq!(answer[protocol::FIRST_HEADER], error::INVALID_LENGTH);
            }
            now += Duration::from_millis(pause);
            while let Some(sent) = firmware.send(now) {
                prop_assert_eq!(sent.len(), 64);
            }
        }
    }
}
