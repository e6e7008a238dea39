//! Ports for people: what the terminal asks of the resident and of the clerk.

use jpki::{CertificateKind, TextField};
use madoguchi_time::Deadline;
use zeroize::Zeroizing;

/// The people at the counter.
///
/// # Guarantees
/// What the resident types goes to the caller and nowhere else.
///
/// # Errors
/// [`Declined`] when a person cancels or does not answer by the deadline.
///
/// # For callers
/// Never ask while holding a card transaction: a person may take minutes, and some systems reset an idle card.
///
/// # For backend authors
/// PIN entry is the resident's: nothing is displayed, nothing is kept. A PIN that breaks a rule comes back through
/// [`People::pin_refused`] and is asked for again.
pub trait People: Send {
    /// The resident chooses a new PIN, twice the same.
    ///
    /// # Errors
    /// [`Declined`].
    fn choose_pin(&mut self, kind: CertificateKind, deadline: Deadline) -> Result<Zeroizing<String>, Declined>;

    /// The resident enters the PIN that the card knows.
    ///
    /// # Errors
    /// [`Declined`].
    fn enter_pin(
        &mut self,
        kind: CertificateKind,
        tries_left: u8,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined>;

    /// The chosen or entered PIN can't be used; the reason is for the resident's eyes.
    fn pin_refused(&mut self, kind: CertificateKind, reason: &jpki::PinError);

    /// The clerk reads 照合番号B off the card's face: 生年月日 (6), 有効期限 (4), セキュリティコード (4).
    ///
    /// # Errors
    /// [`Declined`].
    fn card_face_code(&mut self, deadline: Deadline) -> Result<Zeroizing<String>, Declined>;

    /// A character of the application has no 代替文字 in the terminal's table: the clerk chooses one with the applicant.
    /// `position` counts the characters of the text from 1.
    ///
    /// # Errors
    /// [`Declined`], which is also what people say who can't choose.
    fn choose_substitute(
        &mut self,
        text: TextField,
        position: usize,
        deadline: Deadline,
    ) -> Result<Zeroizing<String>, Declined>;

    /// A yes-or-no question to the clerk.
    ///
    /// # Errors
    /// [`Declined`].
    fn confirm(&mut self, question: Question, deadline: Deadline) -> Result<bool, Declined>;
}

/// Questions to the clerk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// The applicant is here and was identified; the application may be taken from the register.
    ApplicantIsHere,
    /// Characters were replaced by 代替文字, at so many positions; the applicant agrees.
    SubstitutedCharacters(usize),
    /// The card has no pending slot: from the making of the new key until the end the old certificates don't work, and if
    /// the card is taken away in between, none does. The applicant agrees.
    OverwritesInPlace,
}

/// A person cancelled, or did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Declined;
