//! How one certificate is fetched, step by step.

use audit_log::{Outcome, SignedCheckpoint};
use authority_link::message::{FailureInfo, PkiMessage};
use authority_link::state::PROOF_WANTED;
use authority_link::{
    Answer, Authority, AuthorityLine, CertificationRequest, Confirmation, IssuerAndSerial, Newcomer, OwnCertificate,
    Purpose, Request, Sent, SharedSecret, TlsClient, TransactionId,
};
use der::Decode;
use hsm::custody::CustodyError;
use hsm::{HsmError, KeyKind, KeyName, SignatureAlgorithm};
use jiff::Timestamp;
use madoguchi_time::{Deadline, Recovery};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use super::files::{self, AuthorityFiles, Occasion, Pending};
use super::{HSM, IdentityError, OwnCertificates, generation, key_name, key_of, line_client, purpose_name};
use crate::line::failure_name;
use crate::logbook::{Intent, LogBook, What};
use crate::site::SiteConfig;
use crate::state::StateError;

/// How long one exchange may take.
const EXCHANGE: Duration = Duration::from_secs(30);
/// How often one message is sent. Sending the same bytes again is harmless: the authority recognises them.
const ATTEMPTS: u32 = 3;
/// How often a request is made: what was kept of an interrupted one may be too old, and the authority may want another proof of the
/// log.
const REQUESTS: u32 = 4;

/// The terminal's keys are on P-256 (`docs/protocols/authority.md` §2).
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// Asks whoever installs the terminal for the secret of its invitation; only if it is needed.
pub type Invitation<'a> = &'a mut dyn FnMut() -> Result<SharedSecret, IdentityError>;

/// A certificate that was fetched and is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// What it is for: `messages` or `line`.
    pub purpose: &'static str,
    /// The name of its key in the HSM.
    pub key: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

impl OwnCertificates<'_> {
    /// Fetches both certificates under an invitation. What was interrupted is gone on with, the secret then being asked for only if
    /// the first certificate is not confirmed yet. The authority's certificates must be in the state folder ([`AuthorityFiles`]).
    ///
    /// # Errors
    /// [`IdentityError`]. As long as a new certificate is not in use the one before it stays, if there is one.
    pub fn enrol(&mut self, invitation: Invitation<'_>) -> Result<Vec<Fetched>, IdentityError> {
        let mut desk = Desk::open(self)?;
        if let Some(both) = desk.complete()? {
            return Ok(both);
        }
        let first = match desk.has_first()? {
            Some(fetched) => fetched,
            None => {
                let secret = invitation()?;
                desk.discard_of_another(&secret)?;
                desk.fetch(Purpose::Messages, Occasion::Invitation, Some(&secret))?
            }
        };
        match desk.fetch(Purpose::Line, Occasion::Addition, None) {
            Ok(second) => Ok(vec![first, second]),
            Err(refused @ IdentityError::Refused { .. }) if !is_passing(&refused) => {
                // The first certificate is no good any more: the next invitation begins with it.
                files::forget(desk.own.state, Purpose::Messages)?;
                Err(refused)
            }
            Err(error) => Err(error),
        }
    }

    /// Renews what is due, or everything if `all`, and goes on with what was interrupted. The answer is what is new.
    ///
    /// # Errors
    /// [`IdentityError::NotEnrolled`], [`IdentityError::Expired`]; see [`IdentityError`]. Certificates in use stay in use until their
    /// successors are.
    pub fn renew(&mut self, all: bool) -> Result<Vec<Fetched>, IdentityError> {
        if super::status(&*self.state, self.clock.wall())?.len() < Purpose::BOTH.len() {
            return Err(IdentityError::NotEnrolled);
        }
        let mut desk = Desk::open(self)?;
        desk.complete()?;
        let mut fetched = Vec::new();
        let own = super::status(&*desk.own.state, desk.own.clock.wall())?;
        for (purpose, status) in Purpose::BOTH.into_iter().zip(own) {
            if status.expired {
                return Err(IdentityError::Expired { purpose: status.purpose, not_after: status.not_after });
            }
            if all || status.due || status.under_way {
                fetched.push(desk.fetch(purpose, Occasion::Renewal, None)?);
            }
        }
        Ok(fetched)
    }
}

/// By what a message is protected.
enum Speaker {
    Newcomer(Box<Newcomer>),
    Own(Box<authority_link::Terminal>, KeyName),
}

/// Where the work is done: the folder is taken, the log is open.
struct Desk<'d, 'a> {
    own: &'d mut OwnCertificates<'a>,
    site: SiteConfig,
    authority: AuthorityFiles,
    log: LogBook,
}

impl<'d, 'a> Desk<'d, 'a> {
    fn open(own: &'d mut OwnCertificates<'a>) -> Result<Self, IdentityError> {
        own.state.lock()?;
        let site = SiteConfig::load(&*own.state)?;
        let authority = AuthorityFiles::load(&*own.state)?;
        let mut log = LogBook::open(own.state, own.hsm, &site.terminal, own.clock.deadline_in(HSM))?;
        log.close_interrupted(own.state, own.clock.wall())?;
        Ok(Self { own, site, authority, log })
    }

    /// The first certificate, if it is in use already and the enrolment only lacks the second.
    fn has_first(&self) -> Result<Option<Fetched>, IdentityError> {
        let Some(pending) = files::pending(&*self.own.state, Purpose::Messages)? else { return Ok(None) };
        let in_use = files::own(&*self.own.state, Purpose::Messages)?;
        let is_first = pending.occasion == Occasion::Invitation && pending.confirmed && pending.certificate == in_use;
        if is_first { pending.fetched(Purpose::Messages).map(Some) } else { Ok(None) }
    }

    /// Both certificates of an enrolment that was interrupted when all was done but forgetting that it was under way.
    fn complete(&mut self) -> Result<Option<Vec<Fetched>>, IdentityError> {
        let Some(second) = files::pending(&*self.own.state, Purpose::Line)? else { return Ok(None) };
        let is_in_use = second.confirmed && second.certificate == files::own(&*self.own.state, Purpose::Line)?;
        if second.occasion != Occasion::Addition || !is_in_use {
            return Ok(None);
        }
        let first = files::own(&*self.own.state, Purpose::Messages)?.ok_or(IdentityError::NotEnrolled)?;
        let key = key_of(self.own.hsm, &first, Purpose::Messages, self.deadline())?;
        let both = vec![fetched(Purpose::Messages, key.as_str(), &first)?, second.fetched(Purpose::Line)?];
        self.forget(Purpose::Line, Occasion::Addition)?;
        Ok(Some(both))
    }

    /// What was asked for under another invitation is of no use.
    fn discard_of_another(&mut self, secret: &SharedSecret) -> Result<(), IdentityError> {
        let Some(pending) = files::pending(&*self.own.state, Purpose::Messages)? else { return Ok(()) };
        let message = PkiMessage::from_bytes(&pending.request).ok();
        if message.as_ref().and_then(PkiMessage::mac_reference) != Some(secret.reference()) {
            files::forget(self.own.state, Purpose::Messages)?;
        }
        Ok(())
    }

    /// Fetches one certificate and takes it into use.
    fn fetch(
        &mut self,
        purpose: Purpose,
        occasion: Occasion,
        secret: Option<&SharedSecret>,
    ) -> Result<Fetched, IdentityError> {
        let pending = self.confirmed(purpose, occasion, secret)?;
        let certificate = pending.certificate.clone().ok_or(IdentityError::NotEnrolled)?;
        if files::own(&*self.own.state, purpose)?.as_ref() != Some(&certificate) {
            // The first certificate of all is proved by the request for the second.
            if occasion != Occasion::Invitation {
                self.prove(purpose, &certificate, &KeyName::new(pending.key.clone()))?;
            }
            let intent = self.intend("own-certificate-use", purpose)?;
            let used = files::take_into_use(self.own.state, purpose, &certificate).map_err(IdentityError::from);
            self.account(intent, &used)?;
            used?;
        }
        if occasion == Occasion::Renewal {
            self.supersede(purpose, &pending)?;
        }
        self.log.keep_witnessed(self.own.state)?;
        self.forget(purpose, occasion)?;
        pending.fetched(purpose)
    }

    /// It is over. The first certificate of an enrolment waits for the second, which is the last to be forgotten.
    fn forget(&mut self, purpose: Purpose, occasion: Occasion) -> Result<(), StateError> {
        match occasion {
            Occasion::Invitation => return Ok(()),
            Occasion::Addition => files::forget(self.own.state, Purpose::Messages)?,
            Occasion::Renewal => {}
        }
        files::forget(self.own.state, purpose)
    }

    /// A certificate that the authority has issued and holds as confirmed.
    fn confirmed(
        &mut self,
        purpose: Purpose,
        occasion: Occasion,
        secret: Option<&SharedSecret>,
    ) -> Result<Pending, IdentityError> {
        let mut refusal = IdentityError::NotEnrolled;
        for _ in 0..REQUESTS {
            let kept = files::pending(&*self.own.state, purpose)?.filter(|pending| pending.occasion == occasion);
            let kept = kept.filter(|pending| self.has_key(&pending.key));
            let is_old = kept.is_some();
            let mut pending = match kept {
                Some(pending) => pending,
                None => self.draft(purpose, occasion, secret)?,
            };
            let settled = self.settle(purpose, secret, &mut pending);
            match settled {
                Ok(()) => return Ok(pending),
                Err(Ended { error, proof_wanted }) => {
                    let is_refused = matches!(error, IdentityError::Refused { .. }) && !is_passing(&error);
                    if is_refused || matches!(error, IdentityError::NotAsAsked(_) | IdentityError::OtherAuthority) {
                        files::forget(self.own.state, purpose)?;
                    }
                    // What was kept may have waited too long; another proof may be wanted.
                    if !(is_refused && (is_old || proof_wanted)) {
                        return Err(error);
                    }
                    refusal = error;
                }
            }
        }
        Err(refusal)
    }

    fn has_key(&self, key: &str) -> bool {
        let found = self.own.hsm.public_key(&KeyName::new(key), self.deadline());
        !matches!(found, Err(HsmError::NoSuchKey(_)))
    }

    /// A request that is kept before it is sent for the first time.
    fn draft(
        &mut self,
        purpose: Purpose,
        occasion: Occasion,
        secret: Option<&SharedSecret>,
    ) -> Result<Pending, IdentityError> {
        let predecessor = match occasion {
            Occasion::Renewal => files::own(&*self.own.state, purpose)?,
            Occasion::Invitation | Occasion::Addition => None,
        };
        let key = self.key_for(purpose, occasion)?;
        let spki = self.own.hsm.public_key(&key, self.deadline())?;
        let log_key = match occasion {
            Occasion::Invitation => {
                Some(self.own.hsm.public_key(&KeyName::new(KeyName::LOG_SIGNING), self.deadline())?)
            }
            _ => None,
        };
        let replaced = predecessor.as_deref().map(named).transpose()?;
        let draft = CertificationRequest::draft_own(&OwnCertificate {
            log_key: log_key.as_deref(),
            predecessor: replaced.as_ref(),
            ..self.asked(purpose, &spki)
        })?;
        let proof = self.own.hsm.sign(&key, ALGORITHM, draft.to_be_proved(), self.deadline())?;
        let request = Box::new(draft.prove(&proof)?);
        let request = match occasion {
            Occasion::Invitation => Request::Enrolment(request),
            Occasion::Addition => Request::Addition(request),
            Occasion::Renewal => Request::Update(request),
        };
        let speaker = self.speaker(purpose, occasion, secret)?;
        let transaction = TransactionId(self.draw());
        let sent = self.protect(&speaker, request, transaction)?;
        let pending = Pending {
            occasion,
            key: key.as_str().to_owned(),
            predecessor,
            request: sent.bytes().to_vec(),
            certificate: None,
            confirmation: None,
            confirmed: false,
        };
        files::keep(self.own.state, purpose, &pending)?;
        Ok(pending)
    }

    fn asked<'b>(&'b self, purpose: Purpose, spki: &'b [u8]) -> OwnCertificate<'b> {
        OwnCertificate {
            purpose,
            terminal: &self.site.terminal,
            spki,
            issuer: &self.authority.infrastructure_ca,
            log_key: None,
            predecessor: None,
        }
    }

    /// A first certificate is for the key that is there; a successor for a new one, so that no key lives longer than a certificate.
    fn key_for(&mut self, purpose: Purpose, occasion: Occasion) -> Result<KeyName, IdentityError> {
        let in_use = match files::own(&*self.own.state, purpose)? {
            Some(certificate) => match key_of(self.own.hsm, &certificate, purpose, self.deadline()) {
                Ok(key) => Some(key),
                // Another HSM than before: that is what a new invitation is for.
                Err(IdentityError::Hsm(HsmError::NoSuchKey(_))) if occasion != Occasion::Renewal => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        if occasion != Occasion::Renewal {
            return Ok(in_use.unwrap_or_else(|| key_name(purpose, 1)));
        }
        let in_use = in_use.ok_or(IdentityError::NotEnrolled)?;
        let next = key_name(purpose, generation(purpose, &in_use) + 1);
        // There already, if it was made before an interruption.
        match self.own.hsm.public_key(&next, self.deadline()) {
            Ok(_) => return Ok(next),
            Err(HsmError::NoSuchKey(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let custody = self.own.custody.ok_or(IdentityError::NoKey)?;
        let intent = self.intend("own-key-make", purpose)?;
        let made = match custody.create(&next, KeyKind::EcP256, self.deadline()) {
            Ok(()) => Ok(()),
            Err(CustodyError::Hsm(error)) => Err(IdentityError::Hsm(error)),
            Err(error) => Err(IdentityError::Keys(error)),
        };
        self.account(intent, &made)?;
        made.map(|()| next)
    }

    /// Asks, checks, confirms: as far as it has not been done.
    fn settle(&mut self, purpose: Purpose, secret: Option<&SharedSecret>, pending: &mut Pending) -> Result<(), Ended> {
        if pending.confirmed {
            return Ok(());
        }
        let mut authority = Authority::pinned(&self.authority.messages).map_err(IdentityError::from)?;
        if let (Occasion::Invitation, Some(secret)) = (pending.occasion, secret) {
            authority = authority.sharing(secret.clone());
        }
        let client = match pending.occasion {
            Occasion::Renewal => Some(self.client()?),
            Occasion::Invitation | Occasion::Addition => None,
        };
        let mut line = (self.own.open)(client)?;
        if pending.certificate.is_none() {
            let intent = self.intend("own-certificate-ask", purpose)?;
            let request = Sent::again(Zeroizing::new(pending.request.clone())).map_err(IdentityError::from)?;
            let answered = self.exchange(&mut *line, &request, &authority);
            let answered = answered.and_then(|answer| match answer {
                Answer::Issued { certificate, ca_certificate, .. } => Ok((certificate.to_vec(), ca_certificate)),
                other => Err(refused(other)),
            });
            self.account_ended(intent, &answered)?;
            let (certificate, issuer) = answered?;
            self.check(purpose, pending, &certificate, issuer.as_deref())?;
            pending.certificate = Some(certificate);
            files::keep(self.own.state, purpose, pending).map_err(IdentityError::from)?;
        }
        if pending.confirmation.is_none() {
            let request = PkiMessage::from_bytes(&pending.request).map_err(authority_link::LinkError::from);
            let transaction = request.map_err(IdentityError::from)?.header;
            let transaction = TransactionId::of(&transaction).ok_or(IdentityError::NotEnrolled)?;
            let hash = Sha256::digest(pending.certificate.as_deref().unwrap_or_default()).into();
            let speaker = self.speaker(purpose, pending.occasion, secret)?;
            let confirmation = Request::Confirm(Confirmation::implying_sha256(hash));
            pending.confirmation = Some(self.protect(&speaker, confirmation, transaction)?.bytes().to_vec());
            files::keep(self.own.state, purpose, pending).map_err(IdentityError::from)?;
        }
        let intent = self.intend("own-certificate-confirm", purpose)?;
        let confirmation = pending.confirmation.clone().unwrap_or_default();
        let confirmation = Sent::again(Zeroizing::new(confirmation)).map_err(IdentityError::from)?;
        let answered = self.exchange(&mut *line, &confirmation, &authority);
        line.close();
        let answered = answered.and_then(|answer| match answer {
            Answer::Confirmed => Ok(()),
            other => Err(refused(other)),
        });
        self.account_ended(intent, &answered)?;
        answered?;
        pending.confirmed = true;
        Ok(files::keep(self.own.state, purpose, pending).map_err(IdentityError::from)?)
    }

    /// The certificate against key and profile, and the issuer against what was brought along: under an invitation the answer is
    /// from somebody who knows the secret, which the files in `trust/` are not.
    fn check(
        &self,
        purpose: Purpose,
        pending: &Pending,
        certificate: &[u8],
        issuer: Option<&[u8]>,
    ) -> Result<(), IdentityError> {
        if pending.occasion == Occasion::Invitation && issuer != Some(self.authority.infrastructure_ca.as_slice()) {
            return Err(IdentityError::OtherAuthority);
        }
        let spki = self.own.hsm.public_key(&KeyName::new(pending.key.clone()), self.deadline())?;
        let now = self.own.clock.wall();
        Ok(authority_link::check_own_certificate(certificate, &self.asked(purpose, &spki), now)?)
    }

    /// Asks something without effect as the one that the new certificate says.
    fn prove(&mut self, purpose: Purpose, certificate: &[u8], key: &KeyName) -> Result<(), IdentityError> {
        let new = TlsClient { certificate: certificate.to_vec(), key: key.clone() };
        let (client, speaker) = match purpose {
            Purpose::Line => (new, self.speaker_in_use(Purpose::Messages)?),
            Purpose::Messages => (self.client()?, self.speaker_of(certificate, key.clone())?),
        };
        let mut line = (self.own.open)(Some(client))?;
        let told = self.ask(&mut *line, &speaker, &Request::WitnessedCheckpoint)?;
        line.close();
        match told {
            Answer::Checkpoint(_) => Ok(()),
            other => Err(refused(other).error),
        }
    }

    /// Has the predecessor superseded, and destroys its key.
    fn supersede(&mut self, purpose: Purpose, pending: &Pending) -> Result<(), IdentityError> {
        let Some(predecessor) = &pending.predecessor else { return Ok(()) };
        let speaker = self.speaker_in_use(Purpose::Messages)?;
        let mut line = (self.own.open)(Some(self.client()?))?;
        let intent = self.intend("own-certificate-supersede", purpose)?;
        let answered = self.ask(&mut *line, &speaker, &Request::Supersede(named(predecessor)?));
        line.close();
        let answered = answered.and_then(|answer| match answer {
            Answer::Revoked => Ok(()),
            other => Err(refused(other).error),
        });
        self.account(intent, &answered)?;
        answered?;
        self.destroy_key_of(predecessor, purpose)
    }

    fn destroy_key_of(&mut self, certificate: &[u8], purpose: Purpose) -> Result<(), IdentityError> {
        let Some(custody) = self.own.custody else { return Ok(()) };
        let key = match key_of(self.own.hsm, certificate, purpose, self.deadline()) {
            Ok(key) => key,
            Err(IdentityError::Hsm(HsmError::NoSuchKey(_))) => return Ok(()),
            Err(error) => return Err(error),
        };
        let intent = self.intend("own-key-destroy", purpose)?;
        let destroyed = custody.destroy(&key, self.deadline()).map_err(IdentityError::from);
        self.account(intent, &destroyed)?;
        destroyed
    }

    fn client(&self) -> Result<TlsClient, IdentityError> {
        line_client(&*self.own.state, self.own.hsm, self.own.clock.wall(), self.deadline())
    }

    fn speaker(
        &self,
        purpose: Purpose,
        occasion: Occasion,
        secret: Option<&SharedSecret>,
    ) -> Result<Speaker, IdentityError> {
        match (occasion, secret) {
            (Occasion::Invitation, Some(secret)) => {
                let AuthorityFiles { infrastructure_ca, messages, .. } = &self.authority;
                let newcomer = Newcomer::new(&self.site.terminal, secret.clone(), infrastructure_ca, messages)?;
                Ok(Speaker::Newcomer(Box::new(newcomer)))
            }
            (Occasion::Invitation, None) => Err(IdentityError::NotEnrolled),
            (Occasion::Addition, _) => self.speaker_in_use(Purpose::Messages),
            (Occasion::Renewal, _) => self.speaker_in_use(purpose),
        }
    }

    fn speaker_in_use(&self, purpose: Purpose) -> Result<Speaker, IdentityError> {
        let certificate = files::own(&*self.own.state, purpose)?.ok_or(IdentityError::NotEnrolled)?;
        let key = key_of(self.own.hsm, &certificate, purpose, self.deadline())?;
        self.speaker_of(&certificate, key)
    }

    fn speaker_of(&self, certificate: &[u8], key: KeyName) -> Result<Speaker, IdentityError> {
        let terminal = authority_link::Terminal::new(certificate, ALGORITHM, &self.authority.messages)?;
        Ok(Speaker::Own(Box::new(terminal), key))
    }

    /// A question without effect or with one that may be asked for twice.
    fn ask(
        &mut self,
        line: &mut dyn AuthorityLine,
        speaker: &Speaker,
        request: &Request,
    ) -> Result<Answer, IdentityError> {
        let authority = Authority::pinned(&self.authority.messages)?;
        let mut refusal = IdentityError::NotEnrolled;
        for _ in 0..REQUESTS {
            let transaction = TransactionId(self.draw());
            let sent = self.protect(speaker, request.clone(), transaction)?;
            match self.exchange(line, &sent, &authority) {
                Ok(answer) => return Ok(answer),
                Err(Ended { error, proof_wanted: true }) => refusal = error,
                Err(Ended { error, .. }) => return Err(error),
            }
        }
        Err(refusal)
    }

    /// Sends a message, and again if it or its answer was lost.
    fn exchange(&mut self, line: &mut dyn AuthorityLine, sent: &Sent, authority: &Authority) -> Result<Answer, Ended> {
        let mut attempt = 1;
        loop {
            let deadline = self.own.clock.deadline_in(EXCHANGE);
            let opened = line.exchange(sent.bytes(), deadline).map_err(IdentityError::from).and_then(|answer| {
                Ok(authority_link::open(&answer, sent.expected(), authority, self.own.clock.wall())?)
            });
            match opened {
                Ok(opened) => {
                    if let Some(witness) = &opened.witness {
                        self.log.told(witness);
                    }
                    return match opened.answer {
                        refusal @ Answer::Refused { .. } => Err(refused(refusal)),
                        answer => Ok(answer),
                    };
                }
                Err(error) if attempt == ATTEMPTS || !is_worth_another(&error) => return Err(error.into()),
                Err(_) => attempt += 1,
            }
        }
    }

    fn protect(
        &mut self,
        speaker: &Speaker,
        request: Request,
        transaction: TransactionId,
    ) -> Result<Sent, IdentityError> {
        let deadline = self.deadline();
        let checkpoint: SignedCheckpoint = self.log.checkpoint(self.own.state, self.own.hsm, deadline)?;
        let shown = self.log.shown(&checkpoint);
        let now = self.own.clock.wall();
        let nonce = self.draw();
        match speaker {
            Speaker::Newcomer(newcomer) => {
                let salt = self.draw();
                Ok(newcomer.send(request, transaction, (nonce, salt), now, &shown)?)
            }
            Speaker::Own(terminal, key) => {
                let outgoing = terminal.address(request, transaction, nonce, now, &shown)?;
                let signature = self.own.hsm.sign(key, ALGORITHM, outgoing.to_be_protected(), self.deadline())?;
                Ok(outgoing.protect(&signature)?)
            }
        }
    }

    fn intend(&mut self, step: &'static str, purpose: Purpose) -> Result<Intent, IdentityError> {
        let what = What::key(step, purpose_name(purpose));
        Ok(self.log.intend(self.own.state, what, self.own.clock.wall())?)
    }

    fn account<T>(&mut self, intent: Intent, done: &Result<T, IdentityError>) -> Result<(), IdentityError> {
        let (outcome, detail) = match done {
            Ok(_) => (Outcome::Done, None),
            Err(IdentityError::Refused { failure, .. }) => (Outcome::Refused, Some(failure.as_str())),
            // The line, the HSM or the disk failed in the middle.
            Err(_) => (Outcome::Unknown, None),
        };
        Ok(self.log.close(self.own.state, intent, outcome, detail, self.own.clock.wall())?)
    }

    fn account_ended<T>(&mut self, intent: Intent, done: &Result<T, Ended>) -> Result<(), IdentityError> {
        let (outcome, detail) = match done {
            Ok(_) => (Outcome::Done, None),
            Err(Ended { error: IdentityError::Refused { failure, .. }, .. }) => {
                (Outcome::Refused, Some(failure.as_str()))
            }
            Err(_) => (Outcome::Unknown, None),
        };
        Ok(self.log.close(self.own.state, intent, outcome, detail, self.own.clock.wall())?)
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.own.random.fill_bytes(&mut bytes);
        bytes
    }

    fn deadline(&self) -> Deadline {
        self.own.clock.deadline_in(HSM)
    }
}

/// Why an exchange has brought nothing.
struct Ended {
    error: IdentityError,
    /// Only because the proof of the log was to begin elsewhere.
    proof_wanted: bool,
}

impl From<IdentityError> for Ended {
    fn from(error: IdentityError) -> Self {
        Self { error, proof_wanted: false }
    }
}

impl From<Ended> for IdentityError {
    fn from(ended: Ended) -> Self {
        ended.error
    }
}

fn refused(answer: Answer) -> Ended {
    let (failure, code, text) = match answer {
        Answer::Refused { failure, code, text } => (failure, code, text),
        _ => (FailureInfo::default(), None, "unexpected answer".to_owned()),
    };
    let error = IdentityError::Refused { failure: failure_name(failure), text };
    Ended { error, proof_wanted: code == Some(PROOF_WANTED) }
}

/// Is it the authority that can't, for now? What was asked for is good still.
fn is_passing(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Refused { failure, .. } if ["systemUnavail", "systemFailure"].contains(&failure.as_str()))
}

fn is_worth_another(error: &IdentityError) -> bool {
    match error {
        IdentityError::Unreachable(error) => matches!(error.recovery(), Recovery::Retry | Recovery::Reconnect),
        IdentityError::NotTrusted(error) => error.recovery() == Recovery::Retry,
        _ => false,
    }
}

fn named(certificate: &[u8]) -> Result<IssuerAndSerial, IdentityError> {
    let certificate = Certificate::from_der(certificate).map_err(authority_link::LinkError::from)?;
    Ok(IssuerAndSerial::of(&certificate))
}

impl Pending {
    fn fetched(&self, purpose: Purpose) -> Result<Fetched, IdentityError> {
        fetched(purpose, &self.key, self.certificate.as_deref().unwrap_or_default())
    }
}

fn fetched(purpose: Purpose, key: &str, certificate: &[u8]) -> Result<Fetched, IdentityError> {
    let certificate = Certificate::from_der(certificate).map_err(authority_link::LinkError::from)?;
    let (_, not_after) = authority_link::validity(&certificate);
    Ok(Fetched { purpose: purpose_name(purpose), key: key.to_owned(), not_after })
}
