//! SoftHSM2 with tokens of its own, for one run of a test program.
//!
//! SoftHSM2 finds its configuration by the environment, which a running program can't change safely: the program runs itself once
//! more with the variables set.

#![allow(dead_code, reason = "each test program uses its part")]

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use hsm_pkcs11::{Pin, Pkcs11Hsm, TokenSelector};
use libtest_mimic::Trial;
use madoguchi_time::{Deadline, SystemClock};

const CONFIGURATION: &str = "SOFTHSM2_CONF";
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
const SO_PIN: &str = "so-87654321";
pub(crate) const PIN: &str = "user-1234";

/// The folder of this run, once the environment is set; the program is begun anew to set it.
#[expect(clippy::panic, reason = "a failure is to be a panic")]
pub(crate) fn folder(more: impl FnOnce(&Path, &mut Command)) -> PathBuf {
    if let Some(configuration) = env::var_os(CONFIGURATION) {
        return Path::new(&configuration).parent().expect("in a folder").to_owned();
    }
    let folder = tempfile::Builder::new().prefix("softhsm2-").tempdir().expect("a folder").keep();
    let tokens = folder.join("tokens");
    fs::create_dir(&tokens).expect("a folder");
    let configuration = folder.join("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))
        .expect("written");
    let mut again = Command::new(env::current_exe().expect("this program"));
    again.args(env::args_os().skip(1)).env(CONFIGURATION, configuration);
    more(&folder, &mut again);
    panic!("{}", again.exec());
}

pub(crate) fn trial(name: &str, check: fn()) -> Trial {
    Trial::test(name, move || {
        check();
        Ok(())
    })
}

pub(crate) fn softhsm2() -> PathBuf {
    MODULES.into_iter().map(PathBuf::from).find(|path| path.exists()).expect("SoftHSM2 (run tests/install-peers)")
}

/// SoftHSM2 past the adapter, whether that has initialised it or not.
pub(crate) fn beside() -> Pkcs11 {
    let context = Pkcs11::new(softhsm2()).expect("SoftHSM2");
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    context
}

pub(crate) fn slot_of(context: &Pkcs11, label: &str) -> Slot {
    let slots = context.get_slots_with_token().unwrap();
    slots.into_iter().find(|slot| context.get_token_info(*slot).unwrap().label() == label).expect("the token")
}

/// A new token, as its maker delivers it: with a PIN, and empty.
pub(crate) fn new_token(label: &str) -> TokenSelector {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let context = beside();
    let slots = context.get_slots_with_token().unwrap();
    let free = |slot: &Slot| !context.get_token_info(*slot).unwrap().token_initialized();
    let slot = slots.into_iter().find(free).expect("a free slot");
    context.init_token(slot, &Pin::from(SO_PIN), label).unwrap();
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&Pin::from(SO_PIN))).unwrap();
    session.init_pin(&Pin::from(PIN)).unwrap();
    session.logout().unwrap();
    TokenSelector { module: softhsm2(), label: Some(label.to_owned()), ..TokenSelector::default() }
}

/// Sets another PIN, as the token's security officer does.
pub(crate) fn set_pin(label: &str, pin: &str) {
    let context = beside();
    let session = context.open_rw_session(slot_of(&context, label)).unwrap();
    session.login(UserType::So, Some(&Pin::from(SO_PIN))).unwrap();
    session.init_pin(&Pin::from(pin)).unwrap();
    session.logout().unwrap();
}

pub(crate) fn open(selector: TokenSelector) -> Pkcs11Hsm {
    Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared()).expect("a token")
}

pub(crate) fn soon() -> Deadline {
    SystemClock::shared().deadline_in(Duration::from_secs(30))
}

/// A program's library in one of the folders where distributions put it.
pub(crate) fn library(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name.as_ref()))
        .find(|path| path.exists())
}
