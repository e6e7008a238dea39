//! Public keys, their identifiers, and card-verifiable certificates.

use std::fmt;

use apdu::tlv::{self, Tlv};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Digest, Sha256};

use super::{CardFileError, FileBytes, Writer};
use crate::card::cv;

/// Tag of the header list that stands before the body where GET DATA gives a certificate (ISO/IEC 7816-8 §A.2, extended header list).
const HEADER_LIST: u16 = 0x4D;

/// A key identifier (証明者鍵ID, 被証明者鍵ID): seven digits, `08 05`, three digits, four bytes of which the last is not always 0.
/// The first digit is 5 on real cards, 6 on test cards, 9 on simulated ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; cv::KEY_ID]);

impl KeyId {
    /// The seven digits; `?` for what is no ASCII.
    #[must_use]
    pub fn number(&self) -> String {
        self.0[..7].iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect()
    }
}

/// An RSA public key, as the card's files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Public exponent, big-endian.
    pub exponent: Vec<u8>,
    /// Modulus, big-endian.
    pub modulus: Vec<u8>,
}

impl PublicKey {
    /// Reads exponent and modulus.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let objects = tlv::parse_all(bytes).map_err(|_| CardFileError::Malformed)?;
        let value = |at: usize, tag: u8| {
            let object = objects.get(at).filter(|object| object.tag() == tag.into());
            object.and_then(Tlv::bytes).map(<[u8]>::to_vec).ok_or(CardFileError::Missing(tag.into()))
        };
        let key = Self { exponent: value(0, cv::TAG_EXPONENT)?, modulus: value(1, cv::TAG_MODULUS)? };
        if objects.len() == 2 { Ok(key) } else { Err(CardFileError::Surplus) }
    }

    /// The two data objects.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new(self.exponent.len() + self.modulus.len() + 8)
            .put(cv::TAG_EXPONENT.into(), &self.exponent)
            .put(cv::TAG_MODULUS.into(), &self.modulus)
            .0
            .to_vec()
    }

    /// Is this this key's signature over the message (PKCS #1 v1.5, SHA-256)?
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        self.rsa().is_some_and(|key| key.verify(scheme, &Sha256::digest(message), signature).is_ok())
    }

    /// The same over several digests in one DigestInfo, as the signature over the face has them.
    pub(super) fn has_signed_digests(&self, digests: &[u8], signature: &[u8]) -> bool {
        // `SEQUENCE { SEQUENCE { SHA-256, NULL }, OCTET STRING }` (RFC 8017 §9.2).
        const ALGORITHM: [u8; 15] =
            [0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
        let length = digests.len() as u8;
        let info = [&[0x30, length + 17], ALGORITHM.as_slice(), &[0x04, length], digests].concat();
        self.rsa().is_some_and(|key| key.verify(Pkcs1v15Sign::new_unprefixed(), &info, signature).is_ok())
    }

    fn rsa(&self) -> Option<RsaPublicKey> {
        RsaPublicKey::new(BigUint::from_bytes_be(&self.modulus), BigUint::from_bytes_be(&self.exponent)).ok()
    }
}

/// A card-verifiable certificate: EF 0004 of both 券面 applications, and those above them by GET DATA.
#[derive(Clone, PartialEq, Eq)]
pub struct CvCertificate {
    /// 証明者鍵ID: the key that signed. It is not on the card.
    pub issuer: KeyId,
    /// 被証明者鍵ID: the key that is certified.
    pub subject: KeyId,
    /// The certified key.
    pub key: PublicKey,
    /// Signature over both identifiers and the key.
    pub signature: Vec<u8>,
    /// What stands before the body where GET DATA gives the certificate, `None` in an EF.
    pub header_list: Option<Vec<u8>>,
}

impl fmt::Debug for CvCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issuer, subject) = (self.issuer.number(), self.subject.number());
        f.debug_struct("CvCertificate").field("issuer", &issuer).field("subject", &subject).finish_non_exhaustive()
    }
}

impl CvCertificate {
    /// Reads a certificate as an EF has it, or its content, as GET DATA gives it.
    ///
    /// # Errors
    /// [`CardFileError`] says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardFileError> {
        let objects = tlv::parse_all(bytes).map_err(|_| CardFileError::Malformed)?;
        match objects.as_slice() {
            [template] if template.tag() == cv::TAG_CERTIFICATE.into() => Self::from_content(template.children()),
            content => Self::from_content(content),
        }
    }

    fn from_content(content: &[Tlv]) -> Result<Self, CardFileError> {
        let value = |object: &Tlv, tag: u16| {
            object.bytes().filter(|_| object.tag() == tag.into()).map(<[u8]>::to_vec).ok_or(CardFileError::Missing(tag))
        };
        let (header_list, body, signature) = match content {
            [header, body, signature] => (Some(value(header, HEADER_LIST)?), body, signature),
            [body, signature] => (None, body, signature),
            _ => return Err(CardFileError::Missing(cv::TAG_BODY)),
        };
        let body = value(body, cv::TAG_BODY)?;
        let (issuer, rest) = body.split_first_chunk().ok_or(CardFileError::Value(cv::TAG_BODY))?;
        let (subject, key) = rest.split_first_chunk().ok_or(CardFileError::Value(cv::TAG_BODY))?;
        Ok(Self {
            issuer: KeyId(*issuer),
            subject: KeyId(*subject),
            key: PublicKey::parse(key)?,
            signature: value(signature, cv::TAG_SIGNATURE)?,
            header_list,
        })
    }

    /// The certificate as it was read: with its template, or with a header list and without it.
    #[must_use]
    pub fn to_bytes(&self) -> FileBytes {
        let content = Writer::new(1_024);
        match &self.header_list {
            Some(header) => self.put_body(content.put(HEADER_LIST, header)).0,
            None => self.put_body(content).into_template(cv::TAG_CERTIFICATE),
        }
    }

    fn put_body(&self, content: Writer) -> Writer {
        content.put(cv::TAG_BODY, &self.body()).put(cv::TAG_SIGNATURE, &self.signature)
    }

    fn body(&self) -> Vec<u8> {
        [self.issuer.0.as_slice(), &self.subject.0, &self.key.to_bytes()].concat()
    }

    /// Has this key signed the certificate?
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        issuer.has_signed(&self.body(), &self.signature)
    }
}
