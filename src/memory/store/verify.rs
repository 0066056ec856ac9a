//! Whether a memory's files are as they were written.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::places::{DOCUMENT, EVENTS, HISTORY, MEMORY, TOKENS};
use super::seal::Seal;
use super::{Memory, MemoryError};

const CHANGED: &str = "its own hash does not hold";

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Its hash is the one that was recorded.
    Whole,
    /// Nothing was recorded to hold it against; it can be read.
    Unrecorded,
    /// It can be made again, and it is missing or damaged: why.
    MadeAgain(String),
    /// It is not there.
    Missing,
    /// It is not what was written, or cannot be read: why.
    Damaged(String),
}

impl FileState {
    /// Whether the memory is not what was written.
    pub fn is_bad(&self) -> bool {
        matches!(self, FileState::Missing | FileState::Damaged(_))
    }
}

/// A file of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedFile {
    /// Its path within the memory's folder, with `/` between the names.
    pub name: String,
    /// Its length in bytes; 0 where it is missing.
    pub bytes: u64,
    /// Whether it is as it was written.
    pub state: FileState,
}

impl Memory {
    /// Reads all files and holds them against what was recorded of them.
    pub fn verify(&self) -> Vec<CheckedFile> {
        let mut files = vec![
            self.checked(MEMORY, self.of_its_own()),
            self.checked(DOCUMENT, of(self.document(), FileState::Whole)),
            self.checked(TOKENS, of(self.tokens(), self.recorded(TOKENS))),
        ];
        for name in [EVENTS, HISTORY] {
            if self.is_listed(name) || self.path().join(name).exists() {
                files.push(self.checked(name, self.recorded(name)));
            }
        }
        for segment in &self.file.segments {
            let folder = self.path().join(&segment.folder);
            for part in &segment.parts {
                for file in &part.files {
                    let state = match file.check(&folder) {
                        Ok(()) => FileState::Whole,
                        Err(error) if part.is_derived() => FileState::MadeAgain(why(error)),
                        Err(error) => FileState::Damaged(why(error)),
                    };
                    files.push(self.checked(&format!("{}/{}", segment.folder, file.name), state));
                }
            }
            if segment.parts.is_empty() {
                files.extend(self.unrecorded(&segment.folder, &folder));
            }
        }
        files
    }

    fn of_its_own(&self) -> FileState {
        match self.seal {
            Seal::Absent => FileState::Unrecorded,
            Seal::Holds => FileState::Whole,
            Seal::Broken => FileState::Damaged(CHANGED.to_owned()),
        }
    }

    fn is_listed(&self, name: &str) -> bool {
        self.file.files.iter().any(|file| file.name == name)
    }

    /// Whether a file beside `memory.json` is as that one lists it.
    fn recorded(&self, name: &str) -> FileState {
        match self.file.files.iter().find(|file| file.name == name) {
            None => FileState::Unrecorded,
            Some(file) => of(file.check(self.path()), FileState::Whole),
        }
    }

    fn checked(&self, name: &str, state: FileState) -> CheckedFile {
        let meta = fs::metadata(self.path().join(name));
        let is_missing = matches!(&meta, Err(error) if error.kind() == ErrorKind::NotFound);
        CheckedFile {
            name: name.to_owned(),
            bytes: meta.map_or(0, |meta| meta.len()),
            state: match state {
                FileState::Damaged(_) if is_missing => FileState::Missing,
                other => other,
            },
        }
    }

    /// The files of a segment whose memory was written before files were recorded.
    fn unrecorded(&self, within: &str, folder: &Path) -> Vec<CheckedFile> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let checked = names
            .iter()
            .map(|name| self.checked(&format!("{within}/{name}"), FileState::Unrecorded));
        checked.collect()
    }
}

fn of<T>(read: Result<T, MemoryError>, whole: FileState) -> FileState {
    match read {
        Ok(_) => whole,
        Err(error) => FileState::Damaged(why(error)),
    }
}

/// What is wrong, without the file's path.
fn why(error: MemoryError) -> String {
    match error {
        MemoryError::File { detail, .. } => detail,
        other => other.to_string(),
    }
}
