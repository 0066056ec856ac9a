//! JSON files of a memory, and what two of them differ in.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{MEMORY_VERSION, Result};
use crate::memory::error::{MemoryError, shown};

/// The most bytes that are read; no memory's description is longer.
const MAX_BYTES: u64 = 64 << 20;
/// The most differences that are named at once.
const MOST_DIFFERENCES: usize = 5;

/// Reads a file of a known version.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(path, read_value(path)?)
}

/// What a value says.
pub fn parse<T: DeserializeOwned>(path: &Path, value: Value) -> Result<T> {
    T::deserialize(value).map_err(|e| MemoryError::file(path, format!("is damaged: {e}")))
}

/// Reads a file of a known version as it is.
pub fn read_value(path: &Path) -> Result<Value> {
    let meta = fs::metadata(path).map_err(|e| MemoryError::io(path, "read", e))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(MemoryError::not_a_memory(path, "it is no JSON file"));
    }
    let text = fs::read(path).map_err(|e| MemoryError::io(path, "read", e))?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|e| MemoryError::file(path, format!("is damaged: {e}")))?;
    match value.get("version").and_then(Value::as_u64) {
        None => Err(MemoryError::not_a_memory(path, "it has no version")),
        Some(found) if found != u64::from(MEMORY_VERSION) => Err(MemoryError::Version {
            path: shown(path),
            found,
            known: MEMORY_VERSION,
        }),
        Some(_) => Ok(value),
    }
}

/// A value as it comes back from a file.
pub fn value(path: &Path, value: &impl Serialize) -> Result<Value> {
    let text = serde_json::to_vec(value).map_err(|e| unwritable(path, &e))?;
    serde_json::from_slice(&text).map_err(|e| unwritable(path, &e))
}

/// A value as text for a file that people read, too.
pub fn pretty(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| unwritable(path, &e))?;
    text.push(b'\n');
    Ok(text)
}

/// A value as one line.
pub fn line(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(|e| unwritable(path, &e))?;
    text.push(b'\n');
    Ok(text)
}

fn unwritable(path: &Path, error: &serde_json::Error) -> MemoryError {
    MemoryError::file(path, format!("cannot be written as JSON: {error}"))
}

/// Every line of a file; one that a crash left without its end is left out.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for_each_line(path, |number, line| {
        let value = serde_json::from_slice(line)
            .map_err(|e| MemoryError::file(path, format!("line {number} is damaged: {e}")))?;
        found.push(value);
        Ok(())
    })?;
    Ok(found)
}

/// The lines of a file that can be understood.
pub fn read_good_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut found = Vec::new();
    for_each_line(path, |_, line| {
        found.extend(serde_json::from_slice(line).ok());
        Ok(())
    })?;
    Ok(found)
}

fn for_each_line(path: &Path, mut take: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let failed = |e| MemoryError::io(path, "read", e);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        take(number, &line)?;
    }
    Ok(())
}

/// A value as it comes back from a file: decimal texts of floats may round.
pub fn round_trip<T: Serialize + DeserializeOwned>(path: &Path, value: &T) -> Result<Value> {
    let text = serde_json::to_vec(value).map_err(|e| unwritable(path, &e))?;
    normal::<T>(path, &text)
}

/// A stored value with what its type has gained since, at its default.
pub fn completed<T: Serialize + DeserializeOwned>(path: &Path, stored: &Value) -> Result<Value> {
    normal::<T>(path, stored.to_string().as_bytes())
}

fn normal<T: Serialize + DeserializeOwned>(path: &Path, text: &[u8]) -> Result<Value> {
    let damaged = |e| MemoryError::file(path, format!("is damaged: {e}"));
    let value: T = serde_json::from_slice(text).map_err(damaged)?;
    serde_json::to_value(value).map_err(|e| unwritable(path, &e))
}

/// In which fields two values differ, in words; empty where in none.
pub fn differences(stored: &Value, given: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect("", stored, given, &mut found);
    let more = found.len().saturating_sub(MOST_DIFFERENCES);
    if more > 0 {
        found.truncate(MOST_DIFFERENCES);
        found.push(format!("{more} more settings differ"));
    }
    found
}

fn collect(name: &str, stored: &Value, given: &Value, found: &mut Vec<String>) {
    if stored == given {
        return;
    }
    let (Some(old), Some(new)) = (stored.as_object(), given.as_object()) else {
        found.push(format!("its {name} is {stored} and not {given}"));
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let path = if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        };
        let part = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
        collect(&path, &part(old), &part(new), found);
    }
}
