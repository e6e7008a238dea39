//! RSA-2048, with which times are compared: the library that card, authority and terminal use, against OpenSSL.

use std::fmt;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::{Signature, SigningKey, VerifyingKey};
use rsa::signature::{Keypair, Signer, Verifier};
use serde::Serialize;
use sha2::Sha256;

use crate::Figures;
use crate::stopwatch::Stopwatch;

/// A key, and what was done with it.
pub(crate) struct Rsa {
    signing: SigningKey<Sha256>,
    verifying: VerifyingKey<Sha256>,
    sample: Signature,
    signatures: (Stopwatch, u32),
    verifications: (Stopwatch, u32),
}

const MESSAGE: &[u8] = b"what is signed does not matter";

impl Rsa {
    pub(crate) fn new() -> Self {
        const BITS: usize = 2048;
        let key = RsaPrivateKey::new(&mut ChaCha20Rng::seed_from_u64(1), BITS).expect("a key");
        let signing = SigningKey::new(key);
        let sample = signing.sign(MESSAGE);
        let verifying = signing.verifying_key();
        let (signatures, verifications) = Default::default();
        Self { signing, verifying, sample, signatures, verifications }
    }

    /// Signs once and verifies once more.
    pub(crate) fn work(&mut self) {
        let (watch, count) = &mut self.signatures;
        black_box(watch.time(|| self.signing.sign(MESSAGE)));
        *count += 1;
        let (watch, count) = &mut self.verifications;
        watch.time(|| self.verifying.verify(MESSAGE, &self.sample)).expect("a signature");
        *count += 1;
    }

    /// Mean time of one signature.
    pub(crate) fn signature(&self) -> Duration {
        self.signatures.0.read() / self.signatures.1.max(1)
    }

    /// Mean time of one verification.
    pub(crate) fn verification(&self) -> Duration {
        self.verifications.0.read() / self.verifications.1.max(1)
    }
}

#[derive(Serialize)]
pub(crate) struct Peers {
    signature_us: f64,
    verification_us: f64,
    /// None without `openssl`.
    openssl: Option<OpenSsl>,
    /// Ours to OpenSSL's.
    signature_ratio: Option<f64>,
    verification_ratio: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
struct OpenSsl {
    signature_us: f64,
    verification_us: f64,
}

impl Figures for Peers {
    const TITLE: &'static str = "RSA-2048, one core";
    const METHOD: &'static str = "processor time; mean of the signatures (PKCS #1 v1.5, SHA-256) and verifications of half a second \
        before and half a second after `openssl speed rsa2048`; crate rsa, by which card, authority and terminal compute";
}

pub(crate) fn take() -> Peers {
    let mut rsa = Rsa::new();
    work_half_a_second(&mut rsa);
    let openssl = openssl();
    work_half_a_second(&mut rsa);
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    let (signature_us, verification_us) = (microseconds(rsa.signature()), microseconds(rsa.verification()));
    Peers {
        signature_us,
        verification_us,
        openssl,
        signature_ratio: openssl.map(|peer| signature_us / peer.signature_us),
        verification_ratio: openssl.map(|peer| verification_us / peer.verification_us),
    }
}

fn work_half_a_second(rsa: &mut Rsa) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        rsa.work();
    }
}

fn openssl() -> Option<OpenSsl> {
    let output = Command::new("openssl").args(["speed", "-mr", "-seconds", "1", "rsa2048"]).output().ok()?;
    // `+F2:<number>:<bits>:<signatures per second>:<verifications per second>`
    let text = String::from_utf8(output.stdout).ok()?;
    let mut rates = text.lines().find(|line| line.starts_with("+F2:"))?.split(':').skip(3).map(str::parse::<f64>);
    let mut microseconds = || Some(1e6 / rates.next()?.ok()?);
    Some(OpenSsl { signature_us: microseconds()?, verification_us: microseconds()? })
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  crate rsa        signature {:7.0} µs   verification {:5.0} µs",
            self.signature_us, self.verification_us
        )?;
        match (&self.openssl, self.signature_ratio, self.verification_ratio) {
            (Some(peer), Some(signature), Some(verification)) => {
                let OpenSsl { signature_us, verification_us } = peer;
                writeln!(
                    f,
                    "  OpenSSL          signature {signature_us:7.0} µs   verification {verification_us:5.0} µs"
                )?;
                writeln!(f, "  rsa / OpenSSL    {signature:17.2} ×  {verification:20.2} ×")
            }
            _ => writeln!(f, "  `openssl` is not here: no peer"),
        }
    }
}
