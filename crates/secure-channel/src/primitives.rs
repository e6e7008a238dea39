//! AES in the modes that SCP03 needs, with keys of 128, 192 and 256 bits.

use aes::cipher::block_padding::Iso7816;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use cmac::{Cmac, Mac};
use zeroize::Zeroizing;

/// Length of an AES block in bytes.
pub const BLOCK: usize = 16;

/// A key is no AES key: its length is not 16, 24 or 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are no AES key")]
pub struct NotAnAesKey(pub usize);

/// AES-CMAC (NIST SP 800-38B) over the concatenation of `parts`.
///
/// # Errors
/// [`NotAnAesKey`].
pub fn cmac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; BLOCK], NotAnAesKey> {
    match key.len() {
        16 => cmac_with::<Cmac<Aes128>>(key, parts),
        24 => cmac_with::<Cmac<Aes192>>(key, parts),
        _ => cmac_with::<Cmac<Aes256>>(key, parts),
    }
}

fn cmac_with<M>(key: &[u8], parts: &[&[u8]]) -> Result<[u8; BLOCK], NotAnAesKey>
where
    M: Mac<OutputSize = aes::cipher::consts::U16> + KeyInit,
{
    let mut mac = <M as Mac>::new_from_slice(key).map_err(|_| NotAnAesKey(key.len()))?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

/// One block under AES, as SCP03 makes initial chaining values (Amendment D §6.2.6).
pub(crate) fn encrypt_block(key: &[u8], block: [u8; BLOCK]) -> Result<[u8; BLOCK], NotAnAesKey> {
    match key.len() {
        16 => encrypt_block_with::<Aes128>(key, block),
        24 => encrypt_block_with::<Aes192>(key, block),
        _ => encrypt_block_with::<Aes256>(key, block),
    }
}

fn encrypt_block_with<C>(key: &[u8], block: [u8; BLOCK]) -> Result<[u8; BLOCK], NotAnAesKey>
where
    C: BlockEncrypt<BlockSize = aes::cipher::consts::U16> + KeyInit,
{
    let cipher = C::new_from_slice(key).map_err(|_| NotAnAesKey(key.len()))?;
    let mut block = block.into();
    cipher.encrypt_block(&mut block);
    Ok(block.into())
}

/// AES-CBC (NIST SP 800-38A) with ISO/IEC 9797-1 padding method 2: `80`, then zeros to the end of the block.
pub(crate) fn cbc_encrypt(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAnAesKey> {
    match key.len() {
        16 => cbc_encrypt_with::<cbc::Encryptor<Aes128>>(key, iv, plain),
        24 => cbc_encrypt_with::<cbc::Encryptor<Aes192>>(key, iv, plain),
        _ => cbc_encrypt_with::<cbc::Encryptor<Aes256>>(key, iv, plain),
    }
}

fn cbc_encrypt_with<C>(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAnAesKey>
where
    C: BlockEncryptMut + KeyIvInit,
{
    let cipher = C::new_from_slices(key, &iv).map_err(|_| NotAnAesKey(key.len()))?;
    Ok(Zeroizing::new(cipher.encrypt_padded_vec_mut::<Iso7816>(plain)))
}

/// The inverse of [`cbc_encrypt`]; `None` inside if the length or the padding is wrong.
pub(crate) fn cbc_decrypt(key: &[u8], iv: [u8; BLOCK], data: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotAnAesKey> {
    match key.len() {
        16 => cbc_decrypt_with::<cbc::Decryptor<Aes128>>(key, iv, data),
        24 => cbc_decrypt_with::<cbc::Decryptor<Aes192>>(key, iv, data),
        _ => cbc_decrypt_with::<cbc::Decryptor<Aes256>>(key, iv, data),
    }
}

fn cbc_decrypt_with<C>(key: &[u8], iv: [u8; BLOCK], data: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, NotAnAesKey>
where
    C: BlockDecryptMut + KeyIvInit,
{
    let cipher = C::new_from_slices(key, &iv).map_err(|_| NotAnAesKey(key.len()))?;
    let mut buffer = Zeroizing::new(data.to_vec());
    let plain = cipher.decrypt_padded_mut::<Iso7816>(&mut buffer).map(<[u8]>::len);
    Ok(plain.ok().map(|length| {
        buffer.truncate(length);
        buffer
    }))
}
