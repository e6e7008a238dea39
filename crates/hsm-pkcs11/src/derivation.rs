//! The keys of a card's channel, from the master key: inside the token by SP 800-108, or by AES-CMAC and so on the host.

use std::num::NonZeroUsize;

use cryptoki::mechanism::kbkdf::{Endianness, KbkdfCounterFormat, KbkdfParams, PrfDataParam, PrfDataParamType};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use hsm::{SessionDerivation, SessionKeys};
use secure_channel::kdf::{self, KdfError, constant};
use zeroize::Zeroizing;

use crate::error::{Fault, odd};

/// The counter of SP 800-108 in SCP03 is one byte (Amendment D §4.1.5).
const COUNTER_BITS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// The static keys of the card stay inside.
pub(crate) fn inside(
    session: &Session,
    master: ObjectHandle,
    derivation: &SessionDerivation,
    bits: u16,
) -> Result<SessionKeys, Fault> {
    let context = kdf::card_context(derivation.key_version, &derivation.diversification);
    let enc = Inside::derive(session, master, constant::K_ENC, bits, &context)?;
    let mac = Inside::derive(session, master, constant::K_MAC, bits, &context)?;
    session_keys(derivation, bits, |input| enc.cmac(input), |input| mac.cmac(input))
}

/// The static keys of the card are on the host for as long as this takes.
pub(crate) fn by_cmac(
    session: &Session,
    master: ObjectHandle,
    derivation: &SessionDerivation,
    bits: u16,
) -> Result<SessionKeys, Fault> {
    let context = kdf::card_context(derivation.key_version, &derivation.diversification);
    let derive = |constant| kdf::derive_with::<Fault>(|input| cmac(session, master, input), constant, bits, &context);
    let (enc, mac) = (derive(constant::K_ENC)?, derive(constant::K_MAC)?);
    let under = |key: &[u8], input: &[u8]| {
        secure_channel::primitives::cmac(key, &[input]).map_err(|error| Fault::from(KdfError::from(error)))
    };
    session_keys(derivation, bits, |input| under(&enc, input), |input| under(&mac, input))
}

/// AES-CMAC under a key of the token.
pub(crate) fn cmac(session: &Session, key: ObjectHandle, input: &[u8]) -> Result<[u8; 16], Fault> {
    let code = Zeroizing::new(session.sign(&Mechanism::AesCMac, key, input)?);
    code.as_slice().try_into().map_err(|_| odd("C_Sign"))
}

/// A channel's session keys, by the CMAC under K-ENC and under K-MAC, wherever those are.
fn session_keys(
    derivation: &SessionDerivation,
    bits: u16,
    mut under_enc: impl FnMut(&[u8]) -> Result<[u8; 16], Fault>,
    mut under_mac: impl FnMut(&[u8]) -> Result<[u8; 16], Fault>,
) -> Result<SessionKeys, Fault> {
    let context = kdf::session_context(&derivation.host_challenge, &derivation.card_challenge);
    let taken = |mut key: Zeroizing<Vec<u8>>| std::mem::take(&mut *key);
    Ok(SessionKeys {
        enc: taken(kdf::derive_with(&mut under_enc, constant::S_ENC, bits, &context)?),
        mac: taken(kdf::derive_with(&mut under_mac, constant::S_MAC, bits, &context)?),
        rmac: taken(kdf::derive_with(&mut under_mac, constant::S_RMAC, bits, &context)?),
    })
}

/// A card's static key inside the token, for as long as a channel is being opened.
struct Inside<'a> {
    session: &'a Session,
    key: ObjectHandle,
}

impl<'a> Inside<'a> {
    fn derive(
        session: &'a Session,
        master: ObjectHandle,
        constant: u8,
        bits: u16,
        context: &[u8],
    ) -> Result<Self, Fault> {
        let before = kdf::before_counter(constant, bits);
        let counter = KbkdfCounterFormat::new(Endianness::Big, COUNTER_BITS);
        let input = [
            PrfDataParam::new(PrfDataParamType::ByteArray(&before)),
            PrfDataParam::new(PrfDataParamType::IterationVariable(Some(&counter))),
            PrfDataParam::new(PrfDataParamType::ByteArray(context)),
        ];
        let mechanism = Mechanism::KbkdfCounter(KbkdfParams::new(MechanismType::AES_CMAC, &input, None));
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(u64::from(bits / 8).into()),
            Attribute::Token(false),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        Ok(Self { session, key: session.derive_key(&mechanism, master, &template)? })
    }

    fn cmac(&self, input: &[u8]) -> Result<[u8; 16], Fault> {
        cmac(self.session, self.key, input)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // What can't be destroyed goes with the session.
        let _ = self.session.destroy_object(self.key);
    }
}
