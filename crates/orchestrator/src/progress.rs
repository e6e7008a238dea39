//! What a procedure tells while it runs. Nothing personal is in it: views show it, machines read it, files may keep it.

use jiff::Timestamp;
use jpki::CertificateKind;
use serde::{Deserialize, Serialize};

use crate::plan::Step;

/// Something that a person at the screen wants to see as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Progress {
    /// A palm capture could not be used; the operator is asked to try again.
    CaptureRetried {
        /// 1 for the first capture.
        capture: u32,
        /// Why, as a key of the message catalogue: `too-near`, `moving`, …
        reason: String,
    },
    /// The operator is logged on.
    LoggedOn {
        /// 照合ID.
        operator: String,
        /// Captures that it took.
        captures: u32,
        /// Time from the first capture on.
        elapsed_ms: u64,
    },
    /// A second person has shown a palm.
    SecondPerson {
        /// 照合ID.
        operator: String,
        /// Captures that it took.
        captures: u32,
        /// Time from the first capture on.
        elapsed_ms: u64,
    },
    /// A log-on was refused. Why is for the log, not for the screen.
    LogOnRefused,
    /// An interrupted procedure was found in the journal; its open intents are closed in the log.
    InterruptionFound {
        /// How many intents were open.
        open_intents: usize,
    },
    /// The application was taken from the register.
    ApplicationTaken {
        /// The certificates applied for.
        kinds: Vec<CertificateKind>,
        /// Positions in which 代替文字 stand for characters that certificates do not allow.
        substituted: usize,
        /// Time that it took.
        elapsed_ms: u64,
    },
    /// The card is here and the channel to it is open.
    CardRecognised {
        /// What was found, kind by kind.
        slots: Vec<SlotFound>,
        /// Time that it took.
        elapsed_ms: u64,
    },
    /// A step begins.
    StepStarted {
        /// On which kind.
        kind: CertificateKind,
        /// Which step.
        step: Step,
    },
    /// A step is done.
    StepDone {
        /// On which kind.
        kind: CertificateKind,
        /// Which step.
        step: Step,
        /// Time of the terminal's clock, a simulated device's time included.
        elapsed_ms: u64,
    },
    /// What an interrupted procedure left on the card was settled with the authority.
    Settled {
        /// Which kind.
        kind: CertificateKind,
        /// What was done.
        how: Settlement,
    },
    /// Card key changeover: a step is done.
    CardKeys {
        /// Which key version it was about.
        version: u8,
        /// What was done.
        step: KeyChangeStep,
    },
    /// The card went away or was reset; the terminal waits for it and looks again.
    CardLost,
    /// An exchange with the authority is repeated.
    AuthorityRetried {
        /// 2 for the first repetition.
        attempt: u32,
    },
    /// Personal data and the transaction's records are erased.
    Erased,
    /// The operator is logged off.
    LoggedOff,
    /// An exchange with the card, for the technical view: never data.
    Apdu {
        /// CLA INS P1 P2 as hex.
        header: String,
        /// Bytes sent.
        sent: usize,
        /// Bytes received.
        received: usize,
        /// The status word as hex.
        status: String,
    },
    /// An exchange with the authority, for the technical view.
    Message {
        /// `ir`, `certConf`, `rr`, `genm`.
        kind: String,
        /// Bytes sent.
        sent: usize,
        /// Bytes received.
        received: usize,
    },
}

/// What a look at the card found in the slots of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFound {
    /// Which kind.
    pub kind: CertificateKind,
    /// Is there an active certificate?
    pub active: bool,
    /// Is something pending?
    pub pending: bool,
    /// Has the card a pending slot? Without, a new key overwrites what is active.
    pub pending_slot: bool,
    /// Where the card's key pairs are made.
    pub key_origin: KeyOrigin,
}

/// Where a key pair was made. A card makes all of its keys itself, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrigin {
    /// On the card, which it has never left.
    Card,
    /// In the terminal's HSM, which gave it to this card alone and has it no longer.
    Hsm,
}

/// A step of a card key changeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyChangeStep {
    /// The keys of this version were written beside the older ones.
    Added,
    /// A channel was opened with them.
    Proved,
    /// The keys of this older version were taken away.
    Removed,
    /// The keys of this version did not prove themselves and were taken back.
    RolledBack,
}

/// What a card key changeover did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key version that the card is to have.
    pub version: u8,
    /// The versions that were taken away; none if the card had none of them any more.
    pub removed: Vec<u8>,
}

/// How a pending slot was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// The authority holds the certificate as valid: it was committed.
    Committed,
    /// The authority waited for the confirmation: confirmed, then committed.
    ConfirmedAndCommitted,
    /// The authority does not want it, or there was a key only: discarded.
    Discarded,
    /// The predecessor was still valid: superseded.
    Superseded,
}

/// One certificate that a procedure put on the card. Nothing personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// Which kind.
    pub kind: CertificateKind,
    /// シリアル番号, as hex.
    pub serial: String,
    /// 発行年月日.
    pub not_before: Timestamp,
    /// 有効期間の満了日.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, as hex.
    pub sha256: String,
    /// Where its key was made.
    pub key_origin: KeyOrigin,
}

/// What a finished procedure reports. Nothing personal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcedureReport {
    /// The certificates that are now active, in order of issue.
    pub certificates: Vec<IssuedCertificate>,
    /// Command APDUs sent to the card.
    pub apdus: u64,
    /// Bytes sent to the card.
    pub bytes_out: u64,
    /// Bytes received from the card.
    pub bytes_in: u64,
    /// Messages exchanged with the authority.
    pub messages: u64,
    /// Kinds whose predecessor could not be superseded; the next look does it.
    pub unsettled: Vec<CertificateKind>,
    /// What became of the card's keys, in a card key changeover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_change: Option<KeyChange>,
}
