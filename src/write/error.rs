//! What can go wrong while a memory is written.

use std::path::PathBuf;

use thiserror::Error;

use super::allocate::AllocationError;
use super::setting_error::SettingError;
use crate::advice::Advice;
use crate::engine::EngineError;
use crate::memory::MemoryError;
use crate::model::ModelError;

#[derive(Debug, Error)]
pub enum WriteError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    #[error(
        "the model's context of {context} tokens is too short to write from{}",
        beside(*memory_tokens)
    )]
    ContextTooShort {
        context: usize,
        memory_tokens: usize,
    },
    #[error("the memory has no such part")]
    NoSuchPart,
    #[error("question {number}: {error}")]
    Question {
        number: usize,
        error: Box<WriteError>,
    },
    #[error("the run's events are damaged")]
    DamagedEvents,
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
        0 => "nothing was learned before".to_owned(),
        _ => format!("what was learned up to step {kept} is kept"),
    }
}

fn beside(memory_tokens: usize) -> String {
    match memory_tokens {
        0 => String::new(),
        rows => format!(" beside {rows} memory tokens"),
    }
}

impl From<EngineError> for WriteError {
    fn from(error: EngineError) -> Self {
        WriteError::Model(error.into())
    }
}

impl WriteError {
    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            WriteError::ContextTooShort { memory_tokens, .. } => {
                (*memory_tokens > 0).then_some(Advice::FewerMemoryTokens)
            }
            WriteError::Question { error, .. } => error.advice(),
            WriteError::DamagedEvents => Some(Advice::StartAgain),
            WriteError::NotANumber { kept: 0, .. } => Some(Advice::SmallerRate),
            WriteError::NotANumber { .. } => Some(Advice::GoOnSlowerOrEnd),
            WriteError::Model(error) => error.advice(),
            WriteError::Keep(error) => error.downcast_ref().and_then(MemoryError::advice),
            WriteError::Setting(_)
            | WriteError::Allocation(_)
            | WriteError::NoSuchPart
            | WriteError::NothingToLearn
            | WriteError::NothingLearned(_)
            | WriteError::Cancelled { .. } => None,
        }
    }

    /// The setting that makes no sense, if that is the failure.
    pub fn setting(&self) -> Option<&SettingError> {
        match self {
            WriteError::Setting(error)
            | WriteError::Allocation(AllocationError::Setting(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether the person asked for it to end.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            WriteError::Cancelled { .. }
                | WriteError::Model(ModelError::Engine(EngineError::Cancelled))
        )
    }
}
