//! What a token does for one card beside opening its channels.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use hsm::{CardKeyPairKind, CardKeySet, EncipheredKey, EncipheredKeys, HsmError, WrappedKeyPair};
use secure_channel::kdf::constant;
use secure_channel::key_transport::{self, CHECK_BLOCK};

use crate::capabilities::{Capabilities, KeyWrap};
use crate::derivation::{CardKey, Master, Passing, Purpose};
use crate::error::{Fault, odd};
use crate::objects::{self, pair_generation};
use crate::raw;
use crate::token::Call;

/// Makes a key pair that only `card` gets. Its halves are objects of the session alone: whatever happens, they go with it.
pub(crate) fn make_key_pair(
    call: &Call<'_>,
    kind: CardKeyPairKind,
    card: &CardKeySet,
    capabilities: &Capabilities,
) -> Result<WrappedKeyPair, Fault> {
    let master = Master::find(call, card.key_version, card.key_length)?;
    let mechanism = match capabilities.key_wrap {
        KeyWrap::Exact => Mechanism::VendorDefined(raw::mechanism(raw::aes_key_wrap_kwp())),
        KeyWrap::ToBeTrimmed => Mechanism::AesKeyWrapPad,
        KeyWrap::None => return Err(HsmError::Unsupported("wrapping key pairs for cards").into()),
    };
    let import_key = master.card_key(constant::K_IMPORT, card, Purpose::Wrap)?.into_token()?;
    let (generation, mut public_template) = pair_generation(kind.into())?;
    public_template.push(Attribute::Token(false));
    let private_template = [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Sign(false),
    ];
    let (public, private) = call.generate_key_pair(&generation, &public_template, &private_template)?;
    let (public, private) = (Passing { call, handle: public }, Passing { call, handle: private });
    let public_key =
        objects::subject_public_key_info(call, public.handle, kind.into())?.ok_or_else(|| odd("C_GenerateKeyPair"))?;
    let wrapped_private_key = call.wrap_key(&mechanism, import_key.handle, private.handle)?;
    Ok(WrappedKeyPair { public_key, wrapped_private_key })
}

/// The static keys of key version `next` under the K-DEK of `present`.
pub(crate) fn encipher_keys(
    call: &Call<'_>,
    present: &CardKeySet,
    next: u8,
    capabilities: &Capabilities,
) -> Result<EncipheredKeys, Fault> {
    let present_master = Master::find(call, present.key_version, present.key_length)?;
    let next_master = Master::find(call, next, present.key_length)?;
    if !capabilities.key_changeover {
        return Err(HsmError::Unsupported("sending new static keys to cards").into());
    }
    encipher_with(call, (present_master, present), (next_master, next))
}

/// The same with the two master keys.
pub(crate) fn encipher_with(
    call: &Call<'_>,
    (present_master, present): (Master<'_>, &CardKeySet),
    (next_master, next): (Master<'_>, u8),
) -> Result<EncipheredKeys, Fault> {
    let next_set = CardKeySet { key_version: next, ..present.clone() };
    let encipher = |constant| {
        let k_dek = present_master.card_key(constant::K_DEK, present, Purpose::Wrap)?;
        encipher(call, k_dek, next_master.card_key(constant, &next_set, Purpose::BeWrapped)?)
    };
    Ok(EncipheredKeys {
        enc: encipher(constant::K_ENC)?,
        mac: encipher(constant::K_MAC)?,
        dek: encipher(constant::K_DEK)?,
        import: encipher(constant::K_IMPORT)?,
    })
}

fn encipher(call: &Call<'_>, k_dek: CardKey<'_>, key: CardKey<'_>) -> Result<EncipheredKey, Fault> {
    if let (CardKey::OnHost { key: k_dek, .. }, CardKey::OnHost { key, .. }) = (&k_dek, &key) {
        let failed = |source| HsmError::Failed { function: "key transport", source: Box::new(source) };
        return Ok(EncipheredKey {
            enciphered: key_transport::encipher_key(k_dek, key).map_err(failed)?,
            check_value: key_transport::check_value(key).map_err(failed)?,
        });
    }
    let (k_dek, key) = (k_dek.into_token()?, key.into_token()?);
    // Tokens fill keys up to whole blocks (PKCS #11 v3.0 §2.10.5).
    let enciphered = call.wrap_key(&Mechanism::AesCbc([0; 16]), k_dek.handle, key.handle)?;
    let block = call.encrypt(&Mechanism::AesEcb, key.handle, &CHECK_BLOCK)?;
    let check_value = *block.first_chunk().ok_or_else(|| odd("C_Encrypt"))?;
    Ok(EncipheredKey { enciphered, check_value })
}
