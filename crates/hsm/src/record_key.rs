//! How the key of a sealed record is derived: NIST SP 800-108r1 §4.1, counter mode, PRF AES-CMAC under the record-key key,
//! for 256 bits of output. Two runs of the PRF, whose results are joined.
//!
//! A module that has the mechanism (`CKM_SP800_108_COUNTER_KDF`) takes [`PREFIX`], the context and [`SUFFIX`] as they
//! are; one that only has AES-CMAC is asked twice for [`prf_input`]. Both give the same key.

/// Label and separator: what follows the counter.
pub const PREFIX: &[u8] = b"madoguchi record key\0";

/// The length of the derived key in bits, as 32 bits big-endian: what follows the context.
pub const SUFFIX: [u8; 4] = 256_u32.to_be_bytes();

/// Bits of the counter that leads each input.
pub const COUNTER_BITS: usize = 8;

/// What goes into the PRF at its `counter`-th run, 1 or 2.
#[must_use]
pub fn prf_input(counter: u8, context: &[u8]) -> Vec<u8> {
    [&[counter], PREFIX, context, &SUFFIX].concat()
}
