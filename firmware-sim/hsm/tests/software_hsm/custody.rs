//! Custody of the software HSM's keys: the suite of the port, and what is kept in the file.

use std::sync::Arc;

use hsm::custody::contract::Fixture;
use hsm::custody::fingerprint;
use hsm::{Hsm, KeyCustody, KeyKind, KeyName};
use madoguchi_time::SystemClock;
use sim_hsm::{Provision, SoftwareHsm};

use crate::soon;

fn module() -> Fixture {
    let module =
        SoftwareHsm::in_memory(&Provision::empty("custody", [5; 32])).unwrap().with_clock(SystemClock::shared());
    Fixture { custody: Arc::new(module), clock: SystemClock::shared() }
}

hsm::custody_contract_suite!(module);

#[test]
fn what_is_made_and_destroyed_is_so_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module");
    let provision = Provision::empty("file", [5; 32]);
    let module = SoftwareHsm::create(&path, &provision).unwrap();
    let [kept, gone] = ["kept", "gone"].map(KeyName::new);
    module.create(&kept, KeyKind::Hmac, soon()).unwrap();
    module.create(&gone, KeyKind::RecordKey, soon()).unwrap();
    // What was made one by one is what would have been provisioned.
    let provisioned = SoftwareHsm::in_memory(&provision.with_key(kept.clone(), KeyKind::Hmac)).unwrap();
    let print = |module: &SoftwareHsm| fingerprint(module, &kept, KeyKind::Hmac, soon()).unwrap();
    assert_eq!(print(&module), print(&provisioned));

    // Another process destroys one, and this one does not write it back.
    let other = SoftwareHsm::open(&path).unwrap();
    other.destroy(&gone, soon()).unwrap();
    let third = KeyName::new("third");
    module.create(&third, KeyKind::EcP256, soon()).unwrap();
    let read = SoftwareHsm::open(&path).unwrap();
    assert_eq!(read.keys(soon()).unwrap(), [kept.clone(), third]);
    assert_eq!(print(&read), print(&module));
}
