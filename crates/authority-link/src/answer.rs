//! The authority's answers.

use der::Decode;
use jiff::Timestamp;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::error::LinkError;
use crate::message::{
    CertRepMessage, FailureInfo, InfoTypeAndValue, MessageError, PkiBody, PkiMessage, PkiStatus, PkiStatusInfo,
    ProtectionError, RevRepContent, SharedSecret, TransactionId,
};
use crate::request::{Expected, ExpectedAnswer};
use crate::state::{self, CertificateState, UnsettledCase, WitnessState};

/// The one authority whose answers a terminal takes.
#[derive(Clone, Debug)]
pub struct Authority {
    certificate: Certificate,
    /// What a new terminal has in common with it.
    secret: Option<SharedSecret>,
}

impl Authority {
    /// The authority that signs its messages with the key of this certificate (DER), and no other.
    ///
    /// # Errors
    /// [`LinkError::Encoding`] if the certificate can't be read.
    pub fn pinned(certificate: &[u8]) -> Result<Self, LinkError> {
        Ok(Self { certificate: Certificate::from_der(certificate)?, secret: None })
    }

    /// The same, which protects its answers by `secret` as the questions are. What it refuses because it knows no such secret, it
    /// signs.
    #[must_use]
    pub fn sharing(self, secret: SharedSecret) -> Self {
        Self { secret: Some(secret), ..self }
    }

    fn verify(&self, message: &PkiMessage, at: Timestamp) -> Result<(), ProtectionError> {
        match &self.secret {
            Some(secret) if message.mac_reference().is_some() || !matches!(message.body, PkiBody::Error(_)) => {
                message.verify_mac_by(secret)
            }
            _ => message.verify_signed_by(&self.certificate, at),
        }
    }
}

/// What the authority answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// The certificate is issued; it becomes valid when it is confirmed.
    Issued {
        /// The certificate, DER.
        certificate: Zeroizing<Vec<u8>>,
        /// Certificate of the certification authority, DER, if it was sent.
        ca_certificate: Option<Vec<u8>>,
        /// The answer's nonce, which a confirmation may repeat.
        nonce: Option<Vec<u8>>,
    },
    /// The confirmation was heard.
    Confirmed,
    /// The certificate is revoked.
    Revoked,
    /// What became of a certificate.
    State(CertificateState),
    /// The checkpoint that was witnessed last; none if there was none.
    Checkpoint(Option<String>),
    /// Confirmed certificates whose predecessor is still valid.
    Unsettled(Vec<UnsettledCase>),
    /// Not done.
    Refused {
        /// Why.
        failure: FailureInfo,
        /// The authority's own number for it, where it has one (`docs/protocols/authority.md` §6).
        code: Option<i64>,
        /// The authority's words, for diagnosis.
        text: String,
    },
}

/// Personal data are not shown.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Issued { certificate, .. } => write!(f, "Issued({} bytes)", certificate.len()),
            Self::Confirmed => f.write_str("Confirmed"),
            Self::Revoked => f.write_str("Revoked"),
            Self::State(state) => f.debug_tuple("State").field(state).finish(),
            Self::Checkpoint(checkpoint) => f.debug_tuple("Checkpoint").field(checkpoint).finish(),
            Self::Unsettled(cases) => f.debug_tuple("Unsettled").field(cases).finish(),
            Self::Refused { failure, code, text } => {
                f.debug_struct("Refused").field("failure", failure).field("code", code).field("text", text).finish()
            }
        }
    }
}

/// An answer, and what the authority says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The answer.
    pub answer: Answer,
    /// What the authority says as the witness of this terminal's log; none from an authority that is no witness.
    pub witness: Option<WitnessState>,
}

/// Opens an answer: reads it, verifies that `authority` has made it, at a time (`at`) when its certificate is valid, and
/// that it answers the message that was sent.
///
/// # Errors
/// See [`LinkError`]. A refusal is not an error but [`Answer::Refused`].
pub fn open_answer(
    bytes: &[u8],
    expected: &Expected,
    authority: &Authority,
    at: Timestamp,
) -> Result<Answer, LinkError> {
    open(bytes, expected, authority, at).map(|opened| opened.answer)
}

/// The same, with what the authority says beside its answer.
///
/// # Errors
/// See [`LinkError`]. A refusal is not an error but [`Answer::Refused`].
pub fn open(bytes: &[u8], expected: &Expected, authority: &Authority, at: Timestamp) -> Result<Opened, LinkError> {
    let message = PkiMessage::from_bytes(bytes)?;
    authority.verify(&message, at)?;
    if TransactionId::of(&message.header) != Some(expected.transaction) {
        return Err(LinkError::WrongTransaction);
    }
    if message.header.recip_nonce.as_ref().is_none_or(|nonce| nonce.as_bytes() != expected.nonce) {
        return Err(LinkError::WrongNonce);
    }
    let witness = WitnessState::of(&message.header).map_err(MessageError::from)?;
    let nonce = message.header.sender_nonce.map(|nonce| nonce.into_bytes());
    let unexpected = |got| LinkError::UnexpectedAnswer { expected: expected.answer.name(), got };
    let answer = match (expected.answer, message.body) {
        (_, PkiBody::Error(content)) => Ok(refused(&content.pki_status_info, content.error_code)),
        (ExpectedAnswer::Ip, PkiBody::Ip(content))
        | (ExpectedAnswer::Cp, PkiBody::Cp(content))
        | (ExpectedAnswer::Kup, PkiBody::Kup(content)) => issued(&content, nonce),
        (ExpectedAnswer::PkiConf, PkiBody::PkiConf(_)) => Ok(Answer::Confirmed),
        (ExpectedAnswer::Rp, PkiBody::Rp(content)) => revoked(&content),
        (answer, PkiBody::Genp(content)) if answer.name() == "genp" => {
            let [info] = content.as_slice() else { return Err(unexpected("genp with several values")) };
            told(answer, info).map_err(|_| unexpected("genp of another kind"))?.ok_or(unexpected("another certificate"))
        }
        (_, body) => Err(unexpected(body.name())),
    }?;
    Ok(Opened { answer, witness })
}

fn issued(content: &CertRepMessage, nonce: Option<Vec<u8>>) -> Result<Answer, LinkError> {
    let unexpected = |got| LinkError::UnexpectedAnswer { expected: "ip", got };
    let [response] = content.response.as_slice() else {
        return Err(unexpected("ip with several responses"));
    };
    if response.cert_req_id != 0 {
        return Err(unexpected("ip to another request"));
    }
    match (response.status.status, &response.certified_key_pair) {
        (PkiStatus::Accepted | PkiStatus::GrantedWithMods, Some(granted)) => {
            let ca_certificate = content.ca_pubs.iter().flatten().next().map(|ca| ca.der()).transpose()?;
            Ok(Answer::Issued {
                certificate: granted.certificate.der()?,
                ca_certificate: ca_certificate.map(|der| der.to_vec()),
                nonce,
            })
        }
        (PkiStatus::Rejection, None) => Ok(refused(&response.status, None)),
        (PkiStatus::Waiting, None) => Err(unexpected("waiting")),
        _ => Err(unexpected("ip that neither grants nor rejects")),
    }
}

fn revoked(content: &RevRepContent) -> Result<Answer, LinkError> {
    match content.status.as_slice() {
        [status] => match status.status {
            PkiStatus::Accepted | PkiStatus::GrantedWithMods => Ok(Answer::Revoked),
            PkiStatus::Rejection => Ok(refused(status, None)),
            _ => Err(LinkError::UnexpectedAnswer { expected: "rp", got: "rp that neither grants nor rejects" }),
        },
        _ => Err(LinkError::UnexpectedAnswer { expected: "rp", got: "rp with several statuses" }),
    }
}

/// Nothing if the answer is about another certificate than was asked.
fn told(answer: ExpectedAnswer, info: &InfoTypeAndValue) -> der::Result<Option<Answer>> {
    Ok(match answer {
        ExpectedAnswer::State(sha256) => {
            let state = CertificateState::from_info(info)?;
            (state.sha256 == sha256).then_some(Answer::State(state))
        }
        ExpectedAnswer::Checkpoint => Some(Answer::Checkpoint(state::read_witnessed_checkpoint(info)?)),
        ExpectedAnswer::Unsettled => Some(Answer::Unsettled(state::read_unsettled(info)?)),
        ExpectedAnswer::Ip
        | ExpectedAnswer::Cp
        | ExpectedAnswer::Kup
        | ExpectedAnswer::PkiConf
        | ExpectedAnswer::Rp => None,
    })
}

fn refused(status: &PkiStatusInfo, code: Option<i64>) -> Answer {
    Answer::Refused { failure: status.fail_info.unwrap_or_default(), code, text: status.text() }
}
