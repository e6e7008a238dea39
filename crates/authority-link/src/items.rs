//! The seven items that are sent (氏名、通称、住所、生年月日、性別、申請年月日、公開鍵) in the fields of a CertReqMsg.
//!
//! Which field carries which item stands in `docs/protocols/authority.md` §3. Nothing else that says anything about a
//! person has a place in the message; reading refuses what it does not know.

use const_oid::db::{rfc4519, rfc5280, rfc5912};
use der::asn1::{ObjectIdentifier, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Choice, Decode, Encode, Sequence, Tag};
use jiff::civil::Date;
use jpki::{Application, CertificateKind, CertificateText, Sex, era, oid};
use spki::SubjectPublicKeyInfoRef;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use zeroize::Zeroizing;

use crate::IssuerAndSerial;
use crate::message::{
    CertId, CertReqMsg, CertRequest, CertTemplate, RawAny, RawOctets, RawSequence, SingleAttribute, TemplateExtension,
};

const NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::NAME);
const NAME_SUBSTITUTED: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::NAME_SUBSTITUTED);
const SEX: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::SEX);
const BIRTH: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::BIRTH);
const ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::ADDRESS);
const ADDRESS_SUBSTITUTED: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::ADDRESS_SUBSTITUTED);
const ALIAS: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::ALIAS);
const ALIAS_SUBSTITUTED: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::ALIAS_SUBSTITUTED);
const APPLIED_ON: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::APPLIED_ON);

/// Why a CertReqMsg is not the request of a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemsError {
    /// An item, or a field that a request needs, is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// It is there, but it is not what it should be.
    #[error("{0} can't be read")]
    Malformed(&'static str),
    /// It is there twice.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// Something that has no place in a request: an eighth item.
    #[error("{0} has no place in a request")]
    NotAsked(ObjectIdentifier),
    /// A field of the template that a terminal does not send.
    #[error("the template's {0} has no place in a request")]
    NotAskedField(&'static str),
}

/// A request for one certificate, as the authority reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedCertificate {
    /// The certification authority that is to issue it: this tells the kind.
    pub issuer: Option<Name>,
    /// CN of the subject, which the terminal chooses for 署名用電子証明書.
    pub request_name: Option<String>,
    /// 公開鍵, DER of SubjectPublicKeyInfo.
    pub spki: Zeroizing<Vec<u8>>,
    /// The other six items.
    pub application: Application,
    /// The certificate that this one is to replace.
    pub predecessor: Option<IssuerAndSerial>,
}

/// An otherName as certificates carry it: the value is a UTF8String.
#[derive(Sequence)]
struct OtherName<'a> {
    type_id: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", constructed = "true")]
    value: Utf8StringRef<'a>,
}

/// GeneralName, as far as a request has one.
#[derive(Choice)]
enum RequestName<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    Other(OtherName<'a>),
}

/// The CertRequest of a terminal. Both kinds carry the same seven items.
pub(crate) fn cert_request(
    kind: CertificateKind,
    application: &Application,
    spki: &[u8],
    request_name: &str,
    issuer: &Certificate,
    predecessor: Option<&IssuerAndSerial>,
) -> der::Result<CertRequest> {
    let cert_template = CertTemplate {
        issuer: Some(issuer.tbs_certificate.subject.clone()),
        subject: Some(subject(kind, request_name)?),
        public_key: Some(RawSequence::new(spki)?),
        extensions: Some(vec![TemplateExtension {
            extn_id: rfc5280::ID_CE_SUBJECT_ALT_NAME,
            critical: false,
            extn_value: RawOctets::new(alternative_names(application)?),
        }]),
        ..CertTemplate::default()
    };
    let controls = predecessor.map(old_certificate_id).transpose()?.map(|control| vec![control]);
    Ok(CertRequest { cert_req_id: 0, cert_template, controls })
}

/// The regInfo of a terminal: 申請年月日.
pub(crate) fn reg_info(application: &Application) -> der::Result<Vec<SingleAttribute>> {
    let day = Zeroizing::new(application.applied_on.strftime("%Y%m%d").to_string());
    let value = RawAny::of(&PrintableStringRef::new(day.as_str())?)?;
    Ok(vec![SingleAttribute { attribute_type: APPLIED_ON, value }])
}

/// `C=JP`, and the CN for 署名用; the CN of 利用者証明用 is the authority's to choose.
fn subject(kind: CertificateKind, request_name: &str) -> der::Result<Name> {
    let country = (rfc4519::C, der::asn1::Any::new(Tag::PrintableString, *b"JP")?);
    let common_name = match kind {
        CertificateKind::Signature => {
            Some((rfc4519::CN, der::asn1::Any::new(Tag::Utf8String, request_name.as_bytes())?))
        }
        CertificateKind::Authentication => None,
    };
    let rdns = [Some(country), common_name].into_iter().flatten().map(|(oid, value)| {
        SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }]).map(RelativeDistinguishedName)
    });
    Ok(RdnSequence(rdns.collect::<der::Result<_>>()?))
}

/// The subjectAltName, in the order of the certificates.
fn alternative_names(application: &Application) -> der::Result<Zeroizing<Vec<u8>>> {
    let birth = Zeroizing::new(era::birth_code(application.birth));
    let mut names = vec![
        (NAME, application.name.text.as_str()),
        (BIRTH, birth.as_str()),
        (SEX, application.sex.code()),
        (ADDRESS, &application.address.text),
        (NAME_SUBSTITUTED, &application.name.substituted),
        (ADDRESS_SUBSTITUTED, &application.address.substituted),
    ];
    if let Some(alias) = &application.alias {
        names.extend([(ALIAS, alias.text.as_str()), (ALIAS_SUBSTITUTED, &alias.substituted)]);
    }
    let names = names
        .into_iter()
        .map(|(type_id, value)| Ok(RequestName::Other(OtherName { type_id, value: Utf8StringRef::new(value)? })))
        .collect::<der::Result<Vec<_>>>()?;
    Ok(Zeroizing::new(names.to_der()?))
}

/// The control id-regCtrl-oldCertID (RFC 4211 §6.5).
pub(crate) fn old_certificate_id(predecessor: &IssuerAndSerial) -> der::Result<SingleAttribute> {
    let value = RawAny::of(&CertId::from(predecessor.clone()))?;
    Ok(SingleAttribute { attribute_type: rfc5912::ID_REG_CTRL_OLD_CERT_ID, value })
}

impl RequestedCertificate {
    /// Reads a terminal's request, without looking at its proof of possession. `received_on` stands in for 申請年月日
    /// where a requester has no way to say it.
    ///
    /// # Errors
    /// See [`ItemsError`].
    pub fn read(message: &CertReqMsg, received_on: Date) -> Result<Self, ItemsError> {
        let template = &message.cert_req.cert_template;
        for (field, present) in [
            ("version", template.version.is_some()),
            ("serialNumber", template.serial_number.is_some()),
            ("signingAlg", template.signing_alg.is_some()),
            ("validity", template.validity.is_some()),
            ("issuerUID", template.issuer_uid.is_some()),
            ("subjectUID", template.subject_uid.is_some()),
        ] {
            if present {
                return Err(ItemsError::NotAskedField(field));
            }
        }
        let spki = template.public_key.as_ref().ok_or(ItemsError::Missing("publicKey"))?;
        let spki = spki.der().map_err(|_| ItemsError::Malformed("publicKey"))?;
        SubjectPublicKeyInfoRef::try_from(spki.as_slice()).map_err(|_| ItemsError::Malformed("publicKey"))?;

        let [extension] = template.extensions.as_deref().unwrap_or_default() else {
            return Err(
                match template.extensions.iter().flatten().find(|e| e.extn_id != rfc5280::ID_CE_SUBJECT_ALT_NAME) {
                    Some(other) => ItemsError::NotAsked(other.extn_id),
                    None if template.extensions.is_some() => ItemsError::Repeated("subjectAltName"),
                    None => ItemsError::Missing("subjectAltName"),
                },
            );
        };
        if extension.extn_id != rfc5280::ID_CE_SUBJECT_ALT_NAME {
            return Err(ItemsError::NotAsked(extension.extn_id));
        }
        Ok(Self {
            issuer: template.issuer.clone(),
            request_name: read_request_name(template.subject.as_ref())?,
            spki,
            application: read_application(
                extension.extn_value.as_bytes(),
                read_applied_on(message.reg_info.as_deref().unwrap_or_default())?.unwrap_or(received_on),
            )?,
            predecessor: read_predecessor(message.cert_req.controls.as_deref().unwrap_or_default())?,
        })
    }
}

fn read_request_name(subject: Option<&Name>) -> Result<Option<String>, ItemsError> {
    let mut name = None;
    for attribute in subject.iter().flat_map(|subject| &subject.0).flat_map(|rdn| rdn.0.iter()) {
        match attribute.oid {
            rfc4519::C if attribute.value.value() == b"JP" => {}
            rfc4519::CN => {
                let text = std::str::from_utf8(attribute.value.value()).map_err(|_| ItemsError::Malformed("CN"))?;
                set(&mut name, "CN", text.to_owned())?;
            }
            other => return Err(ItemsError::NotAsked(other)),
        }
    }
    Ok(name)
}

fn read_application(names: &[u8], applied_on: Date) -> Result<Application, ItemsError> {
    let names = Vec::<RequestName<'_>>::from_der(names).map_err(|_| ItemsError::Malformed("subjectAltName"))?;
    let (mut name, mut name_substituted, mut alias, mut alias_substituted) = (None, None, None, None);
    let (mut address, mut address_substituted, mut birth, mut sex) = (None, None, None, None);
    for RequestName::Other(OtherName { type_id, value }) in &names {
        let value = value.as_str();
        match *type_id {
            NAME => set(&mut name, "氏名", value)?,
            NAME_SUBSTITUTED => set(&mut name_substituted, "氏名 代替文字", value)?,
            ALIAS => set(&mut alias, "通称", value)?,
            ALIAS_SUBSTITUTED => set(&mut alias_substituted, "通称 代替文字", value)?,
            ADDRESS => set(&mut address, "住所", value)?,
            ADDRESS_SUBSTITUTED => set(&mut address_substituted, "住所 代替文字", value)?,
            BIRTH => {
                let day = era::parse_birth_code(value).ok_or(ItemsError::Malformed("生年月日"))?;
                set(&mut birth, "生年月日", day)?;
            }
            SEX => set(&mut sex, "性別", Sex::from_code(value).ok_or(ItemsError::Malformed("性別"))?)?,
            other => return Err(ItemsError::NotAsked(other)),
        }
    }
    Ok(Application {
        name: text("氏名", name, name_substituted)?.ok_or(ItemsError::Missing("氏名"))?,
        alias: text("通称", alias, alias_substituted)?,
        address: text("住所", address, address_substituted)?.ok_or(ItemsError::Missing("住所"))?,
        birth: birth.ok_or(ItemsError::Missing("生年月日"))?,
        sex: sex.ok_or(ItemsError::Missing("性別"))?,
        applied_on,
    })
}

/// A text has one digit, 0 or 1, for each of its characters.
fn text(
    item: &'static str,
    text: Option<&str>,
    substituted: Option<&str>,
) -> Result<Option<CertificateText>, ItemsError> {
    match (text, substituted) {
        (Some(text), Some(substituted))
            if !text.is_empty()
                && text.chars().count() == substituted.len()
                && substituted.bytes().all(|digit| matches!(digit, b'0' | b'1')) =>
        {
            Ok(Some(CertificateText { text: text.to_owned(), substituted: substituted.to_owned() }))
        }
        (None, None) => Ok(None),
        _ => Err(ItemsError::Malformed(item)),
    }
}

fn read_applied_on(reg_info: &[SingleAttribute]) -> Result<Option<Date>, ItemsError> {
    let mut applied_on = None;
    for attribute in reg_info {
        if attribute.attribute_type != APPLIED_ON {
            return Err(ItemsError::NotAsked(attribute.attribute_type));
        }
        let malformed = || ItemsError::Malformed("申請年月日");
        let day: PrintableStringRef<'_> = attribute.value.read_as().map_err(|_| malformed())?;
        let day = Date::strptime("%Y%m%d", day.as_str()).map_err(|_| malformed())?;
        set(&mut applied_on, "申請年月日", day)?;
    }
    Ok(applied_on)
}

pub(crate) fn read_predecessor(controls: &[SingleAttribute]) -> Result<Option<IssuerAndSerial>, ItemsError> {
    let mut predecessor = None;
    for control in controls {
        if control.attribute_type != rfc5912::ID_REG_CTRL_OLD_CERT_ID {
            return Err(ItemsError::NotAsked(control.attribute_type));
        }
        let id: CertId = control.value.read_as().map_err(|_| ItemsError::Malformed("oldCertID"))?;
        let id = IssuerAndSerial::try_from(id).map_err(|_| ItemsError::Malformed("oldCertID"))?;
        set(&mut predecessor, "oldCertID", id)?;
    }
    Ok(predecessor)
}

pub(crate) fn set<T>(place: &mut Option<T>, item: &'static str, value: T) -> Result<(), ItemsError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ItemsError::Repeated(item)),
    }
}

impl From<IssuerAndSerial> for CertId {
    fn from(named: IssuerAndSerial) -> Self {
        Self { issuer: GeneralName::DirectoryName(named.issuer), serial_number: named.serial }
    }
}
