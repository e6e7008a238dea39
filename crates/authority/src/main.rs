//! `madoguchi-authority`: the simulated authority as a program, with its keys in a PKCS #11 token or in a software HSM.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use authority::cli::{self, KeyStore};
use hsm::{Hsm, HsmError, KeyKind, KeyName};
use hsm_pkcs11::Pkcs11Hsm;
use madoguchi_time::SystemClock;
use rand_core::{OsRng, RngCore};
use sim_hsm::{Provision, SoftwareHsm};

/// The software HSM's file in the authority's folder.
const MODULE: &str = "hsm.json";

struct Keys;

impl KeyStore for Keys {
    fn create(
        &self,
        dir: &Path,
        hsm: Option<&str>,
        keys: &[(KeyName, KeyKind)],
        seed: Option<u64>,
    ) -> Result<Arc<dyn Hsm>, HsmError> {
        if let Some(uri) = hsm {
            return Ok(Arc::new(Pkcs11Hsm::create(uri, keys, SystemClock::shared())?));
        }
        let mut bytes = [0; 32];
        match seed {
            Some(seed) => bytes[..8].copy_from_slice(&seed.to_be_bytes()),
            None => OsRng.fill_bytes(&mut bytes),
        }
        let empty = Provision::empty("authority", bytes);
        let provision = keys.iter().fold(empty, |provision, (name, kind)| provision.with_key(name.clone(), *kind));
        Ok(Arc::new(SoftwareHsm::create(&dir.join(MODULE), &provision)?))
    }

    fn open(&self, dir: &Path, hsm: Option<&str>) -> Result<Arc<dyn Hsm>, HsmError> {
        Ok(match hsm {
            Some(uri) => Arc::new(Pkcs11Hsm::open_uri(uri, SystemClock::shared())?),
            None => Arc::new(SoftwareHsm::open(&dir.join(MODULE))?),
        })
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MADOGUCHI_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    cli::run(std::env::args_os(), &Keys)
}
