//! The module's file: what is written can be read, what was damaged is refused, and a seed makes the same module again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hsm::{AesLength, Hsm, HsmError, KeyKind, KeyName, SignatureAlgorithm};
use sim_hsm::{Provision, SoftwareHsm};

use crate::soon;

const CARD: &[u8; 10] = b"0123456789";

fn provision(seed: u8) -> Provision {
    Provision::terminal([seed; 32])
        .with_card_master(0x30, AesLength::Aes256)
        .with_key(KeyName::new("p384"), KeyKind::EcP384)
        .with_key(KeyName::new("鍵"), KeyKind::Rsa2048)
}

/// What can be seen of a module's keys from outside.
fn fingerprint(module: &SoftwareHsm) -> Vec<Vec<u8>> {
    let mut seen = vec![module.identity().serial.into_bytes()];
    for name in module.keys(soon()).unwrap() {
        seen.push(name.as_str().as_bytes().to_vec());
        seen.extend(module.public_key(&name, soon()));
        seen.extend(module.mac(&name, b"message", soon()).map(|mac| mac.to_vec()));
        seen.extend(module.derive_record_key(&name, b"context", soon()).map(|key| key.to_vec()));
    }
    let card = module.card_static_keys(0x30, CARD, 32).unwrap();
    seen.extend([card.enc, card.mac, card.dek].map(|key| key.to_vec()));
    seen
}

#[test]
fn a_module_is_found_again_as_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm");
    let made = SoftwareHsm::create(&path, &provision(1)).unwrap();
    let found = SoftwareHsm::open(&path).unwrap();
    assert_eq!(fingerprint(&made), fingerprint(&found));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
    assert!(found.identity().serial.starts_with("SIM-"));
    assert!(fs::read_to_string(&path).unwrap().contains("SIMULATED"));
}

#[test]
fn a_module_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm");
    let keys = Provision::terminal([1; 32]);
    SoftwareHsm::create(&path, &keys).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        SoftwareHsm::create(&path, &Provision::terminal([2; 32])),
        Err(HsmError::Failed { function: "create", .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no half-made file stays");
}

#[test]
fn the_seed_makes_the_keys() {
    let made = |provision: Provision| fingerprint(&SoftwareHsm::in_memory(&provision).unwrap());
    let small = |label, seed| {
        Provision::empty(label, [seed; 32])
            .with_card_master(0x30, AesLength::Aes256)
            .with_key(KeyName::new("p256"), KeyKind::EcP256)
            .with_key(KeyName::new("hmac"), KeyKind::Hmac)
    };
    assert_eq!(made(small("one", 1)), made(small("one", 1)));
    for other in [made(small("one", 2)), made(small("two", 1))] {
        let first = made(small("one", 1));
        // The names stay; everything else differs.
        let same: Vec<_> = first.iter().filter(|item| other.contains(item)).collect();
        assert_eq!(same, [&b"card-master-30".to_vec(), &b"hmac".to_vec(), &b"p256".to_vec()]);
    }
    let with_one_more = made(small("one", 1).with_key(KeyName::new("a"), KeyKind::EcP256));
    assert!(made(small("one", 1)).iter().all(|item| with_one_more.contains(item)));
}

/// Every single byte of the file, every length of it, and contents that a valid checksum covers.
#[test]
fn damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm");
    SoftwareHsm::create(&path, &Provision::terminal([1; 32]).with_card_master(0x30, AesLength::Aes128)).unwrap();
    let good = fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        // A new file each time: for an overwritten one, some file systems wait for the disk.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        SoftwareHsm::open(&path)
    };
    let damaged = |what: String, bytes: &[u8]| {
        let result = open(bytes);
        assert!(matches!(result, Err(HsmError::Damaged(_))), "{what}: {result:?}");
    };
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x04;
        damaged(format!("byte {at}"), &changed);
        damaged(format!("cut to {at} bytes"), &good[..at]);
    }
    damaged("a byte more".to_owned(), &[good.as_slice(), b"\n"].concat());
    damaged("too long".to_owned(), &vec![b' '; 2 << 20]);

    let text = String::from_utf8(good.clone()).unwrap();
    let line = text.lines().next().unwrap();
    let record = &line[line.rfind(r#"{"name""#).unwrap()..line.len() - 2];
    for (from, to) in [
        (r#""format":1"#, r#""format":2"#),
        (r#""kind":"hmac""#, r#""kind":"hmacs""#),
        (r#""kind":"hmac""#, r#""kind":"ec-p256""#),
        (r#""kind":"ec-p256""#, r#""kind":"rsa-2048""#),
        (r#""kind":"card-master-aes-128""#, r#""kind":"card-master-aes-256""#),
        (r#""material":""#, r#""material":"0""#),
        (r#""material":""#, r#""material":"zz"#),
        (r#""keys":["#, r#""keys":{"#),
        ("}]}", &format!("}},{record}]}}")),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        damaged(format!("{from} to {to}"), with_checksum(&changed).as_bytes());
    }
    assert!(open(with_checksum(line).as_bytes()).is_ok());
    assert!(open(&good).is_ok());
}

fn with_checksum(line: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("{line}\n{}\n", hex::encode(Sha256::digest(line)))
}

#[test]
fn a_missing_module_and_an_unreadable_one_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(SoftwareHsm::open(&folder.path().join("none")), Err(HsmError::Unreachable)));
    assert!(matches!(SoftwareHsm::open(folder.path()), Err(HsmError::Failed { .. })));
    let nowhere = Path::new("none").join("hsm");
    let result = SoftwareHsm::create(&folder.path().join(nowhere), &Provision::terminal([1; 32]));
    assert!(matches!(result, Err(HsmError::Failed { function: "create", .. })));
}

#[test]
fn an_unplugged_module_is_unreachable_until_it_is_back() {
    let module = SoftwareHsm::in_memory(&Provision::terminal([1; 32])).unwrap();
    let key = KeyName::new(KeyName::LOG_SIGNING);
    let sign = || module.sign(&key, SignatureAlgorithm::EcdsaP256Sha256, b"message", soon());
    for calls in 0..3 {
        module.unplug_after(calls);
        for _ in 0..calls {
            sign().unwrap();
        }
        for _ in 0..2 {
            assert!(matches!(sign(), Err(HsmError::Unreachable)));
        }
        module.plug_in();
        sign().unwrap();
    }
}

#[test]
fn nothing_secret_is_printed() {
    let module = SoftwareHsm::in_memory(&provision(1)).unwrap();
    let printed = format!("{module:?}{:?}", module.card_static_keys(0x30, CARD, 16).unwrap());
    let serial = module.identity().serial;
    assert_eq!(printed, format!("SoftwareHsm {{ serial: {serial:?}, .. }}CardKeys {{ .. }}"));
}
