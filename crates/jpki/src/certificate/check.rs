//! Is this certificate the one that was applied for? Every field against application, key, authority and profile.
//!
//! The authority has code of its own for building certificates; the two share constants and profiles only.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{CN, L, O, OU};
use const_oid::db::rfc5280::ID_PE_AUTHORITY_INFO_ACCESS;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_384, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_EXT_KEY_USAGE, ID_CE_ISSUER_ALT_NAME, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER,
    ID_KP_CLIENT_AUTH, SHA_256_WITH_RSA_ENCRYPTION,
};
use jiff::{SignedDuration, Timestamp};
use rsa::RsaPublicKey;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use signature::Verifier;
use spki::{DecodePublicKey, SubjectPublicKeyInfoRef};
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

use super::CertificateField as Field;
use super::name::DistinguishedName;
use super::view::{AuthorityKey, CertificateError, CertificateView, Policy, SignedCertificate};
use crate::kind::CertificateKind;
use crate::profile::{CertificateProfile, IssuingProfile, KeyAlgorithm, Municipality};
use crate::public_key::check_public_key;
use crate::resident::Application;
use crate::validity::{japanese_day, validity};

/// How far the authority's clock may be ahead of the terminal's.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Length of the 受付窓口識別記号 at the end of a subject's CN.
const WINDOW_LENGTH: usize = 9;

/// What a certificate must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The kind that was asked for.
    pub kind: CertificateKind,
    /// What was applied for.
    pub application: &'a Application,
    /// The key it was asked for, SubjectPublicKeyInfo as DER.
    pub spki: &'a [u8],
    /// The certification authority's certificate, DER. The caller trusts it; its own signature is not checked.
    pub issuer: &'a [u8],
    /// CN of the request: YYYYMMDDhhmmss, sequence number (5), 受付窓口識別記号 (9). A signing certificate repeats it, an
    /// authentication certificate ends with its 受付窓口識別記号.
    pub request_name: &'a str,
    /// The card generation's rules.
    pub profile: &'a IssuingProfile,
    /// The environment's names and policies.
    pub environment: &'a CertificateProfile,
    /// The municipality that the holder lives in.
    pub municipality: &'a Municipality,
    /// Where OCSP must be asked, if that is known; any address is accepted if not.
    pub ocsp_uri: Option<&'a str>,
    /// The moment of the check.
    pub now: Timestamp,
    /// Does it replace a certificate in its renewal window ([`crate::validity::is_renewal`])?
    pub renewal: bool,
    /// What else ends its validity; see [`crate::validity::validity`].
    pub limits: &'a [Timestamp],
    /// Serial number of the certificate that it replaces, big-endian, with or without leading zeros; the new one must be another.
    pub predecessor: Option<&'a [u8]>,
}

/// A certificate that is what was expected.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its fields.
    pub view: CertificateView,
    /// SHA-256 of its DER: its name on the card and at the authority.
    pub sha256: [u8; 32],
}

/// How a certificate differs from what was expected. Names fields, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It could not be read.
    #[error("the certificate: {0}")]
    Unreadable(CertificateError),
    /// A field differs: the authority issued for another person, key or purpose, or somebody changed the answer on its way.
    #[error("{0} differs from what was applied for")]
    Field(Field),
    /// The certification authority's certificate can't be read, has expired, or is another authority's: wrong configuration, or an
    /// authority that changed its key.
    #[error("the certification authority's certificate: {0} is wrong")]
    Issuer(Field),
}

impl Mismatch {
    /// The field that differs.
    #[must_use]
    pub fn field(&self) -> Field {
        match self {
            Self::Unreadable(CertificateError::Field(field)) | Self::Field(field) | Self::Issuer(field) => *field,
            Self::Unreadable(_) => Field::Signature,
        }
    }
}

/// Checks that `certificate` (DER) is what `expected` says: every field, and the authority's signature over them.
///
/// # Errors
/// The first difference. A certificate with any difference must not be written to a card.
pub fn check(certificate: &[u8], expected: &Expected<'_>) -> Result<Checked, Mismatch> {
    let issuer = checked_issuer(expected)?;
    let signed = SignedCertificate::parse(certificate).map_err(Mismatch::Unreadable)?;
    let view = &signed.view;
    check_key(view, expected)?;
    check_names(view, &issuer, expected)?;
    check_period(view, &issuer, expected)?;
    check_holder(view, expected)?;
    check_purpose(view, expected)?;
    check_references(view, &issuer, expected)?;
    check_extension_headers(view, expected)?;
    let algorithm = signature_algorithm(expected.profile.algorithm);
    require(view.signature_algorithm == algorithm, Field::SignatureAlgorithm)?;
    require(is_signed_by(&signed, &issuer.spki, expected.profile.algorithm), Field::Signature)?;
    Ok(Checked { view: signed.view, sha256: Sha256::digest(certificate).into() })
}

fn require(holds: bool, field: Field) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(Mismatch::Field(field)) }
}

/// The certification authority's certificate: the right authority of the right environment, valid now.
fn checked_issuer(expected: &Expected<'_>) -> Result<CertificateView, Mismatch> {
    let issuer = CertificateView::parse(expected.issuer).map_err(|error| {
        Mismatch::Issuer(if let CertificateError::Field(field) = error { field } else { Field::Signature })
    })?;
    let may_issue = issuer.key_usage.as_ref().is_some_and(KeyUsage::key_cert_sign);
    for (holds, field) in [
        (issuer.subject == authority_name(expected), Field::Subject),
        (issuer.is_authority, Field::BasicConstraints),
        (may_issue, Field::KeyUsage),
        (issuer.not_before <= expected.now, Field::NotBefore),
        (issuer.not_after >= expected.now, Field::NotAfter),
    ] {
        if !holds {
            return Err(Mismatch::Issuer(field));
        }
    }
    Ok(issuer)
}

fn authority_name(expected: &Expected<'_>) -> DistinguishedName {
    let environment = expected.environment;
    let unit = &environment.of_kind(expected.kind).unit;
    DistinguishedName::jpki(
        &environment.country,
        &[(O, &environment.organization), (OU, unit), (OU, &environment.agency)],
    )
}

/// 公開鍵: the very key that was made on the card, of the profile's algorithm.
fn check_key(view: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    require(*view.spki == expected.spki, Field::PublicKey)?;
    let is_sound = check_public_key(&view.spki, expected.profile.algorithm).is_ok();
    require(is_sound, Field::PublicKey)
}

/// シリアル番号, 発行者 and subject.
fn check_names(view: &CertificateView, issuer: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let is_positive = view.serial.iter().any(|byte| *byte != 0);
    // RFC 5280 §4.1.2.2: 20 octets at most.
    require(is_positive && view.serial.len() <= 20, Field::SerialNumber)?;
    let significant = |serial: &'_ [u8]| serial.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    require(expected.predecessor.map(significant).as_deref() != Some(&view.serial), Field::SerialNumber)?;
    require(view.issuer == issuer.subject, Field::Issuer)?;

    let common_name = view.subject.get(CN).ok_or(Mismatch::Field(Field::Subject))?;
    let Municipality { code, prefecture, city } = expected.municipality;
    let subject = match expected.kind {
        CertificateKind::Signature => {
            require(common_name == expected.request_name, Field::Subject)?;
            DistinguishedName::jpki(&expected.environment.country, &[(L, prefecture), (L, city), (CN, common_name)])
        }
        CertificateKind::Authentication => {
            // 14 characters of the authority's own, then the window.
            require(common_name.len() == 14 + WINDOW_LENGTH, Field::Subject)?;
            DistinguishedName::jpki(&expected.environment.country, &[(CN, common_name)])
        }
    };
    require(view.subject == subject, Field::Subject)?;
    let is_plain = common_name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let window = window(common_name);
    require(is_plain && window == window_of(expected) && window.is_some_and(|w| w.starts_with(code)), Field::Subject)
}

fn window(common_name: &str) -> Option<&str> {
    common_name.get(common_name.len().checked_sub(WINDOW_LENGTH)?..)
}

fn window_of<'a>(expected: &Expected<'a>) -> Option<&'a str> {
    window(expected.request_name)
}

/// 発行年月日 and 有効期間の満了日.
fn check_period(view: &CertificateView, issuer: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let applied_on = expected.application.applied_on;
    require(view.not_before <= expected.now + CLOCK_SKEW, Field::NotBefore)?;
    require(view.not_before >= issuer.not_before, Field::NotBefore)?;
    require(japanese_day(view.not_before + CLOCK_SKEW) >= applied_on, Field::NotBefore)?;
    let rule = expected.profile.validity;
    let period = validity(rule, expected.application.birth, view.not_before, expected.renewal, expected.limits);
    require(period.is_ok_and(|period| period.not_after == view.not_after), Field::NotAfter)?;
    require(view.not_after >= expected.now && view.not_after <= issuer.not_after, Field::NotAfter)
}

/// The items of the application: in a signing certificate all of them, in an authentication certificate none.
fn check_holder(view: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let has_names = view.extensions.iter().any(|header| header.oid == ID_CE_SUBJECT_ALT_NAME);
    let person = match (expected.kind, &view.person) {
        (CertificateKind::Authentication, _) => return require(!has_names, Field::SubjectAltName),
        (CertificateKind::Signature, Some(person)) => person,
        (CertificateKind::Signature, None) => return Err(Mismatch::Field(Field::SubjectAltName)),
    };
    let application = expected.application;
    require(person.name.text == application.name.text, Field::Name)?;
    require(person.name.substituted == application.name.substituted, Field::NameSubstituted)?;
    require(person.address.text == application.address.text, Field::Address)?;
    require(person.address.substituted == application.address.substituted, Field::AddressSubstituted)?;
    require(person.birth == application.birth, Field::Birth)?;
    require(person.sex == application.sex, Field::Sex)?;
    match (&person.alias, &application.alias) {
        (None, None) => Ok(()),
        (Some(alias), Some(applied)) => {
            require(alias.text == applied.text, Field::Alias)?;
            require(alias.substituted == applied.substituted, Field::AliasSubstituted)
        }
        _ => Err(Mismatch::Field(Field::Alias)),
    }
}

/// 用途: keyUsage, extKeyUsage, certificatePolicies.
fn check_purpose(view: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let (key_usage, extended): (_, &[ObjectIdentifier]) = match expected.kind {
        CertificateKind::Signature => (KeyUsages::DigitalSignature | KeyUsages::NonRepudiation, &[]),
        CertificateKind::Authentication => (KeyUsages::DigitalSignature.into(), &[ID_KP_CLIENT_AUTH]),
    };
    require(view.key_usage == Some(KeyUsage(key_usage)), Field::KeyUsage)?;
    require(view.extended_key_usage == extended, Field::ExtendedKeyUsage)?;
    let policy = ObjectIdentifier::new(&expected.environment.of_kind(expected.kind).policy);
    let is_policy = |policy: &Policy, oid| {
        policy.oid == oid && policy.cps_uri.as_deref() == Some(expected.environment.cps_uri.as_str())
    };
    let fits = match (view.policies.as_slice(), policy) {
        ([only], Ok(oid)) => is_policy(only, oid),
        _ => false,
    };
    require(fits, Field::CertificatePolicies)
}

/// Where the authority, its key and its revocation lists are found.
fn check_references(view: &CertificateView, issuer: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let environment = expected.environment;
    let of_kind = environment.of_kind(expected.kind);
    let alternative = DistinguishedName::jpki(
        &environment.country,
        &[(O, &environment.organization_ja), (OU, &of_kind.unit_ja), (OU, &environment.agency_ja)],
    );
    require(view.issuer_alt_name.as_ref() == Some(&alternative), Field::IssuerAltName)?;

    let point = DistinguishedName::jpki(
        &environment.country,
        &[
            (O, &environment.organization),
            (OU, &of_kind.unit),
            (OU, &environment.crl_unit),
            (OU, &expected.municipality.prefecture),
            (CN, &format!("{}{}", expected.municipality.city, environment.crl_name_suffix)),
        ],
    );
    require(view.crl_distribution_point.as_ref() == Some(&point), Field::CrlDistributionPoints)?;

    let has_ocsp = match (expected.kind, &view.ocsp_uri) {
        (CertificateKind::Signature, uri) => uri.is_none(),
        (CertificateKind::Authentication, None) => false,
        (CertificateKind::Authentication, Some(uri)) => expected.ocsp_uri.is_none_or(|expected| uri == expected),
    };
    require(has_ocsp, Field::AuthorityInfoAccess)?;

    let authority_key = AuthorityKey {
        id: issuer.subject_key_id.as_ref().map(|id| id.to_vec()),
        issuer: Some(issuer.issuer.clone()),
        serial: Some(issuer.serial.to_vec()),
    };
    require(
        authority_key.id.is_some() && view.authority_key.as_ref() == Some(&authority_key),
        Field::AuthorityKeyIdentifier,
    )?;

    let key = SubjectPublicKeyInfoRef::try_from(view.spki.as_slice()).map_err(|_| Mismatch::Field(Field::PublicKey))?;
    // RFC 5280 §4.2.1.2, method 1.
    let id = Sha1::digest(key.subject_public_key.raw_bytes());
    require(
        view.subject_key_id.as_ref().is_some_and(|stated| stated.as_slice() == id.as_slice()),
        Field::SubjectKeyIdentifier,
    )
}

/// Exactly the extensions of the profile, with their criticality. Their order is not prescribed.
fn check_extension_headers(view: &CertificateView, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let of_kind: &[(ObjectIdentifier, bool)] = match expected.kind {
        CertificateKind::Signature => &[(ID_CE_SUBJECT_ALT_NAME, false)],
        CertificateKind::Authentication => &[(ID_CE_EXT_KEY_USAGE, false), (ID_PE_AUTHORITY_INFO_ACCESS, false)],
    };
    let of_all = [
        (ID_CE_KEY_USAGE, true),
        (ID_CE_CERTIFICATE_POLICIES, true),
        (ID_CE_ISSUER_ALT_NAME, false),
        (ID_CE_CRL_DISTRIBUTION_POINTS, false),
        (ID_CE_AUTHORITY_KEY_IDENTIFIER, false),
        (ID_CE_SUBJECT_KEY_IDENTIFIER, false),
    ];
    let is_known = |oid, is_critical| of_all.iter().chain(of_kind).any(|known| *known == (oid, is_critical));
    let all_known = view.extensions.iter().all(|header| is_known(header.oid, header.is_critical));
    require(all_known && view.extensions.len() == of_all.len() + of_kind.len(), Field::Extensions)
}

fn signature_algorithm(algorithm: KeyAlgorithm) -> ObjectIdentifier {
    match algorithm {
        KeyAlgorithm::Rsa2048 => SHA_256_WITH_RSA_ENCRYPTION,
        KeyAlgorithm::EcP384 => ECDSA_WITH_SHA_384,
    }
}

fn is_signed_by(certificate: &SignedCertificate<'_>, issuer_spki: &[u8], algorithm: KeyAlgorithm) -> bool {
    match algorithm {
        KeyAlgorithm::Rsa2048 => {
            let key = RsaPublicKey::from_public_key_der(issuer_spki).map(rsa::pkcs1v15::VerifyingKey::<Sha256>::new);
            let signature = rsa::pkcs1v15::Signature::try_from(certificate.signature);
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(certificate.signed, &signature).is_ok())
        }
        KeyAlgorithm::EcP384 => {
            // p384 verifies with SHA-384, the curve's own digest.
            let key = p384::ecdsa::VerifyingKey::from_public_key_der(issuer_spki);
            let signature = p384::ecdsa::Signature::from_der(certificate.signature);
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(certificate.signed, &signature).is_ok())
        }
    }
}
