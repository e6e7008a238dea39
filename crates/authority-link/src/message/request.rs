//! What is asked for: CRMF (RFC 4211) and RevReqContent (RFC 9810 §5.3.9).
//!
//! Not the `crmf` crate's types: its release gives regInfo a SET of values, where RFC 4211 §3 has one value, and its
//! template's validity can't be half given.

use der::asn1::{BitString, Null, ObjectIdentifier};
use der::{Choice, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use super::{RawAny, RawOctets, RawSequence};

/// CertReqMsg (RFC 4211 §3).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertReqMsg {
    /// What is asked for; possession is proved over its DER.
    pub cert_req: CertRequest,
    /// Proof of possession of the private key.
    pub popo: Option<ProofOfPossession>,
    /// What the authority should know beside.
    pub reg_info: Option<Vec<SingleAttribute>>,
}

/// CertRequest (RFC 4211 §5).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertRequest {
    /// Number of this request in its message: 0 (RFC 9483 §4.1.1).
    pub cert_req_id: i64,
    /// The certificate that is wanted.
    pub cert_template: CertTemplate,
    /// Attributes of the issuing.
    pub controls: Option<Vec<SingleAttribute>>,
}

/// CertTemplate (RFC 4211 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Sequence)]
pub struct CertTemplate {
    /// Version.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub version: Option<u8>,
    /// Serial number: names a certificate that exists (in rr).
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub serial_number: Option<SerialNumber>,
    /// Signature algorithm.
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub signing_alg: Option<AlgorithmIdentifierOwned>,
    /// Issuer.
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub issuer: Option<Name>,
    /// Validity.
    #[asn1(context_specific = "4", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub validity: Option<OptionalValidity>,
    /// Subject.
    #[asn1(context_specific = "5", tag_mode = "EXPLICIT", constructed = "true", optional = "true")]
    pub subject: Option<Name>,
    /// SubjectPublicKeyInfo.
    #[asn1(context_specific = "6", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub public_key: Option<RawSequence>,
    /// Deprecated.
    #[asn1(context_specific = "7", tag_mode = "IMPLICIT", optional = "true")]
    pub issuer_uid: Option<BitString>,
    /// Deprecated.
    #[asn1(context_specific = "8", tag_mode = "IMPLICIT", optional = "true")]
    pub subject_uid: Option<BitString>,
    /// Extensions.
    #[asn1(context_specific = "9", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub extensions: Option<Vec<TemplateExtension>>,
}

/// OptionalValidity (RFC 4211 §5).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct OptionalValidity {
    /// Valid from.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub not_before: Option<Time>,
    /// Valid until.
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub not_after: Option<Time>,
}

/// Extension (RFC 5280 §4.1.2.9); the value may be personal data.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TemplateExtension {
    /// Which extension.
    pub extn_id: ObjectIdentifier,
    /// Must it be understood?
    #[asn1(default = "Default::default")]
    pub critical: bool,
    /// DER of the value.
    pub extn_value: RawOctets,
}

/// SingleAttribute (RFC 5912 §8): a control (RFC 4211 §6) or a regInfo (RFC 4211 §7).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SingleAttribute {
    /// Which attribute.
    pub attribute_type: ObjectIdentifier,
    /// Its one value.
    pub value: RawAny,
}

/// ProofOfPossession (RFC 4211 §4), as far as signing keys need it.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum ProofOfPossession {
    /// Somebody before us has verified it.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    RaVerified(Null),
    /// A signature by the key.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Signature(PopoSigningKey),
}

/// POPOSigningKey (RFC 4211 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PopoSigningKey {
    /// What is signed, where it is not the CertRequest.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub poposk_input: Option<RawSequence>,
    /// By which algorithm.
    pub algorithm_identifier: AlgorithmIdentifierOwned,
    /// The signature over the DER of the CertRequest.
    pub signature: BitString,
}

/// CertId (RFC 4211 §6.5).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct CertId {
    /// Who issued the certificate.
    pub issuer: GeneralName,
    /// Its serial number.
    pub serial_number: SerialNumber,
}

/// RevDetails (RFC 9810 §5.3.9).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct RevDetails {
    /// Which certificate: issuer and serial number (RFC 9483 §4.2).
    pub cert_details: CertTemplate,
    /// CRL entry extensions: the reason.
    pub crl_entry_details: Option<Vec<TemplateExtension>>,
}
