//! Why a procedure ended without its certificates. Each variant has a text for people in the message catalogue.

use std::time::Duration;

use jpki::CertificateKind;
use madoguchi_time::Recovery;

/// Why a procedure, a log-on or a start-up did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcedureError {
    /// Unknown 照合ID, or a palm that is not its holder's: the two look the same from outside.
    #[error("log-on refused")]
    LogOnRefused,
    /// Too many log-ons in a row were refused at this terminal, of whatever 照合ID.
    #[error("no log-on is taken for {} s", wait.as_secs_f64().ceil())]
    LogOnDelayed {
        /// For how long nobody can log on yet.
        wait: Duration,
    },
    /// No capture could be used.
    #[error("no usable palm capture: {0}")]
    NoUsableCapture(String),
    /// Nobody is logged on, or the screen is locked after idling.
    #[error("nobody is logged on")]
    NotLoggedOn,
    /// The operator's role does not allow this.
    #[error("the operator's role does not allow this")]
    NotAllowed,
    /// This takes two persons: none, or the same person again, was named as the second.
    #[error("a second person is needed")]
    SecondPersonNeeded,
    /// The last アクセス管理責任者 can't be retired: nobody could register or retire operators any more. Register another first.
    #[error("nobody else is access manager")]
    LastAccessManager,
    /// The 照合ID is taken, or is none: 4 to 16 letters and digits are needed.
    #[error("this user ID is taken or malformed")]
    UserIdNotFree,
    /// No operator has this 照合ID.
    #[error("no operator has this user ID")]
    UnknownOperator,
    /// The palm could not be registered.
    #[error("the palm could not be registered")]
    Enrolment(#[from] biometric::EnrolError),
    /// The register has no such resident.
    #[error("the register has no resident of that number")]
    UnknownResident,
    /// The resident may not have this certificate.
    #[error("not eligible for the {kind:?} certificate")]
    NotEligible {
        /// Which.
        kind: CertificateKind,
        /// Why.
        #[source]
        reason: jpki::Ineligible,
    },
    /// The application can't be made: a character without 代替文字, an address that is too long.
    #[error("the application can't be made from the register's data")]
    Application(#[from] jpki::ApplicationError),
    /// No card was presented in time.
    #[error("no card was presented in time")]
    NoCard,
    /// The card is none of ours: an unknown kind, or keys that this terminal's HSM does not have.
    #[error("this card can't be used here")]
    WrongCard,
    /// The 照合番号B read off the card's face is not this card's.
    #[error("the number read off the card's face does not fit the card; {tries_left} tries left")]
    WrongFaceCode {
        /// Tries left.
        tries_left: u8,
    },
    /// The card is past its own date of expiry (有効期限), and no certificate may outlive it.
    #[error("the card has expired")]
    CardExpired,
    /// The card belongs to another person, or its data are older than the register's.
    #[error("the card's holder is not the applicant: {item} differs")]
    CardOfAnotherPerson {
        /// Which item differs: `name`, `address`, `birth`, `sex`.
        item: &'static str,
    },
    /// The card has certificates already.
    #[error("the card already has its {0:?} certificate")]
    AlreadyIssued(CertificateKind),
    /// The card makes no keys itself, and the site's profile requires that cards do.
    #[error("the card does not make keys itself, which the profile requires")]
    CardMakesNoKeys,
    /// The key pair that the card has made can be seen to be weak. The card's generator is at fault, so other cards of its kind may be, too.
    /// No certificate was asked for.
    #[error("the card made a weak key for the {kind:?} certificate")]
    WeakKey {
        /// For which certificate it was made.
        kind: CertificateKind,
        /// What is weak about it.
        #[source]
        weakness: jpki::WeakKey,
    },
    /// The key pair that the HSM has made for a card can be seen to be weak: the HSM's generator is at fault. It went to no card, and no
    /// certificate was asked for.
    #[error("the HSM made a weak key for the {kind:?} certificate")]
    WeakHsmKey {
        /// For which certificate it was made.
        kind: CertificateKind,
        /// What is weak about it.
        #[source]
        weakness: jpki::WeakKey,
    },
    /// A card took new static keys, and they open no channel: it stored others, or the line to it is bad. They were taken back, or are
    /// at the next changeover; the old ones still work.
    #[error("the card's new keys open no channel; its old keys still work")]
    CardKeysNotProved,
    /// A renewal needs a certificate to renew.
    #[error("the card has no {0:?} certificate to renew")]
    NothingToRenew(CertificateKind),
    /// The PIN is blocked.
    #[error("the PIN is blocked")]
    PinBlocked(CertificateKind),
    /// The PIN has a wrong format or is forbidden.
    #[error("the PIN can't be used")]
    Pin(#[from] jpki::PinError),
    /// A person cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The card refused a command.
    #[error("the card refused: {status} ({step})")]
    CardRefused {
        /// In which step.
        step: &'static str,
        /// The status word.
        status: apdu::StatusWord,
    },
    /// The card was lost and did not come back, or too often.
    #[error("interrupted: the card was taken away; it will be settled when it is next seen")]
    CardGone,
    /// The authority can't be reached. What is open will be settled when the card is next seen.
    #[error("the authority can't be reached")]
    AuthorityUnreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The authority refused.
    #[error("the authority refused: {failure}")]
    AuthorityRefused {
        /// PKIFailureInfo's name (RFC 9810 §5.2.3).
        failure: String,
    },
    /// What the authority sent can't be trusted: a foreign signer, a wrong answer.
    #[error("the authority's answer can't be trusted")]
    AuthorityNotTrusted(#[source] authority_link::LinkError),
    /// The certificate differs from the application. It was rejected and will not be valid.
    #[error("the certificate differs from the application in {field}")]
    CertificateDiffers {
        /// Which field.
        field: &'static str,
    },
    /// The HSM failed.
    #[error("the HSM failed")]
    Hsm(#[from] hsm::HsmError),
    /// The HSM's keys can't be made, or not be destroyed.
    #[error("the HSM's keys can't be looked after")]
    Keys(#[from] key_ceremony::CeremonyError),
    /// The terminal's own certificates are missing, have expired or don't fit its HSM: it can't speak to the authority.
    #[error("the terminal's own certificates can't be used")]
    Identity(#[source] Box<crate::identity::IdentityError>),
    /// The card reader failed.
    #[error("the card reader failed")]
    Reader(#[from] card_reader::CardError),
    /// The palm sensor failed.
    #[error("the palm sensor failed")]
    Sensor(#[from] biometric::SensorError),
    /// The resident register can't be read.
    #[error("the resident register can't be read")]
    Register(#[from] resident_register::RegisterError),
    /// The state folder can't be used.
    #[error("the state folder can't be used")]
    State(#[from] crate::state::StateError),
    /// The audit log is damaged, or was tampered with. Nothing is done before somebody has looked into it.
    #[error("the audit log is not in order")]
    Log(#[from] audit_log::LogFault),
    /// A state machine was given an event that its state does not know: a programming error, reported instead of guessed at.
    #[error("unexpected event: {got} while {expected}")]
    UnexpectedEvent {
        /// What the state waits for.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
}

impl ProcedureError {
    /// A short name, the same in every language: for the log, for machines, and as a key of the message catalogue.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LogOnRefused => "log-on-refused",
            Self::LogOnDelayed { .. } => "log-on-delayed",
            Self::NoUsableCapture(_) => "no-usable-capture",
            Self::NotLoggedOn => "not-logged-on",
            Self::NotAllowed => "not-allowed",
            Self::SecondPersonNeeded => "second-person-needed",
            Self::LastAccessManager => "last-access-manager",
            Self::UserIdNotFree => "user-id-not-free",
            Self::UnknownOperator => "unknown-operator",
            Self::Enrolment(_) => "enrolment",
            Self::UnknownResident => "unknown-resident",
            Self::NotEligible { .. } => "not-eligible",
            Self::Application(_) => "application",
            Self::NoCard => "no-card",
            Self::WrongCard => "wrong-card",
            Self::WrongFaceCode { .. } => "wrong-face-code",
            Self::CardExpired => "card-expired",
            Self::CardOfAnotherPerson { .. } => "card-of-another-person",
            Self::AlreadyIssued(_) => "already-issued",
            Self::CardMakesNoKeys => "card-makes-no-keys",
            Self::WeakKey { .. } => "weak-key",
            Self::WeakHsmKey { .. } => "weak-hsm-key",
            Self::CardKeysNotProved => "card-keys-not-proved",
            Self::NothingToRenew(_) => "nothing-to-renew",
            Self::PinBlocked(_) => "pin-blocked",
            Self::Pin(_) => "pin",
            Self::Cancelled => "cancelled",
            Self::CardRefused { .. } => "card-refused",
            Self::CardGone => "card-gone",
            Self::AuthorityUnreachable(_) => "authority-unreachable",
            Self::AuthorityRefused { .. } => "authority-refused",
            Self::AuthorityNotTrusted(_) => "authority-not-trusted",
            Self::CertificateDiffers { .. } => "certificate-differs",
            Self::Hsm(_) => "hsm",
            Self::Keys(_) => "keys",
            Self::Identity(error) => error.code(),
            Self::Reader(_) => "reader",
            Self::Sensor(_) => "sensor",
            Self::Register(_) => "register",
            Self::State(_) => "state",
            Self::Log(_) => "log",
            Self::UnexpectedEvent { .. } => "unexpected-event",
        }
    }

    /// What may help.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::AuthorityUnreachable(_) | Self::LogOnDelayed { .. } => Recovery::Retry,
            Self::CardGone | Self::NoCard => Recovery::Reconnect,
            Self::LogOnRefused
            | Self::NoUsableCapture(_)
            | Self::NotLoggedOn
            | Self::SecondPersonNeeded
            | Self::LastAccessManager
            | Self::UserIdNotFree
            | Self::UnknownOperator
            | Self::UnknownResident
            | Self::WrongCard
            | Self::WrongFaceCode { .. }
            | Self::CardOfAnotherPerson { .. }
            | Self::Pin(_)
            | Self::Cancelled => Recovery::AskPerson,
            Self::Hsm(error) => error.recovery(),
            Self::Keys(error) => error.recovery(),
            Self::Identity(error) => error.recovery(),
            Self::Reader(error) => error.recovery(),
            Self::Sensor(error) => error.recovery(),
            Self::Enrolment(error) => error.recovery(),
            Self::NotAllowed | Self::State(_) | Self::Register(_) => Recovery::Reconfigure,
            _ => Recovery::Fatal,
        }
    }
}
