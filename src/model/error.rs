//! What can be wrong with a model, or with what is asked of it.

use std::path::Path;

use thiserror::Error;

use crate::engine::EngineError;
use crate::model::chat::ChatError;
use crate::model::tokenizer::TokenizerError;

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
        "{tokens} tokens do not fit the context of {context}; shorten the text or choose a model with a longer context"
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
            detail: detail.into(),
        }
    }

    pub fn field(path: &Path, field: impl Into<String>, detail: impl Into<String>) -> Self {
        ModelError::Field {
            path: path.display().to_string(),
            field: field.into(),
            detail: detail.into(),
        }
    }
}
