//! A host that says anything, in any order and at any time: the sensor never panics, answers in whole reports and not without end, shows no picture
//! without a link, and is of use again.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use biometric::hid::protocol::{BROADCAST, FIRST, FIRST_HEADER, NEXT_HEADER, command, link};
use libfuzzer_sys::fuzz_target;
use sim_palm_sensor::{Approach, DeviceKeys, Nameplate, PalmSensorFirmware, Scene, Sight};

const REPORT: usize = 64;
/// The most that one report may bring: an answer to FRAME_DATA, with more credits than there is picture.
const MOST_REPORTS: usize = 12_000;

/// One thing that the host does.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A report of any bytes.
    Report(Vec<u8>),
    /// A message as it should be: channel, command, number, payload.
    Message(u8, u8, u16, Vec<u8>),
    /// Nothing, for so many ms.
    Wait(u16),
}

/// A hand that is never seen.
struct Nobody;

impl Scene for Nobody {
    fn approach(&mut self) -> Approach {
        Approach { states: vec![(Duration::from_millis(300), 6)], sight: Some(Sight::Retry(6)) }
    }
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (is_linked, steps) = input;
    let text = String::new;
    let nameplate = Nameplate { manufacturer: text(), model: text(), serial: text(), firmware: text() };
    let mut sensor = PalmSensorFirmware::new(Nobody, nameplate, DeviceKeys::simulated("SIM-FUZZ"), REPORT);
    let mut now = Duration::ZERO;
    say(&mut sensor, now, BROADCAST, command::INIT, 1, &[7; 8]);
    if is_linked {
        say(&mut sensor, now, 1, command::ATTEST, 2, &attest());
    }
    for step in steps.iter().take(64) {
        match step {
            Step::Report(report) => {
                let mut report = report.clone();
                report.resize(REPORT, 0);
                sensor.receive(&report, now);
                listen(&mut sensor, now);
            }
            Step::Message(channel, command, number, payload) => {
                let channel = if *channel == 0xFF { BROADCAST } else { u32::from(*channel % 4) };
                say(&mut sensor, now, channel, command % 0x40, *number, &payload[..payload.len().min(200)]);
            }
            Step::Wait(ms) => {
                now += Duration::from_millis((*ms).into());
                listen(&mut sensor, now);
            }
        }
    }
    // Whatever it was: after half a second a new channel is given out.
    now += Duration::from_millis(500);
    listen(&mut sensor, now);
    now += Duration::from_secs(70);
    let answers = say(&mut sensor, now, BROADCAST, command::INIT, 9, &[8; 8]);
    let busy = [FIRST | command::ERROR, FIRST | command::KEEPALIVE];
    assert!(answers.iter().any(|report| report[4] == FIRST | command::INIT || busy.contains(&report[4])));
});

/// ATTEST with the base point of P-256 for a key (SEC 2 §2.4.2).
fn attest() -> Vec<u8> {
    let base = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let point = (0..base.len()).step_by(2).map(|at| u8::from_str_radix(&base[at..at + 2], 16).unwrap());
    [5; link::BLOCK].into_iter().chain(point).collect()
}

fn say(
    sensor: &mut PalmSensorFirmware<Nobody>,
    now: Duration,
    channel: u32,
    command: u8,
    number: u16,
    payload: &[u8],
) -> Vec<Vec<u8>> {
    let mut report = channel.to_be_bytes().to_vec();
    report.extend_from_slice(&[FIRST | command, 0]);
    report.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    report.extend_from_slice(&number.to_be_bytes());
    let (first, rest) = payload.split_at(payload.len().min(REPORT - FIRST_HEADER));
    report.extend_from_slice(first);
    report.resize(REPORT, 0);
    sensor.receive(&report, now);
    for (sequence, piece) in rest.chunks(REPORT - NEXT_HEADER).enumerate() {
        let mut report = channel.to_be_bytes().to_vec();
        report.extend_from_slice(&(sequence as u16).to_be_bytes());
        report.extend_from_slice(piece);
        report.resize(REPORT, 0);
        sensor.receive(&report, now);
    }
    listen(sensor, now)
}

fn listen(sensor: &mut PalmSensorFirmware<Nobody>, now: Duration) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    while let Some(report) = sensor.send(now) {
        assert_eq!(report.len(), REPORT);
        assert!(report[4] != FIRST | command::FRAME_DATA, "there is no picture");
        answers.push(report.to_vec());
        assert!(answers.len() < MOST_REPORTS);
    }
    answers
}
