//! The invariants of card and authority, each as a named check.

use audit_log::LogKey;
use authority::store::{IssueKey, State};
use hsm::KeyName;
use jpki::CertificateKind;
use orchestrator::Question;

use crate::stage::{Stage, soon};

/// What is broken, by its name.
pub type Broken = String;

/// More than any test uses.
const SERIALS: u64 = 64;

/// What card and authority hold: the same before and after whatever must change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// The card's slots; none if no card is there.
    pub slots: [Option<sim_card::Slots>; 2],
    /// Serial numbers of the valid certificates.
    pub valid: [Vec<u64>; 2],
}

/// One certificate as the authority knows it.
struct Known {
    sha256: [u8; 32],
    serial: u64,
    state: State,
    predecessor: Option<u64>,
    confirmed: bool,
}

impl Stage {
    /// I1, I2 and I3: holds at every instant. `worked` are the kinds whose certificates worked when the procedure began. On a card
    /// without a pending slot in the form that such a card can keep (ADR 0009).
    ///
    /// # Errors
    /// The invariant that is broken.
    pub fn check_agreement(&self, worked: &[CertificateKind]) -> Result<(), Broken> {
        for kind in CertificateKind::BOTH {
            let known = self.known(kind);
            let Some(slots) = self.slots(kind) else { continue };
            let state_of =
                |sha256: [u8; 32]| known.iter().find(|issue| issue.sha256 == sha256).map(|issue| issue.state);

            if !slots.active_fits {
                return Err(format!("I7 no brick: {kind:?}: the active key is not the active certificate's"));
            }
            let works = slots.active.is_some_and(|active| state_of(active) == Some(State::Valid));
            // Overwritten in place, a certificate is active as soon as it is written.
            let unconfirmed =
                |active| known.iter().any(|issue| issue.sha256 == active && !issue.confirmed) && self.overwrites();
            if let Some(active) = slots.active.filter(|active| !works && !unconfirmed(*active)) {
                return Err(format!("I2 no ghost: {kind:?}: active is {:?}", state_of(active)));
            }
            // Overwritten in place, nothing works from the new key until its confirmation; nobody is surprised by it.
            let agreed = self.overwrites() && self.conversation.was_asked(Question::OverwritesInPlace);
            if worked.contains(&kind) && !works && !agreed {
                return Err(format!("I3 never worse: {kind:?}: nothing works"));
            }
            for issue in known.iter().filter(|issue| issue.state == State::Valid) {
                let on_card =
                    slots.active == Some(issue.sha256) || (slots.pending == Some(issue.sha256) && slots.pending_key);
                let successor = known.iter().any(|other| {
                    other.predecessor == Some(issue.serial)
                        && other.state == State::Valid
                        && (slots.active == Some(other.sha256)
                            || (slots.pending == Some(other.sha256) && slots.pending_key))
                });
                // The card tells whoever sees it next.
                let remembered = slots.overwritten == Some(issue.sha256);
                if !on_card && !successor && !remembered {
                    return Err(format!("I1 no orphan: {kind:?}: {} is valid, and its key is gone", issue.serial));
                }
            }
        }
        Ok(())
    }

    /// I5: all is settled. Each kind has one valid certificate, which is the active one; nothing is pending, nothing unsettled.
    ///
    /// # Errors
    /// The invariant that is broken.
    pub fn check_settled(&self) -> Result<(), Broken> {
        self.check_agreement(&CertificateKind::BOTH)?;
        for kind in CertificateKind::BOTH {
            let valid: Vec<_> =
                self.known(kind).into_iter().filter(|issue| issue.state == State::Valid).map(|i| i.sha256).collect();
            let Some(slots) = self.slots(kind) else { return Err("I7 no brick: the card is gone".into()) };
            if valid.len() != 1 || slots.active != Some(valid[0]) {
                return Err(format!("I5 idempotent: {kind:?}: {} valid certificates", valid.len()));
            }
            if slots.pending_key || slots.pending.is_some() || slots.overwritten.is_some() {
                return Err(format!("I5 idempotent: {kind:?}: something is pending"));
            }
        }
        let unsettled = self.authority.store().unsettled(self.now()).map_err(|e| e.to_string())?;
        if !unsettled.is_empty() {
            return Err(format!("I5 idempotent: {} cases are unsettled", unsettled.len()));
        }
        Ok(())
    }

    /// I6: every intent has its outcome, and the log is as it was written.
    ///
    /// # Errors
    /// The invariant that is broken.
    pub fn check_accounted(&self, place: usize) -> Result<(), Broken> {
        let folder = crate::stage::folder(&self.disk(place));
        let entries = orchestrator::logbook::entries(&*folder).map_err(|e| format!("I6 accounted: {e}"))?;
        match audit_log::open_intents(&entries) {
            Ok(open) if open.is_empty() => {}
            Ok(open) => return Err(format!("I6 accounted: {} intents are open: {open:?}", open.len())),
            Err(fault) => return Err(format!("I6 accounted: {fault}")),
        }
        let name = KeyName::new(KeyName::LOG_SIGNING);
        let spki = self.hsm(place).public_key(&name, soon(&self.clock)).map_err(|e| e.to_string())?;
        let key = LogKey::new(self.name(place), &spki).map_err(|e| e.to_string())?;
        match orchestrator::logbook::verify(&*folder, &key, None) {
            Ok(verdict) if verdict.verified => Ok(()),
            Ok(verdict) => Err(format!("I6 accounted: {:?}", verdict.fault)),
            Err(error) => Err(format!("I6 accounted: {error}")),
        }
    }

    /// The witness of the logs has never doubted one: for plays in which nobody tampers.
    ///
    /// # Errors
    /// The first alarm.
    pub fn check_undoubted(&self) -> Result<(), Broken> {
        match self.authority.store().alarms().map_err(|e| e.to_string())?.first() {
            None => Ok(()),
            Some(alarm) => Err(format!("I6 accounted: the witness has an alarm: {alarm:?}")),
        }
    }

    /// I4 and I8: nothing personal and nothing secret on the disk of any terminal, and no PIN in any message.
    ///
    /// # Errors
    /// The invariant that is broken.
    pub fn check_nothing_left(&self) -> Result<(), Broken> {
        let resident = &self.resident;
        let personal = [&resident.name, &resident.address, &resident.number]
            .into_iter()
            .chain(resident.alias.as_ref())
            .map(|text| text.as_bytes().to_vec());
        let secrets: Vec<Vec<u8>> = self
            .persona
            .pins
            .iter()
            .filter(|(kind, _)| *kind == CertificateKind::Signature)
            .map(|(_, pin)| pin.as_bytes().to_vec())
            .chain([self.persona.face_code.as_bytes().to_vec()])
            .collect();
        let on_disk: Vec<Vec<u8>> = personal.chain(secrets.clone()).flat_map(|needle| encodings(&needle)).collect();
        for place in 0..self.places() {
            for (name, content) in self.disk(place).files() {
                if on_disk.iter().any(|needle| contains(&content, needle)) {
                    return Err(format!("I4 nothing left: {name} of terminal {place}"));
                }
                if name == "journal" {
                    return Err(format!("I4 nothing left: the journal of terminal {place}"));
                }
            }
        }
        let secrets: Vec<Vec<u8>> = secrets.iter().flat_map(|needle| encodings(needle)).collect();
        if self.post.heard().iter().any(|message| secrets.iter().any(|needle| contains(message, needle))) {
            return Err("I8 secret: a message".into());
        }
        Ok(())
    }

    /// What card and authority hold, in the order of [`CertificateKind::BOTH`].
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let valid = |kind| {
            let valid = self.known(kind).into_iter().filter(|issue| issue.state == State::Valid);
            valid.map(|issue| issue.serial).collect()
        };
        Holdings { slots: CertificateKind::BOTH.map(|kind| self.slots(kind)), valid: CertificateKind::BOTH.map(valid) }
    }

    /// How many certificates of a kind the authority has issued.
    #[must_use]
    pub fn issued(&self, kind: CertificateKind) -> usize {
        self.known(kind).len()
    }

    fn slots(&self, kind: CertificateKind) -> Option<sim_card::Slots> {
        (0..self.places()).find_map(|place| self.control(place).slots(kind))
    }

    fn known(&self, kind: CertificateKind) -> Vec<Known> {
        let store = self.authority.store();
        let first = u64::from(self.authority.config().first_serial);
        // A serial number that was drawn for an answer that was never given stays unused.
        (first..first + SERIALS)
            .filter_map(|serial| store.issue(IssueKey::Serial(kind, serial)).ok().flatten())
            .map(|issue| Known {
                sha256: issue.sha256,
                serial: issue.serial,
                state: issue.state,
                predecessor: issue.predecessor,
                confirmed: issue.confirmed_at.is_some(),
            })
            .collect()
    }
}

fn encodings(needle: &[u8]) -> [Vec<u8>; 3] {
    [needle.to_vec(), hex::encode(needle).into_bytes(), hex::encode_upper(needle).into_bytes()]
}

fn contains(content: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(content, needle).is_some()
}
