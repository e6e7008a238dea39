//! The figures of `make bench`: counts, and ratios against something measured in the same run. Times depend on the machine,
//! ratios and counts hardly do.

#![allow(clippy::expect_used, reason = "a figure that can't be taken is no figure")]

use std::hint::black_box;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apdu::{CommandApdu, ResponseApdu};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use hsm::{Hsm, KeyKind, KeyName, SignatureAlgorithm};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use madoguchi_time::{Deadline, SystemClock};
use orchestrator::{Plan, ProcedureReport};
use palm_vein::{MATCH_THRESHOLD, extract};
use sim_hsm::{Provision, SoftwareHsm};
use sim_palm_sensor::synth::{Level, MICROMETRES_PER_PIXEL, PalmSeeds, Side, SyntheticPalm, Veins};

const BOTH: [CertificateKind; 2] = CertificateKind::BOTH;

fn main() {
    traffic();
    terminal_time();
    throughput();
    palms();
    memory();
}

// ---------------------------------------------------------------- counts

fn traffic() {
    println!("Card traffic of one procedure, both certificates, extended length");
    for (name, start, plan) in
        [("first issue", Start::Fresh, Plan::issue(&BOTH)), ("renewal", Start::Issued, Plan::renew(&BOTH))]
    {
        let report = issue(start, plan);
        println!(
            "  {name:12} {} APDUs, {} bytes out, {} bytes in, {} messages",
            report.apdus, report.bytes_out, report.bytes_in, report.messages
        );
    }
    let bound = LowerBound::of_first_issue();
    println!("  {:12} {} APDUs, {} bytes out, {} bytes in", "lower bound", bound.apdus, bound.out, bound.back);
}

fn issue(start: Start, plan: Plan) -> ProcedureReport {
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), start);
    stage.run(0, plan).expect("issued")
}

/// What a first issue of both kinds can't do without, in one card transaction: every command of the agreement once, with
/// the data that it must carry. The terminal needs a second transaction, because it holds no card while the resident types
/// PINs: that is the difference.
#[derive(Default)]
struct LowerBound {
    apdus: u64,
    out: u64,
    back: u64,
}

impl LowerBound {
    /// Header and extended Lc and Le (ISO/IEC 7816-4 §5.1).
    const HEADER: u64 = 4 + 3 + 2;
    /// C-MAC, R-MAC: 8 bytes in S8 mode.
    const MAC: u64 = 8;
    const BLOCK: u64 = 16;
    const STATUS_WORD: u64 = 2;

    fn of_first_issue() -> Self {
        // RSA-2048: SubjectPublicKeyInfo 294 bytes, signature 256; the certificates as they are measured on a real card.
        const SPKI: u64 = 294;
        const SIGNATURE: u64 = 256;
        const DIGEST_INFO: u64 = 51;
        const NAME: u64 = 32;
        const STATUS: u64 = 30;
        let mut bound = Self::default();
        // Serial: SELECT, SELECT, READ RECORD. Holder: SELECT, SELECT, VERIFY, SELECT, READ BINARY. Channel: SELECT,
        // INITIALIZE UPDATE, EXTERNAL AUTHENTICATE.
        for (out, back) in
            [(10, 0), (2, 0), (0, 30), (10, 0), (2, 0), (14, 0), (2, 0), (0, 100), (10, 0), (8, 32), (16, 0)]
        {
            bound.plain(out, back);
        }
        for certificate in [1_758, 1_590] {
            bound.wrapped(0, STATUS);
            bound.wrapped(4, 0); // SET INITIAL PIN
            bound.wrapped(4, 0); // VERIFY
            bound.wrapped(16, NAME); // GENERATE
            bound.wrapped(0, SPKI);
            bound.wrapped(DIGEST_INFO, SIGNATURE); // possession
            bound.wrapped(2 * NAME + certificate, 0); // WRITE
            bound.wrapped(0, certificate); // read back
            bound.wrapped(DIGEST_INFO, SIGNATURE); // exercise
            bound.wrapped(NAME, 0); // COMMIT
        }
        bound
    }

    fn plain(&mut self, out: u64, back: u64) {
        self.apdus += 1;
        self.out += 5 + out;
        self.back += back + Self::STATUS_WORD;
    }

    /// Data are padded to a block and one MAC is added, each way (GlobalPlatform Amendment D §6.2).
    fn wrapped(&mut self, out: u64, back: u64) {
        let padded = |bytes: u64| if bytes == 0 { 0 } else { (bytes / Self::BLOCK + 1) * Self::BLOCK };
        self.apdus += 1;
        self.out += Self::HEADER + padded(out) + Self::MAC;
        self.back += padded(back) + Self::MAC + Self::STATUS_WORD;
    }
}

// ---------------------------------------------------------------- time

fn terminal_time() {
    const RUNS: u32 = 10;
    let (mut total, mut card, mut authority) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..RUNS {
        let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
        let number = stage.resident.number.clone();
        let at_card: Arc<Mutex<Duration>> = Arc::default();
        let timed = at_card.clone();
        let mut terminal =
            stage.start_with(0, |reader| Box::new(TimedReader { reader, spent: timed })).expect("a terminal");
        terminal.log_on(OPERATOR).expect("logged on");
        let answered_before = stage.post.answering();
        let begun = Instant::now();
        terminal.run(&number, Plan::issue(&BOTH)).expect("issued");
        total += begun.elapsed();
        card += *at_card.lock().expect("a time");
        authority += stage.post.answering() - answered_before;
    }
    let own = (total - card - authority) / RUNS;
    let rsa = rsa_signature() * 6;
    println!("Time of one first issue, keys from a pool, {RUNS} runs");
    println!(
        "  all {:.1?}, of it card simulator {:.1?}, authority {:.1?}",
        total / RUNS,
        card / RUNS,
        authority / RUNS
    );
    println!(
        "  terminal alone {own:.1?}; six RSA-2048 signatures (four on the card, two of the authorities) {rsa:.1?}"
    );
    println!("  terminal / RSA {:.2}", own.as_secs_f64() / rsa.as_secs_f64());
    match openssl_rsa_signatures() {
        Some(rate) => println!(
            "  RSA-2048 signature of the simulators against `openssl speed`: {:.2}",
            1.0 / rsa_signature().as_secs_f64() / rate
        ),
        None => println!("  `openssl` is not here: no peer for RSA"),
    }
}

fn rsa_signature() -> Duration {
    const RUNS: u32 = 40;
    let key = KeyName::new("rsa");
    let provision = Provision::empty("figures", [1; 32]).with_key(key.clone(), KeyKind::Rsa2048);
    let hsm = SoftwareHsm::in_memory(&provision).expect("an HSM");
    let deadline = SystemClock::shared().deadline_in(Duration::from_secs(60));
    let begun = Instant::now();
    for message in 0..RUNS {
        let signed = hsm.sign(&key, SignatureAlgorithm::RsaPkcs1Sha256, &message.to_be_bytes(), deadline);
        black_box(signed.expect("a signature"));
    }
    begun.elapsed() / RUNS
}

/// Signatures per second by `openssl speed`, on one core.
fn openssl_rsa_signatures() -> Option<f64> {
    let output = Command::new("openssl").args(["speed", "-mr", "-seconds", "1", "rsa2048"]).output().ok()?;
    // `+F2:<number>:<bits>:<signatures per second>:<verifications per second>`
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find(|line| line.starts_with("+F2:"))?.split(':').nth(3)?.parse().ok()
}

fn throughput() {
    const SECONDS: u64 = 5;
    let (mut issued, mut spent) = (0_u32, Duration::ZERO);
    while spent < Duration::from_secs(SECONDS) {
        let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
        let begun = Instant::now();
        stage.run(0, Plan::issue(&BOTH)).expect("issued");
        spent += begun.elapsed();
        issued += 1;
    }
    println!(
        "Complete simulated issuances of both certificates per second on one core: {:.1}",
        f64::from(issued) / spent.as_secs_f64()
    );
}

fn palms() {
    const PICTURES: u64 = 40;
    let palm = SyntheticPalm::new(PalmSeeds::of_person(1, Side::Right));
    let (mut render, mut extraction, mut comparison, mut matched) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    let enrolled = extract(&palm.photograph(Level::L1, 0, Veins::Normal), MICROMETRES_PER_PIXEL)
        .expect("a good picture")
        .template();
    for take in 1..=PICTURES {
        let begun = Instant::now();
        let picture = palm.photograph(Level::L1, take, Veins::Normal);
        render += begun.elapsed();
        let begun = Instant::now();
        let probe = extract(&picture, MICROMETRES_PER_PIXEL);
        extraction += begun.elapsed();
        let Ok(probe) = probe else { continue };
        let begun = Instant::now();
        matched += u32::from(probe.similarity(&enrolled) >= MATCH_THRESHOLD);
        comparison += begun.elapsed();
    }
    let each = |time: Duration| time / u32::try_from(PICTURES).expect("few");
    println!(
        "Palm, level 1: picture {:.1?}, extraction {:.1?}, 1:1 comparison {:.2?}; {matched} of {PICTURES} matched",
        each(render),
        each(extraction),
        each(comparison)
    );
}

fn memory() {
    let program = std::env::current_exe().expect("a path").with_file_name("madoguchi-sim");
    let folder = std::env::temp_dir().join(format!("madoguchi-figures-{}", std::process::id()));
    let demo = Command::new(&program).args(["demo", "--json", "--state"]).arg(&folder).output();
    // The world was made for this figure alone.
    let _ = std::fs::remove_dir_all(&folder);
    let Ok(output) = demo else {
        println!("Peak memory: build madoguchi-sim first");
        return;
    };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    let bytes = report["peak_memory_bytes"].as_u64().unwrap_or_default();
    println!("Peak memory of the demo's terminal process: {:.1} MB, ok: {}", bytes as f64 / 1e6, report["ok"]);
}

// ---------------------------------------------------------------- a reader that looks at its watch

struct TimedReader {
    reader: Box<dyn CardReader>,
    spent: Arc<Mutex<Duration>>,
}

struct TimedConnection<'a> {
    connection: Box<dyn CardConnection + 'a>,
    spent: Arc<Mutex<Duration>>,
}

struct TimedTransaction<'a> {
    transaction: Box<dyn CardTransaction + 'a>,
    spent: Arc<Mutex<Duration>>,
}

impl CardReader for TimedReader {
    fn name(&self) -> &str {
        self.reader.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.reader.wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let connection = self.reader.connect(deadline)?;
        Ok(Box::new(TimedConnection { connection, spent: self.spent.clone() }))
    }
}

impl CardConnection for TimedConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        self.connection.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        self.connection.capabilities()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        let transaction = self.connection.begin(deadline)?;
        Ok(Box::new(TimedTransaction { transaction, spent: self.spent.clone() }))
    }
}

impl CardTransaction for TimedTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let begun = Instant::now();
        let answer = self.transaction.transmit(command, deadline);
        *self.spent.lock().expect("a time") += begun.elapsed();
        answer
    }

    fn was_reset(&self) -> bool {
        self.transaction.was_reset()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.transaction.end(how)
    }
}
