//! What the name of a model means: a known name, another program's model, a `.gguf` file, a model
//! folder or a hub id.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::advice::Advice;

use super::elsewhere::Places;
use super::hub::{HubId, KNOWN, KnownModel, ModelCache, PullError, Puller, Watch, known};

/// A model as a person named it.
#[derive(Debug, Clone)]
pub enum ModelSpec {
    Known(&'static KnownModel),
    /// Another program's, by the name that it has here.
    Elsewhere {
        name: String,
        path: PathBuf,
    },
    Gguf(PathBuf),
    Folder(PathBuf),
    Hub(HubId),
}

#[derive(Debug, Error)]
pub enum LocateError {
    #[error("no model is named '{name}'")]
    UnknownName { name: String, near: Vec<String> },
    #[error("{name}: {detail}")]
    NotElsewhere { name: String, detail: String },
    #[error("{} does not exist", path.display())]
    NoSuchPath { path: PathBuf, near: Vec<String> },
    #[error("{} is not a model ({detail})", path.display())]
    NotAModel {
        path: PathBuf,
        detail: String,
        advice: String,
    },
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl LocateError {
    /// The way out that the program itself has, beside the hint.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            Self::UnknownName { .. } | Self::NotElsewhere { .. } => Some(Advice::ListModels),
            Self::NoSuchPath { near, .. } if near.is_empty() => Some(Advice::ListModels),
            _ => None,
        }
    }

    /// What to do about it, in words that hold everywhere.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownName { near, .. } if near.is_empty() => {
                Some("a .gguf file, a model folder or a hub id such as org/name works too".into())
            }
            Self::NoSuchPath { near, .. } if near.is_empty() => Some("check the path".into()),
            Self::UnknownName { near, .. } | Self::NoSuchPath { near, .. } => {
                Some(format!("did you mean {}?", or_list(near)))
            }
            Self::NotElsewhere { .. } => {
                Some("fetch it with the program that it belongs to, or check the name".into())
            }
            Self::NotAModel { advice, .. } => Some(advice.clone()),
            Self::Unreadable { .. } => Some("check that you may read it".into()),
        }
    }
}

/// Finds out what a model's name, path or id means. A known name comes first (a file of that
/// name is reached as `./name`), then what lies on the disk, then the hub.
pub fn resolve(text: &str, cache: Option<&ModelCache>) -> Result<ModelSpec, LocateError> {
    resolve_in(text, cache, &Places::from_env())
}

/// As [`resolve`], with other programs' models in these places.
pub fn resolve_in(
    text: &str,
    cache: Option<&ModelCache>,
    places: &Places,
) -> Result<ModelSpec, LocateError> {
    let text = text.trim();
    if let Some(model) = known(text) {
        return Ok(ModelSpec::Known(model));
    }
    if let Some(found) = places.find(text) {
        return elsewhere(text, found);
    }
    let path = expand_home(text);
    if !text.is_empty() && path.exists() {
        return local(&path);
    }
    if let Some(id) = HubId::parse(text).filter(|_| !looks_like_path(text)) {
        return Ok(ModelSpec::Hub(id));
    }
    if looks_like_path(text) || text.contains('/') {
        let near = near_files(&path);
        return Err(LocateError::NoSuchPath { path, near });
    }
    let near = near_names(text, cache);
    Err(LocateError::UnknownName {
        name: text.to_owned(),
        near,
    })
}

fn elsewhere(name: &str, found: Result<PathBuf, String>) -> Result<ModelSpec, LocateError> {
    let name = name.to_owned();
    let path = found.map_err(|detail| LocateError::NotElsewhere {
        name: name.clone(),
        detail,
    })?;
    let only = if path.is_dir() {
        folder(&path)?.path().map(Path::to_owned)
    } else {
        None
    };
    let path = only.unwrap_or(path);
    Ok(ModelSpec::Elsewhere { name, path })
}

impl ModelSpec {
    /// What the model is called where the name of its file or folder says nothing.
    pub fn title(&self, path: &Path) -> Option<String> {
        match self {
            Self::Elsewhere { name, .. } => Some(name.clone()),
            Self::Hub(id) if path.is_dir() => Some(id.to_string()),
            _ => None,
        }
    }

    /// Where the model is, if it was named by its path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Gguf(path) | Self::Folder(path) | Self::Elsewhere { path, .. } => Some(path),
            Self::Known(_) | Self::Hub(_) => None,
        }
    }

    /// The `.gguf` file or the model folder, fetched first where that is needed.
    pub fn obtain(&self, puller: &Puller, watch: &mut Watch<'_>) -> Result<PathBuf, PullError> {
        match self {
            Self::Known(model) => puller.known(model, watch),
            Self::Hub(id) => puller.hub(id, watch),
            Self::Gguf(path) | Self::Folder(path) | Self::Elsewhere { path, .. } => {
                Ok(path.clone())
            }
        }
    }
}

fn local(path: &Path) -> Result<ModelSpec, LocateError> {
    let meta = path.metadata().map_err(|source| LocateError::Unreadable {
        path: path.to_path_buf(),
        source,
    })?;
    if meta.is_dir() {
        return folder(path);
    }
    if has_extension(path, "gguf") {
        return Ok(ModelSpec::Gguf(path.to_path_buf()));
    }
    let advice = if has_extension(path, "safetensors") {
        "name the folder it is in, with its config.json and tokenizer.json"
    } else {
        "a model is a .gguf file or a folder with config.json and .safetensors files"
    };
    Err(not_a_model(path, "it is not a .gguf file", advice.into()))
}

fn folder(path: &Path) -> Result<ModelSpec, LocateError> {
    let read = path.read_dir().map_err(|source| LocateError::Unreadable {
        path: path.to_path_buf(),
        source,
    })?;
    let mut files: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let with = |extension: &str| {
        files
            .iter()
            .filter(|f| has_extension(f, extension))
            .cloned()
            .collect::<Vec<_>>()
    };
    let has_config = path.join("config.json").is_file();
    let has_weights = !with("safetensors").is_empty();
    match (has_config, has_weights, with("gguf").as_slice()) {
        (true, true, _) => Ok(ModelSpec::Folder(path.to_path_buf())),
        (_, _, [only]) => Ok(ModelSpec::Gguf(only.clone())),
        (true, false, []) => Err(not_a_model(
            path,
            "it has a config.json but no .safetensors file",
            "download the weights into it; PyTorch's .bin files are not read, convert them".into(),
        )),
        (false, true, []) => Err(not_a_model(
            path,
            "it has .safetensors files but no config.json",
            "put the model's config.json and tokenizer.json beside them".into(),
        )),
        (_, _, []) => Err(not_a_model(
            path,
            "it has no .gguf file, and no config.json with .safetensors files",
            "name the folder that has the model's files".into(),
        )),
        (_, _, several) => {
            let names: Vec<String> = several
                .iter()
                .map(|f| f.display().to_string())
                .take(12)
                .collect();
            let detail = format!("it has {} .gguf files", several.len());
            Err(not_a_model(
                path,
                &detail,
                format!("name one: {}", names.join(", ")),
            ))
        }
    }
}

fn not_a_model(path: &Path, detail: &str, advice: String) -> LocateError {
    LocateError::NotAModel {
        path: path.to_path_buf(),
        detail: detail.to_owned(),
        advice,
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

fn looks_like_path(text: &str) -> bool {
    let path = Path::new(text);
    let colon_after_id = text.contains(':') && !path.is_absolute();
    text.starts_with(['.', '~', '/'])
        || text.contains('\\')
        || path.is_absolute()
        || (has_extension(path, "gguf") && !colon_after_id)
        || has_extension(path, "safetensors")
}

fn expand_home(text: &str) -> PathBuf {
    match text.strip_prefix("~/").zip(etcetera::home_dir().ok()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(text),
    }
}

/// Models in the folder that the path points into whose names are alike.
fn near_files(path: &Path) -> Vec<String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let Ok(read) = parent.read_dir() else {
        return Vec::new();
    };
    let candidates = read
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.is_dir() || has_extension(p, "gguf"))
        .filter_map(|p| {
            Some((
                p.file_name()?.to_string_lossy().into_owned(),
                p.display().to_string(),
            ))
        })
        .collect();
    nearest(&name.to_string_lossy(), candidates)
}

pub fn near_names(name: &str, cache: Option<&ModelCache>) -> Vec<String> {
    let mut candidates: Vec<(String, String)> = Vec::new();
    for model in KNOWN {
        candidates.push((model.name.to_owned(), model.name.to_owned()));
        for alias in model.aliases {
            candidates.push(((*alias).to_owned(), model.name.to_owned()));
        }
    }
    for cached in cache.map(ModelCache::list).unwrap_or_default() {
        let short = cached
            .name
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        candidates.push((short, cached.name));
    }
    nearest(name, candidates)
}

/// Those of `names` that `wanted` is a likely slip of, the most alike first.
pub fn alike<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let candidates = names
        .into_iter()
        .map(|name| (name.to_owned(), name.to_owned()));
    nearest(wanted, candidates.collect())
}

/// The names of those candidates (text to compare, name to show) that are most alike, at most 3.
fn nearest(wanted: &str, candidates: Vec<(String, String)>) -> Vec<String> {
    /// Jaro-Winkler similarity from which two names are a likely slip of each other.
    const ALIKE: f64 = 0.85;
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, String)> = candidates
        .into_iter()
        .map(|(text, name)| (strsim::jaro_winkler(&wanted, &text.to_lowercase()), name))
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut near: Vec<String> = Vec::new();
    for (_, name) in scored {
        if !near.contains(&name) {
            near.push(name);
        }
    }
    near.truncate(3);
    near
}

fn or_list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_ids_are_told_apart() {
        assert!(matches!(resolve("default", None), Ok(ModelSpec::Known(_))));
        assert!(matches!(
            resolve("SmolLM2-135M-Instruct", None),
            Ok(ModelSpec::Known(_))
        ));
        assert!(matches!(resolve("org/name", None), Ok(ModelSpec::Hub(_))));
        assert!(matches!(
            resolve("org/name:x.Q4_0.gguf", None),
            Ok(ModelSpec::Hub(_))
        ));
        assert!(matches!(
            resolve("", None),
            Err(LocateError::UnknownName { .. })
        ));
        assert!(matches!(
            resolve("./no/such", None),
            Err(LocateError::NoSuchPath { .. })
        ));
        assert!(matches!(
            resolve("no/such.gguf", None),
            Err(LocateError::NoSuchPath { .. })
        ));
        assert!(matches!(
            resolve("a/b/c", None),
            Err(LocateError::NoSuchPath { .. })
        ));
    }

    #[test]
    fn a_slip_in_a_name_is_answered_with_the_name() {
        let error = resolve("smolm2-135m-instruct", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no model is named 'smolm2-135m-instruct'"
        );
        assert!(
            error
                .hint()
                .unwrap()
                .contains("did you mean smollm2-135m-instruct")
        );
        let hint = resolve("zzz", None).unwrap_err().hint().unwrap();
        assert!(!hint.contains("did you mean"), "{hint}");
    }

    #[test]
    fn what_lies_on_the_disk_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let fails = |path: &Path| resolve(&text(path), None).unwrap_err();

        assert!(fails(folder.path()).to_string().contains("no .gguf file"));
        fs::write(at("one.gguf"), "x").unwrap();
        assert!(matches!(
            resolve(&text(&at("one.gguf")), None),
            Ok(ModelSpec::Gguf(_))
        ));
        let Ok(ModelSpec::Gguf(found)) = resolve(&text(folder.path()), None) else {
            panic!("the only .gguf of a folder is the model");
        };
        assert_eq!(found, at("one.gguf"));
        let error = fails(&at("onne.gguf"));
        assert!(error.hint().unwrap().contains("one.gguf"), "{error:?}");

        fs::write(at("two.gguf"), "x").unwrap();
        assert!(fails(folder.path()).hint().unwrap().contains("two.gguf"));
        fs::write(at("model.safetensors"), "x").unwrap();
        assert!(
            fails(&at("model.safetensors"))
                .hint()
                .unwrap()
                .contains("folder")
        );
        fs::write(at("config.json"), "{}").unwrap();
        assert!(matches!(
            resolve(&text(folder.path()), None),
            Ok(ModelSpec::Folder(_))
        ));
    }
}
