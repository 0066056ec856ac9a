//! A document's own keys and values, row by row: what a question is read after. Kept in a file,
//! they need not be made again, which takes as long as reading the document.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::MemoryError;
use super::kind::{Content, Folder, Kind, Loader};
use crate::engine::{DType, Device};
use crate::kernels::quant::{dequantize_row, quantize_row};
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::gguf::Gguf;
use crate::model::gguf::writer::{GgufWriter, Meta, WriteError};
use crate::model::session::Session;
use crate::model::transformer::Cache;
use crate::model::weights::TensorBytes;

const FILE: &str = "rows.gguf";
/// `general.type` of the file.
const TYPE: &str = "keys-and-values";
const LARGEST_F16: f32 = 65504.0;
const TOKENS: &str = "inscribe.rows.tokens";

/// Keys and values of every layer, after rotation, of the first tokens of a context.
#[derive(Clone)]
pub struct Rows {
    tokens: usize,
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// The cache that a reading filled, to be kept as `dtype`.
    Read {
        device: Device,
        cache: Cache,
        dtype: DType,
    },
    /// A mapped file.
    File(Arc<Gguf>),
}

impl Rows {
    /// The first `tokens` rows of a cache, to be kept as `dtype`: Q8_0 or F16.
    pub fn of(device: &Device, cache: &Cache, tokens: usize, dtype: DType) -> Rows {
        Rows {
            tokens,
            source: Source::Read {
                device: device.clone(),
                cache: cache.clone(),
                dtype,
            },
        }
    }

    /// Bytes that so many tokens take as this type.
    pub fn bytes(model: &ModelConfig, tokens: usize, dtype: DType) -> u64 {
        let width = model.kv_heads * model.head_dim;
        let rows = types(dtype, width).map(|dtype| dtype.row_bytes(width).unwrap_or(0));
        (model.layers * tokens * rows.iter().sum::<usize>()) as u64
    }

    fn load(folder: &Path, model: &ModelConfig) -> Result<Rows, MemoryError> {
        let path = folder.join(FILE);
        let file = Gguf::open(&path)?;
        let err = |detail: &str| Err(MemoryError::file(&path, detail));
        if file.get_str("general.type")? != Some(TYPE) {
            return err("holds no keys and values");
        }
        let Some(tokens) = file.get_u64(TOKENS)? else {
            return err("does not say how many tokens it is of");
        };
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        let width = model.kv_heads * model.head_dim;
        for layer in 0..model.layers {
            for name in names(layer) {
                let found = file.tensor(&name).map(|t| (t.rows, t.cols));
                if found != Some((tokens, width)) {
                    return err("is of another model");
                }
            }
        }
        Ok(Rows {
            tokens,
            source: Source::File(Arc::new(file)),
        })
    }

    /// Keys and values of one layer.
    fn layer(&self, layer: usize) -> Result<[Vec<f32>; 2], ModelError> {
        match &self.source {
            Source::Read { device, cache, .. } => cache.read_rows(device, layer, self.tokens),
            Source::File(file) => {
                let [keys, values] = names(layer).map(|name| {
                    let tensor = file.tensor(&name);
                    tensor.map(values_of).unwrap_or_default()
                });
                Ok([keys, values])
            }
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} tokens)", self.tokens)
    }
}

impl Kind for Rows {
    fn kind(&self) -> &'static str {
        LOADER.kind
    }

    fn fault(&self, model: &ModelConfig) -> Option<String> {
        let layers = match &self.source {
            Source::Read { cache, .. } => cache.layers(),
            Source::File(_) => model.layers,
        };
        (layers != model.layers).then(|| "the keys and values are of another model".into())
    }

    fn save(&self, folder: &mut Folder<'_>, model: &ModelConfig) -> Result<(), MemoryError> {
        let path = folder.path().join(FILE);
        let (device, cache, dtype) = match &self.source {
            Source::File(file) => {
                let map = file.tensors().next().map(|tensor| tensor.map.clone());
                let bytes = map.as_ref().map_or(&[][..], |map| map);
                return folder.write(FILE, bytes);
            }
            Source::Read {
                device,
                cache,
                dtype,
            } => (device, cache, *dtype),
        };
        let width = model.kv_heads * model.head_dim;
        let types = types(dtype, width);
        let failed = |e: WriteError| MemoryError::file(&path, format!("not written: {e}"));
        let mut writer = GgufWriter::new();
        let mut header = || -> Result<(), WriteError> {
            writer.set("general.architecture", model.arch.name().into())?;
            writer.set("general.type", TYPE.into())?;
            writer.set(TOKENS, Meta::U64(self.tokens as u64))?;
            for layer in 0..model.layers {
                for (name, dtype) in names(layer).iter().zip(types) {
                    writer.announce(name, dtype, &[self.tokens, width])?;
                }
            }
            Ok(())
        };
        header().map_err(failed)?;
        // One layer at a time: all of them as f32 are several times the file.
        let mut unread = None;
        folder
            .write_with(FILE, |out| {
                let mut data = writer.begin(out).map_err(as_io)?;
                for layer in 0..model.layers {
                    let both = match cache.read_rows(device, layer, self.tokens) {
                        Ok(both) => both,
                        Err(error) => {
                            unread = Some(error);
                            return Err(io::Error::other("the device"));
                        }
                    };
                    for (values, dtype) in both.iter().zip(types) {
                        let bytes = packed(dtype, values, width);
                        if dtype == DType::F16 && !values.iter().all(|v| v.abs() <= LARGEST_F16) {
                            let what = "some of them are beyond what 16 bits hold";
                            return Err(io::Error::other(what));
                        }
                        data.tensor(&bytes).map_err(as_io)?;
                    }
                }
                data.finish().map_err(as_io)?.flush()
            })
            .map_err(|error| unread.map_or(error, MemoryError::Model))
    }

    fn enter(&self, session: &mut Session) -> Result<(), ModelError> {
        session.restore(self.tokens, &mut |layer| self.layer(layer))
    }

    fn document_tokens(&self) -> Option<usize> {
        Some(self.tokens)
    }

    fn equals(&self, other: &dyn Kind) -> bool {
        let Some(other) = (other as &dyn Any).downcast_ref::<Rows>() else {
            return false;
        };
        let layers = |rows: &Rows| match &rows.source {
            Source::Read { cache, .. } => cache.layers(),
            Source::File(file) => file.tensors().count() / 2,
        };
        let same = |layer| match (self.layer(layer), other.layer(layer)) {
            (Ok(own), Ok(theirs)) => own == theirs,
            _ => false,
        };
        (self.tokens, layers(self)) == (other.tokens, layers(other)) && (0..layers(self)).all(same)
    }
}

/// Finds kept keys and values.
pub const LOADER: Loader = Loader {
    kind: "rows",
    files: &[FILE],
    derived: true,
    load: |folder, model| Rows::load(folder, model).map(Content::new),
};

/// The system's own errors as they are, so that a full disk is known for one.
fn as_io(error: WriteError) -> io::Error {
    match error {
        WriteError::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn names(layer: usize) -> [String; 2] {
    ["keys", "values"].map(|what| format!("blk.{layer}.{what}"))
}

/// The types of keys and values. Keys have 16 bits at least: 8 move the likelihood of an answer by up
/// to 0.052 nats a token, where the values' 8 move it by 0.0072 (SmolLM2-135M, 5,060 tokens).
fn types(dtype: DType, width: usize) -> [DType; 2] {
    let whole = width.is_multiple_of(dtype.block_len());
    [DType::F16, if whole { dtype } else { DType::F16 }]
}

fn packed(dtype: DType, values: &[f32], width: usize) -> Vec<u8> {
    let row_bytes = dtype.row_bytes(width).unwrap_or(0);
    let mut bytes = vec![0; values.len() / width.max(1) * row_bytes];
    let rows = bytes.chunks_exact_mut(row_bytes.max(1));
    for (values, bytes) in values.chunks_exact(width.max(1)).zip(rows) {
        quantize_row(dtype, values, bytes);
    }
    bytes
}

fn values_of(tensor: &TensorBytes) -> Vec<f32> {
    let mut values = vec![0.0; tensor.rows * tensor.cols];
    dequantize_row(tensor.dtype, tensor.bytes(), &mut values);
    values
}
