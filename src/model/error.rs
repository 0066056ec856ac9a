//! What can be wrong with a model, or with what is asked of it.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::advice::Advice;
use crate::engine::{DType, EngineError};
use crate::model::chat::ChatError;
use crate::model::tokenizer::TokenizerError;
use crate::words::is_order;
use crate::words::{count, counted};

/// An error of the model layer. Each is one line that says what to do.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error("{path}: {detail}")]
    File { path: String, detail: String },
    #[error("{path}: {field}: {detail}")]
    Field {
        path: String,
        field: String,
        detail: String,
    },
    #[error(
        "{} do not fit the context of {}; shorten the text or choose a model with a longer context",
        counted(*tokens, "token"),
        count(*context)
    )]
    ContextExceeded { tokens: usize, context: usize },
    #[error(
        "token {id} is outside the model's vocabulary of {vocab}; the tokenizer and the weights do not belong together"
    )]
    TokenOutOfRange { id: u32, vocab: usize },
    #[error(
        "the model's logits are not numbers: the weights are damaged or do not fit the architecture"
    )]
    NotANumber,
    /// The tensor's numbers are in a form that cannot be read.
    #[error(
        "{path}: tensor '{tensor}': has type {kind} ({kind_name}), which cannot be read; use a file whose weights are in {}",
        DType::WEIGHTS.map(DType::name).join(", ")
    )]
    WeightType {
        path: String,
        tensor: String,
        /// GGUF's number of the type.
        kind: u32,
        kind_name: &'static str,
    },
    /// The file is the pointer that git keeps in place of a large file that was not fetched.
    #[error("{path}: is a Git LFS pointer and not the model itself; run `git lfs pull`")]
    LfsPointer { path: String },
    #[error("the saved state of a run belongs to another memory: its sizes differ")]
    StateMismatch,
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Chat(#[from] ChatError),
}

impl ModelError {
    pub fn file(path: &Path, detail: impl Into<String>) -> Self {
        ModelError::File {
            path: path.display().to_string(),
            detail: printable(&detail.into()),
        }
    }

    pub(super) fn lfs_pointer(path: &Path) -> Self {
        ModelError::LfsPointer {
            path: path.display().to_string(),
        }
    }

    /// What is wrong, without the file's path: for a list that names the file already.
    pub fn without_path(&self) -> String {
        match self {
            ModelError::File { detail, .. } => detail.clone(),
            ModelError::Field { field, detail, .. } => format!("{field}: {detail}"),
            ModelError::WeightType { kind_name, .. } => {
                format!("it has weights in a form that cannot be read ({kind_name})")
            }
            ModelError::LfsPointer { .. } => {
                "it is a Git LFS pointer and not the model itself".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            ModelError::Engine(error) => error.advice(),
            ModelError::LfsPointer { .. } => Some(Advice::FetchModel),
            _ => None,
        }
    }

    /// A file that cannot be opened.
    pub fn open(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "does not exist; check the path".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "may not be read: permission denied; check its permissions".to_owned()
            }
            _ => format!("cannot be opened: {error}"),
        };
        ModelError::file(path, advice)
    }

    pub fn field(path: &Path, field: impl Into<String>, detail: impl Into<String>) -> Self {
        ModelError::Field {
            path: path.display().to_string(),
            field: printable(&field.into()),
            detail: printable(&detail.into()),
        }
    }
}

/// How the pointer that git keeps in place of a large file begins.
pub(super) const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Longer texts from a file are cut in messages.
const MOST_CHARS: usize = 300;

/// A text that may come from a damaged file, made safe for one line of a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(MOST_CHARS) {
        if is_order(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(MOST_CHARS).is_some() {
        out.push('…');
    }
    out
}
