//! What people and machines see, compared with files in `golden/`. To write them anew after a change that is meant:
//! `MADOGUCHI_WRITE_GOLDEN=1 cargo test -p cli --test views`, and look at the difference.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use card_reader::trace::Trace;
use cli::{
    CardTraffic, CertificateFace, CertificateSummary, Explanation, HumanView, Language, LogSummary, Messages, Proof,
    Proved, Reached, Report, Residue, Screen, Summary, Timings, TraceView,
};
use jpki::CertificateKind::{self, Authentication, Signature};
use orchestrator::{KeyChangeStep, KeyOrigin, ProcedureError, ProcedureReport, Progress, Settlement, SlotFound, Step};

const COLUMNS: usize = 88;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn view(language: Language, verbose: bool) -> (Paper, HumanView) {
    let paper = Paper::default();
    let screen = Screen::plain(Box::new(paper.clone()), COLUMNS);
    (paper, HumanView::new(screen, Arc::new(Messages::new(language)), verbose))
}

fn compare(name: &str, seen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("MADOGUCHI_WRITE_GOLDEN").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, golden, "{name}: if this is meant, see the head of this test");
    assert!(!seen.contains("{$") && !seen.contains("{ $"), "an argument is missing");
}

fn slot(kind: CertificateKind, active: bool, pending: bool) -> SlotFound {
    SlotFound { kind, active, pending, pending_slot: true, key_origin: KeyOrigin::Card }
}

fn steps(kind: CertificateKind, times: &[(Step, u64)]) -> Vec<Progress> {
    times
        .iter()
        .flat_map(|(step, elapsed_ms)| {
            [
                Progress::StepStarted { kind, step: *step },
                Progress::StepDone { kind, step: *step, elapsed_ms: *elapsed_ms },
            ]
        })
        .collect()
}

/// Everything that can happen, most of it in one unlucky procedure.
fn everything() -> Vec<Progress> {
    let mut all = vec![
        Progress::LogOnRefused,
        Progress::InterruptionFound { open_intents: 1 },
        Progress::CaptureRetried { capture: 1, reason: "too-near".into() },
        Progress::CaptureRetried { capture: 2, reason: "moving".into() },
        Progress::LoggedOn { operator: "0417".into(), captures: 3, elapsed_ms: 2_340 },
        Progress::SecondPerson { operator: "0500".into(), captures: 1, elapsed_ms: 910 },
        Progress::ApplicationTaken { kinds: vec![Authentication, Signature], substituted: 2, elapsed_ms: 12 },
        Progress::CardRecognised {
            slots: vec![slot(Authentication, true, true), slot(Signature, false, false)],
            elapsed_ms: 130,
        },
        Progress::Settled { kind: Authentication, how: Settlement::Committed },
        Progress::Settled { kind: Authentication, how: Settlement::ConfirmedAndCommitted },
        Progress::Settled { kind: Authentication, how: Settlement::Superseded },
        Progress::Settled { kind: Signature, how: Settlement::Discarded },
        Progress::CardRecognised {
            slots: vec![slot(Authentication, false, false), slot(Signature, false, false)],
            elapsed_ms: 95,
        },
        Progress::CardRecognised {
            slots: vec![SlotFound { pending_slot: false, ..slot(Authentication, true, false) }],
            elapsed_ms: 95,
        },
    ];
    all.extend(steps(Authentication, &[(Step::Pin, 40)]));
    all.extend(steps(Signature, &[(Step::Pin, 50)]));
    all.extend(steps(
        Authentication,
        &[
            (Step::GenerateKey, 4_930),
            (Step::Request, 80),
            (Step::Check, 1),
            (Step::Write, 60),
            (Step::Exercise, 110),
            (Step::Confirm, 70),
            (Step::Commit, 30),
            (Step::Supersede, 2_000),
        ],
    ));
    all.extend(steps(Signature, &[(Step::ImportKey, 1_400), (Step::GenerateKey, 700)]));
    all.extend([
        Progress::StepStarted { kind: Signature, step: Step::Request },
        Progress::AuthorityRetried { attempt: 2 },
        Progress::Message { kind: "ir".into(), sent: 1_804, received: 2_950 },
        Progress::Apdu { header: "84140101".into(), sent: 29, received: 274, status: "9000".into() },
        Progress::CardLost,
        Progress::CardKeys { version: 2, step: KeyChangeStep::Added },
        Progress::CardKeys { version: 2, step: KeyChangeStep::Proved },
        Progress::CardKeys { version: 1, step: KeyChangeStep::Removed },
        Progress::CardKeys { version: 2, step: KeyChangeStep::RolledBack },
        Progress::Erased,
        Progress::LoggedOff,
    ]);
    all
}

#[test]
fn a_procedure_as_people_see_it() {
    for language in Language::ALL {
        let (paper, mut view) = view(language, false);
        everything().iter().for_each(|progress| view.show(progress));
        let failure = ProcedureError::CertificateDiffers { field: "notAfter" };
        view.failed(&Explanation::of(&Messages::new(language), &failure), &failure);
        assert!(view.take_fault().is_none());
        compare(&format!("procedure.{}.txt", language.tag()), &paper.text());
    }
}

/// One certificate is done when the other fails: both are told of, to people and to machines.
#[test]
fn how_far_a_procedure_came_that_ended_early() {
    let mut reached = Reached::default();
    assert!(reached.is_empty());
    steps(Signature, &[(Step::Pin, 1)]).iter().for_each(|progress| reached.observe(progress));
    assert!(reached.is_empty(), "a PIN is no result");
    everything().iter().for_each(|progress| reached.observe(progress));
    let document = serde_json::to_value(&reached).unwrap();
    let expected = serde_json::json!([
        { "kind": "authentication", "step": "supersede", "issued": true },
        { "kind": "signature", "step": "generate-key", "issued": false },
    ]);
    assert_eq!(document, expected);
    for language in Language::ALL {
        let (paper, mut view) = view(language, false);
        reached.show(view.screen(), &Messages::new(language)).unwrap();
        compare(&format!("reached.{}.txt", language.tag()), &paper.text());
    }
    let lost = Progress::Settled { kind: Signature, how: Settlement::ConfirmedAndCommitted };
    reached.observe(&lost);
    assert_eq!(serde_json::to_value(&reached).unwrap()[1]["issued"], true);
    reached.observe(&Progress::Settled { kind: Signature, how: Settlement::Discarded });
    assert_eq!(serde_json::to_value(&reached).unwrap().as_array().unwrap().len(), 1);
}

fn trace() -> TraceView {
    TraceView::new(Trace::from_reader(&mut &include_bytes!("fixtures/trace.jsonl")[..]).unwrap())
}

#[test]
fn a_trace_as_people_see_it() {
    for language in Language::ALL {
        let (paper, mut view) = view(language, false);
        trace().show(view.screen(), &Messages::new(language)).unwrap();
        compare(&format!("trace.{}.txt", language.tag()), &paper.text());
    }
}

#[test]
fn a_trace_as_machines_see_it() {
    compare("trace.json", &format!("{}\n", cli::Document::document(&trace()).unwrap()));
}

#[test]
fn the_technical_view_adds_exchanges_and_causes() {
    let (paper, mut view) = view(Language::En, true);
    everything().iter().for_each(|progress| view.show(progress));
    let cause = authority_link::LineError::Unreachable(io::Error::other("no route to host"));
    let failure = ProcedureError::AuthorityUnreachable(Box::new(cause));
    view.failed(&Explanation::of(&Messages::new(Language::En), &failure), &failure);
    let text = paper.text();
    assert!(text.contains("no route"), "{text}");
    compare("procedure.verbose.en.txt", &text);
}

#[test]
fn every_kind_of_progress_is_in_the_example() {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../orchestrator/src/progress.rs")).unwrap();
    let file = syn::parse_file(&source).unwrap();
    let variants = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(found) if found.ident == "Progress" => Some(&found.variants),
        _ => None,
    });
    let seen: Vec<String> = everything().iter().map(|progress| format!("{progress:?}")).collect();
    for variant in variants.unwrap() {
        let name = variant.ident.to_string();
        assert!(seen.iter().any(|text| text.starts_with(&name)), "{name} is not in the example");
    }
}

fn summary() -> Summary {
    let mut timings = Timings::default();
    everything().iter().for_each(|progress| timings.observe(progress));
    let report = ProcedureReport { apdus: 61, bytes_out: 9_876, bytes_in: 12_345, messages: 6, ..Default::default() };
    let certificate = |kind, serial: &str, until: &str| CertificateSummary {
        kind,
        serial: serial.into(),
        not_before: "2026-11-22T01:02:03Z".parse().unwrap(),
        not_after: until.parse().unwrap(),
        key_origin: if kind == Signature { KeyOrigin::Hsm } else { KeyOrigin::Card },
        path: Some(format!("/tmp/world/certificates/{serial}.pem")),
        face: Some(CertificateFace { issuer: "C=JP, O=JPKI, OU=JPKI for simulation".into(), person: None }),
    };
    Summary {
        seed: Some(1),
        certificates: vec![
            certificate(Authentication, "01a2b3", "2031-02-17T14:59:59Z"),
            certificate(Signature, "01a2b4", "2031-02-17T14:59:59Z"),
        ],
        log: Some(LogSummary { entries: 42, verified: true }),
        proofs: [
            Proved::Signature,
            Proved::Authentication,
            Proved::Certificates,
            Proved::AuthorityStatus,
            Proved::Log,
            Proved::Erasure,
        ]
        .map(|what| Proof { what, ok: true })
        .to_vec(),
        residue: Some(Vec::new()),
        peak_memory_bytes: 64 << 20,
        next: vec!["madoguchi-sim log show --state /tmp/world".into()],
        ..Summary::of(report, timings)
    }
}

#[test]
fn a_summary_as_people_see_it() {
    for language in Language::ALL {
        let (paper, mut view) = view(language, false);
        let messages = view.messages();
        let good = summary();
        good.show(view.screen(), &messages).unwrap();
        let bad = Summary {
            ok: false,
            certificates: Vec::new(),
            unsettled: vec![Signature],
            proofs: vec![Proof { what: Proved::Erasure, ok: false }],
            log: Some(LogSummary { entries: 41, verified: false }),
            residue: Some(vec![Residue {
                place: "log/entries.jsonl".into(),
                item: "item-name".into(),
                encoding: "utf-16le".into(),
            }]),
            next: Vec::new(),
            ..good
        };
        bad.show(view.screen(), &messages).unwrap();
        compare(&format!("summary.{}.txt", language.tag()), &paper.text());
    }
}

#[test]
fn the_document_of_a_summary() {
    let document = cli::Document::document(&summary()).unwrap();
    compare("summary.json", &format!("{document}\n"));
    let failed = Summary {
        error: Some(Explanation::of(&Messages::new(Language::Ja), &ProcedureError::CardGone)),
        card: CardTraffic::default(),
        ..Summary::default()
    };
    compare("failed.json", &format!("{}\n", cli::Document::document(&failed).unwrap()));
}

/// Every variant of the error has a text that is its own, in both languages.
#[test]
fn every_failure_of_a_procedure_is_explained() {
    use card_reader::CardError;
    use hsm::{HsmError, KeyName};
    let samples = || {
        let bytes = b"x".as_slice();
        vec![
            ProcedureError::LogOnRefused,
            ProcedureError::LogOnDelayed { wait: Duration::from_millis(14_200) },
            ProcedureError::NoUsableCapture("too-dark".into()),
            ProcedureError::NotLoggedOn,
            ProcedureError::NotAllowed,
            ProcedureError::SecondPersonNeeded,
            ProcedureError::LastAccessManager,
            ProcedureError::UserIdNotFree,
            ProcedureError::UnknownOperator,
            ProcedureError::Enrolment(biometric::EnrolError::Inconsistent),
            ProcedureError::UnknownResident,
            ProcedureError::NotEligible { kind: Signature, reason: jpki::Ineligible::UnderFifteen },
            ProcedureError::Application(jpki::ApplicationError::Text {
                field: jpki::TextField::Address,
                reason: jpki::TextError::NoSubstitute { position: 7 },
            }),
            ProcedureError::NoCard,
            ProcedureError::WrongCard,
            ProcedureError::WrongFaceCode { tries_left: 1 },
            ProcedureError::CardExpired,
            ProcedureError::CardOfAnotherPerson { item: "birth" },
            ProcedureError::AlreadyIssued(Authentication),
            ProcedureError::CardMakesNoKeys,
            ProcedureError::WeakKey { kind: Signature, weakness: jpki::WeakKey::Roca },
            ProcedureError::WeakHsmKey { kind: Signature, weakness: jpki::WeakKey::Roca },
            ProcedureError::CardKeysNotProved,
            ProcedureError::NothingToRenew(Signature),
            ProcedureError::PinBlocked(Signature),
            ProcedureError::Pin(jpki::PinError::WrongLength { min: 6, max: 16 }),
            ProcedureError::Cancelled,
            ProcedureError::CardRefused { step: "write", status: apdu::StatusWord(0x6985) },
            ProcedureError::CardGone,
            ProcedureError::AuthorityUnreachable(Box::new(authority_link::LineError::ForeignPeer)),
            ProcedureError::AuthorityRefused { failure: "badRequest".into() },
            ProcedureError::AuthorityNotTrusted(authority_link::LinkError::WrongNonce),
            ProcedureError::CertificateDiffers { field: "subject" },
            ProcedureError::Hsm(HsmError::NoSuchKey(KeyName::new("terminal-signing"))),
            ProcedureError::Keys(key_ceremony::CeremonyError::InUse {
                key: KeyName::new("log-signing"),
                by: key_ceremony::KeyUse::Log,
            }),
            ProcedureError::Identity(Box::new(orchestrator::identity::IdentityError::NotEnrolled)),
            ProcedureError::Reader(CardError::ReaderGone),
            ProcedureError::Sensor(biometric::SensorError::Busy),
            ProcedureError::Register(resident_register::RegisterError::Ambiguous { first: 2, second: 9 }),
            ProcedureError::State(orchestrator::StateError::InUse("/var/lib/madoguchi".into())),
            ProcedureError::Log(
                audit_log::Log::from_lines(bytes)
                    .map_or_else(Into::into, |_| audit_log::LogFault::Truncated { entries: 1, certified: 2 }),
            ),
            ProcedureError::UnexpectedEvent { expected: "card", got: "answer" },
        ]
    };
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../orchestrator/src/error.rs")).unwrap();
    let file = syn::parse_file(&source).unwrap();
    let variants = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(found) if found.ident == "ProcedureError" => Some(found.variants.len()),
        _ => None,
    });
    assert_eq!(variants, Some(samples().len()), "an error is missing in the samples");
    for language in Language::ALL {
        let messages = Messages::new(language);
        let mut seen = String::new();
        let mut codes = Vec::new();
        for error in samples() {
            let explanation = Explanation::of(&messages, &error);
            assert_ne!(explanation.code, "other", "{error:?}");
            for text in [&explanation.text, &explanation.cause, &explanation.mend] {
                assert!(!text.starts_with("error-"), "no text: {text}");
            }
            seen.push_str(&format!(
                "{}\n  {}\n  {}\n  {}\n",
                explanation.code, explanation.text, explanation.cause, explanation.mend
            ));
            codes.push(explanation.code);
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), samples().len(), "two failures have the same text");
        compare(&format!("failures.{}.txt", language.tag()), &seen);
    }
}
