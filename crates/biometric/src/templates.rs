use std::fmt;

use zeroize::Zeroizing;

/// Version of the envelope that [`EnrolledTemplates::to_bytes`] writes.
const ENVELOPE_VERSION: u8 = 1;
/// Version (1) and format (2) precede the templates.
const HEADER: usize = 3;

/// Whose templates these are: each verifier reads its own format only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TemplateFormat(pub u16);

impl TemplateFormat {
    /// Orientation codes of the `palm-vein` crate, of one wavelength or two: each template says which.
    pub const PALM_VEIN_1: Self = Self(0x0001);
    // 0x8000 and above are free for vendors' modules.
}

/// The templates of one enrolled palm (照合情報). Secret: wiped from memory when dropped, and printed by nobody.
///
/// Opaque to everyone but the verifier that made them. To store them, seal [`to_bytes`](Self::to_bytes) with the HSM.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolledTemplates {
    format: TemplateFormat,
    data: Zeroizing<Vec<u8>>,
}

impl EnrolledTemplates {
    /// Templates of `format`. For verifiers.
    #[must_use]
    pub fn new(format: TemplateFormat, data: Zeroizing<Vec<u8>>) -> Self {
        Self { format, data }
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> TemplateFormat {
        self.format
    }

    /// The templates in their verifier's own format. For verifiers.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Format and templates as bytes, to be sealed: version `01`, format (2, big-endian), templates.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + self.data.len()));
        bytes.push(ENVELOPE_VERSION);
        bytes.extend_from_slice(&self.format.0.to_be_bytes());
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`DamagedTemplates`] if the envelope's version is unknown or nothing is in it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedTemplates> {
        match bytes {
            [ENVELOPE_VERSION, high, low, data @ ..] if !data.is_empty() => Ok(Self {
                format: TemplateFormat(u16::from_be_bytes([*high, *low])),
                data: Zeroizing::new(data.to_vec()),
            }),
            _ => Err(DamagedTemplates),
        }
    }
}

impl fmt::Debug for EnrolledTemplates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledTemplates({:?}, ..)", self.format)
    }
}

/// These bytes are no enrolled templates: a damaged record, or one of a later version of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no enrolled templates that this version can read")]
pub struct DamagedTemplates;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_templates_come_back_and_others_are_refused() {
        let templates = EnrolledTemplates::new(TemplateFormat(0x8001), Zeroizing::new(vec![0xA5, 0x5A]));
        let bytes = templates.to_bytes();
        assert_eq!(bytes[..], [1, 0x80, 0x01, 0xA5, 0x5A]);
        assert!(EnrolledTemplates::from_bytes(&bytes) == Ok(templates.clone()));
        assert_eq!(format!("{templates:?}"), "EnrolledTemplates(TemplateFormat(32769), ..)");
        for length in 0..=HEADER {
            assert_eq!(EnrolledTemplates::from_bytes(&bytes[..length]), Err(DamagedTemplates));
        }
        let later = [2, 0x80, 0x01, 0xA5];
        assert_eq!(EnrolledTemplates::from_bytes(&later), Err(DamagedTemplates));
    }
}
