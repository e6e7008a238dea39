//! AES key wrap with padding (RFC 5649), the side that unwraps.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::aes_key::{AesKey, BLOCK};

/// What is wrapped comes in pieces of this length.
pub(crate) const SEMIBLOCK: usize = 8;
/// The constant of the alternative initial value (RFC 5649 §3).
const CONSTANT: [u8; 4] = [0xA6, 0x59, 0x59, 0xA6];
/// Rounds over all pieces (RFC 3394 §2.2.2).
const ROUNDS: u64 = 6;

/// Unwraps what was wrapped under `key`. `None` if it was not, or was changed.
pub(crate) fn unwrap(key: &AesKey, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let pieces = (wrapped.len() / SEMIBLOCK).checked_sub(1)?;
    if pieces == 0 || !wrapped.len().is_multiple_of(SEMIBLOCK) {
        return None;
    }
    let mut data = Zeroizing::new(wrapped.to_vec());
    if pieces == 1 {
        data = key.cbc_decrypt(&[0; BLOCK], wrapped)?;
    } else {
        // RFC 3394 §2.2.2: the pieces in place, the register before them.
        for step in (1..=ROUNDS * pieces as u64).rev() {
            let place = ((step - 1) % pieces as u64 + 1) as usize * SEMIBLOCK;
            let mut block = Zeroizing::new([0; BLOCK]);
            block[..SEMIBLOCK].copy_from_slice(&data[..SEMIBLOCK]);
            block[SEMIBLOCK..].copy_from_slice(&data[place..place + SEMIBLOCK]);
            for (byte, counter) in block.iter_mut().zip(step.to_be_bytes()) {
                *byte ^= counter;
            }
            let opened = key.cbc_decrypt(&[0; BLOCK], &*block)?;
            data[..SEMIBLOCK].copy_from_slice(&opened[..SEMIBLOCK]);
            data[place..place + SEMIBLOCK].copy_from_slice(&opened[SEMIBLOCK..]);
        }
    }
    let (register, plain) = data.split_first_chunk::<SEMIBLOCK>()?;
    let length = u32::from_be_bytes([register[4], register[5], register[6], register[7]]) as usize;
    // RFC 5649 §3: the constant, a length within the last piece, zeros behind it.
    let is_ours = bool::from(register[..4].ct_eq(&CONSTANT));
    let fits = length > 0 && length.next_multiple_of(SEMIBLOCK) == plain.len();
    let (plain, filling) = plain.split_at_checked(length).filter(|_| is_ours && fits)?;
    filling.iter().all(|byte| *byte == 0).then(|| Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5649 §6.
    #[test]
    fn the_vectors_of_the_rfc() {
        const KEK: &str = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8";
        let kek = AesKey::new(&hex::decode(KEK).unwrap()).unwrap();
        for (wrapped, plain) in [
            (
                "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
                "c37b7e6492584340bed12207808941155068f738",
            ),
            ("afbeb0f07dfbf5419200f2ccb50bb24f", "466f7250617369"),
        ] {
            let wrapped = hex::decode(wrapped).unwrap();
            assert_eq!(unwrap(&kek, &wrapped).unwrap().as_slice(), hex::decode(plain).unwrap());
            for at in 0..wrapped.len() {
                let mut changed = wrapped.clone();
                changed[at] ^= 1;
                assert!(unwrap(&kek, &changed).is_none(), "byte {at}");
            }
            for length in 0..wrapped.len() {
                assert!(unwrap(&kek, &wrapped[..length]).is_none(), "{length} bytes");
            }
        }
    }
}
