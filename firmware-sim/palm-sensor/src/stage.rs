//! What happens in front of the simulated sensor: hands that are presented, one after the other.

use std::collections::VecDeque;
use std::time::Duration;

use biometric::RetryReason;
use biometric::hid::protocol::hand;
use palm_vein::PalmImage;

use crate::firmware::{Approach, Scene, Sight};
use crate::synth::{Frames, Level, PalmSeeds, Side, SyntheticPalm, Veins};

/// Somebody's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Whose: the same seed is the same person.
    pub identity_seed: u64,
    /// Which hand.
    pub side: Side,
    /// How well it is presented.
    pub level: Level,
    /// Which take of it: the same number gives the same picture.
    pub take: u64,
    /// How visible its veins are.
    pub veins: Veins,
}

impl Hand {
    /// The right hand of a person, presented as in normal use.
    #[must_use]
    pub fn of_person(identity_seed: u64) -> Self {
        Self { identity_seed, side: Side::Right, level: Level::L1, take: 0, veins: Veins::Normal }
    }

    fn seeds(self) -> PalmSeeds {
        PalmSeeds::of_person(self.identity_seed, self.side)
    }
}

/// What one capture meets.
#[derive(Clone, Debug)]
pub enum Presentation {
    /// A hand, which is photographed.
    Hand(Hand),
    /// A picture in place of the camera's in near-infrared light; red light is broken.
    Image(PalmImage),
    /// Pictures in place of the camera's.
    Frames(Frames),
    /// A hand that the sensor does not photograph, for this reason.
    Retry(RetryReason),
    /// A hand, at which the sensor fails with this code of [`biometric::hid::protocol::error`].
    Refusal(u8),
    /// No hand.
    Nothing,
}

/// Hands in front of the sensor: first those that were queued, one a capture; then the one that stays.
pub(crate) struct Stage {
    queue: VecDeque<Presentation>,
    resting: Presentation,
    /// Takes of the resting hand so far.
    takes: u64,
    /// The palm that was photographed last: growing one takes much longer than a picture.
    palm: Option<SyntheticPalm>,
    captures: u64,
}

impl Stage {
    pub(crate) fn empty() -> Self {
        Self { queue: VecDeque::new(), resting: Presentation::Nothing, takes: 0, palm: None, captures: 0 }
    }

    pub(crate) fn rest(&mut self, presentation: Presentation) {
        self.resting = presentation;
        self.takes = 0;
    }

    pub(crate) fn queue(&mut self, presentation: Presentation) {
        self.queue.push_back(presentation);
    }

    pub(crate) fn captures(&self) -> u64 {
        self.captures
    }

    fn next(&mut self) -> Presentation {
        self.captures += 1;
        if let Some(queued) = self.queue.pop_front() {
            return queued;
        }
        let mut presentation = self.resting.clone();
        if let Presentation::Hand(hand) = &mut presentation {
            hand.take = hand.take.wrapping_add(self.takes);
            self.takes += 1;
        }
        presentation
    }

    fn photograph(&mut self, hand: Hand) -> Frames {
        let palm = match self.palm.take().filter(|palm| palm.seeds() == hand.seeds()) {
            Some(palm) => palm,
            None => SyntheticPalm::new(hand.seeds()),
        };
        let frames = palm.capture(hand.level, hand.take, hand.veins);
        self.palm = Some(palm);
        frames
    }
}

/// Distance at which hands are photographed, mm.
const DISTANCE: u16 = 50;

impl Scene for Stage {
    fn approach(&mut self) -> Approach {
        let ms = Duration::from_millis;
        let presentation = self.next();
        // Between 1.0 and 1.4 s, as with real sensors.
        let jitter = 37 * (self.captures % 11);
        let arrival = vec![(ms(250), hand::ABSENT), (ms(300 + jitter), hand::MOVING), (ms(450), hand::HOLD)];
        let (states, sight) = match presentation {
            Presentation::Hand(hand) => (arrival, Some(pictures(self.photograph(hand)))),
            Presentation::Frames(frames) => (arrival, Some(pictures(frames))),
            Presentation::Image(image) => {
                (arrival, Some(Sight::Pictures { near_infrared: image, red: None, distance: DISTANCE }))
            }
            Presentation::Retry(reason) => {
                let code = code(reason);
                (vec![(ms(250), hand::ABSENT), (ms(800 + jitter), code)], Some(Sight::Retry(code)))
            }
            Presentation::Refusal(code) => (arrival, Some(Sight::Refusal(code))),
            Presentation::Nothing => (Vec::new(), None),
        };
        Approach { states, sight }
    }
}

fn pictures(frames: Frames) -> Sight {
    Sight::Pictures { near_infrared: frames.near_infrared, red: Some(frames.red), distance: DISTANCE }
}

fn code(reason: RetryReason) -> u8 {
    match reason {
        RetryReason::NoHand => hand::ABSENT,
        RetryReason::TooNear => hand::TOO_NEAR,
        RetryReason::TooFar => hand::TOO_FAR,
        RetryReason::TooLeft => hand::TOO_LEFT,
        RetryReason::TooRight => hand::TOO_RIGHT,
        RetryReason::Moving => hand::MOVING,
        RetryReason::Tilted => hand::TILTED,
        RetryReason::TooDark => hand::TOO_DARK,
        RetryReason::TooBright => hand::TOO_BRIGHT,
        _ => hand::COVERED,
    }
}
