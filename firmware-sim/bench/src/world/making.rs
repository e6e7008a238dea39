//! How a world is made.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hsm::{Hsm, HsmError};
use hsm_pkcs11::Pkcs11Hsm;
use jiff::civil::{Date, date};
use jpki::IssuingProfile;
use key_ceremony::Installation;
use madoguchi_time::{Clock, ElapsingClock, SharedClock};
use orchestrator::{DiskFolder, EnrolOrder, Ports, ProcedureError, Role, SiteConfig, StateFolder, Terminal};
use resident_register::{CsvRegister, RegisterError};
use sim_hsm::SoftwareHsm;

use super::{FORMAT, RESIDENTS, Record, World, WorldError, WorldFolder, parts, profile};
use crate::authority::AuthorityFolder;
use crate::palms::{self, Palms};
use crate::residents;
use crate::token::{Token, Tokens};

/// 照合ID of the operators, who are enrolled with their palms.
pub const OPERATORS: [&str; 2] = ["0417", "0502"];
/// 照合ID of the アクセス管理責任者.
pub const ACCESS_MANAGER: &str = "0001";

/// Synthetic registers are as of this day, so that a seed gives the same residents on every day.
const REGISTER_DAY: Date = date(2026, 10, 1);

/// How long the HSM may take.
const HSM: Duration = Duration::from_secs(10);

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Making {
    /// Everything follows from it.
    pub seed: u64,
    /// The generation of cards and certificates: a name that [`IssuingProfile::named`] knows.
    pub profile: String,
    /// A register of one's own, in the place of synthetic residents.
    pub register: Option<PathBuf>,
    /// Pictures of operators' palms, PNG files in a folder for each 照合ID. Operators without pictures have synthetic palms.
    pub palms: Option<PathBuf>,
}

/// What is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The resident register.
    Register,
    /// The HSMs and the authority with its certification authorities: RSA keys take their time.
    Authority,
    /// The operators, with their palms.
    Operators,
}

impl Making {
    /// Makes the world in `folder`, which is made if it is not there, and must be empty. Tells what it begins with.
    ///
    /// # Errors
    /// See [`WorldError`]. What was made until then stays; it is no world.
    pub fn make(&self, folder: &Path, told: &mut dyn FnMut(Stage)) -> Result<World, WorldError> {
        self.make_on(&Tokens::default(), folder, told)
    }

    /// As [`Making::make`], with keys in tokens. They must not hold keys of those names yet. These keys do not follow from the seed,
    /// but for the masters of the cards.
    ///
    /// # Errors
    /// See [`WorldError`].
    pub fn make_on(&self, tokens: &Tokens, folder: &Path, told: &mut dyn FnMut(Stage)) -> Result<World, WorldError> {
        let issuing = profile(&self.profile)?;
        let folder = WorldFolder::new(folder);
        // A faulty register is found before anything is made.
        if let Some(register) = &self.register {
            refuse_faults(register)?;
        }
        prepare(&folder)?;
        told(Stage::Register);
        self.make_register(&folder)?;
        told(Stage::Authority);
        let hsm = self.make_authority(&folder, &issuing, tokens)?;
        told(Stage::Operators);
        self.copy_pictures(&folder)?;
        enrol_operators(&folder, self.seed, hsm)?;
        let record = Record { format: FORMAT, seed: self.seed, profile: issuing.name.clone(), on_reader: None };
        let mut world = World { folder, record, issuing };
        world.save()?;
        let applicant = world.applicant()?;
        world.lay_on_reader(&applicant)?;
        Ok(world)
    }

    fn make_register(&self, folder: &WorldFolder) -> Result<(), WorldError> {
        let path = folder.register();
        let failed = |source| WorldError::Io { path: path.clone(), source };
        let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        match &self.register {
            Some(register) => {
                let mut source =
                    fs::File::open(register).map_err(|source| WorldError::Io { path: register.clone(), source })?;
                std::io::copy(&mut source, &mut target).map_err(failed)?;
            }
            None => {
                let residents = residents::generate(self.seed, RESIDENTS, REGISTER_DAY);
                let mut buffered = std::io::BufWriter::new(&mut target);
                resident_register::write(&residents, &mut buffered).map_err(failed)?;
            }
        }
        target.flush().and_then(|()| target.sync_all()).map_err(failed)
    }

    /// Takes over the pictures of those who are to be enrolled.
    fn copy_pictures(&self, folder: &WorldFolder) -> Result<(), WorldError> {
        let Some(palms) = &self.palms else { return Ok(()) };
        let failed = |path: &Path, source| WorldError::Io { path: path.to_owned(), source };
        let list = |path: &Path| {
            let entries = fs::read_dir(path).map_err(|source| failed(path, source))?;
            entries.map(|entry| entry.map_err(|source| failed(path, source))).collect::<Result<Vec<_>, _>>()
        };
        for person in list(palms)?.into_iter().filter(|entry| entry.path().is_dir()) {
            let target = folder.palms().join(person.file_name());
            make_folder(&target)?;
            for picture in list(&person.path())? {
                fs::copy(picture.path(), target.join(picture.file_name()))
                    .map_err(|source| failed(&picture.path(), source))?;
            }
        }
        Ok(())
    }

    /// The HSMs, the authority, and what the terminal must know of it. The terminal's HSM is the answer.
    fn make_authority(
        &self,
        folder: &WorldFolder,
        issuing: &IssuingProfile,
        tokens: &Tokens,
    ) -> Result<Arc<dyn Hsm>, WorldError> {
        let clock = ElapsingClock::shared();
        let hsm: Arc<dyn Hsm> = match &tokens.terminal {
            Some(token) => Arc::new(self.make_in_token(token, folder, issuing)?),
            None => {
                let provision = parts::terminal_provision(self.seed, issuing);
                Arc::new(SoftwareHsm::create(&folder.terminal_hsm(), &provision)?)
            }
        };
        let registration = parts::registration(&*hsm, clock.deadline_in(HSM))?;
        let authority = AuthorityFolder::new(folder.authority());
        let made = authority.make(self.seed, issuing, &registration, tokens.authority.as_ref(), clock)?;
        let (certificates, credentials) = made;
        let mut state = DiskFolder::open(folder.root())?;
        let card = parts::card_profile(issuing);
        let site = parts::site(issuing, &card, crate::authority::CMP_ADDRESS);
        SiteConfig { hsm: tokens.terminal.as_ref().map(Token::uri), ..site }.save(&mut state)?;
        parts::trust(&certificates, &credentials).save(&mut state)?;
        crate::line::save_credentials(&mut state, &certificates, &credentials)?;
        Ok(hsm)
    }

    /// The terminal's keys in its token. The master of the cards is the factory's, which brings it along: the token gives no key away,
    /// and whoever personalises cards must have theirs.
    fn make_in_token(
        &self,
        token: &Token,
        folder: &WorldFolder,
        issuing: &IssuingProfile,
    ) -> Result<Pkcs11Hsm, WorldError> {
        let hsm = token.provision(&Installation::terminal(parts::TERMINAL, &[parts::CARD_KEY_VERSION]))?;
        let factory = SoftwareHsm::create(&folder.card_factory(), &parts::factory_provision(self.seed, issuing))?;
        let master = factory.card_master(parts::CARD_KEY_VERSION)?;
        let deadline = ElapsingClock::shared().deadline_in(HSM);
        hsm.import_card_master(parts::CARD_KEY_VERSION, &master, deadline).map_err(HsmError::from)?;
        Ok(hsm)
    }
}

/// An empty folder with the simulators' folders in it.
fn prepare(folder: &WorldFolder) -> Result<(), WorldError> {
    if folder.record().exists() {
        return Err(WorldError::AlreadyMade(folder.root().to_owned()));
    }
    make_folder(folder.root())?;
    let unreadable = |source| WorldError::Io { path: folder.root().to_owned(), source };
    if fs::read_dir(folder.root()).map_err(unreadable)?.next().is_some() {
        return Err(WorldError::NotEmpty(folder.root().to_owned()));
    }
    make_folder(&folder.temp())?;
    make_folder(&folder.authority())
}

fn make_folder(path: &Path) -> Result<(), WorldError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| WorldError::Io { path: path.to_owned(), source })
}

fn refuse_faults(register: &Path) -> Result<(), WorldError> {
    let faults = CsvRegister::validate(register).map_err(RegisterError::Unreadable)?;
    if faults.is_empty() { Ok(()) } else { Err(WorldError::FaultyRegister(faults)) }
}

/// The access manager is the first, and enrols the others: through the sensor, as at any terminal.
fn enrol_operators(folder: &WorldFolder, seed: u64, hsm: Arc<dyn Hsm>) -> Result<(), WorldError> {
    let clock: SharedClock = ElapsingClock::shared();
    let state = DiskFolder::open(folder.root())?;
    let (sensor, hands) =
        palms::sensor(Palms::new(seed, folder.palms()), clock.clone()).map_err(ProcedureError::from)?;
    let ports = Ports {
        clock: clock.clone(),
        reader: Box::new(sim_card::SimReader::new("SIM-READER", clock.clone())),
        verifier: Box::new(sensor),
        register: Box::new(CsvRegister::open(folder.register())?),
        line: Box::new(crate::line::NoLine),
        people: Box::new(crate::people::SimPeople::new(crate::people::Persona::default())),
        state: Box::new(state) as Box<dyn StateFolder>,
        random: Box::new(rand::rngs::OsRng),
        hsm,
    };
    let mut terminal = Terminal::start(ports, Box::new(|_| {}))?;
    let order = |user_id: &str, role| EnrolOrder {
        user_id: user_id.to_owned(),
        operator_id: match role {
            Role::Operator => "counter".to_owned(),
            Role::AccessManager => "access-manager".to_owned(),
        },
        role,
    };
    hands.enrols(ACCESS_MANAGER).map_err(ProcedureError::from)?;
    terminal.enrol_operator(order(ACCESS_MANAGER, Role::AccessManager), None)?;
    hands.logs_on(ACCESS_MANAGER).map_err(ProcedureError::from)?;
    terminal.log_on(ACCESS_MANAGER)?;
    // Of the operators, each new one's second person is the one before.
    let mut second = None;
    for operator in OPERATORS {
        if let Some(second) = second {
            hands.logs_on(second).map_err(ProcedureError::from)?;
        }
        let shown = second.map(|second| terminal.second_person(second)).transpose()?;
        hands.enrols(operator).map_err(ProcedureError::from)?;
        terminal.enrol_operator(order(operator, Role::Operator), shown)?;
        second = Some(operator);
    }
    Ok(terminal.log_off()?)
}
