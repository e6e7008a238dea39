//! Simulated people at the counter: a resident who chooses and remembers PINs, and a clerk who reads the card's face.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jpki::{CertificateKind, PinError, TextField};
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
    counter: Counter,
    entered: Vec<CertificateKind>,
}

/// The place in front of the counter: who stands there, and leaves with everything that they know.
#[derive(Clone, Default)]
pub struct Counter(Arc<Mutex<Persona>>);

impl Counter {
    /// The people leave. Whatever is asked from now on, nobody answers.
    pub fn leave(&self) {
        *self.persona() = Persona { declines: true, ..Persona::default() };
    }

    fn persona(&self) -> MutexGuard<'_, Persona> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimPeople {
    /// People who act as `persona` says.
    #[must_use]
    pub fn new(persona: Persona) -> Self {
        Self { counter: Counter(Arc::new(Mutex::new(persona))), entered: Vec::new() }
    }

    /// Where they stand.
    #[must_use]
    pub fn counter(&self) -> Counter {
        self.counter.clone()
    }

    fn next_pin(&mut self, kind: CertificateKind) -> Result<Zeroizing<String>, Declined> {
        let entered = self.entered.iter().filter(|k| **k == kind).count();
        self.entered.push(kind);
        let persona = self.counter.persona();
        let mut pins = persona.pins.iter().filter(|(k, _)| *k == kind).map(|(_, pin)| pin);
        let last = pins.clone().next_back();
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
        let persona = self.counter.persona();
        if persona.declines { Err(Declined) } else { Ok(persona.face_code.clone()) }
    }

    fn choose_substitute(
        &mut self,
        _text: TextField,
        _position: usize,
        _deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        // 〓, the mark of printers for a missing character.
        if self.counter.persona().declines { Err(Declined) } else { Ok(Zeroizing::new("〓".into())) }
    }

    fn confirm(&mut self, _question: Question, _deadline: Deadline) -> Result<bool, Declined> {
        Ok(!self.counter.persona().declines)
    }
}
