//! The world's authority: its folder, its keys in a software HSM, and the process in which it runs.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use authority::cli::KeyStore;
use authority::{AuthorityCertificates, Config, SetupError, TerminalCredentials, TerminalRegistration};
use hsm::{Hsm, HsmError, KeyCustody};
use hsm_pkcs11::Pkcs11Hsm;
use jpki::IssuingProfile;
use key_ceremony::Installation;
use madoguchi_time::{SharedClock, SystemClock};
use serde::Deserialize;
use sim_hsm::{Provision, SoftwareHsm};

use crate::children::ChildProcess;
use crate::token::Token;
use crate::world::{WorldError, parts};

/// Where the authority hears terminals if it is started by hand.
pub const CMP_ADDRESS: &str = "127.0.0.1:18443";
/// Where it can be asked about certificates, as they say.
const OCSP_URL: &str = "http://127.0.0.1:18080/ocsp";
/// The software HSM's file, as `madoguchi-authority` calls it.
const MODULE: &str = "hsm.json";
/// The command by which this program is its authority.
pub const COMMAND: &str = "authority";

/// The folder of a world's authority.
#[derive(Clone, Debug)]
pub struct AuthorityFolder(PathBuf);

impl AuthorityFolder {
    /// The folder at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the authority, and one terminal on its allow-list.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn make(
        &self,
        seed: u64,
        issuing: &IssuingProfile,
        terminal: &TerminalRegistration,
        token: Option<&Token>,
        clock: SharedClock,
    ) -> Result<(AuthorityCertificates, TerminalCredentials), WorldError> {
        let hsm: Arc<dyn Hsm> = match token {
            Some(token) => {
                Arc::new(token.provision(&Installation::authority("authority", authority::required_keys(issuing)))?)
            }
            None => {
                let provision = parts::authority_provision(seed, issuing);
                Arc::new(SoftwareHsm::create(&self.0.join(MODULE), &provision)?)
            }
        };
        let config = Config { hsm: token.map(Token::uri), ..parts::authority_config(issuing, OCSP_URL) };
        let terminals = std::slice::from_ref(terminal);
        let credentials = authority::initialise(&self.0, hsm, clock, &config, terminals)?;
        let credentials = credentials.into_iter().next();
        let credentials = credentials.ok_or_else(|| SetupError::NotInitialised(self.0.clone()))?;
        Ok((self.certificates()?, credentials))
    }

    /// The authority's own certificates.
    ///
    /// # Errors
    /// If the folder holds no authority.
    pub fn certificates(&self) -> Result<AuthorityCertificates, WorldError> {
        Ok(authority::certificates(&self.0)?)
    }

    /// Starts the authority in a process of its own, on any free ports of this machine.
    ///
    /// # Errors
    /// If it does not come up; what it said on its standard error is in the error.
    pub fn start(&self) -> io::Result<RunningAuthority> {
        self.start_on(None)
    }

    /// As [`AuthorityFolder::start`], with the keys in a token whose PIN is known already.
    ///
    /// # Errors
    /// As [`AuthorityFolder::start`].
    pub(crate) fn start_on(&self, token: Option<&Token>) -> io::Result<RunningAuthority> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COMMAND, "serve", "--until-stdin-ends", "--cmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--state").arg(&self.0);
        if let Some(token) = token {
            command.arg("--hsm").arg(token.uri_for_child());
        }
        let mut process = ChildProcess::spawn(command.stderr(Stdio::piped()))?;
        if let Some(token) = token {
            process.tell(token.pin())?;
        }
        let mut line = String::new();
        BufReader::new(process.take_stdout()?).read_line(&mut line)?;
        match serde_json::from_str::<Readiness>(&line) {
            Ok(Readiness { cmp, http, .. }) => Ok(RunningAuthority { cmp, http, _process: process }),
            Err(_) => Err(io::Error::other(process.last_words())),
        }
    }
}

/// What the authority says when it listens.
#[derive(Deserialize)]
struct Readiness {
    cmp: SocketAddr,
    http: SocketAddr,
}

/// An authority in a process of its own. It ends when this is dropped.
pub struct RunningAuthority {
    /// CMP over mutual TLS.
    pub cmp: SocketAddr,
    /// OCSP and CRLs.
    pub http: SocketAddr,
    _process: ChildProcess,
}

/// The authority's keys, in a token or in a file of its folder.
pub struct Keys;

impl KeyStore for Keys {
    fn open(&self, dir: &Path, hsm: Option<&str>) -> Result<Arc<dyn KeyCustody>, HsmError> {
        Ok(match hsm {
            Some(uri) => Arc::new(Pkcs11Hsm::open_uri(uri, SystemClock::shared())?),
            None => Arc::new(SoftwareHsm::open(&dir.join(MODULE))?),
        })
    }

    fn begin(&self, dir: &Path, hsm: Option<&str>, seed: Option<u64>) -> Result<Arc<dyn KeyCustody>, HsmError> {
        let module = dir.join(MODULE);
        if hsm.is_some() || module.exists() {
            return self.open(dir, hsm);
        }
        let seed = parts::draw(seed.unwrap_or_else(rand::random), "authority HSM", 0);
        Ok(Arc::new(SoftwareHsm::create(&module, &Provision::empty("authority", seed))?))
    }
}
