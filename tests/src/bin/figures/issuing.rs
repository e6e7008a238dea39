//! Where the time of a first issue goes, and how many there are in a second.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jpki::{CertificateKind, IssuingProfile};
use madoguchi_tests::stage::OPERATOR;
use madoguchi_tests::{Stage, Start};
use orchestrator::Plan;
use serde::Serialize;

use crate::Figures;
use crate::rsa_peer::Rsa;
use crate::stopwatch::{Stopwatch, Timed};

/// Issuances of both kinds.
const RUNS: u32 = 40;
/// RSA operations of one issuance of both kinds. Signatures: possession and exercise on the card, and the certificate.
const SIGNATURES: u32 = 2 * 3;
/// Verifications in the terminal: possession before it is sent, the certificate's signature, exercise.
const TERMINAL_VERIFICATIONS: u32 = 2 * 3;
/// Verifications in the authority: possession.
const AUTHORITY_VERIFICATIONS: u32 = 2;

#[derive(Serialize)]
pub(crate) struct Issuing {
    runs: u32,
    /// From the application to the erasure.
    procedure_ms: f64,
    card_ms: f64,
    authority_ms: f64,
    hsm_ms: f64,
    /// The terminal with its RSA verifications.
    terminal_ms: f64,
    /// Without them: its own time.
    terminal_without_rsa_ms: f64,
    rsa_ms: f64,
    /// The terminal's own time against all RSA operations.
    terminal_to_rsa: f64,
    /// The same with the terminal's HSM.
    terminal_and_hsm_to_rsa: f64,
    /// Log-on, issue and log-off of both kinds, everything on one core.
    issuances_per_second: f64,
    /// Against a core that does the RSA operations and nothing else.
    share_of_rsa_bound: f64,
}

impl Figures for Issuing {
    const TITLE: &'static str = "One first issue of certificates of both kinds, RSA-2048, keys from a pool";
    const METHOD: &'static str = "processor time; mean of 40 runs in one process on one core, state folder and line in memory, no TLS; \
        watches at the ports of reader, line and HSM; RSA: six signatures (card 4, authorities 2) and eight verifications \
        (terminal 6, authority 2) of crate rsa, timed alone between the runs";
}

/// One for each part.
#[derive(Default)]
struct Watches {
    card: Stopwatch,
    authority: Stopwatch,
    hsm: Stopwatch,
    procedure: Stopwatch,
    /// With log-on and log-off.
    all: Stopwatch,
}

pub(crate) fn take() -> Issuing {
    // The pool's keys are made when they are wanted first.
    issue(&Watches::default());
    let watches = Watches::default();
    let mut rsa = Rsa::new();
    for _ in 0..RUNS {
        issue(&watches);
        (0..SIGNATURES).for_each(|_| rsa.work());
    }

    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mean = |watch: &Stopwatch| milliseconds(watch.read()) / f64::from(RUNS);
    let [procedure_ms, card_ms, authority_ms, hsm_ms, all_ms] =
        [&watches.procedure, &watches.card, &watches.authority, &watches.hsm, &watches.all].map(mean);
    let terminal_ms = procedure_ms - card_ms - authority_ms - hsm_ms;
    let verifications = |count: u32| milliseconds(rsa.verification() * count);
    let own_ms = terminal_ms - verifications(TERMINAL_VERIFICATIONS);
    let rsa_ms =
        milliseconds(rsa.signature() * SIGNATURES) + verifications(TERMINAL_VERIFICATIONS + AUTHORITY_VERIFICATIONS);
    Issuing {
        runs: RUNS,
        procedure_ms,
        card_ms,
        authority_ms,
        hsm_ms,
        terminal_ms,
        terminal_without_rsa_ms: own_ms,
        rsa_ms,
        terminal_to_rsa: own_ms / rsa_ms,
        terminal_and_hsm_to_rsa: (own_ms + hsm_ms) / rsa_ms,
        issuances_per_second: 1e3 / all_ms,
        share_of_rsa_bound: rsa_ms / all_ms,
    }
}

fn issue(watches: &Watches) {
    let mut stage = Stage::new(&IssuingProfile::jpki_2016(), Start::Fresh);
    let (card, authority, hsm) = <(Stopwatch, Stopwatch, Stopwatch)>::default();
    let mut ports = stage.ports(0);
    ports.reader = Box::new(Timed { port: ports.reader, watch: card.clone() });
    ports.line = Box::new(Timed { port: ports.line, watch: authority.clone() });
    ports.hsm = Arc::new(Timed { port: ports.hsm, watch: hsm.clone() });
    let mut terminal = stage.start_on(ports).expect("a terminal");
    watches.all.time(|| {
        terminal.log_on(OPERATOR).expect("logged on");
        let before = [&card, &authority, &hsm].map(Stopwatch::read);
        let plan = Plan::issue(&CertificateKind::BOTH);
        watches.procedure.time(|| terminal.run(&stage.resident.number, plan)).expect("issued");
        watches.card.add(card.read() - before[0]);
        watches.authority.add(authority.read() - before[1]);
        watches.hsm.add(hsm.read() - before[2]);
    });
}

impl fmt::Display for Issuing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, figure: f64, unit: &str| writeln!(f, "  {name:44} {figure:8.2} {unit}");
        line("procedure", self.procedure_ms, "ms")?;
        line("  card simulator", self.card_ms, "ms")?;
        line("  authority", self.authority_ms, "ms")?;
        line("  software HSM of the terminal", self.hsm_ms, "ms")?;
        line("  terminal", self.terminal_ms, "ms")?;
        line("  terminal without its RSA verifications", self.terminal_without_rsa_ms, "ms")?;
        line("RSA operations alone", self.rsa_ms, "ms")?;
        line("terminal's own time / RSA", self.terminal_to_rsa, "×")?;
        line("terminal's own time and its HSM's / RSA", self.terminal_and_hsm_to_rsa, "×")?;
        line("complete issuances, log-on included", self.issuances_per_second, "per second")?;
        line("  of what RSA alone would allow", self.share_of_rsa_bound, "×")
    }
}
