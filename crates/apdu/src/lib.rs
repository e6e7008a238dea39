//! ISO/IEC 7816-4 as bytes: [`CommandApdu`] and [`ResponseApdu`], their [`StatusWord`]s, and BER-[`tlv`].
//!
//! Everything here is pure: bytes in, bytes out. Buffers that leave this crate are wiped when dropped, because a command
//! may carry a PIN and an answer a resident's name; `Debug` and `Display` show headers and lengths, never data.
//!
//! ```
//! use apdu::{CommandApdu, Encoding, ResponseApdu};
//!
//! let select = CommandApdu::new(0x00, 0xA4, 0x04, 0x0C).with_data([0xD3, 0x92, 0xF0, 0x00, 0x26]);
//! assert_eq!(*select.to_bytes(Encoding::Short)?, [0x00, 0xA4, 0x04, 0x0C, 5, 0xD3, 0x92, 0xF0, 0x00, 0x26]);
//!
//! let answer = ResponseApdu::parse(&[0x63, 0xC2])?;
//! assert_eq!(answer.status.tries_left(), Some(2));
//! # Ok::<(), apdu::ApduError>(())
//! ```

mod command;
mod response;
mod status;
pub mod tlv;

pub use command::{CommandApdu, Data, Encoding};
pub use response::ResponseApdu;
pub use status::StatusWord;

/// Why bytes are no APDU, or an APDU can't be put into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApduError {
    /// Shorter than a header (4 bytes) or a status word (2 bytes). The line was cut, or these bytes are no APDU.
    #[error("too short for an APDU: {length} bytes")]
    Truncated {
        /// How many bytes there were.
        length: usize,
    },
    /// The length field contradicts the number of bytes that follow. The command was cut, or glued to another.
    #[error("the length field of the command does not fit its {length} bytes")]
    InconsistentLength {
        /// Length of the whole command in bytes.
        length: usize,
    },
    /// More data than this encoding can carry. Use extended length, or command chaining.
    #[error("{length} bytes of data in one APDU, at most {max} can be encoded")]
    DataTooLong {
        /// Length of the data in bytes.
        length: usize,
        /// What the encoding carries.
        max: usize,
    },
    /// A longer answer is asked for than this encoding can say, or one of no length at all.
    #[error("an expected length of {le} bytes can't be encoded, only 1 to {max}")]
    LeOutOfRange {
        /// The expected length asked for.
        le: u32,
        /// What the encoding can say.
        max: u32,
    },
}
