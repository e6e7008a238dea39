//! The terminal through pcscd against the same in the process, and against OpenSC at the same card.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use apdu::CommandApdu;
use card_reader::{CardReader, Disposition, exchange};
use card_reader_pcsc::{PcscReader, ReaderChoice};
use jpki::card::{AID_JPKI, fid};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::loops::stack::RealTime;
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use madoguchi_time::SharedClock;
use orchestrator::{Plan, Ports};
use private_pcscd::PrivatePcscd;
use serde::{Deserialize, Serialize};
use sim_card::LinkTime;
use sim_card::vpcd::{VpcdActivity, VpcdControl, VpcdRunner};

use crate::Figures;

/// The part of this program that uses the PC/SC library: it has to be started with the way to the private pcscd.
pub(crate) const COMMAND: &str = "through-pcscd";
const RUNS: usize = 10;
const INSERTIONS: usize = 20;
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
pub(crate) struct Stack {
    /// One first issue of both kinds, keys from a pool: medians.
    in_process_ms: f64,
    through_pcscd_ms: f64,
    ratio: f64,
    /// From putting the card in until a transaction has begun: median and slowest.
    insertion_to_ready_ms: f64,
    insertion_to_ready_max_ms: f64,
    sequences: Vec<Sequence>,
}

/// What a program and the card exchange for one purpose.
#[derive(Serialize, Deserialize)]
struct Sequence {
    what: String,
    apdus: u64,
    bytes_out: u64,
    bytes_in: u64,
    /// What the line between reader and card would take.
    link_106_ms: f64,
    link_848_ms: f64,
}

impl Figures for Stack {
    const TITLE: &'static str = "Through pcscd, with vsmartcard's virtual reader";
    const METHOD: &'static str = "elapsed time, medians of 10 issuances and 20 insertions (pcscd looks for a card every 400 ms); counted \
        at the card; link time modelled: 7.5 ms for each exchange and 10.4 bit times for each byte";
}

pub(crate) fn take() -> Stack {
    let pcscd = PrivatePcscd::start(1).expect("pcscd: tests/install-peers installs it");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args([COMMAND, pcscd.reader_name(0), &format!("127.0.0.1:{}", pcscd.port(0))]);
    let measured = pcscd.env(&mut command).output().expect("started");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    serde_json::from_slice(&measured.stdout).expect("figures")
}

/// Measures, and prints the figures.
pub(crate) fn measure(reader: &str, vpcd: &str) {
    // The pool's keys are made when they are wanted first.
    issue(&mut stage(), |_| {});
    let in_process_ms = median((0..RUNS).map(|_| issue(&mut stage(), |_| {})).collect());
    let mut times = Vec::new();
    let mut issuing = None;
    let mut last = None;
    for _ in 0..RUNS {
        let mut stage = stage();
        let clock = RealTime::shared(&stage);
        // The card of the run before leaves first.
        drop(last.take());
        let runner = VpcdRunner::new(stage.control(0).remove().expect("a card"), vpcd);
        insert(&runner.control(), reader, &clock);
        times.push(issue(&mut stage, |ports| {
            ports.reader = Box::new(open(reader, &clock));
            ports.clock = clock.clone();
        }));
        issuing = Some(runner.control().activity());
        last = Some((stage, runner));
    }
    let through_pcscd_ms = median(times);
    let ((stage, runner), issuing) = last.zip(issuing).expect("a run");
    let control = runner.control();
    let clock = RealTime::shared(&stage);

    let pin = |kind| stage.persona.pins.iter().find(|(of, _)| *of == kind).map(|(_, pin)| pin.to_string());
    let pin = pin(CertificateKind::Signature).expect("a PIN");
    let mut sequences = vec![Sequence::new("terminal: issue both", VpcdActivity::default(), issuing)];
    let mut count = |what: &str, work: &dyn Fn()| {
        let before = control.activity();
        work();
        sequences.push(Sequence::new(what, before, control.activity()));
    };
    count("terminal's adapter: read the certificate for user authentication", &|| read_certificate(reader, &clock));
    count("pkcs15-tool --read-certificate 1", &|| opensc(&["--read-certificate", "1"]));
    let with_pin = ["--read-certificate", "2", "--verify-pin", "--auth-id", "2", "--pin", &pin];
    count("pkcs15-tool --read-certificate 2, with the PIN", &|| opensc(&with_pin));
    count("pkcs15-tool --dump", &|| opensc(&["--dump"]));

    let insertions: Vec<f64> = (0..INSERTIONS).map(|_| insert(&control, reader, &clock)).collect();
    let figures = Stack {
        in_process_ms,
        through_pcscd_ms,
        ratio: through_pcscd_ms / in_process_ms,
        insertion_to_ready_max_ms: insertions.iter().copied().fold(0.0, f64::max),
        insertion_to_ready_ms: median(insertions),
        sequences,
    };
    println!("{}", serde_json::to_string(&figures).expect("a document"));
}

fn stage() -> Stage {
    Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh)
}

fn open(reader: &str, clock: &SharedClock) -> PcscReader {
    PcscReader::new(ReaderChoice::Named(reader.to_owned()), clock.clone())
}

/// Milliseconds from the application to the erasure.
fn issue(stage: &mut Stage, change: impl FnOnce(&mut Ports)) -> f64 {
    let mut ports = stage.ports(0);
    change(&mut ports);
    let mut terminal = stage.start_on(ports).expect("a terminal");
    terminal.log_on(OPERATOR).expect("logged on");
    let began = Instant::now();
    terminal.run(&stage.resident.number, Plan::issue(&CertificateKind::BOTH)).expect("issued");
    milliseconds(began)
}

/// Milliseconds until a card that is put in can be used. It is taken out first, and the reader is seen to be empty.
fn insert(control: &VpcdControl, reader: &str, clock: &SharedClock) -> f64 {
    control.remove();
    let mut reader = open(reader, clock);
    // Until pcscd has noticed that it is gone, there is a card that can't be opened any more.
    while let Ok(()) = reader.wait_for_card(clock.deadline_in(Duration::from_millis(1))) {}
    let began = Instant::now();
    control.insert().expect("the virtual reader listens");
    let deadline = clock.deadline_in(PATIENCE);
    reader.wait_for_card(deadline).expect("a card");
    let mut connection = reader.connect(deadline).expect("a card");
    let transaction = connection.begin(deadline).expect("nobody else is there");
    let time = milliseconds(began);
    transaction.end(Disposition::Reset).expect("the card is there");
    time
}

/// As a client of the terminal's own adapter reads it.
fn read_certificate(reader: &str, clock: &SharedClock) {
    let deadline = clock.deadline_in(PATIENCE);
    let mut reader = open(reader, clock);
    reader.wait_for_card(deadline).expect("a card");
    let mut connection = reader.connect(deadline).expect("a card");
    let capabilities = connection.capabilities();
    let mut transaction = connection.begin(deadline).expect("nobody else is there");
    let mut send = |command: CommandApdu| {
        let answer = exchange(&mut *transaction, capabilities, &command, deadline).expect("an answer");
        assert!(answer.status.is_ok(), "{:?}", answer.status);
        answer.data
    };
    send(CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI));
    send(CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(fid::AUTH_CERTIFICATE.to_be_bytes()));
    let head = send(CommandApdu::new(0x00, 0xB0, 0x00, 0x00).with_le(256));
    let length = 4 + usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut read = head.len();
    while read < length {
        let [high, low] = u16::try_from(read).expect("a short file").to_be_bytes();
        read += send(CommandApdu::new(0x00, 0xB0, high, low).with_le((length - read).min(256) as u32)).len();
    }
    transaction.end(Disposition::Reset).expect("the card is there");
}

fn opensc(arguments: &[&str]) {
    let done = Command::new("pkcs15-tool").args(arguments).output().expect("tests/install-peers installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

impl Sequence {
    fn new(what: &str, before: VpcdActivity, after: VpcdActivity) -> Self {
        let apdus = after.apdus - before.apdus;
        let (out, back) = (after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out);
        let link = |bits_per_second| {
            let bytes = LinkTime { bits_per_second, per_exchange: Duration::ZERO }.of((out + back) as usize);
            (bytes + LinkTime::KBITS_106.per_exchange * apdus as u32).as_secs_f64() * 1e3
        };
        let (link_106_ms, link_848_ms) = (link(106_000), link(848_000));
        Self { what: what.into(), apdus, bytes_out: out, bytes_in: back, link_106_ms, link_848_ms }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, figure: f64, unit: &str| writeln!(f, "  {name:44} {figure:8.2} {unit}");
        line("issue both, in the process", self.in_process_ms, "ms")?;
        line("issue both, through pcscd", self.through_pcscd_ms, "ms")?;
        line("  to in the process", self.ratio, "×")?;
        line("card put in until ready", self.insertion_to_ready_ms, "ms")?;
        line("  slowest", self.insertion_to_ready_max_ms, "ms")?;
        let columns = ["APDUs", "bytes out", "bytes in", "ms at 106", "ms at 848 kbit/s"];
        writeln!(
            f,
            "  {:66} {:>6} {:>9} {:>9} {:>9} {:>16}",
            "", columns[0], columns[1], columns[2], columns[3], columns[4]
        )?;
        for one in &self.sequences {
            let Sequence { what, apdus, bytes_out, bytes_in, link_106_ms, link_848_ms } = one;
            writeln!(f, "  {what:66} {apdus:>6} {bytes_out:>9} {bytes_in:>9} {link_106_ms:>9.0} {link_848_ms:>16.0}")?;
        }
        Ok(())
    }
}
