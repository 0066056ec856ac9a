//! What can go wrong while a memory is written.

use std::path::PathBuf;

use thiserror::Error;

use crate::engine::EngineError;
use crate::model::ModelError;

#[derive(Debug, Error)]
pub enum WriteError {
    #[error("{0}")]
    Settings(String),
    #[error("the document has no text to learn from: it needs at least two tokens")]
    NothingToLearn,
    #[error("step {step}: the loss is not a number; {}", after_no_number(*kept))]
    NotANumber { step: usize, kept: usize },
    #[error("cancelled after step {step}; what was learned up to there is kept")]
    Cancelled { step: usize },
    #[error("{}: nothing was learned yet", .0.display())]
    NothingLearned(PathBuf),
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The keeper of events and checkpoints failed.
    #[error("{0}")]
    Keep(Box<dyn std::error::Error + Send + Sync>),
}

fn after_no_number(kept: usize) -> String {
    match kept {
        0 => "nothing was learned before; try a smaller --lr or --alpha".to_owned(),
        _ => format!(
            "what was learned up to step {kept} is kept: --resume with a smaller --lr goes on from \
             there, --resume --finish makes a memory of it as it is"
        ),
    }
}

impl From<EngineError> for WriteError {
    fn from(error: EngineError) -> Self {
        WriteError::Model(error.into())
    }
}

impl WriteError {
    /// Whether the person asked for it to end.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            WriteError::Cancelled { .. }
                | WriteError::Model(ModelError::Engine(EngineError::Cancelled))
        )
    }
}
