//! Steps: how each begins, and how it goes on with what the card and the authority answer.

use authority_link::message::Failure;
use authority_link::{Answer, CertificationDraft, CertificationRequest, IssueState};
use hsm::{CardKeyPairKind, WrappedKeyPair};
use jpki::{CertificateKind, KeyAlgorithm, Pin};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::case::Case;
use super::machine::{Next, State, end_card, look_again, unexpected};
use super::{Action, AuthorityCall, CardCommand, CardData, CardReply, Event, Name, Pending, SlotStatus};
use crate::card::signing;
use crate::error::ProcedureError;
use crate::plan::Step;
use crate::progress::{IssuedCertificate, KeyOrigin, Settlement};

/// Where a step stands.
#[derive(Debug)]
pub(super) enum Stepping {
    SettingPin(CertificateKind, Pin),
    VerifyingPin(CertificateKind),
    Generating(CertificateKind),
    MakingKeyPair(CertificateKind),
    Importing(CertificateKind, Name),
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

/// Begins the first step that is not done, or ends the procedure.
pub(super) fn advance(case: &mut Case) -> Next {
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
    let tells_itself = matches!(step, Step::Pin | Step::GenerateKey | Step::ImportKey);
    if !tells_itself && !nothing_to_supersede {
        case.told.started(kind, step);
    }
    match step {
        Step::Pin => Some(begin_pin(case, kind)),
        Step::GenerateKey | Step::ImportKey => Some(begin_key(case, kind)),
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
            let call = if case.kind(kind).orphaned {
                AuthorityCall::Retire(kind, predecessor)
            } else {
                AuthorityCall::Supersede(kind, predecessor)
            };
            Some((State::Stepping(Stepping::Superseding(kind)), Action::Authority(call)))
        }
    }
}

fn begin_pin(case: &mut Case, kind: CertificateKind) -> Next {
    if case.kind(kind).key_origin() == KeyOrigin::Hsm && !case.input.profile.key_import {
        return end_card(Some(ProcedureError::CardMakesNoKeys));
    }
    let Some(pin) = (if case.overwrites_unasked(kind) { None } else { case.take_pin(kind) }) else {
        // Nobody is asked while the card is held. The channel ends, and with it what the other PINs opened.
        case.ask_all_pins_again();
        return (State::EndingForPins, Action::EndCard);
    };
    case.told.started(kind, Step::Pin);
    if case.kind(kind).status.as_ref().is_some_and(|status| status.active.is_some()) {
        card(Stepping::VerifyingPin(kind), CardCommand::VerifyPin(kind, pin))
    } else {
        card(Stepping::SettingPin(kind, pin.clone()), CardCommand::SetPin(kind, pin))
    }
}

/// A key pair, made by the card or, if it makes none, by the HSM.
fn begin_key(case: &mut Case, kind: CertificateKind) -> Next {
    let transaction = case.draw_transaction();
    case.kind(kind).transaction = Some(transaction);
    if case.kind(kind).key_origin() == KeyOrigin::Hsm {
        case.told.started(kind, Step::ImportKey);
        let algorithm = match case.input.profile.algorithm {
            KeyAlgorithm::Rsa2048 => CardKeyPairKind::Rsa2048,
            KeyAlgorithm::EcP384 => CardKeyPairKind::EcP384,
        };
        return (State::Stepping(Stepping::MakingKeyPair(kind)), Action::MakeKeyPair(kind, algorithm));
    }
    case.told.started(kind, Step::GenerateKey);
    let overwrites = case.kind(kind).status.as_ref().and_then(SlotStatus::to_overwrite);
    card(Stepping::Generating(kind), CardCommand::Generate(kind, transaction, overwrites))
}

/// The HSM has made a key pair for this card. It is looked at before it overwrites anything.
fn import(case: &mut Case, kind: CertificateKind, pair: WrappedKeyPair) -> Next {
    if let Err(weakness) = jpki::check_public_key(&pair.public_key, case.input.profile.algorithm) {
        return end_card(Some(ProcedureError::WeakHsmKey { kind, weakness }));
    }
    let state = case.kind(kind);
    let Some(transaction) = state.transaction else { return out_of_order("import-key") };
    let name = Sha256::digest(&pair.public_key).into();
    state.spki = Some(pair.public_key);
    let overwrites = state.status.as_ref().and_then(SlotStatus::to_overwrite);
    let command = CardCommand::Import(kind, transaction, overwrites, name, pair.wrapped_private_key);
    card(Stepping::Importing(kind, name), command)
}

/// Asks for a certificate for the new key, if the key is sound.
fn begin_request(case: &mut Case, kind: CertificateKind) -> Next {
    let state = case.kinds.get(&kind);
    let (Some(applicant), Some(state)) = (&case.input.applicant, state) else { return out_of_order("request") };
    let (Some(spki), Some(issuer)) = (&state.spki, case.input.issuers.get(&kind)) else {
        return out_of_order("request");
    };
    // Here and not as soon as the key is known: if it has overwritten another, that one's certificate is revoked by now.
    if let Err(weakness) = jpki::check_public_key(spki, case.input.profile.algorithm) {
        return give_up(case, kind, ProcedureError::WeakKey { kind, weakness });
    }
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
    match case.check_certificate(kind) {
        Ok(()) => {
            case.done(kind, Step::Check);
            None
        }
        Err(failure) => Some(reject(case, kind, failure)),
    }
}

/// Tells the authority that its certificate will not be used, before the pending slot is emptied: a key that failed, or a
/// certificate that differs, must not be confirmed by a later look.
fn reject(case: &mut Case, kind: CertificateKind, failure: ProcedureError) -> Next {
    let state = case.kind(kind);
    let (Some(transaction), Some(certificate)) = (state.transaction, state.sha256) else {
        return give_up(case, kind, failure);
    };
    let call = AuthorityCall::Confirm { kind, transaction, certificate, accept: false };
    (State::Stepping(Stepping::Rejecting(kind, failure)), Action::Authority(call))
}

pub(super) fn stepped(case: &mut Case, stepping: Stepping, event: Event) -> Next {
    match (stepping, event) {
        (Stepping::SettingPin(kind, pin), Event::Card(CardReply::Done(_))) => {
            card(Stepping::VerifyingPin(kind), CardCommand::VerifyPin(kind, pin))
        }
        (Stepping::VerifyingPin(kind), Event::Card(CardReply::Done(_))) => done(case, kind, Step::Pin),
        (Stepping::VerifyingPin(kind), Event::Card(CardReply::Refused(status))) => pin_refused(case, kind, status),
        (Stepping::Generating(kind), Event::Card(CardReply::Done(CardData::Bytes(name)))) => {
            let Ok(name) = Name::try_from(name.as_slice()) else { return end_card(Some(ProcedureError::WrongCard)) };
            overwritten(case, kind, name);
            card(Stepping::ReadingKey(kind, name), CardCommand::ReadKey(kind))
        }
        (Stepping::MakingKeyPair(kind), Event::KeyPairMade(pair)) => import(case, kind, pair),
        (Stepping::Importing(kind, name), Event::Card(CardReply::Done(CardData::Bytes(imported)))) => {
            if *imported != name {
                return end_card(Some(ProcedureError::WrongCard));
            }
            overwritten(case, kind, name);
            case.kind(kind).done.insert(Step::GenerateKey);
            case.told.done(kind, Step::ImportKey);
            advance(case)
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
            state.issued = read_issued(kind, &certificate, state.key_origin());
            state.certificate = Some(Zeroizing::new(certificate.to_vec()));
            done(case, kind, Step::Request)
        }
        (Stepping::Requesting(kind), Event::Authority(answer, _)) => give_up(case, kind, not_as_asked(answer)),
        (Stepping::Requesting(kind), Event::AuthorityFailed(error)) => give_up(case, kind, *error),
        (Stepping::Rejecting(_, failure), Event::Authority(answer, _))
            if refused_as(&answer, Failure::CertConfirmed) =>
        {
            end_card(Some(failure))
        }
        // A rejection that the authority did not hear of ends there by itself: unconfirmed certificates are revoked.
        (Stepping::Rejecting(kind, failure), Event::Authority(..) | Event::AuthorityFailed(_)) => {
            give_up(case, kind, failure)
        }
        (Stepping::Writing(kind), Event::Card(CardReply::Done(_))) => {
            case.kind(kind).written = true;
            card(Stepping::ReadingBack(kind), CardCommand::ReadBack(kind))
        }
        (Stepping::ReadingBack(kind), Event::Card(CardReply::Done(CardData::Bytes(read)))) => {
            if case.kind(kind).certificate.as_ref().is_some_and(|written| **written == *read) {
                done(case, kind, Step::Write)
            } else {
                reject(case, kind, ProcedureError::CertificateDiffers { field: "read-back" })
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
                reject(case, kind, ProcedureError::CertificateDiffers { field: "key" })
            }
        }
        (Stepping::Confirming(kind), Event::Authority(Answer::Confirmed, _)) => done(case, kind, Step::Confirm),
        (Stepping::Confirming(kind), Event::Authority(answer, _)) => {
            // Only that it is revoked is a word about the certificate. Any other refusal may follow a confirmation that
            // was heard: the key stays, and the next look finds out.
            let revoked = refused_as(&answer, Failure::CertRevoked);
            let failure = not_as_asked(answer);
            if revoked { give_up(case, kind, failure) } else { end_card(Some(failure)) }
        }
        // Not known whether it was heard: the next look, here or elsewhere, finds out.
        (Stepping::Confirming(_), Event::AuthorityFailed(error)) => end_card(Some(*error)),
        (Stepping::Committing(kind), Event::Card(CardReply::Done(_))) => committed(case, kind),
        (Stepping::Superseding(kind), Event::Authority(Answer::Revoked, _)) => {
            // What was found, not what this procedure has overwritten itself.
            let state = case.kind(kind);
            if state.taken_up || (state.orphaned && state.spki.is_none()) {
                case.told.settled(kind, Settlement::Superseded);
            }
            case.kind(kind).orphaned = false;
            done(case, kind, Step::Supersede)
        }
        // Revoked for another reason meanwhile: there is nothing left to supersede.
        (Stepping::Superseding(kind), Event::Authority(answer, _)) if refused_as(&answer, Failure::CertRevoked) => {
            case.kind(kind).orphaned = false;
            done(case, kind, Step::Supersede)
        }
        // The card remembers what it has overwritten, as long as nothing is written beside its key: the next look goes on here.
        (Stepping::Superseding(kind), Event::Authority(answer, _)) if case.kind(kind).orphaned => {
            end_card(Some(not_as_asked(answer)))
        }
        (Stepping::Superseding(kind), Event::AuthorityFailed(error)) if case.kind(kind).orphaned => {
            end_card(Some(*error))
        }
        (Stepping::Superseding(kind), Event::Authority(..) | Event::AuthorityFailed(_)) => {
            // The new certificate works; the old one is on the authority's list until a terminal sees the card again.
            case.kind(kind).unsettled = true;
            case.kind(kind).done.insert(Step::Supersede);
            advance(case)
        }
        (
            stepping @ (Stepping::Generating(_)
            | Stepping::Importing(..)
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

/// A key was made. On a card without a pending slot, it has overwritten what was there.
fn overwritten(case: &mut Case, kind: CertificateKind, key: Name) {
    let state = case.kind(kind);
    let Some(status) = state.status.as_mut().filter(|status| !status.pending_slot) else { return };
    let valid = state.at_authority.as_ref().is_some_and(|found| found.state == IssueState::Valid);
    state.orphaned = valid && status.active.is_some() && state.predecessor.is_some();
    status.overwritten = status.active.take().or(status.overwritten);
    status.pending = Pending::Key(key);
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
    use apdu::StatusWord as Sw;
    match (status.tries_left(), status) {
        (Some(0), _) | (_, Sw::AUTHENTICATION_METHOD_BLOCKED | Sw::REFERENCE_DATA_NOT_USABLE) => {
            end_card(Some(ProcedureError::PinBlocked(kind)))
        }
        // Asked for again, never sent again.
        (Some(tries_left), _) => {
            case.ask_all_pins_again();
            if let Some(SlotStatus { tries_left: known, .. }) = &mut case.kind(kind).status {
                *known = tries_left;
            }
            (State::EndingForPins, Action::EndCard)
        }
        (None, status) => end_card(Some(ProcedureError::CardRefused { step: "verify-pin", status })),
    }
}

/// Gives up on a kind before its confirmation: the pending slot is emptied, so that the card is as before.
fn give_up(case: &mut Case, kind: CertificateKind, failure: ProcedureError) -> Next {
    let state = case.kind(kind);
    if !state.written && state.status.as_ref().is_some_and(|status| status.overwritten.is_some()) {
        // There is no before to go back to. The key stays, and with it what the card remembers of the one that it has overwritten.
        return end_card(Some(failure));
    }
    // The slot goes by the certificate's name as soon as the certificate is in it.
    let name = match (&state.spki, state.sha256) {
        (Some(spki), _) if !state.written => Some(Sha256::digest(spki).into()),
        (_, sha256) => sha256,
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

fn refused_as(answer: &Answer, reason: Failure) -> bool {
    matches!(answer, Answer::Refused { failure, .. } if failure.contains(reason))
}

pub(super) fn not_as_asked(answer: Answer) -> ProcedureError {
    match answer {
        Answer::Refused { failure, .. } => crate::line::refused(failure),
        _ => ProcedureError::AuthorityRefused { failure: "unexpectedAnswer".into() },
    }
}

pub(super) fn read_issued(
    kind: CertificateKind,
    certificate: &[u8],
    key_origin: KeyOrigin,
) -> Option<IssuedCertificate> {
    let view = jpki::CertificateView::parse(certificate).ok()?;
    Some(IssuedCertificate {
        kind,
        serial: hex::encode(&view.serial),
        not_before: view.not_before,
        not_after: view.not_after,
        sha256: hex::encode(Sha256::digest(certificate)),
        key_origin,
    })
}

impl Stepping {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::SettingPin(..) => "set-pin",
            Self::VerifyingPin(_) => "verify-pin",
            Self::Generating(_) => "generate-key",
            Self::MakingKeyPair(_) => "make-key",
            Self::Importing(..) => "import-key",
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
