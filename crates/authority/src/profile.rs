//! Names in certificates, made from the profile that says what they are: data, not code.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::Tag;
use der::asn1::{Any, SetOfVec};
use jpki::{CertificateKind, CertificateProfile, Municipality};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// The names that certificates carry, by a profile.
#[derive(Clone)]
pub(crate) struct Names(pub(crate) CertificateProfile);

impl Names {
    /// The distinguished name of a certification authority. All its generations share it.
    pub(crate) fn authority(&self, kind: CertificateKind) -> der::Result<Name> {
        let unit = &self.0.of_kind(kind).unit;
        self.name([(rfc4519::O, &*self.0.organization), (rfc4519::OU, unit), (rfc4519::OU, &self.0.agency)])
    }

    /// Its name in Japanese: issuerAltName of what it issues, subjectAltName of its own certificate.
    pub(crate) fn authority_alternative(&self, kind: CertificateKind) -> der::Result<Name> {
        let unit = &self.0.of_kind(kind).unit_ja;
        self.name([(rfc4519::O, &*self.0.organization_ja), (rfc4519::OU, unit), (rfc4519::OU, &self.0.agency_ja)])
    }

    /// The distribution point of a municipality's part of the CRL.
    pub(crate) fn distribution_point(&self, kind: CertificateKind, municipality: &Municipality) -> der::Result<Name> {
        self.name([
            (rfc4519::O, &*self.0.organization),
            (rfc4519::OU, &self.0.of_kind(kind).unit),
            (rfc4519::OU, &self.0.crl_unit),
            (rfc4519::OU, &municipality.prefecture),
            (rfc4519::CN, &format!("{}{}", municipality.city, self.0.crl_name_suffix)),
        ])
    }

    /// Subject of a signing certificate.
    pub(crate) fn signature_holder(&self, municipality: &Municipality, common_name: &str) -> der::Result<Name> {
        let Municipality { prefecture, city, .. } = municipality;
        self.name([(rfc4519::L, &**prefecture), (rfc4519::L, city), (rfc4519::CN, common_name)])
    }

    /// Subject of an authentication certificate.
    pub(crate) fn authentication_holder(&self, common_name: &str) -> der::Result<Name> {
        self.name([(rfc4519::CN, common_name)])
    }

    /// The delegated OCSP responder of an authority.
    pub(crate) fn responder(&self, kind: CertificateKind) -> der::Result<Name> {
        let unit = &self.0.of_kind(kind).unit;
        self.name([(rfc4519::O, &*self.0.organization), (rfc4519::OU, unit), (rfc4519::CN, "OCSP Responder")])
    }

    /// A certificate of the infrastructure authority: its own, a service's, a terminal's.
    pub(crate) fn infrastructure(&self, common_name: &str) -> der::Result<Name> {
        let organization = &*self.0.organization;
        self.name([(rfc4519::O, organization), (rfc4519::OU, "Infrastructure"), (rfc4519::CN, common_name)])
    }

    /// The country, a PrintableString, then the given attributes, UTF8Strings; one attribute in each RDN.
    fn name<const N: usize>(&self, attributes: [(ObjectIdentifier, &str); N]) -> der::Result<Name> {
        let country = (rfc4519::C, Tag::PrintableString, &*self.0.country);
        let attributes = attributes.into_iter().map(|(oid, value)| (oid, Tag::Utf8String, value));
        let rdns = std::iter::once(country).chain(attributes).map(|(oid, tag, value)| {
            let attribute = AttributeTypeAndValue { oid, value: Any::new(tag, value.as_bytes())? };
            SetOfVec::try_from(vec![attribute]).map(RelativeDistinguishedName)
        });
        Ok(RdnSequence(rdns.collect::<der::Result<Vec<_>>>()?))
    }
}
