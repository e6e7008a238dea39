//! DER values that are kept as bytes: never shown by `Debug`, wiped when dropped.

use std::fmt;

use der::asn1::AnyRef;
use der::{
    Choice, Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Length, Reader, Result, Tag, Tagged, Writer,
};
use zeroize::Zeroizing;

/// Bytes that are wiped and not shown.
type Bytes = Zeroizing<Vec<u8>>;

fn read<'a, R: Reader<'a>>(reader: &mut R, header: Header) -> Result<Bytes> {
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(header.length)?]);
    // `read_into` takes a slice of known length, so nothing is copied through a buffer that is not ours.
    reader.read_into(&mut bytes)?;
    Ok(bytes)
}

/// A SEQUENCE whose inside is of no concern to the message: a certificate, a public key.
#[derive(Clone, PartialEq, Eq)]
pub struct RawSequence(Bytes);

impl RawSequence {
    /// Takes the DER of one SEQUENCE.
    ///
    /// # Errors
    /// If `der` is anything else.
    pub fn new(der: &[u8]) -> Result<Self> {
        let any = AnyRef::from_der(der)?;
        any.tag().assert_eq(Tag::Sequence)?;
        Ok(Self(Zeroizing::new(any.value().to_vec())))
    }

    /// The SEQUENCE's DER.
    ///
    /// # Errors
    /// If it is too long for DER.
    pub fn der(&self) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.to_der()?))
    }
}

impl<'a> DecodeValue<'a> for RawSequence {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> Result<Self> {
        read(reader, header).map(Self)
    }
}

impl EncodeValue for RawSequence {
    fn value_len(&self) -> Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> Result<()> {
        writer.write(&self.0)
    }
}

impl FixedTag for RawSequence {
    const TAG: Tag = Tag::Sequence;
}

impl fmt::Debug for RawSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SEQUENCE ({} bytes)", self.0.len())
    }
}

/// An OCTET STRING that may hold personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct RawOctets(Bytes);

impl RawOctets {
    /// An OCTET STRING with this content.
    #[must_use]
    pub fn new(content: Zeroizing<Vec<u8>>) -> Self {
        Self(content)
    }

    /// Its content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> DecodeValue<'a> for RawOctets {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> Result<Self> {
        read(reader, header).map(Self)
    }
}

impl EncodeValue for RawOctets {
    fn value_len(&self) -> Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> Result<()> {
        writer.write(&self.0)
    }
}

impl FixedTag for RawOctets {
    const TAG: Tag = Tag::OctetString;
}

impl fmt::Debug for RawOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OCTET STRING ({} bytes)", self.0.len())
    }
}

/// Any value, with its tag.
#[derive(Clone, PartialEq, Eq)]
pub struct RawAny {
    tag: Tag,
    content: Bytes,
}

impl RawAny {
    /// Takes the DER of one value.
    ///
    /// # Errors
    /// If `der` is not one whole value.
    pub fn new(der: &[u8]) -> Result<Self> {
        Self::from_der(der)
    }

    /// The DER of `value`.
    ///
    /// # Errors
    /// If it can't be encoded.
    pub fn of(value: &impl Encode) -> Result<Self> {
        Self::new(&Zeroizing::new(value.to_der()?))
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read_as<'a, T: Choice<'a> + DecodeValue<'a>>(&'a self) -> Result<T> {
        AnyRef::new(self.tag, &self.content)?.decode_as()
    }
}

impl<'a> Decode<'a> for RawAny {
    fn decode<R: Reader<'a>>(reader: &mut R) -> Result<Self> {
        let header = Header::decode(reader)?;
        Ok(Self { tag: header.tag, content: read(reader, header)? })
    }
}

impl Choice<'_> for RawAny {
    fn can_decode(_: Tag) -> bool {
        true
    }
}

impl EncodeValue for RawAny {
    fn value_len(&self) -> Result<Length> {
        self.content.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> Result<()> {
        writer.write(&self.content)
    }
}

impl Tagged for RawAny {
    fn tag(&self) -> Tag {
        self.tag
    }
}

impl fmt::Debug for RawAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.tag, self.content.len())
    }
}
