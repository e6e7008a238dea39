//! One message in, one message out: what holds for every kind of request.

use authority_link::message::{
    ErrorMsgContent, Failure, NONCE_LENGTH, PVNO_2, PVNO_3, PkiBody, PkiHeader, PkiMessage, PkiStatusInfo,
    ProtectionError, RawSequence, Salt, TransactionId, Unprotected, directory_name,
};
use authority_link::state::{LogAlarmKind, PROOF_WANTED, WitnessState};
use authority_link::{Purpose, SharedSecret};
use const_oid::db::rfc4519::CN;
use der::asn1::{GeneralizedTime, OctetString};
use der::{Decode, Encode};
use jiff::Timestamp;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use x509_cert::certificate::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::authority::Authority;
use crate::certificate::{date_time, key_identifier};
use crate::signer::SignError;
use crate::store::{
    AlarmKind, Answer, Digest, Invitation, State, StoreError, Terminal, TerminalCertificate, TerminalCertificateKey,
    TerminalId, Witness,
};
use crate::witness::WitnessError;

/// A request that was read, and whose sender is known and may ask.
pub(crate) struct Incoming {
    pub(crate) header: PkiHeader,
    pub(crate) body: PkiBody,
    pub(crate) transaction: TransactionId,
    /// SHA-256 of the message.
    pub(crate) digest: Digest,
    pub(crate) terminal: Terminal,
    pub(crate) credential: Credential,
}

/// Who is at the other end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer<'a> {
    /// This terminal, by its certificate.
    Terminal(&'a TerminalId),
    /// Somebody who shows no certificate on the terminals' line: may ask for a first one.
    Newcomer,
    /// Nothing is known of it: plain HTTP, if the settings allow that.
    Unknown,
}

/// By what a terminal protects a message.
#[derive(Clone)]
pub(crate) enum Credential {
    /// By the secret of its invitation.
    Invitation(Invitation),
    /// By the key of one of its own certificates.
    Certificate(Box<TerminalCertificate>),
}

impl Credential {
    /// The secret that protects the answers, too.
    pub(crate) fn secret(&self) -> Option<SharedSecret> {
        match self {
            Self::Invitation(invitation) => Some(SharedSecret::new(&invitation.reference, invitation.secret.clone())),
            Self::Certificate(_) => None,
        }
    }

    /// Does it speak for a terminal that is enrolled? An invitation and the line's certificate do not.
    pub(crate) fn is_for_messages(&self) -> bool {
        matches!(self, Self::Certificate(own) if own.purpose == Purpose::Messages)
    }
}

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
#[error("{failure:?}: {text}")]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) text: String,
    /// errorCode of the answer: `docs/protocols/authority.md`.
    pub(crate) code: Option<i64>,
}

impl Refusal {
    pub(crate) fn new(failure: Failure, text: impl Into<String>) -> Self {
        Self { failure, text: text.into(), code: None }
    }

    /// The credential is good, and meant for something else.
    pub(crate) fn not_for_this() -> Self {
        Self::new(Failure::NotAuthorized, "the sender's credential is not for this")
    }

    /// The refusal of every request under a log that does not continue what was witnessed.
    pub(crate) fn log_alarm(kind: AlarmKind, witnessed: u64, offered: u64) -> Self {
        let text = match kind {
            AlarmKind::RolledBack => format!("log alarm: {offered} entries where {witnessed} were witnessed"),
            AlarmKind::Forked => format!("log alarm: not the log of which {witnessed} entries were witnessed"),
            AlarmKind::KeyReplaced => "log alarm: the checkpoint is not signed by this terminal's log key".to_owned(),
        };
        Self { failure: Failure::NotAuthorized, text, code: Some(LogAlarmKind::from(kind) as i64) }
    }

    /// The request is to come again with another proof.
    pub(crate) fn proof_wanted(seen: u64) -> Self {
        let text = format!("the consistency proof is to begin at the {seen} entries that were witnessed");
        Self { failure: Failure::AddInfoNotAvailable, text, code: Some(PROOF_WANTED) }
    }
}

impl From<AlarmKind> for LogAlarmKind {
    fn from(kind: AlarmKind) -> Self {
        match kind {
            AlarmKind::RolledBack => Self::RolledBack,
            AlarmKind::Forked => Self::Forked,
            AlarmKind::KeyReplaced => Self::KeyReplaced,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::new(Failure::SystemUnavail, "the authority's store is not available")
    }
}

impl From<SignError> for Refusal {
    fn from(error: SignError) -> Self {
        tracing::error!(%error, "signing failed");
        Self::new(Failure::SystemUnavail, "the authority can't sign")
    }
}

impl From<der::Error> for Refusal {
    fn from(error: der::Error) -> Self {
        Self::from(SignError::from(error))
    }
}

impl From<WitnessError> for Refusal {
    fn from(error: WitnessError) -> Self {
        Self::new(Failure::AddInfoNotAvailable, error.to_string())
    }
}

impl Authority {
    /// Reads a message and makes sure who sent it. An answer that was given before to the same bytes is found here,
    /// before anything about the message's time or nonces is looked at.
    pub(crate) fn receive(
        &self,
        request: &[u8],
        message: PkiMessage,
        peer: Peer<'_>,
        now: Timestamp,
    ) -> Result<Received, Refusal> {
        let digest: Digest = Sha256::digest(request).into();
        let enrols = self.enrols(&message)?;
        if let Some(answer) = self.store().answer(&digest)? {
            self.admit(peer, &answer.terminal, enrols)?;
            return Ok(Received::Repeated(answer));
        }
        let (terminal, credential) = self.sender(&message, now)?;
        self.admit(peer, &terminal.id, enrols)?;
        let transaction = check_header(&message.header)?;
        self.check_extra(&message, &terminal)?;
        self.check_time(&message.header, now)?;
        let PkiMessage { header, body, .. } = message;
        Ok(Received::New(Box::new(Incoming { header, body, transaction, digest, terminal, credential })))
    }

    /// The terminal that protected the message, and by what.
    fn sender(&self, message: &PkiMessage, now: Timestamp) -> Result<(Terminal, Credential), Refusal> {
        if let Some(reference) = message.mac_reference() {
            return self.guest(message, reference, now);
        }
        let unknown = || Refusal::new(Failure::SignerNotTrusted, "the sender is not registered here");
        let id = common_name(&message.header.sender).and_then(TerminalId::new).ok_or_else(unknown)?;
        let terminal = self.store().terminal(&id)?.ok_or_else(unknown)?;
        let own = self.signers_certificate(message, &id)?.ok_or_else(unknown)?;
        message.verify_signed_by(&Certificate::from_der(&own.certificate)?, now).map_err(|error| {
            let failure = match error {
                ProtectionError::Foreign | ProtectionError::NoSigner | ProtectionError::NotValidNow { .. } => {
                    Failure::SignerNotTrusted
                }
                ProtectionError::Missing => Failure::WrongIntegrity,
                _ => Failure::BadMessageCheck,
            };
            Refusal::new(failure, error.to_string())
        })?;
        Ok((terminal, Credential::Certificate(Box::new(own))))
    }

    /// The certificate of this terminal under which the message is said to be signed: the one that it carries, else the latest that
    /// is for messages.
    fn signers_certificate(
        &self,
        message: &PkiMessage,
        terminal: &TerminalId,
    ) -> Result<Option<TerminalCertificate>, Refusal> {
        let mut own = self.store().terminal_certificates(terminal)?;
        own.retain(|certificate| certificate.state == State::Valid);
        let Some(carried) = message.extra_certs.iter().flatten().next() else {
            return Ok(own.into_iter().rfind(|certificate| certificate.purpose == Purpose::Messages));
        };
        let carried: Digest = Sha256::digest(&*carried.der()?).into();
        Ok(own.into_iter().find(|certificate| certificate.sha256 == carried))
    }

    /// May the message come over a line on which the terminal shows no certificate, because it asks for its first ones?
    fn enrols(&self, message: &PkiMessage) -> Result<bool, Refusal> {
        Ok(match &message.body {
            _ if message.mac_reference().is_some() => true,
            PkiBody::Cr(_) => true,
            PkiBody::CertConf(_) => match TransactionId::of(&message.header) {
                Some(id) => self.store().terminal_certificate(TerminalCertificateKey::Transaction(&id.0))?.is_some(),
                None => false,
            },
            _ => false,
        })
    }

    /// The terminal must still be on the allow-list, and be the one at the other end of the line.
    fn admit(&self, peer: Peer<'_>, terminal: &TerminalId, enrols: bool) -> Result<(), Refusal> {
        let refused = |text| Err(Refusal::new(Failure::NotAuthorized, text));
        match peer {
            Peer::Terminal(peer) if peer == terminal => {}
            Peer::Terminal(_) => return refused("the message and the line belong to different terminals"),
            Peer::Newcomer if enrols => {}
            Peer::Unknown if self.config().plain_http_cmp => {}
            Peer::Newcomer | Peer::Unknown => return refused("this authority wants mutual TLS"),
        }
        match self.store().terminal(terminal)? {
            Some(Terminal { authorised: true, .. }) => Ok(()),
            _ => refused("the terminal is not authorised"),
        }
    }

    /// Nothing goes with a message that is not asked for: who we are, one certificate, one checkpoint.
    fn check_extra(&self, message: &PkiMessage, terminal: &Terminal) -> Result<(), Refusal> {
        let own = directory_name(self.credentials().cmp.tbs_certificate.subject.clone());
        if message.header.recipient != own {
            return Err(Refusal::new(Failure::WrongAuthority, "the message is for another recipient"));
        }
        let unasked = |what| Err(Refusal::new(Failure::BadRequest, format!("{what} has no place in a request")));
        if message.header.free_text.is_some() {
            return unasked("freeText");
        }
        let checkpoint = authority_link::state::LOG_CHECKPOINT;
        let infos = message.header.general_info.as_deref().unwrap_or_default();
        if infos.len() > 1 || infos.iter().any(|info| info.info_type != checkpoint) {
            return unasked("this generalInfo");
        }
        // A foreign client sends its chain along.
        let certificates = message.extra_certs.as_ref().map_or(0, Vec::len);
        if certificates > 1 && !terminal.test_peer {
            return unasked("another certificate");
        }
        Ok(())
    }

    fn check_time(&self, header: &PkiHeader, now: Timestamp) -> Result<(), Refusal> {
        let bad = |text: &str| Refusal::new(Failure::BadTime, text);
        let time = header.message_time.ok_or_else(|| bad("messageTime is missing"))?;
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
        let time =
            seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| bad("messageTime"))?;
        if now.duration_since(time).abs() > self.config().clock_tolerance() {
            return Err(bad("messageTime is too far from the authority's clock"));
        }
        Ok(())
    }

    /// The answer to a request whose sender is known, as a message, and its senderNonce. `next` is the checkpoint that is
    /// about to be remembered.
    pub(crate) fn answer(
        &self,
        incoming: &Incoming,
        body: PkiBody,
        next: Option<&Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, [u8; NONCE_LENGTH]), Refusal> {
        let witness = self.witness_state(&incoming.terminal, next)?;
        let to = To { header: Some(&incoming.header), secret: incoming.credential.secret() };
        Ok(self.reply(&to, body, witness.as_ref(), now, rng)?)
    }

    fn reply(
        &self,
        to: &To<'_>,
        body: PkiBody,
        witness: Option<&WitnessState>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, [u8; NONCE_LENGTH]), SignError> {
        let credentials = self.credentials();
        let (mut nonce, mut salt) = ([0; NONCE_LENGTH], Salt::default());
        rng.fill_bytes(&mut nonce);
        let (protection_alg, key_id) = match &to.secret {
            Some(secret) => {
                rng.fill_bytes(&mut salt);
                (secret.algorithm(&salt)?, OctetString::new(secret.reference())?)
            }
            None => {
                let key = &credentials.cmp.tbs_certificate.subject_public_key_info;
                (credentials.cmp_signer.algorithm_identifier(), key_identifier(key)?)
            }
        };
        let (secret, to) = (&to.secret, to.header);
        let certificate = &credentials.cmp.tbs_certificate;
        // RFC 9483 §3.1: answers repeat the version, the transaction ID and the nonce of what they answer.
        let header = PkiHeader {
            pvno: to.map_or(PVNO_2, |header| if header.pvno == PVNO_3 { PVNO_3 } else { PVNO_2 }),
            sender: directory_name(certificate.subject.clone()),
            recipient: to.map_or_else(|| directory_name(Name::default()), |header| header.sender.clone()),
            message_time: Some(GeneralizedTime::from_date_time(date_time(now)?)),
            protection_alg: Some(protection_alg.clone()),
            sender_kid: Some(key_id),
            recip_kid: None,
            transaction_id: to.and_then(|header| header.transaction_id.clone()),
            sender_nonce: Some(OctetString::new(nonce)?),
            recip_nonce: to.and_then(|header| header.sender_nonce.clone()),
            free_text: None,
            general_info: witness.map(|witness| witness.to_info().map(|info| vec![info])).transpose()?,
        };
        let extra_certs = vec![RawSequence::new(&credentials.cmp.to_der()?)?];
        let message = Unprotected { header, body, extra_certs };
        let to_be_protected = message.to_be_protected().map_err(malformed)?;
        let protection = match secret {
            // Our own algorithm is one that is accepted.
            Some(secret) => secret
                .protect(&protection_alg, &to_be_protected)
                .map_err(|_| der::Error::from(der::ErrorKind::Failed))?,
            None => credentials.cmp_signer.sign(&to_be_protected)?,
        };
        Ok((message.protect(&protection).map_err(malformed)?.to_vec(), nonce))
    }

    /// The refusal as a message. If even that can't be signed, it goes without protection (RFC 9483 §3.6.4 allows
    /// that for errors).
    pub(crate) fn refuse(
        &self,
        to: &To<'_>,
        refusal: Refusal,
        witness: Option<&WitnessState>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<u8> {
        let body = PkiBody::Error(ErrorMsgContent {
            pki_status_info: PkiStatusInfo::rejection(refusal.failure, refusal.text),
            error_code: refusal.code,
            error_details: None,
        });
        match self.reply(to, body.clone(), witness, now, rng) {
            Ok((message, _)) => message,
            Err(error) => {
                tracing::error!(%error, "the refusal goes unsigned");
                unprotected(to.header, self.credentials().cmp.tbs_certificate.subject.clone(), body).unwrap_or_default()
            }
        }
    }
}

/// To what, and to whom, an answer is given.
#[derive(Default)]
pub(crate) struct To<'a> {
    /// Header of the request, if it could be read.
    pub(crate) header: Option<&'a PkiHeader>,
    /// The secret that protected it.
    pub(crate) secret: Option<SharedSecret>,
}

/// A message whose sender is known.
pub(crate) enum Received {
    /// These bytes have been answered before.
    Repeated(Answer),
    /// They have not.
    New(Box<Incoming>),
}

fn check_header(header: &PkiHeader) -> Result<TransactionId, Refusal> {
    if header.pvno != PVNO_2 && header.pvno != PVNO_3 {
        return Err(Refusal::new(Failure::UnsupportedVersion, "pvno is neither 2 nor 3"));
    }
    // RFC 9483 §3.1: 128 bits of randomness.
    if header.sender_nonce.as_ref().is_none_or(|nonce| nonce.as_bytes().len() < NONCE_LENGTH) {
        return Err(Refusal::new(Failure::BadSenderNonce, "senderNonce has fewer than 16 bytes"));
    }
    TransactionId::of(header)
        .ok_or_else(|| Refusal::new(Failure::BadDataFormat, "transactionID does not have 16 bytes"))
}

fn unprotected(to: Option<&PkiHeader>, sender: Name, body: PkiBody) -> Option<Vec<u8>> {
    let header = PkiHeader {
        pvno: PVNO_2,
        sender: directory_name(sender),
        recipient: to.map_or_else(|| directory_name(Name::default()), |header| header.sender.clone()),
        message_time: None,
        protection_alg: None,
        sender_kid: None,
        recip_kid: None,
        transaction_id: to.and_then(|header| header.transaction_id.clone()),
        sender_nonce: None,
        recip_nonce: to.and_then(|header| header.sender_nonce.clone()),
        free_text: None,
        general_info: None,
    };
    let message = PkiMessage { header, body, protection: None, extra_certs: None };
    message.to_bytes().ok().map(|bytes| bytes.to_vec())
}

/// The only way in which a message of ours can fail to become bytes.
fn malformed(error: authority_link::message::MessageError) -> der::Error {
    match error {
        authority_link::message::MessageError::Malformed(error) => error,
        _ => der::ErrorKind::Overlength.into(),
    }
}

fn common_name(name: &GeneralName) -> Option<&str> {
    let GeneralName::DirectoryName(name) = name else { return None };
    let attribute = name.0.iter().flat_map(|rdn| rdn.0.iter()).find(|attribute| attribute.oid == CN)?;
    std::str::from_utf8(attribute.value.value()).ok()
}
