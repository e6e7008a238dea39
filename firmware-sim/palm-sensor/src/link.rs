//! The secure link (§5), the sensor's side: its keys, what it proves with them, and the sessions that come of it.

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use biometric::hid::protocol::link::{
    APPLICATION_KEYS, BLOCK, CONNECT, FIRMWARE_HEADER, MASTER_SECRET, PUBLIC_KEY, REQUEST, SIGNATURE,
};
use biometric::hid::{InvalidModelKey, ModelKey, TrustedModels};
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What the secret keys of simulated models and devices are derived from. Everybody can read it: no terminal may trust them.
const OPEN_SECRET: &[u8] = b"Madoguchi simulated palm sensor: these keys are public";

/// A sensor's keys and certificate: its maker signed the device's key, the device signs its firmware's key at power-up.
pub struct DeviceKeys {
    firmware_secret: SecretKey,
    /// Keys of model, device and firmware, digest of the firmware, signatures of model and device.
    claim: Vec<u8>,
}

impl DeviceKeys {
    /// Certifies a device of a model that runs the firmware with this digest.
    #[must_use]
    pub fn certify(model: &SecretKey, device: &SecretKey, firmware_secret: SecretKey, firmware: [u8; BLOCK]) -> Self {
        let (device_key, firmware_key) = (point(&device.public_key()), point(&firmware_secret.public_key()));
        let by_model = sign(model, &device_key);
        let by_device = sign(device, &[&FIRMWARE_HEADER[..], &firmware, &firmware_key].concat());
        let model_key = point(&model.public_key());
        let claim = [&model_key[..], &device_key, &firmware_key, &firmware, &by_model, &by_device].concat();
        Self { firmware_secret, claim }
    }

    /// Those of the simulated device with this serial number, as of a power-up of it.
    #[must_use]
    pub fn simulated(serial: &str) -> Self {
        let firmware = Sha256::digest(concat!("simulated firmware ", env!("CARGO_PKG_VERSION")));
        Self::certify(
            &open_secret("model"),
            &open_secret(&format!("device {serial}")),
            SecretKey::random(&mut OsRng),
            firmware.into(),
        )
    }

    /// Answers ATTEST with a random number that was never used before. `None` if the request has no point of the curve.
    pub(crate) fn attest(&self, random: [u8; BLOCK], request: &[u8]) -> Option<(Vec<u8>, Session)> {
        let (theirs, host_key) = request.split_first_chunk::<BLOCK>().filter(|_| request.len() == REQUEST)?;
        let host_key = PublicKey::from_sec1_bytes(host_key).ok()?;
        let agreed = p256::ecdh::diffie_hellman(self.firmware_secret.to_nonzero_scalar(), host_key.as_affine());
        let session = Session::begin(agreed.raw_secret_bytes(), theirs, &random);
        let mac = session.mac(CONNECT, &[&Sha256::digest(&self.claim)]);
        Some(([&random[..], &self.claim, &mac].concat(), session))
    }
}

/// The model of simulated sensors. Its secret key is public.
///
/// # Errors
/// None: the secret key is a constant.
pub fn simulated_model() -> Result<ModelKey, InvalidModelKey> {
    ModelKey::from_sec1(&point(&open_secret("model").public_key()))
}

/// What hosts of tests and demonstrations trust: simulated sensors and nothing else.
#[must_use]
pub fn trusted_by_tests() -> TrustedModels {
    TrustedModels::new(simulated_model())
}

fn open_secret(name: &str) -> SecretKey {
    let mut digest = Sha256::new().chain_update(OPEN_SECRET).chain_update(name).finalize();
    loop {
        // One digest in 2^32 is none.
        match SecretKey::from_slice(&digest) {
            Ok(secret) => return secret,
            Err(_) => digest = Sha256::digest(digest),
        }
    }
}

fn point(key: &PublicKey) -> [u8; PUBLIC_KEY] {
    let mut bytes = [0; PUBLIC_KEY];
    bytes.copy_from_slice(key.to_encoded_point(false).as_bytes());
    bytes
}

fn sign(key: &SecretKey, message: &[u8]) -> [u8; SIGNATURE] {
    let signature: Signature = SigningKey::from(key).sign(message);
    signature.to_bytes().into()
}

/// Keys that a host and the sensor share, for one channel.
pub(crate) struct Session {
    mac: Zeroizing<[u8; BLOCK]>,
    cipher: Zeroizing<[u8; BLOCK]>,
}

impl Session {
    fn begin(agreed: &[u8], host_random: &[u8], own_random: &[u8]) -> Self {
        let master = expand(agreed, 1, MASTER_SECRET, &[host_random, own_random], BLOCK);
        Self {
            mac: expand(&*master, 1, APPLICATION_KEYS, &[], 2 * BLOCK),
            cipher: expand(&*master, 2, APPLICATION_KEYS, &[], 2 * BLOCK),
        }
    }

    /// The MAC of these parts, under the label.
    pub(crate) fn mac(&self, label: &[u8], parts: &[&[u8]]) -> [u8; BLOCK] {
        *hmac(&*self.mac, &[&[label, &[0]], parts].concat())
    }

    /// Enciphers an encoded picture in place. Each has a number of its own.
    pub(crate) fn encipher(&self, frame: u32, stream: &mut [u8]) {
        let counter = u128::from(frame) << 96;
        ctr::Ctr32BE::<Aes256>::new((&*self.cipher).into(), &counter.to_be_bytes().into()).apply_keystream(stream);
    }
}

/// Block `number` of NIST SP 800-108 in counter mode, of `total` bytes in all.
fn expand(key: &[u8], number: u32, label: &[u8], context: &[&[u8]], total: usize) -> Zeroizing<[u8; BLOCK]> {
    let (number, bits) = (number.to_be_bytes(), (total as u32 * 8).to_be_bytes());
    hmac(key, &[&[&number, label, &[0]], context, &[&bits]].concat())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; BLOCK]> {
    // Keys are not longer than SHA-256's block, so they are used as they are.
    let mut padded = Zeroizing::new([0; 64]);
    padded[..key.len().min(64)].copy_from_slice(&key[..key.len().min(64)]);
    let mut mac = <Hmac<Sha256> as Mac>::new((&*padded).into());
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use biometric::hid::protocol::link::{INFO, SAMPLE};

    /// What the host's side is held to as well: computed with another library.
    #[test]
    fn the_sensors_side_is_that_of_another_implementation() {
        let text = include_str!("../../../docs/protocols/vectors/palm-sensor-link.json");
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        let get = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
        let secret = |name: &str| SecretKey::from_slice(&get(name)).unwrap();
        let keys = DeviceKeys::certify(
            &secret("model_secret"),
            &secret("device_secret"),
            secret("firmware_secret"),
            get("firmware").try_into().unwrap(),
        );
        assert_eq!(keys.claim, get("claim"));
        let (answer, session) = keys.attest(get("sensor_random").try_into().unwrap(), &get("attest_request")).unwrap();
        assert_eq!(answer, get("attest_answer"));
        for (label, request, answer) in
            [(INFO, Vec::new(), get("info_answer")), (SAMPLE, get("capture_request"), get("retry_answer"))]
        {
            let (statement, mac) = answer.split_at(answer.len() - BLOCK);
            assert_eq!(session.mac(label, &[&request, statement])[..], *mac);
        }
        let mut stream = get("stream");
        session.encipher(u32::from_be_bytes(get("frame").try_into().unwrap()), &mut stream);
        assert_eq!(stream, get("enciphered"));

        let mut off_the_curve = get("attest_request");
        off_the_curve[40] ^= 1;
        assert!(keys.attest([0; BLOCK], &off_the_curve).is_none());
    }
}
