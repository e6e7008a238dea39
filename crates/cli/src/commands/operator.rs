//! `operator enrol|release|list|retire`

use std::io;

use orchestrator::operators::Listed;
use orchestrator::{EnrolOrder, Operator, Role, SiteConfig, Terminal, operators};
use serde::Serialize;

use super::announce;
use crate::composition::{Attendance, Composition, open_ports};
use crate::context::Context;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry, Mark, Screen};
use crate::summary::in_japan;

/// Who is to be enrolled.
pub(super) struct Newcomer {
    pub(super) user_id: String,
    pub(super) role: Role,
    pub(super) operator_id: Option<String>,
}

pub(super) fn enrol(
    newcomer: Newcomer,
    access_manager: Option<&str>,
    second_person: Option<&str>,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let Newcomer { user_id, role, operator_id } = newcomer;
    let order = EnrolOrder { user_id, role, operator_id: operator_id.unwrap_or_else(|| role_name(role).to_owned()) };
    as_access_manager(access_manager, "heading-enrol", composition, context, |terminal| {
        let second = second_person.map(|user_id| terminal.second_person(user_id)).transpose()?;
        let operator = terminal.enrol_operator(order, second)?;
        Ok(OperatorReport { ok: true, done: Done::Enrolled, operator })
    })
}

pub(super) fn release(
    user_id: &str,
    access_manager: &str,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    as_access_manager(Some(access_manager), "heading-release", composition, context, |terminal| {
        let operator = terminal.release_operator(user_id)?;
        Ok(OperatorReport { ok: true, done: Done::Released, operator })
    })
}

pub(super) fn retire(
    user_id: &str,
    access_manager: &str,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    as_access_manager(Some(access_manager), "heading-retire", composition, context, |terminal| {
        let operator = terminal.retire_operator(user_id)?;
        Ok(OperatorReport { ok: true, done: Done::Retired, operator })
    })
}

/// Logs the access manager on, does what is to be done, and logs off whatever comes of it.
fn as_access_manager(
    access_manager: Option<&str>,
    heading: &str,
    composition: &impl Composition,
    context: &Context,
    act: impl FnOnce(&mut Terminal) -> Result<OperatorReport, Failure>,
) -> Result<Box<dyn Report>, Failure> {
    let ports = open_ports(composition, context, Attendance::Nobody)?;
    announce(heading, composition, context)?;
    let mut terminal = Terminal::start(ports, context.progress())?;
    if let Some(access_manager) = access_manager {
        terminal.log_on(access_manager)?;
    }
    let done = act(&mut terminal);
    let logged_off = terminal.log_off();
    let report = done?;
    logged_off?;
    Ok(Box::new(report))
}

pub(super) fn list(composition: &impl Composition, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let state = composition.state(context.folder())?;
    let limit = SiteConfig::load(&*state)?.refusals_until_locked;
    Ok(Box::new(OperatorList { ok: true, operators: operators::list(&*state, limit)? }))
}

/// An operator to whose entry something was done.
#[derive(Debug, Serialize)]
struct OperatorReport {
    ok: bool,
    #[serde(skip)]
    done: Done,
    operator: Operator,
}

#[derive(Clone, Copy, Debug)]
enum Done {
    Enrolled,
    Released,
    Retired,
}

impl Report for OperatorReport {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let key = match self.done {
            Done::Enrolled => "operator-enrolled",
            Done::Released => "operator-released",
            Done::Retired => "operator-retired",
        };
        let args = [("user", self.operator.user_id.as_str().into())];
        screen.entry(Mark::Done, &Entry::new(messages.get(role_key(self.operator.role)), [messages.text(key, &args)]))
    }
}

/// The operators of a terminal.
#[derive(Debug, Serialize)]
struct OperatorList {
    ok: bool,
    operators: Vec<Listed>,
}

impl Report for OperatorList {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if self.operators.is_empty() {
            return screen.text(0, &messages.get("operators-none"));
        }
        let columns =
            ["operators-user", "operators-operator", "operators-role", "operators-enrolled", "operators-state"];
        let mut rows = vec![columns.map(|key| messages.get(key)).to_vec()];
        rows.extend(self.operators.iter().map(|Listed { operator, locked }| {
            let retired = operator
                .retired_at
                .map(|at| messages.text("operators-retired", &[("date", in_japan(at).date().to_string().into())]));
            let locked = locked.then(|| messages.get("operators-locked"));
            vec![
                operator.user_id.clone(),
                operator.operator_id.clone(),
                messages.get(role_key(operator.role)),
                in_japan(operator.enrolled_at).date().to_string(),
                retired.or(locked).unwrap_or_default(),
            ]
        }));
        screen.table(&rows)
    }
}

fn role_key(role: Role) -> &'static str {
    match role {
        Role::Operator => "role-operator",
        Role::AccessManager => "role-access-manager",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::AccessManager => "access-manager",
    }
}
