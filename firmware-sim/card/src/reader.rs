//! A card reader in the process: the `card-reader` port over simulated cards, and the hand that moves the cards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apdu::{CommandApdu, ResponseApdu, StatusWord};
use card_reader::{
    CardCapabilities, CardConnection, CardError, CardIdentity, CardReader, CardTransaction, Disposition,
};
use jpki::CertificateKind;
use madoguchi_time::{Deadline, SharedClock};
use zeroize::Zeroizing;

use crate::Card;
use crate::fault::{Fault, Faults, When};
use crate::inspect::Slots;
use crate::nvm::NvmError;

/// The name of every simulated reader starts so.
const NAME_PREFIX: &str = "SIM-";

/// How long an exchange takes on the line between reader and card.
///
/// Bytes take 10.4 bit times each, start and stop bits and protocol included, and every exchange a fixed time: both together
/// give the published times of reading 1 KB in four pieces at 106 to 848 kbit/s within 8 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTime {
    /// Line rate in bits per second.
    pub bits_per_second: u32,
    /// Fixed time of one command with its answer.
    pub per_exchange: Duration,
}

impl LinkTime {
    /// ISO/IEC 14443 at 106 kbit/s.
    pub const KBITS_106: Self = Self { bits_per_second: 106_000, per_exchange: Duration::from_micros(7_500) };

    /// Time of an exchange of so many bytes, both ways together.
    #[must_use]
    pub fn of(&self, bytes: usize) -> Duration {
        const TENTH_BITS_PER_BYTE: u64 = 104;
        let tenth_bits = bytes as u64 * TENTH_BITS_PER_BYTE;
        self.per_exchange + Duration::from_micros(tenth_bits * 100_000 / u64::from(self.bits_per_second.max(1)))
    }
}

/// A reader with a slot for one [`Card`].
pub struct SimReader {
    name: String,
    shared: Shared,
}

/// The hand at the reader: puts cards in and takes them out, and makes things go wrong. Clones act on the same reader.
#[derive(Clone)]
pub struct SimReaderControl(Shared);

#[derive(Clone)]
struct Shared {
    bench: Arc<Mutex<Bench>>,
    clock: SharedClock,
}

/// The reader and the desk around it.
struct Bench {
    slot: Option<Card>,
    /// The card that a fault took out.
    aside: Option<Card>,
    returns_when_awaited: bool,
    /// Counts the cards put in: a connection to an earlier one is dead.
    insertions: u64,
    resets: u64,
    /// Commands that came as far as the line.
    apdus: u64,
    faults: Faults,
    busy: u32,
    link: Option<LinkTime>,
    capabilities: CardCapabilities,
}

impl SimReader {
    /// An empty reader. Its name gets the prefix `SIM-` if it does not have it.
    #[must_use]
    pub fn new(name: &str, clock: SharedClock) -> Self {
        let bench = Bench {
            slot: None,
            aside: None,
            returns_when_awaited: false,
            insertions: 0,
            resets: 0,
            apdus: 0,
            faults: Faults::default(),
            busy: 0,
            link: Some(LinkTime::KBITS_106),
            capabilities: CardCapabilities { extended_length: true, max_command: 65_535 },
        };
        Self { name: prefixed(name), shared: Shared { bench: Arc::new(Mutex::new(bench)), clock } }
    }

    /// With another line, or with one that takes no time.
    #[must_use]
    pub fn with_link(self, link: Option<LinkTime>) -> Self {
        self.shared.lock().link = link;
        self
    }

    /// With other capabilities, such as a reader without extended length.
    #[must_use]
    pub fn with_capabilities(self, capabilities: CardCapabilities) -> Self {
        self.shared.lock().capabilities = capabilities;
        self
    }

    /// The hand at this reader.
    #[must_use]
    pub fn control(&self) -> SimReaderControl {
        SimReaderControl(self.shared.clone())
    }
}

impl SimReaderControl {
    /// The same reader, opened once more: by a terminal that was started again.
    #[must_use]
    pub fn open(&self, name: &str) -> SimReader {
        SimReader { name: prefixed(name), shared: self.0.clone() }
    }

    /// Puts a card in; it is powered up when somebody connects. Returns the card that was there.
    pub fn insert(&self, card: Card) -> Option<Card> {
        self.0.lock().insert(card)
    }

    /// Takes the card out, or picks up the one that a fault took out.
    #[must_use]
    pub fn remove(&self) -> Option<Card> {
        let mut bench = self.0.lock();
        bench.take_out();
        bench.aside.take()
    }

    /// Puts the card back that a fault took out. Was there one?
    pub fn reinsert(&self) -> bool {
        self.0.lock().reinsert()
    }

    /// Lets a card that a fault took out come back as soon as the terminal waits for a card.
    pub fn return_when_awaited(&self, returns: bool) {
        self.0.lock().returns_when_awaited = returns;
    }

    /// Is there a card in the slot?
    #[must_use]
    pub fn has_card(&self) -> bool {
        self.0.lock().slot.is_some()
    }

    /// Resets the card, as another program would.
    pub fn reset(&self) {
        self.0.lock().reset();
    }

    /// Works with the card in the slot, as its holder's own programs would.
    pub fn with_card<T>(&self, work: impl FnOnce(&mut Card) -> T) -> Option<T> {
        self.0.lock().slot.as_mut().map(work)
    }

    /// Looks into the card in the slot, or into the one that a fault took out, with the lid off.
    #[must_use]
    pub fn slots(&self, kind: CertificateKind) -> Option<Slots> {
        let bench = self.0.lock();
        bench.slot.as_ref().or(bench.aside.as_ref())?.slots(kind).ok()
    }

    /// The card is taken away at the `n`-th APDU from now, counted from 1.
    pub fn remove_after(&self, n: u64, when: When) {
        self.arm(n, Fault::Remove(when));
    }

    /// The card is reset at the `n`-th APDU from now.
    pub fn reset_after(&self, n: u64, when: When) {
        self.arm(n, Fault::Reset(when));
    }

    /// The `n`-th APDU from now gets no answer in time.
    pub fn stall(&self, n: u64, when: When) {
        self.arm(n, Fault::Stall(when));
    }

    /// One bit of the `n`-th answer from now is wrong.
    pub fn corrupt(&self, n: u64) {
        self.arm(n, Fault::Corrupt);
    }

    /// The `n`-th command from now is answered with this status word and not performed.
    pub fn status_word(&self, n: u64, sw: u16) {
        self.arm(n, Fault::StatusWord(sw));
    }

    /// Another program holds the card at the next `n` attempts to begin a transaction.
    pub fn busy(&self, n: u32) {
        self.0.lock().busy = n;
    }

    /// Arms any fault for the `n`-th APDU from now, counted from 1.
    pub fn arm(&self, n: u64, fault: Fault) {
        let mut bench = self.0.lock();
        let at = bench.apdus + n.max(1);
        bench.faults.arm(at, fault);
    }

    /// Faults that have not struck yet. A loop over every n ends when its fault did not strike.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.0.lock().faults.armed()
    }

    /// Takes all faults back.
    pub fn disarm(&self) {
        let mut bench = self.0.lock();
        bench.faults.clear();
        bench.busy = 0;
    }

    /// Commands so far, whether they were answered or not.
    #[must_use]
    pub fn apdus(&self) -> u64 {
        self.0.lock().apdus
    }
}

fn prefixed(name: &str) -> String {
    if name.starts_with(NAME_PREFIX) { name.into() } else { format!("{NAME_PREFIX}{name}") }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bench {
    fn insert(&mut self, mut card: Card) -> Option<Card> {
        card.power_off();
        self.insertions += 1;
        self.slot.replace(card)
    }

    /// Lays the card aside.
    fn take_out(&mut self) {
        if let Some(mut card) = self.slot.take() {
            card.power_off();
            self.aside = Some(card);
        }
    }

    fn reinsert(&mut self) -> bool {
        let card = if self.slot.is_none() { self.aside.take() } else { None };
        card.map(|card| self.insert(card)).is_some()
    }

    fn reset(&mut self) {
        if let Some(card) = &mut self.slot {
            card.reset();
            self.resets += 1;
        }
    }

    /// What the line or a person does at one side of the execution; `Some` if the answer will not arrive.
    fn strike(
        &mut self,
        fault: Option<Fault>,
        side: When,
        clock: &SharedClock,
        deadline: Deadline,
    ) -> Option<CardError> {
        match fault? {
            Fault::Remove(when) if when == side => {
                self.take_out();
                Some(CardError::Removed)
            }
            Fault::Reset(when) if when == side => {
                self.reset();
                Some(CardError::Reset)
            }
            Fault::Stall(when) if when == side => {
                clock.elapse(deadline.remaining(&**clock) + Duration::from_millis(1));
                Some(CardError::Timeout)
            }
            Fault::Garble if side == When::AfterExecution => Some(CardError::Garbled),
            _ => None,
        }
    }
}

impl CardReader for SimReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, deadline: Deadline) -> Result<(), CardError> {
        let mut bench = self.shared.lock();
        if bench.returns_when_awaited {
            bench.reinsert();
        }
        if bench.slot.is_some() {
            return Ok(());
        }
        let clock = &self.shared.clock;
        clock.elapse(deadline.remaining(&**clock));
        Err(CardError::Timeout)
    }

    fn connect(&mut self, _deadline: Deadline) -> Result<Box<dyn CardConnection + '_>, CardError> {
        let mut bench = self.shared.lock();
        let card = bench.slot.as_mut().ok_or(CardError::NoCard)?;
        if !card.has_power()
            && let Err(error) = card.power_up()
        {
            bench.take_out();
            return Err(match error {
                NvmError::PowerLost => CardError::Removed,
                error => CardError::Other(Box::new(error)),
            });
        }
        let connection = SimConnection {
            identity: CardIdentity { atr: card.atr().to_vec() },
            capabilities: bench.capabilities,
            insertion: bench.insertions,
            resets: bench.resets,
            shared: self.shared.clone(),
        };
        Ok(Box::new(connection))
    }
}

struct SimConnection {
    identity: CardIdentity,
    capabilities: CardCapabilities,
    /// The insertion of the card that this connection belongs to.
    insertion: u64,
    /// Resets that this connection knows of.
    resets: u64,
    shared: Shared,
}

impl SimConnection {
    /// Is the card still the one, in the state in which it was left?
    fn check(&self, bench: &Bench) -> Result<(), CardError> {
        match &bench.slot {
            Some(_) if bench.insertions != self.insertion => Err(CardError::Removed),
            Some(card) if bench.resets != self.resets || !card.has_power() => Err(CardError::Reset),
            Some(_) => Ok(()),
            None => Err(CardError::Removed),
        }
    }
}

impl CardConnection for SimConnection {
    fn identity(&self) -> &CardIdentity {
        &self.identity
    }

    fn capabilities(&self) -> CardCapabilities {
        self.capabilities
    }

    fn begin(&mut self, _deadline: Deadline) -> Result<Box<dyn CardTransaction + '_>, CardError> {
        {
            let mut bench = self.shared.lock();
            self.check(&bench)?;
            if bench.busy > 0 {
                bench.busy -= 1;
                return Err(CardError::Busy);
            }
        }
        Ok(Box::new(SimTransaction { connection: self }))
    }
}

struct SimTransaction<'a> {
    connection: &'a mut SimConnection,
}

impl CardTransaction for SimTransaction<'_> {
    fn transmit(&mut self, command: &CommandApdu, deadline: Deadline) -> Result<ResponseApdu, CardError> {
        let clock = &self.connection.shared.clock;
        let mut bench = self.connection.shared.lock();
        self.connection.check(&bench)?;
        if deadline.has_passed(&**clock) {
            return Err(CardError::Timeout);
        }
        let bytes = self.connection.capabilities.encode(command)?;

        bench.apdus += 1;
        let at = bench.apdus;
        let fault = bench.faults.strike(at);
        if let Some(error) = bench.strike(fault, When::BeforeExecution, clock, deadline) {
            return Err(error);
        }
        if let Some(Fault::StatusWord(sw)) = fault {
            return Ok(ResponseApdu::new(Vec::new(), StatusWord(sw)));
        }

        let card = bench.slot.as_mut().ok_or(CardError::Removed)?;
        let mut answer = Zeroizing::new(card.transmit(&bytes));
        if !card.has_power() {
            bench.take_out();
            return Err(CardError::Removed);
        }
        if let Some(link) = bench.link {
            clock.elapse(link.of(bytes.len() + answer.len()));
        }
        if let Some(error) = bench.strike(fault, When::AfterExecution, clock, deadline) {
            return Err(error);
        }
        if deadline.has_passed(&**clock) {
            return Err(CardError::Timeout);
        }
        if fault == Some(Fault::Corrupt) {
            let middle = answer.len() / 2;
            answer[middle] ^= 0x10;
        }
        ResponseApdu::parse(&answer).map_err(|_| CardError::Garbled)
    }

    fn was_reset(&self) -> bool {
        let bench = self.connection.shared.lock();
        self.connection.check(&bench).is_err()
    }

    fn end(self: Box<Self>, how: Disposition) -> Result<(), CardError> {
        let mut bench = self.connection.shared.lock();
        // A card that has gone has lost its state: it is left as asked.
        if bench.insertions != self.connection.insertion {
            return Ok(());
        }
        match how {
            Disposition::Leave => {}
            Disposition::Reset => {
                bench.reset();
                let resets = bench.resets;
                drop(bench);
                self.connection.resets = resets;
            }
            Disposition::PowerOff => {
                if let Some(card) = &mut bench.slot {
                    card.power_off();
                }
            }
        }
        Ok(())
    }
}
