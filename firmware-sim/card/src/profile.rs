//! What kind of card this is: data, kept in the card's memory.

use std::time::Duration;

use jpki::card;
use serde::{Deserialize, Serialize};

use crate::keys::KeyAlgorithm;

/// A generation of cards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardProfile {
    /// Name, for people.
    pub name: String,
    /// The answer to reset (ISO/IEC 7816-3 §8).
    pub atr: Vec<u8>,
    /// Algorithm of new keys.
    pub algorithm: KeyAlgorithm,
    /// Status word of VERIFY once a PIN is blocked: 6984 as measured on real cards, or 6983 as ISO/IEC 7816-4 has it.
    pub blocked_status: u16,
    /// Length of the SCP03 keys in bytes: 16, 24 or 32.
    pub scp03_key_length: usize,
    /// SCP03 with 8 or 16 bytes of challenge, cryptogram and MAC.
    pub scp03_mode: Scp03Mode,
    /// How long the card computes.
    pub timing: CardTiming,
    /// Has it a pending slot beside the active one? Without, a new key overwrites the old one in place.
    #[serde(default = "yes")]
    pub pending_slot: bool,
    /// Does it make keys itself? Then it takes none. If not, they are made elsewhere and imported.
    #[serde(default = "yes")]
    pub makes_keys: bool,
}

/// What cards were before there were others.
const fn yes() -> bool {
    true
}

/// Length of SCP03 challenges, cryptograms and MACs (GlobalPlatform Amendment D v1.2 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scp03Mode {
    /// 8 bytes; `i` = 70.
    S8,
    /// 16 bytes; `i` = 71.
    S16,
}

impl Scp03Mode {
    /// Length of challenges, cryptograms and MACs in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::S8 => 8,
            Self::S16 => 16,
        }
    }

    /// The parameter `i`: pseudo-random challenge, R-MAC and R-ENCRYPTION supported, and the mode.
    #[must_use]
    pub const fn parameter(self) -> u8 {
        match self {
            Self::S8 => 0x70,
            Self::S16 => 0x71,
        }
    }
}

/// How long a card computes. Nothing waits: the clock is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardTiming {
    /// Mean time of a key generation; single ones scatter widely around it.
    pub key_generation_mean: Duration,
    /// Time of a signature.
    pub signature: Duration,
}

impl CardProfile {
    /// The card since 2016: RSA-2048, and AES-128 for the channel (the latter is our choice; the real one is not public).
    ///
    /// Times are those of modern JavaCards in public measurements: 4.9 s for a key pair, 201 ms for a signature.
    #[must_use]
    pub fn jpki_2016() -> Self {
        Self {
            name: "jpki-2016".into(),
            atr: card::ATR.to_vec(),
            algorithm: KeyAlgorithm::Rsa2048,
            blocked_status: 0x6984,
            scp03_key_length: 16,
            scp03_mode: Scp03Mode::S8,
            timing: CardTiming {
                key_generation_mean: Duration::from_millis(4_900),
                signature: Duration::from_millis(201),
            },
            pending_slot: true,
            makes_keys: true,
        }
    }

    /// The same card without a pending slot: one key and one certificate of each kind, overwritten in place.
    #[must_use]
    pub fn jpki_2016_single_slot() -> Self {
        Self { name: "jpki-2016-single-slot".into(), pending_slot: false, ..Self::jpki_2016() }
    }

    /// The same card, but one that makes no keys itself: they are made in an HSM and imported. `name` is the new profile's.
    #[must_use]
    pub fn importing(self, name: &str) -> Self {
        Self { name: name.into(), makes_keys: false, ..self }
    }

    /// How many static keys a key version has: K-ENC, K-MAC, K-DEK and, on a card that takes key pairs, the key-import key.
    pub(crate) fn keys_of_a_version(&self) -> usize {
        if self.makes_keys { 3 } else { 4 }
    }

    /// The same with another ATR, for tests: one that announces commands of extended length in its historical bytes (ISO/IEC
    /// 7816-4 §8.1.1.2.7), and chaining. Some programs go by nothing else.
    #[must_use]
    pub fn announcing_extended_length(self) -> Self {
        Self {
            atr: vec![0x3B, 0xF5, 0x11, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x80, 0x73, 0x80, 0x01, 0xC0, 0xA2],
            ..self
        }
    }

    /// The next card: ECDSA on P-384, and AES-192 for the channel as in protection profile C0858.
    ///
    /// Times are estimates: those measured for P-256 (156 ms, 59 ms), scaled to P-384.
    #[must_use]
    pub fn jpki_next() -> Self {
        Self {
            name: "jpki-next".into(),
            atr: card::ATR.to_vec(),
            algorithm: KeyAlgorithm::P384,
            blocked_status: 0x6984,
            scp03_key_length: 24,
            scp03_mode: Scp03Mode::S16,
            timing: CardTiming {
                key_generation_mean: Duration::from_millis(420),
                signature: Duration::from_millis(160),
            },
            pending_slot: true,
            makes_keys: true,
        }
    }
}

/// One key generation's time as a share of the mean, from a uniform number in 0..1: the distribution within one card that
/// public measurements of 41 JavaCards show (quantiles; straight lines between them).
pub(crate) fn key_generation_share(uniform: f64) -> f64 {
    const QUANTILES: [(f64, f64); 9] = [
        (0.0, 0.06),
        (0.05, 0.24),
        (0.25, 0.56),
        (0.50, 0.85),
        (0.75, 1.34),
        (0.90, 1.89),
        (0.95, 2.17),
        (0.99, 3.31),
        (1.0, 4.0),
    ];
    let uniform = uniform.clamp(0.0, 1.0);
    QUANTILES
        .windows(2)
        .find_map(|pair| {
            let [(p0, q0), (p1, q1)] = *pair else { return None };
            (uniform <= p1).then(|| q0 + (q1 - q0) * (uniform - p0) / (p1 - p0))
        })
        .unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_times_scatter_around_their_mean() {
        let n = 10_000;
        let mean =
            (0..n).map(|i| key_generation_share((f64::from(i) + 0.5) / f64::from(n))).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((key_generation_share(0.5) - 0.85).abs() < 1e-9);
        assert!((key_generation_share(0.99) - 3.31).abs() < 1e-9);
    }
}
