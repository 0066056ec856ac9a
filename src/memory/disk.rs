//! Writing files so that a crash leaves the old one or the new one, never half of one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{MemoryError, shown};

/// Ending of a file's name while it is being written.
pub(crate) const PARTIAL: &str = ".partial";

type Result<T, E = MemoryError> = std::result::Result<T, E>;

/// What to say of a path that is a symbolic link to nothing.
pub fn leads_nowhere(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let is_gone = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    is_gone.then(|| {
        format!(
            "is a symbolic link to '{}', which does not exist; make that first, or remove the link",
            shown(&target)
        )
    })
}

/// Everything that changes files goes through here, so that tests can stop it at any point.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    faults: Option<faults::Faults>,
}

impl Disk {
    /// Writes a file whole: under another name next to its place, made safe, then renamed.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_with(path, |out| out.write_all(bytes))
    }

    /// As [`Disk::write`], piece by piece.
    pub fn write_with(
        &self,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let partial = partial(path);
        let written = self
            .write_to(&partial, write)
            .map_err(|e| MemoryError::io(path, "written", e))
            .and_then(|()| self.rename(&partial, path));
        if written.is_err() {
            // The failure is reported; that half a file remains cannot be helped then.
            let _ = self.remove_file(&partial);
        }
        written?;
        self.sync_folder(path.parent())
    }

    fn write_to(
        &self,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.step()?;
        let file = File::create(path)?;
        write(&mut Stepping {
            disk: self,
            file: &file,
        })?;
        self.step()?;
        sync_all(&file)
    }

    /// Adds to the end of an open file.
    pub fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        self.step()
            .and_then(|()| file.write_all(bytes))
            .map_err(|e| MemoryError::io(path, "written", e))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.step()
            .and_then(|()| fs::rename(from, to))
            .map_err(|e| MemoryError::io(from, "renamed", e))
    }

    pub fn create_folder(&self, path: &Path) -> Result<()> {
        self.step()
            .and_then(|()| fs::create_dir_all(path))
            .map_err(|e| MemoryError::io(path, "made", e))
    }

    /// Removes a file where there is one.
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        let removed = self.step().and_then(|()| fs::remove_file(path));
        found(removed).map_err(|e| MemoryError::io(path, "removed", e))
    }

    /// Removes a folder if nothing is left in it. Says whether it is gone.
    pub fn remove_empty_folder(&self, path: &Path) -> Result<bool> {
        match found(self.step().and_then(|()| fs::remove_dir(path))) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(MemoryError::io(path, "removed", e)),
        }
    }

    /// Makes a folder's names safe. Only Unix can, and only there it is needed.
    pub fn sync_folder(&self, folder: Option<&Path>) -> Result<()> {
        let folder = match folder {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Ok(()),
        };
        let sync = || {
            self.step()?;
            if cfg!(unix) {
                sync_all(&File::open(folder)?)?;
            }
            Ok(())
        };
        sync().map_err(|e| MemoryError::io(folder, "made safe", e))
    }

    pub fn sync(&self, file: &File, path: &Path) -> Result<()> {
        self.step()
            .and_then(|()| sync_all(file))
            .map_err(|e| MemoryError::io(path, "made safe", e))
    }

    #[cfg(not(test))]
    #[inline]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), faults::Faults::step)
    }
}

/// A file whose every piece may be stopped in its middle.
struct Stepping<'a> {
    disk: &'a Disk,
    file: &'a File,
}

impl Write for Stepping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for half in [first, second] {
            self.disk.step()?;
            self.file.write_all(half)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a file or a folder is made before it comes to its place.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    PathBuf::from(name)
}

/// Waits until the disk has it: takes milliseconds, and there are thousands in the tests, whose
/// crashes are of the program and not of the machine.
fn sync_all(file: &File) -> io::Result<()> {
    if cfg!(test) {
        return Ok(());
    }
    file.sync_all()
}

/// What is gone already need not be removed.
fn found(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io;
    use std::rc::Rc;

    use super::Disk;

    /// Lets some steps through and fails the next, or every later one, as a killed program does.
    #[derive(Clone)]
    pub struct Faults {
        left: Rc<Cell<usize>>,
        kind: io::ErrorKind,
        /// What follows the failure goes well: a full disk lets files be removed.
        once: bool,
    }

    impl Faults {
        pub fn step(&self) -> io::Result<()> {
            match self.left.get() {
                0 => {
                    if self.once {
                        self.left.set(usize::MAX);
                    }
                    Err(self.kind.into())
                }
                left => {
                    self.left.set(left - 1);
                    Ok(())
                }
            }
        }
    }

    impl Disk {
        pub fn failing_after(steps: usize, kind: io::ErrorKind) -> Disk {
            Disk::failing(steps, kind, false)
        }

        pub fn failing_once_after(steps: usize, kind: io::ErrorKind) -> Disk {
            Disk::failing(steps, kind, true)
        }

        fn failing(steps: usize, kind: io::ErrorKind, once: bool) -> Disk {
            let left = Rc::new(Cell::new(steps));
            Disk {
                faults: Some(Faults { left, kind, once }),
            }
        }
    }
}
