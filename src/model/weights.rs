//! One interface to GGUF files and safetensors folders.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::engine::DType;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::gguf::Gguf;
use crate::model::names::{LayerRole, Role};
use crate::model::safetensors::SafetensorsFolder;

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

impl TensorBytes {
    /// The elements as the file holds them.
    pub fn bytes(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

/// A model's weights on disk.
pub enum WeightFile {
    Gguf(Gguf),
    Safetensors(SafetensorsFolder),
}

impl WeightFile {
    /// Opens a `.gguf` file, a folder with `config.json` and safetensors, or a folder that holds
    /// exactly one `.gguf`.
    pub fn open(path: &Path) -> Result<WeightFile, ModelError> {
        if path.is_dir() {
            return WeightFile::open_folder(path);
        }
        if path.extension().is_some_and(|e| e == "safetensors") {
            let detail = "is one file of a checkpoint; pass the folder that also holds config.json";
            return Err(ModelError::file(path, detail));
        }
        Gguf::open(path).map(WeightFile::Gguf)
    }

    fn open_folder(folder: &Path) -> Result<WeightFile, ModelError> {
        let err = |detail: String| Err(ModelError::file(folder, detail));
        let has_config = folder.join("config.json").is_file();
        let has_safetensors = !files_with(folder, "safetensors")?.is_empty();
        if has_config && has_safetensors {
            return SafetensorsFolder::open(folder).map(WeightFile::Safetensors);
        }
        match files_with(folder, "gguf")?.as_slice() {
            [one] => Gguf::open(one).map(WeightFile::Gguf),
            [_, ..] => err("holds several .gguf files; pass one of them".into()),
            [] if has_safetensors => err("holds .safetensors files and no config.json; fetch \
                                          config.json and tokenizer.json, too"
                .into()),
            [] if has_config => err("holds config.json and no .safetensors file; fetch the \
                                     weights, too (PyTorch's .bin files cannot be read)"
                .into()),
            [] => err(
                "holds neither config.json nor a .gguf file; pass a model's folder or \
                       file"
                    .into(),
            ),
        }
    }

    /// What the files say the model is.
    pub fn config(&self) -> Result<ModelConfig, ModelError> {
        match self {
            WeightFile::Gguf(gguf) => ModelConfig::from_gguf(gguf),
            WeightFile::Safetensors(checkpoint) => checkpoint.config(),
        }
    }

    /// The file or folder it was opened from.
    pub fn path(&self) -> &Path {
        match self {
            WeightFile::Gguf(gguf) => gguf.path(),
            WeightFile::Safetensors(checkpoint) => checkpoint.path(),
        }
    }

    /// A tensor by the name it has in this file.
    pub fn tensor(&self, name: &str) -> Option<&TensorBytes> {
        match self {
            WeightFile::Gguf(gguf) => gguf.tensor(name),
            WeightFile::Safetensors(checkpoint) => checkpoint.tensor(name),
        }
    }

    /// Every tensor, sorted by name.
    pub fn tensors(&self) -> Box<dyn Iterator<Item = &TensorBytes> + '_> {
        match self {
            WeightFile::Gguf(gguf) => Box::new(gguf.tensors()),
            WeightFile::Safetensors(checkpoint) => Box::new(checkpoint.tensors()),
        }
    }

    /// What this file calls the weight that plays `role`.
    pub fn name_of(&self, role: Role) -> String {
        match self {
            WeightFile::Gguf(_) => role.gguf(),
            WeightFile::Safetensors(checkpoint) => {
                let post_ffn = Role::Layer(0, LayerRole::PostFfnNorm).hugging_face(true);
                role.hugging_face(checkpoint.tensor(&post_ffn).is_some())
            }
        }
    }

    /// The weight that plays `role`, which must have this shape.
    pub fn role(&self, role: Role, rows: usize, cols: usize) -> Result<TensorBytes, ModelError> {
        let name = self.name_of(role);
        let err = |detail: String| {
            let field = format!("tensor '{name}'");
            Err(ModelError::field(self.path(), field, detail))
        };
        let Some(tensor) = self.tensor(&name) else {
            return err(
                "is missing: this is not a complete model, or its weights are of a type \
                        that cannot be read"
                    .into(),
            );
        };
        if (tensor.rows, tensor.cols) != (rows, cols) {
            return err(format!(
                "is {} x {} and the config says {rows} x {cols}: they do not belong together",
                tensor.rows, tensor.cols
            ));
        }
        Ok(tensor.clone())
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        self.tensors().map(|t| t.range.len() as u64).sum()
    }
}

/// The files of a folder with this extension, sorted.
pub(crate) fn files_with(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ModelError> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| ModelError::file(folder, format!("cannot be listed: {e}")))?;
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(found)
}
