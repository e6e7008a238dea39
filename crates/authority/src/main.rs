//! `madoguchi-authority`: the simulated authority as a program, with its keys in a PKCS #11 token or in a software HSM.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use authority::cli::{self, KeyStore};
use hsm::{HsmError, KeyCustody};
use hsm_pkcs11::Pkcs11Hsm;
use madoguchi_time::SystemClock;
use rand_core::{OsRng, RngCore};
use sim_hsm::{Provision, SoftwareHsm};

/// The software HSM's file in the authority's folder.
const MODULE: &str = "hsm.json";

struct Keys;

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
        let mut bytes = [0; 32];
        match seed {
            Some(seed) => bytes[..8].copy_from_slice(&seed.to_be_bytes()),
            None => OsRng.fill_bytes(&mut bytes),
        }
        Ok(Arc::new(SoftwareHsm::create(&module, &Provision::empty("authority", bytes))?))
    }
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MADOGUCHI_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    cli::run(std::env::args_os(), &Keys)
}
