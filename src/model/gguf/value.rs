//! Metadata values. Arrays stay in the mapped file until somebody reads them: a tokenizer's
//! hundred thousands of texts cost nothing to those who do not ask.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::reader::{Kind, Reader};

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Array),
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
        match self {
            Value::Bool(v) => Some(*v),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(v) => Some(v),
            _ => None,
        }
    }
}

/// An array of metadata, whose elements were checked when the file was opened. Cheap to clone.
#[derive(Clone)]
pub struct Array {
    pub(super) kind: Kind,
    pub(super) len: usize,
    pub(super) map: Arc<Mmap>,
    /// The elements in the file.
    pub(super) range: Range<usize>,
}

impl Array {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        // The path would only be named in errors, and there are none in what was checked.
        let mut reader = Reader::new(Path::new(""), &self.map, self.range.start);
        (0..self.len).map_while(move |_| reader.value("", self.kind, 0).ok())
    }

    /// The texts of an array of texts, as they lie in the file.
    pub fn strings(&self) -> Option<impl Iterator<Item = &str> + '_> {
        let mut reader = Reader::new(Path::new(""), &self.map, self.range.start);
        let texts = (0..self.len).map_while(move |_| reader.text("").ok());
        (self.kind == Kind::String).then_some(texts)
    }

    /// The numbers of an array of whole numbers, none below zero.
    pub fn u64s(&self) -> Option<Vec<u64>> {
        self.iter().map(|v| v.as_u64()).collect()
    }

    /// The numbers of an array of numbers.
    pub fn f64s(&self) -> Option<Vec<f64>> {
        self.iter().map(|v| v.as_f64()).collect()
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} x {:?}]", self.len, self.kind)
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.len) == (other.kind, other.len)
            && self.map.get(self.range.clone()) == other.map.get(other.range.clone())
    }
}
