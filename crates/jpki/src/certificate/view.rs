//! A certificate field by field.
//!
//! Read without an X.509 library's owned tree: that would leave copies of the holder's data in memory that nobody wipes. Here personal
//! items are read in place and copied once, into texts that are wiped when dropped. Parts that say nothing about the holder use
//! `x509-cert`.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_AD_OCSP, ID_PE_AUTHORITY_INFO_ACCESS};
use const_oid::db::rfc5912::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_EXT_KEY_USAGE, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_QT_CPS,
};
use der::asn1::{AnyRef, BitStringRef, ContextSpecific, Ia5StringRef, OctetStringRef, UintRef, Utf8StringRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, TagNumber, Tagged};
use jiff::Timestamp;
use jiff::civil::Date;
use spki::AlgorithmIdentifierRef;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage,
};
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

use super::CertificateField as Field;
use super::name::DistinguishedName;
use crate::card::MAX_CERTIFICATE;
use crate::era;
use crate::oid;
use crate::resident::{CertificateText, Sex};

/// A certificate's fields. What it says about its holder is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// シリアル番号, big-endian without leading zeros.
    pub serial: Zeroizing<Vec<u8>>,
    /// Algorithm of the signature.
    pub signature_algorithm: ObjectIdentifier,
    /// 発行者.
    pub issuer: DistinguishedName,
    /// 発行年月日, to the second.
    pub not_before: Timestamp,
    /// 有効期間の満了日, to the second.
    pub not_after: Timestamp,
    /// Subject; its CN tells when and at which window the certificate was asked for, not by whom.
    pub subject: DistinguishedName,
    /// 公開鍵, SubjectPublicKeyInfo as DER.
    pub spki: Zeroizing<Vec<u8>>,
    /// Headers of all extensions, in their order.
    pub extensions: Vec<ExtensionHeader>,
    /// keyUsage.
    pub key_usage: Option<KeyUsage>,
    /// extKeyUsage; empty if the extension is missing.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// What the subjectAltName says about the holder; signing certificates only.
    pub person: Option<Person>,
    /// certificatePolicies.
    pub policies: Vec<Policy>,
    /// issuerAltName.
    pub issuer_alt_name: Option<DistinguishedName>,
    /// cRLDistributionPoints: the name of the one point.
    pub crl_distribution_point: Option<DistinguishedName>,
    /// authorityInfoAccess: where OCSP is asked.
    pub ocsp_uri: Option<String>,
    /// authorityKeyIdentifier.
    pub authority_key: Option<AuthorityKey>,
    /// subjectKeyIdentifier.
    pub subject_key_id: Option<Zeroizing<Vec<u8>>>,
    /// basicConstraints: a certification authority's certificate.
    pub is_authority: bool,
}

/// The holder, as a signing certificate describes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// 氏名.
    pub name: CertificateText,
    /// 通称.
    pub alias: Option<CertificateText>,
    /// 住所.
    pub address: CertificateText,
    /// 生年月日.
    pub birth: Date,
    /// 性別.
    pub sex: Sex,
}

/// An extension without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionHeader {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Is it critical?
    pub is_critical: bool,
}

/// A certificate policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its identifier.
    pub oid: ObjectIdentifier,
    /// Where the practice statement is.
    pub cps_uri: Option<String>,
}

/// The authority's key, by all three fields of the authorityKeyIdentifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityKey {
    /// keyIdentifier.
    pub id: Option<Vec<u8>>,
    /// authorityCertIssuer.
    pub issuer: Option<DistinguishedName>,
    /// authorityCertSerialNumber, big-endian without leading zeros.
    pub serial: Option<Vec<u8>>,
}

/// Why bytes could not be read as a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not DER, cut off, or followed by something else. Often an empty card file, filled with zeros or FF.
    #[error("not a certificate in DER")]
    NotDer,
    /// Longer than a card stores.
    #[error("longer than the {MAX_CERTIFICATE} bytes that a card stores")]
    TooLong,
    /// The frame is DER, but this field is not what its standard says.
    #[error("{0} can't be read")]
    Field(Field),
}

impl CertificateView {
    /// Reads a certificate. Extensions that it doesn't know are listed by their headers only.
    ///
    /// # Errors
    /// [`CertificateError`]; never panics, whatever the bytes.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        Ok(SignedCertificate::parse(der)?.view)
    }
}

impl fmt::Debug for CertificateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateView").finish_non_exhaustive()
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

/// A certificate with what is needed to verify it.
pub(super) struct SignedCertificate<'a> {
    pub(super) view: CertificateView,
    /// What was signed, as DER.
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> SignedCertificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLong);
        }
        let (signed, algorithm, signature) = frame(der).map_err(|_| CertificateError::NotDer)?;
        let tbs = TbsCertificate::from_der(signed).map_err(|_| CertificateError::NotDer)?;
        let view = read(&tbs)?;
        if tbs.signature != algorithm {
            return Err(CertificateError::Field(Field::SignatureAlgorithm));
        }
        let signature = signature.as_bytes().ok_or(CertificateError::Field(Field::Signature))?;
        Ok(Self { view, signed, signature })
    }
}

fn frame(der: &[u8]) -> der::Result<(&[u8], AlgorithmIdentifierRef<'_>, BitStringRef<'_>)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|reader| {
        Ok((reader.tlv_bytes()?, AlgorithmIdentifierRef::decode(reader)?, BitStringRef::decode(reader)?))
    })?;
    reader.finish(parts)
}

/// TBSCertificate (RFC 5280 §4.1), names and extensions unread.
#[derive(Sequence)]
struct TbsCertificate<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial_number: UintRef<'a>,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension<'a>>>,
}

#[derive(Sequence)]
struct Extension<'a> {
    oid: ObjectIdentifier,
    #[asn1(default = "bool::default")]
    is_critical: bool,
    value: OctetStringRef<'a>,
}

fn read(tbs: &TbsCertificate<'_>) -> Result<CertificateView, CertificateError> {
    // v3 is 2 (RFC 5280 §4.1.2.1).
    if tbs.version != Some(2) {
        return Err(CertificateError::Field(Field::Version));
    }
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    let headers: Vec<_> =
        extensions.iter().map(|e| ExtensionHeader { oid: e.oid, is_critical: e.is_critical }).collect();
    let is_twice = |(index, header): (usize, &ExtensionHeader)| headers[..index].iter().any(|h| h.oid == header.oid);
    if headers.iter().enumerate().any(is_twice) {
        return Err(CertificateError::Field(Field::Extensions));
    }
    let mut view = CertificateView {
        serial: Zeroizing::new(tbs.serial_number.as_bytes().to_vec()),
        signature_algorithm: tbs.signature.oid,
        issuer: read_name(tbs.issuer, Field::Issuer)?,
        not_before: timestamp(tbs.validity.not_before, Field::NotBefore)?,
        not_after: timestamp(tbs.validity.not_after, Field::NotAfter)?,
        subject: read_name(tbs.subject, Field::Subject)?,
        spki: Zeroizing::new(tbs.public_key.to_der().map_err(|_| CertificateError::Field(Field::PublicKey))?),
        extensions: headers,
        key_usage: None,
        extended_key_usage: Vec::new(),
        person: None,
        policies: Vec::new(),
        issuer_alt_name: None,
        crl_distribution_point: None,
        ocsp_uri: None,
        authority_key: None,
        subject_key_id: None,
        is_authority: false,
    };
    for extension in extensions {
        read_extension(&mut view, extension.oid, extension.value.as_bytes())?;
    }
    Ok(view)
}

fn read_extension(view: &mut CertificateView, oid: ObjectIdentifier, value: &[u8]) -> Result<(), CertificateError> {
    match oid {
        ID_CE_KEY_USAGE => view.key_usage = Some(decode(value, Field::KeyUsage)?),
        ID_CE_EXT_KEY_USAGE => {
            view.extended_key_usage = decode::<ExtendedKeyUsage>(value, Field::ExtendedKeyUsage)?.0;
        }
        ID_CE_SUBJECT_ALT_NAME => view.person = read_person(value)?,
        ID_CE_CERTIFICATE_POLICIES => view.policies = read_policies(value)?,
        ID_CE_ISSUER_ALT_NAME => view.issuer_alt_name = Some(read_directory_name(value, Field::IssuerAltName)?),
        ID_CE_CRL_DISTRIBUTION_POINTS => view.crl_distribution_point = Some(read_distribution_point(value)?),
        ID_PE_AUTHORITY_INFO_ACCESS => view.ocsp_uri = Some(read_ocsp_uri(value)?),
        ID_CE_AUTHORITY_KEY_IDENTIFIER => view.authority_key = Some(read_authority_key(value)?),
        ID_CE_SUBJECT_KEY_IDENTIFIER => {
            let id =
                OctetStringRef::from_der(value).map_err(|_| CertificateError::Field(Field::SubjectKeyIdentifier))?;
            view.subject_key_id = Some(Zeroizing::new(id.as_bytes().to_vec()));
        }
        ID_CE_BASIC_CONSTRAINTS => {
            view.is_authority = decode::<BasicConstraints>(value, Field::BasicConstraints)?.ca;
        }
        _ => {}
    }
    Ok(())
}

/// The otherNames of the subjectAltName. `None` if there are none at all, as in an authority's certificate.
fn read_person(value: &[u8]) -> Result<Option<Person>, CertificateError> {
    let mut texts = OtherNames::read(value).map_err(|_| CertificateError::Field(Field::SubjectAltName))?;
    if texts.0.is_empty() {
        return Ok(None);
    }
    let name = texts.take(oid::NAME, Field::Name)?;
    let address = texts.take(oid::ADDRESS, Field::Address)?;
    let alias = texts.take_optional(oid::ALIAS);
    let alias_substituted = texts.take_optional(oid::ALIAS_SUBSTITUTED);
    let person = Person {
        name: certificate_text(name, texts.take_optional(oid::NAME_SUBSTITUTED), Field::NameSubstituted)?,
        alias: match (alias, alias_substituted) {
            (Some(alias), substituted) => Some(certificate_text(alias, substituted, Field::AliasSubstituted)?),
            (None, None) => None,
            (None, Some(_)) => return Err(CertificateError::Field(Field::Alias)),
        },
        address: certificate_text(address, texts.take_optional(oid::ADDRESS_SUBSTITUTED), Field::AddressSubstituted)?,
        birth: era::parse_birth_code(texts.take(oid::BIRTH, Field::Birth)?)
            .ok_or(CertificateError::Field(Field::Birth))?,
        sex: Sex::from_code(texts.take(oid::SEX, Field::Sex)?).ok_or(CertificateError::Field(Field::Sex))?,
    };
    // An item that nobody knows is an item too many.
    if texts.0.is_empty() { Ok(Some(person)) } else { Err(CertificateError::Field(Field::SubjectAltName)) }
}

/// A text with its positions of 代替文字: one digit 0 or 1 for each character.
fn certificate_text(text: &str, substituted: Option<&str>, field: Field) -> Result<CertificateText, CertificateError> {
    let substituted = substituted.ok_or(CertificateError::Field(field))?;
    let is_binary = substituted.bytes().all(|digit| matches!(digit, b'0' | b'1'));
    if !is_binary || substituted.len() != text.chars().count() {
        return Err(CertificateError::Field(field));
    }
    Ok(CertificateText { text: text.to_owned(), substituted: substituted.to_owned() })
}

/// otherNames with UTF8String values, read in place.
struct OtherNames<'a>(Vec<(ObjectIdentifier, &'a str)>);

impl<'a> OtherNames<'a> {
    /// Names of other kinds than otherName must not stand beside them; one such name alone is an authority's own.
    fn read(value: &'a [u8]) -> der::Result<Self> {
        let names = Vec::<AnyRef<'a>>::from_der(value)?;
        let other_name = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };
        if names.iter().all(|name| name.tag() != other_name) {
            return Ok(Self(Vec::new()));
        }
        let names = names.iter().map(|name| {
            name.tag().assert_eq(other_name)?;
            let mut reader = SliceReader::new(name.value())?;
            let oid = ObjectIdentifier::decode(&mut reader)?;
            let text = ContextSpecific::<Utf8StringRef<'a>>::decode_explicit(&mut reader, TagNumber::N0)?;
            let text = text.ok_or_else(|| Tag::Utf8String.value_error())?;
            reader.finish((oid, text.value.as_str()))
        });
        names.collect::<der::Result<_>>().map(Self)
    }

    /// The text of a type, which must be there. A second one of the type is left, and so found to be too many.
    fn take(&mut self, oid: &str, field: Field) -> Result<&'a str, CertificateError> {
        self.take_optional(oid).ok_or(CertificateError::Field(field))
    }

    fn take_optional(&mut self, oid: &str) -> Option<&'a str> {
        let oid = ObjectIdentifier::new(oid).ok()?;
        let index = self.0.iter().position(|(known, _)| *known == oid)?;
        Some(self.0.remove(index).1)
    }
}

fn read_policies(value: &[u8]) -> Result<Vec<Policy>, CertificateError> {
    let field = Field::CertificatePolicies;
    let policies = decode::<CertificatePolicies>(value, field)?.0;
    let policies = policies.iter().map(|policy| {
        let qualifiers = policy.policy_qualifiers.as_deref().unwrap_or_default();
        let cps = qualifiers.iter().find(|qualifier| qualifier.policy_qualifier_id == ID_QT_CPS);
        let cps_uri = match cps.map(|cps| cps.qualifier.as_ref()) {
            None => None,
            Some(None) => return Err(CertificateError::Field(field)),
            Some(Some(uri)) => {
                let uri = uri.decode_as::<Ia5StringRef<'_>>().map_err(|_| CertificateError::Field(field))?;
                Some(uri.as_str().to_owned())
            }
        };
        Ok(Policy { oid: policy.policy_identifier, cps_uri })
    });
    policies.collect()
}

fn read_distribution_point(value: &[u8]) -> Result<DistinguishedName, CertificateError> {
    let field = Field::CrlDistributionPoints;
    match decode::<CrlDistributionPoints>(value, field)?.0.as_slice() {
        [
            DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(names)),
                reasons: None,
                crl_issuer: None,
            },
        ] => directory_name(names, field),
        _ => Err(CertificateError::Field(field)),
    }
}

fn read_ocsp_uri(value: &[u8]) -> Result<String, CertificateError> {
    let field = Field::AuthorityInfoAccess;
    match decode::<AuthorityInfoAccessSyntax>(value, field)?.0.as_slice() {
        [access] if access.access_method == ID_AD_OCSP => match &access.access_location {
            GeneralName::UniformResourceIdentifier(uri) => Ok(uri.as_str().to_owned()),
            _ => Err(CertificateError::Field(field)),
        },
        _ => Err(CertificateError::Field(field)),
    }
}

fn read_authority_key(value: &[u8]) -> Result<AuthorityKey, CertificateError> {
    let field = Field::AuthorityKeyIdentifier;
    let key = decode::<AuthorityKeyIdentifier>(value, field)?;
    let issuer = key.authority_cert_issuer.map(|names| directory_name(&names, field)).transpose()?;
    let serial = key.authority_cert_serial_number;
    Ok(AuthorityKey {
        id: key.key_identifier.map(der::asn1::OctetString::into_bytes),
        issuer,
        serial: serial.map(|serial| serial.as_bytes().iter().copied().skip_while(|byte| *byte == 0).collect()),
    })
}

fn read_directory_name(value: &[u8], field: Field) -> Result<DistinguishedName, CertificateError> {
    directory_name(&decode::<GeneralNames>(value, field)?, field)
}

/// The only name, a directoryName.
fn directory_name(names: &[GeneralName], field: Field) -> Result<DistinguishedName, CertificateError> {
    let name = match names {
        [GeneralName::DirectoryName(name)] => name.to_der().ok().and_then(|der| DistinguishedName::from_der(&der)),
        _ => None,
    };
    name.ok_or(CertificateError::Field(field))
}

fn read_name(name: AnyRef<'_>, field: Field) -> Result<DistinguishedName, CertificateError> {
    let der = name.to_der().ok();
    der.and_then(|der| DistinguishedName::from_der(&der)).ok_or(CertificateError::Field(field))
}

fn timestamp(time: Time, field: Field) -> Result<Timestamp, CertificateError> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(CertificateError::Field(field))
}

fn decode<T: for<'a> Decode<'a>>(value: &[u8], field: Field) -> Result<T, CertificateError> {
    T::from_der(value).map_err(|_| CertificateError::Field(field))
}
