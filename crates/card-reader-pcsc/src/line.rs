//! The thread that talks to one reader: it owns a context of the PC/SC library, a card handle, a transaction.
//!
//! What it may be asked follows the nesting of the port: a [`LineJob`] opens a card and carries the channel of the
//! [`CardJob`]s, one of which begins a transaction and carries the channel of the [`TransactionJob`]s. Closing a channel ends
//! what it belongs to, with a disposition that is always said: the library's own choice, a reset, is never left to it.
//!
//! Whoever gives up on an answer sets `abandoned` and closes the channels. The thread then sends nothing more: it resets the
//! card, as nobody knows in which state it is, and lets go of it.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use apdu::ResponseApdu;
use card_reader::{CardError, Disposition};
use pcsc::{
    Card, Context, Error, MAX_BUFFER_SIZE_EXTENDED, Protocol, Protocols, ReaderState, Scope, ShareMode, State,
    Transaction,
};
use zeroize::{Zeroize, Zeroizing};

use crate::classify::classify;
use crate::monitor::Monitor;
use crate::part10;

/// So often a card is powered up before it counts as mute: a contactless card may not lie still yet.
const POWER_UPS: u32 = 3;

/// The service looks every 400 ms whether a card is there.
const NOTICED_WITHIN: Duration = Duration::from_millis(900);

/// To a reader, while no card is open.
pub(crate) enum LineJob {
    Open(Open),
}

pub(crate) struct Open {
    pub(crate) reader: CString,
    /// Until then another program that holds the card exclusively is waited for.
    pub(crate) deadline: Instant,
    pub(crate) reply: Sender<Result<Opened, CardError>>,
    pub(crate) jobs: Receiver<CardJob>,
    pub(crate) abandoned: Arc<AtomicBool>,
    /// Dropped when the job is done.
    pub(crate) running: Sender<Infallible>,
}

/// What is known of a card that has been opened.
pub(crate) struct Opened {
    pub(crate) atr: Vec<u8>,
    pub(crate) protocol: Option<Protocol>,
    /// The longest APDU of the reader and its driver, if they say.
    pub(crate) reader_max: Option<usize>,
}

/// To an open card.
pub(crate) struct CardJob {
    pub(crate) reply: Sender<Result<(), CardError>>,
    pub(crate) jobs: Receiver<TransactionJob>,
}

/// In a transaction.
pub(crate) enum TransactionJob {
    /// Sends a command, unless the deadline has passed.
    Transmit { command: Zeroizing<Vec<u8>>, deadline: Instant, reply: Sender<Result<ResponseApdu, CardError>> },
    /// Asks the service whether the card is still there and as it was; nothing is sent to the card.
    Check { reply: Sender<Result<(), CardError>> },
    /// Ends the transaction.
    End { how: Disposition, reply: Sender<Result<(), CardError>> },
}

/// Starts the thread for one reader. It ends when the sender is dropped.
pub(crate) fn spawn() -> std::io::Result<Sender<LineJob>> {
    let (jobs, queue) = mpsc::channel();
    thread::Builder::new().name("pcsc-line".into()).spawn(move || serve(&queue))?;
    Ok(jobs)
}

fn serve(queue: &Receiver<LineJob>) {
    while let Ok(LineJob::Open(job)) = queue.recv() {
        let Open { reader, deadline, reply, jobs, abandoned, running } = job;
        match open(&reader, deadline, &abandoned) {
            Ok((context, movements, card, opened)) => {
                let atr = opened.atr.clone();
                // If nobody waits for it any more, the queue of jobs is closed, too.
                let _ = reply.send(Ok(opened));
                let left = pcsc::Disposition::LeaveCard;
                OpenCard { context, reader, atr, movements, left, reset: false, abandoned }.serve(card, &jobs);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
        drop(running);
    }
}

/// Opens the card in a context of its own: one that has been used before may belong to a service that has ended since.
fn open(
    reader: &CString,
    deadline: Instant,
    abandoned: &AtomicBool,
) -> Result<(Context, u32, Card, Opened), CardError> {
    let context = Context::establish(Scope::System).map_err(classify)?;
    // Before the card is opened: if it is exchanged now, that counts as a movement.
    let movements = movements(&context, reader).map_err(classify)?;
    let card = connect(&context, reader, deadline, abandoned)?;
    match describe(&card) {
        Ok(opened) => Ok((context, movements, card, opened)),
        Err(error) => {
            close(card, pcsc::Disposition::LeaveCard);
            Err(error)
        }
    }
}

/// Insertions and removals at this reader so far, modulo 65536.
fn movements(context: &Context, reader: &CStr) -> Result<u32, Error> {
    let mut states = [ReaderState::new(reader, State::UNAWARE)];
    context.get_status_change(Duration::ZERO, &mut states)?;
    Ok(states[0].event_count())
}

/// Opens the card; waits for another program that has it exclusively.
fn connect(context: &Context, reader: &CString, deadline: Instant, abandoned: &AtomicBool) -> Result<Card, CardError> {
    let mut monitor = None;
    let mut power_ups = 0;
    loop {
        if abandoned.load(Ordering::SeqCst) {
            return Err(CardError::Timeout);
        }
        match context.connect(reader, ShareMode::Shared, Protocols::ANY) {
            Ok(card) => return Ok(card),
            Err(error @ Error::SharingViolation) => {
                if Instant::now() >= deadline {
                    return Err(classify(error));
                }
                monitor
                    .get_or_insert_with(|| Monitor::of_reader(context.clone(), reader))
                    .until_something_changes(deadline)
                    .map_err(classify)?;
            }
            Err(Error::UnpoweredCard | Error::UnresponsiveCard) if power_ups + 1 < POWER_UPS => power_ups += 1,
            Err(error) => return Err(classify(error)),
        }
    }
}

fn describe(card: &Card) -> Result<Opened, CardError> {
    let status = card.status2_owned().map_err(classify)?;
    Ok(Opened { atr: status.atr().to_vec(), protocol: status.protocol2(), reader_max: part10::max_apdu_size(card) })
}

/// Lets go of a card. It may have gone, which is no harm; an error can't be helped any more.
fn close(card: Card, how: pcsc::Disposition) {
    if let Err((card, error)) = card.disconnect(how) {
        tracing::debug!(%error, "closing the card");
        // The handle went with its service or its reader. Dropping it tries once more, in vain.
        drop(card);
    }
}

struct OpenCard {
    context: Context,
    reader: CString,
    atr: Vec<u8>,
    /// Insertions and removals at the reader before it was opened.
    movements: u32,
    /// How to leave the card.
    left: pcsc::Disposition,
    /// We reset it: the service says so to every handle, ours included.
    reset: bool,
    abandoned: Arc<AtomicBool>,
}

impl OpenCard {
    fn serve(mut self, mut card: Card, queue: &Receiver<CardJob>) {
        while let Ok(CardJob { reply, jobs }) = queue.recv() {
            match self.begin(&mut card) {
                Ok(transaction) => {
                    // If nobody waits for it any more, the transaction ends at once.
                    let _ = reply.send(Ok(()));
                    self.serve_transaction(transaction, &jobs);
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            }
        }
        close(card, self.left);
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    fn begin<'c>(&mut self, card: &'c mut Card) -> Result<Transaction<'c>, CardError> {
        if self.reset {
            // The only reconnect that is ours to make: after our own reset. It must be the same card still, and never have
            // been out.
            self.reset = false;
            card.reconnect(ShareMode::Shared, Protocols::ANY, pcsc::Disposition::LeaveCard).map_err(in_use)?;
            let same = card.status2_owned().map_err(in_use)?.atr() == self.atr;
            if !same || movements(&self.context, &self.reader).map_err(in_use)? != self.movements {
                return Err(CardError::Removed);
            }
        }
        let transaction = card.transaction().map_err(in_use)?;
        self.left = pcsc::Disposition::LeaveCard;
        Ok(transaction)
    }

    fn serve_transaction(&mut self, transaction: Transaction<'_>, queue: &Receiver<TransactionJob>) {
        let mut answer = Zeroizing::new(vec![0; MAX_BUFFER_SIZE_EXTENDED]);
        while let Ok(job) = queue.recv() {
            match job {
                TransactionJob::Transmit { command, deadline, reply } => {
                    // Somebody may have given up while the job waited in the queue.
                    if self.is_abandoned() || Instant::now() >= deadline {
                        let _ = reply.send(Err(CardError::Timeout));
                        continue;
                    }
                    let result = transmit(&transaction, &command, &mut answer);
                    let _ = reply.send(result.map_err(|error| self.explain(error, &transaction, deadline)));
                }
                TransactionJob::Check { reply } => {
                    let _ = reply.send(transaction.status2_owned().map(drop).map_err(in_use));
                }
                TransactionJob::End { how, reply } => {
                    let _ = reply.send(self.end(transaction, how));
                    return;
                }
            }
        }
        if let Err(error) = self.end(transaction, Disposition::Leave) {
            tracing::debug!(%error, "ending a transaction");
        }
        if self.is_abandoned() {
            self.left = pcsc::Disposition::ResetCard;
        }
    }

    /// Why did no answer come? A driver often says no more than that something went wrong on the line to the card. If the
    /// card was taken away, the service finds out soon.
    fn explain(&self, error: Error, transaction: &Transaction<'_>, deadline: Instant) -> CardError {
        if !matches!(error, Error::NotTransacted | Error::CommDataLost) {
            return in_use(error);
        }
        let mut monitor = Monitor::of_reader(self.context.clone(), &self.reader);
        let limit = deadline.min(Instant::now() + NOTICED_WITHIN);
        while !self.is_abandoned() && Instant::now() < limit {
            if let Err(found) = transaction.status2_owned().and_then(|_| monitor.until_something_changes(limit)) {
                return in_use(found);
            }
        }
        in_use(error)
    }

    fn end(&mut self, transaction: Transaction<'_>, how: Disposition) -> Result<(), CardError> {
        let raw = match how {
            Disposition::Leave => pcsc::Disposition::LeaveCard,
            Disposition::Reset => pcsc::Disposition::ResetCard,
            Disposition::PowerOff => pcsc::Disposition::UnpowerCard,
        };
        match transaction.end(raw) {
            Ok(()) => {
                self.reset = how != Disposition::Leave;
                if how == Disposition::PowerOff {
                    // The service powers the card up again at the end of a transaction, but not when it is let go.
                    self.left = raw;
                }
                Ok(())
            }
            Err((transaction, error)) => {
                // The service ends it when the card is let go.
                std::mem::forget(transaction);
                Err(in_use(error))
            }
        }
    }
}

fn transmit(transaction: &Transaction<'_>, command: &[u8], buffer: &mut [u8]) -> Result<ResponseApdu, Error> {
    let answer = transaction.transmit(command, buffer)?;
    let length = answer.len();
    let parsed = ResponseApdu::parse(answer);
    buffer[..length].zeroize();
    // Shorter than a status word.
    parsed.map_err(|_| Error::CommDataLost)
}

/// What a code means for a card that was open: no card is one that was taken away.
fn in_use(error: Error) -> CardError {
    match classify(error) {
        CardError::NoCard => CardError::Removed,
        // Another program powered it down, or it lost its contacts.
        CardError::Mute => CardError::Reset,
        other => other,
    }
}
