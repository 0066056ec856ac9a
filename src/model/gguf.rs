//! GGUF v2 and v3: metadata and a directory of tensors over a mapped file, and a writer.
//!
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

mod reader;
#[cfg(test)]
mod tests;
mod value;
pub mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::engine::DType;
use crate::model::error::ModelError;
use crate::model::mapping::map_file;
use crate::model::weights::TensorBytes;
use reader::{Reader, TensorInfo, tensor_field};
pub use value::{Array, Value};

const DEFAULT_ALIGNMENT: u64 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// GGUF's numbers of the tensor types that can be read.
const TENSOR_TYPES: [(u32, DType); 11] = [
    (0, DType::F32),
    (1, DType::F16),
    (2, DType::Q4_0),
    (3, DType::Q4_1),
    (6, DType::Q5_0),
    (7, DType::Q5_1),
    (8, DType::Q8_0),
    (12, DType::Q4_K),
    (13, DType::Q5_K),
    (14, DType::Q6_K),
    (30, DType::BF16),
];

/// An open GGUF file.
pub struct Gguf {
    path: PathBuf,
    pub metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorBytes>,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Gguf, ModelError> {
        Gguf::from_map(path, map_file(path)?)
    }

    /// Reads a file that is already mapped; `path` is what errors name.
    pub fn from_map(path: &Path, map: Arc<Mmap>) -> Result<Gguf, ModelError> {
        match Gguf::read(path, &map)? {
            (gguf, None) => Ok(gguf),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// Opens a file as far as it can be read: without its tensors, and with what is wrong, where
    /// those cannot be.
    pub fn peek(path: &Path) -> Result<(Gguf, Option<ModelError>), ModelError> {
        Gguf::read(path, &map_file(path)?)
    }

    fn read(path: &Path, map: &Arc<Mmap>) -> Result<(Gguf, Option<ModelError>), ModelError> {
        let mut reader = Reader::new(path, map, 0);
        let (tensor_count, metadata_count) = reader.header()?;
        let metadata = reader.metadata(metadata_count)?;
        let tensors = read_tensors(path, map, &mut reader, tensor_count, &metadata);
        let (tensors, fault) = match tensors {
            Ok(tensors) => (tensors, None),
            Err(fault) => (BTreeMap::new(), Some(fault)),
        };
        let gguf = Gguf {
            path: path.to_owned(),
            metadata,
            tensors,
        };
        Ok((gguf, fault))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn tensor(&self, name: &str) -> Option<&TensorBytes> {
        self.tensors.get(name)
    }

    pub fn tensors(&self) -> impl Iterator<Item = &TensorBytes> {
        self.tensors.values()
    }

    /// A metadata value that must be there.
    pub fn require(&self, key: &str) -> Result<&Value, ModelError> {
        self.metadata
            .get(key)
            .ok_or_else(|| self.field_error(key, "is missing; the file is not a complete model"))
    }

    /// A number that may be there.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, ModelError> {
        self.get(key, Value::as_u64, "a whole number")
    }

    /// A number that may be there.
    pub fn get_f64(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.get(key, Value::as_f64, "a number")
    }

    /// A truth value that may be there.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, ModelError> {
        self.get(key, Value::as_bool, "true or false")
    }

    /// A text that may be there.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, ModelError> {
        self.get(key, Value::as_str, "a text")
    }

    /// An array that may be there.
    pub fn get_array(&self, key: &str) -> Result<Option<&Array>, ModelError> {
        self.get(key, Value::as_array, "an array")
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ModelError> {
        let read = |value: &'a Value| {
            read(value).ok_or_else(|| {
                let detail = format!("is {}, not {expected}", describe(value));
                self.field_error(key, detail)
            })
        };
        self.metadata.get(key).map(read).transpose()
    }

    pub fn field_error(&self, field: &str, detail: impl Into<String>) -> ModelError {
        ModelError::field(&self.path, field, detail)
    }
}

/// Which part of how many a file is by its name: `model-00001-of-00003.gguf` is the first of three.
pub fn part_of(name: &str) -> Option<(u32, u32)> {
    let stem = name.get(..name.len().checked_sub(5)?)?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let number = rest.rsplit('-').next()?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    let both = digits(number) && digits(count);
    let part = (number.parse().ok()?, count.parse().ok()?);
    both.then_some(part)
}

fn describe(value: &Value) -> String {
    match value {
        Value::Unsigned(v) => v.to_string(),
        Value::Signed(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::String(_) => "a text".into(),
        Value::Array(array) => format!("an array of {}", array.len()),
    }
}

/// Reads the directory of tensors, which `reader` has come to.
fn read_tensors(
    path: &Path,
    map: &Arc<Mmap>,
    reader: &mut Reader<'_>,
    count: u64,
    metadata: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, TensorBytes>, ModelError> {
    let infos = reader.tensor_infos(count)?;
    let alignment = match metadata.get(ALIGNMENT_KEY) {
        None => DEFAULT_ALIGNMENT,
        Some(value) => value
            .as_u64()
            .filter(|a| a.is_power_of_two() && *a <= 1 << 20)
            .ok_or_else(|| {
                let detail = "must be a power of two up to 1 MiB; the file is damaged";
                ModelError::field(path, ALIGNMENT_KEY, detail)
            })?,
    };
    let place = Placement {
        path,
        map,
        data_start: (reader.at as u64).next_multiple_of(alignment),
        alignment,
    };
    place.all(infos)
}

/// Where tensors may lie in a file.
struct Placement<'a> {
    path: &'a Path,
    map: &'a Arc<Mmap>,
    data_start: u64,
    alignment: u64,
}

impl Placement<'_> {
    /// Checks where each tensor lies: inside the file, aligned, none over another.
    fn all(&self, infos: Vec<TensorInfo>) -> Result<BTreeMap<String, TensorBytes>, ModelError> {
        let mut placed = infos
            .into_iter()
            .map(|info| self.one(info))
            .collect::<Result<Vec<_>, _>>()?;
        placed.sort_by_key(|t| (t.range.start, t.range.end));
        for pair in placed.windows(2) {
            if let [first, second] = pair
                && second.range.start < first.range.end
            {
                let detail = format!("overlaps tensor '{}'; the file is damaged", first.name);
                return Err(self.err(&second.name, detail));
            }
        }
        Ok(placed.into_iter().map(|t| (t.name.clone(), t)).collect())
    }

    fn one(&self, info: TensorInfo) -> Result<TensorBytes, ModelError> {
        let err = |detail: String| Err(self.err(&info.name, detail));
        if !info.offset.is_multiple_of(self.alignment) {
            return err(format!(
                "its offset {} is not a multiple of {}; the file is damaged",
                info.offset, self.alignment
            ));
        }
        if !info.cols.is_multiple_of(info.dtype.block_len()) {
            return err(format!(
                "its rows of {} elements are not whole blocks of {} ({})",
                info.cols,
                info.dtype.block_len(),
                info.dtype
            ));
        }
        let row = info.dtype.row_bytes(info.cols);
        let size = row.and_then(|b| b.checked_mul(info.rows));
        let start = self.data_start.checked_add(info.offset);
        let end = start.zip(size).and_then(|(s, b)| s.checked_add(b as u64));
        let (Some(start), Some(end)) = (start, end.filter(|e| *e <= self.map.len() as u64)) else {
            return err(format!(
                "its {} x {} elements at offset {} reach past the end of the file ({} bytes): the \
                 file is truncated; fetch it again",
                info.rows,
                info.cols,
                info.offset,
                self.map.len()
            ));
        };
        Ok(TensorBytes {
            name: info.name,
            dtype: info.dtype,
            rows: info.rows,
            cols: info.cols,
            map: self.map.clone(),
            range: start as usize..end as usize,
        })
    }

    fn err(&self, name: &str, detail: String) -> ModelError {
        ModelError::field(self.path, tensor_field(name), detail)
    }
}
