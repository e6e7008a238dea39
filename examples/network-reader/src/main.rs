//! A terminal with a card reader on the network. It is complete but for its other devices, whose place simulators take.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use authority_link::AuthorityLine;
use biometric::PalmVerifier;
use card_reader::CardReader;
use cli::{Arguments, Composition, Context, Failure, NoOwnCommands, Report, Site};
use hsm::Hsm;
use madoguchi_sim::authority as simulated_authority;
use madoguchi_sim::composition::{PROGRAM, Simulated};
use madoguchi_time::SharedClock;
use network_reader::NetworkReader;
use orchestrator::{People, ProcedureError, StateFolder};
use zeroizing_alloc::ZeroAlloc;

struct Town {
    /// Stands behind every port but the card reader's.
    simulated: Simulated,
}

impl Composition for Town {
    type Own = NoOwnCommands;
    type OwnCard = NoOwnCommands;

    fn program(&self) -> &'static str {
        "network-reader"
    }

    fn card_reader(&self, site: &Site) -> Result<Box<dyn CardReader>, Failure> {
        let address = site.card_reader.as_deref().unwrap_or("127.0.0.1:35963");
        Ok(Box::new(NetworkReader::listen(address, Arc::clone(&site.clock)).map_err(ProcedureError::from)?))
    }

    fn is_simulated(&self) -> bool {
        self.simulated.is_simulated()
    }

    fn default_folder(&self) -> PathBuf {
        self.simulated.default_folder()
    }

    fn clock(&self) -> SharedClock {
        self.simulated.clock()
    }

    fn state(&self, folder: &Path) -> Result<Box<dyn StateFolder>, Failure> {
        self.simulated.state(folder)
    }

    fn hsm(&self, site: &Site) -> Result<Arc<dyn Hsm>, Failure> {
        self.simulated.hsm(site)
    }

    fn palm_verifier(&self, site: &Site) -> Result<Box<dyn PalmVerifier>, Failure> {
        self.simulated.palm_verifier(site)
    }

    fn authority_line(&self, site: &Site, hsm: &Arc<dyn Hsm>) -> Result<Box<dyn AuthorityLine>, Failure> {
        self.simulated.authority_line(site, hsm)
    }

    fn people(&self, context: &Context, site: &Site) -> Result<Box<dyn People>, Failure> {
        self.simulated.people(context, site)
    }

    fn run_own(&self, command: NoOwnCommands, _context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {}
    }

    fn run_own_card(&self, command: NoOwnCommands, _context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {}
    }
}

/// Memory is wiped when it is freed: what was personal in it does not stay for whoever gets it next.
#[global_allocator]
static WIPED: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    cli::forbid_core_files();
    let line: Vec<OsString> = std::env::args_os().collect();
    // The simulated authority is a process of its own: this program once more.
    if line.get(1).is_some_and(|command| command == simulated_authority::COMMAND) {
        return authority::cli::run(line.into_iter().skip(1), &simulated_authority::Keys);
    }
    // The simulators read the command line, too: whom it names comes to the counter.
    let named = Arguments::read(PROGRAM, line.iter().cloned()).ok();
    cli::run(line, &Town { simulated: Simulated::new(named.as_ref()) })
}
