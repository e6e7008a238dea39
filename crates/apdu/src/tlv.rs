//! BER-TLV as cards use it (ISO/IEC 7816-4 §6.3): tags of one to three bytes, definite lengths of one to four bytes.
//!
//! Reading is strict: an indefinite length, a length that runs past its surroundings, bytes left over and nesting
//! deeper than [`MAX_DEPTH`] are errors, and no input makes it recurse or allocate beyond the input's size. Lengths
//! longer than necessary are accepted, as cards write files of fixed layout with them; what is written here is DER.
//!
//! The library for this, `iso7816-tlv` 0.4, recurses as deep as its input says, reads an indefinite length as zero, drops
//! what follows a mistake without a word, and writes a length of 127 in two bytes.

use std::fmt;

use zeroize::Zeroizing;

/// How deep data objects may be nested.
pub const MAX_DEPTH: usize = 8;

/// Why bytes are no BER-TLV, or data objects can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlvError {
    /// The bytes end inside a tag, a length or a value. The file was cut, or holds something else.
    #[error("the data ends inside a data object")]
    Truncated,
    /// Not a tag of one to three bytes, or one whose kind contradicts its use.
    #[error("{0:X} is no usable BER tag")]
    BadTag(u32),
    /// An indefinite length, or one of more than three bytes after the first.
    #[error("unusable length field starting with {0:02X}")]
    BadLength(u8),
    /// A value of 16 MiB or more, for which three bytes of length do not do.
    #[error("the value is too long for a data object")]
    TooLong,
    /// Nested deeper than [`MAX_DEPTH`]. No card does that; somebody is trying something.
    #[error("data objects nested too deep")]
    TooDeep,
}

/// A tag, as the big-endian number of its one to three bytes: `FF20` is `0xFF20_u16`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The bytes of the tag as a number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Does the value consist of data objects (bit 6 of the first byte)?
    #[must_use]
    pub const fn is_constructed(self) -> bool {
        let [_, a, b, c] = self.0.to_be_bytes();
        let first = match (a, b) {
            (0, 0) => c,
            (0, b) => b,
            (a, _) => a,
        };
        first & 0x20 != 0
    }

    /// Do a BER tag's bytes look like this? `00` is filler between data objects, not a tag.
    const fn is_well_formed(self) -> bool {
        match self.0.to_be_bytes() {
            [0, 0, 0, only] => only != 0 && only & 0x1F != 0x1F,
            [0, 0, first, last] => first & 0x1F == 0x1F && last & 0x80 == 0,
            [0, first, middle, last] => first & 0x1F == 0x1F && middle & 0x80 != 0 && last & 0x80 == 0,
            _ => false,
        }
    }

    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), TlvError> {
        let length = match *bytes {
            [first, ..] if first & 0x1F != 0x1F => 1,
            [_, second, ..] if second & 0x80 == 0 => 2,
            [_, _, _, ..] => 3,
            _ => return Err(TlvError::Truncated),
        };
        let (tag, rest) = bytes.split_at(length);
        let tag = Self(tag.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
        if tag.is_well_formed() { Ok((tag, rest)) } else { Err(TlvError::BadTag(tag.0)) }
    }

    fn write(self, out: &mut Vec<u8>) {
        let bytes = self.0.to_be_bytes();
        let leading = bytes.iter().take_while(|byte| **byte == 0).count();
        out.extend_from_slice(&bytes[leading..]);
    }
}

impl From<u8> for Tag {
    fn from(number: u8) -> Self {
        Self(number.into())
    }
}

impl From<u16> for Tag {
    fn from(number: u16) -> Self {
        Self(number.into())
    }
}

impl From<u32> for Tag {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// A data object: a tag and its value, which is wiped when dropped. Printing one shows tags and lengths only.
#[derive(Clone, PartialEq, Eq)]
pub struct Tlv {
    tag: Tag,
    value: Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Primitive(Zeroizing<Vec<u8>>),
    Constructed(Vec<Tlv>),
}

impl Tlv {
    /// A data object that holds bytes.
    #[must_use]
    pub fn primitive(tag: impl Into<Tag>, value: impl Into<Vec<u8>>) -> Self {
        Self { tag: tag.into(), value: Value::Primitive(Zeroizing::new(value.into())) }
    }

    /// A data object that holds data objects.
    #[must_use]
    pub fn constructed(tag: impl Into<Tag>, children: Vec<Tlv>) -> Self {
        Self { tag: tag.into(), value: Value::Constructed(children) }
    }

    /// Its tag.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The bytes that it holds; `None` if it holds data objects.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Primitive(bytes) => Some(bytes),
            Value::Constructed(_) => None,
        }
    }

    /// The data objects that it holds; none if it holds bytes.
    #[must_use]
    pub fn children(&self) -> &[Tlv] {
        match &self.value {
            Value::Primitive(_) => &[],
            Value::Constructed(children) => children,
        }
    }

    /// The first data object with this tag directly inside this one.
    #[must_use]
    pub fn find(&self, tag: impl Into<Tag>) -> Option<&Tlv> {
        find(self.children(), tag)
    }

    /// Reads one data object, and returns it with the bytes that follow it: many files are longer than what they hold.
    ///
    /// # Errors
    /// See [`TlvError`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), TlvError> {
        parse_at(bytes, 1)
    }

    /// The data object in bytes, with the shortest lengths (DER).
    ///
    /// # Errors
    /// [`TlvError::BadTag`] for a tag that is none or that does not go with its kind of value, [`TlvError::TooLong`]
    /// for a value of 16 MiB or more.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, TlvError> {
        let value = match &self.value {
            Value::Primitive(bytes) => bytes,
            Value::Constructed(children) => &encode_all(children)?,
        };
        if !self.tag.is_well_formed() || self.tag.is_constructed() != matches!(self.value, Value::Constructed(_)) {
            return Err(TlvError::BadTag(self.tag.0));
        }

        let mut out = Zeroizing::new(Vec::with_capacity(3 + 4 + value.len()));
        self.tag.write(&mut out);
        match (value.len() as u64).to_be_bytes() {
            [0, 0, 0, 0, 0, 0, 0, length @ 0..=0x7F] => out.push(length),
            [0, 0, 0, 0, 0, 0, 0, length] => out.extend_from_slice(&[0x81, length]),
            [0, 0, 0, 0, 0, 0, high, low] => out.extend_from_slice(&[0x82, high, low]),
            [0, 0, 0, 0, 0, high, middle, low] => out.extend_from_slice(&[0x83, high, middle, low]),
            _ => return Err(TlvError::TooLong),
        }
        out.extend_from_slice(value);
        Ok(out)
    }
}

/// Reads data objects until the bytes end.
///
/// # Errors
/// See [`TlvError`]; nothing is returned of what stood before the mistake.
pub fn parse_all(bytes: &[u8]) -> Result<Vec<Tlv>, TlvError> {
    parse_all_at(bytes, 1)
}

/// The first data object with this tag among `objects`.
#[must_use]
pub fn find(objects: &[Tlv], tag: impl Into<Tag>) -> Option<&Tlv> {
    let tag = tag.into();
    objects.iter().find(|object| object.tag == tag)
}

/// The data objects in bytes, one after the other.
///
/// # Errors
/// As [`Tlv::encode`].
pub fn encode_all(objects: &[Tlv]) -> Result<Zeroizing<Vec<u8>>, TlvError> {
    let encoded = objects.iter().map(Tlv::encode).collect::<Result<Vec<_>, _>>()?;
    // Sized once: a buffer that grows would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(encoded.iter().map(|object| object.len()).sum()));
    for object in &encoded {
        out.extend_from_slice(object);
    }
    Ok(out)
}

fn parse_all_at(mut bytes: &[u8], depth: usize) -> Result<Vec<Tlv>, TlvError> {
    let mut objects = Vec::new();
    while !bytes.is_empty() {
        let (object, rest) = parse_at(bytes, depth)?;
        objects.push(object);
        bytes = rest;
    }
    Ok(objects)
}

fn parse_at(bytes: &[u8], depth: usize) -> Result<(Tlv, &[u8]), TlvError> {
    if depth > MAX_DEPTH {
        return Err(TlvError::TooDeep);
    }
    let (tag, rest) = Tag::parse(bytes)?;
    let (length, rest) = parse_length(rest)?;
    let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Truncated)?;
    let tlv = if tag.is_constructed() {
        Tlv::constructed(tag, parse_all_at(value, depth + 1)?)
    } else {
        Tlv::primitive(tag, value)
    };
    Ok((tlv, rest))
}

fn parse_length(bytes: &[u8]) -> Result<(usize, &[u8]), TlvError> {
    let (&first, rest) = bytes.split_first().ok_or(TlvError::Truncated)?;
    let count = match first {
        0..=0x7F => return Ok((first.into(), rest)),
        0x81..=0x83 => usize::from(first & 0x7F),
        _ => return Err(TlvError::BadLength(first)),
    };
    let (length, rest) = rest.split_at_checked(count).ok_or(TlvError::Truncated)?;
    Ok((length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

impl fmt::Debug for Tlv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Primitive(bytes) => write!(f, "{} ({} bytes)", self.tag, bytes.len()),
            Value::Constructed(children) => {
                write!(f, "{} ", self.tag)?;
                f.debug_set().entries(children).finish()
            }
        }
    }
}
