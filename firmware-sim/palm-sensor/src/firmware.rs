//! The sensor's firmware: reports in, reports out, and a camera.
//!
//! Each channel has a link of its own, so that several programs on the host may have the sensor open; it serves one at a time.
//!
//! Sans-I/O: whoever runs it hands over reports with the time, takes reports, and comes back at [`PalmSensorFirmware::wakes_at`].
//! Nothing that comes in makes it panic; what is malformed is answered with ERROR.

use std::collections::VecDeque;
use std::time::Duration;

use biometric::hid::protocol::{
    self, BROADCAST, CAPTURE_HEADER, DATA_HEADER, FIRST, FIRST_HEADER, KEEPALIVE_INTERVAL, META, NEXT_HEADER, NONCE,
    REPORT_TIMEOUT, codec, command, error, hand, link, outcome,
};
use palm_vein::PalmImage;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::codec::encode_med_rice;
use crate::link::{DeviceKeys, Session};
use crate::synth::Wavelength;

/// Longest request: none is longer than ATTEST's.
const LONGEST_REQUEST: usize = link::REQUEST;
/// Channels that are kept; the oldest makes room for a new one.
const CHANNELS: usize = 8;

/// What the camera is pointed at.
pub trait Scene: Send {
    /// A capture begins: what will the sensor see?
    fn approach(&mut self) -> Approach;
}

/// A hand on its way to the sensor.
pub struct Approach {
    /// States that the range finder goes through, each with how long it lasts; codes of [`protocol::hand`]. The last one stays.
    pub states: Vec<(Duration, u8)>,
    /// What comes of it at the end of the last state. `None`: nothing, however long one waits.
    pub sight: Option<Sight>,
}

/// What a capture ends with.
pub enum Sight {
    /// A picture in each light.
    Pictures {
        /// In near-infrared light.
        near_infrared: PalmImage,
        /// In red light; `None` if that light is broken.
        red: Option<PalmImage>,
        /// The palm's distance, mm.
        distance: u16,
    },
    /// A reason to try again, a code of [`protocol::hand`].
    Retry(u8),
    /// The sensor refuses, with a code of [`protocol::error`].
    Refusal(u8),
}

/// What the sensor says of itself.
#[derive(Clone, Debug)]
pub struct Nameplate {
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
}

/// The firmware of one sensor.
pub struct PalmSensorFirmware<S> {
    scene: S,
    nameplate: Nameplate,
    keys: DeviceKeys,
    /// Parts that the self-test finds at fault.
    broken_parts: u32,
    report_size: usize,
    channels: VecDeque<Channel>,
    next_channel: u32,
    incoming: Option<Incoming>,
    outgoing: VecDeque<Zeroizing<Vec<u8>>>,
    capture: Option<Running>,
    /// The last capture's channel and request, and the answer to it, for a host that lost the answer.
    answered: Option<(u32, Vec<u8>, Vec<u8>)>,
    /// The pictures of the last capture.
    frames: Vec<Frame>,
    /// Number of the last picture.
    last_frame: u32,
}

struct Channel {
    number: u32,
    session: Option<Session>,
    /// The last ATTEST and the answer to it, for a host that lost the answer.
    attested: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Return {
    channel: u32,
    command: u8,
    number: u16,
}

struct Incoming {
    to: Return,
    length: usize,
    payload: Vec<u8>,
    sequence: u16,
    last: Duration,
}

struct Running {
    to: Return,
    /// As it came: the answer is bound to it.
    request: Vec<u8>,
    wavelengths: Vec<Wavelength>,
    began: Duration,
    ends: Duration,
    keepalive_at: Duration,
    approach: Approach,
}

struct Frame {
    channel: u32,
    number: u32,
    /// Encoded and enciphered.
    stream: Zeroizing<Vec<u8>>,
    expires: Duration,
}

impl<S: Scene> PalmSensorFirmware<S> {
    /// A sensor that has just been powered up. `report_size` is brought into the allowed range.
    pub fn new(scene: S, nameplate: Nameplate, keys: DeviceKeys, report_size: usize) -> Self {
        Self {
            scene,
            nameplate,
            keys,
            broken_parts: 0,
            report_size: report_size.clamp(*protocol::REPORT_SIZES.start(), *protocol::REPORT_SIZES.end()),
            channels: VecDeque::new(),
            next_channel: 1,
            incoming: None,
            outgoing: VecDeque::new(),
            capture: None,
            answered: None,
            frames: Vec::new(),
            last_frame: 0,
        }
    }

    /// Bytes in a report.
    pub fn report_size(&self) -> usize {
        self.report_size
    }

    /// Has the self-test find these parts at fault: bits of [`protocol::part`].
    pub fn break_parts(&mut self, parts: u32) {
        self.broken_parts = parts;
    }

    /// Takes a report that arrived at `now`, a time since power-up.
    pub fn receive(&mut self, report: &[u8], now: Duration) {
        self.tick(now);
        if report.len() != self.report_size {
            return self.refuse(Return { channel: BROADCAST, command: 0, number: 0 }, error::INVALID_LENGTH);
        }
        let channel = u32::from_be_bytes([report[0], report[1], report[2], report[3]]);
        if report[4] & FIRST == 0 {
            let sequence = u16::from_be_bytes([report[4], report[5]]);
            return self.receive_next(channel, sequence, &report[NEXT_HEADER..], now);
        }
        let to = Return { channel, command: report[4] & !FIRST, number: u16::from_be_bytes([report[10], report[11]]) };
        let length = u32::from_be_bytes([report[6], report[7], report[8], report[9]]);
        let is_init = channel == BROADCAST && to.command == command::INIT;
        if !is_init && self.channel(channel).is_none() {
            return self.refuse(to, error::INVALID_CHANNEL);
        }
        if report[5] != 0 {
            return self.refuse(to, error::INVALID_PARAMETER);
        }
        let busy_with = self.incoming.as_ref().map(|incoming| incoming.to).or(self.capture.as_ref().map(|c| c.to));
        if busy_with.is_some_and(|busy| busy.channel != channel) {
            return self.refuse(to, error::CHANNEL_BUSY);
        }
        if let Some(unfinished) = self.incoming.take() {
            self.refuse(unfinished.to, error::INVALID_SEQUENCE);
        }
        let length = match usize::try_from(length) {
            Ok(length) if length <= LONGEST_REQUEST => length,
            _ => return self.refuse(to, error::INVALID_LENGTH),
        };
        let payload = &report[FIRST_HEADER..];
        let payload = payload[..payload.len().min(length)].to_vec();
        self.incoming = Some(Incoming { to, length, payload, sequence: 0, last: now });
        self.serve_if_complete(now);
    }

    fn receive_next(&mut self, channel: u32, sequence: u16, payload: &[u8], now: Duration) {
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.to.channel == channel) else {
            return self.refuse(Return { channel, command: 0, number: 0 }, error::INVALID_SEQUENCE);
        };
        if sequence != incoming.sequence {
            let to = incoming.to;
            self.incoming = None;
            return self.refuse(to, error::INVALID_SEQUENCE);
        }
        let missing = incoming.length - incoming.payload.len();
        incoming.payload.extend_from_slice(&payload[..payload.len().min(missing)]);
        incoming.sequence = incoming.sequence.wrapping_add(1);
        incoming.last = now;
        self.serve_if_complete(now);
    }

    /// The next report for the host, if there is one at `now`.
    pub fn send(&mut self, now: Duration) -> Option<Zeroizing<Vec<u8>>> {
        self.tick(now);
        self.outgoing.pop_front()
    }

    /// When the sensor will have something to do by itself.
    pub fn wakes_at(&self) -> Option<Duration> {
        let capture = self.capture.as_ref().map(|capture| capture.keepalive_at.min(capture.ends));
        let message = self.incoming.as_ref().map(|incoming| incoming.last + REPORT_TIMEOUT);
        capture.into_iter().chain(message).min()
    }

    /// Does what is due at `now`.
    fn tick(&mut self, now: Duration) {
        if let Some(late) = self.incoming.take_if(|incoming| now >= incoming.last + REPORT_TIMEOUT) {
            self.refuse(late.to, error::MESSAGE_TIMEOUT);
        }
        self.frames.retain(|frame| now < frame.expires);
        if let Some(ended) = self.capture.take_if(|capture| now >= capture.ends) {
            self.finish_capture(ended, now);
        }
        if let Some(capture) = self.capture.as_mut().filter(|capture| now >= capture.keepalive_at) {
            capture.keepalive_at = now + KEEPALIVE_INTERVAL;
            let (to, state) = (capture.to, capture.state_at(now));
            self.answer(Return { command: command::KEEPALIVE, ..to }, &[state]);
        }
    }

    fn serve_if_complete(&mut self, now: Duration) {
        if let Some(Incoming { to, payload, .. }) = self.incoming.take_if(|i| i.payload.len() == i.length) {
            self.serve(to, &payload, now);
        }
    }

    fn serve(&mut self, to: Return, request: &[u8], now: Duration) {
        match to.command {
            command::INIT => self.init(to, request),
            command::ATTEST => self.attest(to, request),
            command::CANCEL if request.is_empty() => self.cancel(to.channel),
            command::CANCEL => self.refuse(to, error::INVALID_LENGTH),
            command::GET_INFO | command::SELF_TEST | command::CAPTURE | command::FRAME_DATA
                if self.channel(to.channel).is_none_or(|channel| channel.session.is_none()) =>
            {
                self.refuse(to, error::NO_LINK);
            }
            command::GET_INFO if request.is_empty() => self.state(to, link::INFO, request, self.info()),
            command::SELF_TEST if request.len() == NONCE => {
                self.state(to, link::SELF_TEST, request, self.broken_parts.to_be_bytes().to_vec());
            }
            command::GET_INFO | command::SELF_TEST => self.refuse(to, error::INVALID_LENGTH),
            command::CAPTURE => self.begin_capture(to, request, now),
            command::FRAME_DATA => self.frame_data(to, request, now),
            _ => self.refuse(to, error::INVALID_COMMAND),
        }
    }

    fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.number == number)
    }

    /// Gives out a channel, or resets the one on which it is asked.
    fn init(&mut self, to: Return, request: &[u8]) {
        if request.len() != 8 {
            return self.refuse(to, error::INVALID_LENGTH);
        }
        self.cancel(to.channel);
        let channel = if to.channel == BROADCAST {
            let given = self.next_channel;
            self.next_channel = if given == BROADCAST - 1 { 1 } else { given + 1 };
            self.channels.push_back(Channel { number: given, session: None, attested: None });
            if self.channels.len() > CHANNELS {
                self.channels.pop_front();
            }
            given
        } else {
            if let Some(channel) = self.channel(to.channel) {
                (channel.session, channel.attested) = (None, None);
            }
            to.channel
        };
        let mut answer = request.to_vec();
        answer.extend_from_slice(&channel.to_be_bytes());
        answer.extend_from_slice(&[protocol::VERSION, protocol::VERSION]);
        self.answer(to, &answer);
    }

    /// Proves what it is, and agrees on keys.
    fn attest(&mut self, to: Return, request: &[u8]) {
        if self.broken_parts & protocol::part::KEYS != 0 {
            return self.refuse(to, error::HARDWARE);
        }
        let mut random = [0; link::BLOCK];
        OsRng.fill_bytes(&mut random);
        let Self { channels, keys, .. } = self;
        let Some(channel) = channels.iter_mut().find(|channel| channel.number == to.channel) else { return };
        if let Some((_, answer)) = channel.attested.as_ref().filter(|(attested, _)| attested == request) {
            let answer = answer.clone();
            return self.answer(to, &answer);
        }
        let Some((answer, session)) = keys.attest(random, request) else {
            return self.refuse(to, error::INVALID_PARAMETER);
        };
        channel.session = Some(session);
        channel.attested = Some((request.to_vec(), answer.clone()));
        self.answer(to, &answer);
    }

    /// Answers with a statement and its MAC.
    fn state(&mut self, to: Return, label: &[u8], request: &[u8], statement: Vec<u8>) {
        if let Some(answer) = self.sealed(to.channel, label, request, statement) {
            self.answer(to, &answer);
        }
    }

    /// A statement with its MAC, which binds it to the request.
    fn sealed(&mut self, channel: u32, label: &[u8], request: &[u8], mut statement: Vec<u8>) -> Option<Vec<u8>> {
        let mac = self.channel(channel)?.session.as_ref()?.mac(label, &[request, &statement]);
        statement.extend_from_slice(&mac);
        Some(statement)
    }

    fn info(&self) -> Vec<u8> {
        let mut info = Vec::new();
        info.extend_from_slice(&(PalmImage::WIDTH as u16).to_be_bytes());
        info.extend_from_slice(&(PalmImage::HEIGHT as u16).to_be_bytes());
        info.push(8);
        info.extend_from_slice(&crate::synth::MICROMETRES_PER_PIXEL.to_be_bytes());
        info.push(Wavelength::ALL.len() as u8);
        Wavelength::ALL.iter().for_each(|light| info.extend_from_slice(&light.nanometres().to_be_bytes()));
        let Nameplate { manufacturer, model, serial, firmware } = &self.nameplate;
        for text in [manufacturer, model, serial, firmware] {
            // What is longer than a length byte can say is cut between two characters.
            let end = (0..=text.len().min(255)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            info.push(end as u8);
            info.extend_from_slice(&text.as_bytes()[..end]);
        }
        info
    }

    fn begin_capture(&mut self, to: Return, request: &[u8], now: Duration) {
        let Some(([.., w0, w1, w2, w3, count], lights)) = request.split_first_chunk::<CAPTURE_HEADER>() else {
            return self.refuse(to, error::INVALID_LENGTH);
        };
        if lights.len() != 2 * usize::from(*count) {
            return self.refuse(to, error::INVALID_LENGTH);
        }
        let wanted = lights
            .chunks(2)
            .map(|light| Wavelength::ALL.into_iter().find(|known| known.nanometres().to_be_bytes()[..] == *light));
        let wavelengths = match wanted.collect::<Option<Vec<_>>>() {
            Some(wavelengths) if (1..=protocol::MOST_WAVELENGTHS).contains(&wavelengths.len()) => wavelengths,
            _ => return self.refuse(to, error::INVALID_PARAMETER),
        };
        let is_answered =
            |(channel, answered, _): &&(u32, Vec<u8>, Vec<u8>)| *channel == to.channel && answered == request;
        if let Some((_, _, answer)) = self.answered.as_ref().filter(is_answered) {
            let answer = answer.clone();
            return self.answer(to, &answer);
        }
        if let Some(running) = self.capture.as_mut().filter(|running| running.request == request) {
            running.to = to;
            return;
        }
        // No number may come twice under one key. They last for centuries.
        if self.last_frame > u32::MAX - protocol::MOST_WAVELENGTHS as u32 {
            return self.refuse(to, error::HARDWARE);
        }
        // Somebody else's pictures are not wiped while they are being fetched.
        if self.frames.iter().any(|frame| frame.channel != to.channel) {
            return self.refuse(to, error::CHANNEL_BUSY);
        }
        self.cancel(to.channel);
        let approach = self.scene.approach();
        let wait = Duration::from_millis(u32::from_be_bytes([*w0, *w1, *w2, *w3]).into());
        let takes: Duration = approach.states.iter().map(|(duration, _)| *duration).sum();
        let ends = now + if approach.sight.is_some() { takes.min(wait) } else { wait };
        let request = request.to_vec();
        self.capture = Some(Running { to, request, wavelengths, began: now, ends, keepalive_at: now, approach });
    }

    fn finish_capture(&mut self, running: Running, now: Duration) {
        if let Some(Sight::Refusal(code)) = running.approach.sight.as_ref().filter(|_| running.is_through()) {
            return self.refuse(running.to, *code);
        }
        let nonce = &running.request[..NONCE];
        let mut answer = vec![outcome::RETRY];
        answer.extend_from_slice(nonce);
        match &running.approach.sight {
            Some(Sight::Pictures { near_infrared, red, distance }) if running.is_through() => {
                answer[0] = outcome::IMAGES;
                answer.push(running.wavelengths.len() as u8);
                for &light in &running.wavelengths {
                    let picture = if light == Wavelength::Red { red.as_ref() } else { Some(near_infrared) };
                    let meta = self.keep(running.to.channel, light, picture, *distance, now);
                    answer.extend_from_slice(&meta);
                }
            }
            Some(Sight::Retry(reason)) if running.is_through() => answer.push(*reason),
            // Time is up before the hand was where it should be.
            _ => answer.push(match running.state_at(running.ends) {
                hand::HOLD => hand::MOVING,
                state => state,
            }),
        }
        let Some(answer) = self.sealed(running.to.channel, link::SAMPLE, &running.request, answer) else { return };
        self.answer(running.to, &answer);
        self.answered = Some((running.to.channel, running.request, answer));
    }

    /// Keeps a picture for the host to fetch, encoded and enciphered, and describes it. Without light, it is all black.
    fn keep(
        &mut self,
        channel: u32,
        light: Wavelength,
        picture: Option<&PalmImage>,
        distance: u16,
        now: Duration,
    ) -> Vec<u8> {
        let black;
        let pixels: &[u8] = match picture {
            Some(picture) => picture.pixels(),
            None => {
                black = vec![0; PalmImage::PIXELS];
                &black
            }
        };
        let stream = encode_med_rice(pixels, PalmImage::WIDTH);
        let (mut stream, codec) = if stream.len() < PalmImage::PIXELS {
            (stream, codec::MED_RICE)
        } else {
            (Zeroizing::new(pixels.to_vec()), codec::RAW)
        };
        self.last_frame += 1;
        let number = self.last_frame;
        if let Some(session) = self.channel(channel).and_then(|channel| channel.session.as_ref()) {
            session.encipher(number, &mut stream);
        }
        let mut meta = Vec::with_capacity(META);
        meta.extend_from_slice(&number.to_be_bytes());
        meta.extend_from_slice(&(now.as_millis() as u32).to_be_bytes());
        meta.extend_from_slice(&EXPOSURE_US.to_be_bytes());
        meta.extend_from_slice(&GAIN.to_be_bytes());
        meta.extend_from_slice(&light.nanometres().to_be_bytes());
        meta.extend_from_slice(&distance.to_be_bytes());
        meta.push(if picture.is_none() { protocol::META_DARK } else { 0 });
        meta.extend_from_slice(&(PalmImage::WIDTH as u16).to_be_bytes());
        meta.extend_from_slice(&(PalmImage::HEIGHT as u16).to_be_bytes());
        meta.extend_from_slice(&[8, codec]);
        meta.extend_from_slice(&(stream.len() as u32).to_be_bytes());
        meta.extend_from_slice(&Sha256::digest(&*stream));
        debug_assert_eq!(meta.len(), META);
        self.frames.push(Frame { channel, number, stream, expires: now + protocol::FRAME_LIFETIME });
        meta
    }

    fn frame_data(&mut self, to: Return, request: &[u8], now: Duration) {
        let &[n0, n1, n2, n3, o0, o1, o2, o3, c0, c1] = request else {
            return self.refuse(to, error::INVALID_LENGTH);
        };
        let number = u32::from_be_bytes([n0, n1, n2, n3]);
        // All pictures of a capture live as long as one of them is being fetched.
        let own = self.frames.iter_mut().filter(|frame| frame.channel == to.channel);
        own.for_each(|frame| frame.expires = now + protocol::FRAME_LIFETIME);
        let Some(frame) = self.frames.iter().find(|frame| frame.channel == to.channel && frame.number == number) else {
            return self.refuse(to, error::NO_FRAME);
        };
        let offset = usize::try_from(u32::from_be_bytes([o0, o1, o2, o3])).unwrap_or(usize::MAX);
        let credits = usize::from(u16::from_be_bytes([c0, c1]));
        let Some(rest) = frame.stream.get(offset..).filter(|rest| !rest.is_empty() && credits > 0) else {
            return self.refuse(to, error::INVALID_PARAMETER);
        };
        let room = (self.report_size - FIRST_HEADER) + (credits - 1) * (self.report_size - NEXT_HEADER) - DATA_HEADER;
        let room = room.min(protocol::MAX_MESSAGE - DATA_HEADER);
        let mut answer = Zeroizing::new(Vec::with_capacity(DATA_HEADER + room.min(rest.len())));
        answer.extend_from_slice(&request[..DATA_HEADER]);
        answer.extend_from_slice(&rest[..room.min(rest.len())]);
        self.answer(to, &answer);
    }

    /// For this channel: light off, pictures wiped, nothing running.
    fn cancel(&mut self, channel: u32) {
        self.frames.retain(|frame| frame.channel != channel);
        self.answered.take_if(|(answered, ..)| *answered == channel);
        if let Some(running) = self.capture.take_if(|running| running.to.channel == channel) {
            self.refuse(running.to, error::CANCELLED);
        }
    }

    fn refuse(&mut self, to: Return, code: u8) {
        self.answer(Return { command: command::ERROR, ..to }, &[code]);
    }

    /// Queues a message as reports.
    fn answer(&mut self, to: Return, message: &[u8]) {
        let (first, rest) = message.split_at(message.len().min(self.report_size - FIRST_HEADER));
        let mut report = Zeroizing::new(Vec::with_capacity(self.report_size));
        report.extend_from_slice(&to.channel.to_be_bytes());
        report.extend_from_slice(&[FIRST | to.command, 0]);
        report.extend_from_slice(&(message.len() as u32).to_be_bytes());
        report.extend_from_slice(&to.number.to_be_bytes());
        report.extend_from_slice(first);
        report.resize(self.report_size, 0);
        self.outgoing.push_back(report);
        for (sequence, piece) in rest.chunks(self.report_size - NEXT_HEADER).enumerate() {
            let mut report = Zeroizing::new(Vec::with_capacity(self.report_size));
            report.extend_from_slice(&to.channel.to_be_bytes());
            report.extend_from_slice(&(sequence as u16).to_be_bytes());
            report.extend_from_slice(piece);
            report.resize(self.report_size, 0);
            self.outgoing.push_back(report);
        }
    }
}

/// Exposure time of the simulated camera, µs.
const EXPOSURE_US: u32 = 4_000;
/// Its gain, tenths of a decibel.
const GAIN: u16 = 60;

impl Running {
    fn state_at(&self, now: Duration) -> u8 {
        let mut until = self.began;
        let reached = self.approach.states.iter().find(|(duration, _)| {
            until += *duration;
            now < until
        });
        reached.or(self.approach.states.last()).map_or(hand::ABSENT, |(_, state)| *state)
    }

    /// Did the hand get to the end of its approach in the time that the host allowed?
    fn is_through(&self) -> bool {
        let takes: Duration = self.approach.states.iter().map(|(duration, _)| *duration).sum();
        self.began + takes <= self.ends
    }
}
