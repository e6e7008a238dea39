//! Diagnostics on stderr, for those who look after the program.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::LogFormat;

/// The environment variable that tells what is shown, in the syntax of `tracing_subscriber::EnvFilter`.
const VARIABLE: &str = "MADOGUCHI_LOG";

/// Shows diagnostics from now on: warnings, or what the environment asks for.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A subscriber that is there already stays: a test has set it.
    let _ = match format {
        LogFormat::Human => to_stderr.with_ansi(io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => to_stderr.json().finish().try_init(),
    };
}
