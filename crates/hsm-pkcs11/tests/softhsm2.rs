//! The HSM port on SoftHSM2: its contract, and keys that SoftHSM2 holds being those that they should be.
//!
//! SoftHSM2 finds its configuration by the environment, which a running program can't change safely: the program runs itself once
//! more with the variable set.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is to be a panic")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{env, fs};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
use hsm::contract::{CASES, Fixture, required_keys};
use hsm::{Hsm, HsmError, KeyKind, KeyName};
use hsm_pkcs11::{Pin, Pkcs11Hsm, TokenError, TokenSelector};
use libtest_mimic::{Arguments, Trial};
use madoguchi_time::SystemClock;

const CONFIGURATION: &str = "SOFTHSM2_CONF";
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
const SO_PIN: &str = "so-87654321";
const PIN: &str = "user-1234";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(configuration) = env::var_os(CONFIGURATION) else { return run_again() };
    let folder = Path::new(&configuration).parent().expect("in a folder").to_owned();
    let mut trials: Vec<Trial> = CASES
        .iter()
        .map(|(name, check)| {
            Trial::test(format!("contract::{name}"), || {
                check(&fixture());
                Ok(())
            })
        })
        .collect();
    let mut own = |name: &str, check: fn()| {
        trials.push(Trial::test(name, move || {
            check();
            Ok(())
        }));
    };
    own("a_wrong_pin_is_told_and_not_tried_again", a_wrong_pin_is_told_and_not_tried_again);
    own("a_token_that_is_not_there_is_told", a_token_that_is_not_there_is_told);
    own("a_foreign_key_of_our_name_is_not_ours", a_foreign_key_of_our_name_is_not_ours);
    own("a_name_is_given_once", a_name_is_given_once);
    let conclusion = libtest_mimic::run(&arguments, trials);
    let _ = fs::remove_dir_all(folder);
    conclusion.exit_code()
}

fn run_again() -> ExitCode {
    let folder = tempfile::Builder::new().prefix("softhsm2-").tempdir().expect("a folder").keep();
    let tokens = folder.join("tokens");
    fs::create_dir(&tokens).expect("a folder");
    let configuration = folder.join("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))
        .expect("written");
    let program = env::current_exe().expect("this program");
    let error = Command::new(program).args(env::args_os().skip(1)).env(CONFIGURATION, configuration).exec();
    panic!("{error}");
}

fn module() -> PathBuf {
    MODULES.into_iter().map(PathBuf::from).find(|path| path.exists()).expect("SoftHSM2 (run tests/install-peers)")
}

/// A new token, as its maker delivers it: with a PIN, and empty.
fn new_token(label: &str) -> TokenSelector {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let context = Pkcs11::new(module()).expect("SoftHSM2");
    // Whether the adapter has initialised it or not.
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = context
        .get_slots_with_token()
        .unwrap()
        .into_iter()
        .find(|slot| !context.get_token_info(*slot).unwrap().token_initialized())
        .expect("a free slot");
    context.init_token(slot, &Pin::from(SO_PIN), label).unwrap();
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&Pin::from(SO_PIN))).unwrap();
    session.init_pin(&Pin::from(PIN)).unwrap();
    session.logout().unwrap();
    TokenSelector { module: module(), label: Some(label.to_owned()), ..TokenSelector::default() }
}

fn open(selector: TokenSelector) -> Pkcs11Hsm {
    Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared()).expect("a token")
}

fn soon() -> madoguchi_time::Deadline {
    SystemClock::shared().deadline_in(Duration::from_secs(30))
}

fn fixture() -> Fixture {
    static PROVISIONED: OnceLock<Arc<Pkcs11Hsm>> = OnceLock::new();
    let hsm = PROVISIONED.get_or_init(|| {
        let hsm = open(new_token("contract"));
        for (name, kind) in required_keys() {
            hsm.generate(&name, kind, soon()).expect("made").expect("as it was to be");
        }
        Arc::new(hsm)
    });
    Fixture { hsm: Arc::clone(hsm) as Arc<dyn Hsm>, clock: SystemClock::shared(), lacks: Vec::new() }
}

fn a_wrong_pin_is_told_and_not_tried_again() {
    let selector = new_token("wrong-pin");
    let refused = Pkcs11Hsm::open(selector.clone(), Pin::from("user-4321"), SystemClock::shared());
    assert!(matches!(refused, Err(TokenError::PinRefused)), "{refused:?}");
    open(selector);
}

fn a_token_that_is_not_there_is_told() {
    let selector = TokenSelector { module: module(), label: Some("nobody's".into()), ..TokenSelector::default() };
    let none = Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared());
    assert!(matches!(none, Err(TokenError::NoToken)), "{none:?}");
    let selector = TokenSelector { module: "/nowhere/module.so".into(), ..TokenSelector::default() };
    let none = Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared());
    assert!(matches!(none, Err(TokenError::Module { .. })), "{none:?}");
}

fn a_foreign_key_of_our_name_is_not_ours() {
    use cryptoki::mechanism::Mechanism;
    use cryptoki::object::Attribute;

    let hsm = open(new_token("foreign"));
    let context = Pkcs11::new(module()).expect("SoftHSM2");
    let slot = context
        .get_slots_with_token()
        .unwrap()
        .into_iter()
        .find(|slot| context.get_token_info(*slot).unwrap().label() == "foreign")
        .expect("the token");
    // The adapter has logged in for the whole process.
    let session = context.open_rw_session(slot).unwrap();
    let template = [
        Attribute::Token(true),
        Attribute::Label(KeyName::RESIDENT_REFERENCE.into()),
        Attribute::Id(vec![0x31; 16]),
        Attribute::ValueLen(32.into()),
    ];
    session.generate_key(&Mechanism::GenericSecretKeyGen, &template).unwrap();
    let name = KeyName::new(KeyName::RESIDENT_REFERENCE);
    assert_eq!(hsm.keys(soon()).unwrap(), []);
    let code = hsm.mac(&name, b"message", soon());
    assert!(matches!(code, Err(HsmError::NoSuchKey(_))), "{code:?}");
    hsm.generate(&name, KeyKind::Hmac, soon()).unwrap().unwrap();
    hsm.mac(&name, b"message", soon()).unwrap();
}

fn a_name_is_given_once() {
    let hsm = open(new_token("names"));
    let name = KeyName::card_master(0x21);
    let kind = KeyKind::CardMaster(hsm::AesLength::Aes128);
    hsm.generate(&name, kind, soon()).unwrap().unwrap();
    let again = hsm.generate(&name, kind, soon());
    assert!(matches!(again, Err(HsmError::SeveralKeys(_))), "{again:?}");
    hsm.destroy(&name, soon()).unwrap();
    assert_eq!(hsm.keys(soon()).unwrap(), []);
    hsm.generate(&name, kind, soon()).unwrap().unwrap();
}
