//! The hash that `memory.json` carries of itself, so that a change by hand does not go unnoticed. It
//! protects from accidents, not from somebody who makes a new one.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{MemoryFile, Result, json};
use crate::memory::fingerprint::hex;

const FIELD: &str = "seal";

/// What a description's seal says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It has none, as those of earlier versions.
    Absent,
    Holds,
    /// Something was changed after it was sealed.
    Broken,
}

impl Seal {
    /// Of a description as it was read.
    pub fn of(description: &Value) -> Seal {
        match description.get(FIELD) {
            None => Seal::Absent,
            Some(seal) if seal.as_str() == Some(&hash(description)) => Seal::Holds,
            Some(_) => Seal::Broken,
        }
    }
}

/// The text of a description with its seal.
pub fn sealed(path: &Path, file: &MemoryFile) -> Result<Vec<u8>> {
    let mut description = json::value(path, file)?;
    let seal = hash(&description);
    if let Some(fields) = description.as_object_mut() {
        fields.insert(FIELD.to_owned(), Value::String(seal));
    }
    json::pretty(path, &description)
}

/// SHA-256, in hexadecimal, of all other fields: in one line, sorted by name.
fn hash(description: &Value) -> String {
    let mut rest = description.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove(FIELD);
    }
    rest.sort_all_objects();
    hex(&Sha256::digest(rest.to_string()))
}
