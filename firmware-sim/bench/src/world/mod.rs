//! A simulated world: residents, operators, cards, an authority, all made from one seed.
//!
//! ```text
//! DIR/                    the terminal's own state folder: terminal.toml, trust/, operators/, log/, journal, lock
//! DIR/register.csv        the municipality's resident register
//! DIR/authority/          the authority's folder, with its HSM
//! DIR/sim/world.toml      seed, profile, and which card lies on the reader; written last: without it there is no world
//! DIR/sim/terminal.hsm    the terminal's HSM, unless that is a token
//! DIR/sim/factory.hsm     if it is: the masters of the cards, as the cards' maker has them
//! DIR/sim/card-*.nvm      the residents' cards, by serial number: each its holder's own
//! DIR/sim/palms/ID/       pictures of a person's palm, if there are any; palms are synthetic otherwise
//! DIR/sim/temp/           the terminal's temporary folder
//! DIR/sim/holder/         what a resident's own programs have read from the card
//! ```
//!
//! PINs, palms and the codes on cards' faces are nowhere: they follow from the seed.

mod folder;
mod making;
pub mod parts;
mod residents;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use authority::SetupError;
use hsm::{Hsm, HsmError};
use hsm_pkcs11::OpenError;
use jpki::{CertificateKind, IssuingProfile, Resident};
use key_ceremony::CeremonyError;
use orchestrator::{ProcedureError, StateError};
use resident_register::{CsvRegister, FaultyLine, RegisterError, ResidentRegister};
use serde::{Deserialize, Serialize};
use sim_card::nvm::{FileNvm, NvmError};
use sim_card::{Card, GeneratedKeys, Personalisation, PersonalisationError};
use sim_hsm::SoftwareHsm;

pub use self::folder::WorldFolder;
pub use self::making::{ACCESS_MANAGER, Making, OPERATORS, Stage};
use crate::authority::AuthorityFolder;
use crate::palms::Palms;
use crate::people::Persona;
use crate::token::Tokens;

/// How many residents a world has unless a register is given.
pub const RESIDENTS: usize = 1_000;

/// A world in its folder.
pub struct World {
    folder: WorldFolder,
    record: Record,
    issuing: IssuingProfile,
}

/// `world.toml`. Nothing personal and nothing secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Record {
    /// Version of this file.
    format: u32,
    seed: u64,
    profile: String,
    /// Serial number of the card on the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_reader: Option<String>,
}

const FORMAT: u32 = 1;

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The folder holds something else: nothing is mixed with it.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// The folder holds a world already.
    #[error("{0} holds a world already")]
    AlreadyMade(PathBuf),
    /// The folder holds no world: another folder, or one whose making was interrupted.
    #[error("{0} holds no world")]
    NotMade(PathBuf),
    /// `world.toml` was edited, or is of another version.
    #[error("{path} can't be understood: {problem}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no profile of that name.
    #[error("there is no profile {0}")]
    UnknownProfile(String),
    /// The register that was given has faulty lines. All of them.
    #[error("the resident register has {} faults", .0.len())]
    FaultyRegister(Vec<FaultyLine>),
    /// Nobody in the register can apply for both certificates with what the register says.
    #[error("no resident of the register can be issued both certificates")]
    NoApplicant,
    /// A file can't be read or written.
    #[error("{path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Its cause.
        #[source]
        source: io::Error,
    },
    /// The register can't be read.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// An HSM can't be made or opened.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// A token can't be used.
    #[error(transparent)]
    Token(#[from] OpenError),
    /// A token is not fit for keys, or has some already.
    #[error(transparent)]
    Keys(#[from] CeremonyError),
    /// The authority can't be made.
    #[error(transparent)]
    Authority(#[from] SetupError),
    /// A card can't be made.
    #[error(transparent)]
    Personalisation(#[from] PersonalisationError),
    /// A card's memory can't be read.
    #[error(transparent)]
    Card(#[from] NvmError),
    /// The terminal's state folder can't be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// An operator can't be enrolled.
    #[error(transparent)]
    Terminal(#[from] ProcedureError),
}

impl World {
    /// The world in a folder.
    ///
    /// # Errors
    /// [`WorldError::NotMade`] if there is none, [`WorldError::Damaged`] if its record can't be read.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, WorldError> {
        let folder = WorldFolder::new(folder);
        let path = folder.record();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(WorldError::NotMade(folder.root().to_owned()));
            }
            other => other.map_err(|source| WorldError::Io { path: path.clone(), source })?,
        };
        let damaged = |problem: String| WorldError::Damaged { path: path.clone(), problem };
        let record: Record = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        if record.format != FORMAT {
            return Err(damaged(format!("format {} is not known", record.format)));
        }
        let issuing = profile(&record.profile)?;
        Ok(Self { folder, record, issuing })
    }

    /// Where everything is.
    #[must_use]
    pub fn folder(&self) -> &WorldFolder {
        &self.folder
    }

    /// What everything follows from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.record.seed
    }

    /// The generation of its cards and certificates.
    #[must_use]
    pub fn issuing(&self) -> &IssuingProfile {
        &self.issuing
    }

    /// The terminal's HSM, if that is no token.
    ///
    /// # Errors
    /// If its file is missing or damaged.
    pub fn terminal_hsm(&self) -> Result<SoftwareHsm, HsmError> {
        SoftwareHsm::open(&self.folder.terminal_hsm())
    }

    /// The terminal's HSM: its token, else the software HSM.
    ///
    /// # Errors
    /// If it can't be opened.
    pub(crate) fn hsm(&self, tokens: &Tokens) -> Result<Arc<dyn Hsm>, WorldError> {
        Ok(match &tokens.terminal {
            Some(token) => Arc::new(token.open()?),
            None => Arc::new(self.terminal_hsm()?),
        })
    }

    /// The cards' maker's HSM. A terminal's software HSM is a maker's too; a token gives nothing away.
    fn card_factory(&self) -> Result<SoftwareHsm, HsmError> {
        let factory = self.folder.card_factory();
        if factory.exists() { SoftwareHsm::open(&factory) } else { self.terminal_hsm() }
    }

    /// The palms of its people.
    #[must_use]
    pub fn palms(&self) -> Palms {
        Palms::new(self.seed(), self.folder.palms())
    }

    /// The resident with this number, if there is one.
    ///
    /// # Errors
    /// If the register can't be read.
    pub fn resident(&self, number: &str) -> Result<Option<Resident>, WorldError> {
        Ok(CsvRegister::open(self.folder.register())?.find(number)?)
    }

    /// An adult of the register who shows what is special about names, and who has no certificates yet. The same one as long as
    /// nothing was issued.
    ///
    /// # Errors
    /// [`WorldError::NoApplicant`] if there is none.
    pub fn applicant(&self) -> Result<Resident, WorldError> {
        residents::applicant(self)
    }

    /// The resident whose card lies on the reader.
    ///
    /// # Errors
    /// If the register can't be read.
    pub fn at_the_counter(&self) -> Result<Option<Resident>, WorldError> {
        let Some(serial) = &self.record.on_reader else { return Ok(None) };
        let numbers = residents::numbers(self)?;
        let number = numbers.iter().find(|number| parts::card_serial(self.seed(), number, 0) == **serial);
        number.map_or(Ok(None), |number| self.resident(number))
    }

    /// The serial number of the card on the reader.
    #[must_use]
    pub fn serial_on_reader(&self) -> Option<&str> {
        self.record.on_reader.as_deref()
    }

    /// Lays the card of a resident on the reader. It is made if there is none.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn lay_on_reader(&mut self, resident: &Resident) -> Result<(), WorldError> {
        let serial = parts::card_serial(self.seed(), &resident.number, 0);
        let path = self.folder.card(&serial);
        if !path.exists() {
            let authority = AuthorityFolder::new(self.folder.authority());
            let certificates = authority.certificates()?;
            let profile = parts::card_profile(&self.issuing);
            let hsm = self.card_factory()?;
            let card = parts::personalisation(self.seed(), 0, resident, &profile, &hsm, &certificates)?;
            self.add_card(card, &path)?;
        }
        self.record.on_reader = Some(serial);
        self.save()
    }

    /// Makes a card in a file of its own before it gets its name: what an interruption leaves of it is no card. One that was
    /// made meanwhile stays, somebody may use it already.
    fn add_card(&self, card: Personalisation, path: &Path) -> Result<(), WorldError> {
        let failed = |source| WorldError::Io { path: path.to_owned(), source };
        let aside = tempfile::tempdir_in(self.folder.simulators()).map_err(failed)?;
        let made = aside.path().join("card");
        drop(card.into_file(&made)?);
        match fs::hard_link(&made, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// The card on the reader, powered up; none if there is none.
    ///
    /// # Errors
    /// If its memory can't be read, or another program has it.
    pub fn card_on_reader(&self, clock: madoguchi_time::SharedClock) -> Result<Option<Card>, WorldError> {
        let Some(serial) = &self.record.on_reader else { return Ok(None) };
        let nvm = FileNvm::open(&self.folder.card(serial))?;
        Ok(Some(Card::power_on(nvm, clock, GeneratedKeys)?))
    }

    /// What a resident and the clerk do at the counter.
    #[must_use]
    pub fn persona(&self, resident: &Resident) -> Persona {
        Persona {
            face_code: parts::check_number_b(self.seed(), resident, 0),
            pins: CertificateKind::BOTH
                .map(|kind| (kind, parts::chosen_pin(self.seed(), &resident.number, kind)))
                .to_vec(),
            declines: false,
        }
    }

    fn save(&self) -> Result<(), WorldError> {
        let path = self.folder.record();
        let text = toml::to_string_pretty(&self.record)
            .map_err(|error| WorldError::Damaged { path: path.clone(), problem: error.to_string() })?;
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|source| WorldError::Io { path, source })
    }
}

fn profile(name: &str) -> Result<IssuingProfile, WorldError> {
    IssuingProfile::named(name).ok_or_else(|| WorldError::UnknownProfile(name.to_owned()))
}
