//! A runner: a card behind the virtual reader of vsmartcard (`vpcd`, a driver of pcscd). Programs that know nothing of
//! simulators then find the card in PC/SC.
//!
//! The driver listens on a TCP port, the card connects: connecting is inserting the card, closing is removing it. Each
//! message, both ways, is its length in two bytes (big endian) and so many bytes:
//!
//! | from the driver | meaning | the card answers |
//! |---|---|---|
//! | `00` | power off | nothing |
//! | `01` | power on | nothing |
//! | `02` | reset | nothing |
//! | `04` | who is there? every 400 ms | the ATR |
//! | anything else | a command APDU | a response APDU |
//!
//! pcscd looks for the card every 400 ms: a card that comes, goes or comes back at once is seen that much later. A command
//! of one byte can't be told from the driver's own messages.
//!
//! # Latency
//! The driver sends length and body apart and leaves Nagle's algorithm on. A receiver that delays its acknowledgement of
//! the first makes it wait with the second: 44 ms for every command. So the card asks the kernel for an immediate
//! acknowledgement (`TCP_QUICKACK`, which does not last) before each time it reads, and answers in one write.

mod line;

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jpki::CertificateKind;
use madoguchi_time::SharedClock;
use zeroize::Zeroizing;

use self::line::Line;
use crate::fault::{Fault, Faults, When};
use crate::inspect::Slots;
use crate::nvm::NvmError;
use crate::{Card, LinkTime};

/// Where the driver's own configuration puts its first reader (`0x8C7B`).
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:35963";
/// How often pcscd asks the driver whether a card is there.
pub const POLL: Duration = Duration::from_millis(400);

const POWER_OFF: u8 = 0x00;
const POWER_ON: u8 = 0x01;
const RESET: u8 = 0x02;
const GET_ATR: u8 = 0x04;
/// Time between two attempts to find a driver that has gone.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Why a card is not in its virtual reader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VpcdError {
    /// Nobody listens at the address: pcscd does not run (a system that starts it on demand also ends it when nobody uses
    /// it), it has no virtual reader (package `vsmartcard-vpcd`), or the reader has another port.
    #[error("no virtual reader listens at {address}")]
    NobodyListens {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address can't be reached: a mistyped host, a network or a firewall between.
    #[error("{address} can't be reached")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The card is connected, but nobody asks for it: another card is in this reader already, or what listens there is no
    /// virtual reader.
    #[error("the virtual reader at {address} does not ask for the card")]
    NotAsked {
        /// Host and port.
        address: String,
    },
    /// The system refused what every system grants: a thread, an option of a socket.
    #[error("the card can't be served")]
    System(#[from] io::Error),
}

/// What has come over the line since the card was first served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VpcdActivity {
    /// The card is connected to the driver.
    pub connected: bool,
    /// The driver has asked for the card since it was connected: it is in the reader.
    pub seen: bool,
    /// An answer is held back, by [`Fault::Stall`].
    pub stalled: bool,
    /// How often the card was put in, by a person or after a loss.
    pub insertions: u64,
    /// How often the driver went away: pcscd ended, or refused a message.
    pub losses: u64,
    /// Power-ups.
    pub power_ons: u64,
    /// Power-downs; a removal is none.
    pub power_offs: u64,
    /// Resets.
    pub resets: u64,
    /// How often the driver has asked whether the card is there, which it does every [`POLL`].
    pub polls: u64,
    /// Commands, whether they were answered or not.
    pub apdus: u64,
    /// Bytes of these commands.
    pub bytes_in: u64,
    /// Bytes of their answers.
    pub bytes_out: u64,
}

/// What happens to the card at the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VpcdEvent {
    /// The driver has asked for the card that was put in: it is in the reader.
    Inserted,
    /// The card that was in the reader is out of it.
    Removed,
    /// The driver of the reader went away: pcscd ended, or refused a message.
    Lost,
}

/// Who is told, while nothing else can happen to the card.
type Listener = Box<dyn FnMut(VpcdEvent) + Send>;

/// A card with its way to a virtual reader. The card is at hand, not in the reader, until [`VpcdControl::insert`].
///
/// Dropping it removes the card.
pub struct VpcdRunner {
    control: VpcdControl,
}

/// The hand at the virtual reader: puts the card in, takes it out, and makes things go wrong. Clones act on the same card.
#[derive(Clone)]
pub struct VpcdControl(Arc<Shared>);

struct Shared {
    address: String,
    reconnects: bool,
    pace: Option<Pace>,
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// As slow as a real card.
struct Pace {
    /// The clock to which the card tells its times.
    clock: SharedClock,
    link: Option<LinkTime>,
}

/// The card, and whether it is in the reader.
struct Desk {
    /// `None` once it was given back.
    card: Option<Card>,
    /// The socket of the present insertion. `None` while the driver is looked for.
    socket: Option<TcpStream>,
    /// Is the card to be in the reader?
    wanted: bool,
    activity: VpcdActivity,
    faults: Faults,
    listener: Option<Listener>,
}

impl VpcdRunner {
    /// A card for the virtual reader at `address`, a host with a port.
    #[must_use]
    pub fn new(card: Card, address: impl Into<String>) -> Self {
        let desk = Desk {
            card: Some(card),
            socket: None,
            wanted: false,
            activity: VpcdActivity::default(),
            faults: Faults::default(),
            listener: None,
        };
        Self::of(Shared {
            address: address.into(),
            reconnects: false,
            pace: None,
            desk: Mutex::new(desk),
            changed: Condvar::new(),
        })
    }

    fn of(shared: Shared) -> Self {
        Self { control: VpcdControl(Arc::new(shared)) }
    }

    /// With a card that goes back into the reader by itself when pcscd ends and comes back.
    #[must_use]
    pub fn with_reconnects(self) -> Self {
        self.rebuilt(|shared| shared.reconnects = true)
    }

    /// With answers as late as a real card's: after the time that the card tells `clock`, and that of the line.
    #[must_use]
    pub fn with_pace(self, clock: SharedClock, link: Option<LinkTime>) -> Self {
        self.rebuilt(|shared| shared.pace = Some(Pace { clock, link }))
    }

    /// Nobody has a clone of the control yet, or this does nothing.
    fn rebuilt(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.control.0) {
            change(shared);
        }
        self
    }

    /// The hand at the reader.
    #[must_use]
    pub fn control(&self) -> VpcdControl {
        self.control.clone()
    }

    /// Takes the card out and gives it back.
    #[must_use]
    pub fn finish(self) -> Option<Card> {
        self.control.remove();
        self.control.0.lock().card.take()
    }
}

impl Drop for VpcdRunner {
    fn drop(&mut self) {
        self.control.remove();
    }
}

impl VpcdControl {
    /// Host and port of the virtual reader.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Puts the card in. Nothing happens if it is in already. pcscd notices within [`POLL`]: see
    /// [`VpcdControl::wait_until_seen`].
    ///
    /// # Errors
    /// [`VpcdError::NobodyListens`], [`VpcdError::Unreachable`], [`VpcdError::System`].
    pub fn insert(&self) -> Result<(), VpcdError> {
        if self.0.lock().wanted {
            return Ok(());
        }
        let line = Line::connect(&self.0.address)?;
        let socket = line.socket()?;
        let insertion = {
            let mut desk = self.0.lock();
            if desk.wanted {
                return Ok(());
            }
            desk.wanted = true;
            self.0.put_in(&mut desk, socket)
        };
        self.spawn(move |shared| shared.serve(line, insertion))
    }

    /// Puts the card in as soon as there is a virtual reader, and returns at once. Nothing happens if it is in already.
    ///
    /// # Errors
    /// [`VpcdError::System`].
    pub fn insert_when_possible(&self) -> Result<(), VpcdError> {
        let insertion = {
            let mut desk = self.0.lock();
            if desk.wanted {
                return Ok(());
            }
            desk.wanted = true;
            desk.activity.insertions
        };
        self.spawn(move |shared| {
            if let Some((line, insertion)) = shared.find(insertion) {
                shared.serve(line, insertion);
            }
        })
    }

    fn spawn(&self, work: impl FnOnce(&Shared) + Send + 'static) -> Result<(), VpcdError> {
        let shared = Arc::clone(&self.0);
        let spawned = thread::Builder::new().name("vpcd card".into()).spawn(move || work(&shared));
        spawned.map(drop).map_err(|error| {
            self.remove();
            VpcdError::System(error)
        })
    }

    /// Waits until the reader has noticed the card that was put in.
    ///
    /// # Errors
    /// [`VpcdError::NotAsked`] if it did not within `patience`.
    pub fn wait_until_seen(&self, patience: Duration) -> Result<(), VpcdError> {
        if self.wait_until(patience, |activity| activity.seen) {
            Ok(())
        } else {
            Err(VpcdError::NotAsked { address: self.0.address.clone() })
        }
    }

    /// Takes the card out.
    pub fn remove(&self) {
        let mut desk = self.0.lock();
        desk.wanted = false;
        self.0.take_out(&mut desk, VpcdEvent::Removed);
    }

    /// Tells `listener` everything that happens from now on, in its order, nothing left out. It must return at once and not act
    /// on the card.
    pub fn on_event(&self, listener: impl FnMut(VpcdEvent) + Send + 'static) {
        self.0.lock().listener = Some(Box::new(listener));
    }

    /// What has come over the line.
    #[must_use]
    pub fn activity(&self) -> VpcdActivity {
        self.0.lock().activity
    }

    /// Waits until what has come over the line satisfies `condition`. `false` if it did not within `patience`.
    pub fn wait_until(&self, patience: Duration, mut condition: impl FnMut(&VpcdActivity) -> bool) -> bool {
        let desk = self.0.lock();
        let waited = self.0.changed.wait_timeout_while(desk, patience, |desk| !condition(&desk.activity));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Works with the card directly, past the reader. `None` once it was given back.
    pub fn with_card<T>(&self, work: impl FnOnce(&mut Card) -> T) -> Option<T> {
        self.0.lock().card.as_mut().map(work)
    }

    /// Looks into the card with the lid off.
    #[must_use]
    pub fn slots(&self, kind: CertificateKind) -> Option<Slots> {
        self.0.lock().card.as_ref()?.slots(kind).ok()
    }

    /// The card is taken out at the `n`-th command from now, counted from 1.
    pub fn remove_after(&self, n: u64, when: When) {
        self.arm(n, Fault::Remove(when));
    }

    /// Arms a fault for the `n`-th command from now, counted from 1.
    ///
    /// Over this line a [reset](Fault::Reset) is one that the reader can't notice: the card loses its state before it
    /// performs the command, or after it has answered. A [stall](Fault::Stall) lasts until the card is removed or the
    /// faults are taken back; then the command is answered.
    pub fn arm(&self, n: u64, fault: Fault) {
        let mut desk = self.0.lock();
        let at = desk.activity.apdus + n.max(1);
        desk.faults.arm(at, fault);
    }

    /// Faults that have not struck yet.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.0.lock().faults.armed()
    }

    /// Takes all faults back, and lets go of an answer that is held back.
    pub fn disarm(&self) {
        let mut desk = self.0.lock();
        desk.faults.clear();
        desk.activity.stalled = false;
        self.0.changed.notify_all();
    }
}

/// What becomes of a message.
enum Reply {
    Nothing,
    Bytes(Zeroizing<Vec<u8>>),
    /// The card is not there any more.
    Gone,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of the insertion.
    fn put_in(&self, desk: &mut Desk, socket: TcpStream) -> u64 {
        desk.socket = Some(socket);
        desk.activity.connected = true;
        desk.activity.seen = false;
        desk.activity.insertions += 1;
        self.changed.notify_all();
        desk.activity.insertions
    }

    /// Closes the line; the card loses its power.
    fn take_out(&self, desk: &mut Desk, event: VpcdEvent) {
        if desk.activity.seen {
            desk.tell(event);
        }
        if let Some(socket) = desk.socket.take() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        if let Some(card) = &mut desk.card {
            card.power_off();
        }
        desk.activity.connected = false;
        desk.activity.seen = false;
        desk.activity.stalled = false;
        self.changed.notify_all();
    }

    /// The thread of an insertion, and of those that follow it after losses.
    fn serve(&self, mut line: Line, mut insertion: u64) {
        loop {
            // Whatever ends it: the driver closed the line, or a person took the card.
            let _ = self.converse(&mut line, insertion);
            let mut desk = self.lock();
            if !desk.is_at(insertion) {
                return;
            }
            desk.activity.losses += 1;
            self.take_out(&mut desk, VpcdEvent::Lost);
            if !self.reconnects {
                desk.wanted = false;
                return;
            }
            drop(desk);
            let Some(found) = self.find(insertion) else { return };
            (line, insertion) = found;
        }
    }

    fn converse(&self, line: &mut Line, insertion: u64) -> io::Result<()> {
        while let Some(message) = line.receive()? {
            match self.reply(&message, insertion) {
                Reply::Nothing => {}
                Reply::Bytes(answer) => line.send(&answer)?,
                Reply::Gone => break,
            }
        }
        Ok(())
    }

    /// Looks for the driver until it is there; `None` once the card is not wanted there any more, or was put in by others.
    fn find(&self, last: u64) -> Option<(Line, u64)> {
        loop {
            let attempt = Line::connect(&self.address).and_then(|line| Ok((line.socket()?, line)));
            let mut desk = self.lock();
            if !desk.wanted || desk.activity.insertions != last {
                return None;
            }
            if let Ok((socket, line)) = attempt {
                let insertion = self.put_in(&mut desk, socket);
                return Some((line, insertion));
            }
            let is_wanted = |desk: &mut Desk| desk.wanted && desk.activity.insertions == last;
            drop(self.changed.wait_timeout_while(desk, BETWEEN_ATTEMPTS, is_wanted));
        }
    }

    /// What the card does with a message.
    fn reply(&self, message: &[u8], insertion: u64) -> Reply {
        let mut desk = self.lock();
        if !desk.is_at(insertion) {
            return Reply::Gone;
        }
        let Desk { card: Some(card), activity, .. } = &mut *desk else { return Reply::Gone };
        let reply = match message {
            [POWER_OFF] => {
                card.power_off();
                activity.power_offs += 1;
                Reply::Nothing
            }
            [POWER_ON] => {
                activity.power_ons += 1;
                powered(card.power_up())
            }
            [RESET] => {
                activity.resets += 1;
                if card.has_power() {
                    card.reset();
                    Reply::Nothing
                } else {
                    powered(card.power_up())
                }
            }
            [GET_ATR] => {
                activity.polls += 1;
                let atr = Zeroizing::new(card.atr().to_vec());
                if !std::mem::replace(&mut activity.seen, true) {
                    desk.tell(VpcdEvent::Inserted);
                }
                Reply::Bytes(atr)
            }
            command => return self.perform(desk, command, insertion),
        };
        if matches!(reply, Reply::Gone) {
            desk.wanted = false;
            self.take_out(&mut desk, VpcdEvent::Removed);
        }
        self.changed.notify_all();
        reply
    }

    /// A command, and what goes wrong with it.
    fn perform(&self, mut desk: MutexGuard<'_, Desk>, command: &[u8], insertion: u64) -> Reply {
        desk.activity.apdus += 1;
        desk.activity.bytes_in += command.len() as u64;
        let at = desk.activity.apdus;
        let fault = desk.faults.strike(at);
        self.changed.notify_all();

        let Some(mut desk) = self.strike(desk, fault, When::BeforeExecution, insertion) else { return Reply::Gone };
        let started = Instant::now();
        let modelled = self.pace.as_ref().map(|pace| pace.clock.now());
        let Some(card) = desk.card.as_mut() else { return Reply::Gone };
        let mut answer = match fault {
            Some(Fault::StatusWord(sw)) => Zeroizing::new(sw.to_be_bytes().to_vec()),
            Some(Fault::Garble) => Zeroizing::new(vec![0x5A]),
            _ => Zeroizing::new(card.transmit(command)),
        };
        if answer.is_empty() {
            // Its power was cut, or nobody had switched it on: it is mute until it comes back.
            desk.wanted = false;
            self.take_out(&mut desk, VpcdEvent::Removed);
            return Reply::Gone;
        }
        if fault == Some(Fault::Corrupt) {
            let middle = answer.len() / 2;
            answer[middle] ^= 0x10;
        }
        if let (Some(pace), Some(before)) = (&self.pace, modelled) {
            let link = pace.link.map(|link| link.of(command.len() + answer.len())).unwrap_or_default();
            let due = pace.clock.now().since(before) + link;
            let rest = due.saturating_sub(started.elapsed());
            let is_there = |desk: &mut Desk| desk.is_at(insertion);
            let waited = self.changed.wait_timeout_while(desk, rest, is_there);
            desk = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(mut desk) = self.strike(desk, fault, When::AfterExecution, insertion) else { return Reply::Gone };
        desk.activity.bytes_out += answer.len() as u64;
        Reply::Bytes(answer)
    }

    /// What a person does at one side of the execution; `None` if the card is gone then.
    fn strike<'a>(
        &self,
        mut desk: MutexGuard<'a, Desk>,
        fault: Option<Fault>,
        side: When,
        insertion: u64,
    ) -> Option<MutexGuard<'a, Desk>> {
        match fault {
            Some(Fault::Remove(when)) if when == side => {
                desk.wanted = false;
                self.take_out(&mut desk, VpcdEvent::Removed);
            }
            Some(Fault::Reset(when)) if when == side => {
                if let Some(card) = &mut desk.card {
                    card.reset();
                }
            }
            Some(Fault::Stall(when)) if when == side => {
                desk.activity.stalled = true;
                self.changed.notify_all();
                let waited = self.changed.wait_while(desk, |desk| desk.activity.stalled && desk.is_at(insertion));
                desk = waited.unwrap_or_else(PoisonError::into_inner);
            }
            _ => {}
        }
        desk.is_at(insertion).then_some(desk)
    }
}

impl Desk {
    /// Is the card in the reader, since that insertion?
    fn is_at(&self, insertion: u64) -> bool {
        self.wanted && self.socket.is_some() && self.activity.insertions == insertion
    }

    fn tell(&mut self, event: VpcdEvent) {
        if let Some(listener) = &mut self.listener {
            listener(event);
        }
    }
}

/// A card whose memory can't be read when it gets power is mute.
fn powered(up: Result<(), NvmError>) -> Reply {
    up.map_or(Reply::Gone, |()| Reply::Nothing)
}
