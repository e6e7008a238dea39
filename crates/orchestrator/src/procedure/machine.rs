//! The machine: states, events, actions.

use std::collections::VecDeque;

use authority_link::{Answer, CertificationDraft, CertificationRequest, IssueState};
use jpki::{CertificateKind, Pin};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::case::{Case, CaseInput};
use super::look::{self, Finding};
use super::{Action, AuthorityCall, CardCommand, CardData, CardReply, Event, Name, Outcome, Pending, SlotStatus};
use crate::card::signing;
use crate::error::ProcedureError;
use crate::plan::Step;
use crate::progress::{IssuedCertificate, Progress, Settlement};

/// A procedure between two events.
#[derive(Debug)]
pub struct Procedure {
    case: Case,
    state: State,
}

/// What the procedure waits for. Each state holds what is valid there and nowhere else.
#[derive(Debug)]
enum State {
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
    AskingPins,
    Stepping(Stepping),
    /// Emptying the pending slot before giving up.
    Discarding {
        failure: ProcedureError,
    },
    /// The card refused what it would not refuse had it been as looked at: look again.
    EndingToLookAgain,
    Ending {
        failure: Option<ProcedureError>,
    },
    Finished,
}

/// Where a look at one kind stands.
#[derive(Debug)]
enum Look {
    Status,
    ReadPending(Name),
    AskPending,
    AskActive,
    Discard,
}

/// Where a step stands.
#[derive(Debug)]
enum Stepping {
    SettingPin(CertificateKind, Pin),
    VerifyingPin(CertificateKind),
    Generating(CertificateKind),
    ReadingKey(CertificateKind, Name),
    Proving(CertificateKind, Box<CertificationDraft>),
    Requesting(CertificateKind),
    Rejecting(CertificateKind, ProcedureError),
    Writing(CertificateKind),
    ReadingBack(CertificateKind),
    Exercising(CertificateKind, [u8; 32]),
    Confirming(CertificateKind),
    Committing(CertificateKind),
    Superseding(CertificateKind),
}

type Next = (State, Action);

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

    /// What the procedure has told since it was asked last.
    pub fn told(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.case.told.0)
    }

    /// Has the procedure ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Takes one event and says what to do next. An event that the state does not wait for ends the procedure with
    /// [`ProcedureError::UnexpectedEvent`]; nothing is guessed at.
    #[must_use]
    pub fn step(self, event: Event) -> (Self, Action) {
        let Self { mut case, state } = self;
        let (state, action) = transition(&mut case, state, event);
        (Self { case, state }, action)
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
        (State::AskingFaceCode | State::AskingPins, Event::Declined) => finish(case, Some(ProcedureError::Cancelled)),
        (State::BeginningCard { face_code }, Event::CardReady) => {
            (State::ReadingSerial { face_code }, Action::Card(CardCommand::ReadSerial))
        }
        (State::BeginningCard { .. }, Event::CardFailed(error)) => {
            let failure = match error {
                _ if case.losses > 0 => ProcedureError::CardGone,
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
        (State::EndingForPins, Event::CardEnded) => (State::AskingPins, Action::AskPins(case.pins_wanted())),
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
    let CardReply::Done(CardData::Bytes(serial)) = reply else {
        return end_card(Some(ProcedureError::WrongCard));
    };
    match &case.card_serial {
        Some(known) if **known != *serial => return end_card(Some(ProcedureError::WrongCard)),
        Some(_) => {}
        None => case.card_serial = Some(serial),
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
            None => ProcedureError::CardRefused { step: "read-holder", status },
        },
        CardReply::Done(_) | CardReply::Nonsense => ProcedureError::WrongCard,
    };
    end_card(Some(failure))
}

/// The card was taken away or reset. Whatever the terminal believed of it counts no more.
fn card_lost(case: &mut Case, state: State) -> Next {
    case.losses += 1;
    case.told.0.push(Progress::CardLost);
    let (face_code, failure) = match state {
        // The number was not used yet; a number that was sent is never sent again.
        State::ReadingSerial { face_code } => (face_code, None),
        // All was done when the card went.
        State::Ending { failure: None } => return finish(case, None),
        state => (None, state.failure()),
    };
    if failure.is_some() || case.losses > Case::MAX_LOSSES {
        return finish(case, Some(failure.unwrap_or(ProcedureError::CardGone)));
    }
    case.start_again();
    if !case.holder_checked && face_code.is_none() {
        return (State::AskingFaceCode, Action::AskFaceCode);
    }
    (State::BeginningCard { face_code }, Action::BeginCard)
}

fn end_card(failure: Option<ProcedureError>) -> Next {
    (State::Ending { failure }, Action::EndCard)
}

fn finish(case: &mut Case, failure: Option<ProcedureError>) -> Next {
    case.pins.clear();
    (State::Finished, Action::Finish(Outcome { report: case.close_report(), failure }))
}

/// The card is not as it was looked at: another terminal has had it, or its answer was lost. Look again, a few times.
fn look_again(case: &mut Case, step: &'static str, status: apdu::StatusWord) -> Next {
    case.losses += 1;
    if case.losses > Case::MAX_LOSSES {
        return end_card(Some(ProcedureError::CardRefused { step, status }));
    }
    (State::EndingToLookAgain, Action::EndCard)
}

fn unexpected(case: &mut Case, state: &State, event: &Event) -> Next {
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
                Finding::AskAboutActive(name) => (
                    State::Looking { kind, at: Look::AskActive, rest },
                    Action::Authority(AuthorityCall::StateOf(name)),
                ),
                Finding::Discard(name) => discard_found(kind, name, rest),
            }
        }
        (Look::ReadPending(name), Event::Card(CardReply::Done(CardData::Bytes(certificate)))) => {
            case.kind(kind).issued = read_issued(kind, &certificate);
            (State::Looking { kind, at: Look::AskPending, rest }, Action::Authority(AuthorityCall::StateOf(name)))
        }
        (Look::AskPending, Event::Authority(Answer::State(found), _)) => {
            match look::take_up_pending(case, kind, found) {
                Some(name) => discard_found(kind, name, rest),
                None => look_on(case, rest),
            }
        }
        (Look::AskActive, Event::Authority(Answer::State(found), _)) => {
            look::take_up_active(case, kind, found);
            look_on(case, rest)
        }
        (Look::Discard, Event::Card(CardReply::Done(_))) => {
            case.told.settled(kind, Settlement::Discarded);
            if let Some(status) = &mut case.kind(kind).status {
                status.pending = Pending::Empty;
            }
            case.kind(kind).issued = None;
            // What is active was hidden by what was pending: look at it now.
            match look::finding(case.kind(kind)) {
                Finding::AskAboutActive(name) => (
                    State::Looking { kind, at: Look::AskActive, rest },
                    Action::Authority(AuthorityCall::StateOf(name)),
                ),
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

fn discard_found(kind: CertificateKind, name: Name, rest: VecDeque<CertificateKind>) -> Next {
    (State::Looking { kind, at: Look::Discard, rest }, Action::Card(CardCommand::Discard(kind, name)))
}

// ---------------------------------------------------------------- steps

/// Begins the first step that is not done, or ends the procedure.
fn advance(case: &mut Case) -> Next {
    loop {
        let Some((kind, step)) = case.next_step() else { return end_card(None) };
        if let Some(next) = begin_step(case, kind, step) {
            return next;
        }
    }
}

/// The first action of a step; nothing if the step was done on the spot.
fn begin_step(case: &mut Case, kind: CertificateKind, step: Step) -> Option<Next> {
    let nothing_to_supersede = step == Step::Supersede && case.kind(kind).predecessor.is_none();
    if step != Step::Pin && !nothing_to_supersede {
        case.told.started(kind, step);
    }
    match step {
        Step::Pin => Some(begin_pin(case, kind)),
        Step::GenerateKey => {
            let transaction = case.draw_transaction();
            case.kind(kind).transaction = Some(transaction);
            Some(card(Stepping::Generating(kind), CardCommand::Generate(kind, transaction)))
        }
        Step::Request => Some(begin_request(case, kind)),
        Step::Check => begin_check(case, kind),
        Step::Write => {
            let state = case.kind(kind);
            let (Some(spki), Some(certificate), Some(sha256)) = (&state.spki, &state.certificate, state.sha256) else {
                return Some(out_of_order("write"));
            };
            let command = CardCommand::Write(kind, Sha256::digest(spki).into(), sha256, certificate.clone());
            Some(card(Stepping::Writing(kind), command))
        }
        Step::Exercise => {
            let challenge = case.draw();
            let data = signing::to_be_signed(case.input.profile.algorithm, &challenge);
            Some(card(Stepping::Exercising(kind, challenge), CardCommand::Sign(kind, data)))
        }
        Step::Confirm => {
            let state = case.kind(kind);
            let (Some(transaction), Some(certificate)) = (state.transaction, state.sha256) else {
                return Some(out_of_order("confirm"));
            };
            let call = AuthorityCall::Confirm { kind, transaction, certificate, accept: true };
            Some((State::Stepping(Stepping::Confirming(kind)), Action::Authority(call)))
        }
        Step::Commit => {
            let Some(name) = case.kind(kind).sha256 else { return Some(out_of_order("commit")) };
            Some(card(Stepping::Committing(kind), CardCommand::Commit(kind, name)))
        }
        Step::Supersede => {
            let Some(predecessor) = case.kind(kind).predecessor.clone() else {
                case.kind(kind).done.insert(Step::Supersede);
                return None;
            };
            let call = AuthorityCall::Supersede(kind, predecessor);
            Some((State::Stepping(Stepping::Superseding(kind)), Action::Authority(call)))
        }
    }
}

fn begin_pin(case: &mut Case, kind: CertificateKind) -> Next {
    let Some(pin) = case.take_pin(kind) else {
        // Nobody is asked while the card is held.
        return (State::EndingForPins, Action::EndCard);
    };
    case.told.started(kind, Step::Pin);
    if case.kind(kind).status.as_ref().is_some_and(|status| status.active.is_some()) {
        card(Stepping::VerifyingPin(kind), CardCommand::VerifyPin(kind, pin))
    } else {
        card(Stepping::SettingPin(kind, pin.clone()), CardCommand::SetPin(kind, pin))
    }
}

fn begin_request(case: &mut Case, kind: CertificateKind) -> Next {
    let state = case.kinds.get(&kind);
    let (Some(applicant), Some(state)) = (&case.input.applicant, state) else { return out_of_order("request") };
    let (Some(spki), Some(issuer)) = (&state.spki, case.input.issuers.get(&kind)) else {
        return out_of_order("request");
    };
    let draft = CertificationRequest::draft(
        kind,
        &applicant.application,
        spki,
        &applicant.request_name,
        issuer,
        state.predecessor.as_ref(),
    );
    match draft {
        Ok(draft) => {
            let data = signing::to_be_signed(case.input.profile.algorithm, draft.to_be_proved());
            card(Stepping::Proving(kind, Box::new(draft)), CardCommand::Sign(kind, data))
        }
        Err(error) => give_up(case, kind, ProcedureError::AuthorityNotTrusted(error)),
    }
}

/// Compares the certificate with what was applied for; a difference rejects it at the authority.
fn begin_check(case: &mut Case, kind: CertificateKind) -> Option<Next> {
    let state = case.kinds.get(&kind)?;
    let (Some(transaction), Some(sha256)) = (state.transaction, state.sha256) else {
        return Some(out_of_order("check"));
    };
    match case.check_certificate(kind) {
        Ok(()) => {
            case.done(kind, Step::Check);
            None
        }
        Err(failure) => {
            let call = AuthorityCall::Confirm { kind, transaction, certificate: sha256, accept: false };
            Some((State::Stepping(Stepping::Rejecting(kind, failure)), Action::Authority(call)))
        }
    }
}

fn stepped(case: &mut Case, stepping: Stepping, event: Event) -> Next {
    match (stepping, event) {
        (Stepping::SettingPin(kind, pin), Event::Card(CardReply::Done(_))) => {
            card(Stepping::VerifyingPin(kind), CardCommand::VerifyPin(kind, pin))
        }
        (Stepping::VerifyingPin(kind), Event::Card(CardReply::Done(_))) => done(case, kind, Step::Pin),
        (Stepping::VerifyingPin(kind), Event::Card(CardReply::Refused(status))) => pin_refused(case, kind, status),
        (Stepping::Generating(kind), Event::Card(CardReply::Done(CardData::Bytes(name)))) => {
            match Name::try_from(name.as_slice()) {
                Ok(name) => card(Stepping::ReadingKey(kind, name), CardCommand::ReadKey(kind)),
                Err(_) => end_card(Some(ProcedureError::WrongCard)),
            }
        }
        (Stepping::ReadingKey(kind, name), Event::Card(CardReply::Done(CardData::Bytes(spki)))) => {
            if Name::from(Sha256::digest(&spki)) != name {
                return end_card(Some(ProcedureError::WrongCard));
            }
            case.kind(kind).spki = Some(spki.to_vec());
            done(case, kind, Step::GenerateKey)
        }
        (Stepping::Proving(kind, draft), Event::Card(CardReply::Done(CardData::Bytes(signature)))) => {
            let Some(transaction) = case.kind(kind).transaction else { return out_of_order("request") };
            match draft.prove(&signature) {
                Ok(request) => {
                    let call = AuthorityCall::Certify(kind, transaction, Box::new(request));
                    (State::Stepping(Stepping::Requesting(kind)), Action::Authority(call))
                }
                Err(error) => give_up(case, kind, ProcedureError::AuthorityNotTrusted(error)),
            }
        }
        (Stepping::Requesting(kind), Event::Authority(Answer::Issued { certificate, .. }, at)) => {
            let state = case.kind(kind);
            state.answered_at = Some(at);
            state.sha256 = Some(Sha256::digest(&certificate).into());
            state.issued = read_issued(kind, &certificate);
            state.certificate = Some(Zeroizing::new(certificate.to_vec()));
            done(case, kind, Step::Request)
        }
        (Stepping::Requesting(kind), Event::Authority(answer, _)) => give_up(case, kind, not_as_asked(answer)),
        (Stepping::Requesting(kind), Event::AuthorityFailed(error)) => give_up(case, kind, *error),
        // A rejection that the authority did not hear of ends there by itself: unconfirmed certificates are revoked.
        (Stepping::Rejecting(kind, failure), Event::Authority(..) | Event::AuthorityFailed(_)) => {
            give_up(case, kind, failure)
        }
        (Stepping::Writing(kind), Event::Card(CardReply::Done(_))) => {
            card(Stepping::ReadingBack(kind), CardCommand::ReadBack(kind))
        }
        (Stepping::ReadingBack(kind), Event::Card(CardReply::Done(CardData::Bytes(read)))) => {
            if case.kind(kind).certificate.as_ref().is_some_and(|written| **written == *read) {
                done(case, kind, Step::Write)
            } else {
                let failure = ProcedureError::CertificateDiffers { field: "read-back" };
                give_up(case, kind, failure)
            }
        }
        (Stepping::Exercising(kind, challenge), Event::Card(CardReply::Done(CardData::Bytes(signature)))) => {
            let works = case
                .kinds
                .get(&kind)
                .and_then(|state| state.spki.as_ref())
                .is_some_and(|spki| signing::verifies(case.input.profile.algorithm, spki, &challenge, &signature));
            if works {
                done(case, kind, Step::Exercise)
            } else {
                give_up(case, kind, ProcedureError::CertificateDiffers { field: "key" })
            }
        }
        (Stepping::Confirming(kind), Event::Authority(Answer::Confirmed, _)) => done(case, kind, Step::Confirm),
        (Stepping::Confirming(kind), Event::Authority(answer, _)) => give_up(case, kind, not_as_asked(answer)),
        // Not known whether it was heard: the next look, here or elsewhere, finds out.
        (Stepping::Confirming(_), Event::AuthorityFailed(error)) => end_card(Some(*error)),
        (Stepping::Committing(kind), Event::Card(CardReply::Done(_))) => committed(case, kind),
        (Stepping::Superseding(kind), Event::Authority(Answer::Revoked, _)) => {
            if case.kind(kind).taken_up {
                case.told.settled(kind, Settlement::Superseded);
            }
            done(case, kind, Step::Supersede)
        }
        (Stepping::Superseding(kind), Event::Authority(..) | Event::AuthorityFailed(_)) => {
            // The new certificate works; the old one is on the authority's list until a terminal sees the card again.
            case.report.unsettled.push(kind);
            case.kind(kind).done.insert(Step::Supersede);
            advance(case)
        }
        (
            stepping @ (Stepping::Generating(_)
            | Stepping::ReadingKey(..)
            | Stepping::Writing(_)
            | Stepping::ReadingBack(_)
            | Stepping::Committing(_)),
            Event::Card(CardReply::Refused(status)),
        ) => look_again(case, stepping.name(), status),
        (stepping, Event::Card(CardReply::Refused(status))) => {
            end_card(Some(ProcedureError::CardRefused { step: stepping.name(), status }))
        }
        (_, Event::Card(_)) => end_card(Some(ProcedureError::WrongCard)),
        (stepping, event) => unexpected(case, &State::Stepping(stepping), &event),
    }
}

fn committed(case: &mut Case, kind: CertificateKind) -> Next {
    let state = case.kind(kind);
    if state.taken_up {
        let how = match state.at_authority.as_ref().map(|found| found.state) {
            Some(IssueState::Valid) => Settlement::Committed,
            _ => Settlement::ConfirmedAndCommitted,
        };
        case.told.settled(kind, how);
    }
    if let Some(status) = &mut case.kind(kind).status {
        status.pending = Pending::Empty;
    }
    done(case, kind, Step::Commit)
}

fn pin_refused(case: &mut Case, kind: CertificateKind, status: apdu::StatusWord) -> Next {
    match status.tries_left() {
        Some(0) | None => end_card(Some(ProcedureError::PinBlocked(kind))),
        // Asked for again, never sent again.
        Some(tries_left) => {
            case.ask_all_pins_again();
            if let Some(SlotStatus { tries_left: known, .. }) = &mut case.kind(kind).status {
                *known = tries_left;
            }
            (State::EndingForPins, Action::EndCard)
        }
    }
}

/// Gives up on a kind before its confirmation: the pending slot is emptied, the card is as before.
fn give_up(case: &mut Case, kind: CertificateKind, failure: ProcedureError) -> Next {
    let state = case.kind(kind);
    let name = match (&state.spki, state.sha256) {
        (_, Some(sha256)) if state.done.contains(&Step::Write) => Some(sha256),
        (Some(spki), _) => Some(Sha256::digest(spki).into()),
        (None, sha256) => sha256,
    };
    match name {
        Some(name) => (State::Discarding { failure }, Action::Card(CardCommand::Discard(kind, name))),
        None => end_card(Some(failure)),
    }
}

fn done(case: &mut Case, kind: CertificateKind, step: Step) -> Next {
    case.done(kind, step);
    advance(case)
}

fn card(stepping: Stepping, command: CardCommand) -> Next {
    (State::Stepping(stepping), Action::Card(command))
}

/// A plan asks for a step whose input no earlier step has made.
fn out_of_order(step: &'static str) -> Next {
    end_card(Some(ProcedureError::UnexpectedEvent { expected: "an earlier step", got: step }))
}

fn not_as_asked(answer: Answer) -> ProcedureError {
    match answer {
        Answer::Refused { failure, .. } => crate::line::refused(failure),
        _ => ProcedureError::AuthorityRefused { failure: "unexpectedAnswer".into() },
    }
}

fn read_issued(kind: CertificateKind, certificate: &[u8]) -> Option<IssuedCertificate> {
    let view = jpki::CertificateView::parse(certificate).ok()?;
    Some(IssuedCertificate {
        kind,
        serial: hex::encode(&view.serial),
        not_before: view.not_before,
        not_after: view.not_after,
        sha256: hex::encode(Sha256::digest(certificate)),
    })
}

// ---------------------------------------------------------------- names

impl State {
    /// Is a card transaction open?
    fn holds_card(&self) -> bool {
        match self {
            Self::AskingFaceCode | Self::BeginningCard { .. } | Self::AskingPins | Self::Finished => false,
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
            Self::AskingPins => "asking for PINs",
            Self::Stepping(stepping) => stepping.name(),
            Self::Discarding { .. } => "discarding",
            Self::Finished => "nothing",
        }
    }
}

impl Stepping {
    fn name(&self) -> &'static str {
        match self {
            Self::SettingPin(..) => "set-pin",
            Self::VerifyingPin(_) => "verify-pin",
            Self::Generating(_) => "generate-key",
            Self::ReadingKey(..) => "read-key",
            Self::Proving(..) => "prove",
            Self::Requesting(_) => "request",
            Self::Rejecting(..) => "reject",
            Self::Writing(_) => "write",
            Self::ReadingBack(_) => "read-back",
            Self::Exercising(..) => "exercise",
            Self::Confirming(_) => "confirm",
            Self::Committing(_) => "commit",
            Self::Superseding(_) => "supersede",
        }
    }
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::FaceCode(_) => "the number on the card's face",
            Self::Pins(_) => "PINs",
            Self::Declined => "declined",
            Self::CardReady => "card ready",
            Self::Card(_) => "an answer of the card",
            Self::CardLost => "card lost",
            Self::CardFailed(_) => "card failed",
            Self::Failed(_) => "the terminal failed",
            Self::Authority(..) => "an answer of the authority",
            Self::AuthorityFailed(_) => "authority failed",
            Self::CardEnded => "card ended",
        }
    }
}
