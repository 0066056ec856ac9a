//! Tokenizers and chat templates against what the reference programs make of nasty texts, and
//! what must hold for any text. tests/golden/make_text.py wrote the references.

mod chat;
mod folder;
mod goldens;
mod properties;
mod vocab;

use std::path::PathBuf;

use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden").join(name)
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(golden(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}
