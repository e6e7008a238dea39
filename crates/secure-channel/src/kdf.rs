//! Key derivation: NIST SP 800-108 in counter mode with AES-CMAC, with the fixed input of SCP03 (Amendment D §4.1.5).

use zeroize::Zeroizing;

use crate::keys::{CardKeys, SessionKeys};
use crate::primitives::{BLOCK, NotAnAesKey, cmac};

/// Derivation constants: the last byte of the label.
pub mod constant {
    /// The card's cryptogram (Amendment D §4.1.5, table 4-1, as all up to [`S_RMAC`]).
    pub const CARD_CRYPTOGRAM: u8 = 0x00;
    /// The host's cryptogram.
    pub const HOST_CRYPTOGRAM: u8 = 0x01;
    /// A pseudo-random card challenge.
    pub const CARD_CHALLENGE: u8 = 0x02;
    /// S-ENC.
    pub const S_ENC: u8 = 0x04;
    /// S-MAC.
    pub const S_MAC: u8 = 0x06;
    /// S-RMAC.
    pub const S_RMAC: u8 = 0x07;
    /// K-ENC of a card from a master key (`docs/protocols/card-issuing.md` §8; ours).
    pub const K_ENC: u8 = 0xC1;
    /// K-MAC of a card from a master key (ours).
    pub const K_MAC: u8 = 0xC2;
    /// K-DEK of a card from a master key (ours).
    pub const K_DEK: u8 = 0xC3;
    /// The key-import key of a card from a master key (ours): key pairs made for the card elsewhere are wrapped under it.
    pub const K_IMPORT: u8 = 0xC4;
}

/// Why nothing could be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KdfError {
    /// The key to derive from is no AES key.
    #[error(transparent)]
    NotAnAesKey(#[from] NotAnAesKey),
    /// Not a whole number of bytes, none at all, or more than the one-byte counter reaches.
    #[error("{0} bits can't be derived")]
    Bits(u16),
}

/// Derives `bits` bits from `key`: blocks of CMAC over `label (11 × 00, constant) ‖ 00 ‖ L (bits, 2 bytes) ‖ i (1 byte) ‖ context`,
/// with i counted up from 1.
///
/// # Errors
/// [`KdfError::NotAnAesKey`]; [`KdfError::Bits`] unless `bits` is a multiple of 8 from 8 to 32,640 (255 blocks).
pub fn derive(key: &[u8], constant: u8, bits: u16, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, KdfError> {
    derive_with(|input| Ok(cmac(key, &[input])?), constant, bits, context)
}

/// The same with the pseudo-random function elsewhere: AES-CMAC under a key that is in an HSM.
///
/// # Errors
/// What `prf` fails with; [`KdfError::Bits`].
pub fn derive_with<E: From<KdfError>>(
    mut prf: impl FnMut(&[u8]) -> Result<[u8; BLOCK], E>,
    constant: u8,
    bits: u16,
    context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, E> {
    let length = usize::from(bits / 8);
    let blocks = u8::try_from(length.div_ceil(BLOCK)).map_err(|_| KdfError::Bits(bits))?;
    if !bits.is_multiple_of(8) || blocks == 0 {
        return Err(KdfError::Bits(bits).into());
    }
    let before = before_counter(constant, bits);
    let mut derived = Zeroizing::new(Vec::with_capacity(usize::from(blocks) * BLOCK));
    for i in 1..=blocks {
        let block = Zeroizing::new(prf(&[&before, [i].as_slice(), context].concat())?);
        derived.extend_from_slice(&*block);
    }
    derived.truncate(length);
    Ok(derived)
}

/// What stands before the counter in the PRF's input: `label (11 × 00, constant) ‖ 00 ‖ L (bits, 2 bytes)`. The context follows
/// the counter of one byte.
#[must_use]
pub fn before_counter(constant: u8, bits: u16) -> [u8; 15] {
    let mut before = [0; 15];
    before[11] = constant;
    before[13..].copy_from_slice(&bits.to_be_bytes());
    before
}

/// The context of a channel's session keys: both challenges.
#[must_use]
pub fn session_context(host_challenge: &[u8], card_challenge: &[u8]) -> Vec<u8> {
    [host_challenge, card_challenge].concat()
}

/// The context of a card's static keys: key version and diversification data.
#[must_use]
pub fn card_context(key_version: u8, diversification: &[u8; 10]) -> [u8; 11] {
    let mut context = [key_version; 11];
    context[1..].copy_from_slice(diversification);
    context
}

/// The session keys of a channel from a card's static keys K-ENC and K-MAC and both challenges (Amendment D §6.2.1).
///
/// # Errors
/// [`KdfError::NotAnAesKey`].
pub fn session_keys(
    k_enc: &[u8],
    k_mac: &[u8],
    host_challenge: &[u8],
    card_challenge: &[u8],
) -> Result<SessionKeys, KdfError> {
    let context = session_context(host_challenge, card_challenge);
    let derive = |key: &[u8], constant| {
        derive(key, constant, key_bits(key.len())?, &context).map(|mut key| std::mem::take(&mut *key))
    };
    Ok(SessionKeys {
        enc: derive(k_enc, constant::S_ENC)?,
        mac: derive(k_mac, constant::S_MAC)?,
        rmac: derive(k_mac, constant::S_RMAC)?,
    })
}

/// The static keys of one card from a master key, by the card's diversification data. The layout is ours, specified in
/// `docs/protocols/card-issuing.md` §8: [`derive()`] with the constants [`constant::K_ENC`], [`constant::K_MAC`] and
/// [`constant::K_DEK`], and as context the key version (1 byte) and the diversification data (10 bytes).
///
/// `key_length` is that of the card's keys in bytes: 16, 24 or 32. A master key should be no shorter.
///
/// # Errors
/// [`KdfError::NotAnAesKey`] for a master key or a `key_length` that is none of AES.
pub fn card_keys(
    master_key: &[u8],
    key_version: u8,
    diversification: &[u8; 10],
    key_length: usize,
) -> Result<CardKeys, KdfError> {
    let bits = key_bits(key_length)?;
    let context = card_context(key_version, diversification);
    Ok(CardKeys {
        enc: derive(master_key, constant::K_ENC, bits, &context)?,
        mac: derive(master_key, constant::K_MAC, bits, &context)?,
        dek: derive(master_key, constant::K_DEK, bits, &context)?,
    })
}

/// The key-import key of one card from a master key: [`derive()`] with [`constant::K_IMPORT`], else as [`card_keys`].
///
/// # Errors
/// As [`card_keys`].
pub fn import_key(
    master_key: &[u8],
    key_version: u8,
    diversification: &[u8; 10],
    key_length: usize,
) -> Result<Zeroizing<Vec<u8>>, KdfError> {
    derive(master_key, constant::K_IMPORT, key_bits(key_length)?, &card_context(key_version, diversification))
}

/// The length of an AES key in bits.
///
/// # Errors
/// [`NotAnAesKey`] for a length in bytes that AES does not have.
pub fn key_bits(length: usize) -> Result<u16, NotAnAesKey> {
    match length {
        16 => Ok(128),
        24 => Ok(192),
        32 => Ok(256),
        _ => Err(NotAnAesKey(length)),
    }
}
