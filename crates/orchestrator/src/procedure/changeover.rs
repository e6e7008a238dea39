//! Card key changeover: the static keys of a new version take the place of those of an older one (`docs/protocols/card-files.md` §5).
//!
//! The new version is written beside the old one, proved by opening a channel with it, and only in that channel is the old one taken
//! away. If it does not prove itself, it is taken back. At every instant the card has a version that works, and which versions it has
//! is all that anybody needs to know to go on: an interrupted changeover is taken up by beginning again.

use card_reader::CardError;
use zeroize::Zeroizing;

use super::{Action, CardCommand, CardData, CardReply, Event, Machine, Outcome};
use crate::error::ProcedureError;
use crate::progress::{KeyChange, KeyChangeStep, ProcedureReport, Progress};

/// How often a changeover takes up a lost card before it leaves the rest to a later one.
const MAX_LOSSES: u8 = 3;

/// A changeover between two events.
#[derive(Debug)]
pub struct KeyChangeover {
    versions: Versions,
    /// The card that it is about, once it has been seen.
    serial: Option<Zeroizing<Vec<u8>>>,
    losses: u8,
    /// The versions that this changeover has taken away.
    removed: Vec<u8>,
    told: Vec<Progress>,
    state: State,
}

/// Which key versions a site's cards have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The one that every card is to have.
    pub current: u8,
    /// Those that cards may still have.
    pub previous: Vec<u8>,
}

/// What the changeover waits for. `old` are the card's versions that are to go, the first of them the one to work with.
#[derive(Debug)]
enum State {
    BeginningCard,
    ReadingSerial,
    ReadingVersions,
    OpeningOld { old: Vec<u8> },
    Adding { old: Vec<u8> },
    Proving { old: Vec<u8> },
    Removing { old: Vec<u8> },
    OpeningToRollBack,
    RollingBack,
    Ending { failure: Option<ProcedureError> },
    Finished,
}

type Next = (State, Action);

impl KeyChangeover {
    /// A changeover at its beginning, and what to do first.
    #[must_use]
    pub fn begin(versions: Versions) -> (Self, Action) {
        let state = State::BeginningCard;
        (Self { versions, serial: None, losses: 0, removed: Vec::new(), told: Vec::new(), state }, Action::BeginCard)
    }

    fn transition(&mut self, state: State, event: Event) -> Next {
        match (state, event) {
            (State::Finished, event) => self.unexpected(&State::Finished, &event),
            (State::BeginningCard, Event::CardReady) => (State::ReadingSerial, Action::Card(CardCommand::ReadSerial)),
            (State::BeginningCard, Event::CardFailed(error)) => {
                let failure = match error {
                    CardError::Timeout | CardError::NoCard if self.losses > 0 => ProcedureError::CardGone,
                    CardError::Timeout | CardError::NoCard => ProcedureError::NoCard,
                    error => ProcedureError::Reader(error),
                };
                self.finish(Some(failure))
            }
            // All was done when the card went.
            (State::Ending { failure }, Event::CardEnded | Event::CardLost) => self.finish(failure),
            (State::OpeningToRollBack | State::RollingBack, Event::CardLost) => {
                self.finish(Some(ProcedureError::CardKeysNotProved))
            }
            (_, Event::CardLost) => self.card_lost(),
            // The first error wins.
            (state, Event::CardFailed(error)) => end(Some(state.failure().unwrap_or(ProcedureError::Reader(error)))),
            (state, Event::Failed(error)) => end(Some(state.failure().unwrap_or(*error))),
            (State::ReadingSerial, Event::Card(CardReply::Done(CardData::Record(serial, _)))) => {
                if self.serial.as_ref().is_some_and(|known| **known != *serial) {
                    return end(Some(ProcedureError::WrongCard));
                }
                self.serial = Some(serial);
                (State::ReadingVersions, Action::Card(CardCommand::ReadKeyVersions))
            }
            (State::ReadingVersions, Event::Card(CardReply::Done(CardData::KeyVersions(found)))) => self.judge(&found),
            (State::ReadingSerial | State::ReadingVersions, Event::Card(_)) => end(Some(ProcedureError::WrongCard)),
            (State::OpeningOld { old }, Event::Card(CardReply::Done(_))) => {
                (State::Adding { old }, Action::Card(CardCommand::PutKeys(self.versions.current)))
            }
            (State::OpeningOld { .. }, Event::Card(_)) => end(Some(ProcedureError::WrongCard)),
            (State::Adding { old }, Event::Card(CardReply::Done(_))) => {
                self.tell(self.versions.current, KeyChangeStep::Added);
                (State::Proving { old }, Action::Card(CardCommand::OpenDomain(self.versions.current)))
            }
            // It took other keys than it was given. This channel stands under the old ones.
            (State::Adding { .. }, Event::Card(CardReply::Nonsense)) => self.roll_back(),
            (State::Proving { old }, Event::Card(CardReply::Done(_))) => {
                self.tell(self.versions.current, KeyChangeStep::Proved);
                self.remove(old)
            }
            (State::Proving { old }, Event::Card(_)) => match old.first() {
                Some(version) => (State::OpeningToRollBack, Action::Card(CardCommand::OpenDomain(*version))),
                None => end(Some(ProcedureError::CardKeysNotProved)),
            },
            (State::Removing { mut old }, Event::Card(CardReply::Done(_))) => {
                let version = old.remove(0);
                self.removed.push(version);
                self.tell(version, KeyChangeStep::Removed);
                self.remove(old)
            }
            (State::OpeningToRollBack, Event::Card(CardReply::Done(_))) => self.roll_back(),
            (State::RollingBack, Event::Card(reply)) => {
                if matches!(reply, CardReply::Done(_)) {
                    self.tell(self.versions.current, KeyChangeStep::RolledBack);
                }
                end(Some(ProcedureError::CardKeysNotProved))
            }
            (State::OpeningToRollBack, Event::Card(_)) => end(Some(ProcedureError::CardKeysNotProved)),
            (state @ (State::Adding { .. } | State::Removing { .. }), Event::Card(CardReply::Refused(status))) => {
                end(Some(ProcedureError::CardRefused { step: state.name(), status }))
            }
            (State::Removing { .. }, Event::Card(_)) => end(Some(ProcedureError::WrongCard)),
            (state, event) => self.unexpected(&state, &event),
        }
    }

    /// The card has said which versions it has. That is all there is to know.
    fn judge(&mut self, found: &[u8]) -> Next {
        let Versions { current, previous } = &self.versions;
        let old: Vec<u8> = previous.iter().copied().filter(|version| found.contains(version)).collect();
        // It said that these were gone.
        if old.iter().any(|version| self.removed.contains(version)) {
            return end(Some(ProcedureError::WrongCard));
        }
        match (found.contains(current), old.first()) {
            (true, None) => end(None),
            (true, Some(_)) => (State::Proving { old }, Action::Card(CardCommand::OpenDomain(*current))),
            (false, Some(version)) => {
                let action = Action::Card(CardCommand::OpenDomain(*version));
                (State::OpeningOld { old }, action)
            }
            (false, None) => end(Some(ProcedureError::WrongCard)),
        }
    }

    /// Takes the next old version away, or looks once more.
    fn remove(&self, old: Vec<u8>) -> Next {
        match old.first() {
            Some(version) => {
                let action = Action::Card(CardCommand::DeleteKeys(*version));
                (State::Removing { old }, action)
            }
            None => (State::ReadingVersions, Action::Card(CardCommand::ReadKeyVersions)),
        }
    }

    fn roll_back(&self) -> Next {
        (State::RollingBack, Action::Card(CardCommand::DeleteKeys(self.versions.current)))
    }

    fn card_lost(&mut self) -> Next {
        self.losses += 1;
        if self.losses > MAX_LOSSES {
            return self.finish(Some(ProcedureError::CardGone));
        }
        self.told.push(Progress::CardLost);
        (State::BeginningCard, Action::BeginCard)
    }

    fn tell(&mut self, version: u8, step: KeyChangeStep) {
        self.told.push(Progress::CardKeys { version, step });
    }

    fn finish(&mut self, failure: Option<ProcedureError>) -> Next {
        let key_change = KeyChange { version: self.versions.current, removed: std::mem::take(&mut self.removed) };
        let report = ProcedureReport { key_change: Some(key_change), ..ProcedureReport::default() };
        (State::Finished, Action::Finish(Outcome { report, failure }))
    }

    fn unexpected(&mut self, state: &State, event: &Event) -> Next {
        let failure = ProcedureError::UnexpectedEvent { expected: state.name(), got: event.name() };
        match state {
            State::BeginningCard | State::Finished => self.finish(Some(failure)),
            _ => end(Some(failure)),
        }
    }
}

impl Machine for KeyChangeover {
    fn step(mut self, event: Event) -> (Self, Action) {
        let state = std::mem::replace(&mut self.state, State::Finished);
        let (state, action) = self.transition(state, event);
        (Self { state, ..self }, action)
    }

    fn told(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.told)
    }
}

fn end(failure: Option<ProcedureError>) -> Next {
    (State::Ending { failure }, Action::EndCard)
}

impl State {
    /// The failure with which the changeover is already on its way out.
    fn failure(self) -> Option<ProcedureError> {
        match self {
            Self::Ending { failure } => failure,
            Self::OpeningToRollBack | Self::RollingBack => Some(ProcedureError::CardKeysNotProved),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::BeginningCard => "waiting for the card",
            Self::ReadingSerial => "reading the card's serial",
            Self::ReadingVersions => "reading the card's key versions",
            Self::OpeningOld { .. } => "opening a channel with the old keys",
            Self::Adding { .. } => "put-keys",
            Self::Proving { .. } => "opening a channel with the new keys",
            Self::Removing { .. } => "delete-keys",
            Self::OpeningToRollBack | Self::RollingBack => "rolling back",
            Self::Ending { .. } => "ending the card transaction",
            Self::Finished => "nothing",
        }
    }
}
