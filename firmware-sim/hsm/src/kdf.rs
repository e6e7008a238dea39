//! Key derivation with AES-CMAC (NIST SP 800-108r1 §4.1).

use aes::{Aes128, Aes192, Aes256};
use cmac::digest::KeyInit;
use cmac::digest::consts::U16;
use cmac::{Cmac, Mac};
use zeroize::Zeroizing;

/// Sorts of derived keys (Amendment D §4.1.5, table 4-1); the static keys' are ours.
pub(crate) const STATIC_ENC: u8 = 0x11;
pub(crate) const STATIC_MAC: u8 = 0x12;
pub(crate) const STATIC_DEK: u8 = 0x13;
pub(crate) const S_ENC: u8 = 0x04;
pub(crate) const S_MAC: u8 = 0x06;
pub(crate) const S_RMAC: u8 = 0x07;

/// `length` bytes from `key`, which has 16, 24 or 32 (Amendment D §4.1.5). None for a key of another length.
pub(crate) fn scp03(key: &[u8], constant: u8, context: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut derived = Zeroizing::new(Vec::with_capacity(length + 16));
    let bits = u16::try_from(length * 8).ok()?;
    for counter in 1.. {
        if derived.len() >= length {
            break;
        }
        let mut input = vec![0; 11];
        input.extend([constant, 0]);
        input.extend(bits.to_be_bytes());
        input.push(counter);
        input.extend(context);
        derived.extend_from_slice(&*cmac(key, &input)?);
    }
    derived.truncate(length);
    Some(derived)
}

/// AES-CMAC (RFC 4493, NIST SP 800-38B). None for a key that is not one of AES.
pub(crate) fn cmac(key: &[u8], message: &[u8]) -> Option<Zeroizing<[u8; 16]>> {
    match key.len() {
        16 => cmac_with::<Cmac<Aes128>>(key, message),
        24 => cmac_with::<Cmac<Aes192>>(key, message),
        32 => cmac_with::<Cmac<Aes256>>(key, message),
        _ => None,
    }
}

fn cmac_with<M: Mac<OutputSize = U16> + KeyInit>(key: &[u8], message: &[u8]) -> Option<Zeroizing<[u8; 16]>> {
    let tag = <M as Mac>::new_from_slice(key).ok()?.chain_update(message).finalize();
    Some(Zeroizing::new(tag.into_bytes().into()))
}
