//! Counter procedures as a state machine without I/O: no clock, no randomness, no file, no socket.
//!
//! [`Procedure::step`] takes an [`Event`] and says what to do next, an [`Action`]. The driver does it and comes back with
//! the next event. One action at a time: whatever is lost, exactly one thing was under way.
//!
//! The machine believes nothing that it has not looked at. After a removal or a reset it starts again at *look*: it
//! reads the card's slots, asks the authority what became of each certificate that it finds there, and goes on from what
//! those two say. The same look takes up what another terminal, or this one before a power cut, left behind.

mod case;
mod changeover;
mod look;
mod machine;
mod steps;

use card_reader::CardError;
use jiff::Timestamp;
use jpki::{CertificateKind, Pin};
use zeroize::Zeroizing;

use crate::error::ProcedureError;
use crate::plan::Step;
use crate::progress::{KeyOrigin, ProcedureReport, Progress, Settlement};

pub use case::{Applicant, CaseInput, Holder};
pub use changeover::{KeyChangeover, Versions};
pub use machine::Procedure;

/// 16 bytes that name one certificate's transaction, on the card and at the authority.
pub type TransactionId = [u8; jpki::card::TRANSACTION_ID_LENGTH];

/// A SHA-256 that names a certificate or a key.
pub type Name = [u8; 32];

/// What the driver runs.
pub trait Machine: Sized {
    /// Takes one event and says what to do next.
    #[must_use]
    fn step(self, event: Event) -> (Self, Action);

    /// What it has told since it was asked last.
    fn told(&mut self) -> Vec<Progress>;
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Action {
    /// Ask the clerk for 照合番号B. Answer: [`Event::FaceCode`] or [`Event::Declined`].
    AskFaceCode,
    /// Ask the resident for PINs. Answer: [`Event::Pins`] or [`Event::Declined`].
    AskPins(Vec<PinWanted>),
    /// Ask the clerk whether the certificates on the card may be overwritten in place. Answer: [`Event::Agreed`] or
    /// [`Event::Declined`].
    AskOverwrite,
    /// Wait for a card, connect and begin a transaction. Answer: [`Event::CardReady`] or [`Event::CardFailed`].
    BeginCard,
    /// Send a command. Answer: [`Event::Card`], [`Event::CardLost`], [`Event::CardFailed`] or [`Event::Failed`].
    Card(CardCommand),
    /// Have the HSM make a key pair for the card whose channel is open. Answer: [`Event::KeyPairMade`] or [`Event::Failed`].
    MakeKeyPair(CertificateKind, hsm::CardKeyPairKind),
    /// Ask the authority. Answer: [`Event::Authority`], [`Event::AuthorityFailed`] or [`Event::Failed`].
    Authority(AuthorityCall),
    /// End the transaction with a reset. Answer: [`Event::CardEnded`].
    EndCard,
    /// The procedure is over. No answer.
    Finish(Outcome),
}

/// How a procedure ended. What was issued before it failed stays issued.
#[derive(Debug)]
pub struct Outcome {
    /// What was reached.
    pub report: ProcedureReport,
    /// Why it ended early, if it did.
    pub failure: Option<ProcedureError>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The number that the clerk read.
    FaceCode(Zeroizing<String>),
    /// The PINs that the resident entered, each once.
    Pins(Vec<(CertificateKind, Pin)>),
    /// What is on the card may be overwritten.
    Agreed,
    /// A person cancelled.
    Declined,
    /// A transaction has begun.
    CardReady,
    /// The card answered.
    Card(CardReply),
    /// The HSM has made a key pair for this card, and has it no longer.
    KeyPairMade(hsm::WrappedKeyPair),
    /// The card went away or lost its state. The last command may have taken effect.
    CardLost,
    /// The reader or the card can't go on.
    CardFailed(CardError),
    /// The terminal itself can't go on: the HSM failed, the log can't be written, the card's keys are foreign.
    Failed(Box<ProcedureError>),
    /// The authority answered, at this time.
    Authority(authority_link::Answer, Timestamp),
    /// The authority did not answer, however often it was asked.
    AuthorityFailed(Box<ProcedureError>),
    /// The transaction has ended.
    CardEnded,
}

/// A PIN that the resident is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinWanted {
    /// Which.
    pub kind: CertificateKind,
    /// Chosen anew, or the one that the card knows, with so many tries left.
    pub known: Option<u8>,
}

/// A command to the card. The driver encodes it and, from [`CardCommand::OpenChannel`] on, wraps it in the secure
/// channel.
pub enum CardCommand {
    /// Reads the card's serial number (製造番号) and its date of expiry, which are free to read.
    ReadSerial,
    /// Reads the holder's four items, which 照合番号B opens.
    ReadHolder(Zeroizing<String>),
    /// Selects 公的個人認証AP and opens the secure channel.
    OpenChannel,
    /// Reads the state of a kind's slots.
    Status(CertificateKind),
    /// Sets the first PIN.
    SetPin(CertificateKind, Pin),
    /// Verifies the PIN.
    VerifyPin(CertificateKind, Pin),
    /// Makes a key pair in the pending slot. On a card without one, what it overwrites is named.
    Generate(CertificateKind, TransactionId, Option<Name>),
    /// Brings a key pair that was made in the HSM into the pending slot: the name of its public key, and the private one, wrapped for this
    /// card. On a card without a pending slot, what it overwrites is named before them.
    Import(CertificateKind, TransactionId, Option<Name>, Name, Vec<u8>),
    /// Reads the pending key's SubjectPublicKeyInfo.
    ReadKey(CertificateKind),
    /// Signs a DigestInfo or a hash with the pending key.
    Sign(CertificateKind, Vec<u8>),
    /// Writes the certificate beside the pending key, naming both.
    Write(CertificateKind, Name, Name, Zeroizing<Vec<u8>>),
    /// Reads the pending certificate back.
    ReadBack(CertificateKind),
    /// Pending becomes active.
    Commit(CertificateKind, Name),
    /// Empties the pending slot.
    Discard(CertificateKind, Name),
    /// Asks the issuer security domain which key versions the card has.
    ReadKeyVersions,
    /// Opens a channel in the issuer security domain with this key version.
    OpenDomain(u8),
    /// Adds the static keys of this version.
    PutKeys(u8),
    /// Takes the static keys of this version away.
    DeleteKeys(u8),
}

impl CardCommand {
    /// The command's name in the log and in diagnostics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadSerial => "read-serial",
            Self::ReadHolder(_) => "read-holder",
            Self::OpenChannel => "open-channel",
            Self::Status(_) => "status",
            Self::SetPin(..) => "set-pin",
            Self::VerifyPin(..) => "verify-pin",
            Self::Generate(..) => "generate-key",
            Self::Import(..) => "import-key",
            Self::ReadKey(_) => "read-key",
            Self::Sign(..) => "sign",
            Self::Write(..) => "write",
            Self::ReadBack(_) => "read-back",
            Self::Commit(..) => "commit",
            Self::Discard(..) => "discard",
            Self::ReadKeyVersions => "read-key-versions",
            Self::OpenDomain(_) => "open-domain",
            Self::PutKeys(_) => "put-keys",
            Self::DeleteKeys(_) => "delete-keys",
        }
    }

    /// Does the command change the card, or look at its holder? Then the log has an intent and an outcome for it.
    #[must_use]
    pub fn is_accounted(&self) -> bool {
        match self {
            // Spends a try of 照合番号B if it is wrong, and shows four personal items.
            Self::ReadHolder(_)
            | Self::SetPin(..)
            | Self::VerifyPin(..)
            | Self::Generate(..)
            | Self::Import(..)
            | Self::Write(..)
            | Self::ReadBack(_)
            | Self::Commit(..)
            | Self::Discard(..)
            | Self::PutKeys(_)
            | Self::DeleteKeys(_) => true,
            Self::ReadSerial
            | Self::OpenChannel
            | Self::Status(_)
            | Self::ReadKey(_)
            | Self::Sign(..)
            | Self::ReadKeyVersions
            | Self::OpenDomain(_) => false,
        }
    }

    /// The kind of certificate that the command is about, if it is about one.
    #[must_use]
    pub fn kind(&self) -> Option<CertificateKind> {
        match self {
            Self::ReadSerial
            | Self::ReadHolder(_)
            | Self::OpenChannel
            | Self::ReadKeyVersions
            | Self::OpenDomain(_)
            | Self::PutKeys(_)
            | Self::DeleteKeys(_) => None,
            Self::Status(kind)
            | Self::SetPin(kind, _)
            | Self::VerifyPin(kind, _)
            | Self::Generate(kind, ..)
            | Self::Import(kind, ..)
            | Self::ReadKey(kind)
            | Self::Sign(kind, _)
            | Self::Write(kind, ..)
            | Self::ReadBack(kind)
            | Self::Commit(kind, _)
            | Self::Discard(kind, _) => Some(*kind),
        }
    }

    /// The key version that the command changes, if it changes one.
    #[must_use]
    pub fn key_version(&self) -> Option<u8> {
        match self {
            Self::PutKeys(version) | Self::DeleteKeys(version) => Some(*version),
            _ => None,
        }
    }
}

impl std::fmt::Debug for CardCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the card said.
#[derive(Debug)]
pub enum CardReply {
    /// It did as asked.
    Done(CardData),
    /// It refused.
    Refused(apdu::StatusWord),
    /// It answered, and the answer makes no sense.
    Nonsense,
}

/// What came with the card's consent.
#[derive(Debug)]
pub enum CardData {
    /// Nothing.
    None,
    /// Bytes: a key, a signature, a certificate.
    Bytes(Zeroizing<Vec<u8>>),
    /// The card's serial number, and the last day on which it is valid.
    Record(Zeroizing<Vec<u8>>, jiff::civil::Date),
    /// The state of a kind's slots.
    Status(SlotStatus),
    /// The key versions of the card.
    KeyVersions(Vec<u8>),
    /// The holder.
    Holder(Holder),
}

/// The state of one kind's slots (`docs/protocols/card-issuing.md` §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The active certificate's name.
    pub active: Option<Name>,
    /// What is pending.
    pub pending: Pending,
    /// Has a PIN been set?
    pub pin_set: bool,
    /// Tries left for it.
    pub tries_left: u8,
    /// The algorithm of new keys, as in `jpki::card::algorithm`.
    pub algorithm: u8,
    /// Is there a pending slot? Without, a new key overwrites what is active.
    pub pending_slot: bool,
    /// The certificate that the key in the only slot has overwritten, until that has a certificate of its own.
    pub overwritten: Option<Name>,
    /// Does the card make keys itself?
    pub makes_keys: bool,
}

impl SlotStatus {
    /// Where the card's keys are made.
    #[must_use]
    pub fn key_origin(&self) -> KeyOrigin {
        if self.makes_keys { KeyOrigin::Card } else { KeyOrigin::Hsm }
    }

    /// What a new key would overwrite: the content of the only slot, if there is one.
    #[must_use]
    pub fn to_overwrite(&self) -> Option<Name> {
        match (&self.pending, self.active) {
            _ if self.pending_slot => None,
            (Pending::Key(name), _) => Some(*name),
            (_, active) => active,
        }
    }
}

/// What a pending slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Empty,
    /// A key, named by its SPKI.
    Key(Name),
    /// Key and certificate of a transaction, named by the certificate.
    Complete(TransactionId, Name),
}

/// A request to the authority.
pub enum AuthorityCall {
    /// What became of this certificate?
    StateOf(Name),
    /// Issue a certificate. The request has the key's proof of possession already.
    Certify(CertificateKind, TransactionId, Box<authority_link::CertificationRequest>),
    /// The certificate is on the card and works; or it is rejected.
    Confirm {
        /// Which kind, for the log.
        kind: CertificateKind,
        /// The transaction in which it was issued.
        transaction: TransactionId,
        /// Which certificate.
        certificate: Name,
        /// Accepted, or rejected.
        accept: bool,
    },
    /// Revoke a certificate as superseded.
    Supersede(CertificateKind, authority_link::IssuerAndSerial),
    /// Revoke a certificate whose key was overwritten, before it has a successor.
    Retire(CertificateKind, authority_link::IssuerAndSerial),
}

impl AuthorityCall {
    /// The message's name in RFC 9810.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StateOf(_) => "genm",
            Self::Certify(..) => "ir",
            Self::Confirm { .. } => "certConf",
            Self::Supersede(..) | Self::Retire(..) => "rr",
        }
    }

    /// The transaction that the request belongs to, as hex.
    #[must_use]
    pub fn transaction(&self) -> Option<String> {
        match self {
            Self::StateOf(_) | Self::Supersede(..) | Self::Retire(..) => None,
            Self::Certify(_, transaction, _) | Self::Confirm { transaction, .. } => Some(hex::encode(transaction)),
        }
    }

    /// What the request changes at the authority, for the log: nothing if it only asks.
    #[must_use]
    pub fn effect(&self) -> Option<(CertificateKind, &'static str)> {
        match self {
            Self::StateOf(_) => None,
            Self::Certify(kind, ..) => Some((*kind, "request")),
            Self::Confirm { kind, accept: true, .. } => Some((*kind, "confirm")),
            Self::Confirm { kind, accept: false, .. } => Some((*kind, "reject")),
            Self::Supersede(kind, _) => Some((*kind, "supersede")),
            Self::Retire(kind, _) => Some((*kind, "retire")),
        }
    }
}

impl std::fmt::Debug for AuthorityCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the machine tells while it works; the driver passes it on.
#[derive(Debug, Default)]
pub struct Told(pub Vec<Progress>);

impl Told {
    fn started(&mut self, kind: CertificateKind, step: Step) {
        self.0.push(Progress::StepStarted { kind, step });
    }

    fn settled(&mut self, kind: CertificateKind, how: Settlement) {
        self.0.push(Progress::Settled { kind, how });
    }

    fn done(&mut self, kind: CertificateKind, step: Step) {
        // The driver, which has a clock, fills in the time.
        self.0.push(Progress::StepDone { kind, step, elapsed_ms: 0 });
    }
}
