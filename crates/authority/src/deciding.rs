//! Deciding: a certConf makes an issued certificate valid or revoked, an rr revokes or supersedes a certificate. The
//! first decision wins.

use authority_link::message::{
    CertStatus, CertTemplate, Failure, PkiBody, PkiStatus, PkiStatusInfo, RevDetails, RevRepContent, TemplateExtension,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_384, ID_CE_CRL_REASONS, ID_SHA_256, ID_SHA_384, SHA_384_WITH_RSA_ENCRYPTION,
};
use der::asn1::Null;
use der::{Decode, Enumerated};
use jiff::Timestamp;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::certificate::Certificate;

use crate::authority::{Authority, Outcome};
use crate::exchange::{Incoming, Refusal};
use crate::ocsp::serial;
use crate::store::{Answer, Change, Decision, Issue, IssueKey, Revocation, RevocationReason, State, Witness};

impl Authority {
    /// Answers a certConf about a resident's certificate. It may come from any authorised terminal: it names the
    /// transaction and the certificate, and a card may be seen again anywhere. It may not come under a credential that is
    /// there to fetch or renew a terminal's own certificates.
    pub(crate) fn confirm(
        &self,
        incoming: &Incoming,
        statuses: &[CertStatus],
        witness: Option<Witness>,
        now: Timestamp,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Outcome, Refusal> {
        if !incoming.credential.is_for_messages() {
            return Err(Refusal::not_for_this());
        }
        let [status] = statuses else {
            return Err(Refusal::new(Failure::BadRequest, "one transaction confirms one certificate"));
        };
        let issue = self.store().issue(IssueKey::Transaction(&incoming.transaction.0))?;
        let issue = issue.ok_or_else(|| Refusal::new(Failure::BadRequest, "nothing was issued in this transaction"))?;
        if status.cert_req_id != 0 || !names(status, &issue)? {
            return Err(Refusal::new(Failure::BadCertId, "the certificate is not the one of this transaction"));
        }
        let answers = incoming.header.recip_nonce.as_ref();
        if answers.is_some_and(|nonce| nonce.as_bytes() != issue.nonce) {
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
        let revoked = || Refusal::new(Failure::CertRevoked, "the certificate is revoked");
        let decision = match (issue.state, accepted) {
            (State::Issued, true) => Some(decision(&issue, State::Valid, None, now)),
            (State::Issued, false) => {
                let revocation = Revocation { at: now, reason: RevocationReason::Unspecified };
                Some(decision(&issue, State::Revoked, Some(revocation), now))
            }
            // The same decision again, in other words: by another terminal, or with other nonces.
            (State::Valid, true) | (State::Revoked, false) => None,
            (State::Valid, false) => {
                return Err(Refusal::new(Failure::CertConfirmed, "the certificate is confirmed already"));
            }
            (State::Revoked, true) | (State::Superseded, _) => return Err(revoked()),
        };
        let (response, _) = self.answer(incoming, PkiBody::PkiConf(Null), witness.as_ref(), now, rng)?;
        let answer = Some(answer(incoming, false, response, now));
        self.settle(Change { decision, answer, witness, ..Change::default() })
    }

    /// Answers an rr.
    pub(crate) fn revoke(
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
        let issue = self.named(&details.cert_details)?;
        let decision = match (reason(details.crl_entry_details.as_deref())?, issue.state) {
            (RevocationReason::CaCompromise, _) => {
                return Err(Refusal::new(Failure::NotAuthorized, "only the authority itself says this"));
            }
            // Asked again because the answer was lost, or by the next terminal that sees the card.
            (RevocationReason::Superseded, State::Superseded) => None,
            (RevocationReason::Superseded, State::Valid) => Some(self.superseded(&issue, now)?),
            (RevocationReason::Superseded, State::Issued) => {
                return Err(Refusal::new(Failure::BadRequest, "the certificate is not valid yet"));
            }
            (reason, State::Issued | State::Valid) => {
                Some(decision(&issue, State::Revoked, Some(Revocation { at: now, reason }), now))
            }
            (_, State::Revoked | State::Superseded) => {
                return Err(Refusal::new(Failure::CertRevoked, "the certificate is revoked already"));
            }
        };
        let body = PkiBody::Rp(RevRepContent { status: vec![PkiStatusInfo::accepted()], rev_certs: None, crls: None });
        let (response, _) = self.answer(incoming, body, witness.as_ref(), now, rng)?;
        let answer = Some(answer(incoming, true, response, now));
        self.settle(Change { decision, answer, witness, ..Change::default() })
    }

    /// A certificate is superseded only while a certificate that names it as its predecessor is valid: never at
    /// confirmation, never "all others".
    fn superseded(&self, issue: &Issue, now: Timestamp) -> Result<Decision, Refusal> {
        let successors = self.store().successors(issue.kind, issue.serial)?;
        let successor = successors.iter().find(|successor| successor.state == State::Valid).ok_or_else(|| {
            Refusal::new(Failure::BadRequest, "no valid certificate names this one as its predecessor")
        })?;
        let revocation = Revocation { at: now, reason: RevocationReason::Superseded };
        let decision = decision(issue, State::Superseded, Some(revocation), now);
        Ok(Decision { while_valid: Some(successor.serial), ..decision })
    }

    /// The certificate that an rr names by issuer and serial (RFC 9483 §4.2).
    fn named(&self, template: &CertTemplate) -> Result<Issue, Refusal> {
        let bare = CertTemplate {
            serial_number: template.serial_number.clone(),
            issuer: template.issuer.clone(),
            ..CertTemplate::default()
        };
        if *template != bare {
            return Err(Refusal::new(Failure::BadRequest, "issuer and serial number name a certificate, nothing else"));
        }
        let unknown = || Refusal::new(Failure::BadCertId, "no such certificate was issued here");
        let kind = self.kind_of_issuer(template.issuer.as_ref().ok_or_else(unknown)?).map_err(|_| unknown())?;
        let serial = template.serial_number.as_ref().and_then(|number| serial(number.as_bytes()));
        self.store().issue(IssueKey::Serial(kind, serial.ok_or_else(unknown)?))?.ok_or_else(unknown)
    }
}

/// Does the status name this certificate, by the hash algorithm that it states or that the certificate's signature
/// implies?
fn names(status: &CertStatus, issue: &Issue) -> Result<bool, Refusal> {
    let stated = status.hash_alg.as_ref().map(|algorithm| algorithm.oid);
    let hash: Vec<u8> = match stated.map_or_else(|| implied_hash(issue), Ok)? {
        ID_SHA_256 => Sha256::digest(&issue.certificate).to_vec(),
        ID_SHA_384 => Sha384::digest(&issue.certificate).to_vec(),
        _ => return Err(Refusal::new(Failure::BadAlg, "the hash algorithm is neither SHA-256 nor SHA-384")),
    };
    Ok(status.cert_hash.as_bytes() == hash)
}

fn implied_hash(issue: &Issue) -> der::Result<ObjectIdentifier> {
    let certificate = Certificate::from_der(&issue.certificate)?;
    Ok(match certificate.signature_algorithm.oid {
        ECDSA_WITH_SHA_384 | SHA_384_WITH_RSA_ENCRYPTION => ID_SHA_384,
        _ => ID_SHA_256,
    })
}

/// The wire form of CRLReason (RFC 5280 §5.3.1), with the values that are known only to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
enum Reason {
    Unspecified = 0,
    KeyCompromise = 1,
    CaCompromise = 2,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
    CertificateHold = 6,
    RemoveFromCrl = 8,
    PrivilegeWithdrawn = 9,
    AaCompromise = 10,
}

pub(crate) fn reason(extensions: Option<&[TemplateExtension]>) -> Result<RevocationReason, Refusal> {
    let unasked = |text: &str| Err(Refusal::new(Failure::BadRequest, text));
    let extension = match extensions.unwrap_or_default() {
        [] => return Ok(RevocationReason::Unspecified),
        [extension] if extension.extn_id == ID_CE_CRL_REASONS => extension,
        _ => return unasked("a revocation has a reason and no other detail"),
    };
    let reason = Reason::from_der(extension.extn_value.as_bytes())
        .map_err(|_| Refusal::new(Failure::BadDataFormat, "the reason can't be read"))?;
    match RevocationReason::from_code(reason as i64) {
        Some(reason) => Ok(reason),
        // 一時保留 is never lifted (CPS §4.9.9); the other two are not for certificates of persons.
        None => unasked("this reason is not among those of the certification practice statement"),
    }
}

fn decision(issue: &Issue, to: State, revocation: Option<Revocation>, at: Timestamp) -> Decision {
    Decision { kind: issue.kind, serial: issue.serial, from: issue.state, to, revocation, at, while_valid: None }
}

pub(crate) fn answer(incoming: &Incoming, opens: bool, response: Vec<u8>, at: Timestamp) -> Answer {
    Answer {
        request: incoming.digest,
        transaction: incoming.transaction.0.to_vec(),
        opens,
        terminal: incoming.terminal.id.clone(),
        response,
        at,
    }
}
