//! GGUF v2 and v3: metadata and a directory of tensors over a mapped file.
//!
//! Nothing a file says is believed before it is held against the file's own length: counts,
//! lengths and offsets can neither panic nor reserve memory they do not have.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::engine::DType;
use crate::model::error::ModelError;
use crate::model::weights::TensorBytes;

const MAGIC: &[u8; 4] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Arrays of arrays nest no deeper than this.
const MAX_NESTING: usize = 4;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

impl Value {
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Unsigned(v) => Some(*v),
            Value::Signed(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(v) => Some(*v),
            Value::Unsigned(v) => Some(*v as f64),
            Value::Signed(v) => Some(*v as f64),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(v) = self {
            Some(v)
        } else {
            None
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(v) = self {
            Some(v)
        } else {
            None
        }
    }
}

/// An open GGUF file.
pub struct Gguf {
    path: PathBuf,
    pub metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorBytes>,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Gguf, ModelError> {
        let file = File::open(path)
            .map_err(|e| ModelError::file(path, format!("cannot be opened: {e}")))?;
        // SAFETY: the map is read-only. A file that another process shortens meanwhile would end
        // this one with a signal, as for every program that maps its weights; models in the cache
        // are only ever replaced by renaming.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|e| ModelError::file(path, format!("cannot be mapped: {e}")))?;
        Gguf::parse(path, Arc::new(map))
    }

    fn parse(path: &Path, map: Arc<Mmap>) -> Result<Gguf, ModelError> {
        let mut reader = Reader {
            path,
            bytes: &map,
            at: 0,
        };
        let (tensor_count, metadata_count) = reader.header()?;
        let metadata = reader.metadata(metadata_count)?;
        let infos = reader.tensor_infos(tensor_count)?;
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value
                .as_u64()
                .filter(|a| a.is_power_of_two() && *a <= 1 << 20)
                .ok_or_else(|| {
                    ModelError::field(
                        path,
                        "general.alignment",
                        "must be a power of two up to 1 MiB",
                    )
                })?,
        };
        let data_start = (reader.at as u64).next_multiple_of(alignment);
        let tensors = place(path, &map, infos, data_start, alignment)?;
        Ok(Gguf {
            path: path.to_owned(),
            metadata,
            tensors,
        })
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

    /// A number that must be there.
    pub fn require_u64(&self, key: &str) -> Result<u64, ModelError> {
        let value = self.require(key)?;
        value
            .as_u64()
            .ok_or_else(|| self.field_error(key, "is not a whole number"))
    }

    /// A number that may be there.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, ModelError> {
        let read = |v: &Value| {
            v.as_u64()
                .ok_or_else(|| self.field_error(key, "is not a whole number"))
        };
        self.metadata.get(key).map(read).transpose()
    }

    /// A number that may be there.
    pub fn get_f64(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let read = |v: &Value| {
            v.as_f64()
                .ok_or_else(|| self.field_error(key, "is not a number"))
        };
        self.metadata.get(key).map(read).transpose()
    }

    /// A text that may be there.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, ModelError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(v) => v
                .as_str()
                .map(Some)
                .ok_or_else(|| self.field_error(key, "is not a text")),
        }
    }

    pub fn field_error(&self, field: &str, detail: impl Into<String>) -> ModelError {
        ModelError::field(&self.path, field, detail)
    }
}

struct TensorInfo {
    name: String,
    dtype: DType,
    rows: usize,
    cols: usize,
    offset: u64,
}

/// Checks where each tensor lies: inside the file, aligned, none over another.
fn place(
    path: &Path,
    map: &Arc<Mmap>,
    infos: Vec<TensorInfo>,
    data_start: u64,
    alignment: u64,
) -> Result<BTreeMap<String, TensorBytes>, ModelError> {
    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::with_capacity(infos.len());
    for info in infos {
        let err =
            |detail: String| ModelError::field(path, format!("tensor '{}'", info.name), detail);
        if !info.offset.is_multiple_of(alignment) {
            return Err(err(format!(
                "its offset {} is not aligned to {alignment}",
                info.offset
            )));
        }
        let size = info
            .dtype
            .row_bytes(info.cols)
            .and_then(|b| b.checked_mul(info.rows));
        let size = size.ok_or_else(|| {
            let block = info.dtype.block_len();
            err(format!(
                "{} columns are not whole blocks of {block} ({})",
                info.cols, info.dtype
            ))
        })?;
        let start = data_start.checked_add(info.offset);
        let end = start
            .and_then(|s| s.checked_add(size as u64))
            .filter(|e| *e <= map.len() as u64);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(err(format!(
                "its {size} bytes at offset {} reach past the end of the file ({} bytes): the file is truncated; fetch it again",
                info.offset,
                map.len()
            )));
        };
        if size > 0 {
            ranges.push((start, end, info.name.clone()));
        }
        let tensor = TensorBytes {
            name: info.name.clone(),
            dtype: info.dtype,
            rows: info.rows,
            cols: info.cols,
            map: map.clone(),
            range: start as usize..end as usize,
        };
        if tensors.insert(info.name.clone(), tensor).is_some() {
            return Err(err("appears twice".into()));
        }
    }
    ranges.sort();
    for pair in ranges.windows(2) {
        if let [(_, end, first), (start, _, second)] = pair
            && start < end
        {
            return Err(ModelError::field(
                path,
                format!("tensor '{second}'"),
                format!("overlaps tensor '{first}'"),
            ));
        }
    }
    Ok(tensors)
}

struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn header(&mut self) -> Result<(u64, u64), ModelError> {
        let magic = self.bytes.get(..4).unwrap_or(self.bytes);
        if magic != MAGIC {
            return Err(ModelError::file(
                self.path,
                format!(
                    "not a GGUF file (it begins with {:?}); pass a .gguf file or a folder with config.json and .safetensors",
                    String::from_utf8_lossy(magic)
                ),
            ));
        }
        self.at = 4;
        let version = self.u32("version")?;
        if version == 1 || version.swap_bytes() < 16 && version > 0xffff {
            return Err(self.err(
                "version",
                "is version 1 or big-endian; convert the model again to GGUF v3",
            ));
        }
        if !(2..=3).contains(&version) {
            return Err(self.err(
                "version",
                format!("is {version}; versions 2 and 3 can be read"),
            ));
        }
        Ok((self.u64("tensor_count")?, self.u64("metadata_kv_count")?))
    }

    fn metadata(&mut self, count: u64) -> Result<BTreeMap<String, Value>, ModelError> {
        // A pair takes 8 bytes of key length, 4 of type and at least 1 of value.
        self.check_count("metadata_kv_count", count, 13)?;
        let mut metadata = BTreeMap::new();
        for i in 0..count {
            let key = self.string(&format!("metadata key {i}"))?;
            let kind = self.u32(&key)?;
            let value = self.value(&key, kind, 0)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(self.err(&key, "appears twice"));
            }
        }
        Ok(metadata)
    }

    fn value(&mut self, key: &str, kind: u32, depth: usize) -> Result<Value, ModelError> {
        Ok(match kind {
            0 => Value::Unsigned(self.take::<1>(key)?[0].into()),
            1 => Value::Signed(i8::from_le_bytes(self.take(key)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.take(key)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.take(key)?).into()),
            4 => Value::Unsigned(self.u32(key)?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.take(key)?).into()),
            6 => Value::Float(f32::from_le_bytes(self.take(key)?).into()),
            7 => match self.take::<1>(key)?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(self.err(key, format!("is a truth value of {other}"))),
            },
            8 => Value::String(self.string(key)?),
            9 => Value::Array(self.array(key, depth)?),
            10 => Value::Unsigned(self.u64(key)?),
            11 => Value::Signed(i64::from_le_bytes(self.take(key)?)),
            12 => Value::Float(f64::from_le_bytes(self.take(key)?)),
            other => return Err(self.err(key, format!("has the unknown type {other}"))),
        })
    }

    fn array(&mut self, key: &str, depth: usize) -> Result<Vec<Value>, ModelError> {
        if depth >= MAX_NESTING {
            return Err(self.err(key, "nests arrays too deeply"));
        }
        let kind = self.u32(key)?;
        let count = self.u64(key)?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            other => return Err(self.err(key, format!("holds the unknown type {other}"))),
        };
        self.check_count(key, count, least)?;
        (0..count)
            .map(|_| self.value(key, kind, depth + 1))
            .collect()
    }

    fn tensor_infos(&mut self, count: u64) -> Result<Vec<TensorInfo>, ModelError> {
        // Name length, dimensions' number, type and offset: 24 bytes at least.
        self.check_count("tensor_count", count, 24)?;
        let mut names = HashSet::new();
        let mut infos = Vec::new();
        for i in 0..count {
            let name = self.string(&format!("name of tensor {i}"))?;
            if !names.insert(name.clone()) {
                return Err(self.err(&format!("tensor '{name}'"), "appears twice"));
            }
            infos.push(self.tensor_info(name)?);
        }
        Ok(infos)
    }

    fn tensor_info(&mut self, name: String) -> Result<TensorInfo, ModelError> {
        let field = format!("tensor '{name}'");
        let dimensions = self.u32(&field)?;
        if !(1..=4).contains(&dimensions) {
            return Err(self.err(&field, format!("has {dimensions} dimensions")));
        }
        let cols = self.dimension(&field)?;
        let mut rows = 1usize;
        for _ in 1..dimensions {
            let next = self.dimension(&field)?;
            rows = rows
                .checked_mul(next)
                .ok_or_else(|| self.err(&field, "has dimensions whose product overflows"))?;
        }
        let dtype = dtype_of(self.u32(&field)?).map_err(|detail| self.err(&field, detail))?;
        let offset = self.u64(&field)?;
        Ok(TensorInfo {
            name,
            dtype,
            rows,
            cols,
            offset,
        })
    }

    fn dimension(&mut self, field: &str) -> Result<usize, ModelError> {
        let value = self.u64(field)?;
        usize::try_from(value)
            .ok()
            .filter(|v| *v < 1 << 40)
            .ok_or_else(|| self.err(field, format!("has a dimension of {value}")))
    }

    /// Refuses counts that the rest of the file cannot hold.
    fn check_count(&self, field: &str, count: u64, least_bytes: u64) -> Result<(), ModelError> {
        let left = (self.bytes.len() - self.at) as u64;
        match count.checked_mul(least_bytes) {
            Some(bytes) if bytes <= left => Ok(()),
            _ => Err(self.err(
                field,
                format!("counts {count} entries and the file has only {left} bytes left: it is truncated or damaged; fetch it again"),
            )),
        }
    }

    fn string(&mut self, field: &str) -> Result<String, ModelError> {
        let len = self.u64(field)?;
        self.check_count(field, len, 1)?;
        let bytes = &self.bytes[self.at..self.at + len as usize];
        self.at += len as usize;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.err(field, "is not UTF-8")),
        }
    }

    fn u32(&mut self, field: &str) -> Result<u32, ModelError> {
        Ok(u32::from_le_bytes(self.take(field)?))
    }

    fn u64(&mut self, field: &str) -> Result<u64, ModelError> {
        Ok(u64::from_le_bytes(self.take(field)?))
    }

    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], ModelError> {
        let bytes = self.bytes[self.at..].first_chunk::<N>().copied();
        let bytes = bytes.ok_or_else(|| {
            self.err(field, "the file ends here: it is truncated; fetch it again")
        })?;
        self.at += N;
        Ok(bytes)
    }

    fn err(&self, field: &str, detail: impl Into<String>) -> ModelError {
        ModelError::field(self.path, field, detail)
    }
}

/// GGUF's number of a tensor type.
fn dtype_of(kind: u32) -> Result<DType, String> {
    Ok(match kind {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::Q4_0,
        3 => DType::Q4_1,
        6 => DType::Q5_0,
        7 => DType::Q5_1,
        8 => DType::Q8_0,
        12 => DType::Q4_K,
        13 => DType::Q5_K,
        14 => DType::Q6_K,
        30 => DType::BF16,
        other => {
            let name = match other {
                9 => "Q8_1",
                10 => "Q2_K",
                11 => "Q3_K",
                15 => "Q8_K",
                16..=23 | 29 => "an IQ type",
                24..=28 => "an integer or f64 type",
                34 | 35 => "a ternary type",
                39 => "MXFP4",
                _ => "unknown",
            };
            let known = DType::WEIGHTS.map(DType::name).join(" ");
            return Err(format!(
                "has type {other} ({name}), which cannot be read; use a file in one of {known}"
            ));
        }
    })
}
