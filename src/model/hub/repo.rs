//! Models named by their id on the hub: `org/name`, `org/name@revision`, `org/name:file.gguf`,
//! `org/name:Q4_K_M`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Watch;
use super::cache::{Cache, files_below, make_folder, put_in_place, remove_if_there};
use super::error::{PullError, Result};
use super::http::{Client, Remote, discard};

/// A model's id on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// `org/name`.
    pub repo: String,
    pub revision: Option<String>,
    /// A `.gguf` file of the repository, or a word in its name such as `Q4_K_M`.
    pub file: Option<String>,
}

impl HubId {
    /// Reads `org/name[@revision][:file]`; none if the text is not of this form.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, file) = split_off(text, ':');
        let (repo, revision) = split_off(rest, '@');
        let (org, name) = repo.split_once('/')?;
        let plain = |part: &str| {
            !part.is_empty()
                && part.len() <= 96
                && !part.starts_with(['.', '-'])
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let good_file = file.is_none_or(is_safe_path);
        let good_revision = revision.is_none_or(is_safe_path);
        (plain(org) && plain(name) && good_file && good_revision).then(|| Self {
            repo: repo.to_owned(),
            revision: revision.map(str::to_owned),
            file: file.map(str::to_owned),
        })
    }

    /// A file name of the repository's own, for the lock: two files of one repository share a folder
    /// for what is not whole yet.
    pub(super) fn repo_key(&self) -> String {
        self.repo.replace('/', "--")
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        Ok(())
    }
}

fn split_off(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Whether a name from outside can be part of a path: relative, no dot folders, nothing odd.
fn is_safe_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains(['\\', ':'])
                && !part.chars().any(char::is_control)
        })
}

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

/// The model if it is in the cache.
pub(super) fn find(cache: &Cache, id: &HubId) -> Option<PathBuf> {
    let folder = cache.hub_folder(&id.repo, id.revision.as_deref());
    let whole = folder.join("model");
    if id.file.is_none() && whole.is_dir() {
        return Some(whole);
    }
    let files = files_below(&folder.join("gguf"));
    let here: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let fitting = match &id.file {
        Some(wanted) => fitting(wanted, &here),
        None => here,
    };
    let [only] = fitting[..] else { return None };
    let found = files.iter().find(|(name, _)| name == only);
    found.map(|(_, path)| path.clone())
}

/// The files that `wanted` names: the one of that very path, or those whose name it or a word of it is.
fn fitting<'a>(wanted: &str, files: &[&'a str]) -> Vec<&'a str> {
    match files.iter().find(|name| **name == wanted) {
        Some(exact) => vec![exact],
        None => {
            let fits = |name: &&str| names(wanted, base_name(name));
            files.iter().copied().filter(fits).collect()
        }
    }
}

pub(super) fn fetch(
    client: &Client,
    cache: &Cache,
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

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
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
    let (detail, listed) = match fitting {
        [only] if is_split(only) => (
            "its file is split into several, which is not supported".to_owned(),
            ggufs,
        ),
        [only] => return Ok(Choice::Gguf((*only).to_owned())),
        [] => (none.to_owned(), ggufs),
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

/// Whether `wanted` names the file: by its whole name, or by a word in it such as `Q4_K_M`.
fn names(wanted: &str, file: &str) -> bool {
    let (wanted, file) = (wanted.to_ascii_lowercase(), file.to_ascii_lowercase());
    if wanted == file {
        return true;
    }
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    file.match_indices(&wanted).any(|(at, _)| {
        let before = file[..at].chars().next_back();
        let after = file[at + wanted.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

/// `model-00001-of-00003.gguf`
fn is_split(name: &str) -> bool {
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let Some((rest, count)) = stem.rsplit_once("-of-") else {
        return false;
    };
    let number = rest.rsplit('-').next().unwrap_or_default();
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    digits(number) && digits(count)
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
    fn ids_are_read_and_written() {
        for text in [
            "a/b",
            "a/b@main",
            "a/b:Q4_K_M",
            "a/b@v1:sub/x.gguf",
            "A-1/b.c_d",
        ] {
            assert_eq!(id(text).to_string(), text);
        }
        for text in [
            "a",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a/b:../x",
            "a/b:/x",
            "a b/c",
            "a/b:",
            "a/b@",
            "./a",
            "a/b:.hidden",
            "c:\\x",
            "a/b:x\\y",
        ] {
            assert_eq!(HubId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_word_names_a_file_and_no_other() {
        assert!(names("Q4_K_M", "model-Q4_K_M.gguf"));
        assert!(names("q4_k_m", "model.Q4_K_M.gguf"));
        assert!(!names("sub/model.gguf", "model.gguf"));
        assert!(!names("Q4_K", "model-Q4_K_M.gguf"));
        assert!(!names("4_0", "model-Q4_0.gguf"));
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
        assert!(choose(&id("a/b"), &["x-00001-of-00002.gguf"]).is_err());
        assert!(choose(&id("a/b"), &["adapter_model.safetensors"]).is_err());
    }
}
