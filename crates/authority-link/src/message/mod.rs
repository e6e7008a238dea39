//! CMP messages: PKIMessage, PKIHeader, PKIBody (RFC 9810) with the CRMF parts they carry (RFC 4211).
//!
//! Decoding is strict: a message is taken only if encoding it again gives the same bytes, so that nothing in it can go
//! unseen. What may be personal data is kept in buffers that are wiped, and is never shown by `Debug`.
//!
//! Signing happens elsewhere, in an HSM: [`Unprotected`] gives the bytes to be protected and takes the signature.

mod body;
mod general;
mod header;
mod mac;
mod protection;
mod raw;
mod request;
mod response;
mod status;

use der::asn1::BitString;
use der::{Decode, Encode, Header, Sequence, Tag};
use zeroize::Zeroizing;

pub use body::{ErrorMsgContent, PkiBody, PollRep, PollReq};
pub use general::InfoTypeAndValue;
pub use header::{NONCE_LENGTH, PVNO_2, PVNO_3, PkiHeader, TransactionId, directory_name};
pub use mac::{PASSWORD_BASED_MAC, Salt, SharedSecret};
pub use protection::ProtectionError;
pub(crate) use protection::timestamp;
pub use raw::{RawAny, RawOctets, RawSequence};
pub use request::{
    CertId, CertReqMsg, CertRequest, CertTemplate, OptionalValidity, PopoSigningKey, ProofOfPossession, RevDetails,
    SingleAttribute, TemplateExtension,
};
pub use response::{CertRepMessage, CertResponse, CertStatus, CertifiedKeyPair, RevRepContent};
pub use status::{Failure, FailureInfo, PkiStatus, PkiStatusInfo};

/// The longest message that is read, in bytes: several certificates and a list of unsettled cases fit many times over.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Why bytes are no message, or a message can't become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not the DER of a PKIMessage of the kinds that are spoken here. Damaged on the way, or from a peer that speaks
    /// something else.
    #[error("not a CMP message: {0}")]
    Malformed(#[from] der::Error),
    /// It can be read, but holds something that this reading has passed over: a field that is not in the profile, or
    /// an encoding that is not DER.
    #[error("the CMP message holds something beyond its profile")]
    NotCanonical,
    /// Longer than [`MAX_MESSAGE`].
    #[error("the CMP message is too long")]
    TooLong,
}

/// PKIMessage (RFC 9810 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiMessage {
    /// Who to whom, which transaction, which algorithm.
    pub header: PkiHeader,
    /// What is asked or answered.
    pub body: PkiBody,
    /// Signature (or MAC) over header and body.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub protection: Option<BitString>,
    /// Certificates that help to verify the protection: the signer's own first (RFC 9483 §3.3).
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub extra_certs: Option<Vec<RawSequence>>,
}

impl PkiMessage {
    /// Reads a message. Its protection is not looked at.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        let message = Self::from_der(bytes)?;
        if message.to_bytes()?.as_slice() != bytes {
            return Err(MessageError::NotCanonical);
        }
        Ok(message)
    }

    /// The message as bytes.
    ///
    /// # Errors
    /// If it is too long for DER.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        Ok(Zeroizing::new(self.to_der()?))
    }

    /// What the protection covers: the DER of ProtectedPart (RFC 9810 §5.1.3).
    ///
    /// # Errors
    /// If it is too long for DER.
    pub fn protected_part(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        protected_part(&self.header, &self.body)
    }
}

/// A message before its signature.
#[derive(Clone, Debug)]
pub struct Unprotected {
    /// The header; it must name the protection algorithm.
    pub header: PkiHeader,
    /// The body.
    pub body: PkiBody,
    /// The signer's certificate, then what else helps to verify.
    pub extra_certs: Vec<RawSequence>,
}

impl Unprotected {
    /// The bytes to be signed.
    ///
    /// # Errors
    /// If they are too long for DER.
    pub fn to_be_protected(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        protected_part(&self.header, &self.body)
    }

    /// The message as bytes, with `signature` over [`to_be_protected`](Self::to_be_protected) by the algorithm that
    /// the header names.
    ///
    /// # Errors
    /// If it is too long for DER.
    pub fn protect(self, signature: &[u8]) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        let extra_certs = (!self.extra_certs.is_empty()).then_some(self.extra_certs);
        let protection = Some(BitString::from_bytes(signature)?);
        PkiMessage { header: self.header, body: self.body, protection, extra_certs }.to_bytes()
    }
}

fn protected_part(header: &PkiHeader, body: &PkiBody) -> Result<Zeroizing<Vec<u8>>, MessageError> {
    let length = (header.encoded_len()? + body.encoded_len()?)?;
    let sequence = Header::new(Tag::Sequence, length)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from((sequence.encoded_len()? + length)?)?));
    sequence.encode(&mut *bytes)?;
    header.encode(&mut *bytes)?;
    body.encode(&mut *bytes)?;
    Ok(bytes)
}
