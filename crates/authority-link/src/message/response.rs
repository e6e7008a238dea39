//! What is answered: CertRepMessage, RevRepContent; and CertStatus, by which the terminal answers back (RFC 9810 §5.3).

use der::Sequence;
use der::asn1::OctetString;
use spki::AlgorithmIdentifierOwned;

use super::{CertId, PkiStatusInfo, RawOctets, RawSequence};

/// CertRepMessage (RFC 9810 §5.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertRepMessage {
    /// Certificates of the authority, for the requester to trust.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub ca_pubs: Option<Vec<RawSequence>>,
    /// One answer for each request.
    pub response: Vec<CertResponse>,
}

/// CertResponse (RFC 9810 §5.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertResponse {
    /// Which request this answers; -1 for a p10cr.
    pub cert_req_id: i64,
    /// Granted or not.
    pub status: PkiStatusInfo,
    /// The certificate, if granted.
    pub certified_key_pair: Option<CertifiedKeyPair>,
    /// What the requester should know beside.
    pub rsp_info: Option<RawOctets>,
}

/// CertifiedKeyPair (RFC 9810 §5.3.4), with a certificate in the clear and no private key: keys are never made by the
/// authority.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertifiedKeyPair {
    /// The certificate.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true")]
    pub certificate: RawSequence,
}

/// CertStatus (RFC 9810 §5.3.18).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertStatus {
    /// Hash of the certificate, by the hash algorithm of its signature or by `hash_alg`.
    pub cert_hash: OctetString,
    /// Which request the certificate answered.
    pub cert_req_id: i64,
    /// Accepted or not; accepted if left out.
    pub status_info: Option<PkiStatusInfo>,
    /// Another hash algorithm; needs pvno 3.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub hash_alg: Option<AlgorithmIdentifierOwned>,
}

/// RevRepContent (RFC 9810 §5.3.10).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RevRepContent {
    /// One status for each RevDetails.
    pub status: Vec<PkiStatusInfo>,
    /// The certificates that were named.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub rev_certs: Option<Vec<CertId>>,
    /// Fresh CRLs.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub crls: Option<Vec<RawSequence>>,
}
