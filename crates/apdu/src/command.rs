use std::fmt;

use zeroize::Zeroizing;

use crate::ApduError;

/// The longest data field of a short command, in bytes (ISO/IEC 7816-4 §5.1).
const MAX_SHORT_LC: usize = 0xFF;
/// The longest data field of an extended command, in bytes.
const MAX_EXTENDED_LC: usize = 0xFFFF;
/// The longest answer that a short command can ask for, in bytes.
const MAX_SHORT_LE: u32 = 0x100;
/// The longest answer that an extended command can ask for, in bytes.
const MAX_EXTENDED_LE: u32 = 0x1_0000;
/// CLA bit 5: this command is not the last of its chain (ISO/IEC 7816-4 §5.1.1.1).
const CHAINING: u8 = 0x10;

/// How the length fields of a command are encoded (ISO/IEC 7816-4 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// One byte each: at most 255 bytes of data, 256 bytes of answer.
    Short,
    /// Two or three bytes: at most 65,535 bytes of data, 65,536 bytes of answer. Both card and reader must be able to.
    Extended,
}

impl Encoding {
    const fn limits(self) -> (usize, u32) {
        match self {
            Self::Short => (MAX_SHORT_LC, MAX_SHORT_LE),
            Self::Extended => (MAX_EXTENDED_LC, MAX_EXTENDED_LE),
        }
    }
}

/// The data of a command. Two values are equal if their bytes are, whatever their kind.
#[derive(Clone)]
pub enum Data {
    /// Data that may stay in memory.
    Plain(Vec<u8>),
    /// A PIN, a key, personal data: wiped when dropped.
    Sensitive(Zeroizing<Vec<u8>>),
}

impl Data {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Sensitive(bytes) => bytes,
        }
    }

    /// Some of the bytes, no less protected than the whole.
    fn block(&self, bytes: &[u8]) -> Self {
        match self {
            Self::Plain(_) => Self::Plain(bytes.to_vec()),
            Self::Sensitive(_) => Self::Sensitive(Zeroizing::new(bytes.to_vec())),
        }
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Plain(_) => "plain",
            Self::Sensitive(_) => "sensitive",
        };
        write!(f, "{} bytes, {kind}", self.as_bytes().len())
    }
}

/// A command to a card (ISO/IEC 7816-4 §5.1): header, data, and the length of answer that is expected.
///
/// Printing one shows `CLA INS P1 P2 Lc Le` and nothing of the data.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandApdu {
    cla: u8,
    ins: u8,
    p1: u8,
    p2: u8,
    data: Data,
    le: Option<u32>,
}

impl CommandApdu {
    /// A command without data that expects no answer but a status word.
    #[must_use]
    pub const fn new(cla: u8, ins: u8, p1: u8, p2: u8) -> Self {
        Self { cla, ins, p1, p2, data: Data::Plain(Vec::new()), le: None }
    }

    /// The same command with this data. Empty data is no data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Data::Plain(data.into());
        self
    }

    /// The same command with this data, which is wiped when the command is dropped.
    #[must_use]
    pub fn with_sensitive(mut self, data: Zeroizing<Vec<u8>>) -> Self {
        self.data = Data::Sensitive(data);
        self
    }

    /// The same command, expecting at most `le` bytes of answer, 1 to 65,536. A short command can ask for 256 at most;
    /// 256 and 65,536 are encoded as zero, which a card reads as "all there is".
    #[must_use]
    pub const fn with_le(mut self, le: u32) -> Self {
        self.le = Some(le);
        self
    }

    /// Class byte.
    #[must_use]
    pub const fn cla(&self) -> u8 {
        self.cla
    }

    /// Instruction byte.
    #[must_use]
    pub const fn ins(&self) -> u8 {
        self.ins
    }

    /// First parameter.
    #[must_use]
    pub const fn p1(&self) -> u8 {
        self.p1
    }

    /// Second parameter.
    #[must_use]
    pub const fn p2(&self) -> u8 {
        self.p2
    }

    /// The data; empty if there is none.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.data.as_bytes()
    }

    /// The longest answer that is expected, in bytes. `None`: the status word only.
    #[must_use]
    pub const fn le(&self) -> Option<u32> {
        self.le
    }

    /// Is this a command of a chain that goes on?
    #[must_use]
    pub const fn is_chained(&self) -> bool {
        self.cla & CHAINING != 0
    }

    /// The shortest encoding that can say this command. Data of more than 65,535 bytes fits neither.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        if self.data().len() <= MAX_SHORT_LC && self.le.is_none_or(|le| le <= MAX_SHORT_LE) {
            Encoding::Short
        } else {
            Encoding::Extended
        }
    }

    /// The command as it goes over the line.
    ///
    /// # Errors
    /// [`ApduError::DataTooLong`] or [`ApduError::LeOutOfRange`] if `encoding` can't say it.
    pub fn to_bytes(&self, encoding: Encoding) -> Result<Zeroizing<Vec<u8>>, ApduError> {
        let data = self.data();
        let (max_lc, max_le) = encoding.limits();
        if data.len() > max_lc {
            return Err(ApduError::DataTooLong { length: data.len(), max: max_lc });
        }
        if let Some(le) = self.le
            && !(1..=max_le).contains(&le)
        {
            return Err(ApduError::LeOutOfRange { le, max: max_le });
        }

        // Sized once: a buffer that grows would leave a copy of the data behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 3 + data.len() + 3));
        bytes.extend_from_slice(&[self.cla, self.ins, self.p1, self.p2]);
        let lc = data.len().to_be_bytes();
        let [_, _, le_high, le_low] = self.le.unwrap_or_default().to_be_bytes();
        match encoding {
            Encoding::Short => {
                if !data.is_empty() {
                    bytes.push(lc[lc.len() - 1]);
                    bytes.extend_from_slice(data);
                }
                if self.le.is_some() {
                    bytes.push(le_low);
                }
            }
            Encoding::Extended => {
                if !data.is_empty() || self.le.is_some() {
                    bytes.push(0);
                }
                if !data.is_empty() {
                    bytes.extend_from_slice(&lc[lc.len() - 2..]);
                    bytes.extend_from_slice(data);
                }
                if self.le.is_some() {
                    bytes.extend_from_slice(&[le_high, le_low]);
                }
            }
        }
        Ok(bytes)
    }

    /// Reads a command in any of the seven forms of ISO/IEC 7816-4 §5.1, short or extended. Its data counts as
    /// sensitive: whoever receives a command can't know.
    ///
    /// # Errors
    /// [`ApduError::Truncated`] or [`ApduError::InconsistentLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ApduError> {
        Self::parse_encoded(bytes).map(|(command, _)| command)
    }

    /// As [`CommandApdu::parse`], and says which encoding was used: a secure channel authenticates the length field as
    /// it was encoded. A bare header counts as short.
    ///
    /// # Errors
    /// [`ApduError::Truncated`] or [`ApduError::InconsistentLength`].
    pub fn parse_encoded(bytes: &[u8]) -> Result<(Self, Encoding), ApduError> {
        let Some((&[cla, ins, p1, p2], body)) = bytes.split_first_chunk::<4>() else {
            return Err(ApduError::Truncated { length: bytes.len() });
        };
        let command = Self::new(cla, ins, p1, p2);
        let with = |data: &[u8]| command.clone().with_sensitive(Zeroizing::new(data.to_vec()));
        let short_le = |le: u8| if le == 0 { MAX_SHORT_LE } else { u32::from(le) };
        let extended_le = |le: [u8; 2]| match u16::from_be_bytes(le) {
            0 => MAX_EXTENDED_LE,
            le => u32::from(le),
        };

        match *body {
            [] => Ok((command, Encoding::Short)),
            [le] => Ok((command.with_le(short_le(le)), Encoding::Short)),
            [0, high, low] => Ok((command.with_le(extended_le([high, low])), Encoding::Extended)),
            [0, high, low, ref rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([high, low]));
                match rest.split_at_checked(lc) {
                    Some((data @ [_, ..], [])) => Ok((with(data), Encoding::Extended)),
                    Some((data @ [_, ..], &[high, low])) => {
                        Ok((with(data).with_le(extended_le([high, low])), Encoding::Extended))
                    }
                    _ => Err(ApduError::InconsistentLength { length: bytes.len() }),
                }
            }
            [lc, ref rest @ ..] => match rest.split_at_checked(usize::from(lc)) {
                Some((data @ [_, ..], [])) => Ok((with(data), Encoding::Short)),
                Some((data @ [_, ..], &[le])) => Ok((with(data).with_le(short_le(le)), Encoding::Short)),
                _ => Err(ApduError::InconsistentLength { length: bytes.len() }),
            },
        }
    }

    /// The command as a chain of commands with at most `max_block` bytes of data each (ISO/IEC 7816-4 §5.1.1.1): all
    /// but the last are marked as not the last, and only the last expects an answer. A `max_block` of 0 counts as 1.
    #[must_use]
    pub fn chain(&self, max_block: usize) -> Vec<Self> {
        let blocks: Vec<&[u8]> = self.data().chunks(max_block.max(1)).collect();
        let Some((last, before)) = blocks.split_last() else { return vec![self.clone()] };
        let mut chain: Vec<Self> = before
            .iter()
            .map(|block| Self { cla: self.cla | CHAINING, data: self.data.block(block), le: None, ..*self })
            .collect();
        chain.push(Self { data: self.data.block(last), ..*self });
        chain
    }
}

impl fmt::Display for CommandApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cla, ins, p1, p2, .. } = self;
        write!(f, "{cla:02X} {ins:02X} {p1:02X} {p2:02X}")?;
        if !self.data().is_empty() {
            write!(f, " Lc {}", self.data().len())?;
        }
        if let Some(le) = self.le {
            write!(f, " Le {le}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CommandApdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandApdu({self})")
    }
}
