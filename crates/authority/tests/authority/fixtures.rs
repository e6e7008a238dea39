//! An authority in memory, terminals with their HSMs, cards' keys.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use audit_log::{AddCheckpoint, LogKey, SignedCheckpoint, Tree, TreeHash};
use authority::{
    Authority, AuthorityCertificates, Config, TerminalCredentials, TerminalRegistration, in_memory, required_keys,
    store::TerminalId,
};
use authority_link::message::PkiMessage;
use authority_link::{
    Answer, CertificationRequest, IssueState, IssuerAndSerial, Opened, Request, Sent, Terminal, TransactionId,
};
use der::Decode;
use hsm::{Hsm, KeyKind, KeyName, SignatureAlgorithm};
use jiff::Timestamp;
use jpki::{Application, CertificateKind, CertificateText, IssuingProfile, KeyAlgorithm, Municipality, Sex};
use madoguchi_time::{Clock, VirtualClock};
use p384::ecdsa::signature::Signer;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rsa::BigUint;
use rsa::signature::SignatureEncoding;
use sim_hsm::{Provision, SoftwareHsm};
use spki::EncodePublicKey;
use x509_cert::Certificate;

/// The day on which the tests happen: 10:00 in Japan.
pub(crate) fn today() -> Timestamp {
    "2027-04-01T01:00:00Z".parse().unwrap()
}

pub(crate) fn municipality() -> Municipality {
    Municipality { code: "13221".to_owned(), prefecture: "Tokyo-to".to_owned(), city: "Kiyose-shi".to_owned() }
}

pub(crate) fn application() -> Application {
    let text = |text: &str, substituted: &str| CertificateText { text: text.into(), substituted: substituted.into() };
    Application {
        name: text("山崎　花子", "01000"),
        alias: Some(text("山田　花子", "00000")),
        address: text("東京都架空市本町１－２－３", "0000000000000"),
        birth: "1980-02-17".parse().unwrap(),
        sex: Sex::Female,
        applied_on: "2027-04-01".parse().unwrap(),
    }
}

/// The next generation: its keys are made in no time.
pub(crate) fn next_generation() -> Config {
    Config { issuing: IssuingProfile::jpki_next(), ..Config::default() }
}

/// The authority's module. RSA keys are made once for all tests: making them takes long.
pub(crate) fn authority_hsm(config: &Config) -> SoftwareHsm {
    static RSA: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hsm");
        SoftwareHsm::create(&path, &authority_keys(&IssuingProfile::jpki_2016(), 1)).unwrap();
        (dir, path)
    });
    match config.issuing.algorithm {
        KeyAlgorithm::Rsa2048 => SoftwareHsm::open(&RSA.1).unwrap(),
        KeyAlgorithm::EcP384 => SoftwareHsm::in_memory(&authority_keys(&config.issuing, 1)).unwrap(),
    }
}

/// What an authority's module holds.
pub(crate) fn authority_keys(issuing: &IssuingProfile, seed: u8) -> Provision {
    let empty = Provision::empty("authority", [seed; 32]);
    required_keys(issuing).into_iter().fold(empty, |provision, (name, kind)| provision.with_key(name, kind))
}

/// A key as a card makes one.
#[derive(Clone)]
pub(crate) enum CardKey {
    Ec(p384::ecdsa::SigningKey),
    /// Made once for all tests: making one takes long.
    Rsa(Arc<SoftwareHsm>),
    /// As the weak generator of CVE-2017-15361 makes one.
    Roca(Box<rsa::RsaPrivateKey>),
}

impl CardKey {
    pub(crate) fn rsa() -> Self {
        static CARD: LazyLock<Arc<SoftwareHsm>> = LazyLock::new(|| {
            let provision = Provision::empty("card", [9; 32]).with_key(KeyName::new("card"), KeyKind::Rsa2048);
            Arc::new(SoftwareHsm::in_memory(&provision).unwrap())
        });
        Self::Rsa(Arc::clone(&CARD))
    }

    /// Primes of the form `k · M + (65537^a mod M)`, M being the product of the first 126 primes.
    pub(crate) fn roca() -> Self {
        let primes = (2..702_u32).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
        let product: BigUint = primes.map(BigUint::from).product();
        let least = (BigUint::from(3_u8) << 1022_usize) / &product + 1_u8;
        let prime = |a: u32, k: u32| (&least + k) * &product + BigUint::from(65_537_u32).modpow(&a.into(), &product);
        let key = rsa::RsaPrivateKey::from_p_q(prime(2_017, 55), prime(15_361, 71), 65_537_u32.into()).unwrap();
        Self::Roca(Box::new(key))
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Roca(key) => key.to_public_key().to_public_key_der().unwrap().into_vec(),
            Self::Ec(key) => key.verifying_key().to_public_key_der().unwrap().into_vec(),
            Self::Rsa(card) => card.public_key(&KeyName::new("card"), soon()).unwrap(),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Roca(key) => {
                let key = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new((**key).clone());
                key.sign(message).to_vec()
            }
            Self::Ec(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Self::Rsa(card) => {
                card.sign(&KeyName::new("card"), SignatureAlgorithm::RsaPkcs1Sha256, message, soon()).unwrap()
            }
        }
    }
}

/// One terminal: its HSM, its name on the line, its log.
pub(crate) struct Counter {
    pub(crate) id: TerminalId,
    pub(crate) window: String,
    pub(crate) hsm: Arc<SoftwareHsm>,
    pub(crate) terminal: Terminal,
    pub(crate) credentials: TerminalCredentials,
    log_key: LogKey,
    /// Entries in its log, while a test does not write any.
    pub(crate) entries: AtomicU8,
}

impl Counter {
    fn provision(number: u8) -> (Arc<SoftwareHsm>, TerminalRegistration) {
        let hsm = Arc::new(SoftwareHsm::in_memory(&Provision::terminal([100 + number; 32])).unwrap());
        let public = |label| hsm.public_key(&KeyName::new(label), soon()).unwrap();
        let registration = TerminalRegistration {
            name: format!("terminal-{number}"),
            window: format!("13221{number:03}A"),
            municipality: municipality(),
            signing_key: public(KeyName::TERMINAL_SIGNING),
            tls_key: public(KeyName::TERMINAL_TLS),
            log_key: Some(public(KeyName::LOG_SIGNING)),
            test_peer: false,
        };
        (hsm, registration)
    }

    fn sign(&self, label: &str, message: &[u8]) -> Vec<u8> {
        self.hsm.sign(&KeyName::new(label), SignatureAlgorithm::EcdsaP256Sha256, message, soon()).unwrap()
    }

    /// What this terminal shows of a log with these entries to a witness that has seen the first `old`.
    pub(crate) fn shown(&self, old: u64, entries: &[u8]) -> String {
        self.shown_as(self.log_key.name(), old, entries)
    }

    /// The same of a log of this name.
    pub(crate) fn shown_as(&self, origin: &str, old: u64, entries: &[u8]) -> String {
        let mut tree = Tree::default();
        entries.iter().for_each(|entry| tree.append(TreeHash::leaf(&[*entry])));
        let key = LogKey::new(origin, self.log_key.spki()).unwrap();
        let sign = |text: &[u8]| Ok::<_, ()>(self.sign(KeyName::LOG_SIGNING, text));
        let checkpoint = SignedCheckpoint::sign(tree.size(), tree.root(tree.size()).unwrap(), &key, sign).unwrap();
        AddCheckpoint::new(old, &tree, checkpoint).to_string()
    }

    pub(crate) fn request_name(&self, number: u32) -> String {
        self.request_name_at(today(), number)
    }

    /// The name of a request that was made a minute before.
    pub(crate) fn request_name_at(&self, at: Timestamp, number: u32) -> String {
        let made = jiff::tz::Offset::constant(9).to_datetime(at - jiff::SignedDuration::from_mins(1));
        format!("{}{number:05}{}", made.strftime("%Y%m%d%H%M%S"), self.window)
    }

    /// The message, protected by this terminal.
    pub(crate) fn protect(&self, request: Request, transaction: TransactionId, nonce: [u8; 16], at: Timestamp) -> Sent {
        let checkpoint = self.shown(0, &written(self.entries.load(Ordering::SeqCst)));
        self.protect_with(request, transaction, nonce, at, &checkpoint)
    }

    pub(crate) fn protect_with(
        &self,
        request: Request,
        transaction: TransactionId,
        nonce: [u8; 16],
        at: Timestamp,
        checkpoint: &str,
    ) -> Sent {
        let outgoing = self.terminal.address(request, transaction, nonce, at, checkpoint).unwrap();
        let signature = self.sign(KeyName::TERMINAL_SIGNING, outgoing.to_be_protected());
        outgoing.protect(&signature).unwrap()
    }

    /// Protects a message that was changed by hand.
    pub(crate) fn protect_again(&self, message: &mut PkiMessage) -> Vec<u8> {
        let signature = self.sign(KeyName::TERMINAL_SIGNING, &message.protected_part().unwrap());
        message.protection = Some(der::asn1::BitString::from_bytes(&signature).unwrap());
        message.to_bytes().unwrap().to_vec()
    }
}

/// The entries of a terminal's log, while nobody has tampered with it.
pub(crate) fn written(entries: u8) -> Vec<u8> {
    (0..entries).collect()
}

pub(crate) fn soon() -> madoguchi_time::Deadline {
    madoguchi_time::SystemClock::shared().deadline_in(Duration::from_secs(30))
}

pub(crate) struct World {
    pub(crate) authority: Arc<Authority>,
    pub(crate) authority_hsm: Arc<SoftwareHsm>,
    pub(crate) certificates: AuthorityCertificates,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) counters: Vec<Counter>,
    /// What the foreign terminal needs.
    pub(crate) peer: Option<TerminalCredentials>,
    rng: Mutex<ChaCha20Rng>,
}

impl World {
    /// An authority with two terminals of one municipality, on the day of the tests.
    pub(crate) fn new(config: &Config) -> Self {
        Self::with_peer(config, today(), None)
    }

    /// The same on another day, and with a foreign terminal beside the two.
    pub(crate) fn with_peer(config: &Config, start: Timestamp, peer: Option<TerminalRegistration>) -> Self {
        Self::made_by(config, start, peer, |hsm, clock, registrations| {
            in_memory(hsm, clock, config, registrations).unwrap()
        })
    }

    /// The same in a folder.
    pub(crate) fn in_folder(config: &Config, dir: &Path) -> Self {
        Self::made_by(config, today(), None, |hsm, clock, registrations| {
            let credentials = authority::initialise(dir, hsm.clone(), clock.clone(), config, registrations).unwrap();
            (authority::open(dir, hsm, clock).unwrap(), credentials)
        })
    }

    fn made_by(
        config: &Config,
        start: Timestamp,
        peer: Option<TerminalRegistration>,
        make: impl FnOnce(
            Arc<SoftwareHsm>,
            Arc<VirtualClock>,
            &[TerminalRegistration],
        ) -> (Authority, Vec<TerminalCredentials>),
    ) -> Self {
        let clock = VirtualClock::at(start);
        let (hsms, mut registrations): (Vec<_>, Vec<_>) = (1..=2).map(Counter::provision).unzip();
        registrations.extend(peer);
        let hsm = Arc::new(authority_hsm(config));
        let (authority, mut credentials) = make(hsm.clone(), clock.clone(), &registrations);
        let certificates = authority.certificates().unwrap();
        let peer = credentials.split_off(hsms.len()).pop();
        let counters =
            hsms.into_iter().zip(registrations).zip(credentials).map(|((hsm, registration), credentials)| {
                let origin = format!("log.example/{}", credentials.terminal);
                let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
                Counter {
                    terminal: Terminal::new(&credentials.signing_certificate, algorithm, &certificates.cmp).unwrap(),
                    log_key: LogKey::new(&origin, registration.log_key.as_ref().unwrap()).unwrap(),
                    id: credentials.terminal.clone(),
                    window: registration.window,
                    hsm,
                    entries: AtomicU8::new(1),
                    credentials,
                }
            });
        let counters = counters.collect();
        Self {
            authority: Arc::new(authority),
            authority_hsm: hsm,
            certificates,
            clock,
            counters,
            peer,
            rng: Mutex::new(ChaCha20Rng::seed_from_u64(1)),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.lock().unwrap().fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        TransactionId(self.random())
    }

    pub(crate) fn card_key(&self) -> CardKey {
        CardKey::Ec(p384::ecdsa::SigningKey::random(&mut *self.rng.lock().unwrap()))
    }

    pub(crate) fn ca(&self, kind: CertificateKind) -> &[u8] {
        match kind {
            CertificateKind::Signature => &self.certificates.signature_ca,
            CertificateKind::Authentication => &self.certificates.authentication_ca,
        }
    }

    pub(crate) fn certification(
        &self,
        counter: &Counter,
        kind: CertificateKind,
        key: &CardKey,
        predecessor: Option<&IssuerAndSerial>,
    ) -> Request {
        self.certification_of(counter, kind, key, predecessor, &application())
    }

    pub(crate) fn certification_of(
        &self,
        counter: &Counter,
        kind: CertificateKind,
        key: &CardKey,
        predecessor: Option<&IssuerAndSerial>,
        application: &Application,
    ) -> Request {
        let number = u32::from_be_bytes(self.random()) % 100_000;
        let name = counter.request_name_at(self.now(), number);
        let ca = self.ca(kind);
        let draft = CertificationRequest::draft(kind, application, &key.spki(), &name, ca, predecessor).unwrap();
        let proof = key.sign(draft.to_be_proved());
        Request::Certification(Box::new(draft.prove(&proof).unwrap()))
    }

    /// The bytes that answer these bytes, sent by this terminal over its own line.
    pub(crate) fn deliver(&self, counter: &Counter, bytes: &[u8]) -> Vec<u8> {
        self.authority.handle(bytes, authority::Peer::Terminal(&counter.id), self.now(), &mut *self.rng.lock().unwrap())
    }

    pub(crate) fn open(&self, sent: &Sent, answer: &[u8]) -> Answer {
        self.open_with_witness(sent, answer).answer
    }

    /// The answer, and what the authority says as a witness.
    pub(crate) fn open_with_witness(&self, sent: &Sent, answer: &[u8]) -> Opened {
        let authority = authority_link::Authority::pinned(&self.certificates.cmp).unwrap();
        authority_link::open(answer, sent.expected(), &authority, self.now()).unwrap()
    }

    /// Delivers a message and opens the answer.
    pub(crate) fn exchange(&self, counter: &Counter, sent: &Sent) -> Answer {
        self.open(sent, &self.deliver(counter, sent.bytes()))
    }

    /// One whole exchange in a transaction.
    pub(crate) fn ask(&self, counter: &Counter, request: Request, transaction: TransactionId) -> Answer {
        let sent = counter.protect(request, transaction, self.random(), self.now());
        self.exchange(counter, &sent)
    }

    /// Has a certificate issued.
    pub(crate) fn issue(
        &self,
        counter: &Counter,
        kind: CertificateKind,
        predecessor: Option<&IssuerAndSerial>,
    ) -> Issued {
        self.issue_for(counter, kind, predecessor, &application())
    }

    pub(crate) fn issue_for(
        &self,
        counter: &Counter,
        kind: CertificateKind,
        predecessor: Option<&IssuerAndSerial>,
        application: &Application,
    ) -> Issued {
        let transaction = self.transaction();
        let request = self.certification_of(counter, kind, &self.card_key(), predecessor, application);
        match self.ask(counter, request, transaction) {
            Answer::Issued { certificate, nonce, .. } => Issued::new(transaction, &certificate, nonce),
            other => panic!("not issued: {other:?}"),
        }
    }

    pub(crate) fn state(&self, counter: &Counter, sha256: [u8; 32]) -> IssueState {
        match self.ask(counter, Request::StateOf(sha256), self.transaction()) {
            Answer::State(state) => state.state,
            other => panic!("no state: {other:?}"),
        }
    }
}

/// A certificate that was issued.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) transaction: TransactionId,
    pub(crate) certificate: Vec<u8>,
    pub(crate) sha256: [u8; 32],
    pub(crate) name: IssuerAndSerial,
    pub(crate) nonce: Option<Vec<u8>>,
}

impl Issued {
    pub(crate) fn new(transaction: TransactionId, certificate: &[u8], nonce: Option<Vec<u8>>) -> Self {
        use sha2::Digest;
        Self {
            transaction,
            certificate: certificate.to_vec(),
            sha256: sha2::Sha256::digest(certificate).into(),
            name: IssuerAndSerial::of(&Certificate::from_der(certificate).unwrap()),
            nonce,
        }
    }
}
