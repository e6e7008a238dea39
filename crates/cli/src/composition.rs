//! What a composition root provides: the ports, and commands of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use authority_link::{AuthorityLine, TlsClient};
use biometric::PalmVerifier;
use card_reader::CardReader;
use card_reader::diagnosis::Finding;
use clap::Subcommand;
use hsm::custody::Ability;
use hsm::{Hsm, KeyCustody};
use madoguchi_time::{SharedClock, SystemClock};
use orchestrator::{DiskFolder, People, Ports, SiteConfig, StateFolder, identity};
use resident_register::{CsvRegister, ResidentRegister};

use crate::context::Context;
use crate::devices::DeviceTable;
use crate::failure::Failure;
use crate::people::{Nobody, TerminalPeople};
use crate::report::Report;

/// How long the HSM may take to find a key.
const HSM: Duration = Duration::from_secs(10);

/// A composition root: names the adapters or the simulators that stand behind the ports. A program is
/// `fn main() -> ExitCode { cli::run(std::env::args_os(), &MyComposition) }`.
///
/// # For implementors
/// Each method opens one port and nothing else, so that `doctor` can try them one by one. Methods are called once for a
/// command, [`Composition::clock`] first.
pub trait Composition {
    /// Commands of its own; [`NoOwnCommands`](crate::NoOwnCommands) if there are none.
    type Own: Subcommand;
    /// Commands of its own under `card`; [`NoOwnCommands`](crate::NoOwnCommands) if there are none.
    type OwnCard: Subcommand;

    /// The program's name, as it is typed.
    fn program(&self) -> &'static str;

    /// Do simulators stand behind the ports? People are told so on every screen.
    fn is_simulated(&self) -> bool {
        false
    }

    /// The state folder if none is named on the command line.
    fn default_folder(&self) -> PathBuf {
        PathBuf::from("/var/lib/madoguchi")
    }

    /// Time.
    fn clock(&self) -> SharedClock {
        SystemClock::shared()
    }

    /// Randomness.
    fn random(&self) -> Box<dyn rand_core::CryptoRngCore + Send> {
        Box::new(rand_core::OsRng)
    }

    /// The state folder at `folder`.
    ///
    /// # Errors
    /// If it is not there.
    fn state(&self, folder: &Path) -> Result<Box<dyn StateFolder>, Failure> {
        Ok(Box::new(DiskFolder::open(folder)?))
    }

    /// The HSM.
    ///
    /// # Errors
    /// If it can't be opened.
    fn hsm(&self, site: &Site) -> Result<Arc<dyn Hsm>, Failure>;

    /// The HSM, for whoever looks after its keys: `hsm init`, `hsm keys`. Called instead of [`Composition::hsm`].
    ///
    /// # Errors
    /// If it can't be opened, or its keys are looked after with its maker's tools alone.
    fn key_custody(&self, _site: &Site) -> Result<Arc<dyn KeyCustody>, Failure> {
        Err(Failure::Own { key: "error-hsm-no-custody", args: Vec::new(), source: None })
    }

    /// What the HSM that was opened last was found to do and what not; nothing if that is no question.
    fn diagnose_hsm(&self) -> Vec<Ability> {
        Vec::new()
    }

    /// The card reader.
    ///
    /// # Errors
    /// If it can't be opened.
    fn card_reader(&self, site: &Site) -> Result<Box<dyn CardReader>, Failure>;

    /// Is the reader of this name in PC/SC the one to use, or one of them?
    fn means_reader(&self, site: &Site, name: &str) -> bool {
        site.means_reader(name)
    }

    /// What `doctor` can find out about the card readers of this system; nothing if the backend can't look.
    fn diagnose_readers(&self, _site: &Site) -> Vec<Finding> {
        Vec::new()
    }

    /// The palm sensor with its matcher.
    ///
    /// # Errors
    /// If it can't be opened.
    fn palm_verifier(&self, site: &Site) -> Result<Box<dyn PalmVerifier>, Failure>;

    /// The line to the authority, on which the terminal is who its certificate in use says.
    ///
    /// # Errors
    /// If the terminal is not enrolled, its certificate has expired, or the line can't be set up. It is not connected yet.
    fn authority_line(&self, site: &Site, hsm: &Arc<dyn Hsm>) -> Result<Box<dyn AuthorityLine>, Failure> {
        let state = self.state(&site.folder)?;
        let client = identity::line_client(&*state, &**hsm, site.clock.wall(), site.clock.deadline_in(HSM));
        drop(state);
        self.line_as(site, Some(client.map_err(orchestrator::ProcedureError::from)?), hsm)
    }

    /// The line to the authority, on which the terminal is who `client` says; without one it may only ask for its first certificate.
    ///
    /// # Errors
    /// If it can't be set up. It is not connected yet.
    fn line_as(
        &self,
        site: &Site,
        client: Option<TlsClient>,
        hsm: &Arc<dyn Hsm>,
    ) -> Result<Box<dyn AuthorityLine>, Failure> {
        let state = self.state(&site.folder)?;
        let line = identity::open_line(&*state, &site.config, client, Arc::clone(hsm), Arc::clone(&site.clock));
        Ok(Box::new(line.map_err(orchestrator::ProcedureError::from)?))
    }

    /// The file of the resident register, if it is one: `doctor` then names every faulty line.
    fn register_file(&self, site: &Site) -> Option<PathBuf> {
        Some(site.folder.join("register.csv"))
    }

    /// The resident register.
    ///
    /// # Errors
    /// If it can't be opened.
    fn resident_register(&self, site: &Site) -> Result<Box<dyn ResidentRegister>, Failure> {
        let file = self.register_file(site).unwrap_or_else(|| site.folder.join("register.csv"));
        Ok(Box::new(CsvRegister::open(file).map_err(orchestrator::ProcedureError::from)?))
    }

    /// The people at the counter.
    ///
    /// # Errors
    /// [`Failure::NoTerminal`] if they can't be asked.
    fn people(&self, context: &Context, site: &Site) -> Result<Box<dyn People>, Failure> {
        let people = TerminalPeople::open(context.messages(), Arc::clone(&site.clock)).map_err(Failure::NoTerminal)?;
        Ok(Box::new(people))
    }

    /// Runs a command of its own.
    ///
    /// # Errors
    /// Why it failed.
    fn run_own(&self, command: Self::Own, context: &Context) -> Result<Box<dyn Report>, Failure>;

    /// Runs a command of its own under `card`.
    ///
    /// # Errors
    /// Why it failed.
    fn run_own_card(&self, command: Self::OwnCard, context: &Context) -> Result<Box<dyn Report>, Failure>;
}

/// The terminal's own settings, which adapters may need.
pub struct Site {
    /// The state folder.
    pub folder: PathBuf,
    /// Time.
    pub clock: SharedClock,
    /// `terminal.toml`.
    pub config: SiteConfig,
    /// The card reader to use, by its name or a part of it: from the command line, else from `terminal.toml`. `None`: any that
    /// the composition root knows.
    pub card_reader: Option<String>,
    /// The palm sensor to use, as the composition root names it. `None`: the one that it would use anyhow.
    pub palm_sensor: Option<String>,
    /// The HSM to use, by its PKCS #11 URI: from the command line, else from `terminal.toml`.
    pub hsm: Option<String>,
}

impl Site {
    /// Reads the settings in the folder of `context`; what its command line says comes first.
    ///
    /// # Errors
    /// If the folder is missing or its settings are damaged.
    pub fn load(composition: &(impl Composition + ?Sized), context: &Context) -> Result<Self, Failure> {
        let state = composition.state(context.folder())?;
        let config = SiteConfig::load(&*state)?;
        Ok(Self {
            folder: context.folder().to_owned(),
            clock: composition.clock(),
            card_reader: context.card_reader().map(str::to_owned).or_else(|| config.card_reader.clone()),
            palm_sensor: context.palm_sensor().map(str::to_owned),
            hsm: context.hsm().map(str::to_owned).or_else(|| config.hsm.clone()),
            config,
        })
    }
}

impl Site {
    /// Is this the card reader to use, or one of them? By its name in PC/SC.
    #[must_use]
    pub fn means_reader(&self, name: &str) -> bool {
        match &self.card_reader {
            Some(part) => name.to_lowercase().contains(&part.to_lowercase()),
            None => DeviceTable::built_in().is_ok_and(|table| table.knows_reader(name)),
        }
    }
}

/// Whom a command may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// Somebody is at the counter.
    People,
    /// Nobody is needed: the command may run without a terminal.
    Nobody,
}

/// Opens every port.
///
/// # Errors
/// The first that can't be opened: what a person can mend most easily comes first.
pub fn open_ports(composition: &impl Composition, context: &Context, attendance: Attendance) -> Result<Ports, Failure> {
    open_ports_with(composition, context, attendance, |site| composition.hsm(site))
}

/// As [`open_ports`], with the HSM that `open_hsm` opens.
pub(crate) fn open_ports_with(
    composition: &impl Composition,
    context: &Context,
    attendance: Attendance,
    open_hsm: impl FnOnce(&Site) -> Result<Arc<dyn Hsm>, Failure>,
) -> Result<Ports, Failure> {
    let site = Site::load(composition, context)?;
    let state = composition.state(&site.folder)?;
    let register = composition.resident_register(&site)?;
    let hsm = open_hsm(&site)?;
    let line = composition.authority_line(&site, &hsm)?;
    let reader = context.recorded(composition.card_reader(&site)?, &site.clock)?;
    let verifier = composition.palm_verifier(&site)?;
    let people = match attendance {
        Attendance::People => composition.people(context, &site)?,
        Attendance::Nobody => Box::new(Nobody),
    };
    let random = composition.random();
    Ok(Ports { clock: site.clock, reader, hsm, verifier, register, line, people, state, random })
}
