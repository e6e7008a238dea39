//! The terminal issues through pcscd.

use authority::store::{IssueKey, SqliteStore, State, Store};
use jpki::CertificateKind;
use madoguchi_time::SystemClock;

use crate::place::{OPERATOR, PROGRAM, Place, Served, Town};

/// The first serial numbers of a new authority.
const SERIALS: std::ops::Range<u64> = 2_000_001..2_000_033;

#[test]
fn both_certificates_are_issued_and_renewed_through_pcscd() {
    let (town, place) = (Town::new(), Place::new());
    let mut served = Served::start(&town.world_folder(), &place);
    let state = town.world_folder();
    let reader = format!("pcsc:{}", place.pcscd.reader_name(0));
    let order = ["--operator", OPERATOR, "--json", "--state", state.to_str().unwrap()];
    let run = |command: &[&str]| place.run(PROGRAM, command.iter().chain(&order));
    let issue = ["issue", "--resident", &town.resident];

    // The card's memory has one owner.
    let refused = run(&issue);
    assert_eq!(refused.status(), Some(1));
    assert_eq!(refused.document()["error"]["code"], "world-card-in-use");

    let before = served.status()["apdus"].as_u64().unwrap();
    let issued = run(&[&issue[..], &["--reader", &reader]].concat()).succeeds().document();
    let passed = served.status()["apdus"].as_u64().unwrap() - before;
    assert!(issued["card"]["apdus"].as_u64().unwrap() <= passed, "all of it went through pcscd: {issued:#}");

    let shown = run(&["card", "show", "--reader", "pcsc"]).succeeds().document();
    for slot in shown["slots"].as_array().unwrap() {
        assert_eq!((&slot["active"], &slot["pending"]), (&true.into(), &false.into()), "{shown:#}");
    }
    run(&[&issue[..], &["--renew", "--kind", "authentication", "--reader", &reader]].concat()).succeeds();
    served.say("remove");
    assert_eq!(served.hear()["told"], "removed");
    let gone = run(&["card", "show", "--reader", "pcsc:no such reader"]);
    assert_eq!(gone.document()["error"]["code"], "reader-no-reader");
    let mistyped = run(&["card", "show", "--reader", "RC-S300"]);
    assert_eq!(mistyped.document()["error"]["code"], "sim-unknown-reader");
    drop(served);

    let world = town.world();
    let card = world.card_on_reader(SystemClock::shared()).unwrap().unwrap();
    let store = SqliteStore::open(&world.folder().authority().join("store.sqlite"), [0; 2]).unwrap();
    for kind in CertificateKind::BOTH {
        let issues = SERIALS.filter_map(|serial| store.issue(IssueKey::Serial(kind, serial)).unwrap());
        let valid: Vec<_> = issues.filter(|issue| issue.state == State::Valid).map(|issue| issue.sha256).collect();
        let slots = card.slots(kind).unwrap();
        assert_eq!(slots.active.map(|active| vec![active]), Some(valid), "{kind:?}");
        assert!(slots.active_fits && !slots.pending_key, "{kind:?}");
    }
}
