//! AES with the three key lengths, in the modes of SCP03.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncrypt, BlockEncryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use cmac::{Cmac, Mac};
use zeroize::Zeroizing;

/// Block length of AES in bytes.
pub(crate) const BLOCK: usize = 16;

/// An AES key. Wiped when dropped.
pub(crate) struct AesKey(Zeroizing<Vec<u8>>);

/// Runs an expression with `$cipher` standing for the cipher of this key's length. [`AesKey::new`] lets no other length in.
macro_rules! with_cipher {
    ($key:expr, $cipher:ident => $body:expr) => {
        match $key.0.len() {
            16 => {
                type $cipher = Aes128;
                $body
            }
            24 => {
                type $cipher = Aes192;
                $body
            }
            _ => {
                type $cipher = Aes256;
                $body
            }
        }
    };
}

impl AesKey {
    /// A key of 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        matches!(key.len(), 16 | 24 | 32).then(|| Self(Zeroizing::new(key.to_vec())))
    }

    /// AES-CMAC (NIST SP 800-38B) over the parts.
    pub(crate) fn cmac(&self, parts: &[&[u8]]) -> [u8; BLOCK] {
        with_cipher!(self, Cipher => {
            let mut mac = <Cmac<Cipher> as KeyInit>::new(self.0.as_slice().into());
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().into()
        })
    }

    /// Enciphers one block, given as a number.
    pub(crate) fn block(&self, block: u128) -> [u8; BLOCK] {
        with_cipher!(self, Cipher => {
            let mut block = block.to_be_bytes().into();
            Cipher::new(self.0.as_slice().into()).encrypt_block(&mut block);
            block.into()
        })
    }

    /// AES-CBC without padding, over whole blocks.
    pub(crate) fn cbc_encrypt(&self, icv: &[u8; BLOCK], plain: &[u8]) -> Zeroizing<Vec<u8>> {
        with_cipher!(self, Cipher => {
            let cipher = cbc::Encryptor::<Cipher>::new(self.0.as_slice().into(), icv.into());
            Zeroizing::new(cipher.encrypt_padded_vec_mut::<NoPadding>(plain))
        })
    }

    /// The reverse; `None` if these are no whole blocks.
    pub(crate) fn cbc_decrypt(&self, icv: &[u8; BLOCK], enciphered: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        with_cipher!(self, Cipher => {
            let cipher = cbc::Decryptor::<Cipher>::new(self.0.as_slice().into(), icv.into());
            cipher.decrypt_padded_vec_mut::<NoPadding>(enciphered).ok().map(Zeroizing::new)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    const KEYS: [&str; 3] = [
        "2b7e151628aed2a6abf7158809cf4f3c",
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
    ];
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    /// NIST SP 800-38B appendix D (examples of length 0 and 16 for each key).
    #[test]
    fn cmac_vectors() {
        let expected = [
            ("bb1d6929e95937287fa37d129b756746", "070a16b46b4d4144f79bdd9dd04a287c"),
            ("d17ddf46adaacde531cac483de7a9367", "9e99a7bf31e710900662f65e617c5184"),
            ("028962f61b7bf89efc6b551f4667d983", "28a7023f452e8f82bd4bf28d8c37c35c"),
        ];
        for (key, (empty, block)) in KEYS.into_iter().zip(expected) {
            let key = AesKey::new(&bytes(key)).unwrap();
            assert_eq!(key.cmac(&[]).as_slice(), bytes(empty));
            assert_eq!(key.cmac(&[&bytes(PLAIN)[..5], &bytes(PLAIN)[5..16]]).as_slice(), bytes(block));
        }
    }

    /// NIST SP 800-38A appendix F.2 (CBC, the first two blocks) and F.1 (ECB, the first block).
    #[test]
    fn cbc_and_block_vectors() {
        let expected = [
            ("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2", "3ad77bb40d7a3660a89ecaf32466ef97"),
            ("4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a", "bd334f1d6e45f25ff712a214571fa5cc"),
            ("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d", "f3eed1bdb5d2a03c064b5a7e3db181f8"),
        ];
        let icv = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes();
        for (key, (cbc, ecb)) in KEYS.into_iter().zip(expected) {
            let key = AesKey::new(&bytes(key)).unwrap();
            assert_eq!(key.cbc_encrypt(&icv, &bytes(PLAIN)).as_slice(), bytes(cbc));
            assert_eq!(key.cbc_decrypt(&icv, &bytes(cbc)).unwrap().as_slice(), bytes(PLAIN));
            assert_eq!(key.block(0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a).as_slice(), bytes(ecb));
        }
        assert!(AesKey::new(&[0; 16]).unwrap().cbc_decrypt(&icv, &[0; 15]).is_none());
    }
}
