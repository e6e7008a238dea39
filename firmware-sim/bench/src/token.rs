//! Real tokens in the place of software HSMs: the terminal's, and the authority's.

use cli::Failure;
use hsm::KeyCustody;
use hsm::custody::CustodyError;
use hsm_pkcs11::{OpenError, Pin, PinSource, Pkcs11Hsm, TokenUri};
use key_ceremony::{CeremonyError, Installation};
use madoguchi_time::{Clock, ElapsingClock};
use orchestrator::{DiskFolder, SiteConfig};
use secrecy::ExposeSecret;

use crate::world::{WorldError, WorldFolder};

/// How long a token may take to be tried and to make keys: RSA keys take their time.
const MAKING: std::time::Duration = std::time::Duration::from_secs(300);

/// A token, with its PIN, which is read once: from a file descriptor it can't be read again.
pub struct Token {
    uri: TokenUri,
    pin: Pin,
}

/// The tokens of a world. What has none has a software HSM.
#[derive(Default)]
pub struct Tokens {
    /// The terminal's.
    pub terminal: Option<Token>,
    /// The authority's.
    pub authority: Option<Token>,
}

impl Tokens {
    /// The tokens that URIs name. Their PINs are read, the terminal's first.
    ///
    /// # Errors
    /// If a URI can't be understood, or a PIN not be had.
    pub fn read(terminal: Option<&str>, authority: Option<&str>) -> Result<Self, OpenError> {
        Ok(Self {
            terminal: terminal.map(Token::read).transpose()?,
            authority: authority.map(Token::read).transpose()?,
        })
    }

    /// The tokens of the world in `folder`: those that are named, else those it was made with.
    ///
    /// # Errors
    /// As [`Tokens::read`]; [`WorldError::AlreadyMade`] if a token is named for what has a software HSM.
    pub(crate) fn of(
        folder: &WorldFolder,
        terminal: Option<&str>,
        authority: Option<&str>,
    ) -> Result<Self, WorldError> {
        let site = SiteConfig::load(&DiskFolder::open(folder.root())?)?;
        let config = authority::read_config(&folder.authority())?;
        let is_other = |named: Option<&str>, made_with: &Option<String>| named.is_some() && made_with.is_none();
        if is_other(terminal, &site.hsm) || is_other(authority, &config.hsm) {
            return Err(WorldError::AlreadyMade(folder.root().to_owned()));
        }
        Ok(Self::read(terminal.or(site.hsm.as_deref()), authority.or(config.hsm.as_deref()))?)
    }
}

impl Token {
    fn read(uri: &str) -> Result<Self, OpenError> {
        let uri: TokenUri = uri.parse()?;
        Ok(Self { pin: uri.pin()?, uri })
    }

    /// Opens it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self) -> Result<Pkcs11Hsm, OpenError> {
        self.uri.open_with(self.pin.clone(), ElapsingClock::shared())
    }

    /// Opens it, tries whether it keeps its keys, and makes those of an installation in it.
    ///
    /// # Errors
    /// If it gives a key away, holds any already, or can't make one.
    pub(crate) fn provision(&self, installation: &Installation) -> Result<Pkcs11Hsm, WorldError> {
        let hsm = self.open()?;
        let deadline = ElapsingClock::shared().deadline_in(MAKING);
        let examination = key_ceremony::examine(&hsm, installation, deadline)?;
        if let Some(key) = examination.found.into_iter().next() {
            return Err(CeremonyError::from(CustodyError::NameTaken(key.name)).into());
        }
        for (name, kind) in &examination.missing {
            hsm.create(name, *kind, deadline).map_err(CeremonyError::from)?;
        }
        Ok(hsm)
    }

    /// As it was named, for settings. A file descriptor is this process's own: the next one asks.
    pub(crate) fn uri(&self) -> String {
        match &self.uri.pin_source {
            PinSource::Descriptor(_) => self.uri_with(PinSource::Prompt),
            _ => self.uri.to_string(),
        }
    }

    /// Its name for a process that is told the PIN on its standard input, as one line.
    pub(crate) fn uri_for_child(&self) -> String {
        self.uri_with(PinSource::Descriptor(0))
    }

    fn uri_with(&self, pin_source: PinSource) -> String {
        TokenUri { pin_source, ..self.uri.clone() }.to_string()
    }

    /// Its PIN.
    pub(crate) fn pin(&self) -> &str {
        self.pin.expose_secret()
    }
}

/// Why a token can't be used, for people.
pub(crate) fn unusable(error: OpenError) -> Failure {
    let (key, args) = error.text();
    let args = args.into_iter().map(|(name, value)| (name, value.into())).collect();
    Failure::Own { key, args, source: Some(Box::new(error)) }
}
