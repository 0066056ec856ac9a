//! Files that a verb is to write: what is there already is not lost by accident.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use inscribe::memory::leads_nowhere;

/// Refuses a file that cannot be written, or that would be lost.
pub fn check_file(path: &Path, replace: bool) -> Result<()> {
    let shown = path.display();
    check_outside_memories(path)?;
    if let Some(why) = leads_nowhere(path) {
        bail!("{shown}: {why}");
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => bail!("{shown}: is a folder; name a file"),
        Ok(there) if !there.is_file() => bail!("{shown}: is no plain file; choose another name"),
        Ok(_) if !replace => {
            bail!("{shown}: is there already; choose another name, or --replace it")
        }
        Ok(_) => Ok(()),
        Err(_) => check_above(path),
    }
}

/// Refuses a place in a folder that is not there.
pub fn check_above(path: &Path) -> Result<()> {
    check_outside_memories(path)?;
    let folder = folder_of(path);
    if !folder.is_dir() {
        bail!("{}: no such folder; make it first", folder.display());
    }
    Ok(())
}

/// Refuses a place within a memory: what lies there that is no part of it is in its way later.
fn check_outside_memories(path: &Path) -> Result<()> {
    if memory_above(folder_of(path)).is_some() {
        bail!("{}: lies in a memory; choose another place", path.display());
    }
    Ok(())
}

/// The memory, finished or not, that a folder is or lies in.
pub fn memory_above(folder: &Path) -> Option<PathBuf> {
    let is_memory = |folder: &&Path| {
        let described = ["memory.json", "run.json"].map(|name| folder.join(name).is_file());
        described.contains(&true) && folder.join("tokens.bin").is_file()
    };
    let above = fs::canonicalize(folder).ok()?;
    above.ancestors().find(is_memory).map(Path::to_owned)
}

/// Whether a file starts with these bytes.
pub fn starts_with(path: &Path, magic: &[u8]) -> bool {
    let mut start = vec![0; magic.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == magic
}

/// Whether both name the same place; the first need not exist yet.
pub fn lies_within(path: &Path, folder: &Path) -> bool {
    let (Ok(above), Ok(folder)) = (fs::canonicalize(folder_of(path)), fs::canonicalize(folder))
    else {
        return false;
    };
    let whole = path.file_name().map(|name| above.join(name));
    whole.is_some_and(|whole| whole.starts_with(folder))
}

/// A file that is there is replaced whole or left as it is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less what the user's umask takes away, as for any new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let written = builder.tempfile_in(folder_of(path)).and_then(|mut file| {
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    });
    written
        .map_err(advice)
        .with_context(|| format!("{}: cannot be written", path.display()))
}

/// What to do about what the system refused, without the name of the file in between.
fn advice(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            anyhow::anyhow!("no space is left; free some and try again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            anyhow::anyhow!("permission denied; choose a folder you may write to")
        }
        _ => error.into(),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
