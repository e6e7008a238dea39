//! AES in the modes that SCP03 needs, with keys of 128, 192 and 256 bits.

use aes::cipher::block_padding::{Iso7816, NoPadding};
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

/// AES-CBC over whole blocks, without padding.
pub(crate) fn cbc_encrypt_blocks(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Vec<u8>, NotAnAesKey> {
    match key.len() {
        16 => cbc_encrypt_blocks_with::<cbc::Encryptor<Aes128>>(key, iv, plain),
        24 => cbc_encrypt_blocks_with::<cbc::Encryptor<Aes192>>(key, iv, plain),
        _ => cbc_encrypt_blocks_with::<cbc::Encryptor<Aes256>>(key, iv, plain),
    }
}

fn cbc_encrypt_blocks_with<C>(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Vec<u8>, NotAnAesKey>
where
    C: BlockEncryptMut + KeyIvInit,
{
    let cipher = C::new_from_slices(key, &iv).map_err(|_| NotAnAesKey(key.len()))?;
    Ok(cipher.encrypt_padded_vec_mut::<NoPadding>(plain))
}

/// The inverse of [`cbc_encrypt`]; `None` inside if the length or the padding is wrong. More zeros than necessary are
/// accepted, whole blocks of them too, since there are cards that add them.
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
    if cipher.decrypt_padded_mut::<NoPadding>(&mut buffer).is_err() {
        return Ok(None);
    }
    let marker = buffer.iter().rposition(|byte| *byte != 0).filter(|last| buffer[*last] == 0x80);
    Ok(marker.map(|marker| {
        buffer.truncate(marker);
        buffer
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hexadecimal: &str) -> [u8; N] {
        hex::decode(hexadecimal).expect("hexadecimal").try_into().expect("of that length")
    }

    /// NIST SP 800-38A, appendix F.1 and F.2, the first two blocks of each key length.
    #[test]
    fn aes_has_the_values_of_sp_800_38a() {
        let plain: [u8; 32] = bytes("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let iv: [u8; BLOCK] = bytes("000102030405060708090a0b0c0d0e0f");
        let cases = [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                "3ad77bb40d7a3660a89ecaf32466ef97",
                "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
            ),
            (
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "bd334f1d6e45f25ff712a214571fa5cc",
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f3eed1bdb5d2a03c064b5a7e3db181f8",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
            ),
        ];
        for (key, ecb, cbc) in cases {
            let key = hex::decode(key).expect("hexadecimal");
            let first = plain[..BLOCK].try_into().expect("a block");
            assert_eq!(encrypt_block(&key, first), Ok(bytes(ecb)));
            let encrypted = cbc_encrypt(&key, iv, &plain).expect("an AES key");
            assert_eq!(encrypted[..32], bytes::<32>(cbc));
            assert_eq!(encrypted.len(), 48);
            assert_eq!(cbc_decrypt(&key, iv, &encrypted), Ok(Some(Zeroizing::new(plain.to_vec()))));
        }
    }

    #[test]
    fn every_length_survives_padding_and_bad_padding_is_seen() {
        let (key, iv) = ([0x42; 24], [0x17; BLOCK]);
        for length in 0..50 {
            let plain = vec![0x80; length];
            let encrypted = cbc_encrypt(&key, iv, &plain).expect("an AES key");
            assert_eq!(encrypted.len(), (length / BLOCK + 1) * BLOCK);
            assert_eq!(cbc_decrypt(&key, iv, &encrypted), Ok(Some(Zeroizing::new(plain))));
            assert_eq!(cbc_decrypt(&key, iv, &encrypted[1..]), Ok(None));
        }
        assert_eq!(cbc_decrypt(&key, iv, &[]), Ok(None));
        // Blocks that end without `80` before their zeros: all zeros, and another byte.
        for last in [0x00, 0x01, 0x81] {
            let mut block = [0; BLOCK];
            block[BLOCK - 1] = last;
            let chained: [u8; BLOCK] = std::array::from_fn(|i| block[i] ^ iv[i]);
            let encrypted = encrypt_block(&key, chained).expect("an AES key");
            assert_eq!(cbc_decrypt(&key, iv, &encrypted), Ok(None));
        }
    }
}
