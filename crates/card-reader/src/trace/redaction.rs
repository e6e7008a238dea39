//! What of an exchange may be shown. This is the one place that decides.

use std::ops::Range;

use apdu::{CommandApdu, ResponseApdu};
use jpki::card::{data, domain_ins, fid, ins};

use super::command::{Application, BY_FILE_ID, BY_NAME, Follower, READ_BINARY, SELECT};
use super::masked::Masked;

/// What may be shown of a command and of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visible {
    command: Range<usize>,
    answer: Range<usize>,
}

const NOTHING: Range<usize> = 0..0;
const ALL: Range<usize> = 0..usize::MAX;
/// Tag and length of a certificate's DER: how long it is.
const CERTIFICATE_HEAD: Range<usize> = 0..4;
/// The token's name, filled with spaces (`jpki::card::TOKEN_NAME`).
const TOKEN_NAME: Range<usize> = 0..32;
/// Key version, protocol and its option `i` in the answer to INITIALIZE UPDATE, after the 10 bytes of diversification data, which tell one
/// card from all others (GlobalPlatform Amendment D §7.1.1.6).
const CHANNEL_KIND: Range<usize> = 10..13;

/// What leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redaction {
    /// What [`visible`] allows.
    Standard,
    /// Everything: for simulated cards only.
    Nothing,
}

impl Redaction {
    /// A command's data as it goes into the trace.
    pub(super) fn command(self, at: &Follower, command: &CommandApdu) -> Masked {
        match self {
            Self::Standard => Masked::of(command.data(), visible(at, command).command),
            Self::Nothing => Masked::of(command.data(), ALL),
        }
    }

    /// An answer's data as it goes into the trace.
    pub(super) fn answer(self, at: &Follower, command: &CommandApdu, answer: &ResponseApdu) -> Masked {
        match self {
            Self::Standard => Masked::of(&answer.data, visible(at, command).answer),
            Self::Nothing => Masked::of(&answer.data, ALL),
        }
    }
}

/// What may be shown of `command` where it stands: nothing, but for what is listed here.
///
/// CLA tells too: a command of a chain, of another logical channel or with secure messaging is not on the list.
fn visible(at: &Follower, command: &CommandApdu) -> Visible {
    let hidden = Visible { command: NOTHING, answer: NOTHING };
    let answer = |answer| Visible { answer, ..hidden.clone() };
    let header = [command.cla(), command.ins(), command.p1(), command.p2()];
    match header {
        // The AIDs of the card are public. What is no AID of the card could be anything.
        [0x00, SELECT, BY_NAME, _] if Application::with_aid(command.data()).is_some() => {
            Visible { command: ALL, ..hidden }
        }
        // Two bytes name a file.
        [0x00, SELECT, BY_FILE_ID, _] if command.data().len() == 2 => Visible { command: ALL, ..hidden },
        [0x80, ins::INITIALIZE_UPDATE, _, _] => answer(CHANNEL_KIND),
        // What kind of card and of keys it has; its number is another object.
        [0x00 | 0x80, domain_ins::GET_DATA, p1, p2]
            if [data::CARD_RECOGNITION, data::KEY_INFORMATION].contains(&u16::from_be_bytes([p1, p2])) =>
        {
            answer(ALL)
        }
        // P1 of 80 and above names another file than the selected one.
        [0x00, READ_BINARY, 0x00..0x80, _] => match (at.application, at.file) {
            (Some(Application::Jpki), Some(file)) => answer(visible_in_jpki(file, [header[2], header[3]])),
            _ => hidden,
        },
        _ => hidden,
    }
}

/// What may be shown of a file of 公的個人認証AP, read at `offset`.
fn visible_in_jpki(file: u16, offset: [u8; 2]) -> Range<usize> {
    let at_start = offset == [0, 0];
    match file {
        // Certificates of the authorities are public; which certificates there are can be read from any card.
        fid::SIGN_CA_CERTIFICATE | fid::AUTH_CA_CERTIFICATE | fid::CERTIFICATE_AVAILABILITY => ALL,
        fid::TOKEN_INFO if at_start => TOKEN_NAME,
        fid::SIGN_CERTIFICATE | fid::AUTH_CERTIFICATE if at_start => CERTIFICATE_HEAD,
        _ => NOTHING,
    }
}
