//! A terminal's card reader, watched from the terminal's side: is a PIN sent twice? And what strikes between reader and
//! terminal: a wrong bit, another program that holds the card.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use jpki::CertificateKind;
use jpki::card::{fid, ins};
use madoguchi_time::{Deadline, Recovery};

use crate::checks::Broken;
use crate::people::{Conversation, Said};

/// Which bit of an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongBit {
    /// One of the status word: `9000` becomes `9001`.
    Status,
    /// One of the first byte; of the status word if there is no data.
    Data,
    /// One of the last byte before the status word, where a MAC is; of the status word if there is no data.
    Mac,
}

impl WrongBit {
    fn in_answer(self, mut answer: ResponseApdu) -> ResponseApdu {
        let byte = match self {
            Self::Status => None,
            Self::Data => answer.data.first_mut(),
            Self::Mac => answer.data.last_mut(),
        };
        match byte {
            Some(byte) => *byte ^= 0x10,
            None => answer.status = StatusWord(answer.status.0 ^ 0x01),
        }
        answer
    }
}

/// Something that a person entered and that a card compares or keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Secret {
    FaceCode,
    Set(CertificateKind),
    Verified(CertificateKind),
}

impl Secret {
    /// What a command carries, as far as its header tells, in a secure channel or outside.
    fn carried_by(command: &CommandApdu) -> Option<Self> {
        let reference = |fid: u16| 0x80 | fid.to_be_bytes()[1];
        let kind = |of: fn(CertificateKind) -> u8, byte| CertificateKind::BOTH.into_iter().find(|k| of(*k) == byte);
        let pin = |kind| match kind {
            CertificateKind::Signature => fid::SIGN_PIN,
            CertificateKind::Authentication => fid::AUTH_PIN,
        };
        match (command.cla(), command.ins()) {
            (0x00, ins::VERIFY) if !command.data().is_empty() => Some(Self::FaceCode),
            (0x84, ins::VERIFY) => {
                CertificateKind::BOTH.into_iter().find(|kind| reference(pin(*kind)) == command.p2()).map(Self::Verified)
            }
            (0x84, ins::SET_INITIAL_PIN) => kind(CertificateKind::p1, command.p1()).map(Self::Set),
            _ => None,
        }
    }

    fn is_entered_by(self, said: &Said) -> bool {
        match (self, said) {
            (Self::FaceCode, Said::FaceCode) => true,
            (Self::Set(kind), Said::ChoosePin(chosen)) => kind == *chosen,
            (Self::Verified(kind), Said::ChoosePin(entered) | Said::EnterPin(entered, _)) => kind == *entered,
            _ => false,
        }
    }
}

/// Who watches a reader and makes things go wrong there. Clones watch the same reader.
#[derive(Clone, Default)]
pub struct WatchedReader(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    conversation: Conversation,
    /// What was said before is none of this reader's business.
    said_before: usize,
    repeats: bool,
    /// CLA INS P1 P2 of every command.
    headers: Vec<[u8; 4]>,
    /// At which instruction, and what then happens.
    interlude: Option<(u8, Box<dyn FnOnce() + Send>)>,
    connects: u64,
    /// Which attempt to open the card, and why it fails.
    unopened: Option<(u64, fn() -> CardError)>,
    /// Of which answer, and which.
    wrong_bit: Option<(u64, WrongBit)>,
    /// How often the card is held, as soon as it has been lost.
    held: u64,
    lost: bool,
    struck: bool,
    /// How often somebody had been asked when a secret was sent last.
    sent: BTreeMap<Secret, usize>,
    replayed: Vec<Secret>,
}

impl WatchedReader {
    /// Watches a reader from now on, and listens to the people who enter PINs there.
    #[must_use]
    pub fn new(conversation: &Conversation) -> Self {
        let said_before = conversation.said().len();
        Self(Arc::new(Mutex::new(Inner { conversation: conversation.clone(), said_before, ..Inner::default() })))
    }

    /// The reader makes a mistake: it sends a command again that got no answer, or `6Cxx`.
    pub fn repeat_commands(&self) {
        self.lock().repeats = true;
    }

    /// One bit of the `n`-th answer is wrong, counted from 1.
    pub fn wrong_bit(&self, n: u64, bit: WrongBit) {
        self.lock().wrong_bit = Some((n, bit));
    }

    /// Before the first command of this instruction, `happens`.
    pub fn before(&self, instruction: u8, happens: impl FnOnce() + Send + 'static) {
        self.lock().interlude = Some((instruction, Box::new(happens)));
    }

    /// The `n`-th attempt to open the card fails, counted from 1.
    pub fn leave_unopened(&self, n: u64, why: fn() -> CardError) {
        self.lock().unopened = Some((n, why));
    }

    /// Another program takes the card at the next reset, and holds it when the terminal begins a transaction, so many times.
    pub fn held_after_reset(&self, times: u64) {
        self.lock().held = times;
    }

    /// Was there an answer with a wrong bit, or an attempt that failed to open the card?
    #[must_use]
    pub fn struck(&self) -> bool {
        self.lock().struck
    }

    /// CLA INS P1 P2 of every command so far.
    #[must_use]
    pub fn headers(&self) -> Vec<[u8; 4]> {
        self.lock().headers.clone()
    }

    /// CLA INS P1 P2 of the `n`-th command, counted from 1.
    #[must_use]
    pub fn header(&self, n: u64) -> Option<[u8; 4]> {
        let index = usize::try_from(n).ok()?.checked_sub(1)?;
        self.lock().headers.get(index).copied()
    }

    /// No PIN has been sent that nobody had entered, or a second time.
    ///
    /// # Errors
    /// Which has.
    pub fn check_no_replay(&self) -> Result<(), Broken> {
        let inner = self.lock();
        if inner.replayed.is_empty() { Ok(()) } else { Err(format!("sent twice: {:?}", inner.replayed)) }
    }

    /// `reader`, watched.
    #[must_use]
    pub fn watch(&self, reader: Box<dyn CardReader>) -> Box<dyn CardReader> {
        Box::new(Watched { reader, watch: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn connects(&mut self) -> Result<(), CardError> {
        self.connects += 1;
        match self.unopened {
            Some((n, why)) if n == self.connects => {
                self.struck = true;
                Err(why())
            }
            _ => Ok(()),
        }
    }

    fn begins(&mut self) -> Result<(), CardError> {
        if !self.lost || self.held == 0 {
            return Ok(());
        }
        self.held -= 1;
        Err(CardError::Busy)
    }

    fn sends(&mut self, command: &CommandApdu) {
        self.headers.push([command.cla(), command.ins(), command.p1(), command.p2()]);
        if let Some((_, happens)) = self.interlude.take_if(|(instruction, _)| *instruction == command.ins()) {
            happens();
        }
        let Some(secret) = Secret::carried_by(command) else { return };
        let said = self.conversation.said();
        let entered = said.iter().skip(self.said_before).filter(|said| secret.is_entered_by(said)).count();
        if self.sent.insert(secret, entered).unwrap_or(0) == entered {
            self.replayed.push(secret);
        }
    }

    fn receives(&mut self, answer: Result<ResponseApdu, CardError>) -> Result<ResponseApdu, CardError> {
        self.lost |= matches!(answer, Err(CardError::Reset));
        match self.wrong_bit {
            Some((n, bit)) if n == self.headers.len() as u64 => {
                self.struck = true;
                answer.map(|answer| bit.in_answer(answer))
            }
            _ => answer,
        }
    }
}

struct Watched {
    reader: Box<dyn CardReader>,
    watch: WatchedReader,
}

impl CardReader for Watched {
    fn name(&self) -> &str {
        self.reader.name()
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        self.reader.wait_for_card(deadline)
    }

    fn connect(&mut self, deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        self.watch.lock().connects()?;
        let connection = self.reader.connect(deadline)?;
        Ok(Box::new(WatchedConnection { connection, watch: &self.watch }))
    }
}

struct WatchedConnection<'a> {
    connection: Box<dyn CardConnection + 'a>,
    watch: &'a WatchedReader,
}

impl CardConnection for WatchedConnection<'_> {
    fn identity(&self) -> &CardIdentity {
        self.connection.identity()
    }

    fn capabilities(&self) -> CardCapabilities {
        self.connection.capabilities()
    }

    fn begin(&mut self, deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        self.watch.lock().begins()?;
        let transaction = self.connection.begin(deadline)?;
        Ok(Box::new(WatchedTransaction { transaction, watch: self.watch }))
    }
}

struct WatchedTransaction<'a> {
    transaction: Box<dyn CardTransaction + 'a>,
    watch: &'a WatchedReader,
}

impl CardTransaction for WatchedTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        self.watch.lock().sends(command);
        let mut answer = self.transaction.transmit(command, deadline);
        let again = match &answer {
            Ok(answer) => answer.status.wrong_le().is_some(),
            Err(error) => error.recovery() == Recovery::Reconnect,
        };
        if again && self.watch.lock().repeats {
            self.watch.lock().sends(command);
            answer = self.transaction.transmit(command, deadline);
        }
        self.watch.lock().receives(answer)
    }

    fn was_reset(&self) -> bool {
        self.transaction.was_reset()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        self.transaction.end(how)
    }
}
