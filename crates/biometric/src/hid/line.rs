//! Requests and answers over a line that may lose, change and repeat reports (§3).

use std::fmt;

use madoguchi_time::{Deadline, SharedClock};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::message::{self, FrameMeta};
use super::protocol::{self, REPORT_TIMEOUT, command, error};
use super::report::{self, Assembly, Report};
use super::{HidError, HidTransport};
use crate::{HandState, SensorError};

/// How often a request is repeated whose answer got lost or spoilt.
const REPEATS: u8 = 3;
/// Pieces of a picture that may be asked for again.
const LOST_PIECES: u16 = 64;
/// Pictures that are fetched again from the start because their digest is wrong.
const REFETCHES: u8 = 2;
/// Reports that are asked for at once: half of what Linux keeps for a reader of hidraw.
const CREDITS: u16 = 32;
/// Reports that are thrown away at most when a device is opened: what Linux keeps for a reader of hidraw.
const STALE_REPORTS: u8 = 64;

/// A channel of a sensor.
pub(super) struct Line<T> {
    pub(super) transport: T,
    pub(super) clock: SharedClock,
    pub(super) channel: u32,
    /// Number of the last request.
    number: u16,
}

/// What came in answer to a request.
enum Answer {
    Whole(Zeroizing<Vec<u8>>),
    /// Reports got lost; what came before them.
    Part(Zeroizing<Vec<u8>>),
    Error(u8),
}

impl<T: HidTransport> Line<T> {
    /// A line without a channel of its own yet. What the device said to whoever had it open before is thrown away.
    pub(super) fn open(mut transport: T, clock: SharedClock) -> Result<Self, SensorError> {
        let at_once = clock.deadline_in(std::time::Duration::ZERO);
        for _ in 0..STALE_REPORTS {
            if transport.read_report(at_once)?.is_none() {
                break;
            }
        }
        Ok(Self { transport, clock, channel: protocol::BROADCAST, number: 0 })
    }

    /// Sends a request until there is an answer that `accept` takes. What it refuses may have been changed on the way: the
    /// request is repeated a few times, and then its reason stands.
    pub(super) fn request<A>(
        &mut self,
        command: u8,
        request: &[u8],
        deadline: Deadline,
        accept: &mut dyn FnMut(&[u8]) -> Result<A, SensorError>,
    ) -> Result<A, SensorError> {
        self.request_watching(command, request, deadline, &mut |_| {}, accept)
    }

    /// Like [`Line::request`], and tells `hand` what KEEPALIVEs say. Repeats are the same request to the sensor.
    pub(super) fn request_watching<A>(
        &mut self,
        command: u8,
        request: &[u8],
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
        accept: &mut dyn FnMut(&[u8]) -> Result<A, SensorError>,
    ) -> Result<A, SensorError> {
        self.number = self.number.wrapping_add(1);
        let mut failure = SensorError::Timeout;
        for _ in 0..=REPEATS {
            self.send(command, request, deadline)?;
            failure = match self.receive(command, protocol::MAX_MESSAGE, deadline, hand)? {
                Answer::Whole(answer) => match accept(&answer) {
                    Ok(accepted) => return Ok(accepted),
                    Err(spoilt) => spoilt,
                },
                Answer::Part(_) => SensorError::Timeout,
                Answer::Error(code) if is_damage(code) => refusal(code),
                Answer::Error(code) => return Err(refusal(code)),
            };
        }
        Err(failure)
    }

    /// Fetches an encoded picture, and what gets lost on the way again.
    pub(super) fn fetch(&mut self, meta: &FrameMeta, deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, SensorError> {
        for _ in 0..=REFETCHES {
            let stream = self.fetch_once(meta, deadline)?;
            if Sha256::digest(&*stream)[..] == meta.digest {
                return Ok(stream);
            }
        }
        Err(SensorError::DamagedImage)
    }

    /// Fetches an encoded picture piece by piece.
    fn fetch_once(&mut self, meta: &FrameMeta, deadline: Deadline) -> Result<Zeroizing<Vec<u8>>, SensorError> {
        let mut stream = Zeroizing::new(Vec::with_capacity(meta.encoded_length));
        let piece = report::capacity(self.transport.report_size(), CREDITS) - protocol::DATA_HEADER;
        let mut lost = 0;
        while stream.len() < meta.encoded_length {
            let offset = stream.len();
            let wanted = piece.min(meta.encoded_length - offset);
            let offset_field = u32::try_from(offset).map_err(|_| SensorError::DamagedImage)?;
            self.number = self.number.wrapping_add(1);
            self.send(command::FRAME_DATA, &message::write_frame_data(meta.frame, offset_field, CREDITS), deadline)?;
            let longest = protocol::DATA_HEADER + wanted;
            let came = match self.receive(command::FRAME_DATA, longest, deadline, &mut |_| {})? {
                Answer::Whole(came) | Answer::Part(came) => came,
                Answer::Error(error::NO_FRAME) => return Err(SensorError::DamagedImage),
                Answer::Error(code) if is_damage(code) => Zeroizing::default(),
                Answer::Error(code) => return Err(refusal(code)),
            };
            let data = message::read_frame_data(&came, meta.frame, offset).unwrap_or_default();
            stream.extend_from_slice(data);
            if data.len() < wanted {
                lost += 1;
                if lost > LOST_PIECES {
                    return Err(SensorError::DamagedImage);
                }
            }
        }
        Ok(stream)
    }

    /// Tells the sensor to stop whatever it does. There is no answer to wait for.
    pub(super) fn cancel(&mut self) {
        // Must not wait long: at worst the sensor wipes its pictures by itself.
        let deadline = self.clock.deadline_in(REPORT_TIMEOUT);
        self.number = self.number.wrapping_add(1);
        // A device that is gone has nothing left to disarm.
        let _gone = self.send(command::CANCEL, &[], deadline);
    }

    fn send(&mut self, command: u8, request: &[u8], deadline: Deadline) -> Result<(), SensorError> {
        let reports = report::cut(self.transport.report_size(), self.channel, command, self.number, request)
            .ok_or(SensorError::Unsupported("its reports are too short"))?;
        for report in reports {
            self.transport.write_report(&report, deadline)?;
        }
        Ok(())
    }

    /// Waits for the answer to the last request.
    fn receive(
        &mut self,
        command: u8,
        longest: usize,
        deadline: Deadline,
        hand: &mut dyn FnMut(HandState),
    ) -> Result<Answer, SensorError> {
        let mut assembly: Option<Assembly> = None;
        let mut patience = self.clock.deadline_in(REPORT_TIMEOUT);
        loop {
            let report = self.transport.read_report(patience.earlier(deadline))?;
            if deadline.has_passed(&*self.clock) {
                return Err(SensorError::Timeout);
            }
            let Some(report) = report else { return Ok(Answer::Part(part(assembly))) };
            match Report::parse(&report) {
                Some(Report::First { channel, command: got, length, number, payload })
                    if channel == self.channel && number == self.number =>
                {
                    match got {
                        command::KEEPALIVE => {
                            if let Some(state) = payload.first().and_then(|code| message::hand_state(*code)) {
                                hand(state);
                            }
                        }
                        command::ERROR => return Ok(Answer::Error(payload.first().copied().unwrap_or_default())),
                        got if got == command && assembly.is_none() && length <= longest => {
                            assembly = Some(Assembly::begin(length, payload));
                        }
                        _ => return Ok(Answer::Part(part(assembly))),
                    }
                }
                Some(Report::Next { channel, sequence, payload }) if channel == self.channel => {
                    // Without a beginning it is left over from a message that was given up.
                    let Some(begun) = &mut assembly else { continue };
                    if !begun.add(sequence, payload) {
                        return Ok(Answer::Part(part(assembly)));
                    }
                }
                // Somebody else's, or nobody's: no reason to be patient any longer than without it.
                _ => continue,
            }
            if assembly.as_ref().is_some_and(Assembly::is_complete) {
                return Ok(Answer::Whole(part(assembly)));
            }
            patience = self.clock.deadline_in(REPORT_TIMEOUT);
        }
    }
}

impl<T> fmt::Debug for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("channel", &self.channel).finish_non_exhaustive()
    }
}

fn part(assembly: Option<Assembly>) -> Zeroizing<Vec<u8>> {
    assembly.map(Assembly::into_payload).unwrap_or_default()
}

/// Does the sensor complain of what may be due to the way there, so that the same request may do better?
fn is_damage(code: u8) -> bool {
    matches!(
        code,
        error::INVALID_COMMAND
            | error::INVALID_PARAMETER
            | error::INVALID_LENGTH
            | error::INVALID_SEQUENCE
            | error::MESSAGE_TIMEOUT
            // Not by this request: by a CANCEL before it that came late.
            | error::CANCELLED
    )
}

fn refusal(code: u8) -> SensorError {
    match code {
        error::CHANNEL_BUSY => SensorError::Busy,
        error::INVALID_CHANNEL | error::NO_LINK => SensorError::Garbled("the sensor was reset"),
        error::CANCELLED => SensorError::Timeout,
        error::NO_FRAME => SensorError::DamagedImage,
        code => SensorError::Refused { code },
    }
}

impl From<HidError> for SensorError {
    fn from(error: HidError) -> Self {
        match error {
            HidError::Gone => Self::Gone,
            HidError::Timeout => Self::Timeout,
            HidError::NotAuthorized => Self::NotAuthorized,
            HidError::Other(source) => Self::Other(source),
        }
    }
}
