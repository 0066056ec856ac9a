//! Runs that were stopped: what they were writing, and how to be rid of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::places::{CHECKPOINT, DOCUMENT, EVENTS, Lock, Places, RUN};
use super::{MemoryFile, Result, json, read_exactly};
use crate::memory::disk::Disk;
use crate::memory::error::MemoryError;
use crate::memory::fingerprint::hex;

/// A run that has not reached its end.
#[derive(Debug)]
pub struct Unfinished {
    /// The folder that its memory is to be in.
    pub folder: PathBuf,
    /// What `memory.json` will say once the run has ended.
    pub file: MemoryFile,
    writing: PathBuf,
}

impl Unfinished {
    /// The run that was to write a memory at `folder`, if there is one.
    pub fn open(folder: &Path) -> Result<Option<Unfinished>> {
        let places = Places::of(folder)?;
        let run = places.writing.join(RUN);
        if !run.is_file() || places.has_leftovers() {
            return Ok(None);
        }
        Ok(Some(Unfinished {
            file: json::read(&run)?,
            folder: places.folder,
            writing: places.writing,
        }))
    }

    /// Those within a folder of memories that can be read, by name.
    pub fn list(parent: &Path) -> Vec<Unfinished> {
        let Ok(entries) = fs::read_dir(parent) else {
            return Vec::new();
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some(parent.join(name.strip_suffix(".writing")?))
        });
        let mut folders: Vec<PathBuf> = names.collect();
        folders.sort();
        let found = folders.iter().map(|folder| Unfinished::open(folder));
        found.filter_map(|found| found.ok().flatten()).collect()
    }

    /// The document's text.
    pub fn document(&self) -> Result<String> {
        let path = self.writing.join(DOCUMENT);
        let bytes = read_exactly(&path, self.file.document.bytes as u64)?;
        if hex(&Sha256::digest(&bytes)) != self.file.document.sha256 {
            let detail = "is not the document that was being written: it was changed";
            return Err(MemoryError::file(&path, detail));
        }
        String::from_utf8(bytes).map_err(|_| MemoryError::file(&path, "is not UTF-8"))
    }

    /// Whether it reached a checkpoint to go on from.
    pub fn has_checkpoint(&self) -> bool {
        self.writing.join(CHECKPOINT).is_file()
    }

    /// What happened so far; steps after the last checkpoint among it will be taken again.
    pub fn events<E: DeserializeOwned>(&self) -> Result<Vec<E>> {
        json::read_good_lines(&self.writing.join(EVENTS))
    }

    /// Deletes what it has written so far. Refused while the run goes on.
    pub fn discard(self) -> Result<()> {
        let places = Places::of(&self.folder)?;
        let _lock = Lock::take(&places)?;
        places.clear_writing(&Disk::default())
    }
}
