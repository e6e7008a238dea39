//! How much memory the demo needs.

use std::fmt;
use std::process::Command;

use serde::Serialize;
use serde_json::Value;

use crate::Figures;

#[derive(Serialize)]
pub(crate) struct Memory {
    /// None if the demo is not built.
    peak_memory_bytes: Option<u64>,
    /// Did the demo do and prove everything?
    ok: bool,
}

impl Figures for Memory {
    const TITLE: &'static str = "Peak memory of the demo's terminal process";
    const METHOD: &'static str = "`madoguchi-sim demo --json`, built beside this program; largest resident set as Linux \
        tells it (VmHWM)";
}

pub(crate) fn take() -> Memory {
    let program = std::env::current_exe().expect("a path").with_file_name("madoguchi-sim");
    let state = tempfile::tempdir().expect("a folder");
    let demo = Command::new(program).args(["demo", "--json", "--seed", "1", "--state"]).arg(state.path()).output();
    let told = demo.ok().and_then(|demo| serde_json::from_slice::<Value>(&demo.stdout).ok()).unwrap_or_default();
    Memory { peak_memory_bytes: told["peak_memory_bytes"].as_u64(), ok: told["ok"] == true }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proved = if self.ok { "" } else { ", and the demo did not prove everything" };
        match self.peak_memory_bytes {
            Some(bytes) => writeln!(f, "  {:.1} MB{proved}", bytes as f64 / 1e6),
            None => writeln!(f, "  not measured: `cargo build --release -p madoguchi-sim` comes first"),
        }
    }
}
