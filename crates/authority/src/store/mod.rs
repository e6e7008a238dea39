//! The certificate store: every certificate with its one state, and every answer that must be given again unchanged.

mod sqlite;
mod terminals;

use std::fmt;

use jiff::Timestamp;
use jpki::CertificateKind;
use madoguchi_time::Recovery;

pub use sqlite::SqliteStore;
pub use terminals::{Invitation, Terminal, TerminalCertificate, TerminalCertificateKey, TerminalDecision, TerminalId};

/// A SHA-256.
pub type Digest = [u8; 32];

/// Where the authority keeps its records.
///
/// # Guarantees
/// Every method is one transaction, durable when it returns. [`Store::apply`] is all or nothing, and refuses a change
/// whose premises no longer hold, so that two processes on one store can't decide the same certificate twice.
///
/// # Errors
/// See [`StoreError`].
///
/// # For callers
/// Read, decide, [`Store::apply`]; on [`Applied::Conflict`] read again.
///
/// # For backend authors
/// The premises of a change are named in [`Change`]; check them in the transaction that makes it.
pub trait Store: Send + Sync {
    /// Makes a change, or finds that one of its premises no longer holds.
    ///
    /// # Errors
    /// If the store fails; the change is then not made.
    fn apply(&self, change: &Change) -> Result<Applied, StoreError>;

    /// The answer given to exactly this request, if it had an effect.
    ///
    /// # Errors
    /// If the store fails.
    fn answer(&self, request: &Digest) -> Result<Option<Answer>, StoreError>;

    /// Has a transaction of this ID taken effect?
    ///
    /// # Errors
    /// If the store fails.
    fn transaction_known(&self, transaction: &[u8]) -> Result<bool, StoreError>;

    /// One issue.
    ///
    /// # Errors
    /// If the store fails.
    fn issue(&self, by: IssueKey<'_>) -> Result<Option<Issue>, StoreError>;

    /// Has a certificate for this public key ever been issued, of either kind?
    ///
    /// # Errors
    /// If the store fails.
    fn public_key_known(&self, public_key: &Digest) -> Result<bool, StoreError>;

    /// The certificates that name this one as their predecessor, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    fn successors(&self, kind: CertificateKind, serial: u64) -> Result<Vec<Issue>, StoreError>;

    /// The next number of a sequence. A number is never given twice; numbers of failed requests stay unused.
    ///
    /// # Errors
    /// If the store fails.
    fn allocate(&self, sequence: Sequence<'_>) -> Result<u64, StoreError>;

    /// Unconfirmed certificates issued at or before `before`, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    fn unconfirmed(&self, before: Timestamp) -> Result<Vec<Issue>, StoreError>;

    /// Certificates that are valid while their predecessor still is, unexpired at `now`: the terminal's commit or its
    /// supersede is outstanding.
    ///
    /// # Errors
    /// If the store fails.
    fn unsettled(&self, now: Timestamp) -> Result<Vec<Unsettled>, StoreError>;

    /// What a CRL of this kind and municipality lists: revoked and superseded certificates that have not expired at
    /// `now`, by serial.
    ///
    /// # Errors
    /// If the store fails.
    fn revoked(
        &self,
        kind: CertificateKind,
        municipality: &str,
        now: Timestamp,
    ) -> Result<Vec<(u64, Revocation)>, StoreError>;

    /// Adds a terminal to the allow-list, or replaces the one of that name. With `certificates`, all that it had before are
    /// revoked (`at`), and its invitation is withdrawn; without, it keeps them.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if another terminal has its window or one of its keys.
    fn register_terminal(
        &self,
        terminal: &Terminal,
        certificates: Option<&[TerminalCertificate]>,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Adds a terminal to the allow-list, or changes the one of that name, which keeps its certificates and the key of its log; and
    /// invites it, in the place of any invitation before.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if another terminal has its window.
    fn invite(&self, terminal: &Terminal, invitation: &Invitation) -> Result<(), StoreError>;

    /// One terminal of the allow-list.
    ///
    /// # Errors
    /// If the store fails.
    fn terminal(&self, id: &TerminalId) -> Result<Option<Terminal>, StoreError>;

    /// One of the terminals' own certificates.
    ///
    /// # Errors
    /// If the store fails.
    fn terminal_certificate(&self, by: TerminalCertificateKey<'_>) -> Result<Option<TerminalCertificate>, StoreError>;

    /// All own certificates of a terminal, whatever became of them, by serial.
    ///
    /// # Errors
    /// If the store fails.
    fn terminal_certificates(&self, terminal: &TerminalId) -> Result<Vec<TerminalCertificate>, StoreError>;

    /// All own certificates of any terminal for this key, by serial.
    ///
    /// # Errors
    /// If the store fails.
    fn terminal_certificates_for(&self, public_key: &Digest) -> Result<Vec<TerminalCertificate>, StoreError>;

    /// The invitations, used and expired ones too, by terminal.
    ///
    /// # Errors
    /// If the store fails.
    fn invitations(&self) -> Result<Vec<Invitation>, StoreError>;

    /// Revokes what terminals have not confirmed since `before`, and erases the secrets of invitations that expired before `now`.
    /// The answer is how many certificates there were.
    ///
    /// # Errors
    /// If the store fails.
    fn sweep_terminals(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError>;

    /// The allow-list.
    ///
    /// # Errors
    /// If the store fails.
    fn terminals(&self) -> Result<Vec<Terminal>, StoreError>;

    /// The checkpoint witnessed last for this terminal.
    ///
    /// # Errors
    /// If the store fails.
    fn witness(&self, terminal: &TerminalId) -> Result<Option<Witness>, StoreError>;

    /// The alarms, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    fn alarms(&self) -> Result<Vec<Alarm>, StoreError>;

    /// The oldest alarm about a terminal's log that nobody has acknowledged.
    ///
    /// # Errors
    /// If the store fails.
    fn open_alarm(&self, terminal: &TerminalId) -> Result<Option<Alarm>, StoreError>;

    /// How many certificates are in each state.
    ///
    /// # Errors
    /// If the store fails.
    fn counts(&self) -> Result<Vec<(CertificateKind, State, u64)>, StoreError>;
}

/// One change of the store. Its premises: no answer to `answer.request` is recorded, nor, if it opens its
/// transaction, one that opened the same; neither the transaction ID nor the public key of `issue` is known; the
/// certificate of `decision` is in the state `from`, and the one that it depends on is valid; the checkpoint that
/// `witness` follows is still the one witnessed last; the own certificates of `terminal_decisions` are in their states `from`;
/// nobody else, and no certificate for another purpose, has the key of `terminal_certificate`; the terminal of `log_key` has none
/// yet; `used_invitation` is not used yet.
#[derive(Clone, Default)]
pub struct Change {
    /// A certificate is issued.
    pub issue: Option<Issue>,
    /// A certificate changes its state.
    pub decision: Option<Decision>,
    /// A request is answered; the same bytes get the same answer from now on.
    pub answer: Option<Answer>,
    /// A terminal is issued a certificate of its own.
    pub terminal_certificate: Option<TerminalCertificate>,
    /// Terminals' own certificates change their states.
    pub terminal_decisions: Vec<TerminalDecision>,
    /// The key of a terminal's log becomes known.
    pub log_key: Option<(TerminalId, Vec<u8>)>,
    /// An invitation, by its reference, is used, and its secret erased.
    pub used_invitation: Option<(String, Timestamp)>,
    /// A checkpoint is witnessed.
    pub witness: Option<Witness>,
    /// An alarm is raised, unless the same one about the same checkpoint is open.
    pub alarm: Option<Alarm>,
    /// Somebody acknowledges all open alarms about a terminal's log.
    pub acknowledgement: Option<(TerminalId, Acknowledgement)>,
}

/// What came of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was made.
    Done,
    /// A premise did not hold; nothing was changed.
    Conflict,
}

/// An answer that had an effect, to be repeated byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// SHA-256 of the request message.
    pub request: Digest,
    /// The transaction ID of the request.
    pub transaction: Vec<u8>,
    /// Did the request open its transaction (ir, rr)? Only one request does.
    pub opens: bool,
    /// The terminal that asked; nobody else gets the answer.
    pub terminal: TerminalId,
    /// The answer message.
    pub response: Vec<u8>,
    /// When it was first given.
    pub at: Timestamp,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Kind of the certificate.
    pub kind: CertificateKind,
    /// Serial of the certificate.
    pub serial: u64,
    /// The state on which the decision rests.
    pub from: State,
    /// The new state.
    pub to: State,
    /// Time and reason, for a revocation.
    pub revocation: Option<Revocation>,
    /// When it was decided.
    pub at: Timestamp,
    /// Serial of a certificate of the same kind that must be valid: a successor.
    pub while_valid: Option<u64>,
}

/// How an issue is looked up.
#[derive(Clone, Copy, Debug)]
pub enum IssueKey<'a> {
    /// By the transaction ID under which it was asked for.
    Transaction(&'a [u8]),
    /// By the SHA-256 of the certificate.
    Certificate(&'a Digest),
    /// By kind and serial.
    Serial(CertificateKind, u64),
}

/// A sequence of numbers.
#[derive(Clone, Copy, Debug)]
pub enum Sequence<'a> {
    /// Serials of a kind of certificate; starts where the store was told to.
    Serial(CertificateKind),
    /// Serials of the infrastructure authority; starts at 1.
    InfrastructureSerial,
    /// Numbers of the CRLs of a kind and a municipality's code (RFC 5280 §5.2.3); starts at 1.
    Crl(CertificateKind, &'a str),
}

/// One certificate and what became of it.
///
/// `Debug` prints nothing personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Issue {
    /// The transaction ID under which it was asked for.
    pub transaction: Vec<u8>,
    /// Its kind.
    pub kind: CertificateKind,
    /// Its serial, unique in its kind.
    pub serial: u64,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// SHA-256 of the certificate.
    pub sha256: Digest,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub public_key: Digest,
    /// Its state.
    pub state: State,
    /// Serial of the certificate that it replaces once valid.
    pub predecessor: Option<u64>,
    /// The terminal that asked for it.
    pub terminal: TerminalId,
    /// Code of the municipality whose CRL lists it.
    pub municipality: String,
    /// senderNonce of the message that brought it.
    pub nonce: [u8; 16],
    /// When it was issued.
    pub issued_at: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// Time and reason of its revocation.
    pub revocation: Option<Revocation>,
}

impl fmt::Debug for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issue")
            .field("kind", &self.kind)
            .field("serial", &self.serial)
            .field("state", &self.state)
            .field("predecessor", &self.predecessor)
            .finish_non_exhaustive()
    }
}

/// The state of a certificate. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Issued, not confirmed: OCSP says `unknown`.
    Issued,
    /// Confirmed: OCSP says `good`.
    Valid,
    /// Revoked, or rejected, or never confirmed.
    Revoked,
    /// Replaced by its confirmed successor.
    Superseded,
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// CRLReason (RFC 5280 §5.3.1), as far as the certification practice statements of JPKI use it (§4.9.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReason {
    /// 交付前に破棄: never confirmed, or rejected by the terminal.
    Unspecified = 0,
    /// The key is no longer its holder's alone.
    KeyCompromise = 1,
    /// The authority's own key is lost.
    CaCompromise = 2,
    /// 記載内容に変更: name, address, date of birth or sex changed.
    AffiliationChanged = 3,
    /// 更新: replaced by a new certificate.
    Superseded = 4,
    /// No longer used.
    CessationOfOperation = 5,
    /// 一時保留. JPKI never lifts it.
    CertificateHold = 6,
}

impl RevocationReason {
    /// The reason with this CRLReason code.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [
            Self::Unspecified,
            Self::KeyCompromise,
            Self::CaCompromise,
            Self::AffiliationChanged,
            Self::Superseded,
            Self::CessationOfOperation,
            Self::CertificateHold,
        ]
        .into_iter()
        .find(|reason| *reason as i64 == code)
    }
}

/// A confirmed certificate whose predecessor is still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Kind of both.
    pub kind: CertificateKind,
    /// Serial of the confirmed certificate.
    pub serial: u64,
    /// SHA-256 of the confirmed certificate.
    pub sha256: Digest,
    /// Serial of its predecessor.
    pub predecessor: u64,
    /// Code of the municipality for whose resident it was issued.
    pub municipality: String,
    /// The terminal that asked for it.
    pub terminal: TerminalId,
    /// When it was confirmed.
    pub confirmed_at: Timestamp,
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// The latest checkpoint of a terminal's log that the authority has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Whose log.
    pub terminal: TerminalId,
    /// Name of the log.
    pub origin: String,
    /// Entries in the log.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
    /// The checkpoint with its signature.
    pub checkpoint: String,
    /// How many entries had been witnessed before, if any: the premise of [`Store::apply`]. Not kept.
    pub follows: Option<u64>,
}

/// A checkpoint that can't follow the one witnessed before. Never removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Whose log.
    pub terminal: TerminalId,
    /// What is wrong with it.
    pub kind: AlarmKind,
    /// Entries in the log by the checkpoint witnessed before.
    pub witnessed_size: u64,
    /// Entries in the log by the checkpoint that came; 0 if its signature does not verify.
    pub offered_size: u64,
    /// The checkpoint witnessed before, with its signature, if there was one.
    pub witnessed: Option<String>,
    /// What came: the checkpoint with its consistency proof. With `witnessed`, the evidence.
    pub offered: String,
    /// When it came.
    pub at: Timestamp,
    /// Who has looked into it, and when; none while it is open.
    pub acknowledged: Option<Acknowledgement>,
}

/// Somebody has looked into an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who: the ID of an アクセス管理責任者 or auditor.
    pub by: PersonId,
    /// When.
    pub at: Timestamp,
}

/// Who answers for an entry of the authority's own books: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonId(String);

impl PersonId {
    /// A person's ID, if it is one.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        is_name(id).then(|| Self(id.to_owned()))
    }

    /// The ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// The log is shorter than it was: cut off, or an older copy of the folder put back.
    RolledBack,
    /// Another log, or one that does not begin with what was witnessed.
    Forked,
    /// The checkpoint is not signed by the log key of the registration.
    KeyReplaced,
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the store for too long.
    #[error("the store is in use by another process")]
    Busy,
    /// What is to be added exists already under another name.
    #[error("another terminal has this window or key already")]
    Duplicate,
    /// The disk is full.
    #[error("the disk that holds the store is full")]
    Full,
    /// The file is no store, or a damaged one.
    #[error("the store is damaged or not a store")]
    Damaged,
    /// The store was made by an older version of the program, and can't be carried over: make the authority anew. This is a
    /// simulator's store.
    #[error("the store has version {found}, of an older program; this one needs version {known}")]
    TooOld {
        /// The store's version.
        found: i64,
        /// The version that is needed.
        known: i64,
    },
    /// The store was made by a newer version of the program.
    #[error("the store has version {found}; this program knows versions up to {known}")]
    TooNew {
        /// The store's version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The database failed otherwise: no permission, a disk error.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Busy => Recovery::Retry,
            Self::Duplicate | Self::Full | Self::TooOld { .. } | Self::TooNew { .. } => Recovery::Reconfigure,
            Self::Damaged | Self::Failed(_) => Recovery::Fatal,
        }
    }
}
