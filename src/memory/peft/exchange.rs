//! A folder that comes to its place whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CONFIG, Result, WEIGHTS};
use crate::memory::disk::{self, Disk};
use crate::memory::error::{MemoryError, shown};

/// Files of an adapter's folder, and one that file managers leave.
const OWN_FILES: [&str; 3] = [CONFIG, WEIGHTS, ".DS_Store"];

/// Lets `write` make a folder beside its place and renames it there. What was there before is gone
/// afterwards; on any failure it is there still.
pub(super) fn exchange(
    disk: &Disk,
    folder: &Path,
    write: impl FnOnce(&Disk, &Path) -> Result<()>,
) -> Result<()> {
    // Without a slash at its end, which would name something within.
    let folder: PathBuf = folder.components().collect();
    let beside = disk::partial(&folder);
    let there = folder.exists();
    if there {
        check_adapter_folder(&folder)?;
    }
    remove_adapter(disk, &beside)?;
    let written = write(disk, &beside).and_then(|()| {
        if there {
            let old = disk::partial(&beside);
            remove_adapter(disk, &old)?;
            disk.rename(&folder, &old)?;
            if let Err(error) = disk.rename(&beside, &folder) {
                disk.rename(&old, &folder)?;
                return Err(error);
            }
            // The new one is in place; that the old one cannot be removed is no reason to refuse
            // it.
            let _ = remove_adapter(disk, &old);
            Ok(())
        } else {
            disk.rename(&beside, &folder)
        }
    });
    if written.is_err() {
        // The failure is reported.
        let _ = remove_adapter(disk, &beside);
    }
    written?;
    disk.sync_folder(folder.parent())
}

/// Refuses a folder that holds anything but an adapter.
fn check_adapter_folder(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| MemoryError::io(folder, "listed", e))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !OWN_FILES.iter().any(|own| name == *own) {
            return Err(MemoryError::InTheWay {
                path: shown(folder),
                entry: name.to_string_lossy().into_owned(),
                advice: "choose another folder",
            });
        }
    }
    Ok(())
}

/// Removes what [`save_on`] writes, and the folder if nothing is left in it.
fn remove_adapter(disk: &Disk, folder: &Path) -> Result<()> {
    for name in OWN_FILES {
        let path = folder.join(name);
        disk.remove_file(&disk::partial(&path))?;
        disk.remove_file(&path)?;
    }
    disk.remove_empty_folder(folder).map(|_| ())
}
