//! What is found under which path.

use std::sync::Arc;
use std::time::Duration;

use authority_link::message::MAX_MESSAGE;
use authority_link::{MEDIA_TYPE, PATH};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jpki::CertificateKind;

use super::{Line, Shared};
use crate::exchange::Peer;
use crate::ocsp;

pub(super) type Body = Full<Bytes>;

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(10);
/// Media types of OCSP (RFC 6960 Appendix A.1).
const OCSP_REQUEST: &str = "application/ocsp-request";
const OCSP_RESPONSE: &str = "application/ocsp-response";
/// Media type of CRLs (RFC 2585 §4.2).
const CRL: &str = "application/pkix-crl";

/// Answers one HTTP request.
pub(super) async fn answer(shared: &Arc<Shared>, line: &Line, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let plain_cmp = shared.authority.config().plain_http_cmp;
    match (line, path.as_str()) {
        (Line::Mutual(_) | Line::Newcomer, PATH) => cmp(shared, line, request).await,
        (Line::Plain, PATH) if plain_cmp => cmp(shared, line, request).await,
        (Line::Plain, "/ocsp") => answer_ocsp(shared, request).await,
        (Line::Plain, path) if path.starts_with("/crl/") => crl(shared, &request, path).await,
        _ => plain(StatusCode::NOT_FOUND),
    }
}

async fn cmp(shared: &Arc<Shared>, line: &Line, request: Request<Incoming>) -> Response<Body> {
    let message = match body(request, MEDIA_TYPE, MAX_MESSAGE).await {
        Ok(message) => message,
        Err(refusal) => return refusal,
    };
    let line = line.clone();
    let handle = Arc::clone(shared);
    let answered = tokio::task::spawn_blocking(move || {
        let now = handle.clock.wall();
        let peer = match &line {
            Line::Mutual(terminal) => Peer::Terminal(terminal),
            Line::Newcomer => Peer::Newcomer,
            Line::Plain => Peer::Unknown,
        };
        handle.authority.handle(&message, peer, now, &mut rand_core::OsRng)
    });
    // A CMP error is a CMP answer: its status is 200 (RFC 9811 §3.1).
    finish(answered.await, MEDIA_TYPE)
}

async fn answer_ocsp(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let question = match body(request, OCSP_REQUEST, ocsp::MAX_REQUEST).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let handle = Arc::clone(shared);
    let answered = tokio::task::spawn_blocking(move || handle.authority.ocsp(&question, handle.clock.wall()));
    finish(answered.await, OCSP_RESPONSE)
}

/// `/crl/{signature|authentication}/{municipality's code}`; the code may be left out while there is one municipality
/// only.
async fn crl(shared: &Arc<Shared>, request: &Request<Incoming>, path: &str) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_allowed("GET, HEAD");
    }
    let mut parts = path.split('/').skip(2);
    let kind = match parts.next() {
        Some("signature") => CertificateKind::Signature,
        Some("authentication") => CertificateKind::Authentication,
        _ => return plain(StatusCode::NOT_FOUND),
    };
    let (code, rest) = (parts.next().map(str::to_owned), parts.next());
    if rest.is_some() {
        return plain(StatusCode::NOT_FOUND);
    }
    let handle = Arc::clone(shared);
    let list = tokio::task::spawn_blocking(move || {
        let authority = &handle.authority;
        let code = match code {
            Some(code) => Some(code),
            None => authority.only_municipality()?,
        };
        code.map_or(Ok(None), |code| authority.crl(kind, &code, handle.clock.wall()))
    });
    match list.await {
        Ok(Ok(Some(list))) => found(list, CRL),
        Ok(Ok(None)) => plain(StatusCode::NOT_FOUND),
        Ok(Err(error)) => {
            tracing::error!(%error, "no CRL");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(error) => finish(Err(error), CRL),
    }
}

/// The body of a POST of this media type.
async fn body(request: Request<Incoming>, media_type: &str, limit: usize) -> Result<Bytes, Response<Body>> {
    if request.method() != Method::POST {
        return Err(not_allowed("POST"));
    }
    if request.headers().get(CONTENT_TYPE).is_none_or(|given| given != media_type) {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    match tokio::time::timeout(BODY, Limited::new(request.into_body(), limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(plain(StatusCode::PAYLOAD_TOO_LARGE)),
        Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST)),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn finish(answer: Result<Vec<u8>, tokio::task::JoinError>, media_type: &'static str) -> Response<Body> {
    match answer {
        Ok(answer) => found(answer, media_type),
        Err(error) => {
            tracing::error!(%error, "an answer broke off");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn found(content: Vec<u8>, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(content)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
