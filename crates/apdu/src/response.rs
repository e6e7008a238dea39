use std::fmt;

use zeroize::Zeroizing;

use crate::{ApduError, StatusWord};

/// A card's answer (ISO/IEC 7816-4 §5.1): data and status word. Printing one shows its length and status word only.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseApdu {
    /// The data, wiped when dropped.
    pub data: Zeroizing<Vec<u8>>,
    /// The status word, SW1 SW2.
    pub status: StatusWord,
}

impl ResponseApdu {
    /// An answer with data.
    #[must_use]
    pub fn new(data: impl Into<Vec<u8>>, status: StatusWord) -> Self {
        Self { data: Zeroizing::new(data.into()), status }
    }

    /// Reads an answer as it came over the line.
    ///
    /// # Errors
    /// [`ApduError::Truncated`] for less than a status word.
    pub fn parse(bytes: &[u8]) -> Result<Self, ApduError> {
        let (data, status) = bytes.split_last_chunk::<2>().ok_or(ApduError::Truncated { length: bytes.len() })?;
        Ok(Self::new(data, StatusWord(u16::from_be_bytes(*status))))
    }

    /// The answer as it goes over the line.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.data.len() + 2));
        bytes.extend_from_slice(&self.data);
        bytes.extend_from_slice(&self.status.0.to_be_bytes());
        bytes
    }
}

/// A status word without data.
impl From<StatusWord> for ResponseApdu {
    fn from(status: StatusWord) -> Self {
        Self::new([], status)
    }
}

impl fmt::Display for ResponseApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.data.len(), self.status)
    }
}

impl fmt::Debug for ResponseApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseApdu({self})")
    }
}
