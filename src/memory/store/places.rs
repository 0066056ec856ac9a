//! Where a memory and what becomes one lie, who may write there, and how the one becomes the
//! other.
//!
//! Beside `<folder>` there may be `<folder>.writing` (a run that goes on or was stopped; a whole
//! memory once it holds `memory.json`), `<folder>.replaced` (the memory that was there before, for
//! the moment of the exchange) and `<folder>.lock`.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{MemoryFile, Result, StoredSegment, checkpoint, json};
use crate::memory::disk::{Disk, PARTIAL};
use crate::memory::error::{MemoryError, shown};
use crate::memory::kind;

pub const MEMORY: &str = "memory.json";
pub const RUN: &str = "run.json";
pub const DOCUMENT: &str = "document.txt";
pub const TOKENS: &str = "tokens.bin";
pub const EVENTS: &str = "events.jsonl";
pub const HISTORY: &str = "history.jsonl";
pub const CHECKPOINT: &str = "checkpoint.bin";
pub const SEGMENTS: &str = "segments";

/// Files that may be removed with a memory: its own, and one that file managers leave.
const OWN_FILES: [&str; 8] = [
    MEMORY,
    RUN,
    DOCUMENT,
    TOKENS,
    EVENTS,
    HISTORY,
    CHECKPOINT,
    ".DS_Store",
];
const ELSEWHERE: &str = "move it elsewhere and try again";

#[derive(Clone, Debug)]
pub struct Places {
    pub folder: PathBuf,
    pub writing: PathBuf,
    replaced: PathBuf,
    lock: PathBuf,
}

impl Places {
    pub fn of(folder: &Path) -> Result<Places> {
        // What lies beside a link would lie in the wrong place, and '.' has no name.
        let folder = if folder.is_symlink() || folder.file_name().is_none() {
            fs::canonicalize(folder).map_err(|e| MemoryError::io(folder, "opened", e))?
        } else {
            // Without a slash at its end.
            folder.components().collect()
        };
        let Some(name) = folder.file_name() else {
            let detail = "a memory needs a folder with a name of its own, such as 'notes.memory'";
            return Err(MemoryError::not_a_memory(&folder, detail));
        };
        let beside = |suffix: &str| {
            let mut name = name.to_owned();
            name.push(suffix);
            folder.with_file_name(name)
        };
        Ok(Places {
            writing: beside(".writing"),
            replaced: beside(".replaced"),
            lock: beside(".lock"),
            folder,
        })
    }

    pub fn is_memory(&self) -> bool {
        holds_memory(&self.folder)
    }

    /// Whether a crash left something to tidy up: [`Places::recover`].
    pub fn has_leftovers(&self) -> bool {
        holds_memory(&self.writing) || holds_memory(&self.replaced)
    }

    /// Why there is no memory to open.
    pub fn missing(&self) -> MemoryError {
        if self.writing.join(RUN).is_file() {
            return MemoryError::NotFinished {
                path: shown(&self.folder),
            };
        }
        match fs::metadata(&self.folder) {
            Err(e) => MemoryError::io(&self.folder, "opened", e),
            Ok(meta) if meta.is_dir() => {
                MemoryError::not_a_memory(&self.folder, "the folder has no memory.json")
            }
            Ok(_) => MemoryError::not_a_memory(&self.folder, "a memory is a folder"),
        }
    }

    /// Refuses a folder that holds anything but a memory.
    pub fn check_target(&self) -> Result<()> {
        let Ok(meta) = fs::metadata(&self.folder) else {
            return Ok(());
        };
        if !meta.is_dir() {
            let detail = "a file of this name is there; choose another name for the memory";
            return Err(MemoryError::not_a_memory(&self.folder, detail));
        }
        let advice = if self.is_memory() {
            "move it elsewhere, so that the memory can be replaced"
        } else {
            "choose another folder for the memory"
        };
        match foreign(&self.folder)? {
            Some(entry) => Err(in_the_way(&self.folder, entry, advice)),
            None => Ok(()),
        }
    }

    /// Removes what is ours of a run that left nothing worth keeping.
    pub fn clear_writing(&self, disk: &Disk) -> Result<()> {
        remove_own(disk, &self.writing)
    }

    /// Ends what a crash interrupted: afterwards the newest whole memory is in its place. The
    /// caller holds the lock.
    pub fn recover(&self, disk: &Disk) -> Result<()> {
        if holds_memory(&self.writing) {
            return self.publish(disk);
        }
        if holds_memory(&self.replaced) && !self.folder.exists() {
            return disk.rename(&self.replaced, &self.folder);
        }
        if self.is_memory() {
            self.remove_replaced(disk)
        } else {
            Ok(())
        }
    }

    /// Puts a whole memory from beside into its place. The one that was there stays until then. The
    /// caller holds the lock.
    pub fn publish(&self, disk: &Disk) -> Result<()> {
        self.check_target()?;
        disk.remove_file(&self.writing.join(CHECKPOINT))?;
        disk.remove_file(&self.writing.join(RUN))?;
        disk.sync_folder(Some(&self.writing))?;
        if self.folder.exists() {
            self.remove_replaced(disk)?;
            disk.rename(&self.folder, &self.replaced)?;
        }
        disk.rename(&self.writing, &self.folder)?;
        disk.sync_folder(self.folder.parent())?;
        self.remove_replaced(disk)
    }

    /// Removes the memory that was there before; nothing that somebody else calls so.
    fn remove_replaced(&self, disk: &Disk) -> Result<()> {
        if holds_memory(&self.replaced) || disk.remove_empty_folder(&self.replaced)? {
            return remove_own(disk, &self.replaced);
        }
        let first = entries(&self.replaced)?.into_iter().next();
        let entry = first.map_or_else(String::new, |e| e.name.to_string_lossy().into_owned());
        Err(in_the_way(&self.replaced, entry, ELSEWHERE))
    }
}

fn holds_memory(folder: &Path) -> bool {
    folder.join(MEMORY).is_file()
}

fn in_the_way(path: &Path, entry: String, advice: &'static str) -> MemoryError {
    MemoryError::InTheWay {
        path: shown(path),
        entry,
        advice,
    }
}

/// Whether a name is one of these, or one of these half-written.
fn is_own<S: AsRef<str>>(name: &OsStr, own: &[S]) -> bool {
    let name = name.to_str().unwrap_or_default();
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    own.iter().any(|own| own.as_ref() == name)
}

fn is_segment(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    name.len() >= 4 && name.bytes().all(|b| b.is_ascii_digit())
}

struct Entry {
    path: PathBuf,
    name: std::ffi::OsString,
    is_folder: bool,
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let list = || -> io::Result<Vec<Entry>> {
        fs::read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry {
                    path: entry.path(),
                    name: entry.file_name(),
                    // Not of what a link points to.
                    is_folder: entry.file_type()?.is_dir(),
                })
            })
            .collect()
    };
    match list() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| MemoryError::io(folder, "listed", e)),
    }
}

/// Names that files of a segment may have: those of the known kinds, and those that the memory
/// itself lists, whose kinds another program may know. An unfinished one lists them in its checkpoint.
fn segment_files(folder: &Path) -> Vec<String> {
    let known = kind::all().into_iter().flat_map(|loader| loader.files);
    let mut names: Vec<String> = known.map(|name| (*name).to_owned()).collect();
    names.push(".DS_Store".to_owned());
    for description in [MEMORY, RUN] {
        let file = json::read::<MemoryFile>(&folder.join(description));
        names.extend(listed(file.map(|file| file.segments).unwrap_or_default()));
    }
    names.extend(listed(checkpoint::segments(&folder.join(CHECKPOINT))));
    names
}

/// Names of the files that segments list.
fn listed(segments: Vec<StoredSegment>) -> impl Iterator<Item = String> {
    let parts = segments.into_iter().flat_map(|segment| segment.parts);
    parts.flat_map(|part| part.files).map(|file| file.name)
}

/// The files of a memory's folder, and its inner folders, those inside first. `Err` of the inner
/// result names something that is no part of a memory.
fn own_entries(folder: &Path) -> Result<Result<Vec<Entry>, String>> {
    let mut own = Vec::new();
    let of_segments = segment_files(folder);
    for entry in entries(folder)? {
        if entry.is_folder && entry.name == SEGMENTS {
            for segment in entries(&entry.path)? {
                let shown = |name: &OsStr| format!("{SEGMENTS}/{}", name.to_string_lossy());
                if !segment.is_folder || !is_segment(&segment.name) {
                    return Ok(Err(shown(&segment.name)));
                }
                for file in entries(&segment.path)? {
                    if file.is_folder || !is_own(&file.name, &of_segments) {
                        let name = file.name.to_string_lossy();
                        return Ok(Err(format!("{}/{name}", shown(&segment.name))));
                    }
                    own.push(file);
                }
                own.push(segment);
            }
        } else if entry.is_folder || !is_own(&entry.name, &OWN_FILES) {
            return Ok(Err(entry.name.to_string_lossy().into_owned()));
        }
        own.push(entry);
    }
    Ok(Ok(own))
}

/// Something in a folder that is no part of a memory.
fn foreign(folder: &Path) -> Result<Option<String>> {
    Ok(own_entries(folder)?.err())
}

/// Removes a memory's folder; nothing of it where it holds anything else.
fn remove_own(disk: &Disk, folder: &Path) -> Result<()> {
    match own_entries(folder)? {
        Err(entry) => Err(in_the_way(folder, entry, ELSEWHERE)),
        Ok(mut own) => {
            // While it is there, the folder is known for a memory.
            own.sort_by_key(|entry| entry.name == MEMORY);
            for entry in own {
                if entry.is_folder {
                    disk.remove_empty_folder(&entry.path)?;
                } else {
                    disk.remove_file(&entry.path)?;
                }
            }
            if disk.remove_empty_folder(folder)? {
                Ok(())
            } else {
                Err(in_the_way(folder, "a new file".into(), ELSEWHERE))
            }
        }
    }
}

/// Removes the folder of a run that was thrown away; nothing of it where it holds anything else.
pub fn clear_thrown_away(folder: &Path) -> Result<()> {
    remove_own(&Disk::default(), folder)
}

/// Keeps other runs from the same memory until it is dropped, or the program ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    pub fn take(places: &Places) -> Result<Lock> {
        let path = &places.lock;
        let failed = |e| MemoryError::io(path, "locked", e);
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = options.open(path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(MemoryError::Locked {
                        path: shown(&places.folder),
                    });
                }
                // Some network disks cannot: there a person has to see to it.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            // Another run may have removed the file between its opening and its locking.
            if is_same(&file, path) {
                return Ok(Lock {
                    path: path.clone(),
                    file,
                });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked, so that nobody locks a file that is about to go. If either
        // fails, an unlocked file is left, which does no harm.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Elsewhere an open file keeps its name.
#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
}
