//! Which files of a repository make the model, and their way into the cache.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::Watch;
use super::super::cache::{ModelCache, make_folder, put_in_place, remove_if_there};
use super::super::error::{PullError, Result};
use super::super::http::{Client, Remote, discard};
use super::{HubId, base_name, fitting, is_safe_path};
use crate::model::gguf::part_of;

/// What the hub says of a repository at a revision.
#[derive(Deserialize)]
struct Description {
    sha: String,
    #[serde(default)]
    siblings: Vec<RepoFile>,
}

#[derive(Deserialize)]
struct RepoFile {
    #[serde(rename = "rfilename")]
    name: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: Option<String>,
}

/// What of a repository makes the model.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Gguf(String),
    Folder(Vec<String>),
}

pub(in super::super) fn fetch(
    client: &Client,
    cache: &ModelCache,
    id: &HubId,
    force: bool,
    watch: &mut Watch<'_>,
) -> Result<PathBuf> {
    let revision = id.revision.as_deref().unwrap_or("main");
    let answer = client.describe(&id.repo, revision, watch)?;
    let odd = |detail: String| PullError::Answer {
        what: id.repo.clone(),
        detail,
    };
    let described: Description = serde_json::from_slice(&answer).map_err(|e| odd(e.to_string()))?;
    if !described.sha.bytes().all(|b| b.is_ascii_alphanumeric()) || described.sha.is_empty() {
        return Err(odd("its revision is not a hash".into()));
    }
    let all: Vec<&str> = described.siblings.iter().map(|f| f.name.as_str()).collect();
    let folder = cache.hub_folder(&id.repo, id.revision.as_deref());
    // What is fetched is pinned to the commit, so that no two files are of different ones.
    let short = described.sha.get(..12).unwrap_or(&described.sha);
    let staging = cache.partial().join(format!("{}-{short}", id.repo_key()));
    let choice = choose(id, &all)?;
    // Of each choice its own, so that neither ends with what the other has left.
    let own = match &choice {
        Choice::Gguf(name) => staging.join(name.replace('/', "--")),
        Choice::Folder(_) => staging.join("model"),
    };
    if force {
        remove_if_there(&own)?;
    }
    make_folder(&own)?;
    let mut bring = |name: &str| {
        let file = described.siblings.iter().find(|f| f.name == name);
        bring(client, id, &described.sha, name, file, &own, watch)
    };
    let path = match choice {
        Choice::Gguf(name) => {
            let come = bring(&name)?;
            let parts = name.split('/');
            let path = parts.fold(folder.join("gguf"), |path, part| path.join(part));
            put_in_place(&come, &path)?;
            remove_if_there(&own)?;
            path
        }
        Choice::Folder(names) => {
            for name in &names {
                bring(name)?;
            }
            let path = folder.join("model");
            put_in_place(&own, &path)?;
            path
        }
    };
    // What other files of the repository have left keeps the folder: remove_dir refuses it.
    let _ = std::fs::remove_dir(&staging);
    Ok(path)
}

/// Fetches one file into the staging folder, unless it is there from an earlier run.
fn bring(
    client: &Client,
    id: &HubId,
    commit: &str,
    name: &str,
    file: Option<&RepoFile>,
    staging: &Path,
    watch: &mut Watch<'_>,
) -> Result<PathBuf> {
    let path = staging.join(base_name(name));
    if path.is_file() {
        return Ok(path);
    }
    let partial = path.with_added_extension("partial");
    let remote = Remote {
        url: client.file_url(&id.repo, commit, name),
        label: base_name(name),
        repo: &id.repo,
        bytes: file.and_then(|f| f.size),
        sha256: file.and_then(|f| f.lfs.as_ref()?.sha256.as_deref()),
    };
    client.download(&remote, &partial, watch)?;
    put_in_place(&partial, &path)?;
    discard(&partial)?;
    Ok(path)
}

/// Which of the repository's files are the model that the id names.
fn choose(id: &HubId, all: &[&str]) -> Result<Choice> {
    let safe = || all.iter().copied().filter(|name| is_safe_path(name));
    let ggufs: Vec<&str> = safe().filter(|name| has_ending(name, ".gguf")).collect();
    if let Some(wanted) = &id.file {
        let fitting = fitting(wanted, &ggufs);
        return pick(
            id,
            &fitting,
            &ggufs,
            &format!("no .gguf file in it is named by '{wanted}'"),
        );
    }
    let weights: Vec<&str> = safe()
        .filter(|name| !name.contains('/') && has_ending(name, ".safetensors"))
        .collect();
    if weights.is_empty() {
        return pick(
            id,
            &ggufs,
            &ggufs,
            "it has neither .gguf nor .safetensors files",
        );
    }
    // Some repositories carry the same weights a second time in another layout.
    let usual: Vec<&str> = weights
        .iter()
        .copied()
        .filter(|w| w.starts_with("model"))
        .collect();
    let weights = if usual.is_empty() { weights } else { usual };
    let mut wanted: Vec<String> = safe()
        .filter(|name| is_side_file(name))
        .map(Into::into)
        .collect();
    if !wanted.iter().any(|name| name == "config.json") {
        return Err(PullError::Choice {
            repo: id.repo.clone(),
            detail: "it has no config.json, so it is not a model folder".into(),
            advice: "name a repository of a whole model; adapters and datasets are not models"
                .into(),
        });
    }
    wanted.extend(weights.into_iter().map(str::to_owned));
    Ok(Choice::Folder(wanted))
}

fn pick(id: &HubId, fitting: &[&str], ggufs: &[&str], none: &str) -> Result<Choice> {
    let whole: Vec<&str> = fitting.iter().copied().filter(|n| !is_split(n)).collect();
    let (detail, listed) = match whole.as_slice() {
        [only] => return Ok(Choice::Gguf((*only).to_owned())),
        [] if fitting.is_empty() => (none.to_owned(), ggufs),
        [] => (
            "its file is split into several, which is not supported".to_owned(),
            ggufs,
        ),
        several => (format!("{} .gguf files fit", several.len()), several),
    };
    let names: Vec<&str> = listed
        .iter()
        .copied()
        .filter(|n| !is_split(n))
        .take(12)
        .collect();
    let advice = match names.first() {
        None => "name another repository".into(),
        Some(first) => {
            format!(
                "name one, such as {}:{first}; it has: {}",
                id.repo,
                names.join(", ")
            )
        }
    };
    Err(PullError::Choice {
        repo: id.repo.clone(),
        detail,
        advice,
    })
}

fn is_split(name: &str) -> bool {
    part_of(name).is_some()
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.to_ascii_lowercase().ends_with(ending)
}

fn is_side_file(name: &str) -> bool {
    matches!(
        name,
        "config.json"
            | "generation_config.json"
            | "chat_template.jinja"
            | "special_tokens_map.json"
            | "added_tokens.json"
            | "model.safetensors.index.json"
    ) || (name.starts_with("tokenizer") && !name.contains('/') && !name.ends_with(".py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> HubId {
        HubId::parse(text).unwrap()
    }

    #[test]
    fn the_files_of_a_model_are_chosen() {
        let all = [
            "README.md",
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "consolidated.safetensors",
            "onnx/model.onnx",
        ];
        let Choice::Folder(files) = choose(&id("a/b"), &all).unwrap() else {
            panic!("not a folder");
        };
        assert_eq!(files.len(), 6);
        assert!(
            !files
                .iter()
                .any(|f| f.contains("consolidated") || f.contains("README"))
        );

        let folders = ["a/m.gguf", "b/m.gguf"];
        assert_eq!(
            choose(&id("a/b:b/m.gguf"), &folders).unwrap(),
            Choice::Gguf("b/m.gguf".into())
        );
        assert!(choose(&id("a/b:m.gguf"), &folders).is_err());
        assert!(choose(&id("a/b:c/m.gguf"), &folders).is_err());

        let ggufs = ["x-Q4_K_M.gguf", "x-Q8_0.gguf", "../evil.gguf"];
        assert_eq!(
            choose(&id("a/b:q8_0"), &ggufs).unwrap(),
            Choice::Gguf("x-Q8_0.gguf".into())
        );
        assert_eq!(
            choose(&id("a/b"), &ggufs[..1]).unwrap(),
            Choice::Gguf("x-Q4_K_M.gguf".into())
        );
        let error = choose(&id("a/b"), &ggufs).unwrap_err();
        assert!(error.to_string().contains("2 .gguf files fit"), "{error}");
        assert!(error.hint().unwrap().contains("a/b:x-Q4_K_M.gguf"));
        assert!(choose(&id("a/b:Q2_K"), &ggufs).is_err());
        assert!(choose(&id("a/b"), &["README.md"]).is_err());
        let parts = ["x-Q8_0-00001-of-00002.gguf", "x-Q8_0-00002-of-00002.gguf"];
        for wanted in ["a/b", "a/b:Q8_0"] {
            let error = choose(&id(wanted), &parts).unwrap_err();
            assert!(error.to_string().contains("split"), "{error}");
        }
        let seeing = ["mmproj-x-Q8_0.gguf", "x-Q8_0.gguf"];
        assert_eq!(
            choose(&id("a/b:Q8_0"), &seeing).unwrap(),
            Choice::Gguf("x-Q8_0.gguf".into())
        );
        assert!(choose(&id("a/b"), &["adapter_model.safetensors"]).is_err());
    }
}
