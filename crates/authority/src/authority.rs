//! The authority itself: bytes in, bytes out, with the time and the randomness that it is given.

use std::sync::Arc;

use authority_link::message::{Failure, PkiBody, PkiMessage};
use authority_link::state::{LogAlarm, WitnessState};
use der::Encode;
use jiff::Timestamp;
use jpki::CertificateKind;
use rand_core::CryptoRngCore;
use x509_cert::certificate::Certificate;
use x509_cert::name::Name;

use crate::crl;
use crate::enrolling::check_use;
use crate::error::SetupError;
use crate::exchange::{Credential, Incoming, Peer, Received, Refusal, To};
use crate::ocsp;
use crate::profile::Names;
use crate::setup::{AuthorityCertificates, Config, Credentials};
use crate::signer::{Keys, SignError};
use crate::store::{
    Acknowledgement, Applied, Change, Decision, Issue, PersonId, Revocation, RevocationReason, Sequence, State, Store,
    StoreError, Terminal, TerminalId, Witness,
};
use crate::witness::{self, Verdict};

/// How often a request is read again because the store changed meanwhile.
const MAX_CONFLICTS: usize = 4;

/// The counterpart of the terminals: issues, confirms, revokes, and says what is valid.
///
/// Sans I/O but for its store and its HSM: no socket, no clock for dates, no randomness of its own. Methods take
/// `&self` and may be called from several threads; decisions are settled by the store.
pub struct Authority {
    store: Arc<dyn Store>,
    config: Config,
    names: Names,
    credentials: Credentials,
}

impl Authority {
    pub(crate) fn assemble(
        store: Arc<dyn Store>,
        keys: &Keys,
        config: Config,
        certificate: impl FnMut(&'static str) -> Result<Certificate, SetupError>,
    ) -> Result<Self, SetupError> {
        let credentials = Credentials::assemble(keys, &config, certificate)?;
        Ok(Self { store, names: Names(config.certificates.clone()), config, credentials })
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its own certificates.
    ///
    /// # Errors
    /// Never in practice: what was read can be written.
    pub fn certificates(&self) -> der::Result<AuthorityCertificates> {
        let Credentials { infrastructure, cmp, tls, .. } = &self.credentials;
        Ok(AuthorityCertificates {
            signature_ca: self.credentials.authority(CertificateKind::Signature).certificate.to_der()?,
            authentication_ca: self.credentials.authority(CertificateKind::Authentication).certificate.to_der()?,
            infrastructure_ca: infrastructure.to_der()?,
            cmp: cmp.to_der()?,
            tls: tls.to_der()?,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Answers one CMP message. `peer` is at the other end of the line. Whatever
    /// the request holds, a CMP message comes back: an answer, or an error.
    pub fn handle(&self, request: &[u8], peer: Peer<'_>, now: Timestamp, rng: &mut dyn CryptoRngCore) -> Vec<u8> {
        // A conflict means that somebody else changed the store between reading and writing: read again.
        for _ in 0..MAX_CONFLICTS {
            match self.attempt(request, peer, now, rng) {
                Outcome::Answer(response) => return response,
                Outcome::Conflict => {}
            }
        }
        self.refuse(&To::default(), Refusal::new(Failure::SystemUnavail, "the authority is busy"), None, now, rng)
    }

    fn attempt(&self, request: &[u8], peer: Peer<'_>, now: Timestamp, rng: &mut dyn CryptoRngCore) -> Outcome {
        let message = match PkiMessage::from_bytes(request) {
            Ok(message) => message,
            Err(error) => {
                tracing::info!(%error, "not a message");
                let refusal = Refusal::new(Failure::BadDataFormat, error.to_string());
                return Outcome::Answer(self.refuse(&To::default(), refusal, None, now, rng));
            }
        };
        let header = message.header.clone();
        let body = message.body.name();
        let mut asking = None;
        let answered = self.receive(request, message, peer, now).and_then(|received| match received {
            Received::Repeated(answer) => {
                tracing::info!(body, terminal = %answer.terminal, "repeated");
                Ok(Outcome::Answer(answer.response))
            }
            Received::New(incoming) => {
                tracing::info!(body, terminal = %incoming.terminal.id, transaction = %incoming.transaction, "new");
                asking = Some((incoming.terminal.clone(), incoming.credential.secret()));
                self.dispatch(&incoming, now, rng)
            }
        });
        answered.unwrap_or_else(|refusal| {
            tracing::info!(body, %refusal, "refused");
            // That the store can't tell now does not change the refusal.
            let (terminal, secret) = asking.unzip();
            let witness = terminal.and_then(|terminal| self.witness_state(&terminal, None).ok().flatten());
            let to = To { header: Some(&header), secret: secret.flatten() };
            Outcome::Answer(self.refuse(&to, refusal, witness.as_ref(), now, rng))
        })
    }

    fn dispatch(&self, incoming: &Incoming, now: Timestamp, rng: &mut dyn CryptoRngCore) -> Result<Outcome, Refusal> {
        check_use(incoming)?;
        let witness = self.witness(incoming, now)?;
        match (&incoming.credential, &incoming.body) {
            (Credential::Invitation(_), PkiBody::Ir(messages))
            | (_, PkiBody::Cr(messages) | PkiBody::Kur(messages)) => {
                self.issue_own(incoming, messages, witness, now, rng)
            }
            (_, PkiBody::Ir(messages)) => self.issue(incoming, messages, witness, now, rng),
            (_, PkiBody::CertConf(statuses)) => match self.own_of_transaction(incoming)? {
                Some(own) => self.confirm_own(incoming, statuses, own, witness, now, rng),
                None => self.confirm(incoming, statuses, witness, now, rng),
            },
            (_, PkiBody::Rr(details)) if self.names_own(details) => {
                self.revoke_own(incoming, details, witness, now, rng)
            }
            (_, PkiBody::Rr(details)) => self.revoke(incoming, details, witness, now, rng),
            (_, PkiBody::Genm(infos)) => self.tell(incoming, infos, witness, now, rng),
            (_, other) => Err(Refusal::new(Failure::BadRequest, format!("{} is not spoken here", other.name()))),
        }
    }

    /// The checkpoint to be remembered, if the log has grown. A log that does not continue what was witnessed is an alarm, and
    /// nothing but the question for the witnessed checkpoint is answered to it.
    fn witness(&self, incoming: &Incoming, now: Timestamp) -> Result<Option<Witness>, Refusal> {
        let Some(log_key) = &incoming.terminal.log_key else { return Ok(None) };
        let checkpoint = authority_link::state::checkpoint_of(&incoming.header)
            .map_err(|_| Refusal::new(Failure::BadDataFormat, "the checkpoint can't be read"))?;
        let witnessed = self.store.witness(&incoming.terminal.id)?;
        match witness::judge(&incoming.terminal, log_key, checkpoint.as_deref(), witnessed.as_ref(), now)? {
            Verdict::Newer(witness) => Ok(Some(witness)),
            Verdict::Nothing => Ok(None),
            Verdict::ProofWanted(seen) => Err(Refusal::proof_wanted(seen)),
            Verdict::Alarm(alarm) => {
                tracing::warn!(terminal = %alarm.terminal, kind = ?alarm.kind, "log alarm");
                let refusal = Refusal::log_alarm(alarm.kind, alarm.witnessed_size, alarm.offered_size);
                self.store.apply(&Change { alarm: Some(*alarm), ..Change::default() })?;
                let asks_for_it = matches!(&incoming.body, PkiBody::Genm(infos)
                    if infos.iter().all(|info| info.info_type == authority_link::state::WITNESSED_CHECKPOINT));
                if asks_for_it { Ok(None) } else { Err(refusal) }
            }
        }
    }

    /// What every answer says of the asking terminal's log, if it has one; `next` is the checkpoint that is about to be
    /// remembered.
    pub(crate) fn witness_state(
        &self,
        terminal: &Terminal,
        next: Option<&Witness>,
    ) -> Result<Option<WitnessState>, StoreError> {
        if terminal.log_key.is_none() {
            return Ok(None);
        }
        let size = match next {
            Some(next) => next.size,
            None => self.store.witness(&terminal.id)?.map_or(0, |witness| witness.size),
        };
        let alarm = self.store.open_alarm(&terminal.id)?.map(|alarm| LogAlarm {
            kind: alarm.kind.into(),
            witnessed: alarm.witnessed_size,
            offered: alarm.offered_size,
            raised_at: alarm.at,
        });
        Ok(Some(WitnessState { size, alarm }))
    }

    /// Notes that somebody has looked into the alarms about a terminal's log. They are kept, and not told any more. The
    /// witnessed checkpoint stays what it is.
    ///
    /// # Errors
    /// [`AcknowledgementError::NoAlarm`] if none is open, or the store's.
    pub fn acknowledge_alarms(
        &self,
        terminal: &TerminalId,
        by: PersonId,
        now: Timestamp,
    ) -> Result<(), AcknowledgementError> {
        self.store.open_alarm(terminal)?.ok_or(AcknowledgementError::NoAlarm)?;
        let acknowledgement = Some((terminal.clone(), Acknowledgement { by, at: now }));
        self.store.apply(&Change { acknowledgement, ..Change::default() })?;
        Ok(())
    }

    /// The same, and takes the log that was offered with the latest of them as the terminal's log from now on: the one that
    /// was witnessed is lost for a good reason.
    ///
    /// # Errors
    /// [`AcknowledgementError`].
    pub fn accept_log(&self, terminal: &TerminalId, by: PersonId, now: Timestamp) -> Result<(), AcknowledgementError> {
        let registered = self.store.terminal(terminal)?.ok_or(AcknowledgementError::NoAlarm)?;
        for _ in 0..MAX_CONFLICTS {
            let mut alarms = self.store.alarms()?.into_iter();
            let latest = alarms.rfind(|alarm| alarm.terminal == *terminal && alarm.acknowledged.is_none());
            let follows = self.store.witness(terminal)?.map(|witness| witness.size);
            let witness = witness::offered(&latest.ok_or(AcknowledgementError::NoAlarm)?, &registered, follows);
            let change = Change {
                witness: Some(witness.ok_or(AcknowledgementError::NotSigned)?),
                acknowledgement: Some((terminal.clone(), Acknowledgement { by: by.clone(), at: now })),
                ..Change::default()
            };
            if self.store.apply(&change)? == Applied::Done {
                return Ok(());
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Makes a change and hands out the answer that it records.
    pub(crate) fn settle(&self, change: Change) -> Result<Outcome, Refusal> {
        match self.store.apply(&change)? {
            Applied::Done => Ok(Outcome::Answer(change.answer.map(|answer| answer.response).unwrap_or_default())),
            Applied::Conflict => Ok(Outcome::Conflict),
        }
    }

    /// The kind of certificate that the authority of this name issues.
    pub(crate) fn kind_of_issuer(&self, name: &Name) -> Result<CertificateKind, Refusal> {
        let authorities = self.credentials.authorities.iter();
        let found = authorities.map(|(authority, _)| authority).find(|authority| authority.name() == name);
        found
            .map(|authority| authority.kind)
            .ok_or_else(|| Refusal::new(Failure::WrongAuthority, "no authority of this name is here"))
    }

    /// Answers an OCSP request (RFC 6960). Whatever the request holds, an OCSPResponse comes back.
    #[must_use]
    pub fn ocsp(&self, request: &[u8], now: Timestamp) -> Vec<u8> {
        let authorities = self.credentials.authorities.iter().map(|(authority, responder)| (authority, responder));
        ocsp::respond(self.store(), authorities, request, now)
    }

    /// The CRL of a kind for the municipality with this code, as DER; none if no terminal of that municipality is
    /// registered.
    ///
    /// # Errors
    /// If the store or the HSM fails.
    pub fn crl(&self, kind: CertificateKind, municipality: &str, now: Timestamp) -> Result<Option<Vec<u8>>, CrlError> {
        let terminal = self.store.terminals()?.into_iter().find(|terminal| terminal.municipality.code == municipality);
        let Some(terminal) = terminal else { return Ok(None) };
        let revoked = self.store.revoked(kind, municipality, now)?;
        let number = self.store.allocate(Sequence::Crl(kind, municipality))?;
        let authority = self.credentials.authority(kind);
        Ok(Some(crl::list(&self.names, authority, &terminal.municipality, number, &revoked, now)?))
    }

    /// The code of the municipality, while there is only one.
    pub(crate) fn only_municipality(&self) -> Result<Option<String>, StoreError> {
        let mut codes: Vec<_> =
            self.store.terminals()?.into_iter().map(|terminal| terminal.municipality.code).collect();
        codes.sort_unstable();
        codes.dedup();
        Ok(codes.pop().filter(|_| codes.is_empty()))
    }

    /// Revokes what was issued and not confirmed in time, and says what that was.
    ///
    /// # Errors
    /// If the store fails; what was revoked until then stays so.
    pub fn expire_unconfirmed(&self, now: Timestamp) -> Result<Vec<Issue>, StoreError> {
        let before = now.saturating_sub(self.config.confirm_within()).unwrap_or(Timestamp::MIN);
        let swept = self.store.sweep_terminals(before, now)?;
        if swept > 0 {
            tracing::info!(count = swept, "unconfirmed certificates of terminals were revoked");
        }
        let mut expired = self.store.unconfirmed(before)?;
        let mut failed = None;
        expired.retain(|issue| {
            let revocation = Revocation { at: now, reason: RevocationReason::Unspecified };
            let decision = Decision {
                kind: issue.kind,
                serial: issue.serial,
                from: State::Issued,
                to: State::Revoked,
                revocation: Some(revocation),
                at: now,
                while_valid: None,
            };
            match self.store.apply(&Change { decision: Some(decision), ..Change::default() }) {
                Ok(applied) => applied == Applied::Done,
                Err(error) => {
                    failed.get_or_insert(error);
                    false
                }
            }
        });
        failed.map_or(Ok(expired), Err)
    }
}

/// What came of one attempt at a request.
pub(crate) enum Outcome {
    /// This is the answer.
    Answer(Vec<u8>),
    /// The store has changed meanwhile.
    Conflict,
}

/// Why there is no CRL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Why alarms are not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcknowledgementError {
    /// No alarm about this terminal's log is open: another name, or somebody else was quicker.
    #[error("no alarm about the log of this terminal is open")]
    NoAlarm,
    /// The log that was offered is not signed by the terminal's registered log key. Its key was replaced: register the terminal
    /// with the new one, and let it ask again.
    #[error("the log that was offered is not signed by the terminal's log key")]
    NotSigned,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
