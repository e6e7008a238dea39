//! Certificates, built field by field as on the JPKI test card: nothing is reordered, added or left out by a builder.
//!
//! Where a field's form comes from the test card and from no standard, the comment says so.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_AD_OCSP, ID_PE_AUTHORITY_INFO_ACCESS};
use const_oid::db::rfc5912::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_EXT_KEY_USAGE, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_KP_CLIENT_AUTH, ID_KP_OCSP_SIGNING, ID_KP_SERVER_AUTH, ID_QT_CPS,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::asn1::{Any, GeneralizedTime, Ia5String, Null, OctetString, UtcTime};
use der::{DateTime, Encode, Tag};
use jiff::Timestamp;
use jpki::{CertificateKind, Municipality, Validity as Period};
use sha1::{Digest, Sha1};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{PolicyInformation, PolicyQualifierInfo};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, GeneralNames, OtherName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::profile::Names;
use crate::signer::{SignError, Signer};

/// id-kp-cmcCA (RFC 6402 §2.10): protects the CMP messages of a certification authority.
const ID_KP_CMC_CA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.27");

/// One of the two certification authorities: its certificate and the key that signs under it.
pub(crate) struct CertificationAuthority {
    pub(crate) kind: CertificateKind,
    pub(crate) certificate: Certificate,
    pub(crate) signer: Signer,
}

impl CertificationAuthority {
    pub(crate) fn name(&self) -> &Name {
        &self.certificate.tbs_certificate.subject
    }

    /// The key identifier of its own certificate, which what it issues repeats.
    pub(crate) fn key_identifier(&self) -> der::Result<OctetString> {
        key_identifier(&self.certificate.tbs_certificate.subject_public_key_info)
    }
}

/// What goes into an end-entity certificate.
pub(crate) struct EndEntity<'a> {
    pub(crate) serial: u64,
    pub(crate) subject: Name,
    pub(crate) public_key: SubjectPublicKeyInfoOwned,
    pub(crate) period: Period,
    /// otherNames of the subjectAltName, in order; empty for an authentication certificate, which has none.
    pub(crate) other_names: Vec<(ObjectIdentifier, String)>,
    pub(crate) municipality: &'a Municipality,
    /// Where the state of an authentication certificate can be asked for.
    pub(crate) ocsp_url: &'a str,
}

/// The self-signed certificate of a certification authority.
pub(crate) fn root(
    names: &Names,
    kind: CertificateKind,
    signer: &Signer,
    serial: u64,
    period: Period,
) -> Result<Certificate, SignError> {
    let name = names.authority(kind)?;
    let extensions = vec![
        extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        extension(ID_CE_SUBJECT_ALT_NAME, false, &directory_name(names.authority_alternative(kind)?))?,
        extension(ID_CE_BASIC_CONSTRAINTS, true, &BasicConstraints { ca: true, path_len_constraint: None })?,
        extension(ID_CE_CRL_DISTRIBUTION_POINTS, false, &distribution_points(name.clone()))?,
        subject_key_identifier(signer.public_key())?,
    ];
    sign(signer, name.clone(), name, serial, signer.public_key().clone(), period, extensions)
}

/// An end-entity certificate, 署名用 or 利用者証明用 by the authority that signs it.
pub(crate) fn end_entity(
    names: &Names,
    authority: &CertificationAuthority,
    content: EndEntity<'_>,
) -> Result<Certificate, SignError> {
    let kind = authority.kind;
    let alternative_name = names.authority_alternative(kind)?;
    let crl_name = names.distribution_point(kind, content.municipality)?;
    let mut extensions = Vec::with_capacity(8);
    // Order and criticality as on the test card.
    match kind {
        CertificateKind::Signature => {
            let usage = KeyUsage(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation);
            extensions.push(extension(ID_CE_KEY_USAGE, true, &usage)?);
            extensions.push(extension(ID_CE_SUBJECT_ALT_NAME, false, &other_names(&content.other_names)?)?);
        }
        CertificateKind::Authentication => {
            extensions.push(extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?);
            extensions.push(extension(ID_CE_EXT_KEY_USAGE, false, &vec![ID_KP_CLIENT_AUTH])?);
        }
    }
    extensions.push(extension(ID_CE_CERTIFICATE_POLICIES, true, &policies(names, kind)?)?);
    extensions.push(extension(ID_CE_ISSUER_ALT_NAME, false, &directory_name(alternative_name))?);
    extensions.push(extension(ID_CE_CRL_DISTRIBUTION_POINTS, false, &distribution_points(crl_name))?);
    if kind == CertificateKind::Authentication {
        let access = AccessDescription {
            access_method: ID_AD_OCSP,
            access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(content.ocsp_url)?),
        };
        extensions.push(extension(ID_PE_AUTHORITY_INFO_ACCESS, false, &vec![access])?);
    }
    extensions.push(authority_key_identifier(authority)?);
    extensions.push(subject_key_identifier(&content.public_key)?);
    let issuer = authority.name().clone();
    sign(&authority.signer, issuer, content.subject, content.serial, content.public_key, content.period, extensions)
}

/// The certificate of a delegated OCSP responder (RFC 6960 §4.2.2.2), never itself asked about (§4.2.2.2.1).
pub(crate) fn ocsp_responder(
    names: &Names,
    authority: &CertificationAuthority,
    public_key: &SubjectPublicKeyInfoOwned,
    serial: u64,
    period: Period,
) -> Result<Certificate, SignError> {
    let extensions = vec![
        extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(ID_CE_EXT_KEY_USAGE, true, &vec![ID_KP_OCSP_SIGNING])?,
        extension(ID_PKIX_OCSP_NOCHECK, false, &Null)?,
        authority_key_identifier(authority)?,
        subject_key_identifier(public_key)?,
    ];
    let subject = names.responder(authority.kind)?;
    sign(&authority.signer, authority.name().clone(), subject, serial, public_key.clone(), period, extensions)
}

/// What a certificate of the infrastructure authority is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The authority's end of the TLS line, on loopback.
    TlsServer,
    /// A terminal's own: its end of the TLS line, or the protection of its CMP messages.
    Terminal(authority_link::Purpose),
    /// The authority's protection of CMP messages.
    CmpServer,
}

/// The self-signed certificate of the infrastructure authority, which names terminals and the authority's own services.
pub(crate) fn infrastructure_root(
    names: &Names,
    signer: &Signer,
    serial: u64,
    period: Period,
) -> Result<Certificate, SignError> {
    let name = names.infrastructure("Infrastructure CA")?;
    let extensions = vec![
        extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        extension(ID_CE_BASIC_CONSTRAINTS, true, &BasicConstraints { ca: true, path_len_constraint: Some(0) })?,
        subject_key_identifier(signer.public_key())?,
    ];
    sign(signer, name.clone(), name, serial, signer.public_key().clone(), period, extensions)
}

/// A certificate of the infrastructure authority.
pub(crate) fn infrastructure(
    names: &Names,
    issuer: (&Certificate, &Signer),
    purpose: Purpose,
    common_name: &str,
    public_key: &SubjectPublicKeyInfoOwned,
    serial: u64,
    period: Period,
) -> Result<Certificate, SignError> {
    let (issuer, signer) = issuer;
    let usage = match purpose {
        Purpose::TlsServer => ID_KP_SERVER_AUTH,
        Purpose::CmpServer => ID_KP_CMC_CA,
        Purpose::Terminal(purpose) => purpose.extended_key_usage(),
    };
    let mut extensions = vec![
        extension(ID_CE_KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(ID_CE_EXT_KEY_USAGE, false, &vec![usage])?,
    ];
    if purpose == Purpose::TlsServer {
        let loopback = OctetString::new([127, 0, 0, 1])?;
        let alternatives = vec![GeneralName::DnsName(Ia5String::new("localhost")?), GeneralName::IpAddress(loopback)];
        extensions.push(extension(ID_CE_SUBJECT_ALT_NAME, false, &alternatives)?);
    }
    let issuer_key = key_identifier(&issuer.tbs_certificate.subject_public_key_info)?;
    let authority_key = AuthorityKeyIdentifier { key_identifier: Some(issuer_key), ..Default::default() };
    extensions.push(extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority_key)?);
    extensions.push(subject_key_identifier(public_key)?);
    let subject = names.infrastructure(common_name)?;
    let issuer = issuer.tbs_certificate.subject.clone();
    sign(signer, issuer, subject, serial, public_key.clone(), period, extensions)
}

fn sign(
    signer: &Signer,
    issuer: Name,
    subject: Name,
    serial: u64,
    public_key: SubjectPublicKeyInfoOwned,
    period: Period,
    extensions: Vec<Extension>,
) -> Result<Certificate, SignError> {
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::from(serial),
        signature: signer.algorithm_identifier(),
        issuer,
        validity: Validity { not_before: time(period.not_before)?, not_after: time(period.not_after)? },
        subject,
        subject_public_key_info: public_key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    let signature = signer.sign_der(&tbs_certificate)?;
    Ok(Certificate { tbs_certificate, signature_algorithm: signer.algorithm_identifier(), signature })
}

/// An extension with its value as DER.
pub(crate) fn extension(id: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// UTCTime to 2049, GeneralizedTime after (RFC 5280 §4.1.2.5); whole seconds.
pub(crate) fn time(at: Timestamp) -> der::Result<Time> {
    let at = date_time(at)?;
    if at.year() <= UtcTime::MAX_YEAR {
        Ok(Time::UtcTime(UtcTime::from_date_time(at)?))
    } else {
        Ok(Time::GeneralTime(GeneralizedTime::from_date_time(at)))
    }
}

/// A moment as DER knows it: whole seconds, 1970 to 9999.
pub(crate) fn date_time(at: Timestamp) -> der::Result<DateTime> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| Tag::UtcTime.value_error())?;
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
}

/// A single directoryName.
pub(crate) fn directory_name(name: Name) -> GeneralNames {
    vec![GeneralName::DirectoryName(name)]
}

/// SHA-1 of the key's bits (RFC 5280 §4.2.1.2, method 1).
pub(crate) fn key_identifier(public_key: &SubjectPublicKeyInfoOwned) -> der::Result<OctetString> {
    OctetString::new(Sha1::digest(public_key.subject_public_key.raw_bytes()).to_vec())
}

fn subject_key_identifier(public_key: &SubjectPublicKeyInfoOwned) -> der::Result<Extension> {
    extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &SubjectKeyIdentifier(key_identifier(public_key)?))
}

/// All three fields, as on the test card.
fn authority_key_identifier(authority: &CertificationAuthority) -> der::Result<Extension> {
    let certificate = &authority.certificate.tbs_certificate;
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(authority.key_identifier()?),
        authority_cert_issuer: Some(directory_name(certificate.issuer.clone())),
        authority_cert_serial_number: Some(certificate.serial_number.clone()),
    };
    extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &value)
}

/// directoryName and no URI, as on the test card.
fn distribution_points(name: Name) -> Vec<DistributionPoint> {
    vec![DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(directory_name(name))),
        reasons: None,
        crl_issuer: None,
    }]
}

fn policies(names: &Names, kind: CertificateKind) -> der::Result<Vec<PolicyInformation>> {
    let cps = PolicyQualifierInfo {
        policy_qualifier_id: ID_QT_CPS,
        qualifier: Some(Any::new(Tag::Ia5String, names.0.cps_uri.as_bytes())?),
    };
    let policy =
        ObjectIdentifier::new(&names.0.of_kind(kind).policy).map_err(|_| Tag::ObjectIdentifier.value_error())?;
    Ok(vec![PolicyInformation { policy_identifier: policy, policy_qualifiers: Some(vec![cps]) }])
}

fn other_names(names: &[(ObjectIdentifier, String)]) -> der::Result<GeneralNames> {
    let other_name = |(type_id, text): &(ObjectIdentifier, String)| {
        let value = Any::new(Tag::Utf8String, text.as_bytes())?;
        Ok(GeneralName::OtherName(OtherName { type_id: *type_id, value }))
    };
    names.iter().map(other_name).collect()
}

#[cfg(test)]
mod tests;
