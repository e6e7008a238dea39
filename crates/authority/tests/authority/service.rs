//! The authority on the network: who is let in, what is found where, and the program.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use authority::store::{Alarm, AlarmKind, Change, SqliteStore, Store, TerminalId};
use authority_link::{Answer, Sent};
use authority_link::{
    AuthorityLine, Confirmation, IssueState, LineError, MEDIA_TYPE, PATH, Request, TlsClient, TlsLine, TlsLineConfig,
};
use hsm::{Hsm, KeyName};
use jpki::CertificateKind::Authentication;
use madoguchi_time::{Clock, Deadline};

use crate::fixtures::{Counter, Issued, World, next_generation, soon, written};
use crate::served::{ANY, Served, http};

fn line(world: &World, counter: &Counter, certificates: &Counter, at: SocketAddr) -> TlsLine {
    let config = TlsLineConfig {
        host: "127.0.0.1".to_owned(),
        port: at.port(),
        trust_anchor: world.certificates.infrastructure_ca.clone(),
        server_certificate: world.certificates.tls.clone(),
        client: Some(TlsClient {
            certificate: certificates.credentials.tls_certificate.clone(),
            key: KeyName::new(KeyName::TERMINAL_TLS),
        }),
    };
    TlsLine::new(config, counter.hsm.clone(), world.clock.clone()).unwrap()
}

fn in_20_seconds(world: &World) -> Deadline {
    world.clock.deadline_in(Duration::from_secs(20))
}

#[test]
fn a_certificate_is_issued_and_confirmed_over_mutual_tls() {
    let world = World::new(&next_generation());
    let served = Served::new(&world);
    let counter = &world.counters[0];
    let mut line = line(&world, counter, counter, served.at.cmp);
    let mut ask = |sent: &Sent| {
        let answer = line.exchange(sent.bytes(), in_20_seconds(&world)).unwrap();
        world.open(sent, &answer)
    };
    let transaction = world.transaction();
    let request = world.certification(counter, Authentication, &world.card_key(), None);
    let answer = ask(&counter.protect(request, transaction, world.random(), world.now()));
    let Answer::Issued { certificate, nonce, .. } = answer else { panic!("{answer:?}") };
    let issued = Issued::new(transaction, &certificate, nonce);
    let confirm = Request::Confirm(Confirmation::by_sha256(issued.sha256));
    let answer = ask(&counter.protect(confirm, transaction, world.random(), world.now()));
    assert_eq!(answer, Answer::Confirmed);
    assert_eq!(world.state(counter, issued.sha256), IssueState::Valid);
}

#[test]
fn only_terminals_on_the_allow_list_get_a_connection() {
    let world = World::new(&next_generation());
    let served = Served::new(&world);
    let [one, two] = &world.counters[..] else { unreachable!() };
    let sent = one.protect(Request::Unsettled, world.transaction(), world.random(), world.now());

    // The other terminal's line does not carry this terminal's messages.
    let answer = line(&world, two, two, served.at.cmp).exchange(sent.bytes(), in_20_seconds(&world)).unwrap();
    assert!(matches!(world.open(&sent, &answer), Answer::Refused { .. }));
    // A certificate without its key.
    let mut stolen = line(&world, two, one, served.at.cmp);
    assert!(stolen.exchange(sent.bytes(), in_20_seconds(&world)).is_err());
    // A certificate of the right issuer, whose terminal was struck off.
    let mut withdrawn = world.authority.store().terminal(&one.id).unwrap().unwrap();
    withdrawn.authorised = false;
    world.authority.store().register_terminal(&withdrawn, None, world.now()).unwrap();
    let refused = line(&world, one, one, served.at.cmp).exchange(sent.bytes(), in_20_seconds(&world));
    assert!(matches!(refused, Err(LineError::NotAdmitted)), "{refused:?}");
}

#[test]
fn each_path_answers_what_belongs_to_it() {
    let world = World::new(&next_generation());
    let served = Served::new(&world);
    let at = served.at.http;
    let ocsp = "application/ocsp-request";
    for (method, path, media_type, body, expected) in [
        ("POST", PATH, MEDIA_TYPE, &b"x"[..], 404),
        ("GET", "/", "", b"", 404),
        ("GET", "/ocsp", "", b"", 405),
        ("POST", "/ocsp", "text/plain", b"x", 415),
        ("POST", "/ocsp", ocsp, b"x", 200),
        ("POST", "/ocsp", ocsp, &[b'x'; 20_000], 413),
        ("POST", "/crl/signature", "", b"", 405),
        ("GET", "/crl/signature", "", b"", 200),
        ("GET", "/crl/authentication/13221", "", b"", 200),
        ("GET", "/crl/authentication/99999", "", b"", 404),
        ("GET", "/crl/signature/13221/more", "", b"", 404),
        ("GET", "/crl/other", "", b"", 404),
    ] {
        let (status, answer) = http(at, method, path, media_type, body);
        assert_eq!(status, expected, "{method} {path}");
        if path == "/ocsp" && status == 200 {
            // OCSPResponse { malformedRequest (1) } (RFC 6960 §4.2.1).
            assert_eq!(answer, [0x30, 0x03, 0x0A, 0x01, 0x01]);
        }
    }
    // The mutual listener speaks nothing but TLS.
    let mut stream = std::net::TcpStream::connect(served.at.cmp).unwrap();
    std::io::Write::write_all(&mut stream, b"POST / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(std::io::Read::read_to_end(&mut stream, &mut answer));
    assert!(!answer.starts_with(b"HTTP"));
}

pub(crate) fn program(arguments: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_madoguchi-authority"));
    command.args(arguments).arg("--state").arg(state);
    command
}

#[test]
fn the_program_makes_serves_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("authority");
    let no_authority = program(&["status"], &state).output().unwrap();
    assert_eq!(no_authority.status.code(), Some(1));
    assert!(String::from_utf8(no_authority.stderr).unwrap().contains("holds no authority"));
    let made = program(&["init", "--seed", "1", "--generation", "jpki-next"], &state).status().unwrap();
    assert!(made.success());
    assert!(!program(&["init"], &state).output().unwrap().status.success(), "twice");

    // A terminal gives its public keys, and finds what it needs in its folder.
    let world = World::new(&next_generation());
    let mut keys = Vec::new();
    for label in [KeyName::TERMINAL_SIGNING, KeyName::TERMINAL_TLS, KeyName::LOG_SIGNING] {
        let spki = world.counters[0].hsm.public_key(&KeyName::new(label), soon()).unwrap();
        let pem = der::Document::try_from(spki).unwrap().to_pem("PUBLIC KEY", der::pem::LineEnding::LF).unwrap();
        let path = dir.path().join(format!("{label}.pem"));
        std::fs::write(&path, pem).unwrap();
        keys.push(path);
    }
    let mut add = program(&["terminal", "add", "counter-1", "--window", "13221003A"], &state);
    add.args(["--prefecture", "Tokyo-to", "--city", "Kiyose-shi"]);
    for (option, path) in ["--signing-key", "--tls-key", "--log-key"].into_iter().zip(&keys) {
        add.arg(option).arg(path);
    }
    assert!(add.status().unwrap().success());
    let folder = state.join("terminals/counter-1");
    for name in ["client-tls", "client-signing", "tls", "cmp", "infrastructure-ca", "signature-ca", "authentication-ca"]
    {
        assert!(folder.join(format!("{name}.pem")).exists(), "{name}");
    }

    let mut serve = program(&["serve", "--until-stdin-ends", "--cmp", ANY, "--http", ANY], &state);
    let mut running = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    let at: SocketAddr = ready["http"].as_str().unwrap().parse().unwrap();
    assert_eq!(http(at, "GET", "/crl/signature", "", b"").0, 200);
    assert!(ready["cmp"].as_str().unwrap().parse::<SocketAddr>().is_ok());
    // Other commands work beside the service.
    let status = program(&["status", "--json"], &state).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["generation"], status["alarms"].as_array().unwrap().len()), (&"jpki-next".into(), 0));
    let listed = program(&["terminal", "list"], &state).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("window 13221003A"));
    assert!(program(&["unsettled"], &state).status().unwrap().success());

    // Somebody has to answer for an alarm, by an ID, and there must be one.
    let look = |command: &str, by: &str| {
        let looked = program(&["terminal", command, "counter-1", "--by", by], &state).output().unwrap();
        looked.status.success()
    };
    assert!(!look("acknowledge-alarms", "auditor-1") && !look("accept-log", "auditor-1"), "there is none");
    let (counter, alarmed) = (&world.counters[0], TerminalId::new("counter-1").unwrap());
    let alarm = Alarm {
        terminal: alarmed.clone(),
        kind: AlarmKind::RolledBack,
        witnessed_size: 9,
        offered_size: 3,
        witnessed: None,
        offered: counter.shown(9, &written(3)),
        at: world.now(),
        acknowledged: None,
    };
    let raise = || {
        let store = SqliteStore::open(&state.join("store.sqlite"), [1, 1]).unwrap();
        store.apply(&Change { alarm: Some(alarm.clone()), ..Change::default() }).unwrap();
        store
    };
    raise();
    assert!(!look("acknowledge-alarms", "two words"));
    assert!(look("acknowledge-alarms", "auditor-1") && !look("acknowledge-alarms", "auditor-1"));
    let store = raise();
    assert!(look("accept-log", "0001"));
    assert_eq!(store.witness(&alarmed).unwrap().map(|witness| witness.size), Some(3));
    let status = program(&["status", "--json"], &state).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let by = [0, 1].map(|number| status["alarms"][number]["acknowledged_by"].clone());
    assert_eq!((by, &status["alarms"][1]["offered"]), (["auditor-1".into(), "0001".into()], &alarm.offered.into()));

    assert!(program(&["terminal", "withdraw", "counter-1"], &state).status().unwrap().success());
    assert!(!program(&["terminal", "withdraw", "counter-2"], &state).output().unwrap().status.success());

    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
}
