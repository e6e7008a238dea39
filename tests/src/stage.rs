//! The stage: a world in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use authority::{Authority, Config, in_memory};
use card_reader::{CardConnection, CardError, CardReader};
use hsm::{AesLength, Hsm};
use jiff::Timestamp;
use jiff::civil::date;
use jpki::{CertificateKind, IssuingProfile, Resident, Sex};
use madoguchi_sim::people::{Persona, SimPeople};
use madoguchi_sim::world::parts;
use madoguchi_time::{Deadline, VirtualClock};
use orchestrator::{
    EnrolOrder, Plan, Ports, ProcedureError, ProcedureReport, Progress, Role, StateFolder, Terminal, Trust,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRngCore, RngCore, SeedableRng};
use resident_register::{RegisterError, ResidentRegister};
use sim_card::{Card, CardProfile, KeyAlgorithm, KeySource, Personalisation, PrivateKey, SimReader, SimReaderControl};
use sim_hsm::{Provision, SoftwareHsm};

use crate::folder::Disk;
use crate::line::PostOffice;
use crate::palm::Palms;
use crate::people::Conversation;
use crate::remote_hsm::RemoteHsm;
use crate::terminal_hsm::{Remembering, TerminalHsm};

/// The seed of every stage: what differs between runs is the fault, and nothing else.
const SEED: u64 = 1;
/// The operator's 照合ID.
pub const OPERATOR: &str = "0417";
/// 照合ID of the アクセス管理責任者.
pub const MANAGER: &str = "0001";
/// How many terminals stand on the stage.
const TERMINALS: u64 = 2;
/// When the play begins.
const OPENING: &str = "2026-11-20T01:00:00Z";

/// From where a test starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A card without certificates.
    Fresh,
    /// A card whose certificates of both kinds were issued before.
    Issued,
}

/// Somebody who looks on.
pub type Watch = Arc<Mutex<dyn FnMut(&Progress) + Send>>;

/// HSMs that are elsewhere, with the keys of their owners; what is not there is a software HSM.
#[derive(Default)]
pub struct Hsms {
    /// That of the first terminal. What it derives, the stage derives ([`RemoteHsm`]).
    pub terminal: Option<Arc<dyn Hsm>>,
    /// The authority's.
    pub authority: Option<Arc<dyn Hsm>>,
}

/// One municipality, one authority, one card, two terminals.
pub struct Stage {
    /// The clock of everything.
    pub clock: Arc<VirtualClock>,
    /// The authority.
    pub authority: Arc<Authority>,
    /// The line to it.
    pub post: PostOffice,
    /// The resident whose card it is.
    pub resident: Resident,
    /// What the people at the counter do.
    pub persona: Persona,
    /// What is said to them.
    pub conversation: Conversation,
    /// What the palm readers answer.
    pub palms: Palms,
    /// Called with every piece of progress, at the moment when it is told.
    pub watch: Watch,
    places: Vec<Place>,
    profile: IssuingProfile,
    masters: Arc<SoftwareHsm>,
    keys: Pool,
    runs: u64,
}

/// The key version that cards can be changed over to; they come with [`parts::CARD_KEY_VERSION`].
pub const NEXT_KEY_VERSION: u8 = parts::CARD_KEY_VERSION + 1;

/// Where one terminal stands.
struct Place {
    name: String,
    hsm: Arc<TerminalHsm>,
    disk: Disk,
    trust: Trust,
    control: SimReaderControl,
}

impl Stage {
    /// A stage with everything in its place and the operator enrolled at both terminals.
    ///
    /// # Panics
    /// If the stage can't be set.
    #[must_use]
    pub fn new(profile: &IssuingProfile, start: Start) -> Self {
        Self::for_resident(profile, start, resident())
    }

    /// The same with another resident, whose card is in the reader.
    ///
    /// # Panics
    /// If the stage can't be set.
    #[must_use]
    pub fn for_resident(profile: &IssuingProfile, start: Start, resident: Resident) -> Self {
        Self::set(profile, start, resident, &Hsms::default())
    }

    /// The same with keys at the other end of a line.
    ///
    /// # Panics
    /// If the stage can't be set.
    #[must_use]
    pub fn with_hsms(profile: &IssuingProfile, start: Start, hsms: &Hsms) -> Self {
        Self::set(profile, start, resident(), hsms)
    }

    fn set(profile: &IssuingProfile, start: Start, resident: Resident, far: &Hsms) -> Self {
        let clock = VirtualClock::at(OPENING.parse().expect("a time"));
        let card_profile = parts::card_profile(profile);
        let masters = masters(profile, &resident);
        let hsms: Vec<_> = (0..TERMINALS)
            .map(|number| -> [Arc<dyn Hsm>; 2] {
                let hsms: [Arc<dyn Hsm>; 2] = [Arc::new(Remembering(terminal_hsm(number, profile))), masters.clone()];
                match &far.terminal {
                    Some(far) if number == 0 => {
                        hsms.map(|near| -> Arc<dyn Hsm> { Arc::new(RemoteHsm { far: far.clone(), near }) })
                    }
                    _ => hsms,
                }
            })
            .map(|[own, masters]| Arc::new(TerminalHsm::new(own, masters)))
            .collect();
        let registrations: Vec<_> = hsms
            .iter()
            .enumerate()
            .map(|(number, hsm)| {
                let mut registration = parts::registration(&**hsm, soon(&clock)).expect("keys");
                registration.name = format!("SIM-TERMINAL-{}", number + 1);
                registration.window = format!("1399900{}A", number + 1);
                registration
            })
            .collect();
        // Longer than any play: certificates are renewed more than once.
        let config = Config { issuing_years: 40, ..parts::authority_config(profile, "http://127.0.0.1:9/ocsp") };
        let near: Arc<dyn Hsm> = Arc::new(Remembering(authority_hsm(profile)));
        let hsm: Arc<dyn Hsm> = match &far.authority {
            Some(far) => Arc::new(RemoteHsm { far: far.clone(), near }),
            None => near,
        };
        let (authority, credentials) = in_memory(hsm, clock.clone(), &config, &registrations).expect("an authority");
        let certificates = authority.certificates().expect("certificates");
        let authority = Arc::new(authority);
        let places: Vec<Place> = hsms
            .into_iter()
            .zip(&registrations)
            .zip(&credentials)
            .map(|((hsm, registration), credentials)| {
                let control = SimReader::new("SIM-READER", clock.clone()).control();
                let mut site = parts::site(profile, &card_profile, "127.0.0.1:9");
                site.terminal.clone_from(&registration.name);
                site.window.clone_from(&registration.window);
                let disk = Disk::default();
                let trust = parts::trust(&certificates, credentials);
                let mut folder = disk.open();
                site.save(&mut folder).expect("written");
                trust.save(&mut folder).expect("written");
                Place { name: registration.name.clone(), hsm, disk, trust, control }
            })
            .collect();
        let post = PostOffice::new(authority.clone(), clock.clone());
        let persona = Persona {
            face_code: parts::check_number_b(SEED, &resident, 0),
            pins: CertificateKind::BOTH.map(|kind| (kind, parts::chosen_pin(SEED, &resident.number, kind))).to_vec(),
            declines: false,
        };
        let watch = Arc::new(Mutex::new(|_: &Progress| {}));
        let keys = Pool::of(&resident);
        let mut stage = Self {
            clock,
            authority,
            post,
            resident,
            persona,
            conversation: Conversation::default(),
            palms: Palms::default(),
            watch,
            places,
            profile: profile.clone(),
            masters,
            keys,
            runs: 0,
        };
        stage.control(0).insert(stage.make_card(0, |_| {}));
        for number in 0..stage.places.len() {
            stage.start(number).and_then(|mut terminal| enrol(&mut terminal)).expect("enrolled");
        }
        if start == Start::Issued {
            stage.run(0, Plan::issue(&CertificateKind::BOTH)).expect("issued");
        }
        stage
    }

    /// Starts the terminal at a place, with its operator not yet logged on.
    ///
    /// # Errors
    /// As [`Terminal::start`].
    pub fn start(&mut self, place: usize) -> Result<Terminal, ProcedureError> {
        self.start_with(place, |reader| reader)
    }

    /// The same, with something between the terminal and its reader.
    ///
    /// # Errors
    /// As [`Terminal::start`].
    pub fn start_with(
        &mut self,
        place: usize,
        wrap: impl FnOnce(Box<dyn CardReader>) -> Box<dyn CardReader>,
    ) -> Result<Terminal, ProcedureError> {
        let mut ports = self.ports(place);
        ports.reader = wrap(ports.reader);
        self.start_on(ports)
    }

    /// The ports of the terminal at a place, to be put behind something else, and then to start the terminal on.
    #[must_use]
    pub fn ports(&mut self, place: usize) -> Ports {
        self.runs += 1;
        let random = ChaCha20Rng::from_seed(parts::draw(SEED, "randomness of a terminal", self.runs));
        let place = &self.places[place];
        Ports {
            clock: self.clock.clone(),
            reader: Box::new(place.control.open("SIM-READER")),
            hsm: place.hsm.clone(),
            verifier: Box::new(self.palms.reader()),
            register: Box::new(OneResident(self.resident.clone())),
            line: Box::new(self.post.line(&place.name)),
            people: self.conversation.with(Box::new(SimPeople::new(self.persona.clone()))),
            state: Box::new(place.disk.open()),
            random: Box::new(random),
        }
    }

    /// Starts a terminal on these [ports](Stage::ports).
    ///
    /// # Errors
    /// As [`Terminal::start`].
    pub fn start_on(&self, ports: Ports) -> Result<Terminal, ProcedureError> {
        let watch = self.watch.clone();
        Terminal::start(
            ports,
            Box::new(move |progress| {
                if let Ok(mut watch) = watch.lock() {
                    (*watch)(progress);
                }
            }),
        )
    }

    /// Starts a terminal, logs its operator on and runs a procedure.
    ///
    /// # Errors
    /// Why it ended early.
    pub fn run(&mut self, place: usize, plan: Plan) -> Result<ProcedureReport, ProcedureError> {
        let number = self.resident.number.clone();
        let mut terminal = self.start(place)?;
        terminal.log_on(OPERATOR)?;
        terminal.run(&number, plan)
    }

    /// The hand at the reader of a place.
    #[must_use]
    pub fn control(&self, place: usize) -> SimReaderControl {
        self.places[place].control.clone()
    }

    /// The disk of the terminal at a place.
    #[must_use]
    pub fn disk(&self, place: usize) -> Disk {
        self.places[place].disk.clone()
    }

    /// The HSM of the terminal at a place.
    #[must_use]
    pub fn hsm(&self, place: usize) -> Arc<dyn Hsm> {
        self.places[place].hsm.clone()
    }

    /// The same, to be unplugged.
    #[must_use]
    pub fn hsm_plug(&self, place: usize) -> Arc<TerminalHsm> {
        self.places[place].hsm.clone()
    }

    /// Puts another HSM in the place of a terminal's: other keys of its own, the same masters of cards.
    pub fn replace_hsm(&mut self, place: usize) {
        let own = Arc::new(Remembering(terminal_hsm(TERMINALS + place as u64, &self.profile)));
        self.places[place].hsm = Arc::new(TerminalHsm::new(own, self.masters.clone()));
    }

    /// The authority's HSM: with it, a test can say whatever the authority could say.
    #[must_use]
    pub fn authority_hsm(&self) -> Arc<SoftwareHsm> {
        authority_hsm(&self.profile)
    }

    /// The master keys of cards: with them, a test can say what a card's keys are.
    #[must_use]
    pub fn masters(&self) -> &SoftwareHsm {
        &self.masters
    }

    /// Another card of the resident, or of somebody else, as `change` has it. `number` tells a resident's cards apart.
    ///
    /// # Panics
    /// If there can't be such a card.
    #[must_use]
    pub fn make_card(&self, number: u64, change: impl FnOnce(&mut Personalisation)) -> Card {
        let card_profile = parts::card_profile(&self.profile);
        let certificates = self.authority.certificates().expect("certificates");
        let mut personalisation =
            parts::personalisation(SEED, number, &self.resident, &card_profile, &self.masters, &certificates)
                .expect("a card");
        // No terminal looks at it, and its signatures take time.
        personalisation.face = false;
        change(&mut personalisation);
        let nvm = personalisation.into_memory().expect("memory");
        Card::power_on(nvm, self.clock.clone(), self.keys.clone()).expect("a card")
    }

    /// Everything that is told from now on.
    pub fn record(&mut self) -> Arc<Mutex<Vec<Progress>>> {
        let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let telling = told.clone();
        self.watch = Arc::new(Mutex::new(move |progress: &Progress| {
            telling.lock().unwrap_or_else(PoisonError::into_inner).push(progress.clone());
        }));
        told
    }

    /// What the terminal at a place trusts.
    #[must_use]
    pub fn trust(&self, place: usize) -> &Trust {
        &self.places[place].trust
    }

    /// The profile of card and certificates.
    #[must_use]
    pub fn profile(&self) -> &IssuingProfile {
        &self.profile
    }

    /// Has the card no pending slot, so that a new key overwrites the old one?
    #[must_use]
    pub fn overwrites(&self) -> bool {
        !parts::card_profile(&self.profile).pending_slot
    }

    /// Carries the card to the reader of another place, wherever it is now.
    pub fn carry_card(&self, to: usize) {
        for place in &self.places {
            if let Some(card) = place.control.remove() {
                self.places[to].control.insert(card);
                return;
            }
        }
    }

    /// How many terminals there are.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The name of the terminal at a place.
    #[must_use]
    pub fn name(&self, place: usize) -> &str {
        &self.places[place].name
    }

    /// Lets time pass.
    pub fn wait(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        madoguchi_time::Clock::wall(&*self.clock)
    }
}

/// Registers an アクセス管理責任者, who registers the operator.
fn enrol(terminal: &mut Terminal) -> Result<(), ProcedureError> {
    let order = |user_id: &str, role| EnrolOrder { user_id: user_id.into(), operator_id: "counter".into(), role };
    terminal.enrol_operator(order(MANAGER, Role::AccessManager), None)?;
    terminal.log_on(MANAGER)?;
    terminal.enrol_operator(order(OPERATOR, Role::Operator), None)?;
    terminal.log_off()
}

/// A deadline that no HSM misses.
pub(crate) fn soon(clock: &VirtualClock) -> Deadline {
    madoguchi_time::Clock::deadline_in(clock, Duration::from_secs(10))
}

/// A resident with a 旧氏, a 通称 and characters that certificates don't allow: whatever can be personal, is.
#[must_use]
pub fn resident() -> Resident {
    Resident {
        number: "100000000000017".into(),
        name: "髙橋　花子".into(),
        former_family_name: Some("渡辺".into()),
        alias: Some("緑川　はな".into()),
        address: "東京都みどり区架空町三丁目１４番１５－９２６号".into(),
        birth: date(1986, 7, 9),
        sex: Sex::Female,
        stay_until: None,
    }
}

// ---------------------------------------------------------------- keys, made once for all stages of a test program

fn terminal_hsm(number: u64, profile: &IssuingProfile) -> Arc<SoftwareHsm> {
    let provision: Provision = parts::terminal_provision(SEED + number, profile);
    Arc::new(SoftwareHsm::in_memory(&provision).expect("an HSM"))
}

/// The masters of cards. The key pairs that are made for the cards of a resident are the same in all stages.
fn masters(profile: &IssuingProfile, resident: &Resident) -> Arc<SoftwareHsm> {
    let seed = parts::draw(SEED, &format!("key pairs for cards of {}", resident.number), 0);
    let provision = parts::terminal_provision(SEED, profile).with_card_master(NEXT_KEY_VERSION, AesLength::Aes256);
    let masters = SoftwareHsm::in_memory(&provision).expect("an HSM");
    Arc::new(masters.with_randomness(seed))
}

fn authority_hsm(profile: &IssuingProfile) -> Arc<SoftwareHsm> {
    static RSA: OnceLock<Arc<SoftwareHsm>> = OnceLock::new();
    static EC: OnceLock<Arc<SoftwareHsm>> = OnceLock::new();
    let made = match profile.algorithm {
        jpki::KeyAlgorithm::Rsa2048 => &RSA,
        jpki::KeyAlgorithm::EcP384 => &EC,
    };
    made.get_or_init(|| Arc::new(SoftwareHsm::in_memory(&parts::authority_provision(SEED, profile)).expect("an HSM")))
        .clone()
}

/// Real keys for the cards of a resident, who begins elsewhere in the pool than others do; each is made when it is wanted
/// first. A stage uses each once; the authority would notice a second time.
#[derive(Clone)]
struct Pool(Arc<AtomicU64>);

impl Pool {
    const KEYS: u64 = 16;

    fn of(resident: &Resident) -> Self {
        Self(Arc::new(resident.number.bytes().map(u64::from).sum::<u64>().into()))
    }
}

impl KeySource for Pool {
    fn key_pair(&mut self, algorithm: KeyAlgorithm, _random: &mut dyn CryptoRngCore) -> PrivateKey {
        static MADE: Mutex<BTreeMap<(u8, u64), PrivateKey>> = Mutex::new(BTreeMap::new());
        let number = self.0.fetch_add(1, Ordering::Relaxed) % Self::KEYS;
        let make = || PrivateKey::generate(algorithm, &mut ChaCha20Rng::seed_from_u64(SEED + number));
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((algorithm.code(), number)).or_insert_with(make).clone()
    }
}

// ---------------------------------------------------------------- ports without a story of their own

/// A register of one resident.
struct OneResident(Resident);

impl ResidentRegister for OneResident {
    fn find(&mut self, number: &str) -> Result<Option<Resident>, RegisterError> {
        Ok((self.0.number == number).then(|| self.0.clone()))
    }

    fn count(&mut self) -> Result<u64, RegisterError> {
        Ok(1)
    }
}

/// A reader behind which something happens whenever the terminal waits for a card again.
pub struct Interlude<F> {
    /// The reader itself.
    pub reader: Box<dyn CardReader>,
    /// What happens; it is told how often the terminal has waited before.
    pub happens: F,
    /// How often the terminal has waited.
    pub waits: u32,
}

impl<F: FnMut(u32) + Send> CardReader for Interlude<F> {
    fn name(&self) -> &str {
        self.reader.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        (self.happens)(self.waits);
        self.waits += 1;
        self.reader.wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        self.reader.connect(deadline)
    }
}

/// A state folder as the terminal sees it.
#[must_use]
pub fn folder(disk: &Disk) -> Box<dyn StateFolder> {
    Box::new(disk.open())
}

/// The next number of a generator, for tests that draw cases.
#[must_use]
pub fn drawn(random: &mut ChaCha20Rng, below: u64) -> u64 {
    random.next_u64() % below.max(1)
}

/// The profile of a card, for tests that name none.
#[must_use]
pub fn rsa() -> (IssuingProfile, CardProfile) {
    (IssuingProfile::jpki_2016(), CardProfile::jpki_2016())
}
