//! The figures of `make bench`: counts, and ratios against something that is measured in the same run. Times depend on the
//! machine and on what else it does; ratios hardly do, counts not at all.
//!
//! With `--json`, one document with the same figures. What is not measured here is how long a build takes: `cargo clean`,
//! then `time make demo`; and how long the tests take: `time make test`.

#![allow(clippy::expect_used, reason = "a figure that can't be taken is no figure")]

mod bound;
mod hsm;
mod issuing;
mod log_on;
mod memory;
mod palm_accuracy;
mod palms;
mod rsa_peer;
#[cfg(feature = "pcsc")]
mod stack;
mod stopwatch;
mod traffic;

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Map, Value};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--json"] => true,
        [hsm::COMMAND] => {
            hsm::measure();
            return ExitCode::SUCCESS;
        }
        #[cfg(feature = "pcsc")]
        [stack::COMMAND, reader, vpcd] => {
            stack::measure(reader, vpcd);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("usage: figures [--json]");
            return ExitCode::from(2);
        }
    };
    let mut report = Report { json, document: Map::new() };
    report.take("card_traffic", traffic::take);
    report.take("rsa", rsa_peer::take);
    report.take("issuing", issuing::take);
    report.take("palm", palms::take);
    report.take("palm_accuracy", palm_accuracy::take);
    report.take("log_on", log_on::take);
    report.take("demo_memory", memory::take);
    report.take("tokens", hsm::take);
    #[cfg(feature = "pcsc")]
    report.take("pcsc", stack::take);
    #[cfg(not(feature = "pcsc"))]
    eprintln!("the figures of the PC/SC stack need `--features pcsc`");
    report.end();
    ExitCode::SUCCESS
}

/// Figures that belong together.
trait Figures: Serialize + fmt::Display {
    /// What they are about.
    const TITLE: &'static str;
    /// How they are measured.
    const METHOD: &'static str;
}

struct Report {
    json: bool,
    document: Map<String, Value>,
}

impl Report {
    fn take<F: Figures>(&mut self, key: &str, take: impl FnOnce() -> F) {
        let figures = take();
        if self.json {
            let figures = serde_json::to_value(&figures).expect("a document");
            let group = [("method".into(), F::METHOD.into()), ("figures".into(), figures)];
            self.document.insert(key.into(), Value::Object(Map::from_iter(group)));
        } else {
            println!("{}\n{figures}  ({})\n", F::TITLE, F::METHOD);
        }
    }

    fn end(self) {
        if self.json {
            println!("{:#}", Value::Object(self.document));
        }
    }
}
