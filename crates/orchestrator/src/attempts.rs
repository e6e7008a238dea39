//! Who has failed to log on, and what follows from it: a lock for the 照合ID, a wait at the terminal.
//!
//! All of it is read from the log, so that neither a restart nor an editor gives anybody more attempts: each refusal is under a
//! checkpoint. Whoever puts an older copy of the whole folder back is found by the log's witness.

use std::collections::BTreeMap;
use std::time::Duration;

use audit_log::{Actor, Entry};
use jiff::Timestamp;

use crate::logbook::What;

/// How many log-ons in a row may be refused at a terminal before the next one has to wait.
const FREE: u32 = 3;
/// The first wait. Each further refusal doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// After this time an アクセス管理責任者 may try again whom nobody else could release.
const LAPSE: Duration = Duration::from_secs(3600);

/// The refused log-ons in the log.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// By 照合ID, since the last that was not refused, or since the release.
    of_person: BTreeMap<String, Refused>,
    /// At this terminal in a row, whatever ID was typed.
    here: Option<Refused>,
}

/// Log-ons that were refused.
#[derive(Clone, Copy, Debug)]
struct Refused {
    times: u32,
    last: Timestamp,
}

impl Refused {
    fn once_more(before: Option<Self>, at: Timestamp) -> Self {
        Self { times: before.map_or(0, |before| before.times).saturating_add(1), last: at }
    }

    /// How long ago the last one was; no time at all if the clock was put back since, see [`Attempts::not_after`].
    fn age(&self, now: Timestamp) -> Duration {
        now.duration_since(self.last).try_into().unwrap_or_default()
    }
}

impl Attempts {
    /// Takes in what an entry tells.
    pub(crate) fn take(&mut self, entry: &Entry) {
        let detail = entry.detail.as_ref().map(|detail| detail.as_str());
        let person = match &entry.actor {
            Actor::Operator(id) => Some(id.as_str()),
            _ => None,
        };
        match (entry.step.as_str(), detail) {
            (What::LOG_ON | What::SECOND_PERSON, Some(outcome @ ("refused" | "locked"))) => {
                self.here = Some(Refused::once_more(self.here, entry.time));
                if let (Some(person), "refused") = (person, outcome) {
                    let before = self.of_person.get(person).copied();
                    self.of_person.insert(person.to_owned(), Refused::once_more(before, entry.time));
                }
            }
            (What::LOG_ON | What::SECOND_PERSON, Some("done")) => {
                self.here = None;
                self.of_person.remove(person.unwrap_or_default());
            }
            (What::RELEASE_OPERATOR, Some(released)) => {
                self.of_person.remove(released);
            }
            _ => {}
        }
    }

    /// What was noted while the clock was ahead was at `now` at the latest: else a wrong clock would lock everybody out until it is
    /// reached again.
    pub(crate) fn not_after(&mut self, now: Timestamp) {
        for refused in self.of_person.values_mut().chain(&mut self.here) {
            refused.last = refused.last.min(now);
        }
    }

    /// How long nobody can log on at this terminal yet.
    pub(crate) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let here = self.here?;
        let further = here.times.checked_sub(FREE + 1)?;
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(further)).min(LONGEST_WAIT);
        wait.checked_sub(here.age(now)).filter(|rest| !rest.is_zero())
    }

    /// Was this person refused `limit` times?
    pub(crate) fn has_locked(&self, person: &str, limit: u32) -> bool {
        self.of_person.get(person).is_some_and(|refused| refused.times >= limit)
    }

    /// Is it so long ago that somebody whom nobody could release may try again?
    pub(crate) fn has_lapsed(&self, person: &str, now: Timestamp) -> bool {
        self.of_person.get(person).is_none_or(|refused| refused.age(now) >= LAPSE)
    }
}
