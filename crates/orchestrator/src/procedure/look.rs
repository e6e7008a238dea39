//! Looking: what a kind's slots and the authority say together, and what is left to be done.

use jpki::CertificateKind;

use authority_link::{CertificateState, IssueState};

use super::case::{Case, KindState};
use super::{Name, Pending, SlotStatus};
use crate::error::ProcedureError;
use crate::plan::{Purpose, Step};
use crate::progress::SlotFound;

/// What to do about a kind after its slots have been read, before anything else is done.
pub(super) enum Finding {
    /// Nothing that the authority would know of: go on.
    Clear,
    /// A certificate is pending: read it, then ask what became of it.
    AskAboutPending(Name),
    /// A certificate is active: ask what became of it and of its predecessor.
    AskAboutActive(Name),
    /// A key without a certificate has overwritten this one: ask what became of it.
    AskAboutOverwritten(Name),
    /// A key without a certificate is of no use to anybody.
    Discard(Name),
}

/// Reads the status of `kind` as the card gave it.
pub(super) fn finding(state: &KindState) -> Finding {
    let Some(status) = &state.status else { return Finding::Clear };
    match (&status.pending, status.active, status.overwritten) {
        // It stays: the card would forget with it what it has overwritten.
        (Pending::Key(_), _, Some(overwritten)) => Finding::AskAboutOverwritten(overwritten),
        (Pending::Key(name), ..) => Finding::Discard(*name),
        (Pending::Complete(_, name), ..) => Finding::AskAboutPending(*name),
        (Pending::Empty, Some(active), _) => Finding::AskAboutActive(active),
        (Pending::Empty, None, _) => Finding::Clear,
    }
}

/// The authority has said what became of a pending certificate. Marks what need not be done any more; the answer is the
/// name to discard if the certificate is of no use.
pub(super) fn take_up_pending(case: &mut Case, kind: CertificateKind, found: CertificateState) -> Option<Name> {
    let state = case.kind(kind);
    let Some(Pending::Complete(transaction, name)) = state.status.as_ref().map(|status| status.pending.clone()) else {
        return None;
    };
    match found.state {
        IssueState::Issued => state.done.extend(BEFORE_CONFIRMATION),
        IssueState::Valid => {
            state.done.extend(BEFORE_CONFIRMATION);
            state.done.insert(Step::Confirm);
        }
        IssueState::Revoked | IssueState::Superseded | IssueState::Unknown => return Some(name),
    }
    state.taken_up |= state.sha256 != Some(name);
    state.written = true;
    state.transaction = Some(transaction);
    state.sha256 = Some(name);
    state.predecessor = found.predecessor_to_supersede();
    state.at_authority = Some(found);
    None
}

/// What a certificate has behind it that waits for its confirmation.
const BEFORE_CONFIRMATION: [Step; 6] =
    [Step::Pin, Step::GenerateKey, Step::Request, Step::Check, Step::Write, Step::Exercise];

/// What is left to do about the only slot of a kind, once the authority has said what became of the certificate in it.
pub(super) enum OnlySlot {
    /// Nothing at once.
    Clear,
    /// It waits for its confirmation: read it, for the report.
    Read(Name),
    /// It is revoked: nobody's.
    Discard(Name),
}

/// The authority has said what became of the certificate in the only slot of `kind`. Its holder has it already, valid or not.
pub(super) fn take_up_only(case: &mut Case, kind: CertificateKind, found: CertificateState) -> OnlySlot {
    let settles = case.input.plan.purpose() == Purpose::Settle;
    let state = case.kind(kind);
    let Some(name) = state.status.as_ref().and_then(|status| status.active) else { return OnlySlot::Clear };
    // The key of whatever it replaced was overwritten by its own.
    let orphan = found.predecessor_to_supersede();
    match found.state {
        IssueState::Valid | IssueState::Unknown => {
            take_up_active(case, kind, found);
            OnlySlot::Clear
        }
        IssueState::Issued => {
            state.done.extend(BEFORE_CONFIRMATION);
            state.taken_up |= state.sha256 != Some(name);
            state.written = true;
            state.transaction = found.issue.as_ref().map(|issue| issue.transaction.0);
            state.sha256 = Some(name);
            state.orphaned = orphan.is_some();
            state.predecessor = orphan;
            state.at_authority = Some(found);
            OnlySlot::Read(name)
        }
        IssueState::Revoked | IssueState::Superseded => {
            state.orphaned = orphan.is_some();
            replace_gone(state, found, settles);
            // An orphan is known by its successor alone: that one stays until the orphan is revoked.
            if settles && orphan.is_none() { OnlySlot::Discard(name) } else { OnlySlot::Clear }
        }
    }
}

/// The authority has said what became of the certificate that the key in the only slot of `kind` has overwritten.
pub(super) fn take_up_overwritten(case: &mut Case, kind: CertificateKind, found: CertificateState) {
    let settles = case.input.plan.purpose() == Purpose::Settle;
    let state = case.kind(kind);
    state.orphaned = found.state == IssueState::Valid;
    replace_gone(state, found, settles);
}

/// A certificate that serves nobody any more is to be replaced, unless the procedure only settles; if it is an orphan, it is
/// revoked first.
fn replace_gone(state: &mut KindState, found: CertificateState, settles: bool) {
    // Whether this one was ever valid, or what it was to replace is what is renewed, the authority knows.
    let orphan = found.predecessor_to_supersede().filter(|_| found.state != IssueState::Valid);
    state.predecessor = orphan.or_else(|| found.own_name());
    if settles {
        state.done.extend(Step::ORDER);
    } else {
        state.done.insert(Step::Supersede);
    }
    if state.orphaned {
        state.done.remove(&Step::Supersede);
    } else if settles {
        state.predecessor = None;
    }
    state.sha256 = None;
    state.issued = None;
    state.at_authority = Some(found);
}

/// The authority has said what became of the active certificate. Marks what need not be done any more.
pub(super) fn take_up_active(case: &mut Case, kind: CertificateKind, found: CertificateState) {
    let replaces = case.input.plan.purpose() == Purpose::Renew;
    let state = case.kind(kind);
    let active = state.status.as_ref().and_then(|status| status.active);
    let valid = found.state == IssueState::Valid;
    let ours = valid && active.is_some() && active == state.sha256;
    if !ours {
        // What this procedure made was not what became active.
        state.sha256 = None;
        state.issued = None;
    }
    let unsettled = found.predecessor_to_supersede();
    if ours || (valid && unsettled.is_some()) {
        // Committed in this procedure, or in one that did not come to its end: only superseding can be left.
        state.taken_up = state.taken_up || !ours;
        state.done.extend(Step::ORDER);
        if unsettled.is_some() {
            state.done.remove(&Step::Supersede);
        }
        state.predecessor = unsettled;
    } else if valid && !replaces {
        state.done.extend(Step::ORDER);
    } else if valid {
        state.predecessor = found.own_name();
    }
    state.at_authority = Some(found);
}

/// All kinds have been looked at: can the procedure go on at all?
pub(super) fn judge(case: &mut Case) -> Result<(), ProcedureError> {
    match case.input.plan.purpose() {
        Purpose::Settle => {
            for state in case.kinds.values_mut().filter(|state| !is_open(state)) {
                state.done.extend(Step::ORDER);
            }
            Ok(())
        }
        Purpose::Renew => match case.kinds.iter().find(|(_, state)| is_untouched(state)) {
            Some((kind, _)) => Err(ProcedureError::NothingToRenew(*kind)),
            None => Ok(()),
        },
        Purpose::Issue => match case.kinds.keys().next() {
            Some(kind) if case.kinds.values().all(had_nothing_to_do) => Err(ProcedureError::AlreadyIssued(*kind)),
            _ => Ok(()),
        },
    }
}

/// Something is left to be settled: a certificate that waits, or a predecessor that is still valid.
fn is_open(state: &KindState) -> bool {
    let waits = |status: &SlotStatus| matches!(status.pending, Pending::Complete(..));
    let unconfirmed = state.at_authority.as_ref().is_some_and(|found| found.state == IssueState::Issued);
    state.predecessor.is_some() || unconfirmed || state.status.as_ref().is_some_and(waits)
}

/// No certificate of this kind is on the card, and none is on its way in this procedure.
fn is_untouched(state: &KindState) -> bool {
    let empty = |status: &SlotStatus| status.active.is_none() && status.pending == Pending::Empty;
    !state.taken_up && state.sha256.is_none() && state.status.as_ref().is_some_and(empty)
}

/// The card had its valid certificate before this procedure began.
fn had_nothing_to_do(state: &KindState) -> bool {
    state.done.len() == Step::ORDER.len() && !state.taken_up && state.sha256.is_none()
}

/// What the look found, for the view.
pub(super) fn slots_found(case: &Case) -> Vec<SlotFound> {
    case.kinds
        .iter()
        .map(|(kind, state)| SlotFound {
            kind: *kind,
            active: state.status.as_ref().is_some_and(|status| status.active.is_some()),
            pending: state.status.as_ref().is_some_and(|status| status.pending != Pending::Empty),
            pending_slot: state.status.as_ref().is_none_or(|status| status.pending_slot),
            key_origin: state.key_origin(),
        })
        .collect()
}
