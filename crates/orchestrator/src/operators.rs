//! The operators of this terminal and their sealed palm templates (照合情報認証管理簿).

use audit_log::{Entry, Outcome, Phase};
use biometric::EnrolledTemplates;
use hsm::{Hsm, HsmError, KeyName, Sealed};
use jiff::Timestamp;
use madoguchi_time::Deadline;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};

use crate::attempts::Attempts;
use crate::error::ProcedureError;
use crate::logbook::{self, Retirements, What};
use crate::state::{StateError, StateFolder};

const FOLDER: &str = "operators";
/// What sealed templates are for; part of their key, so that no other record opens as one.
const PURPOSE: &str = "palm template";

/// What an operator may do (操作者ID identifies the role).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Takes applications and issues certificates.
    Operator,
    /// アクセス管理責任者: registers and retires operators; issues nothing.
    AccessManager,
}

/// An operator. 照合ID identifies the person, 操作者ID the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// 照合ID: 4 to 16 letters and digits.
    pub user_id: String,
    /// 操作者ID.
    pub operator_id: String,
    /// What the role may do.
    pub role: Role,
    /// When the palm was registered.
    pub enrolled_at: Timestamp,
    /// When the operator was retired, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    operator: Operator,
    /// Hex of the sealed templates; empty once retired.
    sealed: String,
}

/// Is this a possible 照合ID? It becomes a file name, so nothing but letters and digits.
#[must_use]
pub fn is_user_id(text: &str) -> bool {
    (4..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// An operator as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Who it is.
    #[serde(flatten)]
    pub operator: Operator,
    /// Was the operator refused too often, and is to be released by an アクセス管理責任者?
    pub locked: bool,
}

/// All operators, retired ones too, in the order of their 照合ID. `limit` is the number of refused log-ons that locks.
///
/// # Errors
/// If the folder or the log can't be read, or a record is damaged.
pub fn list(state: &dyn StateFolder, limit: u32) -> Result<Vec<Listed>, ProcedureError> {
    let (mut retirements, mut attempts) = (Retirements::default(), Attempts::default());
    for entry in logbook::entries(state)? {
        retirements.take(&entry);
        attempts.take(&entry);
    }
    let listed = |operator: Operator| {
        let locked = operator.retired_at.is_none() && attempts.has_locked(&operator.user_id, limit);
        Listed { operator, locked }
    };
    Ok(all(state, &retirements)?.map(|operator| operator.map(listed)).collect::<Result<_, _>>()?)
}

/// The same for who knows the log. A record that is damaged is an error in its place.
pub(crate) fn all(
    state: &dyn StateFolder,
    retirements: &Retirements,
) -> Result<impl Iterator<Item = Result<Operator, StateError>>, StateError> {
    let names = state.list(FOLDER)?;
    Ok(names.into_iter().filter_map(move |name| {
        let id = name.strip_suffix(".json")?;
        read(state, id).map(|record| record.map(|record| record.operator.known_to(retirements))).transpose()
    }))
}

/// Who has this 照合ID.
///
/// # Errors
/// If the record is damaged.
pub(crate) fn find(
    state: &dyn StateFolder,
    retirements: &Retirements,
    user_id: &str,
) -> Result<Option<Operator>, StateError> {
    if !is_user_id(user_id) {
        return Ok(None);
    }
    Ok(read(state, user_id)?.map(|record| record.operator.known_to(retirements)))
}

/// Operators who are retired by the log and not by their records: those were put back, or the power went in between.
pub(crate) fn put_back(state: &dyn StateFolder, retirements: &Retirements) -> Vec<String> {
    let is_put_back = |id: &&str| matches!(read(state, id), Ok(Some(record)) if record.operator.retired_at.is_none());
    retirements.ids().filter(is_put_back).map(Into::into).collect()
}

/// Was nobody ever enrolled at this terminal? The log knows too: whoever empties the folder of operators does not become the first.
///
/// # Errors
/// If the folder or the log can't be read.
pub fn nobody_was_ever_enrolled(state: &dyn StateFolder) -> Result<bool, ProcedureError> {
    if state.list(FOLDER)?.iter().any(|name| name.ends_with(".json")) {
        return Ok(false);
    }
    let is_enrolment = |entry: &Entry| {
        let done = matches!(entry.phase, Phase::Outcome { outcome: Outcome::Done, .. });
        done && entry.step.as_str() == What::ENROL_OPERATOR
    };
    Ok(!logbook::entries(state)?.iter().any(is_enrolment))
}

impl Operator {
    pub(crate) fn is_active_manager(&self) -> bool {
        self.role == Role::AccessManager && self.retired_at.is_none()
    }

    /// The log knows who is retired, whatever the record says.
    fn known_to(mut self, retirements: &Retirements) -> Self {
        self.retired_at = self.retired_at.or_else(|| retirements.of(&self.user_id));
        self
    }
}

/// Keeps an operator and the palm's templates, sealed for this operator in this role alone.
///
/// # Errors
/// If the HSM can't seal or the record can't be written.
pub(crate) fn enrol(
    state: &mut dyn StateFolder,
    hsm: &dyn Hsm,
    operator: Operator,
    templates: &EnrolledTemplates,
    rng: &mut dyn CryptoRngCore,
    deadline: Deadline,
) -> Result<(), ProcedureError> {
    let key = KeyName::new(KeyName::TEMPLATE_SEALING);
    let bound_to = as_sealed(&operator)?;
    let sealed = hsm::sealing::seal(hsm, &key, PURPOSE, &bound_to, &templates.to_bytes(), rng, deadline)?;
    Ok(write(state, &Record { sealed: hex::encode(sealed.to_bytes()), operator })?)
}

/// The templates of an operator who is not retired.
///
/// # Errors
/// If the record was changed, moved or sealed by another HSM.
pub fn templates(
    state: &dyn StateFolder,
    hsm: &dyn Hsm,
    user_id: &str,
    deadline: Deadline,
) -> Result<Option<EnrolledTemplates>, ProcedureError> {
    let Some(record) = read(state, user_id)? else { return Ok(None) };
    if record.operator.retired_at.is_some() {
        return Ok(None);
    }
    let sealed = Sealed::from_bytes(&hex::decode(&record.sealed).map_err(|_| HsmError::NotAuthentic)?)?;
    let key = KeyName::new(KeyName::TEMPLATE_SEALING);
    let bytes = hsm::sealing::open(hsm, &key, PURPOSE, &as_sealed(&record.operator)?, &sealed, deadline)?;
    let templates = EnrolledTemplates::from_bytes(&bytes).map_err(|_| HsmError::NotAuthentic)?;
    Ok(Some(templates))
}

/// Retires an operator: the templates are erased, the entry stays.
///
/// # Errors
/// If there is no such operator, or the record can't be written.
pub(crate) fn retire(state: &mut dyn StateFolder, user_id: &str, at: Timestamp) -> Result<Operator, StateError> {
    let known = if is_user_id(user_id) { read(state, user_id)? } else { None };
    let Some(mut record) = known else {
        return Err(StateError::Damaged { file: FOLDER.into(), problem: "no operator of that ID".into() });
    };
    record.operator.retired_at.get_or_insert(at);
    record.sealed.clear();
    write(state, &record)?;
    Ok(record.operator)
}

/// What the templates are bound to: all that the record says of the operator, so that nobody gets another role with an editor.
fn as_sealed(operator: &Operator) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(operator)
        .map_err(|e| StateError::Damaged { file: file(&operator.user_id), problem: e.to_string() })
}

fn file(user_id: &str) -> String {
    format!("{FOLDER}/{user_id}.json")
}

fn read(state: &dyn StateFolder, user_id: &str) -> Result<Option<Record>, StateError> {
    let name = file(user_id);
    let Some(content) = state.read(&name)? else { return Ok(None) };
    let damaged = |problem: String| StateError::Damaged { file: name.clone(), problem };
    let record: Record = serde_json::from_slice(&content).map_err(|e| damaged(e.to_string()))?;
    if record.operator.user_id != user_id {
        return Err(damaged("it names another operator".into()));
    }
    Ok(Some(record))
}

fn write(state: &mut dyn StateFolder, record: &Record) -> Result<(), StateError> {
    let name = file(&record.operator.user_id);
    let bytes = serde_json::to_vec_pretty(record)
        .map_err(|e| StateError::Damaged { file: name.clone(), problem: e.to_string() })?;
    state.replace(&name, &bytes)
}

#[cfg(test)]
impl Operator {
    pub(crate) fn example(user_id: &str) -> Self {
        Self {
            user_id: user_id.into(),
            operator_id: "counter-1".into(),
            role: Role::Operator,
            enrolled_at: Timestamp::UNIX_EPOCH,
            retired_at: None,
        }
    }
}
