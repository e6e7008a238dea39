//! What `card serve` says.

use std::io::{self, Write};

use cli::{Context, Document, Entry, Explanation, Failure, Mark, Messages, Report, Screen};
use jpki::CertificateKind;
use serde::{Serialize, Serializer};
use sim_card::vpcd::{VpcdActivity, VpcdEvent};
use zeroize::Zeroizing;

/// One line of what is told in JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
pub enum Told<'a> {
    /// The card is in the reader, where programs find it. The first one says that everything is ready.
    Inserted {
        /// Host and port of the virtual reader.
        vpcd: &'a str,
        /// Serial number of the card.
        serial: &'a str,
        /// Its holder's PINs, with `--show-pins`.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        pins: &'a [Pin],
    },
    /// The card was taken out.
    Removed,
    /// The reader went away; the card goes back into it when it comes back.
    Lost,
    /// The answer to `status`.
    Status {
        /// Is the card in the reader?
        inserted: bool,
        /// How often it was put in.
        insertions: u64,
        /// Power-ups.
        power_ons: u64,
        /// Power-downs.
        power_offs: u64,
        /// Resets.
        resets: u64,
        /// Commands.
        apdus: u64,
        /// Bytes of these commands.
        bytes_out: u64,
        /// Bytes of their answers.
        bytes_in: u64,
    },
    /// What could not be done as told.
    Failed {
        /// Why.
        error: Explanation,
    },
}

impl Told<'_> {
    pub(super) fn status(activity: &VpcdActivity) -> Self {
        Self::Status {
            inserted: activity.seen,
            insertions: activity.insertions,
            power_ons: activity.power_ons,
            power_offs: activity.power_offs,
            resets: activity.resets,
            apdus: activity.apdus,
            // As the terminal counts: out is to the card.
            bytes_out: activity.bytes_in,
            bytes_in: activity.bytes_out,
        }
    }
}

/// A PIN that a simulated resident has chosen.
#[derive(Serialize)]
pub struct Pin {
    kind: CertificateKind,
    #[serde(serialize_with = "as_text")]
    pin: Zeroizing<String>,
}

fn as_text<S: Serializer>(pin: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(pin)
}

impl Pin {
    pub(super) fn new(kind: CertificateKind, pin: Zeroizing<String>) -> Self {
        Self { kind, pin }
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pin").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Tells people, or a program.
pub(super) struct Teller<'a> {
    context: &'a Context,
    vpcd: String,
    serial: String,
    pins: Vec<Pin>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(context: &'a Context, vpcd: String, serial: String, pins: Vec<Pin>) -> Self {
        Self { context, vpcd, serial, pins }
    }

    pub(super) fn heading(&self) -> Result<(), Failure> {
        self.context.screen(|screen, messages| {
            screen.heading(&messages.get("heading-serve"), &messages.get("heading-simulated"))
        })
    }

    /// The words that can be typed.
    pub(super) fn words(&self) -> Result<(), Failure> {
        self.context.screen(|screen, messages| screen.text(3, &messages.get("serve-words")))
    }

    /// Something has happened to the card.
    pub(super) fn news(&self, event: VpcdEvent) -> Result<(), Failure> {
        self.tell(&match event {
            VpcdEvent::Inserted => Told::Inserted { vpcd: &self.vpcd, serial: &self.serial, pins: &self.pins },
            VpcdEvent::Removed => Told::Removed,
            VpcdEvent::Lost => Told::Lost,
        })
    }

    pub(super) fn tell(&self, told: &Told<'_>) -> Result<(), Failure> {
        if self.context.is_json() {
            let line = serde_json::to_string(told).map_err(io::Error::from)?;
            return Ok(writeln!(io::stdout(), "{line}")?);
        }
        self.context.screen(|screen, messages| show(told, screen, messages))
    }

    /// A word could not be done.
    pub(super) fn failed(&self, failure: &Failure) -> Result<(), Failure> {
        if self.context.is_json() {
            return self.tell(&Told::Failed { error: failure.explain(&self.context.messages()) });
        }
        self.context.tell(failure);
        Ok(())
    }

    pub(super) fn unknown(&self, word: &str) -> Result<(), Failure> {
        let args = vec![("word", word.into())];
        self.failed(&Failure::Own { key: "error-serve-unknown-word", args, source: None })
    }
}

fn show(told: &Told<'_>, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
    let label = messages.get("summary-with-card");
    match told {
        Told::Inserted { vpcd, serial, pins } => {
            let place = messages.text("serve-inserted", &[("vpcd", (*vpcd).into())]);
            screen.entry(Mark::Done, &Entry::new(label, [place, (*serial).to_owned()]))?;
            if pins.is_empty() {
                return Ok(());
            }
            let pins = pins.iter().map(|Pin { kind, pin }| format!("{} {}", messages.kind(*kind), pin.as_str()));
            screen.entry(Mark::Plain, &Entry::new(messages.get("item-pin"), pins))
        }
        Told::Removed => screen.entry(Mark::Plain, &Entry::new(label, [messages.get("serve-removed")])),
        Told::Lost => screen.entry(Mark::Plain, &Entry::new(label, [messages.get("serve-lost")])),
        Told::Status { inserted, apdus, bytes_out, bytes_in, .. } => {
            let place = messages.get(if *inserted { "serve-is-in" } else { "serve-is-out" });
            screen.entry(Mark::Plain, &Entry::new(label, [place, traffic(*apdus, *bytes_out, *bytes_in, messages)]))
        }
        // People see it as any other failure.
        Told::Failed { error } => screen.explanation(error, messages),
    }
}

fn traffic(apdus: u64, bytes_out: u64, bytes_in: u64, messages: &Messages) -> String {
    let args = [("apdus", apdus.into()), ("out", bytes_out.into()), ("in", bytes_in.into())];
    messages.text("summary-card", &args)
}

/// The end: the card is out of the reader, and all that it was told is in its file.
pub(super) struct Ended {
    apdus: u64,
    bytes_out: u64,
    bytes_in: u64,
}

impl Ended {
    pub(super) fn new(activity: VpcdActivity) -> Self {
        Self { apdus: activity.apdus, bytes_out: activity.bytes_in, bytes_in: activity.bytes_out }
    }
}

/// On one line, as everything before it.
impl Document for Ended {
    fn document(&self) -> serde_json::Result<String> {
        let Self { apdus, bytes_out, bytes_in } = self;
        serde_json::to_string(&serde_json::json!({
            "told": "ended", "ok": true, "apdus": apdus, "bytes_out": bytes_out, "bytes_in": bytes_in,
        }))
    }
}

impl Report for Ended {
    fn succeeded(&self) -> bool {
        true
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        let exchanged = traffic(self.apdus, self.bytes_out, self.bytes_in, messages);
        screen.entry(Mark::Done, &Entry::new(messages.get("serve-ended"), [exchanged]))
    }
}
