//! PKIBody (RFC 9810 §5.1.2).

use der::asn1::Null;
use der::{Choice, Sequence};
use x509_cert::request::CertReq;

use super::{CertRepMessage, CertReqMsg, CertStatus, InfoTypeAndValue, PkiStatusInfo, RevDetails, RevRepContent};

/// PKIBody (RFC 9810 §5.1.2): the bodies that are spoken here. Any other is refused as malformed.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum PkiBody {
    /// Initialization request: how the terminal asks for a certificate.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true")]
    Ir(Vec<CertReqMsg>),
    /// Answer to [`Ir`](Self::Ir).
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    Ip(CertRepMessage),
    /// Certification request.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    Cr(Vec<CertReqMsg>),
    /// Answer to [`Cr`](Self::Cr) and [`P10cr`](Self::P10cr).
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", constructed = "true")]
    Cp(CertRepMessage),
    /// A PKCS #10 request.
    #[asn1(context_specific = "4", tag_mode = "EXPLICIT", constructed = "true")]
    P10cr(CertReq),
    /// Key update request.
    #[asn1(context_specific = "7", tag_mode = "EXPLICIT", constructed = "true")]
    Kur(Vec<CertReqMsg>),
    /// Answer to [`Kur`](Self::Kur).
    #[asn1(context_specific = "8", tag_mode = "EXPLICIT", constructed = "true")]
    Kup(CertRepMessage),
    /// Revocation request.
    #[asn1(context_specific = "11", tag_mode = "EXPLICIT", constructed = "true")]
    Rr(Vec<RevDetails>),
    /// Answer to [`Rr`](Self::Rr).
    #[asn1(context_specific = "12", tag_mode = "EXPLICIT", constructed = "true")]
    Rp(RevRepContent),
    /// Answer to [`CertConf`](Self::CertConf).
    #[asn1(context_specific = "19", tag_mode = "EXPLICIT", constructed = "true")]
    PkiConf(Null),
    /// A question.
    #[asn1(context_specific = "21", tag_mode = "EXPLICIT", constructed = "true")]
    Genm(Vec<InfoTypeAndValue>),
    /// Answer to [`Genm`](Self::Genm).
    #[asn1(context_specific = "22", tag_mode = "EXPLICIT", constructed = "true")]
    Genp(Vec<InfoTypeAndValue>),
    /// Not done, and why.
    #[asn1(context_specific = "23", tag_mode = "EXPLICIT", constructed = "true")]
    Error(ErrorMsgContent),
    /// The certificate has arrived: kept, or refused.
    #[asn1(context_specific = "24", tag_mode = "EXPLICIT", constructed = "true")]
    CertConf(Vec<CertStatus>),
    /// Is the answer there by now?
    #[asn1(context_specific = "25", tag_mode = "EXPLICIT", constructed = "true")]
    PollReq(Vec<PollReq>),
    /// Not yet: ask again later.
    #[asn1(context_specific = "26", tag_mode = "EXPLICIT", constructed = "true")]
    PollRep(Vec<PollRep>),
}

impl PkiBody {
    /// The body's name in RFC 9810 §5.1.2.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ir(_) => "ir",
            Self::Ip(_) => "ip",
            Self::Cr(_) => "cr",
            Self::Cp(_) => "cp",
            Self::P10cr(_) => "p10cr",
            Self::Kur(_) => "kur",
            Self::Kup(_) => "kup",
            Self::Rr(_) => "rr",
            Self::Rp(_) => "rp",
            Self::PkiConf(_) => "pkiconf",
            Self::Genm(_) => "genm",
            Self::Genp(_) => "genp",
            Self::Error(_) => "error",
            Self::CertConf(_) => "certConf",
            Self::PollReq(_) => "pollReq",
            Self::PollRep(_) => "pollRep",
        }
    }
}

/// ErrorMsgContent (RFC 9810 §5.3.21).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ErrorMsgContent {
    /// Why.
    pub pki_status_info: PkiStatusInfo,
    /// A number of the sender's own.
    pub error_code: Option<i64>,
    /// Words of the sender's own.
    pub error_details: Option<Vec<String>>,
}

/// One entry of PollReqContent (RFC 9810 §5.3.22).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PollReq {
    /// Which request is asked about.
    pub cert_req_id: i64,
}

/// One entry of PollRepContent (RFC 9810 §5.3.22).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PollRep {
    /// Which request this is about.
    pub cert_req_id: i64,
    /// Ask again after so many seconds.
    pub check_after: i64,
    /// Why it takes longer.
    pub reason: Option<Vec<String>>,
}
