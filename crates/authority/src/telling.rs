//! Telling: a genm asks what the authority knows. Nothing is changed.

use authority_link::message::{Failure, InfoTypeAndValue, PkiBody, TransactionId};
use authority_link::state::{self, CertificateState, Issue as ToldIssue, IssueState, IssuerAndSerial, UnsettledCase};
use jiff::Timestamp;
use jpki::CertificateKind;
use rand_core::CryptoRngCore;
use x509_cert::serial_number::SerialNumber;

use crate::authority::{Authority, Outcome};
use crate::exchange::{Incoming, Refusal};
use crate::store::{Applied, Change, Digest, IssueKey, State, Witness};

/// The most unsettled cases that one answer lists, oldest first: what fits a message many times over.
const MAX_UNSETTLED: usize = 200;

impl Authority {
    /// Answers a genm.
    pub(crate) fn tell(
        &self,
        incoming: &Incoming,
        infos: &[InfoTypeAndValue],
        witness: Option<Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Outcome, Refusal> {
        let unasked = || Refusal::new(Failure::BadRequest, "a genm asks one of the questions that are known here");
        let [info] = infos else { return Err(unasked()) };
        let answer = match (info.info_type, &info.info_value) {
            (state::CERTIFICATE_STATE, Some(_)) => {
                let asked = state::asked_certificate(info)
                    .map_err(|_| Refusal::new(Failure::BadDataFormat, "a certificate is asked for by its SHA-256"))?;
                self.state_of(&asked)?.to_info()?
            }
            (state::WITNESSED_CHECKPOINT, None) => {
                let witnessed = self.store().witness(&incoming.terminal.id)?;
                state::witnessed_checkpoint(witnessed.as_ref().map(|witness| &*witness.checkpoint))?
            }
            (state::UNSETTLED, None) => state::unsettled(&self.unsettled_cases(incoming, now)?)?,
            _ => return Err(unasked()),
        };
        let (response, _) = self.answer(incoming, PkiBody::Genp(vec![answer]), witness.as_ref(), now, rng)?;
        if witness.is_some() && self.store().apply(&Change { witness, ..Change::default() })? == Applied::Conflict {
            return Ok(Outcome::Conflict);
        }
        Ok(Outcome::Answer(response))
    }

    fn state_of(&self, asked: &Digest) -> Result<CertificateState, Refusal> {
        let Some(issue) = self.store().issue(IssueKey::Certificate(asked))? else {
            return Ok(CertificateState { sha256: *asked, state: IssueState::Unknown, issue: None });
        };
        let predecessor = match issue.predecessor {
            Some(serial) => {
                let state = self.store().issue(IssueKey::Serial(issue.kind, serial))?.map(|issue| issue.state);
                Some((self.named_by(issue.kind, serial), told(state)))
            }
            None => None,
        };
        let transaction = issue.transaction.as_slice().try_into().map(TransactionId);
        let issued = ToldIssue {
            kind: issue.kind,
            transaction: transaction
                .map_err(|_| Refusal::new(Failure::SystemFailure, "a transaction ID is damaged"))?,
            certificate: self.named_by(issue.kind, issue.serial),
            predecessor,
        };
        Ok(CertificateState { sha256: *asked, state: told(Some(issue.state)), issue: Some(issued) })
    }

    /// The unsettled cases of the asking terminal's municipality.
    fn unsettled_cases(&self, incoming: &Incoming, now: Timestamp) -> Result<Vec<UnsettledCase>, Refusal> {
        let cases = self.store().unsettled(now)?.into_iter();
        let of_municipality = cases.filter(|case| case.municipality == incoming.terminal.municipality.code);
        let case = of_municipality.take(MAX_UNSETTLED).map(|case| UnsettledCase {
            sha256: case.sha256,
            kind: case.kind,
            certificate: self.named_by(case.kind, case.serial),
            predecessor: self.named_by(case.kind, case.predecessor),
            confirmed_at: case.confirmed_at,
        });
        Ok(case.collect())
    }

    fn named_by(&self, kind: CertificateKind, serial: u64) -> IssuerAndSerial {
        let issuer = self.credentials().authority(kind).name().clone();
        IssuerAndSerial { issuer, serial: SerialNumber::from(serial) }
    }
}

fn told(state: Option<State>) -> IssueState {
    match state {
        None => IssueState::Unknown,
        Some(State::Issued) => IssueState::Issued,
        Some(State::Valid) => IssueState::Valid,
        Some(State::Revoked) => IssueState::Revoked,
        Some(State::Superseded) => IssueState::Superseded,
    }
}
