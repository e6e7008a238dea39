//! Traces of the simulated card: nothing personal is in them, and they can be replayed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use card_reader::contract::{Bench, CASES, Hand, replay};
use card_reader::trace::{Completeness, Event, RecordingReader, ReplayMonitor, ReplayReader, Trace};
use card_reader::{CardCapabilities, CardReader};
use jpki::{CertificateKind, IssuingProfile};
use madoguchi_sim::residue::{Needles, Sought, Value};
use madoguchi_tests::stage::{OPERATOR, Stage, Start};
use orchestrator::{Plan, ProcedureError, ProcedureReport};
use sim_card::{Card, SimReader, SimReaderControl};

/// Runs a procedure on a card from which everything has been told to the face; `wrap` stands between terminal and reader.
fn run(
    stage: &mut Stage,
    plan: Plan,
    wrap: impl FnOnce(Box<dyn CardReader>) -> Box<dyn CardReader>,
) -> Result<ProcedureReport, ProcedureError> {
    let number = stage.resident.number.clone();
    let mut terminal = stage.start_with(0, wrap)?;
    terminal.log_on(OPERATOR)?;
    terminal.run(&number, plan)
}

fn recorded(stage: &mut Stage, plan: Plan, path: &Path, is_redacted: bool) -> Trace {
    let clock = stage.clock.clone();
    run(stage, plan, |reader| {
        let recording = if is_redacted { RecordingReader::create } else { RecordingReader::unredacted };
        Box::new(recording(reader, path, clock).unwrap())
    })
    .unwrap();
    let trace = Trace::read(path).unwrap();
    assert_eq!(trace.completeness, Completeness::Complete);
    trace
}

/// Everything about the resident and the card that a trace must not tell.
fn secrets(stage: &Stage) -> Vec<Sought> {
    let resident = &stage.resident;
    let mut texts: Vec<(&str, String)> = vec![
        ("name", resident.name.clone()),
        ("alias", resident.alias.clone().unwrap()),
        ("address", resident.address.clone()),
        ("number", resident.number.clone()),
        ("birth", resident.birth.strftime("%Y%m%d").to_string()),
        ("face code", stage.persona.face_code.to_string()),
    ];
    texts.extend(stage.persona.pins.iter().map(|(_, pin)| ("PIN", pin.to_string())));
    let mut bytes = Vec::new();
    drop(stage.make_card(0, |card| {
        texts.push(("My Number", card.my_number.clone()));
        texts.push(("card serial", card.serial.clone()));
        bytes.push(("diversification data", card.diversification.to_vec()));
    }));
    let texts = texts.into_iter().map(|(label, text)| Sought { label: label.into(), value: Value::text(&text) });
    let bytes = bytes.into_iter().map(|(label, bytes)| Sought { label: label.into(), value: Value::bytes(&bytes) });
    texts.chain(bytes).collect()
}

/// What of it is in a file: in any encoding that the search for residues knows, and as numbers in an array.
fn found(stage: &Stage, path: &Path) -> Vec<String> {
    let content = fs::read(path).unwrap();
    let secrets = secrets(stage);
    let mut found = Vec::new();
    Needles::new(&secrets).unwrap().search(&content, "the trace", &mut found);
    let mut labels: Vec<String> = found.into_iter().map(|found| found.label).collect();
    // Short ones, which the search passes over; and in the form of a slice that was printed.
    let text = String::from_utf8(content).unwrap();
    for Sought { label, value } in &secrets {
        let bytes = match value {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
        };
        let digits = |separator: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
        let needles = [hex::encode(bytes), hex::encode_upper(bytes), digits(","), digits(", ")];
        if needles.iter().any(|needle| text.contains(needle)) {
            labels.push(label.clone());
        }
    }
    labels.sort();
    labels.dedup();
    labels
}

#[test]
fn nothing_personal_and_nothing_secret_is_in_the_trace_of_an_issuance() {
    let folder = tempfile::tempdir().unwrap();
    for profile in [IssuingProfile::jpki_2016(), IssuingProfile::jpki_next()] {
        let mut stage = Stage::new(&profile, Start::Fresh);
        let path = folder.path().join(&profile.name);
        let trace = recorded(&mut stage, Plan::issue(&CertificateKind::BOTH), &path, true);
        assert_eq!(found(&stage, &path), [""; 0]);
        // Of what went through the secure channel, nothing at all is shown; of what went outside, the selections.
        let mut commands = 0;
        for (_, entry, name) in trace.conversation() {
            let Event::Exchange { command, answer, .. } = &entry.event else { continue };
            assert!(name.unwrap().instruction.is_some(), "{command:?}");
            let answered = answer.as_ref().unwrap();
            let is_shown = |length, shown: Option<&[u8]>| length > 0 && shown.is_some();
            if command.header[0] & 0x04 != 0 {
                assert!(!is_shown(command.data.length(), command.data.shown()), "{command:?}");
                assert!(!is_shown(answered.data.length(), answered.data.shown()), "{command:?}");
            }
            commands += 1;
        }
        assert!(commands > 30, "{commands}");
    }
}

/// The search sees: in a trace in full, it finds what goes over the line in clear.
#[test]
fn in_a_trace_in_full_all_of_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
    recorded(&mut stage, Plan::issue(&CertificateKind::BOTH), &path, false);
    let found = found(&stage, &path);
    for label in ["address", "birth", "card serial", "diversification data", "face code", "name"] {
        assert!(found.iter().any(|found| found == label), "{label}: {found:?}");
    }
    // Inside the channel, they are enciphered.
    assert!(!found.iter().any(|found| found == "PIN"), "{found:?}");
}

/// A whole issuance, with a trace in the place of the card: terminal, authority and channel say byte for byte what they said then.
#[test]
fn an_issuance_can_be_replayed_without_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let plan = || Plan::issue(&CertificateKind::BOTH);
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
    let trace = recorded(&mut stage, plan(), &path, false);

    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
    let monitor: Arc<Mutex<Option<ReplayMonitor>>> = Arc::default();
    let clock = stage.clock.clone();
    let report = run(&mut stage, plan(), |_| {
        let replay = ReplayReader::new(trace, clock);
        *monitor.lock().unwrap_or_else(PoisonError::into_inner) = Some(replay.monitor());
        Box::new(replay)
    });
    let finished = monitor.lock().unwrap_or_else(PoisonError::into_inner).as_ref().unwrap().finish();
    assert_eq!(finished, Ok(()));
    assert_eq!(report.unwrap().certificates.len(), 2);
}

/// The hand at the simulated reader.
struct Fingers(SimReaderControl, Option<Card>);

impl Hand for Fingers {
    fn remove(&mut self) {
        self.1 = self.0.remove();
    }

    fn insert(&mut self) {
        drop(self.1.take().and_then(|card| self.0.insert(card)));
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[test]
fn the_contract_suite_holds_for_replayed_traces() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Issued);
    let card = stage.control(0).remove().unwrap();
    let mut card = Some(card);
    let extended = CardCapabilities { extended_length: true, max_command: 65_535 };
    let short = CardCapabilities { extended_length: false, max_command: 261 };
    for capabilities in [extended, short] {
        for (name, case) in CASES {
            let reader = SimReader::new("SIM-READER", stage.clock.clone()).with_capabilities(capabilities);
            let control = reader.control();
            drop(control.insert(card.take().unwrap()));
            let hand = Box::new(Fingers(control.clone(), None));
            let bench = Bench { reader: Box::new(reader), hand, clock: stage.clock.clone() };
            replay(*case, bench, &folder.path().join(format!("{name}-{}", capabilities.max_command)));
            card = control.remove();
        }
    }
}
