//! The software HSM against the suite that every backend of the port must pass.

use std::sync::{Arc, LazyLock};

use hsm::Hsm;
use hsm::contract::{CARD_MASTERS, Fixture, required_keys};
use madoguchi_time::SystemClock;
use sim_hsm::{Provision, SoftwareHsm};

/// Key pairs take a moment to make, and the checks leave no traces in the module: one serves them all.
pub(crate) static MODULE: LazyLock<Arc<SoftwareHsm>> = LazyLock::new(|| {
    let keys = required_keys().into_iter();
    let provision = keys.fold(Provision::empty("contract", [7; 32]), |all, (name, kind)| all.with_key(name, kind));
    Arc::new(SoftwareHsm::in_memory(&provision).unwrap().with_clock(SystemClock::shared()))
});

fn module() -> Fixture {
    Fixture {
        hsm: Arc::clone(&*MODULE) as Arc<dyn Hsm>,
        clock: SystemClock::shared(),
        lacks: Vec::new(),
        card_masters: card_masters(),
    }
}

pub(crate) fn card_masters() -> Vec<(u8, Vec<u8>)> {
    CARD_MASTERS.into_iter().map(|(version, _)| (version, MODULE.card_master(version).unwrap().to_vec())).collect()
}

hsm::contract_suite!(module);
