//! The numbers of PVHID/1, as in `docs/protocols/palm-sensor.md`. Host and simulated sensor share these and no code.
//!
//! All fields are big-endian.

use std::time::Duration;

/// The protocol's version.
pub const VERSION: u8 = 1;
/// USB HID usage page of the interface: vendor-defined (HID Usage Tables §3).
pub const USAGE_PAGE: u16 = 0xFF00;
/// Sizes of a report that are allowed.
pub const REPORT_SIZES: std::ops::RangeInclusive<usize> = 64..=1024;
/// Longest message.
pub const MAX_MESSAGE: usize = 1 << 20;
/// Longest time between two reports of a message, and from a request to its answer or to a KEEPALIVE.
pub const REPORT_TIMEOUT: Duration = Duration::from_millis(500);
/// Time between two KEEPALIVEs.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a sensor keeps a picture that nobody fetches.
pub const FRAME_LIFETIME: Duration = Duration::from_secs(5);

/// The channel on which channels are given out.
pub const BROADCAST: u32 = 0xFFFF_FFFF;
/// Bytes before the payload in the first report of a message: channel (4), command (1), flags (1), length (4),
/// message number (2).
pub const FIRST_HEADER: usize = 12;
/// Bytes before the payload in a further report: channel (4), sequence number (2).
pub const NEXT_HEADER: usize = 6;
/// Set in the fifth byte of a first report, clear in that of a further one.
pub const FIRST: u8 = 0x80;

/// Commands (§4).
pub mod command {
    /// Gives out a channel.
    pub const INIT: u8 = 0x01;
    /// Who and what the sensor is.
    pub const GET_INFO: u8 = 0x02;
    /// Shows the sensor's certificate and agrees on the link's keys.
    pub const ATTEST: u8 = 0x03;
    /// Looks whether the sensor's parts work.
    pub const SELF_TEST: u8 = 0x04;
    /// Takes a picture at each wavelength.
    pub const CAPTURE: u8 = 0x10;
    /// A piece of a picture.
    pub const FRAME_DATA: u8 = 0x11;
    /// Ends a capture, and wipes the pictures. Has no answer.
    pub const CANCEL: u8 = 0x12;
    /// Sensor to host only: still at it.
    pub const KEEPALIVE: u8 = 0x3B;
    /// Sensor to host only: refused.
    pub const ERROR: u8 = 0x3F;
}

/// Codes of ERROR (§7).
pub mod error {
    /// No such command.
    pub const INVALID_COMMAND: u8 = 0x01;
    /// A field has a value that it can't have.
    pub const INVALID_PARAMETER: u8 = 0x02;
    /// The message has the wrong length.
    pub const INVALID_LENGTH: u8 = 0x03;
    /// A report is missing, or out of order.
    pub const INVALID_SEQUENCE: u8 = 0x04;
    /// The rest of the message did not come.
    pub const MESSAGE_TIMEOUT: u8 = 0x05;
    /// Another channel is being served.
    pub const CHANNEL_BUSY: u8 = 0x06;
    /// No such channel.
    pub const INVALID_CHANNEL: u8 = 0x0B;
    /// The capture was cancelled.
    pub const CANCELLED: u8 = 0x0C;
    /// There is no such picture, or no longer.
    pub const NO_FRAME: u8 = 0x0D;
    /// The channel has no link yet: ATTEST comes first.
    pub const NO_LINK: u8 = 0x0E;
    /// The sensor's hardware failed.
    pub const HARDWARE: u8 = 0x7F;
}

/// First byte of an answer to CAPTURE (§4.4).
pub mod outcome {
    /// Pictures; their FRAME_METAs follow.
    pub const IMAGES: u8 = 0x00;
    /// No picture; the reason follows.
    pub const RETRY: u8 = 0x01;
}

/// States of a hand in KEEPALIVE, and reasons in a CAPTURE that gave no picture (§4.4).
pub mod hand {
    /// No hand.
    pub const ABSENT: u8 = 0x00;
    /// Hold still.
    pub const HOLD: u8 = 0x01;
    /// Too near.
    pub const TOO_NEAR: u8 = 0x02;
    /// Too far away.
    pub const TOO_FAR: u8 = 0x03;
    /// Too far to the left.
    pub const TOO_LEFT: u8 = 0x04;
    /// Too far to the right.
    pub const TOO_RIGHT: u8 = 0x05;
    /// Moving.
    pub const MOVING: u8 = 0x06;
    /// Turned or not flat.
    pub const TILTED: u8 = 0x07;
    /// Too dark.
    pub const TOO_DARK: u8 = 0x08;
    /// Too bright.
    pub const TOO_BRIGHT: u8 = 0x09;
    /// Something covers the window.
    pub const COVERED: u8 = 0x0A;
}

/// Ways to encode a picture (§6).
pub mod codec {
    /// Pixels as they are.
    pub const RAW: u8 = 0x00;
    /// Median edge detection and Rice codes.
    pub const MED_RICE: u8 = 0x01;
}

/// Parts of a sensor that SELF_TEST may find at fault: bits of its answer (§4.6).
pub mod part {
    /// The light around the lens, at any wavelength.
    pub const ILLUMINATION: u32 = 1 << 0;
    /// The camera.
    pub const CAMERA: u32 = 1 << 1;
    /// What measures the hand's distance.
    pub const RANGE_FINDER: u32 = 1 << 2;
    /// Memory.
    pub const MEMORY: u32 = 1 << 3;
    /// The place of the keys, or the generator of random numbers.
    pub const KEYS: u32 = 1 << 4;
}

/// The secure link (§5), after SDCP (Microsoft, Secure Device Connection Protocol, version 1).
pub mod link {
    /// Bytes of a public key: a point of P-256, uncompressed (SEC 1 §2.3.3).
    pub const PUBLIC_KEY: usize = 65;
    /// Bytes of a signature: r, s (ECDSA with SHA-256).
    pub const SIGNATURE: usize = 64;
    /// Bytes of a random number, a digest, a MAC and a key.
    pub const BLOCK: usize = 32;
    /// What stands before the firmware's digest and key under the device's signature.
    pub const FIRMWARE_HEADER: [u8; 2] = [0xC0, 0x01];
    /// Labels of the key derivation and of MACs. A zero byte follows each.
    pub const MASTER_SECRET: &[u8] = b"master secret";
    /// Of the session's keys.
    pub const APPLICATION_KEYS: &[u8] = b"application keys";
    /// Of the MAC over the claim, in the answer to ATTEST.
    pub const CONNECT: &[u8] = b"connect";
    /// Of the MAC in the answer to GET_INFO.
    pub const INFO: &[u8] = b"info";
    /// Of the MAC in the answer to CAPTURE.
    pub const SAMPLE: &[u8] = b"sample";
    /// Of the MAC in the answer to SELF_TEST.
    pub const SELF_TEST: &[u8] = b"self-test";
    /// Bytes of the request ATTEST: random number, public key.
    pub const REQUEST: usize = BLOCK + PUBLIC_KEY;
    /// Bytes of the claim: keys of model, device and firmware, digest of the firmware, signatures of model and device.
    pub const CLAIM: usize = 3 * PUBLIC_KEY + BLOCK + 2 * SIGNATURE;
    /// Bytes of the answer to ATTEST: random number, claim, MAC.
    pub const ANSWER: usize = BLOCK + CLAIM + BLOCK;
}

/// Bytes of the host's nonce in CAPTURE and SELF_TEST.
pub const NONCE: usize = 32;
/// Most wavelengths in one capture.
pub const MOST_WAVELENGTHS: usize = 4;
/// Bytes of CAPTURE's request without wavelengths: nonce, wait in ms (4), number of wavelengths (1).
pub const CAPTURE_HEADER: usize = NONCE + 4 + 1;
/// Bytes of FRAME_META before the digest (§4.5).
pub const META_FIELDS: usize = 29;
/// Bytes of FRAME_META.
pub const META: usize = META_FIELDS + 32;
/// Set in FRAME_META's flags when the picture was taken without light.
pub const META_DARK: u8 = 0x01;
/// Bytes before the data in FRAME_DATA: frame number (4), offset (4).
pub const DATA_HEADER: usize = 8;
