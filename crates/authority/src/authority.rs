//! The authority itself: bytes in, bytes out, with the time and the randomness that it is given.

use std::sync::Arc;

use jiff::Timestamp;
use jpki::CertificateKind;
use x509_cert::certificate::Certificate;

use crate::crl;
use crate::error::SetupError;
use crate::ocsp;
use crate::profile::Names;
use crate::setup::{Config, Credentials};
use crate::signer::{Keys, SignError};
use crate::store::{
    Applied, Change, Decision, Issue, Revocation, RevocationReason, Sequence, State, Store, StoreError,
};

/// The counterpart of the terminals: issues, confirms, revokes, and says what is valid.
///
/// Sans I/O but for its store and its HSM: no socket, no clock for dates, no randomness of its own. Methods take `&self` and may be called from several
/// threads; decisions are settled by the store.
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

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Answers an OCSP request (RFC 6960). Whatever the request holds, an OCSPResponse comes back.
    #[must_use]
    pub fn ocsp(&self, request: &[u8], now: Timestamp) -> Vec<u8> {
        let authorities = self.credentials.authorities.iter().map(|(authority, responder)| (authority, responder));
        ocsp::respond(self.store(), authorities, request, now)
    }

    /// The CRL of a kind for the municipality with this code, as DER; none if no terminal of that municipality is registered.
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

    /// Revokes what was issued and not confirmed in time, and says what that was.
    ///
    /// # Errors
    /// If the store fails; what was revoked until then stays so.
    pub fn expire_unconfirmed(&self, now: Timestamp) -> Result<Vec<Issue>, StoreError> {
        let before = now.saturating_sub(self.config.confirm_within()).unwrap_or(Timestamp::MIN);
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
