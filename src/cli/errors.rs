//! How an error leaves the program: one line that says what happened, one that says what to do.

use std::io;
use std::process::ExitCode;

use inscribe::engine::EngineError;
use inscribe::model::hub::PullError;
use inscribe::model::locate::LocateError;
use inscribe::write::error::WriteError;

use super::out::errln;

/// Prints the error and gives the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // The reader (`| head`) has seen enough.
        return ExitCode::SUCCESS;
    }
    super::out::end_line();
    errln!("error: {}", one_line(error));
    if let Some(hint) = hint(error) {
        errln!("hint: {hint}");
    }
    ExitCode::from(if is_cancelled(error) { 130 } else { 1 })
}

/// The error and its causes, each once.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line.replace(['\n', '\r'], " ")
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let pull = cause.downcast_ref::<PullError>().and_then(PullError::hint);
        pull.or_else(|| {
            cause
                .downcast_ref::<LocateError>()
                .and_then(LocateError::hint)
        })
    })
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(PullError::Cancelled))
            || matches!(cause.downcast_ref(), Some(EngineError::Cancelled))
            || cause.downcast_ref().is_some_and(WriteError::is_cancelled)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_joined_and_said_once() {
        let error = anyhow::anyhow!("no space\nleft")
            .context("cannot write x")
            .context("saving");
        assert_eq!(one_line(&error), "saving: cannot write x: no space left");
        let inner: Result<(), _> = Err(PullError::NoHome);
        let error = inner.context("pulling").unwrap_err();
        assert!(hint(&error).unwrap().contains("INSCRIBE_CACHE"));
        assert!(is_cancelled(&PullError::Cancelled.into()));
        assert!(!is_cancelled(&error));
    }
}
