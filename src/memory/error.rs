//! What can be wrong with a memory's files.

use std::io;
use std::path::Path;

use thiserror::Error;

use super::disk::leads_nowhere;
use crate::advice::Advice;
use crate::model::error::{ModelError, printable};

/// An error of the memory layer. Each is one line that says what to do.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// A file is damaged, or asks for something that Inscribe does not do.
    #[error("{path}: {detail}")]
    File { path: String, detail: String },
    #[error("{path}: {}{advice}", cannot_be(doing, source))]
    Io {
        path: String,
        /// What could not be done to the file: "written", "renamed"...
        doing: &'static str,
        advice: String,
        /// What the system said, which the message says in other words.
        source: io::Error,
    },
    #[error("{path}: is no memory: {detail}")]
    NotAMemory { path: String, detail: String },
    #[error("{path}: is of format {found}, and this program knows up to {known}; update it")]
    Version {
        path: String,
        found: u64,
        known: u32,
    },
    #[error(
        "{path}: was written for {written_for}, and the model given is {given}; pass the model it was written for, or write the document again"
    )]
    WrongModel {
        path: String,
        written_for: String,
        given: String,
    },
    /// What a memory says of itself does not fit the hash in it.
    #[error(
        "{path}: was changed since it was written, so the memory may not be what was learned; put the file back from a copy, or write the document again"
    )]
    Altered { path: String },
    /// The memory was opened before its run had ended.
    #[error("{path}: is no memory: its writing was not finished")]
    NotFinished { path: String },
    #[error("{path}: holds an unfinished run (step {step})")]
    Unfinished { path: String, step: usize },
    #[error("{path}: holds no unfinished run to go on with")]
    NothingToResume { path: String },
    #[error(
        "{path}: the unfinished run is another one: {differences}; give what it was started with, or delete that folder to start again"
    )]
    Differs { path: String, differences: String },
    #[error("{path}: is being written by another run of this program; wait for it or stop it")]
    Locked { path: String },
    #[error("{path}: holds '{entry}', which is no part of a memory; {advice}")]
    InTheWay {
        path: String,
        entry: String,
        advice: &'static str,
    },
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What could not be done, where that is not plain from the reason.
fn cannot_be(doing: &str, reason: &io::Error) -> String {
    match reason.kind() {
        io::ErrorKind::NotFound => String::new(),
        _ => format!("cannot be {doing}: "),
    }
}

impl MemoryError {
    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            MemoryError::NotFinished { .. } => Some(Advice::GoOn),
            MemoryError::Unfinished { .. } => Some(Advice::GoOnOrStartAgain),
            MemoryError::NothingToResume { .. } => Some(Advice::StartNew),
            MemoryError::Model(error) => error.advice(),
            _ => None,
        }
    }

    /// Something wrong with a file, which `detail` says.
    pub fn file(path: &Path, detail: impl AsRef<str>) -> Self {
        MemoryError::File {
            path: shown(path),
            detail: printable(detail.as_ref()),
        }
    }

    /// As it is said of a file of a finished memory.
    pub(crate) fn of_a_memory(self) -> Self {
        match self {
            MemoryError::File { path, detail } => MemoryError::File {
                path,
                detail: format!("{detail}; put the file back, or write the document again"),
            },
            other => other,
        }
    }

    pub(crate) fn not_a_memory(path: &Path, detail: impl AsRef<str>) -> Self {
        MemoryError::NotAMemory {
            path: shown(path),
            detail: printable(detail.as_ref()),
        }
    }

    /// What the system refused, and what to do about it.
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => "no space is left; free some and try again".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; choose a folder you may write to".to_owned()
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the disk is read-only; choose another folder".to_owned()
            }
            io::ErrorKind::NotFound => {
                leads_nowhere(path).unwrap_or_else(|| "does not exist; check the path".to_owned())
            }
            _ => source.to_string(),
        };
        MemoryError::Io {
            path: shown(path),
            doing,
            advice,
            source,
        }
    }
}

/// A path for one line of a terminal.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
