//! The authority on the network: CMP over mutual TLS, OCSP and CRLs over plain HTTP (both are signed themselves).

mod http;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use madoguchi_time::SharedClock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::http::Body;
use crate::authority::Authority;
use crate::error::SetupError;
use crate::store::TerminalId;

/// The most connections at one time, of both listeners.
const MAX_CONNECTIONS: usize = 512;
/// How long a handshake or a request's head may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long open connections may take to end once the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// How often unconfirmed certificates are looked through.
const SWEEP: Duration = Duration::from_secs(15);

/// Where an authority listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// CMP over mutual TLS. Port 0: any free one.
    pub cmp: SocketAddr,
    /// OCSP and CRLs, and CMP without TLS if the settings say so, over plain HTTP. Port 0: any free one.
    pub http: SocketAddr,
}

/// An authority that listens, and does not answer yet.
pub struct Service {
    authority: Arc<Authority>,
    clock: SharedClock,
    cmp: TcpListener,
    http: TcpListener,
    tls: TlsAcceptor,
}

impl Service {
    /// Takes the addresses. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError::Listen`] if an address is taken, [`SetupError::Tls`].
    pub async fn bind(authority: Arc<Authority>, clock: SharedClock, at: Addresses) -> Result<Self, SetupError> {
        let tls = TlsAcceptor::from(Arc::new(tls::config(&authority, &clock)?));
        Ok(Self { cmp: listen(at.cmp).await?, http: listen(at.http).await?, tls, authority, clock })
    }

    /// Where it listens, with the ports that it got.
    ///
    /// # Errors
    /// [`SetupError::Listen`] if the system does not say.
    pub fn addresses(&self) -> Result<Addresses, SetupError> {
        let of = |listener: &TcpListener| listener.local_addr().map_err(SetupError::Listen);
        Ok(Addresses { cmp: of(&self.cmp)?, http: of(&self.http)? })
    }

    /// Answers until `stop` is ready, then lets open requests end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let shared = Arc::new(Shared { authority: self.authority, clock: self.clock, stopped });
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP);
        tokio::pin!(stop);
        loop {
            let (accepted, tls) = tokio::select! {
                () = &mut stop => break,
                _ = sweep.tick() => {
                    connections.spawn(sweep_unconfirmed(Arc::clone(&shared)));
                    continue;
                }
                Some(_) = connections.join_next() => continue,
                accepted = self.cmp.accept() => (accepted, Some(self.tls.clone())),
                accepted = self.http.accept() => (accepted, None),
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    // Out of file descriptors, most likely: the next try must not come at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!("too many connections");
                continue;
            };
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                converse(shared, stream, tls).await;
                drop(place);
            });
        }
        stopping.send_replace(true);
        drop((self.cmp, self.http));
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("open connections were cut");
        }
    }
}

/// What every connection needs.
struct Shared {
    authority: Arc<Authority>,
    clock: SharedClock,
    stopped: watch::Receiver<bool>,
}

async fn listen(at: SocketAddr) -> Result<TcpListener, SetupError> {
    TcpListener::bind(at).await.map_err(SetupError::Listen)
}

async fn sweep_unconfirmed(shared: Arc<Shared>) {
    let swept = tokio::task::spawn_blocking(move || shared.authority.expire_unconfirmed(shared.clock.wall())).await;
    match swept {
        Ok(Ok(expired)) if expired.is_empty() => {}
        Ok(Ok(expired)) => tracing::info!(count = expired.len(), "unconfirmed certificates were revoked"),
        Ok(Err(error)) => tracing::error!(%error, "unconfirmed certificates were not looked through"),
        Err(error) => tracing::error!(%error, "looking through unconfirmed certificates broke off"),
    }
}

async fn converse(shared: Arc<Shared>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Answers are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return http_connection(shared, stream, Line::Plain).await;
    };
    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let line = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
                None => Line::Newcomer,
                Some(certificate) => match tls::terminal(&shared.authority, certificate) {
                    Some(peer) => Line::Mutual(peer),
                    // The handshake has admitted it; it has been withdrawn since.
                    None => return,
                },
            };
            http_connection(shared, stream, line).await;
        }
        Ok(Err(error)) => tracing::info!(%error, "no TLS connection"),
        Err(_) => tracing::info!("a TLS handshake took too long"),
    }
}

/// What is known of the other end.
#[derive(Clone)]
enum Line {
    /// TLS with this terminal.
    Mutual(TerminalId),
    /// TLS with somebody who shows no certificate: a new terminal, perhaps.
    Newcomer,
    /// Nothing.
    Plain,
}

async fn http_connection(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin, line: Line) {
    let mut stopped = shared.stopped.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, line) = (Arc::clone(&shared), line.clone());
        async move { Ok::<Response<Body>, std::convert::Infallible>(http::answer(&shared, &line, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
