//! One procedure in a process of its own, told as JSON lines: the terminal of the demonstration, and of tests that kill it.
//!
//! One line is one [`Told`]. The exit status is that of the commands. With `--hold` the process first reads the seed of a canary from its
//! standard input and keeps the canary in memory; at the end, with the operator logged off and the people gone, it says
//! [`Told::Held`] and waits for a line, so that somebody may look into its memory. With `--resident -` the number is read from standard
//! input too, after the seed.

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Arguments, Attendance, Composition, Context, Explanation, Failure, Screen, Status, open_ports};
use jpki::CertificateKind;
use orchestrator::{Plan, ProcedureError, ProcedureReport, Progress, Terminal};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::children;
use crate::commands::{self, Own, OwnCard};
use crate::composition::Simulated;
use crate::palms::Hands;
use crate::residue::Canary;

/// The command by which this program is a terminal.
pub const COMMAND: &str = "terminal";

/// In the place of a 宛名番号: it comes on standard input, where no other user of the machine sees it.
pub const FROM_STDIN: &str = "-";
/// Room for a line of standard input, in bytes: a buffer that grows leaves copies behind.
const LINE: usize = 128;

/// 照合ID that nobody has.
const UNKNOWN: &str = "9999";
/// Somebody who works elsewhere.
const STRANGER: &str = "stranger";

/// One line of what the process tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
pub enum Told {
    /// Something that happens.
    Progress {
        /// What.
        progress: Progress,
    },
    /// A log-on comes that is to be refused.
    ToBeRefused {
        /// Why it is to be.
        intruder: Intruder,
    },
    /// What came of it.
    Done {
        /// What.
        report: ProcedureReport,
    },
    /// Why it ended early, in the person's language.
    Failed {
        /// A stable name.
        code: String,
        /// What failed.
        text: String,
        /// The likely cause.
        cause: String,
        /// What to do.
        mend: String,
    },
    /// Everybody is gone; the process waits.
    Held,
}

/// Who tries to log on and must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intruder {
    /// A stranger with an operator's ID.
    Stranger,
    /// A print of the operator's hand.
    Print,
    /// An ID that nobody has.
    UnknownId,
}

impl From<Explanation> for Told {
    fn from(explanation: Explanation) -> Self {
        let Explanation { code, text, cause, mend } = explanation;
        Self::Failed { code, text, cause, mend }
    }
}

/// Runs the process.
#[must_use]
pub fn run(order: &commands::Terminal, arguments: &Arguments<Own, OwnCard>) -> ExitCode {
    // Without its parent nobody hears it. If the system refuses, it still ends with its standard output.
    let _ = children::die_with_parent();
    let simulated = Simulated::new(Some(arguments));
    let context = context(arguments, &simulated);
    let outcome = hear(order).map_err(Failure::from).and_then(|(canary, resident)| {
        let outcome = procedure(order, resident, &simulated, &context);
        drop(canary);
        outcome
    });
    let status = match &outcome {
        Ok(()) => Status::Done,
        Err(failure) => {
            tell(&failure.explain(&context.messages()).into());
            failure.status()
        }
    };
    status.into()
}

/// What standard input says: the seed of a canary, which is kept in memory from now on; and a number that is for nobody else's eyes.
fn hear(order: &commands::Terminal) -> io::Result<(Vec<Vec<u8>>, Zeroizing<String>)> {
    let mut canary = Vec::new();
    if order.hold {
        let mut seed = [0; 32];
        hex::decode_to_slice(read_line()?.as_str(), &mut seed).map_err(io::Error::other)?;
        canary = Canary::new(seed).pieces();
    }
    let resident = if order.resident == FROM_STDIN { read_line()? } else { Zeroizing::new(order.resident.clone()) };
    Ok((canary, resident))
}

/// Reads a line byte by byte: the buffer of the standard library's stdin would keep it.
fn read_line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(LINE));
    let mut byte = Zeroizing::new([0]);
    while rustix::io::read(rustix::stdio::stdin(), &mut *byte)? == 1 && byte[0] != b'\n' && line.len() < LINE {
        line.push(char::from(byte[0]));
    }
    Ok(line)
}

/// A context that shows nothing.
fn context(arguments: &Arguments<Own, OwnCard>, simulated: &Simulated) -> Context {
    let global = cli::Global { json: true, ..arguments.global.clone() };
    Context::new(&global, simulated.default_folder(), Screen::stdout())
}

fn procedure(
    order: &commands::Terminal,
    resident: Zeroizing<String>,
    simulated: &Simulated,
    context: &Context,
) -> Result<(), Failure> {
    simulated.comes(&resident);
    let ports = open_ports(simulated, context, Attendance::People)?;
    let told = Box::new(|progress: &Progress| tell(&Told::Progress { progress: progress.clone() }));
    let mut terminal = Terminal::start(ports, told)?;
    let report = issue(order, &resident, &mut terminal, simulated.hands().as_ref());
    drop(resident);
    simulated.all_leave();
    match report {
        Ok(report) => tell(&Told::Done { report }),
        Err(error) if !order.hold => return Err(error.into()),
        Err(error) => tell(&Failure::from(error).explain(&context.messages()).into()),
    }
    if order.hold {
        scrub();
        tell(&Told::Held);
        read_line()?;
    }
    // The terminal is there until now: what it still held would have been found.
    drop(terminal);
    Ok(())
}

fn issue(
    order: &commands::Terminal,
    resident: &str,
    terminal: &mut Terminal,
    hands: Option<&Hands>,
) -> Result<ProcedureReport, ProcedureError> {
    if let Some(hands) = hands {
        if order.show_refusals {
            show_refusals(&order.operator, terminal, hands)?;
        }
        if order.too_near_at_first {
            hands.logs_on_too_near_at_first(&order.operator)?;
        } else {
            hands.logs_on(&order.operator)?;
        }
    }
    terminal.log_on(&order.operator)?;
    let kinds = CertificateKind::BOTH;
    let plan = if order.renew { Plan::renew(&kinds) } else { Plan::issue(&kinds) };
    terminal.run(resident, plan)
}

/// What must be refused at log-on, and is.
fn show_refusals(operator: &str, terminal: &mut Terminal, hands: &Hands) -> Result<(), ProcedureError> {
    for intruder in [Intruder::Stranger, Intruder::Print, Intruder::UnknownId] {
        tell(&Told::ToBeRefused { intruder });
        let user_id = match intruder {
            Intruder::Stranger => {
                hands.logs_on(STRANGER)?;
                operator
            }
            Intruder::Print => {
                hands.shows_a_print(operator);
                operator
            }
            Intruder::UnknownId => {
                hands.logs_on(operator)?;
                UNKNOWN
            }
        };
        match terminal.log_on(user_id) {
            Err(ProcedureError::LogOnRefused | ProcedureError::NoUsableCapture(_)) => {}
            Err(other) => return Err(other),
            // Whoever it was is logged off again; what comes next fails, as it should.
            Ok(()) => terminal.log_off()?,
        }
    }
    Ok(())
}

fn tell(told: &Told) {
    let mut stdout = io::stdout().lock();
    let line = serde_json::to_string(told).unwrap_or_default();
    // Whoever does not listen any more does not want to know.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Overwrites what calls that have returned left on the stack.
#[inline(never)]
fn scrub() {
    const FRAME: usize = 1 << 20;
    let mut frame = [0_u8; FRAME];
    std::hint::black_box(&mut frame);
}
