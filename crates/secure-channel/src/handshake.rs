use apdu::{CommandApdu, ResponseApdu};
use subtle::ConstantTimeEq;

use crate::channel::SecureChannel;
use crate::error::ChannelError;
use crate::kdf::{self, constant};
use crate::keys::{SessionDerivation, SessionKeys};
use crate::level::Level;

/// Protocol identifier of SCP03 in the answer to INITIALIZE UPDATE (Amendment D, table 7-3).
const SCP03: u8 = 0x03;
/// Bits of "i" (Amendment D, table 5-1): S16 mode; the card's challenge is pseudo-random.
const OPTION_S16: u8 = 0x01;
const OPTION_PSEUDO_RANDOM: u8 = 0x10;

/// A channel that is being opened: INITIALIZE UPDATE is under way.
#[derive(Debug)]
#[must_use]
pub struct Handshake {
    key_version: u8,
    host_challenge: Vec<u8>,
}

impl Handshake {
    /// Begins with a fresh random challenge, of 8 bytes for a card in S8 mode or 16 bytes for one in S16 mode, and gives
    /// the INITIALIZE UPDATE to send. Key version 0 leaves the choice of keys to the card.
    ///
    /// A challenge of another length is refused in [`Handshake::answered`], like one that does not suit the card.
    pub fn begin(key_version: u8, host_challenge: Vec<u8>) -> (Self, CommandApdu) {
        let initialize_update =
            CommandApdu::new(0x80, 0x50, key_version, 0x00).with_data(host_challenge.as_slice()).with_le(256);
        (Self { key_version, host_challenge }, initialize_update)
    }

    /// Takes the card's answer to INITIALIZE UPDATE.
    ///
    /// # Errors
    /// [`ChannelError::Refused`], [`ChannelError::NotScp03`], [`ChannelError::ChallengeLength`],
    /// [`ChannelError::KeyVersion`].
    pub fn answered(self, answer: &ResponseApdu) -> Result<Negotiated, ChannelError> {
        if !answer.status.is_ok() {
            return Err(ChannelError::Refused(answer.status));
        }
        let not_scp03 = ChannelError::NotScp03 { length: answer.data.len() };
        let (diversification, rest) = answer.data.split_first_chunk::<10>().ok_or(not_scp03)?;
        let (&[key_version, protocol, options], rest) = rest.split_first_chunk::<3>().ok_or(not_scp03)?;
        if protocol != SCP03 {
            return Err(not_scp03);
        }
        let length = if options & OPTION_S16 == 0 { 8 } else { 16 };
        let (card_challenge, rest) = rest.split_at_checked(length).ok_or(not_scp03)?;
        let (card_cryptogram, rest) = rest.split_at_checked(length).ok_or(not_scp03)?;
        let sequence_counter = match (options & OPTION_PSEUDO_RANDOM != 0, rest) {
            (false, []) => None,
            (true, &[a, b, c]) => Some([a, b, c]),
            _ => return Err(not_scp03),
        };
        if self.host_challenge.len() != length {
            return Err(ChannelError::ChallengeLength { host: self.host_challenge.len(), card: length });
        }
        if self.key_version != 0 && self.key_version != key_version {
            return Err(ChannelError::KeyVersion { asked: self.key_version, answered: key_version });
        }
        Ok(Negotiated {
            key_version,
            diversification: *diversification,
            options,
            host_challenge: self.host_challenge,
            card_challenge: card_challenge.to_vec(),
            card_cryptogram: card_cryptogram.to_vec(),
            sequence_counter,
        })
    }
}

/// A channel that is being opened: both challenges are known, the session keys are not.
#[derive(Debug)]
#[must_use]
pub struct Negotiated {
    key_version: u8,
    diversification: [u8; 10],
    options: u8,
    host_challenge: Vec<u8>,
    card_challenge: Vec<u8>,
    card_cryptogram: Vec<u8>,
    sequence_counter: Option<[u8; 3]>,
}

impl Negotiated {
    /// What the session keys are to be derived from, for a card whose AES keys have `key_length` bytes.
    #[must_use]
    pub fn derivation(&self, key_length: usize) -> SessionDerivation {
        SessionDerivation {
            key_version: self.key_version,
            diversification: self.diversification,
            key_length,
            host_challenge: self.host_challenge.clone(),
            card_challenge: self.card_challenge.clone(),
        }
    }

    /// How many channels the card has opened with these keys, if it makes its challenges from that count.
    #[must_use]
    pub const fn sequence_counter(&self) -> Option<[u8; 3]> {
        self.sequence_counter
    }

    /// Verifies the card's cryptogram, in constant time, and gives the EXTERNAL AUTHENTICATE that proves the host and
    /// asks for a security level: `01` C-MAC, `03` C-MAC and C-ENC, `11` C-MAC and R-MAC, `13` C-MAC, C-ENC and R-MAC,
    /// `33` all four.
    ///
    /// # Errors
    /// [`ChannelError::Level`], [`ChannelError::KeyLength`], [`ChannelError::CardNotAuthentic`].
    pub fn authenticate(self, keys: SessionKeys, level: u8) -> Result<(Authenticating, CommandApdu), ChannelError> {
        let level = Level::new(level, self.options).ok_or(ChannelError::Level { level, options: self.options })?;
        if keys.enc.len() != keys.mac.len() || keys.enc.len() != keys.rmac.len() {
            return Err(ChannelError::KeyLength);
        }
        let context = [&self.host_challenge[..], &self.card_challenge].concat();
        let bits = if self.options & OPTION_S16 == 0 { 64 } else { 128 };
        let cryptogram =
            |constant| kdf::derive(&keys.mac, constant, bits, &context).map_err(|_| ChannelError::KeyLength);

        let expected = cryptogram(constant::CARD_CRYPTOGRAM)?;
        if !bool::from(expected.ct_eq(&self.card_cryptogram)) {
            return Err(ChannelError::CardNotAuthentic);
        }
        let host_cryptogram = cryptogram(constant::HOST_CRYPTOGRAM)?;

        let mut channel = SecureChannel::new(keys, level, usize::from(bits / 8));
        let external_authenticate =
            channel.authenticated(&CommandApdu::new(0x84, 0x82, level.byte(), 0x00), &host_cryptogram, None)?;
        Ok((Authenticating { channel }, external_authenticate))
    }
}

/// A channel that is being opened: the card has proved itself, EXTERNAL AUTHENTICATE is under way.
#[derive(Debug)]
#[must_use]
pub struct Authenticating {
    channel: SecureChannel,
}

impl Authenticating {
    /// Takes the card's answer to EXTERNAL AUTHENTICATE. It carries no MAC: the first command through the channel shows
    /// whether the card has accepted.
    ///
    /// # Errors
    /// [`ChannelError::Refused`].
    pub fn opened(self, answer: &ResponseApdu) -> Result<SecureChannel, ChannelError> {
        if answer.status.is_ok() && answer.data.is_empty() {
            Ok(self.channel)
        } else {
            Err(ChannelError::Refused(answer.status))
        }
    }
}
