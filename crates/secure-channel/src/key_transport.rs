//! How static keys are sent to a card (GlobalPlatform Card Specification v2.3 Amendment D §7.2): what PUT KEY carries.

use zeroize::Zeroizing;

use crate::kdf::key_bits;
use crate::primitives::{BLOCK, NotAnAesKey, cbc_encrypt_blocks, encrypt_block};

/// Length of a key check value in bytes.
pub const CHECK_VALUE_LENGTH: usize = 3;

/// What is enciphered for a key check value.
pub const CHECK_BLOCK: [u8; BLOCK] = [0x01; BLOCK];

/// A card's static key under its K-DEK: AES-CBC with an initial vector of zeros, the key filled up with zeros to whole blocks.
///
/// # Errors
/// [`NotAnAesKey`] for either key.
pub fn encipher_key(k_dek: &[u8], key: &[u8]) -> Result<Vec<u8>, NotAnAesKey> {
    key_bits(key.len())?;
    let mut blocks = Zeroizing::new([0; 2 * BLOCK]);
    blocks[..key.len()].copy_from_slice(key);
    cbc_encrypt_blocks(k_dek, [0; BLOCK], &blocks[..key.len().next_multiple_of(BLOCK)])
}

/// The start of [`CHECK_BLOCK`] enciphered under the key.
///
/// # Errors
/// [`NotAnAesKey`].
pub fn check_value(key: &[u8]) -> Result<[u8; CHECK_VALUE_LENGTH], NotAnAesKey> {
    let [first, second, third, ..] = encrypt_block(key, CHECK_BLOCK)?;
    Ok([first, second, third])
}
