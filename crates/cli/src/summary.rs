//! What came of a procedure, for machines and for people. The keys of the JSON document are stable: `docs/json.md`.

use std::io;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use jpki::{CertificateKind, CertificateView, Person, Sex};
use orchestrator::{IssuedCertificate, KeyOrigin, LogVerdict, ProcedureReport, Progress, Step};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::explanation::Explanation;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry, Mark, Screen, seconds};
use crate::view::step_key;

/// What came of a procedure.
///
/// What was not looked at is `None` and left out of the document: only the demonstration searches for residue, say.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Did everything succeed?
    pub ok: bool,
    /// The seed of a simulated world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The certificates that are now on the card.
    pub certificates: Vec<CertificateSummary>,
    /// Kinds whose previous certificate could not be revoked yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<CertificateKind>,
    /// What was exchanged with the card.
    pub card: CardTraffic,
    /// What was exchanged with the authority.
    pub authority: AuthorityTraffic,
    /// Time by step.
    pub timings_ms: Timings,
    /// The operation history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSummary>,
    /// What was proved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    /// Where personal data was found that ought to be gone; empty if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residue: Option<Vec<Residue>>,
    /// The most memory that the process had, in bytes; 0 if the system does not tell.
    pub peak_memory_bytes: u64,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Explanation>,
    /// Commands to try next, as a person would type them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// One certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateSummary {
    /// Which kind.
    pub kind: CertificateKind,
    /// シリアル番号, hex.
    pub serial: String,
    /// 発行年月日.
    pub not_before: Timestamp,
    /// 有効期間の満了日.
    pub not_after: Timestamp,
    /// Where its key was made.
    pub key_origin: KeyOrigin,
    /// A file with the certificate, if there is one. The terminal itself keeps none.
    pub path: Option<String>,
    /// What a person reads on the certificate. Personal: for the screen, never for a document.
    #[serde(skip)]
    pub face: Option<CertificateFace>,
}

impl From<IssuedCertificate> for CertificateSummary {
    fn from(issued: IssuedCertificate) -> Self {
        let IssuedCertificate { kind, serial, not_before, not_after, key_origin, .. } = issued;
        Self { kind, serial, not_before, not_after, key_origin, path: None, face: None }
    }
}

/// What a person reads on a certificate. Wiped when dropped.
#[derive(Clone, Debug)]
pub struct CertificateFace {
    /// 発行者.
    pub issuer: String,
    /// The holder, on a signing certificate.
    pub person: Option<Person>,
}

impl From<&CertificateView> for CertificateFace {
    fn from(view: &CertificateView) -> Self {
        Self { issuer: view.issuer.to_string(), person: view.person.clone() }
    }
}

/// What was exchanged with the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CardTraffic {
    /// Command APDUs.
    pub apdus: u64,
    /// Bytes sent to the card.
    pub bytes_out: u64,
    /// Bytes received from the card.
    pub bytes_in: u64,
}

/// What was exchanged with the authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuthorityTraffic {
    /// Messages, each with its answer.
    pub messages: u64,
}

/// The operation history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogSummary {
    /// How many entries it has.
    pub entries: u64,
    /// Is it whole, unchanged, and what the authority has witnessed?
    pub verified: bool,
}

impl From<&LogVerdict> for LogSummary {
    fn from(verdict: &LogVerdict) -> Self {
        Self { entries: verdict.entries, verified: verdict.verified }
    }
}

/// Something that was proved, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What.
    pub what: Proved,
    /// Was it?
    pub ok: bool,
}

/// What can be proved after a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proved {
    /// 電子署名 by the card verifies under its certificate.
    Signature,
    /// 電子利用者証明 by the card verifies under its certificate.
    Authentication,
    /// The certificates verify under their certification authorities.
    Certificates,
    /// The authority answers that they are valid.
    AuthorityStatus,
    /// 操作履歴 verifies and agrees with the authority's witness.
    Log,
    /// 一時記録 are erased.
    Erasure,
}

/// Personal data where none ought to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Residue {
    /// Where: a file, the process's memory.
    pub place: String,
    /// Which item, as a key of the message catalogue: `item-name`, `item-address`, `item-pin`, … Never its value.
    pub item: String,
    /// In which encoding: `utf-8`, `utf-16le`, `shift_jis`, `hex`, …
    pub encoding: String,
}

/// Time by step, in milliseconds, in the order in which steps were first seen. Serialised as a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings(Vec<(String, u64)>);

impl Timings {
    /// Adds to the time of `name`.
    pub fn add(&mut self, name: impl Into<String>, milliseconds: u64) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += milliseconds,
            None => self.0.push((name, milliseconds)),
        }
    }

    /// Adds what `progress` tells of time: `log_on`, `application`, `card`, and `KIND_STEP` for each step.
    pub fn observe(&mut self, progress: &Progress) {
        match progress {
            Progress::LoggedOn { elapsed_ms, .. } => self.add("log_on", *elapsed_ms),
            Progress::ApplicationTaken { elapsed_ms, .. } => self.add("application", *elapsed_ms),
            Progress::CardRecognised { elapsed_ms, .. } => self.add("card", *elapsed_ms),
            Progress::StepDone { kind, step, elapsed_ms } => self.add(step_name(*kind, *step), *elapsed_ms),
            _ => {}
        }
    }

    /// The time of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, milliseconds)| *milliseconds)
    }
}

impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, milliseconds) in &self.0 {
            map.serialize_entry(name, milliseconds)?;
        }
        map.end()
    }
}

/// The key of a step's time: `authentication_generate_key`.
fn step_name(kind: CertificateKind, step: Step) -> String {
    let kind = match kind {
        CertificateKind::Authentication => "authentication",
        CertificateKind::Signature => "signature",
    };
    let step = step_key(step).trim_start_matches("step-").replace('-', "_");
    format!("{kind}_{step}")
}

impl Summary {
    /// What a procedure reported, with what it took.
    #[must_use]
    pub fn of(report: ProcedureReport, timings_ms: Timings) -> Self {
        Self {
            ok: true,
            certificates: report.certificates.into_iter().map(Into::into).collect(),
            unsettled: report.unsettled,
            card: CardTraffic { apdus: report.apdus, bytes_out: report.bytes_out, bytes_in: report.bytes_in },
            authority: AuthorityTraffic { messages: report.messages },
            timings_ms,
            peak_memory_bytes: peak_memory_bytes(None),
            ..Self::default()
        }
    }

    fn show_certificate(
        &self,
        certificate: &CertificateSummary,
        screen: &mut Screen,
        messages: &Messages,
    ) -> io::Result<()> {
        let args = [("from", day(certificate.not_before).into()), ("until", day(certificate.not_after).into())];
        screen.gap()?;
        screen.heading(&messages.certificate(certificate.kind), "")?;
        let mut lines = vec![
            ("summary-serial", certificate.serial.clone()),
            ("summary-validity", messages.text("summary-period", &args)),
        ];
        if certificate.key_origin == KeyOrigin::Hsm {
            lines.push(("summary-key", messages.get("summary-key-of-hsm")));
        }
        if let Some(face) = &certificate.face {
            lines.push(("summary-issuer", face.issuer.clone()));
            if let Some(person) = &face.person {
                lines.push(("item-name", person.name.text.clone()));
                lines.extend(person.alias.as_ref().map(|alias| ("item-alias", alias.text.clone())));
                lines.push(("item-address", person.address.text.clone()));
                lines.push(("item-birth", person.birth.to_string()));
                lines.push(("item-sex", messages.get(sex(person.sex))));
            }
        }
        lines.extend(certificate.path.clone().map(|path| ("summary-file", path)));
        for (label, text) in lines {
            screen.entry(Mark::Plain, &Entry::new(messages.get(label), [text]))?;
        }
        Ok(())
    }

    fn show_times(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for (name, key) in
            [("log_on", "progress-log-on"), ("application", "progress-application"), ("card", "progress-card")]
        {
            if let Some(time) = self.timings_ms.get(name) {
                lines.push((messages.get(key), vec![seconds(time)]));
            }
        }
        for kind in CertificateKind::BOTH {
            // A key is made and imported in the place of being generated.
            let all = Step::ORDER.into_iter().flat_map(|step| match step {
                Step::GenerateKey => vec![step, Step::ImportKey],
                _ => vec![step],
            });
            let steps: Vec<String> = all
                .filter_map(|step| {
                    let time = self.timings_ms.get(&step_name(kind, step))?;
                    Some(format!("{} {}", messages.get(step_key(step)), seconds(time)))
                })
                .collect();
            if !steps.is_empty() {
                lines.push((messages.kind(kind), steps));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        screen.gap()?;
        screen.heading(&messages.get("summary-times"), "")?;
        for (label, parts) in lines {
            screen.entry(Mark::Plain, &Entry::new(label, parts))?;
        }
        Ok(())
    }

    fn show_exchanged(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        screen.gap()?;
        screen.heading(&messages.get("summary-exchanged"), "")?;
        let card = messages.text(
            "summary-card",
            &[
                ("apdus", self.card.apdus.into()),
                ("out", self.card.bytes_out.into()),
                ("in", self.card.bytes_in.into()),
            ],
        );
        screen.entry(Mark::Plain, &Entry::new(messages.get("summary-with-card"), [card]))?;
        let authority = messages.text("summary-messages", &[("count", self.authority.messages.into())]);
        screen.entry(Mark::Plain, &Entry::new(messages.get("summary-authority"), [authority]))
    }

    fn show_proofs(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if !self.proofs.is_empty() {
            let all = self.proofs.iter().all(|proof| proof.ok);
            let parts = self
                .proofs
                .iter()
                .map(|proof| format!("{} {}", messages.get(proved(proof.what)), if proof.ok { "✓" } else { "✗" }));
            screen.gap()?;
            let mark = if all { Mark::Done } else { Mark::Failed };
            screen.entry(mark, &Entry::new(messages.get("summary-proofs"), parts))?;
        }
        if let Some(log) = &self.log {
            let args = [("entries", log.entries.into())];
            let key = if log.verified { "summary-log-verified" } else { "summary-log-not-verified" };
            let mark = if log.verified { Mark::Done } else { Mark::Failed };
            screen.entry(mark, &Entry::new(messages.get("summary-log"), [messages.text(key, &args)]))?;
        }
        if let Some(residue) = &self.residue {
            let label = messages.get("progress-erase");
            if residue.is_empty() {
                screen.entry(Mark::Done, &Entry::new(&label, [messages.get("summary-nothing-left")]))?;
            }
            for found in residue {
                let args = [
                    ("place", found.place.as_str().into()),
                    ("item", messages.get(&found.item).into()),
                    ("encoding", found.encoding.as_str().into()),
                ];
                screen.entry(Mark::Failed, &Entry::new(&label, [messages.text("summary-left", &args)]))?;
            }
        }
        Ok(())
    }
}

impl Report for Summary {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        for certificate in &self.certificates {
            self.show_certificate(certificate, screen, messages)?;
        }
        if !self.unsettled.is_empty() {
            let args = [("kinds", messages.kinds(&self.unsettled).into())];
            screen.gap()?;
            let unsettled =
                Entry::new(messages.get("summary-unsettled"), [messages.text("summary-unsettled-until", &args)]);
            screen.entry(Mark::Failed, &unsettled)?;
        }
        self.show_exchanged(screen, messages)?;
        self.show_times(screen, messages)?;
        self.show_proofs(screen, messages)?;
        if let Some(error) = &self.error {
            screen.explanation(error, messages)?;
        }
        if !self.next.is_empty() {
            screen.gap()?;
            screen.heading(&messages.get("summary-next"), "")?;
            for command in &self.next {
                screen.verbatim(&format!("   $ {command}"))?;
            }
        }
        Ok(())
    }
}

fn proved(what: Proved) -> &'static str {
    match what {
        Proved::Signature => "proved-signature",
        Proved::Authentication => "proved-authentication",
        Proved::Certificates => "proved-certificates",
        Proved::AuthorityStatus => "proved-authority-status",
        Proved::Log => "proved-log",
        Proved::Erasure => "proved-erasure",
    }
}

fn sex(sex: Sex) -> &'static str {
    match sex {
        Sex::Male => "sex-male",
        Sex::Female => "sex-female",
        Sex::Other => "sex-other",
    }
}

/// The day in Japan, as 2026-11-22.
fn day(at: Timestamp) -> String {
    in_japan(at).date().to_string()
}

/// Japan's date and time: UTC+9 all year.
pub(crate) fn in_japan(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::fixed(Offset::constant(9)))
}

/// The most memory that a process has had, this one or another, in bytes (proc(5), `VmHWM`); 0 if the system does not tell.
#[must_use]
pub fn peak_memory_bytes(process: Option<u32>) -> u64 {
    let process = process.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_step_that_is_done_again_are_added() {
        let mut timings = Timings::default();
        let done =
            |elapsed_ms| Progress::StepDone { kind: CertificateKind::Signature, step: Step::GenerateKey, elapsed_ms };
        timings.observe(&done(4_000));
        timings.observe(&Progress::Erased);
        timings.observe(&done(900));
        timings.observe(&Progress::LoggedOn { operator: "0417".into(), captures: 1, elapsed_ms: 7 });
        let json = serde_json::to_string(&timings).unwrap();
        assert_eq!(json, r#"{"signature_generate_key":4900,"log_on":7}"#);
    }

    #[test]
    fn the_peak_is_at_least_what_is_held() {
        let held = vec![1u8; 8 << 20];
        assert!(peak_memory_bytes(None) > held.iter().map(|byte| u64::from(*byte)).sum());
    }
}
