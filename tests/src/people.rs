//! People at the counter who remember what they were asked, and may walk away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jpki::{CertificateKind, PinError, TextField};
use madoguchi_time::Deadline;
use orchestrator::{Declined, People, Question};
use zeroize::Zeroizing;

/// Something that was said to the people at the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A question to the clerk.
    Confirm(Question),
    /// 照合番号B was asked for.
    FaceCode,
    /// A new PIN was asked for.
    ChoosePin(CertificateKind),
    /// The card's PIN was asked for; so many tries were said to be left.
    EnterPin(CertificateKind, u8),
    /// A 代替文字 was asked for, for the character at this position.
    Substitute(TextField, usize),
    /// A PIN was refused.
    PinRefused(CertificateKind, PinError),
}

/// What was said at the counter, in all runs of a stage.
#[derive(Clone, Default)]
pub struct Conversation(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    said: Vec<Said>,
    questions: u64,
    walk_away_at: Option<u64>,
}

impl Conversation {
    /// Everything that was said since this was asked last.
    pub fn take(&self) -> Vec<Said> {
        std::mem::take(&mut self.lock().said)
    }

    /// The same, which can be asked again.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        self.lock().said.clone()
    }

    /// Was the clerk asked this, since all was taken last?
    #[must_use]
    pub fn was_asked(&self, question: Question) -> bool {
        self.lock().said.contains(&Said::Confirm(question))
    }

    /// At the `n`-th question from now, counted from 1, somebody cancels instead of answering.
    pub fn walk_away_at(&self, n: u64) {
        let mut inner = self.lock();
        inner.walk_away_at = Some(inner.questions + n);
    }

    /// From now on all questions are answered. Had somebody walked away?
    pub fn stay(&self) -> bool {
        let mut inner = self.lock();
        let walked_away = inner.walk_away_at.is_some_and(|at| inner.questions >= at);
        inner.walk_away_at = None;
        walked_away
    }

    /// `people`, listened to.
    #[must_use]
    pub fn with(&self, people: Box<dyn People>) -> Box<dyn People> {
        Box::new(Attentive { people, conversation: self.clone() })
    }

    fn question(&self, said: Said) -> Result<(), Declined> {
        let mut inner = self.lock();
        inner.said.push(said);
        inner.questions += 1;
        if inner.walk_away_at == Some(inner.questions) { Err(Declined) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Attentive {
    people: Box<dyn People>,
    conversation: Conversation,
}

impl People for Attentive {
    fn choose_pin(&mut self, kind: CertificateKind, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        self.conversation.question(Said::ChoosePin(kind))?;
        self.people.choose_pin(kind, deadline)
    }

    fn enter_pin(
        &mut self,
        kind: CertificateKind,
        tries_left: u8,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        self.conversation.question(Said::EnterPin(kind, tries_left))?;
        self.people.enter_pin(kind, tries_left, deadline)
    }

    fn pin_refused(&mut self, kind: CertificateKind, reason: &PinError) {
        self.conversation.lock().said.push(Said::PinRefused(kind, *reason));
        self.people.pin_refused(kind, reason);
    }

    fn card_face_code(&mut self, deadline: Deadline) -> Result<Zeroizing<String>, Declined> {
        self.conversation.question(Said::FaceCode)?;
        self.people.card_face_code(deadline)
    }

    fn choose_substitute(
        &mut self,
        text: TextField,
        position: usize,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined> {
        self.conversation.question(Said::Substitute(text, position))?;
        self.people.choose_substitute(text, position, deadline)
    }

    fn confirm(&mut self, question: Question, deadline: Deadline) -> Result<bool, Declined> {
        self.conversation.question(Said::Confirm(question))?;
        self.people.confirm(question, deadline)
    }
}
