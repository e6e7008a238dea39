//! SoftHSM2 with tokens of a test's own.
//!
//! * [`Home`]: its configuration and its tokens, in a folder that goes with the test.
//! * [`relay`]: SoftHSM2 in another process, and the line to it, both of which break when they are told to.
//!
//! SoftHSM2 and p11-kit's client find all this by the environment, which a running program can't change safely. A test that loads
//! either in its own process runs itself once more, with [`Home::environment`].

#![allow(clippy::expect_used, reason = "for tests: what fails here fails the test")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub mod relay;

/// Where SoftHSM2 looks for its configuration.
pub const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Where p11-kit's client looks for its server.
pub const ADDRESS: &str = "P11_KIT_SERVER_ADDRESS";
const FILE: &str = "softhsm2.conf";
const SO_PIN: &str = "so-87654321";

/// SoftHSM2's module.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn module() -> PathBuf {
    library("softhsm/libsofthsm2.so").expect("SoftHSM2 is not installed: run tests/install-peers")
}

/// p11-kit's client: a module that has the tokens of a server.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn client() -> PathBuf {
    library("pkcs11/p11-kit-client.so").expect("p11-kit-modules are not installed: run tests/install-peers")
}

/// A library in one of the folders where distributions put it.
#[must_use]
pub fn library(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name.as_ref()))
        .find(|path| path.exists())
}

/// The folder of a SoftHSM2 with tokens of its own.
pub struct Home(TempDir);

impl Home {
    /// A new one, without tokens.
    ///
    /// # Panics
    /// If the folder can't be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("softhsm2-").tempdir().expect("a folder");
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).expect("a folder");
        let configuration = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        fs::write(folder.path().join(FILE), configuration).expect("written");
        Self(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// By what SoftHSM2 and p11-kit's client find their way here.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let socket = relay::socket(self.path());
        [
            (CONFIGURATION, self.path().join(FILE).into_os_string()),
            (ADDRESS, format!("unix:path={}", socket.display()).into()),
        ]
    }

    /// A program that finds its way here.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// A new token, as its maker delivers it: with a PIN, and empty.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn token(&self, label: &str, pin: &str) {
        let mut command = self.command("softhsm2-util");
        command.args(["--init-token", "--free", "--so-pin", SO_PIN, "--label", label, "--pin", pin]);
        let output = command.output().expect("SoftHSM2's tools are not installed: run tests/install-peers");
        assert!(output.status.success(), "{output:?}");
    }

    /// A file with a PIN in it, of that mode.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn pin_file(&self, pin: &str, mode: u32) -> PathBuf {
        let path = self.path().join(format!("pin-{mode:o}-{}", pin.len()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).expect("a file");
        writeln!(file, "{pin}").expect("written");
        path
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}
