//! The composition root: simulators behind the ports.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use authority_link::{AuthorityLine, TlsClient};
use biometric::PalmVerifier;
use card_reader::CardReader;
use card_reader::diagnosis::Finding;
use cli::{Arguments, Card, Command, Composition, Context, Failure, Keys, Operator, Report, Site};
use hsm::custody::Ability;
use hsm::{Hsm, KeyCustody};
use hsm_pkcs11::Pkcs11Hsm;
use madoguchi_time::{ElapsingClock, SharedClock};
use orchestrator::{DiskFolder, People, ProcedureError, StateFolder};
use sim_card::{SimReader, SimReaderControl};
use zeroize::Zeroizing;

use crate::commands::{self, Own, OwnCard};
use crate::failure::failure;
use crate::kill::KillingFolder;
use crate::line::{self, Whereabouts};
use crate::palms::{self, AttendedSensor, Hands};
use crate::people::{Counter, SimPeople};
use crate::token::unusable;
use crate::world::World;
use crate::{demo, evaluation, making, rendering, sensing, serving};

/// What the program is called.
pub const PROGRAM: &str = "madoguchi-sim";
/// The name of the simulated reader.
pub(crate) const READER: &str = "SIM-READER";
/// The system's PC/SC service in `--reader`.
const PCSC: &str = "pcsc";
/// A palm sensor on USB in `--palm-sensor`.
const HID: &str = "hid";
/// How long `doctor` may look at the card readers: one that is stuck takes some seconds.
#[cfg(feature = "pcsc")]
const DIAGNOSIS: std::time::Duration = std::time::Duration::from_secs(15);

/// The terminal composed with simulators. Whoever the command line names comes to the counter of their own accord.
pub struct Simulated {
    clock: SharedClock,
    cast: RefCell<Cast>,
    whereabouts: Whereabouts,
    kill: Option<(u64, bool)>,
    strings: RefCell<Strings>,
}

/// Who takes part in a command.
#[derive(Clone, Default)]
struct Cast {
    logs_on: Vec<String>,
    enrols: Option<String>,
    /// 宛名番号 of the applicant.
    resident: Option<Zeroizing<String>>,
}

/// The strings of the simulators that were opened.
#[derive(Default)]
struct Strings {
    reader: Option<SimReaderControl>,
    hands: Option<Hands>,
    counter: Option<Counter>,
    token: Option<Arc<Pkcs11Hsm>>,
}

impl Simulated {
    /// The simulators for what a command line says; `None` if it says nothing that can be understood.
    #[must_use]
    pub fn new(arguments: Option<&Arguments<Own, OwnCard>>) -> Self {
        let command = arguments.map(|arguments| &arguments.command);
        let terminal = match command {
            Some(Command::Own(Own::Terminal(terminal))) => Some(terminal),
            _ => None,
        };
        let authority: Option<SocketAddr> = terminal.and_then(|terminal| terminal.authority);
        Self {
            clock: ElapsingClock::shared(),
            cast: RefCell::new(command.map(Cast::of).unwrap_or_default()),
            whereabouts: authority.map_or(Whereabouts::AsConfigured, Whereabouts::At),
            kill: terminal.and_then(|terminal| Some((terminal.kill_at_write?, terminal.torn))),
            strings: RefCell::default(),
        }
    }

    /// The resident with this 宛名番号 comes to the counter.
    pub fn comes(&self, number: &str) {
        self.cast.borrow_mut().resident = Some(Zeroizing::new(number.to_owned()));
    }

    /// The people in front of the sensor, once it was opened.
    #[must_use]
    pub fn hands(&self) -> Option<Hands> {
        self.strings.borrow().hands.clone()
    }

    /// Everybody goes, and the resident takes the card along.
    pub fn all_leave(&self) {
        let Strings { reader, hands, counter, .. } = self.strings.take();
        drop(reader.and_then(|reader| reader.remove()));
        if let Some(hands) = hands {
            hands.leave();
        }
        if let Some(counter) = counter {
            counter.leave();
        }
        *self.cast.borrow_mut() = Cast::default();
    }

    /// The reader in this process, with the card on it that the world says, or that of whoever comes.
    fn simulated_reader(&self, site: &Site) -> Result<Box<dyn CardReader>, Failure> {
        let mut world = Self::world(site)?;
        let reader = SimReader::new(READER, Arc::clone(&site.clock));
        let has_come = match &self.cast.borrow().resident {
            None => true,
            // Somebody whom the register does not know has no card either.
            Some(number) => match world.resident(number).map_err(failure)? {
                Some(resident) => {
                    world.lay_on_reader(&resident).map_err(failure)?;
                    true
                }
                None => false,
            },
        };
        if has_come && let Some(card) = world.card_on_reader(Arc::clone(&site.clock)).map_err(failure)? {
            reader.control().insert(card);
        }
        self.strings.borrow_mut().reader = Some(reader.control());
        Ok(Box::new(reader))
    }

    fn world(site: &Site) -> Result<World, Failure> {
        World::open(&site.folder).map_err(failure)
    }
}

/// A card reader, as `--reader` names it.
enum ReaderName<'a> {
    /// The one in this process.
    Simulated,
    /// Any of the system's PC/SC service, or the one with this in its name.
    Pcsc(Option<&'a str>),
}

impl<'a> ReaderName<'a> {
    fn of(site: &'a Site) -> Result<Self, Failure> {
        match site.card_reader.as_deref() {
            None => Ok(Self::Simulated),
            Some(PCSC) => Ok(Self::Pcsc(None)),
            Some(name) if name.starts_with("SIM-") => Ok(Self::Simulated),
            Some(name) => match name.split_once(':') {
                Some((PCSC, part)) => Ok(Self::Pcsc(Some(part).filter(|part| !part.is_empty()))),
                _ => Err(Failure::Own {
                    key: "error-sim-unknown-reader",
                    args: vec![("name", name.into())],
                    source: None,
                }),
            },
        }
    }
}

#[cfg(feature = "pcsc")]
fn pcsc_reader(part: Option<&str>, site: &Site) -> Result<Box<dyn CardReader>, Failure> {
    use card_reader_pcsc::{PcscReader, ReaderChoice};
    let choice = part.map_or(ReaderChoice::Any, |part| ReaderChoice::Containing(vec![part.to_owned()]));
    Ok(Box::new(PcscReader::new(choice, Arc::clone(&site.clock))))
}

#[cfg(feature = "pcsc")]
fn diagnose_pcsc(site: &Site) -> Vec<Finding> {
    card_reader_pcsc::diagnose(&site.clock, site.clock.deadline_in(DIAGNOSIS))
}

#[cfg(not(feature = "pcsc"))]
fn pcsc_reader(_part: Option<&str>, _site: &Site) -> Result<Box<dyn CardReader>, Failure> {
    Err(Failure::Own { key: "error-sim-without-pcsc", args: Vec::new(), source: None })
}

#[cfg(not(feature = "pcsc"))]
fn diagnose_pcsc(_site: &Site) -> Vec<Finding> {
    Vec::new()
}

/// A sensor of the device table on USB, a test unit included.
#[cfg(feature = "hid")]
fn usb_sensor(site: &Site) -> Result<Box<dyn PalmVerifier>, Failure> {
    use biometric_hid::OpenError;
    let unusable = |error: OpenError| match (error.text(), error) {
        (None, OpenError::Sensor(error)) => ProcedureError::from(error).into(),
        (text, error) => {
            let (key, args) = text.unwrap_or(("error-sensor-other", Vec::new()));
            let args = args.into_iter().map(|(name, value)| (name, value.into()));
            crate::failure::own(key, args, error)
        }
    };
    let table = cli::DeviceTable::built_in().map_err(|_| unusable(OpenError::NoneKnown))?;
    let known = table.palm_sensors(true);
    let deadline = site.clock.deadline_in(palms::GREETING);
    let sensor = biometric_hid::open(&known.usb_ids, known.trusted, Arc::clone(&site.clock), deadline);
    Ok(Box::new(biometric::MatchingVerifier::new(sensor.map_err(unusable)?)))
}

#[cfg(not(feature = "hid"))]
fn usb_sensor(_site: &Site) -> Result<Box<dyn PalmVerifier>, Failure> {
    Err(Failure::Own { key: "error-sim-without-hid", args: Vec::new(), source: None })
}

impl Cast {
    fn of(command: &Command<Own, OwnCard>) -> Self {
        let operator = |id: &String| Self { logs_on: vec![id.clone()], ..Self::default() };
        match command {
            Command::Issue(issue) => {
                Self { resident: Some(Zeroizing::new(issue.resident.clone())), ..operator(&issue.operator) }
            }
            Command::Card(Card::Show { operator: id } | Card::Rekey { operator: id }) => operator(id),
            Command::Hsm(
                cli::Hsm::Init { persons }
                | cli::Hsm::Keys(Keys::Create { persons, .. } | Keys::Retire { persons, .. }),
            ) => {
                Self { logs_on: vec![persons.access_manager.clone(), persons.second_person.clone()], ..Self::default() }
            }
            Command::Operator(Operator::Enrol { user_id, access_manager, second_person, .. }) => Self {
                logs_on: access_manager.iter().chain(second_person).cloned().collect(),
                enrols: Some(user_id.clone()),
                resident: None,
            },
            Command::Operator(Operator::Release { access_manager, .. } | Operator::Retire { access_manager, .. }) => {
                operator(access_manager)
            }
            _ => Self::default(),
        }
    }
}

impl Composition for Simulated {
    type Own = Own;
    type OwnCard = OwnCard;

    fn program(&self) -> &'static str {
        PROGRAM
    }

    fn is_simulated(&self) -> bool {
        true
    }

    fn default_folder(&self) -> PathBuf {
        PathBuf::from("madoguchi-world")
    }

    fn clock(&self) -> SharedClock {
        Arc::clone(&self.clock)
    }

    fn state(&self, folder: &Path) -> Result<Box<dyn StateFolder>, Failure> {
        let disk = DiskFolder::open(folder)?;
        Ok(match self.kill {
            Some((at, torn)) => Box::new(KillingFolder::new(disk, at, torn)),
            None => Box::new(disk),
        })
    }

    fn hsm(&self, site: &Site) -> Result<Arc<dyn Hsm>, Failure> {
        Ok(self.key_custody(site)?)
    }

    fn key_custody(&self, site: &Site) -> Result<Arc<dyn KeyCustody>, Failure> {
        let Some(uri) = &site.hsm else {
            let hsm = Self::world(site)?.terminal_hsm().map_err(ProcedureError::from)?;
            return Ok(Arc::new(hsm.with_clock(Arc::clone(&site.clock))));
        };
        let token = Arc::new(Pkcs11Hsm::open_uri(uri, Arc::clone(&site.clock)).map_err(unusable)?);
        self.strings.borrow_mut().token = Some(Arc::clone(&token));
        Ok(token)
    }

    fn diagnose_hsm(&self) -> Vec<Ability> {
        let strings = self.strings.borrow();
        strings.token.as_ref().map(|token| token.abilities()).unwrap_or_default()
    }

    fn card_reader(&self, site: &Site) -> Result<Box<dyn CardReader>, Failure> {
        match ReaderName::of(site)? {
            ReaderName::Simulated => self.simulated_reader(site),
            ReaderName::Pcsc(part) => pcsc_reader(part, site),
        }
    }

    fn means_reader(&self, site: &Site, name: &str) -> bool {
        match ReaderName::of(site) {
            Ok(ReaderName::Pcsc(part)) => part.is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase())),
            _ => false,
        }
    }

    fn diagnose_readers(&self, site: &Site) -> Vec<Finding> {
        match ReaderName::of(site) {
            Ok(ReaderName::Pcsc(_)) => diagnose_pcsc(site),
            // The simulated reader has nothing that could be wrong with it; a wrong name is told when it is opened.
            _ => Vec::new(),
        }
    }

    fn palm_verifier(&self, site: &Site) -> Result<Box<dyn PalmVerifier>, Failure> {
        match site.palm_sensor.as_deref() {
            Some(HID) => return usb_sensor(site),
            Some(name) if !name.starts_with("SIM-") => {
                let args = vec![("name", name.into())];
                return Err(Failure::Own { key: "error-sim-unknown-sensor", args, source: None });
            }
            _ => {}
        }
        let world = Self::world(site)?;
        let (sensor, hands) = palms::sensor(world.palms(), Arc::clone(&site.clock)).map_err(ProcedureError::from)?;
        self.strings.borrow_mut().hands = Some(hands.clone());
        let Cast { logs_on, enrols, .. } = self.cast.borrow().clone();
        Ok(Box::new(AttendedSensor { sensor, hands, logs_on: logs_on.into(), enrols }))
    }

    fn line_as(
        &self,
        site: &Site,
        client: Option<TlsClient>,
        hsm: &Arc<dyn Hsm>,
    ) -> Result<Box<dyn AuthorityLine>, Failure> {
        let world = Self::world(site)?;
        let state = DiskFolder::open(&site.folder)?;
        let authority = world.folder().authority();
        let clock = Arc::clone(&site.clock);
        line::open((&state, &site.config), client, &authority, self.whereabouts, Arc::clone(hsm), clock)
            .map_err(crate::failure::of_line)
    }

    fn people(&self, _context: &Context, site: &Site) -> Result<Box<dyn People>, Failure> {
        let world = Self::world(site)?;
        let resident = match &self.cast.borrow().resident {
            Some(number) => world.resident(number),
            None => world.at_the_counter(),
        };
        let persona = resident.map_err(failure)?.map(|resident| world.persona(&resident)).unwrap_or_default();
        let people = SimPeople::new(persona);
        self.strings.borrow_mut().counter = Some(people.counter());
        Ok(Box::new(people))
    }

    fn run_own(&self, command: Own, context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {
            Own::Demo(order) => demo::run(&order, context),
            Own::World(commands::World::New(made)) => making::run(&made, context),
            Own::Palm(commands::Palm::Evaluate(order)) => evaluation::run(&order),
            Own::Palm(commands::Palm::Render(order)) => rendering::run(&order),
            Own::Palm(commands::Palm::Serve(order)) => sensing::run(&order, context),
            // Programs of their own, which `main` has run already.
            Own::Authority { .. } | Own::Terminal(_) => Err(Failure::Output(std::io::ErrorKind::Unsupported.into())),
        }
    }

    fn run_own_card(&self, command: OwnCard, context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {
            OwnCard::Serve(order) => serving::run(&order, self.clock(), context),
        }
    }
}
