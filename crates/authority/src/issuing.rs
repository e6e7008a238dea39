//! Issuing: an ir becomes a certificate that waits for its confirmation.

use authority_link::IssuerAndSerial;
use authority_link::items::{ItemsError, RequestedCertificate};
use authority_link::message::{
    CertRepMessage, CertReqMsg, CertResponse, CertifiedKeyPair, Failure, PkiBody, PkiStatusInfo, ProofOfPossession,
    RawSequence,
};
use authority_link::signature;
use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, ToSpan};
use jpki::{Application, CertificateKind, CertificateText, SIGNATURE_AGE, Validity, age, era, oid, text, validity};
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use spki::SubjectPublicKeyInfoOwned;

use crate::authority::{Authority, Outcome};
use crate::certificate::{self, EndEntity};
use crate::exchange::{Incoming, Refusal};
use crate::ocsp::serial;
use crate::store::{Answer, Change, Issue, IssueKey, Sequence, State, Terminal, Witness};

/// How long before its certificate an application may have been made, and a request been drafted.
const APPLICATION_AGE_MONTHS: i32 = 12;
/// How far ahead of this authority's a terminal's clock may be when it names a request.
const NAME_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Nobody is older.
const OLDEST_YEARS: i16 = 130;
/// Length of what the authority puts before the window in the CN of an authentication certificate.
const AUTHENTICATION_NAME: usize = 14;

/// A request that may be granted.
struct Checked {
    kind: CertificateKind,
    request: RequestedCertificate,
    predecessor: Option<Issue>,
    validity: Validity,
}

impl Authority {
    /// Answers an ir.
    pub(crate) fn issue(
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
        let checked = self.check(message, &incoming.terminal, now)?;
        let kind = checked.kind;
        let predecessor = checked.predecessor.as_ref().map(|issue| issue.serial);
        let not_after = checked.validity.not_after;
        let public_key = Sha256::digest(&checked.request.spki).into();
        let serial = self.store().allocate(Sequence::Serial(kind))?;
        let certificate = self.certify(checked, serial, &incoming.terminal, rng)?;
        let body = PkiBody::Ip(CertRepMessage {
            ca_pubs: Some(vec![RawSequence::new(&self.credentials().authority(kind).certificate.to_der()?)?]),
            response: vec![CertResponse {
                cert_req_id: 0,
                status: PkiStatusInfo::accepted(),
                certified_key_pair: Some(CertifiedKeyPair { certificate: RawSequence::new(&certificate)? }),
                rsp_info: None,
            }],
        });
        let (response, nonce) = self.answer(incoming, body, witness.as_ref(), now, rng)?;
        let issue = Issue {
            transaction: incoming.transaction.0.to_vec(),
            kind,
            serial,
            sha256: Sha256::digest(&certificate).into(),
            certificate,
            public_key,
            state: State::Issued,
            predecessor,
            terminal: incoming.terminal.id.clone(),
            municipality: incoming.terminal.municipality.code.clone(),
            nonce,
            issued_at: now,
            not_after,
            confirmed_at: None,
            revocation: None,
        };
        let answer = Answer {
            request: incoming.digest,
            transaction: incoming.transaction.0.to_vec(),
            opens: true,
            terminal: incoming.terminal.id.clone(),
            response,
            at: now,
        };
        self.settle(Change { issue: Some(issue), answer: Some(answer), witness, ..Change::default() })
    }

    fn check(&self, message: &CertReqMsg, terminal: &Terminal, now: Timestamp) -> Result<Checked, Refusal> {
        let template = |text: &str| Refusal::new(Failure::BadCertTemplate, text);
        let today = validity::japanese_day(now);
        if message.cert_req.cert_req_id != 0 {
            return Err(Refusal::new(Failure::BadRequest, "certReqId is not 0"));
        }
        // A foreign client has no way to say the day of the application: for a test peer, the day of receipt stands in.
        if message.reg_info.as_ref().is_none_or(Vec::is_empty) && !terminal.test_peer {
            return Err(template("申請年月日 is missing"));
        }
        let request = RequestedCertificate::read(message, today).map_err(items_refusal)?;
        let kind = self.kind_of_issuer(request.issuer.as_ref().ok_or_else(|| template("issuer is missing"))?)?;
        check_possession(message, &request.spki)?;
        let algorithm = self.config().issuing.algorithm;
        jpki::check_public_key(&request.spki, algorithm).map_err(|weakness| template(&weakness.to_string()))?;
        if self.store().public_key_known(&Sha256::digest(&request.spki).into())? {
            return Err(Refusal::new(Failure::DuplicateCertReq, "there is a certificate for this key already"));
        }
        check_application(&request.application, kind, today)?;
        check_request_name(request.request_name.as_deref(), kind, terminal, now)?;
        let predecessor = request.predecessor.as_ref().map(|name| self.predecessor(name, kind)).transpose()?;
        let validity = self.validity(&request.application, predecessor.as_ref(), kind, now)?;
        Ok(Checked { kind, request, predecessor, validity })
    }

    /// The certificate that the new one is to replace. Its state doesn't matter: a revoked certificate is replaced,
    /// too.
    fn predecessor(&self, name: &IssuerAndSerial, kind: CertificateKind) -> Result<Issue, Refusal> {
        let unknown = || Refusal::new(Failure::BadCertId, "the predecessor is not a certificate of this authority");
        if self.kind_of_issuer(&name.issuer).map_err(|_| unknown())? != kind {
            return Err(unknown());
        }
        let serial = serial(name.serial.as_bytes()).ok_or_else(unknown)?;
        self.store().issue(IssueKey::Serial(kind, serial))?.ok_or_else(unknown)
    }

    /// What is renewed if `issue` is named: one that was never confirmed stands for the one that it was to replace.
    fn last_valid(&self, issue: &Issue) -> Result<Issue, Refusal> {
        let mut issue = issue.clone();
        while issue.confirmed_at.is_none()
            && let Some(serial) = issue.predecessor
            && let Some(replaced) = self.store().issue(IssueKey::Serial(issue.kind, serial))?
        {
            issue = replaced;
        }
        Ok(issue)
    }

    fn validity(
        &self,
        application: &Application,
        predecessor: Option<&Issue>,
        kind: CertificateKind,
        now: Timestamp,
    ) -> Result<Validity, Refusal> {
        let rule = self.config().issuing.validity;
        let today = validity::japanese_day(now);
        let renewed = predecessor.map(|issue| self.last_valid(issue)).transpose()?;
        let renewal = renewed.is_some_and(|issue| validity::is_renewal(rule, issue.not_after, today));
        let validity = validity::validity(rule, application.birth, now, renewal, &[])
            .map_err(|error| Refusal::new(Failure::BadCertTemplate, error.to_string()))?;
        let own = self.credentials().authority(kind).certificate.tbs_certificate.validity.not_after;
        let own = i64::try_from(own.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        if validity.not_after.as_second() > own {
            return Err(Refusal::new(Failure::SystemUnavail, "the authority's own certificate would expire before"));
        }
        Ok(validity)
    }

    fn certify(
        &self,
        checked: Checked,
        serial: u64,
        terminal: &Terminal,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, Refusal> {
        let Checked { kind, request, validity, .. } = checked;
        let (subject, other_names) = match kind {
            CertificateKind::Signature => {
                let common_name = request.request_name.as_deref().unwrap_or_default();
                let subject = self.names().signature_holder(&terminal.municipality, common_name)?;
                (subject, other_names(&request.application))
            }
            CertificateKind::Authentication => {
                let common_name = format!("{}{}", authentication_name(rng), terminal.window);
                (self.names().authentication_holder(&common_name)?, Vec::new())
            }
        };
        let content = EndEntity {
            serial,
            subject,
            public_key: SubjectPublicKeyInfoOwned::from_der(&request.spki)?,
            period: validity,
            other_names,
            municipality: &terminal.municipality,
            ocsp_url: &self.config().ocsp_url,
        };
        let certificate = certificate::end_entity(self.names(), self.credentials().authority(kind), content)?;
        Ok(certificate.to_der()?)
    }
}

/// Proof of possession: a signature by the key over the CertRequest (RFC 4211 §4.1), and nothing that stands in for
/// one.
pub(crate) fn check_possession(message: &CertReqMsg, spki: &[u8]) -> Result<(), Refusal> {
    let bad = |text: &str| Refusal::new(Failure::BadPop, text);
    let Some(ProofOfPossession::Signature(proof)) = &message.popo else {
        return Err(bad("possession of the key is not proved by a signature"));
    };
    if proof.poposk_input.is_some() {
        return Err(bad("poposkInput has no place where the template is complete"));
    }
    let proved = message.cert_req.to_der()?;
    signature::verify(spki, &proof.algorithm_identifier, &proved, proof.signature.raw_bytes())
        .map_err(|error| bad(&error.to_string()))
}

fn check_application(application: &Application, kind: CertificateKind, today: Date) -> Result<(), Refusal> {
    let data = |text: &str| Err(Refusal::new(Failure::IncorrectData, text));
    let oldest = today.saturating_sub(OLDEST_YEARS.years());
    if application.birth > application.applied_on || application.birth < oldest {
        return data("生年月日 is out of range");
    }
    if application.applied_on > today || application.applied_on < today.saturating_sub(APPLICATION_AGE_MONTHS.months())
    {
        return data("申請年月日 is out of range");
    }
    if kind == CertificateKind::Signature && age(application.birth, today) < SIGNATURE_AGE {
        return Err(Refusal::new(Failure::NotAuthorized, "署名用電子証明書 is not issued under 15"));
    }
    let fits = |text: &CertificateText| {
        text.text.chars().count() <= text::MAX_CHARACTERS && text.text.chars().all(text::is_allowed)
    };
    for (item, text) in
        [("氏名", Some(&application.name)), ("通称", application.alias.as_ref()), ("住所", Some(&application.address))]
    {
        if !text.is_none_or(fits) {
            return data(&format!("{item} has a character that certificates don't have, or is too long"));
        }
    }
    Ok(())
}

/// 発行要求作成日時 (14), シーケンス番号 (5), 受付窓口識別記号 (9): the terminal's for a signing certificate, none for an authentication one.
fn check_request_name(
    name: Option<&str>,
    kind: CertificateKind,
    terminal: &Terminal,
    now: Timestamp,
) -> Result<(), Refusal> {
    let template = |text: &str| Err(Refusal::new(Failure::BadCertTemplate, text));
    let name = match (kind, name) {
        (CertificateKind::Signature, Some(name)) => name,
        (CertificateKind::Authentication, None) => return Ok(()),
        _ => return template("CN belongs to 署名用電子証明書, and only there"),
    };
    let Some((time, rest)) = name.split_at_checked(14) else { return template("CN is too short") };
    let (number, window) = rest.split_at_checked(5).unwrap_or(("", rest));
    if number.len() != 5 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return template("CN has no sequence number");
    }
    if window != terminal.window {
        return Err(Refusal::new(Failure::NotAuthorized, "the window is not this terminal's"));
    }
    let made = DateTime::strptime("%Y%m%d%H%M%S", time).ok().and_then(in_japan);
    let Some(made) = made else { return template("CN does not begin with a time") };
    let oldest = validity::japanese_day(now).saturating_sub(APPLICATION_AGE_MONTHS.months());
    if made > now.saturating_add(NAME_AHEAD).unwrap_or(now) || validity::japanese_day(made) < oldest {
        return template("the time in CN is out of range");
    }
    Ok(())
}

/// A time of day in Japan.
fn in_japan(at: DateTime) -> Option<Timestamp> {
    jiff::tz::Offset::constant(9).to_timestamp(at).ok()
}

pub(crate) fn items_refusal(error: ItemsError) -> Refusal {
    let failure = match error {
        ItemsError::NotAsked(_) | ItemsError::NotAskedField(_) | ItemsError::Repeated(_) => Failure::BadRequest,
        ItemsError::Missing(_) => Failure::BadCertTemplate,
        _ => Failure::BadDataFormat,
    };
    Refusal::new(failure, error.to_string())
}

/// The otherNames in the order of the real certificates; the 通称, whose place there is not public, comes last.
fn other_names(application: &Application) -> Vec<(ObjectIdentifier, String)> {
    let Application { name, alias, address, birth, sex, .. } = application;
    let mut names = vec![
        (oid::NAME, name.text.clone()),
        (oid::BIRTH, era::birth_code(*birth)),
        (oid::SEX, sex.code().to_owned()),
        (oid::ADDRESS, address.text.clone()),
        (oid::NAME_SUBSTITUTED, name.substituted.clone()),
        (oid::ADDRESS_SUBSTITUTED, address.substituted.clone()),
    ];
    if let Some(alias) = alias {
        names.push((oid::ALIAS, alias.text.clone()));
        names.push((oid::ALIAS_SUBSTITUTED, alias.substituted.clone()));
    }
    names.into_iter().map(|(id, text)| (ObjectIdentifier::new_unwrap(id), text)).collect()
}

/// 14 capital letters and digits, as on the test card.
fn authentication_name(rng: &mut dyn CryptoRngCore) -> String {
    const SYMBOLS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let symbol = |_| {
        let mut byte = [0];
        // The largest multiple of 36 that a byte holds: every symbol is as likely.
        loop {
            rng.fill_bytes(&mut byte);
            if byte[0] < 252 {
                return char::from(SYMBOLS[usize::from(byte[0] % 36)]);
            }
        }
    };
    (0..AUTHENTICATION_NAME).map(symbol).collect()
}
