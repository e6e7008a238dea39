//! What the authority knows of a certificate: our own questions (genm) and their answers (genp), specified in
//! `docs/protocols/authority.md` §5. Both ends of the line use these.

use der::asn1::{GeneralizedTime, ObjectIdentifier, OctetString, OctetStringRef, Utf8StringRef};
use der::{Encode, Enumerated, ErrorKind, Sequence, Tag};
use jiff::Timestamp;
use jpki::{CertificateKind, oid};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use crate::message::{CertId, InfoTypeAndValue, PkiHeader, RawAny, TransactionId};

/// infoType of [`CertificateState`].
pub const CERTIFICATE_STATE: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::CERTIFICATE_STATE);
/// infoType of the checkpoint that was witnessed last.
pub const WITNESSED_CHECKPOINT: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::WITNESSED_CHECKPOINT);
/// infoType of the list of [`UnsettledCase`]s.
pub const UNSETTLED: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::UNSETTLED);
/// infoType, in every request's generalInfo, of the terminal's latest log checkpoint.
pub const LOG_CHECKPOINT: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::LOG_CHECKPOINT);
/// infoType, in every answer's generalInfo, of [`WitnessState`].
pub const WITNESS_STATE: ObjectIdentifier = ObjectIdentifier::new_unwrap(oid::WITNESS_STATE);

/// A certificate, named by its issuer and its serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerAndSerial {
    /// Who issued it.
    pub issuer: Name,
    /// Its serial number, unique for that issuer.
    pub serial: SerialNumber,
}

impl IssuerAndSerial {
    /// How `certificate` is named.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let tbs = &certificate.tbs_certificate;
        Self { issuer: tbs.issuer.clone(), serial: tbs.serial_number.clone() }
    }
}

impl TryFrom<CertId> for IssuerAndSerial {
    type Error = der::Error;

    fn try_from(id: CertId) -> der::Result<Self> {
        match id.issuer {
            GeneralName::DirectoryName(issuer) => Ok(Self { issuer, serial: id.serial_number }),
            _ => Err(ErrorKind::TagUnexpected { expected: None, actual: Tag::Null }.into()),
        }
    }
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum IssueState {
    /// The authority has never issued it.
    Unknown = 0,
    /// Issued, and waiting for its confirmation: not valid yet.
    Issued = 1,
    /// Confirmed and valid.
    Valid = 2,
    /// Revoked: rejected, not confirmed in time, or for a reason of the authority's own.
    Revoked = 3,
    /// Revoked because its successor has taken its place.
    Superseded = 4,
}

/// The kind of a certificate on the line; the numbers are those of the card's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
enum KindCode {
    Signature = 1,
    Authentication = 2,
}

impl From<CertificateKind> for KindCode {
    fn from(kind: CertificateKind) -> Self {
        match kind {
            CertificateKind::Signature => Self::Signature,
            CertificateKind::Authentication => Self::Authentication,
        }
    }
}

impl From<KindCode> for CertificateKind {
    fn from(code: KindCode) -> Self {
        match code {
            KindCode::Signature => Self::Signature,
            KindCode::Authentication => Self::Authentication,
        }
    }
}

/// The answer to "what became of the certificate with this SHA-256?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateState {
    /// SHA-256 of the certificate that was asked about.
    pub sha256: [u8; 32],
    /// What became of it.
    pub state: IssueState,
    /// What else is known, unless it is [`IssueState::Unknown`].
    pub issue: Option<Issue>,
}

/// One issue of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Which kind.
    pub kind: CertificateKind,
    /// The transaction in which it was issued.
    pub transaction: TransactionId,
    /// Its name.
    pub certificate: IssuerAndSerial,
    /// The certificate that it replaces, and what became of that.
    pub predecessor: Option<(IssuerAndSerial, IssueState)>,
}

impl CertificateState {
    /// The certificate's name, if the authority knows it.
    #[must_use]
    pub fn own_name(&self) -> Option<IssuerAndSerial> {
        self.issue.as_ref().map(|issue| issue.certificate.clone())
    }

    /// The predecessor, if it is still valid: once the certificate is active on its card, this is what is to be
    /// superseded.
    #[must_use]
    pub fn predecessor_to_supersede(&self) -> Option<IssuerAndSerial> {
        match &self.issue.as_ref()?.predecessor {
            Some((predecessor, IssueState::Valid)) => Some(predecessor.clone()),
            _ => None,
        }
    }
}

/// A confirmed certificate whose predecessor is still valid: its card was not seen since the confirmation, or the
/// acknowledgement was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledCase {
    /// SHA-256 of the confirmed certificate.
    pub sha256: [u8; 32],
    /// Which kind.
    pub kind: CertificateKind,
    /// The confirmed certificate.
    pub certificate: IssuerAndSerial,
    /// Its predecessor.
    pub predecessor: IssuerAndSerial,
    /// When it was confirmed.
    pub confirmed_at: Timestamp,
}

/// What the authority, as the witness of the asking terminal's log, says in every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessState {
    /// How many entries of the log it has seen: where the terminal's next consistency proof is to begin.
    pub size: u64,
    /// The oldest alarm about this log that nobody has acknowledged.
    pub alarm: Option<LogAlarm>,
}

/// The log of a terminal could not be what it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogAlarm {
    /// What was wrong.
    pub kind: LogAlarmKind,
    /// How many entries the authority had seen.
    pub witnessed: u64,
    /// How many entries the log had that was shown instead; 0 if its signature does not verify.
    pub offered: u64,
    /// When.
    pub raised_at: Timestamp,
}

/// What was wrong with the log that was shown. The numbers are those of errorCode in the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum LogAlarmKind {
    /// It was shorter than before: cut off, or an older copy of the folder put back.
    RolledBack = 1,
    /// It did not continue what was witnessed: another log, or one that was put back and written on.
    Forked = 2,
    /// Its checkpoint was not signed by the log key of the registration.
    KeyReplaced = 3,
}

/// errorCode of a refusal: nothing is wrong with the log, but its proof begins elsewhere than at [`WitnessState::size`]. The
/// terminal sends the request again, with a proof from there.
pub const PROOF_WANTED: i64 = 4;

// ---------------------------------------------------------------- on the line

#[derive(Sequence)]
struct WitnessStateValue {
    size: u64,
    alarm: Option<LogAlarmValue>,
}

#[derive(Sequence)]
struct LogAlarmValue {
    kind: LogAlarmKind,
    witnessed: u64,
    offered: u64,
    raised_at: GeneralizedTime,
}

#[derive(Sequence)]
struct StateValue {
    sha256: OctetString,
    state: IssueState,
    issue: Option<IssueValue>,
}

#[derive(Sequence)]
struct IssueValue {
    kind: KindCode,
    transaction: OctetString,
    certificate: CertId,
    predecessor: Option<PredecessorValue>,
}

#[derive(Sequence)]
struct PredecessorValue {
    certificate: CertId,
    state: IssueState,
}

#[derive(Sequence)]
struct UnsettledValue {
    sha256: OctetString,
    kind: KindCode,
    certificate: CertId,
    predecessor: CertId,
    confirmed_at: GeneralizedTime,
}

/// The question about the certificate with this SHA-256.
///
/// # Errors
/// Never in practice: the value is of a fixed length.
pub fn ask_state(sha256: &[u8; 32]) -> der::Result<InfoTypeAndValue> {
    value(CERTIFICATE_STATE, &OctetStringRef::new(sha256)?)
}

/// The question for the checkpoint that was witnessed last.
#[must_use]
pub fn ask_witnessed_checkpoint() -> InfoTypeAndValue {
    InfoTypeAndValue { info_type: WITNESSED_CHECKPOINT, info_value: None }
}

/// The question for the unsettled cases.
#[must_use]
pub fn ask_unsettled() -> InfoTypeAndValue {
    InfoTypeAndValue { info_type: UNSETTLED, info_value: None }
}

/// The SHA-256 that [`ask_state`] asks about.
///
/// # Errors
/// If it is no such question.
pub fn asked_certificate(info: &InfoTypeAndValue) -> der::Result<[u8; 32]> {
    let asked: OctetStringRef<'_> = value_of(info, CERTIFICATE_STATE)?.read_as()?;
    fixed(asked.as_bytes())
}

/// The answer to [`ask_witnessed_checkpoint`]: none if this terminal has never sent one.
///
/// # Errors
/// If the text is too long.
pub fn witnessed_checkpoint(checkpoint: Option<&str>) -> der::Result<InfoTypeAndValue> {
    match checkpoint {
        Some(text) => value(WITNESSED_CHECKPOINT, &Utf8StringRef::new(text)?),
        None => Ok(ask_witnessed_checkpoint()),
    }
}

/// Reads what [`witnessed_checkpoint`] writes.
///
/// # Errors
/// If it is something else.
pub fn read_witnessed_checkpoint(info: &InfoTypeAndValue) -> der::Result<Option<String>> {
    if info.info_type == WITNESSED_CHECKPOINT && info.info_value.is_none() {
        return Ok(None);
    }
    let text: Utf8StringRef<'_> = value_of(info, WITNESSED_CHECKPOINT)?.read_as()?;
    Ok(Some(text.as_str().to_owned()))
}

/// The answer to [`ask_unsettled`].
///
/// # Errors
/// If it can't be encoded.
pub fn unsettled(cases: &[UnsettledCase]) -> der::Result<InfoTypeAndValue> {
    let cases = cases
        .iter()
        .map(|case| {
            Ok(UnsettledValue {
                sha256: OctetString::new(case.sha256)?,
                kind: case.kind.into(),
                certificate: case.certificate.clone().into(),
                predecessor: case.predecessor.clone().into(),
                confirmed_at: generalized(case.confirmed_at)?,
            })
        })
        .collect::<der::Result<Vec<_>>>()?;
    value(UNSETTLED, &cases)
}

/// Reads what [`unsettled`] writes.
///
/// # Errors
/// If it is something else.
pub fn read_unsettled(info: &InfoTypeAndValue) -> der::Result<Vec<UnsettledCase>> {
    let cases: Vec<UnsettledValue> = value_of(info, UNSETTLED)?.read_as()?;
    cases
        .into_iter()
        .map(|case| {
            Ok(UnsettledCase {
                sha256: fixed(case.sha256.as_bytes())?,
                kind: case.kind.into(),
                certificate: case.certificate.try_into()?,
                predecessor: case.predecessor.try_into()?,
                confirmed_at: timestamp(case.confirmed_at)?,
            })
        })
        .collect()
}

impl CertificateState {
    /// The answer to [`ask_state`].
    ///
    /// # Errors
    /// If it can't be encoded.
    pub fn to_info(&self) -> der::Result<InfoTypeAndValue> {
        let issue = self.issue.as_ref().map(|issue| {
            Ok::<_, der::Error>(IssueValue {
                kind: issue.kind.into(),
                transaction: OctetString::new(issue.transaction.0)?,
                certificate: issue.certificate.clone().into(),
                predecessor: issue.predecessor.as_ref().map(|(certificate, state)| PredecessorValue {
                    certificate: certificate.clone().into(),
                    state: *state,
                }),
            })
        });
        let answer =
            StateValue { sha256: OctetString::new(self.sha256)?, state: self.state, issue: issue.transpose()? };
        value(CERTIFICATE_STATE, &answer)
    }

    /// Reads what [`to_info`](Self::to_info) writes.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_info(info: &InfoTypeAndValue) -> der::Result<Self> {
        let answer: StateValue = value_of(info, CERTIFICATE_STATE)?.read_as()?;
        let issue = answer.issue.map(|issue| {
            let predecessor = issue.predecessor.map(|p| Ok::<_, der::Error>((p.certificate.try_into()?, p.state)));
            Ok::<_, der::Error>(Issue {
                kind: issue.kind.into(),
                transaction: TransactionId(fixed(issue.transaction.as_bytes())?),
                certificate: issue.certificate.try_into()?,
                predecessor: predecessor.transpose()?,
            })
        });
        Ok(Self { sha256: fixed(answer.sha256.as_bytes())?, state: answer.state, issue: issue.transpose()? })
    }
}

impl WitnessState {
    /// An answer's generalInfo.
    ///
    /// # Errors
    /// If it can't be encoded.
    pub fn to_info(&self) -> der::Result<InfoTypeAndValue> {
        let alarm = self.alarm.as_ref().map(|alarm| {
            Ok::<_, der::Error>(LogAlarmValue {
                kind: alarm.kind,
                witnessed: alarm.witnessed,
                offered: alarm.offered,
                raised_at: generalized(alarm.raised_at)?,
            })
        });
        value(WITNESS_STATE, &WitnessStateValue { size: self.size, alarm: alarm.transpose()? })
    }

    /// What an answer says of the witness; none if it says nothing, as to a peer that has no log.
    ///
    /// # Errors
    /// If it is there and can't be read.
    pub fn of(header: &PkiHeader) -> der::Result<Option<Self>> {
        let Some(info) = header.general_info.iter().flatten().find(|info| info.info_type == WITNESS_STATE) else {
            return Ok(None);
        };
        let told: WitnessStateValue = value_of(info, WITNESS_STATE)?.read_as()?;
        let alarm = told.alarm.map(|alarm| {
            Ok::<_, der::Error>(LogAlarm {
                kind: alarm.kind,
                witnessed: alarm.witnessed,
                offered: alarm.offered,
                raised_at: timestamp(alarm.raised_at)?,
            })
        });
        Ok(Some(Self { size: told.size, alarm: alarm.transpose()? }))
    }
}

/// What a request carries of its terminal's log, for the authority to witness: a checkpoint with its consistency proof, as the
/// body of an add-checkpoint request (c2sp.org/tlog-witness).
///
/// # Errors
/// If it is there and can't be read.
pub fn checkpoint_of(header: &PkiHeader) -> der::Result<Option<String>> {
    let Some(info) = header.general_info.iter().flatten().find(|info| info.info_type == LOG_CHECKPOINT) else {
        return Ok(None);
    };
    let text: Utf8StringRef<'_> = value_of(info, LOG_CHECKPOINT)?.read_as()?;
    Ok(Some(text.as_str().to_owned()))
}

/// A request's generalInfo.
pub(crate) fn carry_checkpoint(checkpoint: &str) -> der::Result<InfoTypeAndValue> {
    value(LOG_CHECKPOINT, &Utf8StringRef::new(checkpoint)?)
}

fn value(info_type: ObjectIdentifier, value: &impl Encode) -> der::Result<InfoTypeAndValue> {
    Ok(InfoTypeAndValue { info_type, info_value: Some(RawAny::of(value)?) })
}

fn value_of(info: &InfoTypeAndValue, info_type: ObjectIdentifier) -> der::Result<&RawAny> {
    match &info.info_value {
        Some(value) if info.info_type == info_type => Ok(value),
        _ => Err(ErrorKind::OidUnknown { oid: info.info_type }.into()),
    }
}

fn generalized(at: Timestamp) -> der::Result<GeneralizedTime> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| ErrorKind::DateTime)?;
    GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))
}

fn timestamp(at: GeneralizedTime) -> der::Result<Timestamp> {
    let seconds = i64::try_from(at.to_unix_duration().as_secs()).ok();
    Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(ErrorKind::DateTime)?)
}

fn fixed<const N: usize>(bytes: &[u8]) -> der::Result<[u8; N]> {
    bytes.try_into().map_err(|_| ErrorKind::Length { tag: Tag::OctetString }.into())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn named(serial: u32) -> IssuerAndSerial {
        IssuerAndSerial { issuer: Name::from_str("O=JPKI-SIM,C=JP").unwrap(), serial: SerialNumber::from(serial) }
    }

    #[test]
    fn kinds_have_the_cards_numbers() {
        for kind in CertificateKind::BOTH {
            assert_eq!(KindCode::from(kind) as u8, kind.p1());
            assert_eq!(CertificateKind::from(KindCode::from(kind)), kind);
        }
    }

    #[test]
    fn every_state_reads_back() {
        let states =
            [IssueState::Unknown, IssueState::Issued, IssueState::Valid, IssueState::Revoked, IssueState::Superseded];
        for state in states {
            for kind in CertificateKind::BOTH {
                for predecessor in [None].into_iter().chain(states.map(|state| Some((named(2), state)))) {
                    let transaction = TransactionId([3; 16]);
                    let issue = Issue { kind, transaction, certificate: named(1), predecessor: predecessor.clone() };
                    let told = CertificateState { sha256: [4; 32], state, issue: Some(issue) };
                    assert_eq!(CertificateState::from_info(&told.to_info().unwrap()).unwrap(), told);
                    assert_eq!(told.own_name(), Some(named(1)));
                    let still_valid = predecessor.is_some_and(|(_, state)| state == IssueState::Valid);
                    assert_eq!(told.predecessor_to_supersede(), still_valid.then(|| named(2)));
                }
            }
        }
        let unknown = CertificateState { sha256: [4; 32], state: IssueState::Unknown, issue: None };
        assert_eq!(CertificateState::from_info(&unknown.to_info().unwrap()).unwrap(), unknown);
    }

    #[test]
    fn lists_and_checkpoints_read_back() {
        let case = |serial| UnsettledCase {
            sha256: [5; 32],
            kind: CertificateKind::Signature,
            certificate: named(serial),
            predecessor: named(serial + 1),
            confirmed_at: "2027-04-01T01:00:00Z".parse().unwrap(),
        };
        for cases in [vec![], vec![case(1)], vec![case(1), case(3)]] {
            assert_eq!(read_unsettled(&unsettled(&cases).unwrap()).unwrap(), cases);
        }
        for text in [None, Some("terminal-1\n42\nBASE64==\n")] {
            assert_eq!(read_witnessed_checkpoint(&witnessed_checkpoint(text).unwrap()).unwrap().as_deref(), text);
        }
        assert_eq!(asked_certificate(&ask_state(&[6; 32]).unwrap()).unwrap(), [6; 32]);
    }

    fn answer(general_info: Option<Vec<InfoTypeAndValue>>) -> PkiHeader {
        let nobody = GeneralName::DirectoryName(Name::default());
        PkiHeader {
            pvno: 2,
            sender: nobody.clone(),
            recipient: nobody,
            message_time: None,
            protection_alg: None,
            sender_kid: None,
            recip_kid: None,
            transaction_id: None,
            sender_nonce: None,
            recip_nonce: None,
            free_text: None,
            general_info,
        }
    }

    #[test]
    fn what_the_witness_says_reads_back() {
        let kinds = [LogAlarmKind::RolledBack, LogAlarmKind::Forked, LogAlarmKind::KeyReplaced];
        let raised_at = "2027-04-01T01:00:00Z".parse().unwrap();
        let alarms = kinds.map(|kind| Some(LogAlarm { kind, witnessed: u64::MAX, offered: 7, raised_at }));
        for (alarm, size) in alarms.into_iter().chain([None]).zip([0, 127, 128, u64::MAX]) {
            let told = WitnessState { size, alarm };
            assert_eq!(WitnessState::of(&answer(Some(vec![told.to_info().unwrap()]))).unwrap(), Some(told));
        }
        assert_eq!(WitnessState::of(&answer(None)).unwrap(), None);
        assert_eq!(WitnessState::of(&answer(Some(vec![ask_unsettled()]))).unwrap(), None);
        let nothing = InfoTypeAndValue { info_type: WITNESS_STATE, info_value: None };
        assert!(WitnessState::of(&answer(Some(vec![nothing]))).is_err());
    }

    #[test]
    fn one_question_is_not_taken_for_another() {
        let state = ask_state(&[6; 32]).unwrap();
        assert!(read_unsettled(&state).is_err());
        assert!(read_witnessed_checkpoint(&state).is_err());
        assert!(CertificateState::from_info(&state).is_err());
        assert!(asked_certificate(&ask_unsettled()).is_err());
        assert!(
            asked_certificate(&ask_state(&[6; 32]).map(|i| InfoTypeAndValue { info_type: UNSETTLED, ..i }).unwrap())
                .is_err()
        );
    }
}
