use std::collections::{BTreeMap, VecDeque};

use card_reader::{CardError, CardIdentity};
use madoguchi_time::{Deadline, SharedClock};

use crate::choice::ReaderChoice;
use crate::monitor::{MonitorThread, Seen};

/// Something that happened at the readers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderEvent {
    /// A reader is there.
    ReaderArrived {
        /// Its name.
        reader: String,
    },
    /// A reader is not there any more.
    ReaderLeft {
        /// Its name.
        reader: String,
    },
    /// A card is there.
    CardInserted {
        /// The reader's name.
        reader: String,
        /// What the card says; `None` if it does not react, or if it was taken away before it could be asked.
        identity: Option<CardIdentity>,
    },
    /// A card was taken away.
    CardRemoved {
        /// The reader's name.
        reader: String,
    },
}

/// Watches any number of readers at once: which come and go, and which cards.
///
/// The first events tell what is there already. A card that was out for a moment between two calls gives both events. After an
/// error all readers count as gone without events for it: when the service is back, they arrive anew.
///
/// Watching opens no card, and disturbs nobody who uses one.
pub struct ReaderWatch {
    monitor: MonitorThread,
    clock: SharedClock,
    known: BTreeMap<String, Seen>,
    events: VecDeque<ReaderEvent>,
}

impl ReaderWatch {
    /// Watches the readers that are meant.
    #[must_use]
    pub fn new(choice: ReaderChoice, clock: SharedClock) -> Self {
        Self { monitor: MonitorThread::new(choice), clock, known: BTreeMap::new(), events: VecDeque::new() }
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    /// [`CardError::Timeout`] at the deadline; [`CardError::NoService`], [`CardError::NotAuthorized`] and the like if the
    /// service can't be asked.
    pub fn next_event(&mut self, deadline: Deadline) -> Result<ReaderEvent, CardError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let remaining = deadline.remaining(&*self.clock);
            let seen = self.monitor.look(remaining).inspect_err(|_| self.known.clear())?;
            self.compare(seen);
            if self.events.is_empty() && remaining.is_zero() {
                return Err(CardError::Timeout);
            }
        }
    }

    fn compare(&mut self, seen: Vec<Seen>) {
        let seen: BTreeMap<String, Seen> = seen.into_iter().map(|reader| (reader.name.clone(), reader)).collect();
        for name in self.known.keys().filter(|name| !seen.contains_key(*name)) {
            self.events.push_back(ReaderEvent::ReaderLeft { reader: name.clone() });
        }
        for (name, now) in &seen {
            let before = self.known.get(name);
            if before.is_none() {
                self.events.push_back(ReaderEvent::ReaderArrived { reader: name.clone() });
            }
            let had_card = before.is_some_and(Seen::has_card);
            let moved = before.is_none_or(|before| before.count != now.count);
            if had_card && (moved || !now.has_card()) {
                self.events.push_back(ReaderEvent::CardRemoved { reader: name.clone() });
            }
            if now.has_card() && (moved || !had_card) {
                let identity = (!now.atr.is_empty()).then(|| CardIdentity { atr: now.atr.clone() });
                self.events.push_back(ReaderEvent::CardInserted { reader: name.clone(), identity });
            }
        }
        self.known = seen;
    }
}
