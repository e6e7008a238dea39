//! Commands in an open secure channel, and around one: in any order, with right, wrong and spoilt data, in one piece or in a chain.
//! The card answers what is authentic authentically, refuses what is not, and never holds a certificate without its key.

#![no_main]

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use arbitrary::Arbitrary;
use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::card::{AID_JPKI, ins};
use libfuzzer_sys::fuzz_target;
use madoguchi_fuzz::{Model, Way, certificate, exchange, named, pin, send, sha256, transmit};
use secure_channel::SecureChannel;
use sim_card::Card;

/// More in one input would tell nothing new.
const MOST_STEPS: usize = 24;

#[derive(Arbitrary, Debug)]
struct Case {
    model: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// Opens a channel at one of the levels.
    Open(u8),
    /// A command of the procedure, with data that fits it or does not.
    Issue {
        instruction: Instruction,
        signature: bool,
        data: Data,
        way: Way,
    },
    /// Any command through the channel.
    Any {
        header: [u8; 3],
        data: Data,
        le: Option<u16>,
        way: Way,
    },
    /// A command in which a byte is changed on its way.
    Spoilt {
        instruction: Instruction,
        signature: bool,
        data: Data,
        at: u16,
        with: u8,
    },
    /// Somebody else's command, outside the channel: it stays.
    Outside {
        instruction: Instruction,
        p1: u8,
    },
    /// Any bytes.
    Bytes(Vec<u8>),
    Reset,
    PowerUp,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Instruction {
    GetSlotStatus,
    SetInitialPin,
    Verify,
    GenerateKeyPair,
    ImportKeyPair,
    GetPendingPublicKey,
    SignWithPendingKey,
    WritePendingCertificate,
    GetPendingCertificate,
    Commit,
    Discard,
    UnblockPin,
}

#[derive(Arbitrary, Debug)]
enum Data {
    None,
    Raw(Vec<u8>),
    Zeros(u16),
    Pin { signature: bool },
    Transaction(u8),
    KeyName { key: u8 },
    CertificateName { key: u8, serial: u8 },
    Certificate { key: u8, serial: u8 },
    SpoiltCertificate { key: u8, serial: u8, at: u16, with: u8 },
    Key { key: u8, transaction: u8 },
    SpoiltKey { key: u8, at: u16, with: u8 },
}

impl Instruction {
    /// INS, P1 and P2.
    fn header(self, kind: CertificateKind, model: &Model) -> [u8; 3] {
        let algorithm = model.algorithm().code();
        match self {
            Self::GetSlotStatus => [ins::GET_SLOT_STATUS, kind.p1(), 0],
            Self::SetInitialPin => [ins::SET_INITIAL_PIN, kind.p1(), 0],
            Self::Verify => [ins::VERIFY, 0, if kind == Signature { 0x9B } else { 0x98 }],
            Self::GenerateKeyPair => [ins::GENERATE_KEY_PAIR, kind.p1(), algorithm],
            Self::ImportKeyPair => [ins::IMPORT_KEY_PAIR, kind.p1(), algorithm],
            Self::GetPendingPublicKey => [ins::GET_PENDING_PUBLIC_KEY, kind.p1(), 0],
            Self::SignWithPendingKey => [ins::SIGN_WITH_PENDING_KEY, kind.p1(), 0],
            Self::WritePendingCertificate => [ins::WRITE_PENDING_CERTIFICATE, kind.p1(), 0],
            Self::GetPendingCertificate => [ins::GET_PENDING_CERTIFICATE, kind.p1(), 0],
            Self::Commit => [ins::COMMIT, kind.p1(), 0],
            Self::Discard => [ins::DISCARD, kind.p1(), 0],
            Self::UnblockPin => [ins::UNBLOCK_PIN, kind.p1(), 0],
        }
    }
}

impl Data {
    fn bytes(&self, model: &Model) -> Vec<u8> {
        let write = |key, serial| named(&model.spki(key), &certificate(&model.spki(key), serial));
        match self {
            Self::None => Vec::new(),
            Self::Raw(bytes) => bytes.clone(),
            Self::Zeros(length) => vec![0; usize::from(*length) % 9_000],
            Self::Pin { signature } => pin(kind(*signature)).to_vec(),
            Self::Transaction(number) => vec![*number; 16],
            Self::KeyName { key } => sha256(&model.spki(*key)),
            Self::CertificateName { key, serial } => sha256(&certificate(&model.spki(*key), serial % 4)),
            Self::Certificate { key, serial } => write(*key, serial % 4),
            Self::SpoiltCertificate { key, serial, at, with } => spoilt(write(*key, serial % 4), *at, *with),
            Self::Key { key, transaction } => [vec![*transaction; 16], model.wrapped(*key)].concat(),
            Self::SpoiltKey { key, at, with } => [vec![1; 16], spoilt(model.wrapped(*key), *at, *with)].concat(),
        }
    }
}

fn kind(signature: bool) -> CertificateKind {
    if signature { Signature } else { Authentication }
}

fn spoilt(mut bytes: Vec<u8>, at: u16, with: u8) -> Vec<u8> {
    let at = usize::from(at) % bytes.len();
    bytes[at] ^= with;
    bytes
}

fuzz_target!(|case: Case| {
    let model = Model::number(case.model);
    let mut card = model.card();
    let mut channel = Some(model.open(&mut card, 0x33).unwrap());
    for step in case.steps.iter().take(MOST_STEPS) {
        match step {
            Step::Open(level) => {
                card.reset();
                channel = Some(model.open(&mut card, [0x01, 0x03, 0x11, 0x13, 0x33][usize::from(*level) % 5]).unwrap());
            }
            Step::Issue { instruction, signature, data, way } => {
                let [ins, p1, p2] = instruction.header(kind(*signature), model);
                let command = CommandApdu::new(0x80, ins, p1, p2).with_data(data.bytes(model)).with_le(256);
                protected(&mut card, &mut channel, &command, *way);
            }
            Step::Any { header: [ins, p1, p2], data, le, way } => {
                let command = CommandApdu::new(0x80, *ins, *p1, *p2).with_data(data.bytes(model));
                let command = match le {
                    Some(le) => command.with_le(u32::from(*le) + 1),
                    None => command,
                };
                protected(&mut card, &mut channel, &command, *way);
            }
            Step::Spoilt { instruction, signature, data, at, with } => {
                let Some(mut channel) = channel.take() else { continue };
                let [ins, p1, p2] = instruction.header(kind(*signature), model);
                let command = CommandApdu::new(0x80, ins, p1, p2).with_data(data.bytes(model)).with_le(256);
                let wrapped = channel.wrap(&command).unwrap();
                let with = (*with).max(1);
                let spoilt_data = spoilt(wrapped.data().to_vec(), *at, with);
                let header_too = |byte: u8, place: u16| if at % 5 == place { byte ^ with } else { byte };
                let spoilt = CommandApdu::new(wrapped.cla(), header_too(ins, 1), header_too(p1, 2), header_too(p2, 3))
                    .with_data(spoilt_data)
                    .with_le(256);
                let answer = send(&mut card, &spoilt);
                // EXTERNAL AUTHENTICATE opens a channel, and has no business in one.
                let refusal = if spoilt.ins() == ins::EXTERNAL_AUTHENTICATE { 0x6985 } else { 0x6988 };
                assert_eq!(answer, StatusWord(refusal).into(), "{spoilt}");
            }
            Step::Outside { instruction, p1 } => {
                let [ins, _, p2] = instruction.header(Signature, model);
                let answer = send(&mut card, &CommandApdu::new(0x80, ins, *p1, p2));
                assert!(!answer.status.is_ok(), "{answer}");
            }
            Step::Bytes(bytes) => {
                channel = None;
                transmit(&mut card, bytes);
            }
            Step::Reset => {
                channel = None;
                card.reset();
            }
            Step::PowerUp => {
                channel = None;
                card.power_up().unwrap();
            }
        }
    }
    // Whatever it was, a terminal finds the card usable.
    card.power_up().unwrap();
    let mut channel = Some(model.open(&mut card, 0x33).unwrap());
    for kind in CertificateKind::BOTH {
        let status = CommandApdu::new(0x80, ins::GET_SLOT_STATUS, kind.p1(), 0).with_le(256);
        assert!(protected(&mut card, &mut channel, &status, Way::InOnePiece).unwrap().status.is_ok());
        assert!(card.slots(kind).unwrap().active_fits, "a certificate without its key");
    }
    assert!(send(&mut card, &madoguchi_fuzz::select(&AID_JPKI)).status.is_ok());
});

/// Sends a command through the channel, if there is one, and checks the answer. A command that is too long for the card ends the
/// channel: the card refuses it before it looks at its protection.
fn protected(
    card: &mut Card,
    channel: &mut Option<SecureChannel>,
    command: &CommandApdu,
    way: Way,
) -> Option<ResponseApdu> {
    let open = channel.as_mut()?;
    let wrapped = open.wrap(command).unwrap();
    let answer = exchange(card, &wrapped, way);
    let answer = open.unwrap(&answer).expect("an authentic answer");
    if matches!(answer.status.0, 0x6700 | 0x6881..=0x6884 | 0x6988) {
        *channel = None;
    }
    Some(answer)
}
