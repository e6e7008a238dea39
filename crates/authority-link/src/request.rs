//! What a terminal asks, as messages: addressed, to be protected by the terminal's key, and ready to be sent again.

use std::time::Duration;

use const_oid::db::{rfc5280, rfc5912};
use der::asn1::{GeneralizedTime, OctetString};
use der::{Decode, Encode, Enumerated, ErrorKind};
use hsm::SignatureAlgorithm;
use jiff::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::name::Name;
use zeroize::Zeroizing;

use crate::certification::CertificationRequest;
use crate::error::LinkError;
use crate::message::{
    CertStatus, CertTemplate, Failure, InfoTypeAndValue, NONCE_LENGTH, PVNO_2, PVNO_3, PkiBody, PkiHeader, PkiMessage,
    PkiStatusInfo, RawOctets, RawSequence, RevDetails, Salt, SharedSecret, TemplateExtension, TransactionId,
    Unprotected, directory_name,
};
use crate::own;
use crate::signature::algorithm_identifier;
use crate::state::{self, IssuerAndSerial};

/// 16 random bytes of one message.
pub type Nonce = [u8; NONCE_LENGTH];

/// Who this terminal is on the line. Its key stays in the HSM.
#[derive(Clone, Debug)]
pub struct Terminal {
    name: Name,
    key_id: Option<OctetString>,
    certificate: RawSequence,
    algorithm: SignatureAlgorithm,
    protection_alg: AlgorithmIdentifierOwned,
    authority: Name,
}

impl Terminal {
    /// A terminal whose messages are protected by the key of `certificate` (DER) with `algorithm`, and addressed to the
    /// holder of `authority_certificate` (DER).
    ///
    /// # Errors
    /// [`LinkError::Encoding`] if a certificate can't be read, [`LinkError::UnsupportedAlgorithm`].
    pub fn new(
        certificate: &[u8],
        algorithm: SignatureAlgorithm,
        authority_certificate: &[u8],
    ) -> Result<Self, LinkError> {
        let own = Certificate::from_der(certificate)?.tbs_certificate;
        Ok(Self {
            key_id: own.get::<SubjectKeyIdentifier>()?.map(|(_, id)| id.0),
            name: own.subject,
            certificate: RawSequence::new(certificate)?,
            algorithm,
            protection_alg: algorithm_identifier(algorithm).ok_or(LinkError::UnsupportedAlgorithm)?,
            authority: Certificate::from_der(authority_certificate)?.tbs_certificate.subject,
        })
    }

    /// By which algorithm the terminal's key protects its messages.
    #[must_use]
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Makes a message of `request`. `checkpoint` is the text of the audit log's latest checkpoint with its consistency proof
    /// (c2sp.org/tlog-witness), which goes with every request for the authority to witness.
    ///
    /// # Errors
    /// [`LinkError::Encoding`].
    pub fn address(
        &self,
        request: Request,
        transaction: TransactionId,
        nonce: Nonce,
        time: Timestamp,
        checkpoint: &str,
    ) -> Result<Outgoing, LinkError> {
        let sender = Sender {
            name: self.name.clone(),
            key_id: self.key_id.clone(),
            protection_alg: self.protection_alg.clone(),
            extra_certs: vec![self.certificate.clone()],
        };
        sender.address(&self.authority, request, transaction, nonce, time, checkpoint)
    }
}

/// A new terminal, which has no certificate yet, but a secret in common with the authority.
#[derive(Clone, Debug)]
pub struct Newcomer {
    name: Name,
    secret: SharedSecret,
    authority: Name,
}

impl Newcomer {
    /// The terminal of this name, whose messages are protected by `secret`, and addressed to the holder of `authority_certificate`
    /// (DER). `issuer` is the certificate (DER) of the authority's own issuer.
    ///
    /// # Errors
    /// [`LinkError::Encoding`] if a certificate can't be read.
    pub fn new(
        terminal: &str,
        secret: SharedSecret,
        issuer: &[u8],
        authority_certificate: &[u8],
    ) -> Result<Self, LinkError> {
        let issuer = Certificate::from_der(issuer)?.tbs_certificate.subject;
        let authority = Certificate::from_der(authority_certificate)?.tbs_certificate.subject;
        Ok(Self { name: own::named(&issuer, terminal)?, secret, authority })
    }

    /// Makes a message of `request`, with everything but its protection new for each message. `checkpoint` is as in
    /// [`Terminal::address`].
    ///
    /// # Errors
    /// [`LinkError::Encoding`].
    pub fn send(
        &self,
        request: Request,
        transaction: TransactionId,
        (nonce, salt): (Nonce, Salt),
        time: Timestamp,
        checkpoint: &str,
    ) -> Result<Sent, LinkError> {
        let protection_alg = self.secret.algorithm(&salt)?;
        let sender = Sender {
            name: self.name.clone(),
            key_id: Some(OctetString::new(self.secret.reference())?),
            protection_alg: protection_alg.clone(),
            extra_certs: Vec::new(),
        };
        let outgoing = sender.address(&self.authority, request, transaction, nonce, time, checkpoint)?;
        let mac = self.secret.protect(&protection_alg, outgoing.to_be_protected())?;
        outgoing.protect(&mac)
    }
}

/// What the header says of the sender.
struct Sender {
    name: Name,
    key_id: Option<OctetString>,
    protection_alg: AlgorithmIdentifierOwned,
    extra_certs: Vec<RawSequence>,
}

impl Sender {
    fn address(
        self,
        authority: &Name,
        request: Request,
        transaction: TransactionId,
        nonce: Nonce,
        time: Timestamp,
        checkpoint: &str,
    ) -> Result<Outgoing, LinkError> {
        let expected = Expected { transaction, nonce, answer: request.answer() };
        let answers = match &request {
            Request::Confirm(confirmation) => confirmation.answers.clone(),
            _ => None,
        };
        let pvno = match &request {
            Request::Confirm(Confirmation { hash: CertificateHash::StatedSha256(_), .. }) => PVNO_3,
            _ => PVNO_2,
        };
        let seconds = u64::try_from(time.as_second()).map_err(|_| der::Error::from(ErrorKind::DateTime))?;
        let header = PkiHeader {
            pvno,
            sender: directory_name(self.name),
            recipient: directory_name(authority.clone()),
            message_time: Some(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))?),
            protection_alg: Some(self.protection_alg),
            sender_kid: self.key_id,
            recip_kid: None,
            transaction_id: Some(OctetString::new(transaction.0)?),
            sender_nonce: Some(OctetString::new(nonce)?),
            recip_nonce: answers,
            free_text: None,
            general_info: Some(vec![state::carry_checkpoint(checkpoint)?]),
        };
        let message = Unprotected { header, body: request.into_body()?, extra_certs: self.extra_certs };
        Ok(Outgoing { to_be_protected: message.to_be_protected()?, message, expected })
    }
}

/// What a terminal can ask.
#[derive(Clone, Debug)]
pub enum Request {
    /// A certificate (ir).
    Certification(Box<CertificationRequest>),
    /// The first certificate of a new terminal (ir, RFC 9483 §4.1.1).
    Enrolment(Box<CertificationRequest>),
    /// The other certificate of a new terminal (cr, RFC 9483 §4.1.2).
    Addition(Box<CertificationRequest>),
    /// A successor of one of the terminal's own certificates (kur, RFC 9483 §4.1.3).
    Update(Box<CertificationRequest>),
    /// The certificate has arrived: it is kept, or refused (certConf).
    Confirm(Confirmation),
    /// Revoke this certificate, its successor has taken its place (rr with reason superseded).
    Supersede(IssuerAndSerial),
    /// Revoke this certificate, its key is gone and it has no successor yet (rr with reason cessationOfOperation).
    Retire(IssuerAndSerial),
    /// What became of the certificate with this SHA-256? (genm)
    StateOf([u8; 32]),
    /// Which checkpoint of this terminal's log was witnessed last? (genm)
    WitnessedCheckpoint,
    /// Which confirmed certificates have a predecessor that is still valid? (genm)
    Unsettled,
}

/// Whether a certificate is kept. Made of nothing but what the card knows, so that any terminal can make it again.
#[derive(Clone, Debug)]
pub struct Confirmation {
    hash: CertificateHash,
    answers: Option<OctetString>,
    rejection: Option<Failure>,
}

/// How a certConf names its certificate (RFC 9810 §5.3.18).
#[derive(Clone, Debug)]
enum CertificateHash {
    /// By the hash algorithm of the certificate's signature, which happens to be SHA-256.
    ImpliedSha256([u8; 32]),
    /// By SHA-256, and the message says so: needs pvno 3.
    StatedSha256([u8; 32]),
}

impl Confirmation {
    /// About the certificate with this SHA-256. That it is SHA-256 is stated in the message, because the certificate
    /// may be signed with another hash algorithm.
    #[must_use]
    pub fn by_sha256(sha256: [u8; 32]) -> Self {
        Self { hash: CertificateHash::StatedSha256(sha256), answers: None, rejection: None }
    }

    /// The same about a certificate that is signed with SHA-256: then nothing needs to be stated, and peers that speak
    /// pvno 2 alone understand it.
    #[must_use]
    pub fn implying_sha256(sha256: [u8; 32]) -> Self {
        Self { hash: CertificateHash::ImpliedSha256(sha256), answers: None, rejection: None }
    }

    /// Says that it answers the message with this nonce, if that is still known.
    ///
    /// # Errors
    /// If the nonce is too long for DER.
    pub fn answering(mut self, nonce: &[u8]) -> Result<Self, LinkError> {
        self.answers = Some(OctetString::new(nonce)?);
        Ok(self)
    }

    /// Refuses the certificate.
    #[must_use]
    pub fn rejecting(mut self, failure: Failure) -> Self {
        self.rejection = Some(failure);
        self
    }
}

impl Request {
    /// The message's name (RFC 9810 §5.1.2).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Certification(_) | Self::Enrolment(_) => "ir",
            Self::Addition(_) => "cr",
            Self::Update(_) => "kur",
            Self::Confirm(_) => "certConf",
            Self::Supersede(_) | Self::Retire(_) => "rr",
            Self::StateOf(_) | Self::WitnessedCheckpoint | Self::Unsettled => "genm",
        }
    }

    const fn answer(&self) -> ExpectedAnswer {
        match self {
            Self::Certification(_) | Self::Enrolment(_) => ExpectedAnswer::Ip,
            Self::Addition(_) => ExpectedAnswer::Cp,
            Self::Update(_) => ExpectedAnswer::Kup,
            Self::Confirm(_) => ExpectedAnswer::PkiConf,
            Self::Supersede(_) | Self::Retire(_) => ExpectedAnswer::Rp,
            Self::StateOf(sha256) => ExpectedAnswer::State(*sha256),
            Self::WitnessedCheckpoint => ExpectedAnswer::Checkpoint,
            Self::Unsettled => ExpectedAnswer::Unsettled,
        }
    }

    fn into_body(self) -> der::Result<PkiBody> {
        let question = |info: InfoTypeAndValue| PkiBody::Genm(vec![info]);
        Ok(match self {
            Self::Certification(request) | Self::Enrolment(request) => PkiBody::Ir(vec![request.0]),
            Self::Addition(request) => PkiBody::Cr(vec![request.0]),
            Self::Update(request) => PkiBody::Kur(vec![request.0]),
            Self::Confirm(confirmation) => PkiBody::CertConf(vec![confirmation.into_status()?]),
            Self::Supersede(certificate) => PkiBody::Rr(vec![revocation(certificate, CrlReason::Superseded)?]),
            Self::Retire(certificate) => PkiBody::Rr(vec![revocation(certificate, CrlReason::CessationOfOperation)?]),
            Self::StateOf(sha256) => question(state::ask_state(&sha256)?),
            Self::WitnessedCheckpoint => question(state::ask_witnessed_checkpoint()),
            Self::Unsettled => question(state::ask_unsettled()),
        })
    }
}

impl Confirmation {
    fn into_status(self) -> der::Result<CertStatus> {
        let (hash, hash_alg) = match self.hash {
            CertificateHash::ImpliedSha256(hash) => (hash, None),
            CertificateHash::StatedSha256(hash) => {
                (hash, Some(AlgorithmIdentifierOwned { oid: rfc5912::ID_SHA_256, parameters: None }))
            }
        };
        Ok(CertStatus {
            cert_hash: OctetString::new(hash)?,
            cert_req_id: 0,
            status_info: Some(
                self.rejection.map_or_else(PkiStatusInfo::accepted, |failure| PkiStatusInfo::rejection(failure, "")),
            ),
            hash_alg,
        })
    }
}

/// CRLReason (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
enum CrlReason {
    Superseded = 4,
    CessationOfOperation = 5,
}

fn revocation(certificate: IssuerAndSerial, reason: CrlReason) -> der::Result<RevDetails> {
    let reason = Zeroizing::new(reason.to_der()?);
    Ok(RevDetails {
        cert_details: CertTemplate {
            serial_number: Some(certificate.serial),
            issuer: Some(certificate.issuer),
            ..CertTemplate::default()
        },
        crl_entry_details: Some(vec![TemplateExtension {
            extn_id: rfc5280::ID_CE_CRL_REASONS,
            critical: false,
            extn_value: RawOctets::new(reason),
        }]),
    })
}

/// A message that lacks its protection.
#[derive(Debug)]
pub struct Outgoing {
    message: Unprotected,
    to_be_protected: Zeroizing<Vec<u8>>,
    expected: Expected,
}

impl Outgoing {
    /// The bytes that the terminal's key is to sign.
    #[must_use]
    pub fn to_be_protected(&self) -> &[u8] {
        &self.to_be_protected
    }

    /// The message, with the signature over [`to_be_protected`](Self::to_be_protected).
    ///
    /// # Errors
    /// [`LinkError::Message`] if it is too long.
    pub fn protect(self, signature: &[u8]) -> Result<Sent, LinkError> {
        Ok(Sent { bytes: self.message.protect(signature)?, expected: self.expected })
    }
}

impl Sent {
    /// A message that was sent before, as it was kept: its bytes, and what it asked.
    ///
    /// # Errors
    /// [`LinkError::Message`] if the bytes are no message of that kind.
    pub fn again(bytes: Zeroizing<Vec<u8>>) -> Result<Self, LinkError> {
        let message = PkiMessage::from_bytes(&bytes)?;
        let unexpected = LinkError::UnexpectedAnswer { expected: "a request", got: message.body.name() };
        let answer = match message.body {
            PkiBody::Ir(_) => ExpectedAnswer::Ip,
            PkiBody::Cr(_) => ExpectedAnswer::Cp,
            PkiBody::Kur(_) => ExpectedAnswer::Kup,
            PkiBody::CertConf(_) => ExpectedAnswer::PkiConf,
            PkiBody::Rr(_) => ExpectedAnswer::Rp,
            _ => return Err(unexpected),
        };
        let nonce = message.header.sender_nonce.as_ref().and_then(|nonce| nonce.as_bytes().try_into().ok());
        let (Some(transaction), Some(nonce)) = (TransactionId::of(&message.header), nonce) else {
            return Err(unexpected);
        };
        Ok(Self { bytes, expected: Expected { transaction, nonce, answer } })
    }
}

/// A message as it is sent. To repeat it is to send the same bytes again; the bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct Sent {
    bytes: Zeroizing<Vec<u8>>,
    expected: Expected,
}

impl Sent {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What its answer must be like.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sent({} bytes)", self.bytes.len())
    }
}

/// What the answer to a message must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub(crate) transaction: TransactionId,
    pub(crate) nonce: Nonce,
    pub(crate) answer: ExpectedAnswer,
}

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedAnswer {
    Ip,
    Cp,
    Kup,
    PkiConf,
    Rp,
    State([u8; 32]),
    Checkpoint,
    Unsettled,
}

impl ExpectedAnswer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Cp => "cp",
            Self::Kup => "kup",
            Self::PkiConf => "pkiconf",
            Self::Rp => "rp",
            Self::State(_) | Self::Checkpoint | Self::Unsettled => "genp",
        }
    }
}
