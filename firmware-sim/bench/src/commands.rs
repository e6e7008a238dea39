//! The commands that only the program with the simulators has.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sim_card::vpcd;
use sim_palm_sensor::synth::{Family, Level};

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
    /// Palm veins: synthetic palms, and how well the matcher tells palms apart
    #[command(subcommand)]
    Palm(Palm),
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

/// `palm`
#[derive(Debug, Subcommand)]
pub enum Palm {
    /// Compare pictures of palms with each other and tell the matcher's error rates
    #[command(
        after_help = "Pictures are PNG files named SUBJECT_SESSION_NUMBER.png, fingers up, the hand about as wide as half the picture.
The two hands of a person are two subjects. Scores have four columns, as bob.measure reads them.

Examples:
    $ madoguchi palm evaluate --gallery enrolled --probes later --scores scores.txt --det det.svg
  With pictures in red light beside them, named SUBJECT_SESSION_NUMBER_660.png:
    $ madoguchi palm evaluate --gallery g --probes p --scores scores.txt --second-wavelength-suffix _660"
    )]
    Evaluate(Evaluate),
    /// Draw synthetic palms: pictures to be evaluated, and a contact sheet to look at
    #[command(
        after_help = "Below the folder: gallery and probes, for `palm evaluate`; negatives and artefacts, if asked for, to be given as probes
against the same gallery; contact-sheet.png. Pictures in red light (660 nm) end in _660. Nobody has these palms.

Examples:
    $ madoguchi palm render --out palms --persons 20
  Of the family on which nothing was tuned, hard to use, with what must be refused:
    $ madoguchi palm render --out hard --family B --level L2 --negatives --artefacts"
    )]
    Render(Render),
    /// Be a palm sensor: a device of the kernel that any program finds
    #[command(
        after_help = "What is in front of the sensor, and what happens on its line, is told in lines on standard input or over --control:
  HAND 417 L1, NOTHING, RETRY too-near, DROP host 3, REPLAY, UNPLUG, PLUG, STATUS ... (sim_palm_sensor::control has them all).
It ends when standard input does. The kernel's module uhid must be loaded, and this user may need permission for /dev/uhid.

Examples:
    $ madoguchi palm serve --control sensor.sock
  In another window:
    $ echo 'HAND 417 L0' | socat - UNIX-CONNECT:sensor.sock
    $ madoguchi operator list --palm-sensor hid"
    )]
    Serve(ServePalm),
}

/// `palm serve`
#[derive(Clone, Debug, Args)]
pub struct ServePalm {
    /// Where the kernel takes devices
    #[arg(long, value_name = "FILE", default_value = "/dev/uhid")]
    pub uhid: PathBuf,
    /// A socket to make, over which the sensor is told what to do
    #[arg(long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,
    /// Its serial number
    #[arg(long, value_name = "SERIAL", default_value = "SIM-PALM-1", value_parser = |serial: &str| {
        if serial.starts_with("SIM-") { Ok(serial.to_owned()) } else { Err("it starts with SIM-") }
    })]
    pub serial: String,
    /// Bytes of its reports: 64 as at full speed, up to 1,024 as at high speed
    #[arg(long, value_name = "BYTES", default_value_t = 1_024, value_parser = clap::value_parser!(u16).range(64..=1_024))]
    pub report_size: u16,
}

/// `palm render`
#[derive(Clone, Debug, Args)]
pub struct Render {
    /// Where the pictures go
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The first person; the others follow
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,
    /// How many persons, with two palms each
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub persons: u32,
    /// Where the palms' parameters come from: A was tuned on, B is to report on
    #[arg(long, value_name = "A|B", default_value = "A", ignore_case = true)]
    pub family: PalmFamily,
    /// How well palms are presented as probes: L0 guided, L1 normal, L2 hard, L3 extreme
    #[arg(long, value_name = "LEVEL", default_value = "L1", ignore_case = true)]
    pub level: PalmLevel,
    /// Also palms without veins, with other veins and with other skin
    #[arg(long)]
    pub negatives: bool,
    /// Also prints, a screen, a phantom and others
    #[arg(long)]
    pub artefacts: bool,
}

/// A family of synthetic palms.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PalmFamily {
    /// To tune on.
    #[value(name = "A")]
    A,
    /// To report on.
    #[value(name = "B")]
    B,
}

impl From<PalmFamily> for Family {
    fn from(family: PalmFamily) -> Self {
        match family {
            PalmFamily::A => Self::A,
            PalmFamily::B => Self::B,
        }
    }
}

/// How well a palm is presented.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PalmLevel {
    /// Guided.
    #[value(name = "L0")]
    L0,
    /// Normal.
    #[value(name = "L1")]
    L1,
    /// Hard.
    #[value(name = "L2")]
    L2,
    /// Extreme.
    #[value(name = "L3")]
    L3,
}

impl From<PalmLevel> for Level {
    fn from(level: PalmLevel) -> Self {
        match level {
            PalmLevel::L0 => Self::L0,
            PalmLevel::L1 => Self::L1,
            PalmLevel::L2 => Self::L2,
            PalmLevel::L3 => Self::L3,
        }
    }
}

/// `palm evaluate`
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    /// Pictures from which templates are made
    #[arg(long, value_name = "DIR")]
    pub gallery: PathBuf,
    /// Pictures that are compared with all templates; may be the same folder
    #[arg(long, value_name = "DIR")]
    pub probes: PathBuf,
    /// Where the scores are written
    #[arg(long, value_name = "FILE")]
    pub scores: PathBuf,
    /// Where the DET curve is drawn
    #[arg(long, value_name = "FILE.svg")]
    pub det: Option<PathBuf>,
    /// Where the regions of interest are written, for other programs to try: PNG files of 128 × 128 pixels, with masks
    #[arg(long, value_name = "DIR")]
    pub regions: Option<PathBuf>,
    /// What follows the name of a picture in the name of that in red light [default: there are none]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub second_wavelength_suffix: Option<String>,
    /// Edge of a pixel at the palm, when the picture is 640 pixels wide
    #[arg(long, value_name = "MICROMETRES", default_value_t = sim_palm_sensor::synth::MICROMETRES_PER_PIXEL)]
    pub micrometres_per_pixel: u16,
}
