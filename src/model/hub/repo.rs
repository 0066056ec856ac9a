//! Models named by their id on the hub: `org/name`, `org/name@revision`, `org/name:file.gguf`,
//! `org/name:Q4_K_M`.

use std::fmt;
use std::path::PathBuf;

use super::cache::{ModelCache, files_below};

#[cfg(feature = "hub")]
mod fetch;

#[cfg(feature = "hub")]
pub(super) use fetch::fetch;

/// A model's id on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// The repository: `org/name`.
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

    /// A file name of the repository's own, for the lock: two files of one repository share a
    /// folder for what is not whole yet.
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
pub(crate) fn is_safe_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains(['\\', ':'])
                && !part.chars().any(char::is_control)
        })
}

/// The model if it is in the cache.
pub(super) fn find(cache: &ModelCache, id: &HubId) -> Option<PathBuf> {
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

/// The files that `wanted` names: the one of that very path, or those whose name it or a word of it
/// is. What only goes with a model, such as the part that sees, is named by its path alone.
pub(crate) fn fitting<'a>(wanted: &str, files: &[&'a str]) -> Vec<&'a str> {
    match files.iter().find(|name| **name == wanted) {
        Some(exact) => vec![exact],
        None => {
            let goes_with = |name: &str| base_name(name).to_ascii_lowercase().starts_with("mmproj");
            let fits = |name: &&str| !goes_with(name) && names(wanted, base_name(name));
            files.iter().copied().filter(fits).collect()
        }
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
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
}
