//! Asking for a certificate: a draft, to be proved by the card's key, becomes a request.

use const_oid::db::rfc5912;
use der::asn1::{Any, BitString, Null};
use der::{Decode, Encode};
use jpki::{Application, CertificateKind};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::error::LinkError;
use crate::message::{CertReqMsg, CertRequest, PopoSigningKey, ProofOfPossession, SingleAttribute};
use crate::signature::{self, SignatureError};
use crate::{IssuerAndSerial, OwnCertificate, items};

/// A request for one certificate, with the proof that the card has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest(pub(crate) CertReqMsg);

/// A request that lacks its proof of possession.
#[derive(Clone, Debug)]
pub struct CertificationDraft {
    cert_req: CertRequest,
    reg_info: Option<Vec<SingleAttribute>>,
    /// DER of `cert_req`.
    to_be_proved: Zeroizing<Vec<u8>>,
    algorithm: AlgorithmIdentifierOwned,
    spki: Zeroizing<Vec<u8>>,
}

impl CertificationRequest {
    /// Drafts a request for a certificate of `kind` over the key `spki` (DER of SubjectPublicKeyInfo), to be issued by
    /// the holder of `authority_certificate` (DER). `request_name` is the CN of a 署名用電子証明書; for
    /// 利用者証明用 it is left out. `predecessor` is the certificate that the new one is to replace.
    ///
    /// # Errors
    /// [`LinkError::Encoding`] if an argument is not what it should be, [`LinkError::Signature`] if the key is of a
    /// kind that is not supported.
    pub fn draft(
        kind: CertificateKind,
        application: &Application,
        spki: &[u8],
        request_name: &str,
        authority_certificate: &[u8],
        predecessor: Option<&IssuerAndSerial>,
    ) -> Result<CertificationDraft, LinkError> {
        let issuer = Certificate::from_der(authority_certificate)?;
        let cert_req = items::cert_request(kind, application, spki, request_name, &issuer, predecessor)?;
        CertificationDraft::new(cert_req, Some(items::reg_info(application)?), spki)
    }

    /// Drafts a request for one of the terminal's own certificates, to be proved by the key in its HSM.
    ///
    /// # Errors
    /// As [`CertificationRequest::draft`].
    pub fn draft_own(asked: &OwnCertificate<'_>) -> Result<CertificationDraft, LinkError> {
        CertificationDraft::new(asked.cert_request()?, asked.reg_info()?, asked.spki)
    }
}

impl CertificationDraft {
    fn new(cert_req: CertRequest, reg_info: Option<Vec<SingleAttribute>>, spki: &[u8]) -> Result<Self, LinkError> {
        Ok(Self {
            to_be_proved: Zeroizing::new(cert_req.to_der()?),
            cert_req,
            reg_info,
            algorithm: proof_algorithm(spki)?,
            spki: Zeroizing::new(spki.to_vec()),
        })
    }

    /// The bytes that the card's key is to sign: the DER of the CertRequest (RFC 4211 §4.1). RSA keys sign them with
    /// RSASSA-PKCS1-v1_5 and SHA-256, keys on P-256 with SHA-256, keys on P-384 with SHA-384.
    #[must_use]
    pub fn to_be_proved(&self) -> &[u8] {
        &self.to_be_proved
    }

    /// The request, with the key's signature (ECDSA as DER) over [`to_be_proved`](Self::to_be_proved).
    ///
    /// # Errors
    /// [`LinkError::Signature`] if the signature does not verify: better found here than at the authority.
    pub fn prove(self, signature: &[u8]) -> Result<CertificationRequest, LinkError> {
        signature::verify(&self.spki, &self.algorithm, &self.to_be_proved, signature)?;
        let proof = PopoSigningKey {
            poposk_input: None,
            algorithm_identifier: self.algorithm,
            signature: BitString::from_bytes(signature)?,
        };
        Ok(CertificationRequest(CertReqMsg {
            cert_req: self.cert_req,
            popo: Some(ProofOfPossession::Signature(proof)),
            reg_info: self.reg_info,
        }))
    }
}

/// The algorithm by which a key proves its possession.
fn proof_algorithm(spki: &[u8]) -> Result<AlgorithmIdentifierOwned, LinkError> {
    let key = SubjectPublicKeyInfoRef::try_from(spki).map_err(|_| SignatureError::UnsupportedKey)?;
    let (oid, parameters) = match (key.algorithm.oid, key.algorithm.parameters_oid().ok()) {
        (rfc5912::RSA_ENCRYPTION, _) => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(Any::from(Null))),
        (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_256_R_1)) => (rfc5912::ECDSA_WITH_SHA_256, None),
        (rfc5912::ID_EC_PUBLIC_KEY, Some(rfc5912::SECP_384_R_1)) => (rfc5912::ECDSA_WITH_SHA_384, None),
        _ => return Err(SignatureError::UnsupportedKey.into()),
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters })
}
