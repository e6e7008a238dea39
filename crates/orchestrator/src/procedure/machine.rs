//! The machine: states, events, actions.

use std::collections::VecDeque;

use apdu::StatusWord;
use authority_link::Answer;
use jpki::CertificateKind;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::case::{Case, CaseInput};
use super::look::{self, Finding, OnlySlot};
use super::steps::{Stepping, advance, not_as_asked, read_issued, stepped};
use super::{Action, AuthorityCall, CardCommand, CardData, CardReply, Event, Machine, Name, Outcome, Pending};
use crate::error::ProcedureError;
use crate::progress::{Progress, Settlement};

/// A procedure between two events.
#[derive(Debug)]
pub struct Procedure {
    case: Case,
    state: State,
}

/// What the procedure waits for. Each state holds what is valid there and nowhere else.
#[derive(Debug)]
pub(super) enum State {
    AskingFaceCode,
    BeginningCard {
        face_code: Option<Zeroizing<String>>,
    },
    ReadingSerial {
        face_code: Option<Zeroizing<String>>,
    },
    ReadingHolder,
    OpeningChannel,
    Looking {
        kind: CertificateKind,
        at: Look,
        rest: VecDeque<CertificateKind>,
    },
    EndingForPins,
    AskingToOverwrite,
    AskingPins,
    Stepping(Stepping),
    /// Emptying the pending slot before giving up.
    Discarding {
        failure: ProcedureError,
    },
    /// The card refused: perhaps it is not as it was looked at. Look again.
    EndingToLookAgain,
    Ending {
        failure: Option<ProcedureError>,
    },
    Finished,
}

/// Where a look at one kind stands.
#[derive(Debug)]
pub(super) enum Look {
    Status,
    ReadPending(Name),
    AskPending,
    AskActive,
    ReadActive(Name),
    AskOverwritten,
    Discard,
}

pub(super) type Next = (State, Action);

impl Procedure {
    /// A procedure at its beginning, and what to do first.
    #[must_use]
    pub fn begin(input: CaseInput) -> (Self, Action) {
        let case = Case::new(input);
        if case.holder_checked {
            return (Self { case, state: State::BeginningCard { face_code: None } }, Action::BeginCard);
        }
        (Self { case, state: State::AskingFaceCode }, Action::AskFaceCode)
    }

    /// Has the procedure ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }
}

impl Machine for Procedure {
    /// An event that the state does not wait for ends the procedure with [`ProcedureError::UnexpectedEvent`]; nothing is guessed at.
    fn step(self, event: Event) -> (Self, Action) {
        let Self { mut case, state } = self;
        let (state, action) = transition(&mut case, state, event);
        (Self { case, state }, action)
    }

    fn told(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.case.told.0)
    }
}

fn transition(case: &mut Case, state: State, event: Event) -> Next {
    match (state, event) {
        (State::Finished, event) => {
            finish(case, Some(ProcedureError::UnexpectedEvent { expected: "nothing", got: event.name() }))
        }
        (State::AskingFaceCode, Event::FaceCode(code)) => {
            (State::BeginningCard { face_code: Some(code) }, Action::BeginCard)
        }
        (State::AskingPins, Event::Pins(pins)) => {
            case.pins = pins;
            (State::BeginningCard { face_code: None }, Action::BeginCard)
        }
        (State::AskingToOverwrite, Event::Agreed) => {
            case.overwriting_agreed = true;
            (State::AskingPins, Action::AskPins(case.pins_wanted()))
        }
        (State::AskingFaceCode | State::AskingToOverwrite | State::AskingPins, Event::Declined) => {
            finish(case, Some(ProcedureError::Cancelled))
        }
        (State::BeginningCard { face_code }, Event::CardReady) => {
            (State::ReadingSerial { face_code }, Action::Card(CardCommand::ReadSerial))
        }
        (State::BeginningCard { .. }, Event::CardFailed(error)) => {
            let failure = match error {
                card_reader::CardError::Timeout | card_reader::CardError::NoCard if case.losses > 0 => {
                    ProcedureError::CardGone
                }
                card_reader::CardError::Timeout | card_reader::CardError::NoCard => ProcedureError::NoCard,
                error => ProcedureError::Reader(error),
            };
            finish(case, Some(failure))
        }
        (State::BeginningCard { face_code }, Event::CardLost) => {
            // Gone before anything was sent to it.
            case.losses += 1;
            if case.losses > Case::MAX_LOSSES {
                return finish(case, Some(ProcedureError::CardGone));
            }
            (State::BeginningCard { face_code }, Action::BeginCard)
        }
        (state, Event::CardLost) if state.holds_card() => card_lost(case, state),
        (state, Event::CardFailed(error)) if state.holds_card() => {
            let failure = state.failure().unwrap_or(ProcedureError::Reader(error));
            end_card(Some(failure))
        }
        (state, Event::Failed(error)) if state.holds_card() => {
            let failure = state.failure().unwrap_or(*error);
            end_card(Some(failure))
        }
        (state, Event::Failed(error)) => finish(case, Some(state.failure().unwrap_or(*error))),
        (State::ReadingSerial { face_code }, Event::Card(reply)) => serial_read(case, face_code, reply),
        (State::ReadingHolder, Event::Card(reply)) => holder_read(case, reply),
        (State::OpeningChannel, Event::Card(CardReply::Done(_))) => begin_look(case),
        (State::OpeningChannel, Event::Card(_)) => end_card(Some(ProcedureError::WrongCard)),
        (State::Looking { kind, at, rest }, event) => looked(case, kind, at, rest, event),
        (State::EndingForPins, Event::CardEnded) => {
            if case.kinds.keys().any(|kind| case.overwrites_unasked(*kind)) {
                (State::AskingToOverwrite, Action::AskOverwrite)
            } else {
                (State::AskingPins, Action::AskPins(case.pins_wanted()))
            }
        }
        (State::EndingToLookAgain, Event::CardEnded) => {
            case.start_again();
            (State::BeginningCard { face_code: None }, Action::BeginCard)
        }
        (State::Stepping(stepping), event) => stepped(case, stepping, event),
        (State::Discarding { failure }, Event::Card(_)) => end_card(Some(failure)),
        (State::Ending { failure }, Event::CardEnded) => finish(case, failure),
        (state, event) => unexpected(case, &state, &event),
    }
}

// ---------------------------------------------------------------- the card comes, and goes

fn serial_read(case: &mut Case, face_code: Option<Zeroizing<String>>, reply: CardReply) -> Next {
    let CardReply::Done(CardData::Record(serial, last_day)) = reply else {
        return end_card(Some(ProcedureError::WrongCard));
    };
    match &case.card_serial {
        Some(known) if **known != *serial => return end_card(Some(ProcedureError::WrongCard)),
        Some(_) => {}
        None => case.card_serial = Some(serial),
    }
    // What is open can be settled on an expired card, too.
    if case.input.applicant.is_some() && last_day < jpki::validity::japanese_day(case.input.began) {
        return end_card(Some(ProcedureError::CardExpired));
    }
    match face_code {
        Some(code) if !case.holder_checked => (State::ReadingHolder, Action::Card(CardCommand::ReadHolder(code))),
        _ => (State::OpeningChannel, Action::Card(CardCommand::OpenChannel)),
    }
}

fn holder_read(case: &mut Case, reply: CardReply) -> Next {
    let failure = match reply {
        CardReply::Done(CardData::Holder(holder)) => match case.check_holder(&holder) {
            Ok(()) => {
                case.holder_checked = true;
                return (State::OpeningChannel, Action::Card(CardCommand::OpenChannel));
            }
            Err(failure) => failure,
        },
        CardReply::Refused(status) => match status.tries_left() {
            Some(tries_left) => ProcedureError::WrongFaceCode { tries_left },
            None if is_blocked(status) => ProcedureError::WrongFaceCode { tries_left: 0 },
            None => ProcedureError::CardRefused { step: "read-holder", status },
        },
        CardReply::Done(_) | CardReply::Nonsense => ProcedureError::WrongCard,
    };
    end_card(Some(failure))
}

/// ISO/IEC 7816-4 says `6983` when no tries are left; real cards were seen to say `6984`.
fn is_blocked(status: StatusWord) -> bool {
    matches!(status, StatusWord::AUTHENTICATION_METHOD_BLOCKED | StatusWord::REFERENCE_DATA_NOT_USABLE)
}

/// The card was taken away or reset. Whatever the terminal believed of it counts no more.
fn card_lost(case: &mut Case, state: State) -> Next {
    case.losses += 1;
    case.told.0.push(Progress::CardLost);
    let looks_first = |rest: &VecDeque<_>| rest.len() + 1 == case.kinds.len();
    case.deaf += u8::from(matches!(&state, State::Looking { at: Look::Status, rest, .. } if looks_first(rest)));
    let (face_code, failure) = match state {
        // The number was not used yet; a number that was sent is never sent again.
        State::ReadingSerial { face_code } => (face_code, None),
        // All was done when the card went.
        State::Ending { failure: None } => return finish(case, None),
        state => (None, state.failure()),
    };
    if failure.is_some() || case.losses > Case::MAX_LOSSES {
        let gone = if case.deaf == case.losses { ProcedureError::WrongCard } else { ProcedureError::CardGone };
        return finish(case, Some(failure.unwrap_or(gone)));
    }
    case.start_again();
    if !case.holder_checked && face_code.is_none() {
        return (State::AskingFaceCode, Action::AskFaceCode);
    }
    (State::BeginningCard { face_code }, Action::BeginCard)
}

pub(super) fn end_card(failure: Option<ProcedureError>) -> Next {
    (State::Ending { failure }, Action::EndCard)
}

fn finish(case: &mut Case, failure: Option<ProcedureError>) -> Next {
    case.pins.clear();
    (State::Finished, Action::Finish(Outcome { report: case.close_report(), failure }))
}

/// The card is not as it was looked at: another terminal has had it, or its answer was lost. Look again, a few times.
pub(super) fn look_again(case: &mut Case, step: &'static str, status: StatusWord) -> Next {
    case.losses += 1;
    if case.losses > Case::MAX_LOSSES {
        return end_card(Some(ProcedureError::CardRefused { step, status }));
    }
    (State::EndingToLookAgain, Action::EndCard)
}

pub(super) fn unexpected(case: &mut Case, state: &State, event: &Event) -> Next {
    let failure = ProcedureError::UnexpectedEvent { expected: state.name(), got: event.name() };
    if state.holds_card() { end_card(Some(failure)) } else { finish(case, Some(failure)) }
}

// ---------------------------------------------------------------- look

fn begin_look(case: &mut Case) -> Next {
    // A new channel: nothing that was verified or looked at in an earlier one counts.
    case.forget_look();
    let rest: VecDeque<_> = case.kinds.keys().copied().collect();
    look_on(case, rest)
}

fn look_on(case: &mut Case, mut rest: VecDeque<CertificateKind>) -> Next {
    match rest.pop_front() {
        Some(kind) => (State::Looking { kind, at: Look::Status, rest }, Action::Card(CardCommand::Status(kind))),
        None => {
            let slots = look::slots_found(case);
            if case.slots_told.as_ref() != Some(&slots) {
                case.slots_told = Some(slots.clone());
                case.told.0.push(Progress::CardRecognised { slots, elapsed_ms: 0 });
            }
            match look::judge(case) {
                Ok(()) => advance(case),
                Err(failure) => end_card(Some(failure)),
            }
        }
    }
}

fn looked(case: &mut Case, kind: CertificateKind, at: Look, rest: VecDeque<CertificateKind>, event: Event) -> Next {
    match (at, event) {
        (Look::Status, Event::Card(CardReply::Done(CardData::Status(status)))) => {
            case.kind(kind).status = Some(status);
            match look::finding(case.kind(kind)) {
                Finding::Clear => look_on(case, rest),
                Finding::AskAboutPending(name) => (
                    State::Looking { kind, at: Look::ReadPending(name), rest },
                    Action::Card(CardCommand::ReadBack(kind)),
                ),
                Finding::AskAboutActive(name) => ask(kind, Look::AskActive, name, rest),
                Finding::AskAboutOverwritten(name) => ask(kind, Look::AskOverwritten, name, rest),
                Finding::Discard(name) => discard_found(kind, name, rest),
            }
        }
        (Look::ReadPending(name), Event::Card(CardReply::Done(CardData::Bytes(certificate)))) => {
            if Name::from(Sha256::digest(&certificate)) != name {
                // What is stored is not what the slot says: of no use to anybody.
                return discard_found(kind, name, rest);
            }
            let state = case.kind(kind);
            state.issued = read_issued(kind, &certificate, state.key_origin());
            ask(kind, Look::AskPending, name, rest)
        }
        (Look::AskPending, Event::Authority(Answer::State(found), _)) => {
            match look::take_up_pending(case, kind, found) {
                Some(name) => discard_found(kind, name, rest),
                None => look_on(case, rest),
            }
        }
        (Look::AskActive, Event::Authority(Answer::State(found), _)) => {
            if case.kind(kind).status.as_ref().is_some_and(|status| status.pending_slot) {
                look::take_up_active(case, kind, found);
                return look_on(case, rest);
            }
            match look::take_up_only(case, kind, found) {
                OnlySlot::Clear => look_on(case, rest),
                OnlySlot::Read(name) => (
                    State::Looking { kind, at: Look::ReadActive(name), rest },
                    Action::Card(CardCommand::ReadBack(kind)),
                ),
                OnlySlot::Discard(name) => discard_found(kind, name, rest),
            }
        }
        (Look::ReadActive(name), Event::Card(CardReply::Done(CardData::Bytes(certificate)))) => {
            if Name::from(Sha256::digest(&certificate)) != name {
                return end_card(Some(ProcedureError::WrongCard));
            }
            let state = case.kind(kind);
            state.issued = read_issued(kind, &certificate, state.key_origin());
            look_on(case, rest)
        }
        (Look::AskOverwritten, Event::Authority(Answer::State(found), _)) => {
            look::take_up_overwritten(case, kind, found);
            look_on(case, rest)
        }
        (Look::Discard, Event::Card(CardReply::Done(_))) => {
            case.told.settled(kind, Settlement::Discarded);
            if let Some(status) = &mut case.kind(kind).status {
                status.pending = Pending::Empty;
                if !status.pending_slot {
                    status.active = None;
                }
            }
            case.kind(kind).issued = None;
            // What is active was hidden by what was pending: look at it now.
            match look::finding(case.kind(kind)) {
                Finding::AskAboutActive(name) => ask(kind, Look::AskActive, name, rest),
                _ => look_on(case, rest),
            }
        }
        (_, Event::Authority(answer, _)) => end_card(Some(not_as_asked(answer))),
        (_, Event::AuthorityFailed(error)) => end_card(Some(*error)),
        (_, Event::Card(CardReply::Refused(status))) => look_again(case, "look", status),
        (_, Event::Card(_)) => end_card(Some(ProcedureError::WrongCard)),
        (at, event) => unexpected(case, &State::Looking { kind, at, rest }, &event),
    }
}

fn ask(kind: CertificateKind, at: Look, name: Name, rest: VecDeque<CertificateKind>) -> Next {
    (State::Looking { kind, at, rest }, Action::Authority(AuthorityCall::StateOf(name)))
}

fn discard_found(kind: CertificateKind, name: Name, rest: VecDeque<CertificateKind>) -> Next {
    (State::Looking { kind, at: Look::Discard, rest }, Action::Card(CardCommand::Discard(kind, name)))
}

// ---------------------------------------------------------------- names

impl State {
    /// Is a card transaction open?
    fn holds_card(&self) -> bool {
        match self {
            Self::AskingFaceCode
            | Self::BeginningCard { .. }
            | Self::AskingToOverwrite
            | Self::AskingPins
            | Self::Finished => false,
            Self::ReadingSerial { .. }
            | Self::ReadingHolder
            | Self::OpeningChannel
            | Self::Looking { .. }
            | Self::EndingForPins
            | Self::Stepping(_)
            | Self::Discarding { .. }
            | Self::EndingToLookAgain
            | Self::Ending { .. } => true,
        }
    }

    /// The failure with which the procedure is already on its way out. The first error wins.
    fn failure(self) -> Option<ProcedureError> {
        match self {
            Self::Discarding { failure } => Some(failure),
            Self::Ending { failure } => failure,
            Self::Stepping(Stepping::Rejecting(_, failure)) => Some(failure),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AskingFaceCode => "asking for the number on the card's face",
            Self::BeginningCard { .. } => "waiting for the card",
            Self::ReadingSerial { .. } => "reading the card's serial",
            Self::ReadingHolder => "reading the holder",
            Self::OpeningChannel => "opening the channel",
            Self::Looking { .. } => "looking",
            Self::EndingForPins | Self::EndingToLookAgain | Self::Ending { .. } => "ending the card transaction",
            Self::AskingToOverwrite => "asking whether to overwrite",
            Self::AskingPins => "asking for PINs",
            Self::Stepping(stepping) => stepping.name(),
            Self::Discarding { .. } => "discarding",
            Self::Finished => "nothing",
        }
    }
}

impl Event {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::FaceCode(_) => "the number on the card's face",
            Self::Pins(_) => "PINs",
            Self::Agreed => "agreed",
            Self::Declined => "declined",
            Self::CardReady => "card ready",
            Self::Card(_) => "an answer of the card",
            Self::KeyPairMade(_) => "a key pair of the HSM",
            Self::CardLost => "card lost",
            Self::CardFailed(_) => "card failed",
            Self::Failed(_) => "the terminal failed",
            Self::Authority(..) => "an answer of the authority",
            Self::AuthorityFailed(_) => "authority failed",
            Self::CardEnded => "card ended",
        }
    }
}
