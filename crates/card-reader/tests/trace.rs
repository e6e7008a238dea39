//! Traces: what is written and what is not, what survives a full disk and a damaged file, and what a replay notices.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::trace::{
    Application, CommandName, Completeness, CreateError, Difference, Element, Event, Object, RecordingReader,
    ReplayReader, Trace, TraceError,
};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use jiff::Timestamp;
use jpki::CertificateKind::{Authentication, Signature};
use jpki::card::{self, face_input, fid};
use madoguchi_time::{Deadline, SharedClock, VirtualClock};
use proptest::prelude::*;
use zeroize::Zeroizing;

/// Stands in every answer of the card and in every command that a test wants to keep secret.
const CANARY: &[u8] = b"ABC123xyz";

/// A card that answers everything with `9000` and the canary.
struct Talkative {
    name: &'static str,
    identity: CardIdentity,
    clock: SharedClock,
}

impl Talkative {
    fn new(name: &'static str, clock: SharedClock) -> Self {
        Self { name, identity: CardIdentity { atr: card::ATR.to_vec() }, clock }
    }
}

impl CardReader for Talkative {
    fn name(&self) -> &str {
        self.name
    }

    fn wait_for_card(&mut self, _deadline: Deadline) -> Result<(), CardError> {
        Ok(())
    }

    fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        Ok(Box::new(Open(self)))
    }
}

struct Open<'a>(&'a Talkative);

impl CardConnection for Open<'_> {
    fn identity(&self) -> &CardIdentity {
        &self.0.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        CardCapabilities { extended_length: true, max_command: 65_535 }
    }

    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        Ok(Box::new(Begun(&self.0.clock)))
    }
}

struct Begun<'a>(&'a SharedClock);

impl CardTransaction for Begun<'_> {
    fn transmit(&mut self, command: &CommandApdu, _deadline: Deadline) -> Result<ResponseApdu, CardError> {
        self.0.elapse(Duration::from_micros(1_234));
        match command.ins() {
            0xEE => Err(CardError::Garbled),
            0xA4 => Ok(StatusWord::OK.into()),
            _ => Ok(ResponseApdu::new(CANARY.repeat(3), StatusWord::OK)),
        }
    }

    fn was_reset(&self) -> bool {
        false
    }

    fn end(self: Box<Self>, _how: Disposition) -> Result<(), CardError> {
        Ok(())
    }
}

fn clock() -> SharedClock {
    VirtualClock::at(Timestamp::UNIX_EPOCH)
}

fn soon(clock: &SharedClock) -> Deadline {
    clock.deadline_in(Duration::from_secs(60))
}

/// Sends `commands` in one transaction.
fn talk(reader: &mut dyn CardReader, clock: &SharedClock, commands: &[CommandApdu]) -> Result<(), CardError> {
    let deadline = soon(clock);
    reader.wait_for_card(deadline)?;
    let mut connection = reader.connect(deadline)?;
    let mut transaction = connection.begin(deadline)?;
    for command in commands {
        match transaction.transmit(command, deadline) {
            Ok(_) | Err(CardError::Garbled) => {}
            Err(error) => return Err(error),
        }
    }
    transaction.end(Disposition::Reset)
}

fn recorded_at(path: &Path, commands: &[CommandApdu]) -> String {
    let clock = clock();
    let mut reader = RecordingReader::create(Talkative::new("Reader X", clock.clone()), path, clock.clone()).unwrap();
    talk(&mut reader, &clock, commands).unwrap();
    assert_eq!(reader.monitor().fault(), None);
    drop(reader);
    fs::read_to_string(path).unwrap()
}

fn recorded(commands: &[CommandApdu]) -> String {
    let folder = tempfile::tempdir().unwrap();
    recorded_at(&folder.path().join("trace"), commands)
}

fn read(text: &str) -> Trace {
    Trace::from_reader(&mut text.as_bytes()).unwrap()
}

fn select(application: Application) -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(application.aid())
}

fn select_file(file: u16) -> CommandApdu {
    CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(file.to_be_bytes())
}

fn read_binary(offset: u16) -> CommandApdu {
    let [p1, p2] = offset.to_be_bytes();
    CommandApdu::new(0x00, 0xB0, p1, p2).with_le(256)
}

fn verify(pin: &[u8]) -> CommandApdu {
    CommandApdu::new(0x00, 0x20, 0x00, 0x80).with_sensitive(Zeroizing::new(pin.to_vec()))
}

/// The canary as it is, in hexadecimal digits, and as an array of decimal numbers.
fn has_canary(text: &str) -> bool {
    let decimal = CANARY.iter().map(u8::to_string).collect::<Vec<_>>();
    let needles = [
        String::from_utf8(CANARY.to_vec()).unwrap(),
        hex::encode(CANARY),
        hex::encode_upper(CANARY),
        decimal.join(","),
        decimal.join(", "),
    ];
    needles.iter().any(|needle| text.contains(needle))
}

#[test]
fn a_trace_is_for_its_owner_and_never_takes_another_files_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let text = recorded_at(&path, &[select(Application::Jpki)]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.starts_with(r#"{"format":"madoguchi-card-trace","version":1,"reader":"Reader X","#), "{text}");

    let again = RecordingReader::create(Talkative::new("Reader X", clock()), &path, clock());
    assert!(matches!(again, Err(CreateError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    assert!(RecordingReader::create(Talkative::new("Reader X", clock()), &link, clock()).is_err());
}

#[test]
fn every_line_is_there_as_soon_as_it_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let clock = clock();
    let mut reader = RecordingReader::create(Talkative::new("Reader X", clock.clone()), &path, clock.clone()).unwrap();
    let lines = || fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(lines(), 1);
    reader.wait_for_card(soon(&clock)).unwrap();
    assert_eq!(lines(), 2);
    let mut connection = reader.connect(soon(&clock)).unwrap();
    assert_eq!(lines(), 3);
    let mut transaction = connection.begin(soon(&clock)).unwrap();
    assert_eq!(lines(), 4);
    transaction.transmit(&select(Application::Jpki), soon(&clock)).unwrap();
    assert_eq!(lines(), 5);
    let dead = read(&fs::read_to_string(&path).unwrap());
    assert_eq!((dead.entries.len(), dead.completeness), (4, Completeness::CutOff));
    drop(transaction);
    drop(connection);
    drop(reader);
    let closed = read(&fs::read_to_string(&path).unwrap());
    assert_eq!((closed.entries.len(), closed.completeness), (7, Completeness::Complete));
}

/// What of commands and answers is in a trace.
fn exchanges(text: &str) -> Vec<String> {
    let shown = |event: &Event| match event {
        Event::Exchange { command, answer, error } => {
            let answer = answer.as_ref().map_or_else(String::new, |a| format!("{} {}", a.data, a.status));
            let error = error.map_or("", card_reader::trace::ErrorName::as_str);
            Some(format!("{} {} -> {answer}{error}", hex::encode_upper(command.header), command.data))
        }
        _ => None,
    };
    read(text).entries.iter().filter_map(|entry| shown(&entry.event)).collect()
}

#[test]
fn what_may_be_shown_is_shown_and_the_rest_is_a_length() {
    let canary = "414243313233";
    let text = recorded(&[
        select(Application::Jpki),
        select_file(fid::SIGN_PIN),
        verify(CANARY),
        select_file(fid::SIGN_CERTIFICATE),
        read_binary(0),
        read_binary(256),
        select_file(fid::TOKEN_INFO),
        read_binary(0),
        CommandApdu::new(0x80, 0x50, 0x30, 0x00).with_data([7; 8]).with_le(256),
        CommandApdu::new(0x00, 0xEE, 0x00, 0x00),
        // What was selected is not known after a failure.
        read_binary(0),
    ]);
    assert_eq!(
        exchanges(&text),
        [
            "00A4040C D392F000260100000001 ->  9000",
            "00A4020C 001B ->  9000",
            "00200080 (9) -> (27) 9000",
            "00A4020C 0001 ->  9000",
            &format!("00B00000  -> {}(23) 9000", &canary[..8]),
            "00B00100  -> (27) 9000",
            "00A4020C 0006 ->  9000",
            &format!("00B00000  -> {} 9000", hex::encode_upper(CANARY.repeat(3))),
            "80503000 (8) -> (10)424331(14) 9000",
            "00EE0000  -> garbled",
            "00B00000  -> (27) 9000",
        ]
    );
}

#[test]
fn nothing_else_is_ever_shown() {
    // Every file, under every application, and every instruction in every class that a card knows.
    let public = [fid::SIGN_CA_CERTIFICATE, fid::AUTH_CA_CERTIFICATE, fid::CERTIFICATE_AVAILABILITY, fid::TOKEN_INFO];
    for application in Application::ALL {
        let mut commands = vec![select(application)];
        for file in 0..0x30_u16 {
            if application == Application::Jpki && public.contains(&file) {
                continue;
            }
            commands.extend([select_file(file), read_binary(0), read_binary(0x100)]);
        }
        let text = recorded(&commands);
        assert!(!has_canary(&text), "{application:?}: {text}");
    }
    let mut commands = vec![select(Application::Jpki), select_file(fid::SIGN_CA_CERTIFICATE)];
    for cla in [0x00, 0x01, 0x04, 0x0C, 0x10, 0x40, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xFF] {
        for ins in (0..=0xFF_u8).filter(|ins| ![0xEE, 0xB0].contains(ins)) {
            for p1 in [0x00, 0x01, 0x02, 0x04] {
                commands.push(CommandApdu::new(cla, ins, p1, 0x80).with_data(CANARY));
            }
        }
        // Another file, by its short identifier.
        commands.push(CommandApdu::new(cla, 0xB0, 0x8A, 0x00).with_le(256));
        if cla != 0 {
            commands.push(CommandApdu::new(cla, 0xB0, 0x00, 0x00).with_le(256));
        }
    }
    let text = recorded(&commands);
    assert!(!has_canary(&text), "{:?}", exchanges(&text).into_iter().find(|line| has_canary(line)));
}

#[test]
fn only_a_simulated_card_is_recorded_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    for name in ["Reader X", "XSIM-1", "sim-1", ""] {
        let refused = RecordingReader::unredacted(Talkative::new(name, clock()), &path, clock());
        assert!(matches!(refused, Err(CreateError::NotSimulated)), "{name}");
        assert!(!path.exists());
    }
    let clock = clock();
    let reader = Talkative::new("SIM-1", clock.clone());
    let mut reader = RecordingReader::unredacted(reader, &path, clock.clone()).unwrap();
    talk(&mut reader, &clock, &[verify(CANARY)]).unwrap();
    drop(reader);
    let text = fs::read_to_string(&path).unwrap();
    assert!(has_canary(&text) && read(&text).header.unredacted);
}

#[test]
fn times_are_those_of_the_clock() {
    let trace = read(&recorded(&[select(Application::Jpki), select(Application::Juki)]));
    let times: Vec<_> = trace.entries.iter().map(|entry| (entry.at_us, entry.took_us)).collect();
    assert_eq!(times[3..5], [(0, 1_234), (1_234, 1_234)]);
}

fn named(commands: &[CommandApdu]) -> Vec<CommandName> {
    read(&recorded(commands)).conversation().filter_map(|(_, _, name)| name).collect()
}

#[test]
fn commands_are_named_by_what_is_selected() {
    let issuing = |ins, p1| CommandApdu::new(0x84, ins, p1, 0x00);
    let cases: Vec<(CommandApdu, Option<&str>, Option<Object>)> = vec![
        (select_file(fid::SIGN_PIN), Some("SELECT"), Some(Object::FileId(0x001B))),
        (select(Application::Jpki), Some("SELECT"), Some(Object::Application(Application::Jpki))),
        (select_file(fid::SIGN_PIN), Some("SELECT"), Some(Object::Element(Element::SignPin))),
        (verify(CANARY), Some("VERIFY"), Some(Object::Element(Element::SignPin))),
        (CommandApdu::new(0x84, 0x20, 0x00, 0x98), Some("VERIFY"), Some(Object::Element(Element::AuthPin))),
        (select_file(0x0016), Some("SELECT"), Some(Object::FileId(0x0016))),
        (read_binary(0), Some("READ BINARY"), Some(Object::FileId(0x0016))),
        (CommandApdu::new(0x80, 0x50, 0x30, 0), Some("INITIALIZE UPDATE"), None),
        (CommandApdu::new(0x84, 0x82, 0x33, 0), Some("EXTERNAL AUTHENTICATE"), None),
        (issuing(0x14, 0x01), Some("GENERATE KEY PAIR"), Some(Object::Slots(Signature))),
        (issuing(0x10, 0x02), Some("GET SLOT STATUS"), Some(Object::Slots(Authentication))),
        (issuing(0x10, 0x03), Some("GET SLOT STATUS"), None),
        (select(Application::FaceInput), Some("SELECT"), Some(Object::Application(Application::FaceInput))),
        (read_binary(0), Some("READ BINARY"), None),
        (select_file(face_input::MY_NUMBER), Some("SELECT"), Some(Object::Element(Element::MyNumber))),
        (CommandApdu::new(0x00, 0xC0, 0, 0), Some("GET RESPONSE"), Some(Object::Element(Element::MyNumber))),
        (CommandApdu::new(0x00, 0xFE, 0, 0), None, Some(Object::Element(Element::MyNumber))),
        (CommandApdu::new(0x7C, 0xA4, 4, 0), None, None),
    ];
    let commands: Vec<_> = cases.iter().map(|(command, ..)| command.clone()).collect();
    for (name, (command, instruction, object)) in named(&commands).iter().zip(&cases) {
        assert_eq!((name.instruction, name.object), (*instruction, *object), "{command}");
    }
    let chained = named(&[CommandApdu::new(0x94, 0x1C, 0x01, 0x00), CommandApdu::new(0x84, 0x1C, 0x01, 0x00)]);
    assert_eq!(chained.map_chained(), [true, false]);
}

trait Chained {
    fn map_chained(&self) -> Vec<bool>;
}

impl Chained for Vec<CommandName> {
    fn map_chained(&self) -> Vec<bool> {
        self.iter().map(|name| name.is_chained).collect()
    }
}

/// The constants of a module of `jpki::card`, by name.
fn constants(module: &str) -> Vec<(String, u16)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../jpki/src/card.rs");
    let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    let items = file.items.into_iter().find_map(|item| match item {
        syn::Item::Mod(found) if found.ident == module => found.content,
        _ => None,
    });
    let number = |item| match item {
        syn::Item::Const(syn::ItemConst { ident, expr, .. }) => match *expr {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => {
                Some((ident.to_string(), number.base10_parse().unwrap()))
            }
            _ => None,
        },
        _ => None,
    };
    items.unwrap().1.into_iter().filter_map(number).collect()
}

/// An instruction that is added to those that host and card share, without a name here, fails.
#[test]
fn every_instruction_of_the_card_has_its_name() {
    let is_instruction = |name: &String| !name.starts_with("TAG_") && !name.starts_with("KEY_");
    let shared = [constants("ins"), constants("domain_ins")].concat();
    let shared: Vec<_> = shared.into_iter().filter(|(name, _)| is_instruction(name)).collect();
    assert!(shared.len() >= 18, "{shared:?}");
    for (constant, code) in shared {
        let names = named(&[CommandApdu::new(0x84, code.try_into().unwrap(), 0x01, 0x00)]);
        assert_eq!(names[0].instruction.unwrap(), constant.replace('_', " "));
    }
}

#[test]
fn every_file_pin_and_key_of_the_card_has_its_name() {
    /// What nobody knows the use of, or what has no public name.
    const NAMELESS: [&str; 7] =
        ["UNKNOWN_0006", "UNKNOWN_0008", "UNKNOWN_0009", "TERMINAL_CA_KEY", "SESSION_KEY", "SIGNED_KEY", "BLOCKED"];
    for (module, application) in [
        ("fid", Application::Jpki),
        ("face_input", Application::FaceInput),
        ("face_check", Application::FaceCheck),
        ("common", Application::Common),
        ("juki", Application::Juki),
    ] {
        for (name, file) in constants(module) {
            let is_named = Element::find(application, file).is_some();
            assert!(name.starts_with("TAG_") || is_named != NAMELESS.contains(&name.as_str()), "{module}::{name}");
        }
    }
}

fn script() -> Vec<CommandApdu> {
    vec![select(Application::Jpki), select_file(fid::AUTH_PIN), verify(b"1234"), CommandApdu::new(0x00, 0xEE, 0, 0)]
}

fn replay(text: &str, commands: &[CommandApdu]) -> (Result<(), CardError>, Result<(), Difference>) {
    let clock = clock();
    let mut reader = ReplayReader::new(read(text), clock.clone());
    let monitor = reader.monitor();
    let talked = talk(&mut reader, &clock, commands);
    (talked, monitor.finish())
}

#[test]
fn a_replay_answers_as_recorded_and_time_passes_as_it_did() {
    let text = recorded(&script());
    let (talked, finished) = replay(&text, &script());
    assert!(talked.is_ok(), "{talked:?}");
    assert_eq!(finished, Ok(()));

    let clock = clock();
    let mut reader = ReplayReader::new(read(&text), clock.clone());
    assert_eq!(reader.name(), "Reader X");
    let deadline = soon(&clock);
    reader.wait_for_card(deadline).unwrap();
    let mut connection = reader.connect(deadline).unwrap();
    assert_eq!(connection.identity().atr, card::ATR);
    let mut transaction = connection.begin(deadline).unwrap();
    for command in &script()[..2] {
        assert!(transaction.transmit(command, deadline).unwrap().status.is_ok());
    }
    let answer = transaction.transmit(&verify(b"9876"), deadline).unwrap();
    assert_eq!(*answer.data, [0; 27], "hidden bytes are zeros");
    assert_eq!(
        clock.now().since(madoguchi_time::Moment::since_start(Duration::ZERO)),
        Duration::from_micros(3 * 1_234)
    );
}

#[test]
fn a_replay_tells_at_which_line_the_conversation_differs() {
    let text = recorded(&script());
    // Line 1 is the header; waiting, opening and beginning are lines 2 to 4.
    for (commands, line, came) in [
        (vec![select(Application::Juki)], 5, "a command 00A4040C Lc 10"),
        (vec![script()[0].clone(), select_file(fid::SIGN_PIN)], 6, "a command 00A4020C Lc 2"),
        (vec![script()[0].clone(), script()[1].clone(), verify(b"12345")], 7, "a command 00200080 Lc 5"),
        (vec![script()[0].clone()], 6, "ending a transaction: Reset"),
        ([script(), vec![read_binary(0)]].concat(), 9, "a command 00B00000 Lc 0 Le 256"),
    ] {
        let (talked, finished) = replay(&text, &commands);
        let difference = finished.unwrap_err();
        assert_eq!((difference.line, difference.came.as_str()), (line, came));
        let Err(CardError::Other(source)) = talked else { panic!("{talked:?}") };
        assert_eq!(source.downcast_ref::<Difference>(), Some(&difference));
    }
    let clock = clock();
    let mut reader = ReplayReader::new(read(&text), clock.clone());
    reader.wait_for_card(soon(&clock)).unwrap();
    let difference = reader.monitor().finish().unwrap_err();
    assert_eq!((difference.line, difference.came.as_str()), (3, "the end"));
    assert_eq!(difference.recorded, "opening the card");
}

#[test]
fn a_trace_can_be_cut_off_anywhere() {
    let text = recorded(&script());
    let whole = read(&text);
    let header = text.find('\n').unwrap();
    for length in 0..text.len() {
        match Trace::from_reader(&mut &text.as_bytes()[..length]) {
            Ok(trace) => {
                assert!(length >= header);
                // A last line that lacks nothing but its end is whole.
                let is_whole = length == text.len() - 1;
                assert_eq!(trace.completeness == Completeness::Complete, is_whole, "{length}");
                assert_eq!(trace.entries[..], whole.entries[..trace.entries.len()]);
            }
            Err(TraceError::NotATrace) => assert!(length < header),
            Err(error) => panic!("{length}: {error}"),
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    let read = |text: &[u8]| Trace::from_reader(&mut &text[..]);
    let text = recorded(&script());
    assert!(matches!(read(b""), Err(TraceError::NotATrace)));
    assert!(matches!(read(b"\x7fELF\x00\xff"), Err(TraceError::NotATrace)));
    assert!(matches!(read(&vec![b'{'; 3 << 20]), Err(TraceError::NotATrace)));
    assert!(matches!(read(br#"{"format":"other","version":1}"#), Err(TraceError::NotATrace)));
    let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
    assert!(matches!(read(newer.as_bytes()), Err(TraceError::Version { found: 2 })));

    let mut lines: Vec<&str> = text.lines().collect();
    let long = format!(r#"{{"at_us":0,"took_us":0,"event":"closed","more":"{}"}}"#, "x".repeat(1 << 20));
    lines.insert(3, &long);
    let error = read((lines.join("\n") + "\n").as_bytes()).unwrap_err();
    assert!(matches!(error, TraceError::LineTooLong { line: 4 }), "{error:?}");
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"at_us":-1,"took_us":0,"event":"closed"}"#,
        r#"{"at_us":0,"took_us":0,"event":"?"}"#,
    ] {
        lines[3] = bad;
        let error = read((lines.join("\n") + "\n").as_bytes()).unwrap_err();
        assert!(matches!(error, TraceError::Malformed { line: 4, .. }), "{bad}: {error:?}");
    }
    assert!(matches!(Trace::read(Path::new("/nowhere")), Err(TraceError::Io(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands in the file, it is read or refused, and what is read can be shown and played.
    #[test]
    fn no_damage_is_too_much(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..6), cut in 0..4_usize) {
        let mut bytes = SOUND.as_bytes().to_vec();
        let start = at.index(bytes.len());
        let end = (start + cut).min(bytes.len());
        bytes.splice(start..end, with);
        if let Ok(trace) = Trace::from_reader(&mut bytes.as_slice()) {
            prop_assert_eq!(trace.conversation().count(), trace.entries.len());
            let clock = clock();
            let mut reader = ReplayReader::new(trace, clock.clone());
            let _ = talk(&mut reader, &clock, &script());
            let _ = reader.monitor().finish();
        }
    }
}

/// A trace with every kind of line.
const SOUND: &str = concat!(
    r#"{"format":"madoguchi-card-trace","version":1,"reader":"SIM-1","started":"2026-11-22T00:00:00Z","unredacted":false}"#,
    "\n",
    r#"{"at_us":0,"took_us":0,"event":"wait"}"#,
    "\n",
    r#"{"at_us":0,"took_us":0,"event":"connect","card":{"atr":"3B80","extended_length":true,"max_command":65535}}"#,
    "\n",
    r#"{"at_us":0,"took_us":0,"event":"begin"}"#,
    "\n",
    r#"{"at_us":0,"took_us":9,"event":"exchange","command":{"header":"00A4040C","data":"D392F000260100000001"},"answer":{"data":"","status":"9000"}}"#,
    "\n",
    r#"{"at_us":0,"took_us":9,"event":"exchange","command":{"header":"00A4020C","data":"0018"},"answer":{"data":"","status":"9000"}}"#,
    "\n",
    r#"{"at_us":9,"took_us":9,"event":"exchange","command":{"header":"00200080","data":"(4)","le":256},"answer":{"data":"30(2)FF","status":"63C2"}}"#,
    "\n",
    r#"{"at_us":9,"took_us":9,"event":"exchange","command":{"header":"00EE0000","data":""},"error":"removed"}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"was-reset"}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"hand","did":"removed"}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"gap","lost":2}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"end","how":"power-off","error":"busy"}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"disconnect"}"#,
    "\n",
    r#"{"at_us":9,"took_us":0,"event":"closed"}"#,
    "\n",
);

#[test]
fn the_example_of_every_kind_of_line_is_sound() {
    let trace = read(SOUND);
    assert_eq!(trace.completeness, Completeness::Gaps { lost: 2 });
    assert_eq!(trace.entries.len(), SOUND.lines().count() - 1);
}
