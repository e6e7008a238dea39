//! A module's file written by hand, with keys whose results are known from elsewhere. Files of this format stay readable.

use hsm::{Hsm, KeyName, Sealed, SessionDerivation, SignatureAlgorithm, sealing};
use sha2::{Digest, Sha256};
use sim_hsm::SoftwareHsm;

use crate::soon;

/// The key of RFC 6979 appendix A.2.5, as PKCS #8.
const P256: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420\
    c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a144034200\
    0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

/// 00 01 02 … 1f.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn module() -> SoftwareHsm {
    let keys = [
        ("p256", "ec-p256", P256),
        ("record", "record-key", SECRET),
        ("hmac", "hmac", SECRET),
        ("card-master-30", "card-master-aes-256", SECRET),
    ]
    .map(|(name, kind, material)| format!(r#"{{"name":"{name}","kind":"{kind}","material":"{material}"}}"#));
    let line = format!(r#"{{"notice":"simulated","format":1,"serial":"SIM-1","keys":[{}]}}"#, keys.join(","));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hsm");
    std::fs::write(&path, format!("{line}\n{}\n", hex::encode(Sha256::digest(&line)))).unwrap();
    SoftwareHsm::open(&path).unwrap()
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
    assert_eq!(hex::encode(*record_key), "94dacf38b24c5d2ad7d268b40231ea777599994c9db4dab8a14e7e9f9a7ece16");
    let mac = module().mac(&KeyName::new("hmac"), b"message", soon()).unwrap();
    assert_eq!(hex::encode(mac), "6297b77508a1a30ea4dfadd8f847c31b49aba45de10a79daf721d3f7ec112a24");
}

/// Static keys by `docs/protocols/card-issuing.md` §8, session keys by Amendment D §6.2.1; computed with `openssl mac … CMAC`.
#[test]
fn card_keys_as_computed_by_openssl() {
    let known = [
        (
            16,
            "746a0f6c264e661ab2f2bc14dd95a73d",
            "09435bd327ee312d06be1b8a00d85ef3",
            "c945d5aa6ecf4ec9d5ab325e079f9088",
            "cd3d9a2c17d8ec5d6886b356f366255d",
        ),
        (
            24,
            "0c1f269aca2efe0698ca093f2d76cab021e39d367f88c937",
            "1781738ec61565d057de70a5429a3a83242359a73b87a1c1",
            "321f6ab1bd23fef45a2b3b28a48e57ff95f8aa7a1180d744",
            "a38dd74b2fcf29e3d89c8453ec7c90623bda20a10945b219",
        ),
        (
            32,
            "73c444fc67a6e45dfaa38327de1306ddd8de12fa4b40d00491167d1be022c821",
            "82632cf0fda46c3e8af23ae11628f57edb817a6a647588356e112de98d724e17",
            "3d0d5b2681d09570ae1754269b3b997feb28405dd020d8e24491a31ae3d1deab",
            "d3aad54fdeea2e6346828bd7d0a60630c98d78236ee81fb57232477085fe7246",
        ),
    ];
    let module = module();
    for (key_length, dek, enc, mac, rmac) in known {
        let card = module.card_static_keys(0x30, b"0123456789", key_length).unwrap();
        assert_eq!(hex::encode(&*card.dek), dek);
        let derivation = SessionDerivation {
            key_version: 0x30,
            diversification: *b"0123456789",
            key_length,
            host_challenge: vec![0x48; 8],
            card_challenge: vec![0x43; 8],
        };
        let keys = module.derive_session(&derivation, soon()).unwrap();
        assert_eq!([&keys.enc, &keys.mac, &keys.rmac].map(hex::encode), [enc, mac, rmac]);
    }
}

/// "plaintext", sealed under [`SECRET`] with the salt 40 … 4f and the nonce 60 … 6b. Computed in Python, with AES-256-GCM-SIV
/// written after RFC 8452 and checked against its appendix C.2.
const SEALED: &str =
    "01404142434445464748494a4b4c4d4e4f606162636465666768696a6b1f9ce88b1335893ea9f1fde935408de73eaa4e80086ae5541b";

/// Derivation, cipher and encoding are what the port's documentation says, and stay so for as long as there is version 1.
#[test]
fn a_record_sealed_elsewhere_opens() {
    let sealed = Sealed::from_bytes(&hex::decode(SEALED).unwrap()).unwrap();
    let opened = sealing::open(&module(), &KeyName::new("record"), "purpose", b"aad", &sealed, soon()).unwrap();
    assert_eq!(*opened, b"plaintext");
}
