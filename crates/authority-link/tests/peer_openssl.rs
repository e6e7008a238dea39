//! The client against a server that is not ours: the mock server of `openssl cmp`. These tests fail where there is no
//! `openssl`.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use authority_link::message::{Failure, FailureInfo, ProtectionError};
use authority_link::{
    Answer, AuthorityLine, CertificationRequest, Confirmation, IssuerAndSerial, LineError, LinkError, MEDIA_TYPE,
    Request, open_answer,
};
use common::{REQUEST_NAME, VALID, World, application, now};
use der::{Decode, EncodePem, pem::LineEnding};
use jpki::CertificateKind;
use madoguchi_time::Deadline;
use p256::pkcs8::EncodePrivateKey;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use x509_cert::Certificate;
use zeroize::Zeroizing;

/// A card's key that OpenSSL holds: the library under test gets to see signatures only.
struct CardKey {
    file: PathBuf,
    hash: &'static str,
}

impl CardKey {
    fn generate(folder: &Path, algorithm: &str, options: &[&str], hash: &'static str) -> Self {
        let file = folder.join("card.key");
        let options = options.iter().flat_map(|option| ["-pkeyopt", option]);
        openssl(
            Command::new("openssl").args(["genpkey", "-algorithm", algorithm]).args(options).arg("-out").arg(&file),
        );
        Self { file, hash }
    }

    fn spki(&self) -> Vec<u8> {
        openssl(Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&self.file))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let data = self.file.with_extension("tbs");
        std::fs::write(&data, message).unwrap();
        openssl(Command::new("openssl").args(["dgst", self.hash, "-sign"]).arg(&self.file).arg(&data))
    }
}

/// Runs OpenSSL to its end.
fn openssl(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::piped()).output().expect("Debian's openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `openssl cmp` as a server, ended with the test.
struct MockServer {
    process: Child,
    port: u16,
    /// Kept open: the server logs to it.
    _log: BufReader<std::process::ChildStdout>,
}

impl MockServer {
    fn start(folder: &Path, options: &[&str]) -> Self {
        let mut process = Command::new("openssl")
            .args(["cmp", "-config", "", "-port", "0", "-verbosity", "3"])
            .args(["-srv_cert", "server.pem", "-srv_key", "server.key", "-srv_trusted", "infrastructure.pem"])
            .args(["-rsp_cert", "issued.pem", "-rsp_capubs", "ca.pem"])
            .args(options)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's openssl is installed");
        let mut log = BufReader::new(process.stdout.take().unwrap());
        // It says `ACCEPT [::]:<port> PID=<pid>` once it listens.
        let mut line = String::new();
        while !line.starts_with("ACCEPT") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the mock server did not start");
        }
        let port = line.split_once("]:").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
        Self { process, port, _log: log }
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plain HTTP/1.0 on the loopback: the mock server has no TLS.
impl AuthorityLine for MockServer {
    fn exchange(&mut self, request: &[u8], _: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(LineError::Unreachable)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(LineError::Unreachable)?;
        let head =
            format!("POST /pkix/ HTTP/1.0\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\r\n", request.len());
        stream.write_all(&[head.as_bytes(), request].concat()).map_err(|_| LineError::Lost)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|_| LineError::Timeout)?;
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").ok_or(LineError::Lost)? + 4;
        Ok(Zeroizing::new(answer.split_off(body)))
    }
}

/// A terminal, a card's key, and the files of the mock server, which issues `issued` whatever it is asked.
struct Peer {
    world: World,
    card: CardKey,
    issued: Vec<u8>,
    folder: TempDir,
}

impl Peer {
    fn new(algorithm: &str, options: &[&str], hash: &'static str) -> Self {
        let world = World::new();
        let folder = tempfile::tempdir().unwrap();
        let card = CardKey::generate(folder.path(), algorithm, options, hash);
        let issued = world.ca.issue("CN=card,C=JP", &card.spki(), VALID, &[]);
        for (file, certificate) in [
            ("server.pem", &world.authority_certificate),
            ("infrastructure.pem", &world.infrastructure.certificate),
            ("ca.pem", &world.ca.certificate),
            ("issued.pem", &issued),
        ] {
            let pem = Certificate::from_der(certificate).unwrap().to_pem(LineEnding::LF).unwrap();
            std::fs::write(folder.path().join(file), pem).unwrap();
        }
        let key = p256::SecretKey::from(&world.authority_key).to_pkcs8_pem(LineEnding::LF).unwrap();
        std::fs::write(folder.path().join("server.key"), key.as_bytes()).unwrap();
        Self { world, card, issued, folder }
    }

    fn on_p256() -> Self {
        Self::new("EC", &["ec_paramgen_curve:P-256"], "-sha256")
    }

    fn certification(&self, kind: CertificateKind) -> Request {
        let ca = &self.world.ca.certificate;
        let draft =
            CertificationRequest::draft(kind, &application(), &self.card.spki(), REQUEST_NAME, ca, None).unwrap();
        let proof = self.card.sign(draft.to_be_proved());
        Request::Certification(Box::new(draft.prove(&proof).unwrap()))
    }

    fn serve(&self, options: &[&str]) -> MockServer {
        MockServer::start(self.folder.path(), options)
    }

    fn ask(&self, line: &mut MockServer, request: Request) -> Result<Answer, LinkError> {
        let sent = self.world.send(request);
        let answer = line.exchange(sent.bytes(), self.world.deadline()).unwrap();
        open_answer(&answer, sent.expected(), &self.world.authority(), now())
    }
}

#[test]
fn peer_openssl_issues_confirms_and_revokes() {
    for (algorithm, options, hash) in [
        ("RSA", &["rsa_keygen_bits:2048"], "-sha256"),
        ("EC", &["ec_paramgen_curve:P-384"], "-sha384"),
        ("EC", &["ec_paramgen_curve:P-256"], "-sha256"),
    ] {
        let peer = Peer::new(algorithm, options, hash);
        let mut line = peer.serve(&[]);
        for kind in CertificateKind::BOTH {
            let Answer::Issued { certificate, ca_certificate, nonce } =
                peer.ask(&mut line, peer.certification(kind)).unwrap()
            else {
                unreachable!("not issued")
            };
            assert_eq!(*certificate, peer.issued);
            assert_eq!(ca_certificate.as_ref(), Some(&peer.world.ca.certificate));

            let sha256 = Sha256::digest(&certificate);
            let confirmation = Confirmation::implying_sha256(sha256.into()).answering(&nonce.unwrap()).unwrap();
            assert_eq!(peer.ask(&mut line, Request::Confirm(confirmation)).unwrap(), Answer::Confirmed);

            let issued = IssuerAndSerial::of(&Certificate::from_der(&certificate).unwrap());
            assert_eq!(peer.ask(&mut line, Request::Supersede(issued)).unwrap(), Answer::Revoked);
        }
    }
}

#[test]
fn peer_openssl_hears_a_rejection() {
    let peer = Peer::on_p256();
    let mut line = peer.serve(&[]);
    let issued = peer.ask(&mut line, peer.certification(CertificateKind::Signature)).unwrap();
    let Answer::Issued { certificate, nonce: Some(nonce), .. } = issued else { unreachable!("not issued") };
    let sha256 = Sha256::digest(&certificate);
    let confirmation = Confirmation::implying_sha256(sha256.into()).answering(&nonce).unwrap();
    let rejection = Request::Confirm(confirmation.rejecting(Failure::IncorrectData));
    assert_eq!(peer.ask(&mut line, rejection).unwrap(), Answer::Confirmed);
}

#[test]
fn peer_openssl_repeats_unknown_questions() {
    let peer = Peer::on_p256();
    let mut line = peer.serve(&[]);
    // The mock server answers a question with the question: without a value, that is "no checkpoint".
    assert_eq!(peer.ask(&mut line, Request::WitnessedCheckpoint).unwrap(), Answer::Checkpoint(None));
    let state = peer.ask(&mut line, Request::StateOf([1; 32])).unwrap_err();
    assert_eq!(state, LinkError::UnexpectedAnswer { expected: "genp", got: "genp of another kind" });
}

#[test]
fn peer_openssl_refuses() {
    let peer = Peer::on_p256();
    let ask = |options: &[&str], request| peer.ask(&mut peer.serve(options), request);
    let refused = |failure: Failure, text: &str| Answer::Refused {
        failure: FailureInfo::from(failure),
        code: None,
        text: text.into(),
    };

    // PKIFailureInfo beyond the sixteenth bit.
    let options = ["-pkistatus", "2", "-failure", "21", "-statusstring", "in use"];
    let answer = ask(&options, peer.certification(CertificateKind::Signature)).unwrap();
    assert_eq!(answer, refused(Failure::TransactionIdInUse, "in use"));

    let foreign = IssuerAndSerial::of(&Certificate::from_der(&peer.world.authority_certificate).unwrap());
    let answer = ask(&[], Request::Supersede(foreign)).unwrap();
    assert!(matches!(answer, Answer::Refused { failure, .. } if failure.contains(Failure::BadRequest)), "{answer:?}");

    let unprotected = ask(&["-send_unprotected"], Request::WitnessedCheckpoint).unwrap_err();
    assert_eq!(unprotected, LinkError::Protection(ProtectionError::Missing));
}
