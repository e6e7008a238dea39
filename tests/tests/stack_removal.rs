//! Card and authority agree whatever happens in a real reader: the terminal issues onto the simulated card through pcscd, and
//! the card is taken away at every APDU, other programs meddle with it, pcscd dies.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::ExitCode;
use std::sync::{Arc, RwLock};

use jpki::card::ins;
use libtest_mimic::Trial;
use madoguchi_tests::Start;
use madoguchi_tests::loops::{Findings, stack};
use private_pcscd::{MAX_READERS, PrivatePcscd, main_with};

/// Whoever kills pcscd has to be alone with it.
static SERVICE: RwLock<()> = RwLock::new(());

fn main() -> ExitCode {
    main_with(MAX_READERS, |pcscd| {
        vec![
            trial("card_leaves_and_comes_back", pcscd, |pcscd| {
                let _shared = SERVICE.read().expect("no test has failed");
                // One reader is left for the other tests.
                let findings = stack::card_leaves_and_comes_back(pcscd, MAX_READERS - 1);
                comes_through("card away at every APDU", findings, 120);
            }),
            trial("another_program_meddles", pcscd, |pcscd| {
                let _shared = SERVICE.read().expect("no test has failed");
                comes_through("another program meddles", stack::another_program_meddles(pcscd), 6);
            }),
            trial("service_dies", pcscd, |pcscd| {
                let _alone = SERVICE.write().expect("no test has failed");
                let places = [
                    (Start::Fresh, ins::GET_SLOT_STATUS),
                    (Start::Issued, ins::GENERATE_KEY_PAIR),
                    (Start::Fresh, ins::WRITE_PENDING_CERTIFICATE),
                    (Start::Issued, ins::COMMIT),
                ];
                comes_through("pcscd dies", stack::service_dies(pcscd, &places), places.len());
            }),
        ]
    })
}

fn trial(name: &str, pcscd: &Arc<PrivatePcscd>, run: fn(&Arc<PrivatePcscd>)) -> Trial {
    let pcscd = Arc::clone(pcscd);
    Trial::test(name, move || {
        run(&pcscd);
        Ok(())
    })
}

/// Every case struck, and nothing is broken.
fn comes_through(name: &str, findings: Findings, least: usize) {
    println!("{name}: {} cases, {} struck", findings.cases, findings.struck);
    assert!(findings.broken.is_empty(), "{} broken: {:#?}", findings.broken.len(), findings.broken);
    assert!(findings.struck >= least, "{} of {} cases struck", findings.struck, findings.cases);
    assert_eq!(findings.struck, findings.cases, "a case whose fault does not strike proves nothing");
}
