//! The authority's commands, for its own binary and for composition roots that offer them under another name.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use der::{DecodePem, Encode};
use hsm::{HsmError, KeyCustody};
use jpki::{IssuingProfile, Municipality};
use key_ceremony::{CeremonyError, Installation};
use madoguchi_time::{Clock, SharedClock, SystemClock};
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoOwned;

use crate::authority::{AcknowledgementError, Authority};
use crate::ceremonies::Ceremonies;
use crate::error::SetupError;
use crate::key_commands::{self, HsmCommand};
use crate::service::{Addresses, Service};
use crate::setup::{self, Config, TerminalRegistration};
use crate::store::{PersonId, State, StoreError, TerminalId};
use crate::terminal_commands::{self, Invite};

/// How long the HSM may take to make all keys: RSA keys take their time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the authority's keys are: what a composition root brings along.
pub trait KeyStore {
    /// The module of the authority in `dir`: the one that `hsm` names, else the store's own.
    ///
    /// # Errors
    /// If the module can't be reached.
    fn open(&self, dir: &Path, hsm: Option<&str>) -> Result<Arc<dyn KeyCustody>, HsmError>;

    /// As [`KeyStore::open`]; a module of the store's own that is not there yet is made, and is empty. From the same seed come the same
    /// keys.
    ///
    /// # Errors
    /// If it can't be made.
    fn begin(&self, dir: &Path, hsm: Option<&str>, seed: Option<u64>) -> Result<Arc<dyn KeyCustody>, HsmError>;
}

/// The simulated authority: 署名用認証局 and 利用者証明用認証局, with their line to the terminals.
#[derive(Parser)]
#[command(name = "madoguchi-authority", version, after_help = EXAMPLES)]
struct Cli {
    /// PKCS #11 token with the authority's keys, as pkcs11:token=LABEL?module-path=FILE&pin-source=SOURCE [default: the one it was made with]
    #[arg(long, global = true, value_name = "URI")]
    hsm: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  madoguchi-authority init --state /var/lib/authority
  madoguchi-authority terminal add --state /var/lib/authority counter-1 --window 13221003A \\
      --prefecture Tokyo-to --city Kiyose-shi --signing-key s.pem --tls-key t.pem --log-key l.pem
  madoguchi-authority terminal invite --state /var/lib/authority counter-2 --by 9001 --window 13221003B \\
      --prefecture Tokyo-to --city Kiyose-shi
  madoguchi-authority serve --state /var/lib/authority
  madoguchi-authority unsettled --state /var/lib/authority";

#[derive(Subcommand)]
enum Command {
    /// Make an authority in an empty folder
    Init(Init),
    /// Answer terminals, and questions about certificates
    Serve(Serve),
    /// Set up the HSM, make, list and retire its keys: two persons, with a record to be signed
    #[command(subcommand)]
    Hsm(HsmCommand),
    /// Terminals that may ask
    #[command(subcommand)]
    Terminal(TerminalCommand),
    /// Confirmed certificates whose predecessor is still valid
    Unsettled(Folder),
    /// How many certificates are in which state, and the alarms
    Status(Folder),
}

#[derive(Args)]
pub(crate) struct Folder {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
struct Init {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Makes the same keys again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// For which cards it issues
    #[arg(long, value_enum, default_value_t = Generation::Jpki2016)]
    generation: Generation,
    /// Name of the one who holds the key ceremony. Not needed for a module of its own, or if `hsm init` has made the keys
    #[arg(long, value_name = "NAME", requires = "second_person")]
    custodian: Option<String>,
    /// Name of the second person at the key ceremony
    #[arg(long, value_name = "NAME", requires = "custodian")]
    second_person: Option<String>,
    /// Where the state of certificates can be asked for; goes into each authentication certificate
    #[arg(long, value_name = "URL")]
    ocsp_url: Option<String>,
    /// Accept CMP without TLS, too
    #[arg(long)]
    plain_http_cmp: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Generation {
    /// RSA-2048
    #[value(name = "jpki-2016")]
    Jpki2016,
    /// ECDSA P-384
    JpkiNext,
}

#[derive(Args)]
struct Serve {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where terminals connect (CMP over mutual TLS)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:18443")]
    cmp: SocketAddr,
    /// Where OCSP and CRLs are
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:18080")]
    http: SocketAddr,
    /// Stop when standard input ends: for a parent that may die
    #[arg(long)]
    until_stdin_ends: bool,
}

#[derive(Subcommand)]
enum TerminalCommand {
    /// Put a terminal on the allow-list, or replace the one of that name
    Add(Box<Add>),
    /// Put a terminal on the allow-list that fetches its certificates itself, with a secret that is told once
    Invite(Box<Invite>),
    /// Take a terminal off the allow-list, and revoke its certificates
    #[command(visible_alias = "revoke")]
    Withdraw {
        /// The terminal's name
        name: String,
        /// The authority's folder
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
    },
    /// Note that the alarms about a terminal's log were looked into. They are kept, and not told to it any more
    AcknowledgeAlarms(Looked),
    /// The same, and take the log that was offered last as the terminal's log: the one before is lost for a good reason
    AcceptLog(Looked),
    /// Show the allow-list
    List(Folder),
}

/// Who has looked into the alarms of which terminal.
#[derive(Args)]
struct Looked {
    /// The terminal's name
    name: String,
    /// ID of the アクセス管理責任者 or auditor who answers for it
    #[arg(long, value_name = "ID")]
    by: String,
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

#[derive(Args)]
struct Add {
    /// The terminal's name
    name: String,
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// 受付窓口識別記号, 9 characters; it starts with the municipality's code
    #[arg(long)]
    window: String,
    /// The prefecture in Latin letters, as in certificates
    #[arg(long)]
    prefecture: String,
    /// The municipality in Latin letters, as in certificates
    #[arg(long)]
    city: String,
    /// The public key that protects its messages (PEM)
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
    /// The public key of its end of the line (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
    /// The public key that signs its log's checkpoints (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "test_peer")]
    log_key: Option<PathBuf>,
    /// A foreign CMP client under test, which has no log and sends no 申請年月日
    #[arg(long)]
    test_peer: bool,
}

impl Generation {
    pub(crate) fn issuing(self) -> IssuingProfile {
        match self {
            Self::Jpki2016 => IssuingProfile::jpki_2016(),
            Self::JpkiNext => IssuingProfile::jpki_next(),
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the token lacks keys of the authority: name two persons (--custodian, --second-person) to have them made")]
    NoPersons,
    #[error("no terminal is called {0}")]
    NoSuchTerminal(String),
    #[error("{0} is no public key in PEM")]
    NotAKey(PathBuf),
    #[error("{0:?} is not 1 to 64 of A-Z a-z 0-9 - _ .")]
    NotAnId(String),
    #[error(transparent)]
    Acknowledgement(#[from] AcknowledgementError),
    #[error("the output can't be written")]
    Output(#[from] std::io::Error),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Setup(error.into())
    }
}

impl From<HsmError> for CommandError {
    fn from(error: HsmError) -> Self {
        Self::Setup(error.into())
    }
}

/// Runs the command that `args` (program name first) says, with keys from `keys`.
pub fn run(args: impl IntoIterator<Item = impl Into<OsString> + Clone>, keys: &dyn KeyStore) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // Help is asked for, or the arguments are wrong: clap knows which, and says so.
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            return if error.print().is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    match execute(cli.command, cli.hsm.as_deref(), keys, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &dyn std::error::Error) {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let mut line = causes.collect::<Vec<_>>();
    // Transparent errors say the same as their source.
    line.dedup();
    eprintln!("madoguchi-authority: {}", line.join(": "));
}

fn execute(command: Command, hsm: Option<&str>, keys: &dyn KeyStore, out: &mut dyn Write) -> Result<(), CommandError> {
    let clock: SharedClock = SystemClock::shared();
    let open = |dir: &Path| -> Result<Authority, CommandError> {
        if !setup::exists(dir) {
            return Err(SetupError::NotInitialised(dir.to_owned()).into());
        }
        let config = setup::read_config(dir)?;
        Ok(setup::open(dir, keys.open(dir, hsm.or(config.hsm.as_deref()))?, clock.clone())?)
    };
    match command {
        Command::Init(init) => initialise(&init, hsm, keys, &clock, out),
        Command::Hsm(command) => {
            let dir = &command.folder().state;
            let configured = if setup::exists(dir) { setup::read_config(dir)?.hsm } else { None };
            let named = hsm.or(configured.as_deref());
            let custody = if command.may_begin() {
                fs::create_dir_all(dir).map_err(|source| SetupError::Io { path: dir.clone(), source })?;
                keys.begin(dir, named, None)?
            } else {
                keys.open(dir, named)?
            };
            command.execute(&*custody, &*clock, out)
        }
        Command::Serve(options) => serve(Arc::new(open(&options.state)?), clock.clone(), &options, out),
        Command::Terminal(TerminalCommand::Add(add)) => {
            let authority = open(&add.state)?;
            let credentials = setup::add_terminal(&add.state, &authority, &registration(&add)?, clock.wall())?;
            let folder = setup::terminal_folder(&add.state, &credentials.terminal);
            Ok(writeln!(out, "{} may ask; what it needs is in {}", credentials.terminal, folder.display())?)
        }
        Command::Terminal(TerminalCommand::Invite(order)) => {
            let by = PersonId::new(&order.by).ok_or_else(|| CommandError::NotAnId(order.by.clone()))?;
            let told = terminal_commands::invite(&open(&order.state)?, &order, by, clock.wall())?;
            print(out, order.json, &told)
        }
        Command::Terminal(TerminalCommand::Withdraw { name, state }) => {
            let authority = open(&state)?;
            let id = TerminalId::new(&name).ok_or_else(|| CommandError::NoSuchTerminal(name.clone()))?;
            let mut terminal = authority.store().terminal(&id)?.ok_or(CommandError::NoSuchTerminal(name))?;
            terminal.authorised = false;
            Ok(authority.store().register_terminal(&terminal, Some(&[]), clock.wall())?)
        }
        Command::Terminal(TerminalCommand::AcknowledgeAlarms(looked)) => {
            let (terminal, by) = looked.who()?;
            Ok(open(&looked.state)?.acknowledge_alarms(&terminal, by, clock.wall())?)
        }
        Command::Terminal(TerminalCommand::AcceptLog(looked)) => {
            let (terminal, by) = looked.who()?;
            Ok(open(&looked.state)?.accept_log(&terminal, by, clock.wall())?)
        }
        Command::Terminal(TerminalCommand::List(folder)) => {
            print(out, folder.json, &terminal_commands::list(&open(&folder.state)?, clock.wall())?)
        }
        Command::Unsettled(folder) => print(out, folder.json, &unsettled(&open(&folder.state)?, &*clock)?),
        Command::Status(folder) => print(out, folder.json, &status(&open(&folder.state)?, folder.json)?),
    }
}

impl Looked {
    fn who(&self) -> Result<(TerminalId, PersonId), CommandError> {
        let terminal = TerminalId::new(&self.name).ok_or_else(|| CommandError::NoSuchTerminal(self.name.clone()))?;
        let by = PersonId::new(&self.by).ok_or_else(|| CommandError::NotAnId(self.by.clone()))?;
        Ok((terminal, by))
    }
}

fn initialise(
    init: &Init,
    hsm: Option<&str>,
    keys: &dyn KeyStore,
    clock: &SharedClock,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    if setup::exists(&init.state) {
        return Err(SetupError::AlreadyInitialised(init.state.clone()).into());
    }
    let mut config = Config {
        hsm: hsm.map(str::to_owned),
        issuing: init.generation.issuing(),
        plain_http_cmp: init.plain_http_cmp,
        ..Config::default()
    };
    if let Some(url) = &init.ocsp_url {
        config.ocsp_url.clone_from(url);
    }
    fs::create_dir_all(&init.state).map_err(|source| SetupError::Io { path: init.state.clone(), source })?;
    let custody = keys.begin(&init.state, hsm, init.seed)?;
    make_keys(init, &config, hsm.is_some(), &*custody, &**clock, out)?;
    setup::initialise(&init.state, custody, clock.clone(), &config, &[])?;
    Ok(writeln!(out, "an authority was made in {}", init.state.display())?)
}

/// Makes the keys that are missing. In a token, by two persons; in a module of the store's own, which protects nothing, by anybody.
/// Keys that are there are used only if the module is fit to hold them.
fn make_keys(
    init: &Init,
    config: &Config,
    is_token: bool,
    custody: &dyn KeyCustody,
    clock: &dyn Clock,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let required = setup::required_keys(&config.issuing);
    let persons = match (&init.custodian, &init.second_person) {
        (Some(custodian), Some(second)) => [custodian.as_str(), second],
        _ => {
            let installation = Installation::authority("", required);
            let deadline = clock.deadline_in(PATIENCE);
            let found = key_ceremony::examine(custody, &installation, deadline).map_err(SetupError::from)?;
            if is_token && !found.missing.is_empty() {
                return Err(CommandError::NoPersons);
            }
            for (name, kind) in &found.missing {
                custody.create(name, *kind, deadline).map_err(CeremonyError::from).map_err(SetupError::from)?;
            }
            return Ok(());
        }
    };
    let held = Ceremonies::open(&init.state, required, custody, clock)?.init(persons)?;
    key_commands::tell(&held, false, out)
}

fn registration(add: &Add) -> Result<TerminalRegistration, CommandError> {
    let key = |path: &PathBuf| {
        let pem = fs::read(path).map_err(|source| SetupError::Io { path: path.clone(), source })?;
        let key = SubjectPublicKeyInfoOwned::from_pem(pem).map_err(|_| CommandError::NotAKey(path.clone()))?;
        key.to_der().map_err(|_| CommandError::NotAKey(path.clone()))
    };
    Ok(TerminalRegistration {
        name: add.name.clone(),
        window: add.window.clone(),
        municipality: Municipality {
            code: add.window.chars().take(5).collect(),
            prefecture: add.prefecture.clone(),
            city: add.city.clone(),
        },
        signing_key: key(&add.signing_key)?,
        tls_key: key(&add.tls_key)?,
        log_key: add.log_key.as_ref().map(key).transpose()?,
        test_peer: add.test_peer,
    })
}

fn serve(
    authority: Arc<Authority>,
    clock: SharedClock,
    options: &Serve,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let at = Addresses { cmp: options.cmp, http: options.http };
        let service = Service::bind(authority, clock, at).await?;
        let Addresses { cmp, http } = service.addresses()?;
        writeln!(out, "{}", json!({ "ready": true, "cmp": cmp.to_string(), "http": http.to_string() }))?;
        out.flush()?;
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let until_stdin_ends = options.until_stdin_ends;
        let stop = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
                () = stdin_ended(), if until_stdin_ends => {}
            }
        };
        service.run(stop).await;
        Ok(())
    })
}

/// Waits in a thread of its own, which nobody waits for: reading standard input can't be called off.
async fn stdin_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let copied = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // Nobody waits any more: the service has stopped for another reason.
        let _ = ended.send(copied);
    });
    // However it ended, nothing comes any more.
    drop(wait.await);
}

fn unsettled(authority: &Authority, clock: &dyn Clock) -> Result<Value, CommandError> {
    let cases = authority.store().unsettled(clock.wall())?.into_iter().map(|case| {
        json!({
            "kind": case.kind,
            "serial": case.serial,
            "predecessor": case.predecessor,
            "municipality": case.municipality,
            "terminal": case.terminal.as_str(),
            "confirmed_at": case.confirmed_at.to_string(),
        })
    });
    Ok(json!({ "unsettled": cases.collect::<Vec<_>>() }))
}

/// `with_evidence` adds what takes many lines: the checkpoints of the alarms.
fn status(authority: &Authority, with_evidence: bool) -> Result<Value, CommandError> {
    let counts = authority.store().counts()?.into_iter().map(|(kind, state, count)| {
        let state = match state {
            State::Issued => "issued",
            State::Valid => "valid",
            State::Revoked => "revoked",
            State::Superseded => "superseded",
        };
        json!({ "kind": kind, "state": state, "count": count })
    });
    let alarms = authority.store().alarms()?.into_iter().map(|alarm| {
        let mut told = json!({
            "terminal": alarm.terminal.as_str(),
            "kind": format!("{:?}", alarm.kind),
            "witnessed_size": alarm.witnessed_size,
            "offered_size": alarm.offered_size,
            "at": alarm.at.to_string(),
            "acknowledged_by": alarm.acknowledged.as_ref().map(|acknowledged| acknowledged.by.as_str()),
            "acknowledged_at": alarm.acknowledged.as_ref().map(|acknowledged| acknowledged.at.to_string()),
        });
        if with_evidence {
            told["witnessed"] = json!(alarm.witnessed);
            told["offered"] = json!(alarm.offered);
        }
        told
    });
    Ok(json!({
        "generation": authority.config().issuing.name,
        "certificates": counts.collect::<Vec<_>>(),
        "alarms": alarms.collect::<Vec<_>>(),
    }))
}

/// As one JSON document, or one line for each thing.
fn print(out: &mut dyn Write, json: bool, document: &Value) -> Result<(), CommandError> {
    if json {
        return Ok(writeln!(out, "{document}")?);
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        match value.as_array() {
            Some(rows) => {
                writeln!(out, "{name}: {}", rows.len())?;
                for row in rows {
                    let fields = row.as_object().into_iter().flatten();
                    let fields = fields.map(|(name, value)| {
                        format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    });
                    writeln!(out, "  {}", fields.collect::<Vec<_>>().join("  "))?;
                }
            }
            None => writeln!(out, "{name}: {}", value.as_str().unwrap_or_default())?,
        }
    }
    Ok(())
}
