//! The sample of a record and its page in `docs/samples` is what the program makes. After a change that is meant:
//! `MADOGUCHI_WRITE_SAMPLES=1 cargo test -p key-ceremony --test sample`.

#![expect(clippy::unwrap_used, reason = "a failure in a test is to be a panic")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use hsm::{AesLength, KeyCustody, KeyKind, KeyName};
use jiff::Timestamp;
use key_ceremony::{Act, Deed, Installation, Person, PersonsProof, Record, Sealed, create, examine, key_entry};
use madoguchi_time::{Deadline, Moment};
use sim_hsm::{Provision, SoftwareHsm};

/// A terminal's HSM is set up that holds the master of its cards already.
fn sample() -> Sealed {
    let soon = Deadline::at(Moment::since_start(Duration::from_secs(60)));
    let hsm = SoftwareHsm::in_memory(&Provision::empty("sample", [1; 32])).unwrap();
    hsm.create(&KeyName::card_master(1), KeyKind::CardMaster(AesLength::Aes128), soon).unwrap();
    let installation = Installation { is_simulated: true, ..Installation::terminal("SIM-TERMINAL-1", &[1]) };
    let persons = Person::declared(["窓口 花子", "鍵山 守"]).unwrap();
    let began_at: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
    let mut record = Record::begin(Act::Init, &installation, &hsm, persons, PersonsProof::Declared, began_at);
    let examination = examine(&hsm, &installation, soon).unwrap();
    record.honesty = Some((&examination.honesty).into());
    record.keys.extend(examination.found.iter().map(|key| key_entry(&hsm, key, Deed::Found, soon).unwrap()));
    record.keys.extend(examination.missing.iter().map(|(name, kind)| create(&hsm, name, *kind, soon).unwrap()));
    // Another release is no other sample.
    record.program = "0".to_owned();
    record.seal("2026-04-01T00:05:00Z".parse().unwrap()).unwrap()
}

#[test]
fn the_sample_is_what_the_program_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples");
    let sample = sample();
    for (name, made) in [("key-ceremony.json", sample.json.clone()), ("key-ceremony.html", sample.page().into_bytes())]
    {
        let path = folder.join(name);
        if std::env::var_os("MADOGUCHI_WRITE_SAMPLES").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(made == kept, "{name} is not as the program makes it; see the head of this test");
    }
    assert!(sample.record.simulated && sample.page().contains("SIMULATED"));
}
