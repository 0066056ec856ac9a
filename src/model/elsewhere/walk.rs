//! Walks through folders that others have made: nothing about them is believed, and what it costs
//! is bounded.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a look around may cost.
pub struct Budget {
    until: Instant,
    entries: usize,
    spent: bool,
}

impl Budget {
    pub fn new(time: Duration, entries: usize) -> Budget {
        Budget {
            until: Instant::now() + time,
            entries,
            spent: false,
        }
    }

    /// Whether one entry more may be looked at.
    pub fn take(&mut self) -> bool {
        let any = self.entries > 0 && self.is_in_time();
        self.spent |= !any;
        self.entries = self.entries.saturating_sub(1);
        any
    }

    pub fn is_in_time(&mut self) -> bool {
        let in_time = Instant::now() < self.until;
        self.spent |= !in_time;
        in_time
    }

    pub fn is_spent(&self) -> bool {
        self.spent
    }
}

/// Every file below a folder, at most `depth` folders down, with its path from there with `/`
/// between. Links to folders are followed, into each real folder once; a link that leads to nothing
/// counts as a file. What is hidden is left out. `notes` receives the folders that may not be read.
pub fn files(
    root: &Path,
    depth: usize,
    budget: &mut Budget,
    notes: &mut Vec<String>,
) -> Vec<(String, PathBuf)> {
    let mut walk = Walk {
        budget,
        notes,
        visited: HashSet::new(),
        found: Vec::new(),
    };
    walk.folder(root, "", depth);
    walk.found
}

/// The names and paths of a folder's own folders, links to such among them, by name.
pub fn folders(
    folder: &Path,
    budget: &mut Budget,
    notes: &mut Vec<String>,
) -> Vec<(String, PathBuf)> {
    let mut found = entries(folder, budget, notes);
    found.retain(|(_, path)| path.is_dir());
    found
}

/// What lies in a folder, by name; a folder that is not there is empty.
fn entries(folder: &Path, budget: &mut Budget, notes: &mut Vec<String>) -> Vec<(String, PathBuf)> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) => {
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) {
                notes.push(format!("{}: {}", folder.display(), plainly(&error)));
            }
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in read.flatten() {
        if !budget.take() {
            break;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    found
}

/// What an error of the file system means, in words.
pub fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "you may not read it".to_owned(),
        kind => kind.to_string(),
    }
}

struct Walk<'a> {
    budget: &'a mut Budget,
    notes: &'a mut Vec<String>,
    visited: HashSet<PathBuf>,
    found: Vec<(String, PathBuf)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let real = folder.canonicalize();
        if real.is_ok_and(|real| !self.visited.insert(real)) {
            return;
        }
        for (name, path) in entries(folder, self.budget, self.notes) {
            let name = format!("{prefix}{name}");
            if !path.is_dir() {
                self.found.push((name, path));
            } else if depth > 0 {
                self.folder(&path, &format!("{name}/"), depth - 1);
            }
        }
    }
}
