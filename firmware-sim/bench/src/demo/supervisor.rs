//! The processes of the demonstration: started, watched, and ended.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Instant, SystemTime};

use cli::{CertificateSummary, Context, Entry, Explanation, Failure, LogSummary, Proof, Proved, Summary};
use jpki::{CertificateKind, Resident};
use orchestrator::ProcedureReport;

use super::search::Search;
use super::{proof, with_paths};
use crate::authority::{AuthorityFolder, RunningAuthority};
use crate::children::{self, ChildProcess};
use crate::commands::Demo;
use crate::composition::READER;
use crate::failure::own;
use crate::making::millis;
use crate::terminal::{self, Intruder, Told};
use crate::token::Tokens;
use crate::world::{OPERATORS, World};

/// Why a demonstration broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DemoFault {
    /// The authority did not come up.
    #[error("the authority's process did not start: {0}")]
    Authority(#[source] std::io::Error),
    /// The terminal's process could not be started, or ended before it was told to.
    #[error("the terminal's process ended before its time: {0}")]
    Terminal(String),
}

/// Runs the procedure in processes of its own and proves what came of it.
pub(super) fn run(
    order: &Demo,
    world: &World,
    tokens: &Tokens,
    applicant: &Resident,
    context: &Context,
) -> Result<Summary, Failure> {
    let began = SystemTime::now();
    let authority = AuthorityFolder::new(world.folder().authority())
        .start_on(tokens.authority.as_ref())
        .map_err(|error| own("error-demo-authority", [], DemoFault::Authority(error)))?;
    let search = Search::prepare(world, tokens, applicant, began)?;
    let mut terminal = TerminalProcess::start(order, world, tokens, applicant, &authority, &search, context)?;
    let report = terminal.watch(context)?;
    prove(world, tokens, applicant, &authority, search, terminal, report, context)
}

/// The relying party's part.
#[expect(clippy::too_many_arguments, reason = "everything that took part is looked at")]
fn prove(
    world: &World,
    tokens: &Tokens,
    applicant: &Resident,
    authority: &RunningAuthority,
    search: Search,
    terminal: TerminalProcess,
    report: ProcedureReport,
    context: &Context,
) -> Result<Summary, Failure> {
    let mut timings = context.timings();
    let mut step = Step::new(context, "demo-proof-card");
    let proved = proof::of_card(world, applicant, authority)?;
    step.next("demo-proof-memory");
    let peak_memory_bytes = cli::peak_memory_bytes(Some(terminal.process.id()));
    let mut residue = search.memory(terminal.process.id(), &proved.certificates_read)?;
    terminal.finish()?;
    step.next("demo-proof-log");
    let verdict = proof::of_log(world, tokens, authority)?;
    step.next("demo-proof-files");
    residue.extend(search.files(world, &proved.certificates_read)?);
    timings.add("proof", step.end());

    let certificates: Vec<CertificateSummary> = report
        .certificates
        .iter()
        .cloned()
        .map(CertificateSummary::from)
        .map(|summary| {
            let read = proved.certificates_read.iter().find(|read| read.kind == summary.kind);
            CertificateSummary { face: read.map(|read| read.face.clone()), ..summary }
        })
        .collect();
    let proofs = vec![
        Proof { what: Proved::Signature, ok: proved.signature },
        Proof { what: Proved::Authentication, ok: proved.authentication },
        Proof { what: Proved::Certificates, ok: proved.certificates },
        Proof { what: Proved::AuthorityStatus, ok: proved.authority_status },
        Proof { what: Proved::Log, ok: verdict.verified },
        Proof { what: Proved::Erasure, ok: residue.is_empty() },
    ];
    let ok = proofs.iter().all(|proof| proof.ok) && report.certificates.len() == CertificateKind::BOTH.len();
    let error = (!ok).then(|| Explanation::new(&context.messages(), "error-demo-not-proved", &[]));
    Ok(Summary {
        ok,
        error,
        log: Some(LogSummary::from(&verdict)),
        proofs,
        residue: Some(residue),
        peak_memory_bytes,
        certificates: with_paths(certificates, world),
        ..Summary::of(report, timings)
    })
}

/// The terminal's process.
struct TerminalProcess {
    process: ChildProcess,
    told: BufReader<ChildStdout>,
}

impl TerminalProcess {
    fn start(
        order: &Demo,
        world: &World,
        tokens: &Tokens,
        applicant: &Resident,
        authority: &RunningAuthority,
        search: &Search,
        context: &Context,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args([terminal::COMMAND, "--operator", OPERATORS[0], "--resident", terminal::FROM_STDIN, "--hold"]);
        command.args(["--too-near-at-first", "--authority", &authority.cmp.to_string()]);
        command.args(["--lang", context.messages().language().tag()]);
        command.arg("--state").arg(world.folder().root());
        // The proof reads the card that lies on the world's own reader.
        command.args(["--reader", READER]);
        if let Some(trace) = context.trace_for_another_process() {
            command.arg("--trace").arg(trace);
        }
        if order.show_refusals {
            command.arg("--show-refusals");
        }
        if let Some(token) = &tokens.terminal {
            command.arg("--hsm").arg(token.uri_for_child());
        }
        command.env("TMPDIR", world.folder().temp());
        let mut process = ChildProcess::spawn(command.stderr(Stdio::inherit()))?;
        process.tell(&search.canary_seed())?;
        process.tell(&applicant.number)?;
        if let Some(token) = &tokens.terminal {
            process.tell(token.pin())?;
        }
        let told = BufReader::new(process.take_stdout()?);
        Ok(Self { process, told })
    }

    /// Shows what the process tells, until it waits; what came of the procedure is the answer.
    fn watch(&mut self, context: &Context) -> Result<ProcedureReport, Failure> {
        let broken = |why: &str| own("error-demo-terminal", [], DemoFault::Terminal(why.to_owned()));
        let mut progress = context.progress();
        let mut outcome = Err(broken("it told no outcome"));
        let mut line = String::new();
        loop {
            line.clear();
            if self.told.read_line(&mut line)? == 0 {
                // It ended by itself. Why, it may have said.
                return outcome.and(Err(broken("it did not wait")));
            }
            match serde_json::from_str(&line).map_err(|error| broken(&error.to_string()))? {
                Told::Progress { progress: happened } => progress(&happened),
                Told::ToBeRefused { intruder } => announce(intruder, context)?,
                Told::Done { report } => outcome = Ok(report),
                Told::Failed { code, text, cause, mend } => {
                    outcome = Err(Failure::Told(Explanation { code, text, cause, mend }));
                }
                Told::Held => return outcome,
            }
        }
    }

    /// Lets the process end by itself.
    fn finish(mut self) -> Result<(), Failure> {
        self.process.tell("")?;
        let status = self.process.finish()?;
        if status.success() {
            Ok(())
        } else {
            Err(own("error-demo-terminal", [], DemoFault::Terminal(status.to_string())))
        }
    }
}

/// Says who is to be refused now.
fn announce(intruder: Intruder, context: &Context) -> Result<(), Failure> {
    let key = match intruder {
        Intruder::Stranger => "demo-stranger",
        Intruder::Print => "demo-print",
        Intruder::UnknownId => "demo-unknown-id",
    };
    context.screen(|screen, messages| screen.text(3, &messages.get(key)))
}

/// What is being proved, on a live screen.
struct Step<'a> {
    context: &'a Context,
    began: Instant,
}

impl<'a> Step<'a> {
    fn new(context: &'a Context, key: &str) -> Self {
        let step = Self { context, began: Instant::now() };
        step.show(key);
        step
    }

    fn next(&mut self, key: &str) {
        self.show(key);
    }

    fn show(&self, key: &str) {
        let shown = self.context.screen(|screen, messages| {
            let running = messages.text("step-running", &[("step", messages.get(key).into())]);
            screen.open_entry(&Entry::new(messages.get("summary-proofs"), [running]))
        });
        // The result that follows can't be written either, and says so.
        drop(shown);
    }

    fn end(self) -> u64 {
        millis(self.began)
    }
}

/// Ends everything on Ctrl-C or SIGTERM, and takes the temporary folder away.
pub(super) fn end_on_interrupt(temporary: Option<PathBuf>) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let number = runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return std::future::pending().await;
            };
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
            }
        });
        children::kill_all();
        if let Some(folder) = temporary {
            // What can't be removed stays in the temporary folder, which the system empties.
            let _ = std::fs::remove_dir_all(folder);
        }
        // As shells report a program that a signal has ended.
        std::process::exit(128 + number);
    });
}
