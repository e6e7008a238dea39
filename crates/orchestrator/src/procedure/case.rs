//! What one procedure knows: the application, and what it found and made for each kind of certificate.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jpki::{Application, CertificateKind, CertificateProfile, IssuingProfile, Municipality, Pin, Resident, Sex};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Name, PinWanted, SlotStatus, Told, TransactionId};
use crate::error::ProcedureError;
use crate::plan::{Plan, Step};
use crate::progress::{IssuedCertificate, KeyOrigin, ProcedureReport, SlotFound};

/// What a procedure is given. Everything that it can't compute comes from here: the time, the randomness, the site.
#[derive(Debug)]
pub struct CaseInput {
    /// The steps.
    pub plan: Plan,
    /// Who applies. Nobody, if the procedure only settles what is pending.
    pub applicant: Option<Applicant>,
    /// Algorithms, validity, PINs.
    pub profile: IssuingProfile,
    /// Names and policies of the authority's certificates.
    pub environment: CertificateProfile,
    /// The municipality of this terminal.
    pub municipality: Municipality,
    /// Certificates of the two certification authorities, DER.
    pub issuers: BTreeMap<CertificateKind, Vec<u8>>,
    /// When the procedure began.
    pub began: Timestamp,
    /// 32 bytes of randomness, from which transaction IDs and challenges are drawn.
    pub entropy: [u8; 32],
}

/// Who applies, and for what.
#[derive(Debug)]
pub struct Applicant {
    /// The resident as the register knows him or her; compared with the card.
    pub resident: Resident,
    /// The application made from it.
    pub application: Application,
    /// Request time, number and 受付窓口識別記号: the CN of a signing certificate.
    pub request_name: String,
}

/// The holder of a card, as 券面事項入力補助AP says. Wiped when dropped; `Debug` prints nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Holder {
    /// 氏名.
    pub name: String,
    /// 住所.
    pub address: String,
    /// 生年月日.
    #[zeroize(skip)]
    pub birth: Option<Date>,
    /// 性別.
    #[zeroize(skip)]
    pub sex: Option<Sex>,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").finish_non_exhaustive()
    }
}

/// What is known about one kind of certificate.
#[derive(Debug, Default)]
pub(super) struct KindState {
    /// What the last look found.
    pub(super) status: Option<SlotStatus>,
    /// What the authority says of the pending certificate, or of the active one if none is pending.
    pub(super) at_authority: Option<authority_link::CertificateState>,
    /// Steps that need not be done (again).
    pub(super) done: BTreeSet<Step>,
    /// A certificate of an earlier procedure, found pending and taken up.
    pub(super) taken_up: bool,
    /// The certificate is in the pending slot, as far as the card said.
    pub(super) written: bool,
    /// The predecessor could not be superseded.
    pub(super) unsettled: bool,
    /// The predecessor is valid, and its key is overwritten: that comes before anything else.
    pub(super) orphaned: bool,
    pub(super) transaction: Option<TransactionId>,
    pub(super) spki: Option<Vec<u8>>,
    pub(super) certificate: Option<Zeroizing<Vec<u8>>>,
    pub(super) sha256: Option<Name>,
    /// When the authority's answer with the certificate came.
    pub(super) answered_at: Option<Timestamp>,
    pub(super) issued: Option<IssuedCertificate>,
    pub(super) predecessor: Option<authority_link::IssuerAndSerial>,
}

impl KindState {
    /// Where the card's keys are made, as the last look found it.
    pub(super) fn key_origin(&self) -> KeyOrigin {
        self.status.as_ref().map_or(KeyOrigin::Card, SlotStatus::key_origin)
    }

    /// Forgets what only the last look knew. What the authority issued in this procedure stays known by its name.
    fn forget_look(&mut self) {
        self.status = None;
        self.at_authority = None;
        self.done.clear();
        self.written = false;
        self.unsettled = false;
        self.orphaned = false;
        self.transaction = None;
        self.spki = None;
        self.certificate = None;
        self.predecessor = None;
    }
}

/// One procedure's knowledge.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) input: CaseInput,
    pub(super) kinds: BTreeMap<CertificateKind, KindState>,
    pub(super) pins: Vec<(CertificateKind, Pin)>,
    pub(super) card_serial: Option<Zeroizing<Vec<u8>>>,
    pub(super) holder_checked: bool,
    /// The clerk knows that certificates on the card will be overwritten in place.
    pub(super) overwriting_agreed: bool,
    /// Times that the card was lost.
    pub(super) losses: u8,
    /// How many of them were at the first command in the channel: the card opens it, and understands nothing that is enciphered.
    pub(super) deaf: u8,
    pub(super) report: ProcedureReport,
    pub(super) told: Told,
    /// What the last look found, as it was told: a look that finds the same is not told again.
    pub(super) slots_told: Option<Vec<SlotFound>>,
    draws: u64,
}

impl Case {
    /// How often a procedure takes up a lost card before it leaves the rest to a later one.
    pub(super) const MAX_LOSSES: u8 = 3;

    pub(super) fn new(input: CaseInput) -> Self {
        let kinds = input.plan.kinds().into_iter().map(|kind| (kind, KindState::default())).collect();
        Self {
            kinds,
            pins: Vec::new(),
            card_serial: None,
            holder_checked: input.applicant.is_none(),
            overwriting_agreed: false,
            losses: 0,
            deaf: 0,
            report: ProcedureReport::default(),
            told: Told::default(),
            slots_told: None,
            draws: 0,
            input,
        }
    }

    /// The knowledge of `kind`, which is one of the plan's.
    pub(super) fn kind(&mut self, kind: CertificateKind) -> &mut KindState {
        self.kinds.entry(kind).or_default()
    }

    /// Draws 32 bytes from the entropy that the procedure was given.
    pub(super) fn draw(&mut self) -> [u8; 32] {
        self.draws += 1;
        Sha256::new()
            .chain_update(b"procedure draw")
            .chain_update(self.input.entropy)
            .chain_update(self.draws.to_be_bytes())
            .finalize()
            .into()
    }

    pub(super) fn draw_transaction(&mut self) -> TransactionId {
        let drawn = self.draw();
        std::array::from_fn(|i| drawn[i])
    }

    /// The card lost its state: nothing that was looked at counts any more, and a PIN is never sent twice.
    pub(super) fn start_again(&mut self) {
        self.pins.clear();
        self.slots_told = None;
        self.forget_look();
    }

    /// A PIN was wrong: the channel ends, and with it what the other PINs opened.
    pub(super) fn ask_all_pins_again(&mut self) {
        self.pins.clear();
        for state in self.kinds.values_mut() {
            if !state.done.contains(&Step::GenerateKey) {
                state.done.remove(&Step::Pin);
            }
        }
    }

    /// Forgets what only the last look knew.
    pub(super) fn forget_look(&mut self) {
        for state in self.kinds.values_mut() {
            state.forget_look();
        }
    }

    /// The first step of the plan that is not done. A valid certificate whose key is gone is revoked before anything else.
    pub(super) fn next_step(&self) -> Option<(CertificateKind, Step)> {
        let open = |(kind, step): &&(CertificateKind, Step)| {
            self.kinds.get(kind).is_some_and(|state| !state.done.contains(step))
        };
        let orphaned = |(kind, _): &&(CertificateKind, Step)| self.kinds.get(kind).is_some_and(|state| state.orphaned);
        let steps = self.input.plan.steps();
        let mut overdue = steps.iter().filter(|(_, step)| *step == Step::Supersede).filter(orphaned).filter(open);
        overdue.next().or_else(|| steps.iter().find(open)).copied()
    }

    /// Would the next key of `kind` overwrite a certificate without the clerk's knowledge?
    pub(super) fn overwrites_unasked(&self, kind: CertificateKind) -> bool {
        let overwrites = |status: &SlotStatus| !status.pending_slot && status.active.is_some();
        !self.overwriting_agreed
            && self.kinds.get(&kind).is_some_and(|state| {
                !state.done.contains(&Step::GenerateKey) && state.status.as_ref().is_some_and(overwrites)
            })
    }

    pub(super) fn done(&mut self, kind: CertificateKind, step: Step) {
        self.kind(kind).done.insert(step);
        self.told.done(kind, step);
    }

    /// The PINs that the open steps need and that nobody has entered yet.
    pub(super) fn pins_wanted(&self) -> Vec<PinWanted> {
        let wants = |(kind, state): (&CertificateKind, &KindState)| {
            let status = state.status.as_ref()?;
            let entered = self.pins.iter().any(|(k, _)| k == kind);
            let known = status.active.is_some().then_some(status.tries_left);
            (!state.done.contains(&Step::Pin) && !entered).then_some(PinWanted { kind: *kind, known })
        };
        self.kinds.iter().filter_map(wants).collect()
    }

    pub(super) fn take_pin(&mut self, kind: CertificateKind) -> Option<Pin> {
        let at = self.pins.iter().position(|(k, _)| *k == kind)?;
        Some(self.pins.swap_remove(at).1)
    }

    /// Compares the card's holder with the register's resident, item by item.
    pub(super) fn check_holder(&self, holder: &Holder) -> Result<(), ProcedureError> {
        let Some(Applicant { resident, .. }) = &self.input.applicant else { return Ok(()) };
        let differs = |item| Err(ProcedureError::CardOfAnotherPerson { item });
        if holder.name != resident.name {
            return differs("name");
        }
        if holder.birth != Some(resident.birth) {
            return differs("birth");
        }
        if holder.sex != Some(resident.sex) {
            return differs("sex");
        }
        if holder.address != resident.address {
            return differs("address");
        }
        Ok(())
    }

    /// Compares the certificate that the authority sent with the application, the key and the profile.
    pub(super) fn check_certificate(&self, kind: CertificateKind) -> Result<(), ProcedureError> {
        let state = self.kinds.get(&kind);
        let (Some(applicant), Some(state), Some(issuer)) =
            (&self.input.applicant, state, self.input.issuers.get(&kind))
        else {
            return Err(ProcedureError::CertificateDiffers { field: "kind" });
        };
        let (Some(certificate), Some(spki)) = (&state.certificate, &state.spki) else {
            return Err(ProcedureError::CertificateDiffers { field: "subjectPublicKeyInfo" });
        };
        let expected = |renewal| jpki::Expected {
            kind,
            application: &applicant.application,
            spki,
            issuer,
            request_name: &applicant.request_name,
            profile: &self.input.profile,
            environment: &self.input.environment,
            municipality: &self.input.municipality,
            ocsp_uri: None,
            now: state.answered_at.unwrap_or(self.input.began),
            renewal,
            limits: &[],
            predecessor: state.predecessor.as_ref().map(|predecessor| predecessor.serial.as_bytes()),
        };
        // Whether the old certificate was in its renewal window is the authority's to say: it knows when that one ends.
        let checked = match jpki::check(certificate, &expected(false)) {
            Err(jpki::Mismatch::Field(jpki::CertificateField::NotAfter)) if state.predecessor.is_some() => {
                jpki::check(certificate, &expected(true))
            }
            checked => checked,
        };
        checked.map(drop).map_err(|mismatch| ProcedureError::CertificateDiffers { field: mismatch.field().name() })
    }

    /// Puts what was issued into the report, in the plan's order.
    pub(super) fn close_report(&mut self) -> ProcedureReport {
        let mut report = std::mem::take(&mut self.report);
        for (kind, state) in &self.kinds {
            if state.done.contains(&Step::Commit) {
                report.certificates.extend(state.issued.clone());
            }
            if state.unsettled {
                report.unsettled.push(*kind);
            }
        }
        report
    }
}
