//! What is issued is what was applied for, by the terminal's own check, in both generations.

use authority::{Config, SetupError};
use authority_link::{Answer, Confirmation, Request};
use der::Decode;
use jpki::{CertificateKind, Expected, check, oid};
use sim_hsm::SoftwareHsm;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::fixtures::{CardKey, Issued, World, application, authority_keys, municipality, next_generation};

fn passes_the_terminals_check(config: &Config, key: impl Fn(&World) -> CardKey) {
    for kind in CertificateKind::BOTH {
        // A world of its own for each: a key is certified only once.
        let world = World::new(config);
        let counter = &world.counters[0];
        let key = key(&world);
        let request = world.certification(counter, kind, &key, None);
        let Answer::Issued { certificate, ca_certificate, .. } = world.ask(counter, request, world.transaction())
        else {
            panic!("not issued");
        };
        assert_eq!(ca_certificate.as_deref(), Some(world.ca(kind)));
        // The signing certificate repeats the name that the request chose.
        let view = Certificate::from_der(&certificate).unwrap();
        let common_name = view.tbs_certificate.subject.0.last().unwrap().0.get(0).unwrap().value.value().to_vec();
        let common_name = String::from_utf8(common_name).unwrap();
        let request_name = match kind {
            CertificateKind::Signature => common_name,
            CertificateKind::Authentication => counter.request_name(0),
        };
        let expected = Expected {
            kind,
            application: &application(),
            spki: &key.spki(),
            issuer: world.ca(kind),
            request_name: &request_name,
            profile: &config.issuing,
            environment: &config.certificates,
            municipality: &municipality(),
            ocsp_uri: Some(&config.ocsp_url),
            now: world.now(),
            renewal: false,
            limits: &[],
            predecessor: None,
        };
        check(&certificate, &expected).expect("what was applied for");
        assert!(certificate.len() <= jpki::card::MAX_CERTIFICATE);
    }
}

#[test]
fn a_certificate_of_2016_passes_the_terminals_check() {
    passes_the_terminals_check(&Config::default(), |_| CardKey::rsa());
}

#[test]
fn a_certificate_of_the_next_generation_passes_the_terminals_check() {
    passes_the_terminals_check(&next_generation(), World::card_key);
}

#[test]
fn the_names_stand_in_the_order_of_the_test_card_with_ours_after_them() {
    let world = World::new(&next_generation());
    let issued = world.issue(&world.counters[0], CertificateKind::Signature, None);
    let certificate = Certificate::from_der(&issued.certificate).unwrap();
    let (critical, names) = certificate.tbs_certificate.get::<SubjectAltName>().unwrap().unwrap();
    assert!(!critical);
    let ids: Vec<String> = names
        .0
        .iter()
        .map(|name| match name {
            GeneralName::OtherName(name) => name.type_id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        ids,
        [
            oid::NAME,
            oid::BIRTH,
            oid::SEX,
            oid::ADDRESS,
            oid::NAME_SUBSTITUTED,
            oid::ADDRESS_SUBSTITUTED,
            oid::ALIAS,
            oid::ALIAS_SUBSTITUTED
        ]
    );
}

#[test]
fn a_renewal_reaches_one_birthday_further_and_serials_follow_each_other() {
    let world = World::new(&Config { issuing_years: 20, ..next_generation() });
    let counter = &world.counters[0];
    let kind = CertificateKind::Authentication;
    let year = |issued: &Issued| {
        let certificate = Certificate::from_der(&issued.certificate).unwrap();
        certificate.tbs_certificate.validity.not_after.to_date_time().year()
    };
    let old = world.issue(counter, kind, None);
    let confirm = Request::Confirm(Confirmation::by_sha256(old.sha256));
    assert_eq!(world.ask(counter, confirm, old.transaction), Answer::Confirmed);
    let early = world.issue(counter, kind, Some(&old.name));
    let serial = |issued: &Issued| {
        issued.name.serial.as_bytes().iter().fold(0u64, |serial, byte| serial << 8 | u64::from(*byte))
    };
    assert_eq!(serial(&early), serial(&old) + 1);
    // The tenth birthday after the day of issue; for a renewal in the window before the end, the eleventh.
    assert_eq!((year(&old), year(&early)), (2037, 2037));
    world.clock.set_wall("2036-06-01T01:00:00Z".parse().unwrap());
    let mut late = application();
    late.applied_on = "2036-06-01".parse().unwrap();
    let renewed = world.issue_for(counter, kind, Some(&old.name), &late);
    let new = world.issue_for(counter, kind, None, &late);
    assert_eq!((year(&renewed), year(&new)), (2047, 2046));
}

#[test]
fn an_authority_of_another_module_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let clock = madoguchi_time::SystemClock::shared();
    let config = next_generation();
    let hsm = std::sync::Arc::new(crate::fixtures::authority_hsm(&config));
    authority::initialise(dir.path(), hsm.clone(), clock.clone(), &config, &[]).unwrap();
    let again = authority::initialise(dir.path(), hsm.clone(), clock.clone(), &config, &[]);
    assert!(matches!(again, Err(SetupError::AlreadyInitialised(_))));
    let opened = authority::open(dir.path(), hsm, clock.clone()).unwrap();
    assert!(opened.certificates().unwrap() == authority::certificates(dir.path()).unwrap());
    let other = std::sync::Arc::new(SoftwareHsm::in_memory(&authority_keys(&config.issuing, 2)).unwrap());
    assert!(matches!(authority::open(dir.path(), other, clock), Err(SetupError::KeyMismatch { .. })));
}
