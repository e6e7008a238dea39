//! A terminal's own certificates: what they are for, and how they are asked for (`docs/protocols/authority.md` §4.4).

use const_oid::db::rfc4519::CN;
use const_oid::db::{rfc5280, rfc5912};
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, Tag};
use jpki::oid;
use spki::SubjectPublicKeyInfoRef;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use zeroize::Zeroizing;

use crate::IssuerAndSerial;
use crate::items::{ItemsError, old_certificate_id, read_predecessor, set};
use crate::message::{
    CertReqMsg, CertRequest, CertTemplate, RawAny, RawOctets, RawSequence, SingleAttribute, TemplateExtension,
};

/// regInfo of a terminal's first request: the public key that signs the checkpoints of its log.
const LOG_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::LOG_KEY);
/// id-kp-cmcRA (RFC 6402 §2.10): protects CMP messages for others.
const ID_KP_CMC_RA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.28");

/// What one of a terminal's two certificates is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Protects the terminal's CMP messages, which ask for residents.
    Messages,
    /// The terminal's end of the TLS line.
    Line,
}

impl Purpose {
    /// Both, in the order in which a new terminal gets them.
    pub const BOTH: [Self; 2] = [Self::Messages, Self::Line];

    /// The one extKeyUsage of such a certificate (RFC 5280 §4.2.1.12, RFC 6402 §2.10).
    #[must_use]
    pub const fn extended_key_usage(self) -> ObjectIdentifier {
        match self {
            Self::Messages => ID_KP_CMC_RA,
            Self::Line => rfc5280::ID_KP_CLIENT_AUTH,
        }
    }

    /// The purpose that an extKeyUsage states, if it is exactly one of these.
    #[must_use]
    pub fn of(usage: &ExtendedKeyUsage) -> Option<Self> {
        Self::BOTH.into_iter().find(|purpose| usage.0 == [purpose.extended_key_usage()])
    }
}

/// What a terminal asks for.
#[derive(Clone, Copy, Debug)]
pub struct OwnCertificate<'a> {
    /// What it is to be for.
    pub purpose: Purpose,
    /// The terminal's name.
    pub terminal: &'a str,
    /// The key, SubjectPublicKeyInfo (DER).
    pub spki: &'a [u8],
    /// The certificate of the authority's own issuer, DER.
    pub issuer: &'a [u8],
    /// The key that signs the checkpoints of its log, SubjectPublicKeyInfo (DER): with the first request of a terminal.
    pub log_key: Option<&'a [u8]>,
    /// The certificate that the new one is to replace.
    pub predecessor: Option<&'a IssuerAndSerial>,
}

impl OwnCertificate<'_> {
    pub(crate) fn cert_request(&self) -> der::Result<CertRequest> {
        let issuer = Certificate::from_der(self.issuer)?.tbs_certificate.subject;
        let usage = ExtendedKeyUsage(vec![self.purpose.extended_key_usage()]);
        let cert_template = CertTemplate {
            subject: Some(named(&issuer, self.terminal)?),
            issuer: Some(issuer),
            public_key: Some(RawSequence::new(self.spki)?),
            extensions: Some(vec![TemplateExtension {
                extn_id: rfc5280::ID_CE_EXT_KEY_USAGE,
                critical: false,
                extn_value: RawOctets::new(Zeroizing::new(usage.to_der()?)),
            }]),
            ..CertTemplate::default()
        };
        let controls = self.predecessor.map(old_certificate_id).transpose()?.map(|control| vec![control]);
        Ok(CertRequest { cert_req_id: 0, cert_template, controls })
    }

    pub(crate) fn reg_info(&self) -> der::Result<Option<Vec<SingleAttribute>>> {
        let attribute = |spki| Ok(SingleAttribute { attribute_type: LOG_KEY, value: RawAny::new(spki)? });
        self.log_key.map(|spki| attribute(spki).map(|attribute| vec![attribute])).transpose()
    }
}

/// The subject of a terminal: as its issuer, with a CN of its own.
pub(crate) fn named(issuer: &Name, terminal: &str) -> der::Result<Name> {
    let common_name = AttributeTypeAndValue { oid: CN, value: Any::new(Tag::Utf8String, terminal.as_bytes())? };
    let own = SetOfVec::try_from(vec![common_name]).map(RelativeDistinguishedName)?;
    let is_name = |rdn: &RelativeDistinguishedName| rdn.0.iter().any(|attribute| attribute.oid == CN);
    Ok(RdnSequence(issuer.0.iter().filter(|rdn| !is_name(rdn)).cloned().chain([own]).collect()))
}

/// A request for one of a terminal's own certificates, as the authority reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedOwnCertificate {
    /// Who is to issue it, if it says so.
    pub issuer: Option<Name>,
    /// CN of the subject, if it says so: the terminal's name.
    pub terminal: Option<String>,
    /// The key, DER of SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// What it is to be for. A request for a successor may leave it out.
    pub purpose: Option<Purpose>,
    /// The key that signs the checkpoints of the terminal's log.
    pub log_key: Option<Vec<u8>>,
    /// The certificate that this one is to replace.
    pub predecessor: Option<IssuerAndSerial>,
}

impl RequestedOwnCertificate {
    /// Reads a terminal's request, without looking at its proof of possession. Subject and issuer may be left out, and a validity
    /// that is asked for is not heeded (RFC 9483 §4.1.1 lets the authority choose); anything else that is not asked for is refused.
    ///
    /// # Errors
    /// See [`ItemsError`].
    pub fn read(message: &CertReqMsg) -> Result<Self, ItemsError> {
        let template = &message.cert_req.cert_template;
        for (field, present) in [
            ("version", template.version.is_some()),
            ("serialNumber", template.serial_number.is_some()),
            ("signingAlg", template.signing_alg.is_some()),
            ("issuerUID", template.issuer_uid.is_some()),
            ("subjectUID", template.subject_uid.is_some()),
        ] {
            if present {
                return Err(ItemsError::NotAskedField(field));
            }
        }
        let malformed = ItemsError::Malformed;
        let spki = template.public_key.as_ref().ok_or(ItemsError::Missing("publicKey"))?;
        let spki = spki.der().map_err(|_| malformed("publicKey"))?.to_vec();
        SubjectPublicKeyInfoRef::try_from(spki.as_slice()).map_err(|_| malformed("publicKey"))?;
        let mut purpose = None;
        for extension in template.extensions.iter().flatten() {
            match extension.extn_id {
                rfc5280::ID_CE_EXT_KEY_USAGE => {
                    let usage = ExtendedKeyUsage::from_der(extension.extn_value.as_bytes());
                    let stated = usage.ok().as_ref().and_then(Purpose::of).ok_or(malformed("extKeyUsage"))?;
                    set(&mut purpose, "extKeyUsage", stated)?;
                }
                // What every certificate of a terminal has anyway: OpenSSL asks for the extensions of the old one again.
                rfc5280::ID_CE_KEY_USAGE
                | rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER
                | rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {}
                other => return Err(ItemsError::NotAsked(other)),
            }
        }
        let mut log_key = None;
        for attribute in message.reg_info.iter().flatten() {
            if attribute.attribute_type != LOG_KEY {
                return Err(ItemsError::NotAsked(attribute.attribute_type));
            }
            set(&mut log_key, "log key", attribute.value.to_der().map_err(|_| malformed("log key"))?)?;
        }
        Ok(Self {
            issuer: template.issuer.clone(),
            terminal: template.subject.as_ref().map(common_name).transpose()?,
            spki,
            purpose,
            log_key,
            predecessor: read_predecessor(message.cert_req.controls.as_deref().unwrap_or_default())?,
        })
    }
}

fn common_name(subject: &Name) -> Result<String, ItemsError> {
    let mut name = None;
    for attribute in subject.0.iter().flat_map(|rdn| rdn.0.iter()).filter(|attribute| attribute.oid == CN) {
        let text = std::str::from_utf8(attribute.value.value()).map_err(|_| ItemsError::Malformed("CN"))?;
        set(&mut name, "CN", text.to_owned())?;
    }
    name.ok_or(ItemsError::Missing("CN"))
}

/// Why a certificate is not the one that the terminal asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnCertificateError {
    /// Not a certificate.
    #[error("it can't be read: {0}")]
    Malformed(#[from] der::Error),
    /// A field is not what was asked for, or not what such a certificate must have.
    #[error("its {0} is not as asked for")]
    Differs(&'static str),
    /// It is not signed by the issuer that this terminal knows.
    #[error("it is not issued by the authority that this terminal knows")]
    Foreign,
}

/// Checks, before it is taken into use, that `certificate` (DER) is what was asked for, and of the profile of terminals: version 3,
/// valid at `at`, keyUsage digitalSignature alone, one extKeyUsage, no certification authority.
///
/// # Errors
/// See [`OwnCertificateError`].
pub fn check_own_certificate(
    certificate: &[u8],
    asked: &OwnCertificate<'_>,
    at: jiff::Timestamp,
) -> Result<(), OwnCertificateError> {
    use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

    let read = Certificate::from_der(certificate)?;
    if read.to_der()? != certificate {
        return Err(OwnCertificateError::Differs("encoding"));
    }
    let issuer = Certificate::from_der(asked.issuer)?;
    let tbs = &read.tbs_certificate;
    let differs = |field| Err(OwnCertificateError::Differs(field));
    if tbs.issuer != issuer.tbs_certificate.subject {
        return Err(OwnCertificateError::Foreign);
    }
    let signature = read.signature.as_bytes().unwrap_or_default();
    let issuer_key = issuer.tbs_certificate.subject_public_key_info.to_der()?;
    if tbs.signature != read.signature_algorithm
        || crate::signature::verify(&issuer_key, &read.signature_algorithm, &tbs.to_der()?, signature).is_err()
    {
        return Err(OwnCertificateError::Foreign);
    }
    if tbs.version != x509_cert::Version::V3 {
        return differs("version");
    }
    if tbs.subject != named(&issuer.tbs_certificate.subject, asked.terminal)? {
        return differs("subject");
    }
    if tbs.subject_public_key_info.to_der()? != asked.spki {
        return differs("subjectPublicKeyInfo");
    }
    let (not_before, not_after) = validity(&read);
    if !(not_before..=not_after).contains(&at) {
        return differs("validity");
    }
    if tbs.get::<KeyUsage>()?.is_none_or(|(_, usage)| usage.0 != KeyUsages::DigitalSignature) {
        return differs("keyUsage");
    }
    if tbs.get::<ExtendedKeyUsage>()?.and_then(|(_, usage)| Purpose::of(&usage)) != Some(asked.purpose) {
        return differs("extKeyUsage");
    }
    if tbs.get::<BasicConstraints>()?.is_some_and(|(_, constraints)| constraints.ca) {
        return differs("basicConstraints");
    }
    let known = [
        rfc5912::ID_CE_KEY_USAGE,
        rfc5912::ID_CE_EXT_KEY_USAGE,
        rfc5912::ID_CE_BASIC_CONSTRAINTS,
        rfc5912::ID_CE_SUBJECT_KEY_IDENTIFIER,
        rfc5912::ID_CE_AUTHORITY_KEY_IDENTIFIER,
    ];
    if tbs.extensions.iter().flatten().any(|extension| extension.critical && !known.contains(&extension.extn_id)) {
        return differs("extensions");
    }
    Ok(())
}

/// From when to when a certificate is valid.
#[must_use]
pub fn validity(certificate: &Certificate) -> (jiff::Timestamp, jiff::Timestamp) {
    let validity = &certificate.tbs_certificate.validity;
    (crate::message::timestamp(validity.not_before), crate::message::timestamp(validity.not_after))
}
