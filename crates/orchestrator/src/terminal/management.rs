//! The operators of the terminal: registered, retired, listed (照合情報認証管理簿).

use super::log_on::{SecondPerson, watch_capture};
use super::{LOG_ON, Terminal, outcome_of};
use crate::error::ProcedureError;
use crate::logbook::What;
use crate::operators::{self, Operator, Role};

/// A new operator.
#[derive(Clone, Debug)]
pub struct EnrolOrder {
    /// 照合ID.
    pub user_id: String,
    /// 操作者ID.
    pub operator_id: String,
    /// What the role may do.
    pub role: Role,
}

impl Terminal {
    /// Registers an operator's palm. Somebody with the role アクセス管理責任者 must be logged on, unless this is the first, who then
    /// must have that role. As soon as there is another operator, he or she is the second person who has to be there.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`], [`ProcedureError::SecondPersonNeeded`], or the sensor's.
    pub fn enrol_operator(
        &mut self,
        order: EnrolOrder,
        second: Option<SecondPerson>,
    ) -> Result<Operator, ProcedureError> {
        let first = operators::nobody_was_ever_enrolled(&*self.ports.state)?;
        if !first && !self.is_access_manager()? {
            return Err(ProcedureError::NotAllowed);
        }
        if first && order.role != Role::AccessManager {
            return Err(ProcedureError::NotAllowed);
        }
        if !first && !self.is_witnessed_by(second.as_ref())? {
            return Err(ProcedureError::SecondPersonNeeded);
        }
        let (state, retirements) = (&*self.ports.state, self.log.retirements());
        let is_known = operators::find(state, retirements, &order.user_id)?.is_some();
        // Who was retired stays retired, even if the record is gone.
        if !operators::is_user_id(&order.user_id) || is_known || retirements.of(&order.user_id).is_some() {
            return Err(ProcedureError::UserIdNotFree);
        }
        self.hsm_is_there()?;
        let deadline = self.ports.clock.deadline_in(LOG_ON);
        let mut captures = 0;
        let templates = self.ports.verifier.enrol(deadline, &mut |event| {
            watch_capture(&event, &mut captures, &mut self.progress);
        })?;
        let operator = Operator {
            user_id: order.user_id,
            operator_id: order.operator_id,
            role: order.role,
            enrolled_at: self.ports.clock.wall(),
            retired_at: None,
        };
        let what = What::operator(What::ENROL_OPERATOR, &operator.user_id);
        let intent = self.log.intend(&mut *self.ports.state, what, self.ports.clock.wall())?;
        let done = operators::enrol(
            &mut *self.ports.state,
            &*self.ports.hsm,
            operator.clone(),
            &templates,
            &mut *self.ports.random,
            deadline,
        );
        self.log.close(&mut *self.ports.state, intent, outcome_of(&done), None, self.ports.clock.wall())?;
        done.map(|()| operator)
    }

    /// Retires an operator: the templates are erased. Who retires themselves is logged off.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`] unless an アクセス管理責任者 is logged on, [`ProcedureError::LastAccessManager`] if nobody else
    /// has that role.
    pub fn retire_operator(&mut self, user_id: &str) -> Result<Operator, ProcedureError> {
        if !self.is_access_manager()? {
            return Err(ProcedureError::NotAllowed);
        }
        let operator = operators::find(&*self.ports.state, self.log.retirements(), user_id)?;
        let operator = operator.ok_or(ProcedureError::UnknownOperator)?;
        if operator.is_active_manager() && !self.has_another_manager(user_id)? {
            return Err(ProcedureError::LastAccessManager);
        }
        let retired = self.note_retirement(user_id)?;
        let now = self.ports.clock.now();
        if self.session.active(now, self.site.idle_limit()).is_some_and(|operator| operator.user_id == user_id) {
            self.log_off()?;
        }
        Ok(retired)
    }

    /// Lets an operator log on again who was refused too often.
    ///
    /// # Errors
    /// [`ProcedureError::NotAllowed`] unless an アクセス管理責任者 is logged on, [`ProcedureError::UnknownOperator`].
    pub fn release_operator(&mut self, user_id: &str) -> Result<Operator, ProcedureError> {
        if !self.is_access_manager()? {
            return Err(ProcedureError::NotAllowed);
        }
        let operator = operators::find(&*self.ports.state, self.log.retirements(), user_id)?;
        let operator = operator.ok_or(ProcedureError::UnknownOperator)?;
        let what = What::operator(What::RELEASE_OPERATOR, user_id);
        self.log.event(&mut *self.ports.state, what, self.ports.clock.wall())?;
        Ok(operator)
    }

    /// Without one, nobody could register or retire anybody. A record that is damaged is nobody's.
    fn has_another_manager(&self, user_id: &str) -> Result<bool, ProcedureError> {
        let mut all = operators::all(&*self.ports.state, self.log.retirements())?;
        Ok(all.any(|operator| operator.is_ok_and(|other| other.user_id != user_id && other.is_active_manager())))
    }

    pub(super) fn note_retirement(&mut self, user_id: &str) -> Result<Operator, ProcedureError> {
        let at = self.ports.clock.wall();
        let intent = self.log.intend(&mut *self.ports.state, What::operator(What::RETIRE_OPERATOR, user_id), at)?;
        let done = operators::retire(&mut *self.ports.state, user_id, at).map_err(ProcedureError::from);
        self.log.close(&mut *self.ports.state, intent, outcome_of(&done), None, self.ports.clock.wall())?;
        done
    }

    /// Is this another person than who acts, or is there no other?
    fn is_witnessed_by(&mut self, second: Option<&SecondPerson>) -> Result<bool, ProcedureError> {
        let first = self.session.active(self.ports.clock.now(), self.site.idle_limit()).cloned();
        let first = first.ok_or(ProcedureError::NotLoggedOn)?;
        let is_another = |operator: &Operator| operator.user_id != first.user_id;
        if let Some(second) = second {
            return Ok(is_another(second.operator()));
        }
        let mut all = operators::all(&*self.ports.state, self.log.retirements())?;
        // Whoever damages the others' records does not become the only one.
        Ok(!all.any(|other| other.map_or(true, |other| other.retired_at.is_none() && is_another(&other))))
    }

    fn is_access_manager(&mut self) -> Result<bool, ProcedureError> {
        self.lock_if_idle()?;
        let operator = self.session.active(self.ports.clock.now(), self.site.idle_limit());
        Ok(operator.is_some_and(|operator| operator.role == Role::AccessManager))
    }

    /// The operators of this terminal.
    ///
    /// # Errors
    /// If a record is damaged.
    pub fn operators(&self) -> Result<Vec<Operator>, ProcedureError> {
        Ok(operators::all(&*self.ports.state, self.log.retirements())?.collect::<Result<_, _>>()?)
    }
}
