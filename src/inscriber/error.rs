//! What can go wrong, from opening a model to asking a memory.

use thiserror::Error;

use crate::advice::Advice;
use crate::engine::EngineError;
use crate::memory::MemoryError;
use crate::model::ModelError;
use crate::model::hub::PullError;
use crate::model::locate::LocateError;
use crate::write::document::DocumentError;
use crate::write::error::WriteError;

/// An error of any of the layers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No model has the name that was given.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The model could not be fetched.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The device failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The document cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The files of a memory are missing, damaged or of another model.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Writing or answering failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Error {
    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            Error::Locate(error) => error.advice(),
            Error::Pull(error) => error.advice(),
            Error::Engine(error) => error.advice(),
            Error::Model(error) => error.advice(),
            Error::Document(error) => error.advice(),
            Error::Memory(error) => error.advice(),
            Error::Write(error) => error.advice(),
        }
    }

    /// What to do about the error, in words that fit any program, where its message does not say
    /// so.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Locate(error) => error.hint(),
            Error::Pull(error) => error.hint(),
            _ => None,
        }
    }
}
