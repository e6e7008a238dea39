//! Secure channel, card side: SCP03 of GlobalPlatform Card Specification v2.3, Amendment D v1.2.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::aes_key::{AesKey, BLOCK};
use crate::apdu::{CLA_CHAIN, Command, Form};
use crate::profile::Scp03Mode;
use crate::static_keys::KeySet;
use crate::sw::Sw;

/// Derivation constants (Amendment D, table 4-1).
mod constant {
    pub(super) const CARD_CRYPTOGRAM: u8 = 0x00;
    pub(super) const HOST_CRYPTOGRAM: u8 = 0x01;
    pub(super) const CARD_CHALLENGE: u8 = 0x02;
    pub(super) const S_ENC: u8 = 0x04;
    pub(super) const S_MAC: u8 = 0x06;
    pub(super) const S_RMAC: u8 = 0x07;
}

/// Security level (Amendment D §7.1.2.1, P1 of EXTERNAL AUTHENTICATE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(u8);

impl Level {
    /// C-MAC, C-DECRYPTION, R-MAC, R-ENCRYPTION.
    pub(crate) const FULL: Self = Self(jpki::card::ISSUING_SECURITY_LEVEL);
    const C_DECRYPTION: u8 = 0x02;
    const R_MAC: u8 = 0x10;
    const R_ENCRYPTION: u8 = 0x20;

    fn new(p1: u8) -> Option<Self> {
        matches!(p1, 0x01 | 0x03 | 0x11 | 0x13 | 0x33).then_some(Self(p1))
    }

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// A channel between INITIALIZE UPDATE and EXTERNAL AUTHENTICATE.
pub(crate) struct Handshake {
    mode: Scp03Mode,
    host_cryptogram: Zeroizing<Vec<u8>>,
    keys: SessionKeys,
    key_version: u8,
    dek: AesKey,
}

struct SessionKeys {
    enc: AesKey,
    mac: AesKey,
    rmac: AesKey,
}

/// An open channel.
pub(crate) struct Channel {
    pub(crate) level: Level,
    /// Version of the static keys under which it stands.
    pub(crate) key_version: u8,
    /// The static K-DEK of that version.
    pub(crate) dek: AesKey,
    mode: Scp03Mode,
    keys: SessionKeys,
    /// MAC chaining value.
    chaining: [u8; BLOCK],
    /// Commands so far; the encryption counter of the one in hand.
    counter: u128,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.chaining.zeroize();
    }
}

impl Handshake {
    /// Answers INITIALIZE UPDATE with this `sequence` number, for the application `aid`. `None` if a key does not have an
    /// AES key's length.
    pub(crate) fn start(
        keys: &KeySet,
        diversification: &[u8],
        mode: Scp03Mode,
        sequence: [u8; 3],
        aid: &[u8],
        host_challenge: &[u8],
    ) -> Option<(Self, Vec<u8>)> {
        let length = mode.length();
        let enc = AesKey::new(keys.enc())?;
        let mac = AesKey::new(keys.mac())?;
        let card_challenge = derive(&enc, constant::CARD_CHALLENGE, length, &[&sequence, aid]);
        let context: [&[u8]; 2] = [host_challenge, &card_challenge];
        let session = SessionKeys {
            enc: AesKey::new(&derive(&enc, constant::S_ENC, keys.enc().len(), &context))?,
            mac: AesKey::new(&derive(&mac, constant::S_MAC, keys.mac().len(), &context))?,
            rmac: AesKey::new(&derive(&mac, constant::S_RMAC, keys.mac().len(), &context))?,
        };
        let card_cryptogram = derive(&session.mac, constant::CARD_CRYPTOGRAM, length, &context);
        let host_cryptogram = derive(&session.mac, constant::HOST_CRYPTOGRAM, length, &context);

        let mut answer = diversification.to_vec();
        answer.extend([keys.version, 0x03, mode.parameter()]);
        answer.extend_from_slice(&card_challenge);
        answer.extend_from_slice(&card_cryptogram);
        answer.extend(sequence);
        let dek = AesKey::new(keys.dek())?;
        Some((Self { mode, host_cryptogram, keys: session, key_version: keys.version, dek }, answer))
    }

    /// EXTERNAL AUTHENTICATE: the command carries the host's cryptogram and the first C-MAC.
    pub(crate) fn finish(self, command: &Command) -> Result<Channel, Sw> {
        let level = Level::new(command.p1).filter(|_| command.p2 == 0).ok_or(Sw::P1_P2)?;
        if command.data.len() != 2 * self.mode.length() {
            return Err(Sw::WRONG_LENGTH);
        }
        let Self { mode, keys, key_version, dek, host_cryptogram } = self;
        let mut channel = Channel { level, key_version, dek, mode, keys, chaining: [0; BLOCK], counter: 0 };
        let cryptogram = channel.check_mac(command)?;
        if bool::from(cryptogram.ct_eq(&host_cryptogram)) { Ok(channel) } else { Err(Sw::AUTHENTICATION_FAILED) }
    }
}

impl Channel {
    /// Checks and removes a command's protection. After an error the channel must be closed.
    pub(crate) fn unwrap(&mut self, mut command: Command) -> Result<Command, Sw> {
        let protected = Zeroizing::new(self.check_mac(&command)?.to_vec());
        self.counter += 1;
        command.data = if self.level.has(Level::C_DECRYPTION) && !protected.is_empty() {
            let padded = self.keys.enc.cbc_decrypt(&self.keys.enc.block(self.counter), &protected);
            padded.and_then(unpad).ok_or(Sw::BAD_SECURE_MESSAGING)?
        } else {
            protected
        };
        Ok(command)
    }

    /// Protects an answer. Words that tell of an error go without protection (Amendment D §6.2.5).
    pub(crate) fn wrap(&self, data: Zeroizing<Vec<u8>>, sw: Sw) -> Zeroizing<Vec<u8>> {
        if !self.level.has(Level::R_MAC) || !sw.is_protected() {
            return data;
        }
        let mut out = if self.level.has(Level::R_ENCRYPTION) && !data.is_empty() {
            // The first bit of the counter block is set for responses (§6.2.7).
            let icv = self.keys.enc.block(self.counter | 1 << 127);
            self.keys.enc.cbc_encrypt(&icv, &pad(&data))
        } else {
            data
        };
        let mac = self.keys.rmac.cmac(&[&self.chaining, &out, &sw.0.to_be_bytes()]);
        out.extend_from_slice(&mac[..self.mode.length()]);
        out
    }

    /// The command's data without its C-MAC, if that is right.
    ///
    /// The MAC covers Lc as it was sent: one byte, or three in an extended APDU and for a chain of more than 255 bytes. Hosts
    /// that always count in the shortest form are understood too: it is the same number.
    fn check_mac<'a>(&mut self, command: &'a Command) -> Result<&'a [u8], Sw> {
        let length = command.data.len();
        let at = length.checked_sub(self.mode.length()).ok_or(Sw::BAD_SECURE_MESSAGING)?;
        let (data, mac) = command.data.split_at(at);
        let header = [command.cla & !CLA_CHAIN, command.ins, command.p1, command.p2];
        let short = [length as u8];
        let extended = [0, (length >> 8) as u8, length as u8];
        let as_sent: &[u8] = if command.form == Form::Extended || length > 255 { &extended } else { &short };
        let shortest: &[u8] = if length > 255 { &extended } else { &short };
        for lc in [as_sent, shortest] {
            let full = self.keys.mac.cmac(&[&self.chaining, &header, lc, data]);
            if bool::from(full[..mac.len()].ct_eq(mac)) {
                self.chaining = full;
                return Ok(data);
            }
        }
        Err(Sw::BAD_SECURE_MESSAGING)
    }
}

/// Key derivation in counter mode (NIST SP 800-108, Amendment D §4.1.5): `length` bytes.
fn derive(key: &AesKey, constant: u8, length: usize, context: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let bits = (length * 8) as u16;
    let mut out = Zeroizing::new(Vec::with_capacity(2 * BLOCK));
    for counter in 1..=length.div_ceil(BLOCK) as u8 {
        let mut label = [0; 16];
        label[11] = constant;
        label[13..15].copy_from_slice(&bits.to_be_bytes());
        label[15] = counter;
        let mut parts: Vec<&[u8]> = vec![&label];
        parts.extend_from_slice(context);
        out.extend_from_slice(&key.cmac(&parts));
    }
    out.truncate(length);
    out
}

/// Padding method 2 of ISO/IEC 9797-1: 80, then zeros.
pub(crate) fn pad(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + BLOCK));
    padded.extend_from_slice(data);
    padded.push(0x80);
    let length = padded.len().next_multiple_of(BLOCK);
    padded.resize(length, 0);
    padded
}

/// The reverse; `None` if there is no such padding.
pub(crate) fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    if padded[end] != 0x80 || padded.len() - end > BLOCK {
        return None;
    }
    padded.truncate(end);
    Some(padded)
}
