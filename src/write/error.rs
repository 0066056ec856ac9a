//! What can go wrong while a memory is written.

use std::path::PathBuf;

use thiserror::Error;

use super::allocate::AllocationError;
use super::setting_error::SettingError;
use crate::advice::Advice;
use crate::engine::EngineError;
use crate::memory::MemoryError;
use crate::model::ModelError;
use crate::words::{count, counted};

/// What can keep a document from being written or a memory from being asked.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A setting that makes no sense, alone or with another.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The steps could not be shared out.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// The model's context has no room for two tokens of a document.
    #[error(
        "the model's context of {context} tokens is too short to write from{}",
        beside(*memory_tokens)
    )]
    ContextTooShort {
        /// Tokens of the model's context.
        context: usize,
        /// Positions of the context that the memory takes; 0 for methods that take none.
        memory_tokens: usize,
    },
    /// A part of the memory was named that it does not have.
    #[error("the memory has no such part")]
    NoSuchPart,
    /// The question has no room in the model's context.
    #[error(
        "the question has {}; {} fit {}the model's context of {}",
        counted(*tokens, "token"),
        count(*room),
        beside_document(*beside),
        count(*context)
    )]
    QuestionTooLong {
        /// Tokens of the question.
        tokens: usize,
        /// Tokens that there is room for.
        room: usize,
        /// Whether a part of the document comes before the question.
        beside: bool,
        /// Tokens of the model's context.
        context: usize,
    },
    /// A question of several could not be asked.
    #[error("question {number}: {error}")]
    Question {
        /// Number of the question, from 1.
        number: usize,
        /// What went wrong with it.
        error: Box<WriteError>,
    },
    /// The recorded events of a stopped run lack something that is needed to go on with it.
    #[error("the run's events are damaged")]
    DamagedEvents,
    /// The document has fewer than two tokens.
    #[error("the document has no text to learn from: it needs at least two tokens")]
    NothingToLearn,
    /// A step's loss was not a number, so the run ended.
    #[error("step {step}: the loss is not a number; {}", after_no_number(*kept))]
    NotANumber {
        /// The step, from 1 over all segments.
        step: usize,
        /// Steps whose results are kept.
        kept: usize,
    },
    /// The run was stopped on request.
    #[error("{}", cancelled_after(*step))]
    Cancelled {
        /// Steps taken by then, over all segments.
        step: usize,
    },
    /// A memory was to be made from a run that had taken no step; its folder.
    #[error("{}: nothing was learned yet", .0.display())]
    NothingLearned(PathBuf),
    /// The model failed.
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

fn cancelled_after(step: usize) -> String {
    match step {
        0 => "cancelled before the first step".to_owned(),
        _ => format!(
            "cancelled after step {}; what was learned up to there is kept",
            count(step)
        ),
    }
}

fn beside_document(beside: bool) -> &'static str {
    if beside {
        "beside this part of the document in "
    } else {
        ""
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
            | WriteError::QuestionTooLong { .. }
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

    /// Whether the user asked for the work to end.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            WriteError::Cancelled { .. }
                | WriteError::Model(ModelError::Engine(EngineError::Cancelled))
        )
    }
}
