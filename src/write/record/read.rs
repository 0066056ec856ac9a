//! Reading a run back from the file its events were kept in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::words::spelled_out;
use crate::write::event::{EVENTS_VERSION, Event};

use super::RunRecord;

/// The name of the events file in a memory's folder.
pub const EVENTS_FILE: &str = "events.jsonl";

/// What keeps a run's events from being read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such file or folder.
    #[error("{path}: does not exist; check the path")]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder has no events file.
    #[error("{folder}: holds no {EVENTS_FILE}, so no run was recorded there")]
    NoEvents {
        /// The folder that was given.
        folder: PathBuf,
    },
    /// The system could not read the file.
    #[error("cannot read {path}")]
    Io {
        /// The events file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not UTF-8.
    #[error("{path}: line {line} is not UTF-8")]
    NotText {
        /// The events file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
    /// A line is not an event.
    #[error("{path}: line {line} is not an event: {reason}")]
    BadLine {
        /// The events file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// The events were written by a newer version of the program.
    #[error(
        "{path}: these events have version {version}; this program knows up to {EVENTS_VERSION}"
    )]
    TooNew {
        /// The events file.
        path: PathBuf,
        /// The version of the events' format.
        version: u32,
    },
    /// The file holds no event yet.
    #[error("{path}: no event is in it yet")]
    Empty {
        /// The events file.
        path: PathBuf,
    },
}

/// The events of a file.
#[derive(Debug)]
pub struct EventsFile {
    /// The file that was read.
    pub path: PathBuf,
    /// The events in order.
    pub events: Vec<Event>,
    /// Lines that a run killed while writing left half done.
    pub cut_lines: usize,
}

/// Reads the events of a run from its folder or its events file. A last line cut short is left
/// out, and so is one before a run was resumed; any other line that is no event is an error.
pub fn read_events(path: &Path) -> Result<EventsFile, RunError> {
    let path = events_path(path)?;
    let bytes = fs::read(&path).map_err(|source| RunError::Io {
        path: path.clone(),
        source,
    })?;
    let mut events = Vec::new();
    let mut cut_lines = 0;
    let mut record = RunRecord::default();
    // A line that could not be read: it is forgiven when the file ends or a run goes on after it.
    let mut bad: Option<RunError> = None;
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match next_event(&record, &path, number + 1, line) {
            Ok(event) => {
                if bad.is_some() {
                    if !matches!(event, Event::Started(_) | Event::Resumed { .. }) {
                        break;
                    }
                    bad = None;
                    cut_lines += 1;
                }
                record.fold(&event);
                events.push(event);
            }
            Err(error @ RunError::TooNew { .. }) => return Err(error),
            Err(_) if bad.is_some() => break,
            Err(error) => bad = Some(error),
        }
    }
    if let Some(error) = bad {
        let cut = bytes.last() != Some(&b'\n') && is_last_line(&error, &bytes);
        if !cut {
            return Err(error);
        }
        cut_lines += 1;
    }
    if events.is_empty() {
        Err(RunError::Empty { path })
    } else {
        Ok(EventsFile {
            path,
            events,
            cut_lines,
        })
    }
}

/// The record of a run from its folder or its events file.
pub fn read_run(path: &Path) -> Result<RunRecord, RunError> {
    let file = read_events(path)?;
    Ok(RunRecord::from_events(&file.events))
}

fn events_path(path: &Path) -> Result<PathBuf, RunError> {
    if !path.exists() {
        return Err(RunError::Missing { path: path.into() });
    }
    if !path.is_dir() {
        return Ok(path.into());
    }
    let inside = path.join(EVENTS_FILE);
    if inside.is_file() {
        Ok(inside)
    } else {
        Err(RunError::NoEvents {
            folder: path.into(),
        })
    }
}

/// The event of a line, if it can follow those before it.
fn next_event(
    before: &RunRecord,
    path: &Path,
    line: usize,
    bytes: &[u8],
) -> Result<Event, RunError> {
    let event = parse(path, line, bytes)?;
    check_version(path, &event)?;
    match before.fault(&event) {
        Some(reason) => Err(RunError::BadLine {
            path: path.into(),
            line,
            reason,
        }),
        None => Ok(event),
    }
}

fn parse(path: &Path, line: usize, bytes: &[u8]) -> Result<Event, RunError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RunError::NotText {
        path: path.into(),
        line,
    })?;
    serde_json::from_str(text).map_err(|error| RunError::BadLine {
        path: path.into(),
        line,
        // The place that serde_json adds counts lines within this one line.
        reason: match spelled_out(&error.to_string()).rsplit_once(" at line ") {
            Some((reason, _)) => format!("{reason} (column {})", error.column()),
            None => spelled_out(&error.to_string()),
        },
    })
}

fn is_last_line(error: &RunError, bytes: &[u8]) -> bool {
    let lines = bytes.split(|&b| b == b'\n').count();
    match error {
        RunError::BadLine { line, .. } | RunError::NotText { line, .. } => *line == lines,
        _ => false,
    }
}

fn check_version(path: &Path, event: &Event) -> Result<(), RunError> {
    match event {
        Event::Started(started) if started.version > EVENTS_VERSION => Err(RunError::TooNew {
            path: path.into(),
            version: started.version,
        }),
        _ => Ok(()),
    }
}
