//! The line to the world's authority: TLS on this machine, to an authority that is started when nobody answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use authority::{AuthorityCertificates, TerminalCredentials};
use authority_link::{AuthorityLine, LineError, TlsClient, TlsLine, TlsLineConfig, TlsSetupError};
use hsm::Hsm;
use madoguchi_time::{Deadline, SharedClock};
use orchestrator::identity;
use orchestrator::{SiteConfig, StateError, StateFolder};
use zeroize::Zeroizing;

use crate::authority::{AuthorityFolder, RunningAuthority};

/// Files of the terminal's state folder, DER.
mod file {
    pub(super) const CLIENT: &str = "trust/line-client.der";
    pub(super) const SERVER: &str = "trust/line-server.der";
    pub(super) const ANCHOR: &str = "trust/line-anchor.der";
}

/// Keeps what the terminal needs for the line.
///
/// # Errors
/// If it can't be written.
pub fn save_credentials(
    state: &mut dyn StateFolder,
    authority: &AuthorityCertificates,
    terminal: &TerminalCredentials,
) -> Result<(), StateError> {
    state.replace(file::CLIENT, &terminal.tls_certificate)?;
    state.replace(file::SERVER, &authority.tls)?;
    state.replace(file::ANCHOR, &authority.infrastructure_ca)
}

/// Where the authority is.
#[derive(Clone, Copy, Debug)]
pub enum Whereabouts {
    /// Somebody has started it, and knows.
    At(SocketAddr),
    /// At the address that `terminal.toml` names, and if nobody answers there, in a process that is started for as long as the line is.
    AsConfigured,
}

/// Sets up the line of the terminal with the state folder `state`, which on it is who `client` says. It is not connected yet.
///
/// # Errors
/// If a certificate is missing or an address can't be understood.
pub fn open(
    (state, site): (&dyn StateFolder, &SiteConfig),
    client: Option<TlsClient>,
    authority: &Path,
    whereabouts: Whereabouts,
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
) -> Result<Box<dyn AuthorityLine>, LineSetupError> {
    let config = identity::line_config(state, site, client)?;
    match whereabouts {
        Whereabouts::At(address) => {
            Ok(Box::new(TlsLine::new(TlsLineConfig { port: address.port(), ..config }, hsm, clock)?))
        }
        Whereabouts::AsConfigured => Ok(Box::new(SummoningLine {
            line: TlsLine::new(config.clone(), Arc::clone(&hsm), Arc::clone(&clock))?,
            folder: authority.to_owned(),
            config,
            hsm,
            clock,
            summoned: None,
        })),
    }
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineSetupError {
    /// A certificate is missing or can't be read, or an address is wrong.
    #[error(transparent)]
    State(#[from] StateError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// A line that starts the authority when nobody, or somebody else, answers at its address.
struct SummoningLine {
    line: TlsLine,
    folder: PathBuf,
    config: TlsLineConfig,
    hsm: Arc<dyn Hsm>,
    clock: SharedClock,
    summoned: Option<RunningAuthority>,
}

impl SummoningLine {
    fn summon(&mut self) -> Result<(), LineError> {
        let authority = AuthorityFolder::new(self.folder.clone()).start().map_err(LineError::Unreachable)?;
        let config = TlsLineConfig { port: authority.cmp.port(), ..self.config.clone() };
        self.line = TlsLine::new(config, Arc::clone(&self.hsm), Arc::clone(&self.clock))
            .map_err(|error| LineError::Unreachable(std::io::Error::other(error)))?;
        self.summoned = Some(authority);
        Ok(())
    }
}

impl AuthorityLine for SummoningLine {
    fn exchange(&mut self, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        match self.line.exchange(request, deadline) {
            // Another world's authority is as good as none.
            Err(LineError::Refused | LineError::ForeignPeer) if self.summoned.is_none() => {
                self.summon()?;
                self.line.exchange(request, deadline)
            }
            answered => answered,
        }
    }

    fn close(&mut self) {
        self.line.close();
    }
}

/// A terminal that is being set up has nothing to ask.
pub(crate) struct NoLine;

impl AuthorityLine for NoLine {
    fn exchange(&mut self, _request: &[u8], _deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        Err(LineError::Refused)
    }
}
