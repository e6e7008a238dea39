//! What happens to the sensor, in lines of text: for people and for tests in another process.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use biometric::RetryReason;

use crate::runner::{Direction, Fault, SimPalmControl};
use crate::stage::{Hand, Presentation};
use crate::synth::{Artefact, Forgery, Level, PalmSeeds, Side, SyntheticPalm, Veins};

/// The words, one command a line. Numbers are decimal.
pub const VOCABULARY: &str = "\
HAND person [L0|L1|L2|L3] [left|right] [take n] [no-veins]  hold a hand over the sensor
ARTEFACT kind person [L0|L1|L2|L3] [take n]                 hold a forgery of that person's hand over it
NOTHING                                                     take it away
RETRY reason                                                refuse the next capture: no-hand, too-near, too-far, too-left,
                                                            too-right, moving, tilted, too-dark, too-bright, covered
ERROR code                                                  fail the next capture with an error of the protocol
DROP|REPEAT|REORDER host|sensor n                           lose, double, swap the n-th next report to that side (0: the next)
CORRUPT host|sensor n byte mask                             invert these bits of it
DELAY host|sensor n ms                                      hold it up
REPLAY                                                      answer the next capture with the last one's answer
BREAK bits                                                  have the self-test find these parts at fault
UNPLUG                                                      pull the plug
PLUG                                                        plug it in again
STATUS                                                      tell captures and reports so far
";

/// A line that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// Something is missing behind the command.
    #[error("too few words")]
    TooFew,
    /// There is more than the command takes.
    #[error("too many words")]
    TooMany,
    /// A word that can't stand there.
    #[error("unknown word or number out of range")]
    BadWord,
}

/// Does what a line says. What is told in answer, if it is more than that it was done.
///
/// # Errors
/// [`ControlError`]; then nothing was done.
pub fn obey(control: &SimPalmControl, line: &str) -> Result<Option<String>, ControlError> {
    let mut words = Words(line.split_whitespace());
    let command = words.next()?;
    match command {
        "HAND" => {
            let mut hand = Hand::of_person(words.number()?);
            while let Some(word) = words.0.next() {
                match word {
                    "left" => hand.side = Side::Left,
                    "right" => hand.side = Side::Right,
                    "no-veins" => hand.veins = Veins::Removed,
                    "take" => hand.take = words.number()?,
                    level => hand.level = level_of(level)?,
                }
            }
            control.present(hand);
        }
        "ARTEFACT" => {
            let artefact = artefact_of(words.next()?)?;
            let victim = SyntheticPalm::new(PalmSeeds::of_person(words.number()?, Side::Right));
            let (mut level, mut take) = (Level::L0, 0);
            while let Some(word) = words.0.next() {
                match word {
                    "take" => take = words.number()?,
                    word => level = level_of(word)?,
                }
            }
            control.rest(Presentation::Frames(Forgery::new(artefact, &victim).capture(level, take)));
        }
        "NOTHING" => words.end(|| control.remove_hand())?,
        "RETRY" => {
            let reason = reason_of(words.next()?)?;
            words.end(|| control.queue([Presentation::Retry(reason)]))?;
        }
        "ERROR" => {
            let code = words.number()?;
            words.end(|| control.queue([Presentation::Refusal(code)]))?;
        }
        "DROP" | "REPEAT" | "REORDER" | "CORRUPT" | "DELAY" => {
            let direction = match words.next()? {
                "host" => Direction::ToHost,
                "sensor" => Direction::ToSensor,
                _ => return Err(ControlError::BadWord),
            };
            let skip = words.number()?;
            let fault = match command {
                "DROP" => Fault::Drop,
                "REPEAT" => Fault::Repeat,
                "REORDER" => Fault::Reorder,
                "CORRUPT" => Fault::Corrupt { byte: words.number()?, mask: words.number()? },
                _ => Fault::Delay(Duration::from_millis(words.number::<u32>()?.into())),
            };
            words.end(|| control.fault(direction, skip, fault))?;
        }
        "REPLAY" => words.end(|| control.replay())?,
        "BREAK" => {
            let parts = words.number()?;
            words.end(|| control.break_parts(parts))?;
        }
        "UNPLUG" => words.end(|| control.unplug())?,
        "PLUG" => words.end(|| drop(control.plug_in_again()))?,
        "STATUS" => {
            let reports = |direction| control.reports(direction);
            let (to_host, to_sensor) = (reports(Direction::ToHost), reports(Direction::ToSensor));
            let told = format!("captures {} to-host {to_host} to-sensor {to_sensor}", control.captures());
            words.end(|| ())?;
            return Ok(Some(told));
        }
        _ => return Err(ControlError::UnknownCommand),
    }
    Ok(None)
}

/// Does what comes in line by line, and answers each with `ok`, what was asked for, or `error` and why.
///
/// # Errors
/// If a line can't be read or answered.
pub fn converse(control: &SimPalmControl, from: impl BufRead, mut to: impl Write) -> io::Result<()> {
    for line in from.lines() {
        match obey(control, &line?) {
            Ok(None) => writeln!(to, "ok")?,
            Ok(Some(told)) => writeln!(to, "{told}")?,
            Err(error) => writeln!(to, "error {error}")?,
        }
    }
    Ok(())
}

struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, ControlError> {
        self.0.next().ok_or(ControlError::TooFew)
    }

    fn number<N: FromStr>(&mut self) -> Result<N, ControlError> {
        self.next()?.parse().map_err(|_| ControlError::BadWord)
    }

    /// Does it if this was all.
    fn end(mut self, act: impl FnOnce()) -> Result<(), ControlError> {
        match self.0.next() {
            None => {
                act();
                Ok(())
            }
            Some(_) => Err(ControlError::TooMany),
        }
    }
}

fn level_of(word: &str) -> Result<Level, ControlError> {
    Level::ALL.into_iter().find(|level| format!("{level:?}") == word).ok_or(ControlError::BadWord)
}

fn artefact_of(word: &str) -> Result<Artefact, ControlError> {
    Artefact::ALL.into_iter().find(|artefact| in_kebab_case(artefact) == word).ok_or(ControlError::BadWord)
}

fn reason_of(word: &str) -> Result<RetryReason, ControlError> {
    use RetryReason::{Covered, Moving, NoHand, Tilted, TooBright, TooDark, TooFar, TooLeft, TooNear, TooRight};
    let reasons = [NoHand, TooNear, TooFar, TooLeft, TooRight, Moving, Tilted, TooDark, TooBright, Covered];
    reasons.into_iter().find(|reason| in_kebab_case(reason) == word).ok_or(ControlError::BadWord)
}

/// `TooNear` as `too-near`.
fn in_kebab_case(name: &impl fmt::Debug) -> String {
    let mut kebab = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
