//! A terminal's own certificates under faults: at every exchange, every write and every call of the HSM. Never is there a terminal
//! that can't speak to the authority although it could before, and whatever was interrupted is gone on with and comes to one end.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit_log::Phase;
use authority::store::{PersonId, State, TerminalCertificateKey, TerminalId};
use authority::{Authority, Config, Guest, Peer, in_memory, required_keys};
use authority_link::{AuthorityLine, LineError, Purpose, SharedSecret, TlsClient};
use hsm::{Hsm, KeyName};
use jiff::{SignedDuration, Timestamp};
use jpki::{IssuingProfile, Municipality};
use madoguchi_sim::world::parts;
use madoguchi_tests::folder::Disk;
use madoguchi_time::{Clock, Deadline, VirtualClock};
use orchestrator::identity::{self, AuthorityFiles, IdentityError, OwnCertificates};
use orchestrator::{SiteConfig, StateFolder, logbook};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use sim_hsm::{Provision, SoftwareHsm};
use zeroize::Zeroizing;

fn start() -> Timestamp {
    "2027-04-01T01:00:00Z".parse().unwrap()
}

/// What goes wrong, at the n-th of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// From the n-th exchange on, no request arrives.
    RequestsLost,
    /// The n-th request is heard, and nothing is heard of it or after it.
    AnswersLost,
    /// From the n-th write on, the disk takes nothing.
    PowerCut,
    /// From the n-th call on, the HSM is away.
    HsmAway,
}

const FAULTS: [Fault; 4] = [Fault::RequestsLost, Fault::AnswersLost, Fault::PowerCut, Fault::HsmAway];

/// An authority, and its clock.
struct Centre {
    authority: Authority,
    clock: Arc<VirtualClock>,
}

impl Centre {
    fn new() -> Arc<Self> {
        let clock = VirtualClock::at(start());
        let config = Config { issuing: IssuingProfile::jpki_next(), ..Config::default() };
        let empty = Provision::empty("authority", [1; 32]);
        let keys = required_keys(&config.issuing).into_iter();
        let hsm = SoftwareHsm::in_memory(&keys.fold(empty, |all, (name, kind)| all.with_key(name, kind))).unwrap();
        let (authority, _) = in_memory(Arc::new(hsm), clock.clone(), &config, &[]).unwrap();
        Arc::new(Self { authority, clock })
    }
}

/// The line of one terminal.
struct Line {
    centre: Arc<Centre>,
    hsm: Arc<SoftwareHsm>,
    client: Option<TlsClient>,
    exchanges: Arc<AtomicU64>,
    lost: Option<(Fault, u64)>,
}

impl Line {
    /// Who is at this end, as TLS finds out: by a certificate that the authority holds as valid, and a proof of its key.
    fn peer(&self) -> Result<Option<TerminalId>, LineError> {
        let Some(client) = &self.client else { return Ok(None) };
        let sha256 = Sha256::digest(&client.certificate).into();
        let store = self.centre.authority.store();
        let own = store.terminal_certificate(TerminalCertificateKey::Certificate(&sha256)).unwrap();
        let own = own.filter(|own| own.is_valid(self.centre.clock.wall()) && own.purpose == Purpose::Line);
        let own = own.ok_or(LineError::NotAdmitted)?;
        let key = self.hsm.public_key(&client.key, self.centre.clock.deadline_in(Duration::from_secs(1)))?;
        let proved = own.public_key == <[u8; 32]>::from(Sha256::digest(key));
        if proved { Ok(Some(own.terminal)) } else { Err(LineError::NotAdmitted) }
    }
}

impl AuthorityLine for Line {
    fn exchange(&mut self, request: &[u8], _deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        let number = self.exchanges.fetch_add(1, Ordering::SeqCst) + 1;
        let lost = self.lost.filter(|(_, n)| number >= *n);
        if lost.is_some_and(|(fault, n)| fault == Fault::RequestsLost || number > n) {
            return Err(LineError::Timeout);
        }
        let peer = self.peer()?;
        let peer = peer.as_ref().map_or(Peer::Newcomer, Peer::Terminal);
        let mut random = ChaCha20Rng::seed_from_u64(number);
        let answer = self.centre.authority.handle(request, peer, self.centre.clock.wall(), &mut random);
        if lost.is_some() { Err(LineError::Lost) } else { Ok(Zeroizing::new(answer)) }
    }
}

/// A terminal with its disk and its HSM.
struct Terminal {
    centre: Arc<Centre>,
    id: TerminalId,
    disk: Disk,
    hsm: Arc<SoftwareHsm>,
    secret: SharedSecret,
    exchanges: Arc<AtomicU64>,
    lost: Option<(Fault, u64)>,
    number: u32,
    runs: u32,
}

impl Terminal {
    /// Invited, with its keys and what came with the invitation.
    fn new(centre: &Arc<Centre>, number: u32) -> Self {
        let municipality =
            Municipality { code: "13221".into(), prefecture: "Tokyo-to".into(), city: "Kiyose-shi".into() };
        let (name, window) = (format!("counter-{number}"), format!("13221{number:04}"));
        let guest = Guest {
            name: name.clone(),
            window: window.clone(),
            municipality: municipality.clone(),
            test_peer: false,
            by: PersonId::new("9001").unwrap(),
            valid_for: SignedDuration::from_hours(72),
        };
        let now = centre.clock.wall();
        let invited = centre.authority.invite(&guest, now, &mut ChaCha20Rng::seed_from_u64(number.into())).unwrap();
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let disk = Disk::default();
        let mut state = disk.open();
        let issuing = IssuingProfile::jpki_next();
        let site = parts::site(&issuing, &parts::card_profile(&issuing), "127.0.0.1:1");
        SiteConfig { terminal: name.clone(), window, municipality, ..site }.save(&mut state).unwrap();
        let own = centre.authority.certificates().unwrap();
        let files = AuthorityFiles {
            infrastructure_ca: own.infrastructure_ca,
            line_server: own.tls,
            messages: own.cmp,
            signature_ca: own.signature_ca,
            authentication_ca: own.authentication_ca,
        };
        files.save(&mut state).unwrap();
        Self {
            centre: centre.clone(),
            id: TerminalId::new(&name).unwrap(),
            disk,
            hsm: Arc::new(SoftwareHsm::in_memory(&Provision::terminal(seed)).unwrap()),
            secret: SharedSecret::new(&invited.reference, Zeroizing::new(invited.secret.as_bytes().to_vec())),
            exchanges: Arc::default(),
            lost: None,
            number,
            runs: 0,
        }
    }

    /// One run of the program.
    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut OwnCertificates<'_>, &SharedSecret) -> Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        self.runs += 1;
        self.exchanges.store(0, Ordering::SeqCst);
        let seed = u64::from(self.number) << 32 | u64::from(self.runs);
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let open = |client| -> Result<Box<dyn AuthorityLine>, IdentityError> {
            Ok(Box::new(Line {
                centre: self.centre.clone(),
                hsm: self.hsm.clone(),
                client,
                exchanges: self.exchanges.clone(),
                lost: self.lost,
            }))
        };
        let mut state = self.disk.open();
        let mut own = OwnCertificates {
            state: &mut state,
            hsm: &*self.hsm,
            custody: Some(&*self.hsm),
            clock: self.centre.clock.clone(),
            random: &mut random,
            open: &open,
        };
        work(&mut own, &self.secret)
    }

    fn enrol(&mut self) -> Result<(), IdentityError> {
        self.run(|own, secret| own.enrol(&mut || Ok(secret.clone()))).map(drop)
    }

    fn renew(&mut self) -> Result<(), IdentityError> {
        self.run(|own, _| own.renew(true)).map(drop)
    }

    fn arm(&mut self, fault: Fault, n: u64) {
        match fault {
            Fault::RequestsLost | Fault::AnswersLost => self.lost = Some((fault, n)),
            Fault::PowerCut => self.disk.cut_at_write(n),
            Fault::HsmAway => self.hsm.unplug_after(n - 1),
        }
    }

    fn mend(&mut self) {
        self.lost = None;
        self.disk.mend();
        self.hsm.plug_in();
    }

    fn keys(&self) -> Vec<KeyName> {
        let keys = self.hsm.keys(self.centre.clock.deadline_in(Duration::from_secs(1))).unwrap();
        keys.into_iter().filter(|key| key.as_str().starts_with("terminal-")).collect()
    }

    /// Both certificates in use are valid at the authority, and the HSM has their keys.
    fn check_speaks(&self, case: &str) {
        let state = self.disk.open();
        for (purpose, file) in
            [(Purpose::Messages, "trust/terminal-signing.der"), (Purpose::Line, "trust/line-client.der")]
        {
            let certificate = state.read(file).unwrap().unwrap_or_else(|| panic!("{case}: no {file}"));
            let sha256 = Sha256::digest(&*certificate).into();
            let store = self.centre.authority.store();
            let own = store.terminal_certificate(TerminalCertificateKey::Certificate(&sha256)).unwrap();
            let own = own.unwrap_or_else(|| panic!("{case}: {purpose:?} is unknown to the authority"));
            assert_eq!((own.state, own.purpose), (State::Valid, purpose), "{case}");
            let deadline = self.centre.clock.deadline_in(Duration::from_secs(1));
            identity::key_of(&*self.hsm, &certificate, purpose, deadline).unwrap_or_else(|e| panic!("{case}: {e}"));
        }
    }

    /// One certificate for each purpose and one key for each, nothing under way, every intent with its outcome.
    fn check_settled(&self, case: &str) {
        self.check_speaks(case);
        let own = self.centre.authority.store().terminal_certificates(&self.id).unwrap();
        let valid: Vec<Purpose> = own.iter().filter(|own| own.state == State::Valid).map(|own| own.purpose).collect();
        assert_eq!(valid.len(), 2, "{case}: {own:?}");
        assert!(own.iter().all(|own| own.state != State::Issued), "{case}: one waits");
        assert_eq!(self.keys().len(), 2, "{case}: {:?}", self.keys());
        assert!(!self.disk.files().keys().any(|name| name.contains("pending")), "{case}");
        let mut open = BTreeMap::new();
        for entry in logbook::entries(&self.disk.open()).unwrap() {
            match entry.phase {
                Phase::Intent => drop(open.insert(entry.index, entry.step.to_string())),
                Phase::Outcome { intent, .. } => assert!(open.remove(&intent).is_some(), "{case}: two outcomes"),
                Phase::Event => {}
            }
        }
        assert!(open.is_empty(), "{case}: {open:?}");
    }
}

/// Every fault at every n of one run; what follows it is one run without faults, under the same invitation.
fn every_fault(
    centre: &Arc<Centre>,
    numbers: &mut impl Iterator<Item = u32>,
    prepare: fn(&mut Terminal),
    run: fn(&mut Terminal) -> Result<(), IdentityError>,
    check_interrupted: fn(&Terminal, &str),
) {
    for fault in FAULTS {
        let mut struck = 0;
        for n in 1.. {
            let case = format!("{fault:?} at {n}");
            let mut terminal = Terminal::new(centre, numbers.next().unwrap());
            prepare(&mut terminal);
            terminal.arm(fault, n);
            let interrupted = run(&mut terminal);
            terminal.mend();
            if interrupted.is_ok() {
                terminal.check_settled(&case);
                break;
            }
            struck += 1;
            check_interrupted(&terminal, &case);
            run(&mut terminal).unwrap_or_else(|error| panic!("{case}: not gone on with: {error}"));
            terminal.check_settled(&case);
        }
        println!("{fault:?}: {struck} times");
        assert!(struck >= 4, "{fault:?} struck {struck} times only");
    }
}

#[test]
fn an_enrolment_is_gone_on_with_under_the_same_invitation_whatever_interrupts_it() {
    let centre = Centre::new();
    every_fault(&centre, &mut (0..), |_| {}, Terminal::enrol, |_, _| {});
}

#[test]
fn a_terminal_that_renews_its_certificates_can_speak_to_the_authority_at_every_instant() {
    let centre = Centre::new();
    let enrolled = |terminal: &mut Terminal| terminal.enrol().unwrap();
    every_fault(&centre, &mut (0..), enrolled, Terminal::renew, |terminal, case| terminal.check_speaks(case));
}

#[test]
fn certificates_are_renewed_when_a_third_of_their_life_is_left_and_not_after_their_end() {
    let centre = Centre::new();
    let mut terminal = Terminal::new(&centre, 1);
    terminal.enrol().unwrap();
    let due = |terminal: &mut Terminal| terminal.run(|own, _| own.renew(false)).map(|new| new.len());
    let days = |days: u64| centre.clock.advance(Duration::from_secs(days * 86_400));
    assert_eq!(due(&mut terminal).unwrap(), 0);
    days(486);
    assert_eq!(due(&mut terminal).unwrap(), 0);
    days(1);
    assert_eq!(due(&mut terminal).unwrap(), 2);
    terminal.check_settled("renewed");
    assert_eq!(terminal.keys(), ["terminal-signing-2", "terminal-tls-2"].map(KeyName::new));
    assert_eq!(due(&mut terminal).unwrap(), 0);
    days(731);
    assert!(matches!(due(&mut terminal), Err(IdentityError::Expired { .. })));
    // Only a new invitation helps; the keys stay.
    let keys = terminal.keys();
    let again = Terminal::new(&centre, 1);
    terminal.secret = again.secret;
    terminal.enrol().unwrap();
    assert_eq!(terminal.keys(), keys);
    terminal.check_settled("enrolled anew");
}

#[test]
fn what_is_wrong_is_told_and_changes_nothing() {
    let centre = Centre::new();
    let mut terminal = Terminal::new(&centre, 1);
    assert!(matches!(terminal.renew(), Err(IdentityError::NotEnrolled)));
    let right = terminal.secret.clone();
    terminal.secret = SharedSecret::new("OTHER", Zeroizing::new(b"WRONG".to_vec()));
    assert!(matches!(terminal.enrol(), Err(IdentityError::Refused { .. })));
    terminal.secret = right;
    // Another authority's files came along.
    let mut files = AuthorityFiles::load(&terminal.disk.open()).unwrap();
    let own = files.infrastructure_ca.clone();
    files.infrastructure_ca = files.signature_ca.clone();
    files.save(&mut terminal.disk.open()).unwrap();
    assert!(terminal.enrol().is_err());
    files.infrastructure_ca = own;
    files.save(&mut terminal.disk.open()).unwrap();
    terminal.enrol().unwrap();
    terminal.check_settled("enrolled");
    // Struck off.
    let store = centre.authority.store();
    let mut registered = store.terminal(&terminal.id).unwrap().unwrap();
    registered.authorised = false;
    store.register_terminal(&registered, Some(&[]), centre.clock.wall()).unwrap();
    assert!(matches!(terminal.renew(), Err(IdentityError::Unreachable(LineError::NotAdmitted))));
}
