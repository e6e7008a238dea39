//! Random walks through the model of `two_terminals`, with the real authority in the place of the model's: cards and
//! terminals follow the agreement, messages are lost, delayed and repeated, terminals die and go on with stale ideas.

use std::time::Duration;

use authority::store::{IssueKey, State};
use authority_link::message::Failure;
use authority_link::{Answer, CertificateState, Confirmation, IssueState, Request, Sent};
use jpki::CertificateKind::Authentication;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::fixtures::{Issued, World, next_generation};

const WALKS: u64 = 12;
const STEPS: u32 = 130;

/// What a card holds.
#[derive(Clone, Default)]
struct Card {
    active: Option<Issued>,
    /// The key of the pending slot, by a number, and its certificate.
    pending: Option<(u64, Option<Issued>)>,
    /// The terminal in which it lies.
    at: Option<usize>,
}

/// What a terminal is about to do. `Issued` is its idea of the card, which may be stale.
#[derive(Clone)]
enum Step {
    Idle,
    Request { key: u64, sent: Sent, transaction: authority_link::TransactionId },
    Write { key: u64, issued: Issued },
    Ask(Issued),
    Confirm(Issued),
    Commit(Issued),
    Discard(u64),
    Supersede(Issued),
}

struct Walk<'a> {
    world: &'a World,
    card: Card,
    steps: [Step; 2],
    /// Messages that are still under way, with who sent them.
    network: Vec<(usize, Sent)>,
    /// Every certificate ever issued.
    issued: Vec<Issued>,
    /// The states seen so far.
    seen: Vec<State>,
    rng: ChaCha20Rng,
    keys: u64,
    effects: u32,
}

impl<'a> Walk<'a> {
    fn new(world: &'a World, seed: u64) -> Self {
        let first = world.issue(&world.counters[0], Authentication, None);
        let confirm = Request::Confirm(Confirmation::by_sha256(first.sha256));
        assert_eq!(world.ask(&world.counters[0], confirm, first.transaction), Answer::Confirmed);
        Self {
            world,
            card: Card { active: Some(first.clone()), pending: None, at: Some(0) },
            steps: [Step::Idle, Step::Idle],
            network: Vec::new(),
            issued: vec![first],
            seen: vec![State::Valid],
            rng: ChaCha20Rng::seed_from_u64(seed),
            keys: 0,
            effects: 0,
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn here(&self, k: usize) -> bool {
        self.card.at == Some(k)
    }

    /// Sends a message as the world pleases: lost, delayed, answered, answered with the answer lost, answered with a
    /// copy still under way.
    fn call(&mut self, k: usize, sent: &Sent) -> Option<Answer> {
        match self.below(8) {
            0 => None,
            1 => {
                self.network.push((k, sent.clone()));
                None
            }
            2 => {
                self.deliver(k, sent);
                None
            }
            3 => {
                self.network.push((k, sent.clone()));
                Some(self.deliver(k, sent))
            }
            _ => Some(self.deliver(k, sent)),
        }
    }

    fn deliver(&mut self, k: usize, sent: &Sent) -> Answer {
        let answer = self.world.exchange(&self.world.counters[k], sent);
        self.note_issue(sent, &answer);
        answer
    }

    /// Keeps account of what the authority has issued, even if no terminal hears of it.
    fn note_issue(&mut self, sent: &Sent, answer: &Answer) {
        if let Answer::Issued { certificate, nonce, .. } = answer {
            let message = authority_link::message::PkiMessage::from_bytes(sent.bytes()).unwrap();
            let transaction = authority_link::TransactionId::of(&message.header).unwrap();
            let issued = Issued::new(transaction, certificate, nonce.clone());
            if self.issued.iter().all(|known| known.sha256 != issued.sha256) {
                self.issued.push(issued);
                self.seen.push(State::Issued);
            }
        }
    }

    fn protect(&self, k: usize, request: Request, transaction: authority_link::TransactionId) -> Sent {
        self.world.counters[k].protect(request, transaction, self.world.random(), self.world.now())
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=2 => {
                let place = [None, Some(0), Some(1)][self.below(3) as usize];
                if self.card.at.is_none() || place.is_none() {
                    self.card.at = place;
                }
            }
            3 if !self.network.is_empty() => {
                let at = self.below(self.network.len() as u32) as usize;
                let (k, sent) = self.network.swap_remove(at);
                self.deliver(k, &sent);
            }
            4 => {
                let minutes = u64::from(self.below(40));
                self.world.clock.advance(Duration::from_secs(60 * minutes));
                // A delayed message that is older than the authority's tolerance is refused: no harm, it was as good
                // as lost.
                self.world.authority.expire_unconfirmed(self.world.now()).unwrap();
            }
            5 => {
                let k = self.below(2) as usize;
                self.steps[k] = Step::Idle;
            }
            _ => {
                let k = self.below(2) as usize;
                let step = std::mem::replace(&mut self.steps[k], Step::Idle);
                self.steps[k] = self.terminal(k, step);
            }
        }
    }

    /// One step of a terminal, as in the model.
    fn terminal(&mut self, k: usize, step: Step) -> Step {
        match step {
            Step::Idle if self.here(k) => self.look(k),
            Step::Request { key, sent, transaction } => match self.call(k, &sent) {
                Some(Answer::Issued { certificate, nonce, .. }) => {
                    Step::Write { key, issued: Issued::new(transaction, &certificate, nonce) }
                }
                Some(Answer::Refused { .. }) => Step::Discard(key),
                Some(other) => panic!("{other:?}"),
                // Given up, or tried again with the same bytes.
                None if self.below(2) == 0 => Step::Idle,
                None => Step::Request { key, sent, transaction },
            },
            Step::Write { key, issued } if self.here(k) => match &mut self.card.pending {
                Some((pending, certificate @ None)) if *pending == key => {
                    *certificate = Some(issued.clone());
                    Step::Confirm(issued)
                }
                _ => Step::Idle,
            },
            Step::Ask(issued) => {
                let sent = self.protect(k, Request::StateOf(issued.sha256), self.world.transaction());
                match self.call(k, &sent) {
                    Some(Answer::State(CertificateState { state, .. })) => match state {
                        IssueState::Valid => Step::Commit(issued),
                        IssueState::Issued => Step::Confirm(issued),
                        _ => self.discard(&issued),
                    },
                    Some(other) => panic!("{other:?}"),
                    None => Step::Idle,
                }
            }
            Step::Confirm(issued) => {
                let request = Request::Confirm(Confirmation::by_sha256(issued.sha256));
                let sent = self.protect(k, request, issued.transaction);
                match self.call(k, &sent) {
                    Some(Answer::Confirmed) => Step::Commit(issued),
                    Some(Answer::Refused { failure, .. }) if failure.contains(Failure::CertRevoked) => {
                        self.discard(&issued)
                    }
                    Some(other) => panic!("{other:?}"),
                    None => Step::Idle,
                }
            }
            Step::Commit(issued) if self.here(k) => match &self.card.pending {
                Some((_, Some(pending))) if pending.sha256 == issued.sha256 => {
                    self.card.pending = None;
                    self.card.active = Some(issued.clone());
                    self.effects += 1;
                    if self.below(4) == 0 { Step::Idle } else { self.supersede_after(issued) }
                }
                _ => Step::Idle,
            },
            Step::Discard(key) if self.here(k) => {
                if self.card.pending.as_ref().is_some_and(|(pending, _)| *pending == key) {
                    self.card.pending = None;
                }
                Step::Idle
            }
            Step::Supersede(old) => {
                let sent = self.protect(k, Request::Supersede(old.name), self.world.transaction());
                self.call(k, &sent);
                Step::Idle
            }
            waiting => waiting,
        }
    }

    fn look(&mut self, k: usize) -> Step {
        match self.card.pending.clone() {
            Some((_, Some(issued))) => Step::Ask(issued),
            Some((_, None)) => {
                self.card.pending = None;
                Step::Idle
            }
            None => {
                let active = self.card.active.clone().unwrap();
                match self.supersede_after(active.clone()) {
                    Step::Idle => {}
                    supersede => return supersede,
                }
                self.keys += 1;
                let key = self.keys;
                self.card.pending = Some((key, None));
                let counter = &self.world.counters[k];
                let request =
                    self.world.certification(counter, Authentication, &self.world.card_key(), Some(&active.name));
                let transaction = self.world.transaction();
                Step::Request { key, sent: self.protect(k, request, transaction), transaction }
            }
        }
    }

    /// What is to be superseded once this certificate is active: its predecessor, while that is valid.
    fn supersede_after(&self, active: Issued) -> Step {
        let issue = self.world.authority.store().issue(IssueKey::Certificate(&active.sha256)).unwrap().unwrap();
        let predecessor = issue.predecessor.and_then(|serial| {
            self.issued.iter().find(|issued| issued.name.serial.as_bytes() == minimal(serial)).cloned()
        });
        match predecessor {
            Some(old) if self.state(&old) == State::Valid => Step::Supersede(old),
            _ => Step::Idle,
        }
    }

    fn discard(&self, issued: &Issued) -> Step {
        match &self.card.pending {
            Some((key, Some(pending))) if pending.sha256 == issued.sha256 => Step::Discard(*key),
            _ => Step::Idle,
        }
    }

    fn state(&self, issued: &Issued) -> State {
        self.world.authority.store().issue(IssueKey::Certificate(&issued.sha256)).unwrap().unwrap().state
    }

    fn check(&mut self) {
        let active = self.card.active.as_ref().unwrap();
        assert_eq!(self.state(active), State::Valid, "I2, I3: the card's active certificate is valid");
        let pending = self.card.pending.as_ref().and_then(|(_, issued)| issued.as_ref());
        let states: Vec<State> = self.issued.iter().map(|issued| self.state(issued)).collect();
        for ((issued, before), now) in self.issued.iter().zip(&self.seen).zip(&states) {
            let first_wins = matches!(
                (before, now),
                (State::Issued, State::Valid | State::Revoked) | (State::Valid, State::Superseded)
            );
            assert!(before == now || first_wins, "a decision was taken back: {before:?} to {now:?}");
            if *now == State::Valid && issued.sha256 != active.sha256 {
                // I1: its key is in the pending slot, or it is the predecessor whose successor is confirmed.
                let is_pending = pending.is_some_and(|pending| pending.sha256 == issued.sha256);
                let cases = self.world.authority.store().unsettled(self.world.now()).unwrap();
                let is_listed = cases.iter().any(|case| minimal(case.predecessor) == issued.name.serial.as_bytes());
                assert!(is_pending || is_listed, "I1: a valid certificate whose key is gone");
            }
        }
        assert!(states.iter().filter(|state| **state == State::Valid).count() <= 2, "one valid, and one successor");
        self.seen = states;
    }
}

/// A serial as certificates carry it: big-endian, a zero byte before a high bit.
fn minimal(serial: u64) -> Vec<u8> {
    x509_cert::serial_number::SerialNumber::<x509_cert::certificate::Rfc5280>::from(serial).as_bytes().to_vec()
}

#[test]
fn whatever_is_lost_repeated_or_delayed_the_authority_keeps_its_part() {
    let world = World::new(&next_generation());
    let (mut commits, mut issues) = (0, 0);
    for seed in 0..WALKS {
        let mut walk = Walk::new(&world, seed);
        for _ in 0..STEPS {
            walk.step();
            walk.check();
        }
        commits += walk.effects;
        issues += walk.issued.len();
    }
    // The walks go somewhere: otherwise they would show nothing.
    println!("{commits} commits, {issues} certificates");
    assert!(commits > 10 && issues > 40);
}
