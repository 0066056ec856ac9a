//! One face for GGUF files and safetensors folders.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::engine::DType;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;
use crate::model::names::{LayerRole, Role};
use crate::model::safetensors::Checkpoint;

/// A tensor's bytes in a mapped file, and what they are. Cheap to clone.
#[derive(Clone)]
pub struct TensorBytes {
    pub name: String,
    pub dtype: DType,
    /// All dimensions but the last one multiplied; 1 for a vector.
    pub rows: usize,
    pub cols: usize,
    pub map: Arc<Mmap>,
    pub range: Range<usize>,
}

/// A model's weights on disk.
pub enum WeightFile {
    Gguf(Gguf),
    Checkpoint(Checkpoint),
}

impl WeightFile {
    /// Opens a `.gguf` file, a folder with `config.json` and safetensors, or a folder that holds
    /// exactly one `.gguf`.
    pub fn open(path: &Path) -> Result<WeightFile, ModelError> {
        if !path.is_dir() {
            if path.extension().is_some_and(|e| e == "safetensors") {
                let detail =
                    "one file of a checkpoint; pass the folder that also holds config.json";
                return Err(ModelError::file(path, detail));
            }
            return Gguf::open(path).map(WeightFile::Gguf);
        }
        if path.join("config.json").exists() {
            return Checkpoint::open(path).map(WeightFile::Checkpoint);
        }
        match ggufs_in(path)?.as_slice() {
            [one] => Gguf::open(one).map(WeightFile::Gguf),
            [] => Err(ModelError::file(
                path,
                "holds neither config.json nor a .gguf file; pass a model's folder or file",
            )),
            several => Err(ModelError::file(
                path,
                format!("holds {} .gguf files; pass one of them", several.len()),
            )),
        }
    }

    /// What the files say the model is.
    pub fn config(&self) -> Result<ModelConfig, ModelError> {
        match self {
            WeightFile::Gguf(gguf) => ModelConfig::from_gguf(gguf),
            WeightFile::Checkpoint(checkpoint) => checkpoint.config(),
        }
    }

    /// The file or folder it was opened from.
    pub fn path(&self) -> &Path {
        match self {
            WeightFile::Gguf(gguf) => gguf.path(),
            WeightFile::Checkpoint(checkpoint) => checkpoint.path(),
        }
    }

    /// The weight that plays `role`, which must have this shape.
    pub fn role(&self, role: Role, rows: usize, cols: usize) -> Result<TensorBytes, ModelError> {
        let (name, found) = match self {
            WeightFile::Gguf(gguf) => {
                let name = role.gguf();
                let found = gguf.tensor(&name).cloned();
                (name, found)
            }
            WeightFile::Checkpoint(checkpoint) => {
                let post_ffn = Role::Layer(0, LayerRole::PostFfnNorm).hugging_face(true);
                let sandwich = checkpoint.tensor(&post_ffn).is_some();
                let name = role.hugging_face(sandwich);
                let found = checkpoint.tensor(&name);
                (name, found)
            }
        };
        let field = format!("tensor '{name}'");
        let tensor = found.ok_or_else(|| {
            ModelError::field(
                self.path(),
                &field,
                "is missing; the file is not a complete model",
            )
        })?;
        if (tensor.rows, tensor.cols) != (rows, cols) {
            let detail = format!(
                "is {} x {} and the config says {rows} x {cols}",
                tensor.rows, tensor.cols
            );
            return Err(ModelError::field(self.path(), &field, detail));
        }
        Ok(tensor)
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        match self {
            WeightFile::Gguf(gguf) => gguf.tensors().map(|t| t.range.len() as u64).sum(),
            WeightFile::Checkpoint(checkpoint) => checkpoint.total_bytes(),
        }
    }
}

fn ggufs_in(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| ModelError::file(folder, format!("cannot be listed: {e}")))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "gguf"))
        .collect();
    found.sort();
    Ok(found)
}
