//! PKIHeader (RFC 9810 §5.1.1).

use std::fmt;

use der::Sequence;
use der::asn1::{GeneralizedTime, OctetString};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::InfoTypeAndValue;

/// pvno cmp2000 (RFC 9810 §7).
pub const PVNO_2: u8 = 2;
/// pvno cmp2021: wherever certConf names its hash algorithm (RFC 9483 §3.1).
pub const PVNO_3: u8 = 3;
/// Length of a nonce in bytes: 128 bits of randomness (RFC 9483 §3.1).
pub const NONCE_LENGTH: usize = 16;

/// PKIHeader (RFC 9810 §5.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiHeader {
    /// Version of the syntax: [`PVNO_2`] or [`PVNO_3`].
    pub pvno: u8,
    /// Who sends: the subject of the certificate that protects the message.
    pub sender: GeneralName,
    /// Who is to receive.
    pub recipient: GeneralName,
    /// When the message was made.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub message_time: Option<GeneralizedTime>,
    /// How the message is protected.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub protection_alg: Option<AlgorithmIdentifierOwned>,
    /// subjectKeyIdentifier of the certificate that protects the message.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    pub sender_kid: Option<OctetString>,
    /// The same of the recipient.
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub recip_kid: Option<OctetString>,
    /// Which transaction: the same in every message of it.
    #[asn1(context_specific = "4", tag_mode = "EXPLICIT", optional = "true")]
    pub transaction_id: Option<OctetString>,
    /// Randomness of this message.
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", optional = "true")]
    pub sender_nonce: Option<OctetString>,
    /// The senderNonce of the message that this one answers.
    #[asn1(context_specific = "6", tag_mode = "EXPLICIT", optional = "true")]
    pub recip_nonce: Option<OctetString>,
    /// Text for people.
    #[asn1(context_specific = "7", tag_mode = "EXPLICIT", optional = "true")]
    pub free_text: Option<Vec<String>>,
    /// What else goes with every kind of message.
    #[asn1(context_specific = "8", tag_mode = "EXPLICIT", optional = "true")]
    pub general_info: Option<Vec<InfoTypeAndValue>>,
}

/// A transaction ID: 128 random bits (RFC 9483 §3.1), chosen by the terminal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; jpki::card::TRANSACTION_ID_LENGTH]);

impl TransactionId {
    /// The ID in a header, if it has the length of one.
    #[must_use]
    pub fn of(header: &PkiHeader) -> Option<Self> {
        header.transaction_id.as_ref()?.as_bytes().try_into().ok().map(Self)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

/// `name` as sender or recipient.
#[must_use]
pub fn directory_name(name: Name) -> GeneralName {
    GeneralName::DirectoryName(name)
}
