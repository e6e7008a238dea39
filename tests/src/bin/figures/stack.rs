//! Through pcscd and a virtual reader: the terminal against itself without them, against OpenSC at the same card, and how soon
//! a card that is put in can be used.

use std::fmt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use apdu::CommandApdu;
use card_reader::{CardReader, Disposition, exchange};
use card_reader_pcsc::{ExtendedLength, PcscReader, ReaderChoice, ReaderEvent, ReaderOptions, ReaderWatch};
use jpki::card::{AID_JPKI, fid, ins};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::loops::stack::RealTime;
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use madoguchi_time::SharedClock;
use orchestrator::{Plan, Ports, Terminal};
use private_pcscd::PrivatePcscd;
use serde::{Deserialize, Serialize};
use sim_card::LinkTime;
use sim_card::vpcd::{POLL, VpcdActivity, VpcdControl, VpcdRunner};

use crate::Figures;

/// The part of this program that uses the PC/SC library: it has to be started with the way to the private pcscd.
pub(crate) const COMMAND: &str = "through-pcscd";
/// Issuances each way, in turn.
const RUNS: u32 = 15;
const INSERTIONS: u32 = 40;
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What READ BINARY reads with a short APDU.
const SHORT_PIECE: usize = 256;
/// Published times of reading 1 KB from a card in milliseconds, by line rate in kbit/s.
const PUBLISHED: [(u32, f64); 4] = [(106, 130.0), (212, 80.0), (424, 52.0), (848, 43.0)];

#[derive(Serialize, Deserialize)]
pub(crate) struct Stack {
    issuing: Issuing,
    insertion: Insertion,
    sequences: Vec<Sequence>,
    /// How well the model of the line does.
    link_model: Vec<Fit>,
}

/// One first issue of both kinds: elapsed time from the application to the erasure.
#[derive(Serialize, Deserialize)]
struct Issuing {
    runs: u32,
    in_process: Elapsed,
    through_pcscd: Elapsed,
    /// As a site can decide that knows its cards and readers.
    through_pcscd_extended: Elapsed,
    /// Fastest to fastest.
    ratio: f64,
    ratio_extended: f64,
}

#[derive(Serialize, Deserialize)]
struct Elapsed {
    fastest_ms: f64,
    median_ms: f64,
}

/// A terminal waits, and a card is put in.
#[derive(Serialize, Deserialize)]
struct Insertion {
    insertions: u32,
    /// Until pcscd has asked the reader and found the card.
    noticed: Times,
    /// Until the terminal's wait for a card has ended.
    ready: Times,
    /// Until the card has answered the terminal's first command.
    answered: Times,
    /// Of that, what comes after pcscd has found the card.
    answered_after_noticed: Times,
}

#[derive(Serialize, Deserialize)]
struct Times {
    median_ms: f64,
    max_ms: f64,
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
    /// Against the terminal's sequence with the same purpose, if there is one.
    ratio: Option<Ratio>,
}

#[derive(Serialize, Deserialize)]
struct Ratio {
    apdus: f64,
    link_106: f64,
    link_848: f64,
}

/// Reading 1 KB in four pieces.
#[derive(Serialize, Deserialize)]
struct Fit {
    kbit_per_s: u32,
    modelled_ms: f64,
    published_ms: f64,
}

impl Figures for Stack {
    const TITLE: &'static str = "Through pcscd, with vsmartcard's virtual reader";
    const METHOD: &'static str = "elapsed time; issuances all three ways in turn, RSA-2048, keys from a pool, the card in the \
        reader before; ratios of the fastest, as what else the machine does only adds; in the process the line takes extended \
        APDUs, through pcscd only where a site says so, as the card does not; insertions spread evenly over the 400 ms after which pcscd looks for a card again, so 200 ms \
        in the median and 400 ms at most are that; commands and bytes counted at the card, OpenSC in a new process each time, as \
        from a command line; certificate 1 is that for user authentication, 2 that for signatures; `card show` reads no \
        certificate, but through the secure channel what both slots hold; link time modelled: 7.5 ms for every command and 10.4 \
        bit times for every byte";
}

pub(crate) fn take() -> Stack {
    let pcscd = PrivatePcscd::start(1).expect("pcscd: tests/install-peers installs it");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args([COMMAND, pcscd.reader_name(0), &format!("127.0.0.1:{}", pcscd.port(0))]);
    let measured = pcscd.env(&mut command).output().expect("started");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    serde_json::from_slice(&measured.stdout).expect("figures")
}

/// Measures, and prints the figures for [`take`].
pub(crate) fn measure(reader: &str, vpcd: &str) {
    let place = Place { reader, vpcd, extended_length: ExtendedLength::Auto };
    let (issuing, mut sequences) = place.issuing();
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Issued);
    let clock = RealTime::shared(&stage);
    let runner = place.put_in(&stage, &clock);
    sequences.extend(place.sequences(&mut stage, &runner.control(), &clock));
    let figures = Stack {
        issuing,
        insertion: place.insertion(&runner.control(), &clock),
        sequences,
        link_model: PUBLISHED.map(|(rate, published)| Fit::new(rate, published)).into(),
    };
    println!("{}", serde_json::to_string(&figures).expect("a document"));
}

/// A virtual reader: its name in PC/SC, and where the card connects.
#[derive(Clone, Copy)]
struct Place<'a> {
    reader: &'a str,
    vpcd: &'a str,
    extended_length: ExtendedLength,
}

impl Place<'_> {
    /// With what came over the line.
    fn issuing(self) -> (Issuing, Vec<Sequence>) {
        let fresh = || Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
        // The pool's keys are made when they are wanted first.
        issue(&mut fresh(), |_| {});
        let mut in_process = Vec::new();
        let mut ways = [self, self.extended()].map(|place| (place, Vec::new(), VpcdActivity::default()));
        for _ in 0..RUNS {
            in_process.push(issue(&mut fresh(), |_| {}));
            for (place, times, passed) in &mut ways {
                let mut stage = fresh();
                let clock = RealTime::shared(&stage);
                let runner = place.put_in(&stage, &clock);
                times.push(issue(&mut stage, |ports| place.connect(ports, &clock)));
                *passed = runner.control().activity();
                place.take_out(&runner.control(), &clock);
            }
        }
        let [(_, short, passed), (_, extended, passed_extended)] = ways;
        let [in_process, through_pcscd, through_pcscd_extended] = [in_process, short, extended].map(Elapsed::of);
        let issuing = Issuing {
            runs: RUNS,
            ratio: through_pcscd.fastest_ms / in_process.fastest_ms,
            ratio_extended: through_pcscd_extended.fastest_ms / in_process.fastest_ms,
            in_process,
            through_pcscd,
            through_pcscd_extended,
        };
        let sequences = [("terminal: issue both", passed), ("terminal: issue both, extended APDUs", passed_extended)];
        (issuing, sequences.map(|(what, passed)| Sequence::new(what, passed)).into())
    }

    /// The same where a site has decided that extended-length APDUs pass.
    fn extended(self) -> Self {
        Self { extended_length: ExtendedLength::UpTo(u16::MAX), ..self }
    }

    /// Reading what was issued, with our programs and with others.
    fn sequences(self, stage: &mut Stage, control: &VpcdControl, clock: &SharedClock) -> Vec<Sequence> {
        let pin = stage.persona.pins.iter().find(|(kind, _)| *kind == CertificateKind::Signature).expect("a PIN");
        let pin = pin.1.to_string();
        let mut sequences: Vec<Sequence> = Vec::new();
        let mut count = |what: &str, ours: Option<&str>, work: &mut dyn FnMut()| {
            let before = control.activity();
            work();
            let mut sequence = Sequence::new(what, since(before, control.activity()));
            let ours = ours.and_then(|ours| sequences.iter().find(|one| one.what == ours));
            sequence.ratio = ours.map(|ours| sequence.to(ours));
            sequences.push(sequence);
        };
        let [first, second] = ["terminal's adapter: certificate 1", "terminal's adapter: certificate 2, with its PIN"];
        count("terminal's adapter: certificate 1, extended APDUs", None, &mut || {
            self.extended().read_certificate(fid::AUTH_CERTIFICATE, None, usize::MAX, clock);
        });
        count(first, None, &mut || self.read_certificate(fid::AUTH_CERTIFICATE, None, SHORT_PIECE, clock));
        let read = ["--read-certificate", "1"];
        count("pkcs15-tool --read-certificate 1", Some(first), &mut || opensc(&[], &read));
        let told = [("OPENSC_DRIVER", "jpki")];
        count("pkcs15-tool, the same, told the kind of card", Some(first), &mut || opensc(&told, &read));
        count(second, None, &mut || self.read_certificate(fid::SIGN_CERTIFICATE, Some(&pin), SHORT_PIECE, clock));
        let with_pin = ["--read-certificate", "2", "--verify-pin", "--auth-id", "2", "--pin", &pin];
        count("pkcs15-tool --read-certificate 2, with its PIN", Some(second), &mut || opensc(&[], &with_pin));
        let show = "terminal: card show";
        count(show, None, &mut || {
            let mut ports = stage.ports(0);
            self.connect(&mut ports, clock);
            logged_on(stage, ports).settle().expect("looked at");
        });
        count("pkcs15-tool --dump", Some(show), &mut || opensc(&[], &["--dump"]));
        sequences
    }

    fn insertion(self, control: &VpcdControl, clock: &SharedClock) -> Insertion {
        let [mut noticed, mut ready, mut answered, mut after] = [const { Vec::new() }; 4];
        for number in 0..INSERTIONS {
            self.take_out(control, clock);
            let mut reader = self.open(clock);
            let deadline = clock.deadline_in(PATIENCE);
            thread::scope(|scope| {
                let hand = scope.spawn(move || {
                    // pcscd has just seen that the reader is empty, and looks again after this time.
                    thread::sleep(POLL * number / INSERTIONS);
                    let put_in = Instant::now();
                    control.insert().expect("the virtual reader listens");
                    control.wait_until_seen(PATIENCE).expect("the reader asks");
                    (put_in, Instant::now())
                });
                reader.wait_for_card(deadline).expect("a card");
                let waited = Instant::now();
                let mut connection = reader.connect(deadline).expect("a card");
                let mut transaction = connection.begin(deadline).expect("nobody else is there");
                transaction.transmit(&select_application(), deadline).expect("an answer");
                let answer = Instant::now();
                transaction.end(Disposition::Reset).expect("the card is there");
                let (put_in, seen) = hand.join().expect("the hand");
                noticed.push(seen - put_in);
                ready.push(waited - put_in);
                answered.push(answer - put_in);
                after.push(answer - seen);
            });
        }
        let [noticed, ready, answered, answered_after_noticed] = [noticed, ready, answered, after].map(Times::of);
        Insertion { insertions: INSERTIONS, noticed, ready, answered, answered_after_noticed }
    }

    fn open(self, clock: &SharedClock) -> PcscReader {
        let options = ReaderOptions { extended_length: self.extended_length, ..ReaderOptions::default() };
        PcscReader::new(ReaderChoice::Named(self.reader.to_owned()), clock.clone()).with_options(options)
    }

    /// Gives a terminal this reader.
    fn connect(self, ports: &mut Ports, clock: &SharedClock) {
        ports.reader = Box::new(self.open(clock));
        ports.clock = clock.clone();
    }

    /// Puts the card of a stage into the empty reader.
    fn put_in(self, stage: &Stage, clock: &SharedClock) -> VpcdRunner {
        let runner = VpcdRunner::new(stage.control(0).remove().expect("a card"), self.vpcd);
        runner.control().insert().expect("the virtual reader listens");
        self.open(clock).wait_for_card(clock.deadline_in(PATIENCE)).expect("a card");
        runner
    }

    /// Takes the card out, and returns as soon as programs see that.
    fn take_out(self, control: &VpcdControl, clock: &SharedClock) {
        let mut watch = ReaderWatch::new(ReaderChoice::Named(self.reader.to_owned()), clock.clone());
        let deadline = clock.deadline_in(PATIENCE);
        let mut next = || watch.next_event(deadline).expect("an event");
        while !matches!(next(), ReaderEvent::CardInserted { .. }) {}
        control.remove();
        while !matches!(next(), ReaderEvent::CardRemoved { .. }) {}
    }

    /// As a program reads it that uses the terminal's adapter, with READ BINARY of so many bytes at most.
    fn read_certificate(self, file: u16, pin: Option<&str>, piece: usize, clock: &SharedClock) {
        let deadline = clock.deadline_in(PATIENCE);
        let mut reader = self.open(clock);
        reader.wait_for_card(deadline).expect("a card");
        let mut connection = reader.connect(deadline).expect("a card");
        let capabilities = connection.capabilities();
        let mut transaction = connection.begin(deadline).expect("nobody else is there");
        let mut send = |command: CommandApdu| {
            let answer = exchange(&mut *transaction, capabilities, &command, deadline).expect("an answer");
            assert!(answer.status.is_ok(), "{:?}", answer.status);
            answer.data
        };
        let select = |file: u16| CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(file.to_be_bytes());
        send(select_application());
        if let Some(pin) = pin {
            send(select(fid::SIGN_PIN));
            send(CommandApdu::new(0x00, ins::VERIFY, 0x00, 0x80).with_data(pin));
        }
        send(select(file));
        let mut read = send(CommandApdu::new(0x00, 0xB0, 0x00, 0x00).with_le(SHORT_PIECE as u32));
        // It begins with its tag and length, `30 82 LL LL`.
        let length = 4 + usize::from(u16::from_be_bytes([read[2], read[3]]));
        while read.len() < length {
            let [high, low] = u16::try_from(read.len()).expect("a short file").to_be_bytes();
            let rest = (length - read.len()).min(piece);
            read.extend_from_slice(&send(CommandApdu::new(0x00, 0xB0, high, low).with_le(rest as u32)));
        }
        transaction.end(Disposition::Reset).expect("the card is there");
        jpki::CertificateView::parse(&read).expect("a certificate");
    }
}

fn select_application() -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(AID_JPKI)
}

fn issue(stage: &mut Stage, change: impl FnOnce(&mut Ports)) -> Duration {
    let mut ports = stage.ports(0);
    change(&mut ports);
    let mut terminal = logged_on(stage, ports);
    let began = Instant::now();
    terminal.run(&stage.resident.number, Plan::issue(&CertificateKind::BOTH)).expect("issued");
    began.elapsed()
}

fn logged_on(stage: &Stage, ports: Ports) -> Terminal {
    let mut terminal = stage.start_on(ports).expect("a terminal");
    terminal.log_on(OPERATOR).expect("logged on");
    terminal
}

fn opensc(environment: &[(&str, &str)], arguments: &[&str]) {
    let mut command = Command::new("pkcs15-tool");
    command.args(arguments).env_remove("OPENSC_CONF").envs(environment.iter().copied());
    let done = command.output().expect("tests/install-peers installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What came over the line between two looks.
fn since(before: VpcdActivity, after: VpcdActivity) -> VpcdActivity {
    VpcdActivity {
        apdus: after.apdus - before.apdus,
        bytes_in: after.bytes_in - before.bytes_in,
        bytes_out: after.bytes_out - before.bytes_out,
        ..after
    }
}

/// Milliseconds of so many commands, with so many bytes both ways together.
fn link(kbit_per_s: u32, apdus: u64, bytes: u64) -> f64 {
    let all_exchanges = LinkTime::KBITS_106.per_exchange.mul_f64(apdus as f64);
    let line = LinkTime { bits_per_second: kbit_per_s * 1_000, per_exchange: all_exchanges };
    milliseconds(line.of(bytes as usize))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Elapsed {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { fastest_ms: milliseconds(times[0]), median_ms: milliseconds(times[times.len() / 2]) }
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let max = times.last().copied().unwrap_or_default();
        Self { median_ms: milliseconds(times[times.len() / 2]), max_ms: milliseconds(max) }
    }
}

impl Sequence {
    /// The card's bytes in are the program's bytes out.
    fn new(what: &str, passed: VpcdActivity) -> Self {
        let VpcdActivity { apdus, bytes_in: bytes_out, bytes_out: bytes_in, .. } = passed;
        let [link_106_ms, link_848_ms] = [106, 848].map(|rate| link(rate, apdus, bytes_out + bytes_in));
        Self { what: what.into(), apdus, bytes_out, bytes_in, link_106_ms, link_848_ms, ratio: None }
    }

    fn to(&self, other: &Self) -> Ratio {
        Ratio {
            apdus: self.apdus as f64 / other.apdus as f64,
            link_106: self.link_106_ms / other.link_106_ms,
            link_848: self.link_848_ms / other.link_848_ms,
        }
    }
}

impl Fit {
    fn new(kbit_per_s: u32, published_ms: f64) -> Self {
        const PIECES: u64 = 4;
        /// A command without data, 256 bytes of answer, a status word.
        const BYTES: u64 = 5 + 256 + 2;
        Self { kbit_per_s, modelled_ms: link(kbit_per_s, PIECES, PIECES * BYTES), published_ms }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Issuing { runs, in_process, through_pcscd, through_pcscd_extended, ratio, ratio_extended } = &self.issuing;
        writeln!(f, "  {:48} {:>8} {:>8}", format!("issue both, {runs} times"), "fastest", "median")?;
        let ways = [
            ("in the process", in_process, None),
            ("through pcscd", through_pcscd, Some(ratio)),
            ("through pcscd, extended APDUs", through_pcscd_extended, Some(ratio_extended)),
        ];
        for (name, Elapsed { fastest_ms, median_ms }, ratio) in ways {
            write!(f, "  {name:48} {fastest_ms:8.1} {median_ms:8.1} ms")?;
            match ratio {
                Some(ratio) => writeln!(f, "   {ratio:.2} × in the process")?,
                None => writeln!(f)?,
            }
        }

        let Insertion { insertions, noticed, ready, answered, answered_after_noticed } = &self.insertion;
        writeln!(f, "  {:48} {:>8} {:>8}", format!("card put in, {insertions} times"), "median", "slowest")?;
        let steps = [
            ("until pcscd notices", noticed),
            ("until the terminal's wait ends", ready),
            ("until the card's first answer", answered),
            ("  of that after pcscd has noticed", answered_after_noticed),
        ];
        for (name, Times { median_ms, max_ms }) in steps {
            writeln!(f, "  {name:48} {median_ms:8.1} {max_ms:8.1} ms")?;
        }

        writeln!(
            f,
            "  {:48} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "", "APDUs", "bytes out", "bytes in", "106 kbit", "848 kbit"
        )?;
        for one in &self.sequences {
            let Sequence { what, apdus, bytes_out, bytes_in, link_106_ms, link_848_ms, ratio } = one;
            write!(
                f,
                "  {what:48} {apdus:>8} {bytes_out:>9} {bytes_in:>9} {link_106_ms:>6.0} ms {link_848_ms:>6.0} ms"
            )?;
            match ratio {
                Some(Ratio { apdus, link_106, link_848 }) => {
                    writeln!(f, "   {apdus:.1} × ours in APDUs, {link_106:.1} × and {link_848:.1} × in link time")?
                }
                None => writeln!(f)?,
            }
        }
        for Fit { kbit_per_s, modelled_ms, published_ms } in &self.link_model {
            let name = format!("1 KB in four pieces at {kbit_per_s} kbit/s");
            writeln!(f, "  {name:48} {modelled_ms:8.1} ms modelled, {published_ms:.0} ms published")?;
        }
        Ok(())
    }
}
