//! What goes over the lines in one procedure.

use std::fmt;

use authority::store::IssueKey;
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, CountingReader, Traffic,
};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use madoguchi_time::Deadline;
use orchestrator::{Plan, ProcedureReport, Progress};
use serde::Serialize;

use crate::Figures;
use crate::bound::{Line, Payload, lower_bound};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

/// One figure for each procedure and line.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct AllTraffic(Vec<ProcedureTraffic>);

#[derive(Serialize)]
struct ProcedureTraffic {
    procedure: &'static str,
    line: &'static str,
    card: Counts,
    lower_bound: Counts,
    /// Measured to lower bound.
    apdus_ratio: f64,
    bytes_ratio: f64,
    authority: Messages,
}

#[derive(Clone, Copy, Serialize)]
struct Counts {
    apdus: u64,
    bytes_out: u64,
    bytes_in: u64,
}

#[derive(Default, Serialize)]
struct Messages {
    messages: u64,
    bytes_out: usize,
    bytes_in: usize,
}

impl Figures for AllTraffic {
    const TITLE: &'static str = "What one procedure sends and receives, certificates of both kinds, RSA-2048";
    const METHOD: &'static str = "counted at the card reader port and at the line to the authority; lower bound: every \
        command that docs/protocols/card-issuing.md demands, once, in one card transaction, with padding and MACs of \
        SCP03 level 33, computed from the lengths of what this run issued";
}

pub(crate) fn take() -> AllTraffic {
    let procedures = [("first issue", Start::Fresh), ("renewal", Start::Issued)];
    let lines = [("extended", Line::Extended), ("short", Line::Short)];
    let all = procedures.iter().flat_map(|procedure| lines.iter().map(move |line| measure(*procedure, *line)));
    AllTraffic(all.collect())
}

fn measure((procedure, start): (&'static str, Start), (name, line): (&'static str, Line)) -> ProcedureTraffic {
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), start);
    let told = stage.record();
    let mut ports = stage.ports(0);
    let reader = CountingReader::new(LimitedReader { inner: ports.reader, line });
    let meter = reader.meter();
    ports.reader = Box::new(reader);
    let plan = if start == Start::Issued { Plan::renew(&BOTH) } else { Plan::issue(&BOTH) };
    let number = stage.resident.number.clone();
    let mut terminal = stage.start_on(ports).expect("a terminal");
    terminal.log_on(OPERATOR).expect("logged on");
    let report = terminal.run(&number, plan).expect("issued");

    let told = told.lock().expect("what was told");
    let bound = lower_bound(&payload(&stage, &report, &told, start == Start::Issued), line);
    let card = meter.read();
    let is_bound = bound.apdus <= card.apdus && bound.bytes_out <= card.bytes_out && bound.bytes_in <= card.bytes_in;
    assert!(is_bound, "{card:?} is below its lower bound {bound:?}");
    let bytes = |traffic: Traffic| (traffic.bytes_out + traffic.bytes_in) as f64;
    ProcedureTraffic {
        procedure,
        line: name,
        card: card.into(),
        lower_bound: bound.into(),
        apdus_ratio: card.apdus as f64 / bound.apdus as f64,
        bytes_ratio: bytes(card) / bytes(bound),
        authority: messages(&told),
    }
}

/// The lengths of what had to cross in this run.
fn payload(stage: &Stage, report: &ProcedureReport, told: &[Progress], renewal: bool) -> Payload {
    // READ BINARY, which is used for 基本4情報 alone.
    let holder = told.iter().filter_map(|progress| match progress {
        Progress::Apdu { header, received, .. } if header.starts_with("00B0") => Some(received - 2),
        _ => None,
    });
    let certificates = report.certificates.iter().map(|issued| {
        let serial = u64::from_str_radix(&issued.serial, 16).expect("a serial number");
        let issue = stage.authority.store().issue(IssueKey::Serial(issued.kind, serial)).expect("a store");
        let pin = stage.persona.pins.iter().find(|(kind, _)| *kind == issued.kind).expect("a PIN");
        (pin.1.len(), issue.expect("an issue").certificate)
    });
    let certificates: Vec<(usize, Vec<u8>)> = certificates.collect();
    let (_, any) = certificates.first().expect("a certificate");
    Payload {
        face_code: stage.persona.face_code.len(),
        holder: holder.sum(),
        public_key: jpki::CertificateView::parse(any).expect("a certificate").spki.len(),
        kinds: certificates.iter().map(|(pin, certificate)| (*pin, certificate.len())).collect(),
        renewal,
    }
}

fn messages(told: &[Progress]) -> Messages {
    let mut all = Messages::default();
    for progress in told {
        if let Progress::Message { sent, received, .. } = progress {
            all.messages += 1;
            all.bytes_out += sent;
            all.bytes_in += received;
        }
    }
    all
}

impl From<Traffic> for Counts {
    fn from(traffic: Traffic) -> Self {
        Self { apdus: traffic.apdus, bytes_out: traffic.bytes_out, bytes_in: traffic.bytes_in }
    }
}

impl fmt::Display for AllTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:28} {:>6} {:>10} {:>10}", "card", "APDUs", "bytes out", "bytes in")?;
        for one in &self.0 {
            let Counts { apdus, bytes_out, bytes_in } = one.card;
            let name = format!("{}, {} APDUs", one.procedure, one.line);
            writeln!(f, "  {name:28} {apdus:>6} {bytes_out:>10} {bytes_in:>10}")?;
            let Counts { apdus, bytes_out, bytes_in } = one.lower_bound;
            let ratios = format!("{:.2} × in APDUs, {:.2} × in bytes", one.apdus_ratio, one.bytes_ratio);
            writeln!(f, "  {:28} {apdus:>6} {bytes_out:>10} {bytes_in:>10}   {ratios}", "  lower bound")?;
        }
        writeln!(f, "  {:28} {:>6} {:>10} {:>10}", "authority", "pairs", "bytes out", "bytes in")?;
        for one in self.0.iter().filter(|one| one.line == "extended") {
            let Messages { messages, bytes_out, bytes_in } = one.authority;
            writeln!(f, "  {:28} {messages:>6} {bytes_out:>10} {bytes_in:>10}", one.procedure)?;
        }
        Ok(())
    }
}

// ---------------------------------------------------------------- a reader that passes what a line passes

struct LimitedReader {
    inner: Box<dyn CardReader>,
    line: Line,
}

struct LimitedConnection<'a> {
    inner: Box<dyn CardConnection + 'a>,
    line: Line,
}

impl CardReader for LimitedReader {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.inner.wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        Ok(Box::new(LimitedConnection { inner: self.inner.connect(deadline)?, line: self.line }))
    }
}

impl CardConnection for LimitedConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        let capabilities = self.inner.capabilities();
        CardCapabilities {
            extended_length: capabilities.extended_length && self.line == Line::Extended,
            ..capabilities
        }
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        self.inner.begin(deadline)
    }
}
