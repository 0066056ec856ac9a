//! Stopped runs that were thrown away: they lie beside the memories until nobody can want them
//! back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::places::{Lock, Places, clear_thrown_away};
use super::{Result, Unfinished};
use crate::memory::disk::Disk;
use crate::memory::error::{MemoryError, shown};

/// The folder among memories that runs are thrown away into.
const TRASH: &str = ".discarded";

/// A run that was thrown away and can be had back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// The folder that its memory was to be in.
    pub folder: PathBuf,
    /// Where the run lies now.
    pub kept: PathBuf,
}

impl Unfinished {
    /// Moves the run out of the way, to where [`Discarded::restore`] finds it. Refused while it goes
    /// on.
    pub fn set_aside(self) -> Result<Discarded> {
        let places = Places::of(&self.folder)?;
        let _lock = Lock::take(&places)?;
        let disk = Disk::default();
        let parent = places.folder.parent().unwrap_or(Path::new("."));
        let trash = parent.join(TRASH);
        disk.create_folder(&trash)?;
        let name = places.writing.file_name().unwrap_or_default();
        let kept = trash.join(format!("{}-{}", now_millis(), name.to_string_lossy()));
        disk.rename(&places.writing, &kept)?;
        Ok(Discarded {
            folder: places.folder.clone(),
            kept,
        })
    }
}

impl Discarded {
    /// Puts the run back, so that it can go on. Refused where another one has taken its place.
    pub fn restore(&self) -> Result<()> {
        let places = Places::of(&self.folder)?;
        let _lock = Lock::take(&places)?;
        if places.writing.exists() || places.folder.exists() {
            return Err(MemoryError::InTheWay {
                path: shown(&places.folder),
                entry: "a newer run or memory".to_owned(),
                advice: "move it elsewhere to have the discarded run back",
            });
        }
        Disk::default().rename(&self.kept, &places.writing)
    }
}

/// Deletes the runs among these memories that were thrown away longer ago than this. Whatever else
/// lies there stays.
pub fn empty_trash(memories: &Path, after: Duration) {
    let Ok(entries) = fs::read_dir(memories.join(TRASH)) else {
        return;
    };
    let now = now_millis();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let since = name.to_str().and_then(|name| name.split('-').next());
        let Some(since) = since.and_then(|since| since.parse::<u128>().ok()) else {
            continue;
        };
        if now.saturating_sub(since) >= after.as_millis() {
            // What cannot be deleted now is tried again the next time.
            let _ = clear_thrown_away(&entry.path());
        }
    }
}

fn now_millis() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| d.as_millis())
}
