//! Reads a safetensors header, and checks it more closely than the `safetensors` crate: errors
//! name the tensor, sums cannot overflow, a name cannot appear twice.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::engine::DType;
use crate::model::error::{LFS_POINTER, ModelError};
use crate::model::weights::TensorBytes;

/// The header's length comes first, in this many bytes.
const LENGTH_BYTES: usize = 8;
/// The limit of the format.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a mapped file, in the order they lie in it. Those of types that no weight has
/// (masks, positions) are checked and left out.
pub fn tensors(path: &Path, map: &Arc<Mmap>) -> Result<Vec<TensorBytes>, ModelError> {
    let file = |detail: String| ModelError::file(path, detail);
    let Some(length) = map.first_chunk::<LENGTH_BYTES>() else {
        return Err(file(
            "is too short for a safetensors file; fetch or write it again".into(),
        ));
    };
    let length = u64::from_le_bytes(*length);
    let left = (map.len() - LENGTH_BYTES) as u64;
    if length > MAX_HEADER || length > left {
        if map.starts_with(LFS_POINTER) {
            return Err(ModelError::lfs_pointer(path));
        }
        return Err(file(not_safetensors(map, length)));
    }
    let data_start = LENGTH_BYTES + length as usize;
    let header: Header = serde_json::from_slice(&map[LENGTH_BYTES..data_start]).map_err(|e| {
        file(format!(
            "its header is damaged ({e}); fetch or write it again"
        ))
    })?;
    let data = Data {
        path,
        map,
        start: data_start,
    };
    data.check(header.0)
}

fn not_safetensors(bytes: &[u8], length: u64) -> String {
    if bytes.starts_with(b"<") {
        return "is a web page and not a model: the download failed; fetch it again".into();
    }
    format!(
        "says that its header takes {length} bytes and has only {}: it is truncated or not a \
         safetensors file; fetch or write it again",
        bytes.len() - LENGTH_BYTES
    )
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Names and what the header says of them, in its order.
struct Header(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with an entry for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The part of a file that holds the tensors' bytes.
struct Data<'a> {
    path: &'a Path,
    map: &'a Arc<Mmap>,
    start: usize,
}

impl Data<'_> {
    fn check(&self, mut entries: Vec<(String, Info)>) -> Result<Vec<TensorBytes>, ModelError> {
        let mut names = HashSet::new();
        for (name, _) in &entries {
            if !names.insert(name.as_str()) {
                return Err(self.err(name, "appears twice; the file is damaged"));
            }
        }
        drop(names);
        entries.sort_by_key(|(_, info)| info.data_offsets);
        let mut tensors = Vec::new();
        let mut last: (u64, String) = (0, String::new());
        for (name, info) in entries {
            let (start, end) = info.data_offsets;
            if start < last.0 {
                let detail = format!("overlaps tensor '{}'; the file is damaged", last.1);
                return Err(self.err(&name, detail));
            }
            if let Some(tensor) = self.place(&name, &info)? {
                tensors.push(tensor);
            }
            last = (end.max(start), name);
        }
        Ok(tensors)
    }

    fn place(&self, name: &str, info: &Info) -> Result<Option<TensorBytes>, ModelError> {
        let (start, end) = info.data_offsets;
        let size = (self.map.len() - self.start) as u64;
        if start > end || end > size {
            let detail = format!(
                "its bytes {start} to {end} reach past the {size} of the file: it is truncated or \
                 damaged; fetch or write it again"
            );
            return Err(self.err(name, detail));
        }
        let dtype = match info.dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            // Asking for one of these as a weight fails by its name.
            _ => return Ok(None),
        };
        let (rows, cols) = self.shape(name, info)?;
        let bytes = dtype.row_bytes(cols).and_then(|b| b.checked_mul(rows));
        if bytes.map(|b| b as u64) != Some(end - start) {
            let detail = format!(
                "its shape {:?} in {dtype} does not fit its {} bytes; the file is damaged",
                info.shape,
                end - start
            );
            return Err(self.err(name, detail));
        }
        Ok(Some(TensorBytes {
            name: name.to_owned(),
            dtype,
            rows,
            cols,
            map: self.map.clone(),
            range: self.start + start as usize..self.start + end as usize,
        }))
    }

    /// All dimensions but the last multiplied, and the last.
    fn shape(&self, name: &str, info: &Info) -> Result<(usize, usize), ModelError> {
        let mut sizes = info.shape.iter().map(|&n| usize::try_from(n).ok());
        let cols = sizes.next_back().unwrap_or(Some(1));
        let rows = sizes.try_fold(1usize, |rows, n| rows.checked_mul(n?));
        rows.zip(cols).ok_or_else(|| {
            let detail = format!("has the absurd shape {:?}; the file is damaged", info.shape);
            self.err(name, detail)
        })
    }

    fn err(&self, name: &str, detail: impl Into<String>) -> ModelError {
        ModelError::field(self.path, format!("tensor '{name}'"), detail)
    }
}
