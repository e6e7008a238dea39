//! Terminals' own certificates: invited, enrolled, renewed, revoked. By our client, and by OpenSSL.

use std::fs;
use std::path::Path;
use std::process::Output;

use authority::store::{PersonId, State, TerminalId};
use authority::{Guest, Invited, Peer};
use authority_link::message::{Failure, FailureInfo};
use authority_link::{
    Answer, CertificationRequest, Confirmation, IssueState, IssuerAndSerial, Newcomer, OwnCertificate, PATH, Purpose,
    Request, Sent, SharedSecret, TransactionId, check_own_certificate,
};
use der::Decode;
use hsm::{Hsm, KeyKind, KeyName, SignatureAlgorithm};
use jiff::{SignedDuration, Timestamp};
use jpki::CertificateKind;
use sim_hsm::{Provision, SoftwareHsm};
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::fixtures::{World, municipality, next_generation, soon};
use crate::peer::{openssl, said, succeed, write_pem};
use crate::served::Served;

const NAME: &str = "counter-9";
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

fn guest(test_peer: bool) -> Guest {
    Guest {
        name: NAME.to_owned(),
        window: "13221009A".to_owned(),
        municipality: municipality(),
        test_peer,
        by: PersonId::new("9001").unwrap(),
        valid_for: SignedDuration::from_hours(72),
    }
}

/// A terminal that is invited, with its keys; not our terminal's own code but the messages alone, so that it can go wrong.
struct Visitor<'a> {
    world: &'a World,
    hsm: SoftwareHsm,
    invited: Invited,
}

impl<'a> Visitor<'a> {
    fn new(world: &'a World) -> Self {
        let keys = ["second-tls", "second-signing"].map(KeyName::new);
        let provision = Provision::terminal([77; 32]);
        let provision = keys.into_iter().fold(provision, |all, key| all.with_key(key, KeyKind::EcP256));
        let invited = world.authority.invite(&guest(true), world.now(), &mut rand_core::OsRng).unwrap();
        Self { world, hsm: SoftwareHsm::in_memory(&provision).unwrap(), invited }
    }

    fn spki(&self, key: &str) -> Vec<u8> {
        self.hsm.public_key(&KeyName::new(key), soon()).unwrap()
    }

    fn request(&self, purpose: Purpose, key: &str, predecessor: Option<&[u8]>) -> Box<CertificationRequest> {
        self.request_as(NAME, purpose, key, predecessor)
    }

    fn request_as(
        &self,
        terminal: &str,
        purpose: Purpose,
        key: &str,
        predecessor: Option<&[u8]>,
    ) -> Box<CertificationRequest> {
        let predecessor = predecessor.map(|der| IssuerAndSerial::of(&Certificate::from_der(der).unwrap()));
        let draft = CertificationRequest::draft_own(&OwnCertificate {
            purpose,
            terminal,
            spki: &self.spki(key),
            issuer: &self.world.certificates.infrastructure_ca,
            log_key: None,
            predecessor: predecessor.as_ref(),
        });
        let draft = draft.unwrap();
        let proof = self.hsm.sign(&KeyName::new(key), ALGORITHM, draft.to_be_proved(), soon()).unwrap();
        Box::new(draft.prove(&proof).unwrap())
    }

    fn secret(&self) -> SharedSecret {
        SharedSecret::new(&self.invited.reference, Zeroizing::new(self.invited.secret.as_bytes().to_vec()))
    }

    /// Under a secret, on a line without a certificate.
    fn as_newcomer(&self, secret: &SharedSecret, request: Request, transaction: TransactionId) -> (Sent, Answer) {
        let certificates = &self.world.certificates;
        let newcomer = Newcomer::new(NAME, secret.clone(), &certificates.infrastructure_ca, &certificates.cmp).unwrap();
        let drawn = (self.world.random(), self.world.random());
        let sent = newcomer.send(request, transaction, drawn, self.world.now(), "").unwrap();
        let answer = self.deliver(&sent, Peer::Newcomer);
        let authority = authority_link::Authority::pinned(&certificates.cmp).unwrap().sharing(secret.clone());
        let answer = authority_link::open_answer(&answer, sent.expected(), &authority, self.world.now()).unwrap();
        (sent, answer)
    }

    fn deliver(&self, sent: &Sent, peer: Peer<'_>) -> Vec<u8> {
        self.world.authority.handle(sent.bytes(), peer, self.world.now(), &mut rand_core::OsRng)
    }

    /// Signed under one of its certificates.
    fn signed(&self, by: (&[u8], &str), request: Request, transaction: TransactionId, peer: Peer<'_>) -> Answer {
        let (certificate, key) = by;
        let terminal = authority_link::Terminal::new(certificate, ALGORITHM, &self.world.certificates.cmp).unwrap();
        let (nonce, now) = (self.world.random(), self.world.now());
        let outgoing = terminal.address(request, transaction, nonce, now, "").unwrap();
        let signature = self.hsm.sign(&KeyName::new(key), ALGORITHM, outgoing.to_be_protected(), soon()).unwrap();
        let sent = outgoing.protect(&signature).unwrap();
        self.world.open(&sent, &self.deliver(&sent, peer))
    }

    fn confirm(certificate: &[u8]) -> Request {
        use sha2::Digest;
        Request::Confirm(Confirmation::implying_sha256(sha2::Sha256::digest(certificate).into()))
    }

    /// Its first certificate, confirmed.
    fn enrol_messages(&self) -> Vec<u8> {
        let transaction = self.world.transaction();
        let request = Request::Enrolment(self.request(Purpose::Messages, "terminal-signing", None));
        let certificate = issued(self.as_newcomer(&self.secret(), request, transaction).1);
        let confirmed = self.as_newcomer(&self.secret(), Self::confirm(&certificate), transaction).1;
        assert_eq!(confirmed, Answer::Confirmed);
        certificate
    }

    /// Its second.
    fn enrol_line(&self, messages: &[u8]) -> Vec<u8> {
        let transaction = self.world.transaction();
        let by = (messages, "terminal-signing");
        let request = Request::Addition(self.request(Purpose::Line, "terminal-tls", None));
        let certificate = issued(self.signed(by, request, transaction, Peer::Newcomer));
        let confirmed = self.signed(by, Self::confirm(&certificate), transaction, Peer::Newcomer);
        assert_eq!(confirmed, Answer::Confirmed);
        certificate
    }

    fn states(&self) -> Vec<(Purpose, State)> {
        let id = TerminalId::new(NAME).unwrap();
        let own = self.world.authority.store().terminal_certificates(&id).unwrap();
        own.into_iter().map(|own| (own.purpose, own.state)).collect()
    }
}

fn issued(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Issued { certificate, .. } => certificate.to_vec(),
        other => panic!("not issued: {other:?}"),
    }
}

#[track_caller]
fn refused(answer: &Answer, expected: Failure) {
    let Answer::Refused { failure, text, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(*failure, FailureInfo::from(expected), "{text}");
}

#[test]
fn an_invited_terminal_fetches_its_two_certificates_and_renews_each() {
    let world = World::new(&next_generation());
    let visitor = Visitor::new(&world);
    let id = TerminalId::new(NAME).unwrap();
    let peer = Peer::Terminal(&id);
    let messages = visitor.enrol_messages();
    let line = visitor.enrol_line(&messages);
    for (purpose, key, certificate) in
        [(Purpose::Messages, "terminal-signing", &messages), (Purpose::Line, "terminal-tls", &line)]
    {
        let asked = OwnCertificate {
            purpose,
            terminal: NAME,
            spki: &visitor.spki(key),
            issuer: &world.certificates.infrastructure_ca,
            log_key: None,
            predecessor: None,
        };
        check_own_certificate(certificate, &asked, world.now()).unwrap();
        // Nothing passes for something else.
        let others = [
            OwnCertificate { terminal: "counter-8", ..asked },
            OwnCertificate { spki: &visitor.spki("second-tls"), ..asked },
            OwnCertificate { issuer: &world.certificates.signature_ca, ..asked },
            OwnCertificate {
                purpose: if purpose == Purpose::Line { Purpose::Messages } else { Purpose::Line },
                ..asked
            },
        ];
        assert!(others.iter().all(|other| check_own_certificate(certificate, other, world.now()).is_err()));
        let later = world.now() + SignedDuration::from_hours(24 * 731);
        assert!(check_own_certificate(certificate, &asked, later).is_err());
        let mut changed = certificate.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(check_own_certificate(&changed, &asked, world.now()).is_err());
    }

    // A successor; the predecessor is good until the successor says so.
    let by = (&*messages, "terminal-signing");
    let transaction = world.transaction();
    let request = Request::Update(visitor.request(Purpose::Messages, "second-signing", Some(&messages)));
    let second = issued(visitor.signed(by, request, transaction, peer));
    let name = IssuerAndSerial::of(&Certificate::from_der(&messages).unwrap());
    let supersede = || Request::Supersede(name.clone());
    refused(&visitor.signed(by, supersede(), world.transaction(), peer), Failure::BadRequest);
    assert_eq!(visitor.signed(by, Visitor::confirm(&second), transaction, peer), Answer::Confirmed);
    let successor = (&*second, "second-signing");
    for signer in [by, successor] {
        let answer = visitor.signed(signer, Request::Unsettled, world.transaction(), peer);
        assert!(matches!(answer, Answer::Unsettled(_)), "{answer:?}");
    }
    // Not by the predecessor itself: what is in use supersedes.
    refused(&visitor.signed(by, supersede(), world.transaction(), peer), Failure::BadRequest);
    assert_eq!(visitor.signed(successor, supersede(), world.transaction(), peer), Answer::Revoked);
    assert_eq!(visitor.signed(successor, supersede(), world.transaction(), peer), Answer::Revoked, "twice");
    refused(&visitor.signed(by, Request::Unsettled, world.transaction(), peer), Failure::SignerNotTrusted);
    assert_eq!(
        visitor.states(),
        [(Purpose::Messages, State::Superseded), (Purpose::Line, State::Valid), (Purpose::Messages, State::Valid)]
    );
}

#[test]
fn an_invitation_is_for_one_terminal_and_one_time_and_a_lost_answer_does_not_use_it_up() {
    let world = World::new(&next_generation());
    let visitor = Visitor::new(&world);
    let ask = |key: &str| Request::Enrolment(visitor.request(Purpose::Messages, key, None));
    let first = world.transaction();
    let (sent, answer) = visitor.as_newcomer(&visitor.secret(), ask("terminal-signing"), first);
    let lost = issued(answer);
    // The same bytes get the same answer, and whoever has lost those may begin anew: with the same key, and with another.
    assert_eq!(visitor.deliver(&sent, Peer::Newcomer), visitor.deliver(&sent, Peer::Newcomer));
    issued(visitor.as_newcomer(&visitor.secret(), ask("terminal-signing"), world.transaction()).1);
    issued(visitor.as_newcomer(&visitor.secret(), ask("second-signing"), world.transaction()).1);
    let states = [State::Revoked, State::Revoked, State::Issued].map(|state| (Purpose::Messages, state));
    assert_eq!(visitor.states(), states);
    let late = visitor.as_newcomer(&visitor.secret(), Visitor::confirm(&lost), first).1;
    refused(&late, Failure::CertRevoked);

    visitor.enrol_messages();
    let again = visitor.as_newcomer(&visitor.secret(), ask("terminal-signing"), world.transaction()).1;
    refused(&again, Failure::SignerNotTrusted);
    // Its secret is gone from the store.
    assert!(world.authority.store().invitations().unwrap().iter().all(|invitation| invitation.secret.is_empty()));
}

#[test]
fn who_is_not_invited_gets_nothing() {
    let world = World::new(&next_generation());
    let visitor = Visitor::new(&world);
    let ask = || Request::Enrolment(visitor.request(Purpose::Messages, "terminal-signing", None));
    let under = |secret: &SharedSecret, request| visitor.as_newcomer(secret, request, world.transaction()).1;
    let right = visitor.secret();
    let secret = |reference: &str, secret: &str| SharedSecret::new(reference, Zeroizing::new(secret.into()));
    let Invited { reference, secret: told, .. } = &visitor.invited;
    refused(&under(&secret(reference, "MISTYPED"), ask()), Failure::BadMessageCheck);
    refused(&under(&secret("OTHERONE", told), ask()), Failure::SignerNotTrusted);
    refused(&under(&right, Request::Unsettled), Failure::NotAuthorized);
    refused(
        &under(&right, Request::Addition(visitor.request(Purpose::Line, "terminal-tls", None))),
        Failure::NotAuthorized,
    );
    let purpose = Request::Enrolment(visitor.request(Purpose::Line, "terminal-tls", None));
    refused(&under(&right, purpose), Failure::BadCertTemplate);
    let name = Request::Enrolment(visitor.request_as("counter-8", Purpose::Messages, "terminal-signing", None));
    refused(&under(&right, name), Failure::NotAuthorized);
    // Somebody else's key.
    let other = &world.counters[0];
    let taken = CertificationRequest::draft_own(&OwnCertificate {
        purpose: Purpose::Messages,
        terminal: NAME,
        spki: &other.hsm.public_key(&KeyName::new("terminal-signing"), soon()).unwrap(),
        issuer: &world.certificates.infrastructure_ca,
        log_key: None,
        predecessor: None,
    });
    let taken = taken.unwrap();
    let proof = other.hsm.sign(&KeyName::new("terminal-signing"), ALGORITHM, taken.to_be_proved(), soon()).unwrap();
    let taken = Request::Enrolment(Box::new(taken.prove(&proof).unwrap()));
    refused(&under(&right, taken), Failure::DuplicateCertReq);
    // What an invited terminal may say under its secret, nobody may say without.
    let resident = world.certification(other, jpki::CertificateKind::Authentication, &world.card_key(), None);
    refused(&under(&right, resident), Failure::BadRequest);
    let sent = other.protect(Request::Unsettled, world.transaction(), world.random(), world.now());
    let answer = world.authority.handle(sent.bytes(), Peer::Newcomer, world.now(), &mut rand_core::OsRng);
    refused(&world.open(&sent, &answer), Failure::NotAuthorized);

    world.clock.advance(std::time::Duration::from_secs(72 * 3_600 + 1));
    refused(&under(&right, ask()), Failure::SignerNotTrusted);
    world.authority.expire_unconfirmed(world.now()).unwrap();
    assert!(world.authority.store().invitations().unwrap().iter().all(|invitation| invitation.secret.is_empty()));
    assert_eq!(visitor.states(), []);
}

#[test]
fn a_certificate_of_a_terminal_is_good_for_its_own_purpose_and_while_it_is_authorised() {
    let world = World::new(&next_generation());
    let visitor = Visitor::new(&world);
    let id = TerminalId::new(NAME).unwrap();
    let peer = Peer::Terminal(&id);
    let messages = visitor.enrol_messages();
    let line = visitor.enrol_line(&messages);
    let (by_messages, by_line) = ((&*messages, "terminal-signing"), (&*line, "terminal-tls"));
    let ask = |by, request| visitor.signed(by, request, world.transaction(), peer);
    // The line's certificate says nothing for the terminal, but renews itself.
    refused(&ask(by_line, Request::Unsettled), Failure::NotAuthorized);
    let update = |purpose, key, old: &[u8]| Request::Update(visitor.request(purpose, key, Some(old)));
    refused(&ask(by_messages, update(Purpose::Line, "second-tls", &line)), Failure::BadCertId);
    refused(&ask(by_line, update(Purpose::Messages, "second-tls", &line)), Failure::BadCertTemplate);
    refused(&ask(by_line, update(Purpose::Line, "terminal-tls", &line)), Failure::DuplicateCertReq);
    refused(&ask(by_line, update(Purpose::Line, "terminal-signing", &line)), Failure::DuplicateCertReq);
    // Enrolled already: there is nothing to add.
    let more = Request::Addition(visitor.request(Purpose::Line, "second-tls", None));
    refused(&ask(by_messages, more), Failure::BadRequest);
    // Another terminal's certificate.
    let theirs = world.authority.store().terminal_certificates(&world.counters[0].id).unwrap();
    let theirs = IssuerAndSerial::of(&Certificate::from_der(&theirs[0].certificate).unwrap());
    refused(&ask(by_messages, Request::Supersede(theirs.clone())), Failure::BadCertId);
    refused(&ask(by_messages, Request::Retire(theirs)), Failure::BadCertId);
    // A successor that nobody confirms is revoked, and its predecessor goes on.
    issued(ask(by_line, update(Purpose::Line, "second-tls", &line)));
    world.clock.advance(std::time::Duration::from_secs(3_601));
    world.authority.expire_unconfirmed(world.now()).unwrap();
    assert_eq!(
        visitor.states(),
        [(Purpose::Messages, State::Valid), (Purpose::Line, State::Valid), (Purpose::Line, State::Revoked)]
    );
    // Enrolled anew while the old certificates are good: they are, until both new ones are here.
    let visitor =
        Visitor { hsm: SoftwareHsm::in_memory(&Provision::terminal([78; 32])).unwrap(), ..Visitor::new(&world) };
    let messages = visitor.enrol_messages();
    assert_eq!(visitor.states().iter().filter(|(_, state)| *state == State::Valid).count(), 3);
    visitor.enrol_line(&messages);
    assert_eq!(visitor.states().iter().filter(|(_, state)| *state == State::Valid).count(), 2);
    // Struck off: its certificates are no more.
    let store = world.authority.store();
    let mut terminal = store.terminal(&id).unwrap().unwrap();
    terminal.authorised = false;
    store.register_terminal(&terminal, Some(&[]), world.now()).unwrap();
    let by_messages = (&*messages, "terminal-signing");
    refused(&visitor.signed(by_messages, Request::Unsettled, world.transaction(), peer), Failure::SignerNotTrusted);
    assert!(visitor.states().iter().all(|(_, state)| *state != State::Valid));
}

#[test]
fn neither_an_invitation_nor_the_lines_certificate_decides_on_a_residents_certificate() {
    let world = World::new(&next_generation());
    let visitor = Visitor::new(&world);
    let counter = &world.counters[0];
    let issued = world.issue(counter, CertificateKind::Authentication, None);
    let accept = || Confirmation::by_sha256(issued.sha256);
    let reject = || accept().rejecting(Failure::BadCertTemplate);
    for confirmation in [accept(), reject()] {
        let answer = visitor.as_newcomer(&visitor.secret(), Request::Confirm(confirmation), issued.transaction).1;
        refused(&answer, Failure::NotAuthorized);
    }
    let messages = visitor.enrol_messages();
    let line = visitor.enrol_line(&messages);
    let id = TerminalId::new(NAME).unwrap();
    let confirm =
        |by, confirmation| visitor.signed(by, Request::Confirm(confirmation), issued.transaction, Peer::Terminal(&id));
    for confirmation in [accept(), reject()] {
        refused(&confirm((&line, "terminal-tls"), confirmation), Failure::NotAuthorized);
    }
    assert_eq!(world.state(counter, issued.sha256), IssueState::Issued);
    assert_eq!(confirm((&messages, "terminal-signing"), accept()), Answer::Confirmed);
}

/// `openssl cmp` before an authority in memory, over TLS.
struct OpenSsl {
    dir: tempfile::TempDir,
    served: Served,
    recipient: String,
}

impl OpenSsl {
    fn cmp(&self, arguments: &[&str]) -> Output {
        let server = self.served.at.cmp.to_string();
        let tls = ["-tls_used", "-tls_trusted", "infrastructure.pem", "-tls_host", "127.0.0.1"];
        let common = ["cmp", "-config", "usage.cnf", "-server", &server, "-path", PATH, "-recipient", &self.recipient];
        openssl(self.path(), &[&common[..], &tls, arguments].concat())
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// By a signature under `by`, on the line as `tls`.
    fn signed(&self, by: &str, tls: Option<&str>, arguments: &[&str]) -> Output {
        let [certificate, key] = [format!("{by}.pem"), format!("{by}.key")];
        let signer = ["-cert", &certificate, "-key", &key, "-srvcert", "cmp.pem"];
        let files = tls.map(|tls| (format!("{tls}.pem"), format!("{tls}.key")));
        let line = files.iter().flat_map(|(pem, key)| ["-tls_cert", pem, "-tls_key", key]).collect::<Vec<_>>();
        self.cmp(&[&signer[..], &line, arguments].concat())
    }
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

#[test]
fn peer_openssl_enrols_under_an_invitation_and_renews_over_tls() {
    let world = World::with_peer(&next_generation(), Timestamp::now(), None);
    let invited = world.authority.invite(&guest(true), world.now(), &mut rand_core::OsRng).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::write(path.join("usage.cnf"), "[line]\nextendedKeyUsage = clientAuth\n").unwrap();
    for name in ["messages", "line", "messages-2", "line-2"] {
        let file = format!("{name}.key");
        succeed(path, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &file]);
    }
    write_pem(&path.join("infrastructure.pem"), &world.certificates.infrastructure_ca);
    write_pem(&path.join("cmp.pem"), &world.certificates.cmp);
    let subject = format!("/C=JP/O=JPKI-SIM/OU=Infrastructure/CN={NAME}");
    let peer =
        OpenSsl { served: Served::new(&world), dir, recipient: "/C=JP/O=JPKI-SIM/OU=Infrastructure/CN=CMP".into() };

    // The first certificate, by the secret; by a wrong one, and by a MAC of SHA-1, which is OpenSSL's default, not.
    let ir = |secret: &str, mac: &str| {
        let secret = format!("pass:{secret}");
        peer.cmp(&[
            "-cmd",
            "ir",
            "-srvcert",
            "cmp.pem",
            "-ref",
            &invited.reference,
            "-secret",
            &secret,
            "-mac",
            mac,
            "-newkey",
            "messages.key",
            "-subject",
            &subject,
            "-certout",
            "messages.pem",
        ])
    };
    for (secret, mac, expected) in
        [("MISTYPED", "hmacWithSHA256", "badMessageCheck"), (invited.secret.as_str(), "hmac-sha1", "badAlg")]
    {
        let said = said(&ir(secret, mac));
        assert!(said.contains(expected), "{said}");
    }
    done(&ir(&invited.secret, "hmacWithSHA256"));
    assert!(!ir(&invited.secret, "hmacWithSHA256").status.success(), "twice");
    // The second, by a signature. Neither line had a certificate so far.
    let cr = ["-cmd", "cr", "-newkey", "line.key", "-subject", &subject, "-reqexts", "line", "-certout", "line.pem"];
    done(&peer.signed("messages", None, &cr));

    // Successors, each by the key of its predecessor, on the line as before.
    let kur = |name: &str, tls: Option<&str>| {
        let [old, key, new] = [format!("{name}.pem"), format!("{name}-2.key"), format!("{name}-2.pem")];
        peer.signed(name, tls, &["-cmd", "kur", "-oldcert", &old, "-newkey", &key, "-certout", &new])
    };
    assert!(!kur("line", None).status.success(), "without the line's certificate");
    done(&kur("line", Some("line")));
    done(&kur("messages", Some("line")));
    for (name, purpose) in [("messages", "any"), ("messages-2", "any"), ("line", "sslclient"), ("line-2", "sslclient")]
    {
        let file = format!("{name}.pem");
        let verify = ["verify", "-x509_strict", "-CAfile", "infrastructure.pem", "-purpose", purpose, &file];
        assert!(succeed(peer.path(), &verify).contains("OK"));
    }
    // What is in use supersedes: then, and not before, the old line is no more.
    let rr = |old: &str, tls: &str| {
        peer.signed("messages-2", Some(tls), &["-cmd", "rr", "-oldcert", &format!("{old}.pem"), "-revreason", "4"])
    };
    done(&rr("messages", "line"));
    done(&rr("line", "line-2"));
    let asks =
        |by: &str, tls: &str| peer.signed(by, Some(tls), &["-cmd", "rr", "-oldcert", "line.pem", "-revreason", "4"]);
    done(&asks("messages-2", "line-2"));
    assert!(!asks("messages-2", "line").status.success(), "superseded on the line");
    assert!(said(&asks("messages", "line-2")).contains("signerNotTrusted"));
}
