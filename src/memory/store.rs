//! The folder that a memory is kept in:
//!
//! ```text
//! memory.json      what was written, from which document, for which model, with which settings
//! document.txt     the document's text
//! tokens.bin       its tokens, little-endian u32: a method reads them again where nothing else spares it
//! events.jsonl     everything that happened while it was written
//! history.jsonl    the questions asked of it
//! segments/0000/   what was written of each part of the document: PEFT's files, and others
//! ```
//!
//! It is written in `<folder>.writing` and renamed into place: see [`MemoryWriter`].

mod checkpoint;
mod json;
mod places;
mod seal;
#[cfg(test)]
mod tests;
mod trash;
mod unfinished;
mod verify;
mod writer;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::error::{MemoryError, shown};
use super::fingerprint::hex;
use super::kind::{Content, StoredFile, StoredPart};
use super::peft;
use crate::model::config::ModelConfig;
use crate::words;
pub use checkpoint::StoredState;
use places::{DOCUMENT, EVENTS, HISTORY, Lock, MEMORY, Places, TOKENS};
use seal::Seal;
pub use trash::{Discarded, empty_trash};
pub use unfinished::Unfinished;
pub use verify::{CheckedFile, FileState};
pub use writer::{MemoryWriter, NewRun, Resumed};

/// The version of the format of `memory.json`.
pub const MEMORY_VERSION: u32 = 1;
const TOKEN_BYTES: u64 = 4;

type Result<T, E = MemoryError> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DocumentInfo {
    #[serde(deserialize_with = "words::name")]
    pub name: String,
    /// SHA-256 of the document's text, in hexadecimal.
    pub sha256: String,
    pub bytes: usize,
    pub tokens: usize,
    /// The pages that were read, as `write::document::Pages` writes them; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<String>,
}

impl DocumentInfo {
    pub fn new(name: &str, text: &str, tokens: usize) -> DocumentInfo {
        DocumentInfo {
            name: words::shown_line(name).into_owned(),
            sha256: hex(&Sha256::digest(text)),
            bytes: text.len(),
            tokens,
            pages: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    #[serde(deserialize_with = "words::name")]
    pub name: String,
    /// The model's fingerprint, as `memory::fingerprint` makes it.
    #[serde(deserialize_with = "words::name")]
    pub fingerprint: String,
    pub parameters: u64,
}

/// What a memory records of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredModel {
    #[serde(flatten)]
    pub info: ModelInfo,
    #[serde(deserialize_with = "words::name")]
    pub arch: String,
    pub layers: usize,
    pub hidden: usize,
    pub vocab: usize,
}

impl StoredModel {
    pub fn new(name: &str, fingerprint: &str, config: &ModelConfig) -> StoredModel {
        StoredModel {
            info: ModelInfo {
                name: words::shown_line(name).into_owned(),
                fingerprint: fingerprint.to_owned(),
                parameters: config.parameters(),
            },
            arch: config.arch.name().to_owned(),
            layers: config.layers,
            hidden: config.hidden,
            vocab: config.vocab,
        }
    }
}

impl fmt::Display for StoredModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.info.fingerprint.chars().take(12).collect();
        write!(
            f,
            "'{}' ({}, {} layers of {}, {short})",
            self.info.name, self.arch, self.layers, self.hidden
        )
    }
}

/// The contents of `memory.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryFile {
    pub version: u32,
    /// Name and version of the program that wrote the memory.
    pub program: String,
    /// Seconds since 1970.
    pub unix_secs: u64,
    pub model: StoredModel,
    pub document: DocumentInfo,
    /// The settings of the run, as `write::settings::WriteSettings` serialises them.
    pub settings: Value,
    pub segments: Vec<StoredSegment>,
    /// Where the model was when the memory was written, if it was named by its path. It is only a hint:
    /// what is found there is used if its fingerprint is the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_path: Option<PathBuf>,
    /// The files beside this one that do not change any more, but for the document, whose hash is
    /// with it; none in memories of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StoredFile>,
}

/// A part of the document with a memory of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredSegment {
    /// The part's range of the document's tokens.
    pub tokens: Range<usize>,
    /// Path of the part's folder within the memory's.
    pub folder: String,
    /// What the folder holds; empty in memories that hold PEFT files and nothing else.
    #[serde(default)]
    pub parts: Vec<StoredPart>,
}

impl StoredSegment {
    fn new(index: usize, tokens: Range<usize>) -> StoredSegment {
        StoredSegment {
            tokens,
            folder: segment_folder(index),
            parts: Vec::new(),
        }
    }

    /// What its writing left, without what can be made again.
    fn load_own(&self, memory: &Path, model: &ModelConfig) -> Result<Vec<Content>> {
        let folder = memory.join(&self.folder);
        if self.parts.is_empty() {
            return Ok(vec![peft::load(&folder, model)?]);
        }
        let own = self.parts.iter().filter(|part| !part.is_derived());
        own.map(|part| part.load(&folder, model)).collect()
    }
}

fn segment_folder(index: usize) -> String {
    format!("{}/{index:04}", places::SEGMENTS)
}

impl MemoryFile {
    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<String> {
        if self.segments.is_empty() {
            return Some("it has no segments".into());
        }
        let mut last = 0;
        for (i, segment) in self.segments.iter().enumerate() {
            let Range { start, end } = segment.tokens;
            if start < last || start >= end || end > self.document.tokens {
                return Some(format!("segment {i} has the tokens {start} to {end}"));
            }
            if segment.folder != segment_folder(i) {
                return Some(format!("segment {i} lies in '{}'", segment.folder));
            }
            last = start;
        }
        None
    }
}

/// A question that was asked of a memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(deserialize_with = "words::text")]
    pub question: String,
    #[serde(deserialize_with = "words::text")]
    pub answer: String,
    /// Mean log-probability of the answer's tokens in nats, where it was measured.
    #[serde(default)]
    pub log_prob: Option<f64>,
    pub seconds: f64,
    /// Seconds since 1970.
    pub unix_secs: u64,
    /// Whether the answer breaks off where it was cut, and not where the model ended it.
    #[serde(default)]
    pub cut: bool,
}

/// A memory that is finished.
#[derive(Clone, Debug)]
pub struct Memory {
    folder: PathBuf,
    pub file: MemoryFile,
    seal: Seal,
}

impl Memory {
    /// Opens a memory, and moves into place what a crash left next to it. Refused where its description
    /// was changed since it was written.
    pub fn open(folder: &Path) -> Result<Memory> {
        Memory::open_as_it_is(folder)?.unless_changed()
    }

    /// As [`Memory::open`], whatever was changed, to tell it: [`Memory::verify`].
    pub fn open_as_it_is(folder: &Path) -> Result<Memory> {
        let places = Places::of(folder)?;
        if places.has_leftovers() {
            let tidied = Lock::take(&places).and_then(|_lock| places.recover(&Disk::default()));
            // A memory in its place can be read whatever lies beside it.
            if !places.is_memory() {
                tidied?;
            }
        }
        if !places.is_memory() {
            return Err(places.missing());
        }
        Memory::read(places.folder).map_err(MemoryError::of_a_memory)
    }

    fn read(folder: PathBuf) -> Result<Memory> {
        let path = folder.join(MEMORY);
        let description = json::read_value(&path)?;
        let seal = Seal::of(&description);
        let file: MemoryFile = json::parse(&path, description)?;
        match file.fault() {
            Some(detail) => Err(MemoryError::file(&path, format!("is damaged: {detail}"))),
            None => Ok(Memory { folder, file, seal }),
        }
    }

    /// Refuses one whose description was changed.
    fn unless_changed(self) -> Result<Memory> {
        match self.seal {
            Seal::Broken => Err(MemoryError::Altered {
                path: shown(&self.folder.join(MEMORY)),
            }),
            Seal::Absent | Seal::Holds => Ok(self),
        }
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Bytes of what lies in its folder to spare the reading of the document.
    pub fn derived_bytes(&self) -> u64 {
        let parts = self.file.segments.iter().flat_map(|segment| &segment.parts);
        let derived = parts.filter(|part| part.is_derived());
        derived.map(|part| part.bytes()).sum()
    }

    /// The settings it was written with.
    pub fn settings<S: DeserializeOwned>(&self) -> Result<S> {
        S::deserialize(&self.file.settings).map_err(|e| {
            let path = self.folder.join(MEMORY);
            MemoryError::file(&path, format!("its settings cannot be understood: {e}"))
                .of_a_memory()
        })
    }

    /// Refuses every model but the one it was written for.
    pub fn check_model(&self, model: &StoredModel) -> Result<()> {
        let own = &self.file.model;
        if own.info.fingerprint == model.info.fingerprint {
            return Ok(());
        }
        Err(MemoryError::WrongModel {
            path: shown(&self.folder),
            written_for: own.to_string(),
            given: model.to_string(),
        })
    }

    /// All that a segment's writing left; what can be made again may be missing.
    pub fn load(&self, segment: usize, model: &ModelConfig) -> Result<Vec<Content>> {
        let mut contents = self.load_own(segment, model)?;
        contents.extend(self.load_derived(segment, model).0);
        Ok(contents)
    }

    /// What a segment's writing left, without what can be made again.
    pub fn load_own(&self, segment: usize, model: &ModelConfig) -> Result<Vec<Content>> {
        let Some(found) = self.file.segments.get(segment) else {
            let detail = format!("has no segment {segment}");
            return Err(MemoryError::file(&self.folder, detail));
        };
        let loaded = found.load_own(&self.folder, model);
        loaded.map_err(MemoryError::of_a_memory)
    }

    /// What is kept of a segment though it can be made again, and what is wrong with the rest of it.
    pub fn load_derived(
        &self,
        segment: usize,
        model: &ModelConfig,
    ) -> (Vec<Content>, Vec<MemoryError>) {
        let (mut contents, mut damaged) = (Vec::new(), Vec::new());
        if let Some(found) = self.file.segments.get(segment) {
            let folder = self.folder.join(&found.folder);
            for part in found.parts.iter().filter(|part| part.is_derived()) {
                match part.load(&folder, model) {
                    Ok(content) => contents.push(content),
                    Err(error) => damaged.push(error),
                }
            }
        }
        (contents, damaged)
    }

    /// Files of what can be made again that are missing or of another length: a sentence each.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for segment in &self.file.segments {
            let folder = self.folder.join(&segment.folder);
            let derived = segment.parts.iter().filter(|part| part.is_derived());
            for file in derived.flat_map(|part| &part.files) {
                if let Err(error) = file.check_length(&folder) {
                    missing.push(error.to_string());
                }
            }
        }
        missing
    }

    /// The document's text.
    pub fn document(&self) -> Result<String> {
        let path = self.folder.join(DOCUMENT);
        let bytes = read_exactly(&path, self.file.document.bytes as u64)?;
        if hex(&Sha256::digest(&bytes)) != self.file.document.sha256 {
            let detail = "is not the document that was written: it was changed";
            return Err(MemoryError::file(&path, detail).of_a_memory());
        }
        String::from_utf8(bytes).map_err(|_| MemoryError::file(&path, "is not UTF-8"))
    }

    /// What was changed since it was written though no answer depends on it: a sentence each.
    pub fn changed(&self) -> Vec<String> {
        let document = StoredFile {
            name: DOCUMENT.to_owned(),
            bytes: self.file.document.bytes as u64,
            sha256: self.file.document.sha256.clone(),
        };
        let events = self.file.files.iter().filter(|file| file.name == EVENTS);
        let checked = events
            .chain([&document])
            .map(|file| file.check(&self.folder));
        checked
            .filter_map(|found| Some(found.err()?.to_string()))
            .collect()
    }

    /// The document's tokens, as they were written and each within the model's vocabulary.
    pub fn tokens(&self) -> Result<Vec<u32>> {
        let path = self.folder.join(TOKENS);
        let length = TOKEN_BYTES.saturating_mul(self.file.document.tokens as u64);
        let bytes = read_exactly(&path, length).map_err(MemoryError::of_a_memory)?;
        let (chunks, _) = bytes.as_chunks::<{ TOKEN_BYTES as usize }>();
        let tokens: Vec<u32> = chunks.iter().map(|c| u32::from_le_bytes(*c)).collect();
        let beyond = |token: &&u32| **token as usize >= self.file.model.vocab;
        if let Some(token) = tokens.iter().find(beyond) {
            let detail = format!("is damaged: it holds the token {token}");
            return Err(MemoryError::file(&path, detail).of_a_memory());
        }
        if let Some(file) = self.file.files.iter().find(|file| file.name == TOKENS) {
            let checked = file.check_bytes(&path, &bytes);
            checked.map_err(MemoryError::of_a_memory)?;
        }
        Ok(tokens)
    }

    /// What happened while it was written.
    pub fn events<E: DeserializeOwned>(&self) -> Result<Vec<E>> {
        json::read_lines(&self.folder.join(EVENTS)).map_err(MemoryError::of_a_memory)
    }

    /// The questions asked of it, the first one first.
    pub fn history(&self) -> Result<Vec<Asked>> {
        let path = self.folder.join(HISTORY);
        if !path.exists() {
            return Ok(Vec::new());
        }
        json::read_good_lines(&path)
    }

    /// Adds a question to the history.
    pub fn remember(&self, asked: &Asked) -> Result<()> {
        let path = self.folder.join(HISTORY);
        let line = json::line(&path, asked)?;
        let append = || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(&path)?;
            // A line that a crash left half-written is ended first.
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let start: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
            file.write_all(&[start, &line].concat())
        };
        append().map_err(|e| MemoryError::io(&path, "written", e))
    }
}

/// A file that must have this length, which is checked before anything is read.
fn read_exactly(path: &Path, length: u64) -> Result<Vec<u8>> {
    let meta = fs::metadata(path).map_err(|e| MemoryError::io(path, "read", e))?;
    if !meta.is_file() || meta.len() != length {
        let detail = format!(
            "is damaged: it has {} bytes and should have {length}",
            meta.len()
        );
        return Err(MemoryError::file(path, detail));
    }
    fs::read(path).map_err(|e| MemoryError::io(path, "read", e))
}
