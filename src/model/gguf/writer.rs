//! Writes GGUF v3, streamed: first the header with everything announced, then each tensor's bytes.
//!
//! ```no_run
//! use inscribe::engine::DType;
//! use inscribe::model::gguf::writer::{GgufWriter, Meta};
//!
//! let mut writer = GgufWriter::new();
//! writer.set("general.architecture", Meta::from("llama"))?;
//! writer.announce("output_norm.weight", DType::F32, &[2])?;
//! let mut data = writer.begin(Vec::new())?;
//! data.tensor(&[0; 8])?;
//! let file: Vec<u8> = data.finish()?;
//! # Ok::<(), inscribe::model::gguf::writer::WriteError>(())
//! ```

use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};

use thiserror::Error;

use super::reader::{MAGIC, MAX_NAME};
use super::{DEFAULT_ALIGNMENT, TENSOR_TYPES};
use crate::engine::DType;

const VERSION: u32 = 3;

#[derive(Debug, Error)]
pub enum WriteError {
    #[error("{name}: {detail}")]
    Invalid { name: String, detail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

type Result<T, E = WriteError> = std::result::Result<T, E>;

/// A metadata value and the type it is stored as: readers are strict about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Meta {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    /// All of the first one's type; an empty array is one of texts.
    Array(Vec<Meta>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl From<&str> for Meta {
    fn from(text: &str) -> Self {
        Meta::String(text.to_owned())
    }
}

impl Meta {
    /// GGUF's number of the type.
    fn kind(&self) -> u32 {
        match self {
            Meta::U8(_) => 0,
            Meta::I8(_) => 1,
            Meta::U16(_) => 2,
            Meta::I16(_) => 3,
            Meta::U32(_) => 4,
            Meta::I32(_) => 5,
            Meta::F32(_) => 6,
            Meta::Bool(_) => 7,
            Meta::String(_) => 8,
            Meta::Array(_) => 9,
            Meta::U64(_) => 10,
            Meta::I64(_) => 11,
            Meta::F64(_) => 12,
        }
    }

    fn is_uniform(&self) -> bool {
        let Meta::Array(items) = self else {
            return true;
        };
        let first = items.first().map(Meta::kind);
        items
            .iter()
            .all(|item| Some(item.kind()) == first && item.is_uniform())
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Meta::U8(v) => out.write_all(&[*v]),
            Meta::I8(v) => out.write_all(&v.to_le_bytes()),
            Meta::U16(v) => out.write_all(&v.to_le_bytes()),
            Meta::I16(v) => out.write_all(&v.to_le_bytes()),
            Meta::U32(v) => out.write_all(&v.to_le_bytes()),
            Meta::I32(v) => out.write_all(&v.to_le_bytes()),
            Meta::F32(v) => out.write_all(&v.to_le_bytes()),
            Meta::Bool(v) => out.write_all(&[u8::from(*v)]),
            Meta::String(v) => write_text(out, v),
            Meta::U64(v) => out.write_all(&v.to_le_bytes()),
            Meta::I64(v) => out.write_all(&v.to_le_bytes()),
            Meta::F64(v) => out.write_all(&v.to_le_bytes()),
            Meta::Array(items) => {
                let text = Meta::String(String::new());
                let kind = items.first().unwrap_or(&text).kind();
                out.write_all(&kind.to_le_bytes())?;
                out.write_all(&(items.len() as u64).to_le_bytes())?;
                items.iter().try_for_each(|item| item.write(out))
            }
        }
    }
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

struct Announced {
    name: String,
    kind: u32,
    shape: Vec<usize>,
    bytes: u64,
}

/// Collects what the header says.
#[derive(Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Meta)>,
    tensors: Vec<Announced>,
    names: HashSet<String>,
}

impl GgufWriter {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a metadata key, or replaces what was set.
    pub fn set(&mut self, key: &str, value: Meta) -> Result<()> {
        check_name(key)?;
        if !value.is_uniform() {
            return Err(invalid(key, "an array's values must be of one type"));
        }
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// Announces a tensor. `shape` is outermost first: `[rows, cols]` for a matrix.
    pub fn announce(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<()> {
        check_name(name)?;
        let kind = TENSOR_TYPES.iter().find(|(_, t)| *t == dtype);
        let Some((kind, _)) = kind else {
            return Err(invalid(name, &format!("{dtype} is no type of a weight")));
        };
        let [outer @ .., cols] = shape else {
            return Err(invalid(name, "a tensor has 1 to 4 dimensions"));
        };
        if shape.len() > 4 || shape.contains(&0) {
            return Err(invalid(name, "a tensor has 1 to 4 dimensions, none of 0"));
        }
        let rows = outer
            .iter()
            .try_fold(1usize, |rows, n| rows.checked_mul(*n));
        let bytes = rows
            .zip(dtype.row_bytes(*cols))
            .and_then(|(rows, row)| rows.checked_mul(row));
        let Some(bytes) = bytes else {
            let detail = format!("{shape:?} is not whole blocks of {dtype}, or too large");
            return Err(invalid(name, &detail));
        };
        if !self.names.insert(name.to_owned()) {
            return Err(invalid(name, "announced twice"));
        }
        self.tensors.push(Announced {
            name: name.to_owned(),
            kind: *kind,
            shape: shape.to_vec(),
            bytes: bytes as u64,
        });
        Ok(())
    }

    /// Writes the header. The tensors' bytes follow in the order they were announced.
    pub fn begin<W: Write>(self, out: W) -> Result<DataWriter<W>> {
        let mut out = Counted { out, written: 0 };
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&(self.tensors.len() as u64).to_le_bytes())?;
        out.write_all(&(self.metadata.len() as u64).to_le_bytes())?;
        for (key, value) in &self.metadata {
            write_text(&mut out, key)?;
            out.write_all(&value.kind().to_le_bytes())?;
            value.write(&mut out)?;
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            write_text(&mut out, &tensor.name)?;
            out.write_all(&(tensor.shape.len() as u32).to_le_bytes())?;
            for size in tensor.shape.iter().rev() {
                out.write_all(&(*size as u64).to_le_bytes())?;
            }
            out.write_all(&tensor.kind.to_le_bytes())?;
            out.write_all(&offset.to_le_bytes())?;
            let end = offset.checked_add(tensor.bytes);
            offset = end
                .and_then(|e| e.checked_next_multiple_of(DEFAULT_ALIGNMENT))
                .ok_or_else(|| invalid(&tensor.name, "too large"))?;
        }
        out.pad()?;
        Ok(DataWriter {
            out,
            left: self.tensors.into(),
        })
    }
}

/// Takes the tensors' bytes.
pub struct DataWriter<W: Write> {
    out: Counted<W>,
    left: VecDeque<Announced>,
}

impl<W: Write> DataWriter<W> {
    /// Writes the next announced tensor.
    pub fn tensor(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(tensor) = self.left.pop_front() else {
            return Err(invalid("the file", "every announced tensor is written"));
        };
        if bytes.len() as u64 != tensor.bytes {
            let detail = format!("takes {} bytes, not {}", tensor.bytes, bytes.len());
            return Err(invalid(&tensor.name, &detail));
        }
        self.out.write_all(bytes)?;
        Ok(self.out.pad()?)
    }

    /// Gives the output back, flushed, once every announced tensor is written.
    pub fn finish(mut self) -> Result<W> {
        if let Some(tensor) = self.left.front() {
            return Err(invalid(&tensor.name, "announced and not written"));
        }
        self.out.flush()?;
        Ok(self.out.out)
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() as u64 > MAX_NAME {
        return Err(invalid(name, "a name has 1 to 1024 bytes"));
    }
    Ok(())
}

fn invalid(name: &str, detail: &str) -> WriteError {
    WriteError::Invalid {
        name: name.to_owned(),
        detail: detail.to_owned(),
    }
}

/// Knows how much was written, for padding.
struct Counted<W: Write> {
    out: W,
    written: u64,
}

impl<W: Write> Counted<W> {
    fn pad(&mut self) -> io::Result<()> {
        let end = self.written.next_multiple_of(DEFAULT_ALIGNMENT);
        let zeros = [0; DEFAULT_ALIGNMENT as usize];
        self.write_all(&zeros[..(end - self.written) as usize])
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
