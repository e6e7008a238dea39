//! Asking the authority about a certificate, as anybody may who relies on it (RFC 6960 over HTTP).

use std::net::SocketAddr;
use std::time::Duration;

use authority_link::signature::{self, SignatureError};
use bytes::Bytes;
use const_oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use der::{Decode, Encode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request as HttpRequest};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpStream;
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_ocsp::builder::OcspRequestBuilder;
use x509_ocsp::ext::Nonce;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, Request};

use super::chain::{self, ChainFault};

/// Media type of the question (RFC 6960 Appendix A.1).
const OCSP_REQUEST: &str = "application/ocsp-request";
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;
/// Length of a nonce (RFC 9654 §2.1).
const NONCE: usize = 32;

/// Why the authority's answer is not "good".
#[derive(Debug, thiserror::Error)]
pub(super) enum OcspFault {
    /// No answer came.
    #[error("the authority was not reached: {0}")]
    Unreachable(String),
    /// The question can't be made.
    #[error("the question can't be made")]
    Question,
    /// The answer can't be read.
    #[error("the answer can't be read: {0}")]
    Der(#[from] der::Error),
    /// The responder refuses to answer.
    #[error("the responder answered {0:?}")]
    Refused(OcspResponseStatus),
    /// The answer is to another question.
    #[error("the answer is to another question")]
    OtherQuestion,
    /// Whoever signed the answer is no responder.
    #[error("the answer is not by a responder")]
    NotAResponder,
    /// The responder is not the issuer's.
    #[error("the responder: {0}")]
    Responder(#[from] ChainFault),
    /// The answer's signature does not verify.
    #[error("the answer: {0}")]
    Signature(#[from] SignatureError),
    /// The certificate is not valid.
    #[error("the certificate is {0}")]
    NotGood(&'static str),
}

/// Is `certificate` valid, according to the responder at `responder`?
pub(super) fn ask(responder: SocketAddr, issuer: &Certificate, certificate: &Certificate) -> Result<(), OcspFault> {
    let single = Request::from_cert::<Sha256>(issuer, certificate).map_err(|_| OcspFault::Question)?;
    let nonce = Nonce::generate(&mut rand::rngs::OsRng, NONCE)?;
    let question = OcspRequestBuilder::default()
        .with_request(single.clone())
        .with_extension(nonce.clone())
        .map_err(|_| OcspFault::Question)?
        .build();
    let answer = post(responder, question.to_der()?)?;
    let response = OcspResponse::from_der(&answer)?;
    let Some(bytes) = response.response_bytes else { return Err(OcspFault::Refused(response.response_status)) };
    let basic = BasicOcspResponse::from_der(bytes.response.as_bytes())?;
    check_responder(&basic, issuer)?;
    let [answer] = basic.tbs_response_data.responses.as_slice() else { return Err(OcspFault::OtherQuestion) };
    if answer.cert_id != single.req_cert || basic.nonce() != Some(nonce) {
        return Err(OcspFault::OtherQuestion);
    }
    match answer.cert_status {
        CertStatus::Good(_) => Ok(()),
        CertStatus::Revoked(_) => Err(OcspFault::NotGood("revoked")),
        CertStatus::Unknown(_) => Err(OcspFault::NotGood("unknown")),
    }
}

/// The answer is signed by a responder to whom the issuer has delegated it (RFC 6960 §4.2.2.2).
fn check_responder(basic: &BasicOcspResponse, issuer: &Certificate) -> Result<(), OcspFault> {
    let responder = basic.certs.as_deref().and_then(<[_]>::first).ok_or(OcspFault::NotAResponder)?;
    chain::check_issuer(responder, issuer)?;
    let usage = responder.tbs_certificate.get::<ExtendedKeyUsage>()?;
    if !usage.is_some_and(|(_, usage)| usage.0.contains(&ID_KP_OCSP_SIGNING)) {
        return Err(OcspFault::NotAResponder);
    }
    let key = responder.tbs_certificate.subject_public_key_info.to_der()?;
    let signed = basic.tbs_response_data.to_der()?;
    Ok(signature::verify(&key, &basic.signature_algorithm, &signed, basic.signature.raw_bytes())?)
}

fn post(to: SocketAddr, question: Vec<u8>) -> Result<Bytes, OcspFault> {
    let unreachable = |error: &dyn std::error::Error| OcspFault::Unreachable(error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| unreachable(&error))?;
    let exchange = async {
        let stream = TcpStream::connect(to).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        tokio::spawn(connection);
        let request = HttpRequest::builder()
            .method(Method::POST)
            .uri("/ocsp")
            .header(HOST, to.to_string())
            .header(CONTENT_TYPE, OCSP_REQUEST)
            .body(Full::new(Bytes::from(question)))
            .map_err(|error| unreachable(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| unreachable(&*error))
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await }).map_err(|error| unreachable(&error))?
}
