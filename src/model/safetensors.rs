//! Hugging Face checkpoints: `config.json` with one or several `.safetensors` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::engine::DType;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::weights::TensorBytes;

const INDEX: &str = "model.safetensors.index.json";
/// What checkpoints with more than a text part put before the text part's names.
const PREFIXES: [&str; 3] = ["language_model.", "model.language_model.", "model."];

/// An open checkpoint folder.
pub struct Checkpoint {
    folder: PathBuf,
    tensors: BTreeMap<String, TensorBytes>,
}

impl Checkpoint {
    pub fn open(folder: &Path) -> Result<Checkpoint, ModelError> {
        let mut tensors = BTreeMap::new();
        for file in files(folder)? {
            for tensor in read(&file)? {
                if let Some(old) = tensors.insert(tensor.name.clone(), tensor) {
                    let field = format!("tensor '{}'", old.name);
                    return Err(ModelError::field(folder, field, "appears in two files"));
                }
            }
        }
        Ok(Checkpoint {
            folder: folder.to_owned(),
            tensors,
        })
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> Result<ModelConfig, ModelError> {
        let path = self.folder.join("config.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|e| ModelError::file(&path, format!("cannot be read: {e}")))?;
        ModelConfig::from_json(&path, &text)
    }

    /// A tensor by its usual name, whatever stands before it in this checkpoint.
    pub fn tensor(&self, name: &str) -> Option<TensorBytes> {
        let bare = name.strip_prefix("model.").unwrap_or(name);
        let others = PREFIXES
            .iter()
            .flat_map(|p| [format!("{p}{name}"), format!("{p}{bare}")]);
        let names = [name.to_owned(), bare.to_owned()].into_iter().chain(others);
        names
            .into_iter()
            .find_map(|name| self.tensors.get(&name).cloned())
    }

    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.range.len() as u64).sum()
    }
}

/// The files a checkpoint is made of.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = folder.join(INDEX);
    if !index.exists() {
        let single = folder.join("model.safetensors");
        if single.exists() {
            return Ok(vec![single]);
        }
        let detail =
            "holds no model.safetensors; pass a folder with the weights beside config.json";
        return Err(ModelError::file(folder, detail));
    }
    let text = std::fs::read_to_string(&index)
        .map_err(|e| ModelError::file(&index, format!("cannot be read: {e}")))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| ModelError::file(&index, format!("not valid JSON: {e}")))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| ModelError::field(&index, "weight_map", "is missing"))?;
    let mut names = Vec::new();
    for (tensor, file) in map {
        let err = |detail: &str| ModelError::field(&index, tensor.clone(), detail);
        let file = file.as_str().ok_or_else(|| err("does not name a file"))?;
        // A name with folders in it could reach files outside the checkpoint.
        let mut parts = Path::new(file).components();
        let plain = matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        );
        if !plain || !file.ends_with(".safetensors") {
            return Err(err("does not name a .safetensors file of this folder"));
        }
        names.push(folder.join(file));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<TensorBytes>, ModelError> {
    let file = File::open(path).map_err(|e| {
        ModelError::file(
            path,
            format!("cannot be opened: {e}; fetch the model again"),
        )
    })?;
    // SAFETY: read-only; see the note in `gguf.rs` on files that shrink while mapped.
    let map = unsafe { Mmap::map(&file) }
        .map_err(|e| ModelError::file(path, format!("cannot be mapped: {e}")))?;
    let map = Arc::new(map);
    let parsed = SafeTensors::deserialize(&map).map_err(|e| {
        ModelError::file(
            path,
            format!("not a whole safetensors file ({e}); fetch it again"),
        )
    })?;
    let base = map.as_ptr() as usize;
    let mut tensors = Vec::new();
    for (name, view) in parsed.iter() {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            // Buffers such as masks; asking for one as a weight fails by its name.
            _ => continue,
        };
        let (cols, rows) = match view.shape() {
            [] => (1, 1),
            [rows @ .., cols] => (*cols, rows.iter().product()),
        };
        let start = view.data().as_ptr() as usize - base;
        tensors.push(TensorBytes {
            name: name.to_owned(),
            dtype,
            rows,
            cols,
            map: map.clone(),
            range: start..start + view.data().len(),
        });
    }
    Ok(tensors)
}
