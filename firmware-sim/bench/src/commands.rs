//! The commands that only the program with the simulators has.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use sim_card::vpcd;

use crate::world::Making;

/// The seed if none is given.
const SEED: u64 = 1;

/// Commands of `madoguchi-sim` beside those of every terminal.
#[derive(Debug, Subcommand)]
pub enum Own {
    /// Make a world, issue a resident's certificates in it, and prove what came of it
    #[command(after_help = "Examples:
  In a new world in a temporary folder:
    $ madoguchi demo
  In a folder of your own, another world than the usual one, with what must be refused at log-on:
    $ madoguchi demo --state world7 --seed 7 --show-refusals
  For another program:
    $ madoguchi demo --json")]
    Demo(Demo),
    /// Simulated worlds: residents, operators, cards, HSMs and an authority
    #[command(subcommand)]
    World(World),
    /// The world's authority: init, serve, status, unsettled, terminal (each with --help)
    #[command(
        disable_help_flag = true,
        after_help = "Examples:
    $ madoguchi authority serve --state world7/authority
    $ madoguchi authority status --state world7/authority"
    )]
    Authority {
        /// What the authority is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// One procedure in a process of its own, told as JSON lines
    #[command(hide = true)]
    Terminal(Terminal),
}

/// Commands of `madoguchi-sim` under `card`.
#[derive(Debug, Subcommand)]
pub enum OwnCard {
    /// Put the card on the world's reader into a virtual reader of pcscd (vsmartcard), where any program finds it
    #[command(after_help = "Examples:
  The card that the demonstration has issued, in the reader of the package vsmartcard-vpcd:
    $ madoguchi card serve --state world --show-pins
  A resident's own card, in another reader, as soon as there is one:
    $ madoguchi card serve --state world --resident 789218047745 --vpcd 127.0.0.1:35965 --wait
While it is served: insert, remove, status, quit on standard input; or SIGUSR2 inserts, SIGUSR1 removes, SIGTERM ends.")]
    Serve(Serve),
}

/// `card serve`
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Where the virtual reader waits for a card
    #[arg(long, value_name = "HOST:PORT", default_value = vpcd::DEFAULT_ADDRESS)]
    pub vpcd: String,
    /// 宛名番号 of the resident who lays a card on the reader [default: the card that lies there]
    #[arg(long, value_name = "NUMBER")]
    pub resident: Option<String>,
    /// Wait for the virtual reader if it is not there
    #[arg(long)]
    pub wait: bool,
    /// Show the PINs that the simulated resident has chosen
    #[arg(long)]
    pub show_pins: bool,
    /// Answer as late as a real card does, over a line of 106 kbit/s
    #[arg(long)]
    pub real_time: bool,
    /// Stop when standard input ends: for a parent that may die
    #[arg(long)]
    pub until_stdin_ends: bool,
}

/// `world`
#[derive(Debug, Subcommand)]
pub enum World {
    /// Make a world in an empty folder
    #[command(after_help = "Examples:
  With a thousand synthetic residents:
    $ madoguchi world new --state world7 --seed 7
  With residents of your own (format: docs/resident-register.md), and cards of the next generation:
    $ madoguchi world new --state town --register residents.csv --profile jpki-next")]
    New(Made),
}

/// What a world is made of.
#[derive(Clone, Debug, Args)]
pub struct Made {
    /// Everything in the world follows from it [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Residents of your own, in the place of synthetic ones
    #[arg(long, value_name = "FILE.csv")]
    pub register: Option<PathBuf>,
    /// Pictures of operators' palms (PNG), in a folder for each 照合ID, in the place of synthetic ones
    #[arg(long, value_name = "FOLDER")]
    pub palms: Option<PathBuf>,
    /// Cards and certificates: jpki-2016 (RSA) or jpki-next (P-384), then perhaps -single-slot (a new key overwrites the old one), then
    /// perhaps -imported (the HSM makes the card's keys) [default: jpki-2016]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// PKCS #11 token for the authority's keys, as --hsm names one for the terminal's [default: software HSMs]
    #[arg(long, value_name = "URI")]
    pub authority_hsm: Option<String>,
}

impl Made {
    /// With what was left out.
    #[must_use]
    pub fn making(&self) -> Making {
        Making {
            seed: self.seed.unwrap_or(SEED),
            profile: self.profile.clone().unwrap_or_else(|| jpki::IssuingProfile::jpki_2016().name),
            register: self.register.clone(),
            palms: self.palms.clone(),
        }
    }

    /// Is `world` what was asked for? What was left out fits every world; what is brought along makes a new one.
    #[must_use]
    pub fn fits(&self, world: &crate::world::World) -> bool {
        self.register.is_none()
            && self.palms.is_none()
            && self.seed.is_none_or(|seed| seed == world.seed())
            && self.profile.as_ref().is_none_or(|profile| *profile == world.issuing().name)
    }
}

/// `demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// What the world is made of, if it has to be made
    #[command(flatten)]
    pub made: Made,
    /// Show first what is refused at log-on: a stranger, a print of a hand, an unknown ID
    #[arg(long)]
    pub show_refusals: bool,
}

/// `terminal`
#[derive(Clone, Debug, Args)]
pub struct Terminal {
    /// 照合ID of the operator
    #[arg(long, value_name = "ID")]
    pub operator: String,
    /// 宛名番号 of the applicant; `-` for the next line of standard input
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub resident: String,
    /// Replace the certificates on the card
    #[arg(long)]
    pub renew: bool,
    /// Where the authority hears terminals [default: as configured, or started]
    #[arg(long, value_name = "ADDRESS")]
    pub authority: Option<SocketAddr>,
    /// First what is refused at log-on, then a hand that is too near
    #[arg(long)]
    pub show_refusals: bool,
    /// The operator's hand is too near at first
    #[arg(long)]
    pub too_near_at_first: bool,
    /// Read the seed of a canary first, and wait at the end until standard input says so
    #[arg(long)]
    pub hold: bool,
    /// Kill this process at its N-th write to the state folder, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub kill_at_write: Option<u64>,
    /// Half of that write is done first
    #[arg(long, requires = "kill_at_write")]
    pub torn: bool,
}
