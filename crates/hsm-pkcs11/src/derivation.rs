//! The keys of one card, from the master key: inside the token by SP 800-108, or by AES-CMAC and so on the host.

use std::num::NonZeroUsize;

use cryptoki::mechanism::kbkdf::{Endianness, KbkdfCounterFormat, KbkdfParams, PrfDataParam, PrfDataParamType};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use hsm::{CardKeySet, HsmError, KeyKind, KeyName, SessionDerivation, SessionKeys};
use secure_channel::kdf::{self, KdfError, constant};
use zeroize::Zeroizing;

use crate::capabilities::tried;
use crate::error::{Fault, odd};
use crate::objects::find;
use crate::token::Call;

/// The counter of SP 800-108 in SCP03 is one byte (Amendment D §4.1.5).
const COUNTER_BITS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// A master key of cards, for the keys of one length.
#[derive(Clone, Copy)]
pub(crate) struct Master<'a> {
    call: &'a Call<'a>,
    key: ObjectHandle,
    bits: u16,
    /// Its only mechanism is the derivation, else it is AES-CMAC.
    derives: bool,
}

impl<'a> Master<'a> {
    /// The master of cards with key version `version`, for keys of `key_length` bytes.
    pub(crate) fn find(call: &'a Call<'a>, version: u8, key_length: usize) -> Result<Self, Fault> {
        let master = find(call, &KeyName::card_master(version))?;
        let bits = match master.kind {
            KeyKind::CardMaster(length) if key_length <= length.bytes() => {
                kdf::key_bits(key_length).map_err(|_| HsmError::WrongKind(master.name))?
            }
            _ => return Err(HsmError::WrongKind(master.name).into()),
        };
        let derives = call.get_attributes(master.handle, &[AttributeType::Derive])? == [Attribute::Derive(true)];
        Ok(Self { call, key: master.handle, bits, derives })
    }

    /// A key that was made for a trial, and can do both.
    pub(crate) fn on_trial(call: &'a Call<'a>, key: ObjectHandle, bits: u16, derives: bool) -> Self {
        Self { call, key, bits, derives }
    }

    /// The session keys of a channel. The card's static keys are inside the token, or on the host for as long as this takes.
    pub(crate) fn session_keys(&self, derivation: &SessionDerivation) -> Result<SessionKeys, Fault> {
        let card = CardKeySet::from(derivation);
        let enc = self.card_key(constant::K_ENC, &card, Purpose::Mac)?;
        let mac = self.card_key(constant::K_MAC, &card, Purpose::Mac)?;
        let context = kdf::session_context(&derivation.host_challenge, &derivation.card_challenge);
        let derive = |key: &CardKey<'_>, constant| {
            let mut derived = kdf::derive_with(|input| key.cmac(input), constant, self.bits, &context)?;
            Ok::<_, Fault>(std::mem::take(&mut *derived))
        };
        Ok(SessionKeys {
            enc: derive(&enc, constant::S_ENC)?,
            mac: derive(&mac, constant::S_MAC)?,
            rmac: derive(&mac, constant::S_RMAC)?,
        })
    }

    /// A key of the card, by the derivation's constant.
    pub(crate) fn card_key(&self, constant: u8, card: &CardKeySet, purpose: Purpose) -> Result<CardKey<'a>, Fault> {
        if !self.derives {
            let context = kdf::card_context(card.key_version, &card.diversification);
            let key =
                kdf::derive_with::<Fault>(|input| cmac(self.call, self.key, input), constant, self.bits, &context)?;
            return Ok(CardKey::OnHost { call: self.call, key, purpose });
        }
        self.derive(constant, card, passing_key(purpose)).map(CardKey::Inside)
    }

    /// Does the token derive a key of a card that can be read?
    pub(crate) fn derives_readable(&self, card: &CardKeySet) -> Result<bool, Fault> {
        let readable = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ];
        let Some(child) = tried(self.derive(constant::K_ENC, card, readable))? else { return Ok(false) };
        let value = tried(self.call.get_attributes(child.handle, &[AttributeType::Value]))?;
        Ok(value.is_some_and(|value| !value.is_empty()))
    }

    /// A key of the card inside the token.
    fn derive(&self, constant: u8, card: &CardKeySet, mut template: Vec<Attribute>) -> Result<Passing<'a>, Fault> {
        let context = kdf::card_context(card.key_version, &card.diversification);
        let before = kdf::before_counter(constant, self.bits);
        let counter = KbkdfCounterFormat::new(Endianness::Big, COUNTER_BITS);
        let input = [
            PrfDataParam::new(PrfDataParamType::ByteArray(&before)),
            PrfDataParam::new(PrfDataParamType::IterationVariable(Some(&counter))),
            PrfDataParam::new(PrfDataParamType::ByteArray(&context)),
        ];
        let mechanism = Mechanism::KbkdfCounter(KbkdfParams::new(MechanismType::AES_CMAC, &input, None));
        template.push(Attribute::ValueLen(u64::from(self.bits / 8).into()));
        Ok(Passing { call: self.call, handle: self.call.derive_key(&mechanism, self.key, &template)? })
    }
}

/// What a key of a card is for while it is in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To compute CMACs.
    Mac,
    /// To wrap another key.
    Wrap,
    /// To be wrapped: a static key that is sent to the card.
    BeWrapped,
}

/// An AES key that goes with its session at the latest.
fn passing_key(purpose: Purpose) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(purpose == Purpose::BeWrapped),
    ];
    template.push(match purpose {
        Purpose::Mac => Attribute::Sign(true),
        Purpose::Wrap => Attribute::Wrap(true),
        // For its check value.
        Purpose::BeWrapped => Attribute::Encrypt(true),
    });
    template
}

/// A key of one card.
pub(crate) enum CardKey<'a> {
    /// In the token.
    Inside(Passing<'a>),
    /// On the host: the weaker mode.
    OnHost { call: &'a Call<'a>, key: Zeroizing<Vec<u8>>, purpose: Purpose },
}

impl<'a> CardKey<'a> {
    fn cmac(&self, input: &[u8]) -> Result<[u8; 16], Fault> {
        match self {
            Self::Inside(key) => cmac(key.call, key.handle, input),
            Self::OnHost { key, .. } => {
                secure_channel::primitives::cmac(key, &[input]).map_err(|error| KdfError::from(error).into())
            }
        }
    }

    /// The key as an object of the token; it is put there if it is on the host.
    pub(crate) fn into_token(self) -> Result<Passing<'a>, Fault> {
        match self {
            Self::Inside(key) => Ok(key),
            Self::OnHost { call, mut key, purpose } => {
                let mut template = passing_key(purpose);
                template.push(Attribute::Value(std::mem::take(&mut *key)));
                let put = call.create_object(&template);
                for attribute in &mut template {
                    if let Attribute::Value(value) = attribute {
                        *key = std::mem::take(value);
                    }
                }
                Ok(Passing { call, handle: put? })
            }
        }
    }
}

/// An object of the session that must not outlive the call.
pub(crate) struct Passing<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) handle: ObjectHandle,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        if self.call.destroy_object(self.handle).is_err() {
            // It goes with the session.
            self.call.close_after();
        }
    }
}

/// AES-CMAC under a key of the token.
pub(crate) fn cmac(session: &Session, key: ObjectHandle, input: &[u8]) -> Result<[u8; 16], Fault> {
    let code = Zeroizing::new(session.sign(&Mechanism::AesCMac, key, input)?);
    code.as_slice().try_into().map_err(|_| odd("C_Sign"))
}
