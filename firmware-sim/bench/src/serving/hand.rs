//! The hand at the card: words, signals, and what happens at the reader.

use std::io::{self, BufRead, BufReader, IsTerminal};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::thread;

use cli::Failure;
use rustix::fs::{FileType, fstat};
use sim_card::vpcd::{VpcdControl, VpcdError, VpcdEvent};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::told::{Teller, Told};
use crate::commands::Serve;
use crate::failure::of_vpcd;

/// What the card is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `insert`, SIGUSR2.
    Insert,
    /// `remove`, SIGUSR1.
    Remove,
    /// `status`.
    Status,
    /// `quit`, SIGTERM, SIGINT.
    Quit,
}

impl FromStr for Word {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "insert" => Ok(Self::Insert),
            "remove" => Ok(Self::Remove),
            "status" => Ok(Self::Status),
            "quit" => Ok(Self::Quit),
            _ => Err(()),
        }
    }
}

/// What the loop below hears.
enum Heard {
    Word(Word),
    Unknown(String),
    Happened(VpcdEvent),
    StdinEnded,
}

/// Puts the card in with `first`, and does what it is told until it is told to stop.
pub(super) fn obey(
    order: &Serve,
    control: &VpcdControl,
    teller: &Teller<'_>,
    first: impl FnOnce() -> Result<(), VpcdError>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let (sender, mut heard) = mpsc::unbounded_channel();
        let happened = sender.clone();
        // Nobody listens at the end of the program.
        control.on_event(move |event| drop(happened.send(Heard::Happened(event))));
        first().map_err(of_vpcd)?;
        if is_conversational() {
            listen(sender)?;
            teller.words()?;
        }
        while let Some(heard) = next(&mut signals, &mut heard).await {
            match heard {
                Heard::Word(Word::Quit) => break,
                Heard::StdinEnded if order.until_stdin_ends => break,
                Heard::StdinEnded => {}
                Heard::Word(Word::Insert) => match control.insert() {
                    Ok(()) => {}
                    Err(error) => teller.failed(&of_vpcd(error))?,
                },
                Heard::Word(Word::Remove) => control.remove(),
                Heard::Word(Word::Status) => teller.tell(&Told::status(&control.activity()))?,
                Heard::Unknown(word) => teller.unknown(&word)?,
                Heard::Happened(event) => teller.news(event)?,
            }
        }
        // What has happened before the end is told before it.
        heard.close();
        while let Ok(heard) = heard.try_recv() {
            if let Heard::Happened(event) = heard {
                teller.news(event)?;
            }
        }
        Ok(())
    })
}

async fn next(signals: &mut Signals, heard: &mut UnboundedReceiver<Heard>) -> Option<Heard> {
    tokio::select! {
        word = signals.next() => word.map(Heard::Word),
        heard = heard.recv() => heard,
    }
}

struct Signals {
    insert: Signal,
    remove: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            insert: signal(SignalKind::user_defined2())?,
            remove: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Option<Word> {
        let (caught, word) = tokio::select! {
            caught = self.insert.recv() => (caught, Word::Insert),
            caught = self.remove.recv() => (caught, Word::Remove),
            caught = self.terminate.recv() => (caught, Word::Quit),
            caught = self.interrupt.recv() => (caught, Word::Quit),
        };
        caught.map(|()| word)
    }
}

/// Reads words from standard input.
fn listen(sender: UnboundedSender<Heard>) -> io::Result<()> {
    let hear = move || {
        let input = io::stdin();
        for line in BufReader::new(input.lock()).lines().map_while(Result::ok) {
            let word = line.trim();
            if word.is_empty() {
                continue;
            }
            let heard = word.parse().map_or_else(|()| Heard::Unknown(word.to_owned()), Heard::Word);
            if sender.send(heard).is_err() {
                return;
            }
        }
        // Nobody listens at the end of the program.
        let _ = sender.send(Heard::StdinEnded);
    };
    thread::Builder::new().name("words".into()).spawn(hear).map(drop)
}

/// Does somebody speak on standard input? A pipe may; a terminal may if this program stands in its foreground: reading would
/// stop it otherwise.
fn is_conversational() -> bool {
    let input = io::stdin();
    if input.is_terminal() {
        return rustix::termios::tcgetpgrp(&input).is_ok_and(|group| group == rustix::process::getpgrp());
    }
    fstat(input.as_fd())
        .is_ok_and(|file| matches!(FileType::from_raw_mode(file.st_mode), FileType::Fifo | FileType::Socket))
}
