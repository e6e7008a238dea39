//! What a procedure is made of: steps, in an order that is data.

use jpki::CertificateKind;
use serde::{Deserialize, Serialize};

/// One step on one kind of certificate. Each takes effect somewhere, or proves that the one before did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The resident's PIN goes to the card: set, or verified if the card has a certificate of that kind.
    Pin,
    /// The card makes a key pair, in the pending slot.
    GenerateKey,
    /// In its place on a card that makes no keys: the HSM makes the key pair, the card takes it. No plan has this step; it is what is
    /// told.
    ImportKey,
    /// The authority is asked for a certificate; the pending key proves its possession.
    Request,
    /// Every field of the certificate is compared with the application, the key and the profile.
    Check,
    /// The certificate is written to the pending slot and read back.
    Write,
    /// The pending key signs, and the signature verifies under the certificate.
    Exercise,
    /// The authority is told; only now is the certificate valid.
    Confirm,
    /// The card makes the pending slot the active one.
    Commit,
    /// The certificate that was replaced is revoked as superseded, by its serial. On a card without a pending slot that is due as
    /// soon as its key is overwritten.
    Supersede,
}

impl Step {
    /// The one order that keeps card and authority agreed whatever is lost (see `docs/adr/0003-card-and-authority-agree.md`).
    pub const ORDER: [Self; 9] = [
        Self::Pin,
        Self::GenerateKey,
        Self::Request,
        Self::Check,
        Self::Write,
        Self::Exercise,
        Self::Confirm,
        Self::Commit,
        Self::Supersede,
    ];
}

/// The steps of a procedure in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<(CertificateKind, Step)>,
    purpose: Purpose,
}

/// What a procedure is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// First issue: a valid certificate on the card is left alone.
    Issue,
    /// Renewal (更新): valid certificates on the card are replaced.
    Renew,
    /// Nothing but settling what earlier procedures left open.
    Settle,
}

impl Plan {
    /// First issue of `kinds` to a card that has no certificate of them.
    #[must_use]
    pub fn issue(kinds: &[CertificateKind]) -> Self {
        Self { steps: in_order(kinds), purpose: Purpose::Issue }
    }

    /// Renewal (更新): new certificates of `kinds` take the place of those on the card.
    #[must_use]
    pub fn renew(kinds: &[CertificateKind]) -> Self {
        Self { steps: in_order(kinds), purpose: Purpose::Renew }
    }

    /// Settles what earlier procedures left open, for both kinds, and issues nothing.
    #[must_use]
    pub fn settle() -> Self {
        Self { steps: in_order(&CertificateKind::BOTH), purpose: Purpose::Settle }
    }

    /// The same procedure with its steps in another order. Any order but [`Step::ORDER`] breaks the agreement; the fault
    /// loops need such plans to show that they notice.
    #[must_use]
    pub fn reordered(self, steps: Vec<(CertificateKind, Step)>) -> Self {
        Self { steps, ..self }
    }

    /// All steps.
    #[must_use]
    pub fn steps(&self) -> &[(CertificateKind, Step)] {
        &self.steps
    }

    /// What the procedure is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The kinds of certificate it is about, each once, in order.
    #[must_use]
    pub fn kinds(&self) -> Vec<CertificateKind> {
        CertificateKind::BOTH.into_iter().filter(|kind| self.steps.iter().any(|(k, _)| k == kind)).collect()
    }
}

/// All PINs first, so that the resident is asked once and they leave the terminal at once; then kind by kind.
fn in_order(kinds: &[CertificateKind]) -> Vec<(CertificateKind, Step)> {
    let pins = kinds.iter().map(|kind| (*kind, Step::Pin));
    let rest = kinds.iter().flat_map(|kind| Step::ORDER.map(|step| (*kind, step)));
    pins.chain(rest.filter(|(_, step)| *step != Step::Pin)).collect()
}
