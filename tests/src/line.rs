//! The line to the authority in one process: the bytes of real messages, with a postman who loses, repeats and delays them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authority::store::TerminalId;
use authority::{Authority, Peer};
use authority_link::{AuthorityLine, LineError};
use jiff::SignedDuration;
use madoguchi_time::{Clock, Deadline, VirtualClock};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The request is lost.
    RequestLost,
    /// The request is heard; its answer is lost.
    AnswerLost,
    /// The request arrives twice.
    Repeated,
    /// The request arrives after its deadline: when [`PostOffice::deliver_delayed`] is called, or before the next
    /// procedure ends.
    Delayed,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RequestLost, Self::AnswerLost, Self::Repeated, Self::Delayed];
}

/// The line's far end, shared by all terminals.
#[derive(Clone)]
pub struct PostOffice {
    authority: Arc<Authority>,
    clock: Arc<VirtualClock>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    exchanges: u64,
    mishaps: Vec<(u64, Mishap)>,
    /// Every mishap lasts for this many attempts of the same bytes.
    stubborn: bool,
    doomed: Option<(Vec<u8>, Mishap)>,
    delayed: Vec<(Vec<u8>, Option<TerminalId>)>,
    heard: Vec<Vec<u8>>,
    forger: Option<Forger>,
    authority_ahead: SignedDuration,
}

/// Somebody who sees a request and its answer, and gives the answer that arrives.
type Forger = Box<dyn FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send>;

/// One terminal's end of the line.
pub struct Line {
    post: PostOffice,
    terminal: Option<TerminalId>,
}

impl PostOffice {
    /// The line to `authority`.
    #[must_use]
    pub fn new(authority: Arc<Authority>, clock: Arc<VirtualClock>) -> Self {
        Self { authority, clock, inner: Arc::default() }
    }

    /// A terminal's end.
    #[must_use]
    pub fn line(&self, terminal: &str) -> Line {
        Line { post: self.clone(), terminal: TerminalId::new(terminal) }
    }

    /// The `n`-th new message from now meets `mishap`, counted from 1. If `stubborn`, so does every repetition of it.
    pub fn arm(&self, n: u64, mishap: Mishap, stubborn: bool) {
        let mut inner = self.lock();
        let at = inner.exchanges + n;
        inner.mishaps.push((at, mishap));
        inner.stubborn = stubborn;
    }

    /// Mishaps that no message has met. They are taken back.
    pub fn disarm(&self) -> usize {
        let mut inner = self.lock();
        inner.doomed = None;
        std::mem::take(&mut inner.mishaps).len()
    }

    /// What was late arrives now.
    pub fn deliver_delayed(&self) {
        let delayed = std::mem::take(&mut self.lock().delayed);
        for (request, terminal) in delayed {
            self.hear(&request, terminal.as_ref());
        }
    }

    /// Every request that the authority has heard, as it travelled.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.lock().heard.clone()
    }

    /// From now on `forger` sees every request with its answer, and what it gives arrives in the answer's place.
    pub fn forge(&self, forger: impl FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send + 'static) {
        self.lock().forger = Some(Box::new(forger));
    }

    /// From now on answers arrive as the authority gave them.
    pub fn be_honest(&self) {
        self.lock().forger = None;
    }

    /// The authority's clock is ahead of the terminals' by so much.
    pub fn put_authority_ahead(&self, ahead: SignedDuration) {
        self.lock().authority_ahead = ahead;
    }

    fn hear(&self, request: &[u8], terminal: Option<&TerminalId>) -> Vec<u8> {
        let mut inner = self.lock();
        inner.heard.push(request.to_vec());
        let number = inner.heard.len() as u64;
        let now = self.clock.wall() + inner.authority_ahead;
        let mut forger = inner.forger.take();
        drop(inner);
        let mut random = ChaCha20Rng::seed_from_u64(number);
        let answer = self.authority.handle(request, terminal.map_or(Peer::Newcomer, Peer::Terminal), now, &mut random);
        let Some(forge) = &mut forger else { return answer };
        let answer = forge(request, answer);
        self.lock().forger = forger;
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mishap(&self, request: &[u8]) -> Option<Mishap> {
        let mut inner = self.lock();
        if let Some((doomed, mishap)) = &inner.doomed
            && doomed == request
        {
            return inner.stubborn.then_some(*mishap);
        }
        inner.exchanges += 1;
        let at = inner.exchanges;
        let index = inner.mishaps.iter().position(|(n, _)| *n == at)?;
        let (_, mishap) = inner.mishaps.swap_remove(index);
        inner.doomed = Some((request.to_vec(), mishap));
        Some(mishap)
    }
}

impl AuthorityLine for Line {
    fn exchange(&mut self, request: &[u8], deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, LineError> {
        let post = &self.post;
        // A line takes time, if only a little.
        post.clock.elapse(Duration::from_millis(20));
        let time_out = || {
            post.clock.elapse(deadline.remaining(&*post.clock));
            Err(LineError::Timeout)
        };
        match post.mishap(request) {
            None => Ok(Zeroizing::new(post.hear(request, self.terminal.as_ref()))),
            Some(Mishap::RequestLost) => time_out(),
            Some(Mishap::AnswerLost) => {
                post.hear(request, self.terminal.as_ref());
                time_out()
            }
            Some(Mishap::Repeated) => {
                post.hear(request, self.terminal.as_ref());
                Ok(Zeroizing::new(post.hear(request, self.terminal.as_ref())))
            }
            Some(Mishap::Delayed) => {
                post.lock().delayed.push((request.to_vec(), self.terminal.clone()));
                time_out()
            }
        }
    }
}
