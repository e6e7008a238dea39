//! NSS softokn: a token that gives keys away, and another that derives by SP 800-108.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is to be a panic")]

mod common;

use std::process::Command;

use common::{library, soon};
use hsm::Hsm;
use hsm_pkcs11::{Leak, Pin, Pkcs11Hsm, TokenError, TokenSelector};
use madoguchi_time::SystemClock;

#[test]
fn it_is_refused_for_the_copies_that_it_makes_and_derives_what_software_derives() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sql:{}", folder.path().display());
    let made = Command::new("certutil").args(["-N", "--empty-password", "-d", &database]).status();
    assert!(made.expect("certutil of libnss3-tools (run tests/install-peers)").success());
    let selector = TokenSelector {
        module: library("libsoftokn3.so").expect("libnss3 (run tests/install-peers)"),
        parameters: Some(format!("configdir='{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=")),
        label: Some("NSS Certificate DB".into()),
        ..TokenSelector::default()
    };
    let other = TokenSelector { parameters: None, ..selector.clone() };
    let hsm = Pkcs11Hsm::open(selector, Pin::from(""), SystemClock::shared()).expect("a token");
    let refused = Pkcs11Hsm::open(other, Pin::from(""), SystemClock::shared());
    assert!(matches!(refused, Err(TokenError::OtherParameters)), "{refused:?}");

    // Static keys of cards inside, with the results of AES-CMAC.
    assert!(hsm.capabilities().sp800_108, "{}", hsm.capabilities());

    let leak = hsm.prove_honesty(soon());
    assert!(matches!(leak, Err(TokenError::Dishonest(Leak::Copied { .. }))), "{leak:?}");
    assert_eq!(hsm.keys(soon()).unwrap(), [], "nothing is left of the trial");
}
