//! The card as its reader sees it: power, reset, and commands in and answers out. Reassembles chains, removes and adds
//! secure messaging, hands out long answers in pieces.

use jpki::card::{domain_ins, ins};
use madoguchi_time::SharedClock;
use zeroize::Zeroizing;

use crate::apdu::Command;
use crate::application::Application;
use crate::issuing;
use crate::keys::KeySource;
use crate::mistake::{Mistake, Mistakes};
use crate::nvm::{Nvm, NvmError, PowerSwitch};
use crate::pin::Verified;
use crate::profile::CardProfile;
use crate::resident;
use crate::scp03::{Handshake, Level};
use crate::security_domain;
use crate::session_key;
use crate::state::{Answer, ChannelState, Chip, Failure, Session, done, object};
use crate::static_keys::KeyTable;
use crate::store::{Change, Store};
use crate::sw::Sw;

/// GET RESPONSE (ISO/IEC 7816-4 §11.7.1).
const GET_RESPONSE: u8 = 0xC0;
/// SELECT (ISO/IEC 7816-4 §11.1.1).
const SELECT: u8 = 0xA4;
/// SET SESSION KEY of JICSAP.
const SET_SESSION_KEY: u8 = 0xAE;
/// READ BINARY and READ RECORD: they take no data, so that there is nothing to chain.
const READS: [u8; 2] = [0xB0, 0xB2];
/// P1 of SELECT: by application identifier.
const BY_NAME: u8 = 0x04;
/// The most data that a chain may bring, in bytes.
const CHAIN_MAX: usize = 8_192;
/// The longest answer in one piece: with its status word it fits a 16-bit length.
const ANSWER_MAX: usize = 65_533;

/// A card with its memory.
///
/// It has no `Debug`: everything in it is personal or secret, and wiped when it is dropped.
pub struct Card {
    pub(crate) chip: Chip,
    /// `None` without power.
    volatile: Option<Volatile>,
}

/// What is gone after a reset.
struct Volatile {
    session: Session,
    chain: Option<Command>,
    /// What GET RESPONSE hands out, and the status word at its end.
    waiting: Option<(Zeroizing<Vec<u8>>, Sw)>,
}

impl Card {
    /// Puts a card's memory into a card, and powers it up.
    ///
    /// # Errors
    /// [`NvmError::NotFormatted`] if nobody has [personalised](crate::Personalisation) the memory; whatever the memory has.
    pub fn power_on(
        nvm: impl Nvm + 'static,
        clock: SharedClock,
        keys: impl KeySource + 'static,
    ) -> Result<Self, NvmError> {
        let store = Store::mount(Box::new(nvm))?;
        let profile = store.get(object::PROFILE)?.ok_or(NvmError::NotFormatted)?;
        let profile: CardProfile = serde_json::from_slice(&profile).map_err(|_| NvmError::NotFormatted)?;
        let chip = Chip { store, profile, clock, keys: Box::new(keys), mistakes: Mistakes::default() };
        Ok(Self { chip, volatile: Some(Volatile::new()) })
    }

    /// The answer to reset.
    #[must_use]
    pub fn atr(&self) -> &[u8] {
        &self.chip.profile.atr
    }

    /// What kind of card this is.
    #[must_use]
    pub fn profile(&self) -> &CardProfile {
        &self.chip.profile
    }

    /// Sends one command and returns the answer. Whatever the bytes, the answer ends in a status word; only a card without
    /// power answers nothing at all.
    pub fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let Some(volatile) = &mut self.volatile else { return Vec::new() };
        volatile.perform(&mut self.chip, command).unwrap_or_else(|_| {
            self.volatile = None;
            Vec::new()
        })
    }

    /// Resets the card: selection, PINs and channel are gone.
    pub fn reset(&mut self) {
        self.volatile = self.volatile.take().map(|_| Volatile::new());
    }

    /// Takes the power away.
    pub fn power_off(&mut self) {
        self.volatile = None;
    }

    /// Gives the power back, as when the card comes into a reader. A card that has power is reset.
    ///
    /// # Errors
    /// Whatever the memory has; the card stays without power then.
    pub fn power_up(&mut self) -> Result<(), NvmError> {
        self.volatile = None;
        self.chip.store.power_up()?;
        self.volatile = Some(Volatile::new());
        Ok(())
    }

    /// Does the card have power?
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.volatile.is_some()
    }

    /// The switch with which a test cuts the power at a write to the memory.
    #[must_use]
    pub fn power_switch(&self) -> PowerSwitch {
        self.chip.store.power_switch()
    }

    /// Makes the card make a mistake from now on, for tests that must notice it.
    pub fn make_mistake(&mut self, mistake: Mistake) {
        self.chip.mistakes.make(mistake);
    }

    /// Takes the memory out of the card.
    #[must_use]
    pub fn into_nvm(self) -> Box<dyn Nvm> {
        self.chip.store.into_nvm()
    }
}

impl Volatile {
    fn new() -> Self {
        Self { session: Session::new(), chain: None, waiting: None }
    }

    /// Answers one command APDU with one response APDU.
    fn perform(&mut self, chip: &mut Chip, bytes: &[u8]) -> Result<Vec<u8>, NvmError> {
        let Some(command) = Command::parse(bytes) else {
            self.chain = None;
            self.waiting = None;
            return Ok(Sw::WRONG_LENGTH.0.to_be_bytes().to_vec());
        };
        let room = command.room().min(ANSWER_MAX);
        if command.ins == GET_RESPONSE && command.base_class() == 0x00 && !command.is_secure() && self.chain.is_none() {
            let (data, sw) = self.waiting.take().unwrap_or((Zeroizing::default(), Sw::CONDITIONS));
            return Ok(self.hand_out(data, sw, room));
        }
        self.waiting = None;
        let (data, sw) = match self.reassemble(command) {
            Ok(Some(command)) => self.execute(chip, command)?,
            Ok(None) => (Zeroizing::default(), Sw::OK),
            Err(sw) => (Zeroizing::default(), sw),
        };
        Ok(self.hand_out(data, sw, room))
    }

    /// Checks the class and collects chained commands. `None` while the chain goes on.
    fn reassemble(&mut self, mut command: Command) -> Result<Option<Command>, Sw> {
        let chain = self.chain.take();
        match command.cla {
            // First interindustry classes on logical channels other than the basic one (ISO/IEC 7816-4 §5.4.1).
            0x01..=0x03 | 0x11..=0x13 | 0x40..=0x7F => return Err(Sw::LOGICAL_CHANNEL),
            // GlobalPlatform's secure messaging of what ISO/IEC 7816-4 names too, GET DATA and STORE DATA (GlobalPlatform Card
            // Specification v2.3 §11.1.4).
            0x04 | 0x14 if self.session.application.security_domain => {}
            // Secure messaging that this card does not have.
            0x05..=0x07 | 0x09..=0x0F | 0x15..=0x1F => return Err(Sw::SECURE_MESSAGING),
            // 04: a command of ISO/IEC 7816-4 through the channel, as GET DATA comes (GlobalPlatform §11.1.4).
            0x00 | 0x04 | 0x10 | 0x14 | session_key::CLASS | 0x80 | 0x84 | 0x90 | 0x94 => {}
            _ => return Err(Sw::CLA),
        }
        if let Some(mut whole) = chain {
            let same = whole.base_class() == command.base_class() && whole.is_secure() == command.is_secure();
            if !same || (whole.ins, whole.p1, whole.p2) != (command.ins, command.p1, command.p2) {
                return Err(Sw::LAST_OF_CHAIN_EXPECTED);
            }
            if whole.data.len() + command.data.len() > CHAIN_MAX {
                return Err(Sw::WRONG_LENGTH);
            }
            // Not `extend`: growing in place would leave copies of what may be a PIN behind.
            let mut data = Zeroizing::new(Vec::with_capacity(whole.data.len() + command.data.len()));
            data.extend_from_slice(&whole.data);
            data.extend_from_slice(&command.data);
            whole.data = data;
            whole.cla = command.cla;
            command = whole;
        }
        if !command.is_chained() {
            return Ok(Some(command));
        }
        if READS.contains(&command.ins) || command.ins == GET_RESPONSE {
            return Err(Sw::CHAINING);
        }
        self.chain = Some(command);
        Ok(None)
    }

    /// Performs a whole command; the data of the answer, protected if a channel is open, and the status word.
    fn execute(&mut self, chip: &mut Chip, command: Command) -> Result<(Zeroizing<Vec<u8>>, Sw), NvmError> {
        let session = &mut self.session;
        if command.is_secure() && command.ins != ins::EXTERNAL_AUTHENTICATE {
            return execute_protected(chip, session, command);
        }
        status(match (command.base_class(), command.ins) {
            (0x00, SELECT) if command.p1 == BY_NAME => select(chip, session, &command),
            (0x80, ins::INITIALIZE_UPDATE) if session.application.secure_channel => {
                initialize_update(chip, session, &command)
            }
            (0x80, ins::EXTERNAL_AUTHENTICATE) if session.application.secure_channel => {
                external_authenticate(session, &command)
            }
            // Half protected is not protected: while a channel is open, everything has to come through it. The channel
            // stays: a program that polls the card must not be able to end it.
            _ if matches!(session.channel, ChannelState::Open(..)) => Err(Sw::SECURITY_STATUS.into()),
            (0x80, instruction) if session.application.issuing && issuing::is_issuing_only(instruction) => {
                Err(Sw::SECURITY_STATUS.into())
            }
            (0x80, instruction)
                if session.application.security_domain && security_domain::is_protected(instruction) =>
            {
                Err(Sw::SECURITY_STATUS.into())
            }
            (0x00 | 0x80, domain_ins::GET_DATA) => security_domain::get_data(chip, session, &command),
            (session_key::CLASS, _) => session_key::perform(chip, session, &command),
            (0x80, SET_SESSION_KEY) => session_key::set(session, &command),
            _ => resident::perform(chip, session, &command),
        })
    }

    /// As much of the answer as there is room for; the rest waits for GET RESPONSE.
    fn hand_out(&mut self, data: Zeroizing<Vec<u8>>, sw: Sw, room: usize) -> Vec<u8> {
        let (piece, rest) = data.split_at(room.min(data.len()));
        let mut answer = Vec::with_capacity(piece.len() + 2);
        answer.extend_from_slice(piece);
        if rest.is_empty() {
            answer.extend(sw.0.to_be_bytes());
        } else {
            answer.extend(Sw::more(rest.len()).0.to_be_bytes());
            self.waiting = Some((Zeroizing::new(rest.to_vec()), sw));
        }
        answer
    }
}

/// Tells what the card says from what has happened to it: an error here is a card without power.
fn status(answer: Answer) -> Result<(Zeroizing<Vec<u8>>, Sw), NvmError> {
    match answer {
        Ok(data) => Ok((data, Sw::OK)),
        Err(Failure::Status(sw)) => Ok((Zeroizing::default(), sw)),
        Err(Failure::Memory(NvmError::Damaged { .. } | NvmError::Full)) => {
            Ok((Zeroizing::default(), Sw::MEMORY_FAILURE))
        }
        Err(Failure::Memory(error)) => Err(error),
    }
}

/// A command with the bit of secure messaging set.
fn execute_protected(
    chip: &mut Chip,
    session: &mut Session,
    command: Command,
) -> Result<(Zeroizing<Vec<u8>>, Sw), NvmError> {
    if !session.application.secure_channel {
        return Ok((Zeroizing::default(), Sw::SECURE_MESSAGING));
    }
    let ChannelState::Open(mut channel, mut verified) = std::mem::take(&mut session.channel) else {
        return Ok((Zeroizing::default(), Sw::SECURITY_STATUS));
    };
    let command = match channel.unwrap(command) {
        Ok(command) => command,
        Err(sw) => return Ok((Zeroizing::default(), sw)),
    };
    let answer = if session.application.security_domain {
        security_domain::perform(chip, session, &channel, &command)
    } else if channel.level != Level::FULL {
        Err(Sw::SECURITY_STATUS.into())
    } else {
        issuing::perform(chip, session, &channel, &mut verified, &command)
    };
    let (data, sw) = status(answer)?;
    let data = channel.wrap(data, sw);
    session.channel = ChannelState::Open(channel, verified);
    Ok((data, sw))
}

/// `00 A4 04 0C Lc <AID>`: the whole AID. Ends the channel, whether the application exists or not.
fn select(chip: &Chip, session: &mut Session, command: &Command) -> Answer {
    session.channel = ChannelState::Closed;
    if !matches!(command.p2, 0x00 | 0x0C) {
        return Err(Sw::P1_P2.into());
    }
    let verified = session.verified;
    session.select(Application::find(&command.data).ok_or(Sw::FILE_NOT_FOUND)?);
    if chip.mistakes.pins_survive_selection {
        session.verified = verified;
    }
    done()
}

/// `80 50 <key version> 00 Lc <host challenge> 00`. The sequence counter is spent before the answer: no challenge comes twice.
fn initialize_update(chip: &mut Chip, session: &mut Session, command: &Command) -> Answer {
    session.channel = ChannelState::Closed;
    let table = KeyTable::load(chip)?.ok_or(Sw::CONDITIONS)?;
    if command.p2 != 0 {
        return Err(Sw::P1_P2.into());
    }
    let keys = table.set(command.p1).ok_or(Sw::NOT_FOUND)?;
    if command.data.len() != chip.profile.scp03_mode.length() {
        return Err(Sw::WRONG_LENGTH.into());
    }
    let sequence = chip.store.get(object::SEQUENCE)?.and_then(|bytes| <[u8; 3]>::try_from(bytes.as_slice()).ok());
    let [a, b, c] = sequence.ok_or(Sw::CONDITIONS)?;
    let [0, sequence @ ..] = (u32::from_be_bytes([0, a, b, c]) + 1).to_be_bytes() else {
        // The counter is used up, and with it the keys.
        return Err(Sw::CONDITIONS.into());
    };
    chip.store.transact(vec![Change::put(object::SEQUENCE, sequence)])?;
    let mode = chip.profile.scp03_mode;
    let aid = session.application.aid;
    let started = Handshake::start(keys, &table.diversification, mode, sequence, aid, &command.data);
    let (handshake, answer) = started.ok_or(Sw::CONDITIONS)?;
    session.channel = ChannelState::Started(Box::new(handshake));
    Ok(Zeroizing::new(answer))
}

/// `84 82 <level> 00 Lc <host cryptogram> <C-MAC>`
fn external_authenticate(session: &mut Session, command: &Command) -> Answer {
    let ChannelState::Started(handshake) = std::mem::take(&mut session.channel) else {
        return Err(Sw::CONDITIONS.into());
    };
    if !command.is_secure() {
        return Err(Sw::CLA.into());
    }
    let channel = handshake.finish(command)?;
    session.channel = ChannelState::Open(Box::new(channel), Verified::default());
    done()
}
