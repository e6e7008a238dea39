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
    /// Takes a picture.
    pub const CAPTURE: u8 = 0x10;
    /// A piece of the picture.
    pub const FRAME_DATA: u8 = 0x11;
    /// Ends a capture, and wipes the picture. Has no answer.
    pub const CANCEL: u8 = 0x12;
    /// Sensor to host only: still at it.
    pub const KEEPALIVE: u8 = 0x3B;
    /// Sensor to host only: refused.
    pub const ERROR: u8 = 0x3F;
}

/// Codes of ERROR (§5).
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
    /// The sensor's hardware failed.
    pub const HARDWARE: u8 = 0x7F;
}

/// First byte of an answer to CAPTURE (§4.3).
pub mod outcome {
    /// A picture; FRAME_META follows.
    pub const IMAGE: u8 = 0x00;
    /// No picture; the reason follows.
    pub const RETRY: u8 = 0x01;
}

/// States of a hand in KEEPALIVE, and reasons in a CAPTURE that gave no picture (§4.3).
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

/// Bytes of the host's nonce in CAPTURE.
pub const NONCE: usize = 32;
/// Bytes of FRAME_META before the digest (§4.4).
pub const META_FIELDS: usize = 61;
/// Bytes of FRAME_META.
pub const META: usize = META_FIELDS + 32;
/// Set in FRAME_META's flags when the picture was taken without light.
pub const META_DARK: u8 = 0x01;
/// Bytes before the data in FRAME_DATA: frame number (4), offset (4).
pub const DATA_HEADER: usize = 8;
