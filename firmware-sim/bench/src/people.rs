//! Simulated people at the counter: a resident who chooses and remembers PINs, and a clerk who reads the card's face.

use jpki::{CertificateKind, PinError};
use madoguchi_time::Deadline;
use orchestrator::{Declined, People, Question};
use zeroize::Zeroizing;

/// What simulated people do when they are asked.
#[derive(Clone, Default)]
pub struct Persona {
    /// The number on the card's face.
    pub face_code: Zeroizing<String>,
    /// PINs to choose or enter, first to last for each kind; the last one is entered again and again.
    pub pins: Vec<(CertificateKind, Zeroizing<String>)>,
    /// Says no to everything.
    pub declines: bool,
}

/// The [`People`] port over a [`Persona`].
pub struct SimPeople {
    persona: Persona,
    entered: Vec<CertificateKind>,
}

impl SimPeople {
    /// People who act as `persona` says.
    #[must_use]
    pub fn new(persona: Persona) -> Self {
        Self { persona, entered: Vec::new() }
    }

    fn next_pin(&mut self, kind: CertificateKind) -> Result<Zeroizing<String>, Declined> {
        let entered = self.entered.iter().filter(|k| **k == kind).count();
        self.entered.push(kind);
        let mut pins = self.persona.pins.iter().filter(|(k, _)| *k == kind).map(|(_, pin)| pin);
        let last = pins.clone().last();
        pins.nth(entered).or(last).cloned().ok_or(Declined)
    }
}

impl People for SimPeople {
    fn choose_pin(&mut self, kind: CertificateKind, _deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        self.next_pin(kind)
    }

    fn enter_pin(
        &mut self,
        kind: CertificateKind,
        _tries_left: u8,
        _deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        self.next_pin(kind)
    }

    fn pin_refused(&mut self, _kind: CertificateKind, _reason: &PinError) {}

    fn card_face_code(&mut self, _deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        if self.persona.declines { Err(Declined) } else { Ok(self.persona.face_code.clone()) }
    }

    fn confirm(&mut self, _question: Question, _deadline: Deadline) -> Result<bool, Declined> {
        Ok(!self.persona.declines)
    }
}
