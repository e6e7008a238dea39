//! InfoTypeAndValue (RFC 9810 §5.3.19): generalInfo of the header, and the content of genm and genp.

use der::Sequence;
use der::asn1::ObjectIdentifier;

use super::RawAny;

/// InfoTypeAndValue (RFC 9810 §5.3.19).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct InfoTypeAndValue {
    /// What the value means.
    pub info_type: ObjectIdentifier,
    /// The value; a question often has none.
    pub info_value: Option<RawAny>,
}
