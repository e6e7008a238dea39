//! The TLS line against a real rustls server: who is let in, what is told apart.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use authority_link::{AuthorityLine, LineError, MEDIA_TYPE, PATH, TlsClient, TlsLine, TlsLineConfig};
use common::{Dates, EXPIRED, Issuer, VALID, World, key, spki};
use hsm::{Hsm, HsmError, KeyName};
use madoguchi_time::{Recovery, VirtualClock};
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePrivateKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use sim_hsm::{Provision, SoftwareHsm};
use zeroize::Zeroizing;

const HOST: &str = "127.0.0.1";
const SERVER: &str = "CN=authority server,C=JP";

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// What a server does with a connection whose handshake it has begun.
type Behaviour = fn(&mut Stream) -> std::io::Result<()>;

/// Reads one POST; nothing once the peer is gone.
fn read_post(stream: &mut Stream) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut line = String::new();
    let mut head = Vec::new();
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push(std::mem::take(&mut line));
    }
    if head.is_empty() {
        return Ok(None);
    }
    assert_eq!(head[0], format!("POST {PATH} HTTP/1.1\r\n"));
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case(&format!("content-type: {MEDIA_TYPE}\r\n"))));
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

fn answer(stream: &mut Stream, status: &str, media: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    stream.get_mut().flush()
}

/// Answers every request with its own bytes, backwards.
fn serve(stream: &mut Stream) -> std::io::Result<()> {
    while let Some(mut body) = read_post(stream)? {
        body.reverse();
        answer(stream, "200 OK", MEDIA_TYPE, &body)?;
    }
    Ok(())
}

/// The same, once for each connection.
fn serve_once(stream: &mut Stream) -> std::io::Result<()> {
    if let Some(mut body) = read_post(stream)? {
        body.reverse();
        answer(stream, "200 OK", MEDIA_TYPE, &body)?;
    }
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush()
}

struct Server {
    port: u16,
    connections: JoinHandle<usize>,
}

impl Server {
    /// Takes so many connections.
    fn start(config: Arc<ServerConfig>, connections: usize, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = thread::spawn(move || {
            let mut served = 0;
            for stream in listener.incoming().take(connections) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
                // A client that turns away is what many of these tests are about.
                let _ = behaviour(&mut stream);
                // A close with unread data would be a reset, which can overtake what was written.
                let socket = &mut stream.get_mut().sock;
                let _ = socket.shutdown(Shutdown::Write);
                let _ = std::io::copy(socket, &mut std::io::sink());
                served += 1;
            }
            served
        });
        Self { port, connections }
    }
}

/// The two ends of a line, each with what it is to believe.
struct Ends {
    world: World,
    server_key: SigningKey,
    server_certificate: Vec<u8>,
    client_certificate: Vec<u8>,
    /// Who issues the clients' certificates, for the server.
    client_issuer: Vec<u8>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Ends {
    fn new() -> Self {
        let world = World::new();
        let server_key = key(20);
        let server_certificate = world.infrastructure.issue(SERVER, &spki(&server_key), VALID, &[HOST]);
        let tls = KeyName::new(KeyName::TERMINAL_TLS);
        let public = world.hsm.public_key(&tls, world.deadline()).unwrap();
        let client_certificate = world.infrastructure.issue("CN=terminal 1 line,C=JP", &public, VALID, &[]);
        let client_issuer = world.infrastructure.certificate.clone();
        Self {
            world,
            server_key,
            server_certificate,
            client_certificate,
            client_issuer,
            versions: rustls::ALL_VERSIONS,
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.server_with(&self.server_key, &self.server_certificate)
    }

    fn server_with(&self, key: &SigningKey, certificate: &[u8]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut clients = RootCertStore::empty();
        clients.add(CertificateDer::from(self.client_issuer.clone())).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider)).build();
        let key = p256::SecretKey::from(key).to_pkcs8_der().unwrap();
        Arc::new(
            ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(self.versions)
                .unwrap()
                .with_client_cert_verifier(verifier.unwrap())
                .with_single_cert(
                    vec![CertificateDer::from(certificate.to_vec())],
                    PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())),
                )
                .unwrap(),
        )
    }

    fn server_certificate(&self, key: &SigningKey, dates: Dates, host: &str) -> Vec<u8> {
        self.world.infrastructure.issue(SERVER, &spki(key), dates, &[host])
    }

    fn line(&self, port: u16) -> TlsLine {
        self.line_with(port, Arc::clone(&self.world.hsm))
    }

    fn line_with(&self, port: u16, hsm: Arc<dyn Hsm>) -> TlsLine {
        let config = TlsLineConfig {
            host: HOST.into(),
            port,
            trust_anchor: self.world.infrastructure.certificate.clone(),
            server_certificate: self.server_certificate.clone(),
            client: Some(TlsClient {
                certificate: self.client_certificate.clone(),
                key: KeyName::new(KeyName::TERMINAL_TLS),
            }),
        };
        TlsLine::new(config, hsm, Arc::clone(&self.world.clock)).unwrap()
    }

    fn exchange(&self, line: &mut TlsLine) -> Result<Zeroizing<Vec<u8>>, LineError> {
        line.exchange(b"question", self.world.deadline())
    }

    /// What a line to this server says.
    fn error_of(&self, config: Arc<ServerConfig>, behaviour: Behaviour) -> LineError {
        let server = Server::start(config, 1, behaviour);
        self.exchange(&mut self.line(server.port)).unwrap_err()
    }
}

#[test]
fn one_connection_carries_a_job_and_closes_after_it() {
    let ends = Ends::new();
    let server = Server::start(ends.server(), 2, serve);
    let mut line = ends.line(server.port);
    for _ in 0..3 {
        assert_eq!(*ends.exchange(&mut line).unwrap(), b"noitseuq");
    }
    line.close();
    assert_eq!(*ends.exchange(&mut line).unwrap(), b"noitseuq");
    drop(line);
    // Two connections for four requests; and each saw its end, or the thread would still read.
    assert_eq!(server.connections.join().unwrap(), 2);
}

#[test]
fn a_connection_that_the_peer_has_closed_is_opened_anew() {
    let ends = Ends::new();
    let server = Server::start(ends.server(), 3, serve_once);
    let mut line = ends.line(server.port);
    for _ in 0..3 {
        // The close may cross the next request: then that one is lost, and its repetition is not.
        let answer = match ends.exchange(&mut line) {
            Err(LineError::Lost) => ends.exchange(&mut line),
            other => other,
        };
        assert_eq!(*answer.unwrap(), b"noitseuq");
    }
    drop(line);
    assert_eq!(server.connections.join().unwrap(), 3);
}

#[test]
fn a_renewed_certificate_of_the_same_key_is_accepted() {
    let ends = Ends::new();
    let renewed = ends.server_certificate(&ends.server_key, ("2027-03-01T00:00:00Z", "2030-01-01T00:00:00Z"), HOST);
    let server = Server::start(ends.server_with(&ends.server_key, &renewed), 1, serve);
    assert_eq!(*ends.exchange(&mut ends.line(server.port)).unwrap(), b"noitseuq");
}

#[test]
fn a_foreign_peer_is_told_from_an_expired_one() {
    let ends = Ends::new();
    let foreign_key = key(21);

    // Another server of the same issuer and name.
    let certificate = ends.server_certificate(&foreign_key, VALID, HOST);
    let error = ends.error_of(ends.server_with(&foreign_key, &certificate), serve);
    assert!(matches!(error, LineError::ForeignPeer), "{error:?}");

    // The right key under a certificate of another issuer.
    let other = Issuer::new("CN=Other,C=JP", 22).issue(SERVER, &spki(&ends.server_key), VALID, &[HOST]);
    let error = ends.error_of(ends.server_with(&ends.server_key, &other), serve);
    assert!(matches!(error, LineError::ForeignPeer), "{error:?}");

    // The right key under a certificate for another name.
    let certificate = ends.server_certificate(&ends.server_key, VALID, "192.0.2.1");
    let error = ends.error_of(ends.server_with(&ends.server_key, &certificate), serve);
    assert!(matches!(error, LineError::ForeignPeer), "{error:?}");

    // The right one, too late and too early.
    for dates in [EXPIRED, ("2027-04-02T00:00:00Z", "2029-01-01T00:00:00Z")] {
        let certificate = ends.server_certificate(&ends.server_key, dates, HOST);
        let error = ends.error_of(ends.server_with(&ends.server_key, &certificate), serve);
        assert!(matches!(error, LineError::PeerNotValidNow), "{error:?}");
        assert_eq!(error.recovery(), Recovery::Reconfigure);
    }

    // Foreign and expired: foreign.
    let certificate = ends.server_certificate(&foreign_key, EXPIRED, HOST);
    let error = ends.error_of(ends.server_with(&foreign_key, &certificate), serve);
    assert!(matches!(error, LineError::ForeignPeer), "{error:?}");
}

#[test]
fn a_terminal_that_is_not_admitted_learns_so() {
    let mut ends = Ends::new();
    ends.client_issuer = Issuer::new("CN=Other,C=JP", 23).certificate;
    let error = ends.error_of(ends.server(), serve);
    assert!(matches!(error, LineError::NotAdmitted), "{error:?}");
}

#[test]
fn tls_1_2_is_not_spoken() {
    let mut ends = Ends::new();
    static OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    ends.versions = OLD;
    let error = ends.error_of(ends.server(), serve);
    assert!(matches!(error, LineError::Tls(_)), "{error:?}");
}

#[test]
fn what_breaks_is_told_apart() {
    let ends = Ends::new();

    let closed = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
    let error = ends.exchange(&mut ends.line(closed)).unwrap_err();
    assert!(matches!(error, LineError::Refused), "{error:?}");

    let error = ends.error_of(ends.server(), |stream| read_post(stream).map(drop));
    assert!(matches!(error, LineError::Lost), "{error:?}");

    let error = ends.error_of(ends.server(), |stream| {
        read_post(stream)?;
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\nContent-Length: 9\r\n\r\nhal")
    });
    assert!(matches!(error, LineError::Lost), "{error:?}");

    let error = ends.error_of(ends.server(), |stream| {
        read_post(stream)?;
        answer(stream, "503 Service Unavailable", "text/plain", b"later")
    });
    assert!(matches!(error, LineError::Http(503)), "{error:?}");
    assert_eq!(error.recovery(), Recovery::Retry);

    let error = ends.error_of(ends.server(), |stream| {
        read_post(stream)?;
        answer(stream, "200 OK", MEDIA_TYPE, &vec![0; 300 * 1024])
    });
    assert!(matches!(error, LineError::TooLong), "{error:?}");

    let error = ends.error_of(ends.server(), |stream| {
        let _ = stream.get_mut().sock.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        Ok(())
    });
    assert!(matches!(error, LineError::Tls(_)), "{error:?}");
}

#[test]
fn a_silent_peer_is_given_up_at_the_deadline() {
    let ends = Ends::new();
    let server = Server::start(ends.server(), 1, |stream| {
        read_post(stream)?;
        // Until the terminal gives up and closes.
        let _ = stream.read(&mut [0]);
        Ok(())
    });
    let mut line = ends.line(server.port);
    let soon = ends.world.clock.deadline_in(Duration::from_millis(300));
    let error = line.exchange(b"question", soon).unwrap_err();
    assert!(matches!(error, LineError::Timeout), "{error:?}");
    // The connection is gone with the error, not with the line.
    assert_eq!(server.connections.join().unwrap(), 1);
}

#[test]
fn an_hsm_that_is_gone_is_named_as_the_cause() {
    let ends = Ends::new();
    let hsm = SoftwareHsm::in_memory(&Provision::terminal([7; 32])).unwrap().with_clock(Arc::clone(&ends.world.clock));
    hsm.unplug_after(0);
    let server = Server::start(ends.server(), 1, serve);
    let error = ends.exchange(&mut ends.line_with(server.port, Arc::new(hsm))).unwrap_err();
    assert!(matches!(error, LineError::Hsm(HsmError::Unreachable)), "{error:?}");
    assert_eq!(error.recovery(), Recovery::Reconnect);
}

#[test]
fn certificates_are_judged_by_the_terminals_clock() {
    let mut ends = Ends::new();
    ends.world.clock = VirtualClock::at("2050-01-01T00:00:00Z".parse().unwrap());
    let error = ends.error_of(ends.server(), serve);
    assert!(matches!(error, LineError::PeerNotValidNow), "{error:?}");
}
