//! The keys that every simulated card carries for its face, published with it. On a real card each is the card's or its
//! issuer's own secret.

use std::sync::LazyLock;

use jpki::card::cv;
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};

use crate::keys::PrivateKey;
use crate::resident::digest_info;
use crate::tlv;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SimulatedKey {
    /// Above the card-verifiable certificates.
    Issuer,
    /// The municipality's: signs what stands on the face.
    Municipality,
    /// Signs in 券面事項確認AP.
    FaceCheck,
    /// Signs in 券面事項入力補助AP.
    FaceInput,
    /// Deciphers session keys in 券面事項入力補助AP.
    Session,
    /// Answers INTERNAL AUTHENTICATE in 共通カードAP.
    Common,
}

static KEYS: [LazyLock<Option<PrivateKey>>; 6] = [
    LazyLock::new(|| read(include_bytes!("../data/keys/issuer.der"))),
    LazyLock::new(|| read(include_bytes!("../data/keys/municipality.der"))),
    LazyLock::new(|| read(include_bytes!("../data/keys/check.der"))),
    LazyLock::new(|| read(include_bytes!("../data/keys/input.der"))),
    LazyLock::new(|| read(include_bytes!("../data/keys/session.der"))),
    LazyLock::new(|| read(include_bytes!("../data/keys/common.der"))),
];

fn read(der: &[u8]) -> Option<PrivateKey> {
    RsaPrivateKey::from_pkcs1_der(der).ok().map(|key| PrivateKey::Rsa(Box::new(key)))
}

impl SimulatedKey {
    /// The key; none if this program was built with a damaged one.
    pub(crate) fn private(self) -> Option<&'static PrivateKey> {
        KEYS[self as usize].as_ref()
    }

    /// The RSA key, for deciphering.
    pub(crate) fn rsa(self) -> Option<&'static RsaPrivateKey> {
        match self.private()? {
            PrivateKey::Rsa(key) => Some(key),
            PrivateKey::P384(_) => None,
        }
    }

    /// The public key as the card's files have it: exponent, then modulus.
    pub(crate) fn public(self) -> Option<Vec<u8>> {
        let key = self.rsa()?;
        let mut public = Vec::with_capacity(265);
        tlv::push_in_file(&mut public, cv::TAG_EXPONENT.into(), &key.e().to_bytes_be());
        tlv::push_in_file(&mut public, cv::TAG_MODULUS.into(), &key.n().to_bytes_be());
        Some(public)
    }

    /// Signature over `data`: PKCS #1 v1.5 with SHA-256.
    pub(crate) fn sign(self, data: &[u8]) -> Option<Vec<u8>> {
        self.private()?.sign(&digest_info(&Sha256::digest(data)))
    }
}
