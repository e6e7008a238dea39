//! Which sensors are taken for sensors: models by their keys.

use std::fmt;

use p256::PublicKey;

use super::protocol::link::{BLOCK, PUBLIC_KEY};

/// The public key of a model of sensors, with which its maker certifies each device: a point of P-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelKey([u8; PUBLIC_KEY]);

/// These bytes are no point of P-256, uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no public key of P-256 (65 bytes, uncompressed)")]
pub struct InvalidModelKey;

impl ModelKey {
    /// Reads an uncompressed point (SEC 1 §2.3.3): `04`, x, y.
    ///
    /// # Errors
    /// [`InvalidModelKey`] if it is none of P-256.
    pub fn from_sec1(point: &[u8]) -> Result<Self, InvalidModelKey> {
        let key: [u8; PUBLIC_KEY] = point.try_into().map_err(|_| InvalidModelKey)?;
        PublicKey::from_sec1_bytes(point).map_err(|_| InvalidModelKey)?;
        Ok(Self(key))
    }

    /// The point, uncompressed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY] {
        &self.0
    }
}

impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelKey(")?;
        self.0[1..9].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// What a host takes for a palm sensor: any device of these models, unless its firmware is refused. Comes from the device table.
#[derive(Clone, Debug, Default)]
pub struct TrustedModels {
    models: Vec<ModelKey>,
    refused_firmware: Vec<[u8; BLOCK]>,
}

impl TrustedModels {
    /// Trusts these models, whatever their firmware.
    #[must_use]
    pub fn new(models: impl IntoIterator<Item = ModelKey>) -> Self {
        Self { models: models.into_iter().collect(), refused_firmware: Vec::new() }
    }

    /// Refuses firmware with one of these SHA-256 digests, because it is known to be weak.
    #[must_use]
    pub fn without_firmware(self, refused: impl IntoIterator<Item = [u8; BLOCK]>) -> Self {
        Self { refused_firmware: refused.into_iter().collect(), ..self }
    }

    pub(super) fn knows(&self, model: &ModelKey) -> bool {
        self.models.contains(model)
    }

    pub(super) fn refuses_firmware(&self, digest: &[u8; BLOCK]) -> bool {
        self.refused_firmware.contains(digest)
    }
}
