//! The secure link (§5), the host's side: who is at the other end, and what it says.

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr32BE;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::protocol::link::{
    self, ANSWER, APPLICATION_KEYS, BLOCK, CLAIM, CONNECT, FIRMWARE_HEADER, MASTER_SECRET, PUBLIC_KEY, SIGNATURE,
};
use super::trust::{ModelKey, TrustedModels};
use crate::SensorError;

/// What the host says first, and its half of the keys.
pub(super) struct Greeting {
    secret: SecretKey,
    random: [u8; BLOCK],
}

impl Greeting {
    /// With a secret and a random number that were never used before.
    pub(super) fn new(secret: SecretKey, random: [u8; BLOCK]) -> Self {
        Self { secret, random }
    }

    /// The request ATTEST.
    pub(super) fn request(&self) -> [u8; link::REQUEST] {
        let mut request = [0; link::REQUEST];
        request[..BLOCK].copy_from_slice(&self.random);
        request[BLOCK..].copy_from_slice(self.secret.public_key().to_encoded_point(false).as_bytes());
        request
    }

    /// Judges the answer: is this a sensor of a trusted model, with firmware that is not refused, and is it here now?
    pub(super) fn answered(&self, answer: &[u8], trusted: &TrustedModels) -> Result<Link, SensorError> {
        let answer: &[u8; ANSWER] = answer.try_into().map_err(|_| TRUNCATED)?;
        let (random, rest) = answer.split_at(BLOCK);
        let (claim, mac) = rest.split_at(CLAIM);
        let parts = Claim::read(claim).ok_or(TRUNCATED)?;
        let device = parts.judge(trusted)?;

        let theirs = PublicKey::from_sec1_bytes(parts.firmware_key).map_err(|_| NOT_CERTIFIED)?;
        let shared = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), theirs.as_affine());
        let agreed: &[u8] = shared.raw_secret_bytes();
        let master = derive(agreed, MASTER_SECRET, &[&self.random[..], random].concat(), BLOCK);
        let keys = derive(&master, APPLICATION_KEYS, &[], 2 * BLOCK);
        let (mac_key, cipher_key) = keys.split_at(BLOCK);
        let link = Link { mac_key: Zeroizing::new(mac_key.to_vec()), cipher_key: to_block(cipher_key), device };
        // Whoever only repeats another's claim does not know the key of the firmware in it.
        if link.is_authentic(CONNECT, &[&Sha256::digest(claim)], mac) { Ok(link) } else { Err(NOT_CERTIFIED) }
    }
}

const TRUNCATED: SensorError = SensorError::Garbled("the sensor's certificate has the wrong length");
const NOT_CERTIFIED: SensorError = SensorError::Untrusted("it can't prove to be what it says");

/// What a sensor says of itself, in this order on the wire.
struct Claim<'a> {
    model_key: &'a [u8],
    device_key: &'a [u8],
    firmware_key: &'a [u8],
    firmware: &'a [u8],
    by_model: &'a [u8],
    by_device: &'a [u8],
}

impl<'a> Claim<'a> {
    fn read(claim: &'a [u8]) -> Option<Self> {
        let (model_key, rest) = claim.split_at_checked(PUBLIC_KEY)?;
        let (device_key, rest) = rest.split_at_checked(PUBLIC_KEY)?;
        let (firmware_key, rest) = rest.split_at_checked(PUBLIC_KEY)?;
        let (firmware, rest) = rest.split_at_checked(BLOCK)?;
        let (by_model, by_device) = rest.split_at_checked(SIGNATURE)?;
        Some(Self { model_key, device_key, firmware_key, firmware, by_model, by_device })
    }

    /// Is the chain of signatures whole, from a trusted model to the firmware's key?
    fn judge(&self, trusted: &TrustedModels) -> Result<AttestedDevice, SensorError> {
        let model = ModelKey::from_sec1(self.model_key).ok().filter(|model| trusted.knows(model));
        let model = model.ok_or(SensorError::Untrusted("its model is not in the device table"))?;
        if !is_signed(self.model_key, self.device_key, self.by_model) {
            return Err(NOT_CERTIFIED);
        }
        let statement = [&FIRMWARE_HEADER[..], self.firmware, self.firmware_key].concat();
        if !is_signed(self.device_key, &statement, self.by_device) {
            return Err(NOT_CERTIFIED);
        }
        let firmware = self.firmware.try_into().map_err(|_| TRUNCATED)?;
        if trusted.refuses_firmware(&firmware) {
            return Err(SensorError::Untrusted("its firmware is not to be used any more"));
        }
        let device_key = self.device_key.try_into().map_err(|_| TRUNCATED)?;
        Ok(AttestedDevice { model, device_key, firmware })
    }
}

fn is_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_sec1_bytes(key);
    let signature = Signature::from_slice(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(message, &signature).is_ok())
}

/// What a sensor has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttestedDevice {
    /// Which model.
    pub model: ModelKey,
    /// Which device of that model: its public key, a point of P-256, uncompressed.
    pub device_key: [u8; PUBLIC_KEY],
    /// SHA-256 of its firmware.
    pub firmware: [u8; BLOCK],
}

/// An established link.
pub(super) struct Link {
    mac_key: Zeroizing<Vec<u8>>,
    cipher_key: Zeroizing<[u8; BLOCK]>,
    device: AttestedDevice,
}

impl Link {
    pub(super) fn device(&self) -> &AttestedDevice {
        &self.device
    }

    /// Does this MAC belong to these parts, under the label?
    pub(super) fn is_authentic(&self, label: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
        let Some(mut expected) = keyed(&self.mac_key) else { return false };
        expected.update(label);
        expected.update(&[0]);
        parts.iter().for_each(|part| expected.update(part));
        expected.verify_slice(mac).is_ok()
    }

    /// Deciphers the encoded picture of that number in place.
    pub(super) fn decipher(&self, frame: u32, stream: &mut [u8]) {
        let mut start = [0; 16];
        start[..4].copy_from_slice(&frame.to_be_bytes());
        Ctr32BE::<Aes256>::new((&*self.cipher_key).into(), &start.into()).apply_keystream(stream);
    }
}

/// NIST SP 800-108 in counter mode with HMAC-SHA-256: counter, label, zero, context, bits wanted.
fn derive(key: &[u8], label: &[u8], context: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let bits = (8 * length as u32).to_be_bytes();
    let mut derived = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(BLOCK)));
    for counter in 1..=length.div_ceil(BLOCK) as u32 {
        // HMAC takes keys of any length.
        let Some(mut mac) = keyed(key) else { break };
        for part in [&counter.to_be_bytes(), label, &[0], context, &bits] {
            mac.update(part);
        }
        derived.extend_from_slice(&Zeroizing::new(<[u8; BLOCK]>::from(mac.finalize().into_bytes()))[..]);
    }
    derived.truncate(length);
    derived
}

fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).ok()
}

fn to_block(bytes: &[u8]) -> Zeroizing<[u8; BLOCK]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    block.copy_from_slice(bytes);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hid::protocol::link::{INFO, REQUEST, SAMPLE};

    /// A link that was computed with another library: `docs/protocols/vectors/palm-sensor-link.py`.
    struct Vector(serde_json::Value);

    impl Vector {
        fn read() -> Self {
            let text = include_str!("../../../../docs/protocols/vectors/palm-sensor-link.json");
            Self(serde_json::from_str(text).unwrap())
        }

        fn get(&self, name: &str) -> Vec<u8> {
            hex::decode(self.0[name].as_str().unwrap()).unwrap()
        }

        fn greeting(&self) -> Greeting {
            let secret = SecretKey::from_slice(&self.get("host_secret")).unwrap();
            Greeting::new(secret, self.get("host_random").try_into().unwrap())
        }

        fn trusted(&self) -> TrustedModels {
            TrustedModels::new([ModelKey::from_sec1(&self.get("claim")[..PUBLIC_KEY]).unwrap()])
        }

        fn link(&self) -> Link {
            self.greeting().answered(&self.get("attest_answer"), &self.trusted()).ok().unwrap()
        }
    }

    #[test]
    fn the_link_is_that_of_another_implementation() {
        let vector = Vector::read();
        assert_eq!(vector.greeting().request()[..], vector.get("attest_request"));
        let link = vector.link();
        assert_eq!((&*link.mac_key, &link.cipher_key[..]), (&vector.get("mac_key"), &vector.get("cipher_key")[..]));
        assert_eq!(link.device().firmware[..], vector.get("firmware"));
        assert_eq!(link.device().device_key[..], vector.get("claim")[PUBLIC_KEY..2 * PUBLIC_KEY]);

        for (label, request, answer) in [
            (INFO, Vec::new(), vector.get("info_answer")),
            (SAMPLE, vector.get("capture_request"), vector.get("retry_answer")),
        ] {
            let (statement, mac) = answer.split_at(answer.len() - BLOCK);
            assert!(link.is_authentic(label, &[&request, statement], mac));
            assert!(!link.is_authentic(CONNECT, &[&request, statement], mac), "the label counts");
            assert!(!link.is_authentic(label, &[&request, statement], &mac[1..]), "all of the MAC counts");
        }
        let mut stream = vector.get("enciphered");
        link.decipher(u32::from_be_bytes(vector.get("frame").try_into().unwrap()), &mut stream);
        assert_eq!(stream, vector.get("stream"));
    }

    #[test]
    fn no_byte_of_an_attestation_can_be_another() {
        let vector = Vector::read();
        let answer = vector.get("attest_answer");
        for at in 0..answer.len() {
            let mut forged = answer.clone();
            forged[at] ^= 1;
            let judged = vector.greeting().answered(&forged, &vector.trusted());
            assert!(matches!(judged, Err(SensorError::Untrusted(_))), "byte {at}");
        }
        for length in [0, answer.len() - 1, answer.len() + 1] {
            let mut forged = answer.clone();
            forged.resize(length, 0);
            let judged = vector.greeting().answered(&forged, &vector.trusted());
            assert!(matches!(judged, Err(SensorError::Garbled(_))), "{length} bytes");
        }
        // The same certificate in answer to another host, or to the same at another time, is a recording.
        let secret = SecretKey::from_slice(&vector.get("host_secret")).unwrap();
        let later = Greeting::new(secret, [7; BLOCK]).answered(&answer, &vector.trusted());
        assert!(matches!(later, Err(SensorError::Untrusted(_))));
        let another = Greeting::new(SecretKey::random(&mut rand_core::OsRng), [7; BLOCK]);
        assert!(matches!(another.answered(&answer, &vector.trusted()), Err(SensorError::Untrusted(_))));
        assert_eq!(another.request().len(), REQUEST);
    }

    #[test]
    fn only_models_of_the_table_are_sensors_and_weak_firmware_is_refused() {
        let vector = Vector::read();
        let judge = |trusted: &TrustedModels| {
            let Err(SensorError::Untrusted(why)) = vector.greeting().answered(&vector.get("attest_answer"), trusted)
            else {
                panic!("the sensor was not refused")
            };
            why
        };
        let other = SecretKey::random(&mut rand_core::OsRng).public_key().to_encoded_point(false);
        for trusted in [TrustedModels::default(), TrustedModels::new([ModelKey::from_sec1(other.as_bytes()).unwrap()])]
        {
            assert_eq!(judge(&trusted), "its model is not in the device table");
        }
        let refused = vector.trusted().without_firmware([vector.get("firmware").try_into().unwrap()]);
        assert_eq!(judge(&refused), "its firmware is not to be used any more");
    }
}
