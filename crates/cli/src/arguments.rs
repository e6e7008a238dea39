//! The command line. What is typed here can be seen by every user of the machine, so nothing secret is.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hsm::KeyKind;
use jpki::CertificateKind;
use orchestrator::Role;

use crate::Language;
use crate::secret::SecretSource;

/// Everything on the command line of a program whose composition root adds the commands `E`, and `K` to those of `card`.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Puts keys and certificates on residents' cards",
    after_help = "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 interrupted and to be settled when the card is next read.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments<E: Subcommand, K: Subcommand = NoOwnCommands> {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command<E, K>,
}

impl<E: Subcommand, K: Subcommand> Arguments<E, K> {
    /// The grammar of the command line of `program`, as help and completion show it.
    #[must_use]
    pub fn grammar(program: &'static str) -> clap::Command {
        named(Self::command(), program).name(program).bin_name(program)
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// What clap found wrong with it, or the help that was asked for.
    pub fn read(
        program: &'static str,
        line: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::grammar(program).try_get_matches_from(line)?;
        Self::from_arg_matches(&matches)
    }
}

/// Puts the program's name into the examples of the help, which are written with `$ madoguchi`.
fn named(command: clap::Command, program: &'static str) -> clap::Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.after_help(help.replace("$ madoguchi ", &format!("$ {program} "))),
        None => command,
    };
    command.mut_subcommands(|subcommand| named(subcommand, program))
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder with the terminal's configuration, operators, log and journal
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Language of the texts [default: from the locale]
    #[arg(long, global = true, value_enum)]
    pub lang: Option<Language>,
    /// Card reader to use, by its name or a part of it [default: the one in terminal.toml, or any known one]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub reader: Option<String>,
    /// Palm sensor to use [default: the only one that this program knows]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), hide = true)]
    pub palm_sensor: Option<String>,
    /// HSM to use: pkcs11:token=LABEL?module-path=FILE&pin-source=SOURCE, SOURCE being file:PATH, fd:N, credential:NAME or prompt [default: the one in terminal.toml]
    #[arg(long, global = true, value_name = "URI")]
    pub hsm: Option<String>,
    /// Record the exchanges with the card to a new file, without secrets and personal data
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print one JSON document instead of texts (its keys: docs/json.md)
    #[arg(long, global = true)]
    pub json: bool,
    /// Add the technical view: exchanges with card and authority, causes of errors
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Form of the diagnostics on stderr (what is shown: MADOGUCHI_LOG, e.g. `debug`)
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, hide_default_value = true)]
    pub log_format: LogFormat,
}

/// Form of the diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command<E: Subcommand, K: Subcommand = NoOwnCommands> {
    /// Issue or renew a resident's certificates
    #[command(after_help = "Examples:
  Both certificates, for the card on the reader:
    $ madoguchi issue --operator 0417 --resident 100200300
  Only the one for user authentication, in English:
    $ madoguchi issue --operator 0417 --resident 100200300 --kind authentication --lang en
  New certificates in place of those on the card:
    $ madoguchi issue --operator 0417 --resident 100200300 --renew")]
    Issue(Issue),
    /// Look at the card on the reader
    #[command(subcommand)]
    Card(Card<K>),
    /// Enrol, list, release and retire operators
    #[command(subcommand)]
    Operator(Operator),
    /// Set up the HSM, make, list and retire its keys: two persons, with a record to be signed
    #[command(subcommand)]
    Hsm(Hsm),
    /// Fetch and renew the terminal's own certificates
    #[command(subcommand)]
    Identity(Identity),
    /// Show and verify the operation history
    #[command(subcommand)]
    Log(Log),
    /// Check folder, devices, register and authority, and tell how to mend what is wrong
    #[command(after_help = "Examples:
    $ madoguchi doctor
    $ madoguchi doctor --json | jq '.checks[] | select(.ok | not)'")]
    Doctor,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
    $ madoguchi completion bash > ~/.local/share/bash-completion/completions/madoguchi
    $ madoguchi completion fish > ~/.config/fish/completions/madoguchi.fish")]
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// The table of known devices
    #[command(subcommand, hide = true)]
    Devices(Devices),
    /// The composition root's own commands.
    #[command(flatten)]
    Own(E),
}

/// The own commands of a composition root that has none.
#[derive(Debug, Subcommand)]
pub enum NoOwnCommands {}

/// `issue`
#[derive(Debug, Args)]
pub struct Issue {
    /// 照合ID of the operator, whose palm is asked for
    #[arg(long, value_name = "ID")]
    pub operator: String,
    /// 宛名番号 of the applicant
    #[arg(long, value_name = "NUMBER")]
    pub resident: String,
    /// Issue this certificate only; may be given twice [default: both]
    #[arg(long = "kind", value_name = "KIND", value_enum)]
    pub kinds: Vec<Kind>,
    /// Replace the certificates on the card
    #[arg(long)]
    pub renew: bool,
}

impl Issue {
    /// The kinds asked for, each once, in the order of issue.
    #[must_use]
    pub fn kinds(&self) -> Vec<CertificateKind> {
        let asked: Vec<CertificateKind> = self.kinds.iter().map(|kind| (*kind).into()).collect();
        CertificateKind::BOTH.into_iter().filter(|kind| asked.is_empty() || asked.contains(kind)).collect()
    }
}

/// A kind of certificate, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// 利用者証明用電子証明書
    Authentication,
    /// 署名用電子証明書
    Signature,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Operator => Self::Operator,
            RoleArgument::AccessManager => Self::AccessManager,
        }
    }
}

impl From<Kind> for CertificateKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Authentication => Self::Authentication,
            Kind::Signature => Self::Signature,
        }
    }
}

/// `card`
#[derive(Debug, Subcommand)]
pub enum Card<K: Subcommand = NoOwnCommands> {
    /// Show what the card holds, and settle what an interruption left on it
    #[command(after_help = "Examples:
    $ madoguchi card show --operator 0417")]
    Show {
        /// 照合ID of the operator, whose palm is asked for
        #[arg(long, value_name = "ID")]
        operator: String,
    },
    /// Change the card's keys over to the current key version, or take up a changeover that was interrupted
    #[command(after_help = "Examples:
    $ madoguchi card rekey --operator 0417")]
    Rekey {
        /// 照合ID of the operator, whose palm is asked for
        #[arg(long, value_name = "ID")]
        operator: String,
    },
    /// Look at recorded exchanges with a card
    #[command(subcommand)]
    Trace(CardTrace),
    /// The composition root's own commands.
    #[command(flatten)]
    Own(K),
}

/// `card trace`
#[derive(Debug, Subcommand)]
pub enum CardTrace {
    /// Show a trace: every exchange with the command named, its time and what the card said
    #[command(after_help = "Examples:
    $ madoguchi card show --operator 0417 --trace card.trace
    $ madoguchi card trace show card.trace
    $ madoguchi card trace show card.trace --json | jq '.entries[] | select(.error)'")]
    Show {
        /// A file that --trace has made
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `operator`
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Enrol an operator: an access manager logs on, then the new operator's palm is taken
    #[command(after_help = "Examples:
  The first one of a new terminal, who enrols all others:
    $ madoguchi operator enrol 0001 --role access-manager
  An operator:
    $ madoguchi operator enrol 0502 --access-manager 0001 --second-person 0417")]
    Enrol {
        /// 照合ID of the new operator: 4 to 16 letters and digits
        #[arg(value_name = "ID")]
        user_id: String,
        /// What the new operator may do
        #[arg(long, value_enum, default_value_t = RoleArgument::Operator)]
        role: RoleArgument,
        /// 操作者ID, which names the role at this counter [default: the role]
        #[arg(long, value_name = "ID")]
        operator_id: Option<String>,
        /// 照合ID of the access manager, whose palm is asked for; not needed for the first operator of a terminal
        #[arg(long, value_name = "ID")]
        access_manager: Option<String>,
        /// 照合ID of another operator, whose palm is asked for, too; not needed while there is nobody else
        #[arg(long, value_name = "ID")]
        second_person: Option<String>,
    },
    /// Let an operator log on again who was refused too often
    #[command(after_help = "Examples:
    $ madoguchi operator release 0417 --access-manager 0001")]
    Release {
        /// 照合ID of the operator
        #[arg(value_name = "ID")]
        user_id: String,
        /// 照合ID of the access manager, whose palm is asked for
        #[arg(long, value_name = "ID")]
        access_manager: String,
    },
    /// List the operators of this terminal
    #[command(after_help = "Examples:
    $ madoguchi operator list
    $ madoguchi operator list --json")]
    List,
    /// Retire an operator: the enrolled palm is erased, the log stays
    #[command(after_help = "Examples:
    $ madoguchi operator retire 0502 --access-manager 0001")]
    Retire {
        /// 照合ID of the operator
        #[arg(value_name = "ID")]
        user_id: String,
        /// 照合ID of the access manager, whose palm is asked for
        #[arg(long, value_name = "ID")]
        access_manager: String,
    },
}

/// A role, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArgument {
    /// 操作者
    Operator,
    /// アクセス管理責任者
    AccessManager,
}

/// `hsm`
#[derive(Debug, Subcommand)]
pub enum Hsm {
    /// Try whether the HSM keeps its keys, and make those that the terminal needs
    #[command(after_help = "Examples:
  Of a new terminal, where nobody is enrolled yet: the names of the two who are there
    $ madoguchi hsm init --access-manager Tanaka --second-person Suzuki
  Later, to make what is missing: two access managers, whose palms are asked for
    $ madoguchi hsm init --access-manager 0001 --second-person 0002")]
    Init {
        /// Who does it.
        #[command(flatten)]
        persons: TwoPersons,
    },
    /// The HSM's keys
    #[command(subcommand)]
    Keys(Keys),
}

/// `hsm keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the keys, with fingerprints and what the HSM says of their protection
    #[command(after_help = "Examples:
    $ madoguchi hsm keys list
    $ madoguchi hsm keys list --json | jq '.keys[] | {name, fingerprint}'")]
    List,
    /// Make a key in the HSM
    #[command(after_help = "Examples:
  The master key of the cards' next key version:
    $ madoguchi hsm keys create card-master-02 --access-manager 0001 --second-person 0002")]
    Create {
        /// Its name: card-master-VV, VV being the cards' key version in hexadecimal, or one of those that `hsm init` makes
        #[arg(value_name = "NAME")]
        name: String,
        /// Its kind: card-master-aes-128, -192 or -256, ec-p256, ec-p384, rsa-2048 [default: as its name says]
        #[arg(long, value_name = "KIND", value_parser = key_kind)]
        kind: Option<KeyKind>,
        /// Who does it.
        #[command(flatten)]
        persons: TwoPersons,
    },
    /// Destroy a key in the HSM, for good. Those that the terminal can't do without are refused
    #[command(after_help = "Examples:
    $ madoguchi hsm keys retire card-master-01 --access-manager 0001 --second-person 0002 --reason all-cards-are-under-02")]
    Retire {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Why. It stands in the record, and in no log
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        reason: String,
        /// Who does it.
        #[command(flatten)]
        persons: TwoPersons,
    },
}

/// The two persons of a key ceremony.
#[derive(Clone, Debug, Args)]
pub struct TwoPersons {
    /// 照合ID of an access manager, whose palm is asked for; where nobody is enrolled yet, a name
    #[arg(long, value_name = "ID")]
    pub access_manager: String,
    /// 照合ID of another access manager, whose palm is asked for, too; where nobody is enrolled yet, a name
    #[arg(long, value_name = "ID")]
    pub second_person: String,
}

fn key_kind(code: &str) -> Result<KeyKind, String> {
    KeyKind::from_code(code).ok_or_else(|| {
        let codes: Vec<&str> = KeyKind::all().map(KeyKind::code).collect();
        format!("one of {}", codes.join(", "))
    })
}

/// `identity`
#[derive(Debug, Subcommand)]
pub enum Identity {
    /// Enrol the terminal at the authority, by the invitation of the authority's administrator
    #[command(after_help = "Examples:
  The folder of the authority's certificates has come with the invitation; the secret is asked for:
    $ madoguchi identity enrol --reference 7K3M9QXW --authority /media/counter-1
  Go on after an interruption:
    $ madoguchi identity enrol --reference 7K3M9QXW")]
    Enrol {
        /// Reference of the invitation; not secret
        #[arg(long, value_name = "REF")]
        reference: String,
        /// Where the secret comes from: prompt, fd:N, file:PATH or credential:NAME
        #[arg(long, value_name = "SOURCE", default_value = "prompt")]
        secret: SecretSource,
        /// Folder with the authority's certificates, as it came with the invitation [default: those in the state folder]
        #[arg(long, value_name = "DIR")]
        authority: Option<PathBuf>,
    },
    /// Renew the terminal's certificates, each for a new key in the HSM. What is due is renewed without being asked to, too
    #[command(after_help = "Examples:
    $ madoguchi identity renew
  Only what has less than a third of its life left, by a timer:
    $ madoguchi identity renew --due")]
    Renew {
        /// Renew nothing that is not due
        #[arg(long)]
        due: bool,
    },
    /// Show until when the terminal's certificates are valid
    #[command(after_help = "Examples:
    $ madoguchi identity show --json")]
    Show,
}

/// `log`
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Show the operation history
    #[command(after_help = "Examples:
  The last 20 entries:
    $ madoguchi log show --last 20
  All of them, for another program:
    $ madoguchi log show --json")]
    Show {
        /// Show only the last N entries
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Verify that the operation history is whole and unchanged, and agrees with the authority's witness
    #[command(after_help = "Examples:
    $ madoguchi log verify
  Away from the terminal, with a copy of its folder and the public half of its log key:
    $ madoguchi log verify --state copy --key log-key.der")]
    Verify {
        /// Verify with this public key (SubjectPublicKeyInfo, DER) alone; HSM and authority are not asked
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

/// `devices`
#[derive(Debug, Subcommand)]
pub enum Devices {
    /// Print the udev rules that follow from the table
    Rules,
    /// Print the polkit rules that follow from the table
    Polkit,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Production = Arguments<NoOwnCommands>;

    #[test]
    fn the_grammar_is_sound() {
        Production::grammar("madoguchi").debug_assert();
    }

    #[test]
    fn every_command_shows_examples_with_the_programs_own_name() {
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            let mut subcommands = command.get_subcommands().filter(|s| !s.is_hide_set()).peekable();
            if subcommands.peek().is_none() {
                found.push(command.clone());
            }
            subcommands.for_each(|s| leaves(s, found));
        }
        let mut found = Vec::new();
        leaves(&Production::grammar("elsewhere"), &mut found);
        assert_eq!(found.len(), 19);
        for command in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            assert!(help.lines().any(|line| line.starts_with("    $ elsewhere ")), "{name}: {help}");
            assert!(!help.contains("$ madoguchi"), "{name}: {help}");
        }
    }

    #[test]
    fn the_examples_can_be_typed() {
        fn examples(command: &clap::Command) -> Vec<String> {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = help.lines().filter_map(|line| line.trim().strip_prefix("$ ").map(str::to_owned));
            own.chain(command.get_subcommands().flat_map(examples)).collect()
        }
        let grammar = Production::grammar("madoguchi");
        for example in examples(&grammar) {
            let words = example.split([' ']).take_while(|word| !["|", ">"].contains(word));
            Production::read("madoguchi", words).unwrap_or_else(|e| panic!("{example}: {e}"));
        }
    }

    #[test]
    fn kinds_come_once_and_in_the_order_of_issue() {
        use CertificateKind::{Authentication, Signature};
        for (line, expected) in [
            ("", &[Authentication, Signature][..]),
            ("--kind signature --kind authentication --kind signature", &[Authentication, Signature]),
            ("--kind signature", &[Signature]),
        ] {
            let line = format!("madoguchi issue --operator 1 --resident 2 {line}");
            let Command::Issue(issue) = Production::read("madoguchi", line.split_whitespace()).unwrap().command else {
                panic!("not an issue");
            };
            assert_eq!(issue.kinds(), expected);
        }
    }
}
