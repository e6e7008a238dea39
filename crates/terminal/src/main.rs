//! `madoguchi`: the production composition root. It names adapters of real devices only, and nothing can configure it
//! into a simulator.

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use biometric::{MatchingVerifier, PalmVerifier};
use card_reader::CardReader;
use card_reader::diagnosis::Finding;
use card_reader_pcsc::{PcscReader, ReaderChoice};
use cli::{Composition, Context, DeviceTable, Failure, NoOwnCommands, Report, Site};
use hsm::custody::Ability;
use hsm::{Hsm, KeyCustody};
use hsm_pkcs11::{OpenError, Pkcs11Hsm};
use orchestrator::ProcedureError;
use zeroizing_alloc::ZeroAlloc;

/// How long `doctor` may look at the card readers: one that is stuck takes some seconds.
const DIAGNOSIS: Duration = Duration::from_secs(15);

/// How long a palm sensor may take to prove what it is.
const GREETING: Duration = Duration::from_secs(5);

/// Adapters of real devices: card readers by PC/SC, HSMs by PKCS #11, palm sensors by hidapi. The line to the authority is TLS with
/// the key in the HSM. What works on the state folder alone works without any of them.
#[derive(Default)]
struct Production {
    /// The token that was opened.
    token: RefCell<Option<Arc<Pkcs11Hsm>>>,
}

impl Composition for Production {
    type Own = NoOwnCommands;
    type OwnCard = NoOwnCommands;

    fn program(&self) -> &'static str {
        "madoguchi"
    }

    fn hsm(&self, site: &Site) -> Result<Arc<dyn Hsm>, Failure> {
        Ok(self.key_custody(site)?)
    }

    fn key_custody(&self, site: &Site) -> Result<Arc<dyn KeyCustody>, Failure> {
        let not_named = || Failure::Own { key: "error-hsm-not-named", args: Vec::new(), source: None };
        let uri = site.hsm.as_deref().ok_or_else(not_named)?;
        let token = Arc::new(Pkcs11Hsm::open_uri(uri, Arc::clone(&site.clock)).map_err(unusable)?);
        *self.token.borrow_mut() = Some(Arc::clone(&token));
        Ok(token)
    }

    fn diagnose_hsm(&self) -> Vec<Ability> {
        self.token.borrow().as_ref().map(|token| token.abilities()).unwrap_or_default()
    }

    fn card_reader(&self, site: &Site) -> Result<Box<dyn CardReader>, Failure> {
        Ok(Box::new(PcscReader::new(choice(site), Arc::clone(&site.clock))))
    }

    fn diagnose_readers(&self, site: &Site) -> Vec<Finding> {
        card_reader_pcsc::diagnose(&site.clock, site.clock.deadline_in(DIAGNOSIS))
    }

    fn palm_verifier(&self, site: &Site) -> Result<Box<dyn PalmVerifier>, Failure> {
        let none_known = |_| no_sensor(biometric_hid::OpenError::NoneKnown);
        // Of test units the keys are known to everybody.
        let known = DeviceTable::built_in().map_err(none_known)?.palm_sensors(false);
        let deadline = site.clock.deadline_in(GREETING);
        let sensor = biometric_hid::open(&known.usb_ids, known.trusted, Arc::clone(&site.clock), deadline);
        Ok(Box::new(MatchingVerifier::new(sensor.map_err(no_sensor)?)))
    }

    fn run_own(&self, command: NoOwnCommands, _context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {}
    }

    fn run_own_card(&self, command: NoOwnCommands, _context: &Context) -> Result<Box<dyn Report>, Failure> {
        match command {}
    }
}

/// The reader that the site names, else any that the device table knows as a place for cards, whenever it is plugged in.
fn choice(site: &Site) -> ReaderChoice {
    match &site.card_reader {
        Some(part) => ReaderChoice::Containing(vec![part.clone()]),
        None => DeviceTable::built_in().map_or(ReaderChoice::Any, |table| {
            ReaderChoice::Except(table.no_places_for_cards().map(str::to_owned).collect())
        }),
    }
}

/// Why the HSM can't be used, for people.
fn unusable(error: OpenError) -> Failure {
    let (key, args) = error.text();
    let args = args.into_iter().map(|(name, value)| (name, value.into())).collect();
    Failure::Own { key, args, source: Some(Box::new(error)) }
}

/// Why there is no palm sensor to be used, for people.
fn no_sensor(error: biometric_hid::OpenError) -> Failure {
    match (error.text(), error) {
        (Some((key, args)), error) => {
            let args = args.into_iter().map(|(name, value)| (name, value.into())).collect();
            Failure::Own { key, args, source: Some(Box::new(error)) }
        }
        (None, biometric_hid::OpenError::Sensor(error)) => ProcedureError::from(error).into(),
        (None, error) => Failure::Own { key: "error-sensor-other", args: Vec::new(), source: Some(Box::new(error)) },
    }
}

/// Memory is wiped when it is freed: what was personal in it does not stay for whoever gets it next.
#[global_allocator]
static WIPED: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    cli::forbid_core_files();
    cli::run(std::env::args_os(), &Production::default())
}
