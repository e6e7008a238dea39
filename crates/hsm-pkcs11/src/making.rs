//! For simulated card factories alone: a key that comes from outside.

use hsm::{HsmError, KeyName};
use madoguchi_time::SharedClock;

use crate::{OpenError, Pkcs11Hsm, Refusal, TokenError};

/// Why a token does not hold the keys that it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakingError {
    /// The token made a key otherwise than it was told to. That key is destroyed; the token is not fit to hold any.
    #[error("the token did not make {key} as it should")]
    Refused {
        /// Which.
        key: KeyName,
        /// What is wrong with it.
        #[source]
        why: Refusal,
    },
    /// A key can't be made.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

impl From<MakingError> for HsmError {
    fn from(error: MakingError) -> Self {
        match error {
            MakingError::Hsm(error) => error,
            other => Self::Failed { function: "C_GenerateKey", source: Box::new(other) },
        }
    }
}

impl From<OpenError> for HsmError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Token(TokenError::Hsm(error)) => error,
            other => Self::Failed { function: "open", source: Box::new(other) },
        }
    }
}

impl Pkcs11Hsm {
    /// Opens the token that a URI names.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_uri(uri: &str, clock: SharedClock) -> Result<Self, OpenError> {
        uri.parse::<crate::TokenUri>()?.open(clock)
    }

    /// Puts the master key of cards with key version `version` into the token. Its length is that of `master`.
    ///
    /// Whoever calls this has the key outside the token, and can make every card's keys. A simulated card factory must, because it
    /// personalises the cards; nobody else may: at a real site the card's maker brings the key in by a key ceremony. In the token
    /// the key is as protected as any that was made there.
    ///
    /// # Errors
    /// See [`MakingError`]; [`HsmError::SeveralKeys`] if there is one already; [`HsmError::WrongKind`] for a length that AES does not have.
    #[cfg(feature = "card-factory")]
    pub fn import_card_master(
        &self,
        version: u8,
        master: &[u8],
        deadline: madoguchi_time::Deadline,
    ) -> Result<(), MakingError> {
        use hsm::AesLength::{Aes128, Aes192, Aes256};
        use hsm::KeyKind;

        use crate::objects;

        let name = KeyName::card_master(version);
        let length = [Aes128, Aes192, Aes256].into_iter().find(|length| length.bytes() == master.len());
        let kind = KeyKind::CardMaster(length.ok_or_else(|| HsmError::WrongKind(name.clone()))?);
        let (key, value, capabilities) = (name.clone(), zeroize::Zeroizing::new(master.to_vec()), self.capabilities());
        let mut begun = false;
        let made =
            self.ask(deadline, move |session| objects::import(session, &key, kind, &value, &capabilities, &mut begun))?;
        made.map_err(|why| MakingError::Refused { key: name, why })
    }
}
