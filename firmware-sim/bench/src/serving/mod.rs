//! `card serve`: the card of a world in a virtual reader of pcscd, where any program finds it.
//!
//! What happens is told as it happens, in lines for people or as JSON lines, each one [`Told`]. The card obeys words on standard input
//! and signals: see [`Word`].

mod hand;
mod told;

use std::time::Duration;

use cli::{Context, Failure, Report};
use madoguchi_time::SharedClock;
use orchestrator::ProcedureError;
use sim_card::LinkTime;
use sim_card::vpcd::VpcdRunner;

pub use self::hand::Word;
use self::told::{Ended, Teller};
pub use self::told::{Pin, Told};
use crate::commands::Serve;
use crate::failure::failure;
use crate::world::World;

/// pcscd asks for the card every 400 ms; a machine under load takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the card until it is told to stop.
///
/// # Errors
/// If there is no card, another program has it, or it does not come into the virtual reader.
pub(crate) fn run(order: &Serve, clock: SharedClock, context: &Context) -> Result<Box<dyn Report>, Failure> {
    let mut world = World::open(context.folder()).map_err(failure)?;
    if let Some(number) = &order.resident {
        let resident = world.resident(number).map_err(failure)?.ok_or(ProcedureError::UnknownResident)?;
        world.lay_on_reader(&resident).map_err(failure)?;
    }
    let card = world.card_on_reader(clock.clone()).map_err(failure)?;
    let card = card.ok_or_else(|| Failure::Own { key: "error-serve-no-card", args: Vec::new(), source: None })?;
    let pins = if order.show_pins { pins(&world)? } else { Vec::new() };
    let serial = world.serial_on_reader().unwrap_or_default().to_owned();
    let teller = Teller::new(context, order.vpcd.clone(), serial, pins);
    teller.heading()?;

    let mut runner = VpcdRunner::new(card, &order.vpcd).with_reconnects();
    if order.real_time {
        runner = runner.with_pace(clock, Some(LinkTime::KBITS_106));
    }
    let control = runner.control();
    hand::obey(order, &control, &teller, || {
        if order.wait {
            return control.insert_when_possible();
        }
        control.insert()?;
        control.wait_until_seen(PATIENCE)
    })?;
    drop(runner);
    Ok(Box::new(Ended::new(control.activity())))
}

/// The PINs of whoever holds the card on the reader.
fn pins(world: &World) -> Result<Vec<Pin>, Failure> {
    let holder = world.at_the_counter().map_err(failure)?;
    let persona = holder.map(|holder| world.persona(&holder)).unwrap_or_default();
    Ok(persona.pins.into_iter().map(|(kind, pin)| Pin::new(kind, pin)).collect())
}
