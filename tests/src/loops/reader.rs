//! The fault loops between card and terminal: a reset, a card that falls silent, wrong bits and garbled answers, status
//! words that nobody expects, another program that holds the card. Each at every APDU of an issue and of a renewal.
//!
//! Beyond the invariants, every run is held to this: it ends, and soon; it comes to its end, or to an error that says what
//! was wrong; no PIN is sent twice, and no try is lost.

use std::fmt;
use std::mem::discriminant;
use std::time::Duration;

use apdu::StatusWord;
use card_reader::CardError;
use jpki::card;
use madoguchi_time::Recovery;
use orchestrator::{ProcedureError, ProcedureReport};
use sim_card::{Card, Fault, When};

use super::{BOTH, Findings, Variant, for_every_place, settle};
use crate::checks::Broken;
use crate::reader::{WatchedReader, WrongBit};
use crate::stage::{OPERATOR, Stage, Start};

/// The terminal at which the faults strike.
const PLACE: usize = 0;
/// More commands than any procedure sends: how long a fault lasts that stays.
const ALL: u64 = 300;
/// How long the longest run may take in which nothing waits for a deadline: cards take seconds to make keys.
const UNDISTURBED: Duration = Duration::from_secs(60);
/// How long a terminal waits for an answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Warnings, failures, refusals, remarks about lengths, words of other standards, and words that are none.
pub const ODD_STATUS_WORDS: [u16; 25] = [
    0x9000, 0x6200, 0x6283, 0x6300, 0x63C0, 0x6400, 0x6581, 0x6700, 0x6882, 0x6982, 0x6983, 0x6985, 0x6988, 0x6A80,
    0x6A84, 0x6A88, 0x6B00, 0x6CFF, 0x6100, 0x6D00, 0x6E00, 0x6F00, 0x9001, 0x0000, 0xFFFF,
];
/// In a channel, these have to be authentic, and are not.
const WITH_MAC: [u16; 5] = [0x9000, 0x6200, 0x6283, 0x6300, 0x63C0];
/// These have a meaning of their own in a channel: it is closed, there is more to come, the length was wrong, the PIN is
/// blocked.
const SPECIAL: [u16; 4] = [0x6988, 0x6100, 0x6CFF, 0x6983];

/// Why a card is not opened: it is gone already, it is none that could be used, or there is no way to it.
const UNOPENED: [fn() -> CardError; 11] = [
    || CardError::NoCard,
    || CardError::Removed,
    || CardError::Reset,
    || CardError::Timeout,
    || CardError::Garbled,
    || CardError::Mute,
    || CardError::UnsupportedCard,
    || CardError::ReaderStuck,
    || CardError::ReaderGone,
    || CardError::NoService,
    || CardError::NotAuthorized,
];

/// A terminal, with its reader.
#[derive(Clone, Copy)]
pub struct Played {
    variant: Variant,
    repeats_commands: bool,
}

impl Played {
    /// The product.
    pub const PRODUCT: Self = Self::of(Variant::PRODUCT);
    /// A reader that sends a command again that got no answer or asked for another length, until it is noticed.
    pub const REPEATING: Self = Self { repeats_commands: true, ..Self::until_noticed(Variant::PRODUCT) };

    /// A variant of the procedure.
    #[must_use]
    pub const fn of(variant: Variant) -> Self {
        Self { variant, repeats_commands: false }
    }

    /// A variant with a mistake, until it is noticed.
    #[must_use]
    pub const fn until_noticed(variant: Variant) -> Self {
        Self::of(Variant { until_noticed: true, ..variant })
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// At the card, once.
    Once(Fault),
    /// At the card, from there on.
    Always(Fault),
    /// On the line, in one answer.
    WrongBit(WrongBit),
    /// Another program resets the card, and holds it at so many attempts to begin.
    Held(u64),
    /// The card is not opened, for this reason.
    Unopened(fn() -> CardError),
}

/// One run.
#[derive(Clone, Copy)]
struct Case {
    played: Played,
    start: Start,
    /// At which APDU; which attempt to open the card.
    n: u64,
    trouble: Trouble,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Trouble::Unopened(why) = self.trouble {
            return write!(f, "{:?}, opening {}, {:?}", self.start, self.n, why());
        }
        write!(f, "{:?}, APDU {}, ", self.start, self.n)?;
        match self.trouble {
            Trouble::Once(Fault::StatusWord(sw)) => write!(f, "once {sw:04X}"),
            Trouble::Always(Fault::StatusWord(sw)) => write!(f, "always {sw:04X}"),
            trouble => write!(f, "{trouble:?}"),
        }
    }
}

/// What came of a run.
struct Run {
    struck: bool,
    /// The stage is as it was: another case can be played on it.
    left_no_trace: bool,
    /// The fault struck in a secure channel.
    in_channel: bool,
}

impl Case {
    fn play(self, findings: &mut Findings, stage: &mut Stage) -> Run {
        let name = self.to_string();
        let before = stage.holdings();
        let watch = WatchedReader::new(&stage.conversation);
        if self.played.repeats_commands {
            watch.repeat_commands();
        }
        self.arm(stage, &watch);
        let began = stage.clock.elapsed();
        let ended = self.run(stage, &watch);
        let took = stage.clock.elapsed() - began;
        let struck = self.disarm(stage, &watch);
        let in_channel = watch.header(self.n).is_some_and(is_in_channel);

        findings.note(&name, watch.check_no_replay());
        findings.note(&name, check_tries(stage));
        if took > UNDISTURBED + PATIENCE {
            findings.note(&name, Err(format!("it took {took:?}")));
        }
        let settled = stage.check_settled();
        match ended {
            Ok(_) if struck && self.has_to_end() => findings.note(&name, Err("it went on".into())),
            Ok(_) => findings.note(&name, settled.clone()),
            Err(error) if self.may_end_with(&error, in_channel) => {}
            Err(error) => findings.note(&name, Err(format!("it ended with {error:?}"))),
        }
        let untouched = stage.holdings() == before;
        if settled.is_err() && !untouched {
            settle(findings, &name, self.played.variant, stage, PLACE, self.start);
        } else {
            // All is done, or nothing: there is nothing to be settled.
            findings.note(&name, stage.check_agreement(if self.start == Start::Issued { &BOTH } else { &[] }));
            findings.note(&name, stage.check_accounted(PLACE));
            findings.note(&name, stage.check_nothing_left());
            findings.cases += 1;
        }
        // Keys that were made are taken from the stage's pool.
        let makes_keys = |ins: &u8| [card::ins::GENERATE_KEY_PAIR, card::ins::IMPORT_KEY_PAIR].contains(ins);
        let made_keys = watch.headers().iter().any(|[_, ins, ..]| makes_keys(ins));
        Run { struck, in_channel, left_no_trace: untouched && !made_keys }
    }

    fn arm(self, stage: &Stage, watch: &WatchedReader) {
        let control = stage.control(PLACE);
        match self.trouble {
            Trouble::Once(fault) => control.arm(self.n, fault),
            Trouble::Always(fault) => (self.n..ALL).for_each(|n| control.arm(n, fault)),
            Trouble::WrongBit(bit) => watch.wrong_bit(self.n, bit),
            Trouble::Unopened(why) => watch.leave_unopened(self.n, why),
            Trouble::Held(times) => {
                control.arm(self.n, Fault::Reset(When::BeforeExecution));
                watch.held_after_reset(times);
            }
        }
    }

    /// Had the trouble struck?
    fn disarm(self, stage: &Stage, watch: &WatchedReader) -> bool {
        let control = stage.control(PLACE);
        let armed = control.armed() as u64;
        control.disarm();
        match self.trouble {
            Trouble::Once(_) | Trouble::Held(_) => armed == 0,
            Trouble::Always(_) => armed < ALL - self.n,
            Trouble::WrongBit(_) | Trouble::Unopened(_) => watch.struck(),
        }
    }

    fn run(self, stage: &mut Stage, watch: &WatchedReader) -> Result<ProcedureReport, ProcedureError> {
        let number = stage.resident.number.clone();
        let mut terminal = stage.start_with(PLACE, |reader| watch.watch(reader))?;
        terminal.log_on(OPERATOR)?;
        terminal.run(&number, self.played.variant.plan(self.start))
    }

    /// Is there a reason to give up? A card that can't be opened will not be at the next attempt, unless it was not there.
    fn has_to_end(self) -> bool {
        let Trouble::Unopened(why) = self.trouble else { return false };
        !matches!(why(), CardError::NoCard) && why().recovery() != Recovery::Reconnect
    }

    /// Does this error say what was wrong? A card that lost its state once, or an answer that was lost, is no reason to end.
    fn may_end_with(self, error: &ProcedureError, in_channel: bool) -> bool {
        match (self.trouble, error) {
            (Trouble::Always(Fault::Reset(_)), ProcedureError::CardGone)
            | (Trouble::Held(_), ProcedureError::Reader(CardError::Busy)) => true,
            // The card will be there again, or it has to be said why not.
            (Trouble::Unopened(why), ProcedureError::Reader(told)) => {
                self.has_to_end() && discriminant(told) == discriminant(&why())
            }
            // What is wrong outside the channel is the card's word.
            (Trouble::WrongBit(_), ProcedureError::CardRefused { .. })
            | (Trouble::WrongBit(_), ProcedureError::WrongCard | ProcedureError::CardOfAnotherPerson { .. }) => {
                !in_channel
            }
            (Trouble::Once(Fault::StatusWord(sw)), error) => says_what(StatusWord(sw), error, in_channel),
            // From the second look on, it is the answer to the first command of all.
            (Trouble::Always(Fault::StatusWord(sw)), error) => says_what(StatusWord(sw), error, false),
            _ => false,
        }
    }
}

/// Does `error` tell that the card said `sw`?
fn says_what(sw: StatusWord, error: &ProcedureError, in_channel: bool) -> bool {
    // A consent that was none, data that are not there, another length: the error tells what the card said next.
    let next_word_counts = sw.is_ok() || sw.more_data().is_some() || sw.wrong_le().is_some();
    let blocked = sw == StatusWord::AUTHENTICATION_METHOD_BLOCKED;
    match error {
        ProcedureError::CardRefused { status, .. } => *status == sw || next_word_counts,
        ProcedureError::WrongFaceCode { tries_left: 0 } => blocked || sw.tries_left() == Some(0),
        ProcedureError::PinBlocked(_) => blocked,
        ProcedureError::WrongCard => !in_channel,
        _ => false,
    }
}

/// Is this a command in the secure channel? Those that open it are not.
fn is_in_channel([cla, ins, ..]: [u8; 4]) -> bool {
    const EXTERNAL_AUTHENTICATE: u8 = 0x82;
    cla & 0x04 != 0 && ins != EXTERNAL_AUTHENTICATE
}

/// Everybody knew the right numbers: no try is lost.
fn check_tries(stage: &Stage) -> Result<(), Broken> {
    let face = (&card::AID_FACE_INPUT, card::face_input::CHECK_NUMBER_B, card::pin::CHECK_NUMBER_TRIES);
    let sign = (&card::AID_JPKI, card::fid::SIGN_PIN, card::pin::SIGN_TRIES);
    let auth = (&card::AID_JPKI, card::fid::AUTH_PIN, card::pin::AUTH_TRIES);
    let checked = stage.control(PLACE).with_card(|card| {
        card.power_up().map_err(|error| error.to_string())?;
        for (aid, fid, full) in [face, sign, auth] {
            match tries_left(card, aid, fid) {
                // A PIN that was never set has none.
                Some(left) if left == full || left == 0 => {}
                left => return Err(format!("{left:?} of {full} tries are left at {fid:04X}")),
            }
        }
        Ok(())
    });
    checked.unwrap_or_else(|| Err("I7 no brick: the card is gone".into()))
}

/// Asks the card by VERIFY without data (ISO/IEC 7816-4 §11.5.6).
fn tries_left(card: &mut Card, aid: &[u8], fid: u16) -> Option<u8> {
    let select = |by: u8, what: &[u8]| [&[0x00, 0xA4, by, 0x0C, what.len() as u8], what].concat();
    card.transmit(&select(0x04, aid));
    card.transmit(&select(0x02, &fid.to_be_bytes()));
    match card.transmit(&[0x00, card::ins::VERIFY, 0x00, 0x80])[..] {
        [high, low] => StatusWord(u16::from_be_bytes([high, low])).tries_left(),
        _ => None,
    }
}

/// Plays the troubles of one place after the other. A stage on which a case has left no trace is used for the next.
fn at_every_place(played: Played, start: Start, troubles: impl Fn(u64, bool) -> Vec<Trouble>) -> Findings {
    for_every_place(played.variant, |n, findings| {
        let mut left = None;
        let mut play = |trouble, findings: &mut Findings| {
            let mut stage = left.take().unwrap_or_else(|| played.variant.stage(start));
            let run = Case { played, start, n, trouble }.play(findings, &mut stage);
            left = run.left_no_trace.then_some(stage);
            run
        };
        // The first tells where this place is.
        let first = play(troubles(n, false)[0], findings);
        let mut struck = first.struck;
        for trouble in troubles(n, first.in_channel).into_iter().skip(1) {
            struck |= play(trouble, findings).struck;
        }
        struck
    })
}

/// At which APDUs of the undisturbed procedure this instruction goes to the card.
///
/// # Panics
/// If it does not come through.
#[must_use]
pub fn places_of(variant: Variant, start: Start, instruction: u8) -> Vec<u64> {
    let mut stage = variant.stage(start);
    let watch = WatchedReader::new(&stage.conversation);
    let number = stage.resident.number.clone();
    let mut terminal = stage.start_with(PLACE, |reader| watch.watch(reader)).expect("a terminal");
    terminal.log_on(OPERATOR).and_then(|()| terminal.run(&number, variant.plan(start))).expect("issued");
    let headers = watch.headers();
    (1..).zip(&headers).filter(|(_, [_, ins, ..])| *ins == instruction).map(|(place, _)| place).collect()
}

/// The card is reset at the n-th APDU: once, and in a renewal again and again.
#[must_use]
pub fn resets(played: Played, start: Start) -> Findings {
    at_every_place(played, start, |_, _| {
        let once = When::BOTH.map(|when| Trouble::Once(Fault::Reset(when)));
        let always = (start == Start::Issued).then_some(Trouble::Always(Fault::Reset(When::BeforeExecution)));
        once.into_iter().chain(always).collect()
    })
}

/// The n-th APDU gets no answer in time; the card has performed it in a renewal, and not in an issue. Both at every place are
/// for [`resets`].
#[must_use]
pub fn silence(played: Played, start: Start) -> Findings {
    let when = if start == Start::Fresh { When::BeforeExecution } else { When::AfterExecution };
    at_every_place(played, start, |_, _| vec![Trouble::Once(Fault::Stall(when))])
}

/// The n-th answer is none, or has a wrong bit: in its status word, in its data, in the MAC behind them. Inside the secure
/// channel, where all of them are the same to a terminal, two at every place, the other two in the other kind of procedure.
#[must_use]
pub fn damage(played: Played, start: Start) -> Findings {
    let [status, data, mac] = [WrongBit::Status, WrongBit::Data, WrongBit::Mac].map(Trouble::WrongBit);
    let garbled = Trouble::Once(Fault::Garble);
    at_every_place(played, start, |n, in_channel| match (in_channel, n.is_multiple_of(2) == (start == Start::Fresh)) {
        (false, _) => vec![status, data, mac, garbled],
        (true, false) => vec![status, data],
        (true, true) => vec![garbled, mac],
    })
}

/// The n-th APDU is answered with an odd status word and not performed. Outside the secure channel with each; inside, where
/// most of them are the same to a terminal, with some, others at every place: once, or from there on.
#[must_use]
pub fn odd_status_words(played: Played, start: Start) -> Findings {
    let is_refusal = |sw: &u16| !WITH_MAC.contains(sw) && !SPECIAL.contains(sw);
    let refusals: Vec<u16> = ODD_STATUS_WORDS.into_iter().filter(is_refusal).collect();
    at_every_place(played, start, |n, in_channel| {
        let once = |sw: u16| Trouble::Once(Fault::StatusWord(sw));
        let of = |words: &[u16]| words[usize::try_from(n / 2).unwrap_or_default() % words.len()];
        let always = Trouble::Always(Fault::StatusWord(of(&refusals)));
        match (in_channel, n.is_multiple_of(2) == (start == Start::Fresh)) {
            // Up to the look, an issue and a renewal are the same: half of the words are enough there.
            (false, half) => {
                let here = |index: usize| start == Start::Fresh || index.is_multiple_of(2) == half;
                let words = ODD_STATUS_WORDS.into_iter().enumerate().filter(|(index, _)| here(*index));
                words.map(|(_, sw)| once(sw)).chain([always]).collect()
            }
            (true, false) => vec![once(of(&WITH_MAC)), once(of(&refusals))],
            (true, true) => vec![once(of(&SPECIAL)), always],
        }
    })
}

/// At the n-th APDU another program resets the card, takes it and holds it for a while.
#[must_use]
pub fn held_by_another(played: Played, start: Start) -> Findings {
    at_every_place(played, start, |n, _| vec![Trouble::Held(1 + n % 3)])
}

/// The card is not opened the n-th time.
#[must_use]
pub fn unopened(played: Played, start: Start) -> Findings {
    at_every_place(played, start, |_, _| UNOPENED.map(Trouble::Unopened).to_vec())
}
