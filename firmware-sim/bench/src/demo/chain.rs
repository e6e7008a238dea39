//! A certificate under its issuer's.

use authority_link::signature::{self, SignatureError};
use der::Encode;
use x509_cert::certificate::Certificate;

/// Why a certificate is not one of an issuer's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainFault {
    /// It names another issuer.
    #[error("the certificate is another issuer's")]
    OtherIssuer,
    /// It can't be encoded.
    #[error("the certificate can't be encoded: {0}")]
    Der(#[from] der::Error),
    /// The issuer has not signed it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// `certificate` names `issuer`, and is signed with its key.
pub(super) fn check_issuer(certificate: &Certificate, issuer: &Certificate) -> Result<(), ChainFault> {
    if certificate.tbs_certificate.issuer != issuer.tbs_certificate.subject {
        return Err(ChainFault::OtherIssuer);
    }
    let key = issuer.tbs_certificate.subject_public_key_info.to_der()?;
    let signed = certificate.tbs_certificate.to_der()?;
    Ok(signature::verify(&key, &certificate.signature_algorithm, &signed, certificate.signature.raw_bytes())?)
}
