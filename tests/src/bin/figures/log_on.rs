//! 照合情報認証 end to end: user ID, a capture in HID reports, extraction, comparison, log entry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use biometric::hid::HidPalmSensor;
use biometric::{
    CaptureEvent, EnrolError, EnrolledTemplates, MatchingVerifier, PalmVerifier, SensorError, SensorIdentity,
    Verification,
};
use jpki::IssuingProfile;
use madoguchi_tests::palm::ScriptedPalmReader;
use madoguchi_tests::stage::{MANAGER, OPERATOR};
use madoguchi_tests::{Stage, Start};
use madoguchi_time::{Clock, Deadline};
use orchestrator::{EnrolOrder, Role, SecondPerson, Terminal};
use serde::Serialize;
use sim_palm_sensor::synth::Level;
use sim_palm_sensor::{Direction, Hand, SimPalmTransport, plug_in, trusted_by_tests};

use crate::Figures;
use crate::rsa_peer::Rsa;
use crate::stopwatch::{Stopwatch, Timed};

const RUNS: u32 = 20;
/// Bytes of a HID report of a sensor at high speed.
const REPORT: usize = 1_024;
/// 照合ID of somebody with a real palm.
const PERSON: &str = "0500";
/// Takes from this one on are those of log-ons.
const LOG_ON_TAKE: u64 = 100;

#[derive(Serialize)]
pub(crate) struct LogOn {
    runs: u32,
    log_on_ms: f64,
    sensor_ms: f64,
    hsm_ms: f64,
    terminal_ms: f64,
    reports: u64,
    report_bytes: usize,
    captures: f64,
    /// Against one RSA-2048 signature of crate rsa.
    terminal_to_rsa_signature: f64,
}

impl Figures for LogOn {
    const TITLE: &'static str = "Log-on with a palm, end to end through HID reports";
    const METHOD: &'static str = "processor time; mean of 20 log-ons at a terminal with its state folder in memory; watches at the HID \
        transport and at the HSM; the sensor simulator renders and compresses a picture for every capture; reports of 1,024 \
        bytes, both ways together; RSA: signatures of crate rsa, timed alone between the log-ons";
}

pub(crate) fn take() -> LogOn {
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
    let (sensor, hsm, all) = <(Stopwatch, Stopwatch, Stopwatch)>::default();
    let deadline = stage.clock.deadline_in(Duration::from_secs(10));
    let (transport, hand) = plug_in(stage.clock.clone(), "SIM-PALM-FIGURES", REPORT);
    let transport = Timed { port: transport, watch: sensor.clone() };
    let opened = HidPalmSensor::open(transport, &trusted_by_tests(), stage.clock.clone(), deadline).expect("a sensor");
    let palm_counts = Arc::new(AtomicBool::new(false));
    let mut ports = stage.ports(0);
    ports.hsm = Arc::new(Timed { port: ports.hsm, watch: hsm.clone() });
    ports.verifier = Box::new(Relay {
        scripted: stage.palms.reader(),
        real: MatchingVerifier::new(opened),
        palm_counts: palm_counts.clone(),
    });
    let mut terminal = stage.start_on(ports).expect("a terminal");

    terminal.log_on(MANAGER).expect("logged on");
    let second = terminal.second_person(OPERATOR).expect("a second person");
    palm_counts.store(true, Ordering::Relaxed);
    hand.present(Hand { level: Level::L0, ..Hand::of_person(1) });
    enrol(&mut terminal, second);

    let reports = || hand.reports(Direction::ToSensor) + hand.reports(Direction::ToHost);
    let (reports_before, captures_before) = (reports(), hand.captures());
    let before = [&sensor, &hsm].map(Stopwatch::read);
    let mut rsa = Rsa::new();
    hand.present(Hand { take: LOG_ON_TAKE, ..Hand::of_person(1) });
    for _ in 0..RUNS {
        all.time(|| terminal.log_on(PERSON)).expect("logged on");
        rsa.work();
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mean = |time: Duration| milliseconds(time) / f64::from(RUNS);
    let (log_on_ms, sensor_ms, hsm_ms) =
        (mean(all.read()), mean(sensor.read() - before[0]), mean(hsm.read() - before[1]));
    let terminal_ms = log_on_ms - sensor_ms - hsm_ms;
    LogOn {
        runs: RUNS,
        log_on_ms,
        sensor_ms,
        hsm_ms,
        terminal_ms,
        reports: (reports() - reports_before) / u64::from(RUNS),
        report_bytes: REPORT,
        captures: (hand.captures() - captures_before) as f64 / f64::from(RUNS),
        terminal_to_rsa_signature: terminal_ms / milliseconds(rsa.signature()),
    }
}

fn enrol(terminal: &mut Terminal, second: SecondPerson) {
    let order = EnrolOrder { user_id: PERSON.into(), operator_id: "counter".into(), role: Role::Operator };
    terminal.enrol_operator(order, Some(second)).expect("enrolled");
}

impl fmt::Display for LogOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, figure: f64, unit: &str| writeln!(f, "  {name:44} {figure:8.2} {unit}");
        line("log-on", self.log_on_ms, "ms")?;
        line("  sensor simulator", self.sensor_ms, "ms")?;
        line("  software HSM of the terminal", self.hsm_ms, "ms")?;
        line("  terminal", self.terminal_ms, "ms")?;
        line("terminal / RSA-2048 signature", self.terminal_to_rsa_signature, "×")?;
        writeln!(f, "  {:44} {:8} in {:.2} captures", "HID reports", self.reports, self.captures)
    }
}

/// The stage's palm reader, by which its manager was enrolled, until a palm counts; then the sensor.
struct Relay {
    scripted: ScriptedPalmReader,
    real: MatchingVerifier<HidPalmSensor<Timed<SimPalmTransport>>>,
    palm_counts: Arc<AtomicBool>,
}

impl Relay {
    fn now(&mut self) -> &mut dyn PalmVerifier {
        if self.palm_counts.load(Ordering::Relaxed) { &mut self.real } else { &mut self.scripted }
    }
}

impl PalmVerifier for Relay {
    fn identity(&self) -> &SensorIdentity {
        self.real.identity()
    }

    fn verify(
        &mut self,
        enrolled: &EnrolledTemplates,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<Verification, SensorError> {
        self.now().verify(enrolled, deadline, observer)
    }

    fn enrol(
        &mut self,
        deadline: Deadline,
        observer: &mut dyn FnMut(CaptureEvent),
    ) -> Result<EnrolledTemplates, EnrolError> {
        self.now().enrol(deadline, observer)
    }
}
