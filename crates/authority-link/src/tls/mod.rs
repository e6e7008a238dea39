//! The line over TLS 1.3: HTTP/1.1 (RFC 9811) with mutual authentication, one counterpart, the client's key in the HSM.

mod key;
mod pin;

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hsm::{Hsm, KeyName};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use madoguchi_time::{Deadline, SharedClock};
use rustls::client::Resumption;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use self::key::HsmClientKey;
use self::pin::PinnedServer;
use crate::line::{AuthorityLine, LineError};
use crate::message::MAX_MESSAGE;

/// Where CMP is spoken (RFC 9811 §3.6).
pub const PATH: &str = "/.well-known/cmp";
/// The media type of CMP messages (RFC 9811 §3.3).
pub const MEDIA_TYPE: &str = "application/pkixcmp";

/// The one counterpart of a [`TlsLine`], and who calls it.
#[derive(Clone, Debug)]
pub struct TlsLineConfig {
    /// Name or address of the authority; its certificate must be for this name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Certificate of the issuer of the server's certificate, DER.
    pub trust_anchor: Vec<u8>,
    /// The server's certificate, DER. Its key is pinned: another certificate of the same issuer for the same name is
    /// refused, a renewed one of the same key is not.
    pub server_certificate: Vec<u8>,
    /// Who calls; none while this terminal has no certificate yet, and may only ask for one.
    pub client: Option<TlsClient>,
}

/// This terminal's end of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClient {
    /// Its certificate, DER; the key is on P-256.
    pub certificate: Vec<u8>,
    /// The key's name in the HSM.
    pub key: KeyName,
}

/// Why a line can't be set up. All of these are wrong configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// The host is neither a name nor an address.
    #[error("{0} is neither a name nor an address")]
    Host(String),
    /// The trust anchor or the server's certificate can't be read.
    #[error("the authority's certificates can't be read")]
    Certificates,
    /// The cryptographic library or the system refuses.
    #[error("TLS can't be set up")]
    System(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A line over TLS 1.3. The thread that calls does all of its work.
pub struct TlsLine {
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    key: Option<Arc<HsmClientKey>>,
    clock: SharedClock,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// Last, so that the connection goes first.
    runtime: Runtime,
}

impl TlsLine {
    /// A line that is not connected yet. `clock` gives deadlines, and the date by which certificates are judged.
    ///
    /// # Errors
    /// See [`TlsSetupError`].
    pub fn new(config: TlsLineConfig, hsm: Arc<dyn Hsm>, clock: SharedClock) -> Result<Self, TlsSetupError> {
        let system = |error: Box<dyn std::error::Error + Send + Sync>| TlsSetupError::System(error);
        let server_name =
            ServerName::try_from(config.host.clone()).map_err(|_| TlsSetupError::Host(config.host.clone()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = PinnedServer::new(&config.trust_anchor, &config.server_certificate, &provider)
            .ok_or(TlsSetupError::Certificates)?;
        let key = config
            .client
            .map(|client| Arc::new(HsmClientKey::new(&client.certificate, hsm, client.key, Arc::clone(&clock))));
        let tls = ClientConfig::builder_with_details(provider, Arc::new(WallTime(Arc::clone(&clock))))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| system(error.into()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(server));
        let mut tls = match &key {
            Some(key) => tls.with_client_cert_resolver(Arc::clone(key) as Arc<dyn rustls::client::ResolvesClientCert>),
            None => tls.with_no_client_auth(),
        };
        // Every connection is to prove the key in the HSM anew.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            host: config.host,
            port: config.port,
            server_name,
            tls: TlsConnector::from(Arc::new(tls)),
            key,
            clock,
            connection: None,
            runtime: Builder::new_current_thread().enable_all().build().map_err(|error| system(error.into()))?,
        })
    }
}

impl std::fmt::Debug for TlsLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsLine({}:{})", self.host, self.port)
    }
}

impl AuthorityLine for TlsLine {
    fn exchange(&mut self, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        let Self { host, port, server_name, tls, key, clock, connection, runtime } = self;
        let remaining = deadline.remaining(&**clock);
        let kept = connection.take();
        let exchanged = runtime.block_on(async {
            tokio::time::timeout(remaining, async {
                let mut sender = match usable(kept).await {
                    Some(sender) => sender,
                    None => connect(host, *port, server_name.clone(), tls).await?,
                };
                let answer = post(&mut sender, host, request).await?;
                Ok((sender, answer))
            })
            .await
            .unwrap_or(Err(LineError::Timeout))
        });
        match exchanged {
            Ok((sender, answer)) => {
                *connection = Some(sender);
                Ok(answer)
            }
            Err(error) => {
                // Whatever rustls makes of it, it was the HSM.
                let failure = key.as_ref().and_then(|key| key.take_failure());
                let error = failure.map_or(error, LineError::Hsm);
                self.close();
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        self.connection = None;
        // Lets the connection's task see that its last handle is gone, and say goodbye to the peer.
        self.runtime.block_on(tokio::task::yield_now());
    }
}

/// The connection of the last exchange, if the peer has not closed it since.
async fn usable(kept: Option<SendRequest<Full<Bytes>>>) -> Option<SendRequest<Full<Bytes>>> {
    let mut sender = kept?;
    // Gives the connection's task a turn to see what has arrived in the meantime.
    tokio::task::yield_now().await;
    sender.ready().await.is_ok().then_some(sender)
}

async fn connect(
    host: &str,
    port: u16,
    server_name: ServerName<'static>,
    tls: &TlsConnector,
) -> Result<SendRequest<Full<Bytes>>, LineError> {
    let addresses = lookup_host((host, port)).await.map_err(|_| LineError::UnknownName(host.to_owned()))?;
    let mut failure = LineError::UnknownName(host.to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are small and wait for their answers.
                stream.set_nodelay(true).map_err(LineError::Unreachable)?;
                let stream = tls.connect(server_name, stream).await.map_err(tls_error)?;
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|error| http_error(&error))?;
                tokio::spawn(connection);
                return Ok(sender);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => failure = LineError::Refused,
            Err(error) => failure = LineError::Unreachable(error),
        }
    }
    Err(failure)
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    host: &str,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>, LineError> {
    // `Bytes` over an owner that wipes itself.
    let body = Full::new(Bytes::from_owner(Zeroizing::new(message.to_vec())));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static(PATH);
    let host = HeaderValue::from_str(host).map_err(|_| LineError::UnknownName(host.to_owned()))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let response = sender.send_request(request).await.map_err(|error| http_error(&error))?;
    read(response).await
}

/// A CMP message may come with any status (RFC 9811 §3.1); anything else is no answer.
async fn read(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, LineError> {
    let is_cmp = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == MEDIA_TYPE);
    if !is_cmp {
        return Err(LineError::Http(response.status().as_u16()));
    }
    let mut body = response.into_body();
    let mut answer = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| http_error(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if answer.len() + data.len() > MAX_MESSAGE {
            return Err(LineError::TooLong);
        }
        extend_wiping(&mut answer, data);
    }
    Ok(answer)
}

/// Like `extend_from_slice`, but leaves no copy behind where the buffer has to move.
fn extend_wiping(buffer: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    if buffer.capacity() - buffer.len() < data.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((buffer.len() + data.len()).next_power_of_two()));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(data);
}

/// Tells apart why no TLS connection came about.
fn tls_error(error: io::Error) -> LineError {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                LineError::Lost
            }
            _ => LineError::Tls(error),
        };
    };
    match cause {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => LineError::PeerNotValidNow,
        rustls::Error::InvalidCertificate(_) => LineError::ForeignPeer,
        rustls::Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        ) => LineError::NotAdmitted,
        _ => LineError::Tls(error),
    }
}

/// Tells apart why an HTTP exchange broke off. In TLS 1.3 a client learns here that its certificate was not accepted.
fn http_error(error: &hyper::Error) -> LineError {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(tls) = io.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
        {
            return tls_error(io::Error::new(io.kind(), tls.clone()));
        }
        cause = error.source();
    }
    LineError::Lost
}

/// The wall clock of the composition, for the dates of certificates.
#[derive(Debug)]
struct WallTime(SharedClock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let wall = self.0.wall().as_second();
        u64::try_from(wall).ok().map(|seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}
