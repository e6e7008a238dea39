//! Who protected a message (RFC 9810 §5.1.3, RFC 9483 §3.2).

use der::asn1::BitString;
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::time::Time;

use super::{MessageError, PkiMessage};
use crate::signature::{self, SignatureError};

/// Why a message's protection was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// There is none. No message of ours is unprotected; a peer's error message may be.
    #[error("the message is not protected")]
    Missing,
    /// The message carries no certificate of the one who is said to have sent it.
    #[error("the message does not carry its signer's certificate")]
    NoSigner,
    /// Sent by somebody else than expected, or under a certificate of another issuer.
    #[error("the message was signed by somebody else than expected")]
    Foreign,
    /// The signer's certificate has expired, or is not valid yet. If it is not the certificate, it is a clock.
    #[error("the certificate of the message's signer is valid from {not_before} to {not_after} only")]
    NotValidNow {
        /// Valid from.
        not_before: Timestamp,
        /// Valid until.
        not_after: Timestamp,
    },
    /// The signer's certificate is not for signing.
    #[error("the certificate of the message's signer is not for signing")]
    NotForSigning,
    /// The signature itself: changed on the way, or an algorithm that is not accepted.
    #[error("the message's protection was not accepted")]
    Signature(#[from] SignatureError),
    /// The MAC does not verify: changed on the way, or by somebody who does not know the secret. Most often it was mistyped.
    #[error("the message is not protected by this secret")]
    Mac,
    /// The MAC is another than PasswordBasedMac with SHA-256 and HMAC-SHA-256, or asks for too much work.
    #[error("the message's MAC is of a kind that is not supported")]
    MacAlgorithm,
    /// The signer's certificate can't be read.
    #[error("the certificate of the message's signer can't be read")]
    Malformed(#[from] MessageError),
}

impl From<der::Error> for ProtectionError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.into())
    }
}

impl PkiMessage {
    /// Verifies that `signer` and nobody else has protected this message, with a certificate that is valid at `at`.
    ///
    /// # Errors
    /// See [`ProtectionError`].
    pub fn verify_signed_by(&self, signer: &Certificate, at: Timestamp) -> Result<(), ProtectionError> {
        if self.protection.is_none() {
            return Err(ProtectionError::Missing);
        }
        if !self.names_as_signer(signer)? {
            return Err(ProtectionError::Foreign);
        }
        if let Some(first) = self.extra_certs.iter().flatten().next()
            && *first.der()? != signer.to_der()?
        {
            return Err(ProtectionError::Foreign);
        }
        self.verify_with(signer, at)
    }

    /// Verifies that a holder of a certificate which `issuer` has issued has protected this message, and gives that
    /// certificate. Whether it has been revoked is for the caller to know.
    ///
    /// # Errors
    /// See [`ProtectionError`].
    pub fn verify_issued_by(&self, issuer: &Certificate, at: Timestamp) -> Result<Certificate, ProtectionError> {
        if self.protection.is_none() {
            return Err(ProtectionError::Missing);
        }
        // The signer's own certificate comes first (RFC 9483 §3.3).
        let first = self.extra_certs.iter().flatten().next().ok_or(ProtectionError::NoSigner)?;
        let signer = Certificate::from_der(&first.der()?)?;
        if !self.names_as_signer(&signer)? {
            return Err(ProtectionError::NoSigner);
        }
        let issued = signer.tbs_certificate.issuer == issuer.tbs_certificate.subject
            && signer.tbs_certificate.signature == signer.signature_algorithm
            && signature::verify(
                &issuer.tbs_certificate.subject_public_key_info.to_der()?,
                &signer.signature_algorithm,
                &signer.tbs_certificate.to_der()?,
                whole_octets(&signer.signature)?,
            )
            .is_ok();
        if !issued {
            return Err(ProtectionError::Foreign);
        }
        check_validity(issuer, at)?;
        self.verify_with(&signer, at)?;
        Ok(signer)
    }

    /// sender is the certificate's subject, and senderKID its subjectKeyIdentifier where both have one.
    fn names_as_signer(&self, certificate: &Certificate) -> Result<bool, ProtectionError> {
        let subject = GeneralName::DirectoryName(certificate.tbs_certificate.subject.clone());
        let key_id = certificate.tbs_certificate.get::<SubjectKeyIdentifier>()?.map(|(_, id)| id.0);
        let fits = match (&self.header.sender_kid, &key_id) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        };
        Ok(fits && self.header.sender == subject)
    }

    fn verify_with(&self, signer: &Certificate, at: Timestamp) -> Result<(), ProtectionError> {
        let protection = self.protection.as_ref().ok_or(ProtectionError::Missing)?;
        let algorithm = self.header.protection_alg.as_ref().ok_or(ProtectionError::Missing)?;
        check_validity(signer, at)?;
        let usage = signer.tbs_certificate.get::<KeyUsage>()?;
        if usage.is_some_and(|(_, usage)| !usage.0.contains(KeyUsages::DigitalSignature)) {
            return Err(ProtectionError::NotForSigning);
        }
        let spki = signer.tbs_certificate.subject_public_key_info.to_der()?;
        signature::verify(&spki, algorithm, &self.protected_part()?, whole_octets(protection)?)?;
        Ok(())
    }
}

/// A signature has no bits to spare.
fn whole_octets(bits: &BitString) -> Result<&[u8], SignatureError> {
    bits.as_bytes().ok_or(SignatureError::Invalid)
}

fn check_validity(certificate: &Certificate, at: Timestamp) -> Result<(), ProtectionError> {
    let not_before = timestamp(certificate.tbs_certificate.validity.not_before);
    let not_after = timestamp(certificate.tbs_certificate.validity.not_after);
    if (not_before..=not_after).contains(&at) {
        Ok(())
    } else {
        Err(ProtectionError::NotValidNow { not_before, not_after })
    }
}

/// The moment of a certificate's date.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    // The last hours of the year 9999, "never", are beyond what a Timestamp holds (RFC 5280 §4.1.2.5).
    i64::try_from(time.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
