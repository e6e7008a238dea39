//! What the store keeps of terminals: the allow-list, their own certificates, invitations.

use std::fmt;

use authority_link::Purpose;
use jiff::Timestamp;
use jpki::Municipality;
use zeroize::Zeroizing;

use super::{Digest, PersonId, State, is_name};

/// The name under which a terminal is registered: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TerminalId(pub(super) String);

impl TerminalId {
    /// A terminal's name, if it is one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        // A name is also a folder's name.
        (is_name(name) && !name.starts_with('.')).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TerminalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A terminal on the allow-list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its name.
    pub id: TerminalId,
    /// 受付窓口識別記号: 9 characters, the municipality's code first.
    pub window: String,
    /// The municipality for which it works.
    pub municipality: Municipality,
    /// SubjectPublicKeyInfo of the key that signs the checkpoints of its log, DER. Only a test peer has none, and a terminal that was
    /// invited and has not come yet.
    pub log_key: Option<Vec<u8>>,
    /// A foreign implementation under test, which can't send all that a terminal sends. Only a simulated authority
    /// has such.
    pub test_peer: bool,
    /// May it still ask for anything?
    pub authorised: bool,
}

/// One of a terminal's own certificates, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalCertificate {
    /// Its serial, unique among those of the infrastructure authority.
    pub serial: u64,
    /// Whose it is.
    pub terminal: TerminalId,
    /// What it is for.
    pub purpose: Purpose,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// SHA-256 of the certificate.
    pub sha256: Digest,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub public_key: Digest,
    /// Its state.
    pub state: State,
    /// Serial of the certificate that it replaces.
    pub predecessor: Option<u64>,
    /// The transaction ID under which it was asked for; none if the authority's administrator had it made.
    pub transaction: Option<Vec<u8>>,
    /// senderNonce of the message that brought it.
    pub nonce: [u8; 16],
    /// When it was issued.
    pub issued_at: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// When it was revoked or superseded.
    pub revoked_at: Option<Timestamp>,
}

impl TerminalCertificate {
    /// Is it confirmed, not revoked, and not expired at `now`?
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.state == State::Valid && now <= self.not_after
    }
}

/// How one of a terminal's own certificates is looked up.
#[derive(Clone, Copy, Debug)]
pub enum TerminalCertificateKey<'a> {
    /// By its SHA-256.
    Certificate(&'a Digest),
    /// By the transaction ID under which it was asked for.
    Transaction(&'a [u8]),
    /// By its serial.
    Serial(u64),
}

/// A change of state of one of a terminal's own certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalDecision {
    /// Its serial.
    pub serial: u64,
    /// The state on which the decision rests.
    pub from: State,
    /// The new state.
    pub to: State,
    /// When it was decided.
    pub at: Timestamp,
}

/// A terminal may come and fetch its first certificate. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who may come.
    pub terminal: TerminalId,
    /// By what the secret goes on the line.
    pub reference: String,
    /// What only the terminal's installer and the authority know; empty once it was used.
    pub secret: Zeroizing<Vec<u8>>,
    /// Who invited it: ID of an administrator.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
    /// Until when it may come.
    pub expires_at: Timestamp,
    /// When it came.
    pub used_at: Option<Timestamp>,
}

impl Invitation {
    /// Is it still open at `now`?
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && now <= self.expires_at
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("terminal", &self.terminal)
            .field("reference", &self.reference)
            .field("expires_at", &self.expires_at)
            .field("used_at", &self.used_at)
            .finish_non_exhaustive()
    }
}
