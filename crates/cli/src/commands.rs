//! What each command does.

mod card;
mod doctor;
mod hsm;
mod identity;
mod log;
mod operator;
mod trace;

use std::io;

use ::hsm::KeyName;
use clap_complete::Generator;
use orchestrator::{Plan, Terminal};
use serde::Serialize;

use crate::arguments::{Arguments, Card, CardTrace, Command, Devices, Hsm, Issue, Keys, Log, Operator};
use crate::composition::{Attendance, Composition, open_ports};
use crate::context::Context;
use crate::devices::DeviceTable;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::Screen;
use crate::summary::Summary;

/// Runs a command.
pub(crate) fn execute<C: Composition>(
    command: Command<C::Own, C::OwnCard>,
    composition: &C,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    match command {
        Command::Issue(order) => issue(&order, composition, context),
        Command::Card(Card::Show { operator }) => card::show(&operator, composition, context),
        Command::Card(Card::Rekey { operator }) => card::rekey(&operator, composition, context),
        Command::Card(Card::Trace(CardTrace::Show { file })) => trace::show(&file),
        Command::Card(Card::Own(command)) => composition.run_own_card(command, context),
        Command::Operator(Operator::Enrol { user_id, role, operator_id, access_manager, second_person }) => {
            let newcomer = operator::Newcomer { user_id, role: role.into(), operator_id };
            operator::enrol(newcomer, access_manager.as_deref(), second_person.as_deref(), composition, context)
        }
        Command::Operator(Operator::Release { user_id, access_manager }) => {
            operator::release(&user_id, &access_manager, composition, context)
        }
        Command::Operator(Operator::List) => operator::list(composition, context),
        Command::Operator(Operator::Retire { user_id, access_manager }) => {
            operator::retire(&user_id, &access_manager, composition, context)
        }
        Command::Hsm(Hsm::Init { persons }) => hsm::init(&persons, composition, context),
        Command::Hsm(Hsm::Keys(Keys::List)) => hsm::list(composition, context),
        Command::Hsm(Hsm::Keys(Keys::Create { name, kind, persons })) => {
            hsm::create(&KeyName::new(name), kind, &persons, composition, context)
        }
        Command::Hsm(Hsm::Keys(Keys::Retire { name, reason, persons })) => {
            hsm::retire(&KeyName::new(name), &reason, &persons, composition, context)
        }
        Command::Identity(command) => identity::run(command, composition, context),
        Command::Log(Log::Show { last }) => log::show(last, composition, context),
        Command::Log(Log::Verify { key }) => log::verify(key.as_deref(), composition, context),
        Command::Doctor => doctor::examine(composition, context),
        Command::Completion { shell } => completion::<C>(composition, shell),
        Command::Devices(Devices::Rules) => text(devices()?.rules()),
        Command::Devices(Devices::Polkit) => text(devices()?.polkit_rules()),
        Command::Own(command) => composition.run_own(command, context),
    }
}

fn issue<C: Composition>(order: &Issue, composition: &C, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let ports = open_ports(composition, context, Attendance::People)?;
    let heading = if order.renew { "heading-renew" } else { "heading-issue" };
    announce(heading, composition, context)?;
    let kinds = order.kinds();
    let plan = if order.renew { Plan::renew(&kinds) } else { Plan::issue(&kinds) };
    let mut terminal = Terminal::start(ports, context.progress())?;
    terminal.log_on(&order.operator)?;
    let report = terminal.run(&order.resident, plan)?;
    // Its folder is to be free: now nobody waits for the terminal.
    drop(terminal);
    identity::renew_due(composition, context);
    Ok(Box::new(Summary::of(report, context.timings())))
}

/// The heading of a procedure; simulators are announced.
fn announce(key: &str, composition: &impl Composition, context: &Context) -> Result<(), Failure> {
    context.screen(|screen, messages| {
        let right = if composition.is_simulated() { messages.get("heading-simulated") } else { String::new() };
        screen.heading(&messages.get(key), &right)
    })
}

fn completion<C: Composition>(composition: &C, shell: clap_complete::Shell) -> Result<Box<dyn Report>, Failure> {
    let mut grammar = Arguments::<C::Own, C::OwnCard>::grammar(composition.program());
    grammar.build();
    let mut script = Vec::new();
    shell.try_generate(&grammar, &mut script)?;
    text(String::from_utf8_lossy(&script).into_owned())
}

fn devices() -> Result<DeviceTable, Failure> {
    Ok(DeviceTable::built_in().map_err(io::Error::other)?)
}

fn text(text: String) -> Result<Box<dyn Report>, Failure> {
    Ok(Box::new(PlainText { ok: true, text }))
}

/// A text for another program, printed as it is.
#[derive(Serialize)]
struct PlainText {
    ok: bool,
    text: String,
}

impl Report for PlainText {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, _messages: &Messages) -> io::Result<()> {
        screen.verbatim(self.text.trim_end_matches('\n'))
    }
}
