//! Walks a GGUF header. Nothing it says is believed before it is held against the file's length.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::value::{Array, Value};
use crate::engine::DType;
use crate::model::error::{LFS_POINTER, ModelError, printable};

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Arrays of arrays nest no deeper than this.
const MAX_NESTING: usize = 4;
/// More than any model has, and few enough that their directory fits any memory.
const MAX_TENSORS: u64 = 1 << 20;
const MAX_KEYS: u64 = 1 << 16;
pub(super) const MAX_NAME: u64 = 1 << 10;
const MAX_DIMENSION: u64 = 1 << 40;

const TRUNCATED: &str = "the file is truncated or damaged; fetch it again";

/// GGUF's types of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    /// In the order of their numbers in the file.
    const ALL: [Kind; 13] = [
        Kind::U8,
        Kind::I8,
        Kind::U16,
        Kind::I16,
        Kind::U32,
        Kind::I32,
        Kind::F32,
        Kind::Bool,
        Kind::String,
        Kind::Array,
        Kind::U64,
        Kind::I64,
        Kind::F64,
    ];

    fn new(number: u32) -> Option<Kind> {
        Kind::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Bytes one value takes at least; exactly, where `is_fixed`.
    fn least_bytes(self) -> u64 {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => 1,
            Kind::U16 | Kind::I16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::String | Kind::U64 | Kind::I64 | Kind::F64 => 8,
            Kind::Array => 12,
        }
    }

    fn is_fixed(self) -> bool {
        !matches!(self, Kind::Bool | Kind::String | Kind::Array)
    }
}

/// What the directory says of a tensor.
pub(super) struct TensorInfo {
    pub name: String,
    pub dtype: DType,
    pub rows: usize,
    pub cols: usize,
    pub offset: u64,
}

pub(super) struct Reader<'a> {
    path: &'a Path,
    map: &'a Arc<Mmap>,
    pub at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at byte `at`, which must lie in the file.
    pub fn new(path: &'a Path, map: &'a Arc<Mmap>, at: usize) -> Self {
        Reader { path, map, at }
    }

    /// Checks the magic and the version; gives the numbers of tensors and of metadata keys.
    pub fn header(&mut self) -> Result<(u64, u64), ModelError> {
        if self.map.starts_with(LFS_POINTER) {
            return Err(ModelError::lfs_pointer(self.path));
        }
        if !self.map.starts_with(MAGIC) {
            return Err(ModelError::file(self.path, what_it_is_instead(self.map)));
        }
        self.at = MAGIC.len();
        let version = self.u32("version")?;
        match version {
            2 | 3 => {}
            1 => return Err(self.err("version", "is 1; convert the model again to GGUF 3")),
            _ if (1..=16).contains(&version.swap_bytes()) => {
                let detail = "the file is big-endian; convert the model for this machine";
                return Err(self.err("version", detail));
            }
            _ => {
                let detail = format!("is {version}; GGUF 2 and 3 can be read");
                return Err(self.err("version", detail));
            }
        }
        Ok((self.u64("tensor_count")?, self.u64("metadata_kv_count")?))
    }

    pub fn metadata(&mut self, count: u64) -> Result<BTreeMap<String, Value>, ModelError> {
        // A pair takes 8 bytes of key length, 4 of type and at least 1 of value.
        self.check_count("metadata_kv_count", count, 13, MAX_KEYS)?;
        let mut metadata = BTreeMap::new();
        for i in 0..count {
            let key = self.name(&format!("metadata key {i}"))?;
            let kind = self.kind(&key)?;
            let value = self.value(&key, kind, 0)?;
            if metadata.contains_key(&key) {
                return Err(self.err(&key, "appears twice; the file is damaged"));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }

    pub fn value(&mut self, key: &str, kind: Kind, depth: usize) -> Result<Value, ModelError> {
        Ok(match kind {
            Kind::U8 => Value::Unsigned(u8::from_le_bytes(self.take(key)?).into()),
            Kind::I8 => Value::Signed(i8::from_le_bytes(self.take(key)?).into()),
            Kind::U16 => Value::Unsigned(u16::from_le_bytes(self.take(key)?).into()),
            Kind::I16 => Value::Signed(i16::from_le_bytes(self.take(key)?).into()),
            Kind::U32 => Value::Unsigned(self.u32(key)?.into()),
            Kind::I32 => Value::Signed(i32::from_le_bytes(self.take(key)?).into()),
            Kind::F32 => Value::Float(f32::from_le_bytes(self.take(key)?).into()),
            Kind::Bool => Value::Bool(self.truth(key)?),
            Kind::String => Value::String(self.text(key)?.to_owned()),
            Kind::Array => Value::Array(self.array(key, depth)?),
            Kind::U64 => Value::Unsigned(self.u64(key)?),
            Kind::I64 => Value::Signed(i64::from_le_bytes(self.take(key)?)),
            Kind::F64 => Value::Float(f64::from_le_bytes(self.take(key)?)),
        })
    }

    /// Checks an array's elements and passes over them.
    fn array(&mut self, key: &str, depth: usize) -> Result<Array, ModelError> {
        if depth >= MAX_NESTING {
            return Err(self.err(key, "nests arrays too deeply; the file is damaged"));
        }
        let kind = self.kind(key)?;
        let count = self.u64(key)?;
        self.check_count(key, count, kind.least_bytes(), u64::MAX)?;
        let start = self.at;
        if kind.is_fixed() {
            // No overflow and inside the file: `check_count` has multiplied the same numbers.
            self.at += (count * kind.least_bytes()) as usize;
        } else {
            for _ in 0..count {
                match kind {
                    Kind::String => drop(self.text(key)?),
                    Kind::Array => drop(self.array(key, depth + 1)?),
                    _ => drop(self.truth(key)?),
                }
            }
        }
        Ok(Array {
            kind,
            len: count as usize,
            map: self.map.clone(),
            range: start..self.at,
        })
    }

    pub fn tensor_infos(&mut self, count: u64) -> Result<Vec<TensorInfo>, ModelError> {
        // Length of the name, number of dimensions, one of them, type and offset.
        self.check_count("tensor_count", count, 32, MAX_TENSORS)?;
        let mut names = HashSet::new();
        let mut infos = Vec::new();
        for i in 0..count {
            let name = self.name(&format!("name of tensor {i}"))?;
            if !names.insert(name.clone()) {
                return Err(self.err(&tensor_field(&name), "appears twice; the file is damaged"));
            }
            infos.push(self.tensor_info(name)?);
        }
        Ok(infos)
    }

    fn tensor_info(&mut self, name: String) -> Result<TensorInfo, ModelError> {
        let field = tensor_field(&name);
        let dimensions = self.u32(&field)?;
        if !(1..=4).contains(&dimensions) {
            let detail = format!("has {dimensions} dimensions, 1 to 4 make sense; {TRUNCATED}");
            return Err(self.err(&field, detail));
        }
        let cols = self.dimension(&field)?;
        let mut rows = 1usize;
        for _ in 1..dimensions {
            let next = self.dimension(&field)?;
            rows = rows.checked_mul(next).ok_or_else(|| {
                let detail = format!("has more elements than can be counted; {TRUNCATED}");
                self.err(&field, detail)
            })?;
        }
        let kind = self.u32(&field)?;
        let dtype = dtype_of(kind).map_err(|kind_name| ModelError::WeightType {
            path: self.path.display().to_string(),
            tensor: printable(&name),
            kind,
            kind_name,
        })?;
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
        let sane = (1..MAX_DIMENSION).contains(&value);
        let size = usize::try_from(value).ok().filter(|_| sane);
        size.ok_or_else(|| self.err(field, format!("has a dimension of {value}; {TRUNCATED}")))
    }

    /// Refuses counts that make no sense or that the rest of the file cannot hold.
    fn check_count(
        &self,
        field: &str,
        count: u64,
        least_bytes: u64,
        most: u64,
    ) -> Result<(), ModelError> {
        let left = (self.map.len() - self.at) as u64;
        let fits = count.checked_mul(least_bytes).is_some_and(|b| b <= left);
        if fits && count <= most {
            return Ok(());
        }
        let limit = if fits {
            format!("at most {most} make sense")
        } else {
            format!("the file has only {left} bytes left")
        };
        Err(self.err(field, format!("counts {count} and {limit}: {TRUNCATED}")))
    }

    fn kind(&mut self, key: &str) -> Result<Kind, ModelError> {
        let number = self.u32(key)?;
        Kind::new(number)
            .ok_or_else(|| self.err(key, format!("has the unknown type {number}; {TRUNCATED}")))
    }

    /// A text that names something.
    fn name(&mut self, field: &str) -> Result<String, ModelError> {
        let start = self.at;
        let text = self.text(field)?;
        if text.len() as u64 > MAX_NAME {
            self.at = start;
            let detail = format!("takes {} bytes; {TRUNCATED}", text.len());
            return Err(self.err(field, detail));
        }
        Ok(text.to_owned())
    }

    pub fn text(&mut self, field: &str) -> Result<&'a str, ModelError> {
        let len = self.u64(field)?;
        self.check_count(field, len, 1, u64::MAX)?;
        let bytes = &self.map[self.at..self.at + len as usize];
        self.at += len as usize;
        std::str::from_utf8(bytes)
            .map_err(|_| self.err(field, format!("is not UTF-8; {TRUNCATED}")))
    }

    fn truth(&mut self, field: &str) -> Result<bool, ModelError> {
        match self.take::<1>(field)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.err(field, format!("is a truth value of {other}; {TRUNCATED}"))),
        }
    }

    fn u32(&mut self, field: &str) -> Result<u32, ModelError> {
        Ok(u32::from_le_bytes(self.take(field)?))
    }

    fn u64(&mut self, field: &str) -> Result<u64, ModelError> {
        Ok(u64::from_le_bytes(self.take(field)?))
    }

    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], ModelError> {
        let bytes = self.map[self.at..].first_chunk::<N>().copied();
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

pub(super) fn tensor_field(name: &str) -> String {
    format!("tensor '{name}'")
}

/// What a file without the magic seems to be.
fn what_it_is_instead(bytes: &[u8]) -> String {
    let starts = |with: &[&[u8]]| with.iter().any(|w| bytes.starts_with(w));
    if bytes.is_empty() {
        return "the file is empty; fetch it again".into();
    }
    if starts(&[b"<", b"{\"error"]) {
        return "is a web page and not a model: the download failed; fetch it again".into();
    }
    // GGML, GGMF, GGJT and GGLA, as little-endian machines wrote them.
    if starts(&[b"lmgg", b"fmgg", b"tjgg", b"algg"]) {
        return "is a GGML file from before GGUF; use a GGUF of this model".into();
    }
    let first = String::from_utf8_lossy(&bytes[..bytes.len().min(4)]);
    format!(
        "not a GGUF file (it begins with {first:?}); pass a .gguf file, or a folder with \
         config.json and .safetensors"
    )
}

/// The type with GGUF's number `kind`, or the name of one that cannot be read.
fn dtype_of(kind: u32) -> Result<DType, &'static str> {
    if let Some((_, dtype)) = super::TENSOR_TYPES.iter().find(|(n, _)| *n == kind) {
        return Ok(*dtype);
    }
    Err(match kind {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16..=23 | 29 => "an IQ type",
        24..=27 => "whole numbers",
        28 => "F64",
        34 | 35 => "a ternary type",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => "unknown",
    })
}
