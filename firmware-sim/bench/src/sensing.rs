//! `palm serve`: the simulated palm sensor as a device of the kernel, where any program finds it, and the strings to pull.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cli::{Context, Entry, Failure, Mark, Messages, Report, Screen};
use madoguchi_time::SystemClock;
use serde::Serialize;
use sim_palm_sensor::control::converse;
use sim_palm_sensor::uhid::UhidSensor;
use sim_palm_sensor::{SimPalmControl, plug_in};

use crate::commands::ServePalm;
use crate::failure::own;

/// What was done, once it is over.
#[derive(Debug, Serialize)]
struct Ended {
    ok: bool,
    simulated: bool,
    serial: String,
    captures: u64,
}

/// One line of what is told in JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
enum Told<'a> {
    /// The sensor is plugged in and can be told what to do.
    Ready { serial: &'a str },
}

/// Is a sensor until standard input ends.
///
/// # Errors
/// If the kernel takes no such device from this user, or the socket can't be made.
pub(crate) fn run(order: &ServePalm, context: &Context) -> Result<Box<dyn Report>, Failure> {
    // Time must pass as it does for the programs that look at the sensor.
    let clock = SystemClock::shared();
    let (_, control) = plug_in(clock.clone(), &order.serial, order.report_size.into());
    let no_device = |error: io::Error| own("error-sensing-uhid", [path(&order.uhid)], error);
    let uhid = File::options().read(true).write(true).open(&order.uhid).map_err(no_device)?;
    if let Some(socket) = &order.control {
        listen(socket, &control).map_err(|error| own("error-sensing-control", [path(socket)], error))?;
    }
    let ended = Arc::new(AtomicBool::new(false));
    {
        let (control, ended) = (control.clone(), ended.clone());
        thread::spawn(move || {
            // Whoever reads the answers may have gone: that is an end, too.
            let _gone = converse(&control, io::stdin().lock(), io::stdout());
            ended.store(true, Ordering::Relaxed);
        });
    }
    context.screen(|screen, messages| {
        screen.heading(&messages.get("heading-sensing"), &messages.get("heading-simulated"))?;
        screen.text(3, &messages.get("sensing-words"))
    })?;
    if context.is_json() {
        println!("{}", serde_json::to_string(&Told::Ready { serial: &order.serial }).map_err(io::Error::from)?);
    }
    let mut sensor = UhidSensor::new(uhid, control.clone(), &order.serial, clock);
    let run = sensor.run(&mut || !ended.load(Ordering::Relaxed));
    if let Some(socket) = &order.control {
        // It may have been removed by somebody else.
        let _removed = fs::remove_file(socket);
    }
    run.map_err(no_device)?;
    Ok(Box::new(Ended { ok: true, simulated: true, serial: order.serial.clone(), captures: control.captures() }))
}

/// Lets this user's programs pull the strings over a socket, each in lines of text.
fn listen(socket: &Path, control: &SimPalmControl) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    let control = control.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let control = control.clone();
            // Each ends when its program hangs up.
            thread::spawn(move || converse(&control, BufReader::new(&stream), &stream));
        }
    });
    Ok(())
}

fn path(path: &Path) -> (&'static str, cli::Value) {
    ("path", path.display().to_string().into())
}

impl Report for Ended {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let captures = messages.text("sensing-captures", &[("captures", self.captures.into())]);
        screen.entry(Mark::Done, &Entry::new(messages.get("sensing-ended"), [&captures]))
    }
}
