//! `card trace show`

use std::path::Path;

use card_reader::trace::{Trace, TraceError};

use crate::failure::Failure;
use crate::report::Report;
use crate::trace_view::TraceView;

pub(super) fn show(file: &Path) -> Result<Box<dyn Report>, Failure> {
    match Trace::read(file) {
        Ok(trace) => Ok(Box::new(TraceView::new(trace))),
        Err(error) => Err(unreadable(file, error)),
    }
}

fn unreadable(file: &Path, error: TraceError) -> Failure {
    let path = ("path", file.display().to_string().into());
    let (key, args) = match &error {
        TraceError::Io(_) => ("error-trace-unreadable", vec![path]),
        TraceError::Version { found } => ("error-trace-version", vec![path, ("version", (*found).into())]),
        TraceError::Malformed { line, .. } | TraceError::LineTooLong { line } => {
            ("error-trace-damaged", vec![path, ("line", (*line).into())])
        }
        TraceError::TooLong => ("error-trace-too-long", vec![path]),
        _ => ("error-trace-not-a-trace", vec![path]),
    };
    Failure::Own { key, args, source: Some(Box::new(error)) }
}
