//! Hugging Face checkpoints: `config.json` with one or several `.safetensors` files.

mod header;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::mapping::map_file;
use crate::model::weights::{TensorBytes, files_with};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// Longer JSON beside a model is refused before it is read.
const MAX_JSON: u64 = 64 << 20;
/// What checkpoints with more than a text part put before the text part's names.
const PREFIXES: [&str; 3] = ["language_model.", "model.language_model.", "model."];

/// An open checkpoint folder.
pub struct SafetensorsFolder {
    folder: PathBuf,
    tensors: BTreeMap<String, TensorBytes>,
}

impl SafetensorsFolder {
    pub fn open(folder: &Path) -> Result<SafetensorsFolder, ModelError> {
        let index = Index::read(folder)?;
        let mut tensors: BTreeMap<String, TensorBytes> = BTreeMap::new();
        for file in &index.files {
            for tensor in header::tensors(file, &map_file(file)?)? {
                if tensors.contains_key(&tensor.name) {
                    let field = format!("tensor '{}'", tensor.name);
                    let detail = "is in another file of this folder, too; fetch the model again";
                    return Err(ModelError::field(file, field, detail));
                }
                tensors.insert(tensor.name.clone(), tensor);
            }
        }
        Ok(SafetensorsFolder {
            folder: folder.to_owned(),
            tensors,
        })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> Result<ModelConfig, ModelError> {
        let path = self.folder.join("config.json");
        ModelConfig::from_json(&path, &read_json_text(&path)?)
    }

    /// A tensor by its usual name, whatever prefix this checkpoint gives it.
    pub fn tensor(&self, name: &str) -> Option<&TensorBytes> {
        let bare = name.strip_prefix("model.").unwrap_or(name);
        let others = PREFIXES
            .iter()
            .flat_map(|p| [format!("{p}{name}"), format!("{p}{bare}")]);
        let names = [name.to_owned(), bare.to_owned()].into_iter().chain(others);
        names.into_iter().find_map(|name| self.tensors.get(&name))
    }

    pub fn tensors(&self) -> impl Iterator<Item = &TensorBytes> {
        self.tensors.values()
    }
}

/// The tensors of one file that is not part of a checkpoint folder.
pub(crate) fn tensors_of_file(path: &Path) -> Result<Vec<TensorBytes>, ModelError> {
    header::tensors(path, &map_file(path)?)
}

/// The text of a JSON file beside a model.
pub(crate) fn read_json_text(path: &Path) -> Result<String, ModelError> {
    let meta = std::fs::metadata(path).map_err(|e| ModelError::open(path, &e))?;
    if !meta.is_file() || meta.len() > MAX_JSON {
        let detail = format!("is no JSON file of up to {} MiB", MAX_JSON >> 20);
        return Err(ModelError::file(path, detail));
    }
    let bytes = std::fs::read(path).map_err(|e| ModelError::open(path, &e))?;
    String::from_utf8(bytes).map_err(|_| ModelError::file(path, "is not UTF-8; fetch it again"))
}

/// The files a checkpoint is made of.
struct Index {
    files: BTreeSet<PathBuf>,
}

impl Index {
    fn read(folder: &Path) -> Result<Index, ModelError> {
        let index = folder.join(INDEX);
        if index.exists() {
            return Index::parse(folder, &index, &read_json_text(&index)?);
        }
        let single = folder.join(SINGLE);
        let found = if single.exists() {
            vec![single]
        } else {
            files_with(folder, "safetensors")?
        };
        match found.as_slice() {
            [_] => Ok(Index {
                files: found.into_iter().collect(),
            }),
            [] => Err(ModelError::file(
                folder,
                "holds no .safetensors file; pass a folder with the weights beside config.json",
            )),
            several => Err(ModelError::file(
                folder,
                format!(
                    "holds {} .safetensors files and no {INDEX} that says how they belong \
                     together; fetch the index, too",
                    several.len()
                ),
            )),
        }
    }

    fn parse(folder: &Path, index: &Path, text: &str) -> Result<Index, ModelError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| ModelError::file(index, format!("not valid JSON: {e}; fetch it again")))?;
        let map = value.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| {
            let detail = "is missing; fetch the model's index again";
            ModelError::field(index, "weight_map", detail)
        })?;
        let mut files = BTreeSet::new();
        for (tensor, file) in map {
            let err = |detail: &str| {
                ModelError::field(index, format!("weight_map, tensor '{tensor}'"), detail)
            };
            let file = file.as_str().ok_or_else(|| err("does not name a file"))?;
            // A name with folders in it could reach files outside the checkpoint.
            let mut parts = Path::new(file).components();
            let is_name = matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(name)), None) if name == file
            );
            if !is_name || file.contains('\\') || !file.ends_with(".safetensors") {
                return Err(err("does not name a .safetensors file of this folder"));
            }
            files.insert(folder.join(file));
        }
        if files.is_empty() {
            return Err(ModelError::field(index, "weight_map", "names no file"));
        }
        Ok(Index { files })
    }
}
