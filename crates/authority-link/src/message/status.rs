//! PKIStatusInfo (RFC 9810 §5.2.3).

use std::fmt;

use der::asn1::BitStringRef;
use der::{
    DecodeValue, EncodeValue, Enumerated, ErrorKind, FixedTag, Header, Length, Reader, Result, Sequence, Tag, Writer,
};

/// PKIStatus (RFC 9810 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[asn1(type = "INTEGER")]
#[repr(u8)]
pub enum PkiStatus {
    /// Done as asked.
    Accepted = 0,
    /// Done, but not quite as asked.
    GrantedWithMods = 1,
    /// Not done.
    Rejection = 2,
    /// Not done yet: poll.
    Waiting = 3,
    /// A revocation is about to happen.
    RevocationWarning = 4,
    /// A revocation has happened.
    RevocationNotification = 5,
    /// The key named as old has been updated already.
    KeyUpdateWarning = 6,
}

/// PKIStatusInfo (RFC 9810 §5.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiStatusInfo {
    /// Done or not.
    pub status: PkiStatus,
    /// Why, in words.
    pub status_string: Option<Vec<String>>,
    /// Why, in bits.
    pub fail_info: Option<FailureInfo>,
}

impl PkiStatusInfo {
    /// Done as asked.
    #[must_use]
    pub const fn accepted() -> Self {
        Self { status: PkiStatus::Accepted, status_string: None, fail_info: None }
    }

    /// Not done, for one reason, with words for a person if there are any.
    #[must_use]
    pub fn rejection(failure: Failure, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status: PkiStatus::Rejection,
            status_string: (!text.is_empty()).then(|| vec![text]),
            fail_info: Some(FailureInfo::from(failure)),
        }
    }

    /// The words, joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.status_string.as_ref().map(|lines| lines.join("\n")).unwrap_or_default()
    }
}

/// One reason of PKIFailureInfo; the number is the bit (RFC 9810 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Failure {
    /// Unknown or unsupported algorithm.
    BadAlg = 0,
    /// The protection does not verify.
    BadMessageCheck = 1,
    /// Not permitted, or not supported.
    BadRequest = 2,
    /// messageTime is too far from the receiver's clock.
    BadTime = 3,
    /// No certificate fits what was named.
    BadCertId = 4,
    /// The data have the wrong format.
    BadDataFormat = 5,
    /// The authority named is not this one.
    WrongAuthority = 6,
    /// The requester's data are wrong.
    IncorrectData = 7,
    /// A time stamp is missing.
    MissingTimeStamp = 8,
    /// Possession of the private key was not proved.
    BadPop = 9,
    /// The certificate is revoked already.
    CertRevoked = 10,
    /// The certificate is confirmed already.
    CertConfirmed = 11,
    /// Protected by MAC where a signature was wanted, or the other way round.
    WrongIntegrity = 12,
    /// recipNonce is missing or wrong.
    BadRecipientNonce = 13,
    /// The time stamping authority has no time.
    TimeNotAvailable = 14,
    /// The time stamping policy is not supported.
    UnacceptedPolicy = 15,
    /// The time stamping extension is not supported.
    UnacceptedExtension = 16,
    /// Additional information is not understood or not available.
    AddInfoNotAvailable = 17,
    /// senderNonce is missing or too short.
    BadSenderNonce = 18,
    /// The template lacks something or asks for what is not given.
    BadCertTemplate = 19,
    /// The signer is unknown or not trusted.
    SignerNotTrusted = 20,
    /// The transaction ID is in use already.
    TransactionIdInUse = 21,
    /// This version of the syntax is not supported.
    UnsupportedVersion = 22,
    /// The sender may not do this.
    NotAuthorized = 23,
    /// Not available just now.
    SystemUnavail = 24,
    /// Something failed.
    SystemFailure = 25,
    /// Such a certificate exists already.
    DuplicateCertReq = 26,
}

impl Failure {
    /// All of them, by bit.
    pub const ALL: [Self; 27] = [
        Self::BadAlg,
        Self::BadMessageCheck,
        Self::BadRequest,
        Self::BadTime,
        Self::BadCertId,
        Self::BadDataFormat,
        Self::WrongAuthority,
        Self::IncorrectData,
        Self::MissingTimeStamp,
        Self::BadPop,
        Self::CertRevoked,
        Self::CertConfirmed,
        Self::WrongIntegrity,
        Self::BadRecipientNonce,
        Self::TimeNotAvailable,
        Self::UnacceptedPolicy,
        Self::UnacceptedExtension,
        Self::AddInfoNotAvailable,
        Self::BadSenderNonce,
        Self::BadCertTemplate,
        Self::SignerNotTrusted,
        Self::TransactionIdInUse,
        Self::UnsupportedVersion,
        Self::NotAuthorized,
        Self::SystemUnavail,
        Self::SystemFailure,
        Self::DuplicateCertReq,
    ];

    /// Its name in RFC 9810 §5.2.3.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
            Self::BadTime => "badTime",
            Self::BadCertId => "badCertId",
            Self::BadDataFormat => "badDataFormat",
            Self::WrongAuthority => "wrongAuthority",
            Self::IncorrectData => "incorrectData",
            Self::MissingTimeStamp => "missingTimeStamp",
            Self::BadPop => "badPOP",
            Self::CertRevoked => "certRevoked",
            Self::CertConfirmed => "certConfirmed",
            Self::WrongIntegrity => "wrongIntegrity",
            Self::BadRecipientNonce => "badRecipientNonce",
            Self::TimeNotAvailable => "timeNotAvailable",
            Self::UnacceptedPolicy => "unacceptedPolicy",
            Self::UnacceptedExtension => "unacceptedExtension",
            Self::AddInfoNotAvailable => "addInfoNotAvailable",
            Self::BadSenderNonce => "badSenderNonce",
            Self::BadCertTemplate => "badCertTemplate",
            Self::SignerNotTrusted => "signerNotTrusted",
            Self::TransactionIdInUse => "transactionIdInUse",
            Self::UnsupportedVersion => "unsupportedVersion",
            Self::NotAuthorized => "notAuthorized",
            Self::SystemUnavail => "systemUnavail",
            Self::SystemFailure => "systemFailure",
            Self::DuplicateCertReq => "duplicateCertReq",
        }
    }
}

/// PKIFailureInfo: a set of [`Failure`]s (RFC 9810 §5.2.3). Bits that have no name yet are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureInfo(u32);

impl FailureInfo {
    /// Is `failure` among them?
    #[must_use]
    pub const fn contains(self, failure: Failure) -> bool {
        self.0 & Self::bit(failure) != 0
    }

    /// Those that have a name, by bit.
    pub fn iter(self) -> impl Iterator<Item = Failure> {
        Failure::ALL.into_iter().filter(move |failure| self.contains(*failure))
    }

    /// Bit 0 of a BIT STRING is the first one, so it is the highest here.
    const fn bit(failure: Failure) -> u32 {
        1 << (31 - failure as u32)
    }

    /// DER drops the trailing zero bits of a named bit list (X.690 §11.2.2).
    fn with_bit_string<T>(self, f: impl FnOnce(BitStringRef<'_>) -> Result<T>) -> Result<T> {
        let bits = 32 - self.0.trailing_zeros().min(32);
        let bytes = self.0.to_be_bytes();
        let used = &bytes[..bits.div_ceil(8) as usize];
        // At most 7, so it fits.
        let unused = (used.len() as u32 * 8 - bits) as u8;
        f(BitStringRef::new(unused, used)?)
    }
}

/// The names, with commas between them.
impl fmt::Display for FailureInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(position, failure)| {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{}", failure.name())
        })
    }
}

impl From<Failure> for FailureInfo {
    fn from(failure: Failure) -> Self {
        Self(Self::bit(failure))
    }
}

impl FromIterator<Failure> for FailureInfo {
    fn from_iter<I: IntoIterator<Item = Failure>>(failures: I) -> Self {
        Self(failures.into_iter().fold(0, |bits, failure| bits | Self::bit(failure)))
    }
}

impl<'a> DecodeValue<'a> for FailureInfo {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> Result<Self> {
        let bits = BitStringRef::decode_value(reader, header)?;
        let mut bytes = [0; 4];
        let given = bits.raw_bytes();
        bytes.get_mut(..given.len()).ok_or(ErrorKind::Overlength)?.copy_from_slice(given);
        Ok(Self(u32::from_be_bytes(bytes)))
    }
}

impl EncodeValue for FailureInfo {
    fn value_len(&self) -> Result<Length> {
        self.with_bit_string(|bits| bits.value_len())
    }

    fn encode_value(&self, writer: &mut impl Writer) -> Result<()> {
        self.with_bit_string(|bits| bits.encode_value(writer))
    }
}

impl FixedTag for FailureInfo {
    const TAG: Tag = Tag::BitString;
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::{Decode, Encode};

    #[test]
    fn failures_are_named_bits() {
        for (bit, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, bit);
            let der = FailureInfo::from(failure).to_der().unwrap();
            // Tag, length, unused bits, and no octet more than the highest bit needs (X.690 §11.2.2).
            assert_eq!(der.len(), 3 + bit / 8 + 1, "{}", failure.name());
            assert_eq!(usize::from(der[2]), 7 - bit % 8, "{}", failure.name());
            assert_eq!(FailureInfo::from_der(&der).unwrap(), FailureInfo::from(failure));
        }
        assert_eq!(FailureInfo::default().to_der().unwrap(), [0x03, 0x01, 0x00]);
        let two = FailureInfo::from_iter([Failure::DuplicateCertReq, Failure::BadTime]);
        assert_eq!(two.to_der().unwrap(), [0x03, 0x05, 0x05, 0x10, 0x00, 0x00, 0x20]);
        assert_eq!(two.to_string(), "badTime, duplicateCertReq");
    }
}
