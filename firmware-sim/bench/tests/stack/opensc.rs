//! OpenSC reads what the terminal has written.

use std::fs;

use authority::store::{IssueKey, SqliteStore, State, Store};
use jpki::CertificateKind;
use madoguchi_sim::authority::AuthorityFolder;

use crate::place::{Place, Served, Town};

#[test]
fn opensc_reads_what_the_authority_has_issued() {
    let (town, place) = (Town::issued(), Place::new());
    let issued = issued(&town);
    let _served = Served::start(&town.world_folder(), &place);

    assert_eq!(place.run("opensc-tool", ["--name"]).succeeds().out().trim(), "jpki", "as OpenSC names the card");
    let dump = place.run("pkcs15-tool", ["--dump"]).succeeds().out();
    assert!(dump.contains("PKCS#15 Card [JPKI]"), "{dump}");
    let lines_with = |text: &str| dump.lines().filter(|line| line.contains(text)).collect::<Vec<_>>();
    assert_eq!(lines_with("Tries left").iter().map(|line| &line[line.len() - 1..]).collect::<Vec<_>>(), ["3", "5"]);
    assert_eq!(lines_with("X.509 Certificate").len(), 4, "{dump}");
    // The two private keys; of public ones, OpenSC does not say.
    let lengths = lines_with("ModLength");
    assert_eq!(lengths.iter().filter(|line| line.ends_with(": 2048")).count(), 2, "{dump}");

    let read = |id: &str, more: &[&str]| {
        let file = place.path(id);
        let done =
            place.run("pkcs15-tool", [&["--read-certificate", id, "-o", file.to_str().unwrap()][..], more].concat());
        done.status().filter(|status| *status == 0).map(|_| {
            let pem = fs::read(&file).unwrap();
            let (label, der) = der::pem::decode_vec(&pem).unwrap();
            assert_eq!(label, "CERTIFICATE");
            der
        })
    };
    let [authentication, signature, authentication_ca, signature_ca] = issued.map(Some);
    assert_eq!(read("1", &[]), authentication);
    assert_eq!(read("2", &[]), None, "the signing certificate names its holder, and is for who knows the PIN");
    let pin = town.pin(CertificateKind::Signature);
    assert_eq!(read("2", &["--verify-pin", "--auth-id", "2", "--pin", &pin]), signature);
    assert_eq!(read("3", &[]), authentication_ca);
    assert_eq!(read("4", &[]), signature_ca);
}

/// Certificates by their numbers in OpenSC, as the authority has them.
fn issued(town: &Town) -> [Vec<u8>; 4] {
    let folder = town.world().folder().authority();
    let ca = AuthorityFolder::new(folder.clone()).certificates().unwrap();
    let store = SqliteStore::open(&folder.join("store.sqlite"), [0; 2]).unwrap();
    let valid = |kind| {
        let mut issues =
            (2_000_001..2_000_033).filter_map(|serial| store.issue(IssueKey::Serial(kind, serial)).unwrap());
        issues.find(|issue| issue.state == State::Valid).unwrap().certificate
    };
    [
        valid(CertificateKind::Authentication),
        valid(CertificateKind::Signature),
        ca.authentication_ca.clone(),
        ca.signature_ca.clone(),
    ]
}
