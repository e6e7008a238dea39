//! One card transaction with its secure channel.

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{CardCapabilities, CardError, CardTransaction, Disposition, exchange};
use hsm::{CardKeySet, Hsm, HsmError};
use jpki::card;
use madoguchi_time::Deadline;
use secure_channel::{ChannelError, Handshake, SecureChannel};
use zeroize::Zeroizing;

use super::codec;
use crate::procedure::{CardCommand, CardData, CardReply};

/// Which keys open the cards of this site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardKeys {
    /// Version of the master key.
    pub version: u8,
    /// Length of the card's keys in bytes: 16, 24 or 32.
    pub length: usize,
    /// Length of the challenges: 8 (S8) or 16 (S16).
    pub challenge: usize,
    /// Algorithm of new key pairs, as in `jpki::card::algorithm`.
    pub algorithm: u8,
}

/// One exchange as the technical view shows it: never data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// CLA INS P1 P2 as hex.
    pub(crate) header: String,
    /// Bytes sent.
    pub(crate) sent: usize,
    /// Bytes received.
    pub(crate) received: usize,
    /// The status word as hex; empty if no answer came.
    pub(crate) status: String,
}

/// Why a session can't go on. What the card refuses is no error here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The reader's or the line's fault.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The channel: foreign keys, or somebody in between.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The HSM would not derive the session keys.
    #[error(transparent)]
    Hsm(#[from] HsmError),
}

/// An exclusive transaction, and the channel once it is open.
pub(crate) struct CardSession<'t> {
    transaction: Recorded<'t>,
    capabilities: CardCapabilities,
    channel: Option<SecureChannel>,
    /// The static keys under which the channel stands.
    key_set: Option<CardKeySet>,
    keys: CardKeys,
}

/// A transaction that remembers what passed.
struct Recorded<'t> {
    inner: Box<dyn CardTransaction + 't>,
    exchanges: Vec<Exchange>,
}

impl CardTransaction for Recorded<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let answer = self.inner.transmit(command, deadline);
        self.exchanges.push(Exchange {
            header: hex::encode_upper([command.cla(), command.ins(), command.p1(), command.p2()]),
            sent: command.to_bytes(command.encoding()).map_or(0, |bytes| bytes.len()),
            received: answer.as_ref().map_or(0, |response| response.data.len() + 2),
            status: answer.as_ref().map_or_else(|_| String::new(), |response| format!("{:04X}", response.status.0)),
        });
        answer
    }

    fn was_reset(&self) -> bool {
        self.inner.was_reset()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.inner.end(how)
    }
}

impl<'t> CardSession<'t> {
    /// A session without a channel yet.
    pub(crate) fn new(
        transaction: Box<dyn CardTransaction + 't>,
        capabilities: CardCapabilities,
        keys: CardKeys,
    ) -> Self {
        Self {
            transaction: Recorded { inner: transaction, exchanges: Vec::new() },
            capabilities,
            channel: None,
            key_set: None,
            keys,
        }
    }

    /// Performs one command.
    ///
    /// # Errors
    /// [`SessionError`]; a removal or reset shows as such a [`CardError`].
    pub(crate) fn perform(
        &mut self,
        command: &CardCommand,
        hsm: &dyn Hsm,
        challenge: &[u8; 32],
        deadline: Deadline,
    ) -> Result<CardReply, SessionError> {
        match command {
            CardCommand::ReadSerial => self.read_serial(deadline),
            CardCommand::ReadHolder(code) => self.read_holder(code, deadline),
            CardCommand::OpenChannel => self.open_channel(hsm, challenge, deadline),
            command => self.issuing_command(command, deadline),
        }
    }

    /// Which static keys the channel stands under; none as long as there is no channel.
    pub(crate) fn key_set(&self) -> Option<&CardKeySet> {
        self.key_set.as_ref()
    }

    /// Ends the transaction. The card is reset, so that nothing that was verified stays open.
    ///
    /// # Errors
    /// If the card could not be reset; it may have gone.
    pub(crate) fn end(self) -> Result<(), CardError> {
        self.transaction.inner.end(Disposition::Reset)
    }

    /// What passed since this was asked last.
    pub(crate) fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.transaction.exchanges)
    }

    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        exchange(&mut self.transaction, self.capabilities, command, deadline)
    }

    fn issuing_command(&mut self, command: &CardCommand, deadline: Deadline) -> Result<CardReply, SessionError> {
        let (Some(channel), Some(plain)) = (&mut self.channel, codec::encode(command, self.keys.algorithm)) else {
            return Ok(CardReply::Refused(StatusWord::SECURITY_STATUS_NOT_SATISFIED));
        };
        let wrapped = channel.wrap(&plain)?;
        let response = exchange(&mut self.transaction, self.capabilities, &wrapped, deadline)?;
        let response = channel.unwrap(&response)?;
        Ok(codec::decode(command, &response))
    }

    fn open_channel(
        &mut self,
        hsm: &dyn Hsm,
        challenge: &[u8; 32],
        deadline: Deadline,
    ) -> Result<CardReply, SessionError> {
        let selected = self.select_application(&card::AID_JPKI, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let length = self.keys.challenge.min(challenge.len());
        let (handshake, command) = Handshake::begin(self.keys.version, challenge[..length].to_vec());
        let response = self.transmit(&command, deadline)?;
        if !response.status.is_ok() {
            return Ok(CardReply::Refused(response.status));
        }
        let negotiated = handshake.answered(&response)?;
        let derivation = negotiated.derivation(self.keys.length);
        let session_keys = hsm.derive_session(&derivation, deadline)?;
        let (authenticating, command) = negotiated.authenticate(session_keys, card::ISSUING_SECURITY_LEVEL)?;
        let response = self.transmit(&command, deadline)?;
        let mut channel = authenticating.opened(&response)?;
        if self.capabilities.extended_length {
            channel.allow_extended_length();
        }
        self.channel = Some(channel);
        self.key_set = Some(CardKeySet::from(&derivation));
        Ok(CardReply::Done(CardData::None))
    }

    fn read_serial(&mut self, deadline: Deadline) -> Result<CardReply, SessionError> {
        let selected = self.select_application(&card::AID_COMMON, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let selected = self.select_file(card::common::CARD_RECORD, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        // READ RECORD, record 1 of the current file (ISO/IEC 7816-4 §11.4.3).
        let response = self.transmit(&CommandApdu::new(0x00, 0xB2, 0x01, 0x04).with_le(256), deadline)?;
        if !response.status.is_ok() {
            return Ok(CardReply::Refused(response.status));
        }
        Ok(codec::card_record(&response.data).map_or(CardReply::Nonsense, CardReply::Done))
    }

    fn read_holder(&mut self, code: &Zeroizing<String>, deadline: Deadline) -> Result<CardReply, SessionError> {
        let selected = self.select_application(&card::AID_FACE_INPUT, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let selected = self.select_file(card::face_input::CHECK_NUMBER_B, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let digits = Zeroizing::new(code.as_bytes().to_vec());
        let verify = CommandApdu::new(0x00, card::ins::VERIFY, 0x00, 0x80).with_sensitive(digits);
        let verified = self.transmit(&verify, deadline)?.status;
        if !verified.is_ok() {
            return Ok(CardReply::Refused(verified));
        }
        let selected = self.select_file(card::face_input::BASIC_FOUR, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        match self.read_binary(deadline)? {
            Ok(data) => {
                let holder = codec::holder(&data);
                Ok(holder.map_or(CardReply::Nonsense, |holder| CardReply::Done(CardData::Holder(holder))))
            }
            Err(status) => Ok(CardReply::Refused(status)),
        }
    }

    /// READ BINARY until the file ends (ISO/IEC 7816-4 §11.3.3).
    fn read_binary(&mut self, deadline: Deadline) -> Result<Result<Zeroizing<Vec<u8>>, StatusWord>, CardError> {
        const PIECE: u16 = 256;
        let mut content = Zeroizing::new(Vec::with_capacity(card::MAX_CERTIFICATE));
        for offset in (0..0x7FFF_u16).step_by(PIECE.into()) {
            let [high, low] = offset.to_be_bytes();
            let command = CommandApdu::new(0x00, 0xB0, high, low).with_le(PIECE.into());
            let response = self.transmit(&command, deadline)?;
            match response.status {
                status if status.is_ok() || status == StatusWord::END_OF_FILE => {}
                StatusWord::OFFSET_OUTSIDE_FILE if offset > 0 => break,
                status => return Ok(Err(status)),
            }
            content.extend_from_slice(&response.data);
            if response.data.len() < PIECE.into() {
                break;
            }
        }
        Ok(Ok(content))
    }

    /// SELECT by name, no FCI (ISO/IEC 7816-4 §11.2.2).
    fn select_application(&mut self, aid: &[u8], deadline: Deadline) -> Result<StatusWord, CardError> {
        let command = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data(aid);
        Ok(self.transmit(&command, deadline)?.status)
    }

    /// SELECT of an elementary file under the current application.
    fn select_file(&mut self, fid: u16, deadline: Deadline) -> Result<StatusWord, CardError> {
        let command = CommandApdu::new(0x00, 0xA4, 0x02, 0x0C).with_data(fid.to_be_bytes().to_vec());
        Ok(self.transmit(&command, deadline)?.status)
    }
}
