//! The folder that downloaded models are kept in.
//!
//! ```text
//! <cache>/models/<known name>/<file>.gguf
//! <cache>/hub/<org>/<name>[@revision]/model/      config.json, tokenizer.json, *.safetensors
//! <cache>/hub/<org>/<name>[@revision]/gguf/[<folder>/]<file>.gguf
//! <cache>/partial/                                what is not whole yet
//! ``` A model comes to its place by a rename once it is whole and checked, so whatever is in
//! `models` and `hub` can be used. Beside a known model's file lies `<file>.checked`, which says
//! what it was like when its hash was right: one that has changed since is hashed again.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::error::{PullError, Result};
use super::registry::{KNOWN, KnownModel, Origin, PinnedFile};
use super::repo;
use super::{PullEvent, Watch};

/// The variable that moves the cache.
pub const CACHE_VARIABLE: &str = "INSCRIBE_CACHE";

#[derive(Debug, Clone)]
pub struct ModelCache {
    root: PathBuf,
}

/// A model that is in the cache, ready to use.
#[derive(Debug, Clone)]
pub struct CachedModel {
    /// The model's name: a known name or a hub id.
    pub name: String,
    /// The `.gguf` file or the model folder.
    pub path: PathBuf,
    pub bytes: u64,
    pub known: Option<&'static KnownModel>,
}

impl ModelCache {
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `INSCRIBE_CACHE`, or the platform's place for caches.
    pub fn open() -> Result<Self> {
        if let Some(root) = std::env::var_os(CACHE_VARIABLE).filter(|v| !v.is_empty()) {
            return Ok(Self::at(root));
        }
        let base =
            etcetera::base_strategy::choose_native_strategy().map_err(|_| PullError::NoHome)?;
        Ok(Self::at(base.cache_dir().join("inscribe")))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of a known model's own lies, whether it is there or not.
    pub fn known_path(&self, model: &KnownModel, file: &str) -> PathBuf {
        self.root.join("models").join(model.name).join(file)
    }

    /// The known model's file if it is here whole.
    pub fn find_known(&self, model: &KnownModel) -> Option<PathBuf> {
        match &model.origin {
            Origin::Pinned(pinned) => {
                let path = self.known_path(model, pinned.file);
                let whole =
                    fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == model.bytes);
                whole.then_some(path)
            }
            Origin::Listed { former, .. } => former
                .map(|file| self.known_path(model, file))
                .filter(|path| path.is_file())
                .or_else(|| repo::find(self, &model.hub_id()?)),
        }
    }

    /// Notes that the pinned file has the right hash. Where that cannot be written the file is
    /// hashed again at its next use.
    pub(super) fn vouch(&self, model: &KnownModel, pinned: &PinnedFile) {
        let path = self.known_path(model, pinned.file);
        let stamp = Stamp::of(&path, pinned).and_then(|stamp| serde_json::to_vec(&stamp).ok());
        if let Some(stamp) = stamp {
            let _ = fs::write(stamp_path(&path), stamp);
        }
    }

    /// The pinned file if it is as it was when its hash was right.
    pub(super) fn find_vouched(&self, model: &KnownModel, pinned: &PinnedFile) -> Option<PathBuf> {
        let path = self.find_known(model)?;
        let kept = fs::read(stamp_path(&path)).ok()?;
        let kept: Stamp = serde_json::from_slice(&kept).ok()?;
        (Stamp::of(&path, pinned)? == kept).then_some(path)
    }

    pub(super) fn hub_folder(&self, repo: &str, revision: Option<&str>) -> PathBuf {
        let mut name = repo.to_owned();
        if let Some(revision) = revision {
            name.push('@');
            name.push_str(&revision.replace('/', "--"));
        }
        self.root.join("hub").join(name)
    }

    /// What interrupted pulls have left for the next try; it may be deleted.
    pub fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub fn partial_bytes(&self) -> u64 {
        size_of_tree(&self.partial())
    }

    /// Every model that is here whole, by name.
    pub fn list(&self) -> Vec<CachedModel> {
        let mut found: Vec<CachedModel> = KNOWN
            .iter()
            .filter_map(|model| {
                let path = self.find_known(model)?;
                Some(CachedModel {
                    name: model.name.to_owned(),
                    bytes: size_of_tree(&path),
                    path,
                    known: Some(model),
                })
            })
            .collect();
        let mut others = self.list_hub();
        others.retain(|model| !found.iter().any(|known| known.path == model.path));
        found.extend(others);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// What lies in the folders of the hub's repositories.
    fn list_hub(&self) -> Vec<CachedModel> {
        let mut found = Vec::new();
        for org in entries(&self.root.join("hub")) {
            for repo in entries(&org) {
                let name = format!("{}/{}", file_name(&org), file_name(&repo));
                let folder = repo.join("model");
                if folder.is_dir() {
                    found.push(cached(name.clone(), folder));
                }
                for (file, path) in files_below(&repo.join("gguf")) {
                    found.push(cached(format!("{name}:{file}"), path));
                }
            }
        }
        found
    }

    /// Deletes a cached model and what its folders leave empty.
    pub fn remove(&self, model: &CachedModel) -> Result<()> {
        let gone = if model.path.is_dir() {
            fs::remove_dir_all(&model.path)
        } else {
            fs::remove_file(&model.path)
        };
        gone.map_err(|e| PullError::io(&model.path, e))?;
        remove_if_there(&stamp_path(&model.path))?;
        let mut parent = model.path.parent();
        while let Some(folder) = parent.filter(|f| f.starts_with(&self.root) && *f != self.root) {
            // A folder that holds something else stays: remove_dir refuses it.
            if fs::remove_dir(folder).is_err() {
                break;
            }
            parent = folder.parent();
        }
        Ok(())
    }

    /// Keeps two programs from fetching the same thing into the same file; waits for the other.
    pub(super) fn lock(&self, key: &str, watch: &mut Watch<'_>) -> Result<File> {
        let folder = self.partial();
        make_folder(&folder)?;
        let path = folder.join(format!("{key}.lock"));
        let file = File::create(&path).map_err(|e| PullError::io(&path, e))?;
        let mut told = false;
        loop {
            watch.check()?;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        watch.tell(PullEvent::WaitingForOther);
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                // A file system without locks: go on without.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(e)) => return Err(PullError::io(&path, e)),
            }
        }
    }
}

/// A file as it was when its hash was right.
#[derive(Serialize, Deserialize, PartialEq)]
struct Stamp {
    bytes: u64,
    /// Time of the file's last change, in nanoseconds since 1970.
    modified_nanos: u64,
    sha256: String,
}

impl Stamp {
    fn of(path: &Path, pinned: &PinnedFile) -> Option<Stamp> {
        let meta = fs::metadata(path).ok()?;
        let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Stamp {
            bytes: meta.len(),
            modified_nanos: since.as_nanos() as u64,
            sha256: pinned.sha256.to_owned(),
        })
    }
}

fn stamp_path(path: &Path) -> PathBuf {
    path.with_added_extension("checked")
}

/// Every file below a folder, with its path from there as the hub writes it.
pub(super) fn files_below(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for path in entries(folder) {
        let name = file_name(&path);
        if path.is_dir() {
            let below = files_below(&path).into_iter();
            found.extend(below.map(|(file, path)| (format!("{name}/{file}"), path)));
        } else {
            found.push((name, path));
        }
    }
    found
}

pub(super) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| PullError::io(path, e))
}

/// Moves what is whole to its place, replacing what was there.
#[cfg(feature = "hub")]
pub(super) fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        make_folder(parent)?;
    }
    if to.is_dir() {
        fs::remove_dir_all(to).map_err(|e| PullError::io(to, e))?;
    }
    fs::rename(from, to).map_err(|e| PullError::io(to, e))
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    let gone = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match gone {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(PullError::io(path, e)),
        _ => Ok(()),
    }
}

/// The bytes of a file, or of everything below a folder.
pub(super) fn size_of_tree(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => entries(path).iter().map(|p| size_of_tree(p)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(read) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn cached(name: String, path: PathBuf) -> CachedModel {
    let bytes = size_of_tree(&path);
    CachedModel {
        name,
        path,
        bytes,
        known: None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}
