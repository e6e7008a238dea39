//! A module's file written by hand, with keys whose results are known from elsewhere. Files of this format stay readable.
#![expect(clippy::unwrap_used, reason = "a failure in a test is to be a panic")]

use std::time::Duration;

use hsm::{Hsm, KeyName, SignatureAlgorithm};
use madoguchi_time::{Deadline, Moment};
use sha2::{Digest, Sha256};
use sim_hsm::SoftwareHsm;

/// The key of RFC 6979 appendix A.2.5, as PKCS #8.
const P256: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420\
    c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a144034200\
    0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

/// 00 01 02 … 1f.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn module() -> SoftwareHsm {
    let keys = [("p256", "ec-p256", P256), ("record", "record-key", SECRET), ("hmac", "hmac", SECRET)]
        .map(|(name, kind, material)| format!(r#"{{"name":"{name}","kind":"{kind}","material":"{material}"}}"#));
    let line = format!(r#"{{"notice":"simulated","format":1,"serial":"SIM-1","keys":[{}]}}"#, keys.join(","));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm");
    std::fs::write(&path, format!("{line}\n{}\n", hex::encode(Sha256::digest(&line)))).unwrap();
    SoftwareHsm::open(&path).unwrap()
}

fn soon() -> Deadline {
    Deadline::at(Moment::since_start(Duration::from_secs(10)))
}

#[test]
fn ecdsa_as_in_rfc_6979() {
    let signature =
        module().sign(&KeyName::new("p256"), SignatureAlgorithm::EcdsaP256Sha256, b"sample", soon()).unwrap();
    // The r and s of appendix A.2.5, in DER.
    let expected = "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
        022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    assert_eq!(hex::encode(signature), expected);
}

/// The expected values are OpenSSL's (`openssl mac … CMAC`, over the two inputs of the PRF) and Python's (`hmac`).
#[test]
fn secret_keys_as_computed_by_others() {
    let record_key = module().derive_record_key(&KeyName::new("record"), b"context", soon()).unwrap();
    assert_eq!(hex::encode(&*record_key), "94dacf38b24c5d2ad7d268b40231ea777599994c9db4dab8a14e7e9f9a7ece16");
    let mac = module().mac(&KeyName::new("hmac"), b"message", soon()).unwrap();
    assert_eq!(hex::encode(mac), "6297b77508a1a30ea4dfadd8f847c31b49aba45de10a79daf721d3f7ec112a24");
}
