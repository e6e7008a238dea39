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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardKeys {
    /// Version of the master key: the one that every card is to have.
    pub version: u8,
    /// Versions that cards may still have, until their keys are changed.
    pub previous: Vec<u8>,
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
    /// Has a version of this card a key-import key?
    takes_keys: bool,
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
            takes_keys: false,
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
            CardCommand::OpenChannel => self.open_issuing(hsm, challenge, deadline),
            CardCommand::ReadKeyVersions => self.read_key_versions(deadline),
            CardCommand::OpenDomain(version) => self.open_channel(&card::AID_ISD, *version, hsm, challenge, deadline),
            CardCommand::PutKeys(version) => self.put_keys(*version, hsm, deadline),
            CardCommand::DeleteKeys(version) => self.delete_keys(*version, deadline),
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
        let Some(plain) = codec::encode(command, self.keys.algorithm) else {
            return Ok(CardReply::Refused(StatusWord::SECURITY_STATUS_NOT_SATISFIED));
        };
        Ok(codec::decode(command, &self.through_channel(&plain, deadline)?))
    }

    /// Without a channel, the answer is the card's own: that there is none.
    fn through_channel(&mut self, plain: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, SessionError> {
        let Some(channel) = &mut self.channel else {
            return Ok(ResponseApdu::from(StatusWord::SECURITY_STATUS_NOT_SATISFIED));
        };
        let wrapped = channel.wrap(plain)?;
        let response = exchange(&mut self.transaction, self.capabilities, &wrapped, deadline)?;
        Ok(channel.unwrap(&response)?)
    }

    /// Opens a channel to 公的個人認証AP with the current key version, or with an older one if the card does not have that yet.
    fn open_issuing(
        &mut self,
        hsm: &dyn Hsm,
        challenge: &[u8; 32],
        deadline: Deadline,
    ) -> Result<CardReply, SessionError> {
        let previous = self.keys.previous.clone();
        let mut reply = self.open_channel(&card::AID_JPKI, self.keys.version, hsm, challenge, deadline)?;
        for version in previous {
            if !matches!(reply, CardReply::Refused(StatusWord::REFERENCED_DATA_NOT_FOUND)) {
                break;
            }
            reply = self.open_channel(&card::AID_JPKI, version, hsm, challenge, deadline)?;
        }
        Ok(reply)
    }

    /// GET DATA of the issuer security domain's key information template.
    fn read_key_versions(&mut self, deadline: Deadline) -> Result<CardReply, SessionError> {
        let selected = self.select_application(&card::AID_ISD, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let [high, low] = card::data::KEY_INFORMATION.to_be_bytes();
        let get_data = CommandApdu::new(0x00, card::domain_ins::GET_DATA, high, low).with_le(256);
        let response = self.transmit(&get_data, deadline)?;
        if !response.status.is_ok() {
            return Ok(CardReply::Refused(response.status));
        }
        let Some(keys) = codec::key_information(&response.data) else { return Ok(CardReply::Nonsense) };
        self.takes_keys = keys.iter().any(|key| key.identifier == codec::KEY_IMPORT_KEY);
        let mut versions: Vec<u8> = keys.iter().map(|key| key.version).collect();
        versions.dedup();
        Ok(CardReply::Done(CardData::KeyVersions(versions)))
    }

    /// PUT KEY: adds a version. What the card answers says which keys it took.
    fn put_keys(&mut self, version: u8, hsm: &dyn Hsm, deadline: Deadline) -> Result<CardReply, SessionError> {
        let Some(present) = &self.key_set else {
            return Ok(CardReply::Refused(StatusWord::SECURITY_STATUS_NOT_SATISFIED));
        };
        let keys = hsm.encipher_card_keys(present, version, deadline)?;
        let mut keys = vec![keys.enc, keys.mac, keys.dek, keys.import];
        keys.truncate(if self.takes_keys { 4 } else { 3 });
        let response = self.through_channel(&codec::put_key(version, &keys, self.keys.length), deadline)?;
        Ok(match response.status {
            status if !status.is_ok() => CardReply::Refused(status),
            _ if *response.data == codec::put_key_answer(version, &keys) => CardReply::Done(CardData::None),
            _ => CardReply::Nonsense,
        })
    }

    /// DELETE of a key version.
    fn delete_keys(&mut self, version: u8, deadline: Deadline) -> Result<CardReply, SessionError> {
        let status = self.through_channel(&codec::delete_key(version), deadline)?.status;
        Ok(if status.is_ok() { CardReply::Done(CardData::None) } else { CardReply::Refused(status) })
    }

    fn open_channel(
        &mut self,
        aid: &[u8],
        version: u8,
        hsm: &dyn Hsm,
        challenge: &[u8; 32],
        deadline: Deadline,
    ) -> Result<CardReply, SessionError> {
        self.channel = None;
        self.key_set = None;
        let selected = self.select_application(aid, deadline)?;
        if !selected.is_ok() {
            return Ok(CardReply::Refused(selected));
        }
        let length = self.keys.challenge.min(challenge.len());
        let (handshake, command) = Handshake::begin(version, challenge[..length].to_vec());
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
