use std::fmt;

use apdu::{CommandApdu, Encoding, ResponseApdu, StatusWord};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::ChannelError;
use crate::keys::SessionKeys;
use crate::level::Level;
use crate::primitives::{BLOCK, NotAnAesKey, cbc_decrypt, cbc_encrypt, cmac, encrypt_block};

/// CLA bit 3: this command is secured (GlobalPlatform Card Specification v2.3 §11.1.4).
const SECURED: u8 = 0x04;
/// CLA bit 8: a command of GlobalPlatform, or of ours.
const PROPRIETARY: u8 = 0x80;
/// First byte of the counter block for answers (Amendment D §6.2.7).
const ANSWER: u8 = 0x80;
/// The longest data field of a command, in bytes.
const MAX_DATA: usize = 0xFFFF;

/// An open channel: secures commands and checks answers, strictly in turns.
///
/// # For callers
/// Wrap a whole command before it is split into a chain, and unwrap a whole answer after it has been put together. A
/// command whose answer got lost ends the channel, as host and card may count differently from there on. The card
/// ends it at a reset, a new SELECT, or an error in secure messaging.
pub struct SecureChannel {
    keys: SessionKeys,
    level: Level,
    /// Length of MACs on the line in bytes: 8 in S8 mode, 16 in S16 mode.
    mac_length: usize,
    /// The whole MAC of the last command, from which the next one goes on (Amendment D §6.2.4).
    chaining: [u8; BLOCK],
    /// How many commands have gone through (Amendment D §6.2.6).
    counter: u64,
    extended_length: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Awaiting,
    Broken,
}

impl SecureChannel {
    pub(crate) fn new(keys: SessionKeys, level: Level, mac_length: usize) -> Self {
        Self { keys, level, mac_length, chaining: [0; BLOCK], counter: 0, extended_length: false, state: State::Idle }
    }

    /// From now on, ask for answers of more than 256 bytes where the command does. Without this, `Le` never exceeds
    /// 256 and longer answers come by GET RESPONSE.
    ///
    /// Only for a card and reader that pass extended length: such a command is encoded so, and its MAC covers the length
    /// field as it is encoded.
    pub fn allow_extended_length(&mut self) {
        self.extended_length = true;
    }

    /// The security level that was agreed.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level.byte()
    }

    /// Secures a command. Data is enciphered if the level says so; a command without data gets a MAC only.
    ///
    /// `Le` counts the plain answer; room for padding and MAC is added.
    ///
    /// # Errors
    /// [`ChannelError::Broken`] also if the answer to the command before was never unwrapped. [`ChannelError::Class`] and
    /// [`ChannelError::DataTooLong`] leave the channel as it was.
    pub fn wrap(&mut self, command: &CommandApdu) -> Result<CommandApdu, ChannelError> {
        if self.state != State::Idle {
            self.state = State::Broken;
            return Err(ChannelError::Broken);
        }
        if command.cla() & !(PROPRIETARY | SECURED) != 0 {
            return Err(ChannelError::Class(command.cla()));
        }
        let encipher = self.level.enciphers_commands() && !command.data().is_empty();
        let length = if encipher { padded(command.data().len()) } else { command.data().len() };
        if length + self.mac_length > MAX_DATA {
            return Err(ChannelError::DataTooLong { length: command.data().len() });
        }

        self.counter += 1;
        self.state = State::Awaiting;
        let le = self.le(command.le());
        if encipher {
            let icv = self.icv(0)?;
            let data = cbc_encrypt(&self.keys.enc, icv, command.data())?;
            self.authenticated(command, &data, le)
        } else {
            self.authenticated(command, command.data(), le)
        }
    }

    /// Checks and deciphers the answer to the last command.
    ///
    /// An error status word comes without MAC (Amendment D §6.2.5), so anybody on the line can forge one: it says what
    /// may have happened, and never that something has. Answers are authentic from level `11` on, if they are `9000`,
    /// `62xx` or `63xx`.
    ///
    /// # Errors
    /// [`ChannelError::AnswerNotAuthentic`], and [`ChannelError::Broken`] from then on.
    pub fn unwrap(&mut self, answer: &ResponseApdu) -> Result<ResponseApdu, ChannelError> {
        if self.state != State::Awaiting {
            self.state = State::Broken;
            return Err(ChannelError::Broken);
        }
        // Whatever goes wrong from here on, the channel is not used again.
        self.state = State::Broken;
        let plain = self.verified(answer)?;
        if plain.status != StatusWord::SECURE_MESSAGING_DATA_INCORRECT {
            self.state = State::Idle;
        }
        Ok(plain)
    }

    /// The command with this data and a MAC behind it. The MAC covers the one before, header, length field and data
    /// (Amendment D §6.2.4), the length field as it will be encoded.
    pub(crate) fn authenticated(
        &mut self,
        command: &CommandApdu,
        data: &[u8],
        le: Option<u32>,
    ) -> Result<CommandApdu, ChannelError> {
        let header = [command.cla() | SECURED, command.ins(), command.p1(), command.p2()];
        let with_mac = |mac: &[u8]| {
            let [cla, ins, p1, p2] = header;
            let secured = CommandApdu::new(cla, ins, p1, p2).with_sensitive(Zeroizing::new([data, mac].concat()));
            if let Some(le) = le { secured.with_le(le) } else { secured }
        };

        let unsigned = with_mac(&[0; BLOCK][..self.mac_length]);
        let [.., lc_high, lc_low] = unsigned.data().len().to_be_bytes();
        let length_field: &[u8] = match unsigned.encoding() {
            Encoding::Short => &[lc_low],
            Encoding::Extended => &[0, lc_high, lc_low],
        };
        self.chaining = cmac(&self.keys.mac, &[&self.chaining, &header, length_field, data])?;
        Ok(with_mac(&self.chaining[..self.mac_length]))
    }

    fn verified(&self, answer: &ResponseApdu) -> Result<ResponseApdu, ChannelError> {
        if !self.level.authenticates_answers() {
            return Ok(answer.clone());
        }
        // Other status words come alone (Amendment D §6.2.5).
        if !(answer.status.is_ok() || answer.status.is_warning()) {
            return if answer.data.is_empty() { Ok(answer.clone()) } else { Err(ChannelError::AnswerNotAuthentic) };
        }
        let (data, mac) = answer
            .data
            .len()
            .checked_sub(self.mac_length)
            .map(|length| answer.data.split_at(length))
            .ok_or(ChannelError::AnswerNotAuthentic)?;
        let expected = cmac(&self.keys.rmac, &[&self.chaining, data, &answer.status.0.to_be_bytes()])?;
        if !bool::from(expected[..self.mac_length].ct_eq(mac)) {
            return Err(ChannelError::AnswerNotAuthentic);
        }
        if !self.level.enciphers_answers() || data.is_empty() {
            return Ok(ResponseApdu::new(data, answer.status));
        }
        let data = cbc_decrypt(&self.keys.enc, self.icv(ANSWER)?, data)?.ok_or(ChannelError::AnswerNotAuthentic)?;
        Ok(ResponseApdu { data, status: answer.status })
    }

    /// Initial chaining value: the counter of commands as a block under S-ENC (Amendment D §6.2.6, §6.2.7).
    fn icv(&self, first: u8) -> Result<[u8; BLOCK], ChannelError> {
        let mut block = [0; BLOCK];
        block[8..].copy_from_slice(&self.counter.to_be_bytes());
        block[0] = first;
        Ok(encrypt_block(&self.keys.enc, block)?)
    }

    /// The answer's length on the line, if the plain one is no longer than `plain`.
    fn le(&self, plain: Option<u32>) -> Option<u32> {
        let longest = if self.extended_length { 0x1_0000 } else { 0x100 };
        if !self.level.authenticates_answers() {
            return plain.map(|le| le.min(longest));
        }
        let data = match plain {
            // There is a MAC to come even so. 256 is encoded as zero, "all there is", which every card understands.
            None => return Some(0x100),
            Some(le) if self.level.enciphers_answers() => padded(le as usize),
            Some(le) => le as usize,
        };
        Some(u32::try_from(data + self.mac_length).unwrap_or(longest).min(longest))
    }
}

/// Length in bytes after padding method 2, which always adds something.
const fn padded(length: usize) -> usize {
    (length / BLOCK + 1) * BLOCK
}

impl From<NotAnAesKey> for ChannelError {
    fn from(_: NotAnAesKey) -> Self {
        Self::KeyLength
    }
}

impl fmt::Debug for SecureChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureChannel")
            .field("level", &format_args!("{:02X}", self.level.byte()))
            .field("commands", &self.counter)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
