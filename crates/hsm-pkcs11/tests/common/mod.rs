//! SoftHSM2 and kryoptic with tokens of their own, for one run of a test program.
//!
//! They find their configuration by the environment, which a running program can't change safely: the program runs itself once
//! more with the variables set.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod raw;
pub(crate) mod vectors;

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use hsm::contract::{Fixture, required_keys};
use hsm::{Hsm, KeyKind};
use hsm_pkcs11::{Pin, Pkcs11Hsm, TokenSelector};
use libtest_mimic::Trial;
use madoguchi_time::{Deadline, SystemClock};

const CONFIGURATION: &str = "SOFTHSM2_CONF";
const KRYOPTIC_CONFIGURATION: &str = "KRYOPTIC_CONF";
/// Where tests/install-peers builds it.
const KRYOPTIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/kryoptic/release/libkryoptic.so");
/// Slots of kryoptic for new tokens.
const SLOTS: u32 = 12;
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
    let kryoptic = folder.join("kryoptic.conf");
    fs::write(&kryoptic, slots_of_kryoptic(&tokens)).expect("written");
    let mut again = Command::new(env::current_exe().expect("this program"));
    again.args(env::args_os().skip(1)).env(CONFIGURATION, configuration).env(KRYOPTIC_CONFIGURATION, kryoptic);
    more(&folder, &mut again);
    panic!("{}", again.exec());
}

/// The slots of kryoptic for new tokens, and those of tokens that lack mechanisms.
fn slots_of_kryoptic(tokens: &Path) -> String {
    let lacking = [(WITHOUT_DERIVATION, "CKM_SP800_108_COUNTER_KDF"), (WITHOUT_KEY_WRAP, "CKM_AES_KEY_WRAP_KWP")];
    let mut slots = String::new();
    for slot in (1..=SLOTS).chain(lacking.map(|(slot, _)| slot)) {
        let place = tokens.join(format!("kryoptic-{slot}.sql"));
        writeln!(slots, "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = {place:?}").expect("written");
        if let Some((_, mechanism)) = lacking.iter().find(|(lacks, _)| *lacks == slot) {
            writeln!(slots, "mechanisms = [\"DENY\", \"{mechanism}\"]").expect("written");
        }
    }
    slots
}

/// The slot of a token of kryoptic that does not derive by SP 800-108.
pub(crate) const WITHOUT_DERIVATION: u32 = 101;
/// The slot of a token of kryoptic that does not wrap by RFC 5649.
pub(crate) const WITHOUT_KEY_WRAP: u32 = 102;

pub(crate) fn trial(name: &str, check: fn()) -> Trial {
    Trial::test(name, move || {
        check();
        Ok(())
    })
}

pub(crate) fn softhsm2() -> PathBuf {
    MODULES.into_iter().map(PathBuf::from).find(|path| path.exists()).expect("SoftHSM2 (run tests/install-peers)")
}

pub(crate) fn kryoptic() -> PathBuf {
    let module = PathBuf::from(KRYOPTIC);
    assert!(module.exists(), "kryoptic is not built: run tests/install-peers");
    module
}

/// A module past the adapter, whether that has initialised it or not.
pub(crate) fn beside(module: &Path) -> Pkcs11 {
    let context = Pkcs11::new(module).expect("a module");
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    context
}

pub(crate) fn slot_of(context: &Pkcs11, label: &str) -> Slot {
    let slots = context.get_slots_with_token().unwrap();
    slots.into_iter().find(|slot| context.get_token_info(*slot).unwrap().label() == label).expect("the token")
}

/// A new token, as its maker delivers it: with a PIN, and empty.
pub(crate) fn new_token(module: PathBuf, label: &str) -> TokenSelector {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let context = beside(&module);
    let slots = context.get_slots_with_token().unwrap();
    let free = |slot: &Slot| !context.get_token_info(*slot).unwrap().token_initialized();
    let slot = slots.into_iter().find(free).expect("a free slot");
    initialised(module, slot, label)
}

/// A new token in this slot.
pub(crate) fn initialised(module: PathBuf, slot: Slot, label: &str) -> TokenSelector {
    let context = beside(&module);
    context.init_token(slot, &Pin::from(SO_PIN), label).unwrap();
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&Pin::from(SO_PIN))).unwrap();
    session.init_pin(&Pin::from(PIN)).unwrap();
    session.logout().unwrap();
    TokenSelector { module, label: Some(label.to_owned()), ..TokenSelector::default() }
}

/// A session of a new token past the adapter, which has logged in for the whole process.
pub(crate) fn with_session_beside(module: PathBuf, label: &str, work: impl FnOnce(&Session)) {
    let _logged_in = open(new_token(module.clone(), label));
    let context = beside(&module);
    work(&context.open_rw_session(slot_of(&context, label)).unwrap());
}

/// Sets another PIN, as the token's security officer does.
pub(crate) fn set_pin(label: &str, pin: &str) {
    let context = beside(&softhsm2());
    let session = context.open_rw_session(slot_of(&context, label)).unwrap();
    session.login(UserType::So, Some(&Pin::from(SO_PIN))).unwrap();
    session.init_pin(&Pin::from(pin)).unwrap();
    session.logout().unwrap();
}

pub(crate) fn open(selector: TokenSelector) -> Pkcs11Hsm {
    Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared()).expect("a token")
}

/// A token with the keys of the contract's suite, and its masters of cards.
pub(crate) type Provisioned = (Arc<Pkcs11Hsm>, Vec<(u8, Vec<u8>)>);

/// The token, with the keys of the contract's suite. The masters of cards come from outside, so that the suite can open what only
/// a card can.
pub(crate) fn provisioned(hsm: Pkcs11Hsm) -> Provisioned {
    let mut card_masters = Vec::new();
    for (name, kind) in required_keys() {
        let made = if let KeyKind::CardMaster(length) = kind {
            let version = u8::from_str_radix(&name.as_str()[name.as_str().len() - 2..], 16).unwrap();
            let master: Vec<u8> = (0..length.bytes() as u8).map(|byte| byte.wrapping_mul(29) ^ version).collect();
            hsm.import_card_master(version, &master, soon()).expect("imported");
            card_masters.push((version, master));
            Ok(())
        } else {
            hsm.generate(&name, kind, soon()).expect("made")
        };
        made.expect("as it was to be");
    }
    (Arc::new(hsm), card_masters)
}

/// That token, to be put through the suite.
pub(crate) fn fixture((hsm, card_masters): &Provisioned) -> Fixture {
    Fixture {
        hsm: Arc::clone(hsm) as Arc<dyn Hsm>,
        clock: SystemClock::shared(),
        lacks: Vec::new(),
        card_masters: card_masters.clone(),
    }
}

pub(crate) fn soon() -> Deadline {
    SystemClock::shared().deadline_in(Duration::from_secs(180))
}

/// A program's library in one of the folders where distributions put it.
pub(crate) fn library(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name.as_ref()))
        .find(|path| path.exists())
}
