//! The cache of the Hugging Face tools, listed.
//!
//! ```text
//! <hub>/models--<org>--<name>/refs/<revision>            a file with the commit's hash
//! <hub>/models--<org>--<name>/snapshots/<commit>/<file>  a link into ../../blobs
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::walk::{self, Budget};
use super::{Candidate, models_among};
use crate::model::gguf::part_of;
use crate::model::hub::{HubId, fitting};
use crate::model::weights::WeightFile;

/// Folders in a repository at most.
const DEPTH: usize = 3;
/// Digits of a commit's hash that tell it from others.
const SHORT_HASH: usize = 8;
/// The commit that is meant where no revision is named.
const MAIN: &str = "main";

/// Every `.gguf` file and model folder of every snapshot.
pub fn candidates(root: &Path, budget: &mut Budget, notes: &mut Vec<String>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (folder, path) in walk::folders(root, budget, notes) {
        // Without an organisation it is no id that a model can be asked for by.
        let id = folder
            .strip_prefix("models--")
            .map(|rest| rest.replacen("--", "/", 1));
        let Some(id) = id.filter(|id| HubId::parse(id).is_some()) else {
            continue;
        };
        let refs = walk::files(&path.join("refs"), 2, budget, notes);
        for (commit, snapshot) in walk::folders(&path.join("snapshots"), budget, notes) {
            let revision = revision(&refs, &commit);
            let id = match &revision {
                Some(revision) => format!("{id}@{revision}"),
                None => id.clone(),
            };
            let files = walk::files(&snapshot, DEPTH, budget, notes);
            let models = models_of(&id, &snapshot, files).into_iter();
            found.extend(models.map(|model| readable(model, &id, &commit)));
        }
    }
    found
}

/// What cannot be opened anyway is called by no commit's hash: its fault names that.
fn readable(model: Candidate, id: &str, commit: &str) -> Candidate {
    let plain = id.strip_suffix(commit).and_then(|id| id.strip_suffix('@'));
    let found = fs::metadata(&model.path);
    let leads_nowhere = found.is_err_and(|error| error.kind() == ErrorKind::NotFound);
    match (plain, model.name.strip_prefix(id)) {
        (Some(plain), Some(file)) if leads_nowhere => Candidate {
            name: format!("{plain}{file}"),
            fault: Some(format!(
                "its file is missing: the link of snapshot {} leads to nothing; fetch it again",
                commit.chars().take(SHORT_HASH).collect::<String>()
            )),
            path: model.path,
        },
        _ => model,
    }
}

fn models_of(id: &str, snapshot: &Path, files: Vec<(String, PathBuf)>) -> Vec<Candidate> {
    let has = |end: &str| files.iter().any(|(name, _)| name.ends_with(end));
    let torch = has(".bin") && files.iter().any(|(name, _)| name == "config.json");
    let models = models_among(files);
    if models.is_empty() && torch {
        let fault = "it has no .safetensors file; PyTorch’s .bin files are not read";
        return vec![Candidate {
            name: id.to_owned(),
            path: snapshot.to_owned(),
            fault: Some(fault.to_owned()),
        }];
    }
    // A folder in a repository cannot be asked for by an id.
    let named = models
        .into_iter()
        .filter(|(file, path)| file.is_empty() || !path.is_dir());
    let named = named.map(|(file, path)| Candidate {
        name: match file.as_str() {
            "" => id.to_owned(),
            file => format!("{id}:{file}"),
        },
        path,
        fault: None,
    });
    named.collect()
}

/// What a commit is called by; nothing for the one that is meant without a revision.
fn revision(refs: &[(String, PathBuf)], commit: &str) -> Option<String> {
    let points = |(_, path): &&(String, PathBuf)| read_commit(path).as_deref() == Some(commit);
    let names: Vec<&str> = refs
        .iter()
        .filter(points)
        .map(|(name, _)| name.as_str())
        .collect();
    match names.first() {
        _ if names.contains(&MAIN) => None,
        Some(name) => Some((*name).to_owned()),
        None => Some(commit.to_owned()),
    }
}

fn read_commit(path: &Path) -> Option<String> {
    // A hash of 40 digits.
    let short = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() < 200);
    let text = short.then(|| fs::read_to_string(path).ok()).flatten()?;
    let commit = text.trim();
    let plain = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| commit.to_owned())
}

/// The model if it is in the cache whole.
pub fn find(root: &Path, id: &HubId) -> Option<PathBuf> {
    let repo = root.join(format!("models--{}", id.repo.replace('/', "--")));
    let revision = id.revision.as_deref().unwrap_or(MAIN);
    let snapshots = repo.join("snapshots");
    let commit = read_commit(&repo.join("refs").join(revision));
    let snapshot = snapshots.join(commit.as_deref().unwrap_or(revision));
    if id.file.is_none() && is_whole(&snapshot) {
        return Some(snapshot);
    }
    let mut budget = Budget::new(std::time::Duration::from_secs(2), 10_000);
    let files = walk::files(&snapshot, DEPTH, &mut budget, &mut Vec::new());
    let mut ggufs = models_among(files);
    ggufs.retain(|(_, path)| path.is_file() && part_of(&path.to_string_lossy()).is_none());
    let names: Vec<&str> = ggufs.iter().map(|(name, _)| name.as_str()).collect();
    let fit = match &id.file {
        Some(wanted) => fitting(wanted, &names),
        None => names,
    };
    let [only] = fit[..] else { return None };
    let found = ggufs.iter().find(|(name, _)| name == only);
    found.map(|(_, path)| path.clone())
}

/// Whether a snapshot has all files of a model: its tools may have fetched some only.
fn is_whole(snapshot: &Path) -> bool {
    snapshot.join("config.json").is_file()
        && ["tokenizer.json", "tokenizer.model"]
            .iter()
            .any(|name| snapshot.join(name).is_file())
        && matches!(WeightFile::open(snapshot), Ok(WeightFile::Safetensors(_)))
}
