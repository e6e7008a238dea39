//! Distinguished names with their string types, which are part of a JPKI name's form.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{C, CN, L, O, OU};
use der::Tag;
use der::asn1::{AnyRef, PrintableStringRef, SetOf, Utf8StringRef};
use der::{Decode, Sequence};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A name with one attribute in each RDN, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(pub Vec<NameAttribute>);

/// An attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NameAttribute {
    /// Its type.
    #[zeroize(skip)]
    pub oid: ObjectIdentifier,
    /// True for a PrintableString, false for a UTF8String.
    pub is_printable: bool,
    /// Its value.
    pub value: String,
}

impl DistinguishedName {
    /// A name as JPKI writes it: the country as PrintableString, then UTF8Strings.
    pub(crate) fn jpki(country: &str, others: &[(ObjectIdentifier, &str)]) -> Self {
        let country = NameAttribute { oid: C, is_printable: true, value: country.to_owned() };
        let others = others.iter().map(|(oid, value)| NameAttribute {
            oid: *oid,
            is_printable: false,
            value: (*value).to_owned(),
        });
        Self(std::iter::once(country).chain(others).collect())
    }

    /// Reads a Name (RFC 5280 §4.1.2.4); `None` for anything but one PrintableString or UTF8String in each RDN.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let rdns = Vec::<SetOf<TypeAndValue<'_>, 1>>::from_der(der).ok()?;
        let attributes = rdns.iter().map(|rdn| {
            let attribute = rdn.get(0)?;
            let (is_printable, value) = match der::Tagged::tag(&attribute.value) {
                Tag::PrintableString => (true, attribute.value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str()),
                Tag::Utf8String => (false, attribute.value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str()),
                _ => return None,
            };
            Some(NameAttribute { oid: attribute.oid, is_printable, value: value.to_owned() })
        });
        attributes.collect::<Option<Vec<_>>>().map(Self)
    }

    /// The value of the only attribute of that type; `None` if there is none or more than one.
    #[must_use]
    pub fn get(&self, oid: ObjectIdentifier) -> Option<&str> {
        let mut found = self.0.iter().filter(|attribute| attribute.oid == oid);
        found.next().filter(|_| found.next().is_none()).map(|attribute| attribute.value.as_str())
    }
}

/// `C=JP, O=JPKI, …`, in the order of the certificate.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let value = &attribute.value;
            match short_name(attribute.oid) {
                Some(name) => write!(f, "{separator}{name}={value}")?,
                None => write!(f, "{separator}{}={value}", attribute.oid)?,
            }
        }
        Ok(())
    }
}

fn short_name(oid: ObjectIdentifier) -> Option<&'static str> {
    [(C, "C"), (O, "O"), (OU, "OU"), (L, "L"), (CN, "CN")].into_iter().find(|(known, _)| *known == oid).map(|(_, n)| n)
}

#[derive(Clone, Sequence, der::ValueOrd)]
struct TypeAndValue<'a> {
    oid: ObjectIdentifier,
    value: AnyRef<'a>,
}
