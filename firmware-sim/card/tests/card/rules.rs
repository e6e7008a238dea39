//! The rules of access hold whatever the order of commands: random sequences against a model of the rules. The model is written
//! from `docs/protocols/card-files.md`, and shares nothing with the card but the numbers in it.

mod model;

use std::sync::LazyLock;

use jpki::CertificateKind::{Authentication, Signature};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use sim_card::{CardProfile, Mistake, StaticKeySet};

use self::model::{APPS, After, ChangedBy, Free, ISD, JPKI, Model, Nobody, Record};
use crate::security_domain::{keys, put_key_data};
use crate::terminal::{POOL, SharedMemory, Terminal, personalisation};

/// What is sent as a PIN.
#[derive(Clone, Copy, Debug)]
enum Value {
    Right,
    Wrong,
    Nothing,
    /// The right value of some other PIN.
    Of(usize),
}

/// One thing that somebody does with the card. A file is named by its short identifier, or is the current one.
#[derive(Clone, Debug)]
enum Act {
    Select(usize),
    SelectUnknown,
    SelectFile(u16),
    Read(Option<u16>),
    ReadRecord(Option<u16>),
    Verify(Option<u16>, Value),
    Change(ChangedBy, Option<u16>, bool),
    Sign(Option<u16>),
    SignUnnamed,
    Authenticate(u16),
    Reset,
    PowerCycle,
    /// A channel under this version, with its keys or others.
    Open(u8, bool),
    PutKey(u8),
    DeleteKey(u8),
    Store(u8),
    Unblock(bool),
    VerifyInChannel(bool, Value),
    GetData(u16),
    Enciphered,
}

/// The card, the terminal, and what the model expects of both.
struct Play {
    terminal: Terminal,
    model: Model,
}

impl Play {
    fn new() -> Self {
        Self { terminal: Terminal::with_memory(START.copy(), POOL.clone()), model: Model::new() }
    }

    /// A command outside channels: its status word.
    fn plain(&mut self, command: &str) -> u16 {
        let answer = self.terminal.hex(command);
        u16::from_str_radix(&answer[answer.len() - 4..], 16).unwrap()
    }

    fn keys_of(&self, version: u8) -> StaticKeySet {
        if version == 0x30 { personalisation(CardProfile::jpki_2016()).keys.clone() } else { keys(version, 16) }
    }

    /// Does it, and says what the card answered and what it should have.
    fn perform(&mut self, act: &Act) -> (u16, u16) {
        let current = self.model.current;
        let p2 = |named: Option<u16>| 0x80 | named.unwrap_or(0);
        // Commands that need a channel, where there is one.
        if let Some(version) = self.model.channel
            && let Some(outcome) = self.in_channel(act, version)
        {
            return outcome;
        }
        // While there is one, nothing else gets by, except what ends it.
        let hidden = self.model.channel.is_some();
        let model = &mut self.model;
        match act {
            Act::Select(app) => {
                model.forget(*app);
                (self.terminal.select(&hex::decode(APPS[*app].aid).unwrap()), 0x9000)
            }
            Act::SelectUnknown => {
                model.channel = None;
                (self.terminal.select(b"\xA0\0\0\0\0"), 0x6A82)
            }
            Act::Reset | Act::PowerCycle => {
                model.forget(ISD);
                self.terminal.channel = None;
                match act {
                    Act::Reset => self.terminal.card.reset(),
                    _ => self.terminal.card.power_up().unwrap(),
                }
                (0, 0)
            }
            Act::Open(version, right) => {
                let (is_known, opens) = (model.versions.contains(version), model.facts().channel);
                model.channel = (opens && is_known && *right).then_some(*version);
                self.terminal.channel = None;
                let keys = if *right { self.keys_of(*version) } else { keys(0xEE, 16) };
                let answer = self.terminal.open_with(*version, &keys, 0x33).err().unwrap_or(0x9000);
                let expected = match (opens, is_known, right) {
                    (false, ..) => 0x6D00,
                    (_, false, _) => 0x6A88,
                    // The terminal finds out by itself.
                    (_, _, false) => 0,
                    _ => 0x9000,
                };
                (answer, expected)
            }
            Act::SelectFile(fid) => {
                let expected = if hidden {
                    0x6982
                } else if model.exists(*fid) {
                    model.current = Some(*fid);
                    0x9000
                } else {
                    0x6A82
                };
                (self.terminal.select_ef(*fid), expected)
            }
            Act::Read(named) => {
                let expected = if hidden { Err(0x6982) } else { model.file(*named) };
                let expected = expected.map_or_else(
                    |status| status,
                    |fid| match model.rule(fid) {
                        Some(Free) => 0x9000,
                        Some(After(pins)) if pins.iter().any(|pin| model.verified.contains(pin)) => 0x9000,
                        Some(After(_) | Nobody) => 0x6982,
                        Some(Record) | None => 0x6981,
                    },
                );
                (self.plain(&format!("00 B0 {:02X} 00 00", named.map_or(0, |fid| 0x80 | fid))), expected)
            }
            Act::ReadRecord(named) => {
                let expected = if hidden { Err(0x6982) } else { model.file(*named) };
                let is_record = |fid| if matches!(model.rule(fid), Some(Record)) { 0x9000 } else { 0x6981 };
                let expected = expected.map_or_else(|status| status, is_record);
                (self.plain(&format!("00 B2 01 {:02X} 00", named.unwrap_or(0) << 3 | 4)), expected)
            }
            Act::Verify(named, value) => {
                let sent = model.value(named.or(current), *value);
                let expected = if hidden { Err(0x6982) } else { model.file(*named) };
                let expected = match expected {
                    Ok(fid) if model.facts().pins.iter().any(|pin| pin.0 == fid) => {
                        let status = model.compare(fid, &sent);
                        match status {
                            0x9000 => _ = model.verified.insert(fid),
                            _ if sent.is_empty() => {}
                            _ => _ = model.verified.remove(&fid),
                        }
                        status
                    }
                    Ok(_) => 0x6981,
                    Err(status) => status,
                };
                (self.plain(&with_data(&format!("00 20 00 {:02X}", p2(*named)), &sent)), expected)
            }
            Act::Change(by, named, is_good) => {
                let fid = if hidden { Err(0x6982) } else { model.file(*named) };
                let new = model.facts().pins.iter().find(|pin| Ok(pin.0) == fid).map_or("1234", |pin| pin.4);
                let new = is_good.then_some(new);
                let expected = fid.map_or_else(|status| status, |fid| model.change(*by, fid, new));
                let header = if *by == ChangedBy::Key { "80 32 00" } else { "00 24 01" };
                let data = new.unwrap_or("12").as_bytes();
                (self.plain(&with_data(&format!("{header} {:02X}", p2(*named)), data)), expected)
            }
            Act::Sign(named) => {
                let fid = if hidden { Err(0x6982) } else { model.file(*named) };
                let expected = fid.map_or_else(
                    |status| status,
                    |fid| match model.facts().keys.iter().find(|key| key.0 == fid) {
                        Some((_, None)) => 0x9000,
                        Some((_, Some(pin))) if model.verified.contains(pin) => 0x9000,
                        Some(_) => 0x6982,
                        None => 0x6981,
                    },
                );
                (self.plain(&format!("80 2A 00 {:02X} 01 55 00", p2(*named))), expected)
            }
            Act::SignUnnamed => {
                let expected = match (hidden, model.facts().signs_without_naming_a_key) {
                    (true, _) => 0x6982,
                    (_, true) => 0x9000,
                    _ => 0x6A86,
                };
                (self.plain("80 2A 00 00 01 55 00"), expected)
            }
            Act::Authenticate(named) => {
                let fid = if hidden { Err(0x6982) } else { model.file(Some(*named)) };
                let expected = fid.map_or_else(
                    |status| status,
                    |fid| match model.facts().keys.iter().find(|key| key.0 == fid) {
                        Some((_, None)) => 0x6985,
                        Some(_) => 0x6982,
                        None if fid == 0x19 => 0x9000,
                        None => 0x6981,
                    },
                );
                (self.plain(&format!("00 88 00 {:02X} 01 55 00", p2(Some(*named)))), expected)
            }
            Act::GetData(tag) => {
                let expected = match (hidden, *tag, model.app) {
                    (true, ..) => 0x6982,
                    (_, 0x5F51, _) | (_, 0x42 | 0x45 | 0x66 | 0xE0 | 0xF0 | 0xF2, ISD) => 0x9000,
                    _ => 0x6A88,
                };
                (self.plain(&format!("00 CA {:02X} {:02X} 00", tag >> 8, tag & 0xFF)), expected)
            }
            Act::Enciphered => (self.plain("08 B0 00 00 05 96 03 00 00 00"), if hidden { 0x6982 } else { 0x69FC }),
            // Without a channel: refused where they exist, unknown elsewhere.
            Act::PutKey(_) | Act::DeleteKey(_) | Act::Store(_) => {
                let expected = if model.app == ISD { 0x6982 } else { 0x6D00 };
                let command = match act {
                    Act::PutKey(_) => "80 D8 00 81 01 31",
                    Act::DeleteKey(_) => "80 E4 00 00 03 D20130",
                    _ => "80 E2 90 00 03 420141",
                };
                (self.plain(command), expected)
            }
            Act::Unblock(_) => {
                let expected = if model.app == JPKI { 0x6982 } else { 0x6D00 };
                (self.plain("80 26 02 00 04 31323334"), expected)
            }
            Act::VerifyInChannel(..) => {
                let expected = if model.facts().channel { 0x6982 } else { 0x6882 };
                (self.plain("84 20 00 98 08 0011223344556677"), expected)
            }
        }
    }

    /// What goes through the channel; `None` for everything else.
    fn in_channel(&mut self, act: &Act, own: u8) -> Option<(u16, u16)> {
        let (ins, p1, p2, data): (u8, u8, u8, Vec<u8>);
        let is_jpki = self.model.app == JPKI;
        let expected;
        match act {
            Act::PutKey(new) => {
                let data_of = put_key_data(*new, &self.keys_of(own).dek, &self.keys_of(*new), false);
                (ins, p1, p2, data) = (0xD8, 0, 0x81, data_of);
                let versions = &mut self.model.versions;
                expected = match (is_jpki, versions.contains(new), versions.len()) {
                    (true, ..) => 0x6D00,
                    (_, true, _) => 0x6A80,
                    (.., 4) => 0x6A84,
                    _ => {
                        versions.push(*new);
                        0x9000
                    }
                };
            }
            Act::DeleteKey(version) => {
                (ins, p1, p2, data) = (0xE4, 0, 0, vec![0xD2, 1, *version]);
                let versions = &mut self.model.versions;
                expected = match (is_jpki, versions.contains(version)) {
                    (true, _) => 0x6D00,
                    (_, false) => 0x6A88,
                    _ if *version == own || versions.len() == 1 => 0x6985,
                    _ => {
                        versions.retain(|kept| kept != version);
                        0x9000
                    }
                };
            }
            Act::Store(value) => {
                (ins, p1, p2, data) = (0xE2, 0x90, 0, vec![0x42, 1, *value]);
                expected = if is_jpki { 0x6D00 } else { 0x9000 };
                if !is_jpki {
                    self.model.stored = Some(*value);
                }
            }
            Act::Unblock(signature) => {
                let (kind, fid, new) = if *signature { (1, 0x1B, "NEW123") } else { (2, 0x18, "7531") };
                (ins, p1, p2, data) = (0x26, kind, 0, new.as_bytes().to_vec());
                expected = if is_jpki { 0x9000 } else { 0x6D00 };
                if is_jpki {
                    let full = if *signature { 5 } else { 3 };
                    self.model.pins.insert((JPKI, fid), (new.as_bytes().to_vec(), full));
                }
            }
            Act::VerifyInChannel(signature, value) => {
                let fid = if *signature { 0x1B } else { 0x18 };
                let sent = self.model.value(Some(fid), *value);
                expected = if is_jpki { self.model.compare(fid, &sent) } else { 0x6D00 };
                (ins, p1, p2, data) = (0x20, 0, 0x80 | fid as u8, sent);
            }
            _ => return None,
        }
        Some((self.terminal.issue(ins, p1, p2, &data).err().unwrap_or(0x9000), expected))
    }

    /// Everything that lasts is as the model has it.
    fn compare_what_lasts(&mut self) -> Result<(), TestCaseError> {
        self.perform(&Act::Select(ISD));
        let versions = self.model.versions.clone();
        let list = self.terminal.hex("00 CA 00 E0 00");
        let expected: String =
            versions.iter().flat_map(|v| (1..=3).map(move |id| format!("C004{id:02X}{v:02X}8810"))).collect();
        prop_assert_eq!(list, expected + "9000");
        if let Some(stored) = self.model.stored {
            prop_assert_eq!(self.terminal.hex("00 CA 00 42 00"), format!("{stored:02X}9000"));
        }
        for (app, facts) in APPS.iter().enumerate() {
            self.perform(&Act::Select(app));
            for (fid, ..) in facts.pins {
                for value in [Value::Nothing, Value::Right, Value::Nothing] {
                    let (answer, expected) = self.perform(&Act::Verify(Some(*fid), value));
                    prop_assert_eq!(answer, expected, "PIN {:04X} of application {}", fid, app);
                }
            }
        }
        Ok(())
    }
}

/// Does all of it with a fresh card, which may make a mistake.
fn play(acts: &[Act], mistake: Option<Mistake>) -> Result<(), TestCaseError> {
    let mut play = Play::new();
    if let Some(mistake) = mistake {
        play.terminal.card.make_mistake(mistake);
    }
    for (at, act) in acts.iter().enumerate() {
        let (answer, expected) = play.perform(act);
        prop_assert_eq!(answer, expected, "step {}, {:?}: {:04X} in place of {:04X}", at, act, answer, expected);
    }
    play.compare_what_lasts()
}

fn with_data(header: &str, data: &[u8]) -> String {
    if data.is_empty() { header.into() } else { format!("{header} {:02X} {}", data.len(), hex::encode(data)) }
}

/// A card with a face, PINs and both certificates.
static START: LazyLock<SharedMemory> = LazyLock::new(|| {
    let mut terminal = Terminal::with_memory(crate::files::WITH_FACE.copy(), POOL.clone());
    terminal.open();
    terminal.set_pins();
    terminal.issue_certificate(Authentication, 1);
    terminal.issue_certificate(Signature, 2);
    terminal.memory
});

fn any_file() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0x01_u16..=0x0B, 5 => 0x11_u16..=0x1C]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => Just(Value::Right),
        3 => Just(Value::Wrong),
        1 => Just(Value::Nothing),
        2 => (0..13_usize).prop_map(Value::Of),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    let named = || prop::option::weighted(0.7, any_file());
    let pin =
        || prop::option::weighted(0.8, prop::sample::select(&[0x11, 0x12, 0x13, 0x14, 0x15, 0x18, 0x1B, 0x1C][..]));
    let by = prop_oneof![Just(ChangedBy::Reference), Just(ChangedBy::Key)];
    let version = || 0x30_u8..0x36;
    let tags = &[0x42, 0x45, 0x66, 0xE0, 0xF0, 0xF2, 0x5F51, 0x7F21, 0x1234][..];
    prop_oneof![
        10 => (0..APPS.len()).prop_map(Act::Select),
        1 => Just(Act::SelectUnknown),
        6 => any_file().prop_map(Act::SelectFile),
        16 => named().prop_map(Act::Read),
        3 => named().prop_map(Act::ReadRecord),
        16 => (pin(), any_value()).prop_map(|(pin, value)| Act::Verify(pin, value)),
        5 => (by, pin(), prop::bool::weighted(0.8)).prop_map(|(by, pin, good)| Act::Change(by, pin, good)),
        3 => prop::option::of(prop::sample::select(&[0x17_u16, 0x1A, 0x18][..])).prop_map(Act::Sign),
        1 => Just(Act::SignUnnamed),
        1 => prop::sample::select(&[0x17_u16, 0x19, 0x1A, 0x1C][..]).prop_map(Act::Authenticate),
        1 => Just(Act::Reset),
        1 => Just(Act::PowerCycle),
        3 => (version(), prop::bool::weighted(0.8)).prop_map(|(version, right)| Act::Open(version, right)),
        2 => Just(Act::Open(0x30, true)),
        3 => version().prop_map(Act::PutKey),
        2 => version().prop_map(Act::DeleteKey),
        1 => any::<u8>().prop_map(Act::Store),
        2 => any::<bool>().prop_map(Act::Unblock),
        2 => (any::<bool>(), any_value()).prop_map(|(signature, value)| Act::VerifyInChannel(signature, value)),
        2 => prop::sample::select(tags).prop_map(Act::GetData),
        1 => Just(Act::Enciphered),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_of_commands(acts in vec(any_act(), 1..80)) {
        play(&acts, None)?;
    }
}

/// The walk finds a card that breaks a rule, and a short way to show it.
#[test]
fn broken_rules_are_noticed() {
    for mistake in [Mistake::AnyPinOpens, Mistake::PinsSurviveSelection, Mistake::WrongPinIsForgiven] {
        let config = ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let found = runner.run(&vec(any_act(), 1..80), |acts| play(&acts, Some(mistake)));
        match found {
            Err(TestError::Fail(_, acts)) => assert!(acts.len() <= 8, "{mistake:?}: {acts:?}"),
            other => panic!("{mistake:?} was not noticed: {other:?}"),
        }
    }
}
