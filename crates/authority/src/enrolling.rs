//! Terminals' own certificates: an invitation lets a new terminal fetch its first two (ir, cr), each of which it renews in time
//! (kur). The same order as with cards holds: issued, confirmed, in use, and only then is the predecessor superseded.

use authority_link::message::{
    CertRepMessage, CertReqMsg, CertResponse, CertStatus, CertifiedKeyPair, Failure, PkiBody, PkiMessage, PkiStatus,
    PkiStatusInfo, ProtectionError, RawSequence, RevDetails, RevRepContent,
};
use authority_link::{Purpose, RequestedOwnCertificate, SharedSecret};
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::Null;
use der::{Decode, Encode};
use jiff::{SignedDuration, Timestamp};
use jpki::{Municipality, Validity};
use p256::pkcs8::DecodePublicKey;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use crate::authority::{Authority, Outcome};
use crate::certificate;
use crate::deciding::{answer, reason};
use crate::error::{RegistrationFault, SetupError};
use crate::exchange::{Credential, Incoming, Refusal};
use crate::issuing::{check_possession, items_refusal};
use crate::ocsp::serial;
use crate::setup::check_place;
use crate::signer::SignError;
use crate::store::{
    Change, Invitation, PersonId, RevocationReason, Sequence, State, StoreError, Terminal, TerminalCertificate,
    TerminalCertificateKey, TerminalDecision, TerminalId, Witness,
};

/// Letters and digits of a secret that is read out and typed: without I, L, O and U (Crockford's Base32).
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of a secret: 130 bits, which nobody tries out.
const SECRET: usize = 26;
/// Symbols of a reference.
const REFERENCE: usize = 8;

/// A terminal that is invited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its name: 1 to 64 of `A-Z a-z 0-9 - _ .`.
    pub name: String,
    /// 受付窓口識別記号: 9 capital letters and digits, the municipality's code first.
    pub window: String,
    /// The municipality for which it works.
    pub municipality: Municipality,
    /// A foreign CMP implementation under test, which has no log.
    pub test_peer: bool,
    /// Who invites it.
    pub by: PersonId,
    /// For how long.
    pub valid_for: SignedDuration,
}

/// What the terminal's installer needs to know.
pub struct Invited {
    /// By what the secret goes. Not secret.
    pub reference: String,
    /// The secret: to be told to the installer and to nobody else, and typed once.
    pub secret: Zeroizing<String>,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Puts a terminal on the allow-list that is to fetch its certificates itself, and gives the secret by which it is let in; any
    /// invitation before is void. A terminal that is there already keeps its certificates until it has come, and the key of its log.
    ///
    /// # Errors
    /// [`SetupError::BadRegistration`], [`SetupError::Store`].
    pub fn invite(&self, guest: &Guest, now: Timestamp, rng: &mut dyn CryptoRngCore) -> Result<Invited, SetupError> {
        let bad = |fault| SetupError::BadRegistration { terminal: guest.name.clone(), fault };
        check_place(&guest.window, &guest.municipality).map_err(bad)?;
        let id = TerminalId::new(&guest.name).ok_or_else(|| bad(RegistrationFault::Name))?;
        let (reference, secret) = (draw::<REFERENCE>(rng).to_string(), draw::<SECRET>(rng));
        let expires_at = now.saturating_add(guest.valid_for).unwrap_or(Timestamp::MAX);
        let terminal = Terminal {
            id,
            window: guest.window.clone(),
            municipality: guest.municipality.clone(),
            log_key: None,
            test_peer: guest.test_peer,
            authorised: true,
        };
        let invitation = Invitation {
            terminal: terminal.id.clone(),
            reference: reference.clone(),
            secret: Zeroizing::new(secret.as_bytes().to_vec()),
            by: guest.by.clone(),
            at: now,
            expires_at,
            used_at: None,
        };
        self.store().invite(&terminal, &invitation)?;
        Ok(Invited { reference, secret, expires_at })
    }

    /// The invited terminal whose secret protects the message.
    pub(crate) fn guest(
        &self,
        message: &PkiMessage,
        reference: &[u8],
        now: Timestamp,
    ) -> Result<(Terminal, Credential), Refusal> {
        let unknown =
            || Refusal::new(Failure::SignerNotTrusted, "there is no such invitation, or it was used or has expired");
        let mut invitations = self.store().invitations()?.into_iter();
        let invitation = invitations.find(|invitation| invitation.reference.as_bytes() == reference);
        let invitation = invitation.filter(|invitation| invitation.is_open(now)).ok_or_else(unknown)?;
        let secret = SharedSecret::new(&invitation.reference, invitation.secret.clone());
        message.verify_mac_by(&secret).map_err(|error| {
            let is_other = matches!(error, ProtectionError::MacAlgorithm);
            let failure = if is_other { Failure::BadAlg } else { Failure::BadMessageCheck };
            Refusal::new(failure, error.to_string())
        })?;
        let mut terminal = self.store().terminal(&invitation.terminal)?.ok_or_else(unknown)?;
        // A new terminal shows its log with its first message: the key comes in the request, and is kept with its effect.
        if let (None, PkiBody::Ir(messages)) = (&terminal.log_key, &message.body)
            && let [request] = messages.as_slice()
        {
            terminal.log_key = RequestedOwnCertificate::read(request).map_err(items_refusal)?.log_key;
        }
        Ok((terminal, Credential::Invitation(invitation)))
    }

    /// Answers an ir under an invitation, a cr, a kur.
    pub(crate) fn issue_own(
        &self,
        incoming: &Incoming,
        messages: &[CertReqMsg],
        witness: Option<Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Outcome, Refusal> {
        if self.store().transaction_known(&incoming.transaction.0)? {
            return Err(Refusal::new(Failure::TransactionIdInUse, "the transaction ID was used for another request"));
        }
        let [message] = messages else {
            return Err(Refusal::new(Failure::BadRequest, "one transaction asks for one certificate"));
        };
        if message.cert_req.cert_req_id != 0 {
            return Err(Refusal::new(Failure::BadRequest, "certReqId is not 0"));
        }
        let request = RequestedOwnCertificate::read(message).map_err(items_refusal)?;
        self.check_names(&request, &incoming.terminal)?;
        check_possession(message, &request.spki)?;
        p256::PublicKey::from_public_key_der(&request.spki)
            .map_err(|_| Refusal::new(Failure::BadCertTemplate, "the key is not ECDSA P-256"))?;
        let (purpose, predecessor) = self.check_occasion(incoming, &request, now)?;
        self.check_key(&request, incoming, purpose, predecessor)?;
        let log_key = self.new_log_key(incoming, request.log_key)?;

        let issued = self.certify_terminal(&incoming.terminal.id, purpose, &request.spki, self.own_period(now))?;
        let response = CertRepMessage {
            ca_pubs: Some(vec![RawSequence::new(&self.credentials().infrastructure.to_der()?)?]),
            response: vec![CertResponse {
                cert_req_id: 0,
                status: PkiStatusInfo::accepted(),
                certified_key_pair: Some(CertifiedKeyPair { certificate: RawSequence::new(&issued.certificate)? }),
                rsp_info: None,
            }],
        };
        let body = match &incoming.body {
            PkiBody::Cr(_) => PkiBody::Cp(response),
            PkiBody::Kur(_) => PkiBody::Kup(response),
            _ => PkiBody::Ip(response),
        };
        let (response, nonce) = self.answer(incoming, body, witness.as_ref(), now, rng)?;
        // Whoever asks again has lost the answer, or has begun anew: there is never more than one that waits.
        let waiting = self.store().terminal_certificates(&incoming.terminal.id)?.into_iter();
        let waiting = waiting.filter(|own| own.purpose == purpose && own.state == State::Issued);
        let issued =
            TerminalCertificate { predecessor, transaction: Some(incoming.transaction.0.to_vec()), nonce, ..issued };
        self.settle(Change {
            terminal_certificate: Some(issued),
            terminal_decisions: waiting.map(|own| decision(&own, State::Revoked, now)).collect(),
            log_key,
            answer: Some(answer(incoming, true, response, now)),
            witness,
            ..Change::default()
        })
    }

    fn check_names(&self, request: &RequestedOwnCertificate, terminal: &Terminal) -> Result<(), Refusal> {
        let own = &self.credentials().infrastructure.tbs_certificate.subject;
        if request.issuer.as_ref().is_some_and(|issuer| issuer != own) {
            return Err(Refusal::new(Failure::WrongAuthority, "terminals have their certificates from another issuer"));
        }
        if request.terminal.as_ref().is_some_and(|name| name != terminal.id.as_str()) {
            return Err(Refusal::new(Failure::NotAuthorized, "the subject is not this terminal"));
        }
        Ok(())
    }

    /// For what the certificate is, and which one it replaces: by what the terminal has shown.
    fn check_occasion(
        &self,
        incoming: &Incoming,
        request: &RequestedOwnCertificate,
        now: Timestamp,
    ) -> Result<(Purpose, Option<u64>), Refusal> {
        let template = |text: &str| Refusal::new(Failure::BadCertTemplate, text);
        let (purpose, predecessor) = match (&incoming.body, &incoming.credential) {
            (PkiBody::Ir(_), _) => (Purpose::Messages, None),
            (PkiBody::Cr(_), Credential::Certificate(signer)) => {
                self.check_addition(signer, now)?;
                (Purpose::Line, None)
            }
            (PkiBody::Kur(_), Credential::Certificate(signer)) => {
                let serial_of = |name: &authority_link::IssuerAndSerial| serial(name.serial.as_bytes());
                let infrastructure = &self.credentials().infrastructure.tbs_certificate.subject;
                let named = request.predecessor.as_ref().filter(|name| name.issuer == *infrastructure);
                if named.and_then(serial_of) != Some(signer.serial) {
                    let text = "oldCertID does not name the certificate under which the message is signed";
                    return Err(Refusal::new(Failure::BadCertId, text));
                }
                (signer.purpose, Some(signer.serial))
            }
            _ => return Err(Refusal::new(Failure::BadRequest, "this request is not made under an invitation")),
        };
        if predecessor.is_none() && request.predecessor.is_some() {
            return Err(Refusal::new(Failure::BadRequest, "oldCertID has no place in this request"));
        }
        if request.purpose.map_or(predecessor.is_none() && !incoming.terminal.test_peer, |asked| asked != purpose) {
            return Err(template("extKeyUsage is not that of the certificate that is due"));
        }
        Ok((purpose, predecessor))
    }

    /// A cr completes an enrolment, and is good for nothing else: the terminal has come for its first certificate, and has got none
    /// for the line since.
    fn check_addition(&self, signer: &TerminalCertificate, now: Timestamp) -> Result<(), Refusal> {
        let own = self.store().terminal_certificates(&signer.terminal)?;
        let has_one = own.iter().any(|other| {
            other.purpose == Purpose::Line && other.is_valid(now) && other.confirmed_at >= signer.confirmed_at
        });
        if signer.predecessor.is_some() || has_one {
            return Err(Refusal::new(Failure::BadRequest, "this terminal has its certificates: it may renew them"));
        }
        Ok(())
    }

    /// A key is one terminal's and for one purpose; a successor has one of its own.
    fn check_key(
        &self,
        request: &RequestedOwnCertificate,
        incoming: &Incoming,
        purpose: Purpose,
        predecessor: Option<u64>,
    ) -> Result<(), Refusal> {
        let known = self.store().terminal_certificates_for(&Sha256::digest(&request.spki).into())?;
        let is_taken = known.iter().any(|other| {
            let is_ours = other.terminal == incoming.terminal.id && other.purpose == purpose;
            !is_ours || (predecessor.is_some() && other.confirmed_at.is_some())
        });
        if is_taken {
            return Err(Refusal::new(Failure::DuplicateCertReq, "there is a certificate for this key already"));
        }
        Ok(())
    }

    /// The key of the log, if it becomes known now.
    fn new_log_key(
        &self,
        incoming: &Incoming,
        offered: Option<Vec<u8>>,
    ) -> Result<Option<(TerminalId, Vec<u8>)>, Refusal> {
        let template = |text: &str| Err(Refusal::new(Failure::BadCertTemplate, text));
        let terminal = &incoming.terminal;
        let registered = self.store().terminal(&terminal.id)?.and_then(|terminal| terminal.log_key);
        match (offered, registered, &incoming.credential) {
            (Some(_), _, Credential::Certificate(_)) => template("the log's key has no place in this request"),
            (Some(offered), Some(registered), _) if offered != registered => {
                template("the log's key is not the registered one")
            }
            (Some(_), Some(_), _) | (None, Some(_), _) => Ok(None),
            (Some(offered), None, _) => match p256::PublicKey::from_public_key_der(&offered) {
                Ok(_) => Ok(Some((terminal.id.clone(), offered))),
                Err(_) => template("the log's key is not ECDSA P-256"),
            },
            (None, None, _) if terminal.test_peer => Ok(None),
            (None, None, _) => template("the log's key is missing"),
        }
    }

    /// From now, for the days that the settings say, at most as long as the issuer.
    fn own_period(&self, now: Timestamp) -> Validity {
        let days = SignedDuration::from_hours(24 * i64::from(self.config().terminal_certificate_days));
        let (_, last) = authority_link::validity(&self.credentials().infrastructure);
        Validity { not_before: now, not_after: now.saturating_add(days).unwrap_or(last).min(last) }
    }

    /// Signs a certificate for a terminal, which waits for its confirmation.
    pub(crate) fn certify_terminal(
        &self,
        terminal: &TerminalId,
        purpose: Purpose,
        spki: &[u8],
        period: Validity,
    ) -> Result<TerminalCertificate, CertifyError> {
        let credentials = self.credentials();
        let serial = self.store().allocate(Sequence::InfrastructureSerial)?;
        let certificate = certificate::infrastructure(
            self.names(),
            (&credentials.infrastructure, &credentials.infrastructure_signer),
            certificate::Purpose::Terminal(purpose),
            terminal.as_str(),
            &SubjectPublicKeyInfoOwned::from_der(spki).map_err(SignError::from)?,
            serial,
            period,
        )?;
        let certificate = certificate.to_der().map_err(SignError::from)?;
        Ok(TerminalCertificate {
            serial,
            terminal: terminal.clone(),
            purpose,
            sha256: Sha256::digest(&certificate).into(),
            certificate,
            public_key: Sha256::digest(spki).into(),
            state: State::Issued,
            predecessor: None,
            transaction: None,
            nonce: [0; 16],
            issued_at: period.not_before,
            not_after: period.not_after,
            confirmed_at: None,
            revoked_at: None,
        })
    }

    /// The terminal's own certificate that was issued in this transaction, if it is about one.
    pub(crate) fn own_of_transaction(&self, incoming: &Incoming) -> Result<Option<TerminalCertificate>, Refusal> {
        Ok(self.store().terminal_certificate(TerminalCertificateKey::Transaction(&incoming.transaction.0))?)
    }

    /// Answers a certConf about a terminal's own certificate.
    pub(crate) fn confirm_own(
        &self,
        incoming: &Incoming,
        statuses: &[CertStatus],
        own: TerminalCertificate,
        witness: Option<Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Outcome, Refusal> {
        let [status] = statuses else {
            return Err(Refusal::new(Failure::BadRequest, "one transaction confirms one certificate"));
        };
        // The signature of these certificates is with SHA-256, so that nothing needs to be stated.
        let hash_fits = status.hash_alg.as_ref().is_none_or(|stated| stated.oid == ID_SHA_256);
        let is_named = status.cert_req_id == 0 && hash_fits && status.cert_hash.as_bytes() == own.sha256;
        if !is_named || own.terminal != incoming.terminal.id || !has_asked(&incoming.credential, &own) {
            return Err(Refusal::new(Failure::BadCertId, "the certificate is not the one of this transaction"));
        }
        if incoming.header.recip_nonce.as_ref().is_some_and(|nonce| nonce.as_bytes() != own.nonce) {
            return Err(Refusal::new(
                Failure::BadRecipientNonce,
                "recipNonce is not that of the certificate's message",
            ));
        }
        let accepted = match status.status_info.as_ref().map_or(PkiStatus::Accepted, |info| info.status) {
            PkiStatus::Accepted | PkiStatus::GrantedWithMods => true,
            PkiStatus::Rejection => false,
            _ => return Err(Refusal::new(Failure::BadRequest, "the status is neither accepted nor rejected")),
        };
        let mut change = Change::default();
        match (own.state, accepted) {
            (State::Issued, true) => {
                change.terminal_decisions = self.replaced_by(&own, &incoming.credential, now)?;
                change.terminal_decisions.push(decision(&own, State::Valid, now));
                if let Credential::Invitation(invitation) = &incoming.credential {
                    change.used_invitation = Some((invitation.reference.clone(), now));
                }
            }
            (State::Issued, false) => change.terminal_decisions.push(decision(&own, State::Revoked, now)),
            (State::Valid, true) | (State::Revoked, false) => {}
            (State::Valid, false) => {
                return Err(Refusal::new(Failure::CertConfirmed, "the certificate is confirmed already"));
            }
            (State::Revoked, true) | (State::Superseded, _) => {
                return Err(Refusal::new(Failure::CertRevoked, "the certificate is revoked"));
            }
        }
        let (response, _) = self.answer(incoming, PkiBody::PkiConf(Null), witness.as_ref(), now, rng)?;
        self.settle(Change { answer: Some(answer(incoming, false, response, now)), witness, ..change })
    }

    /// What a confirmation supersedes. A successor leaves its predecessor as it is, and takes the place of any other successor; the
    /// second certificate of an enrolment takes the place of everything that the terminal had before it came.
    fn replaced_by(
        &self,
        own: &TerminalCertificate,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Vec<TerminalDecision>, Refusal> {
        let signer = match credential {
            Credential::Certificate(signer) => signer.serial,
            Credential::Invitation(_) => return Ok(Vec::new()),
        };
        let others = self.store().terminal_certificates(&own.terminal)?.into_iter();
        let replaced = others.filter(|other| {
            let rivals = match own.predecessor {
                Some(_) => other.predecessor == own.predecessor && other.purpose == own.purpose,
                None => other.serial != signer,
            };
            rivals && other.serial != own.serial && other.state == State::Valid
        });
        Ok(replaced.map(|other| decision(&other, State::Superseded, now)).collect())
    }

    /// Is it a terminal's own certificate that this names?
    pub(crate) fn names_own(&self, details: &[RevDetails]) -> bool {
        let infrastructure = &self.credentials().infrastructure.tbs_certificate.subject;
        matches!(details, [details] if details.cert_details.issuer.as_ref() == Some(infrastructure))
    }

    /// Answers an rr about one of the terminal's own certificates: nobody else's.
    pub(crate) fn revoke_own(
        &self,
        incoming: &Incoming,
        details: &[RevDetails],
        witness: Option<Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Outcome, Refusal> {
        if self.store().transaction_known(&incoming.transaction.0)? {
            return Err(Refusal::new(Failure::TransactionIdInUse, "the transaction ID was used for another request"));
        }
        let [details] = details else {
            return Err(Refusal::new(Failure::BadRequest, "one transaction revokes one certificate"));
        };
        let unknown = || Refusal::new(Failure::BadCertId, "no such certificate was issued to this terminal");
        let named = details.cert_details.serial_number.as_ref().and_then(|number| serial(number.as_bytes()));
        let named = TerminalCertificateKey::Serial(named.ok_or_else(unknown)?);
        let own = self.store().terminal_certificate(named)?.ok_or_else(unknown)?;
        if own.terminal != incoming.terminal.id {
            return Err(unknown());
        }
        let mut change = Change::default();
        match (reason(details.crl_entry_details.as_deref())?, own.state) {
            (RevocationReason::Superseded, State::Superseded) => {}
            (RevocationReason::Superseded, State::Valid) => {
                let all = self.store().terminal_certificates(&own.terminal)?;
                // What has signed this is in use; for messages it is to be the successor itself, not its predecessor.
                let is_used = |other: &TerminalCertificate| match &incoming.credential {
                    Credential::Certificate(signer) => own.purpose == Purpose::Line || signer.serial == other.serial,
                    Credential::Invitation(_) => false,
                };
                let mut successors = all.iter().filter(|other| other.predecessor == Some(own.serial));
                if !successors.any(|other| other.is_valid(now) && is_used(other)) {
                    return Err(Refusal::new(Failure::BadRequest, "no successor of this certificate is in use"));
                }
                change.terminal_decisions.push(decision(&own, State::Superseded, now));
            }
            (_, State::Issued | State::Valid) => change.terminal_decisions.push(decision(&own, State::Revoked, now)),
            (_, State::Revoked | State::Superseded) => {
                return Err(Refusal::new(Failure::CertRevoked, "the certificate is revoked already"));
            }
        }
        let body = PkiBody::Rp(RevRepContent { status: vec![PkiStatusInfo::accepted()], rev_certs: None, crls: None });
        let (response, _) = self.answer(incoming, body, witness.as_ref(), now, rng)?;
        self.settle(Change { answer: Some(answer(incoming, true, response, now)), witness, ..change })
    }
}

/// A certificate is for what it is for: that of the line renews itself, and says nothing else; an invitation leads to a first
/// certificate, and nowhere else.
pub(crate) fn check_use(incoming: &Incoming) -> Result<(), Refusal> {
    let fits = match (&incoming.credential, &incoming.body) {
        (Credential::Invitation(_), body) => matches!(body, PkiBody::Ir(_) | PkiBody::CertConf(_)),
        (credential @ Credential::Certificate(_), body) => {
            credential.is_for_messages() || matches!(body, PkiBody::Kur(_) | PkiBody::CertConf(_))
        }
    };
    if fits { Ok(()) } else { Err(Refusal::not_for_this()) }
}

/// Is this the credential under which the certificate was asked for?
fn has_asked(credential: &Credential, own: &TerminalCertificate) -> bool {
    match (credential, own.predecessor) {
        (Credential::Certificate(signer), Some(predecessor)) => signer.serial == predecessor,
        (Credential::Certificate(signer), None) => own.purpose == Purpose::Line && signer.purpose == Purpose::Messages,
        (Credential::Invitation(_), predecessor) => predecessor.is_none() && own.purpose == Purpose::Messages,
    }
}

fn decision(own: &TerminalCertificate, to: State, at: Timestamp) -> TerminalDecision {
    TerminalDecision { serial: own.serial, from: own.state, to, at }
}

/// Random symbols. There are 32 of them, so that each is as likely.
fn draw<const N: usize>(rng: &mut dyn CryptoRngCore) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; N]);
    rng.fill_bytes(&mut *bytes);
    let mut drawn = Zeroizing::new(String::with_capacity(N));
    drawn.extend(bytes.iter().map(|byte| char::from(SYMBOLS[usize::from(byte % 32)])));
    drawn
}

/// Why a terminal's certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<CertifyError> for Refusal {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::Store(error) => error.into(),
            CertifyError::Sign(error) => error.into(),
        }
    }
}

impl From<CertifyError> for SetupError {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::Store(error) => error.into(),
            CertifyError::Sign(error) => error.into(),
        }
    }
}
