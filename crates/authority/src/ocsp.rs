//! The OCSP responder (RFC 6960): what the store says this instant.

use const_oid::db::rfc5912::{ID_SHA_1, ID_SHA_256};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NONCE;
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{GeneralizedTime, Null, OctetString};
use der::{Decode, Encode};
use jiff::Timestamp;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use x509_cert::certificate::Certificate;
use x509_cert::ext::Extension;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspRequest, OcspResponse, OcspResponseStatus,
    ResponderId, ResponseBytes, ResponseData, RevokedInfo, SingleResponse,
};

use crate::certificate::{CertificationAuthority, date_time, key_identifier};
use crate::crl;
use crate::signer::{SignError, Signer};
use crate::store::{IssueKey, Revocation, State, Store, StoreError};

/// The longest request that is read, in bytes.
pub(crate) const MAX_REQUEST: usize = 16 * 1024;
/// The most certificates that one request may ask about.
const MAX_CERTIFICATES: usize = 32;
/// The longest nonce that is repeated (RFC 9654 §2.1).
const MAX_NONCE: usize = 128;

/// A delegated responder of one certification authority.
pub(crate) struct Responder {
    pub(crate) certificate: Certificate,
    pub(crate) signer: Signer,
}

/// Why there is no answer of substance.
#[derive(Debug, thiserror::Error)]
enum OcspError {
    #[error("the OCSP request is malformed")]
    Malformed,
    #[error("the OCSP request names no authority of ours, or two of them")]
    Unauthorized,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<der::Error> for OcspError {
    fn from(error: der::Error) -> Self {
        Self::Sign(error.into())
    }
}

/// Answers a request. Whatever the request holds, an OCSPResponse comes back.
pub(crate) fn respond<'a>(
    store: &dyn Store,
    authorities: impl IntoIterator<Item = (&'a CertificationAuthority, &'a Responder)>,
    request: &[u8],
    now: Timestamp,
) -> Vec<u8> {
    let response = answer(store, authorities, request, now).unwrap_or_else(|error| {
        tracing::warn!(%error, "no OCSP answer");
        let response_status = match error {
            OcspError::Malformed => OcspResponseStatus::MalformedRequest,
            OcspError::Unauthorized => OcspResponseStatus::Unauthorized,
            OcspError::Store(_) | OcspError::Sign(_) => OcspResponseStatus::InternalError,
        };
        OcspResponse { response_status, response_bytes: None }
    });
    response.to_der().unwrap_or_default()
}

fn answer<'a>(
    store: &dyn Store,
    authorities: impl IntoIterator<Item = (&'a CertificationAuthority, &'a Responder)>,
    request: &[u8],
    now: Timestamp,
) -> Result<OcspResponse, OcspError> {
    if request.len() > MAX_REQUEST {
        return Err(OcspError::Malformed);
    }
    let request = OcspRequest::from_der(request).map_err(|_| OcspError::Malformed)?.tbs_request;
    let Some(first) = request.request_list.first() else { return Err(OcspError::Malformed) };
    if request.request_list.len() > MAX_CERTIFICATES {
        return Err(OcspError::Malformed);
    }
    // One response has one signer, so all certificates of a request must have one issuer: that of the first.
    let mut found = None;
    for (authority, responder) in authorities {
        if is_issuer(authority, &first.req_cert)? {
            found = Some((authority, responder));
        }
    }
    let (authority, responder) = found.ok_or(OcspError::Unauthorized)?;
    let produced_at = OcspGeneralizedTime(GeneralizedTime::from_date_time(date_time(now)?));
    let mut responses = Vec::with_capacity(request.request_list.len());
    for single in request.request_list {
        if !is_issuer(authority, &single.req_cert)? {
            return Err(OcspError::Unauthorized);
        }
        responses.push(SingleResponse {
            cert_status: status(store, authority, &single.req_cert)?,
            cert_id: single.req_cert,
            this_update: produced_at,
            next_update: None,
            single_extensions: None,
        });
    }
    let key = key_identifier(&responder.certificate.tbs_certificate.subject_public_key_info)?;
    let tbs_response_data = ResponseData {
        version: x509_ocsp::Version::V1,
        responder_id: ResponderId::ByKey(key),
        produced_at,
        responses,
        response_extensions: nonce(request.request_extensions.as_deref())?.map(|nonce| vec![nonce]),
    };
    let signature = responder.signer.sign_der(&tbs_response_data)?;
    let basic = BasicOcspResponse {
        tbs_response_data,
        signature_algorithm: responder.signer.algorithm_identifier(),
        signature,
        certs: Some(vec![responder.certificate.clone()]),
    };
    let response_bytes =
        ResponseBytes { response_type: BasicOcspResponse::OID, response: OctetString::new(basic.to_der()?)? };
    Ok(OcspResponse { response_status: OcspResponseStatus::Successful, response_bytes: Some(response_bytes) })
}

fn is_issuer(authority: &CertificationAuthority, id: &CertId) -> der::Result<bool> {
    let name = authority.name().to_der()?;
    let key = authority.certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    let hashes: fn(&[u8]) -> Vec<u8> = match id.hash_algorithm.oid {
        ID_SHA_1 => |bytes| Sha1::digest(bytes).to_vec(),
        ID_SHA_256 => |bytes| Sha256::digest(bytes).to_vec(),
        _ => return Ok(false),
    };
    Ok(id.issuer_name_hash.as_bytes() == hashes(&name) && id.issuer_key_hash.as_bytes() == hashes(key))
}

fn status(store: &dyn Store, authority: &CertificationAuthority, id: &CertId) -> Result<CertStatus, OcspError> {
    let issue = match serial(id.serial_number.as_bytes()) {
        Some(serial) => store.issue(IssueKey::Serial(authority.kind, serial))?,
        None => None,
    };
    Ok(match issue.map(|issue| (issue.state, issue.revocation)) {
        Some((State::Valid, _)) => CertStatus::Good(Null),
        Some((State::Revoked | State::Superseded, Some(revocation))) => CertStatus::Revoked(revoked(revocation)?),
        // Never issued, or issued and not confirmed: nobody may rely on it yet.
        _ => CertStatus::Unknown(Null),
    })
}

fn revoked(revocation: Revocation) -> der::Result<RevokedInfo> {
    Ok(RevokedInfo {
        revocation_time: OcspGeneralizedTime(GeneralizedTime::from_date_time(date_time(revocation.at)?)),
        revocation_reason: Some(crl::reason(revocation.reason)),
    })
}

/// A serial number of ours, if it has at most 64 bits.
pub(crate) fn serial(bytes: &[u8]) -> Option<u64> {
    let significant = bytes.iter().position(|byte| *byte != 0).map_or(&[][..], |start| &bytes[start..]);
    (significant.len() <= 8).then(|| significant.iter().fold(0, |serial, byte| serial << 8 | u64::from(*byte)))
}

/// The request's nonce, to be repeated; none if it came without one, or with one beyond the limit.
fn nonce(extensions: Option<&[Extension]>) -> der::Result<Option<Extension>> {
    const NONCE: ObjectIdentifier = ID_PKIX_OCSP_NONCE;
    let given = extensions.into_iter().flatten().find(|extension| extension.extn_id == NONCE);
    Ok(given.filter(|extension| (1..=MAX_NONCE + 4).contains(&extension.extn_value.as_bytes().len())).cloned())
}
